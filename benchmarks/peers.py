"""Who opens what: each golden folder under stemma and its peers, compared with the tensors the original code gave.

A row is a folder, a column a peer: stemma; the class a stock transformers has; transformers running the original code
that was published with the weights; llama.cpp, by its converter. A cell says whether the folder opens with all its
tensors, the largest difference of a logit that counts over all recorded cases, and whether greedy tokens are equal.
Right means within the tolerance recorded for the folder, the same for all. Each cell is a fresh process, so that a
crash is a result.

Original code is taken from --remote-code DIR, which has a folder of .py files named after the golden folder or after
its family; it is executed. llama.cpp's converter is taken from --llama-cpp DIR, a checkout or the copy in the source
package of llama-cpp-python. The golden folders have no tokenizer, so it is told to write none. What it wrote is run
where cyllama can be imported: each row alone and unpadded, keys and values in float32, no flash attention.

Usage: python benchmarks/peers.py [--markdown] [--folders yi glm] [--python PATH-WITH-TRANSFORMERS]
           [--remote-code DIR] [--llama-cpp DIR]
"""

import argparse
import json
import logging
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
TITLES = {
    "stemma": "stemma",
    "native": "transformers, own class",
    "remote": "transformers, original code",
    "llama.cpp": "llama.cpp",
}
STAGES = ("opens", "logits", "tokens")
INPUTS = ("input_ids", "attention_mask", "position_ids", "token_type_ids", "decoder_input_ids")
AUTO_CLASSES = ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModel")
TIME_LIMIT = 300
LLAMA_CPP_LENGTH = 256  # longer than every recorded row
REASON_LENGTH = 80
NOT_LOADED = "converted, but not loaded"
COMPUTED = "inv_freq"  # a table some files carry and every reader makes anew
LOAD_ERROR = "error loading model: "  # how llama.cpp begins its reason on stderr

Cases = dict[str, dict[str, torch.Tensor]]


# The child: one folder, one peer. Each stage is one line of JSON, written as soon as it is known.


def tell(stage: str, **facts: Any) -> None:
    print(json.dumps({"stage": stage, **facts}), flush=True)


def tell_or_problem(stage: str, act: Callable[[], Mapping[str, Any] | None], hidden: str = "\0") -> None:
    """Tell what `act` returns, if anything, or what it raised: whatever a peer raises is its result."""
    try:
        facts = act()
    except Exception as error:  # noqa: BLE001
        tell(stage, problem=first_line(error).replace(hidden, "FOLDER"))
    else:
        if facts is not None:
            tell(stage, **facts)


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


def read_reference(folder: Path) -> tuple[Cases, float]:
    """The recorded tensors by case, and how far a logit may be off."""
    cases: Cases = {}
    for name, tensor in load_file(folder / "expected.safetensors").items():
        case, _, key = name.partition(".")
        cases.setdefault(case, {})[key] = tensor
    allowed = json.loads((folder / "facts.json").read_text())["tolerance"]
    return cases, allowed.get("max_abs_logit_difference") or allowed["atol_logits"]


def counted(case: dict[str, torch.Tensor]) -> torch.Tensor:
    """Which positions (B, T) of the recorded logits count."""
    shape = case["logits"].shape[:2]
    mask = case.get("valid", case.get("attention_mask"))
    if mask is None or mask.shape != shape or "decoder_input_ids" in case:
        return torch.ones(shape, dtype=torch.bool)
    return mask == 1


@dataclass(frozen=True)
class Opened:
    """A peer's model: the logits (T, V) of the counted positions of a row, and the greedy tokens (1, T) of a prompt."""

    logits: Callable[[dict[str, torch.Tensor]], Iterator[torch.Tensor]]
    tokens: Callable[[str, dict[str, torch.Tensor]], torch.Tensor]


