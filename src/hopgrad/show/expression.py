"""Formulas as text, such as ``sin((x + 1)^2)``: read without running any code, then computed with NumPy.

>>> formula = parse("z = x + 1; sin(z^2)")
>>> formula.names
('x',)
>>> round(formula.evaluate({"x": 0.5}), 6)
0.778073

The text is split into tokens here, which turns ``^``, ``²``, ``√`` and the like into Python's spelling and
refuses what is too long or too deeply nested. Python's own parser then gives the tree, of which only the
forms named below are let through. They become a list of steps in the order of evaluation, so that neither
reading nor computing recurses.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import keyword
import math
import operator
import re
import sys
import unicodedata
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from hopgrad.errors import ExpressionError, HopgradError

__all__ = ["Expression", "parse"]

# Bounds that no formula for reading comes near. They keep Python's parser far from the end of its stack.
_MAX_LENGTH = 10_000
_MAX_TOKENS = 2_000
_MAX_DEPTH = 100
_MAX_EXPONENT = 1_000
_MAX_INTEGER = 10**18

_CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf}
_PLAIN = (float, int, bool)
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_SPELLING = {"^": "**", "·": "*", "×": "*", "⋅": "*", "÷": "/", "−": "-", "≤": "<=", "≥": ">=", "≠": "!="}
_SPELLING |= {"√": "sqrt", "π": "pi"}
_TOKEN = re.compile(
    r"(?P<space>[^\S\n]+)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    rf"|(?P<raised>⁻?[{_RAISED}]+)"
    rf"|(?P<name>√|[^\W\d{_RAISED}][^\W{_RAISED}]*)"
    r"|(?P<op>\*\*|//|[<>=!]=|[-+*/%@^()\[\],:<>=;\n·×⋅÷−≤≥≠])"
)
_LOGIC = ("if", "else", "and", "or", "not")
_QUOTED = "text in quotes is not allowed"
_BRACES = "braces are not allowed: group with ( )"
_REFUSED = {
    ".": "attribute access is not allowed: write sin(x), not np.sin(x)",
    "|": "| is not allowed: write abs(x)",
    **dict.fromkeys("\"'`", _QUOTED),
    **dict.fromkeys("{}", _BRACES),
    **dict.fromkeys(_LOGIC, f"{', '.join(_LOGIC)} are not allowed: write where(condition, a, b)"),
    **dict.fromkeys(("for", "in"), "a comprehension is not allowed"),
}


class _Token(NamedTuple):
    kind: str  # number, name or op
    text: str  # in Python's spelling
    start: int  # in the given text
    end: int

    @property
    def ends_value(self) -> bool:
        return self.kind != "op" or self.text in (")", "]")


class _Step(NamedTuple):
    """Take so many operands off the stack, and put the result back; a string is a name to look up."""

    run: Callable[..., object] | str
    operands: int
    span: tuple[int, int]


class _Function(NamedTuple):
    run: Callable[..., object]
    fewest: int = 1
    most: int = 1
    axis: bool = False


@dataclass(frozen=True, eq=False)
class Expression:
    """A formula that has been read; made by `parse`.

    Attributes:
        text: The text as it was given.
        names: The variables, in the order of their first appearance.
        assignments: For each ``name = value`` in the text the name, by the span of the value.
    """

    text: str
    names: tuple[str, ...]
    assignments: Mapping[tuple[int, int], str]
    _program: tuple[tuple[str | None, tuple[_Step, ...]], ...] = field(repr=False)

    def evaluate(
        self,
        values: Mapping[str, object],
        *,
        at: Callable[[int, int], AbstractContextManager[object]] | None = None,
    ) -> object:
        """Compute the formula for these values of its names: numbers, arrays or traced values.

        Each number, name and operation is computed inside ``at(start, end)``, where ``start`` and ``end``
        are its span in `text` (its operands have been computed before). What NumPy makes of a faulty value
        is reported as an `ExpressionError` at its place.

        >>> parse("2·x² + 1").evaluate({"x": np.array([0.0, 1.0])})
        array([1., 3.])
        """
        self._check(values)
        known: dict[str, object] = {**_CONSTANTS, **values}
        result: object = None
        for name, steps in self._program:
            stack: list[object] = []
            for run, count, span in steps:
                operands = stack[len(stack) - count :]
                del stack[len(stack) - count :]
                plain = count > 0 and all(type(operand) in _PLAIN for operand in operands)
                # Folding constants may overflow: the result says so, a warning would name a line of this file.
                quiet = np.errstate(all="ignore") if plain else nullcontext()
                try:
                    with quiet, at(*span) if at is not None else nullcontext():
                        result = known[run] if isinstance(run, str) else run(*operands)
                except ExpressionError:
                    raise
                except (HopgradError, ArithmeticError, ImportError, LookupError, TypeError, ValueError) as error:
                    message = str(error) or type(error).__name__
                    raise ExpressionError(message, self.text, span[0]) from error
                # A float64 scalar would turn float32 arrays into float64; a Python float does not.
                if plain and isinstance(result, np.generic | np.ndarray) and result.ndim == 0:
                    result = result.item()
                stack.append(result)
            if name is not None:
                known[name] = result
        return result

    def _check(self, values: Mapping[str, object]) -> None:
        spans = {run: span for _, steps in reversed(self._program) for run, _, span in reversed(steps)}
        missing = [name for name in self.names if name not in values]
        if missing:
            need = "needs a value" if len(missing) == 1 else "need values"
            given = ", ".join(f"{name}=..." for name in missing)
            message = f"{' and '.join(missing)} {need}: {given}"
            if missing[0] in _FUNCTIONS:
                message += f" (or write {missing[0]}(...) for the function)"
            raise ExpressionError(message, self.text, spans[missing[0]][0])
        assigned = {name for name, _ in self._program}
        for name in values:
            if name in assigned:
                raise ExpressionError(f"{name} gets its value in the text, so it cannot be given", self.text)
            if name not in spans:
                uses = f"which uses {', '.join(self.names)}" if self.names else "which has no variables"
                raise ExpressionError(f"{name} is not in the expression, {uses}", self.text)


def parse(text: str, variables: Collection[str] = ()) -> Expression:
    """Read a formula: the syntax of Python, with ``^`` for powers, on a fixed list of functions.

    Parts ``name = value`` may come before it, separated by ``;`` or line ends. The constants pi, e and inf are
    variables if `variables` names them.

    >>> parse("-x^2").evaluate({"x": 3.0})
    -9.0
    >>> parse("2x")
    Traceback (most recent call last):
    ...
    hopgrad.errors.ExpressionError: an operator is missing: to multiply, write 2*x
      2x
       ^
    """
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(f"the text has {len(text)} characters, at most {_MAX_LENGTH} are allowed", text)
    program: list[tuple[str | None, tuple[_Step, ...]]] = []
    assignments: dict[tuple[int, int], str] = {}
    seen: dict[str, None] = {}  # a set that keeps the order
    assigned: set[str] = set()
    parts = _parts(text)
    for position, tokens in enumerate(parts):
        name = None
        if len(tokens) > 1 and tokens[0].kind == "name" and tokens[1].text == "=":
            name = tokens[0].text
            if len(tokens) == 2:
                raise ExpressionError("a value is missing after =", text, tokens[1].end)
        elif position < len(parts) - 1:
            raise ExpressionError("a part before the last one needs a name: write z = ...", text, tokens[0].start)
        steps = _steps(tokens[2:] if name else tokens, text)
        seen.update((step.run, None) for step in steps if isinstance(step.run, str) and step.run not in assigned)
        if name is not None:
            if name in seen or name in assigned:
                raise ExpressionError(f"{name} already has a value: choose another name", text, tokens[0].start)
            assigned.add(name)
            assignments[steps[-1].span] = name
        program.append((name, steps))
    names = tuple(name for name in seen if name not in _CONSTANTS or name in variables)
    return Expression(text, names, assignments, tuple(program))


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            char = text[position]
            raise ExpressionError(_REFUSED.get(char, f"{char!r} is not allowed"), text, position)
        start, position = match.span()
        kind, word = str(match.lastgroup), match.group()
        if kind == "space":
            continue
        if kind == "raised":  # x⁻¹ is x ** - 1, and all three stand where the raised digits do
            tokens.append(_Token("op", "**", start, position))
            if word[0] == "⁻":
                tokens.append(_Token("op", "-", start, position))
            kind, word = "number", "".join(str(_RAISED.index(char)) for char in word.lstrip("⁻"))
        if kind == "name":
            wrong = next((i for i, char in enumerate(word) if not f"a{char}".isidentifier() and char != "√"), None)
            if wrong is not None:
                raise ExpressionError(f"{word[wrong]!r} is not allowed", text, start + wrong)
            word = unicodedata.normalize("NFKC", word)  # as Python does
            if keyword.iskeyword(word) and word != "None":
                raise ExpressionError(_REFUSED.get(word, f"{word} is not allowed here"), text, start)
        if kind == "number":
            word = word.lstrip("0") or "0" if word.isdigit() else word  # Python refuses 007
            if float(word) > (_MAX_INTEGER if word.isdigit() else sys.float_info.max):
                raise ExpressionError("this number is too large", text, start)
        tokens.append(_Token(kind, _SPELLING.get(word, word), start, position))
        if len(tokens) > _MAX_TOKENS:
            raise ExpressionError(f"the text is too long: it has more than {_MAX_TOKENS} tokens", text, start)
    return tokens


def _parts(text: str) -> list[list[_Token]]:
    """The tokens of each part of the text; refuses unbalanced brackets and too deep nesting."""
    parts: list[list[_Token]] = [[]]
    brackets: list[_Token] = []
    # For each open bracket, how many signs and powers wait for the operand on their right: Python's parser
    # goes as deep for them as for brackets.
    waiting = [0]
    for token in _tokens(text):
        part = parts[-1]
        if token.text in ("\n", ";") and not brackets:
            parts.append([])
            continue
        if token.text == "\n":
            continue
        previous = part[-1] if part else None
        after_value = previous is not None and previous.ends_value
        if previous is not None and after_value:
            _check_operator(part, token, text)
        if token.text in ("(", "["):
            brackets.append(token)
            waiting.append(0)
        elif token.text in (")", "]"):
            if not brackets or brackets[-1].text + token.text not in ("()", "[]"):
                raise ExpressionError(f"{token.text} closes nothing that is open", text, token.start)
            brackets.pop()
            waiting.pop()
        elif token.text == "=" and not brackets and len(part) != 1:
            raise ExpressionError("= gives a name to a value, as in z = x + 1; to compare, write ==", text, token.start)
        elif token.kind == "op":
            waiting[-1] = waiting[-1] + 1 if token.text == "**" or not after_value else 0
        if len(brackets) + sum(waiting) > _MAX_DEPTH:
            raise ExpressionError(f"nested too deeply: at most {_MAX_DEPTH} levels are allowed", text, token.start)
        part.append(token)
    if brackets:
        raise ExpressionError(f"{brackets[-1].text} is never closed", text, brackets[-1].start)
    parts = [part for part in parts if part]
    if not parts:
        raise ExpressionError("the expression is empty", text, 0)
    return parts


def _check_operator(before: list[_Token], token: _Token, text: str) -> None:
    """Refuse two values side by side, as in ``2x``; the first one has been found to end before `token`."""
    previous = before[-1]
    # A name may be called, and whatever is not a number may be indexed.
    allowed = {"name": ("(", "["), "op": ("[",)}.get(previous.kind, ())
    if token.kind == "op" and (token.text not in ("(", "[") or token.text in allowed):
        return
    left, right = ({"(": "(...)", "[": "[...]"}.get(t.text, text[t.start : t.end]) for t in (previous, token))
    left = {")": "(...)", "]": "[...]"}.get(left, left)
    if previous.kind == "name" and previous.text in _FUNCTIONS:
        raise ExpressionError(f"a function needs brackets: write {left}(...)", text, token.start)
    if len(before) > 2 and before[-2].text == "**" and before[-3].text in _FUNCTIONS:
        raise ExpressionError(
            f"the power comes last: write {before[-3].text}(...)^{previous.text}", text, before[-3].start
        )
    if token.text in ("j", "J") and previous.kind == "number" and previous.end == token.start:
        raise ExpressionError("complex numbers are not allowed", text, previous.start)
    raise ExpressionError(f"an operator is missing: to multiply, write {left[:40]}*{right[:40]}", text, token.start)


def _steps(tokens: list[_Token], text: str) -> tuple[_Step, ...]:
    """The steps that compute one part of the text."""
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    position = 0  # in bytes, as `ast` counts columns
    for token in tokens:
        starts[position] = token.start
        position += len(token.text.encode())
        ends[position] = token.end
        position += 1
    code = " ".join(token.text for token in tokens)
    try:
        root = ast.parse(code, mode="eval").body
    except SyntaxError as error:
        if not tokens[-1].ends_value:
            raise ExpressionError("something is missing at the end", text, tokens[-1].end) from None
        column = starts.get(len(code[: (error.offset or 1) - 1].encode()), tokens[0].start)
        raise ExpressionError("this does not fit here", text, column) from None
    except (RecursionError, MemoryError):  # where little of the stack is left already
        raise ExpressionError("the expression is too complicated", text, tokens[0].start) from None
    # Each node comes before its operands, and these from right to left: evaluation goes backwards.
    steps: list[_Step] = []
    todo: list[tuple[ast.expr, bool]] = [(root, False)]
    while todo:
        node, exact = todo.pop()
        try:
            run, operands = _lower(node, exact)
        except _NotAllowedError as refusal:
            raise ExpressionError(refusal.message, text, starts[refusal.node.col_offset]) from None
        steps.append(_Step(run, len(operands), (starts[node.col_offset], ends[node.end_col_offset or 0])))
        power = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
        todo += [(operand, power and operand is operands[1]) for operand in operands]
    return tuple(reversed(steps))


class _NotAllowedError(Exception):
    """A form that is not let through, and where it is."""

    def __init__(self, message: str, node: ast.expr | ast.keyword) -> None:
        self.message = message
        self.node = node


def _number(node: ast.expr | None) -> int | float | None:
    """The number that is written there, also with a minus sign, or None."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    return None


