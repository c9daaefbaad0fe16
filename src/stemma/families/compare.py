"""The difference of two architectures, told in the words of the field: what changes, from what to what, and what follows.

A facet knows which places of a Spec it speaks of. `unsaid` are the differences that no phrase speaks of, so that nothing
is dropped.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from stemma.families import describe
from stemma.families.describe import Stack, stacks
from stemma.families.family import Family
from stemma.families.figures import count, memory, ratio
from stemma.model.spec import Change, LearnedPositionSpec, Spec, difference


@dataclass(frozen=True)
class Architecture:
    """A Spec and the layout it is published in, where one is known."""

    spec: Spec
    family: Family | None = None

    @property
    def chat(self) -> str:
        """The chat format of the layout's chat models, none where the layout fixes none."""
        return (self.family.chat_template(self.spec) if self.family else None) or "none fixed"


@dataclass(frozen=True)
class Phrase:
    """One facet that differs, and what follows from it."""

    facet: str
    before: str
    after: str
    follows: str = ""

    def __str__(self) -> str:
        return f"{self.facet}: {self.before} -> {self.after}" + (f" ({self.follows})" if self.follows else "")


@dataclass(frozen=True)
class Story:
    """All phrases in the order they are told, every change, and the changes no phrase speaks of."""

    phrases: list[Phrase]
    changes: list[Change]
    unsaid: list[Change]


Follows = Callable[[Architecture, Architecture], str]


def _nothing(before: Architecture, after: Architecture) -> str:
    return ""


@dataclass(frozen=True)
class _Whole:
    """A facet of the whole model; `places` is what of the Spec its words hold."""

    name: str
    places: str
    words: Callable[[Architecture], str]
    follows: Follows = _nothing


@dataclass(frozen=True)
class _Part:
    """A facet of one stack; `places` begin after the stack's prefix."""

    name: str
    places: str
    words: Callable[[Stack], str]
    follows: Follows = _nothing


def story(before: Architecture, after: Architecture) -> Story:
    """What differs between two architectures; no phrase at all where nothing does."""
    changes = difference(before.spec, after.spec)
    told = [_tell(facet, before, after) for facet in _FACETS]
    phrases = [phrase for found, _ in told for phrase in found]
    places = [place for _, found in told for place in found]
    unsaid = [c for c in changes if not any(re.fullmatch(place, c.path) for place in places)]
    if changes:
        phrases += _closing(before, after)
    return Story(phrases, changes, unsaid)


def _tell(facet: _Whole | _Part, before: Architecture, after: Architecture) -> tuple[list[Phrase], list[str]]:
    """The phrases of one facet and the places they speak of; an encoder that changes alike is not told twice."""
    if isinstance(facet, _Whole):
        old, new = facet.words(before), facet.words(after)
        if old == new:
            return [], []
        return [Phrase(facet.name, old or "none", new or "none", facet.follows(before, after))], [
            facet.places
        ]
    phrases: list[Phrase] = []
    places: list[str] = []
    mine, theirs = stacks(before.spec), stacks(after.spec)
    for prefix in mine:
        if prefix not in theirs:
            continue
        old, new = facet.words(mine[prefix]), facet.words(theirs[prefix])
        if old == new:
            continue
        places.append(re.escape(prefix) + f"(?:{facet.places})")
        if not any((p.before, p.after) == (old or "none", new or "none") for p in phrases):
            name = f"encoder {facet.name}" if prefix else facet.name
            follows = "" if prefix else facet.follows(before, after)
            phrases.append(Phrase(name, old or "none", new or "none", follows))
    return phrases, places


def _closing(before: Architecture, after: Architecture) -> list[Phrase]:
    """What is no part of the Spec: size and chat format."""
    found: list[Phrase] = []
    old, new = before.spec.num_parameters(), after.spec.num_parameters()
    if old != new:
        found.append(Phrase("parameters", f"{old:,}", f"{new:,}", ratio(old, new)))
    if before.family and after.family and before.chat != after.chat:
        found.append(Phrase("chat format", before.chat, after.chat))
    return found


def _mask_follows(before: Architecture, after: Architecture) -> str:
    old, new = describe.mask(before.spec, before.family), describe.mask(after.spec, after.family)
    if new == "causal" and old.startswith("prefix"):
        return "a dialogue of n turns is one sample, and the cache of earlier turns is kept"
    if old == "causal" and new.startswith("prefix"):
        return "a dialogue of n turns is n samples, and every turn encodes its context again"
    if new == "bidirectional":
        return "fills masks, does not generate"
    return ""


def _cache_follows(before: Architecture, after: Architecture) -> str:
    old, new = before.spec.kv_bytes_per_token(), after.spec.kv_bytes_per_token()
    if old == new or not (before.spec.causal and after.spec.causal):
        return ""
    return f"KV cache {old:,} -> {new:,} bytes a token, {ratio(old, new)}"


def _depth_follows(before: Architecture, after: Architecture) -> str:
    alike = describe.attention(stacks(before.spec)[""]) == describe.attention(stacks(after.spec)[""])
    return _cache_follows(before, after) if alike else ""


