"""The instruction set of lowerings: expressions over one element, or over a vector of them, written as LLVM's text.

A hop's ``lowering`` is an expression in Python's syntax over its operands. The same text serves all dtypes and any
number of lanes; what stands for what is said here once: arithmetic and comparisons are LLVM's own, `_INTRINSICS` are
single instructions of most processors, all other functions are those of C's math library.
"""

from __future__ import annotations

import ast
import functools
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hopgrad.lower.functions import WRITTEN
from hopgrad.lower.machine import machine

KINDS: dict[np.dtype[Any], str] = {
    np.dtype(np.float64): "double", np.dtype(np.float32): "float", np.dtype(bool): "i1",
    np.dtype(np.int64): "i64", np.dtype(np.int32): "i32",
}  # fmt: skip
"""The dtypes that native code computes with, and what LLVM calls them."""

SIZES = {"double": 8, "float": 4, "i64": 8, "i32": 4, "i1": 1}
"""Bytes of an element in memory."""

_INTRINSICS = {
    "sqrt": "sqrt", "fabs": "fabs", "floor": "floor", "ceil": "ceil", "trunc": "trunc", "rint": "rint",
    "fma": "fmuladd",
}  # fmt: skip
FUNCTION = 20
"""What a function of the math library costs."""

_COSTS = {"/": 8, "sqrt": 10, "maximum": 3, "minimum": 3}
"""In units of an addition; what is not here is 1, and functions of the math library are `FUNCTION`."""


class Value(NamedTuple):
    """A value in a register: its name (or a constant), LLVM's type of an element, and the number of lanes."""

    name: str
    kind: str
    lanes: int = 1

    @property
    def type(self) -> str:
        """LLVM's type of the whole."""
        return self.kind if self.lanes == 1 else f"<{self.lanes} x {self.kind}>"