def _lower(node: ast.expr, exact: bool) -> tuple[Callable[..., object] | str, list[ast.expr]]:
    """What computes this node, and its operands. `exact` keeps an integer, for an exponent."""
    value = _number(node)
    if value is not None:
        # Integers grow without bounds (9**9**9) and make NumPy refuse 2**-1 for arrays. Floats do neither.
        constant = value if exact else float(value)
        return (lambda: constant), []
    match node:
        case ast.Name():
            return node.id, []
        case ast.UnaryOp() if type(node.op) in _UNARY:
            return _UNARY[type(node.op)], [node.operand]
        case ast.BinOp() if type(node.op) in _BINARY:
            exponent = _number(node.right) if isinstance(node.op, ast.Pow) else None
            if exponent is not None and abs(exponent) > _MAX_EXPONENT:
                raise _NotAllowedError(f"the exponent is too large: at most {_MAX_EXPONENT} is allowed", node.right)
            return _BINARY[type(node.op)], [node.left, node.right]
        case ast.Compare(ops=[op]) if type(op) in _COMPARE:
            return _COMPARE[type(op)], [node.left, *node.comparators]
        case ast.Compare():
            raise _NotAllowedError("a chained comparison is not allowed: write (a < x) * (x < b)", node)
        case ast.Call():
            return _call(node)
        case ast.Subscript():
            index = _index(node.slice)
            return (lambda operand: operand[index]), [node.value]
        case ast.List():
            for item in node.elts:
                if _number(item) is None and not isinstance(item, ast.List):
                    raise _NotAllowedError("a list holds numbers only", item)
            return (lambda *items: np.array(items, dtype=float)), node.elts
    name = {ast.Tuple: "a tuple", ast.Starred: "unpacking with *", ast.Constant: "None"}.get(type(node))
    raise _NotAllowedError(f"{name or type(node).__name__} is not allowed here", node)


