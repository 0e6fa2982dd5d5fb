"""The functions of ``numpy.linalg``, with NumPy's signatures, made of hops."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from hopgrad.aval import normalize_axes, normalize_axis
from hopgrad.graph.builder import Expr
from hopgrad.graph.operators import broadcast_to as to_shape
from hopgrad.hops import elementwise as ew
from hopgrad.hops import functions as fn
from hopgrad.hops import linalg as la
from hopgrad.hops import products, reduce
from hopgrad.hops.functions import NONE
from hopgrad.hops.surface import as_float, cast, find_builder, join, lift, refused, surface

# -- operands --------------------------------------------------------------------------------------------------------


def operands(*values: Any) -> list[Expr]:
    """Handles of the dtype in which NumPy gives results: of double precision, or single if all are of that."""
    builder = find_builder(values)
    found = [lift(v, builder) for v in values]
    for x in found:
        if x.aval.is_float and x.dtype not in (np.float32, np.float64, np.complex64, np.complex128):
            raise TypeError(f"array type {x.dtype.name} is unsupported in linalg")
    single = all(x.dtype in (np.float32, np.complex64) for x in found)
    dtype = np.dtype(np.float32 if single else np.float64)
    return [cast(x, ew.complex_of(dtype) if any(y.dtype.kind == "c" for y in found) else dtype) for x in found]


def _matrices(value: Any) -> Expr:
    (x,) = operands(value)
    _check(x)
    return x


def _squares(value: Any) -> Expr:
    (x,) = operands(value)
    _check(x, square=True)
    return x


def _check(x: Expr, square: bool = False) -> None:
    """Raise what NumPy raises for shapes."""
    if x.ndim < 2:
        raise LinAlgError(f"{x.ndim}-dimensional array given. Array must be at least two-dimensional")
    if square and x.shape[-1] != x.shape[-2]:
        raise LinAlgError("Last 2 dimensions of the array must be square")


def _named(like: Any, *parts: Expr) -> Any:
    """NumPy's own named tuple, as `like` is one."""
    return type(like)(*parts)


_ONE = np.eye(1)
_SLOGDET, _EIGH = np.linalg.slogdet(_ONE), np.linalg.eigh(_ONE)
_SVD, _QR, _EIG = np.linalg.svd(_ONE), np.linalg.qr(_ONE), np.linalg.eig(_ONE)

# -- systems ---------------------------------------------------------------------------------------------------------


@surface(np.linalg.inv, contiguous=True)
def inv(a: Any) -> Expr:
    return la.inv(_squares(a), strict=True)


@surface(np.linalg.solve, contiguous=True)
def solve(a: Any, b: Any) -> Expr:
    x, y = operands(a, b)
    _check(x, square=True)
    return la.solve(x, y)


@surface(np.linalg.tensorsolve, array=True)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Expr:
    x, y = operands(a, b)
    if axes is not None:
        order = list(range(x.ndim))
        for k in axes:
            order.remove(k)
            order.insert(x.ndim, k)
        x = fn.transpose(x, order)
    shape = x.shape[-(x.ndim - y.ndim) :]
    count = int(np.prod(shape, dtype=int))
    if x.size != count**2:
        raise LinAlgError("Input arrays must satisfy the requirement prod(a.shape[b.ndim:]) == prod(a.shape[:b.ndim])")
    return fn.reshape(la.solve(fn.reshape(x, (count, count)), fn.reshape(y, (y.size,))), shape)


@surface(np.linalg.tensorinv, array=True)
def tensorinv(a: Any, ind: Any = 2) -> Expr:
    (x,) = operands(a)
    ind = operator.index(ind)
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    count = int(np.prod(x.shape[ind:], dtype=int))
    square = fn.reshape(x, (count, -1))
    _check(square, square=True)
    return fn.reshape(la.inv(square, strict=True), x.shape[ind:] + x.shape[:ind])


@surface(np.linalg.pinv, contiguous=True)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = NONE) -> Expr:
    x = _matrices(a)
    if hermitian:
        raise refused("np.linalg.pinv(hermitian=True)", "leave it out, or use np.linalg.eigh")
    if rcond is not None and rtol is not NONE:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    least = rcond if rcond is not None else 1e-15 if rtol is NONE else rtol
    if least is None:
        least = max(x.shape[-2:]) * np.finfo(x.dtype).eps
    if isinstance(least, Expr) or np.ndim(least):
        raise refused("np.linalg.pinv with several or traced rcond", "give it one plain number")
    return la.pinv(x, rcond=float(least))


