"""Rules of the built-in question set: how a fact is drawn, and how its answer is worked out from it.

1. A rule's ``draw`` gets the wanted answer and two rivals and draws a fact: who has which attribute, which
   numbers are added, what holds. It returns None where the wanted answer cannot be expressed.
2. Its ``solve`` sees the fact and the form's key only: it looks up, computes, deduces, or takes the best.
3. `RULES` names them; `controlled_material.FORMS` says which sentence goes with which rule.

This module does not know topics, wordings or passages.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import controlled_material as M

Facts = dict[str, Any]
WORD = M.NUMBER_WORDS
NUMBER = {word: n for n, word in enumerate(WORD)}


@dataclass(frozen=True)
class Draw:
    """What a rule may use to draw a fact: the wanted answer, two rivals of its kind, the form, chance."""

    rng: random.Random
    target: str
    rivals: tuple[str, str]
    form: M.Form
    category: M.Category | None = None

    def pair(self) -> Facts:
        """Return the target and a rival as ``one`` and ``two``, in either order."""
        both = [self.target, self.rivals[0]]
        self.rng.shuffle(both)
        return {"one": both[0], "two": both[1]}


@dataclass(frozen=True)
class Rule:
    """How a fact is drawn for a wanted answer, and how its answer is worked out without it.

    ``draw`` returns None where the wanted answer cannot be expressed. ``solve`` sees the fact and the form's
    key, never the wanted answer.
    """

    draw: Callable[[Draw], Facts | None]
    solve: Callable[[Facts, str], str]


def _other(f: Facts, value: str) -> str:
    return f["two"] if value == f["one"] else f["one"]


def _holder(f: Facts, matches: Callable[[str], bool]) -> str:
    """Return the one of two whose attribute matches; both or neither is an error of the material."""
    (found,) = [f[who] for who in ("one", "two") if matches(f[f"{who}_is"])]
    return found


def _attributes(d: Draw, table: list[str]) -> tuple[Facts, str]:
    """Give the two people different attributes from `table`; return the fact and the target's attribute."""
    f = d.pair()
    f["one_is"], f["two_is"] = d.rng.sample(table, 2)
    return f, f["one_is"] if f["one"] == d.target else f["two_is"]


# --- retrieval, syntax: the value in a known place --------------------------------------------------------
def draw_lookup(d: Draw) -> Facts:
    return {"x": d.target, "y": d.rivals[0]}


def draw_role(d: Draw) -> Facts:
    other = "two" if d.form.key == "one" else "one"
    return {d.form.key: d.target, other: d.rivals[0]}


# --- semantics ---------------------------------------------------------------------------------------------
def draw_synonym(d: Draw) -> Facts:
    f, rare = _attributes(d, list(M.SYNONYMS[d.form.key]))
    return f | {"asked": M.SYNONYMS[d.form.key][rare]}


def draw_former(d: Draw) -> Facts:
    f = d.pair()
    return f | {"word": "former" if f["one"] == d.target else "latter"}


def draw_count_word(d: Draw) -> Facts:
    return {"phrase": d.rng.choice([p for p, n in M.COUNT_WORDS.items() if WORD[n] == d.target])}


def draw_other_word(d: Draw) -> Facts | None:
    word = d.category.items[d.target][1]
    return d.pair() | {"asked": word} if word else None


def solve_other_word(f: Facts, _: str) -> str:
    (item,) = [i for c in M.CATEGORIES.values() for i, (_, word) in c.items.items() if word == f["asked"]]
    assert item in (f["one"], f["two"])
    return item


# --- knowledge ---------------------------------------------------------------------------------------------
def draw_world(d: Draw) -> Facts:
    f, known = _attributes(d, list(M.WORLD_FACTS[d.form.key]))
    return f | {"asked": M.WORLD_FACTS[d.form.key][known]}


def draw_world_count(d: Draw) -> Facts:
    each, as_many = d.rng.choice([p for p, n in M.WORLD_COUNTS.items() if WORD[n] == d.target])
    return {"each": each, "as_many": as_many}


def solve_world_count(f: Facts, _: str) -> str:
    return WORD[M.WORLD_COUNTS[f["each"], f["as_many"]]]


def draw_clue(d: Draw) -> Facts:
    return {"clue": d.category.items[d.target][0]}


def solve_clue(f: Facts, _: str) -> str:
    (item,) = [i for c in M.CATEGORIES.values() for i, (clue, _) in c.items.items() if clue == f["clue"]]
    return item


# --- logic -------------------------------------------------------------------------------------------------
def draw_not_other(d: Draw) -> Facts:
    return d.pair() | {"out": d.rivals[0]}


