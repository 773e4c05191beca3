"""Tasks that call for a decision: an option is chosen in view of a goal, a need, a fault or a limit.

1. Goals: a table says what serves each goal; options that could serve one another's goals never stand together.
2. Faults: one option has a drawback, so the other one is taken.
3. Limits and groups: prices, free days and votes decide.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

from battery.task import Item, Task
from battery.words import CHOICE_CITIES as CITIES
from battery.words import CHOICE_NAMES as NAMES
from battery.words import COLORS, other, two_of, words

FUNCTION = "decision_making"


DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")

TOOLS = {
    "cut bread": "knife",
    "slice the ham": "knife",
    "eat soup": "spoon",
    "stir the tea": "spoon",
    "drive in a nail": "hammer",
    "dig a hole": "shovel",
    "move some sand": "shovel",
    "sweep the floor": "broom",
    "cut paper": "scissors",
    "trim a beard": "scissors",
    "write a letter": "pen",
    "sign a form": "pen",
    "tell the time": "clock",
    "unlock the door": "key",
    "carry water": "bucket",
    "dry wet dishes": "towel",
    "light a candle": "match",
    "start a fire": "match",
    "take a photo": "camera",
    "cut down a tree": "saw",
    "reach the roof": "ladder",
    "change a light bulb": "ladder",
    "catch butterflies": "net",
    "sew on a button": "needle",
    "draw a straight line": "ruler",
    "look at the stars": "telescope",
    "stay dry in the rain": "umbrella",
    "read in the dark": "lamp",
    "tidy long hair": "comb",
    "wash dirty hands": "soap",
    "tie up a boat": "rope",
    "find the way": "map",
    "tighten a screw": "screwdriver",
    "mop up a spill": "sponge",
}
TOOL_RIVALS = (
    {"knife", "scissors", "saw", "hammer", "key", "screwdriver"},
    {"match", "lamp"},
    {"bucket", "sponge", "towel", "soap", "broom", "umbrella"},
    {"comb", "scissors"},
    {"rope", "ladder", "net"},
    {"spoon", "knife", "pen", "shovel"},
    {"shovel", "bucket"},
    {"camera", "telescope", "map"},
)
PLACES = {
    "swim in the sea": "beach",
    "lie in the sand": "beach",
    "borrow a book": "library",
    "read old newspapers": "library",
    "see a play": "theater",
    "catch a train": "station",
    "catch a plane": "airport",
    "buy fresh bread": "bakery",
    "see old paintings": "museum",
    "see some lions": "zoo",
    "feed the monkeys": "zoo",
    "pick up medicine": "pharmacy",
    "watch a film": "cinema",
    "pray": "church",
    "deposit some money": "bank",
    "visit a sick friend": "hospital",
    "have dinner": "restaurant",
    "lift weights": "gym",
    "milk a cow": "farm",
    "water the roses": "garden",
    "walk among tall trees": "forest",
    "buy vegetables": "market",
    "watch a football match": "stadium",
    "board a ship": "harbor",
    "attend a trial": "court",
    "have a haircut": "barber",
    "repair a car": "garage",
    "attend a class": "school",
    "climb a high peak": "mountain",
}
PLACE_RIVALS = (
    {"beach", "harbor"},
    {"library", "museum", "school"},
    {"theater", "cinema", "stadium", "school"},
    {"station", "airport", "harbor", "garage"},
    {"bakery", "market", "restaurant", "farm", "garden"},
    {"pharmacy", "hospital", "market"},
    {"garden", "forest", "mountain", "farm", "zoo"},
    {"gym", "school", "stadium"},
    {"gym", "garage"},
    {"church", "museum", "hospital"},
    {"barber", "library"},
)
HELPERS = {
    "needs a new filling": "dentist",
    "has broken a tooth": "dentist",
    "has a hole in a tooth": "dentist",
    "has a leaking pipe": "plumber",
    "has a blocked sink": "plumber",
    "has a broken toilet": "plumber",
    "has a sick dog": "vet",
    "has a cat with a broken leg": "vet",
    "wants to sue a company": "lawyer",
    "is going to court": "lawyer",
    "needs advice on a contract": "lawyer",
    "has a car that does not start": "mechanic",
    "has a problem with the engine": "mechanic",
    "sees flames in the house": "firefighters",
    "smells smoke in the kitchen": "firefighters",
    "has been robbed": "police",
    "has seen a thief in the house": "police",
    "has a high fever": "doctor",
    "has a pain in the chest": "doctor",
    "has a bad cough": "doctor",
    "has a son who is bad at math in school": "teacher",
    "has a question about the homework": "teacher",
}
CAREERS = {
    "doctor": "medicine",
    "surgeon": "medicine",
    "lawyer": "law",
    "judge": "law",
    "pianist": "music",
    "composer": "music",
    "violinist": "music",
    "painter": "art",
    "sculptor": "art",
    "banker": "finance",
    "investor": "finance",
    "programmer": "computing",
    "priest": "religion",
    "farmer": "agriculture",
    "actor": "drama",
    "translator": "languages",
    "novelist": "literature",
    "poet": "literature",
    "senator": "politics",
    "mayor": "politics",
    "reporter": "journalism",
    "builder of bridges": "engineering",
    "designer of houses": "architecture",
}
CAREER_RIVALS = (
    {"music", "art", "drama"},
    {"law", "politics"},
    {"languages", "literature", "journalism", "politics"},
    {"physics", "engineering", "architecture", "computing"},
    {"art", "architecture"},
)


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _goal(draw: Random, table: dict[str, str], rivals: tuple[set[str], ...] = ()) -> tuple[str, str, str, list[str]]:
    """Return a goal, what serves it, what does not, and the two options in random order."""
    while True:
        goal, other = draw.sample(list(table), 2)
        right, wrong = table[goal], table[other]
        if right != wrong and not any({right, wrong} <= group for group in rivals):
            options = [right, wrong]
            draw.shuffle(options)
            return goal, right, wrong, options


# --- goals ---------------------------------------------------------------------------------------------------
def _choosing(
    table: dict[str, str], rivals: tuple[set[str], ...], question: str, passage: str = ""
) -> Callable[[Random], Iterator[Item]]:
    """Return the maker of items that choose one of two options by a goal; the texts name {name}, {options}, {goal}."""

    def make(draw: Random) -> Iterator[Item]:
        while True:
            goal, right, wrong, options = _goal(draw, table, rivals)
            told = {"name": draw.choice(NAMES), "options": options, "goal": goal}
            yield Item(question.format(**told), right, wrong, passage.format(**told))

    return make


def _by_goal(table: dict[str, str], before: str) -> Callable[[str, str], str]:
    """Return the solver that looks up the goal, which stands between `before` (a pattern) and the question mark."""
    return lambda passage, text: table[re.search(rf" {before}(.+)\?", text).group(1)]


def _tool(draw: Random) -> Iterator[Item]:
    while True:
        goal, right, wrong, options = _goal(draw, TOOLS, TOOL_RIVALS)
        name = draw.choice(NAMES)
        things = [o if o in ("scissors", "soap") else _article(o) for o in options]
        yield Item(f"What should {name} use to {goal}?", right, wrong, f"{name} has {things[0]} and {things[1]}.")


def _solve_tool(passage: str, text: str) -> str:
    return TOOLS[re.search(r" use to (.+)\?", text).group(1)]


def _helper(draw: Random) -> Iterator[Item]:
    while True:
        need, right, wrong, _ = _goal(draw, HELPERS)
        name = draw.choice(NAMES)
        yield Item(f"{name} {need}. So {name} should call the", right, wrong)


def _solve_helper(passage: str, text: str) -> str:
    return HELPERS[text.split(".")[0].split(" ", 1)[1]]


def _career(draw: Random) -> Iterator[Item]:
    while True:
        goal, right, wrong, options = _goal(draw, CAREERS, CAREER_RIVALS)
        name = draw.choice(NAMES)
        yield Item(
            f"{name} can study {options[0]} or {options[1]}. What should {name} study to become {_article(goal)}?",
            right, wrong,
        )  # fmt: skip


def _solve_career(passage: str, text: str) -> str:
    return CAREERS[re.search(r" to become an? (.+)\?", text).group(1)]


def _line_to_place(draw: Random) -> Iterator[Item]:
    while True:
        goal, right, wrong, options = _goal(draw, PLACES, PLACE_RIVALS)
        lines = dict(zip((right, wrong), map(str, draw.sample(range(2, 10), 2)), strict=True))
        name = draw.choice(NAMES)
        signs = " ".join(f"Bus {lines[o]} goes to the {o}." for o in options)
        yield Item(f"{name} wants to {goal}. Which bus should {name} take?", lines[right], lines[wrong], signs)


def _solve_line_to_place(passage: str, text: str) -> str:
    line = {place: number for number, place in re.findall(r"Bus (\d) goes to the (\w+)\.", passage)}
    return line[PLACES[re.search(r" wants to (.+)\. Which", text).group(1)]]


# --- faults --------------------------------------------------------------------------------------------------
WAYS = (
    (("bridge", "tunnel", "road", "path", "trail", "street"), ("closed", "blocked", "flooded", "dangerous")),
    (("elevator", "stairway", "escalator", "ramp"), ("closed", "blocked", "broken", "dangerous")),
    (("bus", "train", "tram", "taxi", "ferry", "subway"), ("late", "slow", "out of service", "dangerous")),
)
NUMBERED = {
    "bus": ("full", "late", "slow"),
    "train": ("full", "late", "slow"),
    "room": ("dirty", "noisy", "cold"),
    "table": ("dirty", "broken", "wet"),
    "seat": ("broken", "dirty", "wet"),
    "boat": ("full", "leaky", "slow"),
}
DRAWBACKS = ("boring", "too cold", "too expensive", "too noisy", "too far away", "too crowded", "dangerous")
FAULTS = ("lazy", "rude", "careless", "dishonest", "too slow", "always late", "unfriendly", "unreliable")


def _way(draw: Random) -> Iterator[Item]:
    while True:
        ways, faults = draw.choice(WAYS)
        options, name = two_of(draw, ways), draw.choice(NAMES)
        out, left = draw.sample(options, 2)
        yield Item(
            f"{name} can take the {options[0]} or the {options[1]}. The {out} is {draw.choice(faults)}. "
            f"So {name} takes the",
            left, out,
        )  # fmt: skip


def _solve_way(passage: str, text: str) -> str:
    one, two, out = re.search(r"the (\w+) or the (\w+)\. The (\w+) is", text).groups()
    return other([one, two], out)


def _numbered(draw: Random) -> Iterator[Item]:
    while True:
        thing, name = draw.choice(list(NUMBERED)), draw.choice(NAMES)
        options = draw.sample(range(1, 10), 2)
        out, left = draw.sample(options, 2)
        yield Item(
            f"{name} can take {thing} {options[0]} or {thing} {options[1]}. But {thing} {out} is "
            f"{draw.choice(NUMBERED[thing])}. So {name} takes {thing}",
            str(left), str(out),
        )  # fmt: skip


def _solve_numbered(passage: str, text: str) -> str:
    *options, out = re.findall(r"\d", text)
    return other(options, out)


def _trip(draw: Random) -> Iterator[Item]:
    while True:
        options, name = two_of(draw, CITIES), draw.choice(NAMES)
        out, left = draw.sample(options, 2)
        yield Item(
            f"{name} can fly to {options[0]} or to {options[1]}. {name} thinks that {out} is {draw.choice(DRAWBACKS)}. "
            f"So {name} flies to",
            left, out,
        )  # fmt: skip


def _solve_trip(passage: str, text: str) -> str:
    one, two, out = re.search(r"fly to (\w+) or to (\w+)\. \w+ thinks that (\w+)", text).groups()
    return other([one, two], out)


def _hire(draw: Random) -> Iterator[Item]:
    while True:
        boss, *options = draw.sample(NAMES, 3)
        out, left = draw.sample(options, 2)
        yield Item(
            f"{boss} can hire {options[0]} or {options[1]}. {boss} thinks that {out} is {draw.choice(FAULTS)}. "
            f"So {boss} hires",
            left, out,
        )  # fmt: skip


def _solve_hire(passage: str, text: str) -> str:
    one, two, out = re.search(r"hire (\w+) or (\w+)\. \w+ thinks that (\w+)", text).groups()
    return other([one, two], out)


# --- limits and groups ---------------------------------------------------------------------------------------
def _cheaper(draw: Random) -> Iterator[Item]:
    while True:
        colors, thing = two_of(draw, COLORS), draw.choice(words("bag coat hat cup lamp ball"))
        prices = draw.sample((draw.randint(2, 9), draw.randint(20, 99)), 2)
        cheap, dear = colors if prices[0] < prices[1] else colors[::-1]
        name = draw.choice(NAMES)
        yield Item(
            f"The {colors[0]} {thing} costs ${prices[0]} and the {colors[1]} {thing} costs ${prices[1]}. "
            f"{name} wants to save money. Which {thing} should {name} buy?",
            cheap, dear,
        )  # fmt: skip


def _solve_cheaper(passage: str, text: str) -> str:
    price = {color: int(costs) for color, costs in re.findall(r"he (\w+) \w+ costs \$(\d+)", text)}
    return min(price, key=price.__getitem__)


def _vote(draw: Random) -> Iterator[Item]:
    while True:
        names, (most, least) = draw.sample(NAMES, 3), two_of(draw, CITIES)
        votes = draw.sample((most, most, least), 3)
        text = " ".join(f"{name} votes for {city}." for name, city in zip(names, votes, strict=True))
        yield Item(f"{text} So the group goes to", most, least)


def _solve_vote(passage: str, text: str) -> str:
    return Counter(re.findall(r"votes for (\w+)", text)).most_common(1)[0][0]


def _free_day(draw: Random) -> Iterator[Item]:
    while True:
        (one, two), (both, first, second) = two_of(draw, NAMES), draw.sample(DAYS, 3)
        free, open_ = draw.sample((both, first), 2), draw.sample((both, second), 2)
        yield Item(
            f"On which day should {one} and {two} meet?", both, draw.choice((first, second)),
            f"{one} is free on {free[0]} and {free[1]}. {two} is free on {open_[0]} and {open_[1]}.",
        )  # fmt: skip


def _solve_free_day(passage: str, text: str) -> str:
    (day, _), *_ = Counter(re.findall(r"\w+day", passage)).most_common()
    return day


# --- more goals ----------------------------------------------------------------------------------------------
DEEDS = {
    "get fit": "run",
    "lose weight": "run",
    "train for the race": "run",
    "get some rest": "sleep",
    "be fresh in the morning": "sleep",
    "feel less tired": "sleep",
    "pass the exam": "study",
    "get good grades": "study",
    "be ready for the test": "study",
    "earn some money": "work",
    "pay the rent": "work",
    "make a living": "work",
    "have a hot meal": "cook",
    "make dinner": "cook",
    "serve a good soup": "cook",
    "cross the lake": "swim",
    "reach the island": "swim",
    "know how the story ends": "read",
    "finish the book": "read",
    "enjoy a good novel": "read",
    "join the choir": "sing",
    "perform a song": "sing",
    "feel less hungry": "eat",
    "stop being hungry": "eat",
    "feel less thirsty": "drink",
    "stop being thirsty": "drink",
    "move to the music": "dance",
    "enjoy the waltz": "dance",
    "reach the top of the tree": "climb",
    "reach the top of the mountain": "climb",
}
DEED_RIVALS = (
    {"run", "swim", "dance", "climb", "work"},
    {"study", "read", "work"},
    {"cook", "eat", "work"},
    {"eat", "drink", "sleep"},
    {"sing", "dance", "work"},
    {"sleep", "read"},
)
VEHICLES = {
    "cross the ocean": "ship",
    "cross the sea": "ship",
    "fly to another country": "plane",
    "fly across the world": "plane",
    "slide down a snowy hill": "sled",
    "ride through the desert": "camel",
    "dive to the bottom of the sea": "submarine",
    "travel on rails": "train",
    "fly to the moon": "rocket",
    "travel into space": "rocket",
    "go up to the tenth floor": "elevator",
    "plow a field": "tractor",
    "take forty children to school": "bus",
    "take a sick man to the hospital": "ambulance",
    "cross the river": "boat",
    "row on the lake": "boat",
    "move all the furniture": "truck",
    "ride with a saddle": "horse",
}
VEHICLE_RIVALS = (
    {"ship", "boat", "plane", "submarine"},
    {"plane", "rocket"},
    {"bus", "ambulance", "train", "plane", "boat", "ship", "truck", "tractor", "horse"},
    {"camel", "horse", "bus", "train", "truck"},
    {"elevator", "ambulance"},
    {"tractor", "horse", "camel"},
)
SUPPLIES = {
    "bake a cake": "flour",
    "bake bread": "flour",
    "make an omelet": "eggs",
    "make cheese": "milk",
    "make butter": "milk",
    "make a salad": "lettuce",
    "make wine": "grapes",
    "knit a scarf": "wool",
    "knit a sweater": "wool",
    "build a wall": "bricks",
    "build a house": "bricks",
    "light a fire": "wood",
    "heat the stove": "wood",
    "feed the horse": "hay",
    "feed the cows": "hay",
    "feed the dog": "bones",
    "sweeten the tea": "sugar",
    "make candy": "sugar",
    "repair the window": "glass",
    "make a mirror": "glass",
    "make a ring": "gold",
    "make jewelry": "gold",
    "make french fries": "potatoes",
    "make lemonade": "lemons",
    "paint the wall": "paint",
    "paint the door": "paint",
    "drive the car": "gasoline",
    "fill up the car": "gasoline",
    "wash the clothes": "soap",
    "wash dirty hands": "soap",
    "wrap a present": "paper",
    "write a letter": "paper",
}
SUPPLY_RIVALS = (
    {"flour", "eggs", "milk", "lettuce", "grapes", "sugar", "potatoes", "lemons", "hay"},
    {"bones", "eggs", "milk", "flour", "potatoes"},
    {"wood", "paper", "hay", "gasoline"},
    {"bricks", "wood", "glass", "hay"},
    {"wood", "gold", "glass", "bones"},
    {"paper", "wool"},
    {"soap", "lemons", "gasoline"},
    {"paint", "gold"},
)


TASKS = (
    Task("tool_for_purpose", FUNCTION, "passage", "noun", _tool, _solve_tool),
    Task(
        "place_for_goal",
        FUNCTION,
        "question",
        "place",
        _choosing(
            PLACES,
            PLACE_RIVALS,
            "{name} can go to the {options[0]} or the {options[1]}. Where should {name} go to {goal}?",
        ),
        _by_goal(PLACES, "go to (?!the )"),
    ),
    Task("helper_for_need", FUNCTION, "completion", "noun", _helper, _solve_helper),
    Task("study_for_career", FUNCTION, "question", "noun", _career, _solve_career),
    Task("way_without_fault", FUNCTION, "completion", "noun", _way, _solve_way),
    Task("number_without_fault", FUNCTION, "completion", "number", _numbered, _solve_numbered),
    Task("trip_without_drawback", FUNCTION, "completion", "place", _trip, _solve_trip),
    Task("hire_without_fault", FUNCTION, "completion", "name", _hire, _solve_hire),
    Task("bus_for_goal", FUNCTION, "passage", "number", _line_to_place, _solve_line_to_place),
    Task("cheaper_of_two", FUNCTION, "question", "adjective", _cheaper, _solve_cheaper),
    Task("majority_vote", FUNCTION, "completion", "place", _vote, _solve_vote),
    Task("free_day", FUNCTION, "passage", "noun", _free_day, _solve_free_day),
    Task(
        "deed_for_goal",
        FUNCTION,
        "passage",
        "inflected",
        _choosing(
            DEEDS, DEED_RIVALS, "What should {name} do to {goal}?", "{name} can {options[0]} or {options[1]} now."
        ),
        _by_goal(DEEDS, "do to "),
    ),
    Task(
        "vehicle_for_goal",
        FUNCTION,
        "question",
        "noun",
        _choosing(
            VEHICLES,
            VEHICLE_RIVALS,
            "{name} can take the {options[0]} or the {options[1]}. What should {name} take to {goal}?",
        ),
        _by_goal(VEHICLES, "take to "),
    ),
    Task(
        "supply_for_goal",
        FUNCTION,
        "question",
        "noun",
        _choosing(
            SUPPLIES,
            SUPPLY_RIVALS,
            "{name} can buy {options[0]} or {options[1]}. What should {name} buy to {goal}?",
        ),
        _by_goal(SUPPLIES, "buy to "),
    ),
)
