"""A Jinja environment in which a template from a stranger's folder can do no harm.

Jinja's immutable sandbox forbids attributes and calls that reach Python; on top of it every loop, call and string
operation draws on a budget, so that a hostile template ends in one sentence instead of eating memory or time. No file
access, no includes, no clock; only the filters named here.
"""

import contextlib
import contextvars
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from stemma.errors import StemmaError

SPAN_OPEN, SPAN_CLOSE = "\ufdd2", "\ufdd3"
"""noncharacters that stand around what the assistant says in a rendered text"""

TEXT_START = "\ufdd4"
"""noncharacter before a text that is encoded apart from what stands before it; templates write {{ text_start }}"""

MAX_STEPS = 200_000
MAX_RANGE = 10_000
MAX_EXTRA_CHARACTERS = 1_000_000
_REWRITES = 20

_FILTERS = [
    "capitalize",
    "count",
    "default",
    "d",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "safe",
    "select",
    "selectattr",
    "sort",
    "string",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
]
# Filters that neither make text of what their value holds nor compare it.
_SHALLOW = frozenset(
    [
        "count",
        "d",
        "default",
        "first",
        "float",
        "int",
        "items",
        "last",
        "length",
        "list",
        "map",
        "reject",
        "rejectattr",
        "reverse",
        "select",
        "selectattr",
        "sum",
    ]
)
_STRING_METHODS = frozenset(
    [
        "capitalize",
        "casefold",
        "count",
        "endswith",
        "find",
        "index",
        "isalnum",
        "isalpha",
        "isascii",
        "isdecimal",
        "isdigit",
        "isidentifier",
        "islower",
        "isnumeric",
        "isspace",
        "istitle",
        "isupper",
        "join",
        "lower",
        "lstrip",
        "partition",
        "removeprefix",
        "removesuffix",
        "replace",
        "rfind",
        "rindex",
        "rpartition",
        "rsplit",
        "rstrip",
        "split",
        "splitlines",
        "startswith",
        "strip",
        "swapcase",
        "title",
        "upper",
    ]
)


_CONTAINERS = (Mapping, AbstractSet, ValuesView, list, tuple, Namespace)


@dataclass
class Budget:
    """What one rendering may still use."""

    steps: int
    characters: int
    """characters of all strings made on the way"""
    longest: int
    """characters of one string"""

    def step(self, count: int = 1) -> None:
        """Count loop rounds and calls."""
        self.steps -= count
        if self.steps < 0:
            raise StemmaError(f"chat template: needs more than {MAX_STEPS} steps; simplify its loops")

    def container(self, value: object) -> None:
        """Count what a list or table would become as text or take to compare, shared parts as often as they occur."""
        if not isinstance(value, _CONTAINERS):
            return
        waiting, characters = [value], 0
        while waiting:
            item = waiting.pop()
            if isinstance(item, Namespace):
                raise StemmaError("chat template: uses a namespace as text; use what it holds")
            if isinstance(item, str):
                characters += len(item)
            elif isinstance(item, _CONTAINERS):
                self.step(len(item) + 1)
                characters += 2 * len(item)
                waiting += item
                if isinstance(item, Mapping):
                    waiting += item.values()
        self.text(characters)

    def text(self, length: int) -> None:
        """Count a string of `length` characters before it is made."""
        self.step()
        self.characters -= length
        if length > self.longest or self.characters < 0:
            raise StemmaError(f"chat template: builds a text over {self.longest} characters; simplify it")


_budget: contextvars.ContextVar[Budget] = contextvars.ContextVar("budget")


@contextlib.contextmanager
def budget_for(num_characters: int) -> Iterator[Budget]:
    """The budget for rendering messages of `num_characters` characters in all."""
    longest = MAX_EXTRA_CHARACTERS + 4 * num_characters
    budget = Budget(steps=MAX_STEPS, characters=_REWRITES * longest, longest=longest)
    token = _budget.set(budget)
    try:
        yield budget
    finally:
        _budget.reset(token)


