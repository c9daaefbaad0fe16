"""Graded preference pairs: two answers to one dialogue, the better one chosen, the grade set by their utilities.

An answer is the right one with flaws; its utility is minus the sum of the costs in `COSTS`. The difference of two
utilities gives the grade: >= 3 significantly, >= 1.5 better, >= 0.75 slightly, below that (but > 0) negligibly.
Prompts come from training dialogues, never from the questions.
"""

from collections.abc import Iterator
from typing import Any

from stemma.corpus.playground import asking
from stemma.corpus.playground.asking import Turn
from stemma.corpus.playground.dialogues import PLANS, Plan, combinations, messages
from stemma.corpus.playground.draw import Draw
from stemma.corpus.playground.world import LANGUAGES, World, make_world

NUM_PREFERENCES = 2000
COSTS = {"wrong_fact": 3.0, "wrong_language": 2.0, "impolite": 1.5, "truncated": 1.0, "verbose": 0.5}
GRADES = (("significantly", 3.0), ("better", 1.5), ("slightly", 0.75), ("negligibly", 0.0))
_RUDE = {"en": "What a silly question. {}", "zh": "这都不知道。{}"}
_VERBOSE = {
    "en": "Thank you for this question, I am happy to answer it. {} I hope that this answer helps you.",
    "zh": "谢谢你的问题，我很高兴回答。{}希望这个回答对你有用。",
}
# Flaws of one answer that go together; the right answer is the empty one.
FLAWS = (
    (),
    ("verbose",),
    ("truncated",),
    ("impolite",),
    ("wrong_language",),
    ("wrong_fact",),
    ("impolite", "verbose"),
    ("wrong_fact", "verbose"),
    ("wrong_fact", "impolite"),
    ("wrong_fact", "wrong_language"),
)
# Plans whose last turn is about the same thing in both languages, whichever is asked in.
_KINDS = ("fact", "kinship", "price", "product", "comparison", "pronoun", "relative", "of them")


def preferences(seed: int, size: int = NUM_PREFERENCES) -> Iterator[dict[str, Any]]:
    """{id, lang, kind, prompt: messages, chosen, rejected, grade, utility: [chosen, rejected], flaws: [[...], [...]]}."""
    world, draw = make_world(seed), Draw(seed, "preferences")
    allowed = combinations(seed, held_out=False)
    seen: set[tuple[str, ...]] = set()
    while len(seen) < size:
        kind, lang = draw.pick(_KINDS), draw.pick(LANGUAGES)
        turns = PLANS[kind][0](Plan(world, lang, draw, allowed, allowed))
        if not turns:
            continue
        first, second = draw.sample(FLAWS, 2)
        if utility(first) == utility(second):
            continue
        better, worse = (first, second) if utility(first) > utility(second) else (second, first)
        last = turns[-1]
        chosen, rejected = (_answer(world, last, lang, f, draw) for f in (better, worse))
        if (chosen, rejected) in seen:
            continue
        seen.add((chosen, rejected))
        yield {
            "id": f"preference-{len(seen) - 1:05d}",
            "lang": lang,
            "kind": kind,
            "prompt": messages(turns)[:-1],
            "chosen": chosen,
            "rejected": rejected,
            "grade": grade(utility(better) - utility(worse)),
            "utility": [utility(better), utility(worse)],
            "flaws": [list(better), list(worse)],
        }


def _answer(world: World, turn: Turn, lang: str, flaws: tuple[str, ...], draw: Draw) -> str:
    """The answer of a turn with the flaws given."""
    if "wrong_language" in flaws:
        lang = "zh" if lang == "en" else "en"
        turn = asking.answer_again(world, lang, turn.key, draw)
    text = draw.pick(turn.wrong) if "wrong_fact" in flaws else turn.answer
    if "truncated" in flaws:
        text = _first_half(text)
    for flaw, frame in (("impolite", _RUDE), ("verbose", _VERBOSE)):
        if flaw in flaws:
            text = frame[lang].format(text)
    return text


def _first_half(text: str) -> str:
    """The text cut in the middle, at a space if it has one."""
    half = text[: len(text) // 2]
    return half.rpartition(" ")[0] or half


def utility(flaws: tuple[str, ...]) -> float:
    """Minus the sum of the costs of the flaws."""
    return -sum((COSTS[flaw] for flaw in flaws), 0.0)


def grade(difference: float) -> str:
    """The grade of a positive difference of utilities."""
    return next(name for name, least in GRADES if difference >= least)
