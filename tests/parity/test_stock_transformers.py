"""A stock transformers opens what stemma writes, without code from anywhere else, and computes the recorded logits.

Two ways lead to a class it has: the layout is already one it knows, or an upgrade moves the model there exactly.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from stemma.checkpoint import describe, open_checkpoint, write_checkpoint
from stemma.checkpoint.parity import Tensors, read_cases, read_tolerance
from stemma.families.family import stack_of
from stemma.upgrade.upgrade import UpgradeSettings, upgrade

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
NATIVE = sorted(
    place.name
    for place in GOLDEN.iterdir()
    if (place / "config.json").is_file() and describe(place).family.native
)
AUTO_CLASSES = {
    "decoder": "AutoModelForCausalLM",
    "encoder-decoder": "AutoModelForSeq2SeqLM",
    "encoder": "AutoModelForMaskedLM",
}
# Falcon's eager path adds ALiBi to the scores and again to the mask; classes that are not named keep their default.
ATTENTION = {"FalconForCausalLM": "sdpa"}
INPUTS = ("input_ids", "attention_mask", "position_ids", "token_type_ids", "decoder_input_ids")
WITHOUT_LENGTH_DEVICES = ("position.scaling=none", "logn=none")  # what Qwen 1 adds beyond its trained length
QUICK = UpgradeSettings(num_windows=2, window_length=32)


@pytest.fixture(scope="session")
def transformers() -> Any:
    reason = "needs transformers, which the dev extra installs"
    return pytest.importorskip("transformers", minversion="5.0", reason=reason)


def opened_by(transformers: Any, folder: Path) -> Any:
    """The model under the class the family names, every tensor of the files used and none invented."""
    about = describe(folder)
    auto_class = getattr(transformers, AUTO_CLASSES[stack_of(about.spec)])
    kind: dict[str, str] = {}
    if about.family.native in ATTENTION:
        kind["attn_implementation"] = ATTENTION[about.family.native]
    model, report = auto_class.from_pretrained(folder, output_loading_info=True, **kind)
    assert {name: found for name, found in report.items() if found} == {}
    assert type(model).__name__ == about.family.native
    return model.eval()


def largest_difference(model: Any, tensors: Tensors) -> float:
    """Of the logits that count, from the recorded ones."""
    with torch.no_grad():
        logits = model(**{name: tensors[name] for name in INPUTS if name in tensors}).logits
    expected = tensors["logits"]
    assert logits.shape == expected.shape
    counted = torch.ones(expected.shape[:2], dtype=torch.bool)
    if "decoder_input_ids" not in tensors:
        counted = tensors.get("valid", tensors.get("attention_mask", counted)) == 1
    return float((logits - expected).abs().amax(dim=-1)[counted].max())


def assert_recorded_logits(model: Any, name: str, skipped: tuple[str, ...] = ()) -> None:
    cases = read_cases(GOLDEN / name / "expected.safetensors")
    differences = {
        case: largest_difference(model, tensors)
        for case, tensors in cases.items()
        if "logits" in tensors and case not in skipped
    }
    assert {"plain", "padded"} <= set(differences)
    tolerance = read_tolerance(GOLDEN / name / "facts.json")
    assert {case: found for case, found in differences.items() if not found <= tolerance} == {}


@pytest.mark.parametrize("name", NATIVE)
def test_a_written_folder_of_a_native_layout_gives_the_recorded_logits(
    transformers: Any, tmp_path: Path, name: str
) -> None:
    before = open_checkpoint(GOLDEN / name)
    write_checkpoint(
        tmp_path / "written",
        before.spec,
        before.tensors,
        family=before.family,
        special_ids=before.special_ids,
    )
    assert_recorded_logits(opened_by(transformers, tmp_path / "written"), name)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("internlm-7b", "llama"),
        ("baichuan-7b", "llama"),
        ("baichuan2-7b", "llama"),
        ("chatglm2-6b", "glm"),
        ("chatglm2-6b-32k", "glm"),
        ("chatglm3-6b", "glm"),
        ("chatglm3-6b-32k", "glm"),
    ],
)
def test_a_model_moved_into_a_native_layout_gives_the_logits_of_its_own_code(
    transformers: Any, tmp_path: Path, name: str, family: str
) -> None:
    assert not describe(GOLDEN / name).family.native
    result = upgrade(GOLDEN / name, ["transformers"], tmp_path / "moved", QUICK)
    assert result.certificate.claim == "exact"
    assert describe(tmp_path / "moved").family.name == family
    assert_recorded_logits(opened_by(transformers, tmp_path / "moved"), name)


def test_qwen_1_without_its_length_devices_gives_the_logits_of_its_own_code_within_the_trained_length(
    transformers: Any, tmp_path: Path
) -> None:
    upgrade(GOLDEN / "qwen-7b", ["qwen2", *WITHOUT_LENGTH_DEVICES], tmp_path / "moved", QUICK)
    model = opened_by(transformers, tmp_path / "moved")
    assert_recorded_logits(model, "qwen-7b", skipped=("long", "long_padded"))
    tolerance = read_tolerance(GOLDEN / "qwen-7b" / "facts.json")
    beyond = read_cases(GOLDEN / "qwen-7b" / "expected.safetensors")["long"]
    assert largest_difference(model, beyond) > 100 * tolerance  # what the two devices are for
