"""What benchmarks/cleaning.py times in datatrove's environment.

    python datatrove_speed.py filters|minhash LANG TEXTS.jsonl      documents in memory; prints [cpu, wall, kept]
    python datatrove_speed.py pipeline LANG INPUT_FOLDER OUT_FOLDER .jsonl.zst to Parquet; timed from outside

In memory a first run on ten documents loads the tokenizer. --language-model FILE adds the language filter to the pipeline.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter, ParquetWriter
from datatrove_recipes import (
    MINHASH,
    RECIPES,
    chain,
    deduplicate,
    filters,
    formatters,
    language_filter,
)
from loguru import logger

WARM_UP = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("filters", "minhash", "pipeline"))
    parser.add_argument("lang", choices=RECIPES)
    parser.add_argument("input", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--language-model", type=Path)
    args = parser.parse_args()
    logger.remove()
    if args.what == "pipeline":
        run_pipeline(args.lang, args.input, args.out, args.language_model)
        return
    texts = [json.loads(line) for line in args.input.read_text(encoding="utf-8").split("\n") if line]
    run_in_memory(args.what, args.lang, texts[:WARM_UP])
    cpu, wall = time.process_time(), time.perf_counter()
    kept = run_in_memory(args.what, args.lang, texts)
    print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall, kept]))


def run_in_memory(what: str, lang: str, texts: list[str]) -> int:
    """How many documents stay."""
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    if what == "filters":
        return sum(1 for _ in chain(filters(lang), documents))
    with tempfile.TemporaryDirectory() as folder:
        return sum(1 for _ in deduplicate(lang, documents, Path(folder)))


def run_pipeline(lang: str, source: Path, out: Path, model: Path | None) -> None:
    """The recipe's stages, each run by an executor of one task, files between them."""
    recipe = RECIPES[lang]
    signatures, pairs, removed, between = (
        str(out / name) for name in ("signatures", "pairs", "removed", "between")
    )
    checks: list[PipelineStep] = [language_filter(lang, model)] if model else []
    first = checks if recipe.duplicates_first else [*checks, *filters(lang)]
    last = filters(lang) if recipe.duplicates_first else []

    def execute(stage: str, steps: list[PipelineStep], tasks: int = 1) -> None:
        logs = str(out / "logs" / stage)
        LocalPipelineExecutor(steps, tasks=tasks, workers=1, logging_dir=logs).run()

    execute("filter", [JsonlReader(str(source)), *first, JsonlWriter(between, compression="zstd")])
    execute(
        "signatures",
        [
            JsonlReader(between),
            MinhashDedupSignature(signatures, config=MINHASH, language=recipe.tokenizer),
        ],
    )
    execute("buckets", [MinhashDedupBuckets(signatures, pairs, config=MINHASH)], MINHASH.num_buckets)
    execute("cluster", [MinhashDedupCluster(pairs, removed, config=MINHASH)])
    steps = [JsonlReader(between), MinhashDedupFilter(removed), *last, *formatters(lang)]
    execute("write", [*steps, ParquetWriter(str(out / "clean"))])


if __name__ == "__main__":
    main()
