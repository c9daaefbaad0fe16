"""The two training verbs from recipe to model folder, on a corpus of a few sentences."""

import json
import shutil
import tomllib

import pytest
import tomli_w
import torch

from stemma.checkpoint import load_model
from stemma.cli import main
from stemma.config import parse
from stemma.errors import StemmaError
from stemma.tokenizer.load import load_tokenizer
from stemma.train.pretrain import PretrainSettings, pretrain
from stemma.train.sft import SftSettings, sft


def settings(recipe, **changes):
    data = json.loads(json.dumps(recipe))
    for key, value in changes.items():
        target = data
        *parents, last = key.split("__")
        for parent in parents:
            target = target[parent]
        target[last] = value
    return parse(PretrainSettings, {k: v for k, v in data.items() if v is not None})


def lines(folder, kind):
    read = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in read if line["kind"] == kind]


def test_pretraining_leaves_a_model_that_loads_and_a_run_that_can_be_read(tmp_path, recipe):
    result = pretrain(settings(recipe), tmp_path / "run")
    assert result.model_folder == tmp_path / "run" / "model"
    model, tokenizer = load_model(result.model_folder), load_tokenizer(result.model_folder)
    assert model.spec == settings(recipe).model
    assert tokenizer.fingerprint == load_tokenizer(settings(recipe).tokenizer).fingerprint
    steps = lines(tmp_path / "run", "train")
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert steps[-1]["tokens"] == result.tokens == 6 * 6 * 32
    assert steps[-1]["learning_rate"] == pytest.approx(3e-4)
    checks = lines(tmp_path / "run", "validation")
    assert [(line["step"], line["domain"]) for line in checks] == [(3, "sea"), (6, "sea")]
    assert {p.name for p in (tmp_path / "run" / "checkpoints").iterdir()} == {"step-000004", "step-000006"}
    stored = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert parse(PretrainSettings, stored) == settings(recipe)


def test_validation_counts_every_byte_of_a_document_it_can_predict(tmp_path, recipe, inputs):
    pretrain(settings(recipe, steps=1), tmp_path / "run")
    line = lines(tmp_path / "run", "validation")[0]
    tokenizer = load_tokenizer(settings(recipe).tokenizer)
    text = json.loads((inputs / "heldout.jsonl").read_text())["text"]
    ids = tokenizer.encode(text)
    unpredicted = 0 if tokenizer.bos_id is not None else len(tokenizer.token_bytes(ids[0]))
    assert line["bytes"] == len(text.encode()) - unpredicted
    assert line["tokens"] == len(ids) + (tokenizer.bos_id is not None)
    assert line["bits_per_byte"] == pytest.approx(
        line["loss"] * line["tokens"] / line["bytes"] / 0.6931471805599453
    )


def test_a_finished_run_is_returned_without_work(tmp_path, recipe):
    first = pretrain(settings(recipe), tmp_path / "run")
    before = {
        p: p.stat().st_mtime_ns
        for p in (tmp_path / "run").rglob("*")
        if p.name != "config.toml" and p.is_file()
    }
    assert pretrain(settings(recipe), tmp_path / "run") == first
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_the_same_recipe_twice_gives_the_same_bytes(tmp_path, recipe):
    for name in ("a", "b"):
        pretrain(settings(recipe), tmp_path / name)
    files = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("a", "b")]
    assert files[0] == files[1]


def test_another_recipe_on_the_same_folder_is_refused_by_key(tmp_path, recipe):
    pretrain(settings(recipe), tmp_path / "run")
    with pytest.raises(
        StemmaError, match=r"changed: optimizer.learning_rate \(0.003 -> 0.001\), steps \(6 -> 9\)"
    ):
        pretrain(settings(recipe, optimizer__learning_rate=1e-3, steps=9), tmp_path / "run")
    pretrain(settings(recipe, train__keep_checkpoints=1, train__log_every=2), tmp_path / "run")


def test_a_damaged_newest_state_is_reported_and_the_one_before_it_used(tmp_path, recipe, capsys):
    whole = pretrain(settings(recipe), tmp_path / "run")
    weights = (whole.model_folder / "model.safetensors").read_bytes()
    damaged = tmp_path / "run" / "checkpoints" / "step-000006" / "optimizer.safetensors"
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts | {"status": "running"}))
    shutil.rmtree(whole.model_folder)
    pretrain(settings(recipe), tmp_path / "run")
    said = capsys.readouterr().err
    assert "step-000006: passed over, the state is not usable (optimizer.safetensors differs" in said
    assert "continuing after step 4 of 6" in said
    assert (whole.model_folder / "model.safetensors").read_bytes() == weights
    assert [line["step"] for line in lines(tmp_path / "run", "train")] == [1, 2, 3, 4, 5, 6]


