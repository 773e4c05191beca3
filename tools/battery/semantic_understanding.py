"""Tasks that call for the meaning of words."""

import re
from collections.abc import Iterator
from itertools import count
from random import Random

from battery.task import Item, Task
from battery.words import CITIES, MEN, NAMES, WOMEN

FUNCTION = "semantic_understanding"

OPPOSITES = """
hot warm cold cool
big large small little
happy glad sad unhappy
fast rapid slow sluggish
rich wealthy poor needy
loud noisy quiet silent
easy simple difficult tricky
clean spotless dirty filthy
strong powerful weak feeble
visible noticeable invisible hidden
vertical upright horizontal level
wet soaked dry arid
raw uncooked cooked baked
safe secure dangerous risky
correct right incorrect wrong
true genuine false untrue
polite courteous rude insolent
full packed empty vacant
superior better inferior worse
wide broad narrow slim
early premature late overdue
open ajar closed shut
rough bumpy smooth even
cheap inexpensive expensive costly
healthy fit sick ill
alive living dead deceased
near close far distant
careful cautious careless reckless
conscious aware unconscious comatose
common usual rare unusual
temporary brief permanent lasting
brave bold cowardly timid
smart clever stupid foolish
beautiful pretty ugly hideous
optimistic hopeful pessimistic gloomy
high lofty low deep
deep bottomless shallow flat
public communal private personal
tight snug loose baggy
major chief minor slight
good great bad awful
ancient old modern new
positive certain negative minus
internal inner external outer
maximum highest minimum least
asleep sleeping awake alert
innocent blameless guilty wrong
sharp pointed blunt dull
humble modest proud arrogant
rural rustic urban metropolitan
friendly kind hostile aggressive
honest truthful dishonest deceitful
tidy neat messy cluttered
legal lawful illegal criminal
possible likely impossible unlikely
first initial last final
senior older junior younger
"""
"""A word, one near it in meaning, its opposite, one near that."""
_QUADS = [tuple(line.split()) for line in OPPOSITES.split("\n") if line]
_OPPOSITE: dict[str, str] = {}
for _a, _, _b, _ in _QUADS:
    _OPPOSITE.setdefault(_a, _b)
    _OPPOSITE.setdefault(_b, _a)


def _antonym(draw: Random) -> Iterator[Item]:
    rows = [row for a, near_a, b, near_b in _QUADS for row in ((a, b, near_a), (b, a, near_b))]
    for word, answer, foil in draw.sample(rows, len(rows)):
        if _OPPOSITE[word] == answer:
            yield Item(f"The opposite of {word} is", answer, foil)


def _solve_antonym(passage: str, text: str) -> str:
    return _OPPOSITE[text.split()[3]]


SAME = """
enormous huge tiny
gigantic huge tiny
tiny small big
massive big small
unhappy sad happy
miserable sad happy
glad happy sad
joyful happy sad
cheerful happy sad
delighted happy sad
quick fast slow
rapid fast slow
speedy fast slow
sluggish slow fast
wealthy rich poor
affluent rich poor
needy poor rich
penniless poor rich
noisy loud quiet
silent quiet loud
simple easy difficult
effortless easy difficult
tricky difficult easy
filthy dirty clean
spotless clean dirty
fearless brave cowardly
courageous brave cowardly
bold brave timid
clever smart stupid
intelligent smart stupid
foolish stupid wise
idiotic stupid smart
pretty beautiful ugly
gorgeous beautiful ugly
lovely beautiful ugly
hideous ugly beautiful
powerful strong weak
mighty strong weak
feeble weak strong
frail weak strong
ancient old new
elderly old young
youthful young old
plump fat thin
broad wide narrow
slim thin fat
slender thin fat
soaked wet dry
damp wet dry
arid dry wet
dim dark bright
secure safe dangerous
harmless safe dangerous
risky dangerous safe
hazardous dangerous safe
correct right wrong
incorrect wrong right
mistaken wrong right
untrue false true
impolite rude polite
courteous polite rude
vacant empty full
shut closed open
inexpensive cheap expensive
costly expensive cheap
well-known famous unknown
renowned famous unknown
ill sick healthy
unwell sick healthy
deceased dead alive
living alive dead
furious angry calm
irate angry calm
enraged angry calm
peaceful calm angry
boring dull exciting
thrilling exciting boring
awful bad good
terrible bad good
excellent good bad
cautious careful careless
reckless careless careful
uncommon rare common
everlasting permanent temporary
modest humble proud
neat tidy messy
truthful honest dishonest
uncooked raw cooked
bare naked dressed
weary tired rested
exhausted tired rested
starving hungry full
famished hungry full
frightened afraid brave
scared afraid brave
terrified afraid brave
freezing cold hot
chilly cold hot
icy cold hot
boiling hot cold
scorching hot cold
"""
"""A word, one of the same meaning, one of the opposite."""
_TRIPLES = [tuple(line.split()) for line in SAME.split("\n") if line]
_MEANS = {word: same for word, same, _ in _TRIPLES}


