"""Activations: functions of one array, element by element or along an axis. Formulas and defaults are PyTorch's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hopgrad.custom import stop_gradient
from hopgrad.errors import ShapeError
from hopgrad.scipy import special

__all__ = ["celu", "elu", "gelu", "gelu_tanh", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh"]
__all__ += ["leaky_relu", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax"]
__all__ += ["softmin", "softplus", "softshrink", "softsign", "tanh", "tanhshrink"]

Array = Any

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _below(x: Array) -> Array:
    """x where it is not positive, else 0: exponentials of it do not overflow, and it has the derivative 1 at 0."""
    return np.where(x > 0, 0, x)


def relu(x: Array) -> Array:
    """max(x, 0); the derivative at 0 is 0.

    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return np.maximum(x, 0)


def relu6(x: Array) -> Array:
    """min(max(x, 0), 6). Krizhevsky, "Convolutional deep belief networks on CIFAR-10" (2010)."""
    return np.minimum(np.maximum(x, 0), 6)


def leaky_relu(x: Array, slope: float = 0.01) -> Array:
    """x, or slope·x where x is negative. Maas, Hannun and Ng (2013)."""
    return np.where(x > 0, x, slope * x)


def elu(x: Array, alpha: float = 1.0) -> Array:
    """x, or α(eˣ − 1) where x is negative. Clevert, Unterthiner and Hochreiter (2016)."""
    return np.where(x > 0, x, alpha * np.expm1(_below(x)))


def celu(x: Array, alpha: float = 1.0) -> Array:
    """x, or α(exp(x/α) − 1) where x is negative. Barron (2017)."""
    return np.where(x > 0, x, alpha * np.expm1(_below(x) / alpha))


def selu(x: Array) -> Array:
    """An elu scaled so that activations keep mean 0 and variance 1. Klambauer et al. (2017)."""
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


def sigmoid(x: Array) -> Array:
    """1/(1 + e⁻ˣ), without overflow.

    >>> sigmoid(np.array([-1000.0, 0.0]))
    array([0. , 0.5])
    """
    from scipy.special import expit

    return expit(x)


def log_sigmoid(x: Array) -> Array:
    """log(1/(1 + e⁻ˣ)), accurate everywhere."""
    return -np.logaddexp(-x, 0)


def silu(x: Array) -> Array:
    """x·sigmoid(x), also called swish. Hendrycks and Gimpel (2016); Ramachandran, Zoph and Le (2017)."""
    return x * sigmoid(x)


def softplus(x: Array, beta: float = 1.0) -> Array:
    """log(1 + exp(βx))/β, without overflow and without PyTorch's cut-off.

    >>> softplus(np.array([-1000.0, 1000.0]))
    array([   0., 1000.])
    """
    return np.logaddexp(beta * x, 0) / beta


def mish(x: Array) -> Array:
    """x·tanh(softplus(x)). Misra (2019)."""
    return x * np.tanh(softplus(x))


def gelu(x: Array) -> Array:
    """x·Φ(x), where Φ is the normal distribution function.

    Hendrycks and Gimpel, "Gaussian error linear units" (2016).
    """
    from scipy.special import erf

    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


def gelu_tanh(x: Array) -> Array:
    """The approximation of `gelu` by a tanh, of the same paper (PyTorch's ``approximate="tanh"``)."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return np.tanh(x)


def hardtanh(x: Array, low: float = -1.0, high: float = 1.0) -> Array:
    """x, kept between two bounds."""
    return np.clip(x, low, high)


def hardsigmoid(x: Array) -> Array:
    """x/6 + ½, kept between 0 and 1."""
    return np.clip(x + 3, 0, 6) / 6


def hardswish(x: Array) -> Array:
    """x·hardsigmoid(x). Howard et al., "Searching for MobileNetV3" (2019)."""
    return x * hardsigmoid(x)


def softsign(x: Array) -> Array:
    """x/(1 + |x|)."""
    return x / (1 + np.abs(x))


def tanhshrink(x: Array) -> Array:
    """x − tanh x."""
    return x - np.tanh(x)


def softshrink(x: Array, limit: float = 0.5) -> Array:
    """x moved towards 0 by `limit`, and 0 where it would pass it."""
    return np.where(x > limit, x - limit, np.where(x < -limit, x + limit, 0))


def hardshrink(x: Array, limit: float = 0.5) -> Array:
    """x, and 0 where it is not beyond ±limit."""
    return np.where(np.abs(x) > limit, x, 0)


def glu(x: Array, axis: int = -1) -> Array:
    """The first half along an axis times the sigmoid of the second. Dauphin et al. (2017)."""
    if not np.ndim(x) or np.shape(x)[axis] % 2:
        raise ShapeError(f"glu needs an axis of even size, but axis {axis} of the shape {np.shape(x)} is not")
    a, b = np.split(x, 2, axis)
    return a * sigmoid(b)


def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x), divided by its sum along an axis, without overflow.

    >>> softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    return special.softmax(x, axis)


def softmin(x: Array, axis: int = -1) -> Array:
    """The softmax of −x."""
    return softmax(-x, axis)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """The logarithm of `softmax`, accurate where that is close to 0."""
    s = x - stop_gradient(np.max(x, axis, keepdims=True))
    return s - np.log(np.sum(np.exp(s), axis, keepdims=True))
