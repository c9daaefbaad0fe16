"""A SentencePiece BPE model written as a tokenizer.json.

A model has scores and no merges: of all neighbours whose joined text is a piece, SentencePiece joins the pair of the
best score, and of equal scores the leftmost. The merges are therefore every split of every piece into two pieces,
ordered by the score of what they make. Where scores are equal, a pair goes before those that begin with what it ends
with, which is leftmost first; a cycle of such pairs cannot be ordered, and `tie_texts` gives the texts that show
whether it matters.
"""

import heapq
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stemma.errors import CheckFailed
from stemma.tokenizer import sentencepiece_model as proto
from stemma.tokenizer.tokenizer_json import added_entry, frame_json, with_gaps_filled

_SPACE = "\u2581"
_NUL = "\0"
Pair = tuple[str, str]


def sentencepiece_json(
    model: proto.Model,
    specials: Mapping[str, int],
    frame: tuple[Sequence[str], Sequence[str]],
    first_part: Callable[[str], str],
    source: str,
) -> str:
    """The text of a tokenizer.json. Raises CheckFailed when the model is of a kind that has no exact form.

    `frame` names the tokens put before and after a text; `first_part` gives the text of the first token of a text that
    follows other text.
    """
    _check_kind(model, source)
    user_defined = [
        piece.name
        for piece in model.pieces
        if piece.type == proto.USER_DEFINED and piece.name not in specials
    ]
    # An added token would get a dummy prefix of its own on each side, so with one the pieces are only cut out.
    cut_out = model.add_dummy_prefix and bool(user_defined)
    ids = vocabulary(model)
    added = [added_entry(name, number) for name, number in specials.items()]
    unknown = next(number for number, piece in enumerate(model.pieces) if piece.type == proto.UNKNOWN)
    added.append(added_entry(model.pieces[unknown].name, unknown))
    if not cut_out:
        # Normalized: a piece of spaces is spelled with U+2581, which only the normalized text has.
        added += [
            added_entry(name, ids[name], {"special": False, "normalized": True}) for name in user_defined
        ]
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(added, key=lambda token: token["id"]),
        "normalizer": _normalizer(model.add_dummy_prefix),
        "pre_tokenizer": _cut_out(user_defined, _unspeakable(model, specials), first_part)
        if cut_out
        else None,
        "post_processor": frame_json(*frame, specials),
        "decoder": _decoder(model.add_dummy_prefix),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": model.pieces[unknown].name,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": model.byte_fallback,
            "ignore_merges": cut_out,
            "vocab": with_gaps_filled(ids, added),
            "merges": [list(pair) for pair in merges(model)],
        },
    }
    return json.dumps(whole, ensure_ascii=False)


def vocabulary(model: proto.Model) -> dict[str, int]:
    """Ids by piece. SentencePiece never uses a piece for NUL beside byte pieces, so it gets a name no text can have."""
    ids = {piece.name: number for number, piece in enumerate(model.pieces)}
    if _is_dead_nul(model, _NUL) and _NUL in ids:
        number = ids.pop(_NUL)
        ids[f"<unused_{number}>"] = number
    return dict(sorted(ids.items(), key=lambda item: item[1]))


def merges(model: proto.Model) -> Iterator[Pair]:
    """Every way to make a piece from two, the best first."""
    for group in _groups(model):
        yield from group if len(group) == 1 else _leftmost_first(group)


def tie_texts(model: proto.Model) -> Iterator[str]:
    """For every two pairs of equal score that compete for a piece between them, the text in which they do."""
    for group in _groups(model):
        if len(group) > 1:
            for first, followers in _followers(group).items():
                for second in followers:
                    yield (first[0] + first[1] + second[1]).replace(_SPACE, " ")


def num_tied(model: proto.Model) -> int:
    """Pieces made by merging whose score another one has too."""
    scores: dict[float, int] = {}
    for piece in model.pieces:
        if piece.type == proto.NORMAL and len(piece.name) > 1:
            scores[piece.score] = scores.get(piece.score, 0) + 1
    return sum(count for count in scores.values() if count > 1)


