"""Triggers to spans: prove each place, settle overlaps, and repeat until the text with placeholders has none left.

Overlapping values: the longest stands, and of equal ones the most specific. A placeholder changes what stands beside
its neighbours, so a document in which something was found is searched again with the placeholders in: what a second
redaction would find belongs to the first.
"""

import functools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stemma.corpus.personal.address import groups, quads
from stemma.corpus.personal.card import cards, ibans
from stemma.corpus.personal.email import emails
from stemma.corpus.personal.identity import identities
from stemma.corpus.personal.phone import phones
from stemma.corpus.personal.secret import keys, private_keys
from stemma.corpus.personal.span import TYPES, Found, Span, Type, Window, bytes_around, fold
from stemma.corpus.personal.trigger import ARMOUR, AT, GROUPS, IBAN, KEY, NUMBER, QUAD, find_triggers


class Proof(NamedTuple):
    """What a kind of trigger may be, and how many bytes on both sides its rules read."""

    finders: tuple[Callable[[Window], Iterator[Found]], ...]
    before: int
    after: int


_PROOFS = {
    AT: Proof((emails,), 80, 320),
    NUMBER: Proof((identities, cards, phones), 128, 48),
    QUAD: Proof((quads,), 96, 24),
    GROUPS: Proof((groups,), 24, 144),
    IBAN: Proof((ibans,), 40, 8),
    KEY: Proof((keys,), 0, 8192),
    ARMOUR: Proof((private_keys,), 0, 16384),
}
# Of equally long values the first stands.
_RANKS: dict[Type, int] = {
    kind: rank
    for rank, kind in enumerate(
        (
            *("PRIVATE_KEY", "API_KEY", "EMAIL", "ID_CARD", "CREDIT_CODE", "IBAN"),
            *("BANK_CARD", "CREDIT_CARD", "IP", "SSN", "PHONE", "PASSPORT"),
        )
    )
}
LONGEST_PLACEHOLDER = max(map(len, TYPES)) + 2
REACH = 512  # more than `before` and `after` of any proof whose value lies in one line
_Bytes = tuple[int, int, Type]


class Spans(NamedTuple):
    """Spans of a batch, in order: which document, code points [start, end) of it, and the place of the type in TYPES."""

    document: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    type: npt.NDArray[np.uint8]


