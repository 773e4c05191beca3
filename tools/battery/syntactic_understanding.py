"""Tasks that call for grammar."""

import re
from collections.abc import Iterator
from itertools import count
from random import Random

from battery.task import Item, Task
from battery.words import CITIES, MEN, NAMES, WOMEN

FUNCTION = "syntactic_understanding"

VERBS = """
sing sang
write wrote
eat ate
drink drank
go went
come came
see saw
take took
give gave
drive drove
ride rode
swim swam
run ran
begin began
speak spoke
break broke
steal stole
choose chose
wake woke
fly flew
grow grew
know knew
throw threw
draw drew
fall fell
forget forgot
hide hid
bite bit
shake shook
wear wore
buy bought
bring brought
think thought
teach taught
catch caught
fight fought
sleep slept
keep kept
feel felt
leave left
meet met
send sent
spend spent
build built
lend lent
lose lost
win won
sit sat
stand stood
tell told
sell sold
find found
hold held
hear heard
make made
pay paid
say said
feed fed
lead led
dig dug
swing swung
freeze froze
stick stuck
rise rose
walk walked
talk talked
work worked
play played
help helped
call called
ask asked
dance danced
laugh laughed
smile smiled
cook cooked
clean cleaned
wait waited
shout shouted
stop stopped
study studied
cry cried
try tried
carry carried
travel traveled
paint painted
listen listened
"""
"""Base form, past tense."""
_VERBS = [tuple(line.split()) for line in VERBS.split("\n") if line]
_PAST = dict(_VERBS)


def _past(draw: Random) -> Iterator[Item]:
    for base, past in draw.sample(_VERBS, len(_VERBS)):
        yield Item(f'What is the past tense of "{base}"?', past, base)


def _solve_past(passage: str, text: str) -> str:
    return _PAST[text.split('"')[1]]


def _ing(base: str) -> str:
    if base.endswith("e") and not base.endswith("ee"):
        return base[:-1] + "ing"
    doubled = ("swim", "run", "forget", "sit", "win", "dig", "stop")
    return base + (base[-1] if base in doubled or base in ("begin",) else "") + "ing"


NOUNS = """
child children
man men
woman women
foot feet
tooth teeth
goose geese
mouse mice
ox oxen
leaf leaves
knife knives
wife wives
wolf wolves
shelf shelves
loaf loaves
thief thieves
calf calves
half halves
city cities
baby babies
story stories
lady ladies
party parties
country countries
family families
cherry cherries
fly flies
puppy puppies
berry berries
army armies
box boxes
fox foxes
bus buses
church churches
dish dishes
watch watches
glass glasses
class classes
dress dresses
brush brushes
potato potatoes
tomato tomatoes
hero heroes
dog dogs
cat cats
horse horses
house houses
tree trees
book books
car cars
table tables
chair chairs
door doors
window windows
hand hands
key keys
boy boys
girl girls
friend friends
teacher teachers
doctor doctors
bird birds
flower flowers
river rivers
hill hills
road roads
ship ships
plane planes
train trains
star stars
shirt shirts
hat hats
cup cups
plate plates
spoon spoons
apple apples
orange oranges
pencil pencils
letter letters
picture pictures
song songs
game games
"""
_NOUNS = [tuple(line.split()) for line in NOUNS.split("\n") if line]
_PLURAL = dict(_NOUNS)
_SINGULAR = {plural: noun for noun, plural in _NOUNS}


def _plural(draw: Random) -> Iterator[Item]:
    for noun, plural in draw.sample(_NOUNS, len(_NOUNS)):
        yield Item(f'What is the plural of "{noun}"?', plural, noun)


def _solve_plural(passage: str, text: str) -> str:
    return _PLURAL[text.split('"')[1]]


ROLES = (
    "nurse", "guard", "farmer", "sailor", "teacher", "doctor", "lawyer", "singer", "waiter", "painter",
    "soldier", "driver", "baker", "pilot", "king", "queen", "boy", "girl", "student", "clerk", "judge",
    "actor", "hunter", "butcher",
)  # fmt: skip