def _check_kind(model: proto.Model, source: str) -> None:
    reasons = {
        "it is a Unigram model, whose byte fallback and normalization a tokenizer.json does not reproduce": (
            model.model_type != proto.BPE
        ),
        f"it normalizes text by {model.rules}, which a tokenizer.json does not reproduce": model.rules
        != "identity",
        "it removes extra white space, which a tokenizer.json does not reproduce": model.remove_extra_whitespaces,
        "it has pieces marked as unused": any(piece.type == proto.UNUSED for piece in model.pieces),
    }
    for reason, holds in reasons.items():
        if holds:
            raise CheckFailed(
                f"{source}: cannot be written exactly as a tokenizer.json: {reason}; use the .model itself"
            )


def _is_dead_nul(model: proto.Model, name: str) -> bool:
    return name == _NUL and model.byte_fallback


def _groups(model: proto.Model) -> Iterator[list[Pair]]:
    """Splits of pieces of the same score, from the best score down."""
    normal = {
        piece.name: piece.score
        for piece in model.pieces
        if piece.type == proto.NORMAL and not _is_dead_nul(model, piece.name)
    }
    by_score = sorted(normal, key=lambda name: -normal[name])
    for _, names in itertools.groupby(by_score, key=normal.__getitem__):
        pairs = [
            (name[:at], name[at:])
            for name in names
            for at in range(1, len(name))
            if name[:at] in normal and name[at:] in normal
        ]
        if pairs:
            yield pairs


def _followers(group: list[Pair]) -> dict[Pair, list[Pair]]:
    """For each pair the others that begin with what it ends with."""
    by_left: dict[str, list[Pair]] = {}
    for pair in group:
        by_left.setdefault(pair[0], []).append(pair)
    return {pair: [other for other in by_left.get(pair[1], ()) if other != pair] for pair in group}


def _leftmost_first(group: list[Pair]) -> Iterator[Pair]:
    """The pairs, each before its followers; in a cycle the longest left part first, as runs of one character grow."""
    followers = _followers(group)
    waiting = dict.fromkeys(group, 0)
    for others in followers.values():
        for other in others:
            waiting[other] += 1
    ready = [(-len(pair[0]), pair) for pair, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    cyclic = iter(sorted(group, key=lambda pair: (-len(pair[0]), pair)))
    done: set[Pair] = set()
    while len(done) < len(group):
        pair = heapq.heappop(ready)[1] if ready else next(cycle for cycle in cyclic if cycle not in done)
        if pair in done:
            continue
        done.add(pair)
        yield pair
        for other in followers[pair]:
            waiting[other] -= 1
            if waiting[other] == 0 and other not in done:
                heapq.heappush(ready, (-len(other[0]), other))


def _normalizer(prefix: bool) -> dict[str, Any]:
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    if not prefix:
        return spaces
    return {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": _SPACE}, spaces]}


def _unspeakable(model: proto.Model, specials: Mapping[str, int]) -> list[str]:
    """Names in the vocabulary that no text may become."""
    kinds = (proto.CONTROL, proto.UNKNOWN, proto.BYTE)
    return [piece.name for piece in model.pieces if piece.type in kinds or piece.name in specials]


def _cut_out(names: list[str], unspeakable: list[str], first_part: Callable[[str], str]) -> dict[str, Any]:
    """Cut `names` out of a text, to be looked up whole.

    So would be an unspeakable name that stands alone between two of them: that one is cut after its first token.
    """
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    pattern = "|".join(map(re.escape, longest_first))
    alone = [name for name in unspeakable if not any(part in name for part in names)]
    firsts = {name: first_part(name) for name in alone}
    guards = [
        f"(?:\\A|(?<={pattern})){re.escape(first)}(?={re.escape(name.removeprefix(first))}(?:{pattern}|\\z))"
        for name, first in firsts.items()
    ]
    pattern = "|".join([*guards, pattern])
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _decoder(prefix: bool) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefix:
        parts.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": parts}
