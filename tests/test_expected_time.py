"""What a run says of its time before it starts: a clock that is right where work is regular, every method timed."""

import json
import tracemalloc

import numpy as np
import pytest

import headatlas as ha
from headatlas.cli.terminal import told_time
from headatlas.methods.base import Method, methods, typical_packs
from headatlas.prompts import build_prompts
from headatlas.run.estimate import _stand_in, expected
from headatlas.run.pipeline import plan
from headatlas.work import clock
from tests.saved import save_tiny
from tests.test_tasks import rows


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """Six tasks of two functions, five items each."""
    path = tmp_path_factory.mktemp("questions") / "tasks.jsonl"
    foil = {"red": "blue", "blue": "red"}
    path.write_text("".join(json.dumps(row | {"foil": foil[row["answer"]]}) + "\n" for row in rows(items=5)))
    return ha.load_questions(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ha.load_model(str(save_tiny(tmp_path_factory.mktemp("model") / "tiny")))


@pytest.fixture
def hand(monkeypatch):
    """A clock whose hand the test moves."""
    now = [0.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
    return now


def test_a_lot_costs_once_and_by_the_thing(hand):
    def do(things):
        hand[0] += 0.5 + 0.1 * len(things)

    lots = [list(range(10))] * 3
    assert clock.seconds_of_all(lots, do, 300) == pytest.approx(30 * (0.5 + 0.1 * 10))


def test_what_is_made_once_is_not_counted_where_there_is_time_to_see_it(hand):
    made = []

    def do():
        hand[0] += 1.0 if made else 2.5
        made.append(1)

    assert clock.seconds_of(do) == 1.0

    def dear():
        hand[0] += 60.0
        made.append(1)

    made.clear()
    assert clock.seconds_of(dear) == 60.0 and len(made) == 1, "what takes long is not done twice to be timed"


def test_timing_stops_after_the_first_lot_where_that_takes_long(hand):
    done = []

    def do(things):
        hand[0] += 10.0 * len(things)
        done.append(things)

    assert clock.seconds_of_all([["a", "b"], ["c", "d"]], do, 8) == pytest.approx(80.0)
    assert done == [["a", "b"]]


def test_typical_packs_are_of_middle_short_and_long_prompts(questions, model):
    prompts = build_prompts(questions, model.tokenizer)
    packs = typical_packs(prompts)
    mean = [np.mean([len(p.tokens) for p in pack]) for pack in packs]
    assert len(packs) == 3 and mean[1] <= mean[0] <= mean[2]
    assert len(typical_packs(prompts[:1])) == 1


@pytest.mark.parametrize("name", list(methods))
def test_every_method_says_how_long_it_takes(name, questions, model):
    planned = plan(model, questions, methods=name)
    seconds = expected(model, planned)
    assert list(seconds) == ["capture", name]
    assert all(time is not None and 0 < time < 600 for time in seconds.values())


def test_the_stand_in_for_activations_takes_no_memory_and_no_two_items_are_alike(questions, model):
    prompts = build_prompts(questions, model.tokenizer) * 50
    tracemalloc.start()
    z = _stand_in(model, prompts).z
    assert tracemalloc.get_traced_memory()[1] < z.nbytes / 2
    tracemalloc.stop()
    assert z.shape == (len(prompts), model.n_layers, model.n_heads, model.head_dim)
    assert len(np.unique(z.reshape(len(z), -1), axis=0)) == len(z)


def test_only_the_items_that_are_mapped_are_counted(questions, model):
    seen = []

    class Spy(Method):
        name, label = "spy", "spied"

        def __call__(self, *_, seed):
            raise AssertionError("run")

        def seconds(self, model, prompts, activations, *, seed):
            seen.append((len(prompts), len(activations.z)))

    planned = plan(model, questions, items=2)
    object.__setattr__(planned, "methods", {"spy": Spy()})
    assert expected(model, planned)["spy"] is None
    tasks = len(questions.tasks)
    assert seen == [(2 * tasks, 2 * tasks)]


def test_the_line_names_every_stage_and_what_is_not_known():
    text = told_time({"capture": 19.4, "ablation": 3725.0, "spy": None}, tasks=True)
    assert text == (
        "About 1:02:24 on this machine, without spy: capture 0:19, ablation 1:02:05; less where it does not do a task. "
        "Statistics and figures follow."
    )
    assert "less where" not in told_time({"capture": 1.0}, tasks=False)


def test_measure_times_nothing(monkeypatch, questions, model):
    monkeypatch.setattr("headatlas.run.folder.expected", lambda *_: pytest.fail("timed"))
    ha.measure(model, questions, methods="linear_probe", keep_unable=True)
