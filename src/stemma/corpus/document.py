"""A document: one text, where it came from, and what is known of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a corpus.

    `source` names where it was published (the record's own field, else the file), `domain` the kind of text it counts
    as in reports (its own field, else the file's name without endings); `lang` and `licence` are what the
    record says, None when it says nothing. `weight` is the record's own where that is a positive finite number: in
    what `stemma clean` writes, how many documents this one stands for; anything else by that name says nothing.
    `quality` is the record's own where that is a probability: the score of `stemma clean --quality-model`.
    """

    id: str
    text: str
    source: str
    lang: str | None = None
    licence: str | None = None
    domain: str = ""
    weight: float | None = None
    quality: float | None = None