class GenerationTag(Extension):
    """{% generation %} ... {% endgeneration %}: what the assistant says, as in transformers."""

    tags = {"generation"}  # noqa: RUF012 - jinja declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The block's body between the two span marks."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        before = nodes.Output([nodes.TemplateData(SPAN_OPEN)]).set_lineno(line)
        after = nodes.Output([nodes.TemplateData(SPAN_CLOSE)]).set_lineno(line)
        return [before, *body, after]


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment all chat templates run in."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[GenerationTag, "jinja2.ext.loopcontrols"],
            cache_size=0,
            finalize=_counted_output,
        )
        self.filters = {name: self._measured(name, self.filters[name]) for name in _FILTERS} | {
            "tojson": _to_json
        }
        self.globals = {
            "range": _range,
            "namespace": self.globals["namespace"],
            "raise_exception": _raise_exception,
            "text_start": TEXT_START,
        }

    def call(self, context: Any, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call, if the sandbox allows it, counting the call and the text it may make."""
        budget = _budget.get()
        budget.step()
        owner, name = getattr(called, "__self__", None), getattr(called, "__name__", "")
        if isinstance(owner, str):
            if name not in _STRING_METHODS:
                raise StemmaError(f"chat template: the string method {name} is not allowed; write it without")
            budget.container(args)
            budget.text(_result_bound(name, owner, args))
        return super().call(context, called, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> None:
        """str.format can make any length from nothing, so it is refused; jinja asks here for every attribute."""
        if getattr(value, "__name__", "") in ("format", "format_map") and isinstance(
            getattr(value, "__self__", None), str
        ):
            raise StemmaError("chat template: the string method format is not allowed; write it without")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic with bounded results; strings and lists are counted."""
        sized = [value for value in (left, right) if isinstance(value, str | list | tuple)]
        if operator == "**" or (operator == "%" and sized):
            raise StemmaError(f"chat template: the operator {operator} is not allowed here; write it without")
        if operator == "+" and sized:
            _budget.get().text(sum(map(len, sized)))
        elif operator == "*" and sized:
            times = [value for value in (left, right) if isinstance(value, int)]
            _budget.get().text(len(sized[0]) * max(times, default=0))
        elif any(isinstance(value, int) and value.bit_length() > 64 for value in (left, right)):
            raise StemmaError("chat template: computes with numbers over 64 bits; simplify it")
        return super().call_binop(context, operator, left, right)

    def concatenate(self, *parts: Any) -> str:
        """The operator ~ with its result counted."""
        budget = _budget.get()
        for part in parts:
            budget.container(part)
        texts = [str(part) for part in parts]
        budget.text(sum(map(len, texts)))
        return "".join(texts)

    def measured(self, value: Any) -> Any:
        """What a comparison looks at, with its parts counted."""
        _budget.get().container(value)
        return value

    def counted(self, items: Any) -> Any:
        """What a loop runs over, with its rounds counted."""
        items = items if hasattr(items, "__len__") else list(items)
        _budget.get().step(len(items) + 1)
        return items

    def _measured(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        passed = getattr(function, "jinja_pass_arg", None)
        place = 0 if passed is None else 1  # of the value, after what jinja itself passes

        def measured(*args: Any, **kwargs: Any) -> Any:
            budget, values = _budget.get(), list(args)
            for value in (*values[place + 1 :], *kwargs.values()):
                budget.container(value)
            if name == "replace":
                budget.container(values[place])
                budget.text(_result_bound(name, str(values[place]), tuple(values[place + 1 :])))
            elif isinstance(values[place], Iterable) and not isinstance(
                values[place], str | dict | jinja2.Undefined
            ):
                values[place] = list(values[place])
                budget.step(len(values[place]))
            if name not in _SHALLOW:
                budget.container(values[place])
            result = function(*values, **kwargs)
            if isinstance(result, str):
                budget.text(len(result))
            return result

        if passed is not None:
            measured.jinja_pass_arg = passed  # pyright: ignore[reportFunctionMemberAccess]
        return measured

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return _Instrument().visit(super()._parse(source, name, filename))


class _Instrument(NodeTransformer):
    """Routes loops, comparisons and ~ through the budget; refuses what cannot be bounded."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - jinja's naming
        parts = [self.visit(part) for part in node.nodes]
        call = nodes.EnvironmentAttribute("concatenate")
        return nodes.Call(call, parts, [], None, None, lineno=node.lineno, environment=node.environment)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        for side in (node, *node.ops):
            call = nodes.EnvironmentAttribute("measured")
            side.expr = nodes.Call(
                call, [side.expr], [], None, None, lineno=node.lineno, environment=node.environment
            )
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        if node.recursive:
            raise StemmaError(
                f"chat template, line {node.lineno}: recursive loops are not allowed; write it without"
            )
        node = self.generic_visit(node)  # pyright: ignore[reportAssignmentType]
        call = nodes.EnvironmentAttribute("counted")
        node.iter = nodes.Call(
            call, [node.iter], [], None, None, lineno=node.lineno, environment=node.environment
        )
        return node


def _result_bound(name: str, text: str, args: tuple[Any, ...]) -> int:
    """An upper bound of the length of a string method's result."""
    if name == "replace" and len(args) >= 2:
        return len(text) + (str.count(text, str(args[0]))) * len(str(args[1]))
    if name == "join" and args and isinstance(args[0], Iterable):
        return sum(len(str(part)) + len(text) for part in args[0])
    return len(text)


def _range(*args: int) -> range:
    found = range(*args)
    if len(found) > MAX_RANGE:
        raise StemmaError(f"chat template: range of {len(found)} is over {MAX_RANGE}; simplify its loops")
    return found


@jinja2.pass_context  # so that jinja leaves constants to the rendering, where there is a budget
def _counted_output(context: object, value: Any) -> Any:
    _budget.get().container(value)
    return value


def _raise_exception(message: object) -> None:
    _budget.get().container(message)
    raise StemmaError(f"chat template: {message}")


def _to_json(value: Any, indent: int | None = None) -> str:
    _budget.get().container(value)
    text = json.dumps(value, ensure_ascii=False, indent=None if indent is None else min(int(indent), 8))
    _budget.get().text(len(text))
    return text
