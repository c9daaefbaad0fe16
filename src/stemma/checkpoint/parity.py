"""Parity with recorded reference tensors: run the cases of an expected.safetensors and measure the difference.

The file holds `<case>.<tensor>`, facts.json the tolerance. Logits are compared where `valid` or the attention mask is 1,
of encoder-decoder models everywhere; greedy tokens must be equal; a loss is the mean cross entropy over labels that are
not -100 plus `max_z_weight` times the mean, over all shifted positions, of the squared largest logit (arXiv 2309.10305,
eq. 1). Some cases hold the same run of a changed model, named in `_VARIATIONS`. A case or tensor nobody knows is an
error: what is not run is not verified.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch.nn import functional

from stemma.checkpoint.open import Description, describe
from stemma.checkpoint.shards import map_safetensors
from stemma.config import load_json, parse, suggest
from stemma.errors import StemmaError
from stemma.model.blanks import BlankMarks, read_prompt
from stemma.model.cache import KVCache
from stemma.model.spec import AttentionSpec, Rope2dSpec, RopeSpec, Spec
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


class _Run(NamedTuple):
    """What a case is run with."""

    model: Transformer
    tensors: Tensors
    tolerance: float
    about: Description


def has_reference(folder: Path) -> bool:
    """Whether recorded reference tensors lie in the folder."""
    return (folder / "expected.safetensors").is_file()


def run_cases(model: Transformer, folder: Path, about: Description | None = None) -> list[Case]:
    """Run all cases of the folder's expected.safetensors on a float32 model. Raises StemmaError for broken files.

    `about` is what the folder's config says, read here when it is not given.
    """
    tolerance, about = read_tolerance(folder / "facts.json"), about or describe(folder)
    outcomes: list[Case] = []
    for name, tensors in sorted(read_cases(folder / "expected.safetensors").items()):
        try:
            difference, allowed = _run(name, _Run(model, tensors, tolerance, about))
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


def read_cases(path: Path) -> dict[str, dict[str, torch.Tensor]]:
    """The recorded tensors by case and name."""
    cases: dict[str, dict[str, torch.Tensor]] = {}
    with map_safetensors(path) as file:
        for name in file.keys():  # noqa: SIM118 - not a dict
            case, _, tensor = name.partition(".")
            cases.setdefault(case, {})[tensor] = file.get_tensor(name)
    return cases


@torch.no_grad()
def _run(name: str, run: _Run) -> tuple[float, float]:
    if name not in _CASES:
        raise StemmaError(f"case '{name}' is not known{suggest(name, list(_CASES))}")
    measure, known = _CASES[name]
    strange = [tensor for tensor in run.tensors if tensor not in known]
    if strange:
        raise StemmaError(f"tensor '{name}.{strange[0]}' is not known{suggest(strange[0], known)}")
    try:
        return measure(run)
    except KeyError as error:
        raise StemmaError(f"tensor '{name}.{error.args[0]}' is missing from the reference file") from None


def case_logits(
    model: Transformer, tensors: Tensors, about: Description
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (B, T, V) of one recorded input, and which of its tokens count (B, T) bool."""
    ids, mask = tensors["input_ids"], tensors.get("attention_mask")
    if "decoder_input_ids" in tensors:
        target = tensors["decoder_input_ids"]
        return model(target, memory=model.encode(ids, mask)), torch.ones_like(target, dtype=torch.bool)
    arguments: dict[str, Any] = {"position_ids": tensors.get("position_ids")}
    counted = torch.ones_like(ids)
    if "token_type_ids" in tensors:
        arguments["token_type_ids"] = tensors["token_type_ids"]
    if mask is not None and mask.shape == ids.shape:
        counts_padding = about.family.counts_padding or not model.spec.causal
        if arguments["position_ids"] is None and not counts_padding:
            arguments["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
        arguments["segment_ids"], counted = mask, mask
    elif mask is not None:
        arguments["segment_ids"], arguments["prefix_lengths"] = read_prefix_mask(mask, ids.shape[1])
        counted = arguments["segment_ids"]
    return model(ids, **arguments), tensors.get("valid", counted) == 1


def read_prefix_mask(mask: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Segment ids and prefix lengths, each (B, T), that say what a recorded mask says.

    The mask is (B,) lengths of the prefix, or (B, 1, T, T): booleans that are true where a key is hidden, or integers
    that are 1 where it is visible. Raises StemmaError for one that is no prefix mask.
    """
    if mask.ndim == 1:
        return torch.ones(len(mask), length, dtype=torch.long), mask[:, None].expand(-1, length)
    visible = (~mask if mask.dtype == torch.bool else mask == 1)[:, 0]  # (B, T, T)
    real = visible[:, -1]  # the last token sees every token that is none of the padding
    first = real.int().argmax(dim=1)
    context = visible[torch.arange(len(first)), first].sum(dim=1)
    places = torch.arange(length)
    index = real.long().cumsum(dim=1) - 1
    expected = ((places <= places[:, None]) | (index < context[:, None])[:, None]) & real[:, None]
    if not torch.equal(expected[real], visible[real]):
        raise StemmaError("the recorded attention_mask is no prefix mask")
    return real.long(), context[:, None].expand(-1, length)


def _logits(run: _Run) -> tuple[float, float]:
    largest = 0.0
    for name in [name for name in run.tensors if "logits" in name]:
        model = run.model
        if name != "logits":
            model = rebuilt(model, _VARIATIONS[name](model.spec))
        logits, counted = case_logits(model, run.tensors, run.about)
        expected = run.tensors[name]
        length = expected.shape[1]
        logits, counted = logits[:, -length:], counted[:, -length:]
        if logits.shape != expected.shape:
            raise StemmaError(f"logits have shape {list(logits.shape)}, recorded are {list(expected.shape)}")
        difference = (logits - expected).abs().amax(dim=-1)[counted]  # (N,)
        largest = max(largest, float(difference.max()))
    if "logits" not in run.tensors:
        raise KeyError("logits")
    return largest, run.tolerance


def rebuilt(model: Transformer, spec: Spec) -> Transformer:
    """The same weights in a model of another Spec."""
    with torch.device("meta"):
        other = Transformer(spec)
    other.load_state_dict(model.state_dict(), assign=True)
    return other.eval()


def _greedy(run: _Run) -> tuple[float, float]:
    prompt, expected = run.tensors["prompt"], run.tensors["tokens"]
    if run.model.spec.encoder is not None:
        memory, tokens = run.model.encode(prompt), expected[:, :1]
    else:
        memory, tokens = None, prompt
    cache = KVCache(run.model.spec, len(prompt), expected.shape[1], memory=memory)
    positions, prefix = _prompt_layout(run, tokens.shape[1])
    step = tokens
    while tokens.shape[1] < expected.shape[1]:
        start = cache.length
        here = None if positions is None else positions[:, :, start : tokens.shape[1]]
        logits = run.model(
            step, cache=cache, position_ids=here, prefix_lengths=prefix if start == 0 else None
        )
        step = logits[:, -1:].argmax(dim=-1)
        tokens = torch.cat((tokens, step), dim=1)
    return float((tokens != expected).sum()), 0.0


def _prompt_layout(run: _Run, length: int) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Positions (B, 2, all tokens) and prefix lengths (B, prompt) of a blank-filling prompt; None for other models."""
    if not run.about.family.fills_blanks:
        return None, None
    tokens = run.tensors["tokens"]
    if "position_ids" in run.tensors:
        _, prefix = read_prefix_mask(run.tensors["attention_mask"], tokens.shape[1])
        return run.tensors["position_ids"], prefix[:, :length]
    ids = run.about.special_ids
    if ids.bos is None:
        raise StemmaError("config.json names no bos_token_id, which begins the piece to write")
    found = [read_prompt(row, BlankMarks(ids.bos, ids.masks)) for row in cast("Any", tokens).tolist()]
    prefix = torch.tensor([[prompt.context] for prompt in found]).expand(-1, length)
    return torch.stack([prompt.position_ids for prompt in found]), prefix


def _greedy_without_cache(run: _Run) -> tuple[float, float]:
    tokens, expected = run.tensors["prompt"], run.tensors["tokens"]
    while tokens.shape[1] < expected.shape[1]:
        tokens = torch.cat((tokens, run.model(tokens)[:, -1:].argmax(dim=-1)), dim=1)
    return float((tokens != expected).sum()), 0.0


def _loss(run: _Run) -> tuple[float, float]:
    logits = run.model(run.tensors["input_ids"])[:, :-1]
    labels = run.tensors["labels"][:, 1:]
    loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    loss = loss + run.model.spec.head.max_z_weight * logits.amax(dim=-1).square().mean()
    return abs(float(loss) - float(run.tensors["value"])), run.tolerance


def _each_attention(change: Callable[[AttentionSpec], AttentionSpec]) -> Callable[[Spec], Spec]:
    def changed(spec: Spec) -> Spec:
        blocks = (dataclasses.replace(block, attention=change(block.attention)) for block in spec.blocks)
        return dataclasses.replace(spec, blocks=tuple(blocks))

    return changed


def _unscaled(attention: AttentionSpec) -> AttentionSpec:
    assert isinstance(attention.position, RopeSpec)
    return dataclasses.replace(attention, position=dataclasses.replace(attention.position, scaling=None))


def _full_precision(attention: AttentionSpec) -> AttentionSpec:
    assert isinstance(attention.position, Rope2dSpec)
    position = dataclasses.replace(attention.position, half_precision=False)
    return dataclasses.replace(attention, position=position)


_VARIATIONS: dict[str, Callable[[Spec], Spec]] = {
    "logits_exact_inv_freq": _each_attention(_full_precision),
    "last16_logits_logn_only": _each_attention(_unscaled),
    "last16_logits_ntk_only": _each_attention(lambda a: dataclasses.replace(a, logn=None)),
    "last16_logits_neither": _each_attention(lambda a: dataclasses.replace(_unscaled(a), logn=None)),
}
_OF_INPUTS = ("input_ids", "attention_mask", "position_ids", "token_type_ids", "decoder_input_ids", "valid")
_STATES = ("hidden_states", "encoder_last_hidden_state")  # for finding a fault, not compared
_OF_LOGITS = (*_OF_INPUTS, "logits", *_STATES, *_VARIATIONS)
_OF_TOKENS = ("prompt", "tokens", "position_ids", "attention_mask")
_CASES: dict[str, tuple[Callable[[_Run], tuple[float, float]], tuple[str, ...]]] = {
    **dict.fromkeys(("plain", "padded", "long", "long_padded", "mask", "sep"), (_logits, _OF_LOGITS)),
    **dict.fromkeys(("greedy", "greedy_cross", "greedy_long"), (_greedy, _OF_TOKENS)),
    "greedy_nocache": (_greedy_without_cache, _OF_TOKENS),
    "loss": (_loss, ("input_ids", "labels", "value")),
}
