"""Tables, data sets and conversion: what a person's own file becomes, and what is said when it can't be read."""

import csv
import json
import subprocess
import sys

import pytest

from headatlas.errors import InputError, QuestionError
from headatlas.questions.loading import load_questions
from headatlas.questions.reading import Reading
from headatlas.questions.writing import write_jsonl
from tests.built import run

HEADER = ["question", "subquestion", "answer", "function"]
ROWS = [
    ["Leo will bring a sack.", "Who will bring it?", "Leo", "retrieval"],
    ["Leo will bring a sack.", "How many sacks?", "one", "inference"],
    ["Ann has two hens.", "Who has hens?", "Ann", "retrieval"],
]


def table(path, header=HEADER, rows=ROWS, **dialect):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, **dialect).writerows([header, *rows])
    return path


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t"), ("A.CSV", ",")])
def test_a_table_becomes_questions_by_their_text(tmp_path, name, delimiter):
    loaded = load_questions(table(tmp_path / name, delimiter=delimiter))
    assert [len(q.steps) for q in loaded.questions] == [2, 1]
    assert [q.id for q in loaded.questions] == [f"{name[0]}-000001", f"{name[0]}-000002"]
    assert not any(q.chain for q in loaded.questions)
    first = loaded.questions[0].steps[1]
    assert (first.subquestion, first.answer, first.function) == ("How many sacks?", "one", "inference")


def test_columns_of_other_names_a_constant_and_all_that_is_optional(tmp_path):
    path = table(
        tmp_path / "mine.csv",
        ["nr", "text", "prompt", "target", "part", "is_chain", "whole"],
        [["7", "T", "Q1?", "A1", "dev", "true", "all"], ["7", "T", "Q2?", "A2", "dev", "true", "all"]],
    )
    columns = {
        **{"id": "nr", "question": "text", "subquestion": "prompt", "answer": "target", "function": "=my own"},
        **{"split": "part", "chain": "is_chain", "main_answer": "whole"},
    }
    (question,) = load_questions(path, columns=columns).questions
    assert (question.id, question.split, question.chain, question.answer) == ("7", "dev", True, "all")
    assert [s.function for s in question.steps] == ["my own", "my own"]


def test_a_column_that_is_not_there_is_named_beside_those_that_are(tmp_path):
    path = table(tmp_path / "a.csv", ["question", "subquestion", "target", "function"])
    with pytest.raises(
        QuestionError,
        match=r"line 2: there is no column 'answer' \(map one with --column answer=NAME\)\. "
        r"Columns: 'question', 'subquestion', 'target', 'function'\.",
    ):
        load_questions(path)
    with pytest.raises(QuestionError, match=r"no column 'goal' \(mapped to 'answer'\)\. Columns: 'question', "):
        load_questions(path, columns={"answer": "goal"})
    with pytest.raises(QuestionError, match=r"'anwser' is nothing a column can be mapped to. There are: question, "):
        load_questions(path, columns={"anwser": "target"})
    with pytest.raises(QuestionError, match=r"is CogQA's .json, which has no columns to map"):
        load_questions(write(tmp_path / "c.json", "[]"), columns={"answer": "goal"})


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


HEAD = "question,subquestion,answer,function\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "T,Q?,,retrieval\n", r"line 2, field 'answer': .*\(got ''\)"),
        (HEAD + "T,Q?,A,retrieval\nT,Q2?,A,retreival\n", r"line 3, field 'function': unknown function 'retreival'"),
        (HEAD + "T,Q?,A\n", r"line 2: has 3 cells, the header has 4"),
        (HEAD + 'T,"Q\nmore?",A,retrieval\nT,Q?,  ,retrieval\n', r"line 4, field 'answer': .*is blank"),
        (HEAD + 'T,"Q"x,A,retrieval\n', r"line 2: not CSV"),
        (HEAD + 'T,"Q\n', r"line 2: not CSV"),
        (HEAD.encode() + b"T,Q?,Z\xfcrich,retrieval\n", r"line 2: not UTF-8 .*0xfc\)\. Save the file as UTF-8"),
        (HEAD.encode("utf-16"), r"line 1: not UTF-8"),
        ("question,question,a,b\n", "column 'question' is there twice"),
        ("\n", "the first row names no column"),
        ("", "holds no question"),
        (HEAD, "holds no question"),
        ("id," + HEAD + "1,T,Q?,A,x\n2,U,Q?,A,x\n1,T,P?,A,x\n", "line 4, field 'id': the rows of '1' do not stand to"),
        ("id," + HEAD + "1,T,Q?,A,x\n1,U,P?,A,x\n", "line 3, field 'question': differs from that of .*line 2"),
        ("chain," + HEAD + "maybe,T,Q?,A,x\n", "line 2, field 'chain'"),
    ],
)  # fmt: skip
def test_bad_tables(tmp_path, text, message):
    with pytest.raises(QuestionError, match=message):
        load_questions(write(tmp_path / "bad.csv", text))


