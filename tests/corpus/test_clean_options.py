"""What a cleaning does on request: cuts, scores, rule sets; and what it finds by itself in pages and in word salad."""

import json
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from stemma.cli import main
from stemma.corpus import read_documents
from stemma.corpus.clean import clean
from stemma.corpus.machine_text import MOST_SEAMS, MOST_SEAMS_OF_CHAIN
from stemma.corpus.summary import CleanSettings
from stemma.errors import StemmaError


def write(path: Path, texts: dict[str, str], **fields: str) -> Path:
    lines = [
        json.dumps({"id": name, "text": text, **fields}, ensure_ascii=False) for name, text in texts.items()
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def words(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(3, 8))) for _ in range(count)]


def sentences(seed: int, count: int) -> str:
    return " ".join(" ".join(words(seed * 1000 + i, 12)).capitalize() + "." for i in range(count))


def kept(folder: Path) -> dict[str, str]:
    return {row["id"]: row["text"] for row in pyarrow.parquet.read_table(folder / "documents").to_pylist()}


def decisions(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pyarrow.parquet.read_table(folder / "decisions.parquet").to_pylist()}


def measures(folder: Path, name: str) -> dict[str, float]:
    table = pyarrow.parquet.read_table(folder / "measures", columns=["id", name]).to_pylist()
    return {row["id"]: row[name] for row in table}


def test_a_passage_that_stood_before_is_cut_and_a_document_of_nothing_else_goes(tmp_path: Path) -> None:
    passage = sentences(1, 8)
    own = {name: sentences(seed, 12) for seed, name in ((2, "first"), (3, "second"))}
    texts = {
        "first": f"{own['first']} {passage}",
        "second": f"{own['second']} {passage}",
        "only": f"{passage} {' '.join(words(9, 8))}",
    }
    corpus = write(tmp_path / "in.jsonl", texts)
    settings = CleanSettings(passage_tokens=50, near_duplicates=False)
    clean([corpus], tmp_path / "out", settings)
    assert kept(tmp_path / "out") == {"first": texts["first"], "second": own["second"]}
    rows = decisions(tmp_path / "out")
    assert (rows["second"]["action"], rows["second"]["edits"]) == ("edit", ["passage"])
    assert (rows["only"]["action"], rows["only"]["rule"]) == ("drop", "repeated_passages")
    assert (rows["only"]["measure"], rows["only"]["value"], rows["only"]["threshold"]) == (
        "tokens_left",
        8,
        50,
    )
    clean([corpus], tmp_path / "left", CleanSettings(near_duplicates=False))
    assert kept(tmp_path / "left") == texts


@pytest.mark.parametrize(
    "settings", [CleanSettings(passage_tokens=50), CleanSettings(repeated_paragraphs=True)]
)
def test_what_is_new_in_a_document_of_old_text_stands_there_or_later_but_somewhere(
    tmp_path: Path, settings: CleanSettings
) -> None:
    old, new = [sentences(seed, 6) for seed in range(10)], sentences(99, 6)
    texts = {
        "old": "\n\n".join(old),
        "mixed": "\n\n".join([*old[:6], new, *old[6:]]),
        "later": f"{new}\n\n{sentences(123, 30)}",
    }
    settings = replace(settings, near_duplicates=False)
    clean([write(tmp_path / "in.jsonl", texts)], tmp_path / "out", settings)
    found = kept(tmp_path / "out")
    assert [sum(part in text for text in found.values()) for part in [*old, new]] == [1] * 11
    assert decisions(tmp_path / "out")["mixed"]["action"] == "edit"


def test_paragraphs_and_lines_that_stood_before_are_cut(tmp_path: Path) -> None:
    paragraph, line = sentences(4, 3), "Follow the harbour newsletter for the tides of every week"
    texts = {
        f"d{i}": f"{sentences(20 + i, 3)}\n\n{line}\n\n{sentences(40 + i, 3)}\n\n{paragraph}"
        for i in range(8)
    }
    corpus = write(tmp_path / "in.jsonl", texts)
    settings = CleanSettings(repeated_paragraphs=True, repeated_lines=True, near_duplicates=False)
    clean([corpus], tmp_path / "out", settings)
    found = list(kept(tmp_path / "out").values())
    assert [paragraph in text for text in found] == [True] + [False] * 7
    assert [line in text for text in found] == [True] + [False] * 7
    assert all(sentences(20 + i, 3) in text and sentences(40 + i, 3) in text for i, text in enumerate(found))
    assert {tuple(row["edits"]) for row in decisions(tmp_path / "out").values()} == {
        (),
        ("paragraph", "line"),
    }


