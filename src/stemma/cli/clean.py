"""Clean a corpus: repair, drop empty, damaged, repetitive and duplicate documents, hide personal information."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

if TYPE_CHECKING:
    from stemma.corpus.summary import CleaningSummary


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of `stemma clean`."""

    inputs: tyro.conf.Positional[tuple[Path, ...]]
    """Files or folders of them: .jsonl, .jsonl.zst, .jsonl.gz, .parquet, .txt, .html, .htm, .warc, .warc.gz, .warc.zst."""
    out: Path
    """Folder to write: documents/, measures/, decisions.parquet, cleaning.json."""
    workers: int | None = None
    """Processes. The number of processors, fewer for a small input; the result is the same for any number."""
    format: Literal["parquet", "jsonl"] = "parquet"
    """Of the kept documents: Parquet, or JSON Lines compressed with zstd."""
    part_megabytes: int = 32
    """Text in a part, in MiB: the unit of work and of resuming, and a file of the result each."""
    rank: int = 0
    """Which one of `world-size` machines or jobs this is; they share the folder of the output."""
    world_size: int = 1
    """How many machines or jobs share the work."""
    wait: bool = True
    """Wait for the other ranks where they have to do their share first, or stop and be called again."""
    engine: Literal["processes", "ray"] = "processes"
    """Who carries out the tasks: processes of this machine, or a Ray cluster (RAY_ADDRESS, or one started here)."""
    on_error: Literal["refuse", "skip"] = "refuse"
    """A record that cannot be read stops the run, or is passed over and counted."""
    exact: bool = True
    """Drop copies that differ only in case, character width and white space."""
    near: bool = True
    """Drop near duplicates."""
    jaccard: float = 0.7
    """Similarity (share of common 5-grams) from which on a document is a near duplicate."""
    redact: bool = True
    """Replace personal data by placeholders: e-mail and public IP addresses, phone numbers, identity cards, passports,
    social security numbers, bank and credit cards, IBANs, credit codes of companies, keys."""
    repair: bool = True
    """Put misread encodings right, take markup off pages, strip lines of page furniture, cut loops at the end and the
    second half of a text that stands there twice."""
    languages: tuple[str, ...] = ()
    """Languages to keep, such as en zh, or zh-Hans and zh-Hant for one writing; a document surely in another one goes.
    None named: all stay."""
    rule_sets: tuple[str, ...] = ()
    """Published sets of rules to add: gopher, c4, fineweb, fineweb2-zh, refinedweb, chinesewebtext."""
    limits: dict[str, float] = field(default_factory=dict)
    """Borders of rules to move, such as en.template 0.5 too_short 100; `stemma clean thresholds` lists their names."""
    quality_model: Path | None = None
    """A classifier from `stemma clean train-quality`: every document gets a quality, and `--limits low_quality 0.5` drops."""
    perplexity_model: Path | None = None
    """A model from `stemma clean train-ngrams`: every document gets a perplexity, and `--limits perplexity 1500` drops."""
    toxicity_model: str | None = None
    """The same of harmless and toxic examples, or module:name of your own classifier: `--limits toxicity 0.9` drops."""
    word_lists: tuple[Path, ...] = ()
    """Lists of toxic words beside those that ship, one phrase a line. They are counted; `--limits toxic_insult 5` drops."""
    semantic_eps: float | None = None
    """Drop documents that say what an earlier one says: largest cosine distance of their vectors; 0.1 suits those made
    of the corpus itself, 0.01 those of a model. Left out: none go for it."""
    embedding_model: Path | None = None
    """A local sentence-transformers folder for the vectors; without one they are made of the corpus itself."""
    passage_tokens: int = 0
    """Cut passages of so many tokens or more that stood earlier in the corpus; 50 is usual, 0 leaves them."""
    repeated_paragraphs: bool = False
    """Cut paragraphs that stood earlier in the corpus."""
    repeated_lines: bool = False
    """Cut lines that stand in six documents or more, but for their first place."""
    decontaminate: tuple[Path, ...] = ()
    """Evaluation sets, files or folders: a document that holds one of their items goes."""
    force: bool = False
    """Replace an earlier result in the output folder."""
    json: bool = False
    """Print the summary as JSON on stdout."""