@torch.no_grad()
def measure(model: Opened, folder: Path) -> None:
    """Tell the stages after the first."""
    cases, tolerance = read_reference(folder)

    def logits() -> dict[str, float]:
        differences: list[float] = []
        for case in (case for case in cases.values() if "logits" in case):
            wanted = (row[keep] for row, keep in zip(case["logits"], counted(case), strict=True))
            for found, expected in zip(model.logits(case), wanted, strict=True):
                if found.shape != expected.shape:
                    raise ValueError(f"logits of shape {list(found.shape)}")
                differences.append(float((found.float() - expected).abs().max()))
        return {
            "difference": math.nan if any(map(math.isnan, differences)) else max(differences),
            "tolerance": tolerance,
        }

    def tokens() -> dict[str, int]:
        wrong = of = 0
        for name, case in ((name, case) for name, case in cases.items() if "tokens" in case):
            found, expected = model.tokens(name, case), case["tokens"]
            new = num_new(cases, case)
            of += new
            wrong += int((found != expected).sum()) if found.shape == expected.shape else new
        return {"wrong": wrong, "of": of}

    tell_or_problem("logits", logits)
    tell_or_problem("tokens", tokens)


def is_decoder(cases: Cases) -> bool:
    return "decoder_input_ids" not in cases["plain"]


def num_new(cases: Cases, case: dict[str, torch.Tensor]) -> int:
    """How many tokens of a greedy case the model wrote; an encoder-decoder begins with one that it is given."""
    return case["tokens"].shape[1] - (case["prompt"].shape[1] if is_decoder(cases) else 1)


def try_stemma(folder: Path) -> None:
    from stemma.checkpoint import load_model
    from stemma.checkpoint.parity import run_cases

    model = load_model(folder)
    tell("opens")
    outcomes = run_cases(model, folder)
    greedy = [case for case in outcomes if case.name.startswith("greedy")]
    plain = [case for case in outcomes if case not in greedy and case.name != "loss"]
    recorded, tolerance = read_reference(folder)
    new = sum(num_new(recorded, recorded[case.name]) for case in greedy)
    told: dict[str, tuple[list[Any], dict[str, float]]] = {
        "logits": (plain, {"difference": max(case.difference for case in plain), "tolerance": tolerance}),
        "tokens": (greedy, {"wrong": sum(case.difference for case in greedy), "of": new}),
    }
    for stage, (cases, facts) in told.items():
        problem = next((case.problem for case in cases if case.problem), "")
        tell(stage, **({"problem": problem} if problem else facts))


