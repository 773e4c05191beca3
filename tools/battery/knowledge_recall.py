"""Tasks that call for recalling a world fact which does not stand in the text."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import count, permutations
from random import Random

from battery.task import Item, Task
from battery.words import PEOPLE, words

# Country, capital, language that most people speak, continent; "-" where the answer is disputed, has two words or could
# be guessed from the country's name. A row stands where a replaced one stood: order and number decide what is drawn.
_COUNTRIES = """
France, Paris, French, Europe
Germany, Berlin, German, Europe
Italy, Rome, Italian, Europe
Spain, Madrid, Spanish, Europe
Portugal, Lisbon, Portuguese, Europe
Greece, Athens, Greek, Europe
Poland, Warsaw, Polish, Europe
Hungary, Budapest, Hungarian, Europe
Austria, Vienna, German, Europe
Sweden, Stockholm, Swedish, Europe
Norway, Oslo, Norwegian, Europe
Denmark, Copenhagen, Danish, Europe
Finland, Helsinki, Finnish, Europe
Iceland, Reykjavik, Icelandic, Europe
Ireland, Dublin, English, Europe
England, London, English, Europe
Scotland, Edinburgh, English, Europe
Ukraine, Kyiv, -, Europe
Romania, Bucharest, Romanian, Europe
Bulgaria, Sofia, Bulgarian, Europe
Serbia, Belgrade, Serbian, Europe
Croatia, Zagreb, Croatian, Europe
Slovakia, Bratislava, Slovak, Europe
Slovenia, Ljubljana, -, Europe
Albania, Tirana, Albanian, Europe
Lithuania, Vilnius, Lithuanian, Europe
Latvia, Riga, Latvian, Europe
Estonia, Tallinn, Estonian, Europe
Belgium, Brussels, -, Europe
Switzerland, -, -, Europe
Cyprus, Nicosia, -, -
Belarus, Minsk, -, Europe
Liechtenstein, Vaduz, German, Europe
Russia, Moscow, Russian, -
China, Beijing, Chinese, Asia
Japan, Tokyo, Japanese, Asia
South Korea, Seoul, Korean, Asia
North Korea, Pyongyang, Korean, Asia
India, -, -, Asia
Pakistan, Islamabad, -, Asia
Bangladesh, Dhaka, Bengali, Asia
Nepal, Kathmandu, Nepali, Asia
Thailand, Bangkok, Thai, Asia
Vietnam, Hanoi, Vietnamese, Asia
Cambodia, -, Khmer, Asia
Laos, Vientiane, -, Asia
Malaysia, -, -, Asia
Mongolia, -, Mongolian, Asia
Iran, Tehran, Persian, Asia
Iraq, Baghdad, Arabic, Asia
Syria, Damascus, Arabic, Asia
Lebanon, Beirut, Arabic, Asia
Jordan, Amman, Arabic, Asia
Saudi Arabia, Riyadh, Arabic, Asia
Yemen, -, Arabic, Asia
Oman, Muscat, Arabic, Asia
Qatar, Doha, Arabic, Asia
Kuwait, -, Arabic, Asia
Afghanistan, Kabul, -, Asia
Sri Lanka, -, -, Asia
Uzbekistan, Tashkent, -, Asia
Turkey, Ankara, Turkish, -
Egypt, Cairo, Arabic, Africa
Morocco, Rabat, Arabic, Africa
Algeria, -, Arabic, Africa
Armenia, Yerevan, -, -
Tunisia, -, Arabic, Africa
Azerbaijan, Baku, -, -
Libya, Tripoli, Arabic, Africa
Sudan, Khartoum, Arabic, Africa
Ethiopia, -, -, Africa
Kenya, Nairobi, -, Africa
Uganda, Kampala, -, Africa
Rwanda, Kigali, -, Africa
Tanzania, -, Swahili, Africa
Somalia, Mogadishu, Somali, Africa
Ghana, Accra, -, Africa
Nigeria, Abuja, -, Africa
Senegal, Dakar, -, Africa
Mali, Bamako, -, Africa
Niger, -, -, Africa
Chad, -, -, Africa
Angola, Luanda, Portuguese, Africa
Mozambique, Maputo, -, Africa
Zambia, Lusaka, -, Africa
Zimbabwe, Harare, -, Africa
Botswana, Gaborone, -, Africa
Namibia, Windhoek, -, Africa
Madagascar, -, Malagasy, Africa
Malawi, Lilongwe, -, Africa
Cameroon, -, -, Africa
Liberia, Monrovia, -, Africa
Sierra Leone, Freetown, -, Africa
Canada, Ottawa, -, -
Mexico, -, Spanish, -
Cuba, Havana, Spanish, -
Jamaica, Kingston, -, -
Colombia, Bogota, Spanish, -
Venezuela, Caracas, Spanish, -
Peru, Lima, Spanish, -
Chile, Santiago, Spanish, -
Argentina, -, Spanish, -
Uruguay, Montevideo, Spanish, -
Ecuador, Quito, Spanish, -
Brazil, -, Portuguese, -
Barbados, Bridgetown, -, -
Costa Rica, -, Spanish, -
Nicaragua, Managua, Spanish, -
Honduras, -, Spanish, -
El Salvador, -, Spanish, -
Guatemala, -, Spanish, -
Panama, -, Spanish, -
Australia, Canberra, English, -
New Zealand, Wellington, English, -
Fiji, Suva, -, -
"""
COUNTRIES = [tuple(line.split(", ")) for line in _COUNTRIES.strip().splitlines()]


def _known(column: int) -> dict[str, str]:
    return {row[0]: row[column] for row in COUNTRIES if row[column] != "-"}


CAPITALS, LANGUAGES, CONTINENTS = _known(1), _known(2), _known(3)

# A well-known person's first name, last name, job. "last" at the end: only the last name is asked (the job is one of
# several, or has a form for women); "job": only the job is asked (others share first name and job).
_FAMOUS = """
Albert, Einstein, scientist
Isaac, Newton, scientist
Charles, Darwin, scientist
Marie, Curie, scientist
Stephen, Hawking, scientist
Louis, Pasteur, scientist
Enrico, Fermi, scientist
Niels, Bohr, scientist
Nikola, Tesla, inventor
Thomas, Edison, inventor
Alexander Graham, Bell, inventor
Johannes, Gutenberg, inventor
William, Shakespeare, writer
Jane, Austen, writer
Mark, Twain, writer
Leo, Tolstoy, writer
Ernest, Hemingway, writer
Oscar, Wilde, writer
Agatha, Christie, writer
Victor, Hugo, writer, last
George, Eliot, writer, job
Virginia, Woolf, writer
George, Orwell, writer, job
Franz, Kafka, writer
Edgar Allan, Poe, writer
Emily, Dickinson, writer, job
Jules, Verne, writer
Charles, Dickens, writer
Pablo, Picasso, painter
Vincent van, Gogh, painter
Claude, Monet, painter
Salvador, Dali, painter
Frida, Kahlo, painter
Andy, Warhol, painter
Gustav, Klimt, painter
Paul, Gauguin, painter, job
Henri, Matisse, painter, job
Edvard, Munch, painter
Leonardo da, Vinci, painter
Wolfgang Amadeus, Mozart, composer
Ludwig van, Beethoven, composer
Johann Sebastian, Bach, composer
Frederic, Chopin, composer
Richard, Wagner, composer, job
Franz, Schubert, composer, job
Antonio, Vivaldi, composer
Giuseppe, Verdi, composer
Elvis, Presley, singer
Michael, Jackson, singer
Bob, Marley, singer, job
Frank, Sinatra, singer
Freddie, Mercury, singer
Taylor, Swift, singer
Aretha, Franklin, singer
Whitney, Houston, singer
Elton, John, singer
Abraham, Lincoln, president
George, Washington, president, job
Thomas, Jefferson, president, last
Barack, Obama, president
Ronald, Reagan, president, last
Theodore, Roosevelt, president
Richard, Nixon, president
Nelson, Mandela, president
Charles de, Gaulle, president
Christopher, Columbus, explorer
Marco, Polo, explorer, last
Henry, Hudson, explorer, job
Ferdinand, Magellan, explorer
Vasco da, Gama, explorer
James, Cook, explorer
Roald, Amundsen, explorer
Neil, Armstrong, astronaut
Yuri, Gagarin, astronaut
Buzz, Aldrin, astronaut
Charlie, Chaplin, actor, job
Keanu, Reeves, actor
Marilyn, Monroe, actor, last
Tom, Cruise, actor, job
Audrey, Hepburn, actor, last
Tom, Hanks, actor, job
Humphrey, Bogart, actor
Clint, Eastwood, actor
Arnold, Schwarzenegger, actor, last
Immanuel, Kant, philosopher
Friedrich, Nietzsche, philosopher
Rene, Descartes, philosopher
Jean-Jacques, Rousseau, philosopher
Usain, Bolt, sprinter, last
Serena, Williams, athlete, last
Muhammad, Ali, boxer
Mike, Tyson, boxer
Steven, Spielberg, director
Alfred, Hitchcock, director
Martin Luther, King, preacher, last
Mahatma, Gandhi, leader, last
Walt, Disney, filmmaker, last
Henry, Ford, carmaker, last
Winston, Churchill, politician, last
Margaret, Thatcher, politician, last
Sigmund, Freud, doctor, last
Florence, Nightingale, nurse, last
Amelia, Earhart, pilot, last
Napoleon, Bonaparte, emperor, last
"""
FAMOUS = [(*line.split(", "), "")[:4] for line in _FAMOUS.strip().splitlines()]
LAST_NAMES = {f"{job} {first}": last for first, last, job, only in FAMOUS if only != "job"}
JOBS = {f"{first} {last}": job for first, last, job, only in FAMOUS if only != "last"}
ALIKE_JOBS = ("writer scientist inventor philosopher", "singer actor director composer writer", "explorer astronaut")
"""Jobs of which one person often has two: none of these is the other's foil."""

