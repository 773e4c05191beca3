"""Generated answers, many at a time, against stock generation one by one; their scores; their judge."""

import numpy as np
import pytest
import torch

from headatlas.answers import Judge, answers_to, answers_under
from headatlas.answers.judging import judge_at, verdict
from headatlas.answers.scoring import number_of, score
from headatlas.errors import InputError
from headatlas.interventions import Mask, Mean, Scale
from tests.faulty_server import FaultyServer
from tests.tiny import ARCHITECTURES, random_prompts, tiny

EDITS = [
    None,
    Mask(((0, 1), (2, 3)), positions="answer"),
    Scale(((1, 0), (1, 2)), 3.0, positions="answer"),
]


def alone(model, prompt, edit):
    """One stock generation, cut at the end of turn by hand."""
    ids = torch.from_numpy(prompt)[None]

    def run():
        out = model.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=6,
                                   pad_token_id=0)  # fmt: skip
        return out[0, len(prompt) :].tolist()

    if edit is None:
        new = run()
    else:
        with model.edit(edit):
            new = run()
    ends = model.model.generation_config.eos_token_id
    ends = {ends} if isinstance(ends, int) else set(ends or ()) | {model.tokenizer.eos_token_id}
    return new[: next((i for i, t in enumerate(new) if t in ends), len(new))]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_many_edits_of_one_prompt_and_many_prompts_of_one_edit_answer_as_each_alone(name):
    model = tiny(name, dtype=torch.float64)
    mean = Mean(((0, 0), (2, 2)), np.full((2, model.head_dim), 0.3, np.float32), positions="answer")
    edits = [*EDITS, mean]
    prompts = [p.prefix for p in random_prompts(3)]
    for prompt in prompts[:2]:
        found = answers_under(model, prompt, edits, max_new_tokens=6, stop="")
        assert [f.tolist() for f in found] == [alone(model, prompt, edit) for edit in edits]
    for edit in (None, edits[1], Mask(((0, 0),))):
        found = answers_to(model, prompts, edit, max_new_tokens=6, stop="", rows=2)
        assert [f.tolist() for f in found] == [alone(model, prompt, edit) for prompt in prompts]
    everywhere = [Mask(((0, 1), (1, 1))), None, edits[2]]
    found = answers_under(model, prompts[0], everywhere, max_new_tokens=6, stop="")
    assert [f.tolist() for f in found] == [alone(model, prompts[0], edit) for edit in everywhere]


@pytest.mark.parametrize(
    ("name", "answer", "references", "expected"),
    [
        ("exact", " The Paris. ", ["paris"], 1),
        ("exact", "Paris, France", ["Paris"], 0),
        ("exact", "Lyon", ["Paris", "lyon"], 1),
        ("number", "so 3 + 4 makes 1,007.", ["#### 1007"], 1),
        ("number", "7 and then 8", ["7"], 0),
        ("number", "none", ["7"], 0),
        ("number", "−5", ["-5"], 1),
        ("number", "Paris", ["Paris"], float("nan")),
        ("f1", "the red big house", ["a big house"], 0.8),
        ("f1", "", ["house"], 0),
        ("f1", "x", ["house", "x y"], 2 / 3),
    ],
)
def test_scores(name, answer, references, expected):
    assert score(name, answer, references) == pytest.approx(expected, nan_ok=True)
    assert number_of("no number") is None


def test_a_judge_says_right_wrong_or_nothing_and_is_asked_no_question_twice(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    asked = []

    def reply(body):
        asked.append(body["messages"][-1]["content"])
        right = "true" if "Answer: Paris" in asked[-1] else "false"
        return "hm" if "Answer: ???" in asked[-1] else f'{{"right": {right}}}'

    journal = tmp_path / "judge.journal"
    with FaultyServer(reply=reply) as server:
        with Judge(server.url, "m", journal) as judge:
            assert judge("Capital of France?", "Paris", "Paris, of course") == 1
            assert judge("Capital of France?", "Paris", "Lyon") == 0
            assert np.isnan(judge("Capital of France?", "Paris", "???"))
            assert judge("Capital of France?", "Paris", "Lyon") == 0
        assert len(asked) == 3 and "Reference answer: Paris" in asked[0]
    with Judge(server.url, "m", journal) as judge:  # the endpoint is gone
        assert judge("Capital of France?", "Paris", "Lyon") == 0
    with pytest.raises(InputError, match=r"another"), Judge(server.url, "other model", journal):
        pass


def test_verdicts_and_addresses():
    assert verdict('I think {"right": false} no: {"right": true}') == 1
    assert np.isnan(verdict('{"right": "yes"}')) and np.isnan(verdict("{broken"))
    assert judge_at("qwen@http://localhost:8000/v1") == ("http://localhost:8000/v1", "qwen")
    with pytest.raises(InputError, match="Write MODEL@http"):
        judge_at("http://localhost:8000/v1")
