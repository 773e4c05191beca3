"""Tasks that call for inference: what is not stated is read from behaviour, traces and circumstances.

Nothing in these texts follows with necessity; the answer is what anyone would conclude. A cue of a table is asked about
once in a task, so that no demonstration shows an item's answer (`older_from_habits` and `number_from_traces` excepted:
there cues come again, with other names or numbers).
"""

import re
from collections.abc import Callable, Iterator
from random import Random

from battery.task import Item, Task

GIRLS = ("Anna", "Rosa", "Mia", "Emma", "Lucy", "Sara", "Julia", "Nina", "Clara", "Ella", "Maria", "Alice")
BOYS = ("Tom", "Ben", "Paul", "Peter", "Leo", "Max", "Jack", "David", "Mark", "Oscar", "Simon", "Adam")


def _table(text: str) -> dict[str, str]:
    """Return cue -> answer of lines `answer: cue | cue`; an indented line goes on with the one before."""
    found: dict[str, str] = {}
    for line in text.strip().replace("\n  ", " ").splitlines():
        answer, cues = line.split(": ", 1)
        for cue in cues.split(" | "):
            if cue in found:
                raise ValueError(f"the cue {cue!r} stands twice")
            found[cue] = answer
    return found


def _shuffled(draw: Random, table: dict[str, str]) -> list[tuple[str, str]]:
    pairs = list(table.items())
    draw.shuffle(pairs)
    return pairs


def _person(draw: Random) -> tuple[str, str, str]:
    """Return a name, and he or she, and his or her."""
    return (draw.choice(GIRLS), "she", "her") if draw.random() < 0.5 else (draw.choice(BOYS), "he", "his")


def _other(draw: Random, table: dict[str, str], answer: str, near: dict[str, str] | None = None) -> str:
    """Return another answer of the table, none that could also be right."""
    barred = {answer, *(near or {}).get(answer, "").split()}
    return draw.choice([a for a in table.values() if a not in barred])


def _cue_solver(table: dict[str, str]) -> Callable[[str, str], str]:
    """Return a solver: the answer of the longest cue that stands in the text."""

    def solve(passage: str, text: str) -> str:
        whole = f"{passage} {text}"
        return table[max((cue for cue in table if cue in whole), key=len)]

    return solve


PLACES = _table("""
beach: building a sand castle | jumping over the waves | collecting seashells | walking barefoot along the sea |
  lying on a towel by the sea
library: borrowing a novel | whispering between shelves of books | bringing back three borrowed books |
  looking for a book on a quiet shelf | asking which novels can be borrowed
farm: milking the cows | feeding the chickens | driving a tractor | shearing the sheep | collecting eggs from the hens
gym: lifting weights | running on a treadmill | doing push-ups on a mat | training with a fitness coach |
  using the rowing machine
hospital: waiting for a surgeon | having a broken leg treated | visiting a patient after an operation |
  being wheeled into surgery | holding a newborn next to a nurse
airport: checking in for a flight | boarding a plane | waiting for a flight to land | showing a passport at the gate |
  watching planes take off
church: praying in a pew | listening to the priest | singing hymns with the choir |
  lighting a candle before the altar | hearing the pastor preach
bank: opening a savings account | depositing a check | asking for a loan | withdrawing cash from an account |
  cashing a check at the teller's window
zoo: watching the lions in their cage | taking photos of the penguins and giraffes |
  looking at elephants behind a fence | watching a keeper feed the tigers | showing a child the caged monkeys
restaurant: ordering dinner from a waiter | choosing a meal from the menu | paying the waiter |
  leaving a tip for the waiter | asking the waiter for a table
theater: watching actors on the stage | clapping as the curtain falls | waiting for the play to begin |
  watching the second act of a play | finding a seat before the curtain rises
bakery: buying a fresh loaf of bread | choosing between rolls and bagels | smelling bread straight from the oven |
  ordering a birthday cake | buying warm buns and bread
pool: swimming laps | diving from the high board | learning to swim | swimming a race in lane four |
  drying off after swimming fifty laps
museum: looking at old paintings | studying dinosaur bones behind glass | following a guide past ancient statues |
  looking at a mummy from Egypt | admiring ancient vases behind glass
hotel: checking into a room for two nights | asking the front desk for a room key |
  unpacking a suitcase in a rented room | calling room service | leaving the room key at reception
stadium: cheering for the football team | watching the home team score a goal |
  singing with thousands of football fans | waiting for the match to kick off |
  seeing the players run onto the field
""")


