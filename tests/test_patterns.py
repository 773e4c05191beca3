"""Attention patterns as a stream, held against what transformers returns, and the scores taken of them."""

import weakref

import numpy as np
import pytest
import torch

from headatlas.errors import InputError, ModelError
from headatlas.models.access import ATTENTION
from headatlas.models.pattern_scores import Copying, MassAt, Spread
from headatlas.models.patterns import Chunk, Patterns
from headatlas.roles.scores import repeat_targets
from tests.tiny import ARCHITECTURES, VOCAB, tiny


def texts(*lengths, seed=0):
    draw = np.random.default_rng(seed)
    return [draw.integers(3, VOCAB, n) for n in lengths]


class Collected:
    """Every pattern of every sequence, put together from its chunks."""

    def __init__(self, model, sequences):
        shape = model.n_layers, model.n_heads
        self.full = [np.full((*shape, len(s), len(s)), np.nan) for s in sequences]

    def take(self, chunk):
        stop = chunk.start + chunk.weights.shape[2]
        for row, weights in zip(chunk.rows, chunk.weights.double().cpu().numpy(), strict=True):
            own = self.full[row][chunk.layer][:, chunk.start : stop]
            assert np.isnan(own).all(), "a query came twice"
            own[:] = 0
            own[:, :, : weights.shape[-1]] = weights


def eager(model, tokens, **more):
    """Return what transformers itself says the patterns are, (layer, head, query, key), and its logits."""
    with torch.no_grad(), model.attention_implementation("eager"):
        out = model.model(torch.from_numpy(tokens)[None], output_attentions=True, use_cache=False, **more)
    return np.stack([a[0].double().numpy() for a in out.attentions]), out.logits[0]


