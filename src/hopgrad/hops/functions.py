"""NumPy's functions, with NumPy's signatures, made of hops."""

from __future__ import annotations

import operator
from math import prod as product
from typing import Any

import numpy as np

from hopgrad.aval import normalize_axes, normalize_axis
from hopgrad.errors import NotDifferentiableError, ShapeError
from hopgrad.graph.builder import Expr, ones, zeros
from hopgrad.graph.operators import broadcast_to as to_shape
from hopgrad.hops import elementwise as ew
from hopgrad.hops import products, reduce, special
from hopgrad.hops import shape as sh
from hopgrad.hops.surface import as_float, cast, find_builder, lift, promote, result_dtype, surface

_NONE = np._NoValue  # type: ignore[attr-defined]  # NumPy's own mark for "argument not given"


def _refuse(what: str, cure: str) -> NotDifferentiableError:
    return NotDifferentiableError(f"{what} is not supported on traced values; {cure}")


# -- reductions -----------------------------------------------------------------------------------------------------------


def _reduce(hop: Any, x: Any, axis: Any, keepdims: Any, **params: Any) -> Expr:
    x = lift(x)
    axes = normalize_axes(axis, x.ndim)
    out: Expr = hop(x, axes=axes, keepdims=bool(keepdims) if keepdims is not _NONE else False, **params)
    return out


def _masked(x: Expr, where: Any, neutral: float) -> Expr:
    if where is _NONE or where is True:
        return x
    mask = lift(where, x.builder)
    return ew.where(mask, x, x.builder.constant(neutral, x.dtype))


@surface(np.sum)
def sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NONE,
        initial: Any = _NONE, where: Any = _NONE) -> Expr:  # fmt: skip
    x = _masked(lift(a), where, 0)
    if dtype is not None:
        x = cast(x, dtype)
    elif x.dtype.kind in "biu":
        x = cast(x, np.sum(np.zeros(1, x.dtype)).dtype)
    total = _reduce(reduce.sum_, x, axis, keepdims)
    return total if initial in (_NONE, 0) else total + initial


@surface(np.prod)
def prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NONE,
         initial: Any = _NONE, where: Any = _NONE) -> Expr:  # fmt: skip
    x = _masked(lift(a), where, 1)
    if dtype is not None:
        x = cast(x, dtype)
    elif x.dtype.kind in "biu":
        x = cast(x, np.prod(np.zeros(1, x.dtype)).dtype)
    total = _reduce(reduce.prod, x, axis, keepdims)
    return total if initial in (_NONE, 1) else total * initial


@surface(np.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NONE,
         *, where: Any = _NONE) -> Expr:  # fmt: skip
    if where is not _NONE:
        raise _refuse("np.mean(where=...)", "divide np.sum(np.where(mask, x, 0)) by np.sum(mask)")
    x = as_float(lift(a)) if dtype is None else cast(lift(a), dtype)
    return _reduce(reduce.mean, x, axis, keepdims)


def _spread(hop: Any, name: str) -> Any:
    def adapter(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = _NONE,
                *, where: Any = _NONE, mean: Any = _NONE, correction: Any = _NONE) -> Expr:  # fmt: skip
        if where is not _NONE or mean is not _NONE:
            raise _refuse(f"np.{name}(where=, mean=)", "write the sum out")
        x = as_float(lift(a)) if dtype is None else cast(lift(a), dtype)
        return _reduce(hop, x, axis, keepdims, ddof=ddof if correction is _NONE else correction)

    return adapter


var = surface(np.var)(_spread(reduce.var, "var"))
std = surface(np.std)(_spread(reduce.std, "std"))


def _extreme(hop: Any, pairwise: Any, name: str) -> Any:
    def adapter(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE, initial: Any = _NONE,
                where: Any = _NONE) -> Expr:  # fmt: skip
        x = lift(a)
        if where is not _NONE and where is not True:
            raise _refuse(f"np.{name}(where=...)", "use np.where first")
        count = product(x.shape[k] for k in normalize_axes(axis, x.ndim))
        if count == 0 and initial is _NONE:
            raise ShapeError(f"np.{name} of an empty array has no value: give initial=")
        if count == 0:
            shape = reduce.sum_(x, axes=normalize_axes(axis, x.ndim), keepdims=keepdims is True).shape
            return to_shape(x.builder.constant(initial, x.dtype), shape)
        found = _reduce(hop, x, axis, keepdims)
        return found if initial is _NONE else pairwise(*promote([found, initial]))

    return adapter