def test_changed_data_under_a_begun_run_is_refused(tmp_path, recipe, inputs):
    documents = tmp_path / "documents.jsonl"
    shutil.copy(inputs / "documents.jsonl", documents)
    changed = {"data__train": [str(documents)]}
    pretrain(settings(recipe, **changed), tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts | {"status": "running"}))
    with documents.open("a") as file:
        file.write(json.dumps({"id": "new", "text": "one more"}) + "\n")
    with pytest.raises(StemmaError, match="the training data changed since the run began"):
        pretrain(settings(recipe, **changed), tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path, recipe, monkeypatch):
    import stemma.train.loop

    real, calls = stemma.train.loop.language_model_loss, []

    def poisoned(*arguments):
        calls.append(1)
        parts = real(*arguments)
        return parts._replace(loss=parts.loss * float("nan")) if len(calls) == 5 else parts

    monkeypatch.setattr(stemma.train.loop, "language_model_loss", poisoned)  # two micro-batches per step
    with pytest.raises(StemmaError, match=r"step 3: the loss is nan .* the state after step 2 is kept"):
        pretrain(settings(recipe, train__checkpoint_every=1), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"
    monkeypatch.undo()
    pretrain(settings(recipe, train__checkpoint_every=1), tmp_path / "run")
    whole = pretrain(settings(recipe), tmp_path / "whole")
    files = [tmp_path / "run" / "model" / "model.safetensors", whole.model_folder / "model.safetensors"]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__vocab_size": 300}, "the tokenizer has 336 ids and the model's vocab_size is 300"),
        (
            {"data__sequence_length": 65},
            "sequence_length is 65; it must lie between 1 and the model's max_seq_len 64",
        ),
        ({"train__batch_size": 5000}, "batch_size is 5000 and the data has"),
        ({"init": "x"}, "give either 'model'"),
        ({"model": None}, "give either 'model'"),
        ({"steps": 0}, "steps must be at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_one_sentence(tmp_path, recipe, changes, message):
    with pytest.raises(StemmaError, match=message) as caught:
        pretrain(settings(recipe, **changes), tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_pretraining_goes_on_from_a_checkpoint_and_refuses_another_tokenizer(tmp_path, recipe, inputs):
    first = pretrain(settings(recipe), tmp_path / "first")
    again = {"model": None, "init": str(first.model_folder)}
    second = pretrain(settings(recipe, **again), tmp_path / "second")
    assert lines(second.run_folder, "train")[0]["loss"] < lines(first.run_folder, "train")[0]["loss"]
    arguments = [str(inputs / "documents.jsonl"), "--vocab-size", "300", "--out", str(tmp_path / "other")]
    assert main(["tokenizer", "train", *arguments]) == 0
    with pytest.raises(StemmaError, match="is not the tokenizer of"):
        pretrain(settings(recipe, **again, tokenizer=str(tmp_path / "other")), tmp_path / "third")


def test_fine_tuning_on_the_command_line_ends_with_a_chat_model(tmp_path, recipe, inputs, capsys):
    (tmp_path / "pretrain.toml").write_text(tomli_w.dumps(recipe))
    base = tmp_path / "base"
    assert main(["pretrain", str(tmp_path / "pretrain.toml"), "--out", str(base), "--steps", "3"]) == 0
    assert capsys.readouterr().out.strip() == str(base / "model")
    chat = {
        "seed": 1,
        "init": str(base / "model"),
        "epochs": 2,
        "data": {"train": [str(inputs / "dialogues.jsonl")], "sequence_length": 64},
        "optimizer": {"learning_rate": 1e-3},
        "train": {"batch_size": 8, "device": "cpu"},
    }
    (tmp_path / "sft.toml").write_text(tomli_w.dumps(chat))
    arguments = ["sft", str(tmp_path / "sft.toml"), "--out", str(tmp_path / "chat"), "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == result
    losses = [line["loss"] for line in lines(tmp_path / "chat", "train")]
    assert losses[-1] < losses[0]
    assert len(losses) == result["steps"]
    load_model(result["model_folder"])
    assert main([*arguments, "--optimizer.learning-rat", "1"]) == 2
    assert "did you mean 'learning_rate'" in capsys.readouterr().err


def test_two_epochs_see_every_row_twice_and_the_last_batch_is_short(tmp_path, recipe, inputs):
    base = pretrain(settings(recipe, steps=1), tmp_path / "base")
    data = {"train": [str(inputs / "dialogues.jsonl")], "sequence_length": 64}
    train = {"batch_size": 5, "device": "cpu"}
    chat = {"seed": 1, "init": str(base.model_folder), "epochs": 2, "data": data, "train": train}
    result = sft(parse(SftSettings, chat | {"optimizer": {"learning_rate": 1e-3}}), tmp_path / "chat")
    from stemma.data.pack import PackedRows
    from stemma.data.shards import TokenShards

    rows = PackedRows(TokenShards(tmp_path / "chat" / "tokens" / "train"), 64)
    assert 2 * len(rows) % 5
    assert result.steps == -(-2 * len(rows) // 5)
    assert result.tokens == 2 * sum(int((rows.sample(i).segment_ids > 0).sum()) for i in range(len(rows)))


def test_precision_is_the_recipe_s(tmp_path, recipe):
    losses = {}
    for precision in ("bfloat16", "float32"):
        pretrain(settings(recipe, train__precision=precision), tmp_path / precision)
        losses[precision] = lines(tmp_path / precision, "train")[-1]["loss"]
        model = load_model(tmp_path / precision / "model")
        assert model.embedding.weight.dtype == torch.float32
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=1e-2)
