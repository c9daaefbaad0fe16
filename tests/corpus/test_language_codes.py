"""What a user calls a language becomes the code that documents can have, or is refused."""

import subprocess
import sys
from itertools import pairwise

import pytest

from stemma.corpus.language import is_wanted
from stemma.corpus.language_codes import CODES, SCRIPTS, UNDETERMINED, code_of_script, language_code
from stemma.corpus.language_model import LanguageModel
from stemma.corpus.summary import CleanSettings
from stemma.errors import StemmaError


def test_every_code_of_the_model_is_known_and_no_other() -> None:
    assert {*CODES, "zxx"} == set(LanguageModel().languages)
    assert all(language_code(code) == code for code in (*CODES, UNDETERMINED))
    assert all(language_code(code_of_script(name)) == code_of_script(name) for name in SCRIPTS)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("EN", "en"),
        ("zh-cn", "zh-Hans"),
        ("zh-CN", "zh-Hans"),
        ("zh_TW", "zh-Hant"),
        ("zh-hk", "zh-Hant"),
        ("zh-hans", "zh-Hans"),
        ("ZH", "zh"),
    ],
)
def test_case_and_regions_of_chinese_are_folded(name: str, code: str) -> None:
    assert language_code(name) == code
    assert CleanSettings(languages=(name, code)).languages == (code,)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("english", "did you mean 'en'"),
        ("Chinese", "did you mean 'zh'"),
        ("cn", "did you mean 'zh'"),
        ("zh,en", "did you mean 'zh en'"),
        ("en-US", "did you mean 'en'"),
        ("xx", "known: ace, af"),
        ("", "known: ace, af"),
    ],
)
def test_a_name_that_no_document_can_have_is_refused(name: str, hint: str) -> None:
    with pytest.raises(StemmaError, match=f"^languages: there is no language '{name}'; {hint}"):
        CleanSettings(languages=("en", name))


@pytest.mark.parametrize(("script", "stays"), [("Hans", True), ("", True), ("Hant", False)])
def test_mainland_chinese_keeps_what_is_in_its_writing_or_in_none(script: str, stays: bool) -> None:
    assert is_wanted("zh", script, CleanSettings(languages=("zh-CN",)).languages) is stays


def test_the_scripts_do_not_overlap() -> None:
    ranges = sorted(block for script in SCRIPTS.values() for block in script.ranges)
    assert all(first <= last for first, last in ranges)
    assert all(before[1] < after[0] for before, after in pairwise(ranges))


def test_the_check_loads_no_model() -> None:
    program = (
        "import sys; from stemma.corpus.language_codes import language_code; language_code('en');"
        "sys.exit(any(name in sys.modules for name in ('numba', 'numpy', 'py3langid')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
