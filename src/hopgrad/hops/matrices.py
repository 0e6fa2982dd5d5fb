"""Functions of matrices, matrix equations, banded systems and triangular factors, as SciPy computes them.

All hops take stacks of matrices, except for banded systems, and compute in double precision. What has no value is NaN,
unless it is said to raise `LinAlgError`.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from hopgrad.aval import Aval, aval
from hopgrad.errors import DtypeError, ShapeError
from hopgrad.graph.builder import Expr, Params, zeros
from hopgrad.graph.hop import DEFINITE, Case, Compound, Function, Notation, general
from hopgrad.graph.operators import Cotangent, Linear, Operator, Support, broadcast_to, spread
from hopgrad.hops import elementwise as ew
from hopgrad.hops import functions as fn
from hopgrad.hops.linalg import Eigh, adjoint, inv, solve, swap, triangular_solve
from hopgrad.hops.products import matmul
from hopgrad.hops.reduce import any_, cumsum, sum_
from hopgrad.hops.shape import Operand, concatenate, index, reshape, slice_axis, triangle
from hopgrad.hops.transposing import transposed_map

# -- helpers ---------------------------------------------------------------------------------------------------------


def _scipy(name: str) -> Callable[..., Any]:
    import scipy.linalg

    found: Callable[..., Any] = getattr(scipy.linalg, name)
    return found


def _double(a: Any) -> Any:
    return np.asarray(a, np.result_type(a.dtype, np.float64))


def _stacked(function: Callable[..., Any], shape: Sequence[int], dtype: Any, *stacks: Any) -> Any:
    """What `function` makes of each matrix; NaN where it has no value, or one that the dtype does not hold."""
    out = np.full(shape, np.nan, dtype)
    count = len(shape) - 2
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # They tell of lost digits at single points. SciPy's own function, which users call first, tells so as well.
        warnings.simplefilter("ignore")
        for place in np.ndindex(*shape[:count]) if out.size else ():
            given = [_double(stack[place]) for stack in stacks]
            if not all(np.isfinite(x).all() for x in given):
                continue
            try:
                found = np.asarray(function(*given))
            except (LinAlgError, ValueError, ZeroDivisionError):
                continue
            if out.dtype.kind != "c" and found.dtype.kind == "c":
                # Equal eigenvalues that rounding made a pair of complex ones leave a trace of that.
                if np.max(np.abs(found.imag)) > 1e-6 * np.max(np.abs(found.real)):
                    continue
                found = found.real
            out[place] = found
    return out


def _squares(name: str, *avals: Aval) -> None:
    for x in avals:
        if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
            raise ShapeError(f"{name}: an array of shape {x.shape} is no stack of square matrices")
        if x.dtype != avals[0].dtype:
            raise DtypeError(f"{name}: operands have dtypes {avals[0].dtype} and {x.dtype}")


def _same_square(name: str) -> Callable[..., Aval]:
    def infer(x: Aval, **params: Any) -> Aval:
        _squares(name, x)
        return x

    return infer


def _every(support: Support, like: Aval) -> Support:
    """For maps in which all elements of a matrix depend on all of a result's."""
    if support is None:
        return None
    found = any_(support, axes=(support.ndim - 2, support.ndim - 1), keepdims=True)
    kept: Support = broadcast_to(found, like.shape)
    return kept


# -- functions of matrices -------------------------------------------------------------------------------------------

_SQUARES = [Case((2, 2)), Case((2, 1, 1)), Case((0, 0))]


def _blocks(a: Expr, e: Expr) -> Expr:
    """[[A, E], [0, A]]."""
    rows, columns = a.ndim - 2, a.ndim - 1
    upper = concatenate(a, e, axis=columns)
    lower = concatenate(zeros(a.builder, a.aval), a, axis=columns)
    found: Expr = concatenate(upper, lower, axis=rows)
    return found


def _corner(m: Expr) -> Any:
    """The upper right block."""
    n = m.shape[-1] // 2
    return slice_axis(slice_axis(m, m.ndim - 2, 0, n, 1), m.ndim - 1, n, 2 * n, 1)


