"""Quantised folders read as the dense models they stand for: packed here by other means, unpacked there, bit for bit."""

import json
import math
import random
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from stemma.checkpoint import MemorySource, describe, load_model, open_checkpoint
from stemma.checkpoint.quantized import dense_config, dequantized, quantization, quantize_rows, with_side_file
from stemma.checkpoint.verify import verify
from stemma.errors import StemmaError

Tensors = dict[str, torch.Tensor]
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 8, "desc_act": False, "sym": True}
LINEAR = "model.layers.1.mlp.up_proj"


def pack(values: list[int], bits: int) -> list[int]:
    """Signed 32-bit words that hold the values one after another from the low end: one large number, cut up."""
    number = sum(value << (bits * i) for i, value in enumerate(values))
    size = len(values) * bits // 8
    return list(struct.unpack(f"<{size // 4}i", number.to_bytes(size, "little")))


def gptq_linear(
    inputs: int, out: int, bits: int, size: int, *, order: bool, offset: int = 1, seed: int = 0
) -> Any:
    """The tensors of one layer and its dense weight (out, in) computed value by value."""
    draw = random.Random(seed)
    groups = 1 if size == -1 else math.ceil(inputs / size)
    codes = [[draw.randrange(2**bits) for _ in range(inputs)] for _ in range(out)]
    zeros = [[draw.randrange(2**bits) for _ in range(out)] for _ in range(groups)]
    scales = torch.rand(groups, out, generator=torch.Generator().manual_seed(seed)).half() * 0.01
    group = [i // (inputs if size == -1 else size) for i in range(inputs)]
    if order:
        draw.shuffle(group)
    tensors = {
        "qweight": torch.tensor([pack(row, bits) for row in codes], dtype=torch.int32).T.contiguous(),
        "qzeros": torch.tensor(
            [pack([(z - offset) % 2**bits for z in row], bits) for row in zeros], dtype=torch.int32
        ),
        "scales": scales,
        "g_idx": torch.tensor(group, dtype=torch.int32),
    }
    steps = torch.tensor([[codes[o][i] - zeros[group[i]][o] for i in range(inputs)] for o in range(out)])
    return tensors, steps.half() * scales.T[:, group]


def named(base: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    return {f"{base}.{name}": tensor for name, tensor in tensors.items()}


def read(tensors: Tensors, config: Mapping[str, Any]) -> Tensors:
    source, _ = dequantized(MemorySource(tensors), config)
    return {name: source.read(name) for name in source.names()}


def refuse(tensors: Tensors, config: Mapping[str, Any], *words: str) -> None:
    with pytest.raises(StemmaError) as caught:
        read(tensors, config)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


# GPTQ


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@given(
    words=st.integers(1, 3),
    blocks=st.integers(1, 2),
    size=st.sampled_from([-1, 8, 12, 64]),
    order=st.booleans(),
    offset=st.sampled_from([0, 1]),
    seed=st.integers(0, 99),
)
def test_gptq_gives_back_every_value(
    bits: int, words: int, blocks: int, size: int, order: bool, offset: int, seed: int
) -> None:
    tensors, expected = gptq_linear(
        32 * words, 32 * blocks, bits, size, order=order, offset=offset, seed=seed
    )
    form = "gptq" if offset else "gptq_v2"
    settings = GPTQ | {"bits": bits, "group_size": size, "checkpoint_format": form}
    found = read(named("h.0.c_attn", tensors), {"quantization_config": settings})
    assert list(found) == ["h.0.c_attn.weight"]
    assert found["h.0.c_attn.weight"].dtype == torch.float16
    assert torch.equal(found["h.0.c_attn.weight"], expected)


def test_gptq_matches_a_layer_worked_out_by_hand() -> None:
    # One word of eight inputs 0..7 for each of eight outputs, stored zero point 7, so z = 8, scale 0.5.
    word = struct.unpack("<i", bytes([0x10, 0x32, 0x54, 0x76]))[0]
    sevens = struct.unpack("<i", b"\x77" * 4)[0]
    tensors = {
        "a.qweight": torch.full((1, 8), word, dtype=torch.int32),
        "a.qzeros": torch.full((1, 1), sevens, dtype=torch.int32),
        "a.scales": torch.full((1, 8), 0.5, dtype=torch.float16),
    }
    weight = read(tensors, {"quantization_config": GPTQ})["a.weight"]
    assert weight.tolist() == [[-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5]] * 8


def test_gptq_scales_of_another_dtype_are_kept_and_rounded_once() -> None:
    tensors, _ = gptq_linear(32, 32, 8, 8, order=False)
    tensors["scales"] = tensors["scales"].bfloat16()
    exact = {**tensors, "scales": tensors["scales"].double().float()}
    config = {"quantization_config": GPTQ | {"bits": 8}}
    weight = read(named("a", tensors), config)["a.weight"]
    assert weight.dtype == torch.bfloat16
    assert torch.equal(weight, read(named("a", exact), config)["a.weight"].bfloat16())


def test_gptq_refuses_parts_that_do_not_fit() -> None:
    def with_change(change: Callable[[Tensors], object], **settings: Any) -> tuple[Tensors, dict[str, Any]]:
        tensors = named("a", gptq_linear(64, 32, 4, 8, order=True)[0])
        change(tensors)
        return tensors, {"quantization_config": GPTQ | settings}

    def nothing(tensors: Tensors) -> None: ...

    for part in ("qzeros", "scales"):
        refuse(*with_change(lambda t, part=part: t.pop(f"a.{part}")), f"a.{part}", "is missing")
    refuse(*with_change(nothing, group_size=128), "a.scales", "[8, 32]", "[1, 32]", "group_size 128")
    refuse(*with_change(nothing, bits=8), "a.scales", "[8, 32]", "[4, 32]")
    refuse(*with_change(nothing, bits=3), "a.qweight", "no whole number of 3-bit values")
    cut = {"qzeros": "4 bits", "g_idx": "qweight"}
    for part, reason in cut.items():
        shorten = lambda t, part=part: t.update({f"a.{part}": t[f"a.{part}"][:-1]})
        refuse(*with_change(shorten), f"a.{part}", reason)
    refuse(
        *with_change(lambda t: t.update({"a.qweight": t["a.qweight"].float()})),
        "a.qweight",
        "float32",
        "int32",
    )
    refuse(*with_change(lambda t: t.update({"a.scales": t["a.scales"][0]})), "a.scales", "2 dimensions")
    refuse(*with_change(lambda t: t.update({"a.qweight": t["a.qweight"][:0]})), "a.qweight", "[0, 32]")
    for value in (8, -1, 2**31 - 1):
        refuse(
            *with_change(lambda t, value=value: t["a.g_idx"].__setitem__(3, value)),
            "a.g_idx",
            str(value),
            "there are 8",
        )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bits": 5}, ["bits is 5"]),
        ({"bits": 10**30}, ["bits is"]),
        ({"bits": "4"}, ["bits", "expected int"]),
        ({"bits": None}, ["bits", "missing"]),
        ({"group_size": 0}, ["group_size is 0"]),
        ({"group_size": -128}, ["group_size is -128"]),
        ({"group_size": 10**30}, ["group_size is"]),
        ({"checkpoint_format": "marlin"}, ["marlin", "format gptq"]),
        ({"is_marlin_format": True}, ["is_marlin_format"]),
        ({"dynamic": {"-:.*up": {}}}, ["dynamic"]),
        ({"group_sise": 64}, ["group_sise", "did you mean 'group_size'"]),
        ({"quant_method": "awq"}, ["'awq'", "gptq, bitsandbytes", "bfloat16 or float16"]),
        ({"quant_method": ["gptq"]}, ["quant_method"]),
        ({"quant_method": None}, ["quant_method None"]),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(StemmaError) as caught:
        quantization({"quantization_config": GPTQ | settings}, "here/config.json")
    assert all(word in str(caught.value) for word in ["here/config.json", *words]), str(caught.value)


def test_settings_that_are_no_object_are_refused() -> None:
    with pytest.raises(StemmaError, match="expected an object"):
        quantization({"quantization_config": "gptq"})


# ChatGLM's rows


@pytest.mark.parametrize("bits", [4, 8])
@given(rows=st.integers(1, 6), half=st.integers(1, 9), power=st.integers(-1, 3), seed=st.integers(0, 99))
def test_rows_give_back_what_the_published_formula_says(
    bits: Any, rows: int, half: int, power: int, seed: int
) -> None:
    weight = torch.randn(rows, 2 * half, generator=torch.Generator().manual_seed(seed)).half() * 10.0**power
    values, scale = quantize_rows(weight, bits)
    top = 2 ** (bits - 1) - 1
    expected_scale = torch.tensor([max(abs(x) for x in row) for row in weight.tolist()]).half() / top
    assert torch.equal(scale, expected_scale)
    assert values.shape == ((rows, 2 * half) if bits == 8 else (rows, half))
    found = read({"a.weight": values, "a.weight_scale": scale}, {"quantization_bit": bits})
    steps = torch.round(weight / scale[:, None])
    assert torch.equal(found["a.weight"], steps.half() * scale[:, None])
    assert bool(((found["a.weight"] - weight).abs() <= 0.6 * scale[:, None]).all())


def test_four_bit_rows_hold_the_earlier_value_in_the_high_half() -> None:
    weight = torch.tensor([[7.0, -7.0, 1.0, -1.0, 0.0, 3.0]])
    values, scale = quantize_rows(weight, 4)
    assert scale.tolist() == [1.0]
    assert [value & 0xFF for value in values[0].tolist()] == [0x79, 0x1F, 0x03]
    assert (
        read({"a.weight": values, "a.weight_scale": scale}, {"quantization_bit": 4})["a.weight"].tolist()
        == weight.tolist()
    )


def test_rows_of_zeros_and_rows_below_float16_become_zeros() -> None:
    weight = torch.tensor([[0.0, 0.0], [1e-9, -1e-9], [1.3186e-4, -3e-5]])
    values, _ = quantize_rows(weight, 8)
    assert values[:2].tolist() == [[0, 0], [0, 0]]
    assert values[2].tolist() == [
        127,
        -30,
    ]  # the scale lies between steps of float16: unclamped, 130 wraps to -126


def test_what_rows_cannot_hold_is_refused() -> None:
    for weight, bits, word in [
        (torch.ones(2, 3), 4, "3 columns"),
        (torch.ones(2, 4), 5, "5 bits"),
        (torch.ones(4), 8, "matrices"),
        (torch.ones(2, 2, dtype=torch.int8), 8, "float matrices"),
        (torch.full((1, 2), 1e8), 4, "float16 scale"),
        (torch.tensor([[1.0, torch.nan]]), 8, "float16 scale"),
    ]:
        with pytest.raises(StemmaError, match=word):
            quantize_rows(weight, bits)  # pyright: ignore[reportArgumentType]


def test_rows_refuse_parts_that_do_not_fit() -> None:
    values, scale = quantize_rows(torch.ones(4, 6), 8)
    config = {"quantization_bit": 8}
    refuse({"a.weight": values, "a.weight_scale": scale[:3]}, config, "a.weight_scale", "[3]", "[4]")
    refuse({"a.weight": values.float(), "a.weight_scale": scale}, config, "a.weight", "float32", "int8")
    refuse({"a.weight_scale": scale}, config, "'a.weight'", "is missing")
    refuse({"a.weight": values, "a.weight_scale": scale[:, None]}, config, "a.weight_scale", "1 dimension;")
    refuse({"a.weight": torch.ones(2, 2)}, config, "stored as rows", "hold none")


@pytest.mark.parametrize("bits", [1, 5, 16, -4, True, "8"])
def test_other_row_bits_are_refused(bits: Any) -> None:
    with pytest.raises(StemmaError, match="quantization_bit"):
        quantization({"quantization_bit": bits})


def test_a_quantization_bit_of_zero_is_dense() -> None:
    source = MemorySource({"a.weight": torch.ones(2)})
    assert dequantized(source, {"quantization_bit": 0}) == (source, None)
    assert dense_config({"quantization_bit": 0, "quantization_embeddings": False, "x": 1}) == {"x": 1}


# bitsandbytes

NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635]
NF4 += [-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725]
NF4 += [
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
]
FOUR = {
    "quantization_config": {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
    }
}
EIGHT = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}
STATE = "a.weight.quant_state.bitsandbytes__nf4"