def draw_if_else(d: Draw) -> Facts:
    holds, state = d.rng.random() < 0.5, d.rng.choice(list(M.STATES))
    then, otherwise = (d.target, d.rivals[0]) if holds else (d.rivals[0], d.target)
    return {"if": state, "now": M.STATES[state][0 if holds else 1], "then": then, "else": otherwise}


def solve_if_else(f: Facts, _: str) -> str:
    return f["then"] if M.STATES[f["if"]].index(f["now"]) == 0 else f["else"]


def draw_member(d: Draw) -> Facts:
    belongs, group = d.rng.random() < 0.5, d.rng.choice(list(M.MEMBERS))
    inside, outside = (d.target, d.rivals[0]) if belongs else (d.rivals[0], d.target)
    return {
        "group": group,
        "status": M.MEMBERS[group][0 if belongs else 1],
        "inside": inside,
        "outside": outside,
    }


def solve_member(f: Facts, _: str) -> str:
    return f["inside"] if M.MEMBERS[f["group"]].index(f["status"]) == 0 else f["outside"]


def draw_holder(d: Draw) -> Facts:
    f, held = _attributes(d, list(M.HELD))
    return f | {"asked": held}


def draw_lacks(d: Draw) -> Facts:
    f = draw_holder(d)
    return f | {"asked": f["two_is"] if f["asked"] == f["one_is"] else f["one_is"]}


# --- decisions ---------------------------------------------------------------------------------------------
def draw_best(d: Draw) -> Facts:
    aims = list(d.category.aims if d.category else d.rng.choice(M.PERSON_AIMS))
    d.rng.shuffle(aims)
    options = [(d.target, (True, True)), (d.rivals[0], d.rng.choice([(True, False), (False, True)]))]
    d.rng.shuffle(options)
    return {"aims": aims, "choices": options, "aim1": aims[0], "aim2": aims[1]}


def solve_best(f: Facts, _: str) -> str:
    (best,) = [value for value, met in f["choices"] if sum(met) == len(f["aims"])]
    return best


def draw_prices(d: Draw) -> Facts:
    f, (low, high) = d.pair(), sorted(d.rng.sample(range(2, 10), 2))
    first_is_low = (f["one"] == d.target) == (d.form.rule == "least")
    prices = (low, high) if first_is_low else (high, low)
    return f | {"p1": WORD[prices[0]], "p2": WORD[prices[1]]}


def solve_least(f: Facts, _: str) -> str:
    return min((NUMBER[f["p1"]], f["one"]), (NUMBER[f["p2"]], f["two"]))[1]


def solve_most(f: Facts, _: str) -> str:
    return max((NUMBER[f["p1"]], f["one"]), (NUMBER[f["p2"]], f["two"]))[1]


def draw_bound(d: Draw) -> Facts | None:
    n = NUMBER[d.target]
    below, above = range(2, n - 1), range(n + 2, n + 6)
    most = d.form.rule == "at_most"
    if not below:
        return None
    low, high = d.rng.choice(below), d.rng.choice(above)
    limit = d.rng.choice(range(n, high) if most else range(low + 1, n + 1))
    return {"limit": WORD[limit], "offered": [WORD[low], d.target, WORD[high]]}


def solve_at_most(f: Facts, _: str) -> str:
    return WORD[max(n for n in map(NUMBER.get, f["offered"]) if n <= NUMBER[f["limit"]])]


def solve_at_least(f: Facts, _: str) -> str:
    return WORD[min(n for n in map(NUMBER.get, f["offered"]) if n >= NUMBER[f["limit"]])]


# --- inference ---------------------------------------------------------------------------------------------
def draw_signs(d: Draw) -> Facts:
    signs = M.THING_SIGNS if d.form.rule == "thing_signs" else M.PERSON_SIGNS
    f = d.pair()
    for who in ("one", "two"):
        sign = 1 if f[who] == d.target else -1
        f[f"{who}_did"] = d.rng.choice([did for did, s in signs.items() if s == sign])
    return f


def solve_signs(f: Facts, _: str) -> str:
    signs = M.PERSON_SIGNS | M.THING_SIGNS
    return max((signs[f["one_did"]], f["one"]), (signs[f["two_did"]], f["two"]))[1]


def draw_hindered(d: Draw) -> Facts:
    return d.pair() | {"out": d.rivals[0], "why": d.rng.choice(M.HINDRANCES)}


def draw_gesture(d: Draw) -> Facts | None:
    gesture = d.rng.choice(M.GESTURES)
    return None if "fingers" in gesture and NUMBER[d.target] > 10 else {"gesture": gesture, "n": d.target}