class Code:
    """The text of one function while it is written: lines, fresh names, and what it needs declared."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.declared: dict[str, str] = {}
        self.negated: dict[str, Value] = {}
        """What a value that changes a sign has the other sign of."""
        self._count = 0
        self._known: dict[str, str] = {}
        """Values of the block by their instructions, but for those that may read memory."""

    def fresh(self, stem: str = "v") -> str:
        """A name that was not used yet."""
        self._count += 1
        return f"%{stem}{self._count}"

    def line(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append("  " + text)

    def label(self, name: str) -> None:
        """The beginning of a block."""
        self.lines.append(f"{name[1:]}:")
        self._known.clear()

    def new(self, text: str) -> str:
        """An instruction with a result, and the name of that. What the block has computed already is not repeated."""
        found = self._known.get(text)
        if found is None:
            found = self.fresh()
            self.lines.append(f"  {found} = {text}")
            if not text.startswith("load ") and ".masked." not in text:
                self._known[text] = found
        return found

    def value(self, kind: str, lanes: int, text: str) -> Value:
        """`new`, as a value."""
        return Value(self.new(text), kind, lanes)

    def declare(self, name: str, text: str) -> str:
        """Note a function that is called, and return its name with the sign before it."""
        self.declared[name] = text
        return f"@{name}"


# -- constants -------------------------------------------------------------------------------------------------------


PLAIN_NUMBERS = (0.0, 1.0, -1.0, 2.0, -2.0)
"""Those that are part of a text; others are parameters."""


def bits(value: float) -> int:
    """The bits of a double as an integer."""
    found: int = struct.unpack("q", struct.pack("d", value))[0]
    return found


def literal(value: float, kind: str) -> str:
    """A number as LLVM writes it, to the last bit."""
    if kind == "i1":
        return "true" if value else "false"
    if kind[0] == "i":
        limit = 2 ** (int(kind[1:]) - 1)
        return str(int(max(-limit, min(value, limit - 1))))
    number = struct.unpack("f", struct.pack("f", value))[0] if kind == "float" and abs(value) < 3e38 else value
    return f"0x{struct.pack('>d', number).hex().upper()}"


def constant(value: float, kind: str, lanes: int = 1) -> Value:
    """A constant, the same in all lanes."""
    text = literal(value, kind)
    return Value(text if lanes == 1 else f"splat ({kind} {text})", kind, lanes)


def spread(code: Code, value: Value, lanes: int) -> Value:
    """A single value in all lanes."""
    if value.lanes == lanes:
        return value
    whole = f"<{lanes} x {value.kind}>"
    if value.name[0] != "%":
        return Value(f"splat ({value.kind} {value.name})", value.kind, lanes)
    first = code.new(f"insertelement {whole} poison, {value.kind} {value.name}, i64 0")
    return code.value(
        value.kind, lanes, f"shufflevector {whole} {first}, {whole} poison, <{lanes} x i32> zeroinitializer"
    )


# -- memory ---------------------------------------------------------------------------------------------------------


def memory_kind(kind: str) -> str:
    """What stands in memory for a kind: booleans are bytes there."""
    return "i8" if kind == "i1" else kind


def from_memory(code: Code, value: Value, kind: str) -> Value:
    """What was read from memory, as a value of a kind."""
    if kind != "i1":
        return value
    zero = "0" if value.lanes == 1 else "zeroinitializer"
    return code.value("i1", value.lanes, f"icmp ne {value.type} {value.name}, {zero}")


def to_memory(code: Code, value: Value) -> Value:
    """A value as it stands in memory."""
    if value.kind != "i1":
        return value
    to = "i8" if value.lanes == 1 else f"<{value.lanes} x i8>"
    return code.value("i8", value.lanes, f"zext {value.type} {value.name} to {to}")


# -- instructions ----------------------------------------------------------------------------------------------------


def _same(code: Code, *values: Value) -> list[Value]:
    lanes = max(v.lanes for v in values)
    return [spread(code, v, lanes) for v in values]


def arithmetic(code: Code, symbol: str, a: Value, b: Value) -> Value:
    """``+ - * /`` of two values of one kind. Of booleans the sum is "or" and the product "and", as in NumPy."""
    a, b = _same(code, a, b)
    if a.kind == "i1":
        word = {"+": "or", "*": "and", "-": "xor"}[symbol]
    elif a.kind[0] == "i" and symbol == "/":
        return _divided(code, a, b)
    else:
        word = {"+": "add", "-": "sub", "*": "mul", "/": "div"}[symbol]
        word = f"f{word}" if a.kind[0] != "i" else word
    return code.value(a.kind, a.lanes, f"{word} {a.type} {a.name}, {b.name}")


def _divided(code: Code, a: Value, b: Value, rest: bool = False) -> Value:
    """The quotient of whole numbers without what is behind the point, as in C, or the `rest`; of divisions by 0, 0."""
    zero, one, minus = (constant(k, a.kind, a.lanes) for k in (0, 1, -1))
    by_zero, by_minus = compare(code, "==", b, zero), compare(code, "==", b, minus)
    safe = select(code, logical(code, "or", by_zero, by_minus), one, b)
    found = code.value(a.kind, a.lanes, f"{'srem' if rest else 'sdiv'} {a.type} {a.name}, {safe.name}")
    if rest:
        return found
    return select(code, by_zero, zero, select(code, by_minus, arithmetic(code, "-", zero, a), found))


_CONDITIONS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}


def compare(code: Code, symbol: str, a: Value, b: Value) -> Value:
    """A comparison, false where one is NaN (but true for ``!=``)."""
    a, b = _same(code, a, b)
    word = _CONDITIONS[symbol]
    if a.kind[0] != "i":
        text = f"fcmp {'u' if symbol == '!=' else 'o'}{word}"
    else:
        text = f"icmp {word if word in ('eq', 'ne') else ('u' if a.kind == 'i1' else 's') + word}"
    return code.value("i1", a.lanes, f"{text} {a.type} {a.name}, {b.name}")


def truth(code: Code, a: Value) -> Value:
    """Whether a value is not zero."""
    return a if a.kind == "i1" else compare(code, "!=", a, constant(0, a.kind, a.lanes))


def select(code: Code, condition: Value, a: Value, b: Value) -> Value:
    """One value or the other, lane for lane."""
    condition, a, b = _same(code, condition, a, b)
    return code.value(
        a.kind, a.lanes, f"select {condition.type} {condition.name}, {a.type} {a.name}, {b.type} {b.name}"
    )


def extreme(code: Code, symbol: str, a: Value, b: Value) -> Value:
    """The larger (``>=``) or smaller (``<=``) of two; NaN if one is."""
    wins = compare(code, symbol, a, b)
    if a.kind[0] != "i":
        wins = logical(code, "or", wins, _isnan(code, a))
    return select(code, wins, a, b)


def logical(code: Code, word: str, a: Value, b: Value) -> Value:
    """``and or xor`` of truth values, or of the bits of whole numbers."""
    a, b = _same(code, a, b)
    return code.value(a.kind, a.lanes, f"{word} {a.type} {a.name}, {b.name}")


def _isnan(code: Code, a: Value) -> Value:
    if a.kind[0] == "i":
        return constant(0, "i1", a.lanes)
    return code.value("i1", a.lanes, f"fcmp uno {a.type} {a.name}, {a.name}")


def _negative(code: Code, a: Value) -> Value:
    if a.kind[0] == "i":
        return arithmetic(code, "-", constant(0, a.kind, a.lanes), a)
    found = code.value(a.kind, a.lanes, f"fneg {a.type} {a.name}")
    code.negated[found.name] = a
    return found


def _intrinsic(code: Code, word: str, *args: Value) -> Value:
    if word == "fabs":
        args = (code.negated.get(args[0].name, args[0]),)
    args = tuple(_same(code, *args))
    first = args[0]
    suffix = ("" if first.lanes == 1 else f"v{first.lanes}") + ("f64" if first.kind == "double" else "f32")
    name = f"llvm.{word}.{suffix}"
    types = ", ".join(a.type for a in args)
    called = code.declare(name, f"declare {first.type} @{name}({types})")
    return code.value(first.kind, first.lanes, f"call {first.type} {called}({_listed(args)})")


def _listed(args: Sequence[Value]) -> str:
    return ", ".join(f"{a.type} {a.name}" for a in args)


def call(code: Code, name: str, *args: Value) -> Value:
    """A function of the math library: written out, its vector variant, or the function itself for each lane."""
    args = tuple(_same(code, *args))
    first = args[0]
    if first.lanes > 1:
        if (name, first.kind) in WRITTEN:
            return write(code, WRITTEN[name, first.kind], args, {}, first.kind)
        symbol = machine().vector_function(name, SIZES[first.kind], first.lanes, len(args))
        if symbol is not None:
            types = ", ".join(a.type for a in args)
            called = code.declare(symbol, f"declare {first.type} @{symbol}({types}) #0")
            return code.value(first.kind, first.lanes, f"call {first.type} {called}({_listed(args)}) #0")
        parts = [lane(code, args, k) for k in range(first.lanes)]
        return gathered(code, [call(code, name, *part) for part in parts])
    symbol = name + ("f" if first.kind == "float" else "")
    types = ", ".join(a.kind for a in args)
    called = code.declare(symbol, f"declare {first.kind} @{symbol}({types}) #0")
    return code.value(first.kind, 1, f"call {first.kind} {called}({_listed(args)}) #0")


_SIGNIFICAND = {"double": ("i64", 52, 1023), "float": ("i32", 23, 127)}
"""Whole numbers as long as a float, the bits of a significand without its first one, and the exponent of 1."""


def power2(code: Code, n: Value) -> Value:
    """2ⁿ for a whole n that is the exponent of a normal number: n, moved to the exponent's place."""
    whole, bits, bias = _SIGNIFICAND[n.kind]
    type_ = whole if n.lanes == 1 else f"<{n.lanes} x {whole}>"
    # Behind this number's point there are no bits left, so that n stands in the last ones.
    moved = arithmetic(code, "+", n, constant(1.5 * 2**bits + bias, n.kind, n.lanes))
    word = code.new(f"bitcast {moved.type} {moved.name} to {type_}")
    word = code.new(f"shl {type_} {word}, {constant(bits, whole, n.lanes).name}")
    return code.value(n.kind, n.lanes, f"bitcast {type_} {word} to {n.type}")


