"""Toxic words and mentions of groups: found, counted and shown; nothing goes unless a limit is set.

A list is a text file named after its category, one phrase a line. A phrase is matched as a run of tokens
(of `scan`: a word, or one Han character; case and width folded), so a word inside a longer word is never met.
Chinese has no such borders: what only looks like a hit (the middle of "road junction" or of "male friends")
and what medicine or law says stands in `allowed` lists, and a hit inside an allowed phrase does not count.
Punctuation is no token: a phrase is also met across it. `identity` and `negative` lists feed the bias
table: how often a group is mentioned within a few tokens of blame. A classifier can take the place of the
lists (`TextScorer`).
"""

import importlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
from numba import njit

from stemma.corpus.hashing import extend, find_slot
from stemma.corpus.quality import LinearQuality
from stemma.corpus.scan import scan_texts, tokens_of
from stemma.errors import StemmaError

Tokens = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]

ALLOWED, IDENTITY, NEGATIVE = "allowed", "identity", "negative"
BUILT_IN = (Path(__file__).parent / "word_lists" / "en", Path(__file__).parent / "word_lists" / "zh")
"""folders of the lists that ship: five toxic categories, and the three special ones"""
LONGEST_PHRASE = 32  # tokens
_NAMED_SOURCES = 5
_TOXIC, _ALLOWED, _MENTION = range(3)
_KINDS = {ALLOWED: _ALLOWED, IDENTITY: _MENTION, NEGATIVE: _MENTION}
_FILTER_BITS = 16


@dataclass(frozen=True, slots=True)
class Phrase:
    """One line of a list."""

    text: str
    name: str
    """What it is counted under: what stands after a tab on its line, else the phrase."""
    category: str


class Hits(NamedTuple):
    """Where phrases stand, by position. (h,) each."""

    documents: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    """First token, counted over the batch."""
    phrases: npt.NDArray[np.int64]
    """Index into `WordLists.phrases`."""


def read_list(path: Path) -> list[Phrase]:
    """The phrases of one file; its name without endings is their category.

    UTF-8; "#" begins a comment line; "phrase<TAB>name" counts the phrase under a name. Raises StemmaError
    naming the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StemmaError(f"{path}: cannot be read ({error.strerror})") from None
    phrases = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        place = f"{path}, line {number}"
        try:
            text, *rest = (part.strip() for part in line.decode("utf-8").split("\t"))
        except UnicodeDecodeError:
            raise StemmaError(f"{place}: is not UTF-8; save the list as UTF-8") from None
        if text.startswith("#") or not (text or rest):
            continue
        if len(rest) > 1 or "" in (text, *rest):
            raise StemmaError(
                f"{place}: give a phrase, or a phrase, one tab and the name it is counted under"
            )
        count = len(tokens_of(text))
        if not 1 <= count <= LONGEST_PHRASE:
            raise StemmaError(
                f"{place}: '{text}' has {count} words or Han characters, expected 1 to {LONGEST_PHRASE}"
            )
        phrases.append(Phrase(text, rest[0] if rest else text, path.name.split(".")[0]))
    return phrases


class WordLists:
    """Phrases of all categories, compiled. `find` may run in several threads at a time."""

    def __init__(self, phrases: Iterable[Phrase]) -> None:
        """A phrase that is given twice for the same use counts as the later one says."""
        self.phrases = tuple(phrases)
        found = dict.fromkeys(p.category for p in self.phrases if p.category not in _KINDS)
        self.categories = tuple(sorted(found))
        """Those that count as toxic, sorted."""
        columns = {name: i for i, name in enumerate(self.categories)}
        self._columns = np.array([columns.get(p.category, -1) for p in self.phrases], np.int64)
        runs = [tokens_of(p.text) for p in self.phrases]
        size = 1 << (2 * sum(map(len, runs)) + 4).bit_length()
        self._keys = np.zeros(size, np.uint64)
        self._ends = np.full((size, 3), -1, np.int32)
        self._first = np.zeros(1 << _FILTER_BITS, np.bool_)
        for index, (phrase, run) in enumerate(zip(self.phrases, runs, strict=True)):
            _insert(run, index, _KINDS.get(phrase.category, _TOXIC), self._keys, self._ends, self._first)

    @classmethod
    def read(cls, paths: Sequence[Path] = BUILT_IN) -> Self:
        """Read list files, and folders of .txt files, sorted. Raises StemmaError as `read_list` does."""
        files = [f for path in paths for f in (sorted(path.glob("*.txt")) if path.is_dir() else [path])]
        phrases = [phrase for file in files for phrase in read_list(file)]
        if not phrases:
            raise StemmaError(
                f"no phrase in {', '.join(map(str, paths)) or 'no list'}; give files of one phrase a line"
            )
        return cls(phrases)

    def find(self, tokens: Tokens, token_offsets: Offsets) -> Hits:
        """Longest matches, left to right, that no allowed phrase covers; none crosses two documents."""
        room = 1024
        while True:
            found = np.empty((room, 3), np.int64)
            count = _find(tokens, token_offsets, self._keys, self._ends, self._first, found)
            if count <= room:
                return Hits(*(column.copy() for column in found[:count].T))
            room = int(count)

    def counts(self, hits: Hits, num_documents: int) -> npt.NDArray[np.int64]:
        """(num_documents, num_categories) toxic hits of each document, in the order of `categories`."""
        columns = self._columns[hits.phrases]
        toxic = columns >= 0
        cells = hits.documents[toxic] * len(self.categories) + columns[toxic]
        flat = np.bincount(cells, minlength=num_documents * len(self.categories))
        return flat.reshape(num_documents, len(self.categories))

    def near_blame(self, hits: Hits, window: int = 10) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Indices of the hits that mention a group; whether blame or a toxic word is `window` tokens near."""
        categories = np.array([p.category for p in self.phrases] or [""])[hits.phrases]
        mentions = np.flatnonzero(categories == IDENTITY)
        blame = np.flatnonzero(categories != IDENTITY)
        near = np.zeros(len(mentions), np.bool_)
        if len(blame):
            after = np.searchsorted(hits.positions[blame], hits.positions[mentions])
            for side in (np.maximum(after - 1, 0), np.minimum(after, len(blame) - 1)):
                other = blame[side]
                distance = np.abs(hits.positions[other] - hits.positions[mentions])
                near |= (distance <= window) & (hits.documents[other] == hits.documents[mentions])
        return mentions, near


