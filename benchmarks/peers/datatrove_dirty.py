"""Clean the labelled dirty set with datatrove's published recipes, and leave what benchmarks/dirty.py scores.

    PEER_PYTHON benchmarks/peers/datatrove_dirty.py FOLDER --language-model lid.176.ftz --out RESULT
    python benchmarks/dirty.py FOLDER --result RESULT

English goes through FineWeb, Chinese through FineWeb-2, both with datatrove's n-gram decontamination (12 tokens) after the
filters, with questions indexed as well as answers, which is more than its default. What fastText takes for neither
language is dropped. A stopped run goes on after the stage it finished last.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy
from datatrove.data import Document
from datatrove.pipeline.decont import NGramsDecontConfig, NGramsDecontFilter, NGramsDecontIndexer
from datatrove.pipeline.filters.base_filter import BaseFilter, get_filter_result
from datatrove.pipeline.formatters.base import BaseFormatter
from datatrove_recipes import RECIPES, deduplicate, filters, formatters, load_language_model
from dirty_set import Result, read_records
from loguru import logger

Texts = dict[str, str]
Items = list[dict[str, Any]]
Outcome = tuple[Texts, Texts]  # id -> text of what stays, id -> rule of what goes
NGRAMS = NGramsDecontConfig(n_grams=12, find_query_ngrams=True, find_overlap_ngrams=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language-model", type=Path, required=True, help="fastText file, lid.176")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    logger.remove()
    result = Result({record["id"]: record["text"] for record in read_records(args.folder / "docs.jsonl.zst")})
    items = read_records(args.folder / "eval_sets.jsonl.zst")
    args.out.mkdir(parents=True, exist_ok=True)
    for lang, texts in by_language(result, args.language_model).items():
        for name in stages(lang):
            finished = args.out / f"{lang}-{name}.json"
            if not finished.exists():
                outcome = STAGES[name](lang, documents_of(texts), items)
                finished.write_text(json.dumps(outcome, ensure_ascii=False), encoding="utf-8")
            texts, rules = json.loads(finished.read_text(encoding="utf-8"))
            result.rules |= rules
        result.kept |= texts
    result.write(args.out)


def documents_of(texts: Texts) -> list[Document]:
    return [Document(text=text, id=identity) for identity, text in texts.items()]


def stages(lang: str) -> tuple[str, ...]:
    """The order of a language's recipe."""
    if RECIPES[lang].duplicates_first:
        return ("duplicates", "filters", "leaks", "edits")
    return ("filters", "leaks", "duplicates", "edits")


def by_language(result: Result, model: Path) -> dict[str, dict[str, str]]:
    """language -> id -> text; what no language's score lets in is dropped."""
    groups: dict[str, dict[str, str]] = {lang: {} for lang in RECIPES}
    for identity, text in result.texts.items():
        labels, scores = load_language_model(model).predict(text.replace("\n", " "), k=1)
        lang = labels[0].removeprefix("__label__") if labels else ""
        if lang in RECIPES and scores[0] >= RECIPES[lang].language_score:
            groups[lang][identity] = text
        else:
            result.rules[identity] = "language"
    return groups


def passing(checks: list[BaseFilter], documents: list[Document]) -> Outcome:
    """The documents that pass all filters, as these leave them; the first that one fails is its rule."""
    kept, rules = Texts(), Texts()
    for document in documents:
        failed = next(filter(None, (problem(check, document) for check in checks)), None)
        if failed:
            rules[document.id] = failed
        else:
            kept[document.id] = document.text
    return kept, rules


def problem(check: BaseFilter, document: Document) -> str | None:
    passed, reason = get_filter_result(check.filter(document))
    return None if passed else reason or type(check).__name__


def filter_documents(lang: str, documents: list[Document], _: Items) -> Outcome:
    return passing(filters(lang), documents)


def drop_leaks(lang: str, documents: list[Document], items: Items) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        index_items(lang, items, Path(folder))
        check = NGramsDecontFilter(folder, config=NGRAMS, language=RECIPES[lang].tokenizer)
        return passing([check], documents)


def drop_duplicates(lang: str, documents: list[Document], _: Items) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        kept = {document.id: document.text for document in deduplicate(lang, documents, Path(folder))}
    return kept, {each.id: "minhash_duplicate" for each in documents if each.id not in kept}


def edit(lang: str, documents: list[Document], _: Items) -> Outcome:
    for step in formatters(lang):
        assert isinstance(step, BaseFormatter)
        for document in documents:
            document.text = step.format(document.text)
    return {document.id: document.text for document in documents}, {}


STAGES = {"filters": filter_documents, "leaks": drop_leaks, "duplicates": drop_duplicates, "edits": edit}


def index_items(lang: str, items: Items, folder: Path) -> None:
    """Write the index that the decontamination filter reads.

    The indexer's own run() wants the package of an evaluation suite, even for texts that are given to it; its hashes do not.
    """
    indexer = object.__new__(NGramsDecontIndexer)
    indexer.__init__(str(folder), config=NGRAMS, language=RECIPES[lang].tokenizer)
    hashes = {value for item in items for value in indexer.compute_hashes(item["answer"], item["question"])}
    numpy.array(sorted(hashes), dtype=NGRAMS.hash_config.np_descr).tofile(folder / "items.index.hashes")


if __name__ == "__main__":
    main()