def _position_follows(before: Architecture, after: Architecture) -> str:
    old, new = before.spec.inputs.positions, after.spec.inputs.positions
    found: list[str] = []
    if before.spec.two_positions != after.spec.two_positions:
        found.append(
            "one position a token instead of two" if before.spec.two_positions else "two positions a token"
        )
    if isinstance(old, LearnedPositionSpec) and new is None:
        found.append("no table that ends")
    if isinstance(new, LearnedPositionSpec) and old is None:
        found.append(f"the table ends at {new.max_seq_len:,} tokens")
    return "; ".join(found)


def _inner_follows(before: Architecture, after: Architecture) -> str:
    old, new = (a.spec.blocks[0].feed_forward.num_parameters(a.spec.hidden_size) for a in (before, after))
    return f"{count(old)} -> {count(new)} parameters a layer" if old != new else ""


def _norm_follows(before: Architecture, after: Architecture) -> str:
    old, new = before.spec.blocks[0], after.spec.blocks[0]
    found: list[str] = []
    if (old.norm.kind, new.norm.kind) == ("layernorm", "rmsnorm"):
        found.append("no mean is subtracted, no bias added")
    if old.residual in ("normed", "post") and new.residual not in ("normed", "post"):
        found.append("the residual passes through unchanged")
    return "; ".join(found)


def _vocabulary_follows(before: Architecture, after: Architecture) -> str:
    old, new = (a.spec.vocab_size * a.spec.embedding_width for a in (before, after))
    return f"embedding {count(old)} -> {count(new)} parameters"


def _head_follows(before: Architecture, after: Architecture) -> str:
    old, new = before.spec.head.tie_embeddings, after.spec.head.tie_embeddings
    owner = after if old else before
    if old == new:
        return ""
    number = count(owner.spec.vocab_size * owner.spec.embedding_width)
    return f"{number} parameters {'more' if old else 'fewer'}"


def _length_follows(before: Architecture, after: Architecture) -> str:
    old, new = before.spec, after.spec
    found = [
        f"{ratio(old.max_seq_len, new.max_seq_len).replace('larger', 'longer').replace('smaller', 'shorter')}"
    ]
    if old.causal and new.causal:
        full = [memory(spec.max_seq_len * spec.kv_bytes_per_token()) for spec in (old, new)]
        same = full[0] == full[1]
        found.append(f"KV cache at full length {'still ' + full[0] if same else ' -> '.join(full)}")
    return "; ".join(found)


def _encoder(architecture: Architecture) -> str:
    encoder = architecture.spec.encoder
    return "" if encoder is None else f"{encoder.num_layers} layers beside the decoder"


_BLOCK = r"blocks\[\d+\]"
_ATTENTION = rf"{_BLOCK}\.attention"
_FACETS: tuple[_Whole | _Part, ...] = (
    _Whole("mask", rf"{_ATTENTION}\.causal", lambda a: describe.mask(a.spec, a.family), _mask_follows),
    _Whole("encoder", r"encoder(\.num_layers)?", _encoder),
    _Whole("layers", rf"num_layers|{_BLOCK}", lambda a: f"{a.spec.num_layers}", _depth_follows),
    _Whole("hidden size", r"hidden_size", lambda a: f"{a.spec.hidden_size:,}"),
    _Part(
        "attention", rf"{_ATTENTION}\.(num_heads|num_kv_heads|head_dim)", describe.attention, _cache_follows
    ),
    _Part("scores", rf"{_ATTENTION}\.(window|scaled|logn|qk_norm.*)", describe.scores),
    _Whole(
        "cross-attention",
        rf"{_BLOCK}\.cross_attention(\.(?!causal).*)?",
        lambda a: describe.cross_attention(a.spec),
    ),
    _Part("feed-forward", rf"{_BLOCK}\.feed_forward\..*", describe.feed_forward, _inner_follows),
    _Part(
        "norm",
        rf"{_BLOCK}\.(norm\.kind|residual|residual_scale)|final_norm\.kind",
        describe.norm,
        _norm_follows,
    ),
    _Part("epsilon of the norms", rf"({_BLOCK}\.norm|final_norm|inputs\.norm)\.eps", describe.epsilon),
    _Part(
        "positions", rf"{_ATTENTION}\.position\..*|inputs\.positions.*", describe.positions, _position_follows
    ),
    _Part("biases", rf"{_ATTENTION}\.(qkv|output)_bias|{_BLOCK}\.feed_forward\..*bias", describe.biases),
    _Part("embedding", r"inputs\.(width|scale|num_token_types|norm\.kind)", describe.embedding),
    _Whole("vocabulary", r"vocab_size", lambda a: f"{a.spec.vocab_size:,}", _vocabulary_follows),
    _Whole("head", r"head\..*", lambda a: describe.head(a.spec.head), _head_follows),
    _Whole("context", r"max_seq_len", lambda a: f"{a.spec.max_seq_len:,}", _length_follows),
)
