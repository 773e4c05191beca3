"""Tasks that call for the meaning of words."""

import re
from collections.abc import Iterator
from random import Random

from battery.task import Item, Task

FUNCTION = "semantic_understanding"
NAMES = (
    "Anna", "Ben", "Carl", "Dora", "Emma", "Frank", "George", "Helen", "Ian", "Jack", "Kate", "Lucy", "Mark", "Nina",
    "Oscar", "Paul", "Rose", "Sam", "Tom", "Vera", "Alice", "Bob", "Peter", "Mary",
)  # fmt: skip
CITIES = (
    "Rome", "Paris", "London", "Berlin", "Madrid", "Tokyo", "Cairo", "Boston", "Chicago", "Delhi", "Moscow", "Athens",
    "Dublin", "Vienna", "Sydney", "Toronto", "Lima", "Oslo",
)  # fmt: skip

OPPOSITES = """
big large small little
hot boiling cold chilly
happy glad sad unhappy
fast quick slow sluggish
rich wealthy poor needy
loud noisy quiet silent
easy simple difficult hard
clean spotless dirty filthy
brave bold cowardly timid
smart clever stupid foolish
beautiful pretty ugly hideous
strong powerful weak feeble
ancient old modern new
young youthful old elderly
fat plump thin slim
wet soaked dry arid
bright brilliant dark dim
safe secure dangerous risky
right correct wrong mistaken
true genuine false untrue
kind gentle cruel nasty
polite courteous rude insolent
full packed empty vacant
heavy hefty light lightweight
wide broad narrow thin
early premature late overdue
open ajar closed shut
rough bumpy smooth even
sharp pointed blunt dull
cheap inexpensive expensive costly
famous renowned unknown obscure
healthy fit sick ill
alive living dead deceased
angry furious calm peaceful
generous giving selfish greedy
active busy lazy idle
interesting exciting boring dull
huge enormous tiny little
near close far distant
good fine bad awful
careful cautious careless reckless
sweet sugary sour tart
common usual rare unusual
temporary brief permanent lasting
crowded packed deserted empty
naked bare dressed clothed
proud arrogant humble modest
tidy neat messy cluttered
friendly sociable hostile aggressive
honest truthful dishonest deceitful
raw uncooked cooked boiled
loose baggy tight snug
flexible bendy stiff rigid
relaxed easygoing tense nervous
"""
"""A word, one near it in meaning, its opposite, one near that."""
_QUADS = [tuple(line.split()) for line in OPPOSITES.split("\n") if line]
_OPPOSITE = {pair[i]: pair[1 - i] for pair in ((q[0], q[2]) for q in _QUADS) for i in (0, 1)}


def _antonym(draw: Random) -> Iterator[Item]:
    rows = [row for a, near_a, b, near_b in _QUADS for row in ((a, b, near_a), (b, a, near_b))]
    asked = set()
    for word, answer, foil in draw.sample(rows, len(rows)):
        if word not in asked:
            asked.add(word)
            if _OPPOSITE[word] == answer:
                yield Item(f"The opposite of {word} is", answer, foil)


def _solve_antonym(passage: str, text: str) -> str:
    return _OPPOSITE[text.split()[3]]


SAME = """
big large small
tiny little huge
unhappy sad happy
glad happy sad
quick fast slow
wealthy rich poor
needy poor rich
noisy loud quiet
silent quiet loud
simple easy difficult
hard difficult easy
filthy dirty clean
spotless clean dirty
fearless brave cowardly
bold brave timid
clever smart stupid
foolish silly wise
pretty beautiful ugly
hideous ugly beautiful
powerful strong weak
feeble weak strong
new modern ancient
ancient old new
elderly old young
plump fat thin
slim thin fat
soaked wet dry
arid dry wet
dim dark bright
shiny bright dull
secure safe dangerous
risky dangerous safe
correct right wrong
incorrect wrong right
mistaken wrong right
untrue false true
genuine real fake
nasty cruel kind
gentle kind cruel
impolite rude polite
courteous polite rude
vacant empty full
broad wide narrow
shut closed open
inexpensive cheap expensive
costly expensive cheap
well-known famous unknown
ill sick healthy
fit healthy sick
deceased dead alive
living alive dead
furious angry calm
mad angry calm
peaceful calm angry
idle lazy active
dull boring exciting
thrilling exciting boring
enormous huge tiny
gigantic huge tiny
close near far
distant far near
awful bad good
terrible bad good
excellent good bad
cautious careful careless
reckless careless careful
unusual rare common
usual common rare
brief short long
everlasting permanent temporary
modest humble proud
neat tidy messy
untidy messy tidy
unfriendly hostile friendly
truthful honest dishonest
deceitful dishonest honest
uncooked raw cooked
bare naked dressed
rigid stiff flexible
nervous tense relaxed
weary tired fresh
starving hungry full
frightened afraid brave
scared afraid brave
famished hungry full
exhausted tired rested
freezing cold hot
chilly cold hot
boiling hot cold
scorching hot cold
"""
"""A word, one of the same meaning, one of the opposite."""
_TRIPLES = [tuple(line.split()) for line in SAME.split("\n") if line]
_MEANS = {word: same for word, same, _ in _TRIPLES}