def _matrix_function(name: str, symbol: str, value: Callable[..., Any], **fields: Any) -> Any:
    """A hop for a function of matrices that has a power series around each eigenvalue.

    Its derivative in the direction E is the upper right block of f([[A, E], [0, A]]), and the transpose of that map is
    the same with Aᵀ. Source: Mathias, A chain rule for matrix functions and applications, 1996; Higham, Functions of
    Matrices, 2008, theorem 3.6. Being made of f itself, it has derivatives of all orders, and takes equal eigenvalues.
    """

    def compute(a: Any) -> Any:
        return _stacked(value, a.shape, a.dtype, a)

    def compute_power(a: Any, *, power: float) -> Any:
        return _stacked(lambda m: value(m, power), a.shape, a.dtype, a)

    def local(a: Expr, **params: Any) -> Operator:
        def push(t: Expr) -> Any:
            return _corner(hop(_blocks(a, t), **params))

        def pull(ct: Expr) -> Any:
            return _corner(hop(_blocks(swap(a), ct), **params))

        return Linear(a.aval, a.aval, push, pull, lambda support: _every(support, a.aval), infinite=True)

    def plain(a: Expr) -> Operator:
        return local(a)

    def powered(a: Expr, *, power: float) -> Operator:
        return local(a, power=power)

    body, computed = (powered, compute_power) if name == "matrix_power" else (plain, compute)
    body.__name__ = body.__qualname__ = name
    body.__doc__ = "The upper right block of f([[A, E], [0, A]]), as of every function of matrices."
    given = {"sample": lambda draw: draw(_SQUARES), **fields}
    hop = general(computed, Function(symbol, rf"\operatorname{{{symbol}}}", "matrix function"),
                  infer=_same_square(name), **given)(body)  # fmt: skip
    return hop


expm = _matrix_function("expm", "expm", lambda a: _scipy("expm")(a))
logm = _matrix_function("logm", "logm", lambda a: _scipy("logm")(a), domain=(DEFINITE,))
matrix_power = _matrix_function(
    "matrix_power",
    "powm",
    lambda a, power: _scipy("fractional_matrix_power")(a, power),
    domain=(DEFINITE,),
    sample=lambda draw: Case(*draw([((2, 2),), ((0, 0),)]), power=draw([0.5, -1.3])),
)


def _sqrtm(a: Any) -> Any:
    return _stacked(_scipy("sqrtm"), a.shape, a.dtype, a)


@general(_sqrtm, Function("sqrtm", r"\operatorname{sqrtm}", "matrix function"), infer=_same_square("sqrtm"),
         domain=(DEFINITE,), sample=lambda draw: draw(_SQUARES))  # fmt: skip
def sqrtm(a: Expr, *, out: Expr) -> Operator:
    """From X X = A: X dX + dX X = dA. Source: Higham, Functions of Matrices, 2008, section 6.1."""
    turned = swap(out)
    return Linear(
        a.aval,
        a.aval,
        lambda t: sylvester(out, out, t),
        lambda ct: sylvester(turned, turned, ct),
        lambda support: _every(support, a.aval),
        infinite=True,
    )


def _is_real(a: Any, *, function: str, power: float) -> Any:
    given = (power,) if function == "fractional_matrix_power" else ()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return np.bool_(not a.size or np.isrealobj(_scipy(function)(_double(a), *given)))
        except (LinAlgError, ValueError):
            return np.bool_(True)


def _a_truth(a: Aval, **params: Any) -> Aval:
    return aval((), bool)


@general(_is_real, Function("real?"), infer=_a_truth, traits=("flat", "predicate"),
         sample=lambda draw: Case((2, 2), function="sqrtm", power=0.5))  # fmt: skip
def is_real(a: Expr) -> Any:
    """Whether a function of real matrices has a real value; only that tells in which dtype SciPy gives it."""
    return None


def _cut_angle(a: Any) -> Any:
    found = np.zeros(a.shape[:-2], a.real.dtype)
    for place in np.ndindex(*a.shape[:-2]):
        if np.isfinite(a[place]).all():
            angles = np.angle(np.linalg.eigvals(a[place]))
            found[place] = (np.pi - np.max(np.abs(angles[angles < np.pi]), initial=0.0)) / 2
    return found


def _one_each(a: Aval) -> Aval:
    _squares("cut_angle", a)
    return aval(a.shape[:-2], ew.parts_of(a.dtype))


