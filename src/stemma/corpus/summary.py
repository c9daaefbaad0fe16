"""The settings of a cleaning run and what it reports: both are data, written to `cleaning.json` and read back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stemma.corpus.language_codes import language_code
from stemma.corpus.toxicity import AuditRow, BiasRow
from stemma.errors import StemmaError


@dataclass(frozen=True, kw_only=True)
class CleanSettings:
    """What a cleaning run does. Thresholds of the rules are in `stemma.corpus.decide`."""

    on_error: Literal["refuse", "skip"] = "refuse"
    """A record that cannot be used stops the run, or is passed over and counted."""
    exact_duplicates: bool = True
    """Drop copies that differ only in case, character width and white space."""
    near_duplicates: bool = True
    """Drop documents similar to an earlier kept one."""
    jaccard: float = 0.7
    """Smallest similarity of two documents' sets of 5-grams that makes the later one a near duplicate."""
    num_bands: int = 32
    """MinHash bands; more bands find more distant pairs."""
    num_rows: int = 8
    """Hash values per band; more rows make a band stricter."""
    shingle_size: int = 5
    """Tokens (words, single Han characters) in a shingle."""
    redact: bool = True
    """Replace personal information by typed placeholders."""
    repair: bool = True
    """Put misread encodings right, take markup off pages, strip lines of page furniture."""
    format: Literal["parquet", "jsonl"] = "parquet"
    """Of the kept documents: Parquet, or JSON Lines compressed with zstd."""
    part_megabytes: int = 32
    """Text in a part, in MiB: the unit of work and of resuming, a file of the result each."""
    languages: tuple[str, ...] = ()
    """Languages to keep, by their codes (`language_codes`), zh-Hans and zh-Hant apart or zh for both; a document surely
    in another one goes. None named: all stay."""
    rule_sets: tuple[str, ...] = ()
    """Published sets of rules to add to the default ones: keys of `rule_sets.RULE_SETS`."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Borders to move, by their keys: see `decide.limits_of`."""

    quality_model: Path | None = None
    """A classifier that `stemma clean train-quality` wrote: gives the measure quality."""
    perplexity_model: Path | None = None
    """An n-gram model that `stemma clean train-ngrams` wrote: gives the measures perplexity, chain_1, chain_2."""
    toxicity_model: str | None = None
    """A file of `stemma clean train-quality` whose bad examples were toxic, or "module:name" of a function of texts or an
    object with `score(texts)`: gives the measure toxicity. A module's code is run: name only your own."""
    word_lists: tuple[Path, ...] = ()
    """Lists of toxic words beside those that ship: files named after a category, one phrase a line."""
    semantic_eps: float | None = None
    """Cosine distance up to which a later document goes as one that says the same; it belongs to the vectors: 0.1
    suits those made of the corpus itself, 0.01 those of a model. None: no semantic deduplication."""
    embedding_model: Path | None = None
    """A local folder of a sentence-transformers model that makes the vectors, whose last bits can depend on the part
    size and the device. None: they are made of the corpus itself (see `embed`)."""
    passage_tokens: int = 0
    """Passages of so many tokens or more that stood earlier in the corpus are cut; 0 leaves them."""
    repeated_paragraphs: bool = False
    """Cut paragraphs of 20 tokens or more that stood earlier in the corpus."""
    repeated_lines: bool = False
    """Cut lines of 6 tokens or more that stand in 6 documents or more, but for their first place."""

    def __post_init__(self) -> None:
        from stemma.corpus.decide import limits_of

        limits_of(self.rule_sets, self.limits)  # names that do not exist are noticed here
        try:
            codes = tuple(dict.fromkeys(map(language_code, self.languages)))
        except StemmaError as error:
            raise StemmaError(f"languages: {error}") from None
        object.__setattr__(self, "languages", codes)  # zh-CN and zh-hans are one setting
        for measure, model, option in (
            ("quality", self.quality_model, "--quality-model"),
            *(
                (name, self.perplexity_model, "--perplexity-model")
                for name in ("perplexity", "chain_1", "chain_2")
            ),
            ("toxicity", self.toxicity_model, "--toxicity-model"),
        ):
            moved = [key for key in self.limits if measure in key]
            if moved and model is None:
                raise StemmaError(f"limits: {moved[0]} needs a model; give one with {option} of stemma clean")
        if self.passage_tokens and not 20 <= self.passage_tokens <= 10_000:
            raise StemmaError(
                f"passage_tokens is {self.passage_tokens}; give a whole number from 20 to 10000, or 0"
            )
        if self.semantic_eps is not None and not 0 < self.semantic_eps < 1:
            raise StemmaError(f"semantic_eps is {self.semantic_eps}; give a distance above 0 and below 1")
        if self.embedding_model is not None and self.semantic_eps is None:
            raise StemmaError("embedding_model is of use with semantic_eps only; give --semantic-eps 0.01")
        if not 0 < self.jaccard <= 1:
            raise StemmaError(f"jaccard is {self.jaccard}; give a similarity above 0 and at most 1")
        for name, most in (
            ("num_bands", 256),
            ("num_rows", 64),
            ("shingle_size", 32),
            ("part_megabytes", 4096),
        ):
            if not 1 <= getattr(self, name) <= most:
                raise StemmaError(f"{name} is {getattr(self, name)}; give a whole number from 1 to {most}")