def _synonym(draw: Random) -> Iterator[Item]:
    for word, same, other in draw.sample(_TRIPLES, len(_TRIPLES)):
        first, second = draw.sample((same, other), 2)
        yield Item(f"Which word means the same as {word}: {first} or {second}?", same, other)


def _solve_synonym(passage: str, text: str) -> str:
    return _MEANS[re.search(r"same as ([\w-]+):", text)[1]]


KINDS_OF = {
    "bird": "robin eagle owl sparrow pigeon parrot crow swan gull hawk",
    "fish": "trout salmon tuna shark cod herring eel carp",
    "tree": "oak pine birch willow elm cedar maple palm",
    "flower": "rose tulip daisy lily violet orchid daffodil sunflower",
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
_KIND = {word: kind for kind, words in KINDS_OF.items() for word in words.split()}


def _category(draw: Random) -> Iterator[Item]:
    for word in draw.sample(list(_KIND), len(_KIND)):
        foil = draw.choice([kind for kind in KINDS_OF if kind != _KIND[word]])
        yield Item(f'The word "{word}" names a kind of', _KIND[word], foil)


def _solve_category(passage: str, text: str) -> str:
    return _KIND[text.split('"')[1]]


def _odd_one(draw: Random) -> Iterator[Item]:
    while True:
        kind, other = draw.sample(list(KINDS_OF), 2)
        same, odd = draw.sample(KINDS_OF[kind].split(), 3), draw.choice(KINDS_OF[other].split())
        words = draw.sample([*same, odd], 4)
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
    "hand": "thumb finger palm knuckle wrist",
    "face": "nose chin cheek mouth forehead",
    "ship": "deck mast anchor sail rudder",
    "flower": "petal stem bud stalk leaf",
    "shirt": "collar sleeve button cuff pocket",
    "bicycle": "pedal saddle handlebar chain spoke",
    "school": "classroom playground gym teacher blackboard",
    "fish": "fin gill scale tail",
    "clock": "dial pendulum hand face",
    "airport": "runway terminal gate hangar",
    "theater": "stage curtain balcony seat",
    "farm": "barn field stable pasture",
    "castle": "tower moat drawbridge dungeon",
    "sentence": "verb noun subject word",
    "guitar": "string fret neck bridge",
    "shoe": "heel sole lace tongue",
    "country": "city province town village",
    "year": "month week day season",
}