def _place(draw: Random) -> Iterator[Item]:
    for cue, answer in _shuffled(draw, PLACES):
        name, he, _ = _person(draw)
        foil = _other(draw, PLACES, answer)
        yield Item(f"Yesterday {name} was at the {foil}. Today {he} is {cue}. So today {he} is at the", answer, foil)


JOBS = _table("""
teacher: gives lessons to children | marks homework and tests | writes on the blackboard for the class
doctor: examines patients | writes prescriptions for patients | treats people who are ill
farmer: grows wheat and corn | milks cows every morning | plows the fields in spring
chef: cooks in a restaurant kitchen | prepares fine meals for diners | runs the kitchen of a hotel
pilot: flies planes across the ocean | sits in the cockpit of a jet | lands planes at airports
baker: makes bread before dawn | makes rolls and buns to sell | kneads dough every night
dentist: fixes teeth | drills and fills teeth | pulls out bad teeth
lawyer: defends clients in court | advises clients about the law | argues cases before a judge
plumber: repairs leaking pipes | unblocks sinks and drains | installs toilets and taps
barber: cuts men's hair | trims beards | shaves men and cuts their hair
carpenter: builds wooden tables | saws and planes wood | makes wooden doors and shelves
judge: sends criminals to prison | passes sentence in court | hears both lawyers and then decides
firefighter: puts out fires | saves people from burning houses | slides down a pole when the alarm rings
mechanic: repairs car engines | changes oil and brakes in a garage | fixes broken cars
librarian: lends books to readers | puts returned books back on the shelves | looks after thousands of books
photographer: takes pictures at weddings | takes portraits with a camera | works with lenses and flashes
singer: performs songs on stage | records songs in a studio | hits the high notes on stage
dancer: performs tango on stage | practices tango steps every day | tours with a tango company
soldier: marches with a rifle | fights in the army | wears a helmet and carries a rifle
sailor: scrubs the deck of a ship | crosses the ocean on a ship | hoists sails and ties knots at sea
gardener: trims hedges and waters roses | mows lawns and plants flowers | looks after flower beds in a park
butcher: cuts and sells meat | makes sausages | sells steaks and ham
tailor: sews suits to measure | shortens trousers and jackets | measures customers for new suits
astronaut: floats in a space station | walks in space | trains to fly to the moon
miner: digs coal under the ground | works deep in a coal pit | brings up ore from deep tunnels
electrician: repairs wires and sockets | installs lights and switches | puts new wires into old houses
vet: treats sick dogs and cats | gives injections to horses and cows | operates on pets
writer: works on a third novel | has published ten novels | makes up stories and sells them
detective: investigates murders | looks for clues at crime scenes | follows suspects and gathers clues
""")
NEAR_JOBS = {
    "doctor": "vet dentist",
    "vet": "doctor dentist farmer",
    "dentist": "doctor vet",
    "chef": "baker butcher",
    "baker": "chef",
    "lawyer": "judge detective",
    "judge": "lawyer detective",
    "detective": "lawyer judge",
    "singer": "dancer",
    "dancer": "singer",
    "farmer": "gardener vet",
    "gardener": "farmer",
    "writer": "librarian",
    "librarian": "writer teacher",
    "teacher": "librarian",
    "butcher": "chef farmer",
}


def _job(draw: Random) -> Iterator[Item]:
    for cue, answer in _shuffled(draw, JOBS):
        name, _, _ = _person(draw)
        yield Item(f"{name} {cue}. What is {name}'s job?", answer, _other(draw, JOBS, answer, NEAR_JOBS))


