"""Each type of personal information: every way it is written, and what only looks like it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.corpus.personal import find_personal, redact
from stemma.corpus.personal.checksum import credit_code_check, iban_holds, luhn_holds

TABLES = {
    "PHONE": [
        ("手机：", "138 1234 5678", "。"),
        ("手机", "１３８１２３４５６７８", "谢谢"),
        ("电话：", "138－1234－5678", ""),
        ("联系", "(+86)13812345678", ""),
        ("联系", "008613812345678", "。"),
        ("Tel", "13812345678", ""),
        ("座机", "（010）24760815", ""),
        ("座机", "010—24760815", "，"),
        ("电话", "0571-84821355转8001", ""),
        ("电话", "0571-84821355-8001", "。"),
        ("电话", "02148211715", "，"),
        ("电话：", "+86-10-24760815", ""),
        ("电话：", "+86 571 8482 1355", ""),
        ("", "０２１－４８２１１７１５", ""),
        ("(", "021-56039136", ")"),
        ("联系（", "＋８６ 21 56039136", "）"),
        ("call ", "312.715.4128", " now"),
        ("call ", "(212) 875-3898", " now"),
        ("at ", "+13127154128", "."),
        ("phone: ", "3127154128", ""),
        ("", "1-312-715-4128 ext. 12", ""),
        ("", "+1 (312) 715-4128", ""),
    ],
    "ID_CARD": [
        ("身份证", "110105 19491231 002X", "，"),
        ("身份证", "１１０１０５１９４９１２３１００２Ｘ", "，"),
        ("身份证号码为：", "110105491231002", ""),
    ],
    "SSN": [("SSN ", "313 18 2812", "."), ("social security number is ", "313182812", "."), ("", "313-18-2812", "")],
    "PASSPORT": [
        ("护照号", "E12345678", "。"),
        ("护照：", "Ｇ１２３４５６７８", "，"),
        ("passport no. ", "EA1234567", " expires"),
        ("Passport number: ", "123456789", ""),
        ("", "E12345678", "的护照"),
    ],
    "BANK_CARD": [
        ("卡号", "6222024780703257736", ""),
        ("卡号", "６２２２０２４７８０７０３２５７７３６", "，"),
        ("", "6222-0247-8070-3257-736", ""),
    ],
    "CREDIT_CARD": [
        ("card ", "4111 1111 1111 1111", " 12/28"),
        ("", "378282246310005", ""),
        ("amex ", "3782 822463 10005", ""),
    ],
    "IBAN": [
        ("IBAN ", "DE89 3704 0044 0532 0130 00", "."),
        ("账户", "GB82WEST12345698765432", "，"),
        ("账户", "ＧＢ82 WEST 1234 5698 7654 32", "，"),
    ],
    "CREDIT_CODE": [
        ("信用代码", "91330108b3j2412208", "，"),
        ("信用代码", "９１３３０１０８Ｂ３Ｊ２４１２２０８", "；"),
    ],
    "EMAIL": [("邮箱", "ｚｈａｎｇ＠ｑｑ．ｃｏｍ", "，"), ("mailto:", "a.b@c.co", "")],
    "IP": [
        ("地址", "１１４．１１４．１１４．１１４", "，"),
        ("DNS ", "8.8.8.8", " ok"),
        ("host ", "58.79.120.94", ".Next"),
        ("", "::ffff:47.230.185.24", " x"),
        ("", "2408:8000:1::5", "%eth0"),
    ],
    "API_KEY": [
        ("密钥", "AKIAIOSFODNN7EXAMPLE", "，"),
        ("key=", "sk-proj-abcDEF123456789012345678", ""),
        ("token=", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", ""),
        ("", "xoxb-123456789012-abcdefghijkl", ""),
        ("Bearer ", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc-DEF_123", ""),
        ("", "SG.abcdefghijklmnop123456.abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", ""),
    ],
    "PRIVATE_KEY": [
        ("x ", "-----BEGIN RSA PRIVATE KEY-----\nMIIabc+/=\n-----END RSA PRIVATE KEY-----", " y"),
    ],
}  # fmt: skip
FOUND = [(kind, *row) for kind, rows in TABLES.items() for row in rows]

LEFT_ALONE = [
    "订单号13812345678",
    "order number 13812345678",
    "热线400-810-8888",
    "https://a.com/p/13812345678",
    "timestamp 1700000000000 at 2024-01-15 10:20:30",
    "ISBN 978-7-111-54742-6, 书号9787111547426",
    "SSN 666-12-3456 and 000-12-3456 and 912-34-5678",
    "Chrome/99.0.48.51 from=2.4.1.10 upgrade",
    "E12345678 model",
    "4111 1111 1111 1112",
    "4111 1111 1111 1111 1111",
    "GB82WEST12345698765431",
    "信用代码91330108B3J2412209",
    "信用代码91330108B3J2412208x",
    "tso 395181938313123110",
    "sk-folding-cube-container-wrapper",
    "产品编号是11.10.65.40。",
    "流水号620101197406222550",
    "139 5242 6194 8888",
    "192.0.2.1 198.51.100.3 203.0.113.9 100.64.1.1 224.0.0.251",
    "IMEI 490154203237518, EAN 4006381333931",
    "UUID 123e4567-e89b-12d3-a456-426614174000",
    "QQ群123456789",
    "http://user:password@host.example.org/",
    '"system memory total"=14388137984, $13384966760$',
    'sections "8.2.4.44 Bogus" and "8.2.4.45 Markup", ICU 3.36.10.0',
    "1024 2048 4096 8192",
    "3.14159265358979 0.4111111111111111",
    "-----BEGIN PUBLIC KEY-----\nMIIabc\n-----END PUBLIC KEY-----",
]


def found(text: str) -> list[tuple[str, str]]:
    return [(span.type, text[span.start : span.end]) for span in find_personal(text)]


@pytest.mark.parametrize(("kind", "before", "value", "after"), FOUND)
def test_a_value_is_found_in_the_ways_it_is_written(kind: str, before: str, value: str, after: str) -> None:
    for text in (
        before + value + after,
        f"长长的句子，{before}{value}{after}",
        f"a\n{before}{value}{after}\nb",
    ):
        assert found(text) == [(kind, value)]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_a_lookalike_is_left_alone(text: str) -> None:
    assert redact(text) == (text, [])


PIECES = st.sampled_from(
    [*(b + v + a for _, b, v, a in FOUND), *LEFT_ALONE, "，", " ", "-", ".", "1", "a", ":", "\n"]
)


@given(st.lists(PIECES, max_size=8))
def test_a_second_redaction_changes_nothing(pieces: list[str]) -> None:
    once, _ = redact("".join(pieces))
    assert redact(once) == (once, [])


@given(st.text("0123456789-. ()+@:/aAxXe_号，１＠<>\n", max_size=80))
def test_redaction_of_any_row_of_digits_is_stable(text: str) -> None:
    once, spans = redact(text)
    assert redact(once) == (once, [])
    assert all(0 <= span.start < span.end <= len(text) for span in spans)


@given(st.integers(0, 10**15), st.sampled_from(["62", "4539", "54", "2222"]), st.integers(0, 9))
def test_one_wrong_digit_makes_a_card_no_card(tail: int, issuer: str, wrong: int) -> None:
    first = (issuer + f"{tail:015}")[:15]
    right = next(str(digit) for digit in range(10) if luhn_holds(f"{first}{digit}"))
    assert found(f"卡号{first}{right}，") == [
        ("BANK_CARD" if issuer == "62" else "CREDIT_CARD", first + right)
    ]
    if str(wrong) != right:
        assert found(f"卡号{first}{wrong}，") == []


def test_the_checks_agree_with_published_examples() -> None:
    assert credit_code_check("91350100M000100Y4") == "3"  # the example of GB 32100-2015
    assert credit_code_check("91350100I000100Y4") is None
    assert iban_holds("GB82WEST12345698765432")
    assert not iban_holds("GB82WEST1234569876543")
    assert luhn_holds("79927398713")
    assert not luhn_holds("79927398710")


def test_random_digits_are_no_personal_information() -> None:
    draw = random.Random(5)
    for length in (5, 6, 7, 8, 9, 10, 12, 13, 14, 17, 20, 25):
        for _ in range(200):
            number = "".join(draw.choices("0123456789", k=length))
            assert found(f"共有{number}个") == [], number
