"""Evaluation questions: the plans of the dialogues, ending with a combination that no training dialogue asks for."""

from collections.abc import Iterator
from typing import Any

from stemma.corpus.playground.dialogues import PLANS, Plan, combinations, messages
from stemma.corpus.playground.draw import Draw
from stemma.corpus.playground.world import LANGUAGES, make_world


def questions(seed: int) -> Iterator[dict[str, Any]]:
    """{id, lang, kind, turns, key, messages, answer, choices}: the messages end with the user's question, `turns`
    counts user messages, `choices` holds the answer once among wrong ones, `key` names the held-out combination."""
    world, draw = make_world(seed), Draw(seed, "questions")
    allowed, held_out = combinations(seed, held_out=False), combinations(seed, held_out=True)
    index = 0
    for kind, (build, _, wanted) in PLANS.items():
        for lang in LANGUAGES:
            seen: set[tuple[str, ...]] = set()
            while len(seen) < wanted:
                turns = build(Plan(world, lang, draw, allowed, held_out))
                wording = tuple(turn.question for turn in turns)
                if not turns or wording in seen:
                    continue
                seen.add(wording)
                last = turns[-1]
                yield {
                    "id": f"question-{index:03d}",
                    "lang": lang,
                    "kind": kind,
                    "turns": len(turns),
                    "key": list(last.key),
                    "messages": messages(turns)[:-1],
                    "answer": last.answer,
                    "choices": draw.shuffled([last.answer, *last.wrong]),
                }
                index += 1
