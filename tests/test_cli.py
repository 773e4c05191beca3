"""The command line as a person or a script meets it: files, exit codes, one-line errors, kills."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray as xr
from transformers import BertConfig, T5Config
from zarr.storage import LocalStore

from headatlas.atlas import load_atlas
from headatlas.cli.main import main
from headatlas.cli.terminal import progress
from headatlas.models.head_model import HeadModel
from headatlas.work.store import ROWS
from tests.saved import save_tiny

FIGURES = ("heatmaps", "heatmaps-probe", "general_specific-ablation", "method_agreement")


def promised(figures):
    """Return the files that a run writes, in order."""
    drawn = [f"{figure}.{kind}" for figure in figures for kind in ("png", "pdf", "svg")]
    return ["atlas.nc", *drawn, "findings.md", "findings.json", "examples.nc", "report.html", "run.json"]


FUNCTIONS = {"retrieval": "Anna", "inference": "the green fox", "math_calculation": "12"}


def run(*arguments):
    """Return (exit code, stdout, stderr) of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(a) for a in arguments])
    return code, out.getvalue(), err.getvalue()


def write_questions(path, n=6, *, functions=FUNCTIONS, **changes):
    rows = []
    for i in range(n):
        steps = [
            {"subquestion": f"What about {w} {i % 3}?", "answer": f"{a} {i % 4}", "function": w, **changes}
            for w, a in functions.items()
        ]
        rows.append({"id": f"q{i}", "question": f"Anna has {i} apples.", "steps": steps, "chain": False})
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    return write_questions(tmp_path_factory.mktemp("questions") / "few.jsonl")


@pytest.fixture(scope="module")
def finished(tiny, questions, tmp_path_factory):
    """One whole run as a new user types it: (its folder, exit code, stdout, stderr)."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return folder, *run("map", "--model", tiny, "--questions", questions, "--out", folder)


@pytest.fixture(scope="module")
def light(tiny, questions, tmp_path_factory):
    """The folder of a whole run of one cheap method."""
    folder = tmp_path_factory.mktemp("runs") / "light"
    assert run("map", "--model", tiny, "--questions", questions, "--method", "linear_probe", "--out", folder)[0] == 0
    return folder


@pytest.fixture
def command(tiny, questions, tmp_path):
    """The command of the light run, into a folder of this test's own."""
    return ["map", "--model", tiny, "--questions", questions, "--method", "linear_probe", "--out", tmp_path / "out"]


@pytest.fixture
def copy(light, tmp_path):
    """The light run's folder, to work in."""
    return Path(shutil.copytree(light, tmp_path / "out"))


@pytest.fixture
def no_capture(monkeypatch):
    def refuse(self, prompts):
        raise AssertionError("captured again")

    monkeypatch.setattr(HeadModel, "capture", refuse)


# -- map ------------------------------------------------------------------------------------------------


def test_map_writes_all_that_is_promised(finished, questions):
    folder, code, out, err = finished
    assert code == 0, err
    assert out.splitlines() == [str(folder / name) for name in promised(FIGURES)], "stdout: the files, for scripts"
    assert err.splitlines()[-1].startswith("Model at chance: "), "what a random model does not do"
    for line in (
        "Questions: few, 6 questions, 18 steps",
        "Loading",
        "3 layers x 4 heads",
        "capture",
        "controls",
        "probe",
        "ablation",
    ):
        assert line in err
    assert 0 < err.index("\nAbout 0:0") < err.index("on this machine: capture 0:0") < err.index("\ncapture: "), (
        "said first"
    )
    assert {p.name for p in folder.iterdir()} == {*promised(FIGURES), "activations.zarr", "ablation.zarr"}
    heads = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    for kind, head in heads.items():
        for figure in FIGURES:
            assert (folder / f"{figure}.{kind}").read_bytes().startswith(head)
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "complete"
    assert record["questions"] == "few"
    assert record["key"]["seed"] == 0 and record["key"]["model"] == "tiny"
    atlas = load_atlas(folder / "atlas.nc")
    assert dict(atlas["ablation"]["importance"].sizes) == {"function": 3, "layer": 3, "head": 4}
    assert list(atlas.children) == ["ablation", "probe"]
    assert atlas["function"].values.tolist() == ["retrieval", "inference", "math_calculation"]
    assert (folder / "findings.md").read_text().startswith("#")
    assert json.loads((folder / "findings.json").read_text())