def _agreement(draw: Random) -> Iterator[Item]:
    for n in count():
        head, other = draw.sample(ROLES, 2)
        link = draw.choice(("near", "behind", "next to", "in front of"))
        plural = n % 2 == 0
        words = (f"{head}s", other) if plural else (head, f"{other}s")
        yield Item(f"The {words[0]} {link} the {words[1]}", *(("are", "is") if plural else ("is", "are")))


def _solve_agreement(passage: str, text: str) -> str:
    return "are" if text.split()[1].endswith("s") else "is"


def _third_of(verb: str) -> str:
    if verb.endswith(("sh", "ch", "ss", "o")):
        return verb + "es"
    return verb[:-1] + "ies" if verb.endswith(("dy", "ry", "ly")) else verb + "s"


DAILY = (
    "sing", "write", "eat", "drink", "drive", "ride", "swim", "run", "speak", "fly", "hide", "draw", "dig", "sleep",
    "fight", "win", "stand", "sit", "think", "teach", "walk", "talk", "work", "play", "help", "dance", "laugh", "smile",
    "cook", "clean", "wait", "shout", "study", "cry", "travel", "paint", "listen", "build",
)  # fmt: skip


def _tense(draw: Random) -> Iterator[Item]:
    while True:
        verb, name = draw.choice(DAILY), draw.choice(NAMES)
        question, answer = draw.choice(
            (
                (f"What did {name} do yesterday?", _PAST[verb]),
                (f"What does {name} do every day?", _third_of(verb)),
                (f"What is {name} doing now?", _ing(verb)),
            )
        )
        yield Item(question, answer, verb, f"{name} likes to {verb}.")


def _solve_tense(passage: str, text: str) -> str:
    verb = passage.removesuffix(".").split()[-1]
    return {"did": _PAST[verb], "does": _third_of(verb), "is": _ing(verb)}[text.split()[1]]


ADJECTIVES = """
tall taller tallest
short shorter shortest
old older oldest
young younger youngest
big bigger biggest
small smaller smallest
fast faster fastest
slow slower slowest
rich richer richest
poor poorer poorest
strong stronger strongest
weak weaker weakest
happy happier happiest
sad sadder saddest
kind kinder kindest
brave braver bravest
clever cleverer cleverest
smart smarter smartest
funny funnier funniest
nice nicer nicest
loud louder loudest
quiet quieter quietest
thin thinner thinnest
strict stricter strictest
busy busier busiest
lazy lazier laziest
angry angrier angriest
lucky luckier luckiest
good better best
bad worse worst
heavy heavier heaviest
light lighter lightest
calm calmer calmest
tough tougher toughest
wise wiser wisest
proud prouder proudest
"""
_DEGREES = {row[0]: row for row in (tuple(line.split()) for line in ADJECTIVES.split("\n") if line)}


def _degree(draw: Random) -> Iterator[Item]:
    while True:
        positive, comparative, superlative = draw.choice(list(_DEGREES.values()))
        a, b = draw.sample(NAMES, 2)
        if draw.random() < 0.5:
            yield Item(f"{a} is {positive}, but {b} is even", comparative, positive)
        else:
            yield Item(f"{a} is {positive}. Of all of us, {a} is the", superlative, positive)


def _solve_degree(passage: str, text: str) -> str:
    positive = re.search(r"is (\w+)", text)[1]
    return _DEGREES[positive][1 if text.endswith("even") else 2]


PRONOUNS = (("I", "me"), ("he", "him"), ("she", "her"), ("we", "us"), ("they", "them"))
ACTIONS = (
    "helped", "visited", "greeted", "met", "called", "thanked", "liked", "followed", "chased", "joined", "missed",
    "praised", "invited", "hugged",
)  # fmt: skip
"""None takes a clause: the foil would be right in "and I heard they left"."""


