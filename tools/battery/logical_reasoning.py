"""Tasks that call for logical reasoning: what must follow from the premises of the text, whatever is true outside it.

Every answer is worked out by a rule of logic alone: an alternative excluded, a rule applied to a case, an order
completed. The facts are made up, so that nothing can be known beforehand.
"""

import re
from collections.abc import Iterator
from random import Random

from battery.task import Item, Task
from battery.words import CHOICE_CITIES as CITIES
from battery.words import CHOICE_NAMES as NAMES
from battery.words import COLORS, other, two_of, words

FUNCTION = "logical_reasoning"


THINGS = words("key coin ring ball letter pen watch book map card")
SPOTS = words("box drawer bag basket kitchen garage cellar attic car garden cupboard closet")
DEEDS = (
    "broke the vase",
    "won the race",
    "ate the cake",
    "opened the door",
    "wrote the letter",
    "called the doctor",
    "found the key",
    "fed the cat",
)
OUTCOMES = (
    ("lied", "told the truth"),
    ("won", "lost"),
    ("passed the test", "failed the test"),
    ("came late", "came early"),
    ("sat at the front", "sat at the back"),
    ("left", "stayed"),
    ("said yes", "said no"),
)
STATES = {
    "room": ("light dark", "hot cold", "clean dirty", "big small", "quiet loud", "empty full"),
    "door": ("open closed", "heavy light", "thick thin", "old new"),
    "street": ("wide narrow", "clean dirty", "quiet loud", "long short"),
    "cup": ("full empty", "clean dirty", "old new", "cheap expensive"),
    "bag": ("full empty", "heavy light", "wet dry", "big small"),
    "river": ("deep shallow", "wide narrow", "fast slow", "long short"),
    "shop": ("open closed", "cheap expensive", "big small"),
    "day": ("wet dry", "hot cold", "long short"),
    "apple": ("sweet sour", "big small", "soft hard"),
    "rope": ("long short", "thick thin", "wet dry", "strong weak"),
}
"""Kind of thing -> pairs of states of which it can have one only."""
CREATURES = words("dax wug gorp fep zorp mip tove lorp nim plim blick grend")
PARTS = words("stripes spots horns wings tails teeth claws scales feathers fins")
ORDERS = (
    ("taller", "tallest", "shortest"),
    ("older", "oldest", "youngest"),
    ("faster", "fastest", "slowest"),
    ("stronger", "strongest", "weakest"),
    ("richer", "richest", "poorest"),
)
CONVERSES = (
    ("taller", "shorter"),
    ("older", "younger"),
    ("faster", "slower"),
    ("stronger", "weaker"),
    ("richer", "poorer"),
    ("heavier", "lighter"),
    ("bigger", "smaller"),
    ("thicker", "thinner"),
    ("happier", "sadder"),
    ("louder", "quieter"),
)

COMPARISONS = {
    "was born before": ("older", "younger"),
    "was born after": ("younger", "older"),
    "won the race against": ("faster", "slower"),
    "lost the race against": ("slower", "faster"),
    "lifts more than": ("stronger", "weaker"),
    "lifts less than": ("weaker", "stronger"),
    "owns more money than": ("richer", "poorer"),
    "owns less money than": ("poorer", "richer"),
    "weighs more than": ("heavier", "lighter"),
    "weighs less than": ("lighter", "heavier"),
}


# --- one of two, and not that one -------------------------------------------------------------------
def _either_spot(draw: Random) -> Iterator[Item]:
    while True:
        options, thing = two_of(draw, SPOTS), draw.choice(THINGS)
        out, left = draw.sample(options, 2)
        yield Item(
            f"The {thing} is in the {options[0]} or in the {options[1]}. It is not in the {out}. So it is in the",
            left, out,
        )  # fmt: skip


def _solve_either_spot(passage: str, text: str) -> str:
    *options, out = re.findall(r"in the (\w+)", text)
    return other(options, out)


def _who_did_it(draw: Random) -> Iterator[Item]:
    while True:
        names, deed = two_of(draw, NAMES), draw.choice(DEEDS)
        out, left = draw.sample(names, 2)
        yield Item(f"Either {names[0]} or {names[1]} {deed}, and it was not {out}. Who {deed}?", left, out)