def nf4_tensors(
    rows: int, columns: int, *, nested: bool, seed: int = 0, **state: Any
) -> tuple[Tensors, torch.Tensor]:
    """The tensors of one layer and its dense weight computed value by value."""
    draw, count = random.Random(seed), rows * columns
    codes = [draw.randrange(16) for _ in range(count)]
    padded = codes + [0] * (count % 2)
    blocks = math.ceil(count / 64)
    meaning: dict[str, Any] = {
        "quant_type": "nf4",
        "blocksize": 64,
        "dtype": "float16",
        "shape": [rows, columns],
    }
    single = torch.float32
    tensors = {
        "a.weight": torch.tensor(
            [[16 * x + y] for x, y in zip(padded[::2], padded[1::2], strict=True)], dtype=torch.uint8
        ),
        "a.weight.quant_map": torch.tensor(NF4),
    }
    if nested:
        table = torch.tensor([draw.uniform(-1, 1) for _ in range(256)])
        outer = torch.tensor([draw.uniform(0, 1) for _ in range(math.ceil(blocks / 256))])
        inner = [draw.randrange(256) for _ in range(blocks)]
        scales = [table[c] * outer[i // 256] + torch.tensor(0.04, dtype=single) for i, c in enumerate(inner)]
        meaning |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.04}
        tensors["a.weight.absmax"] = torch.tensor(inner, dtype=torch.uint8)
        tensors |= {"a.weight.nested_absmax": outer, "a.weight.nested_quant_map": table}
    else:
        scales = [torch.tensor(draw.uniform(0, 3)) for _ in range(blocks)]
        tensors["a.weight.absmax"] = torch.stack(scales)
    tensors[STATE] = torch.tensor(list(json.dumps(meaning | state).encode()), dtype=torch.uint8)
    values = [torch.tensor(NF4[code]) * scales[i // 64] for i, code in enumerate(codes)]
    return tensors, torch.stack(values).half().reshape(rows, columns)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(4, 16), (3, 50), (5, 7), (70, 300)])
def test_nf4_gives_back_every_value(
    nested: bool, rows: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemma.checkpoint.quantized import view

    tensors, expected = nf4_tensors(rows, columns, nested=nested)
    for block in (view._BLOCK, 64, 128):
        monkeypatch.setattr(view, "_BLOCK", block)
        found = read(tensors, FOUR)
        assert list(found) == ["a.weight"]
        assert torch.equal(found["a.weight"], expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": [4, 17]}, ["a.weight", "[32, 1]", "[34, 1]"]),
        ({"shape": [2**30, 2**30]}, ["a.weight", "quant_state"]),
        ({"shape": [-4, -16]}, ["no float matrix"]),
        ({"shape": [64]}, ["no float matrix"]),
        ({"blocksize": 0}, ["no float matrix"]),
        ({"blocksize": 32}, ["a.weight.absmax", "[1]", "[2]"]),
        ({"dtype": "int8"}, ["int8", "no float matrix"]),
        ({"nested_blocksize": 0}, ["no float matrix"]),
        ({"nested_blocksize": 256}, ["a.weight.nested_absmax", "missing"]),
        ({"surprise": 1}, ["surprise"]),
    ],
)
def test_an_nf4_state_that_does_not_fit_is_refused(change: dict[str, Any], words: list[str]) -> None:
    tensors, _ = nf4_tensors(4, 16, nested=False, **change)
    if change.get("nested_blocksize"):
        tensors["a.weight.absmax"] = torch.zeros(1, dtype=torch.uint8)
    refuse(tensors, FOUR, *words)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"[" * 60000, b"\xff\xfe", b" " * 70000])
