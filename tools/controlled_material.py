"""Hand-written material of the built-in question set: names, tables, acts by topic, and sentence forms.

1. Tables (synonyms, world facts, counts, gestures, ...) are what the rules in `make_controlled` look up.
2. A `Topic` holds acts: what people will do (who), how many things (number), which thing (noun).
3. A `Form` is one sentence for one function and one kind of answer, with the rule that solves it.

Adding scenarios is adding a topic here. This file does not know which function an act is used for: every act
is asked by all eight, in the same words.
"""

from dataclasses import dataclass

GIRLS = ("Anna", "Clara", "Emma", "Julia", "Laura", "Maria", "Nora", "Sara", "Tina", "Vera", "Ruth", "Lucy")
BOYS = ("Adam", "Ben", "Carl", "David", "Felix", "Henry", "Jack", "Leo", "Mark", "Oscar", "Paul", "Tom")

_UP_TO_TEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_UP_TO_TWENTY = (
    "eleven",
    "twelve",
    *(f"{n}teen" for n in ("thir", "four", "fif", "six", "seven", "eigh", "nine")),
)
NUMBER_WORDS = (*_UP_TO_TEN, *_UP_TO_TWENTY, "twenty")
ANSWER_NUMBERS = (2, 3, 4, 5, 6, 8, 10, 12)
"""The numbers that are answers, the same for every function: those a word or a known count can stand for."""

# --- semantic understanding: words and what they mean ---------------------------------------------------
SYNONYMS = {
    "feeling": {
        "weary": "tired",
        "furious": "angry",
        "joyful": "happy",
        "frightened": "scared",
        "famished": "hungry",
        "unwell": "sick",
    },
    "nature": {
        "courageous": "brave",
        "wealthy": "rich",
        "amusing": "funny",
        "silent": "quiet",
        "clever": "smart",
        "speedy": "fast",
    },
    "job": {
        "a physician": "doctor",
        "an attorney": "lawyer",
        "an author": "writer",
        "an instructor": "teacher",
        "a vocalist": "singer",
        "a mariner": "sailor",
    },
}
COUNT_WORDS = {
    "a pair of {nouns}": 2,
    "a couple of {nouns}": 2,
    "one {noun} for each of the twins": 2,
    "a trio of {nouns}": 3,
    "one {noun} for each of the triplets": 3,
    "one {noun} for each player in a quartet": 4,
    "one {noun} for each of the quadruplets": 4,
    "one {noun} for each of the quintuplets": 5,
    "one {noun} for each player in a quintet": 5,
    "half a dozen {nouns}": 6,
    "one {noun} for each player in a sextet": 6,
    "one {noun} for each singer in an octet": 8,
    "one {noun} for each player in an octet": 8,
    "one {noun} for each year in a decade": 10,
    "a dozen {nouns}": 12,
}
NICKNAMES = ("the usual", "the old favourite", "the classic", "the safe bet", "the champion")

# --- knowledge recall: facts of the world ---------------------------------------------------------------
WORLD_FACTS = {
    "born": {
        "Paris": "France",
        "Rome": "Italy",
        "Madrid": "Spain",
        "London": "England",
        "Berlin": "Germany",
        "Tokyo": "Japan",
        "Moscow": "Russia",
        "Cairo": "Egypt",
        "Athens": "Greece",
        "Lisbon": "Portugal",
    },
    "keeps": {
        "bees": "make honey",
        "hens": "cluck",
        "cows": "moo",
        "sheep": "give wool",
        "spiders": "spin webs",
        "dogs": "bark",
        "goldfish": "live in water",
    },
    "month": {
        "January": "first",
        "March": "third",
        "May": "fifth",
        "June": "sixth",
        "October": "tenth",
        "December": "twelfth",
    },
    "speaks": {
        "Spanish": "Mexico",
        "Portuguese": "Brazil",
        "German": "Austria",
        "English": "Australia",
        "Arabic": "Egypt",
        "Mandarin": "China",
    },
}
"""Within a table no value may be true of two entries: hens, goldfish and bees all lay eggs, so no one does here."""
WORLD_COUNTS = {
    ("wheel on a bicycle", "a bicycle has wheels"): 2,
    ("wing of a bird", "a bird has wings"): 2,
    ("side of a triangle", "a triangle has sides"): 3,
    ("wheel on a tricycle", "a tricycle has wheels"): 3,
    ("season of the year", "a year has seasons"): 4,
    ("leg of a dog", "a dog has legs"): 4,
    ("side of a square", "a square has sides"): 4,
    ("toe on one foot", "a foot has toes"): 5,
    ("ring in the Olympic logo", "the Olympic logo has rings"): 5,
    ("leg of an ant", "an ant has legs"): 6,
    ("side of a hexagon", "a hexagon has sides"): 6,
    ("face of a cube", "a cube has faces"): 6,
    ("leg of a spider", "a spider has legs"): 8,
    ("planet that circles our sun", "our sun has planets"): 8,
    ("arm of an octopus", "an octopus has arms"): 8,
    ("toe on two feet", "two feet have toes"): 10,
    ("millimetre in a centimetre", "a centimetre has millimetres"): 10,
    ("month of the year", "a year has months"): 12,
    ("number on a clock face", "a clock face has numbers"): 12,
}