def _case(draw: Random) -> Iterator[Item]:
    while True:
        (a, a_object), (b, b_object) = draw.sample(PRONOUNS, 2)
        first, second = draw.sample(ACTIONS, 2)
        if (a, b) not in (("I", "we"), ("we", "I")):
            yield Item(f"{a[0].upper()}{a[1:]} {first} {b_object}, and {b} {second}", a_object, a)


def _solve_case(passage: str, text: str) -> str:
    subject = text.split()[0]
    return dict(PRONOUNS)[subject if subject == "I" else subject.lower()]


TRANSITIVE = (
    "helped", "thanked", "called", "followed", "pushed", "visited", "kissed", "painted", "carried", "invited", "paid",
    "hit", "caught", "taught", "greeted", "chased", "hugged", "kicked", "watched", "saved",
)  # fmt: skip


def _pronoun(draw: Random) -> Iterator[Item]:
    states = (
        "late", "tired", "hungry", "ill", "happy", "sad", "angry", "cold", "lost", "alone", "busy", "early",
    )  # fmt: skip
    while True:
        woman, man = draw.choice(WOMEN), draw.choice(MEN)
        a, b = draw.sample((woman, man), 2)
        she = draw.random() < 0.5
        answer, foil = (woman, man) if she else (man, woman)
        state = draw.choice(states)
        verb = draw.choice(ACTIONS)
        yield Item(f"Who was {state}?", answer, foil, f"{a} {verb} {b}. {'She' if she else 'He'} was {state}.")


def _solve_pronoun(passage: str, text: str) -> str:
    names = re.findall(r"[A-Z]\w+", passage.split(".")[0])
    return next(name for name in names if (name in WOMEN) == (" She " in passage))


def _relative(draw: Random) -> Iterator[Item]:
    while True:
        a, b = draw.sample(ROLES, 2)
        past = draw.choice(TRANSITIVE)
        did = draw.choice(
            ["sang", "laughed", "slept", "fell", "cried", "smiled", "left", "danced", "shouted", "coughed"]
        )
        answer, foil, said = draw.choice(
            (
                (a, b, f"The {a} who {past} the {b} {did}."),
                (a, b, f"The {a} whom the {b} {past} {did}."),
                (b, a, f"The {a} {past} the {b} who {did}."),
                (b, a, f"The {a} was {past} by the {b} who {did}."),
            )
        )
        yield Item(f"Who {did}?", answer, foil, said)


def _solve_relative(passage: str, text: str) -> str:
    words = re.findall(r"\w+", passage)
    return words[1] if words[2] in ("who", "whom") else words[words.index("who") - 1]


def _reflexive(draw: Random) -> Iterator[Item]:
    people = (("girl", "herself"), ("boy", "himself"), ("woman", "herself"), ("man", "himself"))
    people += (("girls", "themselves"), ("boys", "themselves"), ("women", "themselves"), ("men", "themselves"))
    people += (("queen", "herself"), ("king", "himself"), ("kings", "themselves"), ("queens", "themselves"))
    while True:
        (head, own), (other, lure) = draw.sample(people, 2)
        link = draw.choice(("near", "behind", "next to"))
        verb = draw.choice(("hurt", "saw", "washed", "blamed", "praised", "helped", "cut", "burned"))
        if own != lure:
            yield Item(f"The {head} {link} the {other} {verb}", own, lure)


def _solve_reflexive(passage: str, text: str) -> str:
    head = text.split()[1]
    if head.endswith("s") or head in ("men", "women"):
        return "themselves"
    return "herself" if head in ("girl", "woman", "queen") else "himself"


SEEN = (
    "dog", "cat", "horse", "bird", "fox", "mouse", "goose", "wolf", "boy", "girl", "child", "key", "book",
    "car", "chair", "table", "cup", "plate", "box", "hat", "apple",
)  # fmt: skip


def _those(draw: Random) -> Iterator[Item]:
    while True:
        one, many = draw.sample(SEEN, 2)
        first, second = draw.sample((f"the {one}", f"the {_PLURAL[many]}"), 2)
        if draw.random() < 0.5:
            yield Item(f"Look at {first} and {second}. Those are the", _PLURAL[many], one)
        else:
            yield Item(f"Look at {first} and {second}. That is the", one, _PLURAL[many])


