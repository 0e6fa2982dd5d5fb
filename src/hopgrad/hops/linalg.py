"""Linear algebra: inverses, determinants, factorizations, and ``numpy.linalg`` made of them.

All hops take stacks of matrices: the last two axes are the matrix, those before them broadcast. As in NumPy, single
precision is computed in double precision and rounded at the end, and what has no value raises `LinAlgError`. What only
derivatives need is NaN instead, since an element that nobody uses must not raise.

NumPy's factorizations of symmetric matrices (``cholesky``, ``eigh``) read one triangle of their argument. They are
functions of that triangle, so their gradients lie in it: an element off the diagonal counts for its mirror image too.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from hopgrad.aval import Aval, Several, Shape, aval, broadcast_shapes
from hopgrad.batch import Batch, stacked
from hopgrad.errors import DtypeError, NotDifferentiableError, ShapeError
from hopgrad.graph.builder import Expr, Params, catalogue, ones, zeros
from hopgrad.graph.hop import (
    COMPLEX,
    DEFINITE,
    ITEM,
    Case,
    Compound,
    Function,
    Notation,
    On,
    general,
    reduction,
)
from hopgrad.graph.operators import Cotangent, Linear, Operator, Support, broadcast_to, expand, spread, sum_to
from hopgrad.hops import elementwise as ew
from hopgrad.hops.products import matmul
from hopgrad.hops.reduce import all_, any_, argmax, max_, others, sum_
from hopgrad.hops.shape import Operand, Slice, concatenate, index, reshape, slice_axis, transposed, triangle

# -- helpers ---------------------------------------------------------------------------------------------------------


def swap(x: Any) -> Any:
    """The matrix transpose."""
    return transposed(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def adjoint(x: Any) -> Any:
    """The conjugated matrix transpose."""
    return swap(ew.conj(x))


def _like(x: Any, dtype: Any) -> Any:
    """Converted, if the dtype is another, as of real numbers that meet complex ones."""
    return x if x.dtype == dtype else ew.convert(x, dtype=dtype)


def _chain(*factors: Any) -> Any:
    """The product of matrices, from left to right."""
    found = factors[0]
    for factor in factors[1:]:
        found = matmul(found, factor)
    return found


def _eye(like: Any, n: int) -> Any:
    return np.eye(n, dtype=like.dtype)


def _column(x: Any) -> Any:
    """Vectors as matrices of one column."""
    return reshape(x, shape=(*x.shape, 1))


def _row(x: Any) -> Any:
    return reshape(x, shape=(*x.shape[:-1], 1, x.shape[-1]))


def _line(x: Any) -> Any:
    return reshape(x, shape=x.shape[:-1])


def _as_matrices(x: Any) -> Any:
    """Numbers as matrices of one element."""
    return reshape(x, shape=(*x.shape, 1, 1))


def _whole(support: Support, like: Aval, axes: int = 2) -> Support:
    """For maps in which all elements of a matrix depend on all of a result, which has this many axes for each."""
    if support is None:
        return None
    lead = support.ndim - axes
    found = any_(support, axes=tuple(range(lead, support.ndim)), keepdims=False) if axes else support
    wide = broadcast_to(reshape(found, shape=(*found.shape, 1, 1)), (*found.shape, *like.shape[-2:]))
    kept: Support = sum_to(wide, like.shape)
    return kept


def _check_matrices(name: str, x: Aval, square: bool = False) -> None:
    if x.ndim < 2:
        raise ShapeError(f"{name}: an array of {x.ndim} dimensions is no matrix")
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: matrices of {x.shape[-2]}×{x.shape[-1]} elements are not square")


def _same_square(name: str) -> Callable[..., Aval]:
    def infer(x: Aval, **params: Any) -> Aval:
        _check_matrices(name, x, square=True)
        return x

    return infer


def _number(name: str, dtype_of: Callable[[Any], Any] = np.dtype) -> Callable[..., Aval]:
    """One number for each square matrix."""

    def infer(x: Aval, **params: Any) -> Aval:
        _check_matrices(name, x, square=True)
        return aval(x.shape[:-2], dtype_of(x.dtype))

    return infer


def _one_by_one(function: Callable[..., Any], shape: Shape, dtype: Any, *stacks: Any) -> Any:
    """What `function` makes of each matrix by itself; NaN where it raises."""
    out = np.full(shape, np.nan, dtype)
    wide = [np.broadcast_to(stack, (*shape[:-2], *np.shape(stack)[-2:])) for stack in stacks]
    for place in np.ndindex(*shape[:-2]):
        try:
            out[place] = function(*[stack[place] for stack in wide])
        except LinAlgError:
            continue
    return out


SQUARES = [Case((2, 2)), Case((3, 3)), Case((2, 3, 3)), Case((1, 1)), Case((0, 0)), Case((2, 1, 2, 2))]


def _on_squares(**params: Sequence[Any]) -> Callable[[Any], Case]:
    def sample(draw: Any) -> Case:
        case = draw(SQUARES)
        return Case(*case.operands, **{name: draw(choices) for name, choices in params.items()})

    return sample


# -- inverses --------------------------------------------------------------------------------------------------------


def _inv(a: Any, *, strict: bool) -> Any:
    try:
        return np.linalg.inv(a)
    except LinAlgError:
        if strict:
            raise
        return _one_by_one(np.linalg.inv, a.shape, a.dtype, a)


@general(_inv, Notation("inverse", rule="inverse"), infer=_same_square("inv"), traits=("raises",),
         batch=stacked, sample=_on_squares(strict=[True, False]))  # fmt: skip
def inv(a: Expr, *, out: Expr) -> Operator:
    """From A X = 1: dX = −X dA X. Not ``strict``: NaN for singular matrices."""
    turned = swap(out)
    return Linear(
        a.aval, out.aval,
        lambda t: -_chain(out, t, out),
        lambda ct: -_chain(turned, ct, turned),
        lambda support: _whole(support, a.aval), infinite=True,
    )  # fmt: skip


def _solve(a: Any, b: Any) -> Any:
    return np.linalg.solve(a, b)


def _solved(a: Aval, b: Aval) -> Aval:
    """A right-hand side is a vector if it has one axis only."""
    _check_matrices("solve", a, square=True)
    if a.dtype != b.dtype:
        raise DtypeError(f"solve: operands have dtypes {a.dtype} and {b.dtype}")
    rows = b.shape[-2] if b.ndim > 1 else b.shape[0] if b.ndim else None
    if rows != a.shape[-1]:
        raise ShapeError(f"solve: shapes {a.shape} and {b.shape} do not fit")
    if b.ndim == 1:
        return aval((*a.shape[:-2], rows), a.dtype)
    return aval((*broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]), a.dtype)


_SAMPLE_SYSTEMS = [
    Case((2, 2), (2,)),
    Case((3, 3), (3, 2)),
    Case((2, 3, 3), (3,)),
    Case((2, 2, 2), (2, 2, 1)),
    Case((2, 2), (3, 2, 2)),
    Case((2, 1, 2, 2), (3, 2, 1)),
    Case((0, 0), (0, 2)),
    Case((1, 1), (1,)),
    Case((2, 2), (2, 0)),
]


def _solve_batch(batch: Batch) -> Expr:
    """Vectors as matrices of one column. The right-hand sides of one matrix are columns side by side."""
    a, b = batch.args
    single = len(batch.single(1))
    if not batch.along[0] and a.ndim == 2 and single < 3:
        columns = transposed(b, (1, 0, *range(2, b.ndim)))
        found = batch.hop(a, reshape(columns, shape=(b.shape[1], b.size // max(1, b.shape[1]))), **batch.params)
        return transposed(reshape(found, shape=columns.shape), (1, 0, *range(2, b.ndim)))
    if single == 1:
        b = reshape(b, shape=(*b.shape, 1))
    stack = max(len(batch.single(0)), single, 2)  # axes of an operand for one value, with those of its stack
    operands = [
        reshape(x, shape=(batch.count, *[1] * (stack + 1 - x.ndim), *x.shape[1:])) if flag and x.ndim <= stack else x
        for x, flag in zip((a, b), batch.along, strict=True)
    ]
    return batch.shaped(batch.hop(*operands, **batch.params))


@general(_solve, Notation("solve", rule="linear system"), infer=_solved, traits=("raises",), batch=_solve_batch,
         sample=lambda draw: draw(_SAMPLE_SYSTEMS))  # fmt: skip
def solve(a: Expr, b: Expr, *, out: Expr) -> Any:
    """From A X = B: A dX = dB − dA X. So B̄ = A⁻ᵀ X̄ and Ā = −B̄ Xᵀ, summed over broadcast axes."""
    vector = b.ndim == 1
    wide: Callable[[Any], Any] = _column if vector else lambda x: x
    narrow: Callable[[Any], Any] = _line if vector else lambda x: x
    back: Callable[[Expr], Any] = lambda ct: solve(swap(a), wide(ct))  # noqa: E731

    def of_matrix() -> Operator:
        def mask(support: Support) -> Support:
            return None if support is None else _whole(wide(support), a.aval)

        return Linear(
            a.aval, out.aval,
            lambda t: narrow(-solve(a, matmul(t, wide(out)))),
            lambda ct: sum_to(-matmul(back(ct), swap(wide(out))), a.shape),
            mask, infinite=True,
        )  # fmt: skip

    def of_right_side() -> Operator:
        like = wide(b).shape

        def mask(support: Support) -> Support:
            if support is None:
                return None
            used = wide(support)
            columns = any_(used, axes=(used.ndim - 2,), keepdims=True)
            kept: Support = narrow(sum_to(broadcast_to(columns, used.shape), like))
            return kept

        return Linear(
            b.aval, out.aval, lambda t: solve(a, t), lambda ct: narrow(sum_to(back(ct), like)), mask, infinite=True
        )

    return of_matrix, of_right_side


def _triangular(a: Any, b: Any, *, lower: bool, unit: bool, strict: bool) -> Any:
    wide = np.tril(a) if lower else np.triu(a)
    if unit:
        wide[..., np.arange(a.shape[-1]), np.arange(a.shape[-1])] = 1
    vector = b.ndim == 1
    right = b[:, None] if vector else b
    if lower:  # turned round, it is an upper triangle, in which LAPACK finds nothing to eliminate
        wide, right = wide[..., ::-1, ::-1], right[..., ::-1, :]
    try:
        found = np.linalg.solve(wide, right)
    except LinAlgError:
        if strict:
            raise
        shape = (*np.broadcast_shapes(wide.shape[:-2], right.shape[:-2]), *right.shape[-2:])
        found = _one_by_one(np.linalg.solve, shape, b.dtype, wide, right)
    found = found[..., ::-1, :] if lower else found
    return np.ascontiguousarray(found[..., 0] if vector else found)


def _solved_triangular(a: Aval, b: Aval, **params: Any) -> Aval:
    return _solved(a, b)


def _ones(like: Any, n: int, lower: bool) -> Any:
    """A triangle of ones, the diagonal included."""
    full = np.ones((n, n), like.dtype)
    return np.tril(full) if lower else np.triu(full)


@general(_triangular, Notation("solve", rule="triangular system"), infer=_solved_triangular, traits=("raises",),
         batch=_solve_batch,
         sample=lambda draw: Case(*draw([((3, 3), (3, 2)), ((2, 2), (2,)), ((2, 3, 3), (3, 1)), ((0, 0), (0,))]),
                                  lower=draw([True, False]), unit=draw([False, True]),
                                  strict=draw([True, False])))  # fmt: skip
def triangular_solve(a: Expr, b: Expr, *, out: Expr, lower: bool, unit: bool) -> Any:
    """As `solve`, for the lower or upper triangle of A: the rest is not read, and so gets nothing.

    ``unit``: the diagonal is not read but taken as ones. Not ``strict``: NaN for singular matrices.
    """
    vector = b.ndim == 1
    wide: Callable[[Any], Any] = _column if vector else lambda x: x
    narrow: Callable[[Any], Any] = _line if vector else lambda x: x
    given: dict[str, Any] = {"unit": unit, "strict": False}
    k = -int(unit) if lower else int(unit)

    def back(ct: Expr) -> Any:
        return triangular_solve(swap(a), wide(ct), lower=not lower, **given)

    def later(m: Any) -> Any:
        """For each row the sum of those that are computed from it."""
        return matmul(_ones(m, a.shape[-1], not lower), m)

    def of_matrix() -> Operator:
        def mask(support: Support) -> Support:
            if support is None:
                return None
            used = any_(wide(support), axes=(wide(support).ndim - 1,), keepdims=True)
            rows = spread(used, later, out.dtype)
            filled = triangle(broadcast_to(rows, (*rows.shape[:-1], a.shape[-1])), k=k, lower=lower)
            kept: Support = sum_to(filled, a.shape)
            return kept

        def push(t: Expr) -> Any:
            change = matmul(triangle(t, k=k, lower=lower), wide(out))
            return narrow(-triangular_solve(a, change, lower=lower, **given))

        def pull(ct: Expr) -> Any:
            return triangle(sum_to(-matmul(back(ct), swap(wide(out))), a.shape), k=k, lower=lower)

        return Linear(a.aval, out.aval, push, pull, mask, infinite=True)

    def of_right_side() -> Operator:
        like = wide(b).shape

        def mask(support: Support) -> Support:
            if support is None:
                return None
            kept: Support = narrow(sum_to(spread(wide(support), later, out.dtype), like))
            return kept

        return Linear(
            b.aval, out.aval,
            lambda t: triangular_solve(a, t, lower=lower, **given),
            lambda ct: narrow(sum_to(back(ct), like)),
            mask, infinite=True,
        )  # fmt: skip

    return of_matrix, of_right_side


# -- determinants ----------------------------------------------------------------------------------------------------


def _weighted(a: Expr, out: Expr, weights: Callable[[], Expr]) -> Operator:
    """A number for each matrix, by its gradient."""

    def push(t: Expr) -> Any:
        change = sum_(weights() * t, axes=(a.ndim - 2, a.ndim - 1), keepdims=False)
        return change if out.dtype.kind == "c" else ew.real_part(change)

    return Linear(
        a.aval, out.aval, push, lambda ct: _as_matrices(_like(ct, a.dtype)) * weights(),
        lambda support: _whole(support, a.aval, 0), infinite=True,
    )  # fmt: skip


def _det(a: Any) -> Any:
    return np.linalg.det(a)


@general(_det, Function("det", r"\det", "determinant"), infer=_number("det"), batch=stacked,
         sample=_on_squares())  # fmt: skip
def det(a: Expr, *, out: Expr) -> Operator:
    """Linear in each element, with the cofactor as its factor; right for singular matrices too."""
    return _weighted(a, out, lambda: cofactors(a))


def _without(s: Any) -> Any:
    """For each element along the last axis the product of all others."""
    before = np.ones_like(s)
    after = np.ones_like(s)
    np.cumprod(s[..., :-1], axis=-1, out=before[..., 1:])
    after[..., :-1] = np.cumprod(s[..., :0:-1], axis=-1)[..., ::-1]
    return before * after


def _double(a: Any) -> Any:
    return np.asarray(a, np.result_type(a.dtype, np.float64))


def _finite(a: Any) -> tuple[Any, Any]:
    """Matrices in double precision, those that are not finite replaced; and the NaN to add for these."""
    wide = _double(a)
    good = np.isfinite(wide).all(axis=(-2, -1), keepdims=True)
    return np.where(good, wide, np.eye(wide.shape[-1])), np.where(good, 0.0, np.nan)


def _frames(a: Any) -> tuple[Any, Any, Any, Any]:
    """Ū, s, V̄ᴴ of the singular value decomposition of each matrix, and det U · det Vᴴ: of real ones 1 or −1."""
    u, s, vh = np.linalg.svd(a)
    sign = (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    return u.conj(), s, vh.conj(), sign if np.iscomplexobj(a) else np.round(sign)


def _crossed(a: Any, b: Any) -> Any:
    """Of 3×3 matrices: rows a₁ × b₂, a₂ × b₀, a₀ × b₁. Without division and rotation, so that zeros are zeros."""
    first, second = (_double(x)[..., order, :] for x, order in ((a, [1, 2, 0]), (b, [2, 0, 1])))
    return np.cross(first, second)


def _cofactors(a: Any) -> Any:
    n = a.shape[-1]
    if n == 1:
        return np.ones_like(a)
    if n == 2:
        return np.stack([a[..., 1, ::-1], a[..., 0, ::-1]], -2) * np.array([[1, -1], [-1, 1]], a.dtype)
    if n == 3:
        return _crossed(a, a).astype(a.dtype)
    wide, nan = _finite(a)
    u, s, vh, sign = _frames(wide)
    return (sign * ((u * _without(s)[..., None, :]) @ vh) + nan).astype(a.dtype)


def _wide(a: Expr) -> Any:
    return ew.convert(a, dtype=np.dtype(np.float64))


def _rolled(a: Expr, down: int, right: int) -> Any:
    """Rows and columns of 3×3 matrices exchanged in a ring."""
    rows, columns = np.ogrid[down : 3 + down, right : 3 + right]
    places = a.builder.constant(rows % 3), a.builder.constant(columns % 3)
    return index(a, *places, items=(*[Slice(None, None, None)] * (a.ndim - 2), Operand(0), Operand(1)))


def _crossed_parts(a: Expr, b: Expr) -> Any:
    return _rolled(a, 1, 1) * _rolled(b, 2, 2) - _rolled(a, 1, 2) * _rolled(b, 2, 1)


def _frames_parts(a: Expr) -> tuple[Any, Any, Any, Any, Any]:
    """`_frames` of those matrices that are finite; of the others NaN is to be added."""
    wide = _wide(a)
    good = all_(ew.isfinite(wide), axes=(a.ndim - 2, a.ndim - 1), keepdims=True)
    zero, nan = (a.builder.constant(x, wide.dtype) for x in (0, np.nan))
    u, s, vh = SVD(ew.where(good, wide, _eye(wide, a.shape[-1])), full=False)
    return u, s, vh, _as_matrices(ew.rint(det(u) * det(vh))), ew.where(good, zero, nan)


def _without_parts(s: Any) -> Any:
    """`_without`, of a hop."""
    last = s.ndim - 1
    found = others(transposed(s, (last, *range(last))))
    return transposed(found, (*range(1, s.ndim), 0))


def _cofactors_parts(a: Expr) -> Any:
    n = a.shape[-1]
    if n == 1:
        return ones(a.builder, a.aval)
    if n == 2:
        turned = slice_axis(slice_axis(a, a.ndim - 2, None, None, -1), a.ndim - 1, None, None, -1)
        return turned * np.array([[1, -1], [-1, 1]], a.dtype)
    if n == 3:
        return ew.convert(_crossed_parts(_wide(a), _wide(a)), dtype=a.dtype)
    u, s, vh, sign, nan = _frames_parts(a)
    return ew.convert(sign * matmul(u * _row(_without_parts(s)), vh) + nan, dtype=a.dtype)


def _elsewhere(support: Support, n: int, dtype: Any) -> Support:
    """What is not in the row and not in the column of any element of the support."""
    if support is None:
        return None
    others = np.ones((n, n), dtype) - np.eye(n, dtype=dtype)
    kept: Support = spread(support, lambda m: matmul(others, matmul(m, others)), dtype)
    return kept


@general(_cofactors, Function("cof", r"\operatorname{cof}", "cofactors"), infer=_same_square("cofactors"),
         parts=_cofactors_parts, batch=stacked, sample=_on_squares())  # fmt: skip
def cofactors(a: Expr, *, out: Expr) -> Operator:
    """The gradient of the determinant. Its own derivative is symmetric, being a second one."""

    def both(t: Expr) -> Expr:
        return cofactors_change(a, t)

    return Linear(a.aval, out.aval, both, both, lambda s: _elsewhere(s, a.shape[-1], a.dtype))


def _cofactors_change(a: Any, t: Any) -> Any:
    n = a.shape[-1]
    if n < 2:
        return np.zeros_like(a)
    if n == 2:
        return _cofactors(t)  # they are linear
    if n == 3:
        return (_crossed(a, t) + _crossed(t, a)).astype(a.dtype)
    wide, nan = _finite(a)
    u, s, vh, sign = _frames(wide)
    m = swap(u) @ _double(t) @ swap(vh)
    # Between singular values: cof(S + M)ᵢⱼ changes by −Mⱼᵢ times all others, on the diagonal by the sum of those.
    lines = np.where(np.eye(n, dtype=bool), 1.0, s[..., None, :])
    others = _without(lines) * (1 - np.eye(n))
    change = -others * swap(m)
    diagonal = (others @ np.diagonal(m, axis1=-2, axis2=-1)[..., None])[..., 0]
    change[..., np.arange(n), np.arange(n)] = diagonal
    return (sign * (u @ change @ vh) + nan).astype(a.dtype)


def _cofactors_change_parts(a: Expr, t: Expr) -> Any:
    n = a.shape[-1]
    if n < 2:
        return zeros(a.builder, a.aval)
    if n == 2:
        return _cofactors_parts(t)
    if n == 3:
        x, y = _wide(a), _wide(t)
        return ew.convert(_crossed_parts(x, y) + _crossed_parts(y, x), dtype=a.dtype)
    u, s, vh, sign, nan = _frames_parts(a)
    m = _chain(swap(u), _wide(t), swap(vh))
    eye = a.builder.constant(np.eye(n, dtype=bool))
    zero, one = (a.builder.constant(x, s.dtype) for x in (0, 1))
    products = ew.where(eye, zero, _without_parts(ew.where(eye, one, _row(s))))
    change = ew.where(eye, matmul(products, _column(_diagonal(m))), -products * swap(m))
    return ew.convert(sign * _chain(u, change, vh) + nan, dtype=a.dtype)


def _two_squares(a: Aval, t: Aval) -> Aval:
    if a is not t:
        raise ShapeError(f"cofactors: {a!r} and {t!r} differ")
    return _same_square("cofactors")(a)


@general(_cofactors_change, Function("dcof", r"\operatorname{d\,cof}", "cofactors"), infer=_two_squares,
         parts=_cofactors_change_parts, batch=stacked,
         sample=lambda draw: draw([Case(*case.operands * 2) for case in SQUARES]))  # fmt: skip
def cofactors_change(a: Expr, t: Expr) -> Any:
    """The second derivative of the determinant, linear and symmetric in T.

    The third one, with respect to A, goes by the inverse from 4×4 on: for singular matrices it is NaN then.
    """
    mask: Callable[[Support], Support] = lambda s: _elsewhere(s, a.shape[-1], a.dtype)  # noqa: E731

    def third(e: Expr) -> Expr:
        """The third one in directions T and E, from det(A + H) = det A · det(1 + A⁻¹H)."""
        if a.shape[-1] == 3:  # it is the same for all A
            return cofactors_change(e, t)
        x = inv(a, strict=False)
        first, second = matmul(x, t), matmul(x, e)
        trace: Callable[[Expr], Any] = lambda m: _as_matrices(  # noqa: E731
            sum_(m * broadcast_to(m.builder.constant(_eye(m, m.shape[-1])), m.shape), axes=(m.ndim - 2, m.ndim - 1),
                 keepdims=False)
        )  # fmt: skip
        mixed = matmul(first, second)
        change = (trace(first) * trace(second) - trace(mixed)) * x
        change = change - trace(first) * matmul(second, x) - trace(second) * matmul(first, x)
        change = change + matmul(mixed, x) + _chain(second, first, x)
        found: Expr = _as_matrices(det(a)) * swap(change)
        return found

    def of_place() -> Operator | None:
        # Of up to two rows they are linear.
        return None if a.shape[-1] < 3 else Linear(a.aval, a.aval, third, third, mask)

    def of_change() -> Operator | None:
        def both(ct: Expr) -> Expr:
            return cofactors_change(a, ct)

        return None if a.shape[-1] < 2 else Linear(a.aval, a.aval, both, both, mask)

    return of_place, of_change


def _sign_det(a: Any) -> Any:
    return np.linalg.slogdet(a)[0]


@general(_sign_det, Function("sign det", r"\operatorname{sign}\det"), infer=_number("slogdet"),
         traits=("flat", "real"), batch=stacked, sample=_on_squares())  # fmt: skip
def sign_det(a: Expr) -> Any:
    """Constant between singular matrices, so the derivative is 0."""
    return None


def _log_det(a: Any) -> Any:
    return np.linalg.slogdet(a)[1]


@general(_sign_det, Function("phase det", r"\operatorname{phase}\det"), infer=_number("slogdet"), domain=(COMPLEX,),
         traits=("conjugating",), batch=stacked, sample=_on_squares(), kink="singular: NaN")  # fmt: skip
def phase_det(a: Expr, *, out: Expr) -> Operator:
    """det A/|det A| of complex matrices: i times itself times the change of the phase, Im tr A⁻¹ dA."""

    def weights() -> Any:
        return swap(inv(a, strict=False))

    def push(t: Expr) -> Any:
        phase = ew.imag(sum_(weights() * t, axes=(a.ndim - 2, a.ndim - 1), keepdims=False))
        return out * ew.cartesian(zeros(out.builder, phase.aval), phase)

    def pull(ct: Expr) -> Any:
        # Re(c i u dφ) = −Im(c u) dφ, and dφ = Re(−i tr A⁻¹ dA).
        turned = ew.imag(out * ct)
        return _as_matrices(ew.cartesian(zeros(out.builder, turned.aval), turned)) * weights()

    return Linear(a.aval, out.aval, push, pull, lambda support: _whole(support, a.aval, 0), infinite=True)


@general(_log_det, Function("log |det|", r"\log\lvert\det\rvert", "log determinant"),
         infer=_number("slogdet", ew.parts_of), batch=stacked,
         sample=_on_squares(), kink="singular: NaN")  # fmt: skip
def log_det(a: Expr, *, out: Expr) -> Operator:
    """The cofactors over the determinant: the inverse, transposed."""
    return _weighted(a, out, lambda: swap(inv(a, strict=False)))


# -- symmetric matrices ----------------------------------------------------------------------------------------------


def _mirrored(t: Any, lower: bool) -> Any:
    """The symmetric (of complex numbers: Hermitian) matrix of which a triangle is read."""
    if t.dtype.kind == "c":  # the diagonal is real
        half = _halved(t, lower)
        return half + adjoint(half)
    k = -1 if lower else 1
    return triangle(t, k=0, lower=lower) + swap(triangle(t, k=k, lower=lower))


def _halved(m: Any, lower: bool = True) -> Any:
    """A triangle with half the diagonal."""
    n = m.shape[-1]
    weights = np.ones((n, n), m.dtype) - np.eye(n, dtype=m.dtype) / 2
    return triangle(m, k=0, lower=lower) * (m.builder.constant(weights) if isinstance(m, Expr) else weights)


def _folded(m: Any, lower: bool) -> Any:
    """The transpose of `_mirrored`."""
    return _halved(m + adjoint(m), lower)


_HALVES = 48
"""Rows from which on the pullback of Cholesky factors goes by halves."""


def _cholesky_pull(factor: Any, ct: Any) -> Any:
    """What the cotangent of a factor, a lower triangle, becomes: L⁻ᴴ P L⁻¹ with P half of Lᴴ L̄, folded.

    That takes nine times as long as factoring. Large matrices go by halves, the last one first, which is mostly
    products of matrices and takes two and a half times as long (after Murray, "Differentiation of the Cholesky
    decomposition", 2016).
    """
    n = factor.shape[-1]
    if n < _HALVES or factor.dtype.kind == "c":
        inner = _halved(matmul(swap(factor), ct))
        given: dict[str, Any] = {"lower": False, "unit": False, "strict": False}
        half = adjoint(triangular_solve(swap(factor), inner, **given))
        return _folded(adjoint(triangular_solve(swap(factor), half, **given)), lower=True)

    rows, columns = factor.ndim - 2, factor.ndim - 1

    def part(x: Any, row: int, column: int) -> Any:
        ends = (0, n // 2, n)
        half = slice_axis(x, rows, ends[row], ends[row + 1], 1)
        return slice_axis(half, columns, ends[column], ends[column + 1], 1)

    above, left, below = part(factor, 0, 0), part(factor, 1, 0), part(factor, 1, 1)
    last = _cholesky_pull(below, part(ct, 1, 1))
    change = part(ct, 1, 0) - matmul(last + swap(last), left)
    inner = swap(triangular_solve(swap(above), swap(change), lower=False, unit=False, strict=False))
    first = _cholesky_pull(above, part(ct, 0, 0) - triangle(matmul(swap(inner), left), k=0, lower=True))
    beside = zeros(factor.builder, part(factor, 0, 1).aval)
    return concatenate(concatenate(first, beside, axis=columns), concatenate(inner, last, axis=columns), axis=rows)


def _cholesky(a: Any, *, upper: bool) -> Any:
    return np.linalg.cholesky(a, upper=upper)


@general(_cholesky, Function("cholesky", r"\operatorname{cholesky}", "Cholesky"), infer=_same_square("cholesky"),
         domain=(DEFINITE,), traits=("raises", "conjugating"), batch=stacked,
         sample=_on_squares(upper=[False, True]))  # fmt: skip
def cholesky(a: Expr, *, out: Expr, upper: bool) -> Operator:
    """From A = L Lᴴ: L⁻¹ dA L⁻ᴴ = Y + Yᴴ with Y = L⁻¹ dL a lower triangle, so half of it on the diagonal."""
    turn: Callable[[Any], Any] = adjoint if upper else lambda x: x
    factor = turn(out)
    given: dict[str, Any] = {"unit": False, "strict": False}

    def ahead(m: Any) -> Any:
        return triangular_solve(factor, m, lower=True, **given)

    def back(m: Any) -> Any:
        return triangular_solve(swap(factor), m, lower=False, **given)

    def push(t: Expr) -> Any:
        inner = ahead(adjoint(ahead(_mirrored(turn(t), lower=True))))
        return turn(matmul(factor, _halved(inner)))

    def pull(ct: Expr) -> Any:
        return turn(_cholesky_pull(factor, triangle(turn(ct), k=0, lower=True)))

    def mask(support: Support) -> Support:
        if support is None:
            return None
        n = a.shape[-1]

        def move(m: Any) -> Any:
            # Lᵢⱼ is made of Aᵢₗ with l ≤ j, and of the rows up to j.
            rows = matmul(triangle(m, k=0, lower=True), _ones(m, n, lower=True))
            return triangle(rows + swap(matmul(np.ones((n, n), m.dtype), rows)), k=0, lower=True)

        kept: Support = turn(spread(turn(support), move, a.dtype))
        return kept

    return Linear(a.aval, out.aval, push, pull, mask, infinite=True)


def _differences(w: Expr) -> Any:
    """1/(wⱼ − wᵢ), and 0 on the diagonal."""
    n = w.shape[-1]
    eye = w.builder.constant(_eye(w, n))
    return (1 - eye) / (_row(w) - _column(w) + eye)


class Eigh(Compound):
    """Eigenvalues in ascending order, and eigenvectors as columns, of Hermitian matrices given by a triangle."""

    takes = frozenset({"lower"})

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        (a,) = avals
        _check_matrices("eigh", a, square=True)
        return aval(a.shape[:-1], ew.parts_of(a.dtype)), a

    def shown(self, params: Params) -> int:
        return 2

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        uplo: Any = "L" if dict(params)["lower"] else "U"
        return lambda a: tuple(np.linalg.eigh(a, uplo))

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        return [any(active)] * 2

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        w, v = self.split(out, params)
        lower = dict(params)["lower"]
        inner: Any = None
        of_values, of_vectors = cotangents
        if of_vectors is not None:
            inner = _like(_differences(w), v.dtype) * matmul(swap(v), of_vectors[0])
        if of_values is not None:
            scaled = matmul(ew.conj(v) * _row(_like(of_values[0], v.dtype)), swap(v))
        if inner is None:
            return [None if of_values is None else (_folded(scaled, lower), None)]
        total = _chain(ew.conj(v), inner, swap(v))
        return [(_folded(total if of_values is None else total + scaled, lower), None)]

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        w, v = self.split(out, params)
        (t,) = tangents
        if t is None:
            return [None, None]
        inner = _chain(adjoint(v), _mirrored(t, dict(params)["lower"]), v)
        return [ew.real_part(_diagonal(inner)), matmul(v, _like(_differences(w), v.dtype) * inner)]


def _on_diagonal(m: Any) -> Any:
    """The diagonal alone, and zeros beside it."""
    eye = m.builder.constant(np.eye(m.shape[-1], dtype=bool))
    return ew.where(broadcast_to(eye, m.shape), m, m.builder.constant(0, m.dtype))


def _diagonal(m: Any) -> Any:
    return sum_(_on_diagonal(m), axes=(m.ndim - 1,), keepdims=False)


EIGH = Eigh(
    "eigh",
    Function("eigh", r"\operatorname{eigh}", "eigenvalues"),
    "From A V = V W with VᴴV = 1: dW is the diagonal of Vᴴ dA V, and what is beside it, over the difference of two"
    " eigenvalues, turns V. Complex eigenvectors are taken to keep their phase, which nothing determines.",
    kink="equal eigenvalues: the eigenvectors have no derivative (infinite or NaN); sums of equal eigenvalues have one",
    traits=frozenset({"raises", "conjugating"}),
    batch=stacked,
)


def _eigvalsh(a: Any, *, lower: bool) -> Any:
    return np.linalg.eigvalsh(a, "L" if lower else "U")


def _eigenvalues(a: Aval, **params: Any) -> Aval:
    _check_matrices("eigvalsh", a, square=True)
    return aval(a.shape[:-1], ew.parts_of(a.dtype))


@general(_eigvalsh, Function("eigvals", r"\operatorname{eigvals}", "eigenvalues"), infer=_eigenvalues,
         traits=("raises", "kink"), batch=stacked, sample=_on_squares(lower=[True, False]),
         kink="equal eigenvalues: that of some choice of eigenvectors; their sum has a derivative")  # fmt: skip
def eigvalsh(a: Expr, *, out: Expr, lower: bool) -> Operator:
    """An eigenvalue changes by vᴴ dA v, with its own vector v."""

    def vectors() -> Any:
        return EIGH(a, lower=lower)[1]

    def push(t: Expr) -> Any:
        v = vectors()
        return ew.real_part(sum_(ew.conj(v) * matmul(_mirrored(t, lower), v), axes=(a.ndim - 2,), keepdims=False))

    def pull(ct: Expr) -> Any:
        v = vectors()
        return _folded(matmul(ew.conj(v) * _row(_like(ct, v.dtype)), swap(v)), lower)

    def mask(support: Support) -> Support:
        found = _whole(support, a.aval, 1)
        return None if found is None else triangle(found, k=0, lower=lower)

    return Linear(a.aval, out.aval, push, pull, mask, infinite=True)


# -- other matrices --------------------------------------------------------------------------------------------------


def _eigenpairs(a: Any) -> tuple[Any, Any]:
    w, v = np.linalg.eig(a)
    dtype = ew.complex_of(a.dtype)
    return w.astype(dtype), v.astype(dtype)


class Eig(Compound):
    """Eigenvalues and eigenvectors as columns, of any square matrices: complex, of real matrices too."""

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        (a,) = avals
        _check_matrices("eig", a, square=True)
        dtype = ew.complex_of(a.dtype)
        return aval(a.shape[:-1], dtype), aval(a.shape, dtype)

    def shown(self, params: Params) -> int:
        return 2

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        return _eigenpairs

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        return [any(active)] * 2

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        w, v = self.split(out, params)
        of_values, of_vectors = (None if c is None else c[0] for c in cotangents)
        inner: list[Any] = []
        if of_vectors is not None:
            scale = -_along(v, v * of_vectors)
            fixed = _fixed(v)
            turned = _imaginary(ew.imag(scale)) / _along(v, fixed(v))
            moved = of_vectors + ew.conj(v) * _like(ew.real(scale), v.dtype) + fixed(turned)
            inner.append(_differences(w) * matmul(swap(v), moved))
        if of_values is not None:
            inner.append(_as_diagonal(of_values))
        if not inner:
            return [None]
        total = _chain(swap(inv(v, strict=False)), reduce(operator.add, inner), swap(v))
        return [(total if args[0].dtype.kind == "c" else ew.real(total), None)]

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        (t,) = tangents
        if t is None:
            return [None, None]
        w, v = self.split(out, params)
        inner = _chain(inv(v, strict=False), _like(t, v.dtype), v)
        moved = matmul(v, _differences(w) * inner)
        fixed = _fixed(v)
        length = _like(ew.real(_along(v, ew.conj(v) * moved)), v.dtype)
        phase = _imaginary(ew.imag(_along(v, fixed(moved)) / _along(v, fixed(v))))
        return [_diagonal(inner), moved - v * (length + phase)]


def _along(v: Expr, x: Any) -> Any:
    """Sums over the elements of each column, as a row."""
    return sum_(x, axes=(v.ndim - 2,), keepdims=True)


def _imaginary(x: Expr) -> Expr:
    """i x."""
    return ew.cartesian(zeros(x.builder, x.aval), x)


def _as_diagonal(w: Expr) -> Any:
    n = w.shape[-1]
    return _on_diagonal(broadcast_to(_row(w), (*w.shape, n)))


def _fixed(v: Expr) -> Callable[[Any], Any]:
    """The element of each eigenvector that LAPACK makes real, the largest one; zeros elsewhere. It may take a row."""
    n, k = v.shape[-1], v.ndim - 2
    if not n:
        return lambda x: x
    sizes = ew.real(v) * ew.real(v)
    size = ew.where(ew.imag(v) == 0, sizes, v.builder.constant(-1, sizes.dtype))
    place = argmax(size, axes=(k,), keepdims=True, dtype=np.dtype(np.intp))
    mask = ew.equal(v.builder.constant(np.arange(n).reshape(-1, 1)), place)
    return lambda x: ew.where(mask, x, x.builder.constant(0, x.dtype))


EIG = Eig(
    "eig",
    Function("eig", r"\operatorname{eig}", "eigenvalues"),
    "From A V = V W: dW is the diagonal of V⁻¹ dA V, and what is beside it, over the difference of two eigenvalues,"
    " moves V, whose columns keep the length 1, and their largest elements real, as LAPACK has it.",
    kink="equal eigenvalues: no derivative (infinite or NaN)",
    traits=frozenset({"raises", "conjugating"}),
    batch=stacked,
)


def _eigvals(a: Any) -> Any:
    return _eigenpairs(a)[0]


def _complex_eigenvalues(a: Aval) -> Aval:
    _check_matrices("eigvals", a, square=True)
    return aval(a.shape[:-1], ew.complex_of(a.dtype))


@general(_eigvals, Function("eigvals", r"\operatorname{eigvals}", "eigenvalues"), infer=_complex_eigenvalues,
         domain=(COMPLEX,), traits=("raises",), batch=stacked, sample=_on_squares(),
         kink="equal eigenvalues: no derivative (infinite or NaN)")  # fmt: skip
def eigvals(a: Expr, *, out: Expr) -> Operator:
    """The diagonal of V⁻¹ dA V, with the eigenvectors V."""

    def push(t: Expr) -> Any:
        v = EIG(a)[1]
        return _diagonal(_chain(inv(v, strict=False), _like(t, v.dtype), v))

    def pull(ct: Expr) -> Any:
        v = EIG(a)[1]
        found = matmul(swap(inv(v, strict=False)) * _row(ct), swap(v))
        return found if a.dtype.kind == "c" else ew.real(found)

    return Linear(a.aval, out.aval, push, pull, lambda support: _whole(support, a.aval, 1), infinite=True)


# -- singular values -------------------------------------------------------------------------------------------------


class Svd(Compound):
    """U, s and Vᴴ with A = U diag(s) Vᴴ. ``full``: after them those columns of U or rows of Vᴴ that A does not need."""

    takes = frozenset({"full"})

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        (a,) = avals
        _check_matrices("svd", a)
        *batch, m, n = a.shape
        k = min(m, n)
        found = [aval((*batch, m, k), a.dtype), aval((*batch, k), ew.parts_of(a.dtype)), aval((*batch, k, n), a.dtype)]
        if params["full"] and m != n:
            found.append(aval((*batch, *((m, m - k) if m > n else (n - k, n))), a.dtype))
        return found

    def shown(self, params: Params) -> int:
        return 3

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        full = dict(params)["full"]

        def compute(a: Any) -> tuple[Any, ...]:
            u, s, vh = np.linalg.svd(a, full_matrices=full)
            m, n = a.shape[-2:]
            if not full or m == n:
                return u, s, vh
            return (u[..., :n], s, vh, u[..., n:]) if m > n else (u, s, vh[..., :m, :], vh[..., m:, :])

        return compute

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        return [any(active)] * 4

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        if len(cotangents) > 3 and (extra := cotangents[3]) is not None:
            support = extra[1]
            if not isinstance(support, np.ndarray) or support.any():
                raise NotDifferentiableError(
                    "np.linalg.svd: the singular vectors that the matrix does not need have no derivative, since any"
                    " turned ones would do: use full_matrices=False"
                )
        u, s, vh = self.split(out, params)
        m, n = args[0].shape[-2:]
        of_u, of_s, of_vh = (None if c is None else c[0] for c in cotangents[:3])
        u, vh, s_ = ew.conj(u), ew.conj(vh), _like(s, u.dtype)
        k = s.shape[-1]
        parts: list[Any] = []
        inner: list[Any] = []
        squares = _like(_differences(s * s), u.dtype) if (of_u is not None or of_vh is not None) and k else None
        if of_u is not None and squares is not None:
            turned = matmul(adjoint(u), of_u)
            turning = turned - adjoint(turned)
            inner.append((squares * turning) * _row(s_))
            if u.dtype.kind == "c":  # the phases, which are left to U
                inner.append(_on_diagonal(turning) / (2 * _row(s_)))
            if m > k:
                parts.append(matmul((of_u - matmul(u, turned)) / _row(s_), vh))
        if of_vh is not None and squares is not None:
            turned = matmul(vh, adjoint(of_vh))
            inner.append(_column(s_) * (squares * (turned - adjoint(turned))))
            if n > k:
                parts.append(matmul(u / _row(s_), of_vh - matmul(adjoint(turned), vh)))
        if inner:
            parts.append(_chain(u, reduce(operator.add, inner), vh))
        if of_s is not None:
            parts.append(matmul(u * _row(_like(of_s, u.dtype)), vh))
        return [(reduce(operator.add, parts), None) if parts else None]

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        (t,) = tangents
        assert isinstance(out.aval, Several)
        avals = out.aval.avals
        if t is None:
            return [None] * len(avals)
        u, s, vh = self.split(out, params)
        m, n = args[0].shape[-2:]
        k = s.shape[-1]
        s_ = _like(s, u.dtype)
        inner = _chain(adjoint(u), t, adjoint(vh))
        squares = _like(_differences(s * s), u.dtype)
        scaled = inner * _row(s_)
        other = _column(s_) * inner
        turning = squares * (scaled + adjoint(scaled))
        if u.dtype.kind == "c":  # the phases, which are left to U
            turning = turning + _on_diagonal(inner - adjoint(inner)) / (2 * _row(s_))
        du = matmul(u, turning)
        dvh = matmul(adjoint(squares * (other + adjoint(other))), vh)
        if m > k:
            along = matmul(t, adjoint(vh))
            du = du + (along - matmul(u, inner)) / _row(s_)
        if n > k:
            along = matmul(adjoint(u), t)
            dvh = dvh + (along - matmul(inner, vh)) / _column(s_)
        extra = [broadcast_to(out.builder.constant(np.nan, t.dtype), like.shape) for like in avals[3:]]
        return [du, ew.real_part(_diagonal(inner)), dvh, *extra]


SVD = Svd(
    "svd",
    Function("svd", r"\operatorname{svd}", "singular values"),
    "From A = U S Vᴴ with UᴴU = VᴴV = 1: dS is the diagonal of Uᴴ dA V, and what is beside it, over the difference of"
    " two squares of singular values, turns U and V. What leaves the space of U or V is divided by s. Complex V is"
    " taken to keep its phases, which nothing determines.",
    kink="equal singular values: the vectors have no derivative (infinite or NaN); sums of equal singular values have"
    " one. The extra vectors of full_matrices=True have none: reverse mode refuses them, forward mode gives NaN",
    traits=frozenset({"raises", "conjugating"}),
    batch=stacked,
)


def extra_vectors(s: Expr) -> Expr:
    """The last result of a full decomposition, by one of the others."""
    builder = s.builder
    found: Expr = ITEM(builder.expr(builder.args(s.id)[0]), index=3)
    return found


def _singular_values(a: Any) -> Any:
    return np.linalg.svd(a, compute_uv=False)


def _of_singular_values(a: Aval) -> Aval:
    _check_matrices("svd", a)
    return aval((*a.shape[:-2], min(a.shape[-2:])), ew.parts_of(a.dtype))


_SAMPLE_MATRICES = [Case((2, 2)), Case((3, 2)), Case((2, 3)), Case((2, 3, 2)), Case((1, 1)), Case((0, 2))]


@general(_singular_values, Function("singular values", r"\operatorname{singular\ values}", "singular values"),
         infer=_of_singular_values, traits=("raises", "kink"), batch=stacked,
         sample=lambda draw: draw(_SAMPLE_MATRICES),
         kink="a singular value 0: 0, the least subgradient; equal ones: that of some choice of vectors")  # fmt: skip
def singular_values(a: Expr, *, out: Expr) -> Operator:
    """A singular value changes by Re uᴴ dA v, with its own vectors u and v; masked at 0, where it has a corner."""

    def vectors() -> Any:
        u, _, vh = SVD(a, full=False)
        return ew.conj(u), ew.conj(vh)

    def used(x: Any) -> Any:
        return ew.where(out != 0, x, out.builder.constant(0, out.dtype))

    def push(t: Expr) -> Any:
        u, vh = vectors()
        return used(ew.real_part(sum_(swap(u) * matmul(vh, swap(t)), axes=(a.ndim - 1,), keepdims=False)))

    def pull(ct: Expr) -> Any:
        u, vh = vectors()
        return matmul(u * _row(_like(used(ct), u.dtype)), vh)

    return Linear(a.aval, out.aval, push, pull, lambda support: _whole(support, a.aval, 1), infinite=True)


def _pinv(a: Any, *, rcond: float) -> Any:
    return np.linalg.pinv(a, rcond)


def _turned(a: Aval, **params: Any) -> Aval:
    _check_matrices("pinv", a)
    return aval((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)


def _pinv_parts(a: Expr, *, rcond: float) -> Any:
    u, s, vh = SVD(a, full=False)
    counts = s > rcond * max_(s, axes=(s.ndim - 1,), keepdims=True)
    zero, one = (s.builder.constant(k, s.dtype) for k in (0, 1))
    inverses = ew.where(counts, one / ew.where(counts, s, one), zero)
    return matmul(swap(vh), _column(inverses) * swap(u))


@general(_pinv, Notation("pseudoinverse", rule="pseudoinverse"), infer=_turned, traits=("raises", "conjugating"),
         parts=_pinv_parts, batch=stacked,
         sample=lambda draw: Case(*draw(_SAMPLE_MATRICES).operands, rcond=1e-15),
         kink="not of full rank, where it jumps: the derivative among matrices of the same rank")  # fmt: skip
def pinv(a: Expr, *, out: Expr) -> Operator:
    """As the inverse's, and what a change outside of the spaces of A adds (Golub and Pereyra, 1973)."""
    m, n = a.shape[-2:]

    def beside(k: int, inside: Callable[[], Any]) -> Any:
        """1 − A P or 1 − P A, if that is not 0."""
        return a.builder.constant(_eye(a, k)) - inside() if min(m, n) < k or m == n else None

    # For square matrices of full rank both are 0; they count where the rank is less.
    left, right = beside(m, lambda: matmul(a, out)), beside(n, lambda: matmul(out, a))

    def push(t: Expr) -> Any:
        found = -_chain(out, t, out)
        if left is not None:
            found = found + _chain(out, adjoint(out), adjoint(t), left)
        if right is not None:
            found = found + _chain(right, adjoint(t), adjoint(out), out)
        return found

    def pull(ct: Expr) -> Any:
        found = -_chain(swap(out), ct, swap(out))
        if left is not None:
            found = found + _chain(ew.conj(left), adjoint(ct), ew.conj(out), swap(out))
        if right is not None:
            found = found + _chain(swap(out), ew.conj(out), adjoint(ct), ew.conj(right))
        return found

    return Linear(a.aval, out.aval, push, pull, lambda support: _whole(support, a.aval), infinite=True)


# -- orthogonal triangles --------------------------------------------------------------------------------------------


class Qr(Compound):
    """Q with orthonormal columns and R, an upper triangle, with A = Q R."""

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        (a,) = avals
        _check_matrices("qr", a)
        *batch, m, n = a.shape
        k = min(m, n)
        return aval((*batch, m, k), a.dtype), aval((*batch, k, n), a.dtype)

    def shown(self, params: Params) -> int:
        return 2

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        if tuple(wanted) == (1,):
            return lambda a: (None, np.linalg.qr(a, "r"))
        return lambda a: tuple(np.linalg.qr(a))

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        return [any(active)] * 2

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        (a,) = args
        q, r = self.split(out, params)
        of_q, of_r = (None if c is None else c[0] for c in cotangents)
        if of_q is None and of_r is None:
            return [None]
        m, n = a.shape[-2:]
        if of_r is not None:
            of_r = triangle(of_r, k=0, lower=False)
        rest = None
        if m < n:  # the columns beyond the square are Q times what stands beside R
            r = _columns(r, 0, m)
            if of_r is not None:
                beyond = _columns(of_r, m, n)
                of_r = _columns(of_r, 0, m)
                rest = matmul(ew.conj(q), beyond)
                more = matmul(ew.conj(_columns(a, m, n)), adjoint(beyond))
                of_q = more if of_q is None else of_q + more
        mixed = None
        if of_r is not None:
            mixed = matmul(r, swap(of_r))
        if of_q is not None:
            turned = matmul(swap(of_q), q)
            mixed = -turned if mixed is None else mixed - turned
        around = matmul(ew.conj(q), ew.conj(_mirrored(mixed, lower=True)))
        total = around if of_q is None else around + of_q
        found = swap(triangular_solve(r, swap(total), lower=False, unit=False, strict=False))
        if m < n:
            if rest is None:
                rest = zeros(out.builder, aval((*a.shape[:-1], n - m), a.dtype))
            found = concatenate(found, rest, axis=a.ndim - 1)
        return [(found, None)]

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        (a,), (t,) = args, tangents
        if t is None:
            return [None, None]
        q, r = self.split(out, params)
        m, n = a.shape[-2:]
        square, change = (r, t) if m >= n else (_columns(r, 0, m), _columns(t, 0, m))
        moved = swap(triangular_solve(swap(square), swap(change), lower=True, unit=False, strict=False))
        inside = matmul(adjoint(q), moved)
        below = _halved(inside)  # of complex numbers the diagonal turns, too: that of R is real
        turning = below - adjoint(below)
        dq = moved + matmul(q, turning - inside)
        dr = triangle(matmul(inside - turning, square), k=0, lower=False)
        if m < n:
            beyond = matmul(adjoint(dq), _columns(a, m, n)) + matmul(adjoint(q), _columns(t, m, n))
            dr = concatenate(dr, beyond, axis=a.ndim - 1)
        return [dq, dr]


def _columns(x: Any, start: int, stop: int) -> Any:
    return slice_axis(x, x.ndim - 1, start, stop, 1)


QR = Qr(
    "qr",
    Function("qr", r"\operatorname{qr}", "QR"),
    "From A = Q R with QᴴQ = 1: Qᴴ dA R⁻¹ is something antisymmetric, which turns Q, plus an upper triangle, dR R⁻¹,"
    " whose diagonal is real.",
    kink="not of full rank: no derivative (infinite or NaN)",
    traits=frozenset({"raises", "conjugating"}),
    batch=stacked,
)


# -- least squares ---------------------------------------------------------------------------------------------------


class Lstsq(Compound):
    """The least x of those with the least ‖A x − b‖, the squares of these, and the singular values of A.

    ``rank`` is that of A when the program was traced: for another one the results would have other shapes. -1 means
    that it was not known, and is to be the largest that is possible.
    """

    takes = frozenset({"rank", "rcond"})

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        a, b = avals
        _check_matrices("lstsq", a)
        m, n = a.shape
        if b.ndim not in (1, 2) or b.shape[0] != m:
            raise ShapeError(f"lstsq: shapes {a.shape} and {b.shape} do not fit")
        if a.dtype != b.dtype:
            raise DtypeError(f"lstsq: operands have dtypes {a.dtype} and {b.dtype}")
        k = min(m, n)
        count = (b.shape[1] if b.ndim == 2 else 1) if params["rank"] in (n, -1) and m > n else 0
        sizes = ew.parts_of(a.dtype)
        return aval((n, *b.shape[1:]), a.dtype), aval((count,), sizes), aval((k,), sizes)

    def shown(self, params: Params) -> int:
        return 3

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        given = dict(params)

        def compute(a: Any, b: Any) -> tuple[Any, ...]:
            x, residuals, rank, s = np.linalg.lstsq(a, b, given["rcond"])
            expected = min(a.shape) if given["rank"] == -1 else given["rank"]
            if rank != expected:
                raise LinAlgError(f"np.linalg.lstsq: the rank is {rank}, and {expected} when the program was traced")
            return x, residuals, s

        return compute

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        return [any(active), any(active), active[0]]

    def _check(self, a: Expr, params: Params) -> None:
        if dict(params)["rank"] not in (-1, min(a.shape)):
            raise NotDifferentiableError(
                f"np.linalg.lstsq: the matrix of shape {a.shape} has rank {dict(params)['rank']}; where it has not full"
                " rank, the solution jumps and has no derivative"
            )

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        a, b = args
        self._check(a, params)
        of_x, of_residuals, of_s = (None if c is None else c[0] for c in cotangents)
        vector = b.ndim == 1
        wide: Callable[[Any], Any] = _column if vector else lambda x: x
        x = wide(self.split(out, params)[0])
        rest = wide(b) - matmul(a, x)
        shares: list[list[Any]] = [[], []]
        if of_x is not None:
            inverse = pinv(a, rcond=_rcond(a, params))
            ct = wide(of_x)
            back = matmul(swap(inverse), ct)
            shares[1].append(back)
            shares[0].append(-matmul(back, swap(x)))
            if a.shape[0] > a.shape[1]:
                shares[0].append(matmul(ew.conj(rest), adjoint(matmul(ew.conj(inverse), back))))
            if a.shape[0] < a.shape[1]:
                beside = ct - matmul(ew.conj(inverse), matmul(ew.conj(a), ct))
                shares[0].append(matmul(matmul(swap(inverse), ew.conj(x)), adjoint(beside)))
        if of_residuals is not None and of_residuals.size:
            scaled = 2 * ew.conj(rest) * _row(_like(of_residuals, a.dtype))
            shares[1].append(scaled)
            shares[0].append(-matmul(scaled, swap(x)))
        if of_s is not None:
            u, _, vh = SVD(a, full=False)
            shares[0].append(matmul(ew.conj(u) * _row(_like(of_s, a.dtype)), ew.conj(vh)))
        found: list[Cotangent | None] = []
        for number, parts in enumerate(shares):
            total: Any = None
            for part in parts:
                total = part if total is None else total + part
            if total is not None and number == 1 and vector:
                total = _line(total)
            found.append(None if total is None else (total, None))
        return found

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        a, b = args
        self._check(a, params)
        ta, tb = tangents
        if ta is None and tb is None:
            return [None] * 3
        vector = b.ndim == 1
        wide: Callable[[Any], Any] = _column if vector else lambda x: x
        found, residuals, _ = self.split(out, params)
        x = wide(found)
        rest = wide(b) - matmul(a, x)
        inverse = pinv(a, rcond=_rcond(a, params))
        change: Any = None if tb is None else wide(tb)
        ds: Any = None
        if ta is not None:
            moved = matmul(ta, x)
            change = -moved if change is None else change - moved
        dx = matmul(inverse, change)
        if ta is not None:
            if a.shape[0] > a.shape[1]:
                dx = dx + _chain(inverse, adjoint(inverse), matmul(adjoint(ta), rest))
            if a.shape[0] < a.shape[1]:
                along = matmul(adjoint(ta), matmul(adjoint(inverse), x))
                dx = dx + (along - matmul(inverse, matmul(a, along)))
            u, _, vh = SVD(a, full=False)
            ds = ew.real_part(_diagonal(_chain(adjoint(u), ta, adjoint(vh))))
        growing = ew.real_part(ew.conj(rest) * change)
        squares = 2 * sum_(growing, axes=(0,), keepdims=False) if residuals.size else None
        return [_line(dx) if vector else dx, squares, ds]


def _rcond(a: Expr, params: Params) -> float:
    """Where ``lstsq`` cuts off singular values, for ``pinv``."""
    given = dict(params)["rcond"]
    return float(np.finfo(np.float64).eps * max(a.shape) if given is None else given)


LSTSQ = Lstsq(
    "lstsq",
    Function("lstsq", r"\operatorname{lstsq}", "least squares"),
    "The solution is A⁺ b, so its derivative is that of the pseudoinverse; the least squares change by 2 rᵀ(db − dA x)"
    " with r the rest, since x is best already.",
    kink="not of full rank: refused",
    traits=frozenset({"raises", "conjugating"}),
)


def _lstsq_rank(a: Any, b: Any, *, rcond: float | None, dtype: Any) -> Any:
    return np.linalg.lstsq(a, b, rcond)[2]


def _a_rank(a: Aval, b: Aval, **params: Any) -> Aval:
    return aval((), params["dtype"])


@general(_lstsq_rank, Function("rank", r"\operatorname{rank}"), infer=_a_rank, traits=("flat", "raises"),
         sample=lambda draw: Case((3, 2), (3,), rcond=None, dtype=np.dtype(np.int32)))  # fmt: skip
def lstsq_rank(a: Expr, b: Expr) -> Any:
    """An integer, so the derivative is 0."""
    return None, None


# -- norms -----------------------------------------------------------------------------------------------------------


def _p_norm(x: Any, *, axes: tuple[int, ...], keepdims: bool, order: float) -> Any:
    sizes = np.abs(x) ** order
    return np.sum(sizes, axis=axes, keepdims=keepdims) ** np.reciprocal(order, dtype=x.dtype)


def _p_norm_parts(x: Expr, *, axes: tuple[int, ...], keepdims: bool, order: float) -> Any:
    total = sum_(ew.absolute(x) ** order, axes=axes, keepdims=keepdims)
    return total ** float(np.reciprocal(order, dtype=x.dtype))


@reduction(_p_norm, Function("norm", r"\operatorname{norm}", "norm"), traits=("kink", "real"), parts=_p_norm_parts,
           sample=lambda draw: Case(axes=draw([(0,), (1,), (0, 1)]), keepdims=draw([False, True]),
                                    order=draw([3, 1.5])),
           kink="at 0: 0, the least subgradient")  # fmt: skip
def p_norm(x: Expr, *, out: Expr, axes: tuple[int, ...], order: float) -> Any:
    """Of orders above 1: each size over the norm, to the power of the order less 1; masked at 0, where is a corner."""
    spread = expand(out, axes, x.aval, keepdims=out.ndim == x.ndim)
    return On(spread != 0, ew.sign(x) * (ew.absolute(x) / spread) ** (order - 1))


# -- what raises -----------------------------------------------------------------------------------------------------


def _exists(x: Any) -> Any:
    return np.bool_(True)


def _a_truth(*avals: Aval, **params: Any) -> Aval:
    return aval((), bool)


@general(_exists, Function("exists", r"\operatorname{exists}"), infer=_a_truth, traits=("flat", "predicate", "certain"),
         sample=lambda draw: Case((2, 3)))  # fmt: skip
def exists(x: Expr) -> Any:
    """True if x has a value at all: computing it raised nothing. A program's path may depend on that."""
    return None


def _succeeds(*operands: Any, hop: str, given: str) -> Any:
    try:
        catalogue[hop].function(*operands, **json.loads(given))
    except LinAlgError:
        return np.bool_(False)
    return np.bool_(True)


@general(_succeeds, Function("succeeds", r"\operatorname{succeeds}"), infer=_a_truth, traits=("flat", "predicate"),
         sample=lambda draw: Case((2, 2), hop="inv", given='{"strict": true}'))  # fmt: skip
def succeeds(*operands: Expr) -> Any:
    """Whether a hop, given by its name and parameters (as JSON), has a value for these operands."""
    return (None,) * len(operands)


def has_value(hop: str, operands: Sequence[Expr], params: Params) -> Expr:
    """`succeeds` for a hop as it was recorded."""
    return succeeds(*operands, hop=hop, given=json.dumps(dict(params), default=str))