def test_an_nf4_state_that_is_no_json_object_is_refused(text: bytes) -> None:
    tensors, _ = nf4_tensors(4, 16, nested=False)
    tensors[STATE] = torch.frombuffer(bytearray(text or b" "), dtype=torch.uint8)[: len(text)].clone()
    refuse(tensors, FOUR, STATE, "fetch the file again")


def test_nf4_parts_that_are_missing_or_of_another_kind_are_refused() -> None:
    tensors, _ = nf4_tensors(4, 16, nested=True)
    for part in ("absmax", "quant_map", "nested_absmax", "nested_quant_map"):
        rest = {name: tensor for name, tensor in tensors.items() if name != f"a.weight.{part}"}
        refuse(rest, FOUR, f"a.weight.{part}", "is missing")
        refuse(
            {**tensors, f"a.weight.{part}": torch.zeros(3, dtype=torch.int16)},
            FOUR,
            f"a.weight.{part}",
            "int16",
        )
    four = {**tensors, STATE.replace("nf4", "fp4"): tensors[STATE]}
    refuse(four, FOUR, "fp4", "not read")


def test_eight_bit_rows_are_scaled_by_127ths() -> None:
    values = torch.tensor([[127, -127, 0], [64, 1, -128]], dtype=torch.int8)
    scale = torch.tensor([2.0, 0.5])
    tensors = {"a.weight": values, "a.SCB": scale, "a.weight_format": torch.tensor(0, dtype=torch.uint8)}
    found = read(tensors, EIGHT)
    assert list(found) == ["a.weight"]
    torch.testing.assert_close(found["a.weight"], values.float() * scale[:, None] / 127, rtol=2e-7, atol=0)
    refuse(
        {**tensors, "a.weight_format": torch.tensor(1, dtype=torch.uint8)},
        EIGHT,
        "a.weight_format",
        "one kernel",
    )
    refuse({**tensors, "a.SCB": torch.ones(3)}, EIGHT, "a.SCB", "[3]", "[2]")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"quant_method": "bitsandbytes"}, "exactly one of"),
        ({"load_in_4bit": True, "load_in_8bit": True}, "exactly one of"),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "fp4"),
        ({"load_in_4bit": "yes"}, "expected bool"),
    ],
)
def test_bitsandbytes_settings_that_cannot_be_honoured_are_refused(
    settings: dict[str, Any], word: str
) -> None:
    with pytest.raises(StemmaError, match=word):
        quantization({"quantization_config": settings})


