"""Pages: the text that people read comes out, what the page says of itself too, and no page can do harm."""

import json
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus import html, read_records
from stemma.corpus.html import Page, PageError, decode_html, extract

SENTENCE = "The harbour was rebuilt after the flood, and the ferries have run every hour since then. "
ZH = "港口在洪水之后重建，渡轮从此每小时开一班。人们在这里等船，也在这里说起从前的事，一说就是一个下午。"
TEXT = SENTENCE * 5
_TOKEN = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]|[^\W\u3040-\u30ff\u4e00-\u9fff]+")


def page(body: str = "", head: str = "", attributes: str = "") -> str:
    navigation = "<nav><a href='/'>Home</a> <a href='/about'>About</a></nav>"
    return (
        f"<!doctype html><html {attributes}><head><title>Ferries again</title>{head}</head>"
        f"<body>{navigation}<article><h1>Ferries again</h1><p>{TEXT}</p><p>{TEXT}</p>{body}</article></body></html>"
    )


def token_f1(found: str, wanted: str) -> float:
    one, other = Counter(_TOKEN.findall(found.lower())), Counter(_TOKEN.findall(wanted.lower()))
    common = (one & other).total()
    return 2 * common / max(1, one.total() + other.total())


def refused(text: str) -> str:
    with pytest.raises(PageError) as caught:
        extract(text)
    return caught.value.reason


def test_the_main_text_is_taken_and_the_navigation_is_left() -> None:
    found = extract(page())
    assert TEXT.strip() in found.text
    assert "About" not in found.text


@pytest.fixture(scope="module")
def gold(shared: Path) -> list[dict[str, Any]]:
    """Every ninth page that has a reference."""
    rows = [row for _, row in read_records(shared / "corpora" / "html" / "pages.jsonl.zst") if row["text"]]
    return rows[::9]


def test_pages_give_their_reference_text(gold: list[dict[str, Any]]) -> None:
    scores: dict[str, list[float]] = {"human": [], "other": []}
    for row in gold:
        kind = "human" if row["gold"] == "human" else "other"
        scores[kind].append(token_f1(extract(row["html"]).text, row["text"]))
    assert min(len(found) for found in scores.values()) >= 10
    assert sum(scores["human"]) / len(scores["human"]) >= 0.93
    assert sum(scores["other"]) / len(scores["other"]) >= 0.88


