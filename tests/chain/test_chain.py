"""The whole chain, tiny: raw text in, a chat model, an upgrade with its certificate and a report out."""

import hashlib
import importlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import tyro

from stemma.chain.recipe import ChainRecipe
from stemma.chain.run import run_chain
from stemma.checkpoint import open_checkpoint
from stemma.cli import VERBS, module_of
from stemma.config import load_toml, override, parse
from stemma.errors import StemmaError
from stemma.upgrade.certificate import read_certificate

QUICKSTART = Path(__file__).parents[2] / "src" / "stemma" / "chain" / "quickstart.toml"
TINY = """--corpus.size 700 --vocab_size 400 --pretrain.model.vocab_size 400 --pretrain.model.hidden_size 32
--pretrain.model.num_layers 1 --pretrain.steps 6 --pretrain.optimizer.warmup_steps 1 --pretrain.train.validate_every 3
--pretrain.train.validation_rows 1 --pretrain.train.checkpoint_every 2 --sft.epochs 2 --sft.data.sequence_length 192
--sft.train.batch_size 400 --sft.train.checkpoint_every 2 --sft.optimizer.warmup_steps 1 --upgrade.heal_steps 2
--evaluate.max_new_tokens 4"""


def _recipe(*changes: str) -> ChainRecipe:
    return parse(ChainRecipe, override(load_toml(QUICKSTART), [*shlex.split(TINY), *changes]))


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain") / "run"
    run_chain(_recipe(), folder)
    return folder


@pytest.mark.slow
def test_every_stage_leaves_its_result(chain: Path) -> None:
    assert open_checkpoint(chain / "sft" / "model").family.name == "llama"
    certificate = read_certificate(chain / "upgrade")
    assert certificate.claim == "approximate"
    assert certificate.healing is not None
    before, after = (open_checkpoint(chain / name).spec for name in ("pretrain/model", "upgrade"))
    assert after.kv_bytes_per_token() * 3 == before.kv_bytes_per_token()
    for name in ("base", "sft", "sft-one-epoch-less"):
        evaluation = json.loads((chain / "evaluate" / f"{name}.json").read_text("utf-8"))
        assert evaluation["questions"]["count"] == 396
        assert "unigram" in evaluation["references"]["people"]
    page = (chain / "report.html").read_text("utf-8")
    for command in json.loads((chain / "commands.json").read_text("utf-8")):
        assert command["stage"] in page
    assert 'id="upgrade"' in page
    check = json.loads((chain / "clean" / "label_check.json").read_text("utf-8"))
    assert check["exact duplicates"]["rate"] >= 0.99
    assert check["personal data"]["rate"] >= 0.99
    assert check["clean documents lost"]["rate"] < 0.01


@pytest.mark.slow
def test_the_same_chain_again_changes_nothing(chain: Path) -> None:
    before = _digests(chain)
    run_chain(_recipe(), chain)
    assert _digests(chain) == before


@pytest.mark.slow
def test_the_recorded_commands_are_commands(chain: Path) -> None:
    for record in json.loads((chain / "commands.json").read_text("utf-8")):
        words = shlex.split(record["command"])
        assert words.pop(0) == "stemma"
        verb = max((v for v in VERBS if words[: len(v.split())] == v.split()), key=len)
        module = importlib.import_module(module_of(verb))
        tyro.cli(module.Args, args=words[len(verb.split()) :])


@pytest.mark.slow
def test_another_recipe_in_the_same_folder_is_refused(chain: Path) -> None:
    with pytest.raises(StemmaError, match="another recipe"):
        run_chain(_recipe("--pretrain.seed", "9"), chain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--pretrain.optimiser.learning_rate", "1"), "unknown key 'optimiser'; did you mean 'optimizer'"),
        (("--sft.init", "x"), "'init' is filled in"),
        (("--clean.jacard", "0.5"), "did you mean 'jaccard'"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_runs(
    tmp_path: Path, change: tuple[str, ...], message: str
) -> None:
    with pytest.raises(StemmaError, match=message):
        run_chain(_recipe(*change), tmp_path / "run")
    assert not (tmp_path / "run" / "corpus").exists()


def _plain_documents(path: Path, number: int) -> None:
    def record(i: int) -> dict[str, Any]:
        words = hashlib.sha256(str(i).encode()).hexdigest()
        text = " ".join(words[j : j + 4] for j in range(0, 60, 4))
        return {"id": f"d{i}", "text": f"Here is a line about {text} and nothing else at all."}

    path.write_text("".join(json.dumps(record(i)) + "\n" for i in range(number)))


@pytest.mark.slow
def test_a_chain_on_files_of_ones_own_holds_documents_out_by_domain(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    _plain_documents(tmp_path / "in" / "notes.jsonl", 300)
    dialogue = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    (tmp_path / "dialogues.jsonl").write_text((json.dumps(dialogue) + "\n") * 20)
    data = override(load_toml(QUICKSTART), shlex.split(TINY))
    data["corpus"] = {
        "kind": "files",
        "documents": [str(tmp_path / "in")],
        "dialogues": [str(tmp_path / "dialogues.jsonl")],
        "held_out_every": 10,
    }
    data["sft"] |= {"train": data["sft"]["train"] | {"batch_size": 1}}
    del data["upgrade"]
    run_chain(parse(ChainRecipe, data), tmp_path / "run")
    held_out = (tmp_path / "run" / "split" / "heldout-notes.jsonl").read_text().splitlines()
    train = (tmp_path / "run" / "split" / "train.jsonl").read_text().splitlines()
    assert 10 < len(held_out) < 60
    assert len(train) + len(held_out) == 300
    assert not {json.loads(x)["id"] for x in train} & {json.loads(x)["id"] for x in held_out}
    evaluation = json.loads((tmp_path / "run" / "evaluate" / "base.json").read_text())
    assert set(evaluation["bits_per_byte"]) == {"notes", "all"} or set(evaluation["bits_per_byte"]) == {
        "notes"
    }