# Well-known cities by the nationality of those who are from there.
_CITIES = {
    "French": "Paris Lyon Marseille Toulouse Bordeaux",
    "German": "Berlin Munich Hamburg Cologne Frankfurt",
    "Italian": "Rome Milan Venice Naples Florence",
    "Spanish": "Madrid Barcelona Seville Valencia Bilbao",
    "Portuguese": "Lisbon Porto",
    "Greek": "Athens Thessaloniki",
    "Polish": "Warsaw Krakow Gdansk",
    "Austrian": "Vienna Salzburg",
    "Swedish": "Stockholm Gothenburg Malmo",
    "Norwegian": "Oslo Bergen",
    "Danish": "Copenhagen Aarhus",
    "Russian": "Moscow Novosibirsk",
    "Dutch": "Amsterdam Rotterdam Utrecht",
    "Irish": "Dublin Galway",
    "Turkish": "Istanbul Ankara",
    "Chinese": "Beijing Shanghai Wuhan Nanjing",
    "Japanese": "Tokyo Osaka Kyoto Hiroshima",
    "Hungarian": "Budapest Debrecen",
    "Indian": "Mumbai Delhi Kolkata",
    "Egyptian": "Cairo Giza",
    "Canadian": "Toronto Montreal Vancouver Ottawa",
    "Mexican": "Tijuana Guadalajara Cancun",
    "Brazilian": "Recife Manaus",
    "American": "Chicago Boston Seattle Denver",
    "Australian": "Sydney Brisbane Melbourne",
}
NATIONALITIES = {city: word for word, cities in _CITIES.items() for city in cities.split()}

