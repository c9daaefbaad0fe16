"""The upgrade section: a certificate as people read it (fields of stemma.upgrade.certificate.Certificate).

Operations with their class and what was found on these weights, logits and perplexity before, after and healed,
perplexity by position, parameters and KV cache, and the names of tensors used, unused and invented.
"""

from pathlib import Path

from stemma.report.blocks import (
    Block,
    Cell,
    Code,
    Columns,
    Facts,
    Figure,
    Fold,
    Headline,
    Quote,
    Section,
    Stack,
    Table,
    Text,
    Tone,
    num,
)
from stemma.report.formats import count, fixed, percent, plain, scalar, significant, size
from stemma.report.plots import Curve, curves
from stemma.report.record import Record, read_record

_CLASS = {"exact": "exact", "exact_if": "exact under a condition", "approximate": "approximate"}
_MEASURES = (
    ("largest logit difference", "max_logit_difference", significant),
    ("mean logit difference", "mean_logit_difference", significant),
    ("standard deviation of the logits before", "logit_std", significant),
    ("same most likely token", "same_top_token", percent),
    ("KL divergence, nats per token", "kl_per_token", significant),
    ("largest KL of one token", "max_kl", significant),
)
_SCORES = (("perplexity", "perplexity", 3), ("bits per byte", "bits_per_byte", 4))


def upgrades(folder: Path) -> list[Section]:
    """A section for each certificate: the folder's own, `upgrade/` and `upgrade/NAME/`, in this order."""
    files = [folder / "certificate.json", folder / "upgrade" / "certificate.json"]
    files += sorted(folder.glob("upgrade/*/certificate.json"))
    found = [(path.parent.name, read_record(path)) for path in files]
    found = [(name, record) for name, record in found if record]
    return [_section(name, record, n) for n, (name, record) in enumerate(found)]


def _section(name: str, certificate: Record, index: int) -> Section:
    measured, healing = certificate.record("measured"), certificate.record("healing")
    healed = healing.record("measured")
    blocks: list[Block] = [Text(_sentence(certificate, measured, healed)), _operations(certificate)]
    tables: list[Block] = [one for one in (_scores(measured, healed), _sizes(certificate)) if one]
    beside: list[Block] = [one for one in (_positions(measured, healed), Stack(tables)) if one]
    blocks += [Columns(beside), *_differences(certificate, measured, healed)]
    blocks += _tensors(certificate.record("tensors"))
    blocks += _details(certificate, healing)
    title = "Upgrade" if index == 0 else f"Upgrade: {plain(name)}"
    anchor = "upgrade" if index == 0 else f"upgrade-{index + 1}"
    largest = measured.number("max_logit_difference")
    headline = Headline(
        significant(largest), "largest logit difference", f"upgrade claimed {certificate.text('claim')}"
    )
    headlines = [headline] if largest is not None and certificate.text("claim") == "exact" else []
    before, after = measured.number("perplexity_before"), measured.number("perplexity_after")
    last = healed.number("perplexity_after") or after
    if not headlines and before and last is not None:
        note = f"{fixed(before, 2)} before" + (f", {fixed(after, 2)} unhealed" if healed else "")
        headlines = [Headline(fixed(last, 2), "perplexity, upgraded", note)]
    return Section(anchor, title, blocks, headlines, _protocol(certificate))


def _sentence(certificate: Record, measured: Record, healed: Record) -> str:
    names = [one.text("name").replace("_", " ") for one in certificate.records("operations")]
    claim, largest = certificate.text("claim"), measured.number("max_logit_difference")
    text = f"{len(names)} operation{'s' if len(names) != 1 else ''} ({', '.join(names)}), claimed {claim}."
    if claim == "exact" and largest is not None:
        allowed = certificate.record("tolerance").number("largest")
        text += f" Measured on these weights, no logit moved by more than {significant(largest)}"
        text += f"; the claim allows {significant(allowed)}." if allowed is not None else "."
    elif measured:
        before, after = measured.number("perplexity_before"), measured.number("perplexity_after")
        text += f" Perplexity went from {fixed(before, 2)} to {fixed(after, 2)}"
        text += (
            f" and, healed by continued training, to {fixed(healed.number('perplexity_after'), 2)}."
            if healed
            else "."
        )
    return text


def _operations(certificate: Record) -> Table:
    rows = []
    for one in certificate.records("operations"):
        here = one.flag("exact_here")
        tone: Tone = "good" if here else "warn"
        condition = one.text("condition")
        rows.append(
            [
                Cell(plain(one.text("name"))),
                Cell(one.text("does") + (f" (exact if {condition})" if condition else "")),
                Cell("\n".join(str(change) for change in one.values("changes")), code=True),
                Cell(_CLASS.get(one.text("exactness"), one.text("exactness"))),
                Cell("exact" if here else "approximate", tone=tone),
                Cell(one.text("healing") or "none"),
            ]
        )
    columns = ["operation", "what it does", "change", "class", "on these weights", "healing"]
    return Table(columns, rows, "Operations, in the order carried out")


