"""The built-in corpus: the same bytes for a seed, one world in two languages, honest labels, and the held-out law."""

import hashlib
import itertools
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.corpus.playground import (
    dialogues,
    documents,
    held_out_documents,
    labelled_documents,
    make_world,
    preferences,
    questions,
    write_playground,
)
from stemma.corpus.playground.identifiers import check_character
from stemma.corpus.playground.near_duplicates import NearDuplicates
from stemma.corpus.playground.preferences import COSTS
from stemma.errors import StemmaError

SEEDS = (0, 1)
SIZE = 3000
FILES = {
    "documents.jsonl",
    "labels.jsonl",
    "heldout.jsonl",
    "dialogues.jsonl",
    "questions.jsonl",
    "preferences.jsonl",
    "world.json",
}


def _digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def _grams(text: str) -> set[tuple[str, ...]]:
    """5-grams of words and single Han characters, written apart from the package's own."""
    spaced = "".join(
        f" {c} " if "\u3400" <= c <= "\u9fff" else c if c.isalnum() else " " for c in text.lower()
    )
    found = spaced.split()
    return {tuple(found[i : i + 5]) for i in range(max(1, len(found) - 4))}


def _jaccard(left: set, right: set) -> float:
    return len(left & right) / len(left | right)


def _answers(records: list[dict]) -> set[str]:
    return {m["content"] for r in records for m in r["messages"] if m["role"] == "assistant"}


def test_the_same_seed_writes_the_same_bytes_and_another_seed_another_world(tmp_path):
    counts = write_playground(tmp_path / "a", seed=3, size=400)
    write_playground(tmp_path / "b", seed=3, size=400)
    write_playground(tmp_path / "c", seed=4, size=400)
    first, again, other = (_digests(tmp_path / name) for name in "abc")
    assert set(first) == FILES
    assert first == again
    assert all(first[name] != other[name] for name in FILES)
    for name, number in counts.items():
        assert (tmp_path / "a" / name).read_text("utf-8").count("\n") == number


def test_a_folder_that_holds_something_is_not_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(StemmaError, match="already exists"):
        write_playground(tmp_path, size=10)
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]


def test_a_longer_corpus_begins_with_the_shorter_one():
    assert list(documents(0, 200)) == list(itertools.islice(documents(0, 1000), 200))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_training_dialogue_gives_or_asks_for_what_a_question_asks(seed):
    training, asked = list(dialogues(seed)), list(questions(seed))
    answers = _answers(training)
    users = {m["content"] for d in training for m in d["messages"] if m["role"] == "user"}
    assert not [q["answer"] for q in asked if q["answer"] in answers]
    assert not [q["id"] for q in asked if q["turns"] == 1 and q["messages"][0]["content"] in users]
    # In the other language neither: the law is about the combination, whatever it is said in.
    world, other = make_world(seed), {"en": "zh", "zh": "en"}
    patterns = {"en": "{} lives in {}.", "zh": "{}住在{}。"}
    for question in asked:
        if question["key"][0] == "fact" and question["key"][2] == "city":
            lang, person = other[question["lang"]], world.people[question["key"][1]]
            assert patterns[lang].format(person.name(lang), person.facts["city"](lang)) not in answers


@pytest.mark.parametrize("seed", SEEDS)
def test_held_out_operands_events_and_comparisons_occur_nowhere_in_documents(seed):
    text = "\n".join(d["text"] for d in documents(seed, SIZE))
    text += "\n".join(m["content"] for d in dialogues(seed) for m in d["messages"])
    text += "\n".join(m["content"] for p in preferences(seed) for m in p["prompt"])
    world, out = make_world(seed), make_world(seed).held_out
    sold = set(re.findall(r"\b(\d) ([a-z]+)", text)) | set(re.findall(r"(\d)([\u4e00-\u9fff]{3})", text))
    for thing, quantity in out.products:
        item = world.things[thing]
        assert (str(quantity), item.plural) not in sold
        assert (str(quantity), item.measure + item.name.zh) not in sold
    asked = re.findall(r"(\d) \+ (\d) \+ (\d)", text)
    added = re.findall(r"(?<!\d)(\d) \+ (\d) = \d+[,，] ?\d+ \+ (\d) =", text)
    assert len(asked) > 100
    assert len(added) > 100
    assert not {tuple(sorted(map(int, numbers))) for numbers in asked + added} & out.sums
    clock = re.findall(r"(\d+) \+ (\d) = \d+(?:, so it|，那时)", text)
    assert len(clock) > 100
    assert not {(int(hour), int(later)) for hour, later in clock} & out.hours
    for pair in out.ages:
        for first, second in itertools.permutations(world.people[i] for i in pair):
            assert f"{first.name.en} is {first.facts['age'].en} and {second.name.en} is" not in text
            assert f"{first.name.zh}{first.facts['age'].zh}岁，{second.name.zh}" not in text
    for question in questions(seed):
        if question["key"][0] == "event" and question["kind"] != "translation":
            assert question["answer"] not in text


