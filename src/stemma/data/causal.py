"""Pretraining rows: documents end to end, cut into rows of fixed length, with no attention from one to
another.

A document is its tokens followed by the end-of-text token, after the begin-of-text token where the tokenizer
has one. Row i predicts tokens i*T + 1 .. (i + 1)*T of the stream. A segment is the part of one document
inside one row; its positions start at 0. A document's first token is nobody's target: nothing in front of it
belongs to it.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stemma.config import plain
from stemma.corpus.crew import default_workers
from stemma.corpus.files import find_files
from stemma.data.mixture import DocumentFacts, Mixture, Planner, Tally, table
from stemma.data.sample import Sample, pad
from stemma.data.shards import Documents, TokenShards, open_if_same, write_shards
from stemma.data.tokenize import TokenizedPart, tokenize_parts
from stemma.errors import StemmaError
from stemma.progress import Progress, say

if TYPE_CHECKING:
    from stemma.tokenizer.tokenizer import Tokenizer


class CausalRows:
    """Rows of `sequence_length` tokens over token shards. With `whole` a last, padded row covers the rest."""

    def __init__(self, shards: TokenShards, sequence_length: int, *, whole: bool = False) -> None:
        self.shards, self.sequence_length = shards, sequence_length
        predicted = shards.num_tokens - 1
        self._num_rows = -(-predicted // sequence_length) if whole else predicted // sequence_length

    def __len__(self) -> int:
        return self._num_rows

    @property
    def bytes_per_target(self) -> float:
        """Bytes of text one target stands for, on average; exact over all rows of a `whole` set."""
        return self.shards.bytes_per_target

    def digest(self) -> str:
        """What the rows were made from."""
        return self.shards.digest()

    def sample(self, row: int) -> Sample:
        """Row `row` as a Sample of `sequence_length` tokens."""
        begin = row * self.sequence_length
        end = min(begin + self.sequence_length, self.shards.num_tokens - 1)
        tokens = self.shards.tokens(begin, end + 1)
        starts = self.shards.starts
        first, last = np.searchsorted(starts, (begin, end), side="right")
        begins = starts[first:last] - begin  # documents that begin after the row's first token
        opens = np.zeros(len(tokens), bool)
        opens[begins] = True
        place = np.arange(len(tokens), dtype=np.int32)
        segment_start = np.maximum.accumulate(np.where(opens, place, 0))[:-1]
        weights = (~opens[1:]).astype(np.float32)
        sample = Sample(
            token_ids=tokens[:-1],
            targets=np.where(weights > 0, tokens[1:], 0).astype(np.int32),
            weights=weights,
            segment_ids=(np.cumsum(opens[:-1]) + 1).astype(np.int32),
            position_ids=(place[:-1] - segment_start).astype(np.int32)[None],
            prefix_lengths=np.zeros(len(tokens) - 1, np.int32),
        )
        return pad(sample, self.sequence_length)


def tokenize_documents(
    folder: Path,
    paths: Sequence[Path],
    tokenizer: "Tokenizer",
    mixture: Mixture | None = None,
    *,
    num_tokens: int | None = None,
    num_workers: int | None = None,
) -> TokenShards:
    """The documents of `paths` as token shards in `folder`; what is there is reused when nothing it depends
    on changed.

    Without a mixture every document is there once. With one each is there as often as a run of `num_tokens`
    is to see it (None: as many tokens as all documents once), and the copies of a document lie a part of the
    input apart. index.json says what share each source, language and domain has; a mixture's table is also
    printed when it is made.

    The bytes do not depend on `num_workers`, by default one for each processor and fewer for small inputs;
    with more than one a script must guard its main module, as for any process pool. Memory: about
    `num_workers` + 2 parts of the input (tokenize.PART_BYTES each) and their ids; disk, with a mixture, 4
    bytes for each token of every document while they are counted. Raises StemmaError when there is no
    document, a document cannot be read, or the mixture cannot be made of them.
    """
    settings = [] if mixture is None else [json.dumps(plain(mixture), sort_keys=True), str(num_tokens)]
    key = inputs_key(paths, tokenizer.fingerprint, "documents", *settings)
    shards = open_if_same(folder, key)
    if shards is not None:
        return shards
    workers = default_workers(find_files(paths)[0]) if num_workers is None else num_workers
    parts = _counted(tokenize_parts(paths, tokenizer, workers), paths)
    tally = Tally(mixture)
    if mixture is None:
        items = _once(parts, tally)
    else:
        items = _mixed(parts, tally, Planner(mixture), num_tokens, folder)
    shards = write_shards(folder, items, key=key, vocab_size=tokenizer.vocab_size, shares=tally.shares)
    for line in table(shards.index.shares) if mixture is not None else ():
        say(line)
    return shards


def inputs_key(paths: Sequence[Path], *settings: str) -> str:
    """A digest of the input files (names, sizes, times of change) and of what is done with them."""
    files, _ = find_files(list(paths))
    facts = [(str(f.path), f.path.stat().st_size, f.path.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(json.dumps([facts, settings]).encode()).hexdigest()


def _counted(parts: Iterator[TokenizedPart], paths: Sequence[Path]) -> Iterator[TokenizedPart]:
    """The same, shown on the way; raises StemmaError when there was no document."""
    empty = True
    with Progress("tokens", None) as progress:
        for part in parts:
            yield part
            progress.advance(len(part.documents.token_ids))
            empty = empty and not part.facts.ids
    if empty:
        raise StemmaError(f"{', '.join(map(str, paths))}: holds no document with text; nothing to train on")


def _once(parts: Iterable[TokenizedPart], tally: Tally) -> Iterator[Documents]:
    for part in parts:
        lengths = part.documents.lengths
        tally.add(part.facts, np.ones_like(lengths), lengths)
        yield part.documents


def _mixed(
    parts: Iterable[TokenizedPart], tally: Tally, planner: Planner, num_tokens: int | None, folder: Path
) -> Iterator[Documents]:
    """Every part as often as its documents are drawn. The parts wait on disk until all are counted."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Named like a half-written `folder`, so that what a kill leaves is cleared up with it.
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent) as waiting:
        files: list[Path] = []
        for part in parts:
            planner.add(part.facts, part.documents.lengths)
            files.append(_store(part, Path(waiting) / f"{len(files):06}"))
        planner.solve(num_tokens)
        for file in files:
            part = _load(file)
            copies = planner.copies(part.facts)
            tally.add(part.facts, copies, part.documents.lengths)
            for time in range(int(copies.max(initial=0))):
                yield _chosen(part.documents, copies > time)


def _chosen(documents: Documents, mask: NDArray[np.bool_]) -> Documents:
    return Documents(
        token_ids=documents.token_ids[np.repeat(mask, documents.lengths)],
        lengths=documents.lengths[mask],
        num_bytes=documents.num_bytes[mask],
    )


def _store(part: TokenizedPart, path: Path) -> Path:
    np.savez(path.with_suffix(".npz"), **vars(part.documents))
    path.write_text(json.dumps(asdict(part.facts)), encoding="utf-8")
    return path


def _load(path: Path) -> TokenizedPart:
    with np.load(path.with_suffix(".npz")) as arrays:
        documents = Documents(**arrays)
    return TokenizedPart(documents=documents, facts=DocumentFacts(**json.loads(path.read_text("utf-8"))))