def scale(code: Code, x: Value, n: Value) -> Value:
    """2ⁿ x for a whole n whose half is the exponent of a normal number."""
    n, x = _same(code, n, x)
    if n.lanes * SIZES[n.kind] == 64 == machine().width:  # there is an instruction for it
        name = f"llvm.x86.avx512.mask.scalef.p{'d' if n.kind == 'double' else 's'}.512"
        mask = f"i{n.lanes}"
        called = code.declare(name, f"declare {n.type} @{name}({n.type}, {n.type}, {n.type}, {mask}, i32)")
        given = f"{_listed([x, n])}, {n.type} poison, {mask} -1, i32 4"
        return code.value(n.kind, n.lanes, f"call {n.type} {called}({given})")
    half = _intrinsic(code, "rint", arithmetic(code, "*", n, constant(0.5, n.kind)))
    x = arithmetic(code, "*", x, power2(code, half))
    return arithmetic(code, "*", x, power2(code, arithmetic(code, "-", n, half)))


def lane(code: Code, values: Sequence[Value], k: int) -> list[Value]:
    """One lane of each value."""
    return [code.value(v.kind, 1, f"extractelement {v.type} {v.name}, i64 {k}") for v in values]


def part(code: Code, value: Value, start: int, lanes: int) -> Value:
    """Some lanes of a value that lie side by side."""
    mask = f"<{lanes} x i32> <{', '.join(f'i32 {start + k}' for k in range(lanes))}>"
    if lanes == 1:
        return lane(code, [value], start)[0]
    return code.value(value.kind, lanes, f"shufflevector {value.type} {value.name}, {value.type} poison, {mask}")


