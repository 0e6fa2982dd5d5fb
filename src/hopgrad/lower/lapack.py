"""Linear systems, determinants and factorizations as native steps that call LAPACK.

As in the hops, all is computed in double precision. LAPACK overwrites what it is given, and stores matrices by columns:
each matrix is copied to scratch memory, and the result from there. A step says with its answer that LAPACK found no
result; where that is no error, the result is NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hopgrad.lower.blas import (
    KINDS,
    LIMIT,
    Code,
    Kind,
    batch_of,
    each,
    fold,
    head_length,
    head_words,
    routine,
    writable,
)
from hopgrad.lower.machine import Source, Step
from hopgrad.lower.views import View

_CALLS = {
    "dgesv": "n k matrix ld pivots right ld info",
    "dtrtrs": "uplo trans diag n k matrix ld right ld info",
    "dgetrf": "n n matrix ld pivots info",
    "dpotrf": "uplo n matrix ld info",
    "dsyevd": "job uplo n matrix ld right work lwork iwork liwork info",
}
"""The arguments of routines: words of the step and places in scratch memory."""

_ROUTINES = {
    "inv": "dgesv", "solve": "dgesv", "triangular_solve": "dtrtrs", "det": "dgetrf", "sign_det": "dgetrf",
    "log_det": "dgetrf", "cholesky": "dpotrf", "eigvalsh": "dsyevd",
}  # fmt: skip

_SOLVERS = ("dgesv", "dtrtrs")
"""Those with a right-hand side, which they replace by the solution."""

_PLACES = ("matrix", "right", "pivots", "info", "work", "iwork")
"""Where these are in scratch memory. `right` is the right-hand side and then the solution, or the eigenvalues."""

_WORDS = (
    "routine", "n", "k", "ld", "uplo", "trans", "diag", "job", "lwork", "liwork", "side", "a_row", "a_column", "b_row",
    "b_column", "out_row", "out_column", *_PLACES, "scratch",
)  # fmt: skip
"""The step's words after those that all products begin with. ``side`` is 1 for a lower triangle and -1 for an upper
one; strides are in bytes, places are offsets in scratch memory."""


class Matrices:
    """Copies between matrices of a dtype anywhere in memory and matrices of doubles stored by columns."""

    def __init__(self, code: Code, kind: Kind) -> None:
        self.code = code
        self.kind = kind

    def get(self, place: str) -> str:
        """A number from an operand."""
        found = self.code.new(f"load {self.kind.name}, ptr {place}")
        return found if self.kind.size == 8 else self.code.new(f"fpext float {found} to double")

    def put(self, value: str, place: str) -> None:
        """A number into the result."""
        if self.kind.size != 8:
            value = self.code.new(f"fptrunc double {value} to float")
        self.code.line(f"store {self.kind.name} {value}, ptr {place}")

    def read(self, place: str, strides: tuple[str, str], target: str, rows: str, columns: str) -> None:
        """An operand into scratch memory."""
        code = self.code
        with code.loop("0", columns) as column, code.loop("0", rows) as row:
            source = code.at(code.at(place, column.index, strides[1]), row.index, strides[0])
            code.line(f"store double {self.get(source)}, ptr {self._within(target, row.index, column.index, rows)}")

    def identity(self, target: str, n: str) -> None:
        """The identity into scratch memory."""
        code = self.code
        with code.loop("0", n) as column, code.loop("0", n) as row:
            same = code.new(f"icmp eq i64 {row.index}, {column.index}")
            place = self._within(target, row.index, column.index, n)
            code.line(f"store double {code.new(f'select i1 {same}, double 1.0, double 0.0')}, ptr {place}")

    def write(
        self, source: str, target: str, strides: tuple[str, str], rows: str, columns: str, *, side: str = "",
        failed: str = "", distance: str = "",
    ) -> None:  # fmt: skip
        """The result from scratch memory: one triangle of it if `side` is given, NaN where something `failed`.

        `distance` is that of columns, if it is not the number of rows.
        """
        code = self.code
        with code.loop("0", columns) as column, code.loop("0", rows) as row:
            value = code.new(f"load double, ptr {self._within(source, row.index, column.index, distance or rows)}")
            if side:
                below = code.mul(code.new(f"sub i64 {row.index}, {column.index}"), side)
                value = code.new(f"select i1 {code.new(f'icmp sge i64 {below}, 0')}, double {value}, double 0.0")
            if failed:
                value = code.new(f"select i1 {failed}, double 0x7FF8000000000000, double {value}")
            self.put(value, code.at(code.at(target, column.index, strides[1]), row.index, strides[0]))

    def _within(self, place: str, row: str, column: str, rows: str) -> str:
        code = self.code
        return code.at(place, code.add(code.mul(column, rows), row), 8)


@functools.cache
def _source(hop: str, kind: Kind, strict: bool, rank: int) -> Source:
    """The step of a hop for a batch of matrices."""
    code = Code()
    start = head_length(rank)
    index = {name: start + k for k, name in enumerate(_WORDS)}
    target = code.word(index["routine"], "ptr")
    n, k, side = (code.word(index[name]) for name in ("n", "k", "side"))
    of_a, of_b, of_out = (
        (code.word(index[f"{operand}_row"]), code.word(index[f"{operand}_column"])) for operand in ("a", "b", "out")
    )
    scratch = code.slot(index["scratch"])
    places = {name: code.at(scratch, code.word(index[name])) for name in _PLACES}
    name = _ROUTINES[hop]
    arguments = [places.get(word) or code.address(index[word]) for word in _CALLS[name].split()]
    matrices = Matrices(code, kind)
    with each(code, rank) as (a, b, out, _):
        matrices.read(a, of_a, places["matrix"], n, n)
        if hop == "inv":
            matrices.identity(places["right"], n)
        elif name in _SOLVERS:
            matrices.read(b, of_b, places["right"], n, k)
        code.line(f"call void {target}({', '.join(f'ptr {place}' for place in arguments)})")
        info = code.new(f"load i32, ptr {places['info']}")
        failed = code.new(f"icmp ne i32 {info}, 0")
        if strict:
            code.leave_if(failed)
        if name == "dgetrf":
            matrices.put(_determinant(code, hop, places, n, failed), out)
        elif name == "dpotrf":
            matrices.write(places["matrix"], out, of_out, n, n, side=side)
        else:
            matrices.write(places["right"], out, of_out, n, k, failed="" if strict else failed)
    return code.source("declare double @log(double)", "declare double @exp(double)")


def _determinant(code: Code, hop: str, places: Mapping[str, str], n: str, failed: str) -> str:
    """A determinant from the triangle that is left of a matrix: its sign, the logarithm of its size, or both."""
    with code.loop("0", n, 1, [("double", "1.0"), ("double", "0.0")]) as loop:
        sign, size = loop.values
        step = code.add(loop.index, 1)
        pivot = code.new(f"load double, ptr {code.at(places['matrix'], loop.index, code.add(n, 1), 8)}")
        row = code.new(f"load i32, ptr {code.at(places['pivots'], loop.index, 4)}")
        exchanged = code.new(f"icmp ne i64 {code.new(f'sext i32 {row} to i64')}, {step}")
        negative = code.new(f"fcmp olt double {pivot}, 0.0")
        turned = code.new(f"xor i1 {exchanged}, {negative}")
        opposite = code.new(f"fneg double {sign}")
        minus = code.new(f"fneg double {pivot}")
        absolute = code.new(f"select i1 {negative}, double {minus}, double {pivot}")
        logarithm = code.new(f"call double @log(double {absolute})")
        loop.following = [
            code.new(f"select i1 {turned}, double {opposite}, double {sign}"),
            code.new(f"fadd double {size}, {logarithm}"),
        ]
    sign = code.new(f"select i1 {failed}, double 0.0, double {loop.values[0]}")
    size = code.new(f"select i1 {failed}, double 0xFFF0000000000000, double {loop.values[1]}")
    if hop != "det":
        return sign if hop == "sign_det" else size
    return code.new(f"fmul double {sign}, {code.new(f'call double @exp(double {size})')}")


def lower(
    hop: str, params: Mapping[str, Any], operands: Sequence[View], out: View, dtypes: Sequence[np.dtype[Any]]
) -> Step | None:
    """The step for a hop on stacks of matrices, or None if it has no native form; all of it needs scratch memory.

    `dtypes` are those of the operands. The result must not overlap with them. The step answers 1 where the hop raises
    `LinAlgError`.
    """
    name, kind = _ROUTINES.get(hop), KINDS.get(dtypes[0])
    if name is None or kind is None or any(dtype != dtypes[0] for dtype in dtypes) or not writable(out):
        return None
    a, b = operands[0], operands[-1]
    n = a.shape[-1]
    k = n if hop == "inv" else 1 if len(operands) == 1 or len(b.shape) == 1 else b.shape[-1]
    own = {"dgetrf": 0, "dsyevd": 1}.get(name, min(len(b.shape), 2))
    batch = fold(axis for axis in batch_of(len(out.shape) - own, a, b, out) if axis.size != 1)

    def strides(view: View, axes: int) -> tuple[int, int]:
        found = [stride * kind.size for stride in view.strides[len(view.strides) - axes :]] + [0, 0]
        return found[0], found[1]

    of_a, of_b, of_out = strides(a, 2), strides(b, min(len(b.shape), 2)), strides(out, own)
    lower = not params["upper"] if hop == "cholesky" else bool(params.get("lower", True))
    if name in ("dpotrf", "dsyevd") and abs(of_a[0]) > abs(of_a[1]):
        # The other triangle of the transpose is the same, and is copied faster if the matrix is stored by rows.
        lower, of_a, of_out = not lower, of_a[::-1], of_out[::-1] if own == 2 else of_out
    lwork = 34 * n + 1 if name == "dsyevd" else 0  # 2 n + 1, and 32 n for blocks
    sizes = {"matrix": n * n, "right": n * k, "pivots": n // 2 + 1, "info": 1, "work": lwork, "iwork": 1}
    if max(n, k, lwork) >= LIMIT:
        return None
    strict = bool(params.get("strict", name != "dgetrf"))
    values: dict[str, int] = {
        "routine": routine("cython_lapack", name), "n": n, "k": k, "ld": max(n, 1), "uplo": ord("L" if lower else "U"),
        "trans": ord("N"), "diag": ord("U" if params.get("unit") else "N"), "job": ord("N"),
        "lwork": max(lwork, 1), "liwork": 1, "side": 1 if lower else -1, "a_row": of_a[0], "a_column": of_a[1],
        "b_row": of_b[0], "b_column": of_b[1], "out_row": of_out[0], "out_column": of_out[1],
    }  # fmt: skip
    work = 0
    for place in _PLACES:
        values[place] = work
        work += 8 * max(sizes[place], 1)
    words = head_words(kind, (a, b, out), batch) + [values[word] for word in _WORDS[:-1]]
    count = _flops(name, n, k)
    for axis in batch:
        count *= axis.size
    note = f"{name} {''.join(f'{axis.size}·' for axis in batch)}{n}x{n}" + (f" {k}" if name in _SOLVERS else "")
    return Step(_source(hop, kind, strict, len(batch)), words, count, work, note)


def _flops(name: str, n: int, k: int) -> int:
    """Operations, as LAPACK counts them to the highest order."""
    cube = n**3
    return {
        "dgesv": 2 * cube // 3 + 2 * n * n * k,
        "dtrtrs": n * n * k,
        "dgetrf": 2 * cube // 3,
        "dpotrf": cube // 3,
        "dsyevd": 4 * cube // 3,
    }[name]