@dataclass(frozen=True)
class Category:
    """Things of one sort that can be chosen: item -> (what is known of it, another word for it or "")."""

    name: str
    items: dict[str, tuple[str, str]]
    aims: tuple[str, str]
    article: str = "the "


# Each block: category | article | two aims; then item | what the world knows of it | another word
CATEGORY_TEXT = """
animal | the | calm | clean
dog | that barks | hound
cat | that purrs | feline
cow | that moos
sheep | that gives wool | ewe
hen | that clucks
horse | that wears a saddle | mare
pig | that oinks | hog
duck | that quacks

fruit | the | ripe | cheap
banana | that is long, yellow and curved
lemon | that is yellow and very sour
pineapple | that has a crown of spiky leaves
coconut | that has a hard brown shell and milk inside
orange | that marmalade is usually made from
apple | that Snow White bit into
plum | that is called a prune when dried

drink | the | fresh | cheap
tea | that is made from leaves in hot water
coffee | that is made from roasted beans
milk | that comes from cows
water | that falls as rain
cocoa | that tastes of chocolate
lemonade | that is made from lemons and sugar

colour | | in stock | in fashion
red | of ripe strawberries
blue | of a clear sky
green | of fresh grass
yellow | of ripe lemons
white | of fresh snow
black | of coal
pink | of a flamingo
brown | of chocolate

tool | the | clean | light
hammer | that drives in nails
saw | that cuts wood with its teeth
spade | that is used for digging | shovel
broom | that is used for sweeping
ladder | that has rungs
axe | that chops firewood | hatchet

instrument | the | in tune | cheap
piano | that has black and white keys
violin | that is held under the chin | fiddle
drum | that is beaten with sticks
trumpet | that is made of brass and blown
flute | that is held sideways and blown
guitar | that has six strings

vehicle | the | clean | cheap
train | that runs on rails
bicycle | that has two wheels and pedals | bike
plane | that flies | aircraft
car | that most taxi drivers drive | automobile
ship | that sails across the sea | vessel
bus | that has two decks and is red in London | coach

game | | popular | short
chess | that has kings, queens and pawns
football | in which players kick a ball into a goal
tennis | that is played at Wimbledon
golf | that has eighteen holes
hockey | that is played with curved sticks
bowling | in which ten pins are knocked down

flower | the | fresh | cheap
rose | that has thorns
tulip | that Holland is famous for
sunflower | that turns towards the sun
lavender | that is purple and scents soap
daisy | that children link into chains

vegetable | the | fresh | cheap
carrot | that is long and orange
onion | that makes cooks cry
potato | that chips and crisps are made from | spud
pumpkin | that is carved at Halloween
garlic | that vampires are said to fear
corn | that popcorn is made from | maize

garment | the | clean | light
hat | that goes on the head
scarf | that goes round the neck
belt | that holds up trousers
apron | that cooks wear in the kitchen
coat | that is worn over a suit in winter | overcoat
shirt | that has a collar and goes with a tie

room | the | small | empty
kitchen | where meals are cooked
bathroom | where people take a shower | washroom
bedroom | where people sleep at night
garage | where cars are kept
attic | right under the roof | loft
cellar | below the ground | basement

shape | the | easy | popular
circle | that is perfectly round
triangle | that has three sides
square | that has four equal sides
heart | that stands for love
star | that shines in the night sky
cross | that stands on top of churches
"""


