"""Repairs change what they are for and nothing else."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stemma.corpus import furniture, read_documents
from stemma.corpus.furniture import is_furniture, strip_furniture
from stemma.corpus.repair import decode_misread, repair, repair_batch, strip_markup

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
        "Home » Blog » Python » Generators",
        "Privacy · Terms · Advertising · Cookies · More",
        "新闻 · 体育 · 财经 · 娱乐",
        "网易首页 > 新闻中心 > 国内新闻 > 正文",
        "Terms and Conditions",
        "Follow us on Facebook, Twitter and Instagram",
        "Share on Facebook",
        "Log in or register to post comments",
        "Subscribe to the weekly newsletter",
        "Sign up for our newsletter",
        "来源：新华网",
        "来源：新华社 作者：小李",
        "分享至好友和朋友圈",
        "登录后查看更多内容",
        "关注我们的微信公众号",
        "打开APP查看更多精彩",
        "阅读全文>>",
        "评论 529",
        "上一页 | 下一页",
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
        # names
        "成员有约翰·列侬、保罗·麦卡特尼、乔治·哈里森和林戈·斯塔尔。",
        "著名歌手包括泰勒·斯威夫特、贾斯汀·比伯、艾德·希兰和埃尔顿·约翰。",
        "哈利·波特 卢娜·洛夫古德 小天狼星·布莱克 赫敏·格兰杰",
        # markup, code, menus, orders, tables
        "按下<kbd>i</kbd>就进入了输入模式，按<kbd>Esc</kbd>键可以返回到命令模式．",
        "在命令模式下按下<kbd>i</kbd>就进入了输入模式，按<kbd>Esc</kbd>键可以返回到命令模式．",
        "    from <module> import <name> as <alias>",
        "        READ_WRITE | CREATE_NEW | TRUNCATE_OLD | CLOSE_ON_EXEC",
        "    METH_VARARGS | METH_FASTCALL | METH_NOARGS | METH_O | METH_KEYWORDS | METH_PASS_FUNCTION",
        "             Withdrawn | Final | Superseded>",
        "                with_stmt | funcdef | classdef | decorated",
        "File > Settings > Editor > Font",
        "Home > Conditional Formatting > New Rule > Format",
        "字符串 > 列 > 表 > 数据库 > 服务器",
        "Name | Country | Time | Place",
        "Anna | Norway | Ten | First",
        "Bella | Sweden | Eleven | Second",
        "Name | Home | Contact | Notes",
        "return_list()",
        "next",
        "Copyright (c) 2001-2006 A. Author.  All rights reserved.",
        # prose, verse, steps, prompts
        "follow :pep:`508`'s  \"Dependency specification for Python Software",
        "Follow us on",
        "Subscribe to the theory that all men are equal, and you will see.",
        "Register for the race.",
        "Log in to the server and restart the daemon.",
        "Learn more about generators in the next chapter.",
        "Write a comment praising the given product.",
        "Tweet: Exercise helps with both physical and mental health.",
        "We use cookies in HTTP to keep state between requests.",
        "More from a sense of duty than of love",
        "打开终端（Terminal.app），前往 Xcode 的目录。",
        "来源：《史记·项羽本纪》是中国古代文学的名篇之一。",
        "分享关于珠穆朗玛峰的五个事实。",
        "声明：这款笔记本电脑非常灵活。",
        "评论：哇，送货真快！",
        "下一篇文章的好标题是什么？",
        "作者：奥斯卡·王尔德",
        "相关阅读：[割点和桥](./cut.md)",
        "尊重其他成员的隐私，未经许可不得分享内容。",
        "登录后，系统会显示主界面。",
        "长按电源键三秒以关机。",
        "扫码支付在中国非常普遍。",
        "版权所有者可以授权他人。",
        "阅读全文后回答问题。",
        "首页/列表页的数据来自接口。",
        "主页 > 设置",
        "来源：唐代",
        "作者：李白 来源：全唐诗",
        "校对：这一步的目的是找出错字",
        "Ads by which we live",
        "我们在后端使用Cookie保存会话状态。",
    ],
)
def test_sentences_and_code_that_look_a_little_like_it_stay(line: str) -> None:
    assert not is_furniture(line)


def test_a_menu_path_and_a_table_stay_in_their_texts() -> None:
    table = "Name | Country | Time | Place\nAnna | Norway | Ten | First\nBella | Sweden | Eleven | Second"
    path = "To change the font of the terminal, open the menu and choose:\nFile > Settings > Editor > Font"
    flags = "int open_it(void) {\n    return open(name,\n        READ_WRITE | CREATE_NEW | TRUNCATE_OLD | CLOSE_ON_EXEC);\n}"
    for text in (table, path, flags, flags.replace(");", "\n    );")):
        assert repair(text) == (text, (), 0.0)


def test_a_text_without_anything_to_repair_comes_back_as_it_was() -> None:
    text = "Plain prose.\n\nTwo paragraphs, 中文 too."
    assert repair(text) == (text, (), 0.0)


PIECES = [
    *(
        "Home | About | Contact | Login",
        "首页 > 新闻 · 财经 » 体育 › 更多",
        "© 2020 x",
        "READ MORE",
        "12 comments",
        "1 row in set",
    ),
    *(
        "by continuing you agree",
        "继续浏览即表示同意",
        "未经授权禁止转载",
        "京ICP备1号",
        "京公网安备11",
        "请登录后查看",
        "| a | b | c |",
    ),
    *(
        "你现在的位置：家",
        "Â",
        "Ã©",
        "â€œ",
        "ä½\xa0å¥½",
        "naïve ’",
        "<p>",
        "</p>",
        "<div>",
        "a &amp; b",
        "a",
        "词",
        "𠀀",
        "1",
    ),
    *(
        "\n",
        "\n",
        " ",
        "\u3000",
        "\x85",
        "\u2028",
        "\r",
        "\x1f",
        "",
        ">",
        "·",
        "»",
        "|",
        "plain prose, 中文 too",
        "x" * 150,
    ),
    "He wrote this many times before the end of that long year, and she read it. " * 6,
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def batch(texts: list[str], shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
    parts = [text.encode() for text in texts]
    return np.frombuffer(b"".join(parts), np.uint8), np.cumsum([0, *map(len, parts)]).astype(np.int64)


@settings(max_examples=100)
@given(st.lists(TEXTS, max_size=5))
def test_a_batch_is_repaired_as_its_texts_are(texts: list[str]) -> None:
    single = [(i, repair(text)) for i, text in enumerate(texts)]
    assert repair_batch(*batch(texts)) == [(i, repaired) for i, repaired in single if repaired.edits]


def test_the_documents_of_a_real_batch_are_repaired_as_alone(shared: Path) -> None:
    texts = [document.text for document in read_documents(shared / "corpora" / "dirty" / "docs.jsonl.zst")]
    single = [(i, repair(text)) for i, text in enumerate(texts)]
    changed = [(i, repaired) for i, repaired in single if repaired.edits]
    assert repair_batch(*batch(texts)) == changed
    edits = {edit for _, repaired in changed for edit in repaired.edits}
    assert edits == {"misread_encoding", "markup", "furniture", "loop"}


@pytest.mark.parametrize("name", ["en_peps", "code", "zh_oiwiki", "zh_pingcap_docs"])
def test_manuals_and_code_have_no_furniture(shared: Path, name: str) -> None:
    documents = [*read_documents(shared / "corpora" / "pretrain" / f"{name}.jsonl.zst")]
    found = furniture.find_furniture(*batch([document.text for document in documents]))
    assert [documents[i].id for i, _, _ in found] == []


def test_a_batch_may_be_bytes_and_may_be_empty() -> None:
    text = b"A sentence.\nRead more\n"
    assert repair_batch(text, np.array([0, len(text)]))[0][1].text == "A sentence.\n"
    assert repair_batch(b"", np.zeros(1, np.int64)) == repair_batch(b"", np.zeros(3, np.int64)) == []


@settings(max_examples=200)
@given(TEXTS)
def test_exactly_the_lines_of_furniture_go(text: str) -> None:
    assert strip_furniture(text) == "\n".join(line for line in text.split("\n") if not is_furniture(line))


@pytest.mark.parametrize("pattern", furniture.PATTERNS)
def test_no_line_that_a_pattern_knows_is_passed_over_before_it(pattern: str) -> None:
    # Of patterns that repeat a part, most lines are too long to be furniture.
    @settings(max_examples=12, database=None, suppress_health_check=[HealthCheck.filter_too_much])
    @given(
        st.from_regex(re.compile(pattern), fullmatch=True),
        st.booleans(),
        st.sampled_from(["", " ", "\u3000"]),
    )
    def check(line: str, upper: bool, space: str) -> None:
        line = line.encode().upper().decode() if upper else line
        assume("\n" not in line and is_furniture(line))
        assert strip_furniture(f"x\n{space}{line}{space}\ny") == "x\ny"

    check()


WORDS = st.lists(st.sampled_from(sorted(furniture._LABELS)), min_size=4, max_size=8)


@given(WORDS, st.sampled_from("|·•"), st.sampled_from(["", " "]), st.booleans())
def test_a_bar_of_words_of_navigation_is_found_by_the_pass(
    words: list[str], mark: str, space: str, upper: bool
) -> None:
    line = f"{space}{mark}{space}".join(words)
    line = line.encode().upper().decode() if upper else line
    assert is_furniture(line) == (len(line) <= furniture.LONGEST)
    assert strip_furniture(f"x\n{line}\ny") == ("x\ny" if len(line) <= furniture.LONGEST else f"x\n{line}\ny")


@given(
    st.lists(st.text("天地玄黄ab ", min_size=1, max_size=9), min_size=4, max_size=8),
    st.sampled_from("|>·•»›"),
)
def test_a_bar_of_other_words_proves_nothing(words: list[str], mark: str) -> None:
    assert not is_furniture(mark.join(words))


def test_markup_does_not_make_a_page_furniture() -> None:
    form = "<div class='a-long-name'><form action='signup.php' method='post'>Your name, please, in full</form></div>"
    repaired = repair(f"{form}\n<p>Sign up</p>")
    assert repaired.edits == ("markup", "furniture")
    assert repaired.text == "Your name, please, in full\n"
    assert 0.2 < repaired.lost < 0.3


def test_copies_do_not_make_a_page_furniture() -> None:
    half = "".join(f"Sentence {i} says what number {i * 7} of them says.\n" for i in range(30))
    repaired = repair(f"Read more\n{half}\n{half}")
    assert repaired.edits == ("furniture", "loop")
    assert repaired.text == half
    assert repaired.lost < 0.01