# Folders


def quantize_folder(
    folder: Path, change: Callable[[str, torch.Tensor], Tensors], settings: dict[str, Any]
) -> None:
    """Replace the matrices inside the layers of a single-file checkpoint."""
    shards = sorted(folder.glob("*.safetensors"))
    tensors: Tensors = {}
    for shard in shards:
        tensors |= load_file(shard)
        shard.unlink()
    (folder / "model.safetensors.index.json").unlink()
    changed: Tensors = {}
    for name, tensor in tensors.items():
        linear = ".layers." in name and tensor.ndim == 2
        changed |= change(name, tensor) if linear else {name: tensor}
    save_file({name: tensor.contiguous() for name, tensor in changed.items()}, folder / "model.safetensors")
    change_config(folder, **settings)


def change_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def rows_of(name: str, tensor: torch.Tensor) -> Tensors:
    values, scale = quantize_rows(tensor, 8)
    return {name: values, f"{name}_scale": scale}


def gptq_of(name: str, tensor: torch.Tensor) -> Tensors:
    out, inputs = tensor.shape
    layer, _ = gptq_linear(inputs, out, 4, 8, order=False)
    base = name.removesuffix(".weight")
    return named(base, {**layer, "bias": torch.zeros(out, dtype=torch.float16)})


def test_a_folder_of_rows_loads_as_the_model_of_its_dequantised_weights(folder: Path) -> None:
    dense = {name: tensor.clone() for name, tensor in load_model(folder).state_dict().items()}
    quantize_folder(folder, rows_of, {"quantization_bit": 8, "quantization_embeddings": False})
    assert describe(folder).quantization == {"layout": "rows", "bits": 8}
    model = load_model(folder)
    for name, tensor in model.state_dict().items():
        error = (tensor - dense[name]).abs().max()
        assert error <= dense[name].abs().max() / 250, name
        assert bool(error > 0) is (name.startswith("layers.") and tensor.ndim == 2), name
    assert verify(folder).passed