def _solve_who_did_it(passage: str, text: str) -> str:
    one, two, out = re.match(r"Either (\w+) or (\w+) .*was not (\w+)\.", text).groups()
    return other([one, two], out)


def _door_number(draw: Random) -> Iterator[Item]:
    while True:
        numbers = draw.sample(range(1, 10), 2)
        out, left = draw.sample(numbers, 2)
        thing = draw.choice(("prize", "cat", "key", "money", "ball", "dog"))
        yield Item(
            f"The {thing} is behind door {numbers[0]} or door {numbers[1]}. It is not behind door {out}. "
            "So it is behind door",
            str(left), str(out),
        )  # fmt: skip


def _solve_door_number(passage: str, text: str) -> str:
    *options, out = re.findall(r"\d", text)
    return other(options, out)


def _exclusive_state(draw: Random) -> Iterator[Item]:
    while True:
        thing = draw.choice(list(STATES))
        states = draw.choice(STATES[thing]).split()
        draw.shuffle(states)
        out, left = draw.sample(states, 2)
        yield Item(f"Every {thing} here is either {states[0]} or {states[1]}. This one is not {out}. It is", left, out)


def _solve_exclusive_state(passage: str, text: str) -> str:
    one, two, out = re.search(r"either (\w+) or (\w+)\. This one is not (\w+)", text).groups()
    return other([one, two], out)


# --- one each ------------------------------------------------------------------------------------------------
def _one_each(draw: Random) -> Iterator[Item]:
    while True:
        names, cities = two_of(draw, NAMES), two_of(draw, CITIES)
        (known, asked), (taken, left) = draw.sample(names, 2), draw.sample(cities, 2)
        yield Item(
            f"{names[0]} and {names[1]} live in {cities[0]} and {cities[1]}, one in each city. "
            f"{known} lives in {taken}. So {asked} lives in",
            left, taken,
        )  # fmt: skip


def _solve_one_each(passage: str, text: str) -> str:
    one, two, taken = re.search(r"live in (\w+) and (\w+), .*? lives in (\w+)\.", text).groups()
    return other([one, two], taken)


def _opposite_outcome(draw: Random) -> Iterator[Item]:
    while True:
        names, outcomes = two_of(draw, NAMES), draw.sample(draw.choice(OUTCOMES), 2)
        known, left = draw.sample(names, 2)
        yield Item(
            f"Who {outcomes[1]}?", left, known,
            f"One of {names[0]} and {names[1]} {outcomes[0]} and the other {outcomes[1]}. {known} {outcomes[0]}.",
        )  # fmt: skip


def _solve_opposite_outcome(passage: str, text: str) -> str:
    one, two, _, known, done = re.match(
        r"One of (\w+) and (\w+) (.+) and the other .+\. (\w+) (.+)\.", passage
    ).groups()
    asked = text.removeprefix("Who ").removesuffix("?")
    return known if asked == done else other([one, two], known)


# --- a rule and a case ---------------------------------------------------------------------------------------
def _rule_applied(draw: Random) -> Iterator[Item]:
    while True:
        kind, name, (has, foil) = draw.choice(CREATURES), draw.choice(NAMES), two_of(draw, PARTS)
        yield Item(f"Every {kind} has {has}. {name} is a {kind}. So {name} has", has, foil)


def _rule_and_case(draw: Random) -> Iterator[Item]:
    while True:
        kind, name, (has, lacks) = draw.choice(CREATURES), draw.choice(NAMES), two_of(draw, PARTS)
        rules = [f"Every {kind} has {has}.", f"No {kind} has {lacks}."]
        draw.shuffle(rules)
        yield Item(f"{rules[0]} {rules[1]} {name} is a {kind}. So {name} has", has, lacks)


def _solve_rule_and_case(passage: str, text: str) -> str:
    kind = re.search(r"is a (\w+)\.", text).group(1)
    return re.search(rf"Every {kind} has (\w+)\.", text).group(1)


# --- relations -----------------------------------------------------------------------------------------------
def _converse(draw: Random) -> Iterator[Item]:
    while True:
        (one, two), pair = two_of(draw, NAMES), draw.sample(draw.choice(CONVERSES), 2)
        yield Item(f"{one} is {pair[0]} than {two}. So, next to {one}, {two} is", pair[1], pair[0])


