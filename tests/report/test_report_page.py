"""The whole page: what it shows, what it refuses, and that it is one safe, offline, reproducible file."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from stage_files import HOSTILE, certificate, write, write_evaluation, write_run

from stemma.cli import main
from stemma.errors import StemmaError
from stemma.report import render_report

Build = Callable[..., Path]
STAGES = ("clean", "tokenizer", "pretrain", "sft", "evaluate", "upgrade", "rest")


class Page(HTMLParser):
    """Tags and attributes as a browser would read them, and the visible text."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "link", "img", "br", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    @property
    def sections(self) -> list[str]:
        return re.findall(r"<h2><span>\d+</span>(.*?)</h2>", self.html)


def render(folder: Path) -> Page:
    page = Page(render_report(folder))
    assert not page.open, "every element is closed"
    return page


def test_a_whole_chain_becomes_one_page_with_every_section_in_the_order_the_text_travelled(
    chain: Build,
) -> None:
    page = render(chain())
    assert page.sections == [
        "What was run",
        "Cleaning",
        "Tokenizer",
        "Pretraining",
        "Chat training",
        "Held-out bits per byte",
        "Questions answered",
        "Chat samples",
        "Upgrade",
        "Protocol",
        "Versions and settings",
    ]
    links = [value[1:] for name, value in page.attributes if name == "href" and value.startswith("#")]
    anchors = {value for name, value in page.attributes if name == "id"}
    assert set(links) <= anchors, "every link of the page leads somewhere on it"


@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_with_one_stage_alone_gives_a_page(chain: Build, stage: str) -> None:
    assert render(chain(stage)).sections


@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_that_lacks_one_stage_gives_a_page_without_it(chain: Build, stage: str) -> None:
    page = render(chain(*(name for name in STAGES if name != stage)))
    lost = {"clean": "Cleaning", "tokenizer": "Tokenizer", "sft": "Chat training", "upgrade": "Upgrade"}
    assert lost.get(stage) not in page.sections


def test_single_run_upgrade_and_evaluation_folders_have_pages_of_their_own(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 40)
    assert render(tmp_path / "run").sections == ["Pretraining", "Protocol", "Versions and settings"]
    write(tmp_path / "wider" / "certificate.json", certificate("exact"))
    assert render(tmp_path / "wider").sections == ["Upgrade", "Protocol"]
    write_evaluation(tmp_path / "numbers" / "evaluation.json", 0.5)
    assert render(tmp_path / "numbers").sections == [
        "Held-out bits per byte",
        "Questions answered",
        "Protocol",
    ]


def test_an_empty_or_missing_folder_is_refused_in_one_sentence_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match="holds nothing to report; give the folder of a run"):
        render_report(tmp_path)
    with pytest.raises(StemmaError, match="is not a folder"):
        render_report(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def test_the_numbers_of_the_files_stand_on_the_page(chain: Build) -> None:
    text = render(chain()).text.replace("\u202f", " ")
    for words in (
        "95.6 %",  # accuracy of the chat model
        "720 held-out questions",
        "1 067",  # exact and near duplicates
        "10 min 04 s",  # sum of the commands
        "4.21 M",
        "near duplicate 655 7.03 %",
        "kept 7 789 83.64 %",
        "9.22 kB 2.30 kB \u00d70.25",  # KV bytes
        "perplexity 7.420 8.978 7.568",
    ):
        assert words in text, words


def test_hostile_texts_are_shown_and_never_become_markup(chain: Build) -> None:
    folder = chain()
    write_evaluation(folder / "evaluate" / "<script>alert(3)<!--.json".replace("/", ""), 0.5)
    page = render(folder)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert HOSTILE in "".join(page.words)
    assert "<!--" not in page.html


def test_the_page_loads_nothing(chain: Build) -> None:
    page = render(chain())
    assert not {"link", "script", "iframe", "object", "embed", "base", "form", "image"} & set(page.tags)
    for name, value in page.attributes:
        if name in ("href", "src", "xlink:href", "action", "data", "srcset"):
            assert value.startswith("#"), (name, value)
        assert "xmlns" not in name
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page.html))
    assert "@import" not in page.html
    assert "default-src 'none'" in page.html


def test_the_same_files_give_the_same_bytes(chain: Build) -> None:
    folder = chain()
    first = render_report(folder).read_bytes()
    assert render_report(folder).read_bytes() == first


def test_plots_follow_the_page_colours_and_keep_chinese_as_text(chain: Build) -> None:
    folder = chain("evaluate")
    file = folder / "evaluate" / "sft.json"
    file.write_text(file.read_text(encoding="utf-8").replace("facts zh", "中文事实"), encoding="utf-8")
    html = render(folder).html
    plots = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert ">中文事实</text>" in plots
    assert "var(--series-0)" in plots
    assert not re.search(r"#[0-9a-f]{6}", plots), "no colour is fixed"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("clean/cleaning.json", '{\n"total": {,\n', r"cleaning.json: line 2: is not JSON"),
        ("clean/cleaning.json", '{"by_rule": 5}', r"cleaning.json: 'by_rule' must be an object, found 5"),
        (
            "pretrain/metrics.jsonl",
            '{"kind": "train", "step": 1}\n{"kind": \n',
            r"metrics.jsonl: line 2: is not JSON",
        ),
        ("pretrain/metrics.jsonl", "[1]\n", r"metrics.jsonl: line 1: must be an object"),
        ("pretrain/metrics.jsonl", '{"kind": "train", "step": "x"}\n', r"line 1: 'step' must be a number"),
        ("evaluate/sft.json", "[]", r"sft.json: must be an object"),
        ("commands.json", "{}", r"commands.json: must hold a list"),
        ("upgrade/certificate.json", '{"operations": [3]}', r"'operations' entry 0: must be an object"),
    ],
)
def test_a_damaged_file_is_named_with_its_place_and_the_old_page_stays(
    chain: Build, name: str, content: str, words: str
) -> None:
    folder = chain("rest", "clean")
    before = render_report(folder).read_bytes()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    with pytest.raises(StemmaError, match=words) as caught:
        render_report(folder)
    assert "\n" not in str(caught.value)
    assert (folder / "report.html").read_bytes() == before


def test_a_last_metrics_line_cut_by_a_kill_is_left_out(chain: Build) -> None:
    folder = chain("pretrain")
    whole = render_report(folder).read_bytes()
    with (folder / "pretrain" / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')
    assert render_report(folder).read_bytes() == whole


def test_the_command_prints_the_path_of_the_page(chain: Build, capsys: pytest.CaptureFixture[str]) -> None:
    folder = chain("clean")
    assert main(["report", str(folder), "--open", "no"]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert main(["report", str(folder / "absent")]) == 2
