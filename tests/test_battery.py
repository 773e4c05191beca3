"""The built-in battery: what its design promises, held on the shipped file and on the rules that made it."""

import importlib
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import headatlas as ha
from headatlas.prompts import build_prompts
from headatlas.questions.checks import check_questions
from headatlas.questions.functions import FUNCTIONS

CROSSED = {"form": "function with form", "kind": "with kind of answer", "lure": "stands in the text"}
TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture(scope="module")
def battery():
    return ha.load_questions("builtin")


@pytest.fixture(scope="module")
def check():
    return check_questions("builtin", controls=False)


def tool(name):
    """Return a module of tools/."""
    sys.path.insert(0, str(TOOLS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(TOOLS))


@pytest.fixture(scope="module")
def made(battery):
    """The generator's tasks by name."""
    return {task.name: task for task in tool("make_battery").all_tasks()}


def test_every_function_has_tasks_enough_and_every_task_items_enough(battery, check):
    tasks = Counter(battery.tasks.values())
    assert set(tasks) == set(FUNCTIONS) and len(battery.tasks) >= 56
    assert min(tasks.values()) >= 6
    assert all(row["items"] >= 64 and row["demonstrations"] >= 9 for row in check.tasks.values())
    assert check.usable and not check.duplicates


def test_form_and_kind_of_answer_are_crossed_with_the_function(check):
    assert check.crossing["form"] <= 0.35
    assert check.crossing["kind"] <= 0.5
    users: dict[str, dict[str, set]] = {"form": defaultdict(set), "kind": defaultdict(set)}
    for row in check.tasks.values():
        for factor, own in users.items():
            own[row[factor]].add(row["function"])
    for factor, own in users.items():
        assert all(len(functions) > 1 for functions in own.values()), f"a {factor} belongs to one function alone: {own}"


def test_the_rules_give_every_answer_from_the_text_alone(battery, made):
    for question in (*battery.demonstrations, *battery.questions):
        (step,) = question.steps
        task = made[step.task]
        assert task.solve(question.passage, step.subquestion) == step.answer, question.id
        assert (task.function, task.form, task.kind) == (step.function, step.form, step.kind)


def test_the_shipped_file_is_what_the_generator_makes(made):
    make = tool("make_battery")
    assert make.OUTPUT.read_text(encoding="utf-8") == make.rows(make.questions_of(list(made.values())))


def test_the_card_says_what_was_measured_and_what_is_shipped(check):
    card = tool("battery_card")
    text = card.CARD.read_text(encoding="utf-8")
    assert text == card.card()
    for factor, value in check.crossing.items():
        told = re.search(rf"{CROSSED[factor]}( is)? (\d\.\d\d)", text)
        assert told and float(told[2]) == round(value, 2), factor
    rows = [
        line.split(" | ") for line in text.splitlines() if line.startswith(card.BEGINS[:2]) and line.endswith("yes |")
    ]
    assert sorted(row[1] for row in rows) == sorted(check.tasks)
    done = Counter(row[0].removeprefix("| ") for row in rows if row[6] == "yes")
    assert min(done.values()) >= 5 and len(done) == 8, "five tasks or more of each function that the default model does"


def test_no_rule_of_places_does_more_than_some_tasks_of_a_function(made):
    """Where answer and foil stand, or how often, may decide a task; a function is more than one such rule."""
    rules = tool("battery_rules")
    done_by: dict[str, Counter] = defaultdict(Counter)
    for task in made.values():
        rule, score = rules.best(task)
        done_by[task.function][rule if score >= 0.75 else ""] += 1
    for function, counts in done_by.items():
        assert counts[""] >= 3, f"{function}: {counts}"


def test_a_rule_that_does_a_task_is_found():
    rules, item = tool("battery_rules"), tool("battery.task").Item
    took = rules.taken(
        item("It is in the box or in the bag. It is not in the bag. So it is in the", "box", "bag"), Counter()
    )
    assert took["not after a negation"] == took["named less often"] == took["named first"] == 1
    assert took["named last"] == 0 and took["the usual answer"] == 0.5


def test_no_answer_is_given_away_by_its_place_or_its_rarity(battery):
    """Where answer and foil both stand in the text, neither comes first too often; foils are answers elsewhere."""
    first: dict[str, list[bool]] = defaultdict(list)
    answers, foils = defaultdict(set), defaultdict(Counter)
    for question in battery.questions:
        (step,) = question.steps
        text = f"{question.passage} {step.subquestion}".lower()
        places = [re.search(rf"\b{re.escape(word.lower())}\b", text) for word in (step.answer, step.foil)]
        if all(places):
            first[step.task].append(places[0].start() < places[1].start())
        answers[step.task].add(step.answer.lower())
        foils[step.task][step.foil.lower()] += 1
    lopsided = {
        t: sum(own) / len(own) for t, own in first.items() if len(own) >= 32 and not 0.45 <= sum(own) / len(own) <= 0.55
    }
    assert not lopsided
    commonest = {t: own.most_common(1)[0][1] / 64 for t, own in foils.items()}
    assert max(commonest.values()) <= 0.6, "no foil is the foil nearly always"


def test_no_item_is_another_one_turned_round(battery):
    seen: dict[tuple, str] = {}
    for question in (*battery.demonstrations, *battery.questions):
        (step,) = question.steps
        words = sorted(re.findall(r"\w+", f"{question.passage} {step.subquestion}"))
        told = (step.task, step.answer, *words)
        assert told not in seen, f"{question.id} says what {seen[told]} says"
        seen[told] = question.id


def test_items_are_short_and_hold_one_answer_each(battery, tokenizer):
    prompts = build_prompts(battery, tokenizer, shots=0)
    assert max(len(p.tokens) for p in prompts) <= 60
    assert all(p.designed for p in prompts)
    seen = set()
    for question in battery.questions:
        (step,) = question.steps
        key = (question.passage, step.subquestion)
        assert key not in seen
        seen.add(key)
        for text in (question.passage, step.subquestion, step.answer):
            assert "  " not in text and not re.search(r"\b(\w+) \1\b", text.lower()), f"{question.id}: {text}"
            assert not re.search(r"\ba [aeio]\w+", text) or re.search(r"\ba (one|once|euro|uni|use|eu)", text), text