def _synonym(draw: Random) -> Iterator[Item]:
    for word, same, other in draw.sample(_TRIPLES, len(_TRIPLES)):
        yield Item(f"To be {word} is to be", same, other)


def _solve_synonym(passage: str, text: str) -> str:
    return _MEANS[text.split()[2]]


KINDS_OF = {
    "bird": "robin eagle owl sparrow pigeon parrot crow swan gull hawk",
    "fish": "trout salmon tuna shark cod herring eel carp",
    "tree": "oak pine birch willow elm cedar maple palm",
    "flower": "rose tulip daisy lily poppy orchid daffodil sunflower",
    "fruit": "apple banana pear grape plum cherry mango peach",
    "vegetable": "carrot onion cabbage spinach broccoli turnip lettuce leek",
    "insect": "ant bee wasp beetle moth fly mosquito butterfly",
    "tool": "hammer saw drill wrench screwdriver spade axe shovel",
    "color": "red blue green yellow purple pink brown gray",
    "metal": "iron gold copper silver tin lead zinc aluminum",
    "vehicle": "car bus truck van tractor taxi train tram",
    "sport": "football tennis hockey golf rugby boxing basketball baseball",
    "instrument": "piano violin guitar flute trumpet drum cello harp",
    "drink": "tea coffee milk lemonade beer wine juice cocoa",
    "weapon": "sword gun spear rifle dagger pistol cannon bow",
    "fabric": "cotton silk wool linen velvet denim nylon satin",
}
CLOSE = (
    {"tree", "fruit"}, {"color", "metal"}, {"color", "fruit"}, {"color", "flower"}, {"tool", "weapon"},
    {"weapon", "instrument"}, {"tree", "flower"}, {"fruit", "vegetable"}, {"color", "drink"},
)  # fmt: skip
"""Kinds that share words (a pear is a fruit and a tree): never set against each other."""
_KIND = {word: kind for kind, words in KINDS_OF.items() for word in words.split()}


def _category(draw: Random) -> Iterator[Item]:
    for word in draw.sample(list(_KIND), len(_KIND)):
        foil = draw.choice([kind for kind in KINDS_OF if kind != _KIND[word] and {kind, _KIND[word]} not in CLOSE])
        yield Item(f'What is "{word}" a kind of?', _KIND[word], foil)


def _solve_category(passage: str, text: str) -> str:
    return _KIND[text.split('"')[1]]


def _odd_one(draw: Random) -> Iterator[Item]:
    while True:
        kind, other = draw.sample(list(KINDS_OF), 2)
        same, odd = draw.sample(KINDS_OF[kind].split(), 3), draw.choice(KINDS_OF[other].split())
        words = draw.sample([*same, odd], 4)
        if {kind, other} not in CLOSE:
            yield Item(f"Which word does not belong: {', '.join(words[:3])} or {words[3]}?", odd, draw.choice(same))