_COLORS = {
    "white": "snow, milk, salt, flour, a swan, a polar bear, a golf ball, cotton wool",
    "black": "coal, a raven, a crow, tar, a panther, a car tire",
    "red": "blood, a tomato, a strawberry, a fire truck, a cherry, a ruby, a stop sign",
    "green": "grass, a cucumber, broccoli, spinach, an emerald, a pea, lettuce",
    "yellow": "a ripe banana, a lemon, butter, a canary, a sunflower, mustard",
    "blue": "a clear sky, a sapphire, a blueberry, a bluebird",
    "orange": "a carrot, a pumpkin, a tangerine, a clownfish, a traffic cone",
    "brown": "chocolate, mud, a walnut, peanut butter, a chestnut, an acorn",
    "gray": "an elephant, a rain cloud, ash, concrete, a dolphin",
    "pink": "a flamingo, a pig, bubble gum, cotton candy",
}
COLORS = {thing: color for color, things in _COLORS.items() for thing in things.split(", ")}

_LEGS = {
    "2": "chicken duck goose swan eagle owl parrot pigeon penguin turkey hawk robin crow sparrow ostrich flamingo "
    "gull woman man girl boy",
    "4": "dog cat horse cow sheep goat pig lion tiger wolf fox bear deer camel donkey rabbit mouse rat elephant "
    "giraffe",
    "6": "ant bee beetle butterfly fly mosquito wasp moth grasshopper cricket ladybug cockroach dragonfly termite flea "
    "hornet",
    "8": "spider tarantula scorpion tick mite",
}
LEGS = {animal: legs for legs, animals in _LEGS.items() for animal in animals.split()}

