"""Hand-written material of the built-in question set: names, tables, acts by topic, and sentence forms.

1. Tables (synonyms, world facts, counts, gestures, ...) are what the rules in `make_builtin` look up.
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
        "hens": "lay eggs",
        "cows": "give milk",
        "sheep": "give wool",
        "spiders": "spin webs",
        "dogs": "bark",
        "goldfish": "live under water",
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
        "Japanese": "Japan",
    },
}
WORLD_COUNTS = {
    ("wheel on a bicycle", "a bicycle has wheels"): 2,
    ("wing of a bird", "a bird has wings"): 2,
    ("side of a triangle", "a triangle has sides"): 3,
    ("wheel on a tricycle", "a tricycle has wheels"): 3,
    ("season of the year", "a year has seasons"): 4,
    ("leg of a dog", "a dog has legs"): 4,
    ("finger on one hand", "a hand has fingers"): 5,
    ("ring in the Olympic logo", "the Olympic logo has rings"): 5,
    ("leg of an ant", "an ant has legs"): 6,
    ("side of a hexagon", "a hexagon has sides"): 6,
    ("leg of a spider", "a spider has legs"): 8,
    ("planet that circles our sun", "our sun has planets"): 8,
    ("arm of an octopus", "an octopus has arms"): 8,
    ("toe on two feet", "two feet have toes"): 10,
    ("finger on two hands", "two hands have fingers"): 10,
    ("month of the year", "a year has months"): 12,
    ("number on a clock face", "a clock face has numbers"): 12,
}


@dataclass(frozen=True)
class Category:
    """Things of one sort that can be chosen: item -> (what is known of it, another word for it or "")."""

    name: str
    items: dict[str, tuple[str, str]]
    aims: tuple[tuple[str, str], tuple[str, str]]
    article: str = "the "


# Each block: category | article | two aims, good/bad; then item | what the world knows of it | another word
CATEGORY_TEXT = """
animal | the | calm/wild | clean/muddy
dog | that barks | hound
cat | that purrs | feline
cow | that says moo
sheep | that gives wool | ewe
hen | that lays eggs for breakfast
horse | that wears a saddle | mare
pig | that oinks | hog
duck | that quacks

fruit | the | ripe/unripe | cheap/costly
banana | that is long, yellow and curved
lemon | that is yellow and very sour
pineapple | that has a crown of spiky leaves
coconut | that has a hard brown shell and milk inside
orange | that shares its name with a colour
apple | that Snow White bit into
plum | that is called a prune when dried

drink | the | fresh/stale | cheap/costly
tea | that is made from leaves in hot water
coffee | that is made from roasted beans
milk | that comes from cows
water | that falls as rain
cocoa | that tastes of chocolate
lemonade | that is made from lemons and sugar

colour |  | common/rare | cheap/costly
red | of ripe strawberries
blue | of a clear sky
green | of fresh grass
yellow | of ripe lemons
white | of fresh snow
black | of coal
pink | of a flamingo
brown | of chocolate

tool | the | clean/rusty | light/heavy
hammer | that drives in nails
saw | that cuts wood with its teeth
spade | that is used for digging | shovel
broom | that is used for sweeping
ladder | that has rungs
axe | that chops firewood | hatchet

instrument | the | in tune/out of tune | cheap/costly
piano | that has black and white keys
violin | that is held under the chin | fiddle
drum | that is beaten with sticks
trumpet | that is made of brass and blown
flute | that is held sideways and blown
guitar | that has six strings

vehicle | the | quick/slow | cheap/costly
train | that runs on rails
bicycle | that has two wheels and pedals | bike
plane | that has wings | aircraft
car | that has four wheels and a boot | automobile
ship | that crosses the sea | vessel
bus | that stops at bus stops | coach

game |  | quiet/noisy | short/long
chess | that has kings, queens and pawns
football | that is played with the feet and two goals
tennis | that is played at Wimbledon
golf | that has eighteen holes
hockey | that is played with sticks and a puck
bowling | in which ten pins are knocked down

flower | the | fresh/wilted | cheap/costly
rose | that has thorns
tulip | that Holland is famous for
sunflower | that turns towards the sun
dandelion | whose white seeds children blow away
daisy | that children link into chains

