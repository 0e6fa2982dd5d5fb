"""Floating-point numbers as they are stored: mantissa and exponent, neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad.aval import Aval, aval
from hopgrad.batch import stacked
from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import REAL, Case, Function, elementwise, general
from hopgrad.graph.operators import Operator
from hopgrad.hops import elementwise as ew
from hopgrad.hops.surface import cast

INTEGER = np.dtype(np.intc)
"""Of exponents."""


@elementwise(np.nextafter, Function("nextafter", r"\operatorname{nextafter}"), domain=(REAL, REAL),
             kink="the derivative of the first operand: 1")  # fmt: skip
def nextafter(x: Expr, y: Expr) -> Any:
    """The neighbour moves along with x, however small the step to it is; y only tells the direction."""
    return lambda: 1, None


@elementwise(np.spacing, Function("spacing", r"\operatorname{spacing}"), traits=("flat",),
             sample=lambda draw: draw([Case((2, 3)), Case(())]))  # fmt: skip
def spacing(x: Expr) -> Any:
    """The same between two powers of 2, so the derivative is 0."""
    return None


def _exponent(x: Any, *, dtype: np.dtype[Any]) -> Any:
    return np.frexp(x)[1]


def _exponents(x: Aval, *, dtype: np.dtype[Any]) -> Aval:
    return aval(x.shape, dtype)


@general(_exponent, Function("exponent", r"\operatorname{exponent}"), infer=_exponents, traits=("flat",), batch=stacked,
         sample=lambda draw: draw([Case((2, 3), dtype=INTEGER), Case((), dtype=INTEGER)]))  # fmt: skip
def exponent(x: Expr) -> Operator | None:
    """Integers, so the derivative is 0."""
    return None


def ldexp(x: Expr, n: Expr) -> Expr:
    """x·2ⁿ, in three steps, as 2ⁿ alone may be too large or too small."""
    largest = np.finfo(x.dtype).maxexp - 1
    power = ew.clip(cast(n, x.dtype), -3.0 * largest, 3.0 * largest)
    third = ew.trunc(power / 3)
    step = ew.exp2(third)
    return ew.multiply(ew.multiply(ew.multiply(x, step), step), ew.exp2(power - third * 2))


def frexp(x: Expr) -> tuple[Expr, Expr]:
    """The mantissa, between ½ and 1, and the exponent, which does not change with it."""
    power = exponent(x, dtype=INTEGER)
    return ldexp(x, -power), power