def test_the_same_command_again_finds_it_done(copy, command, no_capture):
    before = contents(copy)
    code, out, err = run(*command)
    assert code == 0, err
    assert [Path(line).name for line in out.splitlines()] == promised(["heatmaps"])
    assert err.splitlines()[-1].startswith("Model at chance: ")
    assert "capture" not in err
    assert contents(copy) == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--seed", "1"], "seed differ (seed: there 0, here 1)"),
        (["--template", "published"], "template differ"),
        (["--tokens", "first"], "tokens differ"),
        (["--method", "probe"], "methods differ"),
        (["--dtype", "float64"], "dtype, weights differ"),
        (["--limit", "5"], "prompts differ"),
    ],
)
def test_the_folder_of_another_run_is_left_alone(copy, command, no_capture, change, named):
    before = contents(copy)
    code, out, err = run(*command, *change)
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith(f"headatlas: {copy} holds another run: ")
    assert named in last
    assert last.endswith("Give another --out, or --fresh to start over.")
    assert contents(copy) == before


def test_fresh_starts_over(copy, command):
    before = contents(copy)
    code, _, err = run(*command, "--seed", 1, "--tokens", "first", "--fresh")
    assert code == 0, err
    after = contents(copy)
    assert json.loads(after["run.json"])["key"]["seed"] == 1
    assert load_atlas(copy / "atlas.nc").attrs["seed"] == 1
    assert after["atlas.nc"] != before["atlas.nc"] and after["heatmaps.png"] != before["heatmaps.png"]


@pytest.mark.parametrize(
    ("where", "name"), [("methods.linear_probe.LinearProbe.version", "linear_probe"), ("stats.VERSION", "statistics")]
)
def test_a_run_of_another_version_is_not_found_done(copy, command, monkeypatch, where, name):
    before = contents(copy)
    there = json.loads((copy / "run.json").read_text())["key"][f"{name} version"]
    monkeypatch.setattr(f"headatlas.{where}", there + 1)
    told = f"{name} version differ ({name} version: there {there}, here {there + 1})."
    told += f" Another version of {name} makes other numbers."
    check_refused(*run(*command), f"{told} Give another --out, or --fresh to start over.")
    assert contents(copy) == before
    code, _, err = run(*command, "--fresh")
    assert code == 0, err
    assert json.loads((copy / "run.json").read_text())["key"][f"{name} version"] == there + 1


def test_a_lost_or_damaged_atlas_is_made_again_from_the_activations(copy, command, no_capture, light):
    os.truncate(copy / "atlas.nc", 5000)
    assert run(*command)[0] == 0
    xr.testing.assert_equal(load_atlas(copy / "atlas.nc"), load_atlas(light / "atlas.nc"))