def _an(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _part(draw: Random) -> Iterator[Item]:
    while True:
        whole, foil = draw.sample(list(WHOLES), 2)
        a, b = draw.sample(WHOLES[whole].split(), 2)
        if whole != "airport" and not {a, b} & set(WHOLES[foil].split()):
            yield Item(f"{_an(a).capitalize()} and {_an(b)} are parts of a", whole, foil)


def _solve_part(passage: str, text: str) -> str:
    parts = set(re.findall(r"\w+", text.split(" are ")[0].lower())) - {"a", "an", "and"}
    return next(whole for whole, own in WHOLES.items() if parts <= set(own.split()))


DEFINITIONS = """
a person who bakes bread = baker
a person who sells meat = butcher
a person who teaches at a school = teacher
a person who learns at a school = student
a person who flies planes = pilot
a person who steers a ship = captain
a person who rules a kingdom = king
a person who serves food in a restaurant = waiter
a person who cooks meals in a restaurant = chef
a person who writes books = author
a person who paints pictures = painter
a person who grows crops = farmer
a person who catches fish = fisherman
a person who puts out fires = firefighter
a person who looks after teeth = dentist
a person who treats sick animals = vet
a person who cuts hair = barber
a person who makes suits = tailor
a person who steals things = thief
a person who catches criminals = policeman
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
a place where old art is shown = museum
a place where sick people are treated = hospital
a place where films are shown = cinema
a place where planes land = airport
a place where trains stop = station
a place where ships are unloaded = harbor
a place where children are taught = school
a place where bread is made = bakery
a place where people are locked up = prison
a place where money is kept = bank
a place where wild animals are shown = zoo
a place where people are buried = cemetery
a place where goods are made = factory
a place where guests sleep for money = hotel
a place where meals are sold and eaten = restaurant
a place where cars are repaired = garage
a place where fruit trees grow = orchard
a place where grapes are grown = vineyard
a place where bees live = hive
a place where birds lay eggs = nest
a thing used to hit nails = hammer
a thing used to cut wood = saw
a thing used to open locks = key
a thing used to sweep floors = broom
a thing used to cut paper = scissors
a thing used to tell the time = clock
a thing used to keep off the rain = umbrella
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
a thing used to hold back hair = ribbon
the meal eaten in the morning = breakfast
the meal eaten at noon = lunch
the meal eaten in the evening = dinner
the room where food is cooked = kitchen
the room where people sleep = bedroom
the season when snow falls = winter
the season when leaves fall = autumn
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
a very strong wind with rain = storm
a piece of land with water all around = island
a mountain that throws out fire = volcano
a dry land of sand = desert
"""
_WORD = dict(line.split(" = ") for line in DEFINITIONS.split("\n") if line)


def _definition(draw: Random) -> Iterator[Item]:
    rows = list(_WORD.items())
    for at in draw.sample(range(len(rows)), len(rows)):
        (text, word), near = rows[at], rows[max(at - 2, 0) : at] + rows[at + 1 : at + 3]
        yield Item(f"What is the word for {text}?", word, draw.choice(near)[1])


def _solve_definition(passage: str, text: str) -> str:
    return _WORD[text.removeprefix("What is the word for ").removesuffix("?")]


PRAISE = "delicious wonderful lovely excellent superb delightful charming brilliant perfect pleasant".split()
BLAME = "disgusting terrible awful horrible dreadful nasty dirty boring broken unpleasant".split()
SUBJECTS = (
    ("hotel", "room", "bed", "breakfast", "staff", "garden"),
    ("film", "story", "music", "ending", "acting", "opening"),
    ("restaurant", "soup", "waiter", "dessert", "wine", "table"),
    ("trip", "weather", "food", "guide", "beach", "boat"),
)
GENERAL = {"wonderful", "lovely", "excellent", "superb", "delightful", "terrible", "awful", "horrible", "dreadful"}


def _sentiment(draw: Random) -> Iterator[Item]:
    while True:
        subject, *parts = draw.choice(SUBJECTS)
        a, b = draw.sample(parts, 2)
        good = draw.random() < 0.5
        first, second = draw.sample(sorted(GENERAL & set(PRAISE if good else BLAME)), 2)
        answer, foil = ("good", "bad") if good else ("bad", "good")
        options = " or ".join(draw.sample((answer, foil), 2))
        yield Item(
            f"Was the {subject} {options}?", answer, foil, f"The {a} was {first} and the {b} was simply {second}."
        )


def _solve_sentiment(passage: str, text: str) -> str:
    words = set(re.findall(r"\w+", passage))
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
fat plump thin slim
tired exhausted rested refreshed
dirty filthy clean spotless
careful cautious careless reckless
famous renowned unknown obscure
honest truthful dishonest lying
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


def _who_bought(draw: Random) -> Iterator[Item]:
    things = ("bird", "fish", "flower", "fruit", "vegetable", "tool", "instrument", "drink", "weapon", "vehicle")
    skip = {"tea", "coffee", "milk", "beer", "wine", "juice", "cocoa", "spinach", "broccoli", "lettuce", "cabbage"}
    while True:
        kind, other = draw.sample(things, 2)
        kinds = [kind, other]
        words = [draw.choice([w for w in KINDS_OF[k].split() if w not in skip]) for k in kinds]
        x, y = draw.sample(NAMES, 2)
        asked = draw.randrange(2)
        yield Item(
            f"Who bought {_an(kinds[asked])}?", (x, y)[asked], (y, x)[asked],
            f"{x} bought {_an(words[0])}. {y} bought {_an(words[1])}.",
        )  # fmt: skip


def _solve_who_bought(passage: str, text: str) -> str:
    asked = text.removesuffix("?").split()[-1]
    return next(name for name, word in re.findall(r"(\w+) bought an? (\w+)", passage) if _KIND[word] == asked)


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


def _grown(draw: Random) -> Iterator[Item]:
    while True:
        kinds = draw.sample(("fruit", "vegetable", "flower", "tree", "bird", "fish", "insect", "tool"), 2)
        words = [draw.choice(KINDS_OF[kind].split()) for kind in kinds]
        x, y = draw.sample(CITIES, 2)
        asked = draw.randrange(2)
        yield Item(
            f"The {words[0]} is in {x}. The {words[1]} is in {y}. So the {kinds[asked]} is in",
            (x, y)[asked],
            (y, x)[asked],
        )


def _solve_grown(passage: str, text: str) -> str:
    asked = text.split()[-3]
    return next(city for word, city in re.findall(r"The (\w+) is in (\w+)", text) if _KIND[word] == asked)


USES = {
    "eat": "bread rice cheese soup cake meat pasta chocolate",
    "drink": "water tea juice milk lemonade coffee beer wine",
    "wear": "trousers gloves boots socks jeans shorts pajamas sandals",
    "read": "books letters newspapers poems stories magazines novels diaries",
    "sing": "songs hymns carols lullabies anthems ballads",
    "drive": "cars trucks buses vans taxis tractors",
    "play": "chess tennis football poker golf hockey",
    "speak": "English French German Spanish Italian Russian",
}
_USE = {word: verb for verb, words in USES.items() for word in words.split()}


def _use(draw: Random) -> Iterator[Item]:
    while True:
        verb, other = draw.sample(list(USES), 2)
        answer, foil = draw.choice(USES[verb].split()), draw.choice(USES[other].split())
        first, second = draw.sample((answer, foil), 2)
        yield Item(f"Which can you {verb}: {first} or {second}?", answer, foil)


def _solve_use(passage: str, text: str) -> str:
    verb, first, second = re.search(r"you (\w+): (\w+) or (\w+)", text).groups()
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
light | lamp | weight | Turn on the light, it is dark. | The bag is light, I can lift it.
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
_SENSE = {
    sentence: sense for _, a, b, of_a, of_b in _SENSES for sense, sentence in ((a, of_a), (b, of_b))
}


def _sense(draw: Random) -> Iterator[Item]:
    rows = [(row, asked) for row in _SENSES for asked in (0, 1)]
    for (word, a, b, *sentences), asked in draw.sample(rows, len(rows)):
        options = " or ".join(draw.sample((a, b), 2))
        yield Item(f'Does "{word}" here have to do with {options}?', (a, b)[asked], (b, a)[asked], sentences[asked])


def _solve_sense(passage: str, text: str) -> str:
    return _SENSE[passage]


TASKS = (
    Task("antonym", FUNCTION, "completion", "adjective", _antonym, _solve_antonym),
    Task("synonym_of_two", FUNCTION, "question", "adjective", _synonym, _solve_synonym),
    Task("category_of_word", FUNCTION, "completion", "noun", _category, _solve_category),
    Task("odd_word_out", FUNCTION, "question", "noun", _odd_one, _solve_odd_one),
    Task("whole_of_parts", FUNCTION, "completion", "noun", _part, _solve_part),
    Task("word_for_definition", FUNCTION, "question", "noun", _definition, _solve_definition),
    Task("review_good_or_bad", FUNCTION, "passage", "adjective", _sentiment, _solve_sentiment),
    Task("person_by_synonym", FUNCTION, "passage", "name", _who_is, _solve_who_is),
    Task("buyer_by_category", FUNCTION, "passage", "name", _who_bought, _solve_who_bought),
    Task("city_by_synonym", FUNCTION, "completion", "place", _town, _solve_town),
    Task("city_by_category", FUNCTION, "completion", "place", _grown, _solve_grown),
    Task("thing_for_verb", FUNCTION, "question", "noun", _use, _solve_use),
    Task("sense_in_context", FUNCTION, "passage", "noun", _sense, _solve_sense),
)