def _call(node: ast.Call) -> tuple[Callable[..., object], list[ast.expr]]:
    if not isinstance(node.func, ast.Name):
        raise _NotAllowedError("only a function that has a name can be called", node)
    name = node.func.id
    function = _FUNCTIONS.get(name)
    if function is None:
        close = difflib.get_close_matches(name, _FUNCTIONS, 1)
        hint = f"did you mean {close[0]}?" if close else f"to multiply, write {name[:40]}*(...)"
        raise _NotAllowedError(f"there is no function {name[:40]}: {hint}", node.func)
    options: dict[str, int | None] = {}
    for option in node.keywords:
        if option.arg != "axis" or not function.axis or len(node.args) > 1:
            known = "axis=..., with one other argument" if function.axis else "no options"
            raise _NotAllowedError(f"{name} takes {known}", option)
        options["axis"] = _integer(option.value)
    if not function.fewest <= len(node.args) <= function.most:
        count = f"{function.fewest}" if function.fewest == function.most else f"{function.fewest} or more"
        raise _NotAllowedError(f"{name} takes {count} argument{'s' * (count != '1')}, not {len(node.args)}", node)
    return functools.partial(function.run, **options), node.args


def _index(node: ast.expr) -> object:
    match node:
        case ast.Tuple():
            return tuple(_integer_or_slice(item) for item in node.elts)
    return _integer_or_slice(node)