def gathered(code: Code, values: Sequence[Value]) -> Value:
    """Single values as the lanes of one."""
    kind, lanes = values[0].kind, len(values)
    whole = f"<{lanes} x {kind}>"
    name = "poison"
    for k, v in enumerate(values):
        name = code.new(f"insertelement {whole} {name}, {kind} {v.name}, i64 {k}")
    return Value(name, kind, lanes)


def convert(code: Code, a: Value, kind: str) -> Value:
    """A value as another kind, as NumPy's ``astype`` does it on this processor."""
    if a.kind == kind:
        return a
    if kind == "i1":
        return truth(code, a)
    to = kind if a.lanes == 1 else f"<{a.lanes} x {kind}>"
    floats = a.kind[0] != "i", kind[0] != "i"
    if floats == (True, False):
        # Out of range NumPy gives the smallest integer (as x86 does); LLVM leaves it open.
        limit = 2.0 ** (int(kind[1:]) - 1)
        inside = logical(
            code,
            "and",
            compare(code, ">=", a, constant(-limit, a.kind)),
            compare(code, "<", a, constant(limit, a.kind)),
        )
        safe = select(code, inside, a, constant(0, a.kind))
        whole = code.value(kind, a.lanes, f"fptosi {safe.type} {safe.name} to {to}")
        return select(code, inside, whole, constant(-limit, kind))
    if floats == (True, True):
        word = "fpext" if kind == "double" else "fptrunc"
    elif floats == (False, True):
        word = "uitofp" if a.kind == "i1" else "sitofp"
    else:
        word = "zext" if a.kind == "i1" else "sext" if SIZES[kind] > SIZES[a.kind] else "trunc"
    return code.value(kind, a.lanes, f"{word} {a.type} {a.name} to {to}")


def power(code: Code, x: Value, exponent: float | Value) -> Value:
    """xⁿ for a fixed n: small whole numbers by multiplying, ½ by the root, everything else by ``pow``."""
    if isinstance(exponent, Value):
        return call(code, "pow", x, exponent)
    if exponent == 0:
        return constant(1, x.kind, x.lanes)
    if exponent == 0.5:
        return _intrinsic(code, "sqrt", x)
    out = x
    if abs(exponent) in (3, 4):
        square = arithmetic(code, "*", x, x)
        out = arithmetic(code, "*", square, x if abs(exponent) == 3 else square)
    elif abs(exponent) == 2:
        out = arithmetic(code, "*", x, x)
    return arithmetic(code, "/", constant(1, x.kind, x.lanes), out) if exponent < 0 else out


FIXED_POWERS = frozenset({0.0, 0.5, 1.0, 2.0, 3.0, 4.0, -1.0, -2.0})
"""Exponents that are part of a kernel's text; others are captured numbers."""


# -- expressions -----------------------------------------------------------------------------------------------------

