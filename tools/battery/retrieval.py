"""Tasks that call for finding in a short text what it states.

Where the text holds two things of one kind, what is asked tells them apart by what they are (a price and a time, a
person and a pet). The last four ask which of several like ones belongs to whom or what; the default model does not
do them, and does the first ten.
"""

import re
from collections.abc import Iterator
from random import Random

from battery.task import Item, Task
from battery.words import PEOPLE, words

CITIES = words(
    "Paris London Berlin Rome Madrid Vienna Oslo Athens Dublin Prague Boston Chicago Denver Dallas Seattle Tokyo "
    "Moscow Cairo Sydney Toronto"
)
COUNTRIES = words(
    "Spain France Italy Greece Poland Norway Japan China India Egypt Brazil Mexico Canada Germany Sweden Peru Chile "
    "Cuba Kenya Turkey"
)
COLORS = words("red blue green yellow black white brown gray pink purple")
FUR = words("black white brown gray")
SIZES = words("big small tiny huge")
CLOTHES = words("hat coat scarf shirt dress jacket belt bag cap sweater")
THINGS = words("key letter ring coin map pen watch ticket knife spoon photo candle")
SPOTS = words("garden kitchen hall park garage forest cellar attic river library")
PETS = words("dog cat horse rabbit parrot goat duck pig cow mouse")
JOBS = words("cook driver teacher doctor nurse guard painter singer farmer pilot judge baker lawyer dancer gardener")
DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
EVENTS = words("concert meeting wedding lecture party dance")
ROOMS = words("kitchen office library garage attic cellar bedroom hall")
DEEDS = words("danced worked slept cooked waited walked sang painted talked played fished cycled")


# What a notice may state, with room for a number, and the question for it.
NOTICES = {
    "A ticket costs {} dollars.": "How many dollars does a ticket cost?",
    "The tour takes {} hours.": "How many hours does the tour take?",
    "The bus has {} free seats.": "How many free seats does the bus have?",
    "The museum has {} rooms.": "How many rooms does the museum have?",
    "The hotel is {} miles away.": "How many miles away is the hotel?",
    "The show starts in {} minutes.": "In how many minutes does the show start?",
    "The house is {} years old.": "How many years old is the house?",
    "The cage holds {} birds.": "How many birds does the cage hold?",
    "The office is on floor {}.": "On which floor is the office?",
    "The train leaves from track {}.": "From which track does the train leave?",
}


def _pet(draw: Random) -> Iterator[Item]:
    while True:
        (owner, name), kind = draw.sample(PEOPLE, 2), draw.choice(PETS)
        color = draw.choice(FUR)
        told = draw.choice(
            (f"{owner} has a {color} {kind} called {name}.", f"A {color} {kind} called {name} belongs to {owner}.")
        )
        yield Item(f"{told} What is the name of the {kind}?", name, owner)


def _solve_pet(passage: str, text: str) -> str:
    return re.search(r"called (\w+)", text)[1]


def _found(draw: Random) -> Iterator[Item]:
    while True:
        name, day, thing, spot = draw.choice(PEOPLE), draw.choice(DAYS), draw.choice(THINGS), draw.choice(SPOTS)
        first = draw.choice(
            (f"On {day}, {name} found a {thing} in the {spot}.", f"In the {spot}, {name} found a {thing} on {day}.")
        )
        asked, answer, foil = draw.choice(
            ((f"The thing that {name} found", thing, spot), (f"The place where {name} looked", spot, thing))
        )
        yield Item(f"{first} {asked} was the", answer, foil)


def _solve_found(passage: str, text: str) -> str:
    story, asked = text.split(". ")
    thing, spot = re.search(r"found a (\w+)", story)[1], re.search(r"in the (\w+)", story, re.IGNORECASE)[1]
    return thing if asked.startswith("The thing") else spot


def _origin(draw: Random) -> Iterator[Item]:
    while True:
        name, country, city = draw.choice(PEOPLE), draw.choice(COUNTRIES), draw.choice(CITIES)
        told = draw.choice(
            (f"{name} comes from {country} and lives in {city}.", f"{name} lives in {city} and comes from {country}.")
        )
        asked, answer, foil = draw.choice(
            (
                (f"In which city does {name} live?", city, country),
                (f"From which country does {name} come?", country, city),
            )
        )
        yield Item(f"{told} {asked}", answer, foil)


