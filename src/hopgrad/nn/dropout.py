"""Dropout: elements are left out at random, by a key that is given at each call."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from hopgrad import random
from hopgrad.nn.module import Array, Module
from hopgrad.tree import static

__all__ = ["Dropout", "dropout"]


def dropout(x: Array, p: float, key: Array | None) -> Any:
    """Each element is 0 with probability p, and else divided by 1 − p; without a key nothing is left out.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014).
    """
    if key is None or p == 0:
        return x
    if p == 1:
        return x * 0
    return np.where(random.bernoulli(key, 1.0 - p, np.shape(x)), x * (1.0 / (1.0 - p)), 0)


@dataclasses.dataclass(eq=False, repr=False, init=False)
class Dropout(Module):
    """`dropout` as a layer. In training give it a key, one for each step: without one it does nothing.

    `Sequential` hands a key on to its layers, another one to each.

    Args:
        p: How likely an element is left out.

    >>> from hopgrad import random
    >>> layer = Dropout(0.5)
    >>> layer(np.ones(6), random.key(1))
    array([0., 2., 2., 2., 0., 0.])
    >>> layer(np.ones(6))
    array([1., 1., 1., 1., 1., 1.])
    """

    p: float = static()
    takes_key = True

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p is a probability, but is {p!r}")
        self.p = float(p)

    def __call__(self, x: Array, key: Array | None = None) -> Array:
        return dropout(x, self.p, key)
