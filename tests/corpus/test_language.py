"""Languages are told by script where it says enough, by the model where letters are Latin, and left open where doubtful."""

import pytest

from stemma.corpus.annotated import to_batch
from stemma.corpus.language import UNDETERMINED, Languages, identify_batch, is_wanted
from stemma.corpus.measures import measure_batch
from stemma.corpus.scan import scan

TEXTS = {
    "en": "The committee met in the afternoon and it was agreed that the report of the year would be read to all.",
    "zh": "会议在下午举行，大家同意把今年的报告念给所有人听，并且在会后寄给没有到场的成员。" * 2,
    "ja": "会議は午後に開かれ、今年の報告書を全員に読み上げることで合意した。欠席者には後日郵送される。" * 2,
    "ko": "위원회는 오후에 모여 올해의 보고서를 모두에게 읽어 주기로 합의하였으며 참석하지 못한 사람에게는 보내기로 했다.",
    "de": "Der Ausschuss trat am Nachmittag zusammen und beschloss, den Bericht des Jahres allen Mitgliedern vorzulesen.",
    "fr": "Le comité s'est réuni dans l'après-midi et a décidé de lire le rapport de l'année à tous les membres présents.",
    "vi": "Ủy ban đã họp vào buổi chiều và đồng ý rằng báo cáo của năm nay sẽ được đọc cho tất cả mọi người nghe.",
}


def languages_of(*texts: str) -> Languages:
    batch = to_batch(list(texts))
    scanned = scan(*batch)
    return identify_batch(*batch, scanned, measure_batch(scanned))


@pytest.mark.parametrize("code", TEXTS)
def test_a_sentence_or_two_is_enough(code: str) -> None:
    assert languages_of(TEXTS[code]).codes == [code]


def test_a_document_has_the_same_language_in_a_batch() -> None:
    assert languages_of(*TEXTS.values()).codes == list(TEXTS)


@pytest.mark.parametrize("text", ["", "ok", "42 17 99 3.14", "x = f(y)\nreturn x"])
def test_too_little_says_nothing(text: str) -> None:
    assert languages_of(text).codes == [UNDETERMINED]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("床前明月光，疑是地上霜。", "zh"),
        ("안녕하세요, 저는 서울에 사는 학생이고 한국어를 공부합니다.", "ko"),
        ("これは日本語の文章です。東京に住んでいます。よろしく。", "ja"),
        ("สวัสดีครับ ผมอาศัยอยู่ในกรุงเทพ", "th"),
        ("გამარჯობა, მე ვცხოვრობ თბილისში", "ka"),
        ("Привет, как дела? Я живу в Москве и учусь.", "und-Cyrl"),
        ("नमस्ते, मैं दिल्ली में रहता हूँ", "und-Deva"),
    ],
)
def test_a_script_says_it_from_a_handful_of_letters_on(text: str, code: str) -> None:
    assert languages_of(text).codes == [code]


@pytest.mark.parametrize(
    "text",
    [
        "We went to 北京 and 上海 in May",
        "It says Привет, and I said no thanks",
        "東京都千代田区",
        "优衣库の新品到店，欢迎选购",
        "α + β = γ, δε = ζηθικλμν",
    ],
)
def test_names_loans_and_formulas_say_nothing(text: str) -> None:
    assert languages_of(text).codes == [UNDETERMINED]


def test_a_few_han_characters_do_not_make_english_chinese() -> None:
    assert languages_of(TEXTS["en"] + " 北京烤鸭上海小笼包四川火锅").codes == ["en"]


def test_chinese_is_told_apart_by_what_only_one_writing_has() -> None:
    traditional, both = "會議在下午舉行，大家同意把今年的報告念給所有人聽。" * 3, "上山下水大人小女" * 8
    languages = languages_of(TEXTS["zh"], traditional, both, TEXTS["en"])
    assert languages.codes == ["zh", "zh", "zh", "en"]
    assert languages.scripts == ["Hans", "Hant", "", ""]


@pytest.mark.parametrize(
    ("code", "script", "languages", "stays"),
    [
        ("zh", "Hans", ("zh",), True),
        ("zh", "Hant", ("zh",), True),
        ("zh", "Hans", ("zh-Hans",), True),
        ("zh", "", ("zh-Hans", "en"), True),
        ("zh", "Hant", ("zh-Hans", "en"), False),
        ("und", "", ("en",), True),
        ("de", "", ("zh", "en"), False),
        ("und-Cyrl", "", ("zh", "en"), False),
        ("und-Cyrl", "", ("en", "uk"), True),
        ("de", "", (), True),
    ],
)
def test_languages_wanted_may_name_a_script(
    code: str, script: str, languages: tuple[str, ...], stays: bool
) -> None:
    assert is_wanted(code, script, languages) is stays