def run(args: Args) -> int:
    """Clean, show the reasons, say where the result lies; 1 when no document was kept."""
    from stemma.config import parse, plain
    from stemma.corpus.clean import WaitingForRanksError, clean
    from stemma.corpus.summary import CleanSettings
    from stemma.progress import Progress, say

    settings = parse(
        CleanSettings,
        {
            "on_error": args.on_error,
            "exact_duplicates": args.exact,
            "near_duplicates": args.near,
            "jaccard": args.jaccard,
            "redact": args.redact,
            "repair": args.repair,
            "languages": list(args.languages),
            "rule_sets": list(args.rule_sets),
            "limits": dict(args.limits),
            "quality_model": args.quality_model,
            "perplexity_model": args.perplexity_model,
            "toxicity_model": args.toxicity_model,
            "word_lists": list(args.word_lists),
            "semantic_eps": args.semantic_eps,
            "embedding_model": args.embedding_model,
            "passage_tokens": args.passage_tokens,
            "repeated_paragraphs": args.repeated_paragraphs,
            "repeated_lines": args.repeated_lines,
            "format": args.format,
            "part_megabytes": args.part_megabytes,
        },
        "options",
    )
    try:
        with Progress("clean", None) as progress:
            summary = clean(
                args.inputs,
                args.out,
                settings,
                progress,
                evaluation_sets=args.decontaminate,
                force=args.force,
                num_workers=args.workers,
                engine=args.engine,
                rank=args.rank,
                world_size=args.world_size,
                wait=args.wait,
            )
    except WaitingForRanksError as waiting:
        say(f"rank {args.rank} has done its share so far; {waiting}; then run the same command again")
        return 0
    _show(summary)
    if args.json:
        json.dump(plain(summary), sys.stdout, ensure_ascii=False, indent=2)
        print()
    say(f"documents: {args.out / 'documents'}")
    say(
        f"a reason for each document: {args.out / 'decisions.parquet'}; summary: {args.out / 'cleaning.json'}"
    )
    if not summary.total.documents_kept:
        say("no document was kept: look at the reasons above and at the samples in cleaning.json")
        return 1
    say(f"next: stemma tokenizer train {args.out} --vocab-size 8192 --out tokenizer")
    return 0


def _show(summary: "CleaningSummary") -> None:
    from rich.console import Console
    from rich.table import Table

    from stemma.corpus.explain import shortened

    table = Table("rule", "documents", "share", title="what became of the documents", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    total = summary.total
    for rule, count in sorted(summary.by_rule.items(), key=lambda item: -item[1]):
        table.add_row(f"dropped: {rule}", f"{count:,}", _percent(count, total.documents_in))
    table.add_section()
    for kind, count in summary.redacted.items():
        table.add_row(f"hidden: {kind}", f"{count:,} values", "")
    table.add_row(
        "kept and edited",
        f"{summary.documents_edited:,}",
        _percent(summary.documents_edited, total.documents_in),
    )
    table.add_row("kept", f"{total.documents_kept:,}", _percent(total.documents_kept, total.documents_in))
    table.add_row("read", f"{total.documents_in:,}", "")
    for reason, count in summary.bad_records.items():
        table.add_row(f"passed over: {reason}", f"{count:,} records", "")
    console = Console(stderr=True)
    console.print(table)
    console.print(f"characters: {total.characters_in:,} in, {total.characters_out:,} out")
    for cluster in summary.largest_clusters[:1]:
        name = shortened(cluster.id)  # rich takes a time quadratic in the length of a word
        console.print(
            f"largest group of copies: {cluster.documents:,} documents, kept as {name}", markup=False
        )
    if summary.num_full_buckets:
        console.print(
            f"near duplicates: {summary.num_full_buckets:,} crowded buckets were not searched to their end"
        )
    if summary.num_cut_clusters:
        console.print(
            f"semantic duplicates: {summary.num_cut_clusters:,} clusters were too large to compare whole"
        )
    if summary.toxic_words:
        worst = summary.toxic_words[0]
        is_limited = any(".toxic_" in name for name in summary.borders)
        console.print(
            f"toxic words: {len(summary.toxic_words)} phrases, the most frequent in {worst.documents:,} documents"
            + ("" if is_limited else "; nothing goes for them unless a limit says so")
        )
    for kind, count in summary.other_records.items():
        console.print(f"archive records that are no pages: {kind}: {count:,}", markup=False)
    if summary.ignored_files:
        console.print(f"files of other kinds, not read: {len(summary.ignored_files)}")


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
