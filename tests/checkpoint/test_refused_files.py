"""Files of other libraries are refused with what to do; tensors are named as the file names them, not as we do."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stemma.checkpoint import ModuleSource, open_checkpoint, write_checkpoint
from stemma.errors import StemmaError
from stemma.families import SpecialIds, family_named
from stemma.model.init import initialize
from stemma.model.spec import Spec
from stemma.model.transformer import Transformer

PACK = "model.layers.1.self_attn.W_pack.weight"


@pytest.mark.parametrize(
    ("file", "what", "advice"),
    [
        ("flax_model.msgpack", "Flax", "convert them to safetensors"),
        ("flax_model-00001-of-00002.msgpack", "Flax", "convert them to safetensors"),
        ("tf_model.h5", "TensorFlow", "convert them to safetensors"),
        ("rust_model.ot", "rust-bert", "take the safetensors or .bin file"),
        ("consolidated.00.pth", "pickle", "take the published safetensors folder"),
        ("ggml-model-q4_0.gguf", "GGUF", "take the safetensors folder"),
    ],
)
def test_weights_of_another_library_alone_are_refused_with_what_to_do(
    folder: Path, file: str, what: str, advice: str
) -> None:
    for path in folder.glob("model*"):
        path.unlink()
    (folder / file).write_bytes(b"\x00" * 64)
    with pytest.raises(StemmaError) as caught:
        open_checkpoint(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / file}: is ")
    assert what in message
    assert advice in message
    assert "\n" not in message


def test_weights_of_another_library_beside_ours_are_no_obstacle(folder: Path) -> None:
    for file in ("flax_model.msgpack", "tf_model.h5", "rust_model.ot", "model-q4_0.gguf"):
        (folder / file).write_bytes(b"")
    assert open_checkpoint(folder).files


@pytest.fixture
def fused(spec: Spec, tmp_path: Path) -> Path:
    """A checkpoint whose query, key and value lie in one tensor."""
    block = spec.blocks[0]
    attention = dataclasses.replace(block.attention, num_kv_heads=block.attention.num_heads)
    whole = dataclasses.replace(spec, blocks=(dataclasses.replace(block, attention=attention),))
    model = initialize(Transformer(whole), seed=2)
    ids, family = SpecialIds(bos=1), family_named("baichuan")
    write_checkpoint(tmp_path / "fused", whole, ModuleSource(model), family=family, special_ids=ids)
    return tmp_path / "fused"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(PACK), [f"tensor '{PACK}' is missing"]),
        (lambda t: t.update({PACK: t[PACK][:-1].clone()}), [PACK, "[47, 16]", "[48, 16]"]),
        (
            lambda t: t.update({f"{PACK}.extra": torch.ones(1)}),
            [f"tensor '{PACK}.extra' is not part of the model"],
        ),
    ],
)
def test_fused_tensors_are_named_as_published(
    fused: Path, change: Callable[[dict[str, torch.Tensor]], object], words: list[str]
) -> None:
    tensors = load_file(fused / "model.safetensors")
    change(tensors)
    save_file(tensors, fused / "model.safetensors")
    with pytest.raises(StemmaError) as caught:
        open_checkpoint(fused)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert str(fused) in str(caught.value)
    assert "attention.query" not in str(caught.value)
