"""The labelled dirty set, for peers: its documents, and a result that benchmarks/dirty.py scores.

A result is a folder with documents/*.jsonl.zst (id and text of what stays) and decisions.parquet (id, action, rule). Runs in
a peer's environment, so it imports nothing of stemma.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import zstandard

LANGUAGES = ("en", "zh")


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a .jsonl.zst file."""
    with path.open("rb") as file:
        lines = zstandard.ZstdDecompressor().stream_reader(file).read().split(b"\n")
    return [json.loads(line) for line in lines if line.strip()]


@dataclass
class Result:
    """What becomes of each document: its text as long as it stays, and the rule by which it went."""

    texts: dict[str, str]
    """id -> text as read, in input order."""
    kept: dict[str, str] = field(default_factory=dict)
    """id -> text as written."""
    rules: dict[str, str] = field(default_factory=dict)
    """id -> rule, of what was dropped."""

    def write(self, folder: Path) -> None:
        """Every document is kept or dropped by a rule, never both."""
        assert self.kept.keys() | self.rules.keys() == self.texts.keys()
        assert not self.kept.keys() & self.rules.keys()
        documents = folder / "documents"
        documents.mkdir(parents=True, exist_ok=True)
        lines = [
            json.dumps({"id": identity, "text": self.kept[identity]}, ensure_ascii=False).encode()
            for identity in self.texts
            if identity in self.kept
        ]
        data = zstandard.ZstdCompressor(level=3).compress(b"\n".join([*lines, b""]))
        (documents / "000000.jsonl.zst").write_bytes(data)
        rows = [
            {"id": identity, "action": self._action(identity), "rule": self.rules.get(identity)}
            for identity in self.texts
        ]
        schema = pyarrow.schema([(name, pyarrow.string()) for name in ("id", "action", "rule")])
        pyarrow.parquet.write_table(
            pyarrow.Table.from_pylist(rows, schema=schema), folder / "decisions.parquet"
        )

    def _action(self, identity: str) -> str:
        if identity in self.rules:
            return "drop"
        return "keep" if self.kept[identity] == self.texts[identity] else "edit"