@general(_cut_angle, Function("angle"), infer=_one_each, traits=("flat",), sample=lambda draw: Case((2, 2)))
def cut_angle(a: Expr) -> Any:
    """An angle by which a matrix can be turned, so that negative eigenvalues leave the cut and no others reach it.

    What is computed of the turned matrix and turned back does not depend on it, so its derivative does not count.
    """
    return None


# -- matrix equations ------------------------------------------------------------------------------------------------


def _sylvester(a: Any, b: Any, q: Any) -> Any:
    return _stacked(_scipy("solve_sylvester"), q.shape, q.dtype, a, b, q)


def _sylvester_result(a: Aval, b: Aval, q: Aval) -> Aval:
    _squares("solve_sylvester", a, b)
    if q.shape != (*a.shape[:-2], a.shape[-1], b.shape[-1]) or b.shape[:-2] != a.shape[:-2]:
        raise ShapeError(f"solve_sylvester: shapes {a.shape}, {b.shape} and {q.shape} do not fit")
    if q.dtype != a.dtype:
        raise DtypeError(f"solve_sylvester: operands have dtypes {a.dtype} and {q.dtype}")
    return q


@general(_sylvester, Function("sylvester", r"\operatorname{sylvester}", "linear system"), infer=_sylvester_result,
         domain=(DEFINITE, DEFINITE, DEFINITE),
         sample=lambda draw: draw([Case((2, 2), (2, 2), (2, 2)), Case((2, 2), (3, 3), (2, 3)),
                                   Case((2, 1, 1), (2, 2, 2), (2, 1, 2)), Case((0, 0), (2, 2), (0, 2))]))  # fmt: skip
def sylvester(a: Expr, b: Expr, q: Expr, *, out: Expr) -> Any:
    """From A X + X B = Q: A dX + dX B = dQ − dA X − X dB, an equation of the same kind; so is the transposed one."""

    def back(ct: Expr) -> Any:
        return sylvester(swap(a), swap(b), ct)

    def of_first() -> Operator:
        return Linear(
            a.aval, out.aval,
            lambda t: -sylvester(a, b, matmul(t, out)), lambda ct: -matmul(back(ct), swap(out)),
            lambda support: _every(support, a.aval), infinite=True,
        )  # fmt: skip

    def of_second() -> Operator:
        return Linear(
            b.aval, out.aval,
            lambda t: -sylvester(a, b, matmul(out, t)), lambda ct: -matmul(swap(out), back(ct)),
            lambda support: _every(support, b.aval), infinite=True,
        )  # fmt: skip

    def of_right_side() -> Operator:
        return Linear(
            q.aval, out.aval, lambda t: sylvester(a, b, t), back, lambda support: _every(support, q.aval), infinite=True
        )

    return of_first, of_second, of_right_side


def stein(a: Expr, q: Expr, method: str | None = None) -> Any:
    """The solution of X = A X Aᴴ + Q, in SciPy's two ways: as one linear system, or turned into Lyapunov's equation."""
    n = a.shape[-1]
    if method == "direct" or (method is None and n < 10):
        lead = a.shape[:-2]
        other = ew.conj(a)
        product = reshape(a, shape=(*lead, n, 1, n, 1)) * reshape(other, shape=(*lead, 1, n, 1, n))
        system = np.eye(n * n, dtype=a.dtype) - reshape(product, shape=(*lead, n * n, n * n))
        return reshape(solve(system, reshape(q, shape=(*lead, n * n, 1))), shape=(*lead, n, n))
    eye = a.builder.constant(np.eye(n, dtype=a.dtype))
    turned = adjoint(a)
    inverse = inv(turned + eye, strict=False)
    b = matmul(turned - eye, inverse)
    c = 2 * matmul(matmul(inv(a + eye, strict=False), q), inverse)
    return sylvester(adjoint(b), b, -c)