def test_word_salad_goes_and_the_text_it_was_made_of_stays(tmp_path: Path) -> None:
    page = (
        "The best locksmith in Perth is a Perth locksmith. Call our Perth locksmith today for a Perth locksmith "
        "quote: a locksmith in Perth, the Perth locksmith that Perth calls."
    )
    salad = "。".join(
        "".join(chr(0x4E00 + value) for value in row)
        for row in np.random.default_rng(3).integers(0, 3000, (9, 30))
    )
    prose = "清晨的港口还没有醒来，补网的人已经开始干活，谁也没有提起那场风暴。老灯塔的守夜人忘了熄灯，一只黄狗睡在他脚边。"
    corpus = write(
        tmp_path / "in.jsonl", {"page": page, "salad": salad, "prose": prose, "text": sentences(5, 9)}
    )
    clean([corpus], tmp_path / "out")
    rules = {name: row["rule"] for name, row in decisions(tmp_path / "out").items()}
    assert rules == {"page": "machine_text", "salad": "machine_text", "prose": None, "text": None}


def test_a_chain_of_the_corpus_s_word_pairs_goes_and_its_documents_with_as_many_seams_stay(
    tmp_path: Path,
) -> None:
    draw = random.Random(2)
    vocabulary = words(1, 300)
    pool = ["The " * (i % 2) + " ".join(draw.choices(vocabulary, k=12)) for i in range(150)]
    tales = {f"tale{i}": " ".join(draw.choices(pool, k=30)) for i in range(60)}
    followers: dict[str, list[str]] = {}
    for left, right in pairwise(" ".join(tales.values()).split()):
        followers.setdefault(left, []).append(right)
    chains: dict[str, str] = {}
    for i in range(6):
        chain = [draw.choice(vocabulary)]
        while len(chain) < 360:
            chain.append(draw.choice(followers[chain[-1]]))
        chains[f"chain{i}"] = " ".join(chain)
    clean([write(tmp_path / "in.jsonl", tales | chains)], tmp_path / "out")
    seams = measures(tmp_path / "out", "seams")
    doubtful = {name for name, value in seams.items() if MOST_SEAMS_OF_CHAIN < value <= MOST_SEAMS}
    assert len(doubtful & set(tales)) > 20
    assert len(doubtful & set(chains)) > 3
    dropped = {name: row["measure"] for name, row in decisions(tmp_path / "out").items() if row["rule"]}
    assert dropped == dict.fromkeys(doubtful & set(chains), "chain_seams")


def test_other_languages_go_unless_undetermined_and_a_broken_limit_comes_first(tmp_path: Path) -> None:
    texts = {
        "zh": "清晨的港口还没有醒来，补网的人已经开始干活，谁也没有提起那场风暴。老灯塔的守夜人忘了熄灯。",
        "en": "The quiet harbour woke before the sun, and men who mended nets were already at work on the quay.",
        "loop": "The quiet harbour woke before the sun. " * 40,
        "code": "for i in range(n):\n    x[i] = y[i] + z[i]\n    if x[i] > 0:\n        k += 1\n",
    }
    clean(
        [write(tmp_path / "in.jsonl", texts)],
        tmp_path / "out",
        CleanSettings(languages=("zh",), repair=False),
    )
    rules = {name: row["rule"] for name, row in decisions(tmp_path / "out").items()}
    assert rules == {"zh": None, "en": "language", "loop": "repetition_ngrams", "code": None}


def test_models_give_scores_and_only_a_limit_drops(tmp_path: Path) -> None:
    good = {f"g{i}": sentences(100 + i, 4) for i in range(150)}
    bad = {f"b{i}": " ".join(words(7, 4000)[i * 20 : i * 20 + 40]) + " zz qq xx" for i in range(150)}
    write(tmp_path / "good.jsonl", good)
    write(tmp_path / "bad.jsonl", bad)
    quality, ngrams = tmp_path / "quality.safetensors", tmp_path / "ngrams.npz"
    train = ["clean", "train-quality", str(tmp_path / "good.jsonl"), "--bad", str(tmp_path / "bad.jsonl")]
    assert main([*train, "--out", str(quality)]) == 0
    assert main(["clean", "train-ngrams", str(tmp_path / "good.jsonl"), "--out", str(ngrams)]) == 0
    mixed = write(tmp_path / "in.jsonl", {**dict([*good.items()][:20]), **dict([*bad.items()][:20])})
    models = {"quality_model": quality, "perplexity_model": ngrams}
    summary = clean([mixed], tmp_path / "out", CleanSettings(**models))
    assert summary.total.documents_kept == 40
    assert [model.name for model in summary.models] == ["quality.safetensors", "ngrams.npz"]
    scores = measures(tmp_path / "out", "quality")
    surprise = measures(tmp_path / "out", "perplexity")
    assert min(scores[name] for name in good if name in scores) > max(
        scores[name] for name in bad if name in scores
    )
    assert max(surprise[n] for n in good if n in surprise) < min(surprise[n] for n in bad if n in surprise)
    documents = read_documents([tmp_path / "out" / "documents"], on_error="refuse")
    assert {each.id: each.quality for each in documents} == pytest.approx(scores)
    limits = {"low_quality": 0.5}
    dropped = clean([mixed], tmp_path / "strict", CleanSettings(limits=limits, **models))
    assert dict(dropped.by_rule) == {"low_quality": 20}