def _category(block: str) -> Category:
    head, *rows = [[part.strip() for part in line.split("|")] for line in block.splitlines()]
    name, article, *aims = head
    items = {item: (clue, word[0] if word else "") for item, clue, *word in rows}
    return Category(name, items, tuple(aims), article + " " if article else "")


CATEGORIES = {c.name: c for c in map(_category, CATEGORY_TEXT.strip().split("\n\n"))}

# --- logical reasoning: states, memberships, things held ------------------------------------------------
STATES = {
    "the shop is open": ("the shop is open", "the shop is not open"),
    "the radio is broken": ("the radio is broken", "the radio is not broken"),
    "the list is complete": ("the list is complete", "the list is not complete"),
    "the clock is right": ("the clock is right", "the clock is not right"),
    "the phone is charged": ("the phone is charged", "the phone is not charged"),
    "the road is closed": ("the road is closed", "the road is not closed"),
}
"""What holds now, so that "if ..., and if not ...; it does" needs no change of tense (unlike "if it rains")."""
MEMBERS = {
    "Everyone in boots": ("is in boots", "is not in boots"),
    "Everyone with a badge": ("has a badge", "has no badge"),
    "Everyone on the team": ("is on the team", "is not on the team"),
    "Everyone with a locker": ("has a locker", "has no locker"),
    "Everyone in the choir": ("is in the choir", "is not in the choir"),
    "Everyone in the front row": ("is in the front row", "is not in the front row"),
}
HELD = ("key", "whistle", "rope", "marble", "medal", "feather", "red ribbon", "blue ribbon", "pebble", "compass")

# --- decision-making: aims for people --------------------------------------------------------------------
PERSON_AIMS = (
    ("strong", "free"),
    ("careful", "free"),
    ("tall", "strong"),
    ("patient", "punctual"),
    ("skilled", "free"),
)
"""None of these may clash with a SYNONYMS attribute, since one passage may say both of a person."""

# --- inference: what behaviour implies (schema: +1 is going to, -1 is not) -------------------------------
PERSON_SIGNS = {
    "smiled and nodded": 1,
    "jumped up at once": 1,
    "rolled up {his} sleeves": 1,
    "shouted with joy": 1,
    "raised {his} hand at once": 1,
    "shook {his} head": -1,
    "yawned and left": -1,
    "slipped away": -1,
    "hid behind a newspaper": -1,
    "groaned and sat down": -1,
}
HINDRANCES = (
    "is in bed with a fever",
    "is in hospital",
    "will be abroad then",
    "has caught the flu",
    "has moved far away",
)
THING_SIGNS = {
    "smiled at": 1,
    "beamed at": 1,
    "cheered for": 1,
    "nodded at": 1,
    "frowned at": -1,
    "yawned at": -1,
    "turned away from": -1,
    "sighed at": -1,
}
GESTURES = (
    "held up {n} fingers",
    "clapped {n} times",
    "drew {n} small circles",
    "tapped the table {n} times",
    "made {n} chalk marks",
    "whistled {n} times",
)


@dataclass(frozen=True)
class Topic:
    """What people plan in one setting.

    ``who`` holds (verb phrase, -ing form), ``number`` (verb, thing, things), ``noun`` (verb, category).
    """

    name: str
    intros: tuple[str, ...]
    when: str
    who: tuple[tuple[str, str], ...]
    number: tuple[tuple[str, str, str], ...]
    noun: tuple[tuple[str, str], ...]