class Riccati(Compound):
    """The stabilizing solution X of an algebraic Riccati equation, continuous or discrete, for real A, B, Q and R."""

    takes = frozenset({"discrete"})

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        a, b, q, r = avals
        _squares("Riccati's equation", a, q)
        _squares("Riccati's equation", r)
        if q.shape != a.shape or a.ndim != 2 or b.shape != (a.shape[0], r.shape[0]):
            shapes = ", ".join(str(x.shape) for x in avals)
            raise ShapeError(f"Riccati's equation: shapes {shapes} do not fit")
        if any(x.dtype.kind == "c" for x in avals):
            raise DtypeError("Riccati's equation of complex numbers")
        return (q,)

    def shown(self, params: Params) -> int:
        return 1

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        name = "solve_discrete_are" if dict(params)["discrete"] else "solve_continuous_are"
        return lambda *args: (_scipy(name)(*args).astype(args[2].dtype),)

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        return [any(active)]

    def _change(self, discrete: bool, tangents: Sequence[Expr | None], given: Sequence[Expr]) -> Any:
        a, b, r, x = given
        ta, tb, tq, tr = tangents
        if discrete:
            weight = r + matmul(swap(b), matmul(x, b))
            gain = solve(weight, matmul(swap(b), matmul(x, a)))
        else:
            gain = solve(r, matmul(swap(b), x))
        closed = a - matmul(b, gain)
        ahead = matmul(x, closed) if discrete else x
        parts: list[Any] = []
        for part in (
            None if ta is None else matmul(swap(ta), ahead),
            None if tb is None else -matmul(matmul(swap(gain), swap(tb)), ahead),
        ):
            if part is not None:
                parts += [part, swap(part)]
        if tq is not None:
            parts.append(tq)
        if tr is not None:
            parts.append(matmul(swap(gain), matmul(tr, gain)))
        total = functools.reduce(lambda u, v: u + v, parts)
        turned = swap(closed)
        return stein(turned, total) if discrete else sylvester(turned, closed, -total)

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        if all(t is None for t in tangents):
            return [None]
        a, b, _, r = args
        (x,) = self.split(out, params)
        return [self._change(dict(params)["discrete"], tangents, (a, b, r, x))]

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        a, b, _, r = args
        (x,) = self.split(out, params)
        (cotangent,) = cotangents
        if cotangent is None:
            return [None] * 4
        moving = [k for k, flag in enumerate(active) if flag]
        count = len(moving)

        def push(*values: Expr) -> list[Expr]:
            tangents = dict(zip(moving, values[:count], strict=True))
            return [self._change(dict(params)["discrete"], [tangents.get(k) for k in range(4)], values[count:])]

        found = transposed_map(push, [args[k].aval for k in moving], (a, b, r, x), [cotangent[0]])
        by_number = dict(zip(moving, found, strict=True))
        return [(by_number[k], None) if k in by_number else None for k in range(4)]


RICCATI = Riccati(
    "riccati",
    Function("riccati", r"\operatorname{riccati}", "Riccati equation"),
    "The derivative of the equation is one of Lyapunov's (discrete: Stein's) with the closed loop's matrix A − B K,"
    " since the gain K is best already. Q and R are taken as symmetric.",
    traits=frozenset({"raises", "real"}),
)


# -- triangular factors ----------------------------------------------------------------------------------------------


class Lu(Compound):
    """L without its diagonal of ones and U in one matrix, the order of rows with A[order] = L U, and the pivots."""

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        (a,) = avals
        if a.ndim < 2:
            raise ShapeError(f"lu: an array of shape {a.shape} is no stack of matrices")
        *lead, m, n = a.shape
        return a, aval((*lead, m), _PLACES), aval((*lead, min(m, n)), np.int32)

    def shown(self, params: Params) -> int:
        return 3

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        return _lu

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        return [any(active), False, False]

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        (t,) = tangents
        if t is None:
            return [None] * 3
        packed, order, _ = self.split(out, params)
        return [_lu_change(t, packed, order), None, None]

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        if cotangents[0] is None:
            return [None]
        packed, order, _ = self.split(out, params)
        found = transposed_map(
            lambda *values: [_lu_change(*values)], [args[0].aval], (packed, order), [cotangents[0][0]]
        )
        return [(found[0], None)]


