"""A chain recipe: one TOML file from raw text to a chat model, an upgrade and a report.

The tables `pretrain` and `sft` are the recipes of these commands without what the chain fills in (tokenizer, init, data
files): the chain writes the completed ones beside the results, so that each stage can be repeated by its own command.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stemma.errors import StemmaError


@dataclass(frozen=True, kw_only=True)
class PlaygroundCorpus:
    """The built-in corpus, generated from `seed`; `size` is the number of documents before dirt is planted."""

    kind: Literal["playground"] = "playground"
    seed: int = 0
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class FileCorpus:
    """Documents and dialogues of one's own. Every `held_out_every`-th kept document of a domain, by a hash of its id, is
    held out; a document's domain is its own field `domain`, else the name of its file."""

    kind: Literal["files"] = "files"
    documents: tuple[Path, ...]
    dialogues: tuple[Path, ...]
    held_out_every: int = 50


@dataclass(frozen=True, kw_only=True)
class EvaluateStage:
    """`max_new_tokens` bounds an answer."""

    max_new_tokens: int = 64


@dataclass(frozen=True, kw_only=True)
class UpgradeStage:
    """What to change in the base model, and how long to train it afterwards."""

    to: tuple[str, ...]
    heal_steps: int
    heal_learning_rate: float


@dataclass(frozen=True, kw_only=True)
class ChatSample:
    """User turns to put to the finished model, one dialogue; its answers go into the report."""

    user: tuple[str, ...]
    max_new_tokens: int = 96
    temperature: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ChainRecipe:
    """All settings of a chain. `pretrain` and `sft` are checked when their stage is prepared, before anything runs."""

    title: str
    corpus: PlaygroundCorpus | FileCorpus
    clean: Mapping[str, Any] = field(default_factory=dict)
    vocab_size: int
    pretrain: Mapping[str, Any]
    sft: Mapping[str, Any]
    evaluate: EvaluateStage = EvaluateStage()
    upgrade: UpgradeStage | None = None
    chat: tuple[ChatSample, ...] = ()

    def __post_init__(self) -> None:
        for table, filled in (
            (self.pretrain, ("tokenizer", "init", "data.train")),
            (self.sft, ("init", "data.train")),
        ):
            for key in filled:
                if _has(table, key):
                    raise StemmaError(f"'{key}' is filled in by the chain; take it out of the recipe")


def _has(table: Mapping[str, Any], key: str) -> bool:
    value: Any = table
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True
