"""One model, all its numbers, one file: evaluation.json, with the protocol of each number beside it.

The file keeps a digest of everything the numbers follow from: settings, weights, tokenizer, texts, questions. When it
is there already with the same digest, nothing is computed again.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stemma import __version__
from stemma.config import load_json, parse, plain
from stemma.errors import StemmaError
from stemma.evaluate.answering import QuestionsScore, answer_questions, summarize
from stemma.evaluate.compressors import (
    MAX_TRAINING_BYTES,
    Unigram,
    beginning_of,
    compressed_bits_per_byte,
    unigram_bits_per_byte,
)
from stemma.evaluate.perplexity import DomainScore, bits_per_byte
from stemma.evaluate.protocols import ProtocolName, build_protocol
from stemma.evaluate.questions import Question, read_questions
from stemma.evaluate.texts import read_texts, split_source
from stemma.progress import Progress, say
from stemma.storage import sha256, write_json

if TYPE_CHECKING:
    from stemma.generate.language_model import LanguageModel

DocumentStart = Literal["tokenizer", "eos"]


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What to measure and how."""

    documents: tuple[str, ...] = ()
    """held-out texts: NAME=FILE counts the file as domain NAME, FILE takes each record's own domain"""
    questions: Path | None = None
    """JSON lines of questions"""
    train_documents: tuple[Path, ...] = ()
    """training texts, for the unigram model and the compressor that has seen them"""
    protocols: tuple[ProtocolName, ...] = ()
    """how questions are put; empty: chat and plain where there is a chat template, else plain"""
    num_shots: int = 3
    """examples before a question in the plain protocol"""
    max_new_tokens: int = 64
    """longest answer to a question, in tokens"""
    stride: int | None = None
    """new tokens per window of a long document; half of max_seq_len unless given"""
    document_start: DocumentStart = "tokenizer"
    """what stands before a document: BOS if the tokenizer has one, else nothing (its first token is then not scored);
    or the end-of-text token"""
    compressors: bool = True
    """also measure xz and zstd on the texts"""
    max_batch_tokens: int = 8192
    """tokens of one forward, padding included"""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "auto"

    def __post_init__(self) -> None:
        if not self.documents and self.questions is None:
            raise StemmaError("nothing to evaluate: give documents or questions")
        if self.max_new_tokens < 1 or self.max_batch_tokens < 1 or self.num_shots < 0:
            raise StemmaError("max_new_tokens and max_batch_tokens are at least 1, num_shots at least 0")


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """The content of evaluation.json. `questions` is the first protocol's; `other_protocols` the rest by name."""

    model: str
    digest: str
    protocols: dict[str, str]
    bits_per_byte: dict[str, DomainScore] = field(default_factory=dict)
    references: dict[str, dict[str, float]] = field(default_factory=dict)
    """{domain: {name of a compressor or "unigram": bits per byte}}"""
    questions: QuestionsScore | None = None
    other_protocols: dict[str, QuestionsScore] = field(default_factory=dict)


def evaluate(folder: Path, settings: EvaluationSettings, out: Path) -> EvaluationResult:
    """Measure the model in `folder` and write `out`; read it instead when it holds these very numbers already.

    Raises StemmaError when a file cannot be read or a setting does not fit the model.
    """
    from stemma.generate.language_model import checkpoint_folder, load_language_model

    folder = checkpoint_folder(folder)
    digest = _digest(folder, settings)
    done = _done(out, digest)
    if done is not None:
        say(f"{out}: holds these numbers already")
        return done
    questions = [] if settings.questions is None else read_questions(settings.questions)
    language_model = load_language_model(folder, settings.dtype, settings.device)
    language_model.model.spec.check_decoder("evaluation")
    scores: dict[str, DomainScore] = {}
    references: dict[str, dict[str, float]] = {}
    protocols: dict[str, str] = {}
    if settings.documents:
        protocols["bits_per_byte"], scores = _documents(language_model, settings)
        described, references = _references(language_model, settings)
        protocols |= described
    named = _questions(language_model, settings, questions, protocols)
    first = next(iter(named), None)
    result = EvaluationResult(
        model=str(folder),
        digest=digest,
        protocols=protocols,
        bits_per_byte=scores,
        references=references,
        questions=named.pop(first) if first else None,
        other_protocols={str(name): score for name, score in named.items()},
    )
    write_json(out, plain(result))
    return result