def _lu(a: Any) -> tuple[Any, Any, Any]:
    *lead, m, n = a.shape
    packed, pivots = np.empty(a.shape, _double(a).dtype), np.zeros((*lead, min(m, n)), np.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # singular matrices have factors, too
        for place in np.ndindex(*lead):
            if min(m, n):
                packed[place], pivots[place] = _scipy("lu_factor")(_double(a[place]), check_finite=False)
    return packed.astype(a.dtype), row_order(pivots, m), pivots


def row_order(pivots: Any, m: int) -> Any:
    """The order of m rows after LAPACK's exchanges."""
    found = np.broadcast_to(np.arange(m), (*pivots.shape[:-1], m)).copy()
    for place in np.ndindex(*pivots.shape[:-1]):
        for k, other in enumerate(pivots[place]):
            found[(*place, k)], found[(*place, other)] = found[(*place, other)], found[(*place, k)]
    return found


_PLACES = np.dtype(np.intp)


def _ordered(pivots: Any, *, dtype: Any) -> Any:
    return row_order(pivots, pivots.shape[-1]).astype(dtype)


def _as_places(x: Aval, *, dtype: Any) -> Aval:
    return aval(x.shape, dtype)


@general(_ordered, Function("order"), infer=_as_places, traits=("flat",),
         sample=lambda draw: Case(np.array([2, 2, 2], np.int32), dtype=_PLACES))  # fmt: skip
def order_of_pivots(pivots: Expr) -> Any:
    """Integers."""
    return None


def unit_lower(packed: Expr) -> Any:
    """L of packed factors."""
    *_, m, n = packed.shape
    k = min(m, n)
    below = triangle(slice_axis(packed, packed.ndim - 1, 0, k, 1), k=-1, lower=True)
    return below + packed.builder.constant(np.eye(m, k, dtype=packed.dtype))


def upper(packed: Expr) -> Any:
    """U of packed factors."""
    *_, m, n = packed.shape
    return triangle(slice_axis(packed, packed.ndim - 2, 0, min(m, n), 1), k=0, lower=False)


def _lu_change(t: Expr, packed: Expr, order: Expr) -> Any:
    """From A[order] = L U: L⁻¹ dA U⁻¹ is a lower triangle without diagonal, L⁻¹ dL, plus an upper one, dU U⁻¹.

    What lies below or beside the square of the factors follows from it.
    """
    rows, columns = t.ndim - 2, t.ndim - 1
    m, n = t.shape[-2:]
    k = min(m, n)

    def part(x: Any, first: slice, second: slice) -> Any:
        return slice_axis(slice_axis(x, rows, first.start, first.stop, 1), columns, second.start, second.stop, 1)

    head = slice(0, k)
    moved = fn.take_along_axis(t, reshape(order, shape=(*order.shape, 1)), rows)
    left, right = unit_lower(packed), upper(packed)
    square = part(left, head, head), part(right, head, head)
    ahead = triangular_solve(square[0], part(moved, head, head), lower=True, unit=True, strict=False)
    inner = _over(ahead, square[1])
    of_left = matmul(square[0], triangle(inner, k=-1, lower=True))
    of_right = matmul(triangle(inner, k=0, lower=False), square[1])
    found = of_left + of_right
    if n > k:
        rest = slice(k, n)
        beside = part(moved, head, rest) - matmul(of_left, part(right, head, rest))
        beside = triangular_solve(square[0], beside, lower=True, unit=True, strict=False)
        found = concatenate(found, beside, axis=columns)
    if m > k:
        rest = slice(k, m)
        below = part(moved, rest, head) - matmul(part(left, rest, head), of_right)
        found = concatenate(found, _over(below, square[1]), axis=rows)
    return found


def _over(x: Any, right: Any) -> Any:
    """X U⁻¹ for an upper triangle."""
    return swap(triangular_solve(swap(right), swap(x), lower=True, unit=False, strict=False))


LU = Lu(
    "lu",
    Function("lu", r"\operatorname{lu}", "LU"),
    "From A = P L U with P fixed: L⁻¹ Pᵀ dA U⁻¹ is a triangle below the diagonal, L⁻¹ dL, plus one above, dU U⁻¹.",
    kink="singular: no derivative (infinite or NaN); where pivots tie, that of the order taken",
)


def _column_order(a: Any, *, dtype: Any) -> Any:
    found = np.zeros((*a.shape[:-2], a.shape[-1]), dtype)
    for place in np.ndindex(*a.shape[:-2]):
        found[place] = _scipy("qr")(_double(a[place]), mode="r", pivoting=True, check_finite=False)[1]
    return found


def _columns_of(a: Aval, *, dtype: Any) -> Aval:
    if a.ndim < 2:
        raise ShapeError(f"qr: an array of shape {a.shape} is no stack of matrices")
    return aval((*a.shape[:-2], a.shape[-1]), dtype)


@general(_column_order, Function("order"), infer=_columns_of, traits=("flat",),
         sample=lambda draw: Case((3, 2), dtype=_PLACES))  # fmt: skip
def column_order(a: Expr) -> Any:
    """The order of columns in a QR factorization with pivoting: integers."""
    return None


# -- symmetric matrices ----------------------------------------------------------------------------------------------


class EighBy(Eigh):
    """As `EIGH`, computed by the LAPACK routine that SciPy takes, which decides the signs of eigenvectors."""

    takes = frozenset({"lower", "driver"})

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        given = dict(params)

        def compute(a: Any) -> tuple[Any, Any]:
            wide = _double(a)
            w, v = np.empty(a.shape[:-1]), np.empty_like(wide)
            for place in np.ndindex(*a.shape[:-2]):
                if a.shape[-1]:
                    w[place], v[place] = _scipy("eigh")(
                        wide[place], lower=given["lower"], driver=given["driver"] or None, check_finite=False
                    )
            return w.astype(np.zeros(0, a.dtype).real.dtype), v.astype(a.dtype)

        return compute


EIGH_BY = EighBy(
    "eigh_by",
    Function("eigh", r"\operatorname{eigh}", "eigenvalues"),
    "As eigh: dW is the diagonal of Vᴴ dA V, and what is beside it, over the difference of two eigenvalues, turns V.",
    kink="equal eigenvalues: the eigenvectors have no derivative (infinite or NaN); sums of equal eigenvalues have one",
    traits=frozenset({"raises", "conjugating"}),
)


# -- the polar factor ------------------------------------------------------------------------------------------------


def _unitary(a: Any) -> Any:
    u, _, vh = np.linalg.svd(_double(a), full_matrices=False)
    return (u @ vh).astype(a.dtype)


def _tall(a: Aval) -> Aval:
    if a.ndim < 2 or a.shape[-2] < a.shape[-1]:
        raise ShapeError(f"polar: {a.shape} is no stack of matrices with as many rows as columns, or more")
    return a


def _polar_change(t: Expr, a: Expr, u: Expr) -> Any:
    """From A = U P with UᴴU = 1: P Ω + Ω P = Uᴴ dA − dAᴴ U for Ω = Uᴴ dU, and the rest of dU is that of dA, over P."""
    p = matmul(adjoint(u), a)
    inner = matmul(adjoint(u), t)
    turning = sylvester(p, p, inner - adjoint(inner))
    found = matmul(u, turning)
    if a.shape[-2] > a.shape[-1]:
        beside = t - matmul(u, inner)
        found = found + swap(solve(swap(p), swap(beside)))
    return found


@general(lambda a: _unitary(a), Function("unitary", r"\operatorname{unitary}", "polar"), infer=_tall,
         traits=("raises", "conjugating"),
         sample=lambda draw: draw([Case((2, 2)), Case((3, 2)), Case((2, 2, 2)), Case((1, 1))]),
         kink="not of full rank: no derivative (infinite or NaN)")  # fmt: skip
def unitary_factor(a: Expr, *, out: Expr) -> Operator:
    """The nearest matrix with orthonormal columns, for equal singular values too. Source: Higham, 2008, chapter 8."""
    return Linear(
        a.aval, a.aval,
        lambda t: _polar_change(t, a, out),
        lambda ct: transposed_map(lambda *values: [_polar_change(*values)], [a.aval], (a, out), [ct])[0],
        lambda support: _every(support, a.aval), infinite=True,
    )  # fmt: skip


# -- banded systems --------------------------------------------------------------------------------------------------


def _solve_banded(ab: Any, b: Any, *, below: int, definite: bool, strict: bool) -> Any:
    above = ab.shape[0] - 1 - below
    wide, right = _double(ab), _double(b)
    if not b.size:
        return np.zeros_like(b)
    try:
        if definite:
            found = _scipy("solveh_banded")(wide[: above + 1], right, check_finite=False)
        else:
            found = _scipy("solve_banded")((below, above), wide, right, check_finite=False)
    except LinAlgError:
        if strict:
            raise
        found = np.full(b.shape, np.nan)
    return np.ascontiguousarray(found, b.dtype)


def _banded_result(ab: Aval, b: Aval, **params: Any) -> Aval:
    if ab.ndim != 2 or b.ndim not in (1, 2) or b.shape[0] != ab.shape[1] or ab.shape[0] <= params["below"]:
        raise ShapeError(f"solve_banded: shapes {ab.shape} and {b.shape} do not fit")
    if ab.dtype != b.dtype:
        raise DtypeError(f"solve_banded: operands have dtypes {ab.dtype} and {b.dtype}")
    return b


def _gathered(x: Any, places: Any, inside: Any) -> Any:
    """x[places] along the first axis where `inside`, else 0. Made of hops alone, so that it takes arrays as well."""
    moved = index(x, np.where(inside, places, 0), items=(Operand(0),))
    return ew.where(inside.reshape(*inside.shape, *[1] * (x.ndim - 1)), moved, np.zeros((), x.dtype))


def turned_band(ab: Any, below: int) -> Any:
    """The band of the transposed matrix, which has `below` diagonals above.

    Element (i, j) stands at (above + i − j, j).
    """
    rows, n = ab.shape
    r = np.arange(rows)[:, None]
    columns = np.arange(n) + r - below
    return _gathered(reshape(ab, shape=(rows * n,)), (rows - 1 - r) * n + columns, (columns >= 0) & (columns < n))


def _shifted(x: Any, below: int, above: int) -> Any:
    """Rows r = 0 … below + above: x[i + r − below], zero outside; further axes of x stay the last ones."""
    n = x.shape[0]
    places = np.arange(below + above + 1)[:, None] + np.arange(n) - below
    return _gathered(x, places, (places >= 0) & (places < n))


def _as_wide(m: Any, like: Any) -> Any:
    """A band beside vectors or matrices."""
    return reshape(m, shape=(*m.shape, 1)) if like.ndim == 2 else m


_SAMPLE_BANDS = [Case((3, 4), (4,), below=1), Case((2, 3), (3, 2), below=0), Case((4, 5), (5,), below=2),
                 Case((1, 2), (2,), below=0)]  # fmt: skip


def _sample_band(draw: Any) -> Case:
    case = draw(_SAMPLE_BANDS)
    return Case(*case.operands, **case.params, definite=False, strict=draw([True, False]))


@general(_solve_banded, Notation("solve", rule="linear system"), infer=_banded_result, traits=("raises",),
         sample=_sample_band)  # fmt: skip
def solve_banded(ab: Expr, b: Expr, *, out: Expr, below: int) -> Any:
    """As `solve`, for a matrix with few diagonals, given as rows; so are its change and its transpose.

    ``below``: how many there are below the main one. ``definite``: the matrix is symmetric, and has to be positive
    definite. Not ``strict``: NaN for singular matrices.
    """
    above = ab.shape[0] - 1 - below
    given: dict[str, Any] = {"definite": False, "strict": False}

    def back(ct: Expr) -> Any:
        return solve_banded(turned_band(ab, below), ct, below=above, **given)

    def reach(m: Any) -> Any:
        """For each row of the right-hand side the sum of all rows of the result that depend on it."""
        if not below and not above:
            return m
        if not above:  # they come after it
            return slice_axis(cumsum(slice_axis(m, 0, None, None, -1), axis=0), 0, None, None, -1)
        if not below:
            return cumsum(m, axis=0)
        return broadcast_to(sum_(m, axes=(0,), keepdims=True), m.shape)

    def of_matrix() -> Operator:
        def push(t: Expr) -> Any:
            terms = _as_wide(turned_band(t, below), b) * _shifted(out, below, above)
            return -solve_banded(ab, sum_(terms, axes=(0,), keepdims=False), below=below, **given)

        def pull(ct: Expr) -> Any:
            terms = -(_shifted(back(ct), above, below) * reshape(out, shape=(1, *out.shape)))
            return sum_(terms, axes=(2,), keepdims=False) if b.ndim == 2 else terms

        def used(m: Any) -> Any:
            """Element (i, j) changes what row i of the right-hand side does."""
            rows = reach(sum_(m, axes=(1,), keepdims=False) if b.ndim == 2 else m)
            return _shifted(rows, above, below)

        def mask(support: Support) -> Support:
            return None if support is None else spread(support, used, out.dtype)

        return Linear(ab.aval, out.aval, push, pull, mask, infinite=True)

    def of_right_side() -> Operator:
        def mask(support: Support) -> Support:
            return None if support is None else spread(support, reach, out.dtype)

        return Linear(b.aval, out.aval, lambda t: solve_banded(ab, t, below=below, **given), back, mask, infinite=True)

    return of_matrix, of_right_side
