"""NumPy's functions, with NumPy's signatures, made of hops: reductions, products, shapes, joining and picking."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import pairwise
from math import prod as product
from typing import Any

import numpy as np

from hopgrad.aval import Shape, aval, normalize_axes, normalize_axis
from hopgrad.errors import DtypeError, ShapeError
from hopgrad.graph.builder import Expr, catalogue, ones, zeros
from hopgrad.graph.operators import broadcast_to as to_shape
from hopgrad.hops import bessel, products, reduce, special
from hopgrad.hops import elementwise as ew
from hopgrad.hops import shape as sh
from hopgrad.hops.surface import (
    as_float,
    cast,
    find_builder,
    join,
    joined,
    lift,
    newer,
    promote,
    refused,
    rows,
    surface,
)

NONE = np._NoValue
"""NumPy's own mark for "argument not given"."""


# -- complex numbers -------------------------------------------------------------------------------------------------


def both_parts(z: Expr) -> Expr:
    """Real and imaginary parts of complex numbers, along a new first axis."""
    return joined([_reshape(part, (1, *z.shape)) for part in (ew.real(z), ew.imag(z))], 0)


def by_parts(function: Any, z: Expr) -> Expr:
    """A function of real numbers, of the real and of the imaginary parts of complex ones."""
    if z.dtype.kind != "c":
        found: Expr = function(z)
        return found
    return ew.cartesian(function(ew.real(z)), function(ew.imag(z)))


def _real_only(x: Expr, name: str) -> Expr:
    if x.dtype.kind == "c":
        raise refused(f"{name} of complex numbers")
    return x


# -- reductions ------------------------------------------------------------------------------------------------------


def _reduce(hop: Any, x: Any, axis: Any, keepdims: Any, **params: Any) -> Expr:
    x = lift(x)
    axes = normalize_axes(axis, x.ndim)
    out: Expr = hop(x, axes=axes, keepdims=bool(keepdims) if keepdims is not NONE else False, **params)
    return out


def masked(x: Expr, where: Any, neutral: Any) -> Expr:
    """`x` with what `where` leaves out replaced by something that does not count."""
    if where is NONE or where is True:
        return x
    return ew.where(lift(where, x.builder), x, cast(lift(neutral, x.builder), x.dtype))


def accumulating(x: Expr, dtype: Any) -> Expr:
    """`x` in the dtype in which NumPy adds up: small integers as int64, whatever they become in the end."""
    x = x if dtype is None else cast(x, dtype)
    return cast(x, np.sum(np.zeros(1, x.dtype)).dtype) if x.dtype.kind in "biu" else x


def _with_initial(found: Expr, pairwise: Any, initial: Any, neutral: Any) -> Expr:
    if initial is NONE or (type(initial) in (int, float) and initial == neutral):
        return found
    return pairwise(found, cast(lift(initial, found.builder), found.dtype))


def _ending(found: Expr, dtype: Any) -> Expr:
    return found if dtype is None else cast(found, dtype)


@surface(np.sum)
def sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NONE,
        initial: Any = NONE, where: Any = NONE) -> Expr:  # fmt: skip
    x = accumulating(lift(a, find_builder([a, where, initial])), dtype)
    return _ending(_with_initial(_reduce(reduce.sum_, masked(x, where, 0), axis, keepdims), ew.add, initial, 0), dtype)


@surface(np.prod)
def prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NONE,
         initial: Any = NONE, where: Any = NONE) -> Expr:  # fmt: skip
    x = accumulating(lift(a, find_builder([a, where, initial])), dtype)
    found = _with_initial(_reduce(reduce.prod, masked(x, where, 1), axis, keepdims), ew.multiply, initial, 1)
    return _ending(found, dtype)


@surface(np.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NONE,
         *, where: Any = NONE) -> Expr:  # fmt: skip
    x = lift(a, find_builder([a, where]))
    x = as_float(x) if dtype is None else cast(x, dtype)
    if where is NONE or where is True:
        return _reduce(reduce.mean, x, axis, keepdims)
    total = sum(x, axis, keepdims=keepdims, where=where)
    return ew.divide(total, cast(counted(where, x, axis, keepdims), total.dtype))


def counted(where: Any, x: Expr, axis: Any, keepdims: Any) -> Expr:
    """How many elements a mask leaves in."""
    mask = to_shape(lift(where, x.builder), x.shape)
    return sum(mask, axis, keepdims=keepdims)


def _spread(hop: Any) -> Any:
    def adapter(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = NONE,
                *, where: Any = NONE, mean: Any = NONE, correction: Any = NONE) -> Expr:  # fmt: skip
        x = lift(a, find_builder([a, where, mean, ddof]))
        x = as_float(x) if dtype is None else cast(x, dtype)
        ddof = ddof if correction is NONE else correction
        everywhere = where is NONE or where is True
        if everywhere and mean is NONE and not isinstance(ddof, Expr) and x.dtype.kind != "c":
            return _reduce(hop, x, axis, keepdims, ddof=ddof)
        middle = _mean(x, axis, keepdims=True, where=where) if mean is NONE else lift(mean, x.builder)
        deviation = ew.subtract(x, cast(middle, x.dtype))
        if everywhere and x.dtype.kind == "c":
            return _spread_of_parts(hop, both_parts(deviation), normalize_axes(axis, x.ndim), keepdims, ddof)
        count, taken = promote([counted(True if where is NONE else where, x, axis, keepdims), ddof])
        left = ew.maximum(count - taken, np.zeros((), count.dtype))
        if x.dtype.kind == "c":
            total = sum(squared(deviation), axis, keepdims=keepdims, where=where)
            found = ew.divide(total, cast(left, total.dtype))
            return ew.sqrt(found) if hop is reduce.std else found
        deviation, degrees = masked(deviation, where, 0), cast(left, x.dtype)
        if hop is reduce.std:  # the norm has a derivative where all are equal
            return ew.divide(_reduce(reduce.norm, deviation, axis, keepdims), ew.sqrt(degrees))
        return ew.divide(_reduce(reduce.sum_, deviation**2, axis, keepdims), degrees)

    return adapter