def _solve_converse(passage: str, text: str) -> str:
    said = re.search(r"is (\w+) than", text).group(1)
    (pair,) = (p for p in CONVERSES if said in p)
    return other(list(pair), said)


def _comparison(draw: Random) -> Iterator[Item]:
    while True:
        (one, two), fact = two_of(draw, NAMES), draw.choice(list(COMPARISONS))
        pair, about = COMPARISONS[fact], draw.choice((0, 1))
        first, second = (one, two) if about == 0 else (two, one)
        yield Item(f"{one} {fact} {two}. So {first}, compared with {second}, is", pair[about], pair[1 - about])


def _solve_comparison(passage: str, text: str) -> str:
    one, fact, two, first = re.match(r"(\w+) (.+) (\w+)\. So (\w+), compared", text).groups()
    return COMPARISONS[fact][(one, two).index(first)]


def _order_of_three(draw: Random) -> Iterator[Item]:
    while True:
        high, middle, low = draw.sample(NAMES, 3)
        more, most, least = draw.choice(ORDERS)
        premises = [f"{high} is {more} than {middle}.", f"{middle} is {more} than {low}."]
        draw.shuffle(premises)
        asked = draw.choice((most, least))
        answers = (high, low) if asked == most else (low, high)
        yield Item(f"Who is the {asked}?", *answers, " ".join(premises))


def _solve_order_of_three(passage: str, text: str) -> str:
    said = re.findall(r"(\w+) is (\w+) than (\w+)\.", passage)
    highs, lows = {high for high, _, _ in said}, {low for _, _, low in said}
    asked = re.search(r"the (\w+)\?", text).group(1)
    (answer,) = highs - lows if (said[0][1], asked) in {o[:2] for o in ORDERS} else lows - highs
    return answer


def _same_color(draw: Random) -> Iterator[Item]:
    while True:
        one, two, third = draw.sample(NAMES, 3)
        colors, thing = two_of(draw, COLORS), draw.choice(words("car bag cup hat coat ball house bike"))
        like = draw.choice((0, 1))
        yield Item(
            f"{one}'s {thing} is {colors[0]} and {two}'s {thing} is {colors[1]}. "
            f"{third}'s {thing} has the same color as {(one, two)[like]}'s. What color is {third}'s {thing}?",
            colors[like], colors[1 - like],
        )  # fmt: skip


def _solve_same_color(passage: str, text: str) -> str:
    color = dict(re.findall(r"(\w+)'s \w+ is (\w+)", text))
    return color[re.search(r"same color as (\w+)'s", text).group(1)]


# --- no alternative is excluded ------------------------------------------------------------------------------
OPPOSITES = {
    ("open", "closed"): words("door shop gate window store"),
    ("full", "empty"): words("cup bag box bottle glass jar"),
    ("wet", "dry"): words("towel coat floor shirt street"),
    ("hot", "cold"): words("soup tea room oven water"),
    ("clean", "dirty"): words("cup room shirt plate floor"),
    ("big", "small"): words("dog house car box"),
    ("heavy", "light"): words("bag box stone"),
    ("long", "short"): words("rope road letter"),
    ("cheap", "expensive"): words("ring car hotel coat"),
}
"""States of which one holds -> things that have them."""
OFFICES = words("king queen baker miller farmer prince pilot captain judge mayor")
ANIMALS = words("horses cows dogs cats sheep goats pigs birds")


def _opposite(state: str) -> str:
    (pair,) = (p for p in OPPOSITES if state in p)
    return other(list(pair), state)


def _true_or_not_true(draw: Random) -> Iterator[Item]:
    """Half the answers are the state that is named, half are its opposite: neither repeating nor opposing does it."""
    while True:
        states = draw.choice(list(OPPOSITES))
        thing, (said, unsaid) = draw.choice(OPPOSITES[states]), draw.sample(states, 2)
        truth, answer, foil = draw.choice((("true", said, unsaid), ("not true", unsaid, said)))
        yield Item(f"It is {truth} that the {thing} is {said}. So the {thing} is", answer, foil)


def _solve_true_or_not_true(passage: str, text: str) -> str:
    denied, said = re.match(r"It is (not )?true that the \w+ is (\w+)\.", text).groups()
    return _opposite(said) if denied else said