FEELINGS = _table("""
happy: won first prize | got a puppy for a birthday | found the lost ring at last |
  got a warm hug from a best friend | danced around the room with a big smile | heard wonderful news
sad: cried over the dead cat | lost a grandmother last week | said goodbye to a dying friend | wept at the funeral |
  watched the old dog die | wept over the old letters
angry: shouted and slammed the door | found the new car scratched on purpose | yelled at the thief |
  shook a fist at the other driver | banged on the table and shouted | was cheated out of the money
scared: saw a bear in front of the tent | heard strange steps in the dark house | hid under the bed from the monster |
  screamed when the snake moved | trembled as the wolf came closer | saw a ghost in the attic
tired: worked all night without sleep | can hardly stay awake | just ran a whole marathon |
  is yawning again and again | did not sleep at all last night | fell asleep at the desk
hungry: has not eaten since yesterday | skipped breakfast and lunch | has a growling stomach |
  asked for a third plate of food | ate nothing on the long trip | asked when dinner would be ready
thirsty: drank nothing all day in the desert | has a dry mouth and asks for water | needs a big glass of water |
  walked all day without any water | emptied the water bottle in one gulp | asked for water again and again
cold: is shivering in the snow | went out into the frost without a coat | has blue lips and chattering teeth |
  stood in the icy wind without gloves | fell into the frozen lake | slept in the snow without a blanket
hot: is sweating in the sun | wears a thick coat in July | sat too long in the sauna |
  opened every window and took off the sweater | stands beside the roaring furnace |
  is sweating under three blankets
sick: has a fever and a cough | ate bad fish and threw up | is lying in bed with the flu | was throwing up all night |
  called the doctor because of a high fever | stayed home from school with the flu
bored: has nothing to do all day | stared at the wall during the long talk | counted the ceiling tiles three times |
  heard the same dull speech again | waited for hours with nothing to read | found the long film dull
proud: saw a daughter win the gold medal | boasts of a son's good grades | hung the diploma where all could see it |
  showed everyone the medal | got a medal from the mayor | watched a son become a doctor
lonely: has no friends in the new town | eats alone every evening | has not spoken to anyone for weeks |
  lives alone on an island | spent the holidays without any company | has nobody to talk to
nervous: has an exam in five minutes | is about to give a first speech | bites a nail before the interview |
  has sweaty palms before the first performance | paces up and down before the test | will sing for a crowd in a minute
""")
NEAR_FEELINGS = {
    "happy": "proud",
    "sad": "lonely tired angry bored scared",
    "angry": "sad hot scared",
    "scared": "nervous cold angry lonely",
    "tired": "sick hungry thirsty hot bored sad proud",
    "hungry": "thirsty tired sick",
    "thirsty": "hungry hot tired sick",
    "cold": "scared sick tired",
    "hot": "thirsty tired sick",
    "sick": "tired sad hot cold bored",
    "bored": "tired lonely sad angry",
    "proud": "happy tired",
    "lonely": "sad bored",
    "nervous": "scared",
}


def _feeling(draw: Random) -> Iterator[Item]:
    for cue, answer in _shuffled(draw, FEELINGS):
        name, he, _ = _person(draw)
        yield Item(f"{name} {cue}. {he.title()} is very", answer, _other(draw, FEELINGS, answer, NEAR_FEELINGS))


WEATHER = _table("""
rainy: Everyone had opened an umbrella. | Puddles covered the road. | Water dripped from every hat. |
  Drops ran down the window. | Children in rubber boots jumped into puddles. | The gutters were overflowing. |
  People came in with soaked shoes. | The laundry on the line got soaked. |
  Everyone ran for shelter with a newspaper over the head. | The wipers of the cars went back and forth. |
  Umbrellas were everywhere. | Frogs and worms came out onto the wet path. | The drops drummed on the roof. |
  The picnic was soaked and the bread was wet. | The river was rising, and the roads were wet. |
  Wet coats hung in the hall.
snowy: Children pulled their sleds up the hill. | All the roofs had turned white. |
  Men with shovels cleared the white road. | White flakes covered the cars. |
  The pines were bent under a white load. | Skiers were gliding down the street. |
  A plow was clearing the white road. | Big white flakes were drifting down. |
  Boots left deep prints in the white garden. | Children threw white balls at each other. |
  The garden lay under a thick white blanket. | A man with a carrot nose stood on the white lawn. |
  The dog rolled in the cold white powder. | The flakes melted on her warm hands. |
  The road was white, and cars slid on it. | The mountain pass was closed, for it lay deep under white drifts.
sunny: People had put on dark glasses. | There was not a cloud in the sky. | Everyone was looking for shade. |
  Bathers were getting a tan on the lawn. | The sky was bright blue. |
  People rubbed lotion on their arms and sat in the light. | The ice cream melted in the children's hands. |
  A cat lay in the warm light on the step. | Everyone wore shorts and dark glasses. |
  The lawn was dry and yellow, and the sky was blue. | The pavement was warm, and the shadows were sharp. |
  Guests ate in the bright garden under a parasol. | Straw hats and dark glasses were everywhere. |
  The water glittered under a clear blue sky. | The light was so bright that people squinted. |
  Everyone sat outside and got a tan.
windy: Hats flew off people's heads. | Kites rose high above the field. | The branches bent and swayed. |
  Papers whirled through the street. | The flags flapped on their poles. | The old mill turned very fast. |
  Sailboats raced across the lake. | The door blew open and slammed. | The scarf flew off and over the fence. |
  The tents were almost blown away. | The laundry flapped wildly on the line. | Her hair blew into her face. |
  The trees bent, and dry leaves flew past. | Dust blew into everyone's eyes. | A gust took his newspaper away. |
  The candles outside were blown out at once.
foggy: Drivers could not see the car in front. | The top of the tower had vanished in grey. |
  Ships blew their horns because the coast could not be seen. | The street lamps were only pale blurs. |
  The houses across the road had vanished in a grey veil. | Nobody could see farther than ten feet. |
  The bridge had vanished into the grey. | Cars crept along with their lights on because nobody could see. |
  The planes could not land because the pilots saw nothing. | The far shore had vanished in a white haze. |
  People were grey shapes that came and vanished. | A thick grey haze hid the valley. |
  The church across the square was hidden in grey. | The lighthouse could be heard but not seen. |
  A white mist hid the fields. | The hikers could hardly see the path before their feet.
""")