# Each block: topic name, when it is; then lines of openings and of acts, as many lines of a sort as it takes
TOPIC_TEXT = """
topic farm, on the farm visit
intro A class is visiting a farm; The farm visit is on Friday
intro The children are spending a day on a farm; This is the plan for the farm visit
who feed the hens, feeding the hens; milk the cow, milking the cow; close the gate, closing the gate
who carry the hay, carrying the hay; clean the stable, cleaning the stable
who drive the tractor, driving the tractor
number collect, egg, eggs; fill, bucket, buckets; bring, sack, sacks; mend, fence, fences
number plant, tree, trees
noun stroke, animal; use, tool; draw, animal; eat, fruit

topic kitchen, for the big dinner
intro The family is cooking a big dinner; Many guests are coming to dinner
intro The big dinner is on Sunday; This is the plan for the big dinner
who bake the bread, baking the bread; wash the glasses, washing the glasses
who set the table, setting the table; stir the soup, stirring the soup
who light the candles, lighting the candles; carve the roast, carving the roast
number fill, bowl, bowls; bring, chair, chairs; bake, pie, pies; polish, spoon, spoons
number peel, carrot, carrots
noun chop, vegetable; serve, drink; slice, fruit; wear, garment

topic party, for the birthday party
intro Some friends are planning a birthday party; The birthday party is on Saturday
intro Grandmother's birthday party is coming up; This is the plan for the birthday party
who order the cake, ordering the cake; hide the presents, hiding the presents
who choose the music, choosing the music; hire the clown, hiring the clown
who decorate the hall, decorating the hall; plan the games, planning the games
number blow up, balloon, balloons; write, card, cards; wrap, gift, gifts; bring, candle, candles
number learn, song, songs
noun wear, colour; bring, instrument; cut out, shape; order, drink

topic garden, on gardening day
intro The neighbours share a garden; The garden needs work
intro Gardening day is on Saturday; This is the plan for gardening day
who water the lawn, watering the lawn; sweep the path, sweeping the path
who trim the hedge, trimming the hedge; burn the leaves, burning the leaves
who paint the bench, painting the bench; clean the pond, cleaning the pond
number plant, bush, bushes; fill, pot, pots; dig, hole, holes; build, nest box, nest boxes
number move, stone, stones
noun plant, flower; fetch, tool; harvest, vegetable; pick, flower

topic camping, on the camping trip
intro Some friends are going camping; The camping trip starts on Friday
intro The scouts are camping by a lake; This is the plan for the camping trip
who pitch the tent, pitching the tent; light the fire, lighting the fire; carry the map, carrying the map
who fetch the water, fetching the water; cook the beans, cooking the beans
who guard the camp, guarding the camp
number pack, blanket, blankets; bring, torch, torches; gather, log, logs; carry, bottle, bottles
number catch, trout, trout
noun pack, tool; take along, fruit; play, game; bring, instrument

topic sports day, on sports day
intro The school is holding a sports day; Sports day is next week
intro Everyone is ready for sports day; This is the plan for sports day
who start the race, starting the race; keep the score, keeping the score
who carry the flag, carrying the flag; hand out the prizes, handing out the prizes
who mark the lanes, marking the lanes; lead the team, leading the team
number run, lap, laps; bring, ball, balls; set up, goal, goals; throw, ring, rings
number jump over, hurdle, hurdles
noun play, game; wear, colour; bring, drink; eat, fruit

topic concert, at the village concert
intro The village is holding a concert; The village concert is on Sunday
intro The concert in the village is coming up; This is the plan for the village concert
who check the tickets, checking the tickets; sing the first song, singing the first song
who tune the piano, tuning the piano; greet the guests, greeting the guests
who turn the pages, turning the pages; dim the lights, dimming the lights
number sing, song, songs; reserve, seat, seats; meet, friend, friends; play, tune, tunes
number hang, poster, posters
noun play, instrument; wear, garment; order, drink; wear, colour

topic school play, at the school play
intro The drama club is putting on a school play; The school play opens soon
intro Parents are invited to the school play; This is the plan for the school play
who play the king, playing the king; move the castle, moving the castle
who draw the curtain, drawing the curtain; hand out the costumes, handing out the costumes
who ring the bell, ringing the bell; prompt the actors, prompting the actors
number recite, poem, poems; hold up, mask, masks; speak, line, lines; carry, sword, swords; sing, song, songs
noun wear, garment; play the part of, animal; hold up, shape; carry, tool

topic market, on market day
intro The youth club has a market stall; Market day is tomorrow
intro Some friends are opening a market stall; This is the plan for market day
who count the money, counting the money; load the van, loading the van
who weigh the apples, weighing the apples; paint the sign, painting the sign
who wrap the cheese, wrapping the cheese; call out the prices, calling out the prices
number sell, jar, jars; stack, crate, crates; buy, loaf, loaves; fold, bag, bags; weigh, melon, melons
noun buy, vegetable; sell, flower; sell, fruit; borrow, vehicle

topic house, on moving day
intro The family is moving house; Moving day is on Monday
intro Friends are helping on moving day; This is the plan for moving day
who roll up the carpet, rolling up the carpet; pack the books, packing the books
who take down the mirror, taking down the mirror; drive the van, driving the van
who water the plants, watering the plants; lock the front door, locking the front door
number carry, box, boxes; clean, window, windows; hang, lamp, lamps; sell, shelf, shelves
number wrap, plate, plates
noun clean, room; use, tool; pack, garment; take, vehicle

topic beach, at the beach
intro Some cousins are going to the beach; The cousins will meet at the beach
intro A day at the beach lies ahead; This is the plan for the day at the beach
who dig the moat, digging the moat; carry the basket, carrying the basket
who row the boat, rowing the boat; watch the bags, watching the bags; fly the kite, flying the kite
who hold the umbrella, holding the umbrella
number collect, shell, shells; build, sandcastle, sandcastles; spread out, towel, towels
number buy, ice cream, ice creams; eat, sandwich, sandwiches
noun draw, shape; play, game; wear, garment; eat, fruit

topic trip, on the city trip
intro A class is going to the city; The city trip is next week
intro Some friends are visiting the city; This is the plan for the city trip
who buy the stamps, buying the stamps; read the map, reading the map
who carry the camera, carrying the camera; keep the passports, keeping the passports
who wake the others, waking the others; pay the driver, paying the driver
number send, letter, letters; visit, museum, museums; buy, ticket, tickets; take, picture, pictures
number cross, bridge, bridges
noun take, vehicle; wear, garment; draw, animal; order, drink
"""