def _both_or_neither(draw: Random) -> Iterator[Item]:
    """Half the answers are the state that is named, half are its opposite; either of the two things is asked about."""
    while True:
        states = draw.choice(list(OPPOSITES))
        things, (said, unsaid) = two_of(draw, OPPOSITES[states]), draw.sample(states, 2)
        both, asked = draw.random() < 0.5, draw.choice(things)
        fact = (
            f"Both the {things[0]} and the {things[1]} are"
            if both
            else f"Neither the {things[0]} nor the {things[1]} is"
        )
        yield Item(f"{fact} {said}. So the {asked} is", *((said, unsaid) if both else (unsaid, said)))


def _solve_both_or_neither(passage: str, text: str) -> str:
    quantity, said = re.match(r"(Both|Neither) .+ (?:are|is) (\w+)\. So", text).groups()
    return said if quantity == "Both" else _opposite(said)


def _class_rule(draw: Random) -> Iterator[Item]:
    """The lure is what the rule denies; which of the two is named first is drawn."""
    while True:
        kind, name, (has, lacks) = draw.choice(CREATURES), draw.choice(NAMES), two_of(draw, PARTS)
        rule = draw.choice((f"has {has} but never {lacks}", f"never has {lacks} but always {has}"))
        yield Item(f"A {kind} {rule}. {name} is a {kind}. So {name} has", has, lacks)


def _home_by_rule(draw: Random) -> Iterator[Item]:
    while True:
        kind, name, (home, lure) = draw.choice(CREATURES), draw.choice(NAMES), two_of(draw, CITIES)
        rule = draw.choice((f"lives in {home} but never in {lure}", f"never lives in {lure} but always in {home}"))
        yield Item(f"A {kind} {rule}. {name} is a {kind}. So {name} lives in", home, lure)


def _office(draw: Random) -> Iterator[Item]:
    """What holds of the one who has an office holds of the person who has it."""
    while True:
        office, name, (owned, lure) = draw.choice(OFFICES), draw.choice(NAMES), two_of(draw, ANIMALS)
        rule = draw.choice((f"owns {owned} but never {lure}", f"never owns {lure} but always {owned}"))
        yield Item(f"The {office} {rule}. {name} is the {office}. So {name} owns", owned, lure)


def _solve_but_never(passage: str, text: str) -> str:
    denied, first, second = re.match(r"\w+ \w+ (never )?\w+ (?:in )?(\w+) but \w+ (?:in )?(\w+)\.", text).groups()
    return second if denied else first


TASKS = (
    Task("either_spot", FUNCTION, "completion", "noun", _either_spot, _solve_either_spot),
    Task("who_did_it", FUNCTION, "question", "name", _who_did_it, _solve_who_did_it),
    Task("door_number", FUNCTION, "completion", "number", _door_number, _solve_door_number),
    Task("exclusive_state", FUNCTION, "completion", "adjective", _exclusive_state, _solve_exclusive_state),
    Task("one_city_each", FUNCTION, "completion", "place", _one_each, _solve_one_each),
    Task("opposite_outcome", FUNCTION, "passage", "name", _opposite_outcome, _solve_opposite_outcome),
    Task("rule_applied", FUNCTION, "completion", "noun", _rule_applied, _solve_rule_and_case),
    Task("rule_with_lure", FUNCTION, "completion", "noun", _rule_and_case, _solve_rule_and_case),
    Task("converse_relation", FUNCTION, "completion", "inflected", _converse, _solve_converse),
    Task("comparison_from_fact", FUNCTION, "completion", "inflected", _comparison, _solve_comparison),
    Task("order_of_three", FUNCTION, "passage", "name", _order_of_three, _solve_order_of_three),
    Task("same_color", FUNCTION, "question", "adjective", _same_color, _solve_same_color),
    Task("true_or_not_true", FUNCTION, "completion", "adjective", _true_or_not_true, _solve_true_or_not_true),
    Task("both_or_neither", FUNCTION, "completion", "adjective", _both_or_neither, _solve_both_or_neither),
    Task("rule_but_never", FUNCTION, "completion", "noun", _class_rule, _solve_but_never),
    Task("home_by_rule", FUNCTION, "completion", "place", _home_by_rule, _solve_but_never),
    Task("owner_by_office", FUNCTION, "completion", "noun", _office, _solve_but_never),
)