def test_text_is_kept_as_it_is(tmp_path):
    odd = '<script>alert(1)</script> \x1b[31m $x_1$ a, "b"\nsecond line\u202e'
    path = table(tmp_path / "odd.csv", rows=[[odd, odd, "A", "<b>f</b>"]])
    (question,) = load_questions(path).questions
    assert question.question == odd
    assert (question.steps[0].subquestion, question.steps[0].function) == (odd.strip(), "<b>f</b>")


def test_json_lines_with_a_step_a_line(tmp_path):
    rows = [
        {"context": "T", "q": "Q1?", "answers": {"text": [3, "b"]}, "skill": "retrieval"},
        {"context": "T", "q": "Q2?", "answers": {"text": [2.5]}, "skill": "inference"},
    ]
    path = write(tmp_path / "rows.jsonl", "\n".join(map(json.dumps, rows)))
    columns = {"question": "context", "subquestion": "q", "answer": "answers.text.0", "function": "skill"}
    (question,) = load_questions(path, columns=columns).questions
    assert [s.answer for s in question.steps] == ["3", "2.5"]


def test_integers_too_long_to_read_are_refused_by_file_and_line(tmp_path):
    """Python reads no integer of more than 4,300 digits."""
    row = '{"question": "T", "subquestion": "Q?", "answer": %s, "function": "x"}'
    step = '[{"question": "T",\n"generated": [{"subquestion": "Q?", "answer": %s, "cognitive_skill": "Inference"}]}]'
    for name, text, line in (("a.jsonl", f"{row % 1}\n{row}\n", 2), ("b.json", step, 2)):
        path = write(tmp_path / name, text % ("-" + "7" * 5000))
        with pytest.raises(QuestionError, match=rf"{name}, line {line}: holds an integer of 5000 digits. Write it as"):
            load_questions(path)
        code, out, err = run("map", "--questions", path)
        assert (code, out) == (2, "") and f"{name}, line {line}: holds an integer" in err
        assert load_questions(write(path, text % ("7" * 4000))).questions[-1].steps[-1].answer == "7" * 4000
    long = load_questions(table(tmp_path / "a.csv", rows=[["T", "Q?", "7" * 5000, "x"]]))
    assert long.questions[0].steps[0].answer == "7" * 5000, "a cell is text"