@pytest.mark.parametrize("seed", SEEDS)
def test_no_document_asks_a_question_and_held_out_facts_are_stated(seed):
    texts = [d["text"] for d in documents(seed, SIZE)]
    assert not [t for t in texts if "?" in t or "？" in t]
    text = "\n".join(texts)
    facts = [q for q in questions(seed) if q["kind"] in ("fact", "kinship", "price")]
    stated = [q for q in facts if q["answer"] in text]
    assert len(stated) > 0.9 * len(facts)


def test_the_documents_of_both_languages_state_the_same_world():
    world = make_world(0)
    stated = {"en": {}, "zh": {}}
    patterns = {"en": r"(\w+) is (\d+) years old\.", "zh": r"([\u4e00-\u9fff]{2})今年(\d+)岁。"}
    homes = {
        "en": r"(\w+) lives in (\w+)\.",
        "zh": r"(?:^|。)([\u4e00-\u9fff]{2})住在([\u4e00-\u9fff]{2,3})。",
    }
    names = {lang: {p.name(lang): i for i, p in enumerate(world.people)} for lang in stated}
    for document in documents(0, SIZE):
        for lang, table in stated.items():
            for attribute, pattern in (("age", patterns[lang]), ("city", homes[lang])):
                for name, value in re.findall(pattern, document["text"]):
                    if name in names[lang]:
                        table.setdefault((names[lang][name], attribute), set()).add(value)
    for lang, table in stated.items():
        assert len(table) == 2 * len(world.people)
        for (person, attribute), values in table.items():
            assert values == {world.people[person].facts[attribute](lang)}


def test_kinship_is_consistent():
    for seed in SEEDS:
        world = make_world(seed)
        back = {"husband": "wife", "wife": "husband", "brother": "sister", "sister": "brother"}
        for (person, relation), relative in world.kin.items():
            assert world.people[relative].female == (relation in ("wife", "mother", "daughter", "sister"))
            if relation in back:
                assert world.kin[relative, back[relation]] == person
            if relation in ("father", "mother"):
                assert (
                    int(world.people[relative].facts["age"].en) - int(world.people[person].facts["age"].en)
                    >= 15
                )


def test_clean_documents_are_no_near_duplicates_of_one_another():
    pairs = labelled_documents(0, SIZE)
    clean = [d["text"] for d, label in pairs if label is None] + [d["text"] for d in held_out_documents(0)]
    grams = [_grams(t) for t in clean]
    # Brute force: every other document against all that share a gram with it.
    places: dict[tuple[str, ...], list[int]] = {}
    for index, found in enumerate(grams):
        for gram in found:
            places.setdefault(gram, []).append(index)
    worst = 0.0
    for index in range(0, len(grams), 2):
        shared: dict[int, int] = {}
        for gram in grams[index]:
            for other in places[gram]:
                shared[other] = shared.get(other, 0) + 1
        for other, common in shared.items():
            if other != index:
                worst = max(worst, common / (len(grams[index]) + len(grams[other]) - common))
    assert 0.3 < worst < 0.5


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=14), max_size=12))
def test_the_guard_accepts_exactly_what_brute_force_accepts(texts):
    guard, kept = NearDuplicates(0.5), []
    for text in map(" ".join, texts):
        expected = all(_jaccard(_grams(text), other) < 0.5 for other in kept)
        assert guard.accept(text) == expected
        if expected:
            kept.append(_grams(text))