def _solve_origin(passage: str, text: str) -> str:
    return re.search(r"lives in (\w+)" if "which city" in text else r"comes from (\w+)", text)[1]


def _look(draw: Random) -> Iterator[Item]:
    while True:
        name, size, color, thing = draw.choice(PEOPLE), draw.choice(SIZES), draw.choice(COLORS), draw.choice(CLOTHES)
        first = draw.choice(
            (f"{name} bought a {size} {color} {thing}.", f"The {thing} that {name} bought is {color} and {size}.")
        )
        asked, answer, foil = draw.choice((("color", color, size), ("size", size, color)))
        yield Item(f"{first} The {asked} of the {thing} is", answer, foil)


def _solve_look(passage: str, text: str) -> str:
    words = re.findall(r"\w+", text)
    known = COLORS if "The color of" in text else SIZES
    return next(word for word in words if word in known)


def _price(draw: Random) -> Iterator[Item]:
    while True:
        hour, price = map(str, draw.sample(range(2, 10), 2))
        what = draw.choice(("film", "show", "concert", "match", "play", "party"))
        told = draw.choice(
            (
                f"The {what} starts at {hour} o'clock and a ticket costs {price} dollars.",
                f"A ticket costs {price} dollars and the {what} starts at {hour} o'clock.",
            )
        )
        asked, answer, foil = draw.choice(
            (("Price of a ticket in dollars:", price, hour), (f"Start of the {what}:", hour, price))
        )
        yield Item(f"{told} {asked}", answer, foil)


def _solve_price(passage: str, text: str) -> str:
    return re.search(r"costs (\d)" if "Price of" in text else r"starts at (\d)", text)[1]


def _job(draw: Random) -> Iterator[Item]:
    while True:
        name, job, pet = draw.choice(PEOPLE), draw.choice(JOBS), draw.choice(PETS)
        city, color = draw.choice(CITIES), draw.choice(COLORS)
        passage = draw.choice(
            (
                f"{name} is a {job} from {city}, has a {pet} and likes {color} cars.",
                f"{name} from {city} has a {pet}, works as a {job} and likes {color} cars.",
            )
        )
        asked, answer, foil = draw.choice(
            ((f"What is {name}'s job?", job, pet), (f"Which animal does {name} have?", pet, job))
        )
        yield Item(asked, answer, foil, passage)


def _solve_job(passage: str, text: str) -> str:
    return re.search(r"(?:is|works as) a (\w+)" if "job" in text else r"has a (\w+)", passage)[1]


def _deed(draw: Random) -> Iterator[Item]:
    while True:
        name, day, city, hours = draw.choice(PEOPLE), draw.choice(DAYS), draw.choice(CITIES), draw.randint(2, 9)
        answer, foil = draw.sample(DEEDS, 2)
        yield Item(
            f"What did {name} do on {day}?", answer, foil, f"On {day}, {name} {answer} for {hours} hours in {city}."
        )


def _solve_deed(passage: str, text: str) -> str:
    return re.search(r", \w+ (\w+) for", passage)[1]


def _car(draw: Random) -> Iterator[Item]:
    while True:
        name, job, city, pet = draw.choice(PEOPLE), draw.choice(JOBS), draw.choice(CITIES), draw.choice(PETS)
        answer, foil = draw.sample(COLORS, 2)
        parts = draw.sample((f"has a {pet}", f"drives a {answer} car", f"works as a {job}"), 3)
        yield Item(
            f"What color is {name}'s car?", answer, foil, f"{name} from {city} {parts[0]}, {parts[1]} and {parts[2]}."
        )


def _solve_car(passage: str, text: str) -> str:
    return re.search(r"a (\w+) car", passage)[1]


def _day(draw: Random) -> Iterator[Item]:
    while True:
        name, city, hour, event = draw.choice(PEOPLE), draw.choice(CITIES), draw.randint(2, 9), draw.choice(EVENTS)
        answer, foil = draw.sample(DAYS, 2)
        note = f"The {event} in {city} is on {answer} at {hour}."
        yield Item(f'A note from {name} says: "{note}" On which day is the {event}?', answer, foil)


