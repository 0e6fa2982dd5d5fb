"""Linear algebra on stacks of small matrices, several at a time: a vector has the same element of each of them.

For small matrices everything is written out, without loops or branches on values: elimination with partial pivoting
(rows change places by selection), substitution, Cholesky's factorization, products. So a matrix of 2×2 or 3×3 takes
some nanoseconds, where a call of LAPACK takes hundreds. A stack has to have as many matrices as a vector has places;
the last ones are computed with those before them once more.

As everywhere, all but products is computed in double precision.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from hopgrad.lower.blas import KINDS, Axis, Code, Kind, batch_of, each, fold, head_length, head_words, writable
from hopgrad.lower.blas import vector_bytes as longest
from hopgrad.lower.machine import Source, Step, machine
from hopgrad.lower.pool import LEAST, PART
from hopgrad.lower.pool import MOST as MOST_PARTS
from hopgrad.lower.views import View

MOST = 8
"""How many rows and columns matrices have at most."""

_FEW, _MANY = 4, 128
"""Larger ones than the first number are long texts, for which stacks have at least the second number of matrices."""

_FACTORS = 3
"""How many rows and columns factors of products have at most. Beyond, the kernel for single products is as fast."""

_SAFE = 1e200
"""Products of pivots up to here, and down to its reciprocal, are what they seem."""

Matrix = list[list[str]]
"""The names of the vectors with the elements of several matrices, by row and column."""


class Form(NamedTuple):
    """An operand or result: rows, columns, and the order of elements.

    That is "C" or "F" where all of the stack lie one behind the other, by rows or by columns, and else "".
    """

    rows: int
    columns: int
    order: str


class _Lanes:
    """Instructions on vectors of numbers, as many of a kind as are computed at once."""

    def __init__(self, code: Code, kind: Kind, stored: Kind, lanes: int) -> None:
        self.code = code
        self.kind = kind
        """What is computed with, and in memory:"""
        self.stored = stored
        self.lanes = lanes
        self.type = f"<{lanes} x {kind.name}>"
        self.mask = f"<{lanes} x i1>"
        self._declared: dict[str, None] = {}

    @property
    def declared(self) -> list[str]:
        """Declarations of what was called."""
        return list(self._declared)

    def number(self, value: float) -> str:
        """A constant in all places."""
        text = f"{self.kind.name} 0x{struct.pack('>d', value).hex().upper()}"  # of any kind, as a double
        return f"<{', '.join([text] * self.lanes)}>"

    def call(self, name: str, result: str, *arguments: str) -> str:
        """The result of a function; arguments with their types."""
        kinds = ", ".join(argument[: argument.rindex(" ")] for argument in arguments)
        self._declared[f"declare {result} @{name}({kinds})"] = None
        return self.code.new(f"call {result} @{name}({', '.join(arguments)})")

    def _intrinsic(self, stem: str, *values: str) -> str:
        name = f"llvm.{stem}.v{self.lanes}f{8 * self.kind.size}"
        return self.call(name, self.type, *(f"{self.type} {value}" for value in values))

    def mul(self, x: str, y: str) -> str:
        """X y."""
        return self.code.new(f"fmul {self.type} {x}, {y}")

    def div(self, x: str, y: str) -> str:
        """X / y."""
        return self.code.new(f"fdiv {self.type} {x}, {y}")

    def neg(self, x: str) -> str:
        """−x."""
        return self.code.new(f"fneg {self.type} {x}")

    def muladd(self, x: str, y: str, z: str) -> str:
        """X y + z."""
        return self._intrinsic("fmuladd", x, y, z)

    def less(self, z: str, x: str, y: str) -> str:
        """Z − x y."""
        return self.muladd(self.neg(x), y, z)

    def abs(self, x: str) -> str:
        """|x|."""
        return self._intrinsic("fabs", x)

    def sqrt(self, x: str) -> str:
        """√x."""
        return self._intrinsic("sqrt", x)

    def is_(self, relation: str, x: str, y: str) -> str:
        """Where a comparison holds, as LLVM calls it."""
        return self.code.new(f"fcmp {relation} {self.type} {x}, {y}")

    def logic(self, operation: str, x: str, y: str) -> str:
        """Of two truths."""
        return self.code.new(f"{operation} {self.mask} {x}, {y}")

    def select(self, where: str, x: str, y: str) -> str:
        """X where something holds, y elsewhere."""
        return self.code.new(f"select {self.mask} {where}, {self.type} {x}, {self.type} {y}")

    def anywhere(self, where: str) -> str:
        """Whether it holds anywhere."""
        return self.call(f"llvm.vector.reduce.or.v{self.lanes}i1", "i1", f"{self.mask} {where}")

    def function(self, name: str, x: str) -> str:
        """A function of C's library."""
        symbol = machine().vector_function(name, self.kind.size, self.lanes, 1)
        if symbol is not None:
            return self.call(symbol, self.type, f"{self.type} {x}")
        found = "poison"
        for k in range(self.lanes):
            one = self.code.new(f"extractelement {self.type} {x}, i64 {k}")
            value = self.call(name, self.kind.name, f"{self.kind.name} {one}")
            found = self.code.new(f"insertelement {self.type} {found}, {self.kind.name} {value}, i64 {k}")
        return found

    # -- memory

    def load(self, place: str, form: Form, strides: tuple[str, str, str]) -> Matrix:
        """The elements of matrices; strides, in bytes, are those of matrices, rows and columns."""
        count, kind = form.rows * form.columns, f"<{self.lanes} x {self.stored.name}>"
        if form.order:
            whole = [
                self.code.new(f"load {kind}, ptr {self._at(place, k * self.lanes)}, align {self.stored.size}")
                for k in range(count)
            ]
            places = [[lane * count + e for lane in range(self.lanes)] for e in range(count)]
            found = [self._gathered(whole, wanted, kind) for wanted in places]
        else:
            matrices = [self.code.at(place, str(lane), strides[0]) for lane in range(self.lanes)]
            found = []
            for i in range(form.rows):
                for j in range(form.columns):
                    shift = self.code.add(self.code.mul(strides[1], i), self.code.mul(strides[2], j))
                    vector = "poison"
                    for lane, matrix in enumerate(matrices):
                        one = self.code.new(f"load {self.stored.name}, ptr {self.code.at(matrix, shift)}")
                        vector = self.code.new(f"insertelement {kind} {vector}, {self.stored.name} {one}, i64 {lane}")
                    found.append(vector)
        if self.stored is not self.kind:
            found = [self.code.new(f"fpext {kind} {vector} to {self.type}") for vector in found]
        return [[found[self._index(form, i, j)] for j in range(form.columns)] for i in range(form.rows)]

    def store(self, values: Matrix, place: str, form: Form, strides: tuple[str, str, str]) -> None:
        """The elements of matrices into memory."""
        count, kind = form.rows * form.columns, f"<{self.lanes} x {self.stored.name}>"
        found = [""] * count
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                if self.stored is not self.kind:
                    value = self.code.new(f"fptrunc {self.type} {value} to {kind}")
                found[self._index(form, i, j)] = value
        if form.order:
            for k in range(count):
                numbers = range(k * self.lanes, (k + 1) * self.lanes)
                wanted = [number % count * self.lanes + number // count for number in numbers]
                vector = self._gathered(found, wanted, kind)
                at = self._at(place, k * self.lanes)
                self.code.line(f"store {kind} {vector}, ptr {at}, align {self.stored.size}")
            return
        matrices = [self.code.at(place, str(lane), strides[0]) for lane in range(self.lanes)]
        for i in range(form.rows):
            for j in range(form.columns):
                shift = self.code.add(self.code.mul(strides[1], i), self.code.mul(strides[2], j))
                for lane, matrix in enumerate(matrices):
                    one = self.code.new(f"extractelement {kind} {found[self._index(form, i, j)]}, i64 {lane}")
                    self.code.line(f"store {self.stored.name} {one}, ptr {self.code.at(matrix, shift)}")

    @staticmethod
    def _index(form: Form, i: int, j: int) -> int:
        return j * form.rows + i if form.order == "F" else i * form.columns + j

    def _at(self, place: str, number: int) -> str:
        return self.code.at(place, str(number * self.stored.size))

    def _gathered(self, vectors: Sequence[str], wanted: Sequence[int], kind: str) -> str:
        """A vector of elements of several ones, given by their numbers in all of these together."""
        found = ""
        sources = dict.fromkeys(number // self.lanes for number in wanted)
        done: set[int] = set()
        for source in sources:
            own = {k for k, number in enumerate(wanted) if number // self.lanes == source}
            first = found or vectors[source]
            mask = []
            for k, number in enumerate(wanted):
                if k in done:
                    mask.append(f"i32 {k}")
                elif k in own:
                    mask.append(f"i32 {number % self.lanes + (self.lanes if found else 0)}")
                else:
                    mask.append("i32 poison")
            second = vectors[source] if found else "poison"
            found = self.code.new(
                f"shufflevector {kind} {first}, {kind} {second}, <{self.lanes} x i32> <{', '.join(mask)}>"
            )
            done |= own
        return found


# -- algorithms ------------------------------------------------------------------------------------------------------


def _eliminated(v: _Lanes, a: Matrix, b: Matrix) -> tuple[list[str], str, str]:
    """Bring a into an upper triangle, in place, and do the same to b.

    Gives the pivots, whether one of them is zero, and whether rows changed places an odd number of times.
    """
    n = len(a)
    failed = odd = "zeroinitializer"
    pivots = []
    for j in range(n):
        best = v.abs(a[j][j])
        chosen: dict[int, str] = {}
        for i in range(j + 1, n):
            size = v.abs(a[i][j])
            larger = v.is_("ogt", size, best)
            best = v.select(larger, size, best)
            here = v.logic("xor", larger, _all(v))
            chosen = {row: v.logic("and", where, here) for row, where in chosen.items()} | {i: larger}
        for i, where in chosen.items():
            odd = v.logic("xor", odd, where)
            for rows, start in ((a, j), (b, 0)):
                for c in range(start, len(rows[j])):
                    upper, lower = rows[j][c], rows[i][c]
                    rows[j][c], rows[i][c] = v.select(where, lower, upper), v.select(where, upper, lower)
        pivot = a[j][j]
        pivots.append(pivot)
        failed = v.logic("or", failed, v.is_("oeq", pivot, "zeroinitializer"))
        inverse = v.div(v.number(1.0), pivot) if j < n - 1 else ""
        for i in range(j + 1, n):
            factor = v.mul(a[i][j], inverse)
            for rows, start in ((a, j + 1), (b, 0)):
                for c in range(start, len(rows[j])):
                    rows[i][c] = v.less(rows[i][c], factor, rows[j][c])
    return pivots, failed, odd


def _all(v: _Lanes) -> str:
    return f"<{', '.join(['i1 true'] * v.lanes)}>"


def _substituted(v: _Lanes, a: Matrix, b: Matrix, lower: bool, unit: bool) -> str:
    """The solution of a triangular system in place of b; whether there is none."""
    n, failed = len(a), "zeroinitializer"
    for i in range(n) if lower else range(n - 1, -1, -1):
        if not unit:
            failed = v.logic("or", failed, v.is_("oeq", a[i][i], "zeroinitializer"))
        inverse = v.div(v.number(1.0), a[i][i]) if not unit and len(b[i]) > 1 else ""
        for c in range(len(b[i])):
            for j in range(i) if lower else range(n - 1, i, -1):
                b[i][c] = v.less(b[i][c], a[i][j], b[j][c])
            if not unit:
                b[i][c] = v.mul(b[i][c], inverse) if inverse else v.div(b[i][c], a[i][i])
    return failed


def _factor(v: _Lanes, a: Matrix) -> tuple[Matrix, str]:
    """Cholesky's lower triangle of a matrix of which the lower one is read, and whether there is none."""
    n, failed = len(a), "zeroinitializer"
    found = [["zeroinitializer"] * n for _ in range(n)]
    for j in range(n):
        square = a[j][j]
        for k in range(j):
            square = v.less(square, found[j][k], found[j][k])
        failed = v.logic("or", failed, v.is_("ole", square, "zeroinitializer"))
        found[j][j] = root = v.sqrt(square)
        for i in range(j + 1, n):
            value = a[i][j]
            for k in range(j):
                value = v.less(value, found[i][k], found[j][k])
            found[i][j] = v.div(value, root)
    return found, failed


def _determinant(v: _Lanes, hop: str, a: Matrix) -> str:
    """A determinant: its sign, the logarithm of its size, or both.

    That is by logarithms, as NumPy does it, where the product of the pivots may have left the range of numbers.
    """
    code = v.code
    pivots, failed, odd = _eliminated(v, a, [[] for _ in a])
    for pivot in pivots:
        odd = v.logic("xor", odd, v.is_("olt", pivot, "zeroinitializer"))
    sizes = [v.abs(pivot) for pivot in pivots]
    sign = v.select(failed, "zeroinitializer", v.select(odd, v.number(-1.0), v.number(1.0)))
    if hop == "sign_det":
        return sign
    product = functools.reduce(v.mul, sizes)
    # NaN is safe, and so is a pivot of zero.
    large, small = v.is_("ogt", product, v.number(_SAFE)), v.is_("olt", product, v.number(1 / _SAFE))
    sound = v.logic("xor", failed, _all(v))
    unsafe = v.anywhere(v.logic("and", v.logic("or", large, small), sound))
    code.lines += [f"br i1 {unsafe}, label %far, label %near", "near:"]
    near = product if hop == "det" else v.function("log", product)
    code.lines += ["br label %known", "far:"]
    logarithms = [v.function("log", size) for size in sizes]
    far = functools.reduce(lambda x, y: code.new(f"fadd {v.type} {x}, {y}"), logarithms)
    if hop == "det":
        far = v.function("exp", far)
    code.lines += ["br label %known", "known:"]
    size = code.new(f"phi {v.type} [{near}, %near], [{far}, %far]")
    if hop == "det":
        return v.select(failed, "zeroinitializer", v.mul(sign, size))
    return v.select(failed, v.number(-math.inf), size)


# -- steps -----------------------------------------------------------------------------------------------------------


@functools.cache
def _source(
    hop: str, kind: Kind, forms: tuple[Form, Form, Form], strict: bool, lower: bool, unit: bool, rank: int
) -> Source:
    """The step of a hop for a stack of matrices, the innermost axis of which has as many as are computed at once."""
    code = Code()
    working = kind if hop == "matmul" else KINDS[np.dtype(np.float64)]
    lanes = longest() // working.size
    v = _Lanes(code, working, kind, lanes)
    start = head_length(rank)
    within = [(code.word(start + 2 * k), code.word(start + 2 * k + 1)) for k in range(3)]
    count, *moves = (code.word(start - 4 + k) for k in range(4))
    of_a, of_b, of_out = ((move, *strides) for move, strides in zip(moves, within, strict=True))
    last = code.new(f"sub i64 {count}, {lanes}")
    with each(code, rank - 1) as (*places, _), code.loop("0", count, lanes) as loop:
        first = code.min(loop.index, last)
        at_a, at_b, at_out = (code.at(place, first, move) for place, move in zip(places, moves, strict=True))
        a = v.load(at_a, forms[0], of_a)
        failed = ""
        found: Matrix = []
        if hop == "matmul":
            b = v.load(at_b, forms[1], of_b)
            for row in a:
                found.append([])
                for c in range(len(b[0])):
                    total = "zeroinitializer"
                    for k, x in enumerate(row):
                        total = v.muladd(x, b[k][c], total)
                    found[-1].append(total)
        elif hop in ("inv", "solve"):
            n = len(a)
            one = v.number(1.0)
            found = [[one if i == j else "zeroinitializer" for j in range(n)] for i in range(n)]
            if hop == "solve":
                found = v.load(at_b, forms[1], of_b)
            _, failed, _ = _eliminated(v, a, found)
            _substituted(v, a, found, False, False)
        elif hop == "triangular_solve":
            found = v.load(at_b, forms[1], of_b)
            failed = _substituted(v, a, found, lower, unit)
        elif hop == "cholesky":
            found, failed = _factor(v, a)
        else:
            found = [[_determinant(v, hop, a)]]
        if failed and strict:
            code.leave_if(v.anywhere(failed))
        elif failed:
            found = [[v.select(failed, v.number(math.nan), x) for x in row] for row in found]
        v.store(found, at_out, forms[2], of_out)
    return code.source(*v.declared)


_DETERMINANTS = ("det", "sign_det", "log_det")

_HOPS = ("inv", "solve", "triangular_solve", "cholesky", "matmul", *_DETERMINANTS)


def lower(
    hop: str, params: Mapping[str, Any], operands: Sequence[View], out: View, dtypes: Sequence[np.dtype[Any]]
) -> Step | None:
    """The step for a hop on stacks of small matrices; None for other hops, large matrices, and few of them.

    `dtypes` are those of the operands. The result must not overlap with them. The step answers 1 where the hop raises
    `LinAlgError`.
    """
    kind = KINDS.get(dtypes[0])
    if hop not in _HOPS or kind is None or 0 in out.shape or not writable(out):
        return None
    a, b = operands[0], operands[-1]
    own = min(len(b.shape), 2)
    if hop == "matmul":
        own += (len(a.shape) > 1) - 1
    elif hop in _DETERMINANTS:
        own = 0
    row = hop == "matmul" and len(a.shape) == 1
    cores = [_core(a, min(len(a.shape), 2), row), _core(b, min(len(b.shape), 2)), _core(out, own, row)]
    largest = max(max(core[:2]) for core in cores)
    if largest > (_FACTORS if hop == "matmul" else MOST):
        return None
    if hop == "cholesky" and params["upper"]:
        cores = [(m, n, column, row) for m, n, row, column in cores]
    batch = fold(axis for axis in batch_of(len(out.shape) - own, a, b, out) if axis.size != 1)
    lanes = longest() // (kind.size if hop == "matmul" else 8)
    least = lanes if largest <= _FEW else _MANY
    enough = [axis for axis in batch if axis.size >= least]
    if not enough:
        return None

    def forms(axis: Axis) -> tuple[Form, Form, Form]:
        first, second, third = (_form(core, move) for core, move in zip(cores, axis[1:], strict=True))
        return first, second, third

    inner = max(enough, key=lambda axis: (sum(bool(form.order) for form in forms(axis)), axis.size))
    batch.remove(inner)
    batch.append(inner)
    within = [stride * kind.size for core in cores for stride in core[2:]]
    source = _source(
        hop, kind, forms(inner), bool(params.get("strict", True)), bool(params.get("lower", True)),
        bool(params.get("unit")), len(batch),
    )  # fmt: skip

    def words(start: int, stop: int) -> list[int]:
        views = [replace(v, offset=v.offset + start * s) for v, s in zip((a, b, out), inner[1:], strict=True)]
        return [*head_words(kind, views, [*batch[:-1], inner._replace(size=stop - start)]), *within]

    (rows, terms, *_), (_, columns, *_) = cores[:2]
    count = math.prod(axis.size for axis in batch)
    work = 2 * count * rows * columns * terms
    parts = min(MOST_PARTS, int(work / PART), inner.size // (4 * lanes)) if work >= LEAST else 0
    places = [k * (inner.size // lanes) // parts * lanes for k in range(parts)] + [inner.size]
    note = f"{hop} {''.join(f'{axis.size}·' for axis in batch)}{rows}x{terms}, {lanes} at a time"
    return Step(
        source, words(0, inner.size), work, note=note,
        parts=[words(start, stop) for start, stop in pairwise(places)] if parts > 1 else (),
    )  # fmt: skip


Core = tuple[int, int, int, int]
"""Rows, columns, and the strides of both, in elements."""


def _core(view: View, axes: int, row: bool = False) -> Core:
    """The matrices of a stack of which the last axes are no axes of the stack: a single one is a column or a row."""
    shape, strides = view.shape[len(view.shape) - axes :], view.strides[len(view.shape) - axes :]
    if axes == 2:
        return shape[0], shape[1], strides[0], strides[1]
    if axes == 0:
        return 1, 1, 0, 0
    return (1, shape[0], 0, strides[0]) if row else (shape[0], 1, strides[0], 0)


def _form(core: Core, move: int) -> Form:
    """How the matrices along an axis of the stack lie in memory."""
    rows, columns, down, right = core
    if move == rows * columns:
        if (rows == 1 or down == columns) and (columns == 1 or right == 1):
            return Form(rows, columns, "C")
        if (rows == 1 or down == 1) and (columns == 1 or right == rows):
            return Form(rows, columns, "F")
    return Form(rows, columns, "")