def test_two_splits_that_share_a_main_question_are_refused(tmp_path):
    header = [*HEADER, "split", "id"]
    rows = [["Ann has  hens.", "Q?", "A", "x", "train", "one"], ["ann has hens.", "P?", "B", "x", "test", "two"]]
    path = table(tmp_path / "leak.csv", header, rows)
    named = "'two' of split 'test' is the same main question as 'one' of split 'train'"
    with pytest.raises(QuestionError, match=f"'leak' leaks between its splits: {named}. Keep it in one of them."):
        load_questions(path)
    assert load_questions(path, split="test").n_steps == 1
    with pytest.raises(QuestionError, match=r"no question of split 'dev'. Its splits: test, train"):
        load_questions(path, split="dev")
    with pytest.raises(QuestionError, match=named):
        write_jsonl(path, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_limit_stops_the_reading(tmp_path):
    path = table(tmp_path / "a.csv", rows=[*ROWS, ["T", "Q?", "", "x"]])
    assert load_questions(path, limit=1).n_steps == 2
    with pytest.raises(QuestionError, match=r"line 5, field 'answer'"):
        load_questions(path)


def test_converting_keeps_everything(tmp_path):
    source, out = table(tmp_path / "a.csv"), tmp_path / "a.jsonl"
    assert write_jsonl(source, out) == (2, 3, {})
    assert load_questions(out).questions == load_questions(source).questions
    with pytest.raises(InputError, match=r"exists. Give another file"):
        write_jsonl(source, out)
    with pytest.raises(InputError, match=r"does not end in .jsonl"):
        write_jsonl(source, tmp_path / "a.json")
    with pytest.raises(QuestionError, match="A limit of 0 leaves no question"):
        write_jsonl(source, tmp_path / "none.jsonl", Reading(limit=0))
    assert not (tmp_path / "none.jsonl").exists()
    assert write_jsonl("controlled", tmp_path / "b.jsonl") == (96, 768, {})
    assert load_questions(tmp_path / "b.jsonl").digest == load_questions("controlled").digest


def test_a_large_file_is_streamed(tmp_path):
    """Peak memory of a conversion is the same for 2,000 and for 100,000 lines."""
    line = '{"id":"q%d","question":"Passage %d.","steps":[{"subquestion":"Q?","answer":"A","function":"x"}]}\n'
    program = (
        "import resource, sys; from headatlas.questions.writing import write_jsonl;"
        "print(write_jsonl(sys.argv[1], sys.argv[2])[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = {}
    for n in (2_000, 100_000):
        path = write(tmp_path / f"{n}.jsonl", "".join(line % (i, i) for i in range(n)))
        command = [sys.executable, "-c", program, str(path), str(tmp_path / f"out-{n}.jsonl")]
        done = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert int(done[0]) == n
        peaks[n] = int(done[1]) / 2**10
    assert peaks[100_000] - peaks[2_000] < 60, "MiB: keys of ids and texts only"


# -- Hugging Face data sets ----------------------------------------------------------------------------------


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return pytest.importorskip("datasets")


def as_dataset(datasets, rows):
    return datasets.Dataset.from_list([dict(zip(HEADER, row, strict=True)) for row in rows])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_saved_data_set_with_splits(datasets, tmp_path):
    both = datasets.DatasetDict({"train": as_dataset(datasets, ROWS[:2]), "test": as_dataset(datasets, ROWS[2:])})
    both.save_to_disk(str(tmp_path / "mine"))
    loaded = load_questions(tmp_path / "mine")
    assert [(q.id, q.split, len(q.steps)) for q in loaded.questions] == [
        ("mine-train-000001", "train", 2),
        ("mine-test-000001", "test", 1),
    ]
    assert load_questions(tmp_path / "mine", split="test").n_steps == 1
    with pytest.raises(QuestionError, match=r"has no split 'dev'. Its splits: train, test"):
        load_questions(tmp_path / "mine", split="dev")
    with pytest.raises(QuestionError, match=r"split 'train', row 1: there is no column 'goal'.* Columns: 'question', "):
        load_questions(tmp_path / "mine", columns={"answer": "goal"})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_data_set_of_whole_questions_and_one_of_data_files(datasets, tmp_path):
    steps = [dict(zip(HEADER[1:], row[1:], strict=True)) for row in ROWS[:2]]
    whole = datasets.Dataset.from_list([{"id": "a", "question": "T", "steps": steps, "topic": "farm"}])
    whole.save_to_disk(str(tmp_path / "whole"))
    (question,) = load_questions(tmp_path / "whole").questions
    assert [s.answer for s in question.steps] == ["Leo", "one"]
    assert question.model_extra == {"topic": "farm"}
    folder = tmp_path / "files"
    folder.mkdir()
    as_dataset(datasets, ROWS).to_parquet(str(folder / "train.parquet"))
    assert load_questions(folder).n_steps == 3


def test_a_folder_without_a_data_set_and_a_hub_that_is_not_there(datasets, tmp_path, monkeypatch):
    with pytest.raises(QuestionError, match=r"is a folder without a data set"):
        load_questions(tmp_path)

    def unreachable(*args, **options):
        assert (args, options["revision"]) == (("owner/name", "part"), "v2")
        raise ConnectionError("Couldn't reach the Hub\nmore")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(QuestionError, match=r"'owner/name:part@v2' can't be read \(Couldn't reach the Hub\)"):
        load_questions("owner/name:part@v2")


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(QuestionError, match=r'needs the datasets library. Type: pip install "headatlas\[hub\]"'):
        load_questions("owner/name")
