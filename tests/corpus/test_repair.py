"""Repairs change what they are for and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.corpus.furniture import is_furniture
from stemma.corpus.repair import decode_misread, repair, strip_markup

CHINESE = "何况司马肜是司马伦的亲兄长，却偏偏无法离去呢？赵盾入朝劝谏不被听从，出外逃亡没有走远。"


def test_utf8_read_as_latin1_is_put_right_whole_or_in_part() -> None:
    assert decode_misread(CHINESE.encode().decode("latin-1")) == CHINESE
    partly = CHINESE[:20] + CHINESE[20:].encode().decode("latin-1")
    assert decode_misread(partly) == CHINESE


def test_quotes_read_as_windows_1252_are_put_right_the_one_with_a_lost_byte_too() -> None:
    broken = "â€œShe couldnâ€™t be deceived,â€\ufffd he said â€” twice."
    assert decode_misread(broken) == "“She couldn’t be deceived,” he said — twice."


@pytest.mark.parametrize(
    "text",
    ["CAFÉ» et «Â»", "naïve façade, Ångström, MAÇÃ", "él dijo: ¿qué?", "Müller & Söhne", "ÀÉÎÕÜ «ça»"],
)
def test_latin_text_with_accents_is_left_alone(text: str) -> None:
    assert decode_misread(text) == text


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=3, max_size=60))
def test_what_was_misread_comes_back_whenever_it_was_chinese(text: str) -> None:
    original = CHINESE + text
    repaired = decode_misread(original.encode().decode("latin-1"))
    assert repaired.startswith(CHINESE)


def test_a_page_loses_its_markup_and_keeps_its_words() -> None:
    page = "<div class='x'><p>One &amp; two</p><p>three<br>four</p></div><script>var a = 1;</script>&nbsp;<style>p{}</style>"
    assert strip_markup(page).split() == ["One", "&", "two", "three", "four"]


@pytest.mark.parametrize(
    "text",
    [
        "Use <div> for blocks and </div> to close; <p>..</p> is a paragraph.",
        "if (a < b) { return vector<int>(b > a); }",
        "import re\nline = '<tt>%s</tt>' % name\nend = '</body></html>'\n",
    ],
)
def test_prose_and_code_about_markup_are_left_alone(text: str) -> None:
    assert strip_markup(text) == text


@pytest.mark.parametrize(
    "line",
    [
        "Home | About | Contact | Login | Register",
        "We use cookies to improve your experience. By continuing you accept our privacy policy.",
        "© 2021 All rights reserved. Terms of use | Privacy policy",
        "Share this: Facebook Twitter Pinterest",
        "Leave a comment. You must be logged in.",
        "  Back to top ",
        "Read more »",
        "12 comments",
        "首页 | 新闻 | 财经 | 体育 | 更多>>",
        "京ICP备12345678号-1 京公网安备11010502030000号",
        "责任编辑：小王",
        "上一篇：返回列表 下一篇：没有了",
        "您当前的位置：首页 > 资讯 > 正文",
        "本站使用Cookie来改善您的浏览体验，继续浏览即表示您同意我们的隐私政策。",
    ],
)
def test_lines_of_page_furniture_are_known(line: str) -> None:
    assert is_furniture(line)
    assert (
        repair(f"A sentence that stays.\n{line}\nAnother one.").text == "A sentence that stays.\nAnother one."
    )


@pytest.mark.parametrize(
    "line",
    [
        "The site uses cookies, which the law of 2012 made it say, and nobody reads that.",
        "Copyright",
        "like this::",
        "cin >> p >> h >> k;",
        "def caller(x: int | str, y: int | float) -> None:",
        "He read more than he wrote, and signed less.",
        "| a | b | c | d |",
        "作者认为，登录这座岛的人不超过二十。",
        "他返回列国，首页写着自己的名字。",
        "来源于黄河流域的文明，在此之后传播到南方各地，影响深远，直到今天仍能看到它的痕迹，这是学者们的共识。",
    ],
)
def test_sentences_and_code_that_look_a_little_like_it_stay(line: str) -> None:
    assert not is_furniture(line)


def test_a_text_without_anything_to_repair_comes_back_as_it_was() -> None:
    text = "Plain prose.\n\nTwo paragraphs, 中文 too."
    assert repair(text) == (text, (), 0.0)