def _solve_day(passage: str, text: str) -> str:
    return re.search(r"is on (\w+day)", text)[1]


def _notice(draw: Random) -> Iterator[Item]:
    while True:
        (one, ask_one), (two, ask_two) = draw.sample(sorted(NOTICES.items()), 2)
        this, that = map(str, draw.sample(range(2, 10), 2))
        asked, answer, foil = draw.choice(((ask_one, this, that), (ask_two, that, this)))
        yield Item(asked, answer, foil, f"{one.format(this)} {two.format(that)}")


def _solve_notice(passage: str, text: str) -> str:
    words = next(words for words, question in NOTICES.items() if question == text)
    return re.search(words.replace(".", r"\.").replace("{}", r"(\d)"), passage)[1]


def _home(draw: Random) -> Iterator[Item]:
    while True:
        (one, two), (here, there) = draw.sample(PEOPLE, 2), draw.sample(CITIES, 2)
        asked, answer, foil = draw.choice(((one, here, there), (two, there, here)))
        yield Item(f"Where does {asked} live?", answer, foil, f"{one} lives in {here}. {two} lives in {there}.")


def _solve_home(passage: str, text: str) -> str:
    return dict(re.findall(r"(\w+) lives in (\w+)", passage))[re.search(r"does (\w+)", text)[1]]


def _holder(draw: Random) -> Iterator[Item]:
    while True:
        people, things = draw.sample(PEOPLE, 4), draw.sample(THINGS, 4)
        n, other = draw.sample(range(4), 2)
        passage = " ".join(f"{p} has the {t}." for p, t in zip(people, things, strict=True))
        yield Item(f"Who has the {things[n]}?", people[n], people[other], passage)


def _solve_holder(passage: str, text: str) -> str:
    return {t: p for p, t in re.findall(r"(\w+) has the (\w+)", passage)}[re.search(r"the (\w+)\?", text)[1]]


def _room(draw: Random) -> Iterator[Item]:
    while True:
        rooms, keys = draw.sample(ROOMS, 3), draw.sample(range(2, 10), 3)
        n, other = draw.sample(range(3), 2)
        listed = ", ".join(f"{room} {key}" for room, key in zip(rooms, keys, strict=True))
        yield Item(
            f"Keys on the board: {listed}. What is the number of the key to the {rooms[n]}?",
            str(keys[n]),
            str(keys[other]),
        )


def _solve_room(passage: str, text: str) -> str:
    return dict(re.findall(r"(\w+) (\d)", text))[re.search(r"key to the (\w+)", text)[1]]


def _letter(draw: Random) -> Iterator[Item]:
    while True:
        to, sender = draw.sample(PEOPLE, 2)
        day, city = draw.choice(DAYS), draw.choice(CITIES)
        asked, answer, foil = draw.choice((("by", sender, to), ("to", to, sender)))
        yield Item(
            f"Dear {to}, I will visit you in {city} on {day}. Love, {sender}. The letter was written {asked}",
            answer,
            foil,
        )


def _solve_letter(passage: str, text: str) -> str:
    return re.search(r"Love, (\w+)" if text.endswith(" by") else r"Dear (\w+)", text)[1]


F = "retrieval"

TASKS = (
    Task("name_of_pet", F, "question", "name", _pet, _solve_pet),
    Task("found_thing_or_place", F, "completion", "noun", _found, _solve_found),
    Task("city_or_country", F, "question", "place", _origin, _solve_origin),
    Task("color_or_size", F, "completion", "adjective", _look, _solve_look),
    Task("price_or_hour", F, "completion", "number", _price, _solve_price),
    Task("job_or_animal", F, "passage", "noun", _job, _solve_job),
    Task("what_was_done", F, "passage", "inflected", _deed, _solve_deed),
    Task("color_of_car", F, "passage", "adjective", _car, _solve_car),
    Task("day_in_note", F, "question", "noun", _day, _solve_day),
    Task("number_in_notice", F, "passage", "number", _notice, _solve_notice),
    Task("home_of_two", F, "passage", "place", _home, _solve_home),
    Task("holder_among_four", F, "passage", "name", _holder, _solve_holder),
    Task("key_among_three", F, "question", "number", _room, _solve_room),
    Task("writer_or_reader_of_letter", F, "completion", "name", _letter, _solve_letter),
)
