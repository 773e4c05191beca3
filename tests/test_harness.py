"""lm-evaluation-harness on a model as it is and edited: a folder of tasks of our own, offline, and what is refused."""

import json

import numpy as np
import pytest
import torch

from headatlas.atlas import load_atlas
from headatlas.cli.main import main
from headatlas.errors import InputError
from headatlas.experiments import evaluate
from headatlas.interventions import Mask, Scale
from headatlas.models.load import load_model
from tests.saved import save_tiny
from tests.test_validation import write_tasks

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is an extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # the harness's own and its dependencies'
HEADS = tuple((layer, head) for layer in range(3) for head in range(4))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of a tiny model, folder of a task of thirty documents, an atlas)."""
    home = tmp_path_factory.mktemp("harness")
    model = save_tiny(home / "tiny")
    tasks = home / "tasks"
    tasks.mkdir()
    draw = np.random.default_rng(0)
    words = ["red", "ball", "Anna", "has", "the", "box", "in", "a"]
    docs = [
        {
            "question": " ".join(draw.choice(words, 5)),
            "choices": draw.choice(words, 2, replace=False).tolist(),
            "gold": int(draw.integers(2)),
        }
        for _ in range(30)
    ]
    (tasks / "docs.jsonl").write_text("\n".join(map(json.dumps, docs)))
    (tasks / "ours.yaml").write_text(
        f"task: our_words\ndataset_path: json\ndataset_kwargs:\n  data_files: {tasks / 'docs.jsonl'}\n"
        'test_split: train\noutput_type: multiple_choice\ndoc_to_text: "{{question}}"\ndoc_to_choice: "{{choices}}"\n'
        "doc_to_target: gold\nmetric_list:\n  - metric: acc\nmetadata:\n  version: 1.0\n"
    )
    asked, atlas = write_tasks(home / "tasks.jsonl"), home / "atlas"
    run = ["map", str(model), "-q", str(asked), "--method", "ablation", "--keep-unable", "--out", str(atlas)]
    assert main([*run, "--dtype", "float32"]) == 0
    return model, tasks, docs, atlas


def by_hand(model, docs):
    """Whether the right choice is the likeliest, document by document, in plain forward passes."""
    right = []
    for doc in docs:
        scores = []
        for choice in doc["choices"]:
            before = model.tokenizer(doc["question"], add_special_tokens=False)["input_ids"]
            ids = model.tokenizer(f"{doc['question']} {choice}", add_special_tokens=False)["input_ids"]
            with torch.inference_mode():
                logp = model.model(input_ids=torch.tensor([ids[:-1]])).logits[0].log_softmax(-1)
            scores.append(sum(float(logp[i - 1, ids[i]]) for i in range(len(before), len(ids))))
        right.append(float(np.argmax(scores) == doc["gold"]))
    return np.array(right)


def test_the_difference_is_that_of_plain_passes_paired_by_document(made):
    folder, tasks, docs, _ = made
    model = load_model(str(folder))
    edit = Scale(HEADS, -3.0)
    found = evaluate(model, {"e": edit}, ["our_words"], folder=tasks)
    plain = by_hand(model, docs)
    with model.edit(edit):
        edited = by_hand(model, docs)
    assert (plain != edited).any(), "the edit does something"
    (row,) = found[found["metric"] == "acc"].to_dict("records")
    change = edited - plain
    assert (row["n"], row["as_is"], row["edited"]) == (30, plain.mean(), edited.mean())
    assert row["difference"] == pytest.approx(change.mean())
    assert row["stderr"] == pytest.approx(change.std(ddof=1) / np.sqrt(30))


def test_the_command(made, tmp_path, capsys):
    _, tasks, _, atlas = made
    function = str(load_atlas(atlas / "atlas.nc")["ablation"]["function"].values[0])
    command = ["evaluate", str(atlas), "--tasks", "our_words", "--include", str(tasks), "--dtype", "float32"]
    command += ["--model", str(made[0])]
    capsys.readouterr()
    assert main([*command, "--mask", f"{function}:3", "--limit", "4", "--out", str(tmp_path / "t.csv"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(r["task"], r["edit"], r["n"]) for r in rows} == {("our_words", e, 4) for e in ("edited", "random 1")}
    assert (tmp_path / "t.csv").read_text().startswith("task,metric,edit,n,as_is,edited,difference,stderr\n")
    assert main([*command, "--mask", "L0H1", "--random", "0"]) == 0
    assert "our_words  acc" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--tasks", "our_wrods", "--mask", "L0H1"], "has no task 'our_wrods'. Did you mean 'our_words'?"),
        (["--tasks", "our_words"], "Nothing is edited"),
        (["--tasks", "our_words", "--mask", "L9H0"], "L9H0 does not exist"),
        (["--tasks", "our_words", "--mask", "L0H1", "--out", "t.txt"], "written as .csv"),
    ],
)
def test_what_is_refused(made, capsys, given, message):
    folder, tasks, _, atlas = made
    assert main(["evaluate", str(atlas), "--include", str(tasks), "--model", str(folder), *given]) == 2
    assert message in capsys.readouterr().err


def test_another_model_and_edits_of_some_positions_are_refused(made, tmp_path, capsys):
    _, tasks, _, atlas = made
    other = save_tiny(tmp_path / "other", seed=1)
    command = ["evaluate", str(atlas), "--include", str(tasks), "--tasks", "our_words", "--mask", "L0H1"]
    assert main([*command, "--model", str(other)]) == 2
    assert "The atlas is of tiny, and the model is other: other weights" in capsys.readouterr().err
    with pytest.raises(InputError, match="not of all positions"):
        evaluate(load_model(str(other)), {"e": Mask(HEADS, positions="answer")}, ["our_words"], folder=tasks)
    with pytest.raises(InputError, match="is no folder of task files"):
        evaluate(load_model(str(other)), {"e": Mask(HEADS)}, ["our_words"], folder=tmp_path / "nowhere")