Operand = Value | float
_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_LOGICAL = {ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor"}
_COMPARED = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


@functools.cache
def _parsed(text: str) -> tuple[ast.stmt, ...]:
    return tuple(ast.parse(text.replace(";", "\n").replace("\n ", "\n")).body)


class _Writer:
    def __init__(self, code: Code, names: dict[str, Any], kind: str, lanes: int) -> None:
        self.code = code
        self.names = names
        self.kind = kind
        self.lanes = lanes

    def value(self, operand: Operand, like: Operand | None = None) -> Value:
        """A number takes the kind of its partner."""
        if isinstance(operand, Value):
            return operand
        kind = like.kind if isinstance(like, Value) else self.kind
        return constant(operand, kind, self.lanes)

    def pair(self, a: Operand, b: Operand) -> tuple[Value, Value]:
        return self.value(a, b), self.value(b, a)

    def visit(self, node: ast.expr) -> Operand:
        code = self.code
        if isinstance(node, ast.Name):
            found: Operand = self.names[node.id]
            return found
        if isinstance(node, ast.Constant):
            return float(node.value)  # type: ignore[arg-type]  # lowerings hold numbers only
        if isinstance(node, ast.UnaryOp):
            inner = self.visit(node.operand)
            if isinstance(node.op, ast.Invert):
                given = self.value(inner)
                return logical(code, "xor", given, constant(1, "i1", given.lanes))
            return _negative(code, inner) if isinstance(inner, Value) else -inner
        if isinstance(node, ast.BinOp):
            left, right = self.visit(node.left), self.visit(node.right)
            if type(node.op) in _LOGICAL:
                return logical(code, _LOGICAL[type(node.op)], *self.pair(left, right))
            if type(node.op) is ast.RShift:  # of bits: zeros come in
                moved, by = _same(code, *self.pair(left, right))
                return code.value(moved.kind, moved.lanes, f"lshr {moved.type} {moved.name}, {by.name}")
            return arithmetic(code, _BINARY[type(node.op)], *self.pair(left, right))
        if isinstance(node, ast.Compare):
            pair = self.pair(self.visit(node.left), self.visit(node.comparators[0]))
            return compare(code, _COMPARED[type(node.ops[0])], *pair)
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        return self.function(node.func.id, [self.visit(a) for a in node.args])

    def function(self, name: str, args: list[Operand]) -> Value:
        code = self.code
        if name == "select":
            return select(code, self.value(args[0]), *self.pair(args[1], args[2]))
        if name == "power":
            return power(code, self.value(args[0]), args[1])
        if name in ("maximum", "minimum"):
            return extreme(code, ">=" if name == "maximum" else "<=", *self.pair(args[0], args[1]))
        values = [self.value(a, next((b for b in args if isinstance(b, Value)), None)) for a in args]
        if name == "truth":
            return truth(code, values[0])
        if name == "power2":
            return power2(code, values[0])
        if name == "scale":
            return scale(code, *values)
        if name == "isnan":
            return _isnan(code, values[0])
        if name == "fabs" and values[0].kind[0] == "i":
            negative = compare(code, "<", values[0], constant(0, values[0].kind))
            return select(code, negative, _negative(code, values[0]), values[0])
        if name in _INTRINSICS:
            return values[0] if values[0].kind[0] == "i" else _intrinsic(code, _INTRINSICS[name], *values)
        if name == "fmod" and values[0].kind[0] == "i":
            a, b = _same(code, *values)
            return _divided(code, a, b, rest=True)
        if name == "copysign" and values[0].kind[0] != "i":  # the only whole number that asks for a sign is 0
            return _intrinsic(code, "copysign", *values)
        if name == "copysign":
            return values[0]
        return call(code, name, *values)


_LETTERS = "abcdefgh"


def write(code: Code, lowering: str, operands: Sequence[Value], params: Mapping[str, Any], kind: str) -> Value:
    """The value of a lowering for some operands, as instructions; `kind` is that of the result."""
    lanes = max((v.lanes for v in operands), default=1)
    names: dict[str, Any] = {"inf": float("inf"), **params, **dict(zip(_LETTERS, operands, strict=False))}
    if len(operands) == 1:
        names["x"] = operands[0]
    # Numbers in conditions and the like take the operands' kind.
    writer = _Writer(code, names, kind if kind != "i1" or not operands else operands[-1].kind, lanes)
    *parts, last = _parsed(lowering)
    for part in parts:
        assert isinstance(part, ast.Assign)
        assert isinstance(part.targets[0], ast.Name)
        names[part.targets[0].id] = writer.visit(part.value)
    assert isinstance(last, ast.Expr)
    return writer.value(writer.visit(last.value))


@functools.cache
def cost(lowering: str) -> int:
    """How much an element costs, in units of an addition."""
    total = 0
    for part in _parsed(lowering):
        for node in ast.walk(part):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name = node.func.id
                known = name in _INTRINSICS or name in ("select", "truth", "isnan", "copysign", "maximum", "minimum")
                total += _COSTS.get(name, 1 if known else FUNCTION)
            elif isinstance(node, (ast.BinOp, ast.Compare, ast.UnaryOp)):
                total += _COSTS["/"] if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) else 1
    return total


class Reducer(NamedTuple):
    """A way to put elements together: the number that changes nothing, and what becomes of two as a lowering."""

    neutral: float
    lowering: str

    def write(self, code: Code, a: Value, b: Value) -> Value:
        """Two values put together."""
        return write(code, self.lowering, [a, b], {}, a.kind)


REDUCERS = {
    "sum": Reducer(-0.0, "a + b"),
    "prod": Reducer(1.0, "a * b"),
    "max": Reducer(-math.inf, "maximum(a, b)"),
    "min": Reducer(math.inf, "minimum(a, b)"),
    "any": Reducer(0.0, "a | b"),
    "all": Reducer(1.0, "a & b"),
}