def _weather(draw: Random) -> Iterator[Item]:
    for cue, answer in _shuffled(draw, WEATHER):
        name, _, _ = _person(draw)
        day = draw.choice(("On Monday", "On Friday", "On Sunday", "At noon", "In the morning", "After lunch"))
        passage = f"{day} {name} looked out of the window. {cue}"
        yield Item("What was the weather like?", answer, _other(draw, WEATHER, answer), passage)


TRACES = _table("""
swimming: comes home with wet hair and a towel | takes off the goggles and the wet trunks | climbs out of the pool
baking: has flour on both hands and takes a cake from the oven | has dough on the apron |
  puts a tray of warm cookies on the table
fishing: comes home with a rod and three trout | brings back a bucket of trout from the river |
  puts down the rod and the net
painting: has blue spots on the shirt and a brush in hand | cleans the brushes and the canvas |
  has red and green spots on the smock
sleeping: gets out of bed and yawns | lifts a head from the pillow and opens both eyes |
  is still in pajamas and has messy hair
crying: has red eyes and a wet handkerchief | wipes tears from both cheeks | has wet cheeks and sobs
running: stops at the finish line and gasps for breath | comes back from the track out of breath |
  gasps for air and takes off the sports shoes
cooking: comes out of the kitchen with a steaming pot | takes the soup off the stove |
  has sauce on the apron and a ladle in hand
reading: closes the thick novel and puts it on the shelf | puts a bookmark between two pages |
  lays the newspaper aside
skiing: comes down from the snowy slope with two poles | takes off the long boots after the last slope |
  puts the poles and the bindings in the car after the snowy slope
shopping: comes home from the mall with six bags | puts milk, bread and eggs from the store into the fridge |
  carries bags from the market into the house
gardening: has soil on both hands and a rake | puts away the spade and the watering can |
  comes in with soil on the boots and roses in hand
dancing: leaves the ballroom out of breath | takes off the ballet shoes | comes home late from the disco
cleaning: puts the mop and the bucket away | puts away the vacuum and the dust cloth |
  rinses the mop and wrings out the rag
hunting: comes out of the woods with a gun and a dead deer | hangs up the rifle and two dead rabbits |
  brings home a pheasant and a shotgun
singing: leaves the choir practice with a sore throat | bows on the opera stage and puts down the microphone |
  hands the microphone to the next member of the choir
riding: gets down from the horse | takes off the saddle in the stable | leads the horse back and takes off the spurs
camping: rolls up the tent and the sleeping bag | comes home with a tent and a camp stove |
  packs the tent after two nights in the woods
boxing: climbs out of the ring and takes off the gloves | has a black eye and takes off the padded gloves |
  leaves the punching bag and takes off the gloves
writing: has ink on one finger and puts down the pen | finishes a long letter | puts the pen away and seals the letter
smoking: puts out a cigarette | smells of tobacco | empties the ashtray
drinking: staggers out of the bar | smells of whiskey and cannot walk straight | puts down an empty beer glass
sewing: puts the needle and thread away | bites off the thread and holds up the new dress |
  pricked a finger with the needle
driving: gets out of the car | takes the key out of the car and stretches | parks the truck after six hours
eating: puts down the fork and pushes the plate away | wipes gravy from the chin | has crumbs all over the shirt
fighting: has a bloody nose and a torn shirt | has bruised fists and a black eye |
  was pulled off the other boys with a bloody lip
studying: closes the textbooks before the exam | leaves the library with a head full of formulas |
  puts away notes for tomorrow's exam
""")
NEAR_TRACES = {
    "baking": "cooking eating",
    "cooking": "baking eating",
    "running": "dancing driving riding",
    "boxing": "fighting running",
    "fighting": "boxing drinking",
    "studying": "reading writing",
    "reading": "studying sleeping eating",
    "writing": "studying reading",
    "camping": "hunting sleeping",
    "hunting": "camping riding",
    "eating": "drinking cooking",
    "dancing": "running drinking singing",
    "sleeping": "reading",
    "drinking": "eating fighting smoking dancing",
    "singing": "crying dancing",
    "cleaning": "cooking",
    "swimming": "cleaning",
}


