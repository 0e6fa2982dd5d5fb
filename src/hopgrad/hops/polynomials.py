"""Polynomials as lines of coefficients, the highest power first; more of them is in `statistics` and in the trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad.aval import aval
from hopgrad.graph.builder import Expr, ones, zeros
from hopgrad.hops import elementwise as ew
from hopgrad.hops import functions as fn
from hopgrad.hops import shape as sh
from hopgrad.hops.surface import cast, join, lift, refused, surface


@surface(np.poly, array=True)
def poly(seq_of_zeros: Any) -> Expr:
    """The product of the factors x − zero, one after the other, as in NumPy."""
    found = fn.atleast_1d(lift(seq_of_zeros))
    if found.ndim == 2 and found.shape[0] == found.shape[1]:
        raise refused("np.poly of a matrix", "of a symmetric one, use np.poly(np.linalg.eigvalsh(a))")
    if found.ndim != 1:
        raise ValueError("input must be 1d or non-empty square 2d array.")
    at = cast(found, np.mintypecode(found.dtype.char))
    product = ones(at.builder, aval((1,), at.dtype))
    none = zeros(at.builder, product.aval)
    for k in range(at.size):
        moved = fn.concatenate([none, product]) * sh.index(at, items=(k,))
        product = fn.concatenate([product, none]) - moved
    return product


def _aligned(combine: Callable[..., Expr]) -> Any:
    """A sum or difference, with the constant terms one above the other."""

    def adapter(a1: Any, a2: Any) -> Expr:
        both = [fn.atleast_1d(x) for x in join([a1, a2])]
        size = max(x.shape[0] for x in both)
        wide = [
            sh.scatter(x, items=(sh.Slice(size - x.shape[0], size, 1),), shape=(size,)) if x.shape[0] < size else x
            for x in both
        ]
        return combine(*wide)

    return adapter


polyadd = surface(np.polyadd, array=True)(_aligned(ew.add))
polysub = surface(np.polysub, array=True)(_aligned(ew.subtract))
