"""The command line: one file per verb, nothing heavy imported until the verb runs.

Each verb module defines `Args`, a frozen dataclass whose attribute docstrings are the help, and `run(args) -> int | None`.
A verb that reads a recipe also takes `run(args, overrides)`: the unknown `--dotted.key value` flags, in order.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from stemma import __version__

GROUPS: dict[str, dict[str, str]] = {
    "Start": {
        "quickstart": "the whole chain on the built-in corpus, in minutes on a laptop",
        "run": "a whole chain from one recipe: clean, tokenizer, pretrain, SFT, evaluate, upgrade, report",
        "doctor": "what is installed, which device, which extras are missing",
    },
    "Look": {
        "show": "family, Spec, size, memory and chat format of a checkpoint",
        "verify": "check a checkpoint folder: files, names, shapes, recorded reference tensors",
        "families": "the published families that open, and which of them a stock transformers opens",
        "path": "the operations that lead from one architecture to another",
        "report": "write the HTML page of a run folder",
    },
    "Text": {
        "corpus playground": "write the built-in corpus: documents, dialogues, preferences, questions",
        "clean": "documents in, clean documents out, with a reason for each one dropped",
        "clean train-quality": "train the classifier of good and bad documents that cleaning can score with",
        "clean train-ngrams": "train the n-gram model that cleaning takes perplexities from",
        "clean explain": "why a document was kept, edited or dropped: the rule or the twin",
        "clean thresholds": "what every border of a cleaning costs, and what others would",
        "tokenizer train": "train a byte-level BPE tokenizer",
        "tokenizer compare": "tokens per character and per byte of tokenizers on a text",
        "tokenizer convert": "write a tokenizer as a tokenizer.json with the same ids, or refuse",
        "tokenizer verify": "ids and texts of published tokenizers against recorded vectors",
    },
    "Train": {
        "pretrain": "train a base model from a recipe; the same command resumes",
        "sft": "train a chat model on dialogues from a recipe; the same command resumes",
    },
    "Use": {
        "upgrade": "change the architecture of a checkpoint and certify the result",
        "evaluate": "bits per byte by domain, and question answering",
        "chat": "talk to a model in the terminal",
        "generate": "continue a prompt",
    },
}
VERBS = {name: text for group in GROUPS.values() for name, text in group.items()}


def module_of(verb: str) -> str:
    """The module of a verb: `stemma.cli.clean_train_quality` of "clean train-quality"."""
    return f"stemma.cli.{verb.replace(' ', '_').replace('-', '_')}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; exit status 0 ok, 1 failed check, 2 usage or bad input, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"stemma {__version__}")
        return 0
    for words in (2, 1):
        verb = " ".join(arguments[:words])
        if verb in VERBS:
            return _run(verb, arguments[words:])
    subverbs = [v for v in VERBS if v.startswith(arguments[0] + " ")]
    if subverbs:
        names = ", ".join(v.split()[1] for v in subverbs)
        print(f"stemma {arguments[0]} takes one of: {names}", file=sys.stderr)
        return 2
    from stemma.config import suggest

    hint = suggest(arguments[0], list(VERBS))
    print(f"stemma: '{arguments[0]}' is not a command{hint}", file=sys.stderr)
    return 2


def _overview() -> str:
    lines = ["usage: stemma COMMAND [options]      stemma COMMAND --help", ""]
    for group, verbs in GROUPS.items():
        lines.append(f"{group}:")
        lines += [f"  {name:<19} {text}" for name, text in verbs.items()]
        lines.append("")
    return "\n".join(lines).rstrip()


def _subverbs(verb: str) -> list[str]:
    """A paragraph for the help of a verb that has verbs below it, such as `clean`."""
    below = [f"{name}: {text}." for name, text in VERBS.items() if name.startswith(f"{verb} ")]
    return [f"See also: stemma {line}" for line in below]


def _run(verb: str, arguments: list[str]) -> int:
    from stemma.errors import StemmaError

    module = importlib.import_module(module_of(verb))
    try:
        import tyro

        takes_overrides = module.run.__code__.co_argcount > 1
        parsed = tyro.cli(
            module.Args,
            prog=f"stemma {verb}",
            description="\n\n".join([module.__doc__ or "", *_subverbs(verb)]),
            args=arguments,
            return_unknown_args=takes_overrides,
        )
        status = int((module.run(*parsed) if takes_overrides else module.run(parsed)) or 0)
        sys.stdout.flush()
        return status
    except StemmaError as error:
        print(f"stemma {verb}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read stdout has gone, as `head` does; Python flushes it once more at exit, now into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"stemma {verb}: {place}{error.strerror or error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        extra = _EXTRA_OF.get(error.name or "")
        if extra is None:
            raise
        print(f"stemma {verb}: needs {error.name}; pip install 'stemma-llm[{extra}]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stemma {verb}: interrupted; the same command continues where it can", file=sys.stderr)
        return 130
    except Exception as error:
        if not _out_of_memory(error):
            raise
        advice = "choose a smaller model, batch or sequence length, or another device"
        print(f"stemma {verb}: not enough memory; {advice}", file=sys.stderr)
        return 1


def _out_of_memory(error: Exception) -> bool:
    """Python's and NumPy's error, torch's on a GPU, and the plain RuntimeError of torch's CPU allocator."""
    torch = sys.modules.get("torch")
    return (
        isinstance(error, MemoryError)
        or (torch is not None and isinstance(error, torch.OutOfMemoryError))
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))
    )


_EXTRA_OF = {
    "pyarrow": "clean",
    "numba": "clean",
    "xxhash": "clean",
    "zstandard": "clean",
    "matplotlib": "report",
}