def try_transformers(folder: Path, place: Path, remote: bool) -> None:
    """`place` is what transformers opens, `folder` holds the reference."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    cases, _ = read_reference(folder)
    if remote:
        offered = json.loads((place / "config.json").read_text())["auto_map"]
        auto_class = next(name for name in AUTO_CLASSES if name in offered)
    elif not is_decoder(cases):
        auto_class = "AutoModelForSeq2SeqLM"
    else:
        auto_class = "AutoModelForMaskedLM" if "token_type_ids" in cases["plain"] else "AutoModelForCausalLM"
    model, report = getattr(transformers, auto_class).from_pretrained(
        place, trust_remote_code=remote, output_loading_info=True, dtype=torch.float32
    )
    lost = [*report["missing_keys"], *report["mismatched_keys"]]
    tell("opens", **({"problem": f"{len(lost)} tensors invented, such as {lost[0]}"} if lost else {}))
    model.eval()

    def logits(case: dict[str, torch.Tensor]) -> Iterator[torch.Tensor]:
        found = model(**{name: case[name] for name in INPUTS if name in case}).logits
        return (row[keep] for row, keep in zip(found, counted(case), strict=True))

    def tokens(name: str, case: dict[str, torch.Tensor]) -> torch.Tensor:
        model.generation_config = transformers.GenerationConfig(
            max_new_tokens=num_new(cases, case),
            do_sample=False,
            use_cache=name != "greedy_nocache",
            decoder_start_token_id=None if is_decoder(cases) else int(case["tokens"][0, 0]),
        )
        return model.generate(case["prompt"])

    measure(Opened(logits, tokens), folder)


def try_llama_cpp(folder: Path, place: Path, checkout: Path) -> None:
    file = place / "model.gguf"
    convert(folder, file, checkout)
    lost = values_lost(folder, file)
    if lost:
        tell("opens", problem=f"converted without {lost} of the values")
        return
    try:
        from cyllama.llama import llama_cpp
    except ImportError:
        tell("opens")
        for stage in STAGES[1:]:
            tell(stage, problem="not run: no cyllama")
        return

    class Model(llama_cpp.LlamaModel):
        """The context asks its model for a number that not every release of the binding gives."""

        @property
        def n_vocab(self) -> int:
            return self.get_vocab().n_vocab

    settings = llama_cpp.LlamaModelParams()
    settings.n_gpu_layers = 0
    try:
        model = Model(str(file), settings, verbose=True)
    except ValueError:
        tell("opens", problem=NOT_LOADED)
        return
    tell("opens")
    measure(run_by_llama_cpp(llama_cpp, model), folder)


def run_by_llama_cpp(llama_cpp: Any, model: Any) -> Opened:
    """`model` is the binding's, `llama_cpp` its module."""

    def logits(case: dict[str, torch.Tensor]) -> Iterator[torch.Tensor]:
        kept = counted(case)
        for index, ids in enumerate(case["input_ids"]):
            if "decoder_input_ids" in case:
                mask = case.get("attention_mask", torch.ones_like(case["input_ids"]))[index] == 1
                session = Session(llama_cpp, model, ids[mask].tolist())
                yield session.logits(case["decoder_input_ids"][index].tolist())
            else:
                yield Session(llama_cpp, model).logits(ids[kept[index]].tolist())

    def tokens(name: str, case: dict[str, torch.Tensor]) -> torch.Tensor:
        prompt = case["prompt"][0].tolist()
        source = prompt if model.has_encoder() else None
        written = prompt if source is None else case["tokens"][0, :1].tolist()
        session = Session(llama_cpp, model, source)
        while len(written) < case["tokens"].shape[1]:
            scores = session.logits(written[session.length :])[-1]
            written = [*written, int(scores.argmax())]
        return torch.tensor([written])

    return Opened(logits, tokens)


class Session:
    """One row in llama.cpp, with its keys and values."""

    def __init__(self, llama_cpp: Any, model: Any, source: list[int] | None = None) -> None:
        settings = llama_cpp.LlamaContextParams()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = LLAMA_CPP_LENGTH
        settings.n_threads = settings.n_threads_batch = 1
        settings.type_k = settings.type_v = 0  # float32
        settings.flash_attn_type = 0  # it works in float16
        self.make_batch = llama_cpp.LlamaBatch
        self.context = llama_cpp.LlamaContext(model, settings)
        self.length = 0
        if source is not None:
            self.context.encode(self.batch(source))

    def batch(self, tokens: list[int]) -> Any:
        made = self.make_batch(n_tokens=len(tokens), embd=0, n_seq_max=1)
        for index, token in enumerate(tokens):
            made.add(token, self.length + index, [0], True)
        return made

    def logits(self, tokens: list[int]) -> torch.Tensor:
        """Logits (T, V) of the next tokens."""
        self.context.decode(self.batch(tokens))
        self.length += len(tokens)
        found = [self.context.get_logits_ith(index) for index in range(len(tokens))]
        if any(scores is None for scores in found):
            raise ValueError("it computes no logits of this model")
        return torch.tensor([list(scores) for scores in found])


def values_lost(folder: Path, file: Path) -> int:
    """How many stored numbers have no place in the converted file; more than were stored is no loss."""
    from gguf import GGUFReader

    published = load_file(folder / "model.safetensors")
    stored = sum(tensor.numel() for name, tensor in published.items() if not name.endswith(COMPUTED))
    return max(stored - sum(int(tensor.n_elements) for tensor in GGUFReader(file).tensors), 0)


