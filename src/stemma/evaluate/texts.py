"""Texts of an evaluation from files, as a stream, each under the name of its domain.

Written `NAME=FILE` all documents of the file are NAME. Written `FILE` a record's own `domain` counts, else its `lang`,
else the file's name without endings.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from stemma.corpus.files import JSON_LINES, kind_of
from stemma.corpus.read import read_documents, read_records
from stemma.errors import StemmaError
from stemma.evaluate.perplexity import DomainText


def read_texts(sources: Sequence[str]) -> Iterator[DomainText]:
    """Stream the texts of all sources in order. Raises StemmaError naming file and line."""
    for source in sources:
        name, path = split_source(source)
        if name is None and path.is_file() and kind_of(path) in JSON_LINES:
            yield from _by_record(path)
        else:
            for document in read_documents(path):
                yield DomainText(name or document.lang or _stem(path), document.text)


def split_source(source: str) -> tuple[str | None, Path]:
    """(NAME or None, FILE) of `NAME=FILE` or `FILE`; a file whose own name holds "=" is taken as it is."""
    name, equals, file = source.partition("=")
    if not equals or Path(source).exists():
        return None, Path(source)
    if not name or not file:
        raise StemmaError(f"'{source}': write documents as NAME=FILE or FILE")
    return name, Path(file)


def _by_record(path: Path) -> Iterator[DomainText]:
    for place, record in read_records(path):
        text = record.get("text")
        if not isinstance(text, str):
            raise StemmaError(f"{place}: has no field 'text' that holds a text; every document needs one")
        domain = record.get("domain") or record.get("lang")
        yield DomainText(domain if isinstance(domain, str) else _stem(path), text)


def _stem(path: Path) -> str:
    return path.name.split(".")[0]
