"""Pretraining rows: documents end to end, cut into rows of fixed length, with no attention from one to another.

A document is its tokens followed by the end-of-text token, after the begin-of-text token where the tokenizer has one.
Row i predicts tokens i*T + 1 .. (i + 1)*T of the stream. A segment is the part of one document inside one row; its
positions start at 0. A document's first token is nobody's target: nothing in front of it belongs to it.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stemma.data.sample import Sample, pad
from stemma.data.shards import Item, TokenShards, open_if_same, write_shards
from stemma.errors import StemmaError

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


def tokenize_documents(folder: Path, paths: Sequence[Path], tokenizer: "Tokenizer") -> TokenShards:
    """The documents of `paths` as token shards in `folder`; what is there is reused when nothing it depends on changed.

    Raises StemmaError when there is no document, or a document cannot be read.
    """
    key = inputs_key(paths, tokenizer.fingerprint, "documents")
    shards = open_if_same(folder, key)
    if shards is None:
        shards = write_shards(folder, _items(paths, tokenizer), key=key, vocab_size=tokenizer.vocab_size)
    return shards


def inputs_key(paths: Sequence[Path], *settings: str) -> str:
    """A digest of the input files (names, sizes, times of change) and of what is done with them."""
    from stemma.corpus.files import find_files

    files, _ = find_files(list(paths))
    facts = [(str(f.path), f.path.stat().st_size, f.path.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(json.dumps([facts, settings]).encode()).hexdigest()


def _items(paths: Sequence[Path], tokenizer: "Tokenizer") -> Iterator[Item]:
    from stemma.corpus.read import read_documents
    from stemma.progress import Progress

    if tokenizer.eos_id is None:
        raise StemmaError(
            "the tokenizer has no end-of-text token; documents cannot be told apart without one"
        )
    begin = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    empty = True
    with Progress("tokens", None) as progress:
        for document in read_documents(list(paths)):
            ids = tokenizer.encode(document.text)
            if not ids:
                continue
            num_bytes = len(document.text.encode("utf-8"))
            if not begin:
                num_bytes = max(0, num_bytes - len(tokenizer.token_bytes(ids[0])))
            yield Item(token_ids=[*begin, *ids, tokenizer.eos_id], num_bytes=num_bytes)
            progress.advance(len(ids))
            empty = False
    if empty:
        raise StemmaError(f"{', '.join(map(str, paths))}: holds no document with text; nothing to train on")