def _solve_odd_one(passage: str, text: str) -> str:
    words = re.findall(r"\w+", text.split(":")[1].replace(" or ", " "))
    kinds = [_KIND[word] for word in words]
    return next(word for word in words if kinds.count(_KIND[word]) == 1)


WHOLES = {
    "car": "wheel engine brake bumper windshield",
    "house": "roof kitchen chimney bedroom attic",
    "tree": "trunk branch leaf root twig",
    "book": "page cover chapter title preface",
    "bird": "beak wing feather tail claw",
    "computer": "keyboard screen processor monitor mouse",
    "hand": "thumb finger palm knuckle fingernail",
    "face": "nose chin cheek mouth forehead",
    "ship": "deck mast anchor sail rudder",
    "flower": "petal stem bud stamen pistil",
    "camera": "lens shutter flash viewfinder aperture",
    "bicycle": "pedal saddle handlebar chain spoke",
    "school": "classroom playground gym cafeteria blackboard",
    "fish": "fin gill scale tail",
    "clock": "dial pendulum hand face",
    "theater": "stage curtain balcony seat",
    "farm": "barn field stable pasture",
    "castle": "tower moat drawbridge dungeon",
    "sentence": "verb noun subject word",
    "guitar": "string fret neck fretboard",
    "shoe": "heel sole lace tongue",
    "country": "city province town village",
    "year": "month week day season",
}
ALIKE = (
    {"farm", "country"}, {"farm", "house"}, {"castle", "house"}, {"school", "house"}, {"theater", "house"},
    {"theater", "school"}, {"theater", "castle"}, {"theater", "ship"}, {"sentence", "book"}, {"tree", "flower"},
)  # fmt: skip
"""Wholes of which one may have the other's parts (a castle has a roof and a kitchen): never set against each other."""


