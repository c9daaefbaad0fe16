"""The raw corpus: clean documents with planted, labelled dirt, about one document in seven.

Labels use code-point offsets and these actions: `drop`; `drop_one_of` (a copy of document `of`: one of them must
survive; near-duplicates from a Jaccard of `DROP_FROM` on); `redact` (exactly the spans with redact = true);
`keep` (spans with redact = false are look-alikes; near-duplicates below `DROP_FROM`). A document without a label is clean.
Edits of near-duplicates add filler words only: a copy never states a wrong fact.
"""

import math
from collections import deque
from collections.abc import Iterator
from typing import Any

from stemma.corpus.playground.documents import clean_documents
from stemma.corpus.playground.draw import Draw
from stemma.corpus.playground.identifiers import insert_identifiers
from stemma.corpus.playground.near_duplicates import jaccard, shingles

NUM_DOCUMENTS = 16000
DROP_FROM = 0.7
# Kind of document -> weight. The copies refer to one of the last `_MEMORY` clean documents.
KINDS = {
    "clean": 860,
    "exact_dup": 30,
    "near_dup": 40,
    "pii": 24,
    "pii_negative": 10,
    "empty": 6,
    "too_short": 10,
    "garbage": 10,
    "repetition": 10,
}
_MEMORY = 500
_FILLERS = {
    "en": ("well", "indeed", "really", "surely", "truly", "simply", "certainly", "actually"),
    "zh": ("其实", "你看", "当然", "说起来", "真的", "我们知道", "总之", "没错"),
}
_SHORT = {
    "en": ("Hello.", "Good morning!", "See below.", "Page 3"),
    "zh": ("你好。", "早上好！", "见下文。", "第3页"),
}
_SYMBOLS = "#$%&*+=|~^<>{}[]@/\\_;:"


def labelled_documents(
    seed: int, size: int = NUM_DOCUMENTS
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """`size` pairs (document, label): {id, text, source, lang, domain} and, for what is not clean, {id, kind, action,
    of, jaccard, spans: [{start, end, type, value, redact}]}."""
    draw = Draw(seed, "dirt")
    fresh = (document for part, document in clean_documents(seed) if part == "train")
    recent: deque[dict[str, Any]] = deque(maxlen=_MEMORY)
    for index in range(size):
        kind = draw.weighted(KINDS)
        if len(recent) < 50:
            kind = "clean"
        name = f"document-{index:06d}"
        if kind == "clean":
            document = {"id": name} | next(fresh)
            recent.append(document)
            yield document, None
        elif kind in ("exact_dup", "near_dup"):
            yield _copy(name, kind, draw.pick(recent), draw)
        elif kind in ("pii", "pii_negative"):
            document = {"id": name} | next(fresh)
            text, spans = insert_identifiers(document["text"], document["lang"], kind == "pii", draw)
            action = "redact" if kind == "pii" else "keep"
            yield document | {"text": text}, _label(name, kind, action, spans=spans)
        else:
            lang = draw.pick(("en", "zh"))
            document = {"id": name, "text": _junk(kind, lang, draw), "source": "playground", "lang": lang}
            yield document | {"domain": "junk"}, _label(name, kind, "drop")


def documents(seed: int, size: int = NUM_DOCUMENTS) -> Iterator[dict[str, Any]]:
    """The raw documents without their labels: {id, text, source, lang, domain}."""
    for document, _ in labelled_documents(seed, size):
        yield document


def _label(name: str, kind: str, action: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "kind": kind, "action": action, "of": None, "jaccard": None, "spans": []} | more


def _copy(
    name: str, kind: str, original: dict[str, Any], draw: Draw
) -> tuple[dict[str, Any], dict[str, Any]]:
    document = original | {"id": name}
    if kind == "exact_dup":
        return document, _label(name, kind, "drop_one_of", of=original["id"], jaccard=1.0)
    document["text"], similarity = _edited(original["text"], 0.5 + 0.45 * draw.uniform(), draw)
    action = "drop_one_of" if similarity >= DROP_FROM else "keep"
    return document, _label(name, kind, action, of=original["id"], jaccard=round(similarity, 4))


def _edited(text: str, target: float, draw: Draw) -> tuple[str, float]:
    """The text with fillers added between words until its 5-gram Jaccard with the original first falls to `target`
    (never below 0.5); returns it with the Jaccard measured."""
    grams = shingles(text)
    result, similarity = text, 1.0
    # One filler amid a short text costs eight grams, one at its end a single gram: the only way to stay above 0.85.
    marks = "" if target > 0.85 else "。，" if "。" in text else " "
    while similarity > target:
        places = [i for i, letter in enumerate(result) if letter in marks] or [len(result) - 1]
        place = draw.pick(places)
        filler = draw.pick(_FILLERS["zh"]) if "。" in text else draw.pick(_FILLERS["en"]) + " "
        gap = "" if "。" in text or result[place] == " " else " "
        candidate = result[: place + 1] + gap + filler + result[place + 1 :]
        measured = jaccard(grams, shingles(candidate))
        if measured < 0.5:
            break
        result, similarity = candidate, measured
    return result.rstrip(), similarity


def _junk(kind: str, lang: str, draw: Draw) -> str:
    if kind == "empty":
        return draw.pick(("", " ", "\n\n", "\t \n"))
    if kind == "too_short":
        return draw.pick(_SHORT[lang])
    if kind == "garbage":
        return "".join(draw.pick(_SYMBOLS) for _ in range(draw.between(60, 200)))
    sentence = draw.pick(_SHORT[lang][:3])
    return (" " if lang == "en" else "").join([sentence] * math.ceil(draw.between(100, 200) / len(sentence)))