def _integer_or_slice(node: ast.expr) -> int | slice | None:
    if isinstance(node, ast.Slice):
        return slice(*(part and _integer(part) for part in (node.lower, node.upper, node.step)))
    return _integer(node)


def _integer(node: ast.expr) -> int | None:
    """An integer or None, as an index and an axis have to be."""
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    value = _number(node)
    if isinstance(value, int):
        return value
    raise _NotAllowedError("only an integer that is written out can stand here", node)


def _arithmetic(run: Callable[[Any, Any], object], ufunc: Callable[[float, float], object]) -> Callable[..., object]:
    """Python's operator, except that for two numbers NumPy's rules hold: 1/0 is inf, (-1)**0.5 is nan."""

    def compute(left: Any, right: Any) -> object:
        if type(left) in _PLAIN and type(right) in _PLAIN:
            return ufunc(float(left), float(right))
        return run(left, right)

    return compute


def _special(name: str) -> _Function:
    """A function of SciPy, which takes long to import."""
    return _Function(lambda x: getattr(importlib.import_module("scipy.special"), name)(x))


def _extreme(reduction: Callable[..., object], pairwise: Callable[..., Any]) -> _Function:
    def compute(*operands: object, **options: int | None) -> object:
        if len(operands) == 1:
            return reduction(*operands, **options)
        return functools.reduce(pairwise, operands)

    return _Function(compute, 1, _MAX_TOKENS, axis=True)


