"""Any tokenizer as a tokenizer.json, exactly or not at all.

Each kind has its own way there; what is built is then compared with the original on hard texts, on every piece's own
text, and on texts of the user's choice. One differing id or text refuses the conversion.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from stemma.errors import CheckFailed
from stemma.tokenizer import hard_texts
from stemma.tokenizer import sentencepiece_model as proto
from stemma.tokenizer.byte_bpe import LETTER_OF, ByteClass, byte_bpe_json, split_bytes
from stemma.tokenizer.chatglm import ChatGLMTokenizer
from stemma.tokenizer.config_file import TokenizerConfig
from stemma.tokenizer.fast import FastTokenizer
from stemma.tokenizer.sentencepiece_json import num_tied, sentencepiece_json, tie_texts
from stemma.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from stemma.tokenizer.tiktoken_ranks import merges
from stemma.tokenizer.tiktoken_tokenizer import TiktokenTokenizer
from stemma.tokenizer.tokenizer import Tokenizer
from stemma.tokenizer.tokenizer_json import added_entry

_BATCH = 4096
_NOT_IN_JSON = ("tokenizer_class", "added_tokens_decoder", "auto_map")


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A conversion that passed its check."""

    tokenizer: FastTokenizer
    num_texts: int
    """texts on which it was compared"""


def to_tokenizer_json(
    tokenizer: Tokenizer, texts: Iterable[str] = (), *, source: str = "the tokenizer"
) -> Converted:
    """Convert and compare, also on `texts`. Raises CheckFailed with the reason, or the first text that differs."""
    built = build(tokenizer, source)
    return Converted(tokenizer=built.tokenizer, num_texts=_compare(tokenizer, built, texts, source))


@dataclass(frozen=True, kw_only=True)
class Built:
    """A tokenizer that is not compared yet."""

    tokenizer: FastTokenizer
    own_texts: Iterable[str] = ()
    """texts to compare beside the usual ones"""
    doubt: str = ""
    """what is to blame if they differ"""


def build(tokenizer: Tokenizer, source: str) -> Built:
    """Convert without comparing. Raises CheckFailed when the kind has no exact form."""
    for kind, builder in _BUILDERS.items():
        if isinstance(tokenizer, kind):
            return builder(tokenizer, source)
    raise CheckFailed(f"{source}: a tokenizer of format {tokenizer.format} has no way to a tokenizer.json")


def _config(config: TokenizerConfig) -> TokenizerConfig:
    """Without the keys that belong to the old file: the new one holds its added tokens itself."""
    other = {key: value for key, value in config.other.items() if key not in _NOT_IN_JSON}
    return replace(config, added_tokens={}, other=other)


def _as_it_is(tokenizer: FastTokenizer, source: str) -> Built:
    return Built(tokenizer=tokenizer)


def _from_chatglm(tokenizer: ChatGLMTokenizer, source: str) -> Built:
    raise CheckFailed(
        f"{source}: ChatGLM-6B's tokenizer cannot be written exactly as a tokenizer.json: it is a Unigram model with"
        " nmt_nfkc normalization and rewritten white space; use ice_text.model itself"
    )


def _from_sentencepiece(tokenizer: SentencePieceTokenizer, source: str) -> Built:
    model = tokenizer.model
    names = {number: name for name, number in tokenizer.special_ids.items()}
    before, after = ([names[number] for number in part] for part in tokenizer.frame)

    def first_part(text: str) -> str:
        return tokenizer.token_bytes(tokenizer.encode(text, after="text")[0]).decode()

    text = sentencepiece_json(model, tokenizer.special_ids, (before, after), first_part, source)
    tied = num_tied(model)
    doubt = (
        f"{tied} of its pieces share their scores, and SentencePiece decides between equal scores by their place in the"
        " text, which a list of merges cannot"
    )
    built = FastTokenizer(text, _config(tokenizer.config), f"{source} as tokenizer.json")
    return Built(tokenizer=built, own_texts=_sentencepiece_texts(model), doubt=doubt if tied else "")


def _sentencepiece_texts(model: proto.Model) -> Iterator[str]:
    yield from tie_texts(model)
    user_defined = next((piece.name for piece in model.pieces if piece.type == proto.USER_DEFINED), None)
    if user_defined is not None:
        yield from (f"{user_defined}{piece.name}{user_defined}" for piece in model.pieces)


def _from_ranks(tokenizer: TiktokenTokenizer, source: str) -> Built:
    def letters(token: bytes) -> str:
        return "".join(LETTER_OF[byte] for byte in token)

    pairs = [(letters(left), letters(right)) for left, right in merges(tokenizer.ranks, source)]
    ordered = sorted(tokenizer.ranks.items(), key=lambda item: item[1])
    added = [added_entry(name, number) for name, number in tokenizer.special_ids.items()]
    entry = ByteClass(pre_tokenizer=split_bytes(tokenizer.published.split), specials=())
    text = byte_bpe_json({letters(token): rank for token, rank in ordered}, pairs, entry, added)
    return Built(tokenizer=FastTokenizer(text, _config(tokenizer.config), f"{source} as tokenizer.json"))


_BUILDERS: dict[type[Tokenizer], Callable[..., Built]] = {
    FastTokenizer: _as_it_is,
    ChatGLMTokenizer: _from_chatglm,
    SentencePieceTokenizer: _from_sentencepiece,
    TiktokenTokenizer: _from_ranks,
}
"""the first kind that fits counts"""


def _compare(old: Tokenizer, built: Built, texts: Iterable[str], source: str) -> int:
    """The number of texts compared. Raises CheckFailed at the first difference."""
    new, count = built.tokenizer, 0
    for text in itertools.chain(hard_texts.samples(old), texts):
        for name, way in _WAYS.items():
            if way(old, text) != way(new, text):
                raise _differs(text, name, source, built.doubt)
        count += 1
    for batch in _batches(itertools.chain(built.own_texts, hard_texts.pieces(old), hard_texts.characters())):
        for text, left, right in zip(batch, old.encode_batch(batch), new.encode_batch(batch), strict=True):
            if left != right:
                raise _differs(text, "ids", source, built.doubt)
        count += len(batch)
    return count


_WAYS: dict[str, Callable[[Tokenizer, str], object]] = {
    "ids": lambda tokenizer, text: tokenizer.encode(text),
    "ids after other text": lambda tokenizer, text: tokenizer.encode(text, after="text"),
    "ids with special tokens": lambda tokenizer, text: tokenizer.encode_with_specials(text),
    "decoded text": lambda tokenizer, text: tokenizer.decode(tokenizer.encode(text)),
}


def _differs(text: str, what: str, source: str, doubt: str) -> CheckFailed:
    shown = text if len(text) <= 60 else text[:60] + "..."
    reason = f": {doubt}" if doubt else ""
    return CheckFailed(
        f"{source}: a tokenizer.json gives other {what} for {shown!r}{reason}; nothing was written, use the file itself"
    )


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch
