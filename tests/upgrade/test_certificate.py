"""Certificates: their numbers recomputed, their claims held to, their text named."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stemma.checkpoint import load_model, open_checkpoint, write_checkpoint
from stemma.errors import CheckFailed, StemmaError
from stemma.families.source import TensorInfo, TensorSource
from stemma.model.spec import HeadSpec, Spec
from stemma.storage import sha256
from stemma.tokenizer.load import load_tokenizer
from stemma.upgrade import windows as windows_module
from stemma.upgrade.certificate import read_certificate
from stemma.upgrade.fold_head import FOLD_HEAD
from stemma.upgrade.path import OPERATIONS
from stemma.upgrade.untie_head import UNTIE_HEAD
from stemma.upgrade.upgrade import UpgradeSettings, upgrade
from stemma.upgrade.view import Rewritten, RewrittenSource

QUICK = UpgradeSettings(num_windows=2, window_length=32)


def test_the_certificate_says_what_an_independent_computation_says(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_checkpoint("source")
    text = tmp_path / "text.txt"
    text.write_text("The ferry leaves twice a day. 渡船每天开两班。" * 8, "utf-8")
    settings = UpgradeSettings(text=text, num_windows=3, window_length=40)
    certificate = upgrade(source, ["num_kv_heads=2"], tmp_path / "out", settings).certificate
    tokenizer = load_tokenizer(source)
    ids = tokenizer.encode(text.read_text("utf-8"))
    available = len(ids) // 40
    rows = torch.tensor([ids[i * available // 3 * 40 :][:40] for i in range(3)])
    with torch.inference_mode():
        old, new = (load_model(folder)(rows).double() for folder in (source, tmp_path / "out"))
    log_p, log_q = old.log_softmax(-1), new.log_softmax(-1)
    loss = [-lp[:, :-1].gather(-1, rows[:, 1:, None])[..., 0] for lp in (log_p, log_q)]
    measured = certificate.measured
    assert measured.max_logit_difference == pytest.approx(float((old - new).abs().max()), rel=1e-5)
    assert measured.mean_logit_difference == pytest.approx(float((old - new).abs().mean()), rel=1e-5)
    assert measured.logit_std == pytest.approx(float(old.std(correction=0)), rel=1e-6)
    kl = float((log_p.exp() * (log_p - log_q)).sum(-1).mean())
    assert measured.kl_per_token == pytest.approx(kl, rel=1e-4)
    assert measured.perplexity_before == pytest.approx(math.exp(float(loss[0].mean())), rel=1e-5)
    assert measured.perplexity_after == pytest.approx(math.exp(float(loss[1].mean())), rel=1e-5)
    num_bytes = sum(len(tokenizer.token_bytes(int(t))) for t in rows[:, 1:].flatten())
    assert certificate.text.bytes == num_bytes
    bits = float(loss[1].sum()) / math.log(2) / num_bytes
    assert measured.bits_per_byte_after == pytest.approx(bits, rel=1e-5)
    edges = [(bucket.first, bucket.last) for bucket in measured.by_position]
    assert edges == [(1, 16), (17, 39)]
    late = math.exp(float(loss[1][:, 16:39].mean()))
    assert measured.by_position[1].perplexity_after == pytest.approx(late, rel=1e-5)
    assert certificate.input.kv_bytes_per_token == 2 * 2 * 4 * 8 * 4
    assert certificate.output.kv_bytes_per_token == 2 * 2 * 2 * 8 * 4
    assert certificate.input.parameters - certificate.output.parameters == 2 * 2 * 16 * 32
    assert certificate.input.weights_sha256 == {"model.safetensors": sha256(source / "model.safetensors")}
    assert certificate.output.weights_sha256 == {
        "model.safetensors": sha256(tmp_path / "out" / "model.safetensors")
    }


def test_an_approximate_upgrade_is_written_and_called_approximate(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_checkpoint("source")
    certificate = upgrade(source, ["num_kv_heads=1"], tmp_path / "out", QUICK).certificate
    (step,) = certificate.operations
    assert (certificate.claim, step.exact_here) == ("approximate", False)
    assert "5%" in step.healing
    assert certificate.measured.max_logit_difference > certificate.tolerance.largest
    assert open_checkpoint(tmp_path / "out").spec.blocks[0].attention.num_kv_heads == 1


def test_grouping_equal_heads_is_certified_exact(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    def equal(weights: dict[str, torch.Tensor]) -> None:
        for name in list(weights):
            if ".key." in name or ".value." in name:
                weights[name] = weights[name][:8].repeat(4, 1)

    source = make_checkpoint("source", change=equal, dtype=torch.bfloat16)
    certificate = upgrade(source, ["num_kv_heads=1"], tmp_path / "out", QUICK).certificate
    assert certificate.claim == "exact"
    assert certificate.operations[0].exact_here
    assert certificate.operations[0].healing == "none"


def test_the_certificate_is_signed_and_a_changed_one_is_noticed(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_checkpoint("source")
    out = tmp_path / "out"
    certificate = upgrade(source, ["num_kv_heads=2"], out, QUICK).certificate
    assert read_certificate(out) == certificate
    text = (out / "certificate.json").read_text("utf-8")
    (out / "certificate.json").write_text(text.replace('"approximate"', '"exact"', 1), "utf-8")
    with pytest.raises(CheckFailed, match="digest"):
        read_certificate(out)


def test_an_upgrade_of_an_upgrade_names_the_first_certificate(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_checkpoint("source")
    upgrade(source, ["num_kv_heads=2"], tmp_path / "first", QUICK)
    second = upgrade(tmp_path / "first", ["num_kv_heads=4"], tmp_path / "second", QUICK).certificate
    assert second.claim == "exact"
    assert second.input.certificate_sha256 == sha256(tmp_path / "first" / "certificate.json")


def test_rounding_to_the_stored_dtype_is_measured_apart_from_the_claim(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_checkpoint("source", head=HeadSpec(normalized=True), dtype=torch.bfloat16)
    certificate = upgrade(source, ["llama"], tmp_path / "out", QUICK).certificate
    assert certificate.claim == "exact"
    assert certificate.before_rounding is not None
    assert certificate.before_rounding.max_logit_difference <= certificate.tolerance.largest
    assert certificate.measured.max_logit_difference > certificate.tolerance.largest
    assert certificate.output.dtype == "bfloat16"
    assert open_checkpoint(tmp_path / "out").tensors.info("head.weight").dtype == torch.bfloat16


def _lie(source: TensorSource, before: Spec, after: Spec) -> TensorSource:
    return source


def test_an_operation_that_lies_about_being_exact_writes_nothing(golden: Path, tmp_path: Path) -> None:
    lying = dataclasses.replace(FOLD_HEAD, convert=_lie)
    operations = tuple(lying if operation is FOLD_HEAD else operation for operation in OPERATIONS)
    with pytest.raises(CheckFailed, match="claimed to be exact and is not: fold_head") as error:
        upgrade(golden / "baichuan2-7b", ["llama"], tmp_path / "out", QUICK, operations=operations)
    assert error.value.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_an_approximate_neighbour_does_not_hide_a_lie(golden: Path, tmp_path: Path) -> None:
    lying = dataclasses.replace(FOLD_HEAD, convert=_lie)
    operations = tuple(lying if operation is FOLD_HEAD else operation for operation in OPERATIONS)
    with pytest.raises(CheckFailed, match="fold_head"):
        upgrade(
            golden / "baichuan2-7b",
            ["llama", "num_kv_heads=2"],
            tmp_path / "out",
            QUICK,
            operations=operations,
        )
    assert not list(tmp_path.iterdir())


def test_a_tensor_invented_in_silence_is_refused(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    def invent(source: TensorSource, before: Spec, after: Spec) -> TensorSource:
        info = TensorInfo(source.info("embedding.weight").shape, torch.float32)
        made = Rewritten(info, lambda: torch.full(info.shape, 0.1))
        return RewrittenSource(source, {"head.weight": made})

    source = make_checkpoint("source", head=HeadSpec(tie_embeddings=True), tokenizer=False)
    inventing = dataclasses.replace(UNTIE_HEAD, convert=invent, exactness="approximate")
    operations = tuple(inventing if operation is UNTIE_HEAD else operation for operation in OPERATIONS)
    with pytest.raises(CheckFailed, match=r"head\.weight was made from no input tensor"):
        upgrade(source, ["tie_embeddings=false"], tmp_path / "out", QUICK, operations=operations)
    assert not (tmp_path / "out").exists()


def test_a_text_shorter_than_a_window_and_a_text_without_tokenizer_are_refused(
    make_checkpoint: Callable[..., Path], golden: Path, tmp_path: Path
) -> None:
    text = tmp_path / "short.txt"
    text.write_text("no")
    settings = UpgradeSettings(text=text)
    with pytest.raises(StemmaError, match="gives 2 tokens"):
        upgrade(make_checkpoint("source"), ["num_kv_heads=2"], tmp_path / "out", settings)
    with pytest.raises(StemmaError, match="no tokenizer to read"):
        upgrade(golden / "baichuan-7b", ["llama"], tmp_path / "out", settings)


def test_a_window_longer_than_the_built_in_text_names_it(make_checkpoint: Callable[..., Path]) -> None:
    source = make_checkpoint("source")
    with pytest.raises(StemmaError, match=r"^the built-in text: gives \d+ tokens .* with --text"):
        windows_module.cut_windows(source, open_checkpoint(source).spec, None, num_windows=1, length=10**6)


def test_the_built_in_text_is_both_languages(make_checkpoint: Callable[..., Path]) -> None:
    source = make_checkpoint("source")
    cut = windows_module.cut_windows(source, open_checkpoint(source).spec, None, num_windows=8, length=64)
    assert cut.facts.kind == "built-in zh/en text"
    text = load_tokenizer(source).decode(cut.token_ids.flatten().tolist())
    assert any("一" <= c <= "鿿" for c in text)
    assert any("a" <= c <= "z" for c in text)
    assert len({tuple(row.tolist()) for row in cut.token_ids}) == 8


def test_weights_damaged_on_the_way_to_the_disk_are_noticed(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(folder: Path, spec: Spec, source: TensorSource, **rest: Any) -> None:
        name = "layers.1.feed_forward.down.weight"
        damaged = Rewritten(source.info(name), lambda: source.read(name) * 1.01)
        write_checkpoint(folder, spec, RewrittenSource(source, {name: damaged}), **rest)

    monkeypatch.setattr("stemma.upgrade.carry_out.write_checkpoint", damage)
    with pytest.raises(CheckFailed, match="is not: the change of layout moves a logit"):
        upgrade(golden / "baichuan-7b", ["llama"], tmp_path / "out", QUICK)
    assert not list(tmp_path.iterdir())
