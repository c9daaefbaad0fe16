"""Documents to token ids, part by part, in this process or in several.

A part is about PART_BYTES of text, cut from the files the same way whoever works on it, and the results come
in the order of the input: the ids do not depend on the number of workers. Each worker opens the tokenizer
once and keeps its library to one thread; alone, the library may use as many as it likes. Memory for each
worker: the text of a part, its ids (4 bytes each), and what the library needs for a batch.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stemma.corpus.crew import crew
from stemma.corpus.files import InputFile, find_files
from stemma.corpus.parts import Part, cut, stretches
from stemma.corpus.read import BadRecords, batches, read_piece, usable
from stemma.data.lines import pieces
from stemma.data.mixture import LABELS, DocumentFacts
from stemma.data.shards import Documents
from stemma.errors import StemmaError

if TYPE_CHECKING:
    from stemma.tokenizer.tokenizer import Tokenizer

PART_BYTES = 4 << 20
_BATCH_CHARACTERS = 1 << 18


@dataclass(frozen=True, kw_only=True)
class TokenizedPart:
    """The documents of a part that have a token, and what is known of them, in the same order."""

    documents: Documents
    facts: DocumentFacts


def tokenize_parts(
    paths: Sequence[Path], tokenizer: "Tokenizer", num_workers: int, part_bytes: int = PART_BYTES
) -> Iterator[TokenizedPart]:
    """Every part of the files, in order. Raises StemmaError for a tokenizer without an end-of-text token, and
    at the first record that cannot be used."""
    if num_workers < 1:
        raise StemmaError(f"there are {num_workers} workers; give 1 or more")
    if tokenizer.eos_id is None:
        raise StemmaError(
            "the tokenizer has no end-of-text token; documents cannot be told apart without one"
        )
    tasks = ((part,) for part in _parts(find_files(paths)[0], part_bytes))
    if num_workers == 1:
        with crew() as alone:
            yield from alone.run(partial(tokenize_part, tokenizer), tasks)
        return
    with tempfile.TemporaryDirectory() as folder, crew(num_workers) as workers:
        tokenizer.save(Path(folder))
        yield from workers.run(partial(_tokenize_in_worker, Path(folder), tokenizer.fingerprint), tasks)


def tokenize_part(tokenizer: "Tokenizer", part: Part) -> TokenizedPart:
    """The ids of a part: of each document with the begin-of-text token before it, where there is one, and the
    end-of-text token after it."""
    begin = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    ids: list[np.ndarray] = []
    lengths: list[int] = []
    num_bytes: list[int] = []
    facts = DocumentFacts(ids=[], source=[], lang=[], domain=[], weight=[], quality=[])
    found = chain.from_iterable(map(read_piece, part.pieces))
    for documents in batches(usable(found, "refuse", BadRecords()), _BATCH_CHARACTERS):
        texts = [document.text for document in documents]
        encoded = encode_texts(tokenizer, texts)
        framed: list[int | None] = []
        for document, tokens in zip(documents, encoded, strict=True):
            if not tokens:
                continue
            size = len(document.text.encode("utf-8"))
            first = 0 if begin else len(tokenizer.token_bytes(tokens[0]))  # nobody's target
            num_bytes.append(max(0, size - first))
            lengths.append(len(begin) + len(tokens) + 1)
            framed += begin
            framed += tokens
            framed.append(tokenizer.eos_id)
            facts.ids.append(document.id)
            facts.weight.append(document.weight)
            facts.quality.append(document.quality)
            for label in LABELS:
                facts.labels(label).append(getattr(document, label) or None)
        ids.append(np.array(framed, np.int32))
    return TokenizedPart(
        documents=Documents(
            token_ids=np.concatenate([np.empty(0, np.int32), *ids]),
            lengths=np.array(lengths, np.int64),
            num_bytes=np.array(num_bytes, np.int64),
        ),
        facts=facts,
    )


def encode_texts(tokenizer: "Tokenizer", texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text, as `encode` gives them; long ones are encoded in pieces where that is exact."""
    cuts = [pieces(tokenizer, text) for text in texts]
    firsts = tokenizer.encode_batch([cut[0] for cut in cuts])
    for ids, rest in zip(firsts, cuts, strict=True):
        for piece in rest[1:]:
            ids += tokenizer.encode(piece, after="text")
    return firsts


def _parts(files: Sequence[InputFile], part_bytes: int) -> Iterator[Part]:
    for number, stretch in enumerate(stretches(files, part_bytes)):
        yield from cut(stretch, number, part_bytes)


def _tokenize_in_worker(folder: Path, fingerprint: str, part: Part) -> TokenizedPart:
    return tokenize_part(_opened(folder, fingerprint), part)


@lru_cache(maxsize=1)
def _opened(folder: Path, fingerprint: str) -> "Tokenizer":
    from stemma.tokenizer.load import load_tokenizer

    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # read at each call; the processors are the other workers'
    tokenizer = load_tokenizer(folder)
    assert tokenizer.fingerprint == fingerprint, "a saved tokenizer differs from the one it was saved from"
    return tokenizer
