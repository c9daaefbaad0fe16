"""The small world the corpus speaks about: five families of four in eight cities, sixteen things with a price.

Names and vocabulary are fixed; who is who, who lives where and what costs how much is drawn from the seed, so two
seeds tell different and each in itself consistent worlds. Every value is a `Word` with an English and a Chinese side.

`HeldOut` names the combinations kept for the evaluation questions. The law, which the tests check on the text:
a held-out fact or price is stated in documents but never asked or answered in a training dialogue, in either
language; held-out operands, events and age comparisons occur nowhere at all outside the questions.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations, combinations_with_replacement

from stemma.corpus.playground.draw import Draw

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Word:
    """One thing said in two languages."""

    en: str
    zh: str

    def __call__(self, lang: str) -> str:
        return self.en if lang == "en" else self.zh


@dataclass(frozen=True)
class Person:
    """A person: name, sex, family position, and one value per attribute."""

    name: Word
    female: bool
    family: int
    facts: dict[str, Word]


@dataclass(frozen=True)
class Thing:
    """Something sold at the market: the English plural, the Chinese measure word, the price of one in yuan."""

    name: Word
    plural: str
    measure: str
    price: int


@dataclass(frozen=True)
class HeldOut:
    """Combinations reserved for the questions; people and things are given by their index."""

    facts: frozenset[tuple[int, str]]
    prices: frozenset[int]
    products: frozenset[tuple[int, int]]
    sums: frozenset[tuple[int, int, int]]
    hours: frozenset[tuple[int, int]]
    ages: frozenset[tuple[int, int]]
    events: frozenset[tuple[int, int, int]]


@dataclass(frozen=True)
class World:
    """People, things, kinship and what is held out. `kin[(person, relation)]` is the index of the relative."""

    people: tuple[Person, ...]
    things: tuple[Thing, ...]
    kin: dict[tuple[int, str], int]
    held_out: HeldOut


def _words(text: str) -> tuple[Word, ...]:
    return tuple(Word(*pair.split("=")) for pair in text.split("; "))


WOMEN = _words(
    "Anna=安娜; Clara=佳慧; Emma=艾玛; Grace=思雨; Iris=红梅; Karen=晓燕; Mona=秀英; Olga=白兰; "
    "Susan=素珍; Wendy=文静"
)
MEN = _words(
    "Boris=志强; David=大卫; Felix=福生; Hugo=建国; Jack=永刚; Leo=立新; Nick=东明; Peter=海涛; Robert=国庆; "
    "Tom=天成"
)
VALUES: dict[str, tuple[Word, ...]] = {
    "city": _words(
        "Harbin=哈尔滨; Beijing=北京; Shanghai=上海; Chengdu=成都; London=伦敦; Paris=巴黎; Rome=罗马; Berlin=柏林"
    ),
    "job": _words(
        "doctor=医生; teacher=老师; cook=厨师; driver=司机; farmer=农民; painter=画家; nurse=护士; tailor=裁缝; "
        "lawyer=律师; singer=歌手"
    ),
    "hobby": _words(
        "chess=下棋; swimming=游泳; dancing=跳舞; fishing=钓鱼; running=跑步; reading=看书; gardening=种花; football=踢球"
    ),
    "food": _words(
        "noodles=面条; rice=米饭; dumplings=饺子; soup=热汤; bread=面包; tofu=豆腐; beef=牛肉; salad=沙拉"
    ),
    "day": _words(
        "Monday=星期一; Tuesday=星期二; Wednesday=星期三; Thursday=星期四; Friday=星期五; Saturday=星期六; Sunday=星期日"
    ),
}
ATTRIBUTES = ("city", "job", "age", "hobby", "food", "day")
NUM_FAMILIES = 5
AGES = {"parent": (45, 60), "child": (18, 30)}
RELATIONS: dict[str, Word] = dict(
    zip(
        ("husband", "wife", "father", "mother", "son", "daughter", "brother", "sister"),
        _words(
            "husband=丈夫; wife=妻子; father=父亲; mother=母亲; son=儿子; daughter=女儿; brother=兄弟; sister=姐妹"
        ),
        strict=True,
    )
)
# English singular, plural, Chinese name, measure word.
_GOODS = (
    ("apple", "apples", "苹果", "个"),
    ("pear", "pears", "梨子", "个"),
    ("egg", "eggs", "鸡蛋", "个"),
    ("cake", "cakes", "蛋糕", "块"),
    ("book", "books", "课本", "本"),
    ("pen", "pens", "钢笔", "支"),
    ("cup", "cups", "茶杯", "个"),
    ("hat", "hats", "帽子", "顶"),
    ("chair", "chairs", "椅子", "把"),
    ("umbrella", "umbrellas", "雨伞", "把"),
    ("fish", "fish", "鲜鱼", "条"),
    ("lamp", "lamps", "台灯", "盏"),
    ("kite", "kites", "风筝", "只"),
    ("ticket", "tickets", "车票", "张"),
    ("towel", "towels", "毛巾", "条"),
    ("knife", "knives", "小刀", "把"),
)
# What people do with things: English past tense, Chinese.
VERBS = _words("bought=买了; sold=卖了; found=找到了; lost=丢了")
BASE_FORMS = ("buy", "sell", "find", "lose")
PRICES = (2, 3, 4, 5, 6, 7, 8, 9)
QUANTITIES = (2, 3, 4, 5, 6, 7, 8, 9)
ADDENDS = (1, 2, 3, 4, 5, 6)
HOURS = tuple((hour, later) for hour in range(1, 10) for later in range(2, 7) if hour + later <= 12)


@cache
def make_world(seed: int) -> World:
    """The world of a seed; the same seed is the same world."""
    draw = Draw(seed, "world")
    people, kin = _families(draw)
    prices = draw.shuffled(PRICES + PRICES)
    things = tuple(
        Thing(Word(en, zh), plural, measure, price)
        for (en, plural, zh, measure), price in zip(_GOODS, prices, strict=True)
    )
    return World(people, things, kin, _hold_out(people, things, kin, draw))


def older(world: World, first: int, second: int) -> int:
    """Which of two people of different age is the older one."""
    return first if age(world, first) > age(world, second) else second


def age(world: World, person: int) -> int:
    """Age in years."""
    return int(world.people[person].facts["age"].en)


def _families(draw: Draw) -> tuple[tuple[Person, ...], dict[tuple[int, str], int]]:
    women, men = draw.shuffled(WOMEN), draw.shuffled(MEN)
    # Every value of an attribute is given to as many people as any other, so that no answer is a good guess.
    columns = {
        name: draw.shuffled(_spread(values, 4 * NUM_FAMILIES, draw)) for name, values in VALUES.items()
    }
    people: list[Person] = []
    kin: dict[tuple[int, str], int] = {}
    for family in range(NUM_FAMILIES):
        father, mother, son, daughter = (4 * family + place for place in range(4))
        for place, name in enumerate((men.pop(), women.pop(), men.pop(), women.pop())):
            index = len(people)
            years = str(draw.between(*AGES["parent" if place < 2 else "child"]))
            facts = {a: Word(years, years) if a == "age" else columns[a][index] for a in ATTRIBUTES}
            people.append(Person(name, bool(place % 2), family, facts))
        kin |= {(mother, "husband"): father, (father, "wife"): mother}
        kin |= {(son, "sister"): daughter, (daughter, "brother"): son}
        for child, relation in ((son, "son"), (daughter, "daughter")):
            kin |= {(child, "father"): father, (child, "mother"): mother}
            kin |= {(father, relation): child, (mother, relation): child}
    return tuple(people), kin


def _spread(values: tuple[Word, ...], count: int, draw: Draw) -> list[Word]:
    whole, rest = divmod(count, len(values))
    return list(values) * whole + draw.sample(values, rest)


def _hold_out(
    people: tuple[Person, ...], things: tuple[Thing, ...], kin: dict[tuple[int, str], int], draw: Draw
) -> HeldOut:
    everyone = range(len(people))
    facts = {(person, name) for name in ATTRIBUTES for person in draw.sample(everyone, 4)}
    # In each family one pair of relatives, both ways round.
    for family in range(NUM_FAMILIES):
        father, mother, son, daughter = (4 * family + place for place in range(4))
        pair = set(draw.pick([(father, mother), (son, daughter), (father, daughter), (mother, son)]))
        facts |= {key for key, other in kin.items() if {key[0], other} == pair}
    # Of two things with one price, a quantity is held out for at most one: the product itself stays familiar.
    products: set[tuple[int, int]] = set()
    for price in PRICES:
        first, second = (i for i, thing in enumerate(things) if thing.price == price)
        for place, quantity in enumerate(draw.sample(QUANTITIES, 4)):
            products.add((second if place % 2 else first, quantity))
    pairs_of_people = [
        p for p in combinations(everyone, 2) if people[p[0]].facts["age"] != people[p[1]].facts["age"]
    ]
    triples = list(combinations_with_replacement(ADDENDS, 3))
    events = [(p, v, t) for p in everyone for v in range(len(VERBS)) for t in range(len(things))]
    return HeldOut(
        facts=frozenset(facts),
        prices=frozenset(draw.sample(range(len(things)), 4)),
        products=frozenset(products),
        sums=frozenset((a, b, c) for a, b, c in draw.sample(triples, 12)),
        hours=frozenset(draw.sample(HOURS, 8)),
        ages=frozenset((p, q) for p, q in draw.sample(pairs_of_people, 30)),
        events=frozenset(draw.sample(events, 150)),
    )
