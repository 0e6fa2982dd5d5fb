"""First values of parameters: ``initializer(shape, rng, dtype)`` gives an array.

Shapes are PyTorch's: (out, in) for a matrix, (out, in, *kernel) for a convolution. The *fan-in* is the number of values
that one result is a sum of, the *fan-out* the number of results that one value goes into.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

__all__ = ["Initializer", "constant", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal"]
__all__ += ["lecun_uniform", "normal", "ones", "orthogonal", "truncated_normal", "uniform", "zeros"]

Array = np.ndarray[Any, Any]
Initializer = Callable[[tuple[int, ...], np.random.Generator, DTypeLike], Array]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan-in, fan-out) of a weight of shape (out, in, *kernel).

    >>> fans((8, 3, 5, 5))
    (75, 200)
    """
    if len(shape) < 2:
        raise ValueError(f"a weight of shape {shape} has no fans: they need the axes (out, in, …)")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def zeros(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Array:
    """All 0."""
    return np.zeros(shape, dtype)


def ones(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Array:
    """All 1."""
    return np.ones(shape, dtype)


def constant(value: float) -> Initializer:
    """All the same value."""

    def initializer(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Array:
        return np.full(shape, value, dtype)

    return initializer


def uniform(low: float = 0.0, high: float = 1.0) -> Initializer:
    """Evenly between two bounds.

    >>> bool(abs(uniform(-2, 2)((100, 100), np.random.default_rng(0), np.float64)).max() <= 2)
    True
    """

    def initializer(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Array:
        return rng.uniform(low, high, shape).astype(dtype)

    return initializer


def normal(deviation: float = 1.0, mean: float = 0.0) -> Initializer:
    """Normal with this standard deviation and mean."""

    def initializer(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Array:
        return rng.normal(mean, deviation, shape).astype(dtype)

    return initializer


def truncated_normal(deviation: float = 1.0, mean: float = 0.0, cut: float = 2.0) -> Initializer:
    """Normal, but nothing farther than `cut` deviations from the mean (drawn again until it is not).

    The deviation is that of the normal before it is cut, as in PyTorch's ``trunc_normal_``.
    """
    if not cut > 0:
        raise ValueError(f"cut must be positive, but is {cut}")

    def initializer(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Array:
        found = rng.standard_normal(shape)
        while (outside := np.abs(found) > cut).any():
            found[outside] = rng.standard_normal(int(outside.sum()))
        return (mean + deviation * found).astype(dtype)

    return initializer


def orthogonal(gain: float = 1.0) -> Initializer:
    """Orthonormal rows or columns, whichever are fewer; all axes but the first count as one.

    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks"
    (2014). The Q of a QR decomposition, its signs chosen so that it is evenly distributed (Mezzadri 2007).

    >>> W = orthogonal()((3, 5), np.random.default_rng(0), np.float64)
    >>> np.allclose(W @ W.T, np.eye(3))
    True
    """

    def initializer(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Array:
        if len(shape) < 2:
            raise ValueError(f"an orthogonal weight needs two axes or more, not the shape {shape}")
        rows, columns = shape[0], math.prod(shape[1:])
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return (gain * (q.T if rows < columns else q)).reshape(shape).astype(dtype)

    return initializer


def _scaled(variance: Callable[[int, int], float], even: bool, source: str) -> Initializer:
    """Values of a variance that depends on the fans, evenly between bounds or normal."""

    def initializer(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Array:
        deviation = math.sqrt(variance(*fans(shape))) if 0 not in shape else 0.0
        bound = math.sqrt(3.0) * deviation  # which has this standard deviation
        return (rng.uniform(-bound, bound, shape) if even else rng.normal(0.0, deviation, shape)).astype(dtype)

    initializer.__doc__ = source
    return initializer


_GLOROT = """Variance 2/(fan-in + fan-out): Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks" (2010)."""
_HE = """Variance 2/fan-in, for relu: He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015)."""
_LECUN = """Variance 1/fan-in: LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998)."""

glorot_uniform = _scaled(lambda inside, outside: 2.0 / (inside + outside), True, _GLOROT)
glorot_normal = _scaled(lambda inside, outside: 2.0 / (inside + outside), False, _GLOROT)
he_uniform = _scaled(lambda inside, outside: 2.0 / inside, True, _HE)
he_normal = _scaled(lambda inside, outside: 2.0 / inside, False, _HE)
lecun_uniform = _scaled(lambda inside, outside: 1.0 / inside, True, _LECUN)
lecun_normal = _scaled(lambda inside, outside: 1.0 / inside, False, _LECUN)


def by_fan_in(fan_in: int) -> Initializer:
    """Evenly within ±1/√fan-in: how PyTorch begins the weights and biases of most layers."""
    bound = 1.0 / math.sqrt(fan_in) if fan_in else 0.0
    return uniform(-bound, bound)
