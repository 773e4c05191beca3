"""A few ends-to-ends on the real default model, as `make map` runs it."""

import numpy as np
import pytest

import headatlas as ha
from headatlas.methods.probe import Probe
from headatlas.prompts import build_prompts
from tests.test_head_model import stock


@pytest.fixture(scope="module")
def questions():
    return ha.load_questions("controlled", limit=4)


def test_its_heads_are_what_its_card_says(smollm):
    assert (smollm.n_layers, smollm.n_heads, smollm.n_kv_heads, smollm.head_dim) == (30, 9, 3, 64)
    assert smollm.unpacked is None
    assert smollm.context == 8192


@pytest.mark.parametrize("template", ["short", "published"])
def test_packed_capture_equals_stock_forward_passes(smollm, questions, template):
    prompts = build_prompts(questions, smollm.tokenizer, template=template, context=smollm.context)[:8]
    captured = smollm.capture(prompts)
    for i in (0, 3, 7):
        z, logprob, _ = stock(smollm, prompts[i])
        np.testing.assert_allclose(captured.z[i], z, atol=1e-4)
        assert captured.logprob[i] == pytest.approx(logprob, abs=1e-4)


def test_it_finds_the_right_answers_likelier_than_foils(smollm):
    """The built-in questions are worth asking: most answers beat a foil (0.5 is chance)."""
    prompts = build_prompts(ha.load_questions("controlled", limit=12), smollm.tokenizer)
    scores = [smollm.capture(prompts[i : i + 8]) for i in range(0, len(prompts), 8)]
    wins = np.concatenate([s.logprob > s.foil_logprob for s in scores])
    assert wins.mean() > 0.6


@pytest.mark.slower
def test_generated_answers_are_pooled_at_their_own_tokens(smollm, questions):
    atlas = ha.measure(
        smollm, questions, methods=[Probe(refits=1, null_refits=1, epochs=1)], answers="generated", seed=3
    )
    assert atlas.attrs["template"].find('"generated"') > 0
    assert atlas["probe"]["importance"].shape == (8, 30, 9)
    reference = ha.measure(smollm, questions, methods=[Probe(refits=1, null_refits=1, epochs=1)], seed=3)
    # the reference answers and foils are scored alike; what is pooled is not the same
    np.testing.assert_allclose(atlas["answer_logprob"], reference["answer_logprob"], atol=1e-4)
    assert not np.allclose(atlas["probe"]["importance"], reference["probe"]["importance"])


def test_a_notebook_shows_the_atlas(smollm, questions):
    atlas = ha.measure(smollm, questions, methods=[Probe(refits=1, null_refits=1, epochs=1)])
    page = atlas._repr_html_()
    assert "importance" in page and "knowledge_recall" in page and "smollm2-135m" in page
