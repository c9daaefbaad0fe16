"""Why a document is where it is, and what other borders would do: told from the result alone, and true."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.cli import main
from stemma.corpus.clean import clean
from stemma.corpus.curves import EDGES, broken_at
from stemma.corpus.explain import explain, move_limits, shortened
from stemma.corpus.summary import CleanSettings
from stemma.errors import StemmaError

GOOD = "The harbour woke before the sun, and the men who mended nets were at work. "
TEXTS = {
    "good": GOOD + "Nobody spoke of the storm that had come and gone in the night.",
    "copy": (GOOD + "Nobody spoke of the storm that had come and gone in the night.").upper(),
    "short": "The end.",
    "loop": "buy it now or never, " * 50,
    "mail": GOOD + "Write to keeper@example.com for the key of the lighthouse.",
    "zh": "清晨的港口还没有醒来，补网的人已经开始干活，谁也没有提起那场风暴。",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("in") / "in.jsonl"
    path.write_text("".join(json.dumps({"id": k, "text": v}) + "\n" for k, v in TEXTS.items()), "utf-8")
    return path


@pytest.fixture(scope="module")
def result(corpus: Path) -> Path:
    clean([corpus], corpus.parent / "out")
    return corpus.parent / "out"


def test_a_rule_a_twin_and_a_placeholder_are_named(result: Path) -> None:
    short, copy, mail = explain(result, ["short", "copy", "mail"])
    assert [(c.limit.rule, c.is_broken) for c in short.compared if c.is_broken] == [("too_short", True)]
    assert (short.decision["rule"], short.decision["threshold"]) == ("too_short", 20)
    assert (copy.decision["rule"], copy.decision["twin"], copy.twin_action) == (
        "exact_duplicate",
        "good",
        "keep",
    )
    assert not any(compared.is_broken for compared in copy.compared)
    assert [span["type"] for span in mail.decision["spans"]] == ["EMAIL"]
    assert mail.measures["characters"] == len("".join(TEXTS["mail"].split()))


def test_the_verb_says_it_in_words_and_in_json(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "explain", str(result), "short", "copy", "zh"]) == 0
    out = capsys.readouterr().out
    assert "dropped by too_short: characters is 7, the border 20" in out
    assert "twin: good (keep)" in out
    assert "<-- broken" in out
    assert "table zh" in out
    assert main(["clean", "explain", str(result), "copy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["decision"]["twin"] == "good"


def test_an_unknown_id_and_another_folder_are_refused(result: Path, tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match="no document with the id 'nobody'"):
        explain(result, ["nobody"])
    with pytest.raises(StemmaError, match="is no result of stemma clean"):
        explain(tmp_path, ["short"])


@pytest.mark.parametrize(
    ("limits", "rule_sets"),
    [
        ({"too_short": 5.0}, ()),
        ({"en.too_short": 1000.0}, ()),
        ({}, ("gopher",)),
        ({"zh.too_short": 200.0}, ("c4",)),
    ],
)
def test_moved_borders_do_what_a_new_cleaning_with_them_does(
    corpus: Path, result: Path, tmp_path: Path, limits: dict[str, float], rule_sets: tuple[str, ...]
) -> None:
    moved = move_limits(result, limits, rule_sets)
    again = clean([corpus], tmp_path / "out", CleanSettings(limits=limits, rule_sets=rule_sets))
    assert {b.name: b.broken_then for b in moved.borders if b.then is not None} == dict(again.broken)
    before = {
        each.decision["id"] for each in explain(result, list(TEXTS)) if each.decision["action"] != "drop"
    }
    after = {
        each.decision["id"]
        for each in explain(tmp_path / "out", list(TEXTS))
        if each.decision["action"] != "drop"
    }
    assert before - after <= set(moved.dropped_ids)
    assert after - before <= set(moved.kept_ids)
    assert len(moved.dropped_ids) == moved.newly_dropped
    assert (moved.newly_dropped, moved.newly_kept) != (0, 0)


def test_texts_are_not_needed_to_move_borders(result: Path, tmp_path: Path) -> None:
    shutil.copytree(result, tmp_path / "out", ignore=shutil.ignore_patterns("documents"))
    assert move_limits(tmp_path / "out", {"too_short": 5.0}).newly_kept == 1


def test_a_border_that_does_not_exist_is_refused(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "thresholds", str(result), "--limits", "en.templat", "0.5"]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert main(["clean", "thresholds", str(result), "--limits", "too_short", "5"]) == 0
    printed = capsys.readouterr()
    assert "en.too_short.characters.least" in printed.out
    assert "by none of these: 1 (short" in printed.err


def test_limits_that_are_off_are_listed_as_off(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "thresholds", str(result), "--limits", "toxic_insult", "5"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert rows["en.toxic_insult.toxic_insult.most"] == ["off", "0", "5", "0"]
    assert rows["en.low_quality.quality.least"] == ["off", "0", "off", "0"]
    assert {"zh.perplexity.perplexity.most", "neutral.machine_text.chain_2.most"} <= set(rows)
    assert main(["clean", "thresholds", str(result), "--json", "--rule-sets", "gopher"]) == 0
    out = capsys.readouterr().out
    assert "NaN" not in out
    found = {each["name"]: each for each in json.loads(out)["borders"]}
    assert "then" not in found["en.low_quality.quality.least"]
    assert found["en.too_short.characters.least"]["then"] == 20


@pytest.mark.parametrize(
    ("limit", "option"),
    [
        ("low_quality", "--quality-model"),
        ("perplexity", "--perplexity-model"),
        ("toxicity", "--toxicity-model"),
    ],
)
def test_a_limit_on_a_score_that_the_result_lacks_is_refused(
    result: Path, capsys: pytest.CaptureFixture[str], limit: str, option: str
) -> None:
    assert main(["clean", "thresholds", str(result), "--limits", limit, "0.5"]) == 2
    assert f"{limit} needs a model; give one with {option}" in capsys.readouterr().err


def test_another_language_than_asked_for_is_said_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    english = GOOD + "Nobody spoke of the storm that had come and gone in the night."
    records = [{"id": "labelled", "text": english, "lang": "fr"}, {"id": "zh", "text": TEXTS["zh"]}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    clean([tmp_path / "in.jsonl"], tmp_path / "out", CleanSettings(languages=("fr", "zh-TW")))
    assert main(["clean", "explain", str(tmp_path / "out"), "labelled", "zh"]) == 0
    out = capsys.readouterr().out
    assert "language fr, table en" in out
    assert "dropped by language: the text is in en, not in fr or zh-Hant" in out
    assert "dropped by language: the text is in zh-Hans, not in fr or zh-Hant" in out


def damaged(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.write_bytes({"longer": data + b"x", "shorter": data[:-9], "empty": b""}[how])


@pytest.mark.parametrize("how", ["longer", "shorter", "empty"])
@pytest.mark.parametrize("name", ["decisions.parquet", "measures/*.parquet", "cleaning.json"])
def test_a_damaged_result_is_one_sentence_that_names_the_file(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, how: str
) -> None:
    shutil.copytree(result, tmp_path / "out")
    (path,) = (tmp_path / "out").glob(name)
    damaged(path, how)
    for verb in (["thresholds", str(tmp_path / "out")], ["explain", str(tmp_path / "out"), "short"]):
        assert main(["clean", *verb]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{path}: " in line
        assert "damaged" in line
        assert "clean again with --force" in line


def test_measures_that_are_missing_or_of_other_documents_are_noticed(result: Path, tmp_path: Path) -> None:
    shutil.copytree(result, tmp_path / "out")
    (path,) = (tmp_path / "out" / "measures").iterdir()
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.slice(0, 1), path)
    with pytest.raises(StemmaError, match=r"has not the documents of decisions\.parquet"):
        move_limits(tmp_path / "out", {})
    path.unlink()
    for refused in (lambda: move_limits(tmp_path / "out", {}), lambda: explain(tmp_path / "out", ["short"])):
        with pytest.raises(StemmaError, match=r"has not the documents of decisions\.parquet"):
            refused()


def test_a_long_id_loses_its_middle_in_talk() -> None:
    assert shortened("a" * 60) == "a" * 60
    assert len(shortened("a" * 50_000 + "b")) <= 60
    assert shortened("a" * 50_000 + "b").endswith("ab")


@settings(deadline=None)
@given(
    st.lists(st.floats(0.001, 1e5), min_size=1, max_size=50),
    st.floats(0.002, 9e4),
    st.sampled_from(["least", "most"]),
)
def test_the_curve_is_exact_at_the_borders_of_bins_and_monotone(
    values: list[float], border: float, side: str
) -> None:
    bins = [int(sum(edge <= value for edge in EDGES)) for value in values]
    histogram = {str(i): (bins.count(i), 0) for i in set(bins)}
    edge = max(e for e in EDGES if e <= border)
    exact = sum(value < edge if side == "least" else value >= edge for value in values)
    assert broken_at(histogram, edge, side) == pytest.approx(exact, abs=1e-6)
    looser = border * (0.9 if side == "least" else 1.1)
    assert broken_at(histogram, looser, side) <= broken_at(histogram, border, side) + 1e-9
