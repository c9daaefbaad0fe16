"""Training documents and held-out documents, together and by domain, from what cleaning kept.

Whether a document is held out depends on a hash of its id alone, so that it stays held out when the corpus grows. The
duplicates of a held-out document are gone by then: cleaning came first.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from stemma.corpus.document import Document
from stemma.corpus.read import read_documents
from stemma.errors import StemmaError
from stemma.storage import atomic_folder

_PREFIX = "heldout-"


def split_documents(documents: Path, out: Path, held_out_every: int) -> None:
    """Write out/train.jsonl, out/heldout.jsonl, the same by domain and as heldout.txt; nothing when they are there.

    Raises StemmaError when no document is left to train on, or none is held out.
    """
    if out.exists():
        return

    def place(document: Document) -> str | None:
        digest = hashlib.sha256(document.id.encode()).digest()
        held_out = int.from_bytes(digest[:8], "little") % held_out_every == 0
        return document.domain if held_out else None

    _write(out, ((document, place(document)) for document in read_documents(documents)))


def split_held_out(documents: Path, held_out: Path, out: Path) -> None:
    """The same with documents that were held out before: `held_out` by the field `domain`."""
    if out.exists():
        return

    def placed() -> Iterator[tuple[Document, str | None]]:
        yield from ((document, None) for document in read_documents(documents))
        yield from ((document, document.domain) for document in read_documents(held_out))

    _write(out, placed())


def held_out_files(folder: Path) -> dict[str, Path]:
    """The held-out files of a split by domain, in alphabetical order."""
    return {path.stem.removeprefix(_PREFIX): path for path in sorted(folder.glob(f"{_PREFIX}*.jsonl"))}


def _write(out: Path, documents: Iterator[tuple[Document, str | None]]) -> None:
    with atomic_folder(out) as building:
        with ExitStack() as files:
            opened: dict[str, IO[str]] = {}
            for document, domain in documents:
                own = [] if domain is None else [_PREFIX + re.sub(r"[^\w-]", "_", domain)]
                for name in ["heldout", *own] if own else ["train"]:
                    if name not in opened:
                        path = building / f"{name}.jsonl"
                        opened[name] = files.enter_context(path.open("w", encoding="utf-8", newline="\n"))
                    opened[name].write(json.dumps(_record(document), ensure_ascii=False) + "\n")
        if "heldout" in opened:
            texts = (document.text for document in read_documents(building / "heldout.jsonl"))
            (building / "heldout.txt").write_text("\n".join(texts) + "\n", "utf-8")
        if "train" not in opened:
            raise StemmaError("cleaning kept no document to train on; look at the reasons in cleaning.json")
        if len(opened) == 1:
            raise StemmaError("no document is held out; lower held_out_every")


def _record(document: Document) -> dict[str, Any]:
    return {name: value for name, value in asdict(document).items() if value is not None}