@dataclass(frozen=True, kw_only=True)
class InputRecord:
    """One input file by name, size and digest."""

    name: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Documents and characters of one part of the corpus."""

    documents_in: int = 0
    documents_kept: int = 0
    characters_in: int = 0
    characters_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A kept document that stands for many: worth a look when it is large."""

    id: str
    documents: int


@dataclass(frozen=True, kw_only=True)
class CleaningSummary:
    """The whole account of a run. `documents_in` = `documents_kept` + `documents_dropped`; bad records come on top."""

    version: str
    settings: CleanSettings
    settings_sha256: str
    """Of the settings as sorted JSON without spaces."""
    inputs: tuple[InputRecord, ...]
    evaluation_sets: tuple[InputRecord, ...]
    """What the corpus was decontaminated against."""
    leaked: Mapping[str, int]
    """Documents dropped because they hold an item of an evaluation set, by its file."""
    models: tuple[InputRecord, ...]
    """Models and word lists that the user gave."""
    ignored_files: tuple[str, ...]
    total: Counts
    documents_dropped: int
    documents_edited: int
    bad_records: Mapping[str, int]
    bad_examples: tuple[str, ...]
    other_records: Mapping[str, int]
    """Records of web archives that are no pages: requests, other kinds of content, errors of the server."""
    by_rule: Mapping[str, int]
    by_language: Mapping[str, Counts]
    by_source: Mapping[str, Counts]
    by_licence: Mapping[str, Counts]
    """What the records say of their licence; "" where they say nothing."""
    redacted: Mapping[str, int]
    edits: Mapping[str, int]
    """Documents that stayed, by each repair that changed them."""
    largest_clusters: tuple[Cluster, ...]
    num_full_buckets: int
    """Comparisons left out because a bucket was crowded; 0 means that no candidate was skipped."""
    num_cut_clusters: int | None = None
    """Clusters of like documents too large to be compared whole; None without semantic deduplication."""
    borders: Mapping[str, float]
    """The limits that applied, by name."""
    broken: Mapping[str, int]
    """Documents that break each limit, by the name of its border, whatever other rule took them."""
    histograms: Mapping[str, Mapping[str, tuple[int, int]]]
    """By language group and measure, documents before and after cleaning in each bin: see `curves`."""
    toxic_words: tuple[AuditRow, ...]
    """Phrases of the word lists that occurred in the input, in most documents first, at most 200."""
    mentioned_groups: tuple[BiasRow, ...]
    """Groups of people that the input mentions, and how often near blame."""
    samples: Mapping[str, tuple[str, ...]]
    """The first dropped texts of each rule, cut short, personal information hidden."""
    outputs: Mapping[str, str]
    """sha256 of the files written beside `cleaning.json`."""
