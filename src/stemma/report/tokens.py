"""The tokenizer section: the vocabulary, and tokens per character by language beside other tokenizers.

Reads `tokenizer.json` and `compression.json`, the list that `stemma tokenizer compare --json` prints.
"""

from pathlib import Path

from stemma.report.blocks import Block, Cell, Columns, Facts, Figure, Section, Table, num
from stemma.report.formats import count, fixed, percent
from stemma.report.plots import Series, bars
from stemma.report.record import Record, read_list, read_record

_PROTOCOL = (
    "Every line of the text encoded by itself, no special tokens added; tokens over Unicode characters, and over UTF-8 "
    "bytes. Unknown tokens are text lost, not text compressed."
)


def tokenizer(folder: Path) -> Section | None:
    """The section of a folder with `tokenizer.json` or `compression.json`, or None."""
    library, measured = read_record(folder / "tokenizer.json"), read_list(folder / "compression.json")
    if not library and not measured:
        return None
    facts = _facts(library)
    blocks: list[Block] = [Facts(facts)] * bool(facts)
    values: dict[str, dict[str, float]] = {}
    for row in measured:
        value = row.number("tokens_per_character")
        if value is not None:
            values.setdefault(_name(row), {})[row.text("language")] = value
    if not values:
        return Section("tokenizer", "Tokenizer", blocks)
    languages = {language: language for found in values.values() for language in found}
    series = [Series(name, found, color) for color, (name, found) in enumerate(values.items())]
    svg = bars(languages, series, [], "Tokens per character by language", "tokens per character")
    figure = Figure(svg, "Tokens per character", "Fewer tokens for the same text mean shorter sequences.")
    protocol = ("Tokens per character", _PROTOCOL)
    return Section(
        "tokenizer", "Tokenizer", [*blocks, Columns([figure, _table(measured)])], protocol=[protocol]
    )


def _name(row: Record) -> str:
    return Path(row.text("tokenizer")).name


def _table(measured: list[Record]) -> Table:
    rows = []
    for row in measured:
        cells = [num(fixed(row.number(key), 3)) for key in ("tokens_per_character", "tokens_per_byte")]
        size, unknown = num(count(row.number("vocab_size"))), num(percent(row.number("unknown_rate"), 2))
        rows.append([Cell(_name(row)), size, Cell(row.text("language")), *cells, unknown])
    columns = ["tokenizer", "vocabulary", "text", "tokens / character", "tokens / byte", "unknown"]
    return Table(columns, rows, "Compression")


def _facts(library: Record) -> list[tuple[str, str]]:
    model, added = library.record("model"), library.records("added_tokens")
    vocabulary = model.data.get("vocab")
    if not isinstance(vocabulary, dict | list):
        return []
    names = {one.text("content") for one in added}
    entries = len(names.union(vocabulary)) if isinstance(vocabulary, dict) else len(vocabulary)
    level = ", byte level" if library.record("decoder").text("type") == "ByteLevel" else ""
    found = [("kind", model.text("type") + level), ("vocabulary", count(entries))]
    if model.values("merges"):
        found.append(("merges", count(len(model.values("merges")))))
    return [*found, ("special tokens", count(sum(bool(one.flag("special")) for one in added)))]
