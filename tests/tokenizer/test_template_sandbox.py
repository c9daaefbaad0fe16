"""Templates from strangers end in one sentence, quickly."""

import time

import pytest

from stemma.errors import StemmaError
from stemma.tokenizer import ChatTemplate
from stemma.tokenizer.template import Message

DIALOGUE: list[Message] = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": " yo hi "}]

NESTED = (
    "{% set n = namespace(x=['a']) %}{% set m = namespace(x=['a']) %}"
    "{% for i in range(40) %}{% set n.x = [n.x, n.x] %}{% set m.x = [m.x, m.x] %}{% endfor %}"
)
HOSTILE = {
    "{% for i in range(100000) %}{% endfor %}": "range of 100000",
    "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}": "steps",
    "{% set n = namespace(x='aaaa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}": "builds a text",
    "{% set n = namespace(x='aaaa') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}": "builds a text",
    "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}": "builds a text",
    "{% set n = namespace(x=7) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}": "64 bits",
    "{{ 'a' * 1000000000000 }}": "builds a text",
    NESTED + "{{ n.x }}": "steps",
    NESTED + "{{ n.x | tojson }}": "steps",
    NESTED + "{{ n.x | string }}": "steps",
    NESTED + "{{ n.x | join }}": "steps",
    NESTED + "{{ [[n.x]] | map('first') | join }}": "steps",
    NESTED + "{{ n.x | replace('a', 'b') }}": "steps",
    NESTED + "{{ [n.x] | select('eq', m.x) | list }}": "steps",
    NESTED + "{{ [n.x, m.x] | sort }}": "steps",
    NESTED + "{{ 'a' ~ n.x }}": "steps",
    NESTED + "{{ 'a'.replace('a', n.x) }}": "steps",
    NESTED + "{{ raise_exception(n.x) }}": "steps",
    NESTED + "{{ [n.x] == [m.x] }}": "steps",
    NESTED + "{{ {'k': n.x}.values() }}": "steps",
    NESTED + "{{ [m] }}": "uses a namespace as text",
    "{% set n = namespace() %}{% set n.x = [n] %}{{ n }}": "uses a namespace as text",
    "{% set x = 'a' * 100000 %}{% set n = namespace(x=[x]) %}{% for i in range(9) %}{% set n.x = n.x + n.x %}"
    "{% endfor %}{{ n.x }}": "builds a text",
    "{% macro f(n) %}{% if n %}{{ f(n - 1, varargs, varargs) }}{% else %}{{ varargs }}{% endif %}{% endmacro %}"
    "{{ f(40, 1) }}": "steps",
    "{{ 9 ** 9 ** 9 }}": "operator",
    "{{ '%1000000000d' % 1 }}": "operator",
    "{{ '{:1000000000}'.format(1) }}": "format",
    "{{ 'a'.center(1000000000) }}": "center",
    "{{ 'a' | center(1000000000) }}": "No filter",
    "{{ ('a' * 1000000).replace('', 'b' * 1000000) }}": "builds a text",
    "{{ ('a' * 1000000) | replace('a', 'b' * 1000000) }}": "builds a text",
    "{% for i in range(9999) %}{{ 'a' * 1000 }}{% endfor %}": "over",
    "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}": "nested too deeply",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}": "steps",
    "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}": "recursive",
    "{{ ''.__class__.__mro__ }}": "unsafe",
    "{{ messages.append(1) }}": "unsafe",
    "{{ cycler.__init__.__globals__ }}": "unsafe",
    "{{ cycler(1) }}": "undefined",
    "{% include '/etc/passwd' %}": "cannot be rendered",
    "{% for x in": "line 1",
    "{{" + "(" * 3000 + "1" + ")" * 3000 + "}}": "nested too deeply",
    "x" * 300_000: "over 200000",
    "{{ raise_exception('not this way') }}": "not this way",
    "{% generation %}{{ messages[0].content }}": "endgeneration",
    "{% generation %}{% generation %}x{% endgeneration %}{% endgeneration %}": "apart",
}


@pytest.mark.parametrize("source", HOSTILE, ids=lambda source: source[-40:])
def test_a_hostile_template_ends_in_one_sentence(source: str) -> None:
    start = time.process_time()
    with pytest.raises(StemmaError, match=HOSTILE[source]) as raised:
        ChatTemplate(source, ("x",)).render(DIALOGUE)
    assert "\n" not in str(raised.value)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ messages[1].content.strip() }}", [("yo hi", True)]),
        ("{{ messages[1].content | trim | upper }}", [("YO HI", True)]),
        ("{{ messages[1].content.split('o')[-1] }}", [(" hi ", True)]),
        (
            "{{ messages | map(attribute='content') | join(',') }}",
            [("hello", True), (",", False), (" yo hi ", True)],
        ),
        (
            "{% if 'hell' in messages[0].content %}y{% endif %}{{ messages[0].content | length }}",
            [("y5", False)],
        ),
        ("{% if messages[0]['content'] == 'hello' %}y{% endif %}", [("y", False)]),
        (
            "{{ messages[0] | tojson }}",
            [('{"role": "user", "content": "', False), ("hello", True), ('"}', False)],
        ),
        (
            "{% set n = namespace(x=0) %}{% for m in messages %}{% set n.x = n.x + 1 %}{% endfor %}{{ n.x }}",
            [("2", False)],
        ),
        (
            "{% for m in messages[1:] %}{% if loop.first %}{{ loop.length }}{% continue %}{% endif %}{% endfor %}",
            [("1", False)],
        ),
        ("{{ 'a' ~ 1 ~ messages[0].content }}", [("a1", False), ("hello", True)]),
        ("{{ missing is defined }}", [("False", False)]),
        ("{{ [1, {'a': (2, 'x')}] }}", [("[1, {'a': (2, 'x')}]", False)]),
        ("{{ 'k' in {'k': 1} and messages != [] and 1 < 2 < 3 }}", [("True", False)]),
    ],
)
def test_what_real_templates_do_works_and_content_stays_data(source: str, expected: list) -> None:
    assert [
        (piece.text, piece.is_data) for piece in ChatTemplate(source, ("x",)).render(DIALOGUE)
    ] == expected