def _documents(
    language_model: "LanguageModel", settings: EvaluationSettings
) -> tuple[str, dict[str, DomainScore]]:
    tokenizer, window = language_model.tokenizer, language_model.model.spec.max_seq_len
    stride = max(1, window // 2) if settings.stride is None else settings.stride
    start = language_model.document_start
    name = "BOS" if start else "nothing (first tokens and their bytes are not counted)"
    if settings.document_start == "eos":
        if tokenizer.eos_id is None:
            raise StemmaError(
                "document_start is eos and the tokenizer has no end-of-text token; use tokenizer"
            )
        start, name = [tokenizer.eos_id], "EOS"
    with Progress("documents", None) as progress:
        scores = bits_per_byte(
            language_model.model,
            tokenizer,
            read_texts(settings.documents),
            start,
            stride=stride,
            max_batch_tokens=settings.max_batch_tokens,
            progress=progress,
        )
    protocol = (
        f"windows of {window} tokens, stride {stride}, every token scored once; before each document: {name}; "
        f"{settings.dtype}; UTF-8 bytes; 95 % interval over documents"
    )
    return protocol, scores


def _references(
    language_model: "LanguageModel", settings: EvaluationSettings
) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    protocols: dict[str, str] = {}
    found: dict[str, dict[str, float]] = {}
    if settings.compressors:
        say("compressors")
        training = beginning_of(_training_texts(settings)) if settings.train_documents else b""
        found = compressed_bits_per_byte(read_texts(settings.documents), training)
        protocols["compressors"] = (
            "documents of a domain together, a newline between them, over the bytes of their texts"
        )
        if training:
            part = " (the first of it)" if len(training) == MAX_TRAINING_BYTES else ""
            protocols["compressors"] += f"; training text as prefix: {len(training)} bytes{part}"
    if settings.train_documents:
        unigram = Unigram(language_model.tokenizer, _training_texts(settings))
        for domain, bits in unigram_bits_per_byte(read_texts(settings.documents), unigram).items():
            found.setdefault(domain, {})["unigram"] = bits
        protocols["unigram"] = (
            "token frequencies of the training documents, add-one smoothing, all tokens of a text"
        )
    return protocols, found


def _questions(
    language_model: "LanguageModel",
    settings: EvaluationSettings,
    questions: Sequence[Question],
    protocols: dict[str, str],
) -> dict[ProtocolName, QuestionsScore]:
    if not questions:
        return {}
    both: tuple[ProtocolName, ...] = ("chat", "plain")
    scores: dict[ProtocolName, QuestionsScore] = {}
    for name in settings.protocols or (both if language_model.template else both[1:]):
        protocol = build_protocol(
            name, language_model, questions, settings.num_shots, settings.max_new_tokens
        )
        with Progress(f"questions, {name}", len(questions)) as progress:
            outcomes = answer_questions(
                language_model,
                questions,
                protocol,
                settings.max_new_tokens,
                settings.max_batch_tokens,
                progress,
            )
        scores[name] = summarize(outcomes, name)
        protocols[name] = (
            f"{protocol.description}; accuracy: greedy, at most {settings.max_new_tokens} tokens, equal after "
            "stripping white space; likelihood: best choice, its end included, in total and per byte; "
            f"{settings.dtype}; 95 % Wilson interval"
        )
    return scores


def _training_texts(settings: EvaluationSettings) -> Iterator[str]:
    from stemma.corpus.read import read_documents

    return (document.text for document in read_documents(list(settings.train_documents)))


def _done(out: Path, digest: str) -> EvaluationResult | None:
    if not out.is_file():
        return None
    data = load_json(out)
    return parse(EvaluationResult, data, str(out)) if data.get("digest") == digest else None


def _digest(folder: Path, settings: EvaluationSettings) -> str:
    from stemma.corpus.files import find_files

    names = ("*.safetensors", "*.bin", "config.json", "tokenizer*", "*.model", "*template*")
    names += ("generation_config.json", "special_tokens_map.json", "added_tokens.json")
    model_files = sorted({file for name in names for file in folder.glob(name) if file.is_file()})
    sources = [split_source(source)[1] for source in settings.documents] + list(settings.train_documents)
    texts = [file.path for file in find_files(sources)[0]] if sources else []
    extra = [] if settings.questions is None else [settings.questions]
    facts = {
        "version": __version__,
        "settings": {key: value for key, value in plain(settings).items() if key != "device"},
        "files": [[file.name, sha256(file)] for file in _existing([*model_files, *texts, *extra])],
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _existing(files: Sequence[Path]) -> Sequence[Path]:
    for file in files:
        if not file.is_file():
            raise StemmaError(f"{file}: does not exist; give a file")
    return files