def test_a_limit_on_a_score_without_its_model_is_refused() -> None:
    with pytest.raises(StemmaError, match="low_quality needs a model; give one with --quality-model"):
        CleanSettings(limits={"low_quality": 0.5})
    with pytest.raises(
        StemmaError, match=r"machine_text.chain_2 needs a model; give one with --perplexity-model"
    ):
        CleanSettings(limits={"machine_text.chain_2": 1.0})


def test_a_model_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    corpus = write(tmp_path / "in.jsonl", {"a": sentences(1, 5)})
    with pytest.raises(StemmaError, match=r"no\.npz: does not exist"):
        clean([corpus], tmp_path / "out", CleanSettings(perplexity_model=tmp_path / "no.npz"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_toxic_words_are_counted_and_only_a_limit_drops(tmp_path: Path) -> None:
    angry = "You stupid idiot, you idiot of a fool, shut up, you moron, you stupid stupid idiot."
    corpus = write(tmp_path / "in.jsonl", {"angry": angry, "calm": sentences(6, 6)})
    summary = clean([corpus], tmp_path / "out")
    assert summary.total.documents_kept == 2
    assert {row.category for row in summary.toxic_words} == {"insult"}
    assert measures(tmp_path / "out", "toxic_insult")["angry"] > 100
    assert measures(tmp_path / "out", "toxic_insult")["calm"] == 0
    strict = clean([corpus], tmp_path / "strict", CleanSettings(limits={"toxic_insult": 5.0}))
    assert dict(strict.by_rule) == {"toxic_insult": 1}


def shouting(texts: list[str]) -> list[float]:
    """A classifier of somebody's own: the share of capitals."""
    return [sum(letter.isupper() for letter in text) / max(len(text), 1) for text in texts]


def test_a_classifier_of_the_users_own_gives_a_score_too(tmp_path: Path) -> None:
    corpus = write(tmp_path / "in.jsonl", {"loud": sentences(6, 6).upper(), "calm": sentences(7, 6)})
    settings = CleanSettings(toxicity_model="test_clean_options:shouting", limits={"toxicity": 0.5})
    assert dict(clean([corpus], tmp_path / "out", settings).by_rule) == {"toxicity": 1}
    assert measures(tmp_path / "out", "toxicity")["loud"] > 0.7
    with pytest.raises(StemmaError, match="no module named no_such_module"):
        clean([corpus], tmp_path / "other", CleanSettings(toxicity_model="no_such_module:score"))


def test_a_published_set_is_named_as_the_rule(tmp_path: Path) -> None:
    text = "The harbour of that town is small, and the boats that lie in it have to be painted with care."
    corpus = write(tmp_path / "in.jsonl", {"short": text})
    clean([corpus], tmp_path / "out")
    assert decisions(tmp_path / "out")["short"]["action"] == "keep"
    clean([corpus], tmp_path / "strict", CleanSettings(rule_sets=("gopher",)))
    row = decisions(tmp_path / "strict")["short"]
    assert (row["rule"], row["measure"], row["value"], row["threshold"]) == ("gopher", "num_words", 20, 50)


def test_pages_become_documents_with_their_address_and_licence(tmp_path: Path) -> None:
    story = "".join(f"<p>{sentences(50 + i, 4)}</p>" for i in range(4))
    page = f"<html><head><title>Tides</title></head><body><nav>Home | News</nav><article>{story}</article>"
    page += '<footer><a rel="license" href="https://creativecommons.org/licenses/by/4.0/">CC</a></footer></body></html>'
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "a.html").write_text(page, "utf-8")
    (tmp_path / "pages" / "empty.html").write_text("<html><body></body></html>", "utf-8")
    with pytest.raises(StemmaError, match=r"empty\.html: "):
        clean([tmp_path / "pages"], tmp_path / "out")
    summary = clean([tmp_path / "pages"], tmp_path / "out", CleanSettings(on_error="skip"))
    assert dict(summary.bad_records) == {"no main text": 1}
    (row,) = pyarrow.parquet.read_table(tmp_path / "out" / "documents").to_pylist()
    assert sentences(50, 4) in row["text"]
    assert "Home" not in row["text"]
    assert (row["id"], row["licence"]) == ("a.html:1", "CC-BY-4.0")