_MATERIALS = {
    "wood": "log, plank, rolling pin, toothpick, totem pole, cello, violin, railroad tie, matchstick, broomstick",
    "glass": "window, wine bottle, light bulb, mirror, windshield, telescope lens, test tube, aquarium, jam jar",
    "paper": "newspaper, book page, envelope, map, postcard, calendar, magazine, notebook, postage stamp, poster, "
    "receipt",
    "metal": "sword, nail, coin, key, anchor, fork, screw, frying pan, wrench, horseshoe, saw blade, padlock, needle, "
    "trumpet, bicycle chain",
    "leather": "saddle, belt, wallet, cowboy boot, baseball glove, whip, holster",
    "rubber": "car tire, pencil eraser, inner tube, bouncy ball, squash ball, hockey puck",
    "cotton": "T-shirt, bath towel, bed sheet, handkerchief, pillowcase",
    "wool": "winter sweater, knitted hat, mitten, warm scarf",
    "stone": "pyramid, castle wall, medieval tower, Roman bridge, cobbled street",
    "plastic": "garbage bag, toothbrush, shampoo bottle, credit card, Lego brick, comb",
    "wax": "candle, crayon",
    "clay": "brick, cuneiform tablet",
}
ALIKE_MATERIALS = (
    "cotton wool",
    "leather rubber plastic",
    "wood plastic metal",
    "wood paper",
    "glass plastic",
    "stone clay",
    "paper plastic",
)
MATERIALS = {thing: stuff for stuff, things in _MATERIALS.items() for thing in things.split(", ")}