def test_a_gptq_folder_loads_and_biases_of_zeros_that_nobody_asked_for_are_left_out(folder: Path) -> None:
    quantize_folder(folder, gptq_of, {"quantization_config": GPTQ})
    assert describe(folder).quantization == {"layout": "gptq", "bits": 4, "group_size": 8}
    _, expected = gptq_linear(16, 24, 4, 8, order=False)
    weight = load_model(folder).get_parameter("layers.1.feed_forward.up.weight")
    assert torch.equal(weight, expected.float())
    tensors = load_file(folder / "model.safetensors")
    tensors[f"{LINEAR}.bias"][3] = 1.0
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(StemmaError, match=rf"{LINEAR}\.bias"):
        open_checkpoint(folder)


def test_settings_in_a_file_of_their_own_are_found_and_config_json_comes_first(folder: Path) -> None:
    quantize_folder(folder, gptq_of, {})
    settings = {"bits": 4, "group_size": 8, "damp_percent": 0.01, "desc_act": False, "sym": True}
    (folder / "quantize_config.json").write_text(json.dumps(settings))
    assert describe(folder).quantization == {"layout": "gptq", "bits": 4, "group_size": 8}
    assert load_model(folder).spec
    (folder / "quantize_config.json").write_text("{")
    with pytest.raises(StemmaError, match=r"quantize_config\.json"):
        describe(folder)
    assert with_side_file(folder, {"quantization_config": GPTQ}) == {"quantization_config": GPTQ}
    (folder / "quantize_config.json").rename(folder / "quant_config.json")
    (folder / "quant_config.json").write_text(json.dumps({"w_bit": 4, "q_group_size": 128}))
    with pytest.raises(StemmaError, match="'awq' is not a layout"):
        describe(folder)


