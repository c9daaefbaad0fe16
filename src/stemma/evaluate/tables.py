"""Results as text tables, models side by side, each under its protocol."""

from collections.abc import Sequence

from stemma.evaluate.answering import GroupScore, QuestionsScore
from stemma.evaluate.evaluation import EvaluationResult
from stemma.evaluate.grouping import Accuracy


def tables(results: Sequence[EvaluationResult]) -> str:
    """All tables of the models' results. Names of models are cut to what tells them apart."""
    names = _short_names([result.model for result in results])
    parts = [_bits_table(names, results)]
    protocols = {score.protocol: None for result in results for score in _protocol_scores(result)}
    parts += [_questions_table(protocol, names, results) for protocol in protocols]
    return "\n\n".join(part for part in parts if part)


def _bits_table(names: Sequence[str], results: Sequence[EvaluationResult]) -> str:
    domains = list({domain: None for result in results for domain in result.bits_per_byte})
    if not domains:
        return ""
    references = list({name: None for r in results for found in r.references.values() for name in found})
    rows = [["bits per byte", *(f"{name} (95 %)" for name in names), *references]]
    for domain in domains:
        cells = []
        for result in results:
            score = result.bits_per_byte.get(domain)
            cells.append(f"{score.bits_per_byte:.4f} ({score.low:.3f} {score.high:.3f})" if score else "-")
        for name in references:
            found = [r.references[domain][name] for r in results if name in r.references.get(domain, {})]
            cells.append("/".join(dict.fromkeys(f"{value:.4f}" for value in found)) or "-")
        rows.append([domain, *cells])
    notes = _protocol_notes(results, ("bits_per_byte", "compressors", "unigram"))
    return "\n".join([_aligned(rows), *notes])


def _questions_table(protocol: str, names: Sequence[str], results: Sequence[EvaluationResult]) -> str:
    scores = [next((s for s in _protocol_scores(r) if s.protocol == protocol), None) for r in results]
    present = [score for score in scores if score is not None]
    columns = [f"{name}: {how}" for name in names for how in ("generated", "likelihood", "per byte")]
    rows = [[f"questions, {protocol}", "count", *columns]]
    rows.append(["all", str(present[0].count), *_cells(scores)])
    for group in present[0].by:
        for value in sorted({value for score in present for value in score.by[group]}):
            found = [score.by[group].get(value) if score else None for score in scores]
            count = next(score.count for score in found if score)
            rows.append([f"{group} {value}", str(count), *_cells(found)])
    notes = _protocol_notes(results, (protocol,))
    too_long = [f"{n}: {s.too_long} too long" for n, s in zip(names, scores, strict=True) if s and s.too_long]
    return "\n".join([_aligned(rows), *notes, *too_long])


def _cells(scores: Sequence[GroupScore | None]) -> list[str]:
    return [
        _percent(value)
        for score in scores
        for value in (score, score and score.likelihood, score and score.likelihood_per_byte)
    ]


def _percent(score: Accuracy | None) -> str:
    return f"{score.accuracy:.1%} ({score.low:.0%} {score.high:.0%})" if score else "-"


def _protocol_scores(result: EvaluationResult) -> list[QuestionsScore]:
    return [*([result.questions] if result.questions else []), *result.other_protocols.values()]


def _protocol_notes(results: Sequence[EvaluationResult], keys: Sequence[str]) -> list[str]:
    found = {f"  {key}: {r.protocols[key]}": None for key in keys for r in results if key in r.protocols}
    return list(found)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _short_names(paths: Sequence[str]) -> list[str]:
    """The last parts of the paths, as few as tell them apart."""
    for count in (1, 2, 3):
        names = ["/".join(path.split("/")[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return list(paths)
