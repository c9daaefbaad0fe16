"""Loss and bits per byte of texts, by domain.

bits per byte = -sum of log2 p(token | everything before it in the window) / UTF-8 bytes of the scored tokens' text. It
does not depend on the tokenizer, so models with different vocabularies can be compared (as in The Pile, arXiv
2101.00027, section 3.1). Documents longer than the window are read in overlapping windows; a token is scored in the
first window that holds it, so with stride s every token has at least window - s tokens before it, or all there are.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from stemma.errors import StemmaError
from stemma.evaluate.scoring import Scored, sequence_log_probabilities
from stemma.model.transformer import Transformer
from stemma.progress import Progress
from stemma.tokenizer.tokenizer import Tokenizer

_DOCUMENTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class DomainText:
    """One document of an evaluation: its text and the name under which it is counted."""

    domain: str
    text: str


@dataclass(frozen=True, kw_only=True)
class DomainScore:
    """`loss` in nats per token; the interval holds 95 % if documents are independent draws (ratio estimator)."""

    bits_per_byte: float
    low: float
    high: float
    loss: float
    documents: int
    tokens: int
    bytes: int


@dataclass
class _Sums:
    nats: list[float] = field(default_factory=list)
    tokens: int = 0
    bytes: list[int] = field(default_factory=list)

    def score(self) -> DomainScore:
        count, total = len(self.bytes), sum(self.bytes)
        nats = math.fsum(self.nats)
        ratio = nats / total
        squares = math.fsum((n - ratio * b) ** 2 for n, b in zip(self.nats, self.bytes, strict=True))
        error = math.sqrt(squares * count / (count - 1)) / total if count > 1 else 0.0
        bits = ratio / math.log(2)
        return DomainScore(
            bits_per_byte=bits,
            low=bits - 1.96 * error / math.log(2),
            high=bits + 1.96 * error / math.log(2),
            loss=nats / self.tokens,
            documents=count,
            tokens=self.tokens,
            bytes=total,
        )


def windows(length: int, first: int, window: int, stride: int) -> list[tuple[int, int, int]]:
    """(begin, end, first scored) of the windows over a sequence of `length` tokens scored from index `first` on.

    A window holds at most `window` inputs, so window + 1 tokens; every index in [first, length) is scored once.
    """
    result: list[tuple[int, int, int]] = []
    while first < length:
        if not result:
            begin, end = 0, min(length, window + 1)
        else:
            end = min(length, result[-1][1] + stride)
            begin = max(0, end - window - 1)
        result.append((begin, end, first))
        first = end
    return result


def bits_per_byte(
    model: Transformer,
    tokenizer: Tokenizer,
    texts: Iterable[DomainText],
    document_start: Sequence[int],
    *,
    window: int | None = None,
    stride: int | None = None,
    max_batch_tokens: int = 8192,
    progress: Progress | None = None,
) -> dict[str, DomainScore]:
    """Scores by domain in order of first appearance, and "all" when there are several.

    `document_start` stands before every text and is not scored. When it is empty a text's first token has nothing that
    predicts it: it is left out, and so are its bytes. `window` is max_seq_len and `stride` half of it unless given.
    Raises StemmaError for settings that do not fit and when nothing can be scored.
    """
    window = model.spec.max_seq_len if window is None else window
    stride = max(1, window // 2) if stride is None else stride
    if not 1 <= stride <= window:
        raise StemmaError(f"stride is {stride}; between 1 and the window of {window} tokens")
    domains: dict[str, _Sums] = {}
    everything = _Sums()
    for group in _groups(texts):
        encoded = tokenizer.encode_batch([text.text for text in group])
        sequences: list[Scored] = []
        owners: list[int] = []
        for number, ids in enumerate(encoded):
            whole = [*document_start, *ids]
            for begin, end, first in windows(len(whole), max(1, len(document_start)), window, stride):
                sequences.append(Scored(whole[begin:end], first - begin))
                owners.append(number)
        values = sequence_log_probabilities(model, sequences, max_batch_tokens)
        nats, counts = [0.0] * len(group), [0] * len(group)
        for owner, value in zip(owners, values, strict=True):
            nats[owner] -= float(value.sum())
            counts[owner] += len(value)
        for text, ids, loss, count in zip(group, encoded, nats, counts, strict=True):
            size = len(text.text.encode())
            if ids and not document_start:
                size -= len(tokenizer.token_bytes(ids[0]))
            if count == 0 or size <= 0:
                continue
            for sums in (domains.setdefault(text.domain, _Sums()), everything):
                sums.nats.append(loss)
                sums.bytes.append(size)
                sums.tokens += count
        if progress is not None:
            progress.advance(len(group))
    if not domains:
        raise StemmaError("no document has a token to score; give documents with text")
    scores = {name: sums.score() for name, sums in domains.items()}
    return scores if len(scores) == 1 else {**scores, "all": everything.score()}


def _groups(texts: Iterable[DomainText]) -> Iterator[list[DomainText]]:
    iterator = iter(texts)
    while group := list(itertools.islice(iterator, _DOCUMENTS_AT_ONCE)):
        yield group
