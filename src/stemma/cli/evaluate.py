"""Measure models: bits per byte by domain beside compressors, and questions with one right answer."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

if TYPE_CHECKING:
    from stemma.evaluate.evaluation import EvaluationResult, EvaluationSettings


@dataclass(frozen=True, kw_only=True)
class Args:
    path: tyro.conf.Positional[tuple[Path, ...]]
    """checkpoint folders, or folders of finished runs; several are shown side by side"""
    documents: tuple[str, ...] = ()
    """held-out texts: NAME=FILE counts the file as domain NAME, FILE takes each record's own domain"""
    questions: Path | None = None
    """JSON lines of questions"""
    train_documents: tuple[Path, ...] = ()
    """training texts, for the unigram model and the compressor that has seen them"""
    protocol: tuple[Literal["chat", "plain"], ...] = ()
    """how questions are put; absent: chat and plain where there is a chat template, else plain"""
    num_shots: int = 3
    """examples before a question in the plain protocol"""
    max_new_tokens: int = 64
    """longest answer to a question, in tokens"""
    stride: int | None = None
    """new tokens per window of a long document; absent: half of max_seq_len"""
    document_start: Literal["tokenizer", "eos"] = "tokenizer"
    """what stands before a document: tokenizer is BOS if it has one, else nothing"""
    compressors: bool = True
    """also measure xz and zstd on the texts"""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """type of the weights in memory"""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one"""
    out: Path | None = None
    """where the numbers go, for one model; absent: evaluation.json inside its folder"""
    json: bool = False
    """print the numbers as JSON instead of tables"""


def run(args: Args) -> int:
    """Evaluate every model and print what was found."""
    from stemma.config import plain
    from stemma.errors import StemmaError
    from stemma.evaluate.evaluation import evaluate
    from stemma.evaluate.tables import tables
    from stemma.generate.language_model import checkpoint_folder
    from stemma.progress import say

    paths = list(args.path)
    if not paths:
        raise StemmaError("give at least one checkpoint folder")
    if args.out is not None and len(paths) > 1:
        raise StemmaError(
            "--out names one file; leave it out for several models, each has its own evaluation.json"
        )
    settings = _settings(args)
    results: list[EvaluationResult] = []
    for path in paths:
        out = args.out or checkpoint_folder(path) / "evaluation.json"
        results.append(evaluate(path, settings, out))
        say(f"{out}")
    if args.json:
        found = [plain(result) for result in results]
        print(json.dumps(found[0] if len(found) == 1 else found, ensure_ascii=False, indent=2))
    else:
        print(tables(results))
    say(
        f"Next: stemma {'chat' if results[0].questions and 'chat' in results[0].protocols else 'generate'} {paths[0]}"
    )
    return 0


def _settings(args: Args) -> "EvaluationSettings":
    from stemma.evaluate.evaluation import EvaluationSettings

    return EvaluationSettings(
        documents=args.documents,
        questions=args.questions,
        train_documents=args.train_documents,
        protocols=args.protocol,
        num_shots=args.num_shots,
        max_new_tokens=args.max_new_tokens,
        stride=args.stride,
        document_start=args.document_start,
        compressors=args.compressors,
        dtype=args.dtype,
        device=args.device,
    )