def test_out_defaults_to_the_models_name(tiny, questions, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("map", "-m", tiny, "-q", questions, "--method", "linear_probe", "--limit", 4)
    assert code == 0, err
    assert out.splitlines()[0] == "atlas-tiny/atlas.nc"
    assert list(load_atlas("atlas-tiny/atlas.nc").children) == ["linear_probe"]


SLOW = """
import sys, time
from headatlas.cli.main import main
from headatlas.models.head_model import HeadModel
capture = HeadModel.capture
def slow(self, prompts):
    time.sleep(0.05)
    return capture(self, prompts)
HeadModel.capture = slow
sys.exit(main(sys.argv[1:]))
"""


def test_killed_in_the_middle_the_same_command_ends_with_the_same_atlas(tiny, tmp_path, monkeypatch):
    """SIGKILL while activations are captured; what was captured is not captured again."""
    asked = write_questions(tmp_path / "many.jsonl", 30)
    command = ["map", "--model", tiny, "--questions", asked, "--method", "linear_probe", "--out"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *command, killed], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while not (killed / "activations.zarr/done/c/0").exists():
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert json.loads((killed / "run.json").read_text())["status"] == "running"
    assert not (killed / "atlas.nc").exists()
    assert not (killed / "activations.zarr/done/c/2").exists(), "it was killed too late to test anything"

    captured, capture = [], HeadModel.capture

    def counted(self, prompts):
        captured.extend(p.id for p in prompts)
        return capture(self, prompts)

    monkeypatch.setattr(HeadModel, "capture", counted)
    code, _, err = run(*command, killed)
    assert code == 0, err
    assert "q0/0" not in captured and "q29/2" in captured
    assert len(captured) <= 90 - ROWS + 3
    assert run(*command, whole)[0] == 0
    xr.testing.assert_equal(load_atlas(killed / "atlas.nc"), load_atlas(whole / "atlas.nc"))
    for name in ("heatmaps.png", "heatmaps.svg", "findings.md"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


def test_stopped_before_the_atlas_is_written(command, tmp_path, monkeypatch, light):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("headatlas.run.folder.save_atlas", stop)
    code, out, err = run(*command)
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "headatlas: stopped. The same command continues where it was."
    monkeypatch.undo()
    monkeypatch.setattr(HeadModel, "capture", lambda self, prompts: pytest.fail("captured again"))
    assert run(*command)[0] == 0
    xr.testing.assert_equal(load_atlas(tmp_path / "out/atlas.nc"), load_atlas(light / "atlas.nc"))


def test_a_full_disk_fails_the_run_and_it_goes_on_when_there_is_room(command, tmp_path, monkeypatch):
    original = LocalStore.set

    async def full(self, key, value):
        if key.startswith("scores/c"):
            raise OSError(28, "No space left on device")
        await original(self, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", full)
        code, out, err = run(*command)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("headatlas: The disk is full: ")
    assert "Traceback" not in err
    assert run(*command)[0] == 0
    assert json.loads((tmp_path / "out/run.json").read_text())["status"] == "complete"


# -- bad input --------------------------------------------------------------------------------------------


def broken_models(tiny, folder):
    """Make the model folders of the bad inputs."""
    for name, config in (("bert", BertConfig()), ("t5", T5Config())):
        shutil.copytree(tiny, folder / name)
        config.save_pretrained(folder / name)
    shutil.copytree(tiny, folder / "mute", ignore=shutil.ignore_patterns("tokenizer*"))
    save_tiny(folder / "narrow", context=24)


def bad_questions(folder):
    """Make the question files of the bad inputs."""
    good = write_questions(folder / "good.jsonl").read_text()
    (folder / "bad.jsonl").write_text(good + "\n{oops")
    write_questions(folder / "typo.jsonl", function="retreival")
    write_questions(folder / "blank.jsonl", answer=" ")
    write_questions(folder / "two.jsonl", 2)
    write_questions(folder / "one-function.jsonl", functions={"retrieval": "Anna"})


BAD = {
    "missing file": ("--questions nope.jsonl", "Questions 'nope.jsonl' is neither a named set nor a file"),
    "bad JSON": ("--questions {f}/bad.jsonl", "bad.jsonl, line 7, column 2: not JSON"),
    "unknown function": (
        "--questions {f}/typo.jsonl",
        "line 1, field 'steps.0.function': unknown function 'retreival'. Did you mean 'retrieval'?",
    ),
    "empty answer": ("--questions {f}/blank.jsonl", "line 1, field 'steps.0.answer': Value error, is blank"),
    "too long": ("--model {f}/narrow", "tokens long, the model takes 24. Shorten that question"),
    "fewer items than folds": (
        "--questions {f}/two.jsonl",
        "occurs in 2 main question(s); held-out folds need at least 3",
    ),
    "one function": ("--questions {f}/one-function.jsonl", "All 6 items are of one function (retrieval)"),
    "no tokenizer": ("--model {f}/mute", "mute' has no tokenizer"),
    "encoder": ("--model {f}/bert", "'bert' is not a causal language model"),
    "encoder-decoder": ("--model {f}/t5", "'t5' is an encoder-decoder model"),
    "no chat template": ("--chat", "This tokenizer has no chat template. Leave out --chat"),
    "unknown model": ("--model nope", "Unknown model 'nope'"),
    "missing model": ("--model ./nope", "Model './nope' is no folder"),
    "out is a file": ("--out {f}/good.jsonl", "good.jsonl is a file. Give a folder."),
    "unknown method": ("--method prob", "Unknown method 'prob'. Did you mean 'probe'?"),
    "no method": ("--method ,", "No method given. Known: ablation, "),
    "method twice": ("--method probe,probe", "A method is given twice"),
    "unknown template": ("--template long", "Unknown template 'long'"),
    "unknown tokens": ("--tokens some", "Unknown token choice 'some'"),
    "unknown answers": ("--answers mine", "Unknown answers 'mine'"),
    "dtype": ("--dtype int8", "Unknown dtype 'int8'"),
    "device": ("--device warp", "Device 'warp' can't be used"),
    "limit": ("--limit 0", "A limit of 0 leaves no question"),
    "seed": ("--seed -1", "Seed -1 is negative. Give --seed 0 or more."),
    "no number": ("--limit many", "Invalid value for '--limit'"),
    "no such option": ("--metod probe", "No such option: --metod"),
}


@pytest.fixture(scope="module")
def broken(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    broken_models(tiny, folder)
    bad_questions(folder)
    return folder


def check_refused(code, out, err, message):
    """Bad input: exit code 2, nothing on stdout, one line that says what was wrong after what was going on."""
    assert code == 2, err
    assert out == ""
    *before, last = err.splitlines()
    assert last.startswith("headatlas: ")
    assert message in last
    assert "Traceback" not in err
    assert all(line.startswith(("Questions: ", "Loading ", "HeadModel(")) for line in before), err


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_and_nothing_is_written(tiny, questions, broken, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    options, message = BAD[case]
    given = dict(zip(("--model", "--questions", "--out"), (tiny, questions, "out"), strict=True))
    extra = [part.format(f=broken) for part in options.split()]
    if extra[0] in given:
        given.pop(extra[0])
    before = contents(broken)
    check_refused(*run("map", *[x for pair in given.items() for x in pair], *extra), message)
    assert list(tmp_path.iterdir()) == []
    assert contents(broken) == before


def test_a_damaged_store_is_refused(copy, command, no_capture):
    (copy / "atlas.nc").unlink()
    chunk = copy / "activations.zarr/z/c/0/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-10])
    before = contents(copy)
    code, _, err = run(*command)
    assert code == 2
    assert "activations.zarr is damaged" in err.splitlines()[-1] and "--fresh" in err.splitlines()[-1]
    after = contents(copy)
    assert {k: v for k, v in after.items() if k != "run.json"} == {k: v for k, v in before.items() if k != "run.json"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": 3}', '{"key": {'])
def test_a_damaged_run_record_is_refused(copy, command, text):
    (copy / "run.json").write_text(text)
    before = contents(copy)
    check_refused(*run(*command), "run.json can't be read")
    assert contents(copy) == before


def test_files_that_are_no_runs_are_not_written_over(copy, command):
    (copy / "run.json").unlink()
    before = contents(copy)
    check_refused(*run(*command), "but no run.json, so it is not clear what they are of")
    assert contents(copy) == before


@pytest.mark.parametrize("name", ["figure", "findings"])
def test_what_is_no_atlas_is_refused(copy, tmp_path, name):
    check_refused(*run(name, tmp_path / "nowhere"), "No atlas at ")
    os.truncate(copy / "atlas.nc", 5000)
    before = contents(copy)
    check_refused(*run(name, copy), "cut short. Run headatlas map again.")
    check_refused(*run(name), "Missing argument 'atlas'")
    assert contents(copy) == before


def test_debug_shows_where(questions, tmp_path):
    for given in (["--debug", "findings", tmp_path], ["findings", tmp_path, "--debug"]):
        code, out, err = run(*given)
        assert (code, out) == (2, "")
        assert err.startswith("Traceback") and "AtlasError: No atlas at" in err


def test_an_unexpected_error_is_one_line_too(monkeypatch, finished):
    def broken(*_, **__):
        raise ZeroDivisionError("a\n  bug")

    monkeypatch.setattr("headatlas.atlas.load_atlas", broken)
    assert run("findings", finished[0]) == (
        1, "", "headatlas: ZeroDivisionError: a bug (--debug shows where)\n"
    )  # fmt: skip
    assert "Traceback" in run("findings", finished[0], "--debug")[2]


# -- the other commands -----------------------------------------------------------------------------------


def test_figure(copy, tmp_path):
    before = (copy / "heatmaps.png").read_bytes()
    (copy / "heatmaps.png").unlink()
    code, out, _ = run("figure", copy)
    assert code == 0
    assert out.splitlines() == [str(copy / f"heatmaps.{kind}") for kind in ("png", "pdf", "svg")]
    assert (copy / "heatmaps.png").read_bytes() == before
    other = ("figure", copy / "atlas.nc", "--sign", "signed", "--out", tmp_path / "new/signed", "--format", "svg")
    assert run(*other)[:2] == (0, f"{tmp_path / 'new/signed.svg'}\n")
    assert (
        "Signed" in (tmp_path / "new/signed.svg").read_text() or "signed" in (tmp_path / "new/signed.svg").read_text()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--figure heads_import", "Unknown figure 'heads_import'. Did you mean 'heads_importance'?"),
        ("--method prob", "prob"),
        ("--sign both", "both"),
        ("--scale page", "page"),
        ("--format doc", "Can't save a figure as 'doc'"),
        ("--figure method_agreement --method x", "Figure 'method_agreement' has no --method. Leave it out."),
    ],
)
def test_bad_figure_options(copy, options, message):
    before = contents(copy)
    check_refused(*run("figure", copy, *options.split()), message)
    assert contents(copy) == before


def test_findings(finished):
    folder = finished[0]
    code, out, err = run("findings", folder)
    assert (code, err) == (0, "")
    assert out.strip() == (folder / "findings.md").read_text().strip()
    code, out, err = run("findings", folder / "atlas.nc", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads((folder / "findings.json").read_text())


def test_models(tiny):
    code, out, _ = run("models")
    assert code == 0 and out.startswith("smollm2-135m: SmolLM2-135M-Instruct, 30 layers x 9 heads")
    listed = json.loads(run("models", "--json")[1])
    assert "gpt_neox" in listed["any folder, .gguf file or Hub id of these architectures"]
    shown = json.loads(run("models", tiny, "--json")[1])
    assert shown["name"] == "tiny" and shown["n_kv_heads"] == 2 and shown["unpacked"] is None
    assert "n_heads: 4\n" in run("models", tiny)[1]
    check_refused(*run("models", "nope"), "Unknown model 'nope'")


def test_questions_list(broken):
    assert run("questions", "list") == (
        0,
        "builtin: 4544 questions, 4544 steps of 71 tasks\ncontrolled: 96 questions, 768 steps\n",
        "",
    )
    code, out, err = run("questions")
    assert code == 2 and all(name in out + err for name in ("list", "check", "show"))
    listed = json.loads(run("questions", "list", "--json")[1])
    assert listed["controlled"]["steps"] == 768 and len(listed["controlled"]["functions"]) == 8
    assert len(listed["builtin"]["tasks"]) == 71


def test_questions_check(broken, tmp_path):
    code, out, _ = run("questions", "check", broken / "good.jsonl")
    assert code == 0
    first, *counts = out.splitlines()
    assert first.startswith("good: 6 questions, 18 steps, digest ")
    assert counts[:3] == ["  Retrieval: 6", "  Inference: 6", "  Math Calculation: 6"]
    assert [line.split()[0] for line in counts[-5:]] == ["subquestion", "passage", "answer", "position", "length"]
    assert "always naming the commonest function: 0.333)" in counts[-6]
    stray = [{"subquestion": "s", "answer": "a", "cognitive_skill": skill} for skill in ("Retrieval", "Induction")]
    cogqa = tmp_path / "cogqa.json"
    cogqa.write_text(json.dumps([[{"question": "q", "answer": "a", "generated": stray}]]))
    assert run("questions", "check", cogqa)[1].splitlines()[1:3] == [
        "  Retrieval: 1", "  left out: 1 steps with the stray label 'Induction'",
    ]  # fmt: skip
    checked = json.loads(run("questions", "check", cogqa, "--json")[1])
    assert checked["left_out"] == {"steps with the stray label 'Induction'": 1}
    assert checked["usable"] and checked["note"].startswith("All 1 items are of one function")


def test_questions_check_of_a_broken_file(broken):
    code, out, err = run("questions", "check", broken / "bad.jsonl")
    assert code == 2 and err == ""
    assert "bad.jsonl, line 7, column 2: not JSON" in out and out.endswith("Not usable: 1 bad records.\n")
    checked = json.loads(run("questions", "check", broken / "bad.jsonl", "--json")[1])
    assert [row["line"] for row in checked["bad"]] == [7] and not checked["usable"]
    check_refused(*run("questions", "check", "nowhere"), "Questions 'nowhere' is neither a named set nor a file")


def test_questions_with_control_characters_are_shown_not_obeyed(tmp_path, tiny):
    path = tmp_path / "odd.jsonl"
    step = {"subquestion": "Who\x1b[2J<b>?", "answer": "Ann", "function": "my\x1b[31mown"}
    path.write_text(json.dumps({"id": "a\x07b", "question": "[bold]Ann\x9b came.", "steps": [step]}))
    for command in (["check", path], ["show", path, "--model", tiny]):
        code, out, _ = run("questions", *command)
        assert code == 0 and not set("\x1b\x07\x9b") & set(out)
        assert "\\x1b[31m" in out
    assert "[bold]Ann\\x9b came." in out and "Who\\x1b[2J<b>?" in out


def test_questions_convert_and_columns(tmp_path, tiny):
    table, out = tmp_path / "table.csv", tmp_path / "mine.jsonl"
    table.write_text("text,prompt,target\nAnn has a hen.,Who has it?,Ann\nLeo has two.,How many?,two\n")
    command = ["questions", "convert", table, out]
    check_refused(*run(*command), "no column 'question' (map one with --column question=NAME). Columns: 'text', ")
    named = [f"--column={c}" for c in ("question=text", "subquestion=prompt", "answer=target", "function==my own")]
    assert run(*command, *named) == (0, f"{out}\n", "2 questions, 2 steps\n")
    check_refused(*run(*command, *named), "exists. Give another file.")
    assert [json.loads(line)["steps"][0]["function"] for line in out.read_text().splitlines()] == ["my own", "my own"]
    assert "Who has it?" in run("questions", "show", table, "--model", tiny, *named)[1]
    check_refused(*run(*command, "--column", "answer"), "--column 'answer' is no mapping")
    check_refused(*run(*command, *named, named[0]), "--column question is given twice")


def test_questions_show_a_random_sample(questions, tiny):
    drawn = [run("questions", "show", questions, "-m", tiny, "--sample", 3, "--seed", seed)[1] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0].count("Q: ") == 3
    check_refused(*run("questions", "show", questions, "-m", tiny, "--sample", 0), "A sample of 0 shows nothing")


def test_questions_show(tiny, questions):
    code, out, _ = run("questions", "show", questions, "--model", tiny, "--limit", 2)
    assert code == 0
    assert out.count("q0/") == out.count("q1/") == 3 and "q2/" not in out
    for text in ("q0/1  inference", "Anna has 0 apples.", "Q: What about inference 0?", "the green fox 0"):
        assert text in out
    published = run("questions", "show", questions, "--model", tiny, "--template", "published")[1]
    assert '{"answer": "the green fox 0' in published
    check_refused(*run("questions", "show", questions, "-m", tiny, "--tokens", "x"), "Unknown token choice 'x'")


# -- the model and its options ------------------------------------------------------------------------------


def test_map_takes_its_model_as_argument_or_option(tiny, questions, tmp_path, light):
    command = ["map", tiny, "-q", questions, "--method", "linear_probe"]
    code, _, err = run(*command, "-m", tiny, "--out", tmp_path / "both")
    assert code == 0, err
    xr.testing.assert_equal(load_atlas(tmp_path / "both/atlas.nc"), load_atlas(light / "atlas.nc"))
    other = (*command, "-m", "smollm2-135m", "--out", tmp_path / "none")
    check_refused(*run(*other), f"Two models are given, '{tiny}' and --model 'smollm2-135m'. Leave one out.")
    assert not (tmp_path / "none").exists()


def test_all_commands_that_load_a_model_take_the_same_options(tiny, tmp_path):
    for command in (["map"], ["roles"], ["models"]):
        shown = run(*command, "--help")[1]
        assert "[model]" in shown.lower()
        assert all(option in shown for option in ("--dtype", "--device", "--revision", "--trust-remote-code"))
    for command in (["models", tiny], ["roles", tiny, "--out", tmp_path / "roles.nc"]):
        check_refused(*run(*command, "--dtype", "fp8"), "Unknown dtype 'fp8'")
        check_refused(*run(*command, "--device", "warp"), "Device 'warp' can't be used")
    assert "float64 on cpu" in run("models", tiny, "--dtype", "float64", "--device", "cpu", "--revision", "main")[2]
    check_refused(*run("models", "--dtype", "float64"), "none is given. Type: headatlas models MODEL")


def test_what_runs_slower_is_told_with_the_reason(command, monkeypatch):
    init = HeadModel.__post_init__

    def slow(self):
        init(self)
        self.unsplit = "its sinks differ"

    monkeypatch.setattr(HeadModel, "__post_init__", slow)
    code, _, err = run(*command)
    assert code == 0, err
    told = "Answers run with their whole prompts, so methods that replace heads take longer: its sinks differ."
    assert told in err.splitlines() and "one at a time" not in err


# -- completion -------------------------------------------------------------------------------------------


def completed(typed):
    """Return what a shell is offered after `typed`, by a process that must load nothing heavy."""
    script = (
        "import sys\nfrom headatlas.cli.main import app\nsys.argv[0] = 'headatlas'\ntry: app()\nfinally:\n"
        " assert not {'torch', 'numpy', 'xarray'} & set(sys.modules)"
    )
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1), "_HEADATLAS_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **words}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_shell_completes_commands_and_names():
    assert completed("headatlas ma") == ["map"]
    assert completed("headatlas map --method linear") == ["linear_probe"]
    assert completed("headatlas map --method probe,ablation_z") == ["probe,ablation_zero"]
    assert completed("headatlas figure x --figure meth") == ["method_agreement"]
    assert completed("headatlas map --template ") == ["examples", "published", "short"]


def test_what_is_completed_is_what_is_registered():
    from headatlas.cli.completion import names
    from headatlas.figures import figures
    from headatlas.methods.base import methods
    from headatlas.prompts import templates

    for kind, registry in (("method", methods), ("figure", figures), ("template", templates)):
        assert names(kind) == sorted(registry)


def test_completion_is_shown_for_the_shell_that_asks():
    script = "import sys\nfrom headatlas.cli.main import entry\nsys.argv[0] = 'headatlas'\nentry()"
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "{script}" --show-completion; true'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "_HEADATLAS_COMPLETE=complete_bash" in done.stdout, done.stderr
    assert "--install-completion" in run("--help")[1]


# -- help -------------------------------------------------------------------------------------------------


def test_help_is_quick_because_it_imports_nothing_heavy():
    script = (
        "import sys\nfrom headatlas.cli.main import main\ncode = main(sys.argv[1:])\n"
        "heavy = {'torch', 'transformers', 'numpy', 'xarray', 'matplotlib', 'zarr', 'sklearn'}\n"
        "sys.exit(code or sorted(heavy & set(sys.modules)) or 0)"
    )
    for arguments, expected in (
        (["--help"], ("map", "figure", "findings", "models", "questions")),
        (["map", "--help"], ("--model", "--fresh", "--seed", "--tokens", "--template", "--limit")),
        (["--version"], ("headatlas 0.1.0",)),
    ):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert all(text in done.stdout for text in expected)


def test_no_arguments_show_the_help():
    code, out, err = run()
    assert code == 2 and "Usage: " in out + err
    check_refused(*run("mop"), "No such command 'mop'")


def test_a_log_file_gets_plain_lines_with_the_time_left_and_is_never_silent_for_long(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("headatlas.cli.terminal.time.monotonic", lambda: now[0])
    with progress() as report:
        for done in range(1, 41):
            report("ablation", done, 40)
            now[0] += 2
        report("controls", 1, 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "ablation: 1 of 40"
    assert lines[1] == "ablation: 6 of 40, 1:08 left", "34 more at 2 s each"
    assert lines[-2:] == ["ablation: 40 of 40, 1:18", "controls: 1 of 1"]
    assert len(lines) == 1 + 7 + 1 + 1 and not any("\x1b" in line for line in lines)
