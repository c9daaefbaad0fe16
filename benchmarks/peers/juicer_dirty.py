"""Clean the labelled dirty set with data-juicer's operators, and leave what benchmarks/dirty.py scores.

    PEER_PYTHON benchmarks/peers/juicer_dirty.py FOLDER --language-model lid.176.ftz --out RESULT
    python benchmarks/dirty.py FOLDER --result RESULT

English goes through its recipe for C4 (redpajama-c4-refine), Chinese through its recipe for Chinese text
(alpaca-cot-zh-refine), each with its MinHash in place of SimHash and its mappers for personal information at the end.
Left out is what needs a download: perplexity, the list of flagged words, word pieces (words are split at spaces instead).
It has no decontamination. Missing packages it installs by itself while it runs; install scipy, ftfy, aiohttp,
fasttext-numpy2-wheel and torch beforehand.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from dirty_set import LANGUAGES, Result, read_records

LEAST_SCORE = 0.6
Step = tuple[str, dict[str, Any]]
PERSONAL: tuple[Step, ...] = (("pii_redaction_mapper", {}), ("clean_ip_mapper", {}))
RECIPES: dict[str, tuple[Step, ...]] = {
    "en": (
        ("clean_email_mapper", {}),
        ("clean_links_mapper", {}),
        ("fix_unicode_mapper", {}),
        ("punctuation_normalization_mapper", {}),
        ("whitespace_normalization_mapper", {}),
        ("alphanumeric_filter", {"tokenization": False, "min_ratio": 0.65, "max_ratio": 0.9}),
        ("average_line_length_filter", {"max_len": 3000}),
        ("character_repetition_filter", {"rep_len": 10, "max_ratio": 0.3}),
        ("maximum_line_length_filter", {"max_len": 4000}),
        ("special_characters_filter", {"max_ratio": 0.4}),
        ("words_num_filter", {"min_num": 20, "max_num": 10000}),
        ("word_repetition_filter", {"lang": "en", "rep_len": 10, "max_ratio": 0.231}),
        ("document_minhash_deduplicator", {"tokenization": "space"}),
        *PERSONAL,
    ),
    "zh": (
        ("document_deduplicator", {"lowercase": True, "ignore_non_character": True}),
        ("alphanumeric_filter", {"tokenization": False, "min_ratio": 0.10}),
        ("character_repetition_filter", {"rep_len": 10, "max_ratio": 0.6}),
        ("text_length_filter", {"min_len": 10}),
        ("document_minhash_deduplicator", {"tokenization": "character"}),
        ("clean_email_mapper", {}),
        *PERSONAL,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language-model", type=Path, required=True, help="fastText file, lid.176")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    result = Result({record["id"]: record["text"] for record in read_records(args.folder / "docs.jsonl.zst")})
    with tempfile.TemporaryDirectory() as models:
        # It looks for this name here before it downloads one.
        (Path(models) / "lid.176.bin").symlink_to(args.language_model.resolve())
        os.environ["DATA_JUICER_EXTERNAL_MODELS_HOME"] = models
        groups = by_language(result)
        for lang, texts in groups.items():
            clean(lang, texts, result)
    result.write(args.out)


def run_step(step: Step, rows: list[dict[str, str]]) -> Any:
    """The dataset after one operator, in this process."""
    from data_juicer.core.data import NestedDataset
    from data_juicer.ops import load_ops

    name, options = step
    operator = load_ops([{name: {**options, "num_proc": 1}}])[0]
    return operator.run(NestedDataset.from_list(rows))


def by_language(result: Result) -> dict[str, dict[str, str]]:
    """language -> id -> text; what its language filter does not let in is dropped."""
    rows = [{"id": identity, "text": text} for identity, text in result.texts.items()]
    step = ("language_id_score_filter", {"lang": list(LANGUAGES), "min_score": LEAST_SCORE})
    groups: dict[str, dict[str, str]] = {lang: {} for lang in LANGUAGES}
    for row in run_step(step, rows):
        groups[row["__dj__stats__"]["lang"]][row["id"]] = row["text"]
    left = {identity for texts in groups.values() for identity in texts}
    result.rules = {identity: "language" for identity in result.texts if identity not in left}
    return groups


def clean(lang: str, texts: dict[str, str], result: Result) -> None:
    """One language's recipe; fills `result`."""
    for step in RECIPES[lang]:
        rows = [{"id": identity, "text": text} for identity, text in texts.items()]
        left = {row["id"]: row["text"] for row in run_step(step, rows)}
        result.rules |= {identity: step[0] for identity in texts if identity not in left}
        texts = left
    result.kept |= texts


if __name__ == "__main__":
    main()