def find_spans(data: bytes | npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> Spans:
    """The spans to hide in a batch: document i is the UTF-8 bytes data[offsets[i] : offsets[i + 1]]."""
    array = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    rows: list[tuple[int, int, int, int]] = []
    hits = find_triggers(array, offsets).tolist()
    for document, found in groupby(hits, key=lambda hit: hit[0]):
        base = int(offsets[document])  # a document's hits lie together
        one = array[base : int(offsets[document + 1])].tobytes()
        spans = _spans(one, ((kind, first - base, last - base) for _, kind, first, last in found))
        if spans:
            rows += [
                (document, s.start, s.end, TYPES.index(s.type))
                for s in _in_characters(one, _settled(one, spans))
            ]
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return Spans(columns[0], columns[1], columns[2], columns[3].astype(np.uint8))


def find_personal(text: str) -> list[Span]:
    """The spans to hide, in order, none overlapping another."""
    data = text.encode("utf-8", "surrogatepass")
    triggers = _triggers(data)
    spans = _spans(data, triggers) if triggers else []
    return _in_characters(data, _settled(data, spans)) if spans else []


def redact(text: str) -> tuple[str, list[Span]]:
    """The text with placeholders such as `<EMAIL>`, and the spans of the original that they replace."""
    spans = find_personal(text)
    if not spans:
        return text, spans
    parts: list[str] = []
    position = 0
    for span in spans:
        parts += [text[position : span.start], f"<{span.type}>"]
        position = span.end
    return "".join([*parts, text[position:]]), spans


def _triggers(data: bytes) -> list[tuple[int, int, int]]:
    hits = find_triggers(np.frombuffer(data, np.uint8), _one_document(len(data)))
    return [(kind, first, last) for _, kind, first, last in hits.tolist()] if len(hits) else []


@functools.lru_cache(maxsize=4096)
def _one_document(length: int) -> npt.NDArray[np.int64]:
    return np.array([0, length], np.int64)


def _spans(data: bytes, triggers: Iterable[tuple[int, int, int]]) -> list[_Bytes]:
    """The proved values in bytes of one document, in order, none overlapping another."""
    proved: set[_Bytes] = set()
    for kind, first, last in triggers:
        finders, before, after = _PROOFS[kind]
        start, end = bytes_around(data, first, last, before, after)
        text = data[start:end].decode("utf-8", "surrogatepass")
        head = first - start
        if not text.isascii():
            head = len(data[start:first].decode("utf-8", "surrogatepass"))
        body = len(data[first:last].decode("utf-8", "surrogatepass"))
        window = Window(fold(text), head, head + body)
        for finder in finders:
            for found in finder(window):
                proved.add((*_in_bytes(text, start, found), found.type))
    return _disjoint(proved) if len(proved) > 1 else list(proved)


def _in_bytes(text: str, start: int, found: Found) -> tuple[int, int]:
    if text.isascii():
        return start + found.start, start + found.end
    first = start + len(text[: found.start].encode("utf-8", "surrogatepass"))
    return first, first + len(text[found.start : found.end].encode("utf-8", "surrogatepass"))


def _disjoint(spans: set[_Bytes]) -> list[_Bytes]:
    kept: list[_Bytes] = []
    for span in sorted(spans, key=lambda s: (s[0] - s[1], _RANKS[s[2]], s[0])):
        place = bisect_left(kept, span)
        after_left = place == 0 or kept[place - 1][1] <= span[0]
        if after_left and (place == len(kept) or span[1] <= kept[place][0]):
            kept.insert(place, span)
    return kept


def _settled(data: bytes, spans: list[_Bytes]) -> list[_Bytes]:
    """The spans, and those that come to light when their placeholders stand in the text."""
    while True:
        hidden, places = _hidden(data, spans)
        more = _spans(hidden, (hit for hit in _triggers_near(hidden, places) if _sees(hit, places)))
        if not more:
            return spans
        grown: list[_Bytes] = [
            (_original(places, start), _original(places, end), kind) for start, end, kind in more
        ]
        spans = _disjoint({*spans, *grown})


def _triggers_near(data: bytes, places: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """The triggers whose rules may read a placeholder. Whole lines are searched: no value but a private key, which no
    placeholder changes, goes over the end of one."""
    regions: list[tuple[int, int]] = []
    for new, _ in places[1:]:
        start = data.rfind(b"\n", 0, max(0, new - REACH)) + 1
        end = data.find(b"\n", min(len(data), new + REACH))
        end = len(data) if end < 0 else end
        if regions and start <= regions[-1][1]:
            regions[-1] = regions[-1][0], end
        else:
            regions.append((start, end))
    for start, end in regions:
        for kind, first, last in _triggers(data[start:end]):
            yield kind, first + start, last + start


def _sees(trigger: tuple[int, int, int], places: list[tuple[int, int]]) -> bool:
    """Whether the rules of a trigger read a placeholder; the other places were judged before."""
    kind, first, last = trigger
    proof = _PROOFS[kind]
    place = bisect_left(places, (max(1, first - proof.before), 0))
    return place < len(places) and places[place][0] <= last + proof.after + LONGEST_PLACEHOLDER


def _hidden(data: bytes, spans: list[_Bytes]) -> tuple[bytes, list[tuple[int, int]]]:
    """The bytes with placeholders, and where the text after each begins: in the new and in the old bytes."""
    parts, places, position, length = [], [(0, 0)], 0, 0
    for start, end, kind in spans:
        parts += [data[position:start], f"<{kind}>".encode()]
        length += start - position + len(kind) + 2
        places.append((length, end))
        position = end
    return b"".join([*parts, data[position:]]), places


def _original(places: list[tuple[int, int]], position: int) -> int:
    """The old place of a position in the new bytes that is not inside a placeholder."""
    new, old = places[bisect_left(places, (position + 1, 0)) - 1]
    return old + position - new


def _in_characters(data: bytes, spans: list[_Bytes]) -> list[Span]:
    found: list[Span] = []
    byte, character = 0, 0
    for start, end, kind in spans:
        character += len(data[byte:start].decode("utf-8", "surrogatepass"))
        length = len(data[start:end].decode("utf-8", "surrogatepass"))
        found.append(Span(character, character + length, kind))
        byte, character = end, character + length
    return found