_WORKS = {
    "Shakespeare": "Hamlet, Macbeth, Romeo and Juliet, King Lear, Othello, The Tempest",
    "Dickens": "Oliver Twist, David Copperfield, Great Expectations, A Tale of Two Cities, A Christmas Carol",
    "Austen": "Pride and Prejudice, Sense and Sensibility, Emma, Mansfield Park",
    "Tolstoy": "War and Peace, Anna Karenina",
    "Dostoevsky": "Crime and Punishment, The Brothers Karamazov, The Idiot",
    "Orwell": "Animal Farm, Homage to Catalonia",
    "Twain": "The Adventures of Tom Sawyer, The Adventures of Huckleberry Finn, The Prince and the Pauper",
    "Hemingway": "The Old Man and the Sea, A Farewell to Arms, For Whom the Bell Tolls, The Sun Also Rises",
    "Melville": "Moby-Dick",
    "Shelley": "Frankenstein",
    "Stoker": "Dracula",
    "Homer": "The Iliad, The Odyssey",
    "Dante": "The Divine Comedy",
    "Cervantes": "Don Quixote",
    "Goethe": "Faust, The Sorrows of Young Werther",
    "Kafka": "The Metamorphosis, The Trial, The Castle",
    "Tolkien": "The Hobbit, The Lord of the Rings, The Silmarillion",
    "Rowling": "Harry Potter and the Goblet of Fire, Harry Potter and the Chamber of Secrets",
    "Carroll": "Alice in Wonderland, Through the Looking-Glass",
    "Stevenson": "Treasure Island, Kidnapped",
    "Verne": "Around the World in Eighty Days, Journey to the Center of the Earth",
    "Hugo": "Les Miserables, The Hunchback of Notre-Dame",
    "Dumas": "The Three Musketeers, The Count of Monte Cristo",
    "Flaubert": "Madame Bovary",
    "Camus": "The Stranger, The Plague",
    "Wilde": "The Picture of Dorian Gray, The Importance of Being Earnest",
    "Joyce": "Ulysses, Dubliners",
    "Woolf": "Mrs Dalloway, To the Lighthouse",
    "Fitzgerald": "The Great Gatsby, Tender Is the Night",
    "Steinbeck": "The Grapes of Wrath, Of Mice and Men, East of Eden",
    "Salinger": "The Catcher in the Rye",
    "Huxley": "Brave New World",
    "Bradbury": "Fahrenheit 451",
    "Wells": "The Time Machine, The War of the Worlds, The Invisible Man",
    "Darwin": "On the Origin of Species",
    "Plato": "The Republic",
    "Marx": "Das Kapital",
    "Christie": "Murder on the Orient Express, Death on the Nile",
    "Kipling": "The Jungle Book",
    "Hawthorne": "The Scarlet Letter",
    "Thoreau": "Walden",
    "Defoe": "Robinson Crusoe",
    "Swift": "Gulliver's Travels",
    "Milton": "Paradise Lost",
    "Chaucer": "The Canterbury Tales",
    "Ibsen": "A Doll's House, Peer Gynt",
    "Chekhov": "The Cherry Orchard, Uncle Vanya",
    "Nabokov": "Lolita",
}
WORKS = {work: name for name, works in _WORKS.items() for work in works.split(", ")}

_LANDMARKS = {
    "France": "the Eiffel Tower, the Louvre, the Palace of Versailles, Notre-Dame Cathedral, the Arc de Triomphe, "
    "Mont Saint-Michel",
    "Italy": "the Colosseum, the Leaning Tower of Pisa, the Trevi Fountain, the Grand Canal of Venice, Mount Vesuvius, "
    "the Roman Forum, the Rialto Bridge",
    "England": "Big Ben, Stonehenge, Buckingham Palace, Tower Bridge, Westminster Abbey, Trafalgar Square",
    "Germany": "the Brandenburg Gate, Neuschwanstein Castle, Cologne Cathedral, the Black Forest, the Reichstag",
    "Spain": "the Sagrada Familia, the Alhambra, the Prado, the island of Ibiza",
    "Greece": "the Acropolis, the Parthenon, Mount Olympus, the island of Crete",
    "Russia": "the Kremlin, Red Square, Lake Baikal, the Hermitage Museum",
    "China": "the Great Wall, the Forbidden City, the Terracotta Army, Tiananmen Square, the Yangtze River",
    "Japan": "Mount Fuji, the Tokyo Tower, the Fushimi Inari Shrine",
    "India": "the Taj Mahal, the Red Fort, the Golden Temple of Amritsar",
    "Egypt": "the Great Pyramid of Giza, the Sphinx, the Valley of the Kings, the Temple of Karnak, the Aswan Dam",
    "Australia": "the Sydney Opera House, the Great Barrier Reef, Uluru",
    "Peru": "Machu Picchu, the city of Cusco",
    "Mexico": "Chichen Itza, the Pyramid of the Sun",
    "Brazil": "the statue of Christ the Redeemer, Copacabana Beach, Sugarloaf Mountain",
    "Turkey": "the Hagia Sophia, the Blue Mosque, the Topkapi Palace",
    "Jordan": "the ancient city of Petra",
    "Cambodia": "Angkor Wat",
    "Kenya": "the Maasai Mara",
    "Tanzania": "Mount Kilimanjaro",
    "Poland": "Auschwitz",
    "Denmark": "the Little Mermaid statue, Kronborg Castle",
    "Scotland": "Loch Ness, Edinburgh Castle, Ben Nevis",
    "Ireland": "the Blarney Stone, the Guinness Storehouse",
    "Canada": "the CN Tower, Banff National Park",
}
LANDMARKS = {thing: country for country, things in _LANDMARKS.items() for thing in things.split(", ")}

