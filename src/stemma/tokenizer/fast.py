"""Tokenizers in tokenizer.json, run by the `tokenizers` library: byte-level BPE, byte-fallback BPE, and the others.

The file's own text is kept and written back unchanged, so that what was measured is what is saved.
"""

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as LibraryTokenizer

from stemma.errors import StemmaError
from stemma.storage import write_text
from stemma.tokenizer.config_file import TokenizerConfig, write_config
from stemma.tokenizer.tokenizer import After, Tokenizer, check_text

_SPACE = "\u2581"  # SentencePiece's visible space


class FastTokenizer(Tokenizer):
    """A tokenizer.json. `text` is the file's content, `source` names it in messages."""

    format = "tokenizer.json"
    utf8_errors = "replace"

    def __init__(self, text: str, config: TokenizerConfig, source: str) -> None:
        self.config = config
        self._text, self._source = text, source
        self._json = _parse(text, source)
        self._data = _build(text, source)
        self._data.encode_special_tokens = True  # in data, a special token's name is plain text
        added = self._data.get_added_tokens_decoder()
        vocabulary = self._data.get_vocab(with_added_tokens=True)
        if not vocabulary:
            raise StemmaError(f"{source}: its vocabulary is empty; it is no usable tokenizer")
        self.num_pieces = len(self._data.get_vocab(with_added_tokens=False))
        self.vocab_size = max(vocabulary.values()) + 1
        self.special_ids = {token.content: number for number, token in sorted(added.items()) if token.special}
        self._decoders = {part["type"] for part in _parts(self._json.get("decoder"))}
        self.strips_leading_space = _strips(self._json.get("decoder"))
        for role in (config.bos_token, config.eos_token, config.pad_token, config.unk_token):
            self._named(role)  # a role without its token is refused here, not in the middle of a run

    @classmethod
    def read(cls, path: Path, config: TokenizerConfig) -> "FastTokenizer":
        """Read a tokenizer.json; raises StemmaError when it is damaged or something else."""
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise StemmaError(f"{path}: not UTF-8 text, so no tokenizer.json; download it again") from None
        return cls(text, config, str(path))

    @property
    def unk_id(self) -> int | None:
        """The configured unknown token, else the one the model inside the file names."""
        model = self._json["model"]
        if self.config.unk_token is None and isinstance(model.get("unk_id"), int):
            return model["unk_id"]
        return self._named(self.config.unk_token or model.get("unk_token"))

    def id_of(self, token: str) -> int:
        number = self._data.token_to_id(token)
        if number is None:
            raise StemmaError(f"{self._source}: has no token {token!r}; check the special tokens' names")
        return number

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        for text in texts:
            check_text(text)
        found = self._data.encode_batch_fast(list(texts), add_special_tokens=False)
        return [
            one.ids if self._forbidden.isdisjoint(one.ids) else self._encode_broken(text, "start")
            for text, one in zip(texts, found, strict=True)
        ]

    def encode_with_specials(self, text: str) -> list[int]:
        check_text(text)
        return self._with_specials.encode(text, add_special_tokens=False).ids

    def encode_as_published(self, text: str) -> list[int]:
        return self.encode_with_specials(text)

    @functools.cached_property
    def frame(self) -> tuple[list[int], list[int]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What the file's post-processor puts around one text."""
        framed = self._data.encode("a")
        text = framed.special_tokens_mask.index(0) if 0 in framed.special_tokens_mask else len(framed.ids)
        after = framed.special_tokens_mask[::-1].index(0) if 0 in framed.special_tokens_mask else 0
        return framed.ids[:text], framed.ids[len(framed.ids) - after :]

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        return self._data.decode(list(ids), skip_special_tokens=skip_special)

    def token_bytes(self, token: int) -> bytes:
        name = self._name(token)
        if "ByteLevel" in self._decoders:
            return _byte_level_bytes(name)
        if "ByteFallback" in self._decoders and len(name) == 6 and name.startswith("<0x") and name[5] == ">":
            return bytes([int(name[3:5], 16)])
        if self._decodes_text:
            return self._decoded(["a", name]).removeprefix("a").encode()
        return name.replace(_SPACE, " ").encode()

    def first_bytes(self, token: int) -> bytes:
        if not self._decodes_text:
            return super().first_bytes(token)
        return self._decoded([self._name(token)]).encode()

    def save(self, folder: Path) -> None:
        write_text(folder / "tokenizer.json", self._text)
        write_config(folder, self.config, "PreTrainedTokenizerFast")

    def _encode(self, text: str, after: After) -> list[int]:
        prefixed = after == "start" or (after == "special" and not self._prefix_only_first)
        library = self._data if prefixed else self._without_prefix
        ids = library.encode(text, add_special_tokens=False).ids
        return ids if self._forbidden.isdisjoint(ids) else self._encode_broken(text, after)

    def _encode_broken(self, text: str, after: After) -> list[int]:
        """A Unigram model can spell a special token's name as that very piece: cut names after one character.

        Where only normalisation makes the name (full-width letters), every character is cut from the next.
        """
        if len(text) == 1:
            return self._data.encode(text, add_special_tokens=False).ids
        parts = self.split_specials(text)
        cuts = [
            cut for part, special in parts for cut in ((part,) if special is None else (part[:1], part[1:]))
        ]
        ids: list[int] = []
        for cut in cuts if len(cuts) > 1 else text:
            ids += self._encode(cut, "text" if ids else after)
        return ids

    def _definition(self) -> bytes:
        return json.dumps(self._json, sort_keys=True, separators=(",", ":")).encode()

    @property
    def _decodes_text(self) -> bool:
        """Whether the decoder works on whole names: WordPiece's and Metaspace's, told by where a token stands."""
        return not self._decoders.isdisjoint(("WordPiece", "Metaspace"))

    def _name(self, token: int) -> str:
        name = self._data.id_to_token(token)
        if name is None:
            raise StemmaError(f"{self._source}: has no token with id {token}")
        return name

    def _decoded(self, names: list[str]) -> str:
        return self._data.decoder.decode(names)  # pyright: ignore[reportOptionalMemberAccess]

    @functools.cached_property
    def _forbidden(self) -> frozenset[int]:
        return frozenset(self.special_ids.values()) - {self.unk_id}

    @functools.cached_property
    def _prefix_only_first(self) -> bool:
        return any(part.get("prepend_scheme") == "first" for part in _parts(self._json.get("pre_tokenizer")))

    @functools.cached_property
    def _without_prefix(self) -> LibraryTokenizer:
        """The same tokenizer, putting no space before a text; most put none anyway."""
        edited = dict(self._json)
        by_word = any(part["type"] == "WhitespaceSplit" for part in _parts(self._json.get("pre_tokenizer")))
        for stage in (
            () if by_word else ("normalizer", "pre_tokenizer")
        ):  # by word: the space is the word's own
            edited[stage] = _without_prefix(self._json.get(stage))
        if edited == self._json:
            return self._data
        library = _build(json.dumps(edited, ensure_ascii=False), self._source)
        library.encode_special_tokens = True
        return library

    @functools.cached_property
    def _with_specials(self) -> LibraryTokenizer:
        return _build(self._text, self._source)


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StemmaError(f"{source}: not JSON ({error}); the file is damaged, download it again") from None
    if not isinstance(data, dict) or not isinstance(data.get("model"), dict):
        raise StemmaError(
            f"{source}: JSON, but no tokenizer.json (it has no 'model'); give the tokenizer's file"
        )
    return data


def _build(text: str, source: str) -> LibraryTokenizer:
    try:
        library = LibraryTokenizer.from_str(text)
    except Exception as error:  # noqa: BLE001 - the library raises bare Exception
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise StemmaError(
            f"{source}: no tokenizer the library can read ({reason}); download it again"
        ) from None
    library.no_truncation()
    library.no_padding()
    return library


def _parts(stage: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The components of one stage of the pipeline, sequences taken apart."""
    if not stage:
        return []
    inner = [part for key in ("normalizers", "pretokenizers", "decoders") for part in stage.get(key, [])]
    return [stage] + [part for item in inner for part in _parts(item)]


def _without_prefix(stage: Any) -> Any:
    """A pipeline stage with every rule that puts a space before the text switched off."""
    if isinstance(stage, list):
        return [_without_prefix(part) for part in stage if part.get("type") != "Prepend"]
    if not isinstance(stage, dict):
        return stage
    if stage.get("type") == "Prepend":
        return None
    if stage.get("type") == "Metaspace":
        return {"type": "Metaspace", "replacement": stage["replacement"], "prepend_scheme": "never"}
    return {key: key != "add_prefix_space" and _without_prefix(value) for key, value in stage.items()}


def _strips(decoder: dict[str, Any] | None) -> bool:
    for part in _parts(decoder):
        if part["type"] == "Strip" and part.get("content") == " " and part.get("start", 0) > 0:
            return True
        if part["type"] == "Metaspace":
            return (
                part.get("prepend_scheme", "always" if part.get("add_prefix_space", True) else "never")
                != "never"
            )
    return False


def _byte_level_bytes(name: str) -> bytes:
    """Inverse of GPT-2's byte alphabet; a name with any other character (an added token) is its own UTF-8."""
    try:
        return bytes([BYTE_OF[letter] for letter in name])
    except KeyError:
        return name.encode()


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's letters for bytes: printable Latin-1 stands for itself, the other 68 bytes for U+0100 onwards."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + place): byte for place, byte in enumerate(others)}


BYTE_OF = _byte_alphabet()
