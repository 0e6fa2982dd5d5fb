"""Activations: functions of one array, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def relu(x: Array) -> Array:
    """max(x, 0); the derivative at 0 is 0.

    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return np.maximum(x, 0)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return np.tanh(x)
