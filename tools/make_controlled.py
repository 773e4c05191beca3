"""Make the built-in question set from hand-written material, so that wording does not give the function away.

1. Each topic yields eight scenarios: a passage of eight facts, one for each function, in shuffled order.
2. A scenario asks three who-, three number- and two noun-questions. Which function asks which kind rotates
   from scenario to scenario, and so does the order of the functions (a Latin square a topic, shuffled anew
   for each topic so that position and kind together tell nothing).
3. What is asked (the act), its wording and the wanted answer are drawn without regard to the function.
   Only the fact in the passage is written for the function: stated, added up, implied, ruled, ...
4. A fact is drawn so that its answer is the wanted one; then `solve` works the answer out from the fact
   alone (looked up, computed, deduced, ...). Both must agree, or the generator stops.

This module does not know models, prompts or the package's loader. Run it to rewrite the shipped file:
``python tools/make_controlled.py`` (``--check`` only compares).
"""

import argparse
import json
import random
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import controlled_material as M
from controlled_rules import RULES, WORD, Draw, Facts

OUTPUT = Path(__file__).parents[1] / "src" / "headatlas" / "questions" / "readers" / "controlled.jsonl"
SEED = 20251210
FUNCTIONS = (
    "knowledge_recall",
    "retrieval",
    "logical_reasoning",
    "decision_making",
    "semantic_understanding",
    "syntactic_understanding",
    "inference",
    "math_calculation",
)
ORDER = (0, 1, 7, 2, 6, 3, 5, 4)
"""Offsets of a Williams square: over eight scenarios every function stands once at each position and follows
every other function once."""
SLOTS = (
    *(("who", 0), ("number", 0), ("noun", 0)),
    *(("who", 1), ("number", 1), ("noun", 1)),
    *(("who", 2), ("number", 2)),
)
"""The questions of a scenario: kind of answer, and which of the scenario's acts of that kind."""
ASKED = {
    "who": (
        "Who will {vp} {when}?",
        "Who is going to {vp} {when}?",
        "Who is the person that will {vp} {when}?",
        "Who is the one that will {vp}?",
        "Who will be the one to {vp}?",
        "What is the name of the person who will {vp}?",
    ),
    "number": (
        "How many {nouns} will {A} {v} {when}?",
        "How many {nouns} is {A} going to {v} {when}?",
        "What is the number of {nouns} that {A} will {v}?",
        "Exactly how many {nouns} will {A} {v} {when}?",
    ),
    "noun": (
        "Which {cat} will {A} {v} {when}?",
        "Which {cat} is {A} going to {v} {when}?",
        "{when}, which {cat} will {A} {v}?",
        "{when}, which {cat} is {A} going to {v}?",
    ),
}


@dataclass(frozen=True)
class Item:
    """One step with the fact behind it; ``sentence`` is where the passage says it."""

    form: M.Form
    facts: Facts
    act: dict[str, str]
    sentence: str
    subquestion: str
    answer: str = ""


def _he(name: str) -> str:
    return "she" if name in M.GIRLS else "he"


def _his(name: str) -> str:
    return "her" if name in M.GIRLS else "his"


def _tidy(text: str) -> str:
    """Mend 'a animal' and the capital at the start."""
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return text[0].upper() + text[1:]


def _led(lead: str, sentence: str) -> str:
    """Put words before a sentence, whose first letter becomes small unless it opens with a name."""
    name = sentence.split()[0].strip(",") in M.GIRLS + M.BOYS
    return f"{lead} {sentence if name else sentence[0].lower() + sentence[1:]}"


def render(form: M.Form, facts: Facts, act: dict[str, str]) -> str:
    """Return the sentence of a fact: written from the fact and the act, not from the answer."""
    category = M.CATEGORIES.get(act.get("cat", ""))
    shown: dict[str, str] = dict(act)
    for slot, value in facts.items():
        if isinstance(value, str):
            shown[slot] = category.article + value if category and value in category.items else value
    shown["he"] = _he(act.get("A") or facts.get("x", ""))
    for who in ("one", "two"):
        if f"{who}_did" in facts:
            shown[f"{who}_did"] = facts[f"{who}_did"].format(his=_his(facts[who]))
    if "why" in facts:
        shown["why"] = facts["why"].format(his=_his(facts["out"]))
    if "phrase" in facts:
        shown["phrase"] = facts["phrase"].format(**act)
    if "gesture" in facts:
        shown["gesture"] = facts["gesture"].format(n=facts["n"])
    if "offered" in facts:
        shown["sets"] = "{}, {} or {}".format(*facts["offered"])
    if "choices" in facts:
        shown["options"] = _options(facts, category)
    return _tidy(form.text.format(**shown))