vegetable | the | fresh/old | cheap/costly
carrot | that is long and orange
onion | that makes cooks cry
potato | that chips are made from | spud
pumpkin | that is carved at Halloween
garlic | that vampires are said to fear
corn | that popcorn is made from | maize

garment | the | clean/dirty | light/heavy
hat | that goes on the head
scarf | that goes round the neck
belt | that holds up trousers
apron | that cooks wear
coat | that keeps people warm in winter | overcoat
dress | that a bride wears | gown

room | the | quiet/noisy | warm/cold
kitchen | where meals are cooked
bathroom | where people take a shower | washroom
bedroom | where people sleep at night
garage | where cars are kept
attic | right under the roof | loft
cellar | below the ground | basement

shape | the | easy/difficult | popular/disliked
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
    first, second = (tuple(aim.split("/")) for aim in aims)
    items = {item: (clue, word[0] if word else "") for item, clue, *word in rows}
    return Category(name, items, (first, second), article + " " if article else "")


CATEGORIES = {c.name: c for c in map(_category, CATEGORY_TEXT.strip().split("\n\n"))}

# --- logical reasoning: states, memberships, things held ------------------------------------------------
STATES = {
    "it rains": ("it is raining", "it is not raining"),
    "the sun shines": ("the sun is shining", "the sun is not shining"),
    "it is windy": ("it is windy", "it is not windy"),
    "the bus is late": ("the bus is late", "the bus is not late"),
    "the gate is open": ("the gate is open", "the gate is not open"),
    "the phone rings": ("the phone is ringing", "the phone is not ringing"),
}
MEMBERS = {
    "Everyone in boots": ("is in boots", "is not in boots"),
    "Everyone with a badge": ("has a badge", "has no badge"),
    "Everyone on the team": ("is on the team", "is not on the team"),
    "Everyone with a ticket": ("has a ticket", "has no ticket"),
    "Everyone over ten": ("is over ten", "is not over ten"),
    "Everyone in row one": ("is in row one", "is not in row one"),
}
HELD = ("key", "lamp", "whistle", "rope", "red card", "blue card", "long straw", "coin", "stone", "ladle")