def test_labels_say_what_was_planted():
    texts, kinds = {}, {}
    for document, label in labelled_documents(0, SIZE):
        texts[document["id"]] = document["text"]
        if label is None:
            continue
        kinds[label["kind"]] = kinds.get(label["kind"], 0) + 1
        text = document["text"]
        assert label["id"] == document["id"]
        for span in label["spans"]:
            assert text[span["start"] : span["end"]] == span["value"]
            if span["type"].startswith("cn_id"):
                right = check_character(span["value"][:17]) == span["value"][17]
                assert right == span["redact"]
        if label["kind"] == "exact_dup":
            assert text == texts[label["of"]]
        if label["kind"] == "near_dup":
            measured = _jaccard(_grams(text), _grams(texts[label["of"]]))
            assert measured == pytest.approx(label["jaccard"], abs=1e-4)
            assert 0.5 <= measured < 1
            assert label["action"] == ("drop_one_of" if measured >= 0.7 else "keep")
        assert (label["action"] == "redact") == any(s["redact"] for s in label["spans"])
    assert set(kinds) == {
        "exact_dup", "near_dup", "pii", "pii_negative", "empty", "too_short", "garbage", "repetition",
    }  # fmt: skip
    assert 0.1 < sum(kinds.values()) / SIZE < 0.2


def test_the_published_example_of_the_resident_id_standard_has_its_check_character():
    assert check_character("11010519491231002") == "X"


def test_near_duplicates_cover_the_range_of_similarities():
    found = [
        label["jaccard"] for _, label in labelled_documents(0, 8000) if label and label["kind"] == "near_dup"
    ]
    assert min(found) < 0.55
    assert max(found) > 0.93
    assert all(any(low <= j < low + 0.1 for j in found) for low in (0.5, 0.6, 0.7, 0.8))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_question_has_its_answer_once_among_distinct_choices(seed):
    asked = list(questions(seed))
    assert 300 <= len(asked) <= 400
    assert len({q["id"] for q in asked}) == len(asked)
    assert len({json.dumps(q["messages"], ensure_ascii=False) for q in asked}) == len(asked)
    for question in asked:
        assert len(set(question["choices"])) == len(question["choices"]) >= 4
        assert question["choices"].count(question["answer"]) == 1
        roles = [m["role"] for m in question["messages"]]
        assert roles == (["user", "assistant"] * question["turns"])[:-1]
    for lang in ("en", "zh"):
        assert sum(q["lang"] == lang for q in asked) == len(asked) / 2
    several = sum(q["turns"] > 1 for q in asked)
    assert 0.4 <= several / len(asked) <= 0.6


def test_dialogues_are_all_different_and_end_with_the_assistant():
    found = list(dialogues(0))
    assert len({json.dumps(d["messages"], ensure_ascii=False) for d in found}) == len(found)
    assert {len(d["messages"]) // 2 for d in found} == {1, 2, 3, 4}
    for dialogue in found:
        assert [m["role"] for m in dialogue["messages"]] == ["user", "assistant"] * (
            len(dialogue["messages"]) // 2
        )
        assert all(m["content"].strip() for m in dialogue["messages"])


def test_every_allowed_fact_is_asked_in_both_languages():
    world = make_world(0)
    asked = _answers(list(dialogues(0)))
    for index, person in enumerate(world.people):
        allowed = (index, "job") not in world.held_out.facts
        assert (f"{person.name.en} is a {person.facts['job'].en}." in asked) == allowed
        assert (f"{person.name.zh}是{person.facts['job'].zh}。" in asked) == allowed


def test_preferences_are_graded_by_their_utilities():
    grades = set()
    for pair in preferences(0):
        better, worse = (-sum(COSTS[f] for f in flaws) for flaws in pair["flaws"])
        assert pair["utility"] == [better, worse]
        difference = better - worse
        expected = ["negligibly", "slightly", "better", "significantly"][
            sum(difference >= x for x in (0.75, 1.5, 3))
        ]
        assert difference > 0
        assert pair["grade"] == expected
        assert pair["chosen"] != pair["rejected"]
        grades.add(pair["grade"])
    assert len(grades) == 4


def test_held_out_documents_cover_every_domain_and_are_not_in_the_training_text():
    held_out = list(held_out_documents(0))
    trained = {d["text"] for d in documents(0, SIZE)}
    assert not [d for d in held_out if d["text"] in trained]
    domains = [d["domain"] for d in held_out]
    assert {domains.count(name) for name in set(domains)} == {40}
    assert set(domains) == {"people", "family", "market", "diary", "calendar", "arithmetic", "translation"}


def test_the_command_writes_the_folder_and_prints_its_counts(tmp_path, capsys):
    from stemma.cli import main

    out = tmp_path / "corpus"
    assert main(["corpus", "playground", "--out", str(out), "--seed", "5", "--size", "300", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["documents.jsonl"] == 300
    assert "stemma clean" in captured.err
    assert main(["corpus", "playground", "--out", str(out), "--seed", "-1"]) == 2