def lstsq(a: Any, b: Any, rcond: Any = None, *, rank: int = -1) -> tuple[Expr, ...]:
    """Solution, least squares and singular values of ``np.linalg.lstsq``, for a matrix of this rank."""
    x, y, least = _lstsq_operands(a, b, rcond)
    found: tuple[Expr, ...] = la.LSTSQ(x, y, rcond=least, rank=rank)
    return found


def lstsq_rank(a: Any, b: Any, rcond: Any = None) -> Expr:
    """The rank that ``np.linalg.lstsq`` tells."""
    x, y, least = _lstsq_operands(a, b, rcond)
    return la.lstsq_rank(x, y, rcond=least, dtype=np.dtype(np.int32))


def _lstsq_operands(a: Any, b: Any, rcond: Any) -> tuple[Expr, Expr, float | None]:
    x, y = operands(a, b)
    if isinstance(rcond, Expr) or np.ndim(rcond):
        raise refused("np.linalg.lstsq with a traced rcond", "give it a plain number")
    if x.ndim != 2 or y.ndim not in (1, 2):
        ndim = x.ndim if x.ndim != 2 else y.ndim
        raise LinAlgError(f"{ndim}-dimensional array given. Array must be two-dimensional")
    if x.shape[0] != y.shape[0]:
        raise LinAlgError("Incompatible dimensions")
    return x, y, None if rcond is None else float(rcond)


# -- determinants ----------------------------------------------------------------------------------------------------


@surface(np.linalg.det)
def det(a: Any) -> Expr:
    return la.det(_squares(a))


