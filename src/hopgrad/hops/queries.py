"""NumPy's functions that ask, about shapes and dtypes or about values; and those that are refused."""

from __future__ import annotations

from math import prod as product
from typing import Any

import numpy as np

from hopgrad.aval import aval, normalize_axes
from hopgrad.graph.builder import Expr, ones, zeros
from hopgrad.hops import elementwise as ew
from hopgrad.hops import functions as fn
from hopgrad.hops.surface import cast, find_builder, lift, promote, refuse, result_dtype, surface

# -- shapes and dtypes -----------------------------------------------------------------------------------------------


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
    return result_dtype(*[np.dtype(v) if isinstance(v, (type, str)) else v for v in arrays_and_dtypes])


def _stand_in(value: Any) -> Any:
    """An array of the same shape and dtype, whose values nobody is to look at."""
    if isinstance(value, Expr):
        return np.broadcast_to(np.zeros((), value.dtype), value.shape)
    return [_stand_in(v) for v in value] if isinstance(value, (list, tuple)) else value


def _by_shape(function: Any) -> Any:
    def adapter(*args: Any, **keywords: Any) -> Any:
        return function(*[_stand_in(a) for a in args], **{k: _stand_in(v) for k, v in keywords.items()})

    return adapter


for _function in (
    np.can_cast, np.common_type, np.diag_indices_from, np.tril_indices_from, np.triu_indices_from, np.einsum_path,
    np.iscomplexobj, np.isrealobj,
):  # fmt: skip
    surface(_function)(_by_shape(_function))

# -- values ----------------------------------------------------------------------------------------------------------


@surface(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Expr:
    builder = find_builder([a, b, rtol, atol])
    b = lift(b, builder)
    a, b = promote([lift(a, builder), cast(b, result_dtype(b, 1.0))])
    limit = ew.add(*promote([ew.multiply(*promote([ew.magnitude(b), rtol])), atol]))
    near = ew.less_equal(*promote([ew.magnitude(a - b), limit]))
    near = ew.logical_or(ew.logical_and(near, ew.isfinite(b)), ew.equal(a, b))
    return ew.logical_or(near, ew.logical_and(ew.isnan(a), ew.isnan(b))) if equal_nan else near


@surface(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Expr:
    found = fn.all(isclose(a, b, rtol, atol, equal_nan))
    found.weak = True  # a Python bool
    return found


@surface(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    builder = find_builder([a1, a2])
    x, y = lift(a1, builder), lift(a2, builder)
    return _all_equal(x, y, equal_nan) if x.shape == y.shape else False


@surface(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> Any:
    builder = find_builder([a1, a2])
    x, y = lift(a1, builder), lift(a2, builder)
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return _all_equal(x, y, False)


def _all_equal(x: Expr, y: Expr, equal_nan: bool) -> Expr:
    x, y = promote([x, y])
    same = ew.equal(x, y)
    found = fn.all(ew.logical_or(same, ew.logical_and(ew.isnan(x), ew.isnan(y))) if equal_nan else same)
    found.weak = True  # a Python bool
    return found


@surface(np.isreal)
def isreal(x: Any) -> Expr:
    x = lift(x)
    return ones(x.builder, aval(x.shape, bool)) if x.dtype.kind != "c" else ew.imag(x) == 0


@surface(np.iscomplex)
def iscomplex(x: Any) -> Expr:
    x = lift(x)
    return zeros(x.builder, aval(x.shape, bool)) if x.dtype.kind != "c" else ew.imag(x) != 0


@surface(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Expr:
    return _is(lift(x), np.inf)


@surface(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Expr:
    return _is(lift(x), -np.inf)


def _is(x: Expr, limit: float) -> Expr:
    return x == limit if x.aval.is_float else zeros(x.builder, aval(x.shape, bool))


@surface(np.angle)
def angle(z: Any, deg: bool = False) -> Expr:
    """Of real numbers: 0 or π."""
    z = lift(z)
    if z.dtype.kind == "c":
        y, x = ew.imag(z), ew.real(z)
    else:
        x = cast(z, np.arctan2(np.zeros((), z.dtype), 0).dtype)
        y = zeros(x.builder, x.aval)
    found = ew.arctan2(y, x)
    return ew.rad2deg(found) if deg else found


# -- refused by name -------------------------------------------------------------------------------------------------

_SHAPE = "its shape depends on values: use the three-argument np.where, or a mask that is not traced"

refuse(
    _SHAPE, np.nonzero, np.flatnonzero, np.argwhere, np.extract, np.unique, np.unique_all, np.unique_counts,
    np.unique_inverse, np.unique_values, np.trim_zeros, np.intersect1d, np.setdiff1d, np.setxor1d, np.union1d,
)  # fmt: skip
refuse("indices must not depend on differentiated values", np.ix_, np.ravel_multi_index, np.unravel_index)
refuse("", np.packbits, np.unpackbits, np.min_scalar_type, np.require)
refuse("save what the traced function returns", np.save, np.savetxt, np.savez, np.savez_compressed)
refuse("dates have no derivative", np.busday_count, np.busday_offset, np.is_busday, np.datetime_as_string)
