"""Parts of a tokenizer.json that every kind of model needs: added tokens, and what is put around a text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stemma.tokenizer.config_file import ROLES, TokenizerConfig


def frame_json(before: Sequence[str], after: Sequence[str], ids: Mapping[str, int]) -> dict[str, Any] | None:
    """The post-processor that puts tokens before and after a text, and those after it also after a second one."""
    if not before and not after:
        return None

    def part(text: str, place: int) -> list[dict[str, Any]]:
        last = [{"SpecialToken": {"id": name, "type_id": place}} for name in after]
        return [{"Sequence": {"id": text, "type_id": place}}, *last]

    single = [*({"SpecialToken": {"id": name, "type_id": 0}} for name in before), *part("A", 0)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, *part("B", 1)],
        "special_tokens": {
            name: {"id": name, "ids": [ids[name]], "tokens": [name]}
            for name in dict.fromkeys([*before, *after])
        },
    }


def with_gaps_filled(vocabulary: dict[str, int], added: Iterable[dict[str, Any]]) -> dict[str, int]:
    """The vocabulary, with the added tokens in it where their ids do not follow it without a gap.

    The library numbers added tokens itself, from the size of the vocabulary on, unless it finds them there.
    """
    new = sorted(token["id"] for token in added if token["content"] not in vocabulary)
    if new == list(range(len(vocabulary), len(vocabulary) + len(new))):
        return vocabulary
    return vocabulary | {token["content"]: token["id"] for token in added}


def added_entries(
    vocabulary: dict[str, int], config: TokenizerConfig, specials: Iterable[str]
) -> list[dict[str, Any]]:
    """Entries of a tokenizer.json's added_tokens: those of tokenizer_config.json, then `specials` and the roles."""
    found = {
        entry["content"]: added_entry(entry["content"], int(number), entry)
        for number, entry in config.other.get("added_tokens_decoder", {}).items()
    }
    roles = [getattr(config, role) for role in ROLES]
    for name in [*specials, *roles]:
        if name in vocabulary and name not in found:
            found[name] = added_entry(name, vocabulary[name], {"lstrip": name == "<mask>"})
    return list(found.values())


def added_entry(name: str, number: int, entry: Mapping[str, Any] = {}) -> dict[str, Any]:
    """An entry of a tokenizer.json's added_tokens, with the flags of `entry`; special unless it says no."""
    flags = {key: bool(entry.get(key, False)) for key in ("single_word", "lstrip", "rstrip", "normalized")}
    return {"id": number, "content": name, **flags, "special": bool(entry.get("special", True))}
