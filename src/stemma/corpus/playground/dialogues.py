"""Training dialogues: a plan picks what the last turn asks, from what is allowed, and builds the turns before it.

The same plans, given a held-out combination for the last turn, make the evaluation questions: what the plan adds
before it comes from the allowed combinations either way.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from stemma.corpus.playground import asking
from stemma.corpus.playground.asking import Turn
from stemma.corpus.playground.documents import Event, random_event
from stemma.corpus.playground.draw import Draw
from stemma.corpus.playground.world import (
    ADDENDS,
    ATTRIBUTES,
    HOURS,
    LANGUAGES,
    QUANTITIES,
    VERBS,
    World,
    age,
    make_world,
)


@dataclass(frozen=True)
class Combinations:
    """What a last turn may ask: all allowed combinations, or all held-out ones, in a fixed order."""

    facts: tuple[tuple[int, str], ...]
    kin: tuple[tuple[int, str], ...]
    prices: tuple[int, ...]
    products: tuple[tuple[int, int], ...]
    sums: tuple[tuple[int, int, int], ...]
    hours: tuple[tuple[int, int], ...]
    ages: tuple[tuple[int, int], ...]
    events: tuple[tuple[int, int, int], ...]


@cache
def combinations(world_seed: int, *, held_out: bool) -> Combinations:
    """The held-out or the allowed combinations of a world."""
    world = make_world(world_seed)
    out = world.held_out
    people, things = range(len(world.people)), range(len(world.things))
    triples = [(a, b, c) for a in ADDENDS for b in ADDENDS for c in ADDENDS]
    pairs = [(p, q) for p in people for q in people if p != q and age(world, p) != age(world, q)]
    return Combinations(
        facts=tuple((p, a) for p in people for a in ATTRIBUTES if ((p, a) in out.facts) == held_out),
        kin=tuple(key for key in world.kin if (key in out.facts) == held_out),
        prices=tuple(t for t in things if (t in out.prices) == held_out),
        products=tuple((t, q) for t in things for q in QUANTITIES if ((t, q) in out.products) == held_out),
        sums=tuple(t for t in triples if (tuple(sorted(t)) in out.sums) == held_out),
        hours=tuple(h for h in HOURS if (h in out.hours) == held_out),
        ages=tuple(p for p in pairs if (tuple(sorted(p)) in out.ages) == held_out),
        events=tuple(
            (p, v, t)
            for p in people
            for v in range(len(VERBS))
            for t in things
            if ((p, v, t) in out.events) == held_out
        ),
    )


@dataclass(frozen=True)
class Plan:
    """What a plan builds with: the world, the language, the draws, what is allowed and what the last turn may ask."""

    world: World
    lang: str
    draw: Draw
    allowed: Combinations
    last: Combinations


def _fact(plan: Plan) -> list[Turn]:
    return [asking.ask_fact(plan.world, plan.lang, *plan.draw.pick(plan.last.facts), plan.draw)]


def _kinship(plan: Plan) -> list[Turn]:
    return [asking.ask_fact(plan.world, plan.lang, *plan.draw.pick(plan.last.kin), plan.draw)]


def _price(plan: Plan) -> list[Turn]:
    return [asking.ask_price(plan.world, plan.lang, plan.draw.pick(plan.last.prices), plan.draw)]


def _product(plan: Plan) -> list[Turn]:
    return [asking.ask_total(plan.world, plan.lang, *plan.draw.pick(plan.last.products), plan.draw)]


def _sum(plan: Plan) -> list[Turn]:
    return [asking.ask_sum(plan.lang, plan.draw.pick(plan.last.sums), plan.draw)]


def _clock(plan: Plan) -> list[Turn]:
    return [asking.ask_clock(plan.lang, *plan.draw.pick(plan.last.hours), plan.draw)]


def _comparison(plan: Plan) -> list[Turn]:
    return [asking.ask_older(plan.world, plan.lang, *plan.draw.pick(plan.last.ages), plan.draw)]


def _translation(plan: Plan) -> list[Turn]:
    if plan.draw.chance(0.5):
        subject: tuple[int, str] | Event = plan.draw.pick(plan.last.facts + plan.last.kin)
    else:
        subject = _event(plan)
    wanted = plan.draw.pick(LANGUAGES)
    return [asking.ask_translation(plan.world, plan.lang, wanted, subject, plan.draw)]


def _context(plan: Plan) -> list[Turn]:
    """What happened and the question about it in one message."""
    events = _events(plan)
    told = asking.tell(plan.world, plan.lang, plan.draw.shuffled(events))
    asked = asking.ask_event(plan.world, plan.lang, events[0], plan.draw)
    space = " " if plan.lang == "en" else ""
    return [Turn(asked.kind, asked.key, told.question + space + asked.question, asked.answer, asked.wrong)]


def _pronoun(plan: Plan) -> list[Turn]:
    """Facts about one person, who is named in the first question only."""
    world, lang, draw = plan.world, plan.lang, plan.draw
    person, name = draw.pick(plan.last.facts)
    known = [n for p, n in plan.allowed.facts if p == person and n != name]
    first, *rest = draw.sample(known, draw.between(1, 3))
    turns = [asking.ask_fact(world, lang, person, first, draw)]
    turns += [asking.ask_fact(world, lang, person, n, draw, "pronoun") for n in rest]
    return [*turns, asking.ask_fact(world, lang, person, name, draw, "pronoun")]


def _same_question(plan: Plan) -> list[Turn]:
    """One question about two or three people: "And Anna?"."""
    world, lang, draw = plan.world, plan.lang, plan.draw
    person, name = draw.pick(plan.last.facts)
    known = [p for p, n in plan.allowed.facts if n == name and p != person]
    first, *rest = draw.sample(known, draw.between(1, 2))
    turns = [asking.ask_fact(world, lang, first, name, draw)]
    turns += [asking.ask_fact(world, lang, p, name, draw, "same") for p in rest]
    return [*turns, asking.ask_fact(world, lang, person, name, draw, "same")]


def _relative(plan: Plan) -> list[Turn]:
    """Who the husband is, and then something about him."""
    world, lang, draw = plan.world, plan.lang, plan.draw
    person, name = draw.pick(plan.last.facts)
    ways = [key for key in plan.allowed.kin if world.kin[key] == person]
    if not ways:
        return []
    turns = [asking.ask_fact(world, lang, *draw.pick(ways), draw)]
    return [*turns, asking.ask_fact(world, lang, person, name, draw, "pronoun")]


def _of_them(plan: Plan) -> list[Turn]:
    """The price of one, then of several of them."""
    world, lang, draw = plan.world, plan.lang, plan.draw
    thing, quantity = draw.pick(plan.last.products)
    if thing not in plan.allowed.prices:
        return []
    known = [q for t, q in plan.allowed.products if t == thing and q != quantity]
    turns = [asking.ask_price(world, lang, thing, draw)]
    for q in draw.sample(known, draw.between(0, 1)):
        turns.append(asking.ask_total(world, lang, thing, q, draw, of_them=True))
    return [*turns, asking.ask_total(world, lang, thing, quantity, draw, of_them=True)]


def _again(plan: Plan) -> list[Turn]:
    """A fact, then the same in the other language."""
    world, lang, draw = plan.world, plan.lang, plan.draw
    subject = draw.pick(plan.last.facts + plan.last.kin)
    return [asking.ask_fact(world, lang, *subject, draw), asking.ask_again(world, lang, subject, draw)]


def _told(plan: Plan) -> list[Turn]:
    """What happened, told in one or two turns, then a question about it."""
    world, lang, draw = plan.world, plan.lang, plan.draw
    events = _events(plan)
    order = draw.shuffled(events)
    parts = [order] if draw.chance(0.5) else [[event] for event in order]
    turns = [asking.tell(world, lang, part) for part in parts]
    return [*turns, asking.ask_event(world, lang, events[0], draw)]


def _events(plan: Plan) -> list[Event]:
    """The event to be asked about and, one time in three, another that shares nothing with it."""
    first = _event(plan)
    if plan.draw.chance(2 / 3):
        return [first]
    while True:
        other = random_event(plan.world, plan.draw)
        if all(a != b for a, b in zip(first, other, strict=True)):
            return [first, other]


def _event(plan: Plan) -> Event:
    person, verb, thing = plan.draw.pick(plan.last.events)
    *_, day = random_event(plan.world, plan.draw)
    quantities = [1, *(q for t, q in plan.allowed.products if t == thing)]
    return person, verb, thing, plan.draw.pick(quantities), day


# Plan -> (builder, weight among the training dialogues, questions per language).
PLANS: dict[str, tuple[Callable[[Plan], list[Turn]], int, int]] = {
    "fact": (_fact, 20, 26),
    "kinship": (_kinship, 8, 10),
    "price": (_price, 3, 4),
    "product": (_product, 8, 12),
    "sum": (_sum, 6, 10),
    "clock": (_clock, 3, 8),
    "comparison": (_comparison, 6, 10),
    "translation": (_translation, 18, 14),
    "context": (_context, 16, 12),
    "pronoun": (_pronoun, 12, 18),
    "same question": (_same_question, 6, 16),
    "relative": (_relative, 6, 14),
    "of them": (_of_them, 6, 14),
    "again": (_again, 8, 14),
    "told": (_told, 12, 16),
}
NUM_DIALOGUES = 6000


def dialogues(seed: int, size: int = NUM_DIALOGUES) -> Iterator[dict[str, Any]]:
    """Training dialogues, all different: {id, lang, kind, messages: [{role, content}]}."""
    world, draw = make_world(seed), Draw(seed, "dialogues")
    allowed = combinations(seed, held_out=False)
    weights = {kind: weight for kind, (_, weight, _) in PLANS.items()}
    seen: set[tuple[str, ...]] = set()
    while len(seen) < size:
        kind, lang = draw.weighted(weights), draw.pick(LANGUAGES)
        turns = PLANS[kind][0](Plan(world, lang, draw, allowed, allowed))
        wording = tuple(turn.question for turn in turns)
        if turns and wording not in seen:
            seen.add(wording)
            yield {
                "id": f"dialogue-{len(seen) - 1:05d}",
                "lang": lang,
                "kind": kind,
                "messages": messages(turns),
            }


def messages(turns: list[Turn]) -> list[dict[str, str]]:
    """Turns as chat messages, user and assistant by turns."""
    pairs = (
        ({"role": "user", "content": t.question}, {"role": "assistant", "content": t.answer}) for t in turns
    )
    return [message for pair in pairs for message in pair]