def _trace(draw: Random) -> Iterator[Item]:
    for cue, answer in _shuffled(draw, TRACES):
        name, _, _ = _person(draw)
        if answer == "fighting" or "trunks" in cue:
            name = draw.choice(BOYS)
        foil = _other(draw, TRACES, answer, NEAR_TRACES)
        yield Item(f"{name} {cue}. What was {name} doing before?", answer, foil)


OUTCOMES = _table("""
melted: The ice cream stood in the hot sun until it | The snowman stood in the warm sun until it |
  We left the butter in the hot pan until it | The candle burned for hours until it |
  The chocolate lay on the hot stove until it
broke: The vase fell from the shelf, and it | The plate slipped onto the stone floor, and it |
  A stone hit the window, and the glass | The old rope was pulled too hard, and it |
  The branch was too thin for the boy, so it | The mirror dropped onto the tiles, and it
froze: The night was so cold that the milk in the shed | The water pipe was out in the bitter frost, and it |
  The winter was so cold that the river | After a week of frost the whole lake |
  The wet towels hung in the arctic air until they
burned: The toast stayed in too long, and it | Lightning set fire to the barn, and it |
  The paper touched the flame, and it | The pancake was forgotten in the pan, and it |
  The wooden house caught fire, and it | The dry leaves caught fire, and they
sank: The boat had a big hole, and it | The ship hit an iceberg, and it | The stone was thrown into the pond, and it |
  The canoe had a big leak, so it | The torpedo hit the ship, and slowly it
died: Nobody watered the plant for months, and it | They did all they could for the old cat, but it |
  The old king was very ill, and at last he | The poisoned rat crept into its hole, and it |
  After the poisonous bite the old dog
fell: The climber lost his grip, and he | The baby took two steps, and then he | He tripped over the cable, and he |
  The ripe apple came off the branch, and it | The tree was sawn through, and down it |
  The drunk man lost his balance, and he
exploded: The bomb's timer reached zero and it | The bomb fell onto the street, and it |
  The fuse burned down and the dynamite | The boy lit the firecracker, and it | The grenade lost its pin, and it
grew: The seed got water and light, and it | We watered the little tree, and it | The baby ate well, and it |
  The puppy ate a lot, and it | After the rain the grass
flew: The bird spread its wings and away it | A cat crept up to the pigeons, and away they |
  The bee left the flower and away it | The butterfly spread its wings, and it |
  The eagle spread its wings and away it
rang: Somebody called, and the phone | The visitor pressed the button, and the bell | At seven the alarm clock |
  The lesson was over, and the school bell | Mom was calling, so my phone |
  The priest pulled the rope, and the church bell
laughed: The clown slipped on a banana peel, and everyone | The joke was so funny that we all |
  The film was so funny that everyone | The comedian told a joke, and the crowd | She tickled the happy boy until he
cried: The toddler dropped her ice cream, and she | The film was so sad that we all |
  The boy scraped his knee, and he | The baby was hungry, and it | When her cat died, the little girl |
  The bride's mother was so moved that she
slept: He was so tired that all night long he | The baby was rocked, and then all night it |
  She took a pill, lay down, and until noon she | The bear crept into its cave, and all winter it |
  The tired child lay in bed, and for ten hours he | They crept into the tent, and until morning they
rose: The curtain was pulled up, and slowly it | The balloon was filled with hot air, and into the sky it |
  The price of bread went up, and the price of milk also | Morning came, and in the east the sun |
  With yeast in it the dough
bled: He cut his finger on the knife, and it | The knife went deep into his arm, and the wound |
  He scraped his knee, and it | The nurse pulled out the needle, and the arm | He was hit on the nose, and it
""")
NEAR_OUTCOMES = {
    "melted": "burned died sank fell broke grew rose",
    "broke": "fell sank bled exploded rang",
    "froze": "broke died melted fell grew sank rose",
    "burned": "melted exploded died fell broke bled",
    "sank": "broke died fell froze exploded burned flew",
    "died": "fell cried slept grew froze bled broke rose",
    "fell": "broke died cried slept froze grew bled flew laughed rose sank",
    "exploded": "burned broke rang fell",
    "grew": "slept cried died laughed froze rose",
    "flew": "fell died slept grew rose",
    "rang": "broke exploded fell",
    "laughed": "cried fell slept exploded died rose froze melted broke",
    "cried": "laughed fell slept grew died bled broke melted exploded",
    "slept": "died cried laughed fell grew froze",
    "rose": "fell grew burned melted sank flew broke",
    "bled": "broke died burned fell froze grew",
}


