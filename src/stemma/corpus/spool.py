"""The corpus between the two passes, on disk: every document's verdict so far, and the text of those still in.

Records lie in input order, each a JSON line and then the text's bytes. Only the place of the open ones is kept in
memory, 8 bytes each; any of them can be read again for a comparison.
"""

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from stemma.corpus.decide import Group, Reason
from stemma.corpus.document import Document


@dataclass(frozen=True, slots=True)
class Entry:
    """One document after the first pass.

    `open_index` counts the documents still in (None for the others); a dropped one has a `reason`, and `twin` is the
    open index of its exact copy; `lang` is what was recognised and `edits` the repairs made. The text of a dropped document is empty except for its beginning.
    """

    document: Document
    group: Group
    characters: int
    reason: Reason | None = None
    twin: int | None = None
    open_index: int | None = None
    lang: str = ""
    edits: tuple[str, ...] = ()


class Spool:
    """Append once, then read in order or by open index. Used as a context manager, it removes its file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offsets = array("Q")
        self._writer = path.open("wb", buffering=1 << 20)
        self._reader = path.open("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        try:
            self._writer.close()
        finally:
            self._path.unlink(missing_ok=True)

    @property
    def num_open(self) -> int:
        """Documents still in."""
        return len(self._offsets)

    def append(
        self,
        document: Document,
        group: Group,
        reason: Reason | None = None,
        twin: int | None = None,
        sample: int = 0,
        lang: str = "",
        edits: Sequence[str] = (),
    ) -> None:
        """Add the next document; with a reason only the first `sample` characters of its text are kept."""
        text = (document.text if reason is None else document.text[:sample]).encode("utf-8")
        known = [document.id, document.source, document.lang, document.licence, document.domain]
        fields = [*known, group, len(document.text), lang, list(edits)]
        why = None if reason is None else [reason.rule, reason.measure, reason.value, reason.threshold]
        head = json.dumps([fields, why, twin, len(text)]).encode() + b"\n"
        if reason is None:
            self._offsets.append(self._writer.tell())
        self._writer.write(head)
        self._writer.write(text)

    def finish(self) -> None:
        """Everything is appended; reading may begin."""
        self._writer.flush()

    def __iter__(self) -> Iterator[Entry]:
        open_index = 0
        with self._path.open("rb", buffering=1 << 20) as file:
            while line := file.readline():
                (fields, why, twin, num_bytes) = json.loads(line)
                identity, source, said, licence, domain, group, characters, lang, edits = fields
                text = file.read(num_bytes).decode("utf-8")
                document = Document(identity, text, source, said, licence, domain)
                reason = Reason(*why) if why else None
                place = None if reason else open_index
                yield Entry(document, group, characters, reason, twin, place, lang, tuple(edits))
                open_index += reason is None

    def text(self, open_index: int) -> str:
        """The text of an open document."""
        return self._reader.read(self._seek(open_index)[1]).decode("utf-8")

    def id(self, open_index: int) -> str:
        """The id of an open document."""
        return self._seek(open_index)[0]

    def _seek(self, open_index: int) -> tuple[str, int]:
        self._reader.seek(self._offsets[open_index])
        fields, _, _, num_bytes = json.loads(self._reader.readline())
        return fields[0], num_bytes
