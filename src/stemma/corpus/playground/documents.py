"""Clean documents: paragraphs of several facts in one language, or of parallel sentences in both.

Every statement is true in the seed's world, worded at random; combinations held out for the questions are left out.
No two documents reach a 5-gram Jaccard of `SIMILARITY`, so that a deduplicating cleaner has none of them to remove.
"""

from collections.abc import Callable, Iterator
from typing import Any

from stemma.corpus.playground import sentences as say
from stemma.corpus.playground.draw import Draw
from stemma.corpus.playground.near_duplicates import NearDuplicates
from stemma.corpus.playground.world import (
    ADDENDS,
    ATTRIBUTES,
    HOURS,
    LANGUAGES,
    NUM_FAMILIES,
    PRICES,
    QUANTITIES,
    RELATIONS,
    VALUES,
    VERBS,
    World,
    age,
    make_world,
)

SIMILARITY = 0.5
HELD_OUT_PER_DOMAIN = 40
# Domain -> weight in the mixture.
DOMAINS = {
    "people": 36,
    "family": 12,
    "market": 10,
    "diary": 32,
    "calendar": 6,
    "arithmetic": 6,
    "translation": 24,
}
Event = tuple[int, int, int, int, str]  # person, verb, thing, quantity, English name of the day


def clean_documents(seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """An endless stream of (part, document): first `HELD_OUT_PER_DOMAIN` of each domain for the part "heldout",
    then the part "train"; a document is {text, source, lang, domain}."""
    world, draw, guard = make_world(seed), Draw(seed, "documents"), NearDuplicates(SIMILARITY)
    for domain in DOMAINS:
        for _ in range(HELD_OUT_PER_DOMAIN):
            yield "heldout", _fresh(world, domain, draw, guard)
    while True:
        yield "train", _fresh(world, draw.weighted(DOMAINS), draw, guard)


def held_out_documents(seed: int) -> Iterator[dict[str, Any]]:
    """Documents for bits per byte, by domain: {id, text, source, lang, domain}; none is in the training documents."""
    for index, (_, document) in zip(
        range(len(DOMAINS) * HELD_OUT_PER_DOMAIN), clean_documents(seed), strict=False
    ):
        yield {"id": f"heldout-{index:04d}"} | document


def random_event(world: World, draw: Draw) -> Event:
    """Who did what with how many of which thing on which day; never a held-out event or quantity."""
    while True:
        person, verb, thing = (
            draw.below(len(world.people)),
            draw.below(len(VERBS)),
            draw.below(len(world.things)),
        )
        quantity = draw.between(1, QUANTITIES[-1])
        held_out = world.held_out
        if (person, verb, thing) not in held_out.events and (thing, quantity) not in held_out.products:
            return person, verb, thing, quantity, draw.pick(VALUES["day"]).en


def event_sentence(world: World, lang: str, event: Event) -> str:
    """The event as a sentence."""
    person, verb, thing, quantity, day = event
    return say.event(world, lang, person, verb, thing, quantity, day_word(lang, day))


def day_word(lang: str, day: str) -> str:
    """The day of the week, given by its English name."""
    return next(word for word in VALUES["day"] if word.en == day)(lang)


def _fresh(world: World, domain: str, draw: Draw, guard: NearDuplicates) -> dict[str, Any]:
    while True:
        lang = draw.pick(LANGUAGES)
        text = say.join(lang, _COMPOSE[domain](world, lang, draw))
        if guard.accept(text):
            shown = "mixed" if domain == "translation" else lang
            return {"text": text, "source": "playground", "lang": shown, "domain": domain}


def _people(world: World, lang: str, draw: Draw) -> list[str]:
    everyone = range(len(world.people))
    if draw.chance(0.7):  # one person, many facts
        person = draw.below(len(everyone))
        relations = [r for p, r in world.kin if p == person]
        names = draw.sample(ATTRIBUTES, 5) + draw.sample(relations, 2)
        first, *rest = draw.shuffled(names)
        told = [say.some_wording(world, lang, person, first, draw)]
        if draw.chance(0.4):
            name = world.people[person].name
            told.append(say.capitalised(draw.pick(say.NAMES[lang]).format(en=name.en, zh=name.zh)))
        return told + [say.some_wording(world, lang, person, n, draw, pronoun=0.5) for n in rest]
    if draw.chance(0.4):  # several people compared by age
        pairs = [
            p for p in (tuple(sorted(draw.sample(everyone, 2))) for _ in range(5)) if may_compare(world, p)
        ]
        return [say.comparison(world, lang, *draw.shuffled(p)) for p in pairs] + _mixed_facts(
            world, lang, draw, 3
        )
    return _mixed_facts(world, lang, draw, 7)


def may_compare(world: World, pair: tuple[int, ...]) -> bool:
    """Whether the ages of two people, given in index order, differ and their comparison is not held out."""
    return pair not in world.held_out.ages and age(world, pair[0]) != age(world, pair[1])


def _mixed_facts(world: World, lang: str, draw: Draw, number: int) -> list[str]:
    people = draw.sample(range(len(world.people)), number)
    return [say.some_wording(world, lang, p, draw.pick(ATTRIBUTES), draw) for p in people]


def _family(world: World, lang: str, draw: Draw) -> list[str]:
    family = draw.below(NUM_FAMILIES)
    relations = [key for key in world.kin if world.people[key[0]].family == family]
    told = [say.some_wording(world, lang, *key, draw) for key in draw.sample(relations, 5)]
    for member in draw.sample(range(4 * family, 4 * family + 4), 2):
        told.append(say.some_wording(world, lang, member, draw.pick(ATTRIBUTES), draw))
    return draw.shuffled(told)


def _market(world: World, lang: str, draw: Draw) -> list[str]:
    told = []
    for thing in draw.sample(range(len(world.things)), 4):
        told.append(say.price(world, lang, thing, draw.below(5)))
        quantity = draw.pick([q for q in QUANTITIES if (thing, q) not in world.held_out.products])
        if draw.chance(0.7):
            told.append(say.total(world, lang, thing, quantity))
    return draw.shuffled(told)


_RECAP = {
    "en": (
        "it was {name} who {verb} {things}.",
        "{name} {verb} {things}.",
        "on {day} {name} {verb} {things}.",
        "{things} is what {name} {verb}.",
        "{name} did it on {day}.",
    ),
    "zh": (
        "是{name}{verb}{things}。",
        "{name}{verb}{things}。",
        "{name}在{day}{verb}{things}。",
        "{name}{verb}的是{things}。",
        "那天是{day}，是{name}。",
    ),
}


def _diary(world: World, lang: str, draw: Draw) -> list[str]:
    """Two events, then each of them twice more in other words: text in which looking back pays."""
    events = [random_event(world, draw)]
    while len(events) < 2:
        event = random_event(world, draw)
        if event[0] != events[0][0] and event[2] != events[0][2]:
            events.append(event)
    told = []
    for event in events:
        person, verb, thing, quantity, day = event
        words = {
            "name": world.people[person].name(lang),
            "verb": VERBS[verb](lang),
            "things": say.count(world, lang, thing, quantity),
            "day": day_word(lang, day),
        }
        told += [say.capitalised(recap.format(**words)) for recap in draw.sample(_RECAP[lang], 2)]
    return [event_sentence(world, lang, event) for event in events] + draw.shuffled(told)


_CLOCK = {
    "en": ("it is {h} o'clock now, and {d} hours later: ", "we start at {h} o'clock and need {d} hours: "),
    "zh": ("现在{h}点，过{d}个小时：", "{h}点开始，要{d}个小时："),
}


def _calendar(world: World, lang: str, draw: Draw) -> list[str]:
    people = draw.sample(range(len(world.people)), 4)
    told = [say.some_wording(world, lang, p, "day", draw) for p in people]
    for hour, later in draw.sample([h for h in HOURS if h not in world.held_out.hours], 3):
        opening = say.capitalised(draw.pick(_CLOCK[lang]).format(h=hour, d=later))
        told.append(opening + say.clock(lang, hour, later))
    return draw.shuffled(told)


_PRODUCT = {
    "en": ("{a} x {b} = {c}.", "{a} times {b} is {c}.", "{a} groups of {b} make {c}."),
    "zh": ("{a} x {b} = {c}。", "{a}乘{b}是{c}。", "{a}个{b}一共是{c}。"),
}
_SUM = {
    "en": ("{a} + {b} = {c}.", "{a} and {b} make {c}.", "add {b} to {a} and you get {c}."),
    "zh": ("{a} + {b} = {c}。", "{a}加{b}是{c}。", "{a}和{b}一共是{c}。"),
}


def _arithmetic(world: World, lang: str, draw: Draw) -> list[str]:
    told = []
    for _ in range(3):
        a, b = draw.pick(QUANTITIES), draw.pick(PRICES)
        told.append(say.capitalised(draw.pick(_PRODUCT[lang]).format(a=a, b=b, c=a * b)))
        a, b = draw.between(1, 12), draw.pick(ADDENDS)
        told.append(say.capitalised(draw.pick(_SUM[lang]).format(a=a, b=b, c=a + b)))
        told.append(say.sum_of(lang, random_addends(world, draw)))
    return draw.shuffled(told)


def random_addends(world: World, draw: Draw) -> tuple[int, int, int]:
    """Three numbers whose sum is not held out in any order."""
    while True:
        numbers = draw.pick(ADDENDS), draw.pick(ADDENDS), draw.pick(ADDENDS)
        if tuple(sorted(numbers)) not in world.held_out.sums:
            return numbers


_PARALLEL = {"en": "{en} In Chinese: {zh}", "zh": "{zh}用英语说：{en}"}


def _translation(world: World, lang: str, draw: Draw) -> list[str]:
    told = []
    for _ in range(4):
        if draw.chance(0.6):
            event = random_event(world, draw)
            pair = {side: event_sentence(world, side, event) for side in LANGUAGES}
        else:
            person, name = draw.below(len(world.people)), draw.pick(ATTRIBUTES)
            if draw.chance(0.3):
                name = draw.pick([r for r in RELATIONS if (person, r) in world.kin])
            pair = {side: say.fact(world, side, person, name) for side in LANGUAGES}
        told.append(_PARALLEL[lang].format(**pair))
    return told


_COMPOSE: dict[str, Callable[[World, str, Draw], list[str]]] = {
    "people": _people,
    "family": _family,
    "market": _market,
    "diary": _diary,
    "calendar": _calendar,
    "arithmetic": _arithmetic,
    "translation": _translation,
}