# Symbols of the elements, in the order of their numbers.
_ELEMENTS = words("""
H hydrogen He helium Li lithium Be beryllium B boron C carbon N nitrogen O oxygen F fluorine Ne neon Na sodium
Mg magnesium Al aluminum Si silicon P phosphorus S sulfur Cl chlorine Ar argon K potassium Ca calcium Sc scandium
Ti titanium V vanadium Cr chromium Mn manganese Fe iron Co cobalt Ni nickel Cu copper Zn zinc Ga gallium Ge germanium
As arsenic Se selenium Br bromine Kr krypton Rb rubidium Sr strontium Y yttrium Zr zirconium Nb niobium Mo molybdenum
Tc technetium Ru ruthenium Rh rhodium Pd palladium Ag silver Cd cadmium In indium Sn tin Sb antimony Te tellurium
I iodine Xe xenon Cs cesium Ba barium La lanthanum Ce cerium Pr praseodymium Nd neodymium Pm promethium Sm samarium
Eu europium Gd gadolinium Tb terbium Dy dysprosium Ho holmium Er erbium Tm thulium Yb ytterbium Lu lutetium Hf hafnium
Ta tantalum W tungsten Re rhenium Os osmium Ir iridium Pt platinum Au gold Hg mercury Tl thallium Pb lead Bi bismuth
""")
ELEMENTS = dict(zip(_ELEMENTS[::2], _ELEMENTS[1::2], strict=True))
NUMBERS = {element: str(n) for n, element in enumerate(_ELEMENTS[1::2], 1)}

_SPORTS = {
    "basketball": "Michael Jordan, LeBron James, Kobe Bryant, Magic Johnson, Larry Bird, Shaquille O'Neal, "
    "Stephen Curry, Tim Duncan, Scottie Pippen, Kareem Abdul-Jabbar, Wilt Chamberlain, Kevin Durant, Yao Ming",
    "tennis": "Serena Williams, Roger Federer, Rafael Nadal, Novak Djokovic, Andre Agassi, Pete Sampras, Steffi Graf, "
    "Maria Sharapova, Boris Becker, Bjorn Borg, Andy Murray, Venus Williams, Billie Jean King, Naomi Osaka",
    "soccer": "Lionel Messi, Cristiano Ronaldo, Diego Maradona, David Beckham, Zinedine Zidane, Thierry Henry, Neymar, "
    "Ronaldinho, Wayne Rooney, Mia Hamm, Kylian Mbappe, Johan Cruyff, Mohamed Salah, Gareth Bale",
    "baseball": "Babe Ruth, Jackie Robinson, Derek Jeter, Hank Aaron, Mickey Mantle, Joe DiMaggio, Ty Cobb, "
    "Willie Mays, Barry Bonds, Cal Ripken, Yogi Berra, Lou Gehrig, Ted Williams, Ichiro Suzuki",
    "golf": "Tiger Woods, Jack Nicklaus, Arnold Palmer, Phil Mickelson, Rory McIlroy, Gary Player, Jordan Spieth, "
    "Ernie Els, Greg Norman, Ben Hogan, Seve Ballesteros, Annika Sorenstam, Nick Faldo, Sam Snead",
    "boxing": "Muhammad Ali, Mike Tyson, Joe Frazier, George Foreman, Floyd Mayweather, Manny Pacquiao, "
    "Evander Holyfield, Joe Louis, Rocky Marciano, Sugar Ray Leonard, Lennox Lewis, Oscar De La Hoya, Sonny Liston, "
    "Sugar Ray Robinson",
}
SPORTS = {who: sport for sport, people in _SPORTS.items() for who in people.split(", ")}


