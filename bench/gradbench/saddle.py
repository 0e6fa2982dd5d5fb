"""The saddle point of (x₁² + x₂²) − (y₁² + y₂²), by descent in x of what ascent in y finds.

Four variants: forward (f) or reverse mode (r) for the outer and for the inner descent.
"""

from __future__ import annotations

import functools

import numpy as np

import hopgrad as hg
from bench.case import Array
from bench.gradbench.descent import MODES, VARIANTS, lowest
from bench.gradbench.problem import Input, Problem


def height(x: Array, y: Array) -> Array:
    return np.sum(x**2) - np.sum(y**2)


def saddle_point(start: Array, variant: str) -> Array:
    """x and y, one behind the other."""
    outer, inner = (MODES[mode] for mode in variant)

    def best_answer(x: Array) -> Array:
        depth = lambda y: -height(x, y)  # noqa: E731
        return lowest(depth, inner(depth), start)

    def worst_height(x: Array) -> Array:
        return height(x, best_answer(x))

    x = lowest(worst_height, outer(worst_height), start)
    return np.concatenate([x, best_answer(x)])


def read(input: Input) -> tuple[Array]:
    return (np.array(input["start"], dtype=float),)


CALLS = {variant: Problem(hg.compile(functools.partial(saddle_point, variant=variant)), read) for variant in VARIANTS}