# -- the stream -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_streamed_patterns_are_the_models_own(name):
    model = tiny(name, dtype=torch.float64)
    patterns, sequences = Patterns(model), texts(20, 31, 20, 7, 1)
    got, asked = Collected(model, sequences), [np.array([len(s) - 1, 0]) for s in sequences]
    before = model.text_config._attn_implementation
    best = patterns.stream(sequences, got.take, predicting=asked, max_weights=700)
    assert model.text_config._attn_implementation == before
    expected = {"falcon": "its own code", "falcon-alibi": "its own code"}
    assert (patterns.whole is None) == (name not in expected) and expected.get(name, "") in (patterns.whole or "")
    for sequence, full, tokens in zip(sequences, got.full, best, strict=True):
        own, logits = eager(model, sequence)
        # eager attention takes its softmax in float32, also in a float64 model
        np.testing.assert_allclose(full, own, atol=1e-5)
        np.testing.assert_array_equal(tokens, logits[[len(sequence) - 1, 0]].argmax(-1).numpy())
        if name == "gpt_oss":
            assert (full.sum(-1) < 1).all(), "its learned sinks take a share"
        else:
            np.testing.assert_allclose(full.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_oss", "phi3-longrope", "falcon-alibi", "gpt2", "mixtral"])
def test_a_sequence_scores_the_same_in_any_company_and_in_chunks_of_any_size(name):
    model = tiny(name, dtype=torch.float64)
    patterns, sequences = Patterns(model), texts(25, 12, 25, 25, 40)
    together, small, alone = (Collected(model, sequences) for _ in range(3))
    patterns.stream(sequences, together.take)
    patterns.stream(sequences, small.take, max_tokens=1, max_weights=1)
    for i, sequence in enumerate(sequences):
        one = Collected(model, [sequence])
        patterns.stream([sequence], one.take)
        alone.full[i] = one.full[0]
    for i in range(len(sequences)):
        np.testing.assert_allclose(small.full[i], together.full[i], atol=1e-6)
        np.testing.assert_allclose(alone.full[i], together.full[i], atol=1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_patterns_are_those_of_the_text_padded_on_either_side(side):
    model, (tokens,) = tiny("llama"), texts(15)  # float64's smallest number is -inf in eager's float32 softmax
    got = Collected(model, [tokens])
    Patterns(model).stream([tokens], got.take)
    pad, left = np.zeros(6, dtype=np.int64), side == "left"
    at = slice(6, 21) if left else slice(15)
    padded = np.concatenate([pad, tokens] if left else [tokens, pad])
    mask = torch.zeros(1, 21, dtype=torch.long)
    mask[:, at] = 1
    full, _ = eager(model, padded, attention_mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0))
    np.testing.assert_allclose(full[:, :, at, at], got.full[0], atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_no_more_than_one_chunk_of_one_layer_is_alive(name):
    model = tiny(name)
    most, alive, layers = 2000, weakref.WeakSet(), []
    sizes, numbers = [], []

    class Held:
        """Stands for a chunk's weights: dies with them."""

    def take(chunk):
        numbers.append(len(alive))
        held = Held()
        chunk.weights.held = held  # the only reference to it
        alive.add(held)
        layers.append(chunk.layer)
        sizes.append(chunk.weights.numel())

    patterns = Patterns(model)
    patterns.stream(texts(60, 60), take, max_weights=most)
    assert set(numbers) == {0}, "an earlier chunk's weights were still there"
    assert max(sizes) <= most < 2 * model.n_heads * 60 * 60, "the layer came in chunks"
    assert layers == sorted(layers)


def test_the_models_attention_is_its_own_again_after_an_exception():
    model = tiny("llama")
    patterns, (tokens,) = Patterns(model), texts(9)
    before = model.text_config._attn_implementation
    assert before != ATTENTION

    def fail(chunk):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        patterns.stream([tokens], fail)
    assert model.text_config._attn_implementation == before
    eager(model, tokens)


def test_attention_that_is_not_the_models_own_is_noticed_and_taken_in_eager_mode(monkeypatch):
    model, (tokens,) = tiny("llama", dtype=torch.float64), texts(12)
    right, _ = eager(model, tokens)
    monkeypatch.setattr("headatlas.models.patterns._scores", lambda q, k, softcap: torch.ones(*q.shape[:3], k.shape[2]))
    patterns = Patterns(model)
    assert "logits differ" in patterns.whole
    got = Collected(model, [tokens])
    patterns.stream([tokens], got.take)
    np.testing.assert_allclose(got.full[0], right, atol=1e-6)


def test_a_model_without_patterns_is_refused(monkeypatch):
    model = tiny("falcon")
    plain = model.model.forward

    def forward(*args, **kwargs):
        kwargs.pop("output_attentions", None)
        return plain(*args, **kwargs)

    monkeypatch.setattr(model.model, "forward", forward)
    with pytest.raises(
        ModelError, match=r"returns no attention patterns: .*its own code.*gave none, expected 3 of shape"
    ):
        Patterns(model).stream(texts(8), lambda chunk: None)


def test_sequences_that_do_not_fit_are_refused():
    patterns = Patterns(tiny("llama"))
    for bad in ([np.empty(0, np.int64)], texts(129)):
        with pytest.raises(InputError, match="takes 1 to 128"):
            patterns.stream(bad, lambda chunk: None)


# -- scores on patterns made by hand ----------------------------------------------------------------------------


def feed(score, weights, *, window=None, step=3):
    """Feed one sequence's pattern (head, query, key) as layer 0, some queries at a time."""
    for start in range(0, weights.shape[1], step):
        stop = min(start + step, weights.shape[1])
        part = torch.from_numpy(weights[None, :, start:stop, :stop].astype(np.float64))
        score.take(Chunk(0, np.array([0]), start, window, part))
    return {name: values[0, 0] for name, values in score.samples().items()}


def looking(n, key_of, window=None):
    """Return the pattern of a head that gives all its weight to one key a query."""
    pattern = np.zeros((1, n, n))
    for i in range(n):
        pattern[0, i, key_of(i)] = 1
    return pattern


def even(n, window=None):
    seen = np.tril(np.ones((n, n)))
    if window is not None:
        seen -= np.tril(np.ones((n, n)), -window)
    return (seen / seen.sum(-1, keepdims=True))[None]


def test_the_mass_at_named_keys():
    n, half = 21, 10
    targets = {name: [keys] for name, keys in repeat_targets(n, half).items()}
    heads = np.concatenate([
        looking(n, lambda i: max(i - 1, 0)),
        looking(n, lambda i: max(i - half, 0)),
        looking(n, lambda i: max(i - half + 1, 0) if i >= 11 else 0),
        even(n),
    ])  # fmt: skip
    got = feed(MassAt((1, 1, 4), targets), heads)
    np.testing.assert_allclose(got["previous_token"], [1, 0, 0, np.mean([1 / (i + 1) for i in range(2, n)])])
    share = np.mean([1 / (i + 1) for i in range(11, n)])
    np.testing.assert_allclose(got["duplicate_token"], [0, 1, 0, share])
    np.testing.assert_allclose(got["induction"], [0, 0, 1, share])


def test_the_targets_are_the_tokens_that_their_names_say():
    draw = np.random.default_rng(0)
    part = draw.choice(50, 8, replace=False)
    tokens = np.concatenate([[99], part, part])
    targets = repeat_targets(len(tokens), 8)
    second = np.arange(9, 17)
    np.testing.assert_array_equal(tokens[targets["duplicate_token"][second]], tokens[second])
    np.testing.assert_array_equal(tokens[targets["induction"][second] - 1], tokens[second])
    assert (targets["induction"][:9] == -1).all() and (targets["duplicate_token"][:9] == -1).all()
    assert targets["previous_token"][:3].tolist() == [-1, -1, 1], "the first token is the sink's"


def test_a_key_outside_the_window_takes_no_part():
    n, window = 12, 4
    targets = {"sink": [np.where(np.arange(n) > 0, 0, -1)], "far": [np.where(np.arange(n) > 5, 0, -1)]}
    got = feed(MassAt((1, 1, 1), targets), even(n, window), window=window)
    np.testing.assert_allclose(got["sink"], np.mean([1 / 2, 1 / 3, 1 / 4]))  # queries 1 to 3 see the first token
    assert np.isnan(got["far"]).all()


@pytest.mark.parametrize("window", [None, 6])
def test_spread_of_even_attention_and_of_one_key(window):
    n, local = 15, 3
    pattern = np.concatenate([even(n, window), looking(n, lambda i: max(i - 2, 0)), looking(n, lambda i: i)])
    got = feed(Spread((1, 1, 3), local=local), pattern, window=window)
    seen = np.minimum(np.arange(n) + 1, window or n)
    np.testing.assert_allclose(got["entropy"], [np.log(seen[1:]).mean(), 0, 0], atol=1e-12)
    np.testing.assert_allclose(got["normalised_entropy"], [1, 0, 0], atol=1e-12)
    counted = [i for i in range(n) if seen[i] > local]
    np.testing.assert_allclose(got["local_share"], [np.mean([local / seen[i] for i in counted]), 1, 1])
    far, moved, mass = [], 0.0, 0.0
    for i in counted:
        back = [d for d in range(seen[i]) if d < i]  # without the first token
        far.append(sum(d > (seen[i] - 1) / 2 for d in back) / seen[i])
        moved += sum(back) / seen[i]
        mass += len(back) / seen[i]
    # the second head looks two back: beyond half of what a query with 4 keys sees
    two = np.mean([(seen[i] - 1) / 2 < 2 for i in counted])
    np.testing.assert_allclose(got["global_share"], [np.mean(far), two, 0])
    np.testing.assert_allclose(got["span"], [moved / mass, 2, 0])


def test_a_sink_head_is_neither_global_nor_of_long_span():
    got = feed(Spread((1, 1, 1), local=2), looking(9, lambda i: 0))
    assert got["global_share"] == 0 and np.isnan(got["span"]) and got["local_share"] == 0


def test_copying_counts_the_most_attended_key():
    pattern = 0.6 * looking(10, lambda i: 4 if i > 4 else 0) + 0.4 * looking(10, lambda i: i)
    wanted = [{7: np.array([3, 4]), 8: np.array([2]), 9: np.array([4])}]
    np.testing.assert_allclose(feed(Copying((1, 1, 1), wanted, name="r"), pattern)["r"], [2 / 3])
    inside = feed(Copying((1, 1, 1), wanted, name="r"), pattern, window=5)["r"]
    np.testing.assert_allclose(inside, [1])  # at 8 and 9 the needle is out of sight
