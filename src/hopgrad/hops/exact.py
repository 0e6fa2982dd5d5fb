"""Hops with Python's own rounding: `math.fsum`, which rounds once, and `round`, which goes by decimal digits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import Case, Draw, Function, elementwise, reduction
from hopgrad.hops.reduce import Axes


def _rounded_once(line: Any) -> Any:
    # Of infinities of both signs Python says that it is an error, and NumPy that it is no number.
    return math.fsum(line) if np.isfinite(line).all() else np.sum(line)


def _fsum(x: Any, *, axes: Axes, keepdims: bool) -> Any:
    data = np.asarray(x)
    kept = tuple(k for k in range(data.ndim) if k not in axes)
    count = math.prod(data.shape[k] for k in axes)
    lines = data.transpose(*kept, *axes).reshape(*(data.shape[k] for k in kept), count)
    sums = np.array([_rounded_once(lines[place]) for place in np.ndindex(*lines.shape[:-1])], data.dtype)
    shape = tuple(1 if k in axes else n for k, n in enumerate(data.shape) if keepdims or k in kept)
    return sums.reshape(shape)


def _draw_axes(draw: Draw) -> Case:
    return Case(axes=draw([(0,), (1,), (0, 1)]), keepdims=draw([False, True]))


@reduction(_fsum, Function("fsum", r"\operatorname{fsum}", "sum"), sample=_draw_axes)
def fsum(x: Expr) -> Any:
    """Every element counts once, as in any sum."""
    return 1


def _round_digits(x: Any, *, digits: int) -> Any:
    data = np.asarray(x)
    found = [round(value, digits) for value in data.ravel().tolist()]
    return np.array(found, data.dtype).reshape(data.shape)


@elementwise(_round_digits, Function("round", r"\operatorname{round}"), traits=("flat",),
             sample=lambda draw: Case(digits=draw([0, 1, -1])))  # fmt: skip
def round_digits(x: Expr) -> Any:
    """Constant between its jumps, so the derivative is 0."""
    return None
