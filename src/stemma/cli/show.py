"""What a checkpoint is, on one screen: family, Spec, parameters, memory, context; with two paths, their difference.

A path is a checkpoint folder, a run folder (its model/ is shown), or a TOML file that holds a Spec.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from stemma.checkpoint.open import Description
    from stemma.model.spec import BlockSpec, Spec

_DTYPES = ("float32", "bfloat16", "int8", "int4")


@dataclass(frozen=True, kw_only=True)
class Args:
    path: tyro.conf.Positional[Path]
    """A checkpoint folder, a run folder, or a Spec as TOML."""
    other: tyro.conf.Positional[Path | None] = None
    """A second one: print what differs instead."""
    json: bool = False
    """Print the result as JSON."""


def run(args: Args) -> int:
    import json

    from stemma.model.spec import difference
    from stemma.progress import say

    spec, found = _open(args.path)
    if args.other is not None:
        changes = difference(spec, _open(args.other)[0])
        if args.json:
            print(json.dumps([change._asdict() for change in changes], indent=2))
        else:
            print("\n".join(str(change) for change in changes) or "the same architecture")
        say(f"next: stemma path {args.path} {args.other}")
        return 0
    summary = summarize(spec, found)
    if args.json:
        print(json.dumps(summary, indent=2))
    else:
        _print(summary)
    if found is not None:
        say(f"next: stemma verify {found.folder}")
    return 0


def summarize(spec: "Spec", found: "Description | None") -> dict[str, Any]:
    """Everything `show` prints, as plain data."""
    from stemma.config import plain

    summary: dict[str, Any] = {
        "family": found.family.name if found else None,
        "parameters": spec.num_parameters(),
        "kv_bytes_per_token": {dtype: spec.kv_bytes_per_token(dtype) for dtype in _DTYPES[:3]},
        "weight_bytes": {dtype: spec.weight_bytes(dtype) for dtype in _DTYPES},
        "flops_per_token": spec.flops_per_token(spec.max_seq_len),
        "context": _context(spec),
        "unusual": _unusual(spec),
        "layers": [_block(block) for block in spec.blocks],
        "spec": plain(spec),
    }
    if found is not None:
        ids = found.special_ids
        summary["special_ids"] = {"bos": ids.bos, "eos": list(ids.eos), "pad": ids.pad}
        summary["chat_template"] = found.family.chat_template(spec)
        summary["files"] = {p.name: p.stat().st_size for p in sorted(found.folder.iterdir()) if p.is_file()}
        summary["stemma"] = {k: v for k, v in found.extra.items() if k != "rope_fingerprint"}
    return summary


def _open(path: Path) -> "tuple[Spec, Description | None]":
    from stemma.checkpoint.open import describe
    from stemma.config import load_toml, parse
    from stemma.model.spec import Spec

    if path.suffix == ".toml":
        return parse(Spec, load_toml(path), str(path)), None
    run_folder = not (path / "config.json").is_file() and (path / "model" / "config.json").is_file()
    found = describe(path / "model" if run_folder else path)
    return found.spec, found


def _context(spec: "Spec") -> str:
    """The trained length and what carries the model there and beyond."""
    from stemma.config import plain

    ways: list[str] = []
    for block in spec.blocks:
        position = block.attention.position
        settings = plain(position)
        kind, scaling = settings.pop("kind"), settings.pop("scaling", None)
        words = [kind.upper() if kind == "alibi" else "RoPE" if kind == "rope" else kind]
        words += [f"{k} {v:g}" for k, v in settings.items() if k == "theta" or (k == "fraction" and v != 1)]
        if scaling:
            words.append(
                f"{scaling.pop('kind')} scaling " + ", ".join(f"{k} {v:g}" for k, v in scaling.items())
            )
        if block.attention.window:
            words.append(f"window {block.attention.window}")
        ways.append(", ".join(words))
    return f"{spec.max_seq_len} tokens; " + " / ".join(dict.fromkeys(ways))


def _block(block: "BlockSpec") -> str:
    attention, feed_forward = block.attention, block.feed_forward
    heads = f"{attention.num_heads} heads x {attention.head_dim}, {attention.num_kv_heads} kv"
    inner = f"{feed_forward.kind} {feed_forward.activation} {feed_forward.intermediate_size}"
    return f"{heads}; {inner}; {block.norm.kind} eps {block.norm.eps:g}"


def _unusual(spec: "Spec") -> list[str]:
    """Where the Spec leaves the beaten path: pre-norm RMSNorm, SwiGLU, plain RoPE, no bias, an own head."""
    attentions = [block.attention for block in spec.blocks]
    remarks = {
        "head rows are normalised at use (NormHead)": spec.head.normalized,
        f"max-z loss of weight {spec.head.max_z_weight:g} in training": spec.head.max_z_weight > 0,
        "head tied to the embedding": spec.head.tie_embeddings,
        "layers differ from each other": len(set(spec.layers)) > 1,
        "biases on query, key, value": any(a.qkv_bias for a in attentions),
        "bias on the attention output": any(a.output_bias for a in attentions),
        "biases in the feed-forward layers": any(b.feed_forward.bias for b in spec.blocks),
        "heads x head_dim is not hidden_size": any(
            a.num_heads * a.head_dim != spec.hidden_size for a in attentions
        ),
        "number of heads is not a power of two": any(a.num_heads & (a.num_heads - 1) for a in attentions),
        "LayerNorm": any(b.norm.kind == "layernorm" for b in spec.blocks),
        "feed-forward is not SwiGLU": any(
            (b.feed_forward.kind, b.feed_forward.activation) != ("gated", "silu") for b in spec.blocks
        ),
        "no RoPE": any(a.position.kind != "rope" for a in attentions),
        "a length extension of RoPE": any(getattr(a.position, "scaling", None) for a in attentions),
    }
    return [remark for remark, holds in remarks.items() if holds]


def _print(summary: dict[str, Any]) -> None:
    spec = summary["spec"]
    lines = {
        "family": summary["family"] or "(a Spec alone)",
        "parameters": f"{summary['parameters']:,}",
        "shape": f"{spec['num_layers']} layers, hidden {spec['hidden_size']}, vocabulary {spec['vocab_size']}",
        "layer": " | ".join(summary["layers"]),
        "context": summary["context"],
        "unusual": "; ".join(summary["unusual"]) or "nothing",
        "weights": ", ".join(f"{dtype} {_bytes(size)}" for dtype, size in summary["weight_bytes"].items()),
        "KV cache": ", ".join(f"{d} {n:,} B/token" for d, n in summary["kv_bytes_per_token"].items()),
        "FLOPs": f"{summary['flops_per_token']:.3g} per token forward at full context",
    }
    if "files" in summary:
        ids = summary["special_ids"]
        lines["ids"] = f"bos {ids['bos']}, eos {ids['eos']}, pad {ids['pad']}"
        lines["chat"] = summary["chat_template"] or "the family fixes no format"
        lines["files"] = ", ".join(f"{name} {_bytes(size)}" for name, size in summary["files"].items())
    if summary.get("stemma"):
        lines["stemma"] = ", ".join(f"{k} {v}" for k, v in summary["stemma"].items())
    for name, text in lines.items():
        print(f"{name:<11} {text}")


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")