def _topic(block: str) -> Topic:
    head, *lines = block.splitlines()
    name, when = head.removeprefix("topic ").split(", ")
    rows: dict[str, list[tuple[str, ...]]] = {"intro": [], "who": [], "number": [], "noun": []}
    for line in lines:
        sort, _, cells = line.partition(" ")
        rows[sort] += [tuple(part.strip() for part in cell.split(",")) for cell in cells.split(";")]
    intros = tuple(intro for (intro,) in rows["intro"])
    return Topic(name, intros, when, tuple(rows["who"]), tuple(rows["number"]), tuple(rows["noun"]))


TOPICS = tuple(map(_topic, TOPIC_TEXT.strip().split("\n\n")))


@dataclass(frozen=True)
class Form:
    """One sentence for one function and kind of answer; ``rule`` solves it, with ``key`` as its parameter."""

    function: str
    kind: str
    rule: str
    text: str
    key: str = ""


# Each block: function and kind; then rule (with its key) | sentence.
# Slots: {A} the person asked about and {B} another; {x} {y} {one} {two} values; {vp} {vping} {v} {nouns}
# {noun} {cat} from the act; the others are drawn by the rule.
FORM_TEXT = """
retrieval who
lookup | {x} will {vp}.
lookup | {x} will {vp}, but {y} will not.
lookup | The group wants {x} to {vp}, and {he} will.
lookup | Asked who will {vp}, {y} named {x}.
lookup | {x} will {vp} this time.
lookup | Not {y} but {x} will {vp}.

retrieval number
lookup | {A} will {v} {x} {nouns}.
lookup | 'I will {v} {x} {nouns},' said {A}.
lookup | {A} will {v} {x} {nouns}, and everyone else {y}.
lookup | {A} will {v} {x} {nouns} in the morning.
lookup | Asked how many {nouns} to {v}, {A} said {x}.
lookup | {A} can {v} {x} {nouns} and will.

retrieval noun
lookup | {A} will {v} {x}.
lookup | {A} will {v} {x} but not {y}.
lookup | {A} will {v} {x} this time.
lookup | {A} will {v} {x}, and everyone else {y}.
lookup | Asked which {cat} to {v}, {A} said {x}.
lookup | 'I will {v} {x},' said {A}.

knowledge_recall who
world:born | {one} was born in {one_is}, {two} in {two_is}, and the one from {asked} will {vp}.
world:keeps | {one} keeps {one_is}, {two} keeps {two_is}, and the one whose animals {asked} will {vp}.
world:month | {one} was born in {one_is}, {two} in {two_is}, and the one born in the {asked} month will {vp}.
world:speaks | {one} speaks {one_is}, {two} {two_is}, and the one who knows {asked}'s language will {vp}.
world:born | The group wants the one from {asked} to {vp}: {one} is from {one_is}, and {two} from {two_is}.
world:born | Of {one} from {one_is} and {two} from {two_is}, the one from {asked} will {vp}.

knowledge_recall number
world_count | {A} will {v} one {noun} for each {each}.
world_count | {A} will {v} as many {nouns} as {as_many}.
world_count | Asked about the {nouns}, {A} promised to {v} one {noun} for each {each}.
world_count | 'I will {v} as many {nouns} as {as_many},' said {A}.

knowledge_recall noun
clue | {A} will {v} the {cat} {clue}.
clue | 'I will {v} the {cat} {clue},' said {A}.
clue_of_two | Of {one} and {two}, {A} will {v} the {cat} {clue}.
clue_of_two | {A} will {v} either {one} or {two}, and it will be the {cat} {clue}.

semantic_understanding who
synonym:feeling | {one} is {one_is}, {two} is {two_is}, and the one who is {asked} will {vp}.
synonym:nature | The group wants the {asked} one to {vp}: {one} is {one_is}, and {two} is {two_is}.
synonym:job | {one} is {one_is}, {two} is {two_is}, and the {asked} will {vp}.
former | Of {one} and {two}, the {word} will {vp}.
former | {one} and {two} are friends, and the {word} will {vp}.

semantic_understanding number
count_word | {A} will {v} {phrase}.
count_word | Asked about the {nouns}, {A} promised to {v} {phrase}.
count_word | This time {A} will {v} {phrase}.
count_word | 'I will {v} {phrase},' said {A}.

semantic_understanding noun
former | Of {one} and {two}, {A} will {v} the {word}.
nickname | By '{nick}' the group means {x}, and {A} will {v} {nick}.
nickname | Asked which {cat} to {v}, {A} said '{nick}', the group's name for {x}.
other_word | Of {one} and {two}, {A} will {v} the {asked}.
other_word | {A} will {v} either {one} or {two}, and it will be the {asked}.

logical_reasoning who
not_other | Either {one} or {two} will {vp}, and it will not be {out}.
if_else | If {if}, {then} will {vp}, and if not, {else} will; {now}.
holder | Whoever has the {asked} will {vp}: {one} has the {one_is}, and {two} has the {two_is}.
lacks | {one} has the {one_is}, {two} the {two_is}, and the one without the {asked} will {vp}.
not_other | {one} or {two} will {vp}, but {out} will not.

logical_reasoning number
not_other | {A} will {v} either {one} or {two} {nouns}, and it will not be {out}.
if_else | If {if}, {A} will {v} {then} {nouns}, and if not, {else}; {now}.
member | {group} will {v} {inside} {nouns}, and everyone else {outside}; {A} {status}.

logical_reasoning noun
not_other | {A} will {v} either {one} or {two}, and it will not be {out}.
if_else | If {if}, {A} will {v} {then}, and if not, {else}; {now}.
member | {group} will {v} {inside}, and everyone else {outside}; {A} {status}.

decision_making who
best | The best person to {vp} is {aim1} and {aim2}: {options}.
best | The group wants someone {aim1} and {aim2} to {vp}: {options}.
least | The group wants the cheaper one to {vp}: {one} asks for {p1} coins, and {two} for {p2}.
least | {one} asks for {p1} coins, {two} for {p2}, and the one who costs less will {vp}.

decision_making number
at_most | {A} can {v} {sets} {nouns} and wants as many as possible up to {limit}.
at_least | {A} can {v} {sets} {nouns} and wants as few as possible but at least {limit}.
most | {A} can {v} {one} {nouns} for {p1} points or {two} for {p2} and wants the most points.

decision_making noun
best | {A} wants to {v} a {cat} that is {aim1} and {aim2}: {options}.
best | The {cat} that {A} will {v} must be {aim1} and {aim2}: {options}.
prefers:one | {A} likes {one} more than {two} and can {v} either.
prefers:two | {A} likes {one} less than {two} and can {v} either.

syntactic_understanding who
role:one | {one} has promised {two} to {vp}.
role:two | {one} will let {two} {vp}.
role:two | {one} wants {two} to {vp}, and {two} will.
role:one | {one} was called by {two}, and the one who was called will {vp}.
role:two | {one} was called by {two}, and the one who called will {vp}.
role:one | {one}, who is older than {two}, will {vp}.
role:one | {one}, whom {two} will help, will {vp}.
role:two | Before calling {one}, {two} will {vp}.
role:two | {one} will meet {two}, who will {vp}.

syntactic_understanding number
role:one | {A} and {B} will {v} {one} and {two} {nouns}, respectively.
role:two | {B} and {A} will {v} {one} and {two} {nouns}, in that order.
role:two | {A}, whose cousin will {v} {one} {nouns}, will {v} {two}.
role:two | {B} will {v} {one} {nouns}, and {A} {two}.
role:one | {A} will {v} {one} {nouns}, and {B} {two}.
role:two | Unlike {B}, who will {v} {one} {nouns}, {A} will {v} {two}.

syntactic_understanding noun
role:one | {A} and {B} will {v} {one} and {two}, in that order.
role:two | {B} and {A} will {v} {one} and {two}, respectively.
role:two | {A}, whose cousin will {v} {one}, will {v} {two}.
role:two | {B} will {v} {one}, and {A} {two}.
role:one | {A} will {v} {one}, and {B} {two}.
role:two | Unlike {B}, who will {v} {one}, {A} will {v} {two}.

inference who
signs | Asked about {vping}, {one} {one_did}, and {two} {two_did}.
hindered | Only {one} and {two} can {vp}, but {out} {why}.
signs | Asked who will {vp}, {one} {one_did}, and {two} {two_did}.
hindered | Either {one} or {two} will {vp}, but {out} {why}.

inference number
gesture | Asked how many {nouns} to {v}, {A} {gesture}.
gesture | To show how many {nouns} to {v}, {A} {gesture}.
thing_signs | Asked how many {nouns} to {v}, {A} {one_did} {one} and {two_did} {two}.
habit | The {n} {nouns} that {A} had to {v} last time were just right.

inference noun
thing_signs | Asked which {cat} to {v}, {A} {one_did} {one} and {two_did} {two}.
shun | Only {one} and {two} are left to {v}, and {A} hates {out}.
shun | {A} will {v} either {one} or {two}, and {he} hates {out}.

math_calculation who
sum_wins | {one} has {a} points plus {b}, {two} has {c}, and the one with more will {vp}.
sum_wins | The group wants the one with more points to {vp}: {one} has {a} plus {b}, and {two} has {c}.
more | {two} has {m} coins, {one} has {d} more, and the one with {asked} will {vp}.
more | {one} has {d} more points than {two}, who has {m}, and the one with {asked} will {vp}.
more | Whoever has {asked} votes will {vp}: {two} has {m}, and {one} has {d} more.

math_calculation number
add | 'I will {v} {a} {nouns} first and {b} more later,' said {A}.
add | {A} will {v} {a} {nouns} in the morning and {b} in the afternoon.
sub | {A} wanted to {v} {a} {nouns} but will {v} {b} fewer.
add | {B} will {v} {a} {nouns}, and {A} will {v} {b} more than {B}.
mul | {A} will {v} {a} {nouns} an hour for {b} hours.

math_calculation noun
sum_wins | {one} has {a} votes plus {b}, {two} has {c}, and {A} will {v} the winner.
sum_wins | With {a} plus {b} votes for {one} and {c} for {two}, {A} will {v} the winner.
more | {two} has {m} votes, {one} has {d} more, and {A} will {v} the {cat} with {asked}.
"""


def _forms(block: str) -> list[Form]:
    head, *lines = block.splitlines()
    function, kind = head.split()
    rows = [[part.strip() for part in line.split("|")] for line in lines]
    return [Form(function, kind, rule.partition(":")[0], text, rule.partition(":")[2]) for rule, text in rows]


FORMS = tuple(form for block in FORM_TEXT.strip().split("\n\n") for form in _forms(block))