# --- decision-making: aims for people --------------------------------------------------------------------
PERSON_AIMS = (
    (("strong", "weak"), ("free", "busy")),
    (("careful", "careless"), ("free", "busy")),
    (("tall", "short"), ("strong", "weak")),
    (("patient", "impatient"), ("punctual", "late")),
    (("skilled", "clumsy"), ("free", "busy")),
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
    "slipped out of the door": -1,
    "hid behind a newspaper": -1,
    "groaned and sat down": -1,
}
HINDRANCES = (
    "is in bed with a fever",
    "has a broken arm",
    "will be abroad by then",
    "has lost {his} glasses",
    "has to stay at home",
    "has already gone to sleep",
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
intro The farm visit is planned; A class plans a farm visit
who feed the hens, feeding the hens; milk the cow, milking the cow; close the gate, closing the gate
who carry the hay, carrying the hay; clean the stable, cleaning the stable
who drive the tractor, driving the tractor
number collect, egg, eggs; fill, bucket, buckets; bring, sack, sacks; mend, fence, fences
number plant, tree, trees
noun brush, animal; use, tool; draw, animal; pick, fruit

topic kitchen, at the big dinner
intro The family plans a big dinner; The big dinner is arranged
who bake the bread, baking the bread; wash the dishes, washing the dishes
who set the table, setting the table; stir the soup, stirring the soup
who light the candles, lighting the candles; carve the roast, carving the roast
number fill, bowl, bowls; bring, chair, chairs; bake, pie, pies; polish, spoon, spoons
number peel, carrot, carrots
noun chop, vegetable; serve, drink; slice, fruit; wear, garment

topic party, at the birthday party
intro Friends plan a birthday party; The birthday party is planned
who cut the cake, cutting the cake; hide the presents, hiding the presents
who choose the music, choosing the music; take the photos, taking the photos
who open the door, opening the door; tell the first joke, telling the first joke
number blow up, balloon, balloons; write, card, cards; wrap, gift, gifts; bring, candle, candles
number teach, song, songs
noun wear, colour; play, instrument; cut out, shape; order, drink

topic garden, on the garden day
intro The neighbours plan a garden day; The garden day is planned
who water the roses, watering the roses; mow the lawn, mowing the lawn
who trim the hedge, trimming the hedge; burn the leaves, burning the leaves
who paint the bench, painting the bench; clean the pond, cleaning the pond
number plant, bush, bushes; fill, pot, pots; buy, seed, seeds; build, nest box, nest boxes
number move, stone, stones
noun plant, flower; fetch, tool; grow, vegetable; draw, flower

topic camping, on the camping trip
intro A group packs for a camping trip; The camping trip starts on Friday
who pitch the tent, pitching the tent; light the fire, lighting the fire; carry the map, carrying the map
who fetch the water, fetching the water; cook the beans, cooking the beans
who guard the camp, guarding the camp
number pack, blanket, blankets; bring, torch, torches; gather, log, logs; carry, bottle, bottles
number catch, trout, trout
noun pack, tool; take along, fruit; play, game; bring, instrument

topic sports day, on sports day
intro The school plans its sports day; Sports day comes soon
who start the race, starting the race; keep the score, keeping the score
who carry the flag, carrying the flag; hand out the prizes, handing out the prizes
who mark the lanes, marking the lanes; lead the team, leading the team
number run, lap, laps; bring, ball, balls; set up, goal, goals; throw, ring, rings
number jump over, hurdle, hurdles
noun play, game; wear, colour; drink, drink; eat, fruit

topic concert, at the village concert
intro A village plans a concert; The village concert is near
who sell the tickets, selling the tickets; sing the first song, singing the first song
who tune the piano, tuning the piano; greet the guests, greeting the guests
who turn the pages, turning the pages; dim the lights, dimming the lights
number sing, song, songs; reserve, seat, seats; invite, friend, friends; learn, tune, tunes
number print, poster, posters
noun play, instrument; wear, garment; order, drink; wear, colour

topic school play, in the school play
intro The drama club plans a school play; The school play is near
who play the king, playing the king; paint the castle, painting the castle
who draw the curtain, drawing the curtain; sew the costumes, sewing the costumes
who ring the bell, ringing the bell; prompt the actors, prompting the actors
number learn, poem, poems; hang, mask, masks; speak, line, lines; make, sword, swords; paint, wall, walls
noun wear, garment; play the part of, animal; cut out, shape; carry, tool

topic market, at the market stall
intro The club plans a market stall; The market stall opens tomorrow
who count the money, counting the money; load the van, loading the van
who weigh the apples, weighing the apples; paint the sign, painting the sign
who wrap the cheese, wrapping the cheese; call out the prices, calling out the prices
number sell, jar, jars; stack, crate, crates; buy, loaf, loaves; fold, bag, bags; weigh, melon, melons
noun buy, vegetable; sell, flower; sell, fruit; borrow, vehicle

topic house, on moving day
intro A family plans to move house; Moving day is near
who roll up the carpet, rolling up the carpet; pack the books, packing the books
who take down the mirror, taking down the mirror; drive the van, driving the van
who water the plants, watering the plants; lock the front door, locking the front door
number carry, box, boxes; clean, window, windows; hang, lamp, lamps; sell, shelf, shelves
number wrap, plate, plates
noun clean, room; use, tool; paint a wall in, colour; take, vehicle

topic beach, on the beach day
intro Some cousins plan a beach day; The beach day is planned
who dig the moat, digging the moat; buy the ice cream, buying the ice cream
who row the boat, rowing the boat; watch the bags, watching the bags; fly the kite, flying the kite
who hold the umbrella, holding the umbrella
number collect, shell, shells; build, sandcastle, sandcastles; pack, towel, towels
number buy, ice cream, ice creams; make, sandwich, sandwiches
noun draw, shape; play, game; pack, garment; eat, fruit

topic trip, on the city trip
intro A class plans a trip to the city; The city trip is next week
who buy the stamps, buying the stamps; ask for the way, asking for the way
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
lookup | It is {x} who will {vp}.
lookup | No doubt {x} will {vp}.
lookup | This time {x} will {vp}.
lookup | As usual, {x} will {vp}.

retrieval number
lookup | {A} will {v} {x} {nouns}.
lookup | No doubt {A} will {v} {x} {nouns}.
lookup | This time {A} will {v} {x} {nouns}.
lookup | As usual, {A} will {v} {x} {nouns}.
lookup | {A} will {v} exactly {x} {nouns}.

retrieval noun
lookup | {A} will {v} {x}.
lookup | In fact, {A} will {v} {x}.
lookup | This time {A} will {v} {x}.
lookup | As usual, {A} will {v} {x}.
lookup | No doubt {A} will {v} {x}.

knowledge_recall who
world:born | {one} was born in {one_is}, {two} in {two_is}, and the one from {asked} will {vp}.
world:keeps | {one} keeps {one_is}, {two} keeps {two_is}, and the one whose pets {asked} will {vp}.
world:month | {one} was born in {one_is}, {two} in {two_is}, and the one born in the {asked} month will {vp}.
world:speaks | {one} speaks {one_is}, {two} {two_is}, and the one who knows {asked}'s language will {vp}.
world:born | Of {one} from {one_is} and {two} from {two_is}, the one from {asked} will {vp}.

knowledge_recall number
world_count | {A} will {v} one {noun} for each {each}.
world_count | {A} will {v} as many {nouns} as {as_many}.
world_count | This time {A} will {v} one {noun} for each {each}.
world_count | {A} will {v} just as many {nouns} as {as_many}.

knowledge_recall noun
clue | {A} will {v} the {cat} {clue}.
clue | As usual, {A} will {v} the {cat} {clue}.
clue_of_two | Of {one} and {two}, {A} will {v} the {cat} {clue}.
clue_of_two | It is {one} or {two}, and {A} will {v} the {cat} {clue}.

semantic_understanding who
synonym:feeling | {one} is {one_is}, {two} is {two_is}, and the {asked} one will {vp}.
synonym:nature | {one} is {one_is}, {two} is {two_is}, and the {asked} one will {vp}.
synonym:job | {one} is {one_is}, {two} is {two_is}, and the {asked} will {vp}.
former | Of {one} and {two}, the {word} will {vp}.
former | {one} and {two} live nearby, and the {word} will {vp}.

semantic_understanding number
count_word | {A} will {v} {phrase}.
count_word | No doubt {A} will {v} {phrase}.
count_word | This time {A} will {v} {phrase}.
count_word | As usual, {A} will {v} {phrase}.

semantic_understanding noun
former | Of {one} and {two}, {A} will {v} the {word}.
nickname | By '{nick}' the group means {x}, and {A} will {v} {nick}.
nickname | {A} will {v} '{nick}', which is the group's name for {x}.
other_word | Of {one} and {two}, {A} will {v} the {asked}.
other_word | It is {one} or {two}, and {A} will {v} the {asked}.

logical_reasoning who
not_other | Either {one} or {two} will {vp}, and it will not be {out}.
if_else | If {if}, {then} will {vp}, and if not, {else} will; {now}.
holder | Whoever has the {asked} will {vp}; {one} has the {one_is}, and {two} has the {two_is}.
holder | {one} has the {one_is}, {two} has the {two_is}, and whoever has the {asked} will {vp}.
not_other | One of {one} and {two} will {vp}, but {out} will not.

logical_reasoning number
not_other | {A} will {v} either {one} or {two} {nouns}, and it will not be {out}.
if_else | If {if}, {A} will {v} {then} {nouns}, and if not, {else}; {now}.
member | {group} will {v} {inside} {nouns}, and all others {outside}; {A} {status}.

logical_reasoning noun
not_other | {A} will {v} either {one} or {two}, and it will not be {out}.
if_else | If {if}, {A} will {v} {then}, and if not, {else}; {now}.
member | {group} will {v} {inside}, and all others {outside}; {A} {status}.

decision_making who
best | The best person to {vp} is {aim1} and {aim2}: {options}.
best | The group wants someone {aim1} and {aim2} to {vp}: {options}.
least | The group wants cheap help with {vping}: {one} asks {p1} coins and {two} {p2}.
least | The group wants no delay with {vping}: {one} needs {p1} hours and {two} {p2}.

decision_making number
at_most | {A} can {v} {sets} {nouns} and wants the most, but not over {limit}.
at_least | {A} can {v} {sets} {nouns} and wants the fewest, but not under {limit}.
cheapest | {A} wants to spend little on {nouns} to {v}: {one} cost {p1} coins and {two} cost {p2}.

decision_making noun
best | {A} wants to {v} a {cat} that is {aim1} and {aim2}: {options}.
best | The {cat} that {A} will {v} must be {aim1} and {aim2}: {options}.

syntactic_understanding who
role:one | {one} has promised {two} to {vp}.
role:two | {one} has asked {two} to {vp}.
role:one | {one} has been told by {two} to {vp}.
role:one | {one}, who will help {two}, will {vp}.
role:one | {one}, whom {two} will help, will {vp}.
role:two | Before calling {one}, {two} will {vp}.
role:two | The cousin of {one} who will {vp} is called {two}.
role:two | {one} will meet {two}, who will {vp}.

syntactic_understanding number
role:one | {A} and {B} will {v} {one} and {two} {nouns}, respectively.
role:two | {B} and {A} will {v} {one} and {two} {nouns}, respectively.
role:two | {A}, whose cousin will {v} {one} {nouns}, will {v} {two}.
role:two | {B} will {v} {one} {nouns}, and {A} {two}.
role:one | {A} will {v} {one} {nouns}, and {B} {two}.
role:two | {A}, who will help {B} to {v} {one} {nouns}, will {v} {two} alone.

syntactic_understanding noun
role:one | {A} and {B} will {v} {one} and {two}, respectively.
role:two | {B} and {A} will {v} {one} and {two}, respectively.
role:two | {A}, whose cousin will {v} {one}, will {v} {two}.
role:two | {B} will {v} {one}, and {A} {two}.
role:one | {A} will {v} {one}, and {B} {two}.
role:two | {A}, who likes the cousin that will {v} {one}, will {v} {two}.

inference who
signs | Asked about {vping}, {one} {one_did} and {two} {two_did}.
hindered | Only {one} and {two} know how to {vp}, and {out} {why}.
signs | At the words '{vp}', {one} {one_did} and {two} {two_did}.
hindered | It takes {one} or {two} to {vp}, and {out} {why}.

inference number
gesture | Asked how many {nouns} to {v}, {A} {gesture}.
gesture | To show how many {nouns} to {v}, {A} {gesture}.
habit | Last time {A} had {n} {nouns} to {v} and now wants no change.
habit | The {n} {nouns} that {A} had to {v} last time were just right.

inference noun
thing_signs | Choosing a {cat} to {v}, {A} {one_did} {one} and {two_did} {two}.
shun | Only {one} and {two} are left to {v}, and {A} hates {out}.
shun | It is {one} or {two} for {A} to {v}, but {A} cannot stand {out}.

math_calculation who
sum_wins | {one} has {a} points plus {b}, {two} has {c}, and the one with more will {vp}.
sum_wins | With {a} plus {b} votes for {one} and {c} for {two}, the winner will {vp}.
ages | {two} is {m}, {one} is {d} years older, and the one aged {asked} will {vp}.
ages | {one} is {d} years older than {two}, who is {m}, and the one aged {asked} will {vp}.
bags | {one} has {a} bags of {b} nuts, {two} has {c} of {d}, and the one with {asked} nuts will {vp}.

math_calculation number
add | {A} will {v} {a} {nouns} first and {b} more later.
add | {A} will {v} {a} {nouns} in the morning and {b} in the afternoon.
sub | {A} meant to {v} {a} {nouns}, but it will be {b} fewer.
add | {B} will {v} {a} {nouns}, and {A} will {v} {b} more than {B}.
mul | {A} will {v} {a} {nouns} an hour for {b} hours.

math_calculation noun
sum_wins | With {a} plus {b} votes for {one} and {c} for {two}, {A} will {v} the winner.
numbered | {A} will {v} number {a} plus {b}: {one} is number {s} and {two} number {t}.
numbered | As {one} is number {s} and {two} number {t}, {A} will {v} number {a} plus {b}.
"""


def _forms(block: str) -> list[Form]:
    head, *lines = block.splitlines()
    function, kind = head.split()
    rows = [[part.strip() for part in line.split("|")] for line in lines]
    return [Form(function, kind, rule.partition(":")[0], text, rule.partition(":")[2]) for rule, text in rows]


FORMS = tuple(form for block in FORM_TEXT.strip().split("\n\n") for form in _forms(block))