def convert(folder: Path, file: Path, checkout: Path) -> None:
    """Run the converter's own main with the tokenizer left out. Raises RuntimeError with the last error it logged."""
    sys.path[:0] = [str(checkout), str(checkout / "gguf-py")]
    import convert_hf_to_gguf as script

    find = script.get_model_class

    def no_tokenizer(self: Any) -> None:
        self._set_vocab_none()
        written = [key for part in self.gguf_writer.kv_data for key in part]
        if not any(key.endswith(".vocab_size") for key in written):
            self.gguf_writer.add_vocab_size(
                self.hparams.get("padded_vocab_size") or self.hparams["vocab_size"]
            )
        if "type_vocab_size" in self.hparams:  # BERT's comes with its tokenizer
            self.gguf_writer.add_token_type_count(self.hparams["type_vocab_size"])

    def found_class(*names: Any, **options: Any) -> Any:
        found = find(*names, **options)
        found.set_vocab = no_tokenizer
        return found

    said: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    logging.getLogger().addHandler(logging.StreamHandler(sys.stderr))
    script.get_model_class = found_class
    sys.argv = ["convert_hf_to_gguf.py", str(folder), "--outtype", "f32", "--outfile", str(file)]
    try:
        script.main()
    except SystemExit:
        raise RuntimeError(said[-1] if said else "gave up without a word") from None


def child(peer: str, folder: Path, place: Path, extra: Path) -> None:
    act: dict[str, Callable[[], None]] = {
        "stemma": lambda: try_stemma(folder),
        "native": lambda: try_transformers(folder, place, remote=False),
        "remote": lambda: try_transformers(folder, place, remote=True),
        "llama.cpp": lambda: try_llama_cpp(folder, place, extra),
    }
    tell_or_problem("opens", act[peer], hidden=str(place))


