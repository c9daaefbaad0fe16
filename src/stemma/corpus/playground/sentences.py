"""How a fact is said: four or five English and Chinese wordings each, the first one being the answer to a question.

`{s}` is the subject (a name or a pronoun), `{p}` its possessive, `{v}` the value. English sentences are capitalised
after filling, so a wording may begin with a pronoun.
"""

from stemma.corpus.playground.draw import Draw
from stemma.corpus.playground.world import RELATIONS, VERBS, Word, World, age, older

FACTS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "city": (
            "{s} lives in {v}.",
            "{p} home is in {v}.",
            "{s} has a house in {v}.",
            "you can find {s} in {v}.",
        ),
        "job": (
            "{s} is a {v}.",
            "{s} works as a {v}.",
            "{p} job is {v}.",
            "{s} earns money as a {v}.",
        ),
        "age": (
            "{s} is {v} years old.",
            "{p} age is {v}.",
            "{s} is {v} this year.",
            "this year {s} turned {v}.",
        ),
        "hobby": (
            "{s} likes {v}.",
            "{p} hobby is {v}.",
            "{s} is fond of {v}.",
            "on free days {s} enjoys {v}.",
        ),
        "food": (
            "{s} loves to eat {v}.",
            "{p} favourite food is {v}.",
            "{s} often eats {v}.",
            "for dinner {s} wants {v}.",
            "{v} is {p} favourite dish.",
        ),
        "day": (
            "{s} rests on {v}.",
            "{p} day off is {v}.",
            "on {v} {s} does not work.",
            "{s} is free on {v}.",
        ),
        "kin": (
            "{p} {r} is {v}.",
            "{v} is {p} {r}.",
            "{s} has a {r} named {v}.",
            "{p} {r} is called {v}.",
        ),
    },
    "zh": {
        "city": (
            "{s}住在{v}。",
            "{p}家在{v}。",
            "{s}在{v}有房子。",
            "在{v}可以找到{s}。",
        ),
        "job": (
            "{s}是{v}。",
            "{s}的工作是{v}。",
            "{s}每天当{v}。",
            "{s}靠当{v}挣钱。",
        ),
        "age": (
            "{s}今年{v}岁。",
            "{p}年龄是{v}岁。",
            "{s}已经{v}岁了。",
            "今年{s}满{v}岁。",
        ),
        "hobby": (
            "{s}喜欢{v}。",
            "{p}爱好是{v}。",
            "{s}有空就{v}。",
            "{s}常常{v}。",
        ),
        "food": (
            "{s}爱吃{v}。",
            "{p}最爱的菜是{v}。",
            "{s}经常吃{v}。",
            "晚饭{s}想吃{v}。",
            "{v}是{s}最爱吃的。",
        ),
        "day": (
            "{s}{v}休息。",
            "{p}休息日是{v}。",
            "{v}{s}不上班。",
            "{s}{v}有空。",
        ),
        "kin": (
            "{p}{r}是{v}。",
            "{v}是{p}{r}。",
            "{s}有个{r}叫{v}。",
            "{p}{r}叫{v}。",
        ),
    },
}
NAMES = {
    "en": (
        "{en} is called {zh} in Chinese.",
        "the Chinese name of {en} is {zh}.",
        "in Chinese {en} is {zh}.",
    ),
    "zh": ("{zh}的英文名是{en}。", "{zh}用英语叫{en}。", "英语里{zh}是{en}。"),
}


def fact(
    world: World,
    lang: str,
    person: int,
    name: str,
    wording: int = 0,
    *,
    pronoun: bool = False,
    value: Word | None = None,
) -> str:
    """A sentence stating the attribute or relation `name` of a person (or another `value` for it, to be wrong);
    wording 0 is the answer's."""
    relation = name in RELATIONS
    wordings = FACTS[lang]["kin" if relation else name]
    text = wordings[wording % len(wordings)].format(
        s=subject_word(world, lang, person, pronoun),
        p=possessive(world, lang, person, pronoun),
        v=(value or value_of(world, person, name))(lang),
        r=RELATIONS[name](lang) if relation else "",
    )
    return capitalised(text)


def value_of(world: World, person: int, name: str) -> Word:
    """The value of an attribute, or the name of a relative."""
    return (
        world.people[world.kin[person, name]].name if name in RELATIONS else world.people[person].facts[name]
    )


