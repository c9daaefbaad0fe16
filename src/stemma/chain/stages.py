"""The stages of a chain: what each reads, what it leaves, and the command that does the same by hand.

corpus/     playground files, or nothing when the recipe names its own
clean/      documents/, measures/, decisions.parquet, cleaning.json
split/      train.jsonl, heldout.jsonl and the same by domain, heldout-DOMAIN.jsonl
tokenizer/  tokenizer.json, compression.json
pretrain/   run folder of the base model; pretrain.toml beside it
sft/        run folder of the chat model; sft.toml beside it
evaluate/   base.json, sft.json, ...
upgrade/    the upgraded base model with certificate.json
chat.json, report.html
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemma.chain.recipe import ChainRecipe, PlaygroundCorpus
from stemma.chain.split import held_out_files, split_documents, split_held_out
from stemma.config import override, parse, plain
from stemma.evaluate.evaluation import EvaluationResult, EvaluationSettings
from stemma.evaluate.protocols import ProtocolName
from stemma.storage import atomic_file, write_json

# A base model has never seen the chat format; all others are asked the way they are served.
_PROTOCOLS: dict[str, ProtocolName] = {"base": "plain"}


@dataclass(frozen=True)
class Stage:
    """A name, the command that does the same, and the work."""

    name: str
    command: list[str]
    work: Callable[[], object]


class Stages:
    """The stages of one recipe in one folder."""

    def __init__(self, recipe: ChainRecipe, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        self.evaluations: dict[str, EvaluationResult] = {}
        self.questions: Path | None = None
        if isinstance(recipe.corpus, PlaygroundCorpus):
            self.questions = folder / "corpus" / "questions.jsonl"
            self.documents: tuple[Path, ...] = (folder / "corpus" / "documents.jsonl",)
            self.dialogues: tuple[Path, ...] = (folder / "corpus" / "dialogues.jsonl",)
        else:
            self.documents, self.dialogues = recipe.corpus.documents, recipe.corpus.dialogues
        self.held_out = folder / "split" / "heldout.txt"
        self.base, self.chat_model = folder / "pretrain" / "model", folder / "sft" / "model"

    def check(self) -> None:
        """Read every table of the recipe strictly before anything runs."""
        from stemma.corpus.summary import CleanSettings

        parse(CleanSettings, self.recipe.clean, "clean")
        self._pretrain_settings({})
        self._sft_settings()

    def plan(self) -> Iterator[Stage]:
        """The stages in order."""
        folder, recipe = self.folder, self.recipe
        if isinstance(recipe.corpus, PlaygroundCorpus):
            seed, size = recipe.corpus.seed, recipe.corpus.size
            command = ["stemma", "corpus", "playground", "--seed", str(seed), "--out", str(folder / "corpus")]
            command += [] if size is None else ["--size", str(size)]
            yield Stage("corpus", command, self._corpus)
        inputs = [str(path) for path in self.documents]
        command = ["stemma", "clean", *inputs, "--out", str(folder / "clean")]
        yield Stage("clean", command + _flags(recipe.clean), self._clean)
        train = str(folder / "split" / "train.jsonl")
        size = str(recipe.vocab_size)
        command = [
            "stemma",
            "tokenizer",
            "train",
            train,
            "--vocab-size",
            size,
            "--out",
            str(folder / "tokenizer"),
        ]
        yield Stage("tokenizer", command, self._tokenizer)
        for verb, work in (("pretrain", self._pretrain), ("sft", self._sft)):
            command = ["stemma", verb, str(folder / f"{verb}.toml"), "--out", str(folder / verb)]
            yield Stage(verb, command, work)
        for name, model in self._evaluated():
            yield Stage(
                f"evaluate {name}", self._evaluate_command(name, model), self._evaluation(name, model)
            )
        if recipe.upgrade is not None:
            out = folder / "upgrade"
            command = ["stemma", "upgrade", str(self.base), "--out", str(out), "--text", str(self.held_out)]
            for change in recipe.upgrade.to:
                command += ["--to", change]
            command += ["--heal-data", train, "--heal-steps", str(recipe.upgrade.heal_steps)]
            command += ["--heal-learning-rate", str(recipe.upgrade.heal_learning_rate)]
            yield Stage("upgrade", command, self._upgrade)
        if recipe.chat:
            yield Stage("chat", ["stemma", "chat", str(self.chat_model)], self._chat)

    def _corpus(self) -> None:
        from stemma.corpus.playground import write_playground

        corpus = self.recipe.corpus
        assert isinstance(corpus, PlaygroundCorpus)
        if not (self.folder / "corpus").exists():
            size = {} if corpus.size is None else {"size": corpus.size}
            write_playground(self.folder / "corpus", corpus.seed, **size)

    def _clean(self) -> None:
        from stemma.corpus.clean import clean
        from stemma.corpus.playground.check import check_cleaning
        from stemma.corpus.summary import CleanSettings
        from stemma.progress import Progress

        settings = parse(CleanSettings, self.recipe.clean, "clean")
        with Progress("clean", None) as progress:
            clean(self.documents, self.folder / "clean", settings, progress)
        documents = self.folder / "clean"
        if isinstance(self.recipe.corpus, PlaygroundCorpus):
            check = check_cleaning(self.folder / "corpus", self.folder / "clean")
            write_json(self.folder / "clean" / "label_check.json", check)
            split_held_out(documents, self.folder / "corpus" / "heldout.jsonl", self.folder / "split")
        else:
            split_documents(documents, self.folder / "split", self.recipe.corpus.held_out_every)

    def _tokenizer(self) -> None:
        from stemma.corpus.read import read_documents
        from stemma.storage import atomic_folder
        from stemma.tokenizer.compression import compression_rows
        from stemma.tokenizer.train import TrainSettings, train_tokenizer

        out, train = self.folder / "tokenizer", self.folder / "split" / "train.jsonl"
        if out.exists():
            return
        settings = TrainSettings(vocab_size=self.recipe.vocab_size)
        tokenizer = train_tokenizer((document.text for document in read_documents(train)), settings)
        held_out = list(held_out_files(self.folder / "split").values())
        rows = compression_rows([("tokenizer", tokenizer)], read_documents(held_out))
        with atomic_folder(out) as building:
            tokenizer.save(building)
            write_json(building / "compression.json", rows)

    def _pretrain_settings(self, validation: dict[str, Path]) -> Any:
        from stemma.train.pretrain import PretrainSettings

        train = self.folder / "split" / "train.jsonl"
        filled = {
            "tokenizer": self.folder / "tokenizer",
            "data": {"train": [train], "validation": validation},
        }
        return parse(PretrainSettings, _merge(self.recipe.pretrain, filled), "pretrain")

    def _sft_settings(self) -> Any:
        from stemma.train.sft import SftSettings

        filled = {"init": self.base, "data": {"train": list(self.dialogues)}}
        return parse(SftSettings, _merge(self.recipe.sft, filled), "sft")

    def _pretrain(self) -> None:
        from stemma.train.pretrain import pretrain

        settings = self._pretrain_settings(held_out_files(self.folder / "split"))
        _write_toml(self.folder / "pretrain.toml", plain(settings))
        pretrain(
            settings,
            self.folder / "pretrain",
            f"stemma pretrain {self.folder / 'pretrain.toml'} --out {self.folder / 'pretrain'}",
        )

    def _sft(self) -> None:
        from stemma.train.sft import sft

        settings = self._sft_settings()
        _write_toml(self.folder / "sft.toml", plain(settings))
        sft(
            settings,
            self.folder / "sft",
            f"stemma sft {self.folder / 'sft.toml'} --out {self.folder / 'sft'}",
        )

    def _evaluated(self) -> list[tuple[str, Path]]:
        models = [("base", self.base), ("sft", self.chat_model)]
        settings = self._sft_settings()
        epochs = settings.epochs or 1
        if self.questions is not None and settings.keep_epochs and epochs > 1:
            models.append(("sft-one-epoch-less", self.folder / "sft" / "epochs" / str(epochs - 1)))
        return models

    def _evaluate_settings(self, name: str) -> EvaluationSettings:
        return EvaluationSettings(
            documents=(str(self.folder / "split" / "heldout.jsonl"),),
            questions=self.questions,
            train_documents=(self.folder / "split" / "train.jsonl",),
            protocols=(_PROTOCOLS.get(name, "chat"),),
            max_new_tokens=self.recipe.evaluate.max_new_tokens,
            document_start="eos",
        )

    def _evaluate_command(self, name: str, model: Path) -> list[str]:
        settings = self._evaluate_settings(name)
        command = ["stemma", "evaluate", str(model), "--out", str(self.folder / "evaluate" / f"{name}.json")]
        for document in settings.documents:
            command += ["--documents", document]
        if settings.questions is not None:
            command += ["--questions", str(settings.questions), "--protocol", *settings.protocols]
            command += ["--max-new-tokens", str(settings.max_new_tokens)]
        return [*command, "--train-documents", *map(str, settings.train_documents), "--document-start", "eos"]

    def _evaluation(self, name: str, model: Path) -> Callable[[], None]:
        def work() -> None:
            from stemma.evaluate.evaluation import evaluate

            out = self.folder / "evaluate" / f"{name}.json"
            self.evaluations[name] = evaluate(model, self._evaluate_settings(name), out)

        return work

    def _upgrade(self) -> None:
        from stemma.upgrade.heal import HealSettings
        from stemma.upgrade.upgrade import UpgradeSettings, upgrade

        stage, out = self.recipe.upgrade, self.folder / "upgrade"
        assert stage is not None
        if (out / "certificate.json").exists():
            return
        heal = HealSettings(
            data=(self.folder / "split" / "train.jsonl",),
            steps=stage.heal_steps,
            learning_rate=stage.heal_learning_rate,
        )
        upgrade(self.base, stage.to, out, UpgradeSettings(text=self.held_out, heal=heal))

    def _chat(self) -> None:
        from stemma.chain.samples import chat_samples

        if not (self.folder / "chat.json").exists():
            write_json(self.folder / "chat.json", chat_samples(self.chat_model, self.recipe.chat))


def _merge(table: Any, filled: dict[str, Any]) -> dict[str, Any]:
    """`table` with the values of `filled` put in, tables inside tables merged."""
    result = override(table, [])
    for key, value in filled.items():
        result[key] = _merge(result.get(key, {}), value) if isinstance(value, dict) else plain(value)
    return result


def _flags(settings: Mapping[str, Any]) -> list[str]:
    """Settings of `stemma clean` as its options."""
    names = {"exact_duplicates": "exact", "near_duplicates": "near"}
    flags: list[str] = []
    for key, value in settings.items():
        name = names.get(key, key).replace("_", "-")
        flags += (
            [f"--{'' if value else 'no-'}{name}"] if isinstance(value, bool) else [f"--{name}", str(value)]
        )
    return flags


def _write_toml(path: Path, data: dict[str, Any]) -> None:
    import tomli_w

    with atomic_file(path) as file:
        tomli_w.dump(data, file)