def _outcome(draw: Random) -> Iterator[Item]:
    for cue, answer in _shuffled(draw, OUTCOMES):
        yield Item(cue, answer, _other(draw, OUTCOMES, answer, NEAR_OUTCOMES))


EVENTS = _table("""
wedding: The bride is throwing her bouquet. | The couple are exchanging rings. | The groom is kissing the bride. |
  Guests throw rice over the bride and groom. | The bride walks down the aisle. |
  The bridesmaids follow a long white veil. | The newlyweds cut a tall white cake. | The groom has lost the rings. |
  The bride's father gives a toast to the couple. | The best man hands over the rings.
funeral: The coffin is lowered into the grave. | The widow is weeping by the grave. |
  Mourners in black follow the coffin. | People in black throw earth into the grave. |
  The priest speaks about the dead man. | The family stands in tears around the coffin. |
  Black cars follow the hearse. | Wreaths are laid on the fresh grave. | The widow thanks the mourners. |
  A wreath lies on the coffin.
birthday: A child is blowing out eight candles. | Mom has put nine candles on the cake. |
  Everyone sings because Anna turns six. | A boy turns ten today and unwraps his gifts. |
  Grandma turns eighty, and the whole family has come. | The cake says: Seven years old today! |
  Friends bring gifts because Ben is now twelve. | The twins turn five today. | Everyone shouts: Many happy returns! |
  The little girl is exactly one year old today.
Christmas: Santa is climbing down the chimney. | The family sings carols around the tree. |
  Stockings hang above the fireplace. | The reindeer and the sleigh are on the roof. |
  Dad puts a star on top of the fir tree. | Presents from Santa lie under the tree. |
  Children write letters to Santa Claus. | The choir sings Silent Night. |
  Mom hangs mistletoe and glass balls on the fir tree. | Everyone unwraps the gifts under the fir tree.
Halloween: Children in masks shout: Trick or treat! | A carved pumpkin with a candle grins on the porch. |
  Small witches and ghosts ring every doorbell. | Kids dressed as vampires ask for candy. |
  Fake cobwebs and pumpkins decorate the house. | A little ghost is begging for candy at the door. |
  Children dressed as skeletons fill their bags with candy. | The neighbors hand out candy to small witches. |
  Dad carves a scary face into a pumpkin. | A boy with vampire teeth goes from door to door for candy.
Easter: Children hunt for painted eggs in the garden. | A bunny has hidden colored eggs in the grass. |
  Chocolate bunnies sit in a basket of eggs. | Mom dyes eggs red and blue. |
  Kids find chocolate eggs behind the tulips. | The church celebrates that Christ has risen. |
  The children roll painted eggs down the hill. | Painted eggs hang on a spring branch. |
  A chocolate bunny hides between the tulips. | The baskets are full of dyed eggs and chocolate bunnies.
graduation: Students in caps and gowns receive their diplomas. | The seniors throw their caps into the air. |
  The dean hands out the diplomas. | The students have passed all exams and put on their gowns. |
  The class of 2010 receives its degrees. | Parents watch as their daughter gets her diploma. |
  A student in a cap and gown gives the farewell speech. | The college seniors get their degrees. |
  The principal gives each senior a diploma. | The students finish school and toss their square caps.
election: Voters stand in line before the booths. | People put their ballots into a box. |
  The votes for mayor are being counted. | The two candidates wait for the count of the ballots. |
  The new president has just won most of the votes. | Citizens choose a new parliament today. |
  The polls close at six, and then the count begins. | Each voter gets a ballot. |
  The party has won more seats than ever. | The senator lost by two hundred votes.
""")


def _event(draw: Random) -> Iterator[Item]:
    for cue, answer in _shuffled(draw, EVENTS):
        yield Item("What event is it?", answer, _other(draw, EVENTS, answer), cue)


