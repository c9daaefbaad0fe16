"""What a run does to its folder when something is wrong: nothing of another's is touched, the same command goes on."""

import json
import shutil

import pytest
import torch
from safetensors import SafetensorError
from test_runs import settings

from stemma.errors import StemmaError
from stemma.train import run as run_module
from stemma.train.checkpoints import State, newest_state, save_state
from stemma.train.parallel import Ranks
from stemma.train.pretrain import pretrain


def reopen(folder):
    """Make a finished run one that was killed before its model was written."""
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(facts | {"status": "running"}))
    shutil.rmtree(folder / "model")


def state(step):
    return State(step=step, model={"w": torch.full((2,), float(step))}, optimizer={}, counters={})


def newest_step(folder):
    found = newest_state(folder)
    return found and found.step


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_that_is_no_run_is_refused_untouched(tmp_path, recipe):
    for name in (".bashrc.old", ".model.abcdefgh.tmp", "letter.txt"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(StemmaError, match="holds files that are no run"):
        pretrain(settings(recipe), tmp_path)
    assert names(tmp_path) == [".bashrc.old", ".model.abcdefgh.tmp", "letter.txt"]


def test_leftovers_of_a_killed_run_are_removed_and_nothing_else(tmp_path, recipe):
    pretrain(settings(recipe, steps=1), tmp_path)
    left = [
        ".model.abcdefgh.tmp",
        "tokens/.train.abcdefgh.tmp",
        "epochs/.1.abcdefgh.tmp",
        "tokens/.train.old",
    ]
    for name in [*left, ".bashrc.old", ".mine.abcdefgh.tmp"]:
        (tmp_path / name).mkdir(parents=True)
    pretrain(settings(recipe, steps=1), tmp_path)
    assert not any((tmp_path / name).exists() for name in left)
    assert (tmp_path / ".bashrc.old").exists()
    assert (tmp_path / ".mine.abcdefgh.tmp").exists()


@pytest.mark.parametrize(
    ("wrong", "left"),
    [
        ({"tokenizer": "absent"}, None),
        ({"data__sequence_length": 65}, None),
        ({"data__train": ["absent.jsonl"]}, None),
        ({"train__batch_size": 5000}, ["tokens"]),
    ],
)
def test_a_recipe_that_cannot_begin_leaves_the_folder_to_the_corrected_one(
    tmp_path,
    recipe,
    wrong,
    left,
):
    folder = tmp_path / "run"
    with pytest.raises((StemmaError, OSError)):
        pretrain(settings(recipe, **wrong), folder)
    assert (names(folder) if folder.exists() else None) == left
    pretrain(settings(recipe, steps=1), folder)


def test_a_run_that_has_begun_keeps_its_claim_when_its_inputs_are_gone(tmp_path, recipe):
    shutil.copytree(recipe["tokenizer"], tmp_path / "tokenizer")
    mine = settings(recipe, steps=1, tokenizer=str(tmp_path / "tokenizer"))
    pretrain(mine, tmp_path / "run")
    reopen(tmp_path / "run")
    shutil.rmtree(tmp_path / "tokenizer")
    with pytest.raises((StemmaError, OSError)):
        pretrain(mine, tmp_path / "run")
    assert (tmp_path / "run" / "config.toml").exists()
    assert (tmp_path / "run" / "run.json").exists()


def test_a_full_disk_stops_the_run_in_one_sentence_and_the_same_command_continues(
    tmp_path,
    recipe,
    monkeypatch,
):
    import safetensors.torch

    real, calls = safetensors.torch.save_file, []

    def full(tensors, path):
        calls.append(path)
        if len(calls) == 4:  # the moments of the second state
            path.write_bytes(b"half")
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        real(tensors, path)

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(StemmaError, match=r"step-000004: cannot be written \(.*No space left") as caught:
        pretrain(settings(recipe), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert names(tmp_path / "run" / "checkpoints") == ["step-000002"]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"
    assert pretrain(settings(recipe), tmp_path / "run").steps == 6


def test_a_model_that_cannot_be_written_leaves_a_failed_run_that_continues(
    tmp_path,
    recipe,
    monkeypatch,
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_module.Job, "write_model", full)
    with pytest.raises(OSError, match="No space left"):
        pretrain(settings(recipe, steps=1), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"
    monkeypatch.undo()
    assert pretrain(settings(recipe, steps=1), tmp_path / "run").model_folder.is_dir()


@pytest.mark.parametrize("damaged", [150, 400])
@pytest.mark.parametrize("keep", [1, 2])
def test_damaged_states_never_take_the_place_of_a_sound_one(tmp_path, damaged, keep):
    save_state(tmp_path, state(100), 2, last=-1)
    save_state(tmp_path, state(damaged), 2, last=100)
    (tmp_path / f"step-{damaged:06d}" / "model.safetensors").write_bytes(b"")
    assert newest_step(tmp_path) == 100
    save_state(tmp_path, state(200), keep, last=100)
    assert names(tmp_path) == ["step-000100", "step-000200"][-keep:]
    assert newest_step(tmp_path) == 200


def test_a_run_begun_anew_over_damaged_states_keeps_what_it_writes(tmp_path, recipe):
    folder = tmp_path / "run"
    pretrain(settings(recipe, train__keep_checkpoints=1), folder)
    (folder / "checkpoints" / "step-000006" / "model.safetensors").write_bytes(b"")
    (folder / "checkpoints" / "step-000006").rename(folder / "checkpoints" / "step-000400")
    reopen(folder)
    pretrain(settings(recipe, train__keep_checkpoints=1), folder)
    assert names(folder / "checkpoints") == ["step-000006"]


def test_a_rank_that_is_not_the_first_reads_the_folder_only_when_the_first_has_claimed_it(
    tmp_path,
    recipe,
    monkeypatch,
):
    whole = pretrain(settings(recipe, steps=1), tmp_path / "whole")
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(whole.run_folder / "run.json", folder)  # the first rank is halfway

    class Second(Ranks):
        def wait(self):
            shutil.copy(whole.run_folder / "config.toml", folder)

    monkeypatch.setattr(run_module, "join_ranks", lambda device: Second(1, 2))
    assert pretrain(settings(recipe, steps=1), folder).steps == 1


def test_token_files_that_changed_are_refused_when_a_run_continues(tmp_path, recipe):
    pretrain(settings(recipe, steps=1), tmp_path / "run")
    reopen(tmp_path / "run")
    path = tmp_path / "run" / "tokens" / "train" / "tokens-00000.bin"
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with pytest.raises(StemmaError, match=r"tokens-00000\.bin: differs from its recorded SHA-256"):
        pretrain(settings(recipe, steps=1), tmp_path / "run")