def some_wording(world: World, lang: str, person: int, name: str, draw: Draw, pronoun: float = 0.0) -> str:
    """The fact in a random wording; with the probability `pronoun`, the person is "she" or "he"."""
    # "You can find she" is not English: that wording keeps the name.
    wordings = FACTS[lang]["kin" if name in RELATIONS else name]
    # The answers' wording is twice as frequent as another one.
    wording = max(0, draw.below(len(wordings) + 1) - 1)
    use_pronoun = draw.chance(pronoun) and not wordings[wording].startswith("you can find")
    return fact(world, lang, person, name, wording, pronoun=use_pronoun)


def subject_word(world: World, lang: str, person: int, pronoun: bool) -> str:
    """The name, or "she", "he"."""
    who = world.people[person]
    if not pronoun:
        return who.name(lang)
    return ("she" if who.female else "he") if lang == "en" else ("她" if who.female else "他")


def possessive(world: World, lang: str, person: int, pronoun: bool) -> str:
    """The name with 's or the Chinese particle, or "her", "his"."""
    word = subject_word(world, lang, person, pronoun)
    if lang == "zh":
        return word + "的"
    return {"she": "her", "he": "his"}.get(word, word + "'s")


def capitalised(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def join(lang: str, sentences: list[str]) -> str:
    """Sentences into a paragraph: a space between English ones, nothing between Chinese ones."""
    return (" " if lang == "en" else "").join(sentences)


def count(world: World, lang: str, thing: int, quantity: int) -> str:
    """'3 apples', '1 apple', or with the Chinese measure word."""
    item = world.things[thing]
    if lang == "zh":
        return f"{quantity}{item.measure}{item.name.zh}"
    return f"{quantity} {item.name.en if quantity == 1 else item.plural}"


def price(world: World, lang: str, thing: int, wording: int = 0, value: int | None = None) -> str:
    """The price of one (or another `value` for it, to be wrong)."""
    one = count(world, lang, thing, 1)
    wordings = {
        "en": ("{one} costs {n} yuan.", "the price of {one} is {n} yuan.", "you pay {n} yuan for {one}.",
               "they sell {one} for {n} yuan.", "{one} is sold at {n} yuan."),
        "zh": ("{one}要{n}元。", "{one}的价钱是{n}元。", "买{one}得付{n}元。", "{one}卖{n}元。", "{n}元可以买{one}。"),
    }[lang]  # fmt: skip
    return capitalised(
        wordings[wording % len(wordings)].format(one=one, n=value or world.things[thing].price)
    )


def total(world: World, lang: str, thing: int, quantity: int, unit: int | None = None) -> str:
    """The price of several, with the way to it: 1 apple costs 4 yuan, 3 x 4 = 12, so ...; `unit`: a wrong price."""
    unit = unit or world.things[thing].price
    one, many = count(world, lang, thing, 1), count(world, lang, thing, quantity)
    product = f"{quantity} x {unit} = {quantity * unit}"
    if lang == "zh":
        return f"{one}要{unit}元，{product}，所以{many}要{quantity * unit}元。"
    return f"{one} costs {unit} yuan, {product}, so {many} cost {quantity * unit} yuan."


def sum_of(lang: str, numbers: tuple[int, ...]) -> str:
    """A sum step by step: 3 + 4 = 7, 7 + 2 = 9."""
    steps, running = [], numbers[0]
    for number in numbers[1:]:
        steps.append(f"{running} + {number} = {running + number}")
        running += number
    return ("，" if lang == "zh" else ", ").join(steps) + ("。" if lang == "zh" else ".")


def clock(lang: str, hour: int, later: int) -> str:
    """What time it is `later` hours after `hour`: 5 + 3 = 8, so it will be 8 o'clock."""
    if lang == "zh":
        return f"{hour} + {later} = {hour + later}，那时是{hour + later}点。"
    return f"{hour} + {later} = {hour + later}, so it will be {hour + later} o'clock."


def comparison(world: World, lang: str, first: int, second: int) -> str:
    """Who of two people is the older one, with both ages."""
    names = [world.people[i].name(lang) for i in (first, second)]
    winner = world.people[older(world, first, second)].name(lang)
    years = [age(world, i) for i in (first, second)]
    if lang == "zh":
        return f"{names[0]}{years[0]}岁，{names[1]}{years[1]}岁，{winner}年纪大。"
    return f"{names[0]} is {years[0]} and {names[1]} is {years[1]}, so {winner} is older."


def event(world: World, lang: str, person: int, verb: int, thing: int, quantity: int, day: str) -> str:
    """Someone did something with a few things on a day of the week (given in the language)."""
    name, things = world.people[person].name(lang), count(world, lang, thing, quantity)
    if lang == "zh":
        return f"{day}，{name}{VERBS[verb].zh}{things}。"
    return f"{name} {VERBS[verb].en} {things} on {day}."