def test_extraction_is_the_same_in_every_process(gold: list[dict[str, Any]], tmp_path: Path) -> None:
    rows = gold[::12]
    (tmp_path / "pages.json").write_text(json.dumps([row["html"] for row in rows]))
    program = (
        "import json, sys; from stemma.corpus.html import extract; pages = json.load(open(sys.argv[1]));"
        "json.dump([extract(page) for page in reversed(pages)], sys.stdout)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "pages.json")]
    done = subprocess.run(command, env={"PYTHONHASHSEED": "1"}, capture_output=True, check=True)
    assert json.loads(done.stdout)[::-1] == [list(extract(row["html"])) for row in rows]


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    links = "<img src='http://127.0.0.1:9/a.png'><iframe src='http://127.0.0.1:9/b'></iframe>"
    head = "<link rel=stylesheet href='http://127.0.0.1:9/c.css'><base href='http://127.0.0.1:9/'>"
    document = '<!DOCTYPE html SYSTEM "http://127.0.0.1:9/x.dtd">' + page(links, head)
    assert TEXT.strip() in extract(document).text


# -- what a page says of itself


def test_a_page_states_its_title_date_address_and_language() -> None:
    head = (
        '<meta property="og:title" content="Ferries,  again"><link rel=canonical href="https://a.example/f">'
        '<meta property="article:published_time" content="2021-03-04T10:00:00Z">'
    )
    found = extract(page(head=head, attributes='lang="en-GB"'))
    assert found == Page(found.text, "Ferries, again", "2021-03-04", "https://a.example/f", None, "en-gb")
    assert extract(page())[1:] == ("Ferries again", None, None, None, None)


CC = "https://creativecommons.org/"
LICENCES = {
    f'<a rel="license" href="{CC}licenses/by-sa/4.0/deed.zh">text</a>': "CC-BY-SA-4.0",
    f'<a rel="nofollow license" href="{CC}publicdomain/zero/1.0/">text</a>': "CC0-1.0",
    f'<a rel="license" href="{CC}publicdomain/mark/1.0/">text</a>': "CC-PDM-1.0",
    f'<a rel="license" href="{CC}licenses/by-nc-nd/3.0/de/">text</a>': "CC-BY-NC-ND-3.0",
    '<a rel="license" href="https://a.example/terms">terms</a>': "https://a.example/terms",
    '<a rel="license" href="/terms">terms</a>': None,
    '<a rel="license" href="javascript:alert(1)">terms</a>': None,
    f'<footer><a href="{CC}licenses/by/2.0/">some rights</a></footer>': "CC-BY-2.0",
    f'<p>A picture under <a href="{CC}licenses/by/2.0/">CC</a></p>': None,
    f'<figure><img src=x><a rel="license" href="{CC}licenses/by/2.0/">CC</a></figure>': None,
    f'<a rel="license" href="{CC}licenses/by/2.0/">a</a><a rel="license" href="{CC}licenses/by/4.0/">b</a>': None,
    r'<script type="application/ld+json">{"license": "https:\/\/creativecommons.org\/licenses\/by\/4.0\/"}</script>': (
        "CC-BY-4.0"
    ),
}


@pytest.mark.parametrize("markup", LICENCES)
def test_the_licence_of_a_page_is_the_one_it_puts_itself_under(markup: str) -> None:
    assert extract(page(markup)).licence == LICENCES[markup]


# -- bytes to characters


@pytest.mark.parametrize(
    ("text", "codec", "declared", "header"),
    [
        (ZH, "utf-8", "", ""),
        (ZH, "utf-8-sig", "gbk", ""),
        (ZH, "utf-16", "", ""),
        (ZH, "utf-16-le", "", "text/html; charset=utf-16"),
        (ZH, "gb18030", "", ""),
        (ZH, "gb18030", "gb2312", ""),
        (ZH, "gb18030", "", 'text/html; charset="GBK"'),
        (ZH, "gb18030", "utf-8", ""),
        (ZH, "gb18030", "", "text/html; charset=ISO-8859-1"),
        (ZH, "utf-8", "", "text/html; charset=ISO-8859-1"),
        (ZH, "utf-8", "gb2312", ""),
        ("渡輪每小時開一班，在港口的人等船。", "big5hkscs", "big5", ""),
        ("港のフェリーは一時間ごとに出ます。", "cp932", "Shift_JIS", ""),
        ("Паром отходит каждый час после наводнения.", "cp1251", "windows-1251", ""),
        ("Паром отходит каждый час после наводнения.", "koi8_r", "", "text/html;charset=koi8-r"),
        ("Le bac repart chaque heure \u2014 là-bas, après l\u2019été, Noël approche.", "cp1252", "", ""),
        ("Le bac repart, là-bas, après l'été.", "latin-1", "iso-8859-1", ""),
        ("Le bac repart, là-bas, après l'été.", "latin-1", "no-such-charset", "text/html; charset=zip"),
    ],
)
def test_a_page_is_read_in_its_charset(text: str, codec: str, declared: str, header: str) -> None:
    meta = f'<meta http-equiv=Content-Type content="text/html; charset={declared}">' if declared else ""
    document = page(f"<p>{text * 3}</p>", meta)
    assert decode_html(document.encode(codec), header) == document


@pytest.mark.parametrize("codec", ["utf-8", "gb18030"])
def test_one_damaged_character_does_not_change_the_charset_of_a_page(codec: str) -> None:
    data = page(f"<p>{ZH * 20}</p>").encode(codec)
    cut = data.index("港".encode(codec))
    found = decode_html(data[:cut] + b"\xff" + data[cut:])
    assert "\ufffd" in found
    assert found.count("渡轮") >= 19


@given(st.binary(max_size=300), st.text(max_size=30))
def test_any_bytes_become_characters(data: bytes, header: str) -> None:
    assert decode_html(data, header).encode("utf-8") is not None


# -- pages that do harm


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("<html><body>" + "<div>" * 100_000 + TEXT, "page too complex"),
        (page("<p>" + "<b>x" * 100_000), "page too complex"),
        (page("<p>" + "<a href=x>y</a> " * 20_000 + "</p>"), "page too complex"),
        (page("<i>x</i>" * 100_000), "page too complex"),
        (page("<img " + " ".join(f"a{i}=x" for i in range(100_000)) + ">"), "page too complex"),
        (page("<!-- " + "x" * 30_000_000 + " -->"), "page too large"),
        (page(SENTENCE * 400_000), "page too large"),
        ("", "no main text"),
        ("\x00\x01", "no main text"),
        ("<html></html>", "no main text"),
        ("<html><body><nav></nav><script>var text = 'none'</script></body></html>", "no main text"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_a_page_beyond_a_limit_or_without_text_is_named(document: str, reason: str) -> None:
    start = time.process_time()
    assert refused(document) == reason
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "body",
    [
        "<p>" + SENTENCE * 10_000,
        "<p>&lol;&lol9;&#0;&#1;&#x1F;&#xFFFE;&#65535;&#xD800;&#99999999;</p>",
        "<p>NUL \x00 and \x0b bell \x07 and \ud800 and \ufffe</p>",
        "<p>x" + " " * 500_000 + "y</p>",
        "<" * 300_000,
        "<!--" * 100_000,
        "&" * 300_000,
        '<div class="' + "cookie-" * 100_000 + '">x</div>',
        '<script type="application/ld+json">' + '"@type":[ "license":' * 30_000 + "</script>",
        "<table>" + "<tr><td>1</td><td>2</td></tr>" * 1_000 + "</table>",
        "<p>" + "word<br>" * 5_000 + "</p>",
    ],
    ids=lambda body: body[:20],
)
def test_a_page_with_hostile_markup_still_gives_its_text(body: str) -> None:
    start = time.process_time()
    found = extract(page(body))
    assert TEXT.strip() in found.text
    found.text.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", found.text)
    assert time.process_time() - start < 5


def test_entities_of_a_document_type_are_not_expanded() -> None:
    bomb = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha" * 10}">' for i in range(12))
    assert len(extract(f"<!DOCTYPE html [{bomb}]>" + page("<p>&l11;</p>")).text) < 10_000


def test_a_failure_inside_the_extractor_is_a_bad_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RecursionError("too deep")

    strip, _ = html._extractor()
    monkeypatch.setattr(html, "_extractor", lambda: (strip, fail))
    with pytest.raises(PageError, match="RecursionError: too deep") as caught:
        extract(page())
    assert caught.value.reason == "extraction failed"


@settings(max_examples=50)
@given(
    st.lists(
        st.sampled_from(
            ["<p>", "</p>", "<div", ">", "a", "&#", ";", "<a href=", '"', "<table>", "\x00", "<!--"]
        )
    )
)
def test_any_markup_gives_a_text_or_a_reason(pieces: list[str]) -> None:
    try:
        outcome = extract("".join(pieces)).text.strip()
    except PageError as error:
        outcome = error.reason
    assert outcome not in ("", "extraction failed")
