"""Token shards: documents as token ids in memory-mapped files, written once as a stream and read at any place.

A folder holds, per shard, `tokens-NNNNN.bin` (uint16 or uint32), `documents-NNNNN.bin` (for each document where its
tokens begin in the shard, and how many bytes of text they predict) and, for dialogues, `targets-NNNNN.bin` (uint8, 1 =
a token to learn). `index.json` holds the counts, the SHA-256 of every file and `key`, what the folder was made from:
the same key again reuses it.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from stemma.config import load_json, parse, plain
from stemma.data.mixture import Share
from stemma.errors import StemmaError
from stemma.storage import atomic_folder, sha256, write_json

_DOCUMENT = np.dtype([("start", "<i8"), ("num_bytes", "<i8")])
_SHARD_TOKENS = 1 << 28


@dataclass(frozen=True, kw_only=True)
class Item:
    """One document or dialogue on its way to disk; `num_bytes` is the UTF-8 length of the text its targets predict."""

    token_ids: Sequence[int]
    num_bytes: int
    target_mask: Sequence[bool] | None = None


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Many documents on their way to disk: `token_ids` end to end, for each its `lengths` (tokens) and `num_bytes`."""

    token_ids: NDArray[np.int32]
    lengths: NDArray[np.int64]
    num_bytes: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Counts of one shard and the digests of its files by name."""

    num_tokens: int
    num_documents: int
    files: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Index:
    """What `index.json` holds. `counts` are free numbers of the writer: what was cut or left out; `shares` says what the
    tokens of documents come from."""

    key: str
    dtype: str
    num_tokens: int
    num_documents: int
    num_targets: int
    num_bytes: int
    has_targets: bool
    shards: tuple[Shard, ...]
    counts: dict[str, int]
    shares: tuple[Share, ...] = ()


class TokenShards:
    """A written folder. Tokens and documents are numbered through over all shards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = parse(Index, load_json(folder / "index.json"), str(folder / "index.json"))
        self._tokens: list[NDArray[Any]] = []
        self._targets: list[NDArray[Any]] = []
        starts: list[NDArray[Any]] = []
        sizes: list[NDArray[Any]] = []
        self._bounds = [0]
        for number, shard in enumerate(self.index.shards):
            self._tokens.append(self._map("tokens", number, self.index.dtype, shard.num_tokens))
            if self.index.has_targets:
                self._targets.append(self._map("targets", number, "uint8", shard.num_tokens))
            documents = self._map("documents", number, _DOCUMENT, shard.num_documents)
            starts.append(documents["start"] + self._bounds[-1])
            sizes.append(np.asarray(documents["num_bytes"]))
            self._bounds.append(self._bounds[-1] + shard.num_tokens)
        self.starts: NDArray[np.int64] = np.concatenate(starts)  # (num_documents,) first token of each
        self.document_bytes: NDArray[np.int64] = np.concatenate(sizes)  # (num_documents,)

    @property
    def num_tokens(self) -> int:
        return self.index.num_tokens

    def tokens(self, start: int, end: int) -> NDArray[np.int32]:
        """Tokens start .. end - 1, across shards."""
        return self._read(self._tokens, start, end).astype(np.int32)

    def document(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.bool_] | None]:
        """Token ids of one document and, for dialogues, which of them are targets."""
        start = int(self.starts[number])
        end = int(self.starts[number + 1]) if number + 1 < len(self.starts) else self.num_tokens
        mask = self._read(self._targets, start, end).astype(bool) if self.index.has_targets else None
        return self.tokens(start, end), mask

    @property
    def bytes_per_target(self) -> float:
        """Bytes of text one target stands for, on average over all documents."""
        return self.index.num_bytes / max(1, self.index.num_targets)

    def lengths(self) -> NDArray[np.int64]:
        """(num_documents,) tokens of each document."""
        return np.diff(self.starts, append=self.num_tokens)

    def digest(self) -> str:
        """One digest of all token files: what a run was trained on."""
        files = [digest for shard in self.index.shards for _, digest in sorted(shard.files.items())]
        return hashlib.sha256(" ".join(files).encode()).hexdigest()

    def verify(self) -> None:
        """Read every file again. Raises StemmaError naming the first that differs from its recorded digest."""
        for shard in self.index.shards:
            for name, digest in shard.files.items():
                if sha256(self.folder / name) != digest:
                    raise StemmaError(
                        f"{self.folder / name}: differs from its recorded SHA-256; delete the folder to build it again"
                    )

    def _map(self, kind: str, number: int, dtype: Any, count: int) -> NDArray[Any]:
        path = self.folder / f"{kind}-{number:05d}.bin"
        wanted = count * np.dtype(dtype).itemsize
        if not path.is_file() or path.stat().st_size != wanted:
            raise StemmaError(
                f"{path}: is missing or not {wanted} bytes; delete {self.folder} to build it again"
            )
        return np.memmap(path, dtype=dtype, mode="r", shape=(count,)) if count else np.empty(0, dtype)

    def _read(self, files: list[NDArray[Any]], start: int, end: int) -> NDArray[Any]:
        first = int(np.searchsorted(self._bounds, start, side="right")) - 1
        pieces: list[NDArray[Any]] = []
        while start < end:
            low, high = self._bounds[first], self._bounds[first + 1]
            pieces.append(files[first][start - low : min(end, high) - low])
            start, first = min(end, high), first + 1
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def write_shards(
    folder: Path,
    items: Iterable[Item | Documents],
    *,
    key: str,
    vocab_size: int,
    counts: dict[str, int] | None = None,
    shares: Callable[[], tuple[Share, ...]] = tuple,
    shard_tokens: int = _SHARD_TOKENS,
) -> TokenShards:
    """Write `items` as a stream into `folder` (atomic; an older folder is replaced) and open it.

    `counts` may be filled by the iteration itself and is stored when it ends; `shares` is called then. Raises
    StemmaError when an id lies outside the vocabulary.
    """
    dtype = "uint16" if vocab_size <= 1 << 16 else "uint32"
    with atomic_folder(folder, replace=True) as building:
        writer = _Writer(building, dtype, vocab_size, shard_tokens)
        for item in items:
            if isinstance(item, Documents):
                writer.add_documents(item)
            else:
                writer.add(item)
        writer.close()
        index = Index(
            key=key,
            dtype=dtype,
            num_tokens=sum(s.num_tokens for s in writer.shards),
            num_documents=sum(s.num_documents for s in writer.shards),
            num_targets=writer.num_targets,
            num_bytes=writer.num_bytes,
            has_targets=writer.has_targets,
            shards=tuple(writer.shards),
            counts=dict(counts or {}),
            shares=shares(),
        )
        write_json(building / "index.json", plain(index))
    return TokenShards(folder)


