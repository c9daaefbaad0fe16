"""Every family in bfloat16 stays near its float32 self: bounds stated here, positions computed in float32 all the same."""

from pathlib import Path

import pytest
import torch

from stemma.checkpoint import load_model, open_checkpoint
from stemma.checkpoint.parity import case_logits, read_cases

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
FOLDERS = sorted(p.name for p in GOLDEN.iterdir() if (p / "config.json").is_file())

# Logits have a standard deviation of about 2.5. bfloat16 keeps 8 bits, so every product is off by up to 2^-9 of itself.
# The mean difference over the logits of a case measures 0.014 to 0.064 in these models of 2 to 28 layers.
BOUND = 0.1
# A router may send a token to another expert when two are nearly equal, which changes that token's logits at will.
MIXTURES = ("mixtral", "qwen2-moe")


@pytest.mark.parametrize("name", FOLDERS)
def test_bfloat16_logits_stay_within_the_stated_bound(name: str) -> None:
    found = open_checkpoint(GOLDEN / name)
    model = load_model(found, torch.bfloat16)
    cases = read_cases(GOLDEN / name / "expected.safetensors")
    for case in (case for case in ("plain", "long") if case in cases):
        with torch.no_grad():
            logits, counted = case_logits(model, cases[case], found)
        assert logits.dtype == torch.bfloat16
        difference = (logits.float() - cases[case]["logits"]).abs()[counted]
        middle = difference.median() if name in MIXTURES else difference.mean()
        assert float(middle) < BOUND


@pytest.mark.parametrize(
    "name", ["llama2-gqa", "chatglm-6b-small", "chatglm2-6b", "qwen-7b", "glm", "falcon-7b"]
)
def test_far_positions_cost_bfloat16_no_more_than_near_ones(name: str) -> None:
    found = open_checkpoint(GOLDEN / name)
    ids = read_cases(GOLDEN / name / "expected.safetensors")["plain"]["input_ids"]
    places = torch.arange(ids.shape[1]).expand_as(ids)

    def error(offset: int) -> float:
        positions = places + offset
        if found.spec.two_positions:
            positions = torch.stack((positions, torch.zeros_like(positions)), dim=1)
        with torch.no_grad():
            wide, narrow = (
                load_model(found, dtype)(ids, position_ids=positions).float()
                for dtype in (torch.float32, torch.bfloat16)
            )
        return float((wide - narrow).abs().mean())

    # bfloat16 cannot tell 3,000 from 3,007: positions kept in it would make the far error as large as the logits.
    assert error(3000) < 1.5 * error(0) + 0.01