def _with_foils(draw: Random, facts: dict[str, str], alike: Sequence[str] = ()) -> Iterator[tuple[str, str, str]]:
    """Yield (thing, answer, foil) in a drawn order; the foils are the answers in another order.

    Words that stand together in one of `alike` are not put against each other.
    """
    things = list(facts)
    draw.shuffle(things)
    answers = [facts[t] for t in things]
    foils = draw.sample(answers, len(answers))
    groups = [set(words.split()) for words in alike]

    def clash(answer: str, foil: str) -> bool:
        return answer == foil or any({answer, foil} <= group for group in groups)

    while wrong := [n for n, pair in enumerate(zip(answers, foils, strict=True)) if clash(*pair)]:
        for n in wrong:
            other = draw.randrange(len(foils))
            foils[n], foils[other] = foils[other], foils[n]
    yield from zip(things, answers, foils, strict=True)


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _one(wording: str, facts: dict[str, str], alike: Sequence[str] = ()) -> Callable[[Random], Iterator[Item]]:
    """Return a maker of one wording, each fact once."""

    def make(draw: Random) -> Iterator[Item]:
        for thing, answer, foil in _with_foils(draw, facts, alike):
            yield Item(_upper(wording.format(thing)), answer, foil)

    return make


def _look_up(pattern: str, facts: dict[str, str]) -> Callable[[str, str], str]:
    """Return a rule: the fact of the thing that the pattern finds in the text."""
    known = {thing.casefold(): value for thing, value in facts.items()}

    def solve(passage: str, text: str) -> str:
        return known[re.search(pattern, f"{passage} {text}".strip(), re.IGNORECASE)[1].casefold()]

    return solve


def _color(draw: Random) -> Iterator[Item]:
    while True:
        answer, foil = draw.sample(list(_COLORS), 2)
        thing = draw.choice(_COLORS[answer].split(", "))
        yield Item(f"The color of {thing} is not {foil} but", answer, foil)


def _legs(draw: Random) -> Iterator[Item]:
    while True:
        answer, foil = draw.sample(list(_LEGS), 2)
        animal = draw.choice(_LEGS[answer].split())
        first, second = draw.sample((answer, foil), 2)
        yield Item(f"How many legs does {_a(animal)} have, {first} or {second}?", answer, foil)


def _continent(draw: Random) -> Iterator[Item]:
    pairs = list(permutations(("Europe", "Asia", "Africa"), 2))
    for n in count():
        if n % len(pairs) == 0:
            draw.shuffle(pairs)
        answer, foil = pairs[n % len(pairs)]
        country = draw.choice([c for c, continent in CONTINENTS.items() if continent == answer])
        one, two = draw.sample(PEOPLE, 2)
        passage = [f"{one} is traveling through {country}.", f"{two} has stayed in {foil}."]
        draw.shuffle(passage)
        yield Item(f"On which continent is {one}?", answer, foil, " ".join(passage))


def _solve_continent(passage: str, text: str) -> str:
    name = re.search(r"is (\w+)\?", text)[1]
    return CONTINENTS[re.search(rf"{name} is traveling through ([\w ]+)\.", passage)[1]]


def _capital_of_work(draw: Random) -> Iterator[Item]:
    for country, answer, foil in _with_foils(draw, CAPITALS):
        one, two = draw.sample(PEOPLE, 2)
        passage = [f"{one} works in the capital of {country}.", f"{two} works in {foil}."]
        draw.shuffle(passage)
        yield Item(f"In which city does {one} work?", answer, foil, " ".join(passage))


