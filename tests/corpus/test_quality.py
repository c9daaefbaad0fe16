"""The linear classifier: learns, is measured on what it never saw, and comes back from its file as it went."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.cli import main
from stemma.corpus.document import Document
from stemma.corpus.quality import LinearQuality, QualitySettings, _auc
from stemma.corpus.scan import scan_texts
from stemma.errors import StemmaError

GOOD = ["theorem", "proof", "lemma", "measure", "energy", "river", "harvest", "数学", "物理", "历史", "研究"]
BAD = ["click", "buy", "cheap", "deal", "subscribe", "casino", "点击", "优惠", "加微信", "抽奖", "免费"]
SHARED = ["the", "of", "and", "to", "a", "in", "is", "it", "that", "for", "的", "是", "了", "在", "我"]
SETTINGS = QualitySettings(bucket_bits=16)


def texts(own: Sequence[str], count: int, seed: int) -> list[Document]:
    """Documents of 10 to 79 words, one in eight of them the class's own."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(10, 80, count)
    total = int(lengths.sum())
    words = np.where(draw.random(total) < 0.125, draw.choice(own, total), draw.choice(SHARED, total)).tolist()
    ends = np.cumsum(lengths).tolist()
    runs = [words[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]
    return [Document(f"{seed}-{number}", " ".join(run), "here") for number, run in enumerate(runs)]


def batch(documents: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    scanned = scan_texts(documents)
    return scanned.tokens, scanned.token_offsets


@pytest.fixture(scope="module")
def model() -> LinearQuality:
    return LinearQuality.train(texts(GOOD, 1200, 1), texts(BAD, 400, 2), SETTINGS)


def test_good_scores_above_bad_on_documents_it_never_saw(model: LinearQuality) -> None:
    good, bad = (
        model.score(*batch([d.text for d in texts(own, 300, seed)])) for own, seed in ((GOOD, 3), (BAD, 4))
    )
    right = ((good[:, None] > bad).sum() + 0.5 * (good[:, None] == bad).sum()) / (len(good) * len(bad))
    assert right > 0.97
    assert abs(right - model.held_out.auc) < 0.03
    assert (good >= 0.5).mean() > 0.9
    assert (bad < 0.5).mean() > 0.9


def test_held_out_figures_are_of_a_corpus_that_is_half_good(model: LinearQuality) -> None:
    held_out = model.held_out
    assert (held_out.num_good, held_out.num_bad, held_out.num_in_both) == (1200, 400, 0)
    assert held_out.num_measured == 80
    assert held_out.log_loss < 0.35
    assert held_out.calibration_error < 0.2
    assert sum(row.documents for row in held_out.calibration) == held_out.num_measured
    recalls = [row.recall for row in held_out.thresholds]
    assert recalls == sorted(recalls, reverse=True)
    for row in held_out.thresholds:
        kept = row.recall + row.bad_kept
        assert row.precision == pytest.approx(row.recall / kept if kept else 1.0)


def test_labels_that_say_nothing_teach_nothing() -> None:
    model = LinearQuality.train(texts(SHARED, 1500, 5), texts(SHARED, 1500, 6), SETTINGS)
    assert abs(model.held_out.auc - 0.5) < 0.12
    assert 0.6 < model.held_out.log_loss < 0.8


def test_the_order_of_the_examples_does_not_matter_and_the_seed_does(tmp_path: Path) -> None:
    good, bad = texts(GOOD, 150, 1), texts(BAD, 150, 2)
    LinearQuality.train(good, bad, SETTINGS).save(tmp_path / "one")
    LinearQuality.train(good[::-1] + good[:9], iter(bad[::-1]), SETTINGS).save(tmp_path / "two")
    LinearQuality.train(good, bad, QualitySettings(bucket_bits=16, seed=7)).save(tmp_path / "other")
    one, two, other = ((tmp_path / name).read_bytes() for name in ("one", "two", "other"))
    assert one == two
    assert one != other


def test_a_budget_of_tokens_takes_a_sample_that_the_order_does_not_change() -> None:
    good, bad = texts(GOOD, 600, 1), texts(BAD, 600, 2)
    settings = QualitySettings(bucket_bits=16, max_tokens=12_000)
    one, two = LinearQuality.train(good, bad, settings), LinearQuality.train(good[::-1], bad[::-1], settings)
    assert 200 < one.held_out.num_good < 400
    assert np.array_equal(one.weights, two.weights)
    assert one.held_out == two.held_out


def test_the_scores_do_not_depend_on_the_batch(model: LinearQuality) -> None:
    documents = [*(d.text for d in texts(GOOD, 400, 8) + texts(BAD, 200, 9)), "", "好", "click"]
    together = model.score(*batch(documents))
    assert together.dtype == np.float32
    assert np.array_equal(together, np.concatenate([model.score(*batch([text])) for text in documents]))
    assert np.array_equal(
        together, np.concatenate([model.score(*batch(documents[:300])), model.score(*batch(documents[300:]))])
    )
    assert model.score(*batch([])).shape == (0,)


def test_repeating_a_document_hardly_moves_its_score(model: LinearQuality) -> None:
    text = texts(BAD, 1, 10)[0].text
    once, often = model.score(*batch([text, "\n".join([text] * 50)]))
    assert abs(once - often) < 0.05


def test_a_model_comes_back_from_its_file(model: LinearQuality, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "model.safetensors"
    model.save(path)
    loaded = LinearQuality.load(path)
    documents = batch([d.text for d in texts(GOOD, 20, 8)])
    assert np.array_equal(loaded.score(*documents), model.score(*documents))
    assert (loaded.settings, loaded.held_out) == (model.settings, model.held_out)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_files_that_are_no_model_or_damaged_are_refused(
    model: LinearQuality, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "model"
    model.save(path)
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    (tmp_path / "damaged").write_bytes(data)
    (tmp_path / "short").write_bytes(data[:1000])
    (tmp_path / "text").write_text("no model")
    save_file({"weights": np.zeros(4, np.float32)}, tmp_path / "foreign")
    for name, message in {
        "damaged": "checksum",
        "short": "not a quality model",
        "text": "not a quality model",
        "foreign": "not a quality model",
        "absent": "cannot be read",
    }.items():
        with pytest.raises(StemmaError, match=message):
            LinearQuality.load(tmp_path / name)
    monkeypatch.setattr("stemma.corpus.quality._PROBE", "another text")
    with pytest.raises(StemmaError, match="other token hashes"):
        LinearQuality.load(path)


def test_one_class_and_tiny_sets_are_refused() -> None:
    good = texts(GOOD, 150, 1)
    with pytest.raises(StemmaError, match="the bad examples are 0 different documents; give at least 100"):
        LinearQuality.train(good, [], SETTINGS)
    with pytest.raises(StemmaError, match="the good examples are 99 "):
        LinearQuality.train(texts(GOOD, 99, 1), texts(BAD, 150, 2), SETTINGS)
    with pytest.raises(StemmaError, match="150 more are among the good and the bad"):
        LinearQuality.train(good, good, SETTINGS)
    for wrong in ({"bucket_bits": 40}, {"num_epochs": 0}, {"l2": -1.0}):
        with pytest.raises(StemmaError):
            QualitySettings(**wrong)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    good, bad = ([s for s, label in rows if label is wanted] for wanted in (True, False))
    if good and bad:
        pairs = [(g > b) + 0.5 * (g == b) for g in good for b in bad]
        scores, labels = np.array([s for s, _ in rows], float), np.array([label for _, label in rows], float)
        assert _auc(scores, labels) == pytest.approx(np.mean(pairs))


def write(path: Path, documents: Sequence[Document]) -> str:
    path.write_text("".join(json.dumps({"id": d.id, "text": d.text}) + "\n" for d in documents), "utf-8")
    return str(path)


def test_the_command_trains_prints_figures_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = (
        write(tmp_path / "g.jsonl", texts(GOOD, 300, 1)),
        write(tmp_path / "b.jsonl", texts(BAD, 300, 2)),
    )
    out = tmp_path / "quality.safetensors"
    command = ["clean", "train-quality", good, "--bad", bad, "--out", str(out)]
    assert main([*command, "--json"]) == 0
    printed = capsys.readouterr()
    figures = json.loads(printed.out)
    assert figures["auc"] > 0.95
    assert figures["auc"] == LinearQuality.load(out).held_out.auc
    assert all(part in printed.err for part in ("AUC", "precision", str(out), "next: stemma clean"))
    assert main(command) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
    assert main(["clean", "train-quality", good, "--bad", good, "--out", str(tmp_path / "no")]) == 2
    assert "the bad examples are 0" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_a_language_in_one_class_only_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    english = [Document(d.id, d.text.replace("的", "of"), "x") for d in texts(["click"], 150, 3)]
    chinese = [
        Document(d.id, "".join(c for c in d.text if ord(c) > 255) + "山水人家" * 3, "x")
        for d in texts(["好"], 150, 4)
    ]
    good, bad = write(tmp_path / "zh.jsonl", chinese), write(tmp_path / "en.jsonl", english)
    assert main(["clean", "train-quality", good, "--bad", bad, "--out", str(tmp_path / "model")]) == 0
    assert "learned the language" in capsys.readouterr().err


def test_clean_itself_still_takes_an_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["clean", str(tmp_path / "absent.jsonl"), "--out", str(tmp_path / "out")]) == 2
    assert "absent.jsonl" in capsys.readouterr().err