_UNARY: dict[type[ast.unaryop], Callable[..., object]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_BINARY: dict[type[ast.operator], Callable[..., object]] = {
    ast.Add: _arithmetic(operator.add, np.add),
    ast.Sub: _arithmetic(operator.sub, np.subtract),
    ast.Mult: _arithmetic(operator.mul, np.multiply),
    ast.Div: _arithmetic(operator.truediv, np.divide),
    ast.Pow: _arithmetic(operator.pow, np.power),
    ast.FloorDiv: _arithmetic(operator.floordiv, np.floor_divide),
    ast.Mod: _arithmetic(operator.mod, np.remainder),
    ast.MatMult: operator.matmul,
}
_COMPARE: dict[type[ast.cmpop], Callable[..., object]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ONE = """sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh exp exp2 expm1
    log log2 log10 log1p sqrt cbrt abs sign floor ceil round"""
_TWO = "arctan2 minimum maximum hypot logaddexp dot matmul outer"
_REDUCING = "sum mean prod var std"
_SPECIAL = "erf erfc expit logit gammaln digamma"
_ALIASES = """asin=arcsin acos=arccos atan=arctan atan2=arctan2 asinh=arcsinh acosh=arccosh atanh=arctanh
    ln=log sigmoid=expit"""
_FUNCTIONS: dict[str, _Function] = {
    **{name: _Function(getattr(np, name)) for name in _ONE.split()},
    **{name: _Function(getattr(np, name), 2, 2) for name in _TWO.split()},
    **{name: _Function(getattr(np, name), axis=True) for name in _REDUCING.split()},
    **{name: _special(name) for name in _SPECIAL.split()},
    "max": _extreme(np.max, np.maximum),
    "min": _extreme(np.min, np.minimum),
    "norm": _Function(np.linalg.norm, axis=True),
    "where": _Function(np.where, 3, 3),
    "clip": _Function(np.clip, 3, 3),
    "relu": _Function(lambda x: np.maximum(x, 0.0)),
    "softplus": _Function(lambda x: np.logaddexp(x, 0.0)),
}
_FUNCTIONS |= {new: _FUNCTIONS[old] for new, _, old in (pair.partition("=") for pair in _ALIASES.split())}
