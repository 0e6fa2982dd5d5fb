"""Pooling: the largest value or the mean of windows. (n, channels, *sizes), one or two axes or more.

Each is a dataclass of sizes, without parameters, so that it can be a layer of `Sequential`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from hopgrad.nn.convolution import Sizes, check_images, per_axis, window_counts, windows
from hopgrad.nn.module import Array, Module
from hopgrad.tree import static

__all__ = ["AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AvgPool1d"]
__all__ += ["AvgPool2d", "Flatten", "MaxPool1d", "MaxPool2d"]


def _pooled(
    x: Array,
    reduce: Callable[..., Any],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Any:
    """A reduction of each window."""
    axes = len(kernel)
    counts = window_counts(np.shape(x)[-axes:], kernel, stride, dilation)
    if kernel == stride and max(dilation) == 1:
        # Windows side by side: their elements are axes of their own.
        whole = x[(..., *[slice(c * k) for c, k in zip(counts, kernel, strict=True)])]
        split = whole.reshape(*np.shape(x)[:-axes], *itertools.chain(*zip(counts, kernel, strict=True)))
        return reduce(split, axis=tuple(range(-1, -2 * axes, -2)))
    return reduce(np.stack([x[window] for window in windows(kernel, stride, dilation, counts)]), axis=0)


@dataclasses.dataclass(eq=False, repr=False, init=False)
class _Pool(Module):
    kernel_size: tuple[int, ...] = static()
    stride: tuple[int, ...] = static()
    padding: tuple[int, ...] = static()
    axes: ClassVar[int]

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        self.kernel_size = per_axis(kernel_size, self.axes, "kernel_size")
        self.stride = self.kernel_size if stride is None else per_axis(stride, self.axes, "stride")
        self.padding = per_axis(padding, self.axes, "padding", 0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(f"padding {self.padding} is more than half of the window {self.kernel_size}")

    def _padded(self, x: Array, value: float) -> Any:
        check_images(x, None, self.axes, type(self).__name__)
        if not any(self.padding):
            return x
        return np.pad(x, ((0, 0), (0, 0), *[(p, p) for p in self.padding]), constant_values=value)


@dataclasses.dataclass(eq=False, repr=False, init=False)
class _MaxPool(_Pool):
    dilation: tuple[int, ...] = static()

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.dilation = per_axis(dilation, self.axes, "dilation")

    def __call__(self, x: Array) -> Any:
        return _pooled(self._padded(x, -math.inf), np.max, self.kernel_size, self.stride, self.dilation)


class MaxPool1d(_MaxPool):
    """The largest value of each window along one axis. Of equal ones all get the same part of the gradient.

    Args:
        kernel_size: Of the window.
        stride: Steps of the window; by default its size.
        padding: How far windows reach beyond both ends, at most half of their size.
        dilation: Distances in the window.

    >>> MaxPool1d(2)(np.array([[[1.0, 3.0, 2.0, 0.0]]]))
    array([[[3., 2.]]])
    """

    axes = 1


class MaxPool2d(_MaxPool):
    """The largest value of each window along two axes; arguments as of `MaxPool1d`, one for both axes or one each.

    >>> MaxPool2d(2)(np.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    axes = 2


@dataclasses.dataclass(eq=False, repr=False, init=False)
class _AvgPool(_Pool):
    count_include_pad: bool = static()

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, count_include_pad: bool = True
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.count_include_pad = count_include_pad

    def __call__(self, x: Array) -> Any:
        ones = (1,) * self.axes
        means = _pooled(self._padded(x, 0.0), np.mean, self.kernel_size, self.stride, ones)
        if self.count_include_pad or not any(self.padding):
            return means
        inside = self._padded(np.ones((1, 1, *np.shape(x)[2:]), x.dtype), 0.0)
        return means / _pooled(inside, np.mean, self.kernel_size, self.stride, ones)


class AvgPool1d(_AvgPool):
    """The mean of each window along one axis.

    Args:
        kernel_size: Of the window.
        stride: Steps of the window; by default its size.
        padding: How far windows reach beyond both ends, where there are zeros.
        count_include_pad: Whether these zeros count in the mean.
    """

    axes = 1


class AvgPool2d(_AvgPool):
    """The mean of each window along two axes; arguments as of `AvgPool1d`, one for both axes or one each.

    >>> AvgPool2d(2)(np.arange(4.0).reshape(1, 1, 2, 2))
    array([[[[1.5]]]])
    """

    axes = 2


@dataclasses.dataclass(eq=False, repr=False, init=False)
class _Adaptive(Module):
    output_size: tuple[int, ...] = static()
    axes: ClassVar[int]
    reduce: ClassVar[Callable[..., Any]]

    def __init__(self, output_size: Sizes) -> None:
        self.output_size = per_axis(output_size, self.axes, "output_size")

    def __call__(self, x: Array) -> Any:
        check_images(x, None, self.axes, type(self).__name__)
        for axis, wanted in enumerate(self.output_size, 2):
            n = np.shape(x)[axis]
            if n % wanted == 0:
                x = type(self).reduce(
                    x.reshape(*x.shape[:axis], wanted, n // wanted, *x.shape[axis + 1 :]), axis=axis + 1
                )
                continue
            ends = [(k * n // wanted, -(-(k + 1) * n // wanted)) for k in range(wanted)]
            parts = [type(self).reduce(np.take(x, range(a, b), axis=axis), axis=axis) for a, b in ends]
            x = np.stack(parts, axis=axis)
        return x


class AdaptiveAvgPool1d(_Adaptive):
    """Means of as many parts of one axis as there shall be; parts overlap where they do not divide it evenly.

    >>> AdaptiveAvgPool1d(2)(np.array([[[1.0, 2.0, 3.0]]]))
    array([[[1.5, 2.5]]])
    """

    axes = 1
    reduce = np.mean


class AdaptiveAvgPool2d(_Adaptive):
    """The same along two axes; ``AdaptiveAvgPool2d(1)`` is the mean of each channel."""

    axes = 2
    reduce = np.mean


class AdaptiveMaxPool1d(_Adaptive):
    """Largest values of as many parts of one axis as there shall be."""

    axes = 1
    reduce = np.max


class AdaptiveMaxPool2d(_Adaptive):
    """The same along two axes."""

    axes = 2
    reduce = np.max


@dataclasses.dataclass(eq=False, repr=False)
class Flatten(Module):
    """All axes but the first as one.

    >>> Flatten()(np.ones((5, 2, 3))).shape
    (5, 6)
    """

    def __call__(self, x: Array) -> Any:
        return x.reshape(np.shape(x)[0], math.prod(np.shape(x)[1:]))
