"""Normalizations: values are centred and scaled by statistics of some of the axes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from hopgrad.nn.module import Array, Module, floating, misfit, size
from hopgrad.tree import static

__all__ = ["BatchNorm", "BatchStatistics", "GroupNorm", "LayerNorm", "RMSNorm"]


def _normalized(x: Array, axes: tuple[int, ...], eps: float) -> Any:
    """x with mean 0 and variance 1 along some axes."""
    centred = x - np.mean(x, axes, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axes, keepdims=True) + eps)


def _last_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    values = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    return tuple(size(v, "normalized_shape") for v in values)


def _check_end(x: Array, shape: tuple[int, ...], layer: str) -> None:
    if np.shape(x)[-len(shape) :] != shape:
        raise misfit(f"{layer} needs an input whose shape ends with {shape}, but it is {np.shape(x)}")


@dataclasses.dataclass(eq=False, repr=False, init=False)
class LayerNorm(Module):
    """Mean 0 and variance 1 along the last axes, then scaled and shifted. Ba, Kiros and Hinton (2016).

    Args:
        normalized_shape: Sizes of the last axes.
        eps: Added to the variance.
        bias: Whether to shift.
        dtype: Of the parameters.

    Attributes:
        weight: Of the normalized shape, from 1.
        bias: The same, from 0; or None.

    >>> LayerNorm(2, dtype=np.float64)(np.array([[1.0, 3.0]])).round(3)
    array([[-1.,  1.]])
    """

    weight: Array
    bias: Array | None
    eps: float = static()

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        shape = _last_shape(normalized_shape)
        self.weight = np.ones(shape, floating(dtype))
        self.bias = np.zeros(shape, floating(dtype)) if bias else None
        self.eps = eps

    def __call__(self, x: Array) -> Array:
        shape = np.shape(self.weight)
        _check_end(x, shape, "LayerNorm")
        y = _normalized(x, tuple(range(-len(shape), 0)), self.eps) * self.weight
        return y if self.bias is None else y + self.bias


@dataclasses.dataclass(eq=False, repr=False, init=False)
class RMSNorm(Module):
    """Divided by the root of the mean square along the last axes, then scaled. Zhang and Sennrich (2019).

    Args:
        normalized_shape: Sizes of the last axes.
        eps: Added to the mean square; by default the distance from 1 to the next number of the input's dtype.
        dtype: Of the parameter.

    Attributes:
        weight: Of the normalized shape, from 1.
    """

    weight: Array
    eps: float | None = static()

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None, *, dtype: DTypeLike = np.float32
    ) -> None:
        self.weight = np.ones(_last_shape(normalized_shape), floating(dtype))
        self.eps = eps

    def __call__(self, x: Array) -> Array:
        shape = np.shape(self.weight)
        _check_end(x, shape, "RMSNorm")
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        square = np.mean(x * x, tuple(range(-len(shape), 0)), keepdims=True)
        return x / np.sqrt(square + eps) * self.weight


@dataclasses.dataclass(eq=False, repr=False, init=False)
class GroupNorm(Module):
    """Mean 0 and variance 1 in each group of channels, then scaled and shifted by channel. Wu and He (2018).

    Args:
        num_groups: In how many groups the channels are.
        num_channels: Size of axis 1.
        eps: Added to the variance.
        dtype: Of the parameters.

    Attributes:
        weight: (num_channels,), from 1.
        bias: (num_channels,), from 0.

    >>> GroupNorm(2, 4)(np.ones((3, 4, 5), np.float32)).shape
    (3, 4, 5)
    """

    weight: Array
    bias: Array
    num_groups: int = static()
    eps: float = static()

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, *, dtype: DTypeLike = np.float32) -> None:
        self.num_groups = size(num_groups, "num_groups")
        if size(num_channels, "num_channels") % num_groups:
            raise ValueError(f"{num_groups} groups do not divide {num_channels} channels")
        self.weight = np.ones(num_channels, floating(dtype))
        self.bias = np.zeros(num_channels, floating(dtype))
        self.eps = eps

    def __call__(self, x: Array) -> Array:
        shape = np.shape(x)
        _check_channels(x, self.weight, "GroupNorm")
        grouped = x.reshape(shape[0], self.num_groups, math.prod(shape[1:]) // self.num_groups)
        y = _normalized(grouped, (2,), self.eps).reshape(shape)
        return y * _by_channel(self.weight, x) + _by_channel(self.bias, x)


def _check_channels(x: Array, weight: Array, layer: str) -> None:
    if np.ndim(x) < 2 or np.shape(x)[1] != np.size(weight):
        raise misfit(f"{layer} needs an input of shape (n, {np.size(weight)}, …), but its shape is {np.shape(x)}")


def _by_channel(values: Array, x: Array) -> Any:
    return values.reshape(-1, *[1] * (np.ndim(x) - 2))


@dataclasses.dataclass(eq=False, repr=False)
class BatchStatistics(Module):
    """What `BatchNorm` remembers of the batches it has seen.

    Attributes:
        mean: (num_features,): a moving average of the batches' means.
        variance: (num_features,): the same of their variances, with n − 1 in the denominator.
    """

    mean: Array
    variance: Array


@dataclasses.dataclass(eq=False, repr=False, init=False)
class BatchNorm(Module):
    """Mean 0 and variance 1 of each channel over a batch, then scaled and shifted. Ioffe and Szegedy (2015).

    The statistics to use afterwards are no hidden state: they go in and come out.

    Args:
        num_features: Channels, the size of axis 1; there may be any axes after it.
        eps: Added to the variance.
        momentum: How much of the new batch goes into the statistics.
        dtype: Of the parameters.

    Attributes:
        weight: (num_features,), from 1.
        bias: (num_features,), from 0.

    >>> norm = BatchNorm(3)
    >>> y, statistics = norm(np.ones((8, 3), np.float32), norm.init())
    >>> statistics.mean
    array([0.1, 0.1, 0.1], dtype=float32)
    >>> z, _ = norm(np.ones((8, 3), np.float32), statistics, training=False)
    """

    weight: Array
    bias: Array
    eps: float = static()
    momentum: float = static()

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, *, dtype: DTypeLike = np.float32
    ) -> None:
        features = size(num_features, "num_features")
        self.weight = np.ones(features, floating(dtype))
        self.bias = np.zeros(features, floating(dtype))
        self.eps, self.momentum = eps, momentum

    def init(self) -> BatchStatistics:
        """Statistics before the first batch."""
        return BatchStatistics(np.zeros_like(self.weight), np.ones_like(self.weight))

    def __call__(self, x: Array, statistics: BatchStatistics, training: bool = True) -> tuple[Array, BatchStatistics]:
        """``(y, statistics)``: normalized by the batch and the statistics moved, or by the statistics as they are."""
        _check_channels(x, self.weight, "BatchNorm")
        mean, variance = statistics.mean, statistics.variance
        if training:
            axes = (0, *range(2, np.ndim(x)))
            count = np.size(x) // np.shape(x)[1]
            if count < 2:
                raise misfit(f"BatchNorm needs more than one value of each channel, not an input of {np.shape(x)}")
            mean = np.mean(x, axes)
            centred = x - _by_channel(mean, x)
            variance = np.mean(centred * centred, axes)
            keep, unbiased = 1.0 - self.momentum, variance * (count / (count - 1.0))
            statistics = BatchStatistics(
                keep * statistics.mean + self.momentum * mean, keep * statistics.variance + self.momentum * unbiased
            )
        else:
            centred = x - _by_channel(mean, x)
        scale = self.weight / np.sqrt(variance + self.eps)
        return centred * _by_channel(scale, x) + _by_channel(self.bias, x), statistics
