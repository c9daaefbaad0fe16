"""The facts of one model: as plain data for --json, and as one screen of lines with a name and a text."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemma.checkpoint.open import Description
    from stemma.cli.show import Shown
    from stemma.model.spec import Spec

_DTYPES = ("float32", "bfloat16", "int8", "int4")
_MOST_FILES = 6
_WIDEST = 120


def summarize(shown: "Shown", context: int | None = None) -> dict[str, Any]:
    """Everything `show` prints, as plain data; dtypes of 16 bits are one."""
    from stemma.config import plain
    from stemma.families import describe
    from stemma.families.describe_positions import reach

    spec, family = shown.architecture.spec, shown.architecture.family

    def told(facet: Callable[[describe.Stack], str]) -> str:
        """Once for both stacks where they agree."""
        words = [facet(stack) or "plain" for stack in describe.stacks(spec).values()]
        return facet(describe.stacks(spec)[""]) if len(set(words)) == 1 else "; in the encoder ".join(words)

    cached = spec.causal
    facts: dict[str, Any] = {
        "title": shown.title,
        "family": family.name if family else None,
        "parameters": spec.num_parameters(),
        "active_parameters": describe.active_parameters(spec),
        "architecture": {
            "attention": told(describe.attention),
            "scores": told(describe.scores),
            "cross-attention": describe.cross_attention(spec),
            "positions": told(describe.positions),
            "feed-forward": told(describe.feed_forward),
            "norm": told(lambda stack: f"{describe.norm(stack)}, eps {describe.epsilon(stack)}"),
            "biases": told(describe.biases),
            "embedding": told(describe.embedding),
            "head": describe.head(spec.head),
            "mask": describe.mask(spec, family),
        },
        "unusual": describe.unusual(spec, family),
        "weight_bytes": {dtype: spec.weight_bytes(dtype) for dtype in _DTYPES},
        "kv_bytes_per_token": {d: spec.kv_bytes_per_token(d) if cached else 0 for d in _DTYPES[:3]},
        "kv_bytes_at": {str(n): n * spec.kv_bytes_per_token() for n in _lengths(spec, context)},
        "flops_per_token": spec.flops_per_token(spec.max_seq_len),
        "context": reach(spec),
        "layouts": _layouts(spec),
        "spec": plain(spec),
    }
    if family is not None:
        facts["chat_template"] = family.chat_template(spec)
    if shown.preset is not None:
        facts |= {"license": shown.preset.license or None, "source": shown.preset.source}
    if shown.found is not None:
        facts |= _of_folder(shown.found)
    return facts


def _lengths(spec: "Spec", context: int | None) -> list[int]:
    """The lengths whose cache is told: the trained one and the one asked for."""
    return sorted({spec.max_seq_len, context or spec.max_seq_len}) if spec.causal else []


def _layouts(spec: "Spec") -> dict[str, list[str]]:
    """The layouts that hold the model as it is, and those that hold it after exact operations alone."""
    from stemma.families import families
    from stemma.upgrade.path import exactly_reachable

    direct = [family.name for family in families() if not family.losses(spec)]
    forms = exactly_reachable(spec)[1:]
    others = [family for family in families() if family.name not in direct]
    exact = [family.name for family in others if any(not family.losses(form) for form in forms)]
    return {"direct": direct, "after_exact_operations": exact}


def _of_folder(found: "Description") -> dict[str, Any]:
    """What a folder says beside its Spec."""
    ids = found.special_ids
    files = {p.name: p.stat().st_size for p in sorted(found.folder.iterdir()) if p.is_file()}
    licences = [name for name in files if name.lower().startswith(("licen", "model_licen"))]
    return {
        "special_ids": {"bos": ids.bos, "eos": list(ids.eos), "pad": ids.pad},
        "quantization": found.quantization,
        "license": f"see {', '.join(licences)}" if licences else None,
        "files": files,
        "stemma": {k: v for k, v in found.extra.items() if k != "rope_fingerprint"},
    }


def screen(shown: "Shown", facts: dict[str, Any]) -> str:
    """The facts as lines of a name and a text, wrapped to the terminal."""
    from stemma.families.figures import count, memory, operations, size

    spec = shown.architecture.spec
    family = shown.architecture.family
    layout = f"layout {family.name}: {family.title}" if family else "a Spec alone"
    total, active = facts["parameters"], facts["active_parameters"]
    lines = {"shape": _shape(spec)}
    lines |= {name: words for name, words in facts["architecture"].items() if words}
    lines["unusual"] = "; ".join(facts["unusual"]) or "nothing"
    lines["parameters"] = f"{total:,}" + (f", of which a token passes {active:,}" if active != total else "")
    weights = {"fp32": "float32", "fp16/bf16": "bfloat16", "int8": "int8", "int4": "int4"}
    lines["weights"] = ", ".join(f"{name} {size(facts['weight_bytes'][d])}" for name, d in weights.items())
    lines["KV cache"] = _cache(spec, facts, memory)
    lines["FLOPs"] = f"{operations(facts['flops_per_token'])} a token forward at full context"
    lines["context"] = f"trained for {facts['context']}"
    lines["layouts"] = ", ".join(facts["layouts"]["direct"])
    if facts["layouts"]["after_exact_operations"]:
        lines["layouts"] += f"; exactly convertible: {', '.join(facts['layouts']['after_exact_operations'])}"
    if family is not None:
        lines["chat"] = facts["chat_template"] or "the layout fixes no format"
    for key in ("license", "source"):
        if facts.get(key):
            lines["licence" if key == "license" else key] = facts[key]
    if shown.found is not None:
        lines |= _folder_lines(facts)
    return f"{wrapped({shown.title: f'{count(total)} parameters ({layout})'}, ':')}\n{wrapped(lines)}"


def _shape(spec: "Spec") -> str:
    encoder = f"{spec.encoder.num_layers} encoder and " if spec.encoder else ""
    layers = f"{encoder}{spec.num_layers} {'decoder ' if encoder else ''}layers x {spec.hidden_size:,}"
    return f"{layers}, vocabulary {spec.vocab_size:,}"


def _cache(spec: "Spec", facts: dict[str, Any], memory: Any) -> str:
    if not spec.causal:
        return "none: a bidirectional model reads its text at once"
    per_token = facts["kv_bytes_per_token"]
    words = f"{per_token['bfloat16']:,} bytes a token in fp16/bf16, {per_token['int8']:,} in int8"
    at = ", ".join(f"{memory(size)} at {int(n):,} tokens" for n, size in facts["kv_bytes_at"].items())
    source = "; the source adds as much per token of its own" if spec.encoder else ""
    return f"{words}; {at}{source}"


def _folder_lines(facts: dict[str, Any]) -> dict[str, str]:
    from stemma.families.figures import size

    ids, files = facts["special_ids"], facts["files"]
    lines = {"ids": f"bos {ids['bos']}, eos {ids['eos']}, pad {ids['pad']}"}
    if facts["quantization"]:
        lines["stored"] = ", ".join(f"{key} {value}" for key, value in facts["quantization"].items())
    largest = sorted(files, key=lambda name: -files[name])[:_MOST_FILES]
    rest = f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else ""
    lines["files"] = ", ".join(f"{name} {size(files[name])}" for name in largest) + rest
    if facts["stemma"]:
        lines["stemma"] = ", ".join(f"{key} {value}" for key, value in facts["stemma"].items())
    return lines


def wrapped(lines: dict[str, str], mark: str = "") -> str:
    """Names in a column, `mark` behind each, and texts beside them, no wider than the terminal."""
    import shutil
    import textwrap

    width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns)
    indent = max(map(len, lines)) + len(mark) + (1 if mark else 2)
    return "\n".join(
        textwrap.fill(
            text,
            max(width, indent + 40),
            initial_indent=f"{name + mark:<{indent}}",
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for name, text in lines.items()
    )