def _an(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _part(draw: Random) -> Iterator[Item]:
    while True:
        whole, foil = draw.sample(list(WHOLES), 2)
        parts = draw.sample(WHOLES[whole].split(), 3)
        if not set(parts) & set(WHOLES[foil].split()) and {whole, foil} not in ALIKE:
            first, second, third = map(_an, parts)
            yield Item(f"{first.capitalize()}, {second} and {third} are parts of a", whole, foil)


def _solve_part(passage: str, text: str) -> str:
    parts = set(re.findall(r"\w+", text.split(" are ")[0].lower())) - {"a", "an", "and"}
    return next(whole for whole, own in WHOLES.items() if parts <= set(own.split()))


DEFINITIONS = """
a person who bakes bread = baker
a person who sells meat = butcher
a person who teaches at a school = teacher
a person who learns at a school = student
a person who flies planes = pilot
a person who rides horses in races = jockey
a person who is the son of a king = prince
a person who serves food in a restaurant = waiter
a person who cooks meals in a restaurant = chef
a person who writes books = author
a person who paints pictures = painter
a person who grows crops = farmer
a person who catches fish = fisherman
a person who puts out fires = firefighter
a person who looks after teeth = dentist
a person who treats sick animals = vet
a person who cuts men's hair = barber
a person who makes suits = tailor
a person who steals things = thief
a person who travels in space = astronaut
a person who dives under water = diver
a person who fixes pipes = plumber
a person who makes things from wood = carpenter
a person who decides cases in court = judge
a person who defends people in court = lawyer
a person who delivers letters = mailman
a person who sings songs = singer
a person who acts in films = actor
a place where books are borrowed = library
a place where old things are shown to visitors = museum
a place where sick people are treated = hospital
a place where films are shown = cinema
a place where planes land = airport
a place where trains stop = station
a place where ships are built = shipyard
a place where children are taught = school
a place where cooked meals are sold = restaurant
a place where bread is made = bakery
a place where people are locked up = prison
a place where money is kept = bank
a place where wild animals are shown = zoo
a place where people are buried = cemetery
a place where goods are made = factory
a place where guests pay to sleep = hotel
a place where cars are repaired = garage
a place where fruit trees grow = orchard
a place where grapes are grown = vineyard
a place where bees live = hive
a place where birds lay eggs = nest
a thing used to hit nails = hammer
a thing with teeth used to cut wood = saw
a thing used to open locks = key
a thing used to sweep floors = broom
a thing used to cut paper = scissors
a thing on a wall that shows the time = clock
a thing held up to keep dry in the rain = umbrella
a thing used to measure heat = thermometer
a thing used to look at stars = telescope
a thing used to take photos = camera
a thing used to eat soup = spoon
a thing used to boil water = kettle
a thing used to keep food cold = refrigerator
a thing used to bake food = oven
a thing used to dry yourself = towel
a thing used to wash your hands = soap
a thing used to find north = compass
a thing used to row a boat = oar
a thing used to climb up high = ladder
the meal eaten in the morning = breakfast
the meal eaten at noon = lunch
the meal eaten in the evening = dinner
the room where food is cooked = kitchen
the room where people sleep = bedroom
the season when snow falls = winter
the season after winter = spring
the brother of your mother = uncle
the sister of your mother = aunt
the son of your uncle = cousin
the mother of your father = grandmother
the father of your father = grandfather
the son of your brother = nephew
the daughter of your brother = niece
a very young dog = puppy
a very young cat = kitten
a very young person = baby
a very tall building = skyscraper
a very large stream of water = river
a piece of land with water all around = island
a mountain that throws out fire = volcano
a dry land of sand = desert
"""
_WORD = dict(line.split(" = ") for line in DEFINITIONS.split("\n") if line)


def _definition(draw: Random) -> Iterator[Item]:
    rows = list(_WORD.items())
    for at in draw.sample(range(len(rows)), len(rows)):
        (text, word), near = rows[at], rows[max(at - 2, 0) : at] + rows[at + 1 : at + 3]
        alike = [row for row in near if row[0].split()[:2] == text.split()[:2]]
        yield Item(f"What is the word for {text}?", word, draw.choice(alike or near)[1])


def _solve_definition(passage: str, text: str) -> str:
    return _WORD[text.removeprefix("What is the word for ").removesuffix("?")]


PRAISE = ("wonderful", "lovely", "excellent", "superb", "delightful", "great", "fantastic")
BLAME = ("terrible", "awful", "horrible", "dreadful", "disappointing", "poor", "nasty")
SUBJECTS = (
    ("room", "bed", "breakfast", "staff", "garden"),
    ("story", "music", "ending", "acting", "opening"),
    ("soup", "waiter", "dessert", "wine", "table"),
    ("weather", "food", "guide", "beach", "boat"),
)


def _sentiment(draw: Random) -> Iterator[Item]:
    for n in count():
        good = n % 2 == 0
        a, b = draw.sample(draw.choice(SUBJECTS), 2)
        first, second = draw.sample(PRAISE if good else BLAME, 2)
        answer, foil = ("good", "bad") if good else ("bad", "good")
        yield Item(f"The {a} was {first} and the {b} was simply {second}. All in all it was", answer, foil)


def _solve_sentiment(passage: str, text: str) -> str:
    words = set(re.findall(r"\w+", text))
    return "good" if len(words & set(PRAISE)) > len(words & set(BLAME)) else "bad"


PEOPLE = """
rich wealthy poor needy
happy cheerful sad miserable
smart clever stupid foolish
angry furious calm peaceful
brave fearless afraid frightened
polite courteous rude impolite
sick ill healthy fit
strong powerful weak feeble
fast quick slow sluggish
loud noisy quiet silent
kind caring cruel heartless
tired exhausted rested refreshed
dirty filthy clean spotless
careful cautious careless reckless
famous renowned unknown obscure
honest truthful dishonest deceitful
"""
_PEOPLE = [tuple(line.split()) for line in PEOPLE.split("\n") if line]
_PLAIN = {near: word for a, near_a, b, near_b in _PEOPLE for near, word in ((near_a, a), (near_b, b))}


def _who_is(draw: Random) -> Iterator[Item]:
    while True:
        a, near_a, b, near_b = draw.choice(_PEOPLE)
        x, y = draw.sample(NAMES, 2)
        asked = draw.randrange(2)
        yield Item(
            f"Who was {(a, b)[asked]}?", (x, y)[asked], (y, x)[asked],
            draw.choice((f"{x} was {near_a} and {y} was {near_b}.", f"{y} was {near_b} and {x} was {near_a}.")),
        )  # fmt: skip


def _solve_who_is(passage: str, text: str) -> str:
    asked = text.removesuffix("?").split()[-1]
    return next(name for name, near in re.findall(r"(\w+) was (\w+)", passage) if _PLAIN[near] == asked)


TOWNS = """
rich wealthy poor needy
loud noisy quiet silent
big large small little
hot boiling cold freezing
clean spotless dirty filthy
safe secure dangerous risky
wet rainy dry arid
old ancient new modern
beautiful pretty ugly hideous
cheap inexpensive expensive costly
crowded packed empty deserted
"""
_TOWNS = [tuple(line.split()) for line in TOWNS.split("\n") if line]
_TOWN = {near: word for a, near_a, b, near_b in _TOWNS for near, word in ((near_a, a), (near_b, b))}


def _town(draw: Random) -> Iterator[Item]:
    while True:
        a, near_a, b, near_b = draw.choice(_TOWNS)
        x, y = draw.sample(CITIES, 2)
        asked = draw.randrange(2)
        said = draw.sample((f"{x} is {near_a}.", f"{y} is {near_b}."), 2)
        yield Item(f"{' '.join(said)} The {(a, b)[asked]} city is", (x, y)[asked], (y, x)[asked])


def _solve_town(passage: str, text: str) -> str:
    asked = text.split()[-3]
    return next(city for city, near in re.findall(r"(\w+) is (\w+)\.", text) if _TOWN[near] == asked)


USES = {
    "eat": "bread rice cheese apples cake meat pasta eggs",
    "drink": "water tea juice milk lemonade coffee beer wine",
    "wear": "trousers gloves boots socks jeans shorts pajamas sandals",
    "read": "books letters newspapers poems stories magazines novels diaries",
    "sing": "songs hymns carols lullabies anthems ballads",
    "drive": "cars trucks buses vans taxis tractors",
    "play": "chess tennis football poker golf hockey",
    "speak": "English French German Spanish Italian Russian",
}
BOTH = ({"read", "speak"}, {"read", "sing"}, {"play", "sing"})
"""Verbs that go with each other's words (one can read Italian and play a song): never set against each other."""
_USE = {word: verb for verb, words in USES.items() for word in words.split()}


def _use(draw: Random) -> Iterator[Item]:
    while True:
        verb, other = draw.sample(list(USES), 2)
        answer, foil = draw.choice(USES[verb].split()), draw.choice(USES[other].split())
        first, second = draw.sample((answer, foil), 2)
        passage = f"{draw.choice(NAMES)} likes {first} and {second}."
        if {verb, other} not in BOTH:
            yield Item(f"What can you {verb}?", answer, foil, passage)


def _solve_use(passage: str, text: str) -> str:
    verb = text.removesuffix("?").split()[-1]
    first, second = re.search(r"likes (\w+) and (\w+)", passage).groups()
    return first if _USE[first] == verb else second


SENSES = """
bat | animal | club | The bat flew out of the cave. | He swung the bat and hit the ball.
bank | river | money | They sat on the bank and fished. | She took a loan from the bank.
bark | tree | dog | The bark fell off the old oak. | The bark scared the cat away.
ring | jewel | sound | He gave her a gold ring. | We heard the ring of the telephone.
nail | finger | metal | She painted her nail pink. | He hit the nail with a hammer.
seal | animal | stamp | The seal swam after the fish. | The letter had a wax seal.
mouse | animal | computer | The mouse ate the cheese. | Click twice with the mouse.
palm | tree | hand | A coconut fell from the palm. | He held the coin in his palm.
crane | bird | machine | The crane laid two eggs. | The crane lifted the steel beam.
match | fire | game | She lit the candle with a match. | Our team won the match.
star | sky | film | We saw a bright star at night. | The star signed photos for her fans.
trunk | elephant | car | It drank water with its trunk. | He put the bags in the trunk.
letter | mail | alphabet | The letter had no stamp on it. | The word begins with that letter.
date | fruit | day | The date tasted sweet. | What is the date of the meeting?
wave | sea | hand | The wave knocked over the boat. | She said goodbye with a wave.
chest | body | box | He felt a pain in his chest. | They found gold in the chest.
bulb | lamp | flower | The bulb lit up the room. | She planted the bulb in the soil.
glass | window | drink | The ball broke the glass of the door. | He poured milk into the glass.
spring | season | water | Flowers open in spring. | They drank from the spring.
fan | air | person | The fan cooled the hot room. | The fan cheered for her team.
pen | ink | pig | He signed the form with a pen. | The farmer cleaned out the pen.
club | stick | group | The golfer swung his club. | She joined a chess club.
note | music | paper | The singer held a high note. | He left a note on the desk.
tie | clothes | score | He wore a suit and a tie. | The game ended in a tie.
park | trees | car | We had a picnic in the park. | She could not park near the shop.
bow | ribbon | arrow | Her hair had a pink bow. | The archer bent his bow.
plant | leaf | factory | Water the plant every day. | The plant makes steel.
cold | illness | weather | He sneezed, for he had a cold. | Put on a coat, it is cold.
orange | fruit | color | He peeled the orange. | The walls were painted orange.
turkey | bird | country | We ate roast turkey. | Turkey borders Greece.
race | running | people | He came first in the race. | All are equal whatever their race.
jam | fruit | traffic | She spread jam on the bread. | We sat in a jam on the road.
ruler | king | measure | The ruler wore a crown. | He drew the line with a ruler.
bill | money | beak | He paid the bill in cash. | The duck opened its bill.
horn | animal | car | The bull had a sharp horn. | The driver sounded his horn.
temple | church | head | They prayed in the temple. | He was struck on the temple.
ball | dance | toy | The prince met her at the ball. | The boy kicked the ball.
port | ship | wine | The boats came into port. | They drank old port after dinner.
"""
_SENSES = [tuple(line.split(" | ")) for line in SENSES.split("\n") if line]
_SENSE = {sentence: sense for _, a, b, of_a, of_b in _SENSES for sense, sentence in ((a, of_a), (b, of_b))}


def _sense(draw: Random) -> Iterator[Item]:
    rows = [(row, asked) for row in _SENSES for asked in (0, 1)]
    for (word, a, b, *sentences), asked in draw.sample(rows, len(rows)):
        options = " or ".join(draw.sample((a, b), 2))
        yield Item(f'Does "{word}" here have to do with {options}?', (a, b)[asked], (b, a)[asked], sentences[asked])


def _solve_sense(passage: str, text: str) -> str:
    return _SENSE[passage]


RELATIVES = (
    ("uncle", "aunt"), ("father", "mother"), ("son", "daughter"), ("brother", "sister"), ("nephew", "niece"),
    ("grandfather", "grandmother"), ("grandson", "granddaughter"), ("stepfather", "stepmother"),
)  # fmt: skip
_MALE, _FEMALE = ({pair[i] for pair in RELATIVES} for i in (0, 1))


def _relative(draw: Random) -> Iterator[Item]:
    while True:
        man, woman = draw.choice(MEN), draw.choice(WOMEN)
        male, female = draw.choice(RELATIVES)
        first, second = draw.sample((f"{man} is my {male}", f"{woman} is my {female}"), 2)
        asked, answer, foil = draw.choice((("man", man, woman), ("woman", woman, man)))
        yield Item(f"{first} and {second}. The {asked} is called", answer, foil)


def _solve_relative(passage: str, text: str) -> str:
    sex = _FEMALE if "The woman" in text else _MALE
    return next(name for name, word in re.findall(r"(\w+) is my (\w+)", text) if word in sex)


TOPICS = {
    "football": "The striker scored a goal.|The goalkeeper missed the ball.|The referee showed a red card.|"
    "The home team won by two goals.|He took the penalty.|The fans cheered in the stadium.|"
    "The coach shouted at half-time.",
    "music": "The band tuned their guitars.|She sang the second song.|The drummer lost the beat.|"
    "The choir hit a high note.|He played the violin.|The pianist bowed.|They wrote a new tune.",
    "weather": "It will rain all week.|The wind is strong today.|Clouds cover the sky.|Snow fell in the night.|"
    "Tomorrow will be sunny.|Thunder woke us up.|The fog was thick this morning.",
    "food": "Fry the onions in butter.|The soup needs more salt.|Bake the bread for an hour.|She cut the cheese.|"
    "The sauce was spicy.|We had pasta for dinner.|He boiled two eggs.",
    "school": "The pupils opened their books.|The teacher wrote on the board.|The exam lasted two hours.|"
    "She forgot her homework.|The lesson began at nine.|The class learned to spell.|He passed the test.",
    "money": "The bank raised its rates.|He paid back the loan.|She saved a hundred dollars.|Prices went up again.|"
    "He counted his coins.|The bill was too high.|She spent all her wages.",
    "war": "The soldiers fired their guns.|The army crossed the border.|The general lost the battle.|"
    "Tanks rolled into the town.|The enemy gave up.|Bombs fell on the city.|The troops dug trenches.",
    "health": "The doctor felt his pulse.|The nurse gave her a pill.|He coughed all night.|She broke her leg.|"
    "The fever went down.|He had a sore throat.|The patient took his medicine.",
    "cars": "The engine would not start.|He pressed the brake.|The tires were worn.|She changed gear.|"
    "He filled the tank.|The driver turned the wheel.|She parked in the garage.",
    "gardening": "She planted the tulips.|He watered the roses.|Pull out the weeds.|The seeds need soil.|"
    "She cut the hedge.|He mowed the lawn.|The bushes were pruned.",
}
_TOPIC = {sentence: topic for topic, text in TOPICS.items() for sentence in text.split("|")}


def _topic(draw: Random) -> Iterator[Item]:
    while True:
        topic, foil = draw.sample(list(TOPICS), 2)
        yield Item("What is this text about?", topic, foil, " ".join(draw.sample(TOPICS[topic].split("|"), 2)))


def _solve_topic(passage: str, text: str) -> str:
    first, second = (_TOPIC[sentence] for sentence in re.findall(r"[^.]+\.", passage.replace(". ", ".")))
    return first if first == second else ""


TASKS = (
    Task("antonym", FUNCTION, "completion", "adjective", _antonym, _solve_antonym),
    Task("synonym", FUNCTION, "completion", "adjective", _synonym, _solve_synonym),
    Task("whole_of_parts", FUNCTION, "completion", "noun", _part, _solve_part),
    Task("man_or_woman", FUNCTION, "completion", "name", _relative, _solve_relative),
    Task("category_of_word", FUNCTION, "question", "noun", _category, _solve_category),
    Task("word_for_definition", FUNCTION, "question", "noun", _definition, _solve_definition),
    Task("review_sentiment", FUNCTION, "completion", "adjective", _sentiment, _solve_sentiment),
    Task("topic_of_text", FUNCTION, "passage", "noun", _topic, _solve_topic),
    Task("thing_for_verb", FUNCTION, "passage", "noun", _use, _solve_use),
    Task("odd_word_out", FUNCTION, "question", "noun", _odd_one, _solve_odd_one),
    Task("sense_in_context", FUNCTION, "passage", "noun", _sense, _solve_sense),
    Task("person_by_synonym", FUNCTION, "passage", "name", _who_is, _solve_who_is),
    Task("city_by_synonym", FUNCTION, "completion", "place", _town, _solve_town),
)