MISSING = _table("""
umbrella: stands in the rain and gets wet | got soaked by the rain on the way | has wet hair because it began to rain
key: cannot open the front door | stands before the locked house | cannot unlock the car
ticket: is not let into the cinema | has trouble with the conductor on the train | may not board the train
wallet: cannot pay the bill | has no money with him at the till | has neither cash nor cards for the cashier
watch: has to ask strangers for the time | looks at a bare wrist to see how late it is | does not know what time it is
phone: cannot call home | can neither text nor call anyone | has to ask a stranger to make a call
coat: is freezing in the snow | shivers in the cold street | went out into the frost in a thin shirt
pen: cannot sign the form | cannot write anything down | borrows something to write with
map: does not know which road to take | is lost in a strange city | cannot find the right trail
towel: stands dripping beside the pool | cannot dry off after the shower | is wet from the lake and cannot get dry
passport: is sent back at the border | may not board the flight abroad | is stopped at customs on the way abroad
camera: cannot take pictures of the wedding | sees a rare bird but cannot take a picture |
  sees the sunset but cannot photograph it
helmet: was not allowed to ride the motorbike | hurt his head when the bike fell | rides the bike with a bare head
lunch: has nothing to eat at noon | asks others at school for half a sandwich | is hungry during the noon break
tent: has to sleep under the open sky | has no roof over his head at the campsite |
  gets rained on at the campsite all night
guitar: sits on stage but has nothing to strum | came to band practice with no strings to play |
  can sing the song but not strum it
flashlight: sits in the dark tent | cannot see a thing in the cave | has no light in the cellar
book: has nothing to read on the train | sits in reading class and cannot join in |
  stares out of the train with nothing to read
hat: shades his bald head with a newspaper | has a cold head in the wind | feels the hot sun on his bald head
ball: came to the soccer field, but there is nothing to kick | wants to play catch but has nothing to throw |
  stands on the basketball court with nothing to throw
ring: stands at the altar and searches his pockets | kneels to propose and searches his pockets |
  has nothing to put on the bride's finger
shoes: walks barefoot through the snow | stepped on glass with bare feet | ran the race in socks
glasses: cannot read the small print | squints at the blackboard | holds the book right under his nose
gloves: has cold hands in the snow | has frozen fingers on the sled | warms his freezing hands in his pockets
homework: tells the teacher that he has nothing to hand in | gets a bad mark because he has nothing to hand in |
  cannot hand in his exercises at school
knife: cannot cut the bread | cannot slice the cheese | tears the meat apart by hand
""")


NEAR_THINGS = {
    "coat": "umbrella hat tent gloves shoes",
    "umbrella": "coat hat towel",
    "hat": "coat helmet umbrella",
    "helmet": "hat",
    "wallet": "ticket phone",
    "ticket": "wallet passport phone",
    "passport": "ticket wallet",
    "tent": "umbrella coat",
    "flashlight": "map key phone",
    "map": "phone flashlight book",
    "towel": "umbrella coat",
    "lunch": "wallet",
    "phone": "wallet",
    "knife": "lunch",
    "guitar": "book",
    "watch": "phone glasses",
    "book": "phone lunch glasses",
    "glasses": "book flashlight",
    "gloves": "coat",
    "homework": "book pen",
    "pen": "homework glasses",
    "camera": "phone",
    "ring": "wallet",
}


def _missing(draw: Random) -> Iterator[Item]:
    for cue, answer in _shuffled(draw, MISSING):
        name = draw.choice(BOYS)
        yield Item(f"{name} {cue}. He has forgotten his", answer, _other(draw, MISSING, answer, NEAR_THINGS))


def _two(draw: Random) -> tuple[str, str]:
    """Return two names, of the same or of different sex."""
    first, second = draw.sample(GIRLS + BOYS, 2)
    return first, second


OLD = _table("""
old: draws a pension | has grown grandchildren | has white hair and a cane | has been retired for years |
  remembers the war | has been married for forty years | has just turned ninety | moved into a nursing home |
  has great-grandchildren | wears dentures
young: is learning to walk | goes to kindergarten | sleeps in a cradle | still believes in Santa Claus |
  is losing baby teeth | is in first grade | plays with a rattle | rides a tricycle | cannot tie shoes yet |
  sits in a stroller
""")


def _age(draw: Random) -> Iterator[Item]:
    while True:
        one, two = _two(draw)
        cues = draw.choice([c for c in OLD if OLD[c] == "old"]), draw.choice([c for c in OLD if OLD[c] == "young"])
        asked = draw.random() < 0.5
        facts = [f"{one} {cues[0]}.", f"{two} {cues[1]}."]
        draw.shuffle(facts)
        right, wrong = (one, two) if asked else (two, one)
        yield Item(f"{' '.join(facts)} Who is {'older' if asked else 'younger'}?", right, wrong)


