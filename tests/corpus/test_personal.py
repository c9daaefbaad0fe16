"""Personal information: found in any surrounding, and nothing that only looks like it."""

import datetime
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stemma.corpus.personal import Span, find_personal, id_card_check, redact

BIRTHDAYS = st.dates(datetime.date(1930, 1, 1), datetime.date(2015, 12, 31))
FIRST_SEVENTEEN = st.builds(
    lambda region, birthday, serial: f"{region}{birthday:%Y%m%d}{serial:03}",
    st.builds(
        lambda province, place: f"{province}{place:04}",
        st.sampled_from([11, 12, 15, 21, 31, 37, 44, 50, 54, 65, 71, 82]),
        st.integers(0, 9999),
    ),
    BIRTHDAYS,
    st.integers(0, 999),
)
# What may stand beside a value without making it part of a longer word or number.
BORDER = st.sampled_from(["", " ", "号", "：", ":", "，", ",", "(", "\n", "是", "“", "-", "/", "。"])
FILLER = st.text("天地玄黄 the:，。\n-", max_size=12)


def types(text: str) -> list[tuple[str, str]]:
    return [(span.type, text[span.start : span.end]) for span in find_personal(text)]


@given(FIRST_SEVENTEEN, FILLER, BORDER, BORDER, FILLER)
def test_a_valid_id_card_is_found_in_any_surrounding(
    first: str, before: str, left: str, right: str, after: str
) -> None:
    value = first + id_card_check(first)
    text = before + "号" + left + value + right + "号" + after
    assert ("ID_CARD", value) in types(text)
    assert value not in redact(text)[0]


@given(FIRST_SEVENTEEN, st.integers(0, 16), st.integers(1, 9))
def test_an_id_card_with_one_wrong_digit_is_left_alone(first: str, place: int, change: int) -> None:
    value = first + id_card_check(first)
    wrong = value[:place] + str((int(value[place]) + change) % 10) + value[place + 1 :]
    assert find_personal(f"证号{wrong}。") == []


def test_the_check_character_is_that_of_the_standard() -> None:
    assert id_card_check("11010519491231002") == "X"  # the example of GB 11643-1999
    no_such_day = "11010519900230000"
    assert types(f"身份证{no_such_day}{id_card_check(no_such_day)}，") == []
    assert types("身份证11010519491231002x，") == [("ID_CARD", "11010519491231002x")]


FOUND = [
    ("邮箱zhang.san+a@mail.example.com.cn。", "EMAIL", "zhang.san+a@mail.example.com.cn"),
    ("姓名/zhang@qq.com", "EMAIL", "zhang@qq.com"),
    ("--bob_1@host.org, ok", "EMAIL", "bob_1@host.org"),
    ("mail <a@b.io>.", "EMAIL", "a@b.io"),
    ("手机13812345678请回复", "PHONE", "13812345678"),
    ("电话+86 138-1234-5678。", "PHONE", "+86 138-1234-5678"),
    ("3,13812345678,北京", "PHONE", "13812345678"),
    ("x86 13812345678", "PHONE", "13812345678"),
    ("8613812345678", "PHONE", "8613812345678"),
    ("地址是114.114.114.114，", "IP", "114.114.114.114"),
    ("http://23.45.67.89:8080/x", "IP", "23.45.67.89"),
    ("from 23.45.67.89. Then", "IP", "23.45.67.89"),
    ("节点2408:97cc:2845:19f4:382a:4832:93e0:a709上线", "IP", "2408:97cc:2845:19f4:382a:4832:93e0:a709"),
    ("node:2400:3200::1", "IP", "2400:3200::1"),
    ("[2400::1]:53", "IP", "2400::1"),
]


@pytest.mark.parametrize(("text", "kind", "value"), FOUND)
def test_values_are_found_without_word_borders(text: str, kind: str, value: str) -> None:
    assert types(text) == [(kind, value)]
    assert redact(text)[0] == text.replace(value, f"<{kind}>")


LEFT_ALONE = [
    "follow @builder31 or @a.b",
    "git clone git@github.com:o/r.git",
    "icon@2x.png",
    "https://host.example/list/team@host.org/thread/",
    "from the year 2262::\n",
    "ssh://user@host.com",
    "订单号138123456789",
    "0.13812345678",
    "a13812345678",
    "12812345678",
    "3.13812345678",
    "内网192.168.1.20和10.0.0.255，127.0.0.1，169.254.1.1",
    "版本号是10.12.12.14，",
    "version: 12.2.3.45",
    "v10.2.3.44 and pkg-10.20.30.40",
    "section 8.2.4.45",
    "300.400.500.600",
    "1.22.33.44.55",
    "§6.3.1.8",
    "fe80::1 fd00::2 ::1 2001:db8::5",
    "at 12:34:56 std::vector<a::b> 08:00:27:ab:cd:ef",
    "1:2408:97cc:2845:19f4:382a:4832:93e0:a709",
    "110105194912310021",
    "110105199002300000",
]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_only_looks_alike_is_left_alone(text: str) -> None:
    assert types(text) == []
    assert redact(text) == (text, [])


@given(st.lists(st.sampled_from([*(text for text, _, _ in FOUND), *LEFT_ALONE, "，", " x "]), max_size=6))
@example(["13812345678@qq.com"])
def test_spans_are_ordered_disjoint_and_rebuild_the_redacted_text(parts: list[str]) -> None:
    text = "。".join(parts)
    redacted, spans = redact(text)
    assert spans == sorted(spans)
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    rebuilt, shift = text, 0
    for start, end, kind in ((s.start, s.end, s.type) for s in spans):
        rebuilt = rebuilt[: start + shift] + f"<{kind}>" + rebuilt[end + shift :]
        shift += len(kind) + 2 - (end - start)
    assert rebuilt == redacted


def test_an_email_made_of_a_phone_number_is_one_value() -> None:
    assert find_personal("13812345678@qq.com") == [Span(0, 18, "EMAIL")]


def test_long_runs_without_a_match_take_linear_time() -> None:
    for text in (
        "a" * 200_000 + "@",
        "a@" * 50_000,
        "1" * 200_000,
        "1.1." * 50_000,
        "a:" * 100_000,
        "::" * 100_000,
    ):
        assert find_personal(text) == []