def _spread_of_parts(hop: Any, parts: Expr, axes: Sequence[int], keepdims: Any, ddof: float) -> Expr:
    """Variance or standard deviation of complex numbers: from the squares of the parts of the deviations."""
    count = product(parts.shape[k + 1] for k in axes) - ddof
    total = reduce.norm(parts, axes=(0, *[k + 1 for k in axes]), keepdims=False)
    found = total * (count**-0.5 if count > 0 else np.inf)
    found = found if hop is reduce.std else squared(found)
    kept = tuple(1 if k in axes else n for k, n in enumerate(parts.shape[1:]))
    return _reshape(found, kept) if keepdims is not NONE and keepdims else found


def squared(x: Expr) -> Expr:
    """Squares of absolute values."""
    return x**2 if x.dtype.kind != "c" else ew.real(x) ** 2 + ew.imag(x) ** 2


_mean = mean  # in the adapter, the name mean is a parameter
var = surface(np.var)(_spread(reduce.var))
std = surface(np.std)(_spread(reduce.std))


def _extreme(hop: Any, pairwise: Any, name: str) -> Any:
    def adapter(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NONE, initial: Any = NONE,
                where: Any = NONE) -> Expr:  # fmt: skip
        x = lift(a, find_builder([a, initial, where]))
        if where is not NONE and where is not True:
            if initial is NONE:
                raise ValueError(f"np.{name} has no identity, so to use a where mask one"
                                 " has to specify 'initial'")  # fmt: skip
            x = masked(x, where, initial)
        axes = normalize_axes(axis, x.ndim)
        if product(x.shape[k] for k in axes) == 0:
            if initial is NONE:
                raise ShapeError(f"np.{name} of an empty array has no value: give initial=")
            kept = _reduce(reduce.sum_, x, axis, keepdims)
            return to_shape(cast(lift(initial, x.builder), x.dtype), kept.shape)
        return _with_initial(_reduce(hop, x, axis, keepdims), pairwise, initial, NONE)

    return adapter


max = surface(np.max, np.amax)(_extreme(reduce.max_, ew.maximum, "max"))
min = surface(np.min, np.amin)(_extreme(reduce.min_, ew.minimum, "min"))


@surface(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NONE) -> Expr:
    return ew.subtract(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims))


def _position(hop: Any) -> Any:
    def adapter(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NONE) -> Expr:
        return _reduce(hop, a, axis, keepdims, dtype=np.dtype(np.intp))

    return adapter


argmax = surface(np.argmax)(_position(reduce.argmax))
argmin = surface(np.argmin)(_position(reduce.argmin))


def _truth(x: Any) -> Expr:
    x = lift(x)
    return x if x.dtype == bool else ew.not_equal(x, 0)


@surface(np.any)
def any(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NONE, *, where: Any = NONE) -> Expr:
    return _reduce(reduce.any_, masked(_truth(a), where, 0), axis, keepdims)


@surface(np.all)
def all(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NONE, *, where: Any = NONE) -> Expr:
    return _reduce(reduce.all_, masked(_truth(a), where, 1), axis, keepdims)