# --- arithmetic --------------------------------------------------------------------------------------------
def draw_sum_wins(d: Draw) -> Facts:
    f = d.pair()
    while True:
        a, b, c = d.rng.randint(2, 5), d.rng.randint(2, 5), d.rng.randint(3, 9)
        # neither summand beats c alone, so that the sum has to be worked out
        if max(a, b) < c != a + b and (a + b > c) == (f["one"] == d.target):
            return f | {"a": WORD[a], "b": WORD[b], "c": WORD[c]}


def solve_sum_wins(f: Facts, _: str) -> str:
    return f["one"] if NUMBER[f["a"]] + NUMBER[f["b"]] > NUMBER[f["c"]] else f["two"]


def draw_more(d: Draw) -> Facts:
    m, extra = d.rng.randint(3, 7), d.rng.randint(2, 5)
    # the one whose number is not stated, or there would be nothing to add
    return {"one": d.target, "two": d.rivals[0], "m": WORD[m], "d": WORD[extra], "asked": WORD[m + extra]}


def solve_more(f: Facts, _: str) -> str:
    has = {NUMBER[f["m"]]: f["two"], NUMBER[f["m"]] + NUMBER[f["d"]]: f["one"]}
    return has[NUMBER[f["asked"]]]


def draw_arithmetic(d: Draw) -> Facts | None:
    n = NUMBER[d.target]
    if d.form.rule == "mul":
        pairs = [(a, n // a) for a in range(2, n) if n % a == 0]
    elif d.form.rule == "sub":
        pairs = [(n + b, b) for b in range(2, 7)]
    else:
        pairs = [(n - b, b) for b in range(2, n - 1)]
    if not pairs:
        return None
    a, b = d.rng.choice(pairs)
    return {"a": WORD[a], "b": WORD[b]}


RULES: dict[str, Rule] = {
    "lookup": Rule(draw_lookup, lambda f, _: f["x"]),
    "role": Rule(draw_role, lambda f, key: f[key]),
    "synonym": Rule(draw_synonym, lambda f, key: _holder(f, lambda a: M.SYNONYMS[key][a] == f["asked"])),
    "former": Rule(draw_former, lambda f, _: f["one"] if f["word"] == "former" else f["two"]),
    "count_word": Rule(draw_count_word, lambda f, _: WORD[M.COUNT_WORDS[f["phrase"]]]),
    "nickname": Rule(lambda d: {"x": d.target, "nick": d.rng.choice(M.NICKNAMES)}, lambda f, _: f["x"]),
    "other_word": Rule(draw_other_word, solve_other_word),
    "world": Rule(draw_world, lambda f, key: _holder(f, lambda a: M.WORLD_FACTS[key][a] == f["asked"])),
    "world_count": Rule(draw_world_count, solve_world_count),
    "clue": Rule(draw_clue, solve_clue),
    "clue_of_two": Rule(lambda d: d.pair() | draw_clue(d), solve_clue),
    "not_other": Rule(draw_not_other, lambda f, _: _other(f, f["out"])),
    "if_else": Rule(draw_if_else, solve_if_else),
    "member": Rule(draw_member, solve_member),
    "holder": Rule(draw_holder, lambda f, _: _holder(f, lambda a: a == f["asked"])),
    "lacks": Rule(draw_lacks, lambda f, _: _holder(f, lambda a: a != f["asked"])),
    "best": Rule(draw_best, solve_best),
    "least": Rule(draw_prices, solve_least),
    "prefers": Rule(draw_role, lambda f, key: f[key]),
    "most": Rule(draw_prices, solve_most),
    "at_most": Rule(draw_bound, solve_at_most),
    "at_least": Rule(draw_bound, solve_at_least),
    "signs": Rule(draw_signs, solve_signs),
    "thing_signs": Rule(draw_signs, solve_signs),
    "hindered": Rule(draw_hindered, lambda f, _: _other(f, f["out"])),
    "shun": Rule(draw_not_other, lambda f, _: _other(f, f["out"])),
    "gesture": Rule(draw_gesture, lambda f, _: f["n"]),
    "habit": Rule(lambda d: {"n": d.target}, lambda f, _: f["n"]),
    "add": Rule(draw_arithmetic, lambda f, _: WORD[NUMBER[f["a"]] + NUMBER[f["b"]]]),
    "sub": Rule(draw_arithmetic, lambda f, _: WORD[NUMBER[f["a"]] - NUMBER[f["b"]]]),
    "mul": Rule(draw_arithmetic, lambda f, _: WORD[NUMBER[f["a"]] * NUMBER[f["b"]]]),
    "sum_wins": Rule(draw_sum_wins, solve_sum_wins),
    "more": Rule(draw_more, solve_more),
}