def _solve_capital_of_work(passage: str, text: str) -> str:
    name = re.search(r"does (\w+) work", text)[1]
    return CAPITALS[re.search(rf"{name} works in the capital of ([\w ]+)\.", passage)[1]]


def _nationality(draw: Random) -> Iterator[Item]:
    for city, answer, foil in _with_foils(draw, NATIONALITIES):
        name = draw.choice(PEOPLE)
        passage = f"{name} was born in {city}, as were both of {name}'s parents."
        yield Item(f"What is {name}'s nationality?", answer, foil, passage)


def _material(draw: Random) -> Iterator[Item]:
    for thing, answer, foil in _with_foils(draw, MATERIALS, ALIKE_MATERIALS):
        yield Item(f"{_upper(_a(thing))} is usually made of", answer, foil)


def _element(draw: Random) -> Iterator[Item]:
    """The foil begins with the symbol's letter where it can, so that spelling tells nothing."""
    for symbol, answer, any_foil in _with_foils(draw, ELEMENTS):
        near = [e for e in ELEMENTS.values() if e[0] == symbol[0].lower() and e != answer]
        yield Item(f"In chemistry, {symbol} is the symbol of", answer, draw.choice(near) if near else any_foil)


def _number(draw: Random) -> Iterator[Item]:
    for element, answer in draw.sample(list(NUMBERS.items()), len(NUMBERS)):
        foil = max(1, int(answer) + draw.choice((-3, -2, -1, 1, 2, 3)))
        yield Item(f"What is the atomic number of {element}?", answer, str(foil if foil != int(answer) else 2))


F = "knowledge_recall"

TASKS = (
    Task("capital_of_country", F, "completion", "place", _one("The capital of {} is", CAPITALS),
         _look_up(r"capital of (.+) is$", CAPITALS)),
    Task("language_of_country", F, "question", "noun", _one("What is the main language of {}?", LANGUAGES),
         _look_up(r"language of (.+)\?$", LANGUAGES)),
    Task("last_name_of_famous_person", F, "completion", "name", _one("The famous {}", LAST_NAMES),
         _look_up(r"famous (.+)$", LAST_NAMES)),
    Task("country_of_landmark", F, "question", "place", _one("In which country is {}?", LANDMARKS),
         _look_up(r"country is (.+)\?$", LANDMARKS)),
    Task("nationality_by_birthplace", F, "passage", "adjective", _nationality,
         _look_up(r"born in ([\w ]+),", NATIONALITIES)),
    Task("job_of_famous_person", F, "completion", "noun", _one("{} became a famous", JOBS, ALIKE_JOBS),
         _look_up(r"^(.+) became a famous", JOBS)),
    Task("material_of_thing", F, "completion", "noun", _material, _look_up(r"^An? (.+) is usually", MATERIALS)),
    Task("element_of_symbol", F, "completion", "noun", _element, _look_up(r", (\w+) is the symbol", ELEMENTS)),
    Task("continent_of_traveler", F, "passage", "place", _continent, _solve_continent),
    Task("usual_color", F, "completion", "adjective", _color, _look_up(r"color of (.+) is not", COLORS)),
    Task("author_of_book", F, "question", "name", _one('Who wrote "{}"?', WORKS), _look_up(r'"(.+)"', WORKS)),
    Task("legs_of_animal", F, "question", "number", _legs, _look_up(r"an? (\w+) have", LEGS)),
    Task("atomic_number", F, "question", "number", _number, _look_up(r"number of (\w+)", NUMBERS)),
    Task("sport_of_athlete", F, "question", "noun", _one("Which sport made {} famous?", SPORTS),
         _look_up(r"made (.+) famous", SPORTS)),
    Task("capital_where_one_works", F, "passage", "place", _capital_of_work, _solve_capital_of_work),
)  # fmt: skip
"""The default model does the first nine."""