max = surface(np.max, np.amax)(_extreme(reduce.max_, ew.maximum, "max"))
min = surface(np.min, np.amin)(_extreme(reduce.min_, ew.minimum, "min"))


@surface(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE) -> Expr:
    return ew.subtract(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims))


def _position(hop: Any) -> Any:
    def adapter(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = _NONE) -> Expr:
        return _reduce(hop, a, axis, keepdims, dtype=np.dtype(np.intp))

    return adapter


argmax = surface(np.argmax)(_position(reduce.argmax))
argmin = surface(np.argmin)(_position(reduce.argmin))


def _truth(x: Any) -> Expr:
    x = lift(x)
    return x if x.dtype == bool else ew.not_equal(x, 0)


@surface(np.any)
def any(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE, *, where: Any = _NONE) -> Expr:
    return _reduce(reduce.any_, _masked(_truth(a), where, 0), axis, keepdims)


@surface(np.all)
def all(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE, *, where: Any = _NONE) -> Expr:
    return _reduce(reduce.all_, _masked(_truth(a), where, 1), axis, keepdims)


@surface(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Expr:
    return sum(_truth(a), axis, keepdims=keepdims)


@surface(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = _NONE) -> Any:
    if weights is None:
        found = mean(a, axis, keepdims=keepdims)
        x = lift(a)
        total: Any = ones(x.builder, found.aval) * (x.size / product(found.shape) if found.size else 1)
    else:
        x, w = promote([a, weights])
        x, w = as_float(x), as_float(w)
        if w.shape != x.shape:
            if not isinstance(axis, int) or w.ndim != 1:
                raise ShapeError(f"np.average: weights of shape {w.shape} need an int axis of {x.shape}")
            k = normalize_axis(axis, x.ndim)
            w = to_shape(sh.reshape(w, shape=(w.shape[0],) + (1,) * (x.ndim - 1 - k)), x.shape)
        total = sum(w, axis, keepdims=keepdims)
        found = sum(ew.multiply(x, w), axis, keepdims=keepdims) / total
    return (found, total) if returned else found


@surface(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Expr:
    x = lift(a)
    if dtype is not None:
        x = cast(x, dtype)
    elif x.dtype.kind in "biu":
        x = cast(x, np.sum(np.zeros(1, x.dtype)).dtype)
    if axis is None:
        x, axis = _reshape(x, (x.size,)), 0
    found: Expr = reduce.cumsum(x, axis=normalize_axis(axis, x.ndim))
    return found


@surface("scipy.special:logsumexp")
def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Expr:
    """SciPy's, for real arguments; with weights b > 0 as log(b) added."""
    if return_sign:
        raise _refuse("logsumexp(return_sign=True)", "take the logarithm of the absolute sum")
    x = as_float(lift(a, find_builder([a, b])))
    if b is not None:
        x, weight = promote([x, b])
        x = ew.add(x, ew.log(weight))
    return _reduce(reduce.logsumexp, x, axis, keepdims)


@surface("scipy.special:softmax")
def softmax(x: Any, axis: Any = None) -> Expr:
    """SciPy's."""
    x = as_float(lift(x))
    found: Expr = reduce.softmax(x, axes=normalize_axes(axis, x.ndim))
    return found


@surface("scipy.special:log_softmax")
def log_softmax(x: Any, axis: Any = None) -> Expr:
    """SciPy's."""
    x = as_float(lift(x))
    found: Expr = reduce.log_softmax(x, axes=normalize_axes(axis, x.ndim))
    return found


@surface(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Expr:
    x = as_float(lift(x))
    axes = normalize_axes(axis, x.ndim)
    if ord is None or (ord == 2 and len(axes) == 1) or ord == "fro":
        return _reduce(reduce.norm, x, axes, keepdims)
    if len(axes) == 1 and ord in (1, np.inf, -np.inf):
        size = ew.absolute(x)
        return {1: sum, np.inf: max, -np.inf: min}[ord](size, axes, keepdims=keepdims)  # type: ignore[no-any-return]
    if len(axes) == 1 and isinstance(ord, (int, float)) and ord > 0:
        powers = sum(ew.absolute(x) ** ord, axes, keepdims=keepdims)
        return powers ** (1 / ord)
    raise _refuse(f"np.linalg.norm(ord={ord!r}) of a matrix", "ord None and 'fro' are")


# -- products -------------------------------------------------------------------------------------------------------------


def matmul(a: Any, b: Any) -> Expr:
    """The ``@`` operator."""
    a, b = promote([a, b])
    found: Expr = products.matmul(a, b)
    return found


@surface(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Expr:
    a, b = promote([a, b])
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if b.ndim <= 2:
        return _product(a, b)
    return tensordot(a, b, axes=((a.ndim - 1,), (b.ndim - 2,)))


def _product(a: Expr, b: Expr) -> Expr:
    found: Expr = products.matmul(a, b)
    return found


@surface(np.vdot)
def vdot(a: Any, b: Any) -> Expr:
    a, b = promote([a, b])
    return _product(_reshape(a, (a.size,)), _reshape(b, (b.size,)))


@surface(np.inner)
def inner(a: Any, b: Any) -> Expr:
    a, b = promote([a, b])
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return tensordot(a, b, axes=((a.ndim - 1,), (b.ndim - 1,)))


@surface(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Expr:
    a, b = promote([a, b])
    return ew.multiply(_reshape(a, (a.size, 1)), _reshape(b, (b.size,)))


@surface(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Expr:
    a, b = promote([a, b])
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
    return _reshape(_product(matrix_a, matrix_b), (*[a.shape[k] for k in rows], *[b.shape[k] for k in columns]))


@surface(np.einsum)
def einsum(*operands: Any, out: Any = None, dtype: Any = None, order: Any = "K", casting: Any = "safe",
           optimize: Any = False) -> Expr:  # fmt: skip
    if not isinstance(operands[0], str):
        raise _refuse("np.einsum with index lists", "write the subscripts as a string")
    subscripts = operands[0].replace(" ", "")
    arrays = promote(operands[1:]) if dtype is None else [cast(x, dtype) for x in promote(operands[1:])]
    left, arrow, right = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != len(arrays):
        raise ShapeError(f"einsum {subscripts!r} names {len(terms)} operands, {len(arrays)} were given")
    if "..." in subscripts:
        terms, right = _expand_dots(terms, right if arrow else None, arrays)
    elif not arrow:
        letters = "".join(terms)
        right = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    found: Expr = products.einsum(*arrays, subscripts=f"{','.join(terms)}->{right}")
    return found


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


@surface(np.kron)
def kron(a: Any, b: Any) -> Expr:
    a, b = promote([a, b])
    n = a.ndim if a.ndim > b.ndim else b.ndim
    wide_a = (1,) * (n - a.ndim) + a.shape
    wide_b = (1,) * (n - b.ndim) + b.shape
    a = _reshape(a, tuple(v for m in wide_a for v in (m, 1)))
    b = _reshape(b, tuple(v for m in wide_b for v in (1, m)))
    return _reshape(ew.multiply(a, b), tuple(p * q for p, q in zip(wide_a, wide_b, strict=True)))


# -- shape ----------------------------------------------------------------------------------------------------------------


def _reshape(x: Expr, shape: tuple[int, ...]) -> Expr:
    found: Expr = x if x.shape == shape else sh.reshape(x, shape=shape)
    return found


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


@surface(np.reshape, array=True)
def reshape(a: Any, /, shape: Any = None, order: Any = "C", *, newshape: Any = None, copy: Any = None) -> Expr:
    x = lift(a)
    target = full_shape(newshape if shape is None else shape, x.size)
    if order == "F":
        turned = sh.transposed(x, tuple(reversed(range(x.ndim))))
        found = sh.reshape(turned, shape=tuple(reversed(target)))
        return sh.transposed(found, tuple(reversed(range(len(target)))))  # type: ignore[no-any-return]
    out: Expr = sh.reshape(x, shape=target)
    return out


@surface(np.ravel, array=True)
def ravel(a: Any, order: Any = "C") -> Expr:
    x = lift(a)
    return reshape(x, (x.size,), "F" if order == "F" else "C")


@surface(np.transpose, array=True)
def transpose(a: Any, axes: Any = None) -> Expr:
    x = lift(a)
    order = tuple(reversed(range(x.ndim))) if axes is None else tuple(normalize_axis(k, x.ndim) for k in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"transpose: axes {axes} are no permutation of the {x.ndim} axes")
    found: Expr = sh.transpose(x, axes=order) if x.ndim > 1 else x
    return found


@surface(np.matrix_transpose, np.linalg.matrix_transpose, array=True)
def matrix_transpose(x: Any, /) -> Expr:
    return swapaxes(x, -1, -2)


@surface(np.permute_dims, array=True)
def permute_dims(a: Any, axes: Any = None) -> Expr:
    return transpose(a, axes)


@surface(np.swapaxes, array=True)
def swapaxes(a: Any, axis1: int, axis2: int) -> Expr:
    x = lift(a)
    order = list(range(x.ndim))
    i, j = normalize_axis(axis1, x.ndim), normalize_axis(axis2, x.ndim)
    order[i], order[j] = order[j], order[i]
    return transpose(x, order)


@surface(np.moveaxis, array=True)
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


@surface(np.rollaxis, array=True)
def rollaxis(a: Any, axis: int, start: int = 0) -> Expr:
    x = lift(a)
    k = normalize_axis(axis, x.ndim)
    start = start + x.ndim if start < 0 else start
    return moveaxis(x, k, start - 1 if start > k else start)


@surface(np.expand_dims, array=True)
def expand_dims(a: Any, axis: Any) -> Expr:
    x = lift(a)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    n = x.ndim + len(axes)
    places = {normalize_axis(k, n) for k in axes}
    rest = iter(x.shape)
    found: Expr = sh.reshape(x, shape=tuple(1 if k in places else next(rest) for k in range(n)))
    return found


@surface(np.squeeze, array=True)
def squeeze(a: Any, axis: Any = None) -> Expr:
    x = lift(a)
    axes = tuple(k for k, n in enumerate(x.shape) if n == 1) if axis is None else normalize_axes(axis, x.ndim)
    if any_not_one := [k for k in axes if x.shape[k] != 1]:
        raise ShapeError(f"squeeze: axis {any_not_one[0]} of {x.shape} has not length 1")
    found: Expr = sh.reshape(x, shape=tuple(n for k, n in enumerate(x.shape) if k not in axes))
    return found


@surface(np.broadcast_to, array=True)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Expr:
    target = tuple(operator.index(n) for n in (shape if np.iterable(shape) else (shape,)))
    found: Expr = sh.broadcast_to(lift(array), shape=target)
    return found


@surface(np.broadcast_arrays, array=True)
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


atleast_1d = surface(np.atleast_1d, array=True)(_atleast(1))
atleast_2d = surface(np.atleast_2d, array=True)(_atleast(2))
atleast_3d = surface(np.atleast_3d, array=True)(_atleast(3))


# -- joining and splitting --------------------------------------------------------------------------------------------------


@surface(np.concatenate, np.concat, array=True)
def concatenate(arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Expr:
    xs = promote(list(arrays), find_builder(list(arrays)))
    if dtype is not None:
        xs = [cast(x, dtype) for x in xs]
    if axis is None:
        xs, axis = [_reshape(x, (x.size,)) for x in xs], 0
    if xs[0].ndim == 0:
        raise ShapeError("concatenate: zero-dimensional arrays cannot be joined; use np.stack")
    found: Expr = sh.concatenate(*xs, axis=normalize_axis(axis, xs[0].ndim))
    return found


@surface(np.stack, array=True)
def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Expr:
    xs = promote(list(arrays), find_builder(list(arrays)))
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


def _lifted(values: Any) -> list[Expr]:
    values = list(values)
    builder = find_builder(values)
    return [lift(v, builder) for v in values]


@surface(np.array_split, array=True)
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
    return [sh.slice_axis(x, axis, a, b, 1) for a, b in zip(cuts, cuts[1:], strict=False)]


@surface(np.split, array=True)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Expr]:
    x = lift(ary)
    if not np.iterable(indices_or_sections) and x.shape[normalize_axis(axis, x.ndim)] % indices_or_sections:
        raise ValueError("array split does not result in an equal division")
    return array_split(x, indices_or_sections, axis)  # type: ignore[no-any-return]


@surface(np.hsplit, array=True)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Expr]:
    return split(ary, indices_or_sections, 0 if lift(ary).ndim == 1 else 1)  # type: ignore[no-any-return]


@surface(np.vsplit, array=True)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Expr]:
    return split(ary, indices_or_sections, 0)  # type: ignore[no-any-return]


@surface(np.unstack, array=True)
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Expr, ...]:
    x = lift(x)
    axis = normalize_axis(axis, x.ndim)
    items = (sh.Slice(None, None, None),) * axis
    return tuple(sh.index(x, items=(*items, k)) for k in range(x.shape[axis]))


@surface(np.tile, array=True)
def tile(A: Any, reps: Any) -> Expr:  # noqa: N803 - NumPy's name
    x = lift(A)
    counts = tuple(operator.index(r) for r in (reps if np.iterable(reps) else (reps,)))
    n = len(counts) if len(counts) > x.ndim else x.ndim
    counts = (1,) * (n - len(counts)) + counts
    shape = (1,) * (n - x.ndim) + x.shape
    wide = _reshape(x, tuple(v for m in shape for v in (1, m)))
    wide = to_shape(wide, tuple(v for c, m in zip(counts, shape, strict=True) for v in (c, m)))
    return _reshape(wide, tuple(c * m for c, m in zip(counts, shape, strict=True)))


@surface(np.repeat, array=True)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Expr:
    x = lift(a)
    if axis is None:
        x, axis = _reshape(x, (x.size,)), 0
    axis = normalize_axis(axis, x.ndim)
    return take(x, np.repeat(np.arange(x.shape[axis]), repeats), axis)


@surface(np.roll, array=True)
def roll(a: Any, shift: Any, axis: Any = None) -> Expr:
    x = lift(a)
    if axis is None:
        return _reshape(roll(_reshape(x, (x.size,)), shift, 0), x.shape)
    for s, k in np.broadcast(shift, axis):
        k = normalize_axis(int(k), x.ndim)
        cut = int(s) % x.shape[k] if x.shape[k] else 0
        if cut:
            n = x.shape[k]
            x = sh.concatenate(sh.slice_axis(x, k, n - cut, n, 1), sh.slice_axis(x, k, 0, n - cut, 1), axis=k)
    return x


@surface(np.flip, array=True)
def flip(m: Any, axis: Any = None) -> Expr:
    x = lift(m)
    for k in normalize_axes(axis, x.ndim):
        x = reduce.flip(x, k)
    return x


@surface(np.fliplr, array=True)
def fliplr(m: Any) -> Expr:
    return flip(m, 1)


@surface(np.flipud, array=True)
def flipud(m: Any) -> Expr:
    return flip(m, 0)


@surface(np.diff, array=True)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = _NONE, append: Any = _NONE) -> Expr:
    if prepend is not _NONE or append is not _NONE:
        raise _refuse("np.diff(prepend=, append=)", "use np.concatenate first")
    x = lift(a)
    axis = normalize_axis(axis, x.ndim)
    for _ in range(n):
        x = ew.subtract(sh.slice_axis(x, axis, 1, None, 1), sh.slice_axis(x, axis, None, -1, 1))
    return x


# -- picking --------------------------------------------------------------------------------------------------------------


@surface(np.where, array=True)
def where(condition: Any, x: Any = _NONE, y: Any = _NONE, /) -> Expr:
    if x is _NONE or y is _NONE:
        raise _refuse("np.where(condition) with one argument", "its shape depends on values: use the three-argument form")
    builder = find_builder([condition, x, y])
    mask = lift(condition, builder)
    if mask.dtype != bool:
        mask = ew.not_equal(mask, 0)
    a, b = promote([x, y], builder)
    found: Expr = ew.where(mask, a, b)
    return found


@surface(np.clip)
def clip(a: Any, a_min: Any = _NONE, a_max: Any = _NONE, out: Any = None, *, min: Any = _NONE,
         max: Any = _NONE, **kwargs: Any) -> Expr:  # fmt: skip
    low = a_min if min is _NONE else min
    high = a_max if max is _NONE else max
    bounds = [v for v in (low, high) if v is not _NONE and v is not None]
    x, *rest = promote([a, *bounds])
    if not bounds:
        return x
    if not x.aval.is_float and len(bounds) == 1:
        found: Expr = (ew.minimum if high is bounds[0] else ew.maximum)(x, rest[0])
        return found
    if len(bounds) == 1:
        missing = x.builder.constant(np.inf if low is bounds[0] else -np.inf, x.dtype)
        rest = [rest[0], missing] if low is bounds[0] else [missing, rest[0]]
    found = ew.clip(x, *rest)
    return found


@surface(np.round, np.around)
def round(a: Any, decimals: int = 0, out: Any = None) -> Expr:
    found: Expr = ew.round_(lift(a), decimals=operator.index(decimals))
    return found


@surface(np.fix)
def fix(x: Any, out: Any = None) -> Expr:
    found: Expr = ew.trunc(as_float(lift(x)))
    return found


@surface(np.take, array=True)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Expr:
    builder = find_builder([a, indices])
    x, places = lift(a, builder), lift(indices, builder)
    if axis is None:
        x, axis = _reshape(x, (x.size,)), 0
    axis = normalize_axis(axis, x.ndim)
    if places.dtype.kind not in "iu":
        raise TypeError(f"np.take: indices must be integers, not {places.dtype}")
    data = places.constant
    if data is not None and mode == "wrap":
        places = x.builder.constant(data % x.shape[axis])
    elif data is not None and mode == "clip":
        places = x.builder.constant(np.clip(data, 0, x.shape[axis] - 1))
    elif data is not None and data.size and not -x.shape[axis] <= data.min() <= data.max() < x.shape[axis]:
        raise IndexError(f"np.take: index out of bounds for axis {axis} of length {x.shape[axis]}")
    items = (*[sh.Slice(None, None, None)] * axis, sh.Operand(0))
    found: Expr = sh.index(x, places, items=items)
    return found


@surface(np.diagonal, np.linalg.diagonal, array=True)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Expr:
    x = moveaxis(lift(a), (axis1, axis2), (-2, -1))
    rows, columns = x.shape[-2:]
    places = np.arange(rows if rows < columns - offset else columns - offset)
    places = places[(places >= 0) & (places + offset >= 0)] if offset >= 0 else np.arange(
        rows + offset if rows + offset < columns else columns)  # fmt: skip
    down, right = (0, offset) if offset >= 0 else (-offset, 0)
    i, j = (x.builder.constant(np.asarray(places + k, np.intp)) for k in (down, right))
    items = (*[sh.Slice(None, None, None)] * (x.ndim - 2), sh.Operand(0), sh.Operand(1))
    found: Expr = sh.index(x, i, j, items=items)
    return found


@surface(np.diag, array=True)
def diag(v: Any, k: int = 0) -> Expr:
    x = lift(v)
    if x.ndim == 2:
        return diagonal(x, k)
    size = x.size + abs(k)
    places = np.arange(x.size)
    i, j = (x.builder.constant(places + (n if n > 0 else 0)) for n in (-k, k))
    found: Expr = sh.scatter(x, i, j, items=(sh.Operand(0), sh.Operand(1)), shape=(size, size))
    return found


@surface(np.tril, array=True)
def tril(m: Any, k: int = 0) -> Expr:
    found: Expr = sh.triangle(lift(m), k=k, lower=True)
    return found


@surface(np.triu, array=True)
def triu(m: Any, k: int = 0) -> Expr:
    found: Expr = sh.triangle(lift(m), k=k, lower=False)
    return found


# -- making, copying, asking ----------------------------------------------------------------------------------------------


def _like(value: Any) -> Any:
    def adapter(a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *,
                device: Any = None) -> Expr:  # fmt: skip
        x = lift(a)
        target = x.shape if shape is None else full_shape(shape, 0)
        return to_shape(x.builder.constant(value, dtype or x.dtype), target)

    return adapter


zeros_like = surface(np.zeros_like, array=True)(_like(0))
empty_like = surface(np.empty_like, array=True)(_like(0))
ones_like = surface(np.ones_like, array=True)(_like(1))


@surface(np.full_like, array=True)
def full_like(a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *,
              device: Any = None) -> Expr:  # fmt: skip
    x = lift(a, find_builder([a, fill_value]))
    target = x.shape if shape is None else full_shape(shape, 0)
    return to_shape(cast(lift(fill_value, x.builder), dtype or x.dtype), target)


@surface(np.copy, array=True)
def copy(a: Any, order: Any = "K", subok: bool = False) -> Expr:
    return lift(a)


@surface(np.astype, array=True)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Expr:
    return cast(lift(x), dtype)


@surface(np.real, np.real_if_close, array=True)
def real(val: Any) -> Expr:
    return lift(val)


@surface(np.imag, array=True)
def imag(val: Any) -> Expr:
    x = lift(val)
    return zeros(x.builder, x.aval)


@surface(np.shape)
def shape(a: Any) -> Any:
    return lift(a).shape


@surface(np.ndim)
def ndim(a: Any) -> Any:
    return lift(a).ndim


@surface(np.size)
def size(a: Any, axis: Any = None) -> Any:
    x = lift(a)
    return x.size if axis is None else product(x.shape[k] for k in normalize_axes(axis, x.ndim))


@surface(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> Any:
    return result_dtype(*arrays_and_dtypes)


@surface(np.iscomplexobj)
def iscomplexobj(x: Any) -> Any:
    return lift(x).dtype.kind == "c"


@surface(np.isrealobj)
def isrealobj(x: Any) -> Any:
    return lift(x).dtype.kind != "c"


@surface(np.sinc)
def sinc(x: Any) -> Expr:
    found: Expr = special.sinc(as_float(lift(x)))
    return found


@surface(np.nan_to_num, array=True)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Expr:
    x = as_float(lift(x))
    limits = np.finfo(x.dtype)
    out = where(ew.isnan(x), nan, x)
    out = where(x == np.inf, float(limits.max) if posinf is None else posinf, out)
    return where(x == -np.inf, float(limits.min) if neginf is None else neginf, out)


@surface(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Expr:
    a, b = promote([a, b])
    near: Expr = ew.less_equal(ew.absolute(a - b), ew.absolute(b) * rtol + atol)
    return near | (ew.equal(a, b))


@surface(np.linspace, array=True)
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
             axis: int = 0, *, device: Any = None) -> Any:  # fmt: skip
    a, b = (as_float(v) for v in promote([start, stop]))
    count = num - 1 if endpoint else num
    step = ew.divide(ew.subtract(b, a), float(count) if count else np.nan)
    ramp = np.arange(num, dtype=a.dtype) / (count or 1)
    width = np.broadcast_shapes(a.shape, b.shape)
    line = a.builder.constant(ramp.reshape((num,) + (1,) * len(width)))
    # Both ends exact: a weighted mean of the ends, not the start plus a rounded step.
    out = ew.add(ew.multiply(1 - line, a), ew.multiply(line, b))
    out = out if dtype is None else cast(out, dtype)
    out = moveaxis(out, 0, axis) if axis else out
    return (out, step) if retstep else out


@surface(np.meshgrid, array=True)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Expr, ...]:
    builder = find_builder(xi)
    xs = [_reshape(v, (v.size,)) for v in (lift(x, builder) for x in xi)]
    n = len(xs)
    place = list(range(n))
    if indexing == "xy" and n > 1:
        place[:2] = [1, 0]
    lined = [_reshape(x, tuple(x.size if k == place[j] else 1 for k in range(n))) for j, x in enumerate(xs)]
    if sparse:
        return tuple(lined)
    target = tuple(np.broadcast_shapes(*[x.shape for x in lined]))
    return tuple(to_shape(x, target) for x in lined)


@surface(np.polyval)
def polyval(p: Any, x: Any) -> Expr:
    builder = find_builder([p, x])
    coefficients, at = promote([p, x], builder)
    total = zeros(builder, at.aval) if builder else at
    for k in range(coefficients.shape[0]):
        total = total * at + sh.index(coefficients, items=(k,))
    return total
