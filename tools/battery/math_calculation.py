"""Tasks that call for calculation: the answer stands nowhere, or which of two it is has to be worked out."""

import re
from collections.abc import Iterator
from decimal import Decimal
from random import Random

from battery.task import Item, Task

GIRLS = ("Anna", "Rosa", "Mia", "Emma", "Lucy", "Sara", "Julia", "Nina", "Clara", "Ella", "Maria", "Alice")
BOYS = ("Tom", "Ben", "Paul", "Peter", "Leo", "Max", "Jack", "David", "Mark", "Oscar", "Simon", "Adam")
NAMES = GIRLS + BOYS
THINGS = ("apples", "coins", "books", "stamps", "cards", "eggs", "pens", "shells", "cups", "balls", "nuts", "keys")
PLACES = ("beach", "farm", "hotel", "bank", "school", "church", "zoo", "museum", "park", "airport", "library", "pool")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh",
    "eighth", "ninth", "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth",
    "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth",
)  # fmt: skip


def _near(draw: Random, number: int, by: tuple[int, ...] = (-2, -1, 1, 2)) -> str:
    """Return a wrong number of as many digits."""
    return str(draw.choice([n for n in (number + d for d in by) if n > 0 and len(str(n)) == len(str(number))]))


def _numbers(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", text)]


def _sum(draw: Random) -> Iterator[Item]:
    while True:
        a, b = draw.randint(1, 14), draw.randint(2, 9)
        yield Item(f"{a} + {b} =", str(a + b), _near(draw, a + b))


def _solve_sum(passage: str, text: str) -> str:
    return str(sum(_numbers(text)))


def _product(draw: Random) -> Iterator[Item]:
    while True:
        a, b = draw.randint(2, 13), draw.randint(2, 12)
        yield Item(f"What is {a} times {b}?", str(a * b), _near(draw, a * b, (-b, b, -a, a)))


def _solve_product(passage: str, text: str) -> str:
    a, b = _numbers(text)
    return str(a * b)


def _sequence(draw: Random) -> Iterator[Item]:
    while True:
        start, step = draw.randint(1, 40), draw.choice((2, 3, 4, 5, 10, -1, -2))
        seen = [start + step * n for n in range(4)]
        if min(seen) + step < 1:
            continue
        yield Item(" ".join(f"{n}," for n in seen), str(seen[-1] + step), _near(draw, seen[-1] + step))


def _solve_sequence(passage: str, text: str) -> str:
    n = _numbers(text)
    return str(2 * n[-1] - n[-2])


def _day(draw: Random) -> Iterator[Item]:
    for_days = list(range(1, 7))
    while True:
        n, at, back = draw.choice(for_days), draw.randrange(7), draw.random() < 0.3
        answer = DAYS[(at + (-n if back else n)) % 7]
        foil = draw.choice([d for d in DAYS if d not in (answer, DAYS[at])])
        days = "1 day" if n == 1 else f"{n} days"
        asked = f"What day was it {days} ago?" if back else f"What day will it be in {days}?"
        yield Item(f"Today is {DAYS[at]}. {asked}", answer, foil)


def _solve_day(passage: str, text: str) -> str:
    at = next(n for n, day in enumerate(DAYS) if day in text)
    (n,) = _numbers(text)
    return DAYS[(at + (-n if "ago" in text else n)) % 7]


def _calendar(draw: Random) -> Iterator[Item]:
    while True:
        names = draw.choice((DAYS, MONTHS, MONTHS))
        at, length = draw.randrange(len(names)), draw.randint(2, 5)
        seen = [names[(at + n) % len(names)] for n in range(length)]
        yield Item(" ".join(f"{n}," for n in seen), names[(at + length) % len(names)], draw.choice(seen))


def _solve_calendar(passage: str, text: str) -> str:
    seen = text.replace(",", "").split()
    names = DAYS if seen[0] in DAYS else MONTHS
    return names[(names.index(seen[-1]) + 1) % len(names)]


def _ordinal(draw: Random) -> Iterator[Item]:
    while True:
        length = draw.randint(2, 6)
        at = draw.randrange(len(ORDINALS) - length)
        last = at + length
        foil = draw.choice([n for n in (last - 2, last - 1, last + 1, last + 2) if 0 <= n < len(ORDINALS)])
        yield Item(" ".join(f"{n}," for n in ORDINALS[at:last]), ORDINALS[last], ORDINALS[foil])


def _solve_ordinal(passage: str, text: str) -> str:
    return ORDINALS[ORDINALS.index(re.findall(r"\w+", text)[-1]) + 1]


def _year(draw: Random) -> Iterator[Item]:
    while True:
        year = draw.randint(1901, 2024)
        yield Item(f"This year is {year}. Next year will be", str(year + 1), str(year + draw.choice((-1, 2))))


def _solve_year(passage: str, text: str) -> str:
    return str(_numbers(text)[0] + 1)


def _compare(draw: Random) -> Iterator[Item]:
    while True:
        a, b = draw.randint(2, 99), draw.randint(2, 99)
        if a == b:
            continue
        answer, foil = ("larger", "smaller") if a > b else ("smaller", "larger")
        yield Item(f"Compared with {b}, the number {a} is", answer, foil)


def _solve_compare(passage: str, text: str) -> str:
    b, a = _numbers(text)
    return "larger" if a > b else "smaller"


def _story(draw: Random) -> Iterator[Item]:
    while True:
        name, things = draw.choice(NAMES), draw.choice(THINGS)
        a, b = draw.randint(2, 9), draw.randint(2, 9)
        if draw.random() < 0.5:
            more, right, wrong = f"got {b} more", a + b, abs(a - b)
        elif a > b + 1:
            more, right, wrong = f"lost {b} of them", a - b, a + b
        else:
            continue
        foil = str(wrong) if len(str(wrong)) == len(str(right)) and wrong else _near(draw, right)
        yield Item(f"How many {things} does {name} have now?", str(right), foil, f"{name} had {a} {things} and {more}.")


def _solve_story(passage: str, text: str) -> str:
    a, b = _numbers(passage)
    return str(a - b if "lost" in passage else a + b)


def _purchase(draw: Random) -> Iterator[Item]:
    while True:
        name, things, a, b = draw.choice(NAMES), draw.choice(THINGS), draw.randint(2, 12), draw.randint(2, 9)
        passage = f"{name} has {a} {things} and buys {b} more {things}."
        yield Item(f"How many {things} are {a} + {b}?", str(a + b), _near(draw, a + b), passage)


def _solve_purchase(passage: str, text: str) -> str:
    return str(sum(_numbers(passage)))


def _bags(draw: Random) -> Iterator[Item]:
    while True:
        name, things, a, b = draw.choice(NAMES), draw.choice(THINGS), draw.randint(2, 10), draw.randint(2, 10)
        passage = f"{name} has {a} bags. There are {b} {things} in each bag."
        foil = _near(draw, a * b, (-b, b, a, -a))
        yield Item(f"How many {things} are {a} times {b} {things}?", str(a * b), foil, passage)


def _solve_bags(passage: str, text: str) -> str:
    bags, each = _numbers(passage)
    return str(bags * each)


def _more(draw: Random) -> Iterator[Item]:
    while True:
        one, two = draw.sample(NAMES, 2)
        things = draw.choice(THINGS)
        a, b = draw.sample(range(2, 100), 2)
        fewer = draw.random() < 0.5
        right, wrong = (one, two) if (a > b) != fewer else (two, one)
        asked = f"Who has {'fewer' if fewer else 'more'} {things}?"
        yield Item(asked, right, wrong, f"{one} has {a} {things}. {two} has {b} {things}.")


def _solve_more(passage: str, text: str) -> str:
    has = {int(n): name for name, n in re.findall(r"(\w+) has (\d+)", passage)}
    return has[min(has) if "fewer" in text else max(has)]


def _nearer(draw: Random) -> Iterator[Item]:
    while True:
        one, two = draw.sample(PLACES, 2)
        a, b = draw.sample(range(2, 100), 2)
        right, wrong = (one, two) if a < b else (two, one)
        yield Item(f"The {one} is {a} km away and the {two} is {b} km away. Which is nearer?", right, wrong)


def _solve_nearer(passage: str, text: str) -> str:
    return min((int(n), place) for place, n in re.findall(r"(\w+) is (\d+) km", text))[1]


# --- no successions -----------------------------------------------------------------------------------------
def _decimals(draw: Random) -> Iterator[Item]:
    """Tenths without a carry."""
    while True:
        whole, a, b = draw.randint(0, 5), draw.randint(1, 8), draw.randint(1, 8)
        if a + b < 10:
            yield Item(f"{whole}.{a} + 0.{b} =", f"{whole}.{a + b}", f"{whole}.{_near(draw, a + b)}")


def _solve_decimals(passage: str, text: str) -> str:
    return str(sum(Decimal(n) for n in re.findall(r"\d\.\d", text)))


def _tenfold(draw: Random) -> Iterator[Item]:
    while True:
        n = draw.randint(11, 99)
        yield Item(f"{n} x 10 =", str(n * 10), _near(draw, n * 10, (-100, -10, -9, 9, 10, 100)))


def _price(draw: Random) -> Iterator[Item]:
    while True:
        name, things, a, b = draw.choice(NAMES), draw.choice(THINGS), draw.randint(2, 10), draw.randint(2, 10)
        foil = _near(draw, a * b, (-b, b, a, -a))
        yield Item(f"{name} buys {a} {things} at ${b} each. The price is {a} x {b} =", str(a * b), foil)


def _solve_price(passage: str, text: str) -> str:
    count, each = re.search(r"buys (\d+) \w+ at \$(\d+) each", text).groups()
    return str(int(count) * int(each))


F = "math_calculation"
TASKS = (
    Task("sum_digits", F, "completion", "number", _sum, _solve_sum),
    Task("product_question", F, "question", "number", _product, _solve_product),
    Task("number_sequence", F, "completion", "number", _sequence, _solve_sequence),
    Task("day_in_days", F, "question", "noun", _day, _solve_day),
    Task("calendar_sequence", F, "completion", "noun", _calendar, _solve_calendar),
    Task("ordinal_sequence", F, "completion", "adjective", _ordinal, _solve_ordinal),
    Task("next_year", F, "completion", "number", _year, _solve_year),
    Task("larger_or_smaller", F, "completion", "inflected", _compare, _solve_compare),
    Task("sum_of_purchase", F, "passage", "number", _purchase, _solve_purchase),
    Task("product_of_bags", F, "passage", "number", _bags, _solve_bags),
    Task("word_sum", F, "passage", "number", _story, _solve_story),
    Task("who_has_more", F, "passage", "name", _more, _solve_more),
    Task("nearer_place", F, "question", "place", _nearer, _solve_nearer),
    Task("decimal_sum", F, "completion", "number", _decimals, _solve_decimals),
    Task("times_ten", F, "completion", "number", _tenfold, _solve_product),
    Task("price_of_several", F, "completion", "number", _price, _solve_price),
)