# The parent: a process for each cell, and the table.


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one peer did with one folder. `tried` is False where it was not asked, with the reason."""

    tried: bool = True
    reason: str = ""
    opens: bool = False
    right: bool = False
    generates: bool | None = None
    text: str = ""


def run(python: str, peer: str, folder: Path, place: Path, extra: Path) -> Cell:
    """One cell, in a fresh process."""
    command = [python, __file__, "--child", peer, str(folder), str(place), str(extra)]
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_MODULES_CACHE": str(place / "modules"),
        "OMP_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Cell(text=f"no: took longer than {TIME_LIMIT} s")
    stages: dict[str, dict[str, Any]] = {}
    for line in done.stdout.splitlines():
        if line.startswith('{"stage"'):
            stage = json.loads(line)
            stages[stage.pop("stage")] = stage
    reason = next(
        (line.partition(LOAD_ERROR)[2] for line in done.stderr.splitlines() if LOAD_ERROR in line), ""
    )
    for stage in stages.values():
        if stage.get("problem") == NOT_LOADED and reason:
            stage["problem"] = f"{NOT_LOADED}: {reason}"
    if "opens" not in stages:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        ended = f"ended with status {done.returncode}"
        stages["opens"] = {"problem": f"{ended}: {last}" if last else ended}
    return judged(stages, f"ended with status {done.returncode}")


def judged(stages: dict[str, dict[str, Any]], ended: str) -> Cell:
    """A cell of what a child told; a stage it did not come to has the problem `ended`."""
    opens, logits, tokens = (stages.get(stage, {"problem": ended}) for stage in STAGES)
    if "problem" in opens:
        return Cell(text=f"no: {shortened(opens['problem'])}")
    right = "problem" not in logits and logits["difference"] <= logits["tolerance"]
    if "problem" in logits:
        parts = [f"opens; no logits: {shortened(logits['problem'])}"]
    elif math.isnan(logits["difference"]):
        parts = ["opens; logits NaN"]
    else:
        parts = [f"{'right' if right else 'opens; logits off by'} {logits['difference']:.0e}"]
    generates = None
    if "problem" in tokens:
        generates = False
        if tokens["problem"] != logits.get("problem"):
            parts.append(f"no tokens: {shortened(tokens['problem'])}")
    elif tokens["of"]:
        generates = tokens["wrong"] == 0
        parts.append("generates" if generates else f"{tokens['wrong']:.0f} of {tokens['of']} tokens differ")
    return Cell(opens=True, right=right, generates=generates, text="; ".join(parts))


def shortened(text: str) -> str:
    return text if len(text) <= REASON_LENGTH else text[: REASON_LENGTH - 3] + "..."


def remote_place(folder: Path, code: Path | None, place: Path) -> str:
    """Lay out weights and original code in `place`; a reason when that cannot be."""
    from stemma.checkpoint import describe

    if "auto_map" not in json.loads((folder / "config.json").read_text()):
        return "none was published"
    if code is None:
        return "not tried: give --remote-code"
    names = (folder.name, describe(folder).family.name)
    found = next((code / name for name in names if (code / name).is_dir()), None)
    if found is None:
        return f"not tried: --remote-code has no {' or '.join(dict.fromkeys(names))}"
    for file in (*found.glob("*.py"), folder / "config.json", folder / "model.safetensors"):
        shutil.copy(file, place)
    return ""


def cells(folder: Path, args: argparse.Namespace) -> dict[str, Cell]:
    """The row of one folder."""
    row = {"stemma": run(sys.executable, "stemma", folder, folder, folder)}
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        place = Path(name)
        (place / "modules").mkdir()
        for peer in list(TITLES)[1:]:
            reason = "" if args.has_transformers else "not tried: give --python"
            if peer == "remote":
                reason = remote_place(folder, args.remote_code, place) or reason
            if peer == "llama.cpp" and args.llama_cpp is None:
                reason = "not tried: give --llama-cpp"
            where = folder if peer == "native" else place
            row[peer] = (
                Cell(tried=False, text=reason)
                if reason
                else run(args.python, peer, folder, where, args.llama_cpp or place)
            )
    return row


def has_transformers(python: str) -> bool:
    code = "import importlib.util as u, sys; sys.exit(not (u.find_spec('transformers') and u.find_spec('torch')))"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def print_table(rows: dict[str, dict[str, Cell]], markdown: bool) -> None:
    lines = [["folder", *TITLES.values()]]
    lines += [[name, *(cell.text for cell in row.values())] for name, row in rows.items()]
    if markdown:
        lines.insert(1, ["---"] * len(lines[0]))
        for line in lines:
            print("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |")
    else:
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        for line in lines:
            print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    print()
    for peer, title in TITLES.items():
        tried = [row[peer] for row in rows.values() if row[peer].tried]
        if not tried:
            print(f"{'- ' if markdown else ''}{title}: not tried")
            continue
        opens, right = sum(cell.opens for cell in tried), sum(cell.right for cell in tried)
        generates = sum(cell.generates is True for cell in tried)
        print(
            f"{'- ' if markdown else ''}{title}: opens {opens} of {len(tried)}, "
            f"right logits {right}, generates {generates}"
        )


def main() -> None:
    """Print the table and a line for each peer."""
    if sys.argv[1:2] == ["--child"]:
        peer, folder, place, extra = sys.argv[2:]
        return child(peer, Path(folder), Path(place), Path(extra))
    known = sorted(place.name for place in GOLDEN.iterdir() if (place / "expected.safetensors").is_file())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folders", nargs="+", choices=known, default=known, metavar="NAME")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has transformers")
    parser.add_argument(
        "--remote-code", type=Path, help="a folder of .py files for each family; it is executed"
    )
    parser.add_argument("--llama-cpp", type=Path, help="a checkout of llama.cpp")
    args = parser.parse_args()
    args.has_transformers = has_transformers(args.python)
    rows: dict[str, dict[str, Cell]] = {}
    for name in args.folders:
        print(name, file=sys.stderr, flush=True)
        rows[name] = cells(GOLDEN / name, args)
    return print_table(rows, args.markdown)


if __name__ == "__main__":
    main()