def _scores(measured: Record, healed: Record) -> Table | None:
    rows = []
    for name, field, digits in _SCORES:
        values = [measured.number(f"{field}_before"), measured.number(f"{field}_after")]
        if healed:
            values.append(healed.number(f"{field}_after"))
        if any(value is not None for value in values):
            rows.append([Cell(name), *(num(fixed(value, digits)) for value in values)])
    columns = ["", "before", "after"] + (["healed"] if healed else [])
    return Table(columns, rows, "Quality on the measured text") if rows else None


def _sizes(certificate: Record) -> Table | None:
    before, after = certificate.record("input"), certificate.record("output")
    if not before or not after:
        return None
    rows = [[Cell("layout"), num(before.text("family")), num(after.text("family")), num("")]]
    rows.append([Cell("stored as"), num(before.text("dtype")), num(after.text("dtype")), num("")])
    for name, field, form in (
        ("parameters", "parameters", count),
        ("KV cache per token", "kv_bytes_per_token", size),
    ):
        old, new = before.number(field), after.number(field)
        ratio = f"\u00d7{new / old:.3g}" if old and new is not None else ""
        rows.append([Cell(name), num(form(old)), num(form(new)), num(ratio)])
    return Table(["", "before", "after", ""], rows, "Size")


def _differences(certificate: Record, measured: Record, healed: Record) -> list[Table]:
    sides = (
        ("as written", measured),
        ("before rounding", certificate.record("before_rounding")),
        ("healed", healed),
    )
    shown = [(name, record) for name, record in sides if record]
    if not shown:
        return []
    rows = []
    for name, field, form in _MEASURES:
        rows.append([Cell(name), *(num(form(record.number(field))) for _, record in shown)])
    return [Table(["against the model before", *(name for name, _ in shown)], rows, "Differences")]


def _positions(measured: Record, healed: Record) -> Figure | None:
    lines = []
    for color, (name, record, field) in enumerate(
        (("before", measured, "perplexity_before"), ("after", measured, "perplexity_after"),
         ("healed", healed, "perplexity_after"))
    ):  # fmt: skip
        points = [(b.number("last"), b.number(field)) for b in record.records("by_position")]
        known = [(float(x), float(y)) for x, y in points if x is not None and y is not None]
        if known:
            lines.append(Curve(name, [x for x, _ in known], [y for _, y in known], color=color, points=True))
    if not lines or len(lines[0].x) < 2:
        return None
    svg = curves(lines, "Perplexity by position", "tokens of context, up to", "perplexity", log_x=True)
    return Figure(
        svg, "Perplexity by position", "An error of positions or of the cache grows along this axis."
    )


def _tensors(tensors: Record) -> list[Block]:
    if not tensors:
        return []
    groups = [(name, [str(item) for item in tensors.values(name)]) for name in ("used", "unused", "invented")]
    words = ", ".join(f"{count(len(items))} {name}" for name, items in groups)
    inside: list[Block] = [Quote("\n".join(items), name) for name, items in groups if items]
    return [Fold(f"Tensors: {words}", inside)]


def _details(certificate: Record, healing: Record) -> list[Block]:
    folds: list[Block] = []
    if healing:
        pairs = [("steps", count(healing.number("steps"))), ("tokens", count(healing.number("tokens")))]
        pairs += [
            (plain(name), scalar(healing.record("settings").data[name]))
            for name in healing.record("settings")
        ]
        folds.append(Fold("How it was healed", [Facts(pairs)]))
    inside: list[Block] = [Code(certificate.text("command"))] if certificate.text("command") else []
    literature = list(dict.fromkeys(one.text("literature") for one in certificate.records("operations")))
    versions = [(name, scalar(value)) for name, value in certificate.record("versions").data.items()]
    if versions:
        inside.append(Facts(versions))
    inside += [Text(text, muted=True) for text in literature if text]
    digests = [
        [Cell(name), Cell(file, code=True), Cell(scalar(digest), code=True)]
        for name in ("input", "output")
        for file, digest in certificate.record(name).record("weights_sha256").data.items()
    ]
    if digests:
        inside.append(Table(["side", "file", "sha256"], digests))
    return [*folds, Fold("Command, versions, literature and digests", inside)] if inside else folds


def _protocol(certificate: Record) -> list[tuple[str, str]]:
    text = certificate.record("text")
    if not text:
        return []
    how = (
        f"Both models in float32 on {count(text.number('windows'))} windows of {count(text.number('window_length'))} "
        f"tokens of the {text.text('kind')} (sha256 {text.text('sha256')[:12]}). KL is before || after."
    )
    why = certificate.record("tolerance").text("why")
    limit = certificate.record("tolerance").number("relative")
    rules = [("Upgrade differences", how)]
    if why and limit is not None:
        rules.append(("Claim of exact", f"Held to {significant(limit)} of {why}."))
    return rules
