"""Parity with recorded reference tensors: run the cases of an expected.safetensors and measure the difference.

The file holds `<case>.<tensor>`, facts.json the tolerance. Logits are compared where `valid` or the attention mask is 1;
greedy tokens must be equal; a loss is the mean cross entropy over labels that are not -100 plus `max_z_weight` times the
mean, over all shifted positions, of the squared largest logit (arXiv 2309.10305, eq. 1). A case or tensor nobody knows is
an error: what is not run is not verified.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch.nn import functional

from stemma.checkpoint.shards import map_safetensors
from stemma.config import load_json, parse, suggest
from stemma.errors import StemmaError
from stemma.model.cache import KVCache
from stemma.model.transformer import Transformer

Tensors = Mapping[str, torch.Tensor]
_TOLERANCE_KEYS = ("max_abs_logit_difference", "atol_logits")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case's outcome. `difference` is the largest of a logit or a loss; for tokens, how many differ."""

    name: str
    difference: float
    tolerance: float
    passed: bool
    problem: str = ""


def has_reference(folder: Path) -> bool:
    """Whether recorded reference tensors lie in the folder."""
    return (folder / "expected.safetensors").is_file()


def run_cases(model: Transformer, folder: Path) -> list[Case]:
    """Run all cases of the folder's expected.safetensors on a float32 model. Raises StemmaError for broken files."""
    tolerance = read_tolerance(folder / "facts.json")
    outcomes: list[Case] = []
    for name, tensors in sorted(_read_cases(folder / "expected.safetensors").items()):
        try:
            difference, allowed = _run(name, model, tensors, tolerance)
        except StemmaError as error:
            outcomes.append(
                Case(
                    name=name, difference=float("nan"), tolerance=tolerance, passed=False, problem=str(error)
                )
            )
        else:
            passed = difference <= allowed
            outcomes.append(Case(name=name, difference=difference, tolerance=allowed, passed=passed))
    return outcomes


def read_tolerance(path: Path) -> float:
    """The allowed difference of a logit, under either of its published keys."""
    table = cast("dict[str, Any]", load_json(path).get("tolerance") or {})
    for key in _TOLERANCE_KEYS:
        if key in table:
            return parse(float, table[key], f"{path}: tolerance.{key}")
    raise StemmaError(
        f"{path}: states no tolerance; expected tolerance.{' or tolerance.'.join(_TOLERANCE_KEYS)}"
    )


def _read_cases(path: Path) -> dict[str, dict[str, torch.Tensor]]:
    cases: dict[str, dict[str, torch.Tensor]] = {}
    with map_safetensors(path) as file:
        for name in file.keys():  # noqa: SIM118 - not a dict
            case, _, tensor = name.partition(".")
            cases.setdefault(case, {})[tensor] = file.get_tensor(name)
    return cases


@torch.no_grad()
def _run(name: str, model: Transformer, tensors: Tensors, tolerance: float) -> tuple[float, float]:
    if name not in _CASES:
        raise StemmaError(f"case '{name}' is not known{suggest(name, list(_CASES))}")
    run, known = _CASES[name]
    strange = [tensor for tensor in tensors if tensor not in known]
    if strange:
        raise StemmaError(f"tensor '{name}.{strange[0]}' is not known{suggest(strange[0], known)}")
    try:
        return run(model, tensors, tolerance)
    except KeyError as error:
        raise StemmaError(f"tensor '{name}.{error.args[0]}' is missing from the reference file") from None


def _logits(model: Transformer, tensors: Tensors, tolerance: float) -> tuple[float, float]:
    mask = tensors.get("attention_mask")
    positions = tensors.get("position_ids")
    if mask is not None and positions is None:
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    logits = model(tensors["input_ids"], position_ids=positions, segment_ids=mask)  # (B, T, V)
    if logits.shape != tensors["logits"].shape:
        raise StemmaError(
            f"logits have shape {list(logits.shape)}, recorded are {list(tensors['logits'].shape)}"
        )
    difference = (logits - tensors["logits"]).abs().amax(dim=-1)  # (B, T)
    counted = tensors.get("valid", mask)
    if counted is not None:
        difference = difference[counted == 1]
    return float(difference.max()), tolerance


def _greedy(model: Transformer, tensors: Tensors, tolerance: float) -> tuple[float, float]:
    prompt, expected = tensors["prompt"], tensors["tokens"]
    cache = KVCache(model.spec, len(prompt), expected.shape[1])
    tokens, step = prompt, prompt
    while tokens.shape[1] < expected.shape[1]:
        step = model(step, cache=cache)[:, -1:].argmax(dim=-1)
        tokens = torch.cat((tokens, step), dim=1)
    return float((tokens != expected).sum()), 0.0


def _greedy_without_cache(model: Transformer, tensors: Tensors, tolerance: float) -> tuple[float, float]:
    tokens, expected = tensors["prompt"], tensors["tokens"]
    while tokens.shape[1] < expected.shape[1]:
        tokens = torch.cat((tokens, model(tokens)[:, -1:].argmax(dim=-1)), dim=1)
    return float((tokens != expected).sum()), 0.0


def _loss(model: Transformer, tensors: Tensors, tolerance: float) -> tuple[float, float]:
    logits = model(tensors["input_ids"])[:, :-1]
    labels = tensors["labels"][:, 1:]
    loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    loss = loss + model.spec.head.max_z_weight * logits.amax(dim=-1).square().mean()
    return abs(float(loss) - float(tensors["value"])), tolerance


_OF_LOGITS = ("input_ids", "attention_mask", "position_ids", "valid", "logits", "hidden_states")
_OF_TOKENS = ("prompt", "tokens")
_CASES: dict[str, tuple[Callable[[Transformer, Tensors, float], tuple[float, float]], tuple[str, ...]]] = {
    "plain": (_logits, _OF_LOGITS),
    "padded": (_logits, _OF_LOGITS),
    "long": (_logits, _OF_LOGITS),
    "greedy": (_greedy, _OF_TOKENS),
    "greedy_nocache": (_greedy_without_cache, _OF_TOKENS),
    "loss": (_loss, ("input_ids", "labels", "value")),
}
