"""ChatGLM-6B's tokenizer: ice_text.model with white space rewritten before it and back after it.

The model folds runs of spaces and knows no line end, so the published code first writes "\\n" as `<n>`, "\\t" as
`<|tab|>` and 2 to 80 spaces as `<|blank_n|>`, which are pieces of the model (github.com/THUDM/ChatGLM-6B). The first
release numbers its text after 20,000 image tokens; later ones have none.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stemma.errors import StemmaError
from stemma.tokenizer.config_file import TokenizerConfig
from stemma.tokenizer.published import IMAGE_TOKENS, model_config
from stemma.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from stemma.tokenizer.tokenizer import After, check_text

_LONGEST_RUN = 80
_REWRITTEN = {"<n>": "\n", "<|tab|>": "\t"} | {
    f"<|blank_{length}|>": " " * length for length in range(2, _LONGEST_RUN + 1)
}
_NAME_OF = {text: name for name, text in _REWRITTEN.items()}
_WHITE_SPACE = re.compile(f"\n|\t| {{2,{_LONGEST_RUN}}}")


class ChatGLMTokenizer(SentencePieceTokenizer):
    """ice_text.model as ChatGLM-6B uses it; ids of the file are shifted by `num_image_tokens`."""

    format = "ice_text.model"
    file_name = "ice_text.model"

    def __init__(
        self,
        raw: bytes,
        config: TokenizerConfig,
        source: str,
        folder: Path | None = None,
        num_image_tokens: int = 0,
    ) -> None:
        self._shift = 0
        super().__init__(raw, config, source, folder)
        self._written = {self._library.piece_to_id(name): text for name, text in _REWRITTEN.items()}
        if self._library.unk_id() in self._written:
            raise StemmaError(
                f"{source}: lacks the pieces for line ends and runs of spaces; it is no ChatGLM-6B model"
            )
        self._shift = num_image_tokens
        self.special_ids = {name: number + self._shift for name, number in self.special_ids.items()}
        self.vocab_size += self._shift
        self.config = replace(self.config, other={**self.config.other, "num_image_tokens": num_image_tokens})

    @classmethod
    def read(cls, path: Path, config: TokenizerConfig) -> "ChatGLMTokenizer":
        """Read an ice_text.model; the release is told by the folder's JSON files. Raises StemmaError."""
        return cls(path.read_bytes(), config, str(path), path.parent, _image_tokens(path, config))

    def id_of(self, token: str) -> int:
        if token in self.special_ids:
            return self.special_ids[token]
        return super().id_of(token) + self._shift

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._shifted(ids) for ids in super().encode_batch([_rewrite(text) for text in texts])]

    def encode_as_published(self, text: str) -> list[int]:
        check_text(text)
        return self._shifted(self._as_published.encode(_rewrite(text)))

    def token_bytes(self, token: int) -> bytes:
        written = self._written.get(token - self._shift)
        return super().token_bytes(token - self._shift) if written is None else written.encode()

    def first_bytes(self, token: int) -> bytes:
        return self.token_bytes(token) if token - self._shift in self._written else super().first_bytes(token)

    def _encode(self, text: str, after: After) -> list[int]:
        return self._shifted(super()._encode(_rewrite(text), after))

    def _shifted(self, ids: list[int]) -> list[int]:
        return [number + self._shift for number in ids] if self._shift else ids

    def _definition(self) -> bytes:
        return self._raw + str(self._shift).encode()


def _rewrite(text: str) -> str:
    return _WHITE_SPACE.sub(lambda found: _NAME_OF[found[0]], text)


def _image_tokens(path: Path, config: TokenizerConfig) -> int:
    """By tokenizer_config.json's own word, else by the rows of the model beside the file; a bare file has none."""
    said = config.other.get("num_image_tokens")
    rows = model_config(path.parent).get("vocab_size")
    expected = IMAGE_TOKENS.get(rows) if isinstance(rows, int) else None
    if said is not None and (not isinstance(said, int) or said not in IMAGE_TOKENS.values()):
        raise StemmaError(
            f"{path}: num_image_tokens in tokenizer_config.json must be 0 or 20000, not {said!r}"
        )
    if said is not None and expected is not None and said != expected:
        raise StemmaError(
            f"{path}: tokenizer_config.json says {said} image tokens, but config.json's {rows} rows belong to the release"
            f" with {expected}; the two files do not belong together"
        )
    return said if said is not None else expected or 0