def open_if_same(folder: Path, key: str) -> TokenShards | None:
    """The shards in `folder` when they were made from what `key` says, else None. Raises StemmaError as `verify`."""
    if not (folder / "index.json").is_file():
        return None
    shards = TokenShards(folder)
    if shards.index.key != key:
        return None
    shards.verify()
    return shards


class _Writer:
    def __init__(self, folder: Path, dtype: str, vocab_size: int, shard_tokens: int) -> None:
        self.folder, self.dtype, self.vocab_size, self.shard_tokens = folder, dtype, vocab_size, shard_tokens
        self.shards: list[Shard] = []
        self.num_tokens = self.num_documents = self.num_targets = self.num_bytes = 0
        self.has_targets = False
        self.open: dict[str, IO[bytes]] = {}

    def add(self, item: Item) -> None:
        ids = np.asarray(item.token_ids, np.int64)
        sizes = np.array([[len(ids)], [item.num_bytes]], np.int64)
        if self.open and self.num_tokens + len(ids) > self.shard_tokens:
            self.close()
        self._write(ids, *sizes)
        self.has_targets = item.target_mask is not None
        self.num_targets += max(0, len(ids) - 1) if item.target_mask is None else sum(item.target_mask[1:])
        if item.target_mask is not None:
            self._file("targets").write(np.asarray(item.target_mask, np.uint8).tobytes())

    def add_documents(self, documents: Documents) -> None:
        """As `add` of one after the other."""
        ends = np.cumsum(documents.lengths)
        first = start = 0
        while first < len(ends):
            room = self.shard_tokens - self.num_tokens
            last = int(np.searchsorted(ends, start + room, side="right"))
            if last <= first and self.open:
                self.close()
                continue
            last = max(last, first + 1)  # a document longer than a shard has one of its own
            end = int(ends[last - 1])
            rows = slice(first, last)
            self._write(documents.token_ids[start:end], documents.lengths[rows], documents.num_bytes[rows])
            first, start = last, end
        self.num_targets += int(np.maximum(documents.lengths - 1, 0).sum())

    def _write(self, ids: NDArray[Any], lengths: NDArray[np.int64], num_bytes: NDArray[np.int64]) -> None:
        if len(ids) and not 0 <= ids.min() <= ids.max() < self.vocab_size:
            raise StemmaError(f"token id {ids.max()} lies outside the vocabulary of {self.vocab_size}")
        rows = np.empty(len(lengths), _DOCUMENT)
        rows["start"] = self.num_tokens + np.cumsum(lengths) - lengths
        rows["num_bytes"] = num_bytes
        self._file("tokens").write(ids.astype(self.dtype).tobytes())
        self._file("documents").write(rows.tobytes())
        self.num_tokens += len(ids)
        self.num_documents += len(lengths)
        self.num_bytes += int(num_bytes.sum())

    def close(self) -> None:
        if not self.open:
            return
        for file in self.open.values():
            file.close()
        names = [Path(file.name) for file in self.open.values()]
        files = {path.name: sha256(path) for path in names}
        self.shards.append(Shard(num_tokens=self.num_tokens, num_documents=self.num_documents, files=files))
        self.open, self.num_tokens, self.num_documents = {}, 0, 0

    def _file(self, kind: str) -> IO[bytes]:
        if kind not in self.open:
            self.open[kind] = (self.folder / f"{kind}-{len(self.shards):05d}.bin").open("wb")
        return self.open[kind]