@surface(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    x = _squares(a)
    return _named(_SLOGDET, (la.phase_det if x.dtype.kind == "c" else la.sign_det)(x), la.log_det(x))


# -- factorizations --------------------------------------------------------------------------------------------------


@surface(np.linalg.cholesky, contiguous=True)
def cholesky(a: Any, /, *, upper: Any = False) -> Expr:
    return la.cholesky(_squares(a), upper=bool(upper))


def _is_lower(uplo: str) -> bool:
    if uplo.upper() not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return uplo.upper() == "L"


@surface(np.linalg.eigh, contiguous=True)
def eigh(a: Any, UPLO: str = "L") -> Any:
    lower = _is_lower(UPLO)
    return _named(_EIGH, *la.EIGH(_squares(a), lower=lower))


@surface(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Expr:
    lower = _is_lower(UPLO)
    return la.eigvalsh(_squares(a), lower=lower)


def eig(a: Any) -> Any:
    """As ``np.linalg.eig``, but complex."""
    return _named(_EIG, *la.EIG(_squares(a)))


def eigvals(a: Any) -> Expr:
    """As ``np.linalg.eigvals``, but complex."""
    return la.eigvals(_squares(a))


@surface(np.linalg.svd, contiguous=True)
def svd(a: Any, full_matrices: Any = True, compute_uv: Any = True, hermitian: Any = False) -> Any:
    x = _matrices(a)
    if hermitian:
        raise refused("np.linalg.svd(hermitian=True)", "leave it out, or use np.linalg.eigh")
    if not compute_uv:
        return la.singular_values(x)
    full = bool(full_matrices)
    u, s, vh = la.SVD(x, full=full)
    m, n = x.shape[-2:]
    if full and m != n:
        extra = la.extra_vectors(s)
        if m > n:
            u = fn.concatenate([u, extra], -1)
        else:
            vh = fn.concatenate([vh, extra], -2)
    return _named(_SVD, u, s, vh)


@surface(np.linalg.svdvals)
def svdvals(x: Any, /) -> Expr:
    return la.singular_values(_matrices(x))


@surface(np.linalg.qr, contiguous=True)
def qr(a: Any, mode: str = "reduced") -> Any:
    x = _matrices(a)
    if mode not in ("reduced", "complete", "r", "raw"):
        raise ValueError(f"Unrecognized mode '{mode}'")
    if mode == "raw" or (mode == "complete" and x.shape[-2] > x.shape[-1]):
        raise refused(f"np.linalg.qr(mode={mode!r})", "mode='reduced' and 'r' are")
    q, r = la.QR(x)
    return r if mode == "r" else _named(_QR, q, r)


# -- norms and ranks -------------------------------------------------------------------------------------------------


@surface(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Expr:
    x = as_float(lift(x))
    keepdims = bool(keepdims)
    axes = tuple(
        normalize_axis(k, x.ndim) for k in (axis if np.iterable(axis) else range(x.ndim) if axis is None else (axis,))
    )
    if ord is None and (axis is None or len(axes) < 3):
        if len(set(axes)) < len(axes):
            raise ValueError("Duplicate axes given.")
        return _euclidean(x, axes, keepdims)
    if len(axes) == 1:
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=ord)
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    if axes[0] == axes[1]:
        raise ValueError("Duplicate axes given.")
    if ord in ("fro", "f"):
        return _euclidean(x, axes, keepdims)
    if ord in ("nuc", 2, -2):
        moved = fn.moveaxis(x, axes, (-2, -1)) if axes != (x.ndim - 2, x.ndim - 1) else x
        values = la.singular_values(operands(moved)[0])
        found = {"nuc": fn.sum, 2: _largest, -2: fn.min}[ord](values, -1)
    elif ord in (1, -1, np.inf, -np.inf):
        # The largest (or smallest) sum of absolute values of a column (1) or a row (inf).
        first, second = axes if ord in (1, -1) else axes[::-1]
        sums = fn.sum(ew.magnitude(x), first, keepdims=True)
        found = (_largest if ord > 0 else fn.min)(sums, second, keepdims=True)
        return found if keepdims else fn.squeeze(found, axes)
    else:
        raise ValueError("Invalid norm order for matrices.")
    return fn.expand_dims(found, tuple(sorted(axes))) if keepdims else found


def _largest(x: Expr, axis: Any, keepdims: bool = False) -> Expr:
    """Of nothing 0, as all that this is asked of is positive."""
    empty = any(x.shape[k] == 0 for k in normalize_axes(axis, x.ndim))
    found: Expr = fn.max(x, axis, keepdims=keepdims, **({"initial": 0} if empty else {}))
    return found


def _euclidean(x: Expr, axes: Sequence[int], keepdims: bool) -> Expr:
    axes = tuple(sorted(axes))
    if x.dtype.kind != "c":
        return reduce.norm(x, axes=axes, keepdims=keepdims)
    found = reduce.norm(fn.both_parts(x), axes=(0, *[k + 1 for k in axes]), keepdims=False)
    return fn.expand_dims(found, axes) if keepdims else found


@surface(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: Any = False, ord: Any = 2) -> Expr:
    x = as_float(lift(x))
    axes, keepdims = normalize_axes(axis, x.ndim), bool(keepdims)
    if ord in (None, 2):
        return _euclidean(x, axes, keepdims)
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order {ord!r} for vectors")
    if ord == 0:
        return cast(fn.sum(x != 0, axes, keepdims=keepdims), ew.parts_of(x.dtype))
    size = ew.magnitude(x)
    if ord == 1:
        return fn.sum(size, axes, keepdims=keepdims)
    if ord == np.inf:
        return _largest(size, axes, keepdims=keepdims)
    if ord == -np.inf:
        return fn.min(size, axes, keepdims=keepdims)
    order = ord.item() if isinstance(ord, np.generic) else ord
    if order > 1:
        return la.p_norm(size if x.dtype.kind == "c" else x, axes=axes, keepdims=keepdims, order=order)
    return fn.sum(size**order, axes, keepdims=keepdims) ** (1 / order)


@surface(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: Any = False, ord: Any = "fro") -> Expr:
    return norm(x, ord, (-2, -1), keepdims)


@surface(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Expr:
    (a,) = operands(x)
    if a.size == 0 and a.ndim > 1 and 0 in a.shape[-2:]:
        raise LinAlgError("cond is not defined on empty arrays")
    if p in (None, 2, -2):
        _check(a)
        s = la.singular_values(a)
        count = s.shape[-1]
        first, last = (fn.take(s, k, -1) for k in (0, count - 1))
        found = ew.divide(last, first) if p == -2 else ew.divide(first, last)
    else:
        _check(a, square=True)
        found = norm(a, p, (-2, -1)) * norm(la.inv(a, strict=False), p, (-2, -1))
    # As in NumPy: what is NaN though no element was is infinite.
    lost = ew.logical_and(ew.isnan(found), ew.logical_not(fn.any(ew.isnan(a), (-2, -1))))
    return ew.where(lost, found.builder.constant(np.inf, found.dtype), found)


@surface(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: Any = False, *, rtol: Any = None) -> Expr:
    if rtol is not None and tol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    builder = find_builder([A, tol, rtol])
    x = lift(A, builder)
    if x.ndim < 2:
        found = cast(fn.any(x != 0), np.int64)
        found.weak = True  # a Python int
        return found
    (x,) = operands(x)
    s = ew.absolute(la.eigvalsh(x, lower=True)) if hermitian else la.singular_values(x)
    if tol is not None:
        least = _column(tol, s)
    else:
        scale = max(x.shape[-2:]) * np.finfo(s.dtype).eps if rtol is None else cast(_column(rtol, s), s.dtype)
        least = scale * _largest(s, -1, keepdims=True)
    return fn.sum(ew.greater(s, cast(least, s.dtype)), -1)


def _column(value: Any, like: Expr) -> Expr:
    return fn.expand_dims(lift(value, like.builder), -1)


# -- products --------------------------------------------------------------------------------------------------------


@surface(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: Any = None) -> Expr:
    """In the order that needs the fewest multiplications, as NumPy has it."""
    xs = join(arrays)
    if len(xs) < 2:
        raise ValueError("Expecting at least two arrays.")
    if len(xs) == 2:
        return fn.dot(*xs)
    first, last = xs[0].ndim, xs[-1].ndim
    if first == 1:
        xs[0] = fn.expand_dims(xs[0], 0)
    if last == 1:
        xs[-1] = fn.expand_dims(xs[-1], 1)
    for x in xs:
        if x.ndim != 2:
            raise LinAlgError(f"{x.ndim}-dimensional array given. Array must be two-dimensional")
    found = _in_best_order(xs)
    if first == 1 and last == 1:
        return fn.reshape(found, ())
    return fn.reshape(found, (found.size,)) if 1 in (first, last) else found


def _in_best_order(xs: Sequence[Expr]) -> Expr:
    """The product of matrices, by the cheapest bracketing (Cormen et al., Introduction to Algorithms, 15.2)."""
    sizes = [x.shape[0] for x in xs] + [xs[-1].shape[1]]
    n = len(xs)
    if n == 3:
        # Of two that cost the same, NumPy takes the second here.
        a, b, c, d = sizes
        early = a * c * (b + d) < b * d * (a + c)
        return fn.dot(fn.dot(xs[0], xs[1]), xs[2]) if early else fn.dot(xs[0], fn.dot(xs[1], xs[2]))
    cost = [[0] * n for _ in range(n)]
    cut = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = [(cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)]
            cost[i][j], cut[i][j] = min(options)
    # Without recursion: brackets are opened, then closed.
    done: list[Expr] = []
    stack: list[tuple[int, int] | None] = [(0, n - 1)]
    while stack:
        top = stack.pop()
        if top is None:
            right, left = done.pop(), done.pop()
            done.append(fn.dot(left, right))
        elif top[0] == top[1]:
            done.append(xs[top[0]])
        else:
            i, j = top
            stack += [None, (cut[i][j] + 1, j), (i, cut[i][j])]
    return done[0]


@surface(np.linalg.matrix_power, aliasing="view")
def matrix_power(a: Any, n: Any) -> Expr:
    x = lift(a)
    _check(x, square=True)
    try:
        n = operator.index(n)
    except TypeError as error:
        raise TypeError("exponent must be an integer") from error
    if n == 0:
        return to_shape(x.builder.constant(np.eye(x.shape[-1], dtype=x.dtype)), x.shape)
    if n < 0:
        x, n = inv(x), -n
    if n == 3:
        return products.matmul(products.matmul(x, x), x)
    found: Expr | None = None
    square = x
    while n:
        if n % 2:
            found = square if found is None else products.matmul(found, square)
        n //= 2
        if n:
            square = products.matmul(square, square)
    assert found is not None
    return found
