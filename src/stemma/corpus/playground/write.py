"""The corpus as a folder of JSON Lines files, written atomically."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stemma.corpus.playground.dialogues import dialogues
from stemma.corpus.playground.dirt import NUM_DOCUMENTS, labelled_documents
from stemma.corpus.playground.documents import held_out_documents
from stemma.corpus.playground.preferences import preferences
from stemma.corpus.playground.questions import questions
from stemma.corpus.playground.world import World, make_world
from stemma.storage import atomic_folder, write_json


def write_playground(folder: Path, seed: int = 0, size: int = NUM_DOCUMENTS) -> dict[str, int]:
    """Write documents, labels, heldout, dialogues, questions, preferences (.jsonl) and world.json; returns the
    number of records by file name.

    Raises StemmaError when `folder` already holds something.
    """
    counts: dict[str, int] = {}
    with atomic_folder(folder) as building:
        labels: list[dict[str, Any]] = []

        def raw() -> Iterable[dict[str, Any]]:
            for document, label in labelled_documents(seed, size):
                if label is not None:
                    labels.append(label)
                yield document

        parts: dict[str, Iterable[dict[str, Any]]] = {
            "documents.jsonl": raw(),
            "labels.jsonl": labels,  # complete once the documents are written
            "heldout.jsonl": held_out_documents(seed),
            "dialogues.jsonl": dialogues(seed),
            "questions.jsonl": questions(seed),
            "preferences.jsonl": preferences(seed),
        }
        for name, records in parts.items():
            counts[name] = _write_lines(building / name, records)
        write_json(building / "world.json", {"seed": seed} | _plain_world(make_world(seed)))
    return counts


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> int:
    number = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            number += 1
    return number


def _plain_world(world: World) -> dict[str, Any]:
    """The world as JSON: every word as {en, zh}, relatives and held-out combinations by index."""
    people = [
        {
            "name": vars(person.name),
            "female": person.female,
            "facts": {name: vars(value) for name, value in person.facts.items()},
            "kin": {relation: other for (who, relation), other in world.kin.items() if who == index},
        }
        for index, person in enumerate(world.people)
    ]
    things = [
        {"name": vars(t.name), "plural": t.plural, "measure": t.measure, "price": t.price}
        for t in world.things
    ]
    held_out = {name: sorted(values) for name, values in vars(world.held_out).items()}
    return {"people": people, "things": things, "held_out": held_out}