def _solve_those(passage: str, text: str) -> str:
    nouns = re.search(r"the (\w+) and the (\w+)", text).groups()
    return next(noun for noun in nouns if (noun in _SINGULAR) == ("Those" in text))


DID = ("sang", "laughed", "slept", "fell", "cried", "smiled", "left", "danced", "shouted", "coughed")


def _adjective(draw: Random) -> Iterator[Item]:
    while True:
        adjective, noun, verb = draw.choice([a for a in _DEGREES if a != "light"]), draw.choice(ROLES), draw.choice(DID)
        said, foil = draw.choice(
            (
                (f"The {adjective} {noun} {verb}", noun),
                (f"The {adjective} {noun} {verb}", verb),
                (f"The {noun} is {adjective}", noun),
                (f"The {noun} who {verb} is {adjective}", verb),
            )
        )
        yield Item("Which word is the adjective?", adjective, foil, f"{said}.")


def _solve_adjective(passage: str, text: str) -> str:
    words = re.findall(r"\w+", passage)
    return next(word for word in words if word not in ("The", "who", "is", *ROLES, *DID))


def _cities(draw: Random) -> Iterator[Item]:
    while True:
        a, b = draw.sample(CITIES, 2)
        passive = draw.random() < 0.5
        said = f"{a} {'was beaten by' if passive else 'beat'} {b}"
        day = draw.choice(("on Friday", "on Sunday", "last week", "in the final", "in March", "this year"))
        answer, foil = (b, a) if passive else (a, b)
        yield Item(f"{said} {day}. The winner was", answer, foil)


def _solve_cities(passage: str, text: str) -> str:
    a, b = re.search(r"(\w+) (?:was beaten by|beat) (\w+)", text).groups()
    return b if " by " in text else a


def _numbers(draw: Random) -> Iterator[Item]:
    while True:
        name = draw.choice(NAMES)
        a, b = draw.sample(range(2, 10), 2)
        thing = draw.choice(("pens", "books", "apples", "coins", "stamps", "cards", "cups", "hats"))
        given = draw.random() < 0.5
        first = f"{name} gave {a} {thing} and was given {b}."
        if given:
            first = f"{name} was given {b} {thing} and gave {a}."
        asked = draw.randrange(2)
        question = f"How many {thing} did {name} {('give', 'get')[asked]}?"
        yield Item(question, str((a, b)[asked]), str((b, a)[asked]), first)


def _solve_numbers(passage: str, text: str) -> str:
    if text.endswith("get?"):
        return re.search(r"was given (\d)", passage)[1]
    return re.search(r"gave (\d)", passage)[1]


TASKS = (
    Task("past_tense", FUNCTION, "question", "inflected", _past, _solve_past),
    Task("plural", FUNCTION, "question", "inflected", _plural, _solve_plural),
    Task("tense_of_question", FUNCTION, "passage", "inflected", _tense, _solve_tense),
    Task("adjective_in_sentence", FUNCTION, "passage", "adjective", _adjective, _solve_adjective),
    Task("verb_across_noun", FUNCTION, "completion", "inflected", _agreement, _solve_agreement),
    Task("pronoun_case", FUNCTION, "completion", "inflected", _case, _solve_case),
    Task("noun_by_number", FUNCTION, "completion", "noun", _those, _solve_those),
    Task("comparison", FUNCTION, "completion", "inflected", _degree, _solve_degree),
    Task("reflexive", FUNCTION, "completion", "inflected", _reflexive, _solve_reflexive),
    Task("pronoun_by_gender", FUNCTION, "passage", "name", _pronoun, _solve_pronoun),
    Task("relative_clause", FUNCTION, "passage", "noun", _relative, _solve_relative),
    Task("number_by_voice", FUNCTION, "passage", "number", _numbers, _solve_numbers),
    Task("winner_by_voice", FUNCTION, "completion", "place", _cities, _solve_cities),
)