def _solve_age(passage: str, text: str) -> str:
    by = {OLD[cue]: name for name, cue in re.findall(r"(\w+) ([^.?]+)\.", text)}
    return by["old" if "older" in text else "young"]


def _state(draw: Random) -> Iterator[Item]:
    for cue, answer in _shuffled(draw, FEELINGS):
        right, wrong = _two(draw)
        barred = NEAR_FEELINGS.get(answer, "").split()
        other = draw.choice(
            [c for c, a in FEELINGS.items() if a != answer and a not in barred and answer not in NEAR_FEELINGS[a]]
        )
        facts = [f"{right} {cue}.", f"{wrong} {other}."]
        draw.shuffle(facts)
        yield Item(f"Who is {answer}?", right, wrong, " ".join(facts))


def _solve_state(passage: str, text: str) -> str:
    asked = text.removeprefix("Who is ").rstrip("?")
    return next(name for name, cue in re.findall(r"(\w+) ([^.]+)\.", passage) if FEELINGS[cue] == asked)


NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
COUNTS = (
    ("{n} candles are burning on {A}'s birthday cake", "{m} balloons hang on the wall", "How old is {A} today?"),
    ("{n} toothbrushes stand by {A}'s sink", "{m} pictures hang in the hall", "How many people live there?"),
    ("{n} plates are on {A}'s dinner table", "{m} roses stand in a vase", "How many people will eat?"),
    ("{n} wet umbrellas stand in {A}'s hall", "{m} lamps are lit", "How many guests have come?"),
    ("{n} leashes hang by {A}'s door", "{m} mats lie on the floor", "How many dogs does {A} have?"),
    ("{n} saddled horses wait before {A}'s inn", "{m} barrels stand in the yard", "How many riders are inside?"),
    ("{n} sleeping bags lie in {A}'s tent", "{m} pots hang over the fire", "How many campers are there?"),
    ("{n} Christmas stockings hang in {A}'s house", "{m} stars hang on the tree", "How many people hope for gifts?"),
    ("{n} cribs stand in {A}'s nursery", "{m} bears are painted on the wall", "How many babies sleep there?"),
    ("{n} parachutes opened above {A}'s field", "{m} cows looked up", "How many people had jumped?"),
)  # fmt: skip


def _count(draw: Random) -> Iterator[Item]:
    while True:
        name, _, _ = _person(draw)
        n, m = draw.sample(NUMBERS, 2)
        sign, aside, asked = draw.choice(COUNTS)
        facts = [sign.format(n=n, A=name), aside.format(m=m)]
        draw.shuffle(facts)
        passage = f"{facts[0][0].upper()}{facts[0][1:]}, and {facts[1]}."
        yield Item(asked.format(A=name), n, m, passage)


TELLING = (
    "candles",
    "toothbrushes",
    "plates",
    "umbrellas",
    "leashes",
    "horses",
    "bags",
    "stockings",
    "cribs",
    "parachutes",
)


def _solve_count(passage: str, text: str) -> str:
    counted = rf"({'|'.join(NUMBERS)}) (?:wet |saddled |sleeping |Christmas )?({'|'.join(TELLING)})"
    found = re.search(counted, passage, re.IGNORECASE)
    return found[1].lower() if found else ""


F = "inference"
TASKS = (
    Task("place_from_behaviour", F, "completion", "place", _place, _cue_solver(PLACES)),
    Task("job_from_behaviour", F, "question", "noun", _job, _cue_solver(JOBS)),
    Task("feeling_from_event", F, "completion", "adjective", _feeling, _cue_solver(FEELINGS)),
    Task("weather_from_signs", F, "passage", "adjective", _weather, _cue_solver(WEATHER)),
    Task("activity_from_traces", F, "question", "inflected", _trace, _cue_solver(TRACES)),
    Task("outcome_verb", F, "completion", "inflected", _outcome, _cue_solver(OUTCOMES)),
    Task("event_from_scene", F, "passage", "noun", _event, _cue_solver(EVENTS)),
    Task("forgotten_thing", F, "completion", "noun", _missing, _cue_solver(MISSING)),
    Task("older_from_habits", F, "question", "name", _age, _solve_age),
    Task("who_feels", F, "passage", "name", _state, _solve_state),
    Task("number_from_traces", F, "passage", "number", _count, _solve_count),
)
