"""Which NumPy function is made of which hops.

A ufunc that is the value of a hop needs no entry: it *is* that hop. Every other function of NumPy has a *surface* here
or in ``functions``: an adapter with NumPy's own signature that takes handles where the user passed traced values, and
returns handles. It deals with axis conventions and promotion, which hops do not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from hopgrad.errors import GraphError
from hopgrad.graph.builder import Builder, Expr
from hopgrad.hops.elementwise import convert


class Surface(NamedTuple):
    """An adapter. ``array``: a result of shape () is a 0-d array, as NumPy gives here, instead of a scalar."""

    function: Callable[..., Any]
    array: bool


surfaces: dict[Any, Surface] = {}
"""By the NumPy function that dispatches to it (for SciPy: "scipy.special:name", resolved when met)."""


def surface(*functions: Any, array: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register an adapter for NumPy functions."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for key in functions:
            surfaces[key] = Surface(function, array)
        return function

    return decorate


def find_builder(value: Any) -> Builder | None:
    """The builder of the first handle in nested lists and tuples."""
    if isinstance(value, Expr):
        return value.builder
    if isinstance(value, (list, tuple)):
        for item in value:
            found = find_builder(item)
            if found is not None:
                return found
    return None


def lift(value: Any, builder: Builder | None = None) -> Expr:
    """A handle for an array-like: itself, a constant, or for a list with handles in it their stack."""
    if isinstance(value, Expr):
        return value
    if builder is None:
        builder = find_builder(value)
        if builder is None:
            raise GraphError("no operand belongs to a graph")
    if isinstance(value, (list, tuple)) and find_builder(value) is not None:
        from hopgrad.hops.functions import stack

        stacked: Expr = stack([lift(item, builder) for item in value])
        return stacked
    constant = builder.constant(value)
    constant.weak = type(value) in (int, float, bool)
    return constant


def _token(value: Any) -> Any:
    """What stands for an operand in NumPy's promotion: a Python number's type, or a dtype."""
    if isinstance(value, Expr):
        return float(0) if value.weak and value.dtype.kind == "f" else value.dtype
    if type(value) in (int, float, complex):
        return value
    return np.asarray(value).dtype


def result_dtype(*values: Any) -> np.dtype[Any]:
    """NumPy's promotion (NEP 50) of handles, arrays and Python numbers."""
    return np.result_type(*[_token(v) for v in values])


def cast(value: Expr, dtype: Any) -> Expr:
    """Converted, if the dtype is another; constants are converted at once."""
    dtype = np.dtype(dtype)
    if value.dtype == dtype:
        return value
    data = value.constant
    return convert(value, dtype=dtype) if data is None else value.builder.constant(data.astype(dtype))


def promote(values: Sequence[Any], builder: Builder | None = None) -> list[Expr]:
    """Handles of one common dtype."""
    dtype = result_dtype(*values)
    builder = builder or find_builder(list(values))
    return [cast(lift(v, builder), dtype) for v in values]


def as_float(x: Expr) -> Expr:
    """Integers and booleans as float64, as NumPy's means and roots have it."""
    return x if x.aval.is_float else cast(x, np.float64)
