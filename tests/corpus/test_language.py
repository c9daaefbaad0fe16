"""Languages are told by script where it says enough, by the model where letters are Latin, and left open where doubtful."""

import pytest

from stemma.corpus.annotate import annotate
from stemma.corpus.language import UNDETERMINED, identify
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


def language(text: str) -> str:
    scanned = scan(text)
    return identify(text, scanned, annotate(text, scanned))


@pytest.mark.parametrize("code", TEXTS)
def test_a_sentence_or_two_is_enough(code: str) -> None:
    assert language(TEXTS[code]) == code


@pytest.mark.parametrize("text", ["", "ok", "42 17 99 3.14", "x = f(y)\nreturn x"])
def test_too_little_says_nothing(text: str) -> None:
    assert language(text) == UNDETERMINED