@surface(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Expr:
    found = sum(_truth(a), axis, keepdims=keepdims)
    found.weak = axis is None and not keepdims and isinstance(np.count_nonzero([1]), int)  # up to NumPy 2.3
    return found


@surface(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = NONE) -> Any:
    if weights is None:
        found = mean(a, axis, keepdims=keepdims)
        x = lift(a)
        total: Any = ones(x.builder, found.aval) * (x.size / product(found.shape) if found.size else 1)
    else:
        x, w = promote([a, weights])
        x, w = as_float(x), as_float(w)
        if w.shape != x.shape:
            if axis is None:
                raise TypeError("Axis must be specified when shapes of a and weights differ.")
            axes = [normalize_axis(k, x.ndim) for k in (axis if np.iterable(axis) else (axis,))]
            if w.shape != tuple(x.shape[k] for k in axes):
                raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
            w = sh.transposed(w, tuple(int(k) for k in np.argsort(axes)))
            w = to_shape(_reshape(w, tuple(n if k in axes else 1 for k, n in enumerate(x.shape))), x.shape)
        total = sum(w, axis, keepdims=keepdims)
        found = sum(ew.multiply(x, w), axis, keepdims=keepdims) / total
    return (found, total) if returned else found


@surface(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Expr:
    x, axis = _line(accumulating(lift(a), dtype), axis)
    return _ending(reduce.cumsum(x, axis=axis), dtype)


def _line(x: Expr, axis: Any) -> tuple[Expr, int]:
    """`x` and the axis to work along: flattened, if there is none."""
    return (_reshape(x, (x.size,)), 0) if axis is None else (x, normalize_axis(axis, x.ndim))


@surface(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Expr:
    """By doubling: after k rounds each element is the product of the 2ᵏ before it. Right through zeros."""
    x, axis = _line(accumulating(lift(a), dtype), axis)
    hop = catalogue.get("cumprod")
    if hop is not None:
        return _ending(hop(x, axis=axis), dtype)
    step = 1
    while step < x.shape[axis]:
        head = sh.slice_axis(x, axis, 0, step, 1)
        tail = ew.multiply(sh.slice_axis(x, axis, step, None, 1), sh.slice_axis(x, axis, None, -step, 1))
        x = sh.concatenate(head, tail, axis=axis)
        step *= 2
    return _ending(x, dtype)


def _cumulative(function: Any, start: float) -> Any:
    def adapter(
        x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
    ) -> Expr:
        x = lift(x)
        if axis is None and x.ndim > 1:
            raise ValueError("For arrays which have more than one dimension ``axis`` argument is required.")
        axis = normalize_axis(0 if axis is None else axis, x.ndim)
        found: Expr = function(x, axis, dtype)
        if not include_initial:
            return found
        like = aval((*x.shape[:axis], 1, *x.shape[axis + 1 :]), found.dtype)
        first = (zeros if start == 0 else ones)(x.builder, like)
        return sh.concatenate(first, found, axis=axis)

    return adapter


cumulative_sum = surface(newer("cumulative_sum"))(_cumulative(cumsum, 0))
cumulative_prod = surface(newer("cumulative_prod"))(_cumulative(cumprod, 1))


@surface("scipy.special:logsumexp")
def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False,
              initial: Any = NONE, where: Any = NONE) -> Any:  # fmt: skip
    """SciPy's for real arguments; also ``np.logaddexp.reduce``. Weights b may be negative or 0."""
    x = _real_only(as_float(lift(a, find_builder([a, b]))), "scipy.special.logsumexp")
    if b is None and not return_sign:
        found = _reduce(reduce.logsumexp, masked(x, where, -np.inf), axis, keepdims)
        return _with_initial(found, ew.logaddexp, initial, -np.inf)
    x, weight = promote([x, 1.0 if b is None else b])
    weight = to_shape(as_float(weight), np.broadcast_shapes(x.shape, weight.shape))
    top = reduce.max_(ew.where(weight == 0, x.builder.constant(-np.inf, x.dtype), to_shape(x, weight.shape)),
                      axes=normalize_axes(axis, weight.ndim), keepdims=True)  # fmt: skip
    shift = ew.where(ew.isfinite(top), top, zeros(x.builder, top.aval))
    # exp is never taken where the weight is 0, so an infinite x there does no harm.
    safe = ew.where(weight == 0, zeros(x.builder, weight.aval), x - shift)
    total = sum(weight * ew.exp(safe), axis, keepdims=True)
    size = ew.log(ew.absolute(total)) + shift
    negative = ew.where(total < 0, x.builder.constant(np.nan, x.dtype), size)
    kept = _reduce(reduce.sum_, weight, axis, keepdims).shape
    if return_sign:
        return _reshape(size, kept), _reshape(ew.sign(total), kept)
    return _reshape(negative, kept)


@surface("scipy.special:softmax")
def softmax(x: Any, axis: Any = None) -> Expr:
    """SciPy's."""
    x = _real_only(as_float(lift(x)), "scipy.special.softmax")
    return reduce.softmax(x, axes=normalize_axes(axis, x.ndim))


@surface("scipy.special:log_softmax")
def log_softmax(x: Any, axis: Any = None) -> Expr:
    """SciPy's."""
    x = _real_only(as_float(lift(x)), "scipy.special.log_softmax")
    return reduce.log_softmax(x, axes=normalize_axes(axis, x.ndim))


@surface("scipy.special:polygamma", array=True)
def polygamma(n: Any, x: Any) -> Expr:
    """SciPy's, for one fixed order."""
    x = as_float(lift(x, find_builder([n, x])))
    if isinstance(n, Expr) or np.ndim(n):
        raise refused("scipy.special.polygamma of several orders", "call it once for each")
    return special.digamma(x) if n == 0 else special.polygamma(x, order=operator.index(n))


# -- products --------------------------------------------------------------------------------------------------------


@surface(np.linalg.matmul, contiguous=True)
def matmul(a: Any, b: Any, /) -> Expr:
    """The ``@`` operator."""
    return products.matmul(*promote([a, b]))


@surface(np.linalg.vecdot)
def vecdot(a: Any, b: Any, /, axis: int = -1) -> Expr:
    """Of complex vectors the first one is conjugated."""
    a, b = promote([a, b])
    a = ew.conj(a)
    if axis != -1:
        a, b = moveaxis(a, axis, -1), moveaxis(b, axis, -1)
    return sum(ew.multiply(a, b), -1, dtype=a.dtype)


def matvec(a: Any, b: Any, /) -> Expr:
    """``np.matvec``."""
    a, b = promote([a, b])
    return squeeze(products.matmul(a, expand_dims(b, -1)), -1)


def vecmat(a: Any, b: Any, /) -> Expr:
    """``np.vecmat``: a complex vector is conjugated."""
    a, b = promote([a, b])
    return squeeze(products.matmul(expand_dims(ew.conj(a), -2), b), -2)


@surface(np.dot, contiguous=True)
def dot(a: Any, b: Any, out: Any = None) -> Expr:
    a, b = join([a, b])
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return products.matmul(a, b) if b.ndim <= 2 else tensordot(a, b, axes=((a.ndim - 1,), (b.ndim - 2,)))


@surface(np.vdot)
def vdot(a: Any, b: Any, /) -> Expr:
    """Of complex vectors the first one is conjugated."""
    a, b = join([a, b])
    return products.matmul(_reshape(ew.conj(a), (a.size,)), _reshape(b, (b.size,)))


@surface(np.inner)
def inner(a: Any, b: Any, /) -> Expr:
    a, b = join([a, b])
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return tensordot(a, b, axes=((a.ndim - 1,), (b.ndim - 1,)))


@surface(np.outer, contiguous=True)
def outer(a: Any, b: Any, out: Any = None) -> Expr:
    a, b = join([a, b])
    return ew.multiply(_reshape(a, (a.size, 1)), _reshape(b, (b.size,)))


@surface(np.linalg.outer, contiguous=True)
def vector_outer(x1: Any, x2: Any, /) -> Expr:
    a, b = join([x1, x2])
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"Input arrays must be one-dimensional, but they are {a.ndim=} and {b.ndim=}.")
    return outer(a, b)


@surface(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Expr:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = join([a, b])
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise refused("np.cross of vectors with 2 elements", "give them a third element, 0")

    def turned(x: Expr, by: int) -> Expr:
        return take(x, [by % 3, (by + 1) % 3, (by + 2) % 3], -1)

    # (a × b)ₖ = aₖ₊₁ bₖ₊₂ − aₖ₊₂ bₖ₊₁
    found = ew.subtract(ew.multiply(turned(a, 1), turned(b, 2)), ew.multiply(turned(a, 2), turned(b, 1)))
    return moveaxis(found, -1, axisc)


@surface(np.linalg.cross)
def vector_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Expr:
    return cross(x1, x2, axis=axis)


@surface(np.tensordot, np.linalg.tensordot, array=True, contiguous=True)
def tensordot(a: Any, b: Any, /, axes: Any = 2) -> Expr:
    a, b = join([a, b])
    if isinstance(axes, int):
        left, right = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    else:
        first, second = axes
        left = tuple(normalize_axis(k, a.ndim) for k in (first if np.iterable(first) else (first,)))
        right = tuple(normalize_axis(k, b.ndim) for k in (second if np.iterable(second) else (second,)))
    if [a.shape[k] for k in left] != [b.shape[k] for k in right]:
        raise ShapeError(f"tensordot: axes {left} of {a.shape} and {right} of {b.shape} differ in length")
    rows = tuple(k for k in range(a.ndim) if k not in left)
    columns = tuple(k for k in range(b.ndim) if k not in right)
    count = product(a.shape[k] for k in left)
    matrix_a = _reshape(sh.transposed(a, rows + left), (product(a.shape[k] for k in rows), count))
    matrix_b = _reshape(sh.transposed(b, right + columns), (count, product(b.shape[k] for k in columns)))
    return _reshape(products.matmul(matrix_a, matrix_b), (*[a.shape[k] for k in rows], *[b.shape[k] for k in columns]))


@surface(np.einsum, aliasing="doubt")
def einsum(*operands: Any, out: Any = None, dtype: Any = None, order: Any = "K", casting: Any = "safe",
           optimize: Any = False) -> Expr:  # fmt: skip
    if not isinstance(operands[0], str):
        operands = _spelled(operands)
    subscripts = operands[0].replace(" ", "")
    arrays = [x if dtype is None else cast(x, dtype) for x in join(operands[1:])]
    left, arrow, right = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != len(arrays):
        raise ShapeError(f"einsum {subscripts!r} names {len(terms)} operands, {len(arrays)} were given")
    if "..." in subscripts:
        terms, right = _expand_dots(terms, right if arrow else None, arrays)
    elif not arrow:
        letters = "".join(terms)
        right = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    return products.einsum(*arrays, subscripts=f"{','.join(terms)}->{right}")


def _spelled(operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands alternating with lists of axis numbers, as a string of subscripts and the operands."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

    def spell(axes: Any) -> str:
        return "".join("..." if k is Ellipsis else letters[operator.index(k)] for k in axes)

    pairs = len(operands) // 2
    text = ",".join(spell(operands[2 * k + 1]) for k in range(pairs))
    arrow = "->" + spell(operands[-1]) if len(operands) % 2 else ""
    return text + arrow, *[operands[2 * k] for k in range(pairs)]


def _expand_dots(terms: list[str], right: str | None, arrays: list[Expr]) -> tuple[list[str], str]:
    """Give the axes under ``...`` letters of their own, aligned from the right as broadcasting aligns them."""
    used = set("".join(terms))
    free = [c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in used]
    extra = [x.ndim - (len(t) - 3) if "..." in t else 0 for t, x in zip(terms, arrays, strict=True)]
    most = 0
    for n in extra:
        most = n if n > most else most
    dots = "".join(free[:most])
    letters = "".join(t.replace("...", "") for t in terms)
    new = [t.replace("...", dots[most - n :]) for t, n in zip(terms, extra, strict=True)]
    if right is None:
        right = "..." + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    return new, right.replace("...", dots)


@surface(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Expr:
    return sum(diagonal(a, offset, axis1, axis2), -1, dtype=dtype)


@surface(np.linalg.trace)
def matrix_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Expr:
    return trace(x, offset, -2, -1, dtype)


@surface(np.kron)
def kron(a: Any, b: Any) -> Expr:
    a, b = join([a, b])
    n = a.ndim if a.ndim > b.ndim else b.ndim
    wide_a = (1,) * (n - a.ndim) + a.shape
    wide_b = (1,) * (n - b.ndim) + b.shape
    a = _reshape(a, tuple(v for m in wide_a for v in (m, 1)))
    b = _reshape(b, tuple(v for m in wide_b for v in (1, m)))
    return _reshape(ew.multiply(a, b), tuple(p * q for p, q in zip(wide_a, wide_b, strict=True)))


# -- shape -----------------------------------------------------------------------------------------------------------


def _reshape(x: Expr, shape: tuple[int, ...]) -> Expr:
    return x if x.shape == shape else sh.reshape(x, shape=shape)


def full_shape(shape: Any, size: int) -> tuple[int, ...]:
    """A shape argument with its −1, if any, worked out."""
    dims = [operator.index(n) for n in (shape if np.iterable(shape) else (shape,))]
    if dims.count(-1) > 1:
        raise ShapeError("only one length can be -1")
    if -1 in dims:
        known = product(n for n in dims if n != -1)
        if known == 0 or size % known:
            raise ShapeError(f"cannot reshape an array of {size} elements into {tuple(dims)}")
        dims[dims.index(-1)] = size // known
    return tuple(dims)


@surface(np.reshape, array=True, aliasing="view")
def reshape(a: Any, /, shape: Any = None, order: Any = "C", *, newshape: Any = None, copy: Any = None) -> Expr:
    x = lift(a)
    target = full_shape(newshape if shape is None else shape, x.size)
    if order == "F":
        turned = _transposed(x, range(x.ndim)[::-1])
        return _transposed(sh.reshape(turned, shape=target[::-1]), range(len(target))[::-1])
    return sh.reshape(x, shape=target)


def _transposed(x: Expr, axes: Sequence[int]) -> Expr:
    found: Expr = sh.transposed(x, tuple(axes))
    return found


@surface(np.ravel, array=True, aliasing="ravel")
def ravel(a: Any, order: Any = "C") -> Expr:
    x = lift(a)
    return reshape(x, (x.size,), "F" if order == "F" else "C")


@surface(np.transpose, array=True, aliasing="view")
def transpose(a: Any, axes: Any = None) -> Expr:
    x = lift(a)
    order = tuple(reversed(range(x.ndim))) if axes is None else tuple(normalize_axis(k, x.ndim) for k in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"transpose: axes {axes} are no permutation of the {x.ndim} axes")
    return sh.transpose(x, axes=order) if x.ndim > 1 else x


@surface(np.matrix_transpose, np.linalg.matrix_transpose, array=True, aliasing="view")
def matrix_transpose(x: Any, /) -> Expr:
    return swapaxes(x, -1, -2)


@surface(np.permute_dims, array=True, aliasing="view")
def permute_dims(a: Any, axes: Any = None) -> Expr:
    return transpose(a, axes)


@surface(np.swapaxes, array=True, aliasing="view")
def swapaxes(a: Any, axis1: int, axis2: int) -> Expr:
    x = lift(a)
    order = list(range(x.ndim))
    i, j = normalize_axis(axis1, x.ndim), normalize_axis(axis2, x.ndim)
    order[i], order[j] = order[j], order[i]
    return transpose(x, order)


@surface(np.moveaxis, array=True, aliasing="view")
def moveaxis(a: Any, source: Any, destination: Any) -> Expr:
    x = lift(a)
    src = [normalize_axis(k, x.ndim) for k in (source if np.iterable(source) else (source,))]
    dst = [normalize_axis(k, x.ndim) for k in (destination if np.iterable(destination) else (destination,))]
    if len(src) != len(dst):
        raise ShapeError("moveaxis: source and destination must have equally many axes")
    order = [k for k in range(x.ndim) if k not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        order.insert(d, s)
    return transpose(x, order)


@surface(np.rollaxis, array=True, aliasing="view")
def rollaxis(a: Any, axis: int, start: int = 0) -> Expr:
    x = lift(a)
    k = normalize_axis(axis, x.ndim)
    start = start + x.ndim if start < 0 else start
    return moveaxis(x, k, start - 1 if start > k else start)


@surface(np.expand_dims, array=True, aliasing="view")
def expand_dims(a: Any, axis: Any) -> Expr:
    x = lift(a)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    n = x.ndim + len(axes)
    places = {normalize_axis(k, n) for k in axes}
    rest = iter(x.shape)
    return sh.reshape(x, shape=tuple(1 if k in places else next(rest) for k in range(n)))


@surface(np.squeeze, array=True, aliasing="view")
def squeeze(a: Any, axis: Any = None) -> Expr:
    x = lift(a)
    axes = tuple(k for k, n in enumerate(x.shape) if n == 1) if axis is None else normalize_axes(axis, x.ndim)
    if longer := [k for k in axes if x.shape[k] != 1]:
        raise ShapeError(f"squeeze: axis {longer[0]} of {x.shape} has not length 1")
    return sh.reshape(x, shape=tuple(n for k, n in enumerate(x.shape) if k not in axes))


@surface(np.broadcast_to, array=True, aliasing="view")
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Expr:
    return sh.broadcast_to(lift(array), shape=full_shape(shape, 0))


@surface(np.broadcast_arrays, array=True, aliasing="each")
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Expr, ...]:
    builder = find_builder(args)
    xs = [lift(a, builder) for a in args]
    target = np.broadcast_shapes(*[x.shape for x in xs])
    return tuple(to_shape(x, target) for x in xs)


def _atleast(n: int) -> Any:
    def adapter(*arys: Any) -> Any:
        builder = find_builder(arys)
        out = []
        for a in arys:
            x = lift(a, builder)
            if x.ndim >= n:
                out.append(x)
            elif n == 3:
                out.append(_reshape(x, {0: (1, 1, 1), 1: (1, *x.shape, 1), 2: (*x.shape, 1)}[x.ndim]))
            else:
                out.append(_reshape(x, (1,) * (n - x.ndim) + x.shape))
        return out[0] if len(out) == 1 else tuple(out)

    return adapter


atleast_1d = surface(np.atleast_1d, array=True, aliasing="each")(_atleast(1))
atleast_2d = surface(np.atleast_2d, array=True, aliasing="each")(_atleast(2))
atleast_3d = surface(np.atleast_3d, array=True, aliasing="each")(_atleast(3))


# -- joining and splitting -------------------------------------------------------------------------------------------


@surface(np.concatenate, np.concat, array=True)
def concatenate(arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Expr:
    xs = join(arrays)
    if dtype is not None:
        xs = [cast(x, dtype) for x in xs]
    if axis is None:
        xs, axis = [_reshape(x, (x.size,)) for x in xs], 0
    if xs[0].ndim == 0:
        raise ShapeError("concatenate: zero-dimensional arrays cannot be joined; use np.stack")
    return joined(xs, normalize_axis(axis, xs[0].ndim))


@surface(np.stack, array=True)
def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Expr:
    xs = join(arrays)
    for x in xs[1:]:
        if x.shape != xs[0].shape:
            raise ShapeError(f"stack: all shapes must be equal, not {xs[0].shape} and {x.shape}")
    return concatenate([expand_dims(x, axis) for x in xs], axis, dtype=dtype)


@surface(np.vstack, array=True)
def vstack(tup: Any, *, dtype: Any = None, casting: Any = None) -> Expr:
    found = atleast_2d(*_lifted(tup))
    return concatenate(found if isinstance(found, tuple) else [found], 0, dtype=dtype)


@surface(np.hstack, array=True)
def hstack(tup: Any, *, dtype: Any = None, casting: Any = None) -> Expr:
    found = atleast_1d(*_lifted(tup))
    xs = found if isinstance(found, tuple) else (found,)
    return concatenate(xs, 0 if xs[0].ndim == 1 else 1, dtype=dtype)


@surface(np.dstack, array=True)
def dstack(tup: Any) -> Expr:
    found = atleast_3d(*_lifted(tup))
    return concatenate(found if isinstance(found, tuple) else [found], 2)


@surface(np.column_stack, array=True)
def column_stack(tup: Any) -> Expr:
    return concatenate([_reshape(x, (x.size, 1)) if x.ndim < 2 else x for x in _lifted(tup)], 1)


@surface(np.block, array=True)
def block(arrays: Any) -> Expr:
    """Innermost lists are joined along the last axis, lists of these along the one before, and so on."""
    leaves, levels, level = [], 0, [arrays]
    while any_list := [v for v in level if isinstance(v, list)]:
        levels += 1
        level = [w for v in any_list for w in v]
    leaves = [lift(v, find_builder(arrays)) for v in level]
    ndim = _most([levels, *[x.ndim for x in leaves]])
    dtype = np.result_type(*[x.dtype for x in leaves])

    def joined(value: Any, depth: int) -> Expr:
        if isinstance(value, list):
            return concatenate([joined(v, depth + 1) for v in value], depth - levels)
        x = cast(lift(value, find_builder(arrays)), dtype)
        return _reshape(x, (1,) * (ndim - x.ndim) + x.shape)

    return joined(arrays, 0)


def _most(numbers: Sequence[int]) -> int:
    return sorted(numbers)[-1]


@surface(np.append, array=True)
def append(arr: Any, values: Any, axis: Any = None) -> Expr:
    both = join([arr, values])
    return concatenate([_reshape(x, (x.size,)) for x in both] if axis is None else both, axis or 0)


def _lifted(values: Any) -> list[Expr]:
    if isinstance(values, Expr):
        return rows(values)
    values = list(values)
    builder = find_builder(values)
    return [lift(v, builder) for v in values]


@surface(np.array_split, array=True, aliasing="view")
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Expr]:
    x = lift(ary)
    axis = normalize_axis(axis, x.ndim)
    n = x.shape[axis]
    if np.iterable(indices_or_sections):
        cuts = [0, *[operator.index(k) for k in indices_or_sections], n]
    else:
        parts = operator.index(indices_or_sections)
        each, extra = divmod(n, parts)
        cuts = [0, *np.cumsum([each + 1] * extra + [each] * (parts - extra)).tolist()]
    return [sh.slice_axis(x, axis, a, b, 1) for a, b in pairwise(cuts)]


@surface(np.split, array=True, aliasing="view")
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Expr]:
    x = lift(ary)
    if not np.iterable(indices_or_sections) and x.shape[normalize_axis(axis, x.ndim)] % indices_or_sections:
        raise ValueError("array split does not result in an equal division")
    return array_split(x, indices_or_sections, axis)


@surface(np.hsplit, array=True, aliasing="view")
def hsplit(ary: Any, indices_or_sections: Any) -> list[Expr]:
    return split(ary, indices_or_sections, 0 if lift(ary).ndim == 1 else 1)


@surface(np.vsplit, array=True, aliasing="view")
def vsplit(ary: Any, indices_or_sections: Any) -> list[Expr]:
    return split(ary, indices_or_sections, 0)


@surface(np.dsplit, array=True, aliasing="view")
def dsplit(ary: Any, indices_or_sections: Any) -> list[Expr]:
    if lift(ary).ndim < 3:
        raise ValueError("dsplit only works on arrays of 3 or more dimensions")
    return split(ary, indices_or_sections, 2)


@surface(newer("unstack"), array=True, aliasing="view")
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Expr, ...]:
    x = lift(x)
    axis = normalize_axis(axis, x.ndim)
    items = (sh.Slice(None, None, None),) * axis
    return tuple(sh.index(x, items=(*items, k)) for k in range(x.shape[axis]))


@surface(np.flip, array=True, aliasing="view")
def flip(m: Any, axis: Any = None) -> Expr:
    x = lift(m)
    for k in normalize_axes(axis, x.ndim):
        x = reduce.flip(x, k)
    return x


@surface(np.rot90, array=True, aliasing="view")
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Expr:
    x = lift(m)
    first, second = (normalize_axis(n, x.ndim) for n in axes)
    if first == second:
        raise ValueError("Axes must be different.")
    if k % 4 == 0:
        return x
    if k % 4 == 2:
        return flip(x, (first, second))
    return swapaxes(flip(x, second), first, second) if k % 4 == 1 else flip(swapaxes(x, first, second), second)


@surface(np.fliplr, array=True, aliasing="view")
def fliplr(m: Any) -> Expr:
    return flip(m, 1)


@surface(np.flipud, array=True, aliasing="view")
def flipud(m: Any) -> Expr:
    return flip(m, 0)


@surface(np.diff, array=True, aliasing="view")
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = NONE, append: Any = NONE) -> Expr:
    builder = find_builder([a, prepend, append])
    x = lift(a, builder)
    axis = normalize_axis(axis, x.ndim)
    ends = []
    for end in (prepend, append):
        if end is not NONE:
            end = lift(end, builder)
            ends.append(to_shape(end, (*x.shape[:axis], 1, *x.shape[axis + 1 :])) if end.ndim == 0 else end)
        else:
            ends.append(None)
    parts = [part for part in (ends[0], x, ends[1]) if part is not None]
    x = concatenate(parts, axis) if len(parts) > 1 else x
    for _ in range(n):
        above, below = sh.slice_axis(x, axis, 1, None, 1), sh.slice_axis(x, axis, None, -1, 1)
        x = ew.not_equal(above, below) if x.dtype == bool else ew.subtract(above, below)
    return x


# -- picking ---------------------------------------------------------------------------------------------------------


@surface(np.where, array=True)
def where(condition: Any, x: Any = NONE, y: Any = NONE, /) -> Expr:
    if x is NONE or y is NONE:
        raise refused(
            "np.where(condition) with one argument", "its shape depends on values: use the three-argument form"
        )
    builder = find_builder([condition, x, y])
    return ew.where(_truth(lift(condition, builder)), *promote([x, y], builder))


@surface(np.clip)
def clip(a: Any, a_min: Any = NONE, a_max: Any = NONE, out: Any = None, *, min: Any = NONE,
         max: Any = NONE, **kwargs: Any) -> Expr:  # fmt: skip
    dtype, casting = kwargs.pop("dtype", None), kwargs.pop("casting", "same_kind")
    if kwargs:
        raise refused(f"np.clip({', '.join(kwargs)}=)", "leave it out")
    low = a_min if min is NONE else min
    high = a_max if max is NONE else max
    bounds = [v for v in (low, high) if v is not NONE and v is not None]
    x, *rest = promote([a, *bounds]) if dtype is None else [_as(v, dtype, casting, a) for v in (a, *bounds)]
    if not bounds:
        return x
    if not x.aval.is_float and len(bounds) == 1:
        return (ew.minimum if high is bounds[0] else ew.maximum)(x, rest[0])
    if len(bounds) == 1:
        missing = x.builder.constant(np.inf if low is bounds[0] else -np.inf, x.dtype)
        rest = [rest[0], missing] if low is bounds[0] else [missing, rest[0]]
    return ew.clip(x, *rest)


def _as(value: Any, dtype: Any, casting: Any, like: Any) -> Expr:
    x = lift(value, find_builder([value, like]))
    if not np.can_cast(x.dtype, dtype, casting) and not x.weak:
        raise DtypeError(f"cannot cast {x.dtype} to {np.dtype(dtype)} with casting rule {casting!r}")
    return cast(x, dtype)


@surface(np.round, np.around)
def round(a: Any, decimals: int = 0, out: Any = None) -> Expr:
    return ew.round_(lift(a), decimals=operator.index(decimals))


@surface(np.fix)
def fix(x: Any, out: Any = None) -> Expr:
    x = lift(x)
    return ew.trunc(x) if x.aval.is_float else x


@surface(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Expr:
    builder = find_builder([a, indices])
    x, places = lift(a, builder), lift(indices, builder)
    x, axis = _line(x, axis)
    if places.dtype.kind not in "iu":
        raise TypeError(f"np.take: indices must be integers, not {places.dtype}")
    data = places.constant
    if mode != "raise":
        if data is None:
            raise refused(f"np.take(mode={mode!r}) with traced indices", "bring them into range first")
        data = data % x.shape[axis] if mode == "wrap" else np.clip(data, 0, x.shape[axis] - 1)
        places = x.builder.constant(data)
    elif data is not None and data.size and not -x.shape[axis] <= data.min() <= data.max() < x.shape[axis]:
        raise IndexError(f"index out of bounds for axis {axis} with size {x.shape[axis]}")
    return sh.index(x, places, items=(*[sh.Slice(None, None, None)] * axis, sh.Operand(0)))


@surface(np.diagonal, array=True, aliasing="view")
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Expr:
    x = moveaxis(lift(a), (axis1, axis2), (-2, -1))
    down, right = np.diagonal(np.indices(x.shape[-2:]), offset, 1, 2)
    i, j = x.builder.constant(down), x.builder.constant(right)
    items = (*[sh.Slice(None, None, None)] * (x.ndim - 2), sh.Operand(0), sh.Operand(1))
    return sh.index(x, i, j, items=items)


@surface(np.linalg.diagonal, array=True, aliasing="view")
def matrix_diagonal(x: Any, /, *, offset: int = 0) -> Expr:
    return diagonal(x, offset, -2, -1)


@surface(np.diag, array=True, aliasing="view")
def diag(v: Any, k: int = 0) -> Expr:
    x = lift(v)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ValueError("Input must be 1- or 2-d.")
    size = x.size + abs(k)
    places = np.arange(x.size)
    i, j = (x.builder.constant(places + (n if n > 0 else 0)) for n in (-k, k))
    return sh.scatter(x, i, j, items=(sh.Operand(0), sh.Operand(1)), shape=(size, size))


@surface(np.diagflat, array=True)
def diagflat(v: Any, k: int = 0) -> Expr:
    x = lift(v)
    return diag(_reshape(x, (x.size,)), k)


@surface(np.tril, array=True)
def tril(m: Any, k: int = 0) -> Expr:
    x = lift(m)
    return sh.triangle(x if x.ndim > 1 else to_shape(x, x.shape * 2), k=operator.index(k), lower=True)


@surface(np.triu, array=True)
def triu(m: Any, k: int = 0) -> Expr:
    x = lift(m)
    return sh.triangle(x if x.ndim > 1 else to_shape(x, x.shape * 2), k=operator.index(k), lower=False)


def along_axis(indices: Any, shape: Shape, axis: int) -> tuple[Any, ...]:
    """``np.take_along_axis``'s indices as an index for all axes."""
    axis = normalize_axis(axis, len(shape))
    lined = [np.arange(n).reshape((-1,) + (1,) * (len(shape) - 1 - k)) for k, n in enumerate(shape)]
    return tuple(indices if k == axis else line for k, line in enumerate(lined))


@surface(np.take_along_axis, array=True)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Expr:
    builder = find_builder([arr, indices])
    x, places = lift(arr, builder), lift(indices, builder)
    x, axis = _line(x, axis)
    if places.ndim != x.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    arrays = [lift(v, x.builder) for v in along_axis(places, x.shape, axis)]
    return sh.index(x, *arrays, items=tuple(sh.Operand(k) for k in range(x.ndim)))


@surface(np.compress, array=True)
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Expr:
    if isinstance(condition, Expr):
        raise refused("np.compress with a traced condition", "its shape depends on values: use np.where")
    return take(a, np.flatnonzero(condition), axis)


@surface(np.choose, array=True)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Expr:
    if isinstance(a, Expr):
        raise refused("np.choose with a traced choice", "use np.where or np.select")
    found = promote(rows(choices) if isinstance(choices, Expr) else list(choices))
    which = np.asarray(a)
    if mode != "raise":
        which = which % len(found) if mode == "wrap" else np.clip(which, 0, len(found) - 1)
    if which.size and not 0 <= which.min() <= which.max() < len(found):
        raise ValueError("invalid entry in choice array")
    out = found[0]
    for k, choice in enumerate(found):
        out = ew.where(lift(which == k, choice.builder), choice, out)
    return out


@surface(np.select, array=True)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Expr:
    """From the last condition to the first, so that the first one that holds decides."""
    builder = find_builder([condlist, choicelist, default])
    values = promote([*choicelist, default], builder)
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError("list of cases must be same length as list of conditions")
    out = values[-1]
    for condition, value in reversed(list(zip(condlist, values[:-1], strict=True))):
        out = ew.where(lift(condition, builder), value, out)
    return out


# -- making, copying -------------------------------------------------------------------------------------------------


@surface(np.full, array=True)
def full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", *, device: Any = None) -> Expr:
    x = lift(fill_value)
    return to_shape(x if dtype is None else cast(x, dtype), full_shape(shape, 0))


@surface(np.full_like, array=True)
def full_like(a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *,
              device: Any = None) -> Expr:  # fmt: skip
    builder = find_builder([a, fill_value])
    x = lift(a, builder)
    target = x.shape if shape is None else full_shape(shape, 0)
    return to_shape(cast(lift(fill_value, builder), dtype or x.dtype), target)


@surface(np.sinc)
def sinc(x: Any) -> Expr:
    return bessel.sinc(as_float(lift(x)))


@surface(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Expr:
    if not copy:
        raise refused("np.nan_to_num(copy=False) of a value that is no array", "x = np.nan_to_num(x)")
    x = lift(x, find_builder([x, nan, posinf, neginf]))
    if not x.aval.is_float:
        return x
    if x.dtype.kind == "c":
        return by_parts(lambda part: nan_to_num(part, nan=nan, posinf=posinf, neginf=neginf), x)
    limits = np.finfo(x.dtype)
    out = where(ew.isnan(x), nan, x)
    out = where(x == np.inf, float(limits.max) if posinf is None else posinf, out)
    return where(x == -np.inf, float(limits.min) if neginf is None else neginf, out)


@surface(np.linspace)
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
             axis: int = 0, *, device: Any = None) -> Any:  # fmt: skip
    a, b = (as_float(v) for v in promote([start, stop]))
    count = num - 1 if endpoint else num
    step = ew.divide(ew.subtract(b, a), float(count)) if count else np.nan
    ramp = np.arange(num, dtype=a.dtype) / (count or 1)
    width = np.broadcast_shapes(a.shape, b.shape)
    line = a.builder.constant(ramp.reshape((num,) + (1,) * len(width)), a.dtype)
    # Both ends exact: a weighted mean of the ends, not the start plus a rounded step.
    out = ew.add(ew.multiply(1 - line, a), ew.multiply(line, b))
    if dtype is not None:
        out = cast(ew.floor(out) if np.dtype(dtype).kind in "iu" else out, dtype)
    out = moveaxis(out, 0, axis) if axis else out
    return (out, step) if retstep else out


@surface(np.logspace)
def logspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None,
             axis: int = 0) -> Expr:  # fmt: skip
    builder = find_builder([start, stop, base])
    start, stop = lift(start, builder), lift(stop, builder)
    if not isinstance(base, (int, float)):
        base = lift(base, builder)
        ndim = _most([start.ndim, stop.ndim, base.ndim])
        start, stop, base = (_reshape(v, (1,) * (ndim - v.ndim) + v.shape) for v in (start, stop, base))
        base = expand_dims(base, axis)
    powers = linspace(start, stop, num, endpoint, axis=axis)
    base, powers = promote([base, powers], builder)
    out = ew.power(base, powers)
    return out if dtype is None else cast(out, dtype)


@surface(np.geomspace)
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Expr:
    # (Of single precision, NumPy makes double.)
    a, b = (cast(v, np.result_type(v.dtype, np.float64)) for v in join([start, stop]))
    ratio = linspace(zeros(a.builder, a.aval), ew.log(ew.divide(b, a)), num, endpoint)
    out = ew.multiply(a, ew.exp(ratio))
    out = moveaxis(out, 0, axis) if axis else out
    return out if dtype is None else cast(out, dtype)


@surface(np.meshgrid, array=True)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Sequence[Expr]:
    builder = find_builder(xi)
    xs = [_reshape(v, (v.size,)) for v in (lift(x, builder) for x in xi)]
    n = len(xs)
    place = list(range(n))
    if indexing == "xy" and n > 1:
        place[:2] = [1, 0]
    lined = [_reshape(x, tuple(x.size if k == place[j] else 1 for k in range(n))) for j, x in enumerate(xs)]
    if sparse:
        return tuple(lined) if copy else lined  # as NumPy has it
    target = tuple(np.broadcast_shapes(*[x.shape for x in lined]))
    return tuple(to_shape(x, target) for x in lined)