def _options(facts: Facts, category: M.Category | None) -> str:
    """Return 'Ben is only strong, and Nora is both'."""
    parts = []
    for value, met in facts["choices"]:
        found = [aim for aim, ok in zip(facts["aims"], met, strict=True) if ok]
        name = (category.article if category else "") + value
        parts.append(f"{name} is {'both' if len(found) == 2 else f'only {found[0]}'}")
    return ", and ".join(parts)


def solve(item: Item) -> str:
    """Work out the answer of an item from its fact alone."""
    return RULES[item.form.rule].solve(item.facts, item.form.key)


class Deck:
    """Draws that come round evenly: every card once before any card twice."""

    def __init__(self, cards: list[Any], rng: random.Random) -> None:
        self.cards, self.rng, self.left = list(cards), rng, []

    def draw(self, avoid: Callable[[Any], bool] = lambda _: False) -> Any:
        """Return the next card that `avoid` lets pass, reshuffling when the deck is spent."""
        for _ in range(2):
            for i, card in enumerate(self.left):
                if not avoid(card):
                    return self.left.pop(i)
            fresh = list(self.cards)
            self.rng.shuffle(fresh)
            self.left += fresh
        raise RuntimeError(f"No card of {self.cards[:3]}... is allowed here: add material.")


class Maker:
    """Holds the decks that keep answers, forms and wordings even over the whole set."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.forms = {
            (f, k): Deck([x for x in M.FORMS if (x.function, x.kind) == (f, k)], self.rng)
            for f in FUNCTIONS
            for k in ASKED
        }
        self.wordings = {k: Deck(list(rows), self.rng) for k, rows in ASKED.items()}
        # One deck for all functions: a deck for each would balance exactly, and cross-validated classifiers
        # then score far below chance, since what a fold holds out is just what training lacks.
        self.numbers = Deck(list(M.ANSWER_NUMBERS), self.rng)
        self.names = Deck(list(M.GIRLS + M.BOYS), self.rng)
        self.items = {c: Deck(list(M.CATEGORIES[c].items), self.rng) for c in M.CATEGORIES}
        self.asked: set[tuple[str, str, str]] = set()
        self.intros = {t.name: Deck(list(t.intros), self.rng) for t in M.TOPICS}

    def scenario(
        self,
        topic: M.Topic,
        turn: int,
        acts: dict[str, list[tuple[str, ...]]],
        plan: tuple[list[str], list[str]],
    ) -> list[Item]:
        """Return one item for each function, in the order in which they are asked.

        ``plan`` holds two orders of the functions: the topic's square of positions, and of kinds.
        """
        ordered, slotted = plan
        order = [ordered[(i + turn) % 8] for i in ORDER]
        slots = {f: SLOTS[(i + 3 * turn) % 8] for i, f in enumerate(slotted)}
        winners: dict[str, str] = {}
        for f in slotted:
            if slots[f][0] == "who":
                winners[f] = self.names.draw(lambda n: n in winners.values())
        # few people, so that a passage is about someone: three who-answers and two more
        rest = self.rng.sample([n for n in M.GIRLS + M.BOYS if n not in winners.values()], 3)
        group, absent = list(winners.values()) + rest[:2], rest[2]
        subjects = self.rng.sample(group, 5)
        items = []
        for f in order:
            kind, which = slots[f]
            act = self._act(topic, kind, acts[kind][which], subjects, group)
            items.append(self._item(f, kind, act, winners.get(f, ""), group, absent))
        return items

    def _act(
        self, topic: M.Topic, kind: str, row: tuple[str, ...], subjects: list[str], group: list[str]
    ) -> dict[str, str]:
        act = {"when": topic.when}
        if kind == "who":
            return act | {"vp": row[0], "vping": row[1]}
        act["A"] = subjects.pop()
        act["B"] = self.rng.choice([n for n in group if n != act["A"]])
        names = ("v", "noun", "nouns") if kind == "number" else ("v", "cat")
        return act | dict(zip(names, row, strict=True))

    def _item(self, function: str, kind: str, act: dict[str, str], winner: str, group: list[str], absent: str) -> Item:
        category = M.CATEGORIES.get(act.get("cat", ""))
        if kind == "who":
            target, pool = winner, group
        elif kind == "number":
            target = WORD[self.numbers.draw()]
            pool = [WORD[n] for n in M.ANSWER_NUMBERS]
        else:
            target = self.items[category.name].draw()
            pool = list(category.items)
        rivals = tuple(self.rng.sample([v for v in pool if v != target], 2))
        form = self.forms[function, kind].draw(
            lambda x: RULES[x.rule].draw(Draw(random.Random(0), target, rivals, x, category)) is None
        )
        if form.rule == "hindered":  # who cannot come must have no other job in the passage
            rivals = (absent, rivals[1])
        facts = RULES[form.rule].draw(Draw(self.rng, target, rivals, form, category))
        while facts is None:  # only chance details (a gesture) can fail here: the form was just tried
            facts = RULES[form.rule].draw(Draw(self.rng, target, rivals, form, category))
        subquestion = self.wordings[kind].draw().format(**act)
        while (function, subquestion, target) in self.asked:
            subquestion = self.wordings[kind].draw().format(**act)
        self.asked.add((function, subquestion, target))
        item = Item(form, facts, act, render(form, facts, act), _tidy(subquestion))
        answer = solve(item)
        if answer != target:
            raise RuntimeError(f"{form}: the fact {facts} gives '{answer}', '{target}' was wanted.")
        return replace(item, answer=answer)

    def passage(self, topic: M.Topic, items: list[Item]) -> str:
        """Return the facts in shuffled order, the first led in by the topic's opening words.

        One of the later sentences and the last get a connective; whose facts they are plays no part.
        """
        sentences = [i.sentence for i in items]
        self.rng.shuffle(sentences)
        opener = next(s for s in sentences if ":" not in s)  # the lead-in brings a colon of its own
        sentences.insert(0, sentences.pop(sentences.index(opener)))
        sentences[0] = _led(f"{self.intros[topic.name].draw()}:", sentences[0])
        later = [i for i in range(2, 7) if not sentences[i].startswith("'")]
        chosen = self.rng.choice(later)
        sentences[chosen] = _led("Also,", sentences[chosen])
        if not sentences[-1].startswith("'"):
            sentences[-1] = _led("Finally,", sentences[-1])
        return " ".join(sentences)


def make_all(seed: int = SEED) -> list[tuple[M.Topic, int, str, list[Item]]]:
    """Return (topic, turn, passage, items) of every scenario."""
    maker = Maker(seed)
    made = []
    for topic in M.TOPICS:
        decks = {kind: Deck(list(getattr(topic, kind)), maker.rng) for kind in ASKED}
        plan = (maker.rng.sample(FUNCTIONS, 8), maker.rng.sample(FUNCTIONS, 8))
        for turn in range(8):
            acts: dict[str, list[tuple[str, ...]]] = {"who": [], "number": [], "noun": []}
            for kind, _ in SLOTS:
                chosen = acts[kind]
                # two choices of the same sort in one passage would be easy to confuse
                acts[kind].append(
                    decks[kind].draw(lambda row, c=chosen: row in c or (len(row) == 2 and row[1] in [r[1] for r in c]))
                )
            items = maker.scenario(topic, turn, acts, plan)
            made.append((topic, turn, maker.passage(topic, items), items))
    return made


def records(seed: int = SEED) -> list[dict[str, Any]]:
    """Return the whole set as records in the package's schema; a quarter of each topic is held out."""
    rows = []
    for topic, turn, passage, items in make_all(seed):
        held_out = turn // 2 == M.TOPICS.index(topic) % 4
        steps = [{"subquestion": i.subquestion, "answer": i.answer, "function": i.form.function} for i in items]
        rows.append(
            {
                "id": f"{topic.name.replace(' ', '-')}-{turn + 1}",
                "question": passage,
                "answer": "",
                "chain": False,
                "topic": topic.name,
                "split": "test" if held_out else "train",
                "steps": steps,
            }
        )
    return rows


def text(seed: int = SEED) -> str:
    """Return the file's content: one record a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in records(seed))


def main() -> int:
    """Write the shipped file, or compare it (--check)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the shipped file; write nothing")
    args = parser.parse_args()
    if args.check:
        same = OUTPUT.read_text(encoding="utf-8") == text()
        print("up to date" if same else "differs: run python tools/make_controlled.py")
        return 0 if same else 1
    OUTPUT.write_text(text(), encoding="utf-8")
    print(f"wrote {OUTPUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
