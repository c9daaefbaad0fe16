"""Tiny random models of each kind of position, and a tokenizer whose tokens are bytes."""

import json
from pathlib import Path

import pytest

from stemma.checkpoint import ModuleSource, write_checkpoint
from stemma.families import SpecialIds
from stemma.model.init import initialize
from stemma.model.spec import (
    AlibiSpec,
    AttentionSpec,
    BlockSpec,
    DynamicScaling,
    FeedForwardSpec,
    PositionSpec,
    RopeSpec,
    Spec,
)
from stemma.model.transformer import Transformer
from stemma.tokenizer import Tokenizer, load_tokenizer
from stemma.tokenizer.train import TrainSettings, train_tokenizer

POSITIONS: dict[str, PositionSpec] = {
    "rope": RopeSpec(),
    "alibi": AlibiSpec(),
    "dynamic": RopeSpec(scaling=DynamicScaling(factor=2.0, original_max_seq_len=8)),
}


def build(
    position: PositionSpec, *, window: int | None = None, vocab_size: int = 40, max_seq_len: int = 64
) -> Transformer:
    attention = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8, position=position, window=window)
    block = BlockSpec(attention=attention, feed_forward=FeedForwardSpec(intermediate_size=48))
    spec = Spec(vocab_size=vocab_size, hidden_size=32, num_layers=2, max_seq_len=max_seq_len, blocks=(block,))
    return initialize(Transformer(spec), seed=7, std=0.3).eval()


@pytest.fixture(scope="session", params=["rope", "alibi", "window", "dynamic"])
def any_model(request: pytest.FixtureRequest) -> Transformer:
    if request.param == "window":
        return build(RopeSpec(), window=5)
    return build(POSITIONS[request.param])


@pytest.fixture(scope="session")
def model() -> Transformer:
    return build(RopeSpec())


@pytest.fixture(scope="session")
def dynamic_model() -> Transformer:
    return build(POSITIONS["dynamic"])


@pytest.fixture(scope="session")
def byte_model() -> Transformer:
    return build(RopeSpec(), vocab_size=264, max_seq_len=256)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Byte-level tokenizer without merges: ids 0-255 in the byte alphabet's order, then <s> and </s>."""
    return byte_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def byte_tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    library = Library(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens(["<s>", "</s>"])
    library.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return load_tokenizer(folder)


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("chat") / "chat", "chatml")


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("base") / "base", None)


def checkpoint(folder: Path, chat_template: str | None) -> Path:
    tokenizer = train_tokenizer(["Hello 你好"], TrainSettings(vocab_size=270, chat_template=chat_template))
    model = build(RopeSpec(), vocab_size=272, max_seq_len=256)
    ids = SpecialIds(bos=None, eos=(tokenizer.id_of("<|endoftext|>"),), pad=None)
    write_checkpoint(folder, model.spec, ModuleSource(model), special_ids=ids)
    tokenizer.save(folder)
    return folder