def test_a_folder_that_is_dense_after_all_is_refused(folder: Path) -> None:
    change_config(folder, quantization_config=GPTQ)
    with pytest.raises(StemmaError, match="stored as gptq, the files hold none"):
        open_checkpoint(folder)


def test_an_absurd_number_of_layers_is_refused_at_once(folder: Path) -> None:
    quantize_folder(folder, rows_of, {"quantization_bit": 8, "num_hidden_layers": 2**30})
    with pytest.raises(StemmaError, match="layers"):
        open_checkpoint(folder)


def test_missing_and_mis_shaped_parts_are_named_as_published(folder: Path) -> None:
    quantize_folder(folder, rows_of, {"quantization_bit": 8})
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if k != f"{LINEAR}.weight"}, folder / "model.safetensors")
    with pytest.raises(StemmaError, match=rf"{LINEAR}\.weight"):
        open_checkpoint(folder)
    short, scale = quantize_rows(torch.ones(23, 16), 8)
    save_file(
        {**tensors, f"{LINEAR}.weight": short, f"{LINEAR}.weight_scale": scale}, folder / "model.safetensors"
    )
    with pytest.raises(StemmaError, match=rf"{LINEAR}\.weight.*\[23, 16\].*\[24, 16\]"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "layout"),
    [("qwen-7b", "gptq"), ("chatglm-6b-small", "rows"), ("chatglm2-6b", "rows"), ("llama2-gqa", "gptq")],
)
def test_a_published_family_reads_the_same_quantised_and_dequantised(
    golden: Path, tmp_path: Path, name: str, layout: str
) -> None:
    if not (golden / name / "config.json").is_file():
        pytest.skip(f"needs the reference folder {name}")
    stored: Tensors = {}
    dense: Tensors = {}
    for shard in (golden / name).glob("model*.safetensors"):
        for key, tensor in load_file(shard).items():
            linear = tensor.ndim == 2 and not any(
                word in key for word in ("embed", "wte", "lm_head", "output_layer")
            )
            if not linear or not key.endswith(".weight"):
                parts, weight = {key: tensor}, tensor
            elif layout == "rows":
                parts = rows_of(key, tensor.half())
                weight = parts[key].half() * parts[f"{key}_scale"][:, None]
            else:
                layer, weight = gptq_linear(
                    tensor.shape[1], tensor.shape[0], 4, 8, order=True, seed=len(stored)
                )
                parts = named(key.removesuffix(".weight"), layer)
            stored, dense = stored | parts, dense | {key: weight}
    config = json.loads((golden / name / "config.json").read_text())
    settings = {"quantization_bit": 8} if layout == "rows" else {"quantization_config": GPTQ}
    for folder, tensors, extra in (("stored", stored, settings), ("dense", dense, {})):
        (tmp_path / folder).mkdir()
        save_file(tensors, tmp_path / folder / "model.safetensors")
        (tmp_path / folder / "config.json").write_text(json.dumps(config | extra))
    assert len(stored) > len(dense)
    expected = load_model(tmp_path / "dense").state_dict()
    found = load_model(tmp_path / "stored").state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