def per_thousand(counts: npt.NDArray[np.int64], token_offsets: Offsets) -> npt.NDArray[np.float32]:
    """(n, num_categories) hits for each 1,000 tokens; 0 for a document without tokens."""
    lengths = np.maximum(np.diff(token_offsets), 1)
    return (1000 * counts / lengths[:, None]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What became known of one phrase (its name), most documents first."""

    category: str
    phrase: str
    hits: int
    documents: int
    share: float
    """Of all documents read."""
    by_language: dict[str, float]
    """Share of the documents of each language that hold it."""
    by_source: dict[str, float]
    """The same for the sources with the most such documents."""


@dataclass(frozen=True, slots=True)
class BiasRow:
    """How often a group is mentioned, and how often near blame."""

    group: str
    mentions: int
    near_blame: int
    share: float
    low: float
    """Ends of the 95 % interval of the share (Wilson 1927)."""
    high: float


@dataclass
class ToxicityAudit:
    """Adds up batches into the audit and bias tables; the order of batches and merges does not matter.

    Memory: some 200 bytes for each different (phrase, language, source) that occurred, and for each
    source."""

    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By category and name."""
    documents: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """By category, name, language and source."""
    read: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Documents by language and source."""
    mentions: Counter[str] = field(default_factory=Counter)
    blamed: Counter[str] = field(default_factory=Counter)

    def add(self, lists: WordLists, hits: Hits, languages: Sequence[str], sources: Sequence[str]) -> None:
        """Count one batch: its hits, and the language and source of each of its documents."""
        self.read.update(zip(languages, sources, strict=True))
        seen: set[tuple[int, str, str]] = set()
        for document, index in zip(hits.documents.tolist(), hits.phrases.tolist(), strict=True):
            phrase = lists.phrases[index]
            if phrase.category not in _KINDS:
                self.hits[phrase.category, phrase.name] += 1
                seen.add((document, phrase.category, phrase.name))
        self.documents.update((c, name, languages[d], sources[d]) for d, c, name in seen)
        for at, near in zip(*lists.near_blame(hits), strict=True):
            group = lists.phrases[hits.phrases[at]].name
            self.mentions[group] += 1
            self.blamed[group] += int(near)

    def merge(self, other: "ToxicityAudit") -> None:
        """Add what another one counted."""
        for mine, others in zip(vars(self).values(), vars(other).values(), strict=True):
            mine.update(others)

    def plain(self) -> dict[str, list[list[Any]]]:
        """As JSON has it: a list of keys and counts for each counter."""
        return {
            name: [
                [*(key if isinstance(key, tuple) else (key,)), count]
                for key, count in sorted(counter.items())
            ]
            for name, counter in vars(self).items()
        }

    @classmethod
    def parse(cls, data: Mapping[str, list[list[Any]]]) -> Self:
        """What `plain` gave."""
        counters: dict[str, Any] = {
            name: Counter({(tuple(key) if len(key) > 1 else key[0]): count for *key, count in rows})
            for name, rows in data.items()
        }
        return cls(**counters)

    def rows(self) -> list[AuditRow]:
        """One for each phrase that occurred, most documents first."""
        languages, sources = Counter[str](), Counter[str]()
        for (language, source), count in self.read.items():
            languages[language] += count
            sources[source] += count
        found: dict[tuple[str, str], tuple[Counter[str], Counter[str]]] = {}
        for (category, name, language, source), count in self.documents.items():
            by_language, by_source = found.setdefault((category, name), (Counter(), Counter()))
            by_language[language] += count
            by_source[source] += count
        rows = [
            AuditRow(
                category=key[0],
                phrase=key[1],
                hits=self.hits[key],
                documents=by_language.total(),
                share=by_language.total() / self.read.total(),
                by_language={name: count / languages[name] for name, count in _ranked(by_language)},
                by_source={n: count / sources[n] for n, count in _ranked(by_source)[:_NAMED_SOURCES]},
            )
            for key, (by_language, by_source) in found.items()
        ]
        return sorted(rows, key=lambda row: (-row.documents, row.category, row.phrase))

    def bias_rows(self) -> list[BiasRow]:
        """One for each group mentioned, most mentions first."""
        return [_bias_row(group, count, self.blamed[group]) for group, count in _ranked(self.mentions)]


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _bias_row(group: str, mentions: int, near: int) -> BiasRow:
    share, square = near / mentions, 1.96**2 / mentions
    centre = (share + square / 2) / (1 + square)
    half = ((share * (1 - share) * square + square**2 / 4) ** 0.5) / (1 + square)
    return BiasRow(group, mentions, near, share, max(0.0, centre - half), min(1.0, centre + half))


@runtime_checkable
class TextScorer(Protocol):
    """Any classifier of texts."""

    def score(self, texts: Sequence[str]) -> npt.NDArray[Any]:
        """(n,) one finite number for each text, larger for more of what is looked for."""
        ...


@dataclass(frozen=True, slots=True)
class ToxicModel:
    """A `LinearQuality` that was trained with clean texts as good and toxic ones as bad, as a TextScorer."""

    model: LinearQuality

    def score(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n,) probability that each text is toxic."""
        scanned = scan_texts(texts)
        return 1 - self.model.score(scanned.tokens, scanned.token_offsets)


@dataclass(frozen=True, slots=True)
class _FunctionScorer:
    function: Callable[[Sequence[str]], Any]

    def score(self, texts: Sequence[str]) -> Any:
        return self.function(texts)


def load_scorer(name: str) -> TextScorer:
    """Import "module:name", an object with `score(texts)` or a function of texts.

    This runs the module's code: pass what your own program says, never what a recipe or a data file says.
    Raises StemmaError when there is no such thing.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise StemmaError(f"'{name}' does not name a scorer; write it module:name")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        raise StemmaError(
            f"scorer {name}: no module named {error.name}; install it or correct the name"
        ) from None
    if isinstance(found, TextScorer) and not isinstance(found, type):
        return found
    if not callable(found) or isinstance(found, type):
        raise StemmaError(f"scorer {name}: is neither a function of texts nor an object with 'score'")
    return _FunctionScorer(found)


def score_texts(scorer: TextScorer, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """(n,) a scorer's answer, checked: one finite number for each text, or StemmaError."""
    try:
        scores = np.asarray(scorer.score(texts), np.float32)
    except (TypeError, ValueError) as error:
        raise StemmaError(f"the scorer failed or gave no numbers: {error}") from error
    if scores.shape != (len(texts),) or not np.isfinite(scores).all():
        raise StemmaError(
            f"the scorer gave {scores.shape} for {len(texts)} texts; it must give one finite number each"
        )
    return scores


@njit(cache=True, nogil=True)
def _insert(run, index, kind, keys, ends, first):  # type: ignore[no-untyped-def]
    first[np.int64(run[0] >> np.uint64(64 - _FILTER_BITS))] = True
    key, slot = np.uint64(0), 0
    for token in run:
        key = extend(key, token)
        slot = find_slot(keys, key)
        keys[slot] = key
    ends[slot, kind] = index


@njit(cache=True, nogil=True)
def _find(tokens, offsets, keys, ends, first, found):  # type: ignore[no-untyped-def]
    """Rows of document, position, phrase; counts on when `found` is full."""
    count = 0
    longest, until, busy_until = np.empty(3, np.int64), np.empty(3, np.int64), np.empty(3, np.int64)
    for document in range(len(offsets) - 1):
        stop = offsets[document + 1]
        allowed_until = offsets[document]
        busy_until[:] = allowed_until
        for i in range(offsets[document], stop):
            if not first[np.int64(tokens[i] >> np.uint64(64 - _FILTER_BITS))]:
                continue
            longest[:] = -1
            until[:] = i
            key = np.uint64(0)
            for j in range(i, stop):
                key = extend(key, tokens[j])
                slot = find_slot(keys, key)
                if keys[slot] == 0:
                    break
                for kind in range(3):
                    if ends[slot, kind] >= 0:
                        longest[kind] = ends[slot, kind]
                        until[kind] = j + 1
            allowed_until = max(allowed_until, until[_ALLOWED])
            for kind in (_TOXIC, _MENTION):
                if longest[kind] < 0 or i < busy_until[kind] or until[kind] <= allowed_until:
                    continue
                busy_until[kind] = until[kind]
                if count < len(found):
                    found[count, 0], found[count, 1], found[count, 2] = document, i, longest[kind]
                count += 1
    return count
