"""Convolutions over one or two axes, and their transposes.

A convolution is one product of matrices: the windows of the input are laid out as columns, one for each place of the
result, and the weight has a row for each of its channels. So the forward map and both its derivatives run in BLAS, each
with a single call (for each group).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike

from hopgrad.nn import initializers
from hopgrad.nn.module import Array, Module, Rng, floating, generator, misfit, size
from hopgrad.tree import static

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "conv", "conv_transpose"]

Sizes = int | Sequence[int]


def per_axis(value: Any, axes: int, name: str, least: int = 1) -> tuple[int, ...]:
    """A size for each axis, from one for all or a sequence of them."""
    values = tuple(value) if isinstance(value, Sequence) else (value,) * axes
    if len(values) != axes:
        raise ValueError(f"{name} needs {axes} values, one for each axis, but got {values}")
    return tuple(size(v, name, least) for v in values)


def window_counts(
    sizes: Sequence[int], kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> list[int]:
    """How many windows there are along each axis."""
    if any(n < d * (k - 1) + 1 for n, k, d in zip(sizes, kernel, dilation, strict=True)):
        reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
        raise misfit(f"a window of {reach} is larger than the input, which is {tuple(sizes)} with padding")
    return [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)]


def windows(
    kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], counts: Sequence[int]
) -> Iterator[tuple[Any, ...]]:
    """For each place in the kernel the elements along the last axes that it meets in so many windows, as slices."""
    for place in itertools.product(*map(range, kernel)):
        spans = zip(place, stride, dilation, counts, strict=True)
        yield (..., *[slice(at * d, at * d + s * (count - 1) + 1, s) for at, s, d, count in spans])


def check_images(x: Array, channels: int | None, axes: int, layer: str) -> None:
    """The error that a layer gives for an input of another form."""
    shape = np.shape(x)
    names = ("length",) if axes == 1 else ("height", "width")
    if len(shape) != axes + 2 or (channels is not None and shape[1] != channels):
        wanted = f"(n, {channels or 'channels'}, {', '.join(names)})"
        raise misfit(f"{layer} needs an input of shape {wanted}, but its shape is {shape}")


def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = 1,
    padding: Sizes | Literal["same", "valid"] = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Any:
    """The convolution of PyTorch's ``conv1d`` and ``conv2d`` (a cross-correlation: the weight is not turned round).

    Args:
        x: (n, in, *sizes).
        weight: (out, in/groups, *kernel): it tells how many axes there are.
        bias: (out,).
        stride: Steps of the window, one for all axes or one each.
        padding: Zeros at both ends; "same" keeps the sizes (with stride 1), "valid" adds none.
        dilation: Distances in the window.
        groups: In how many parts the channels are, each convolved for itself.

    Returns:
        (n, out, *new sizes), where a new size is (size + 2·padding − dilation·(kernel − 1) − 1)//stride + 1.

    Raises:
        ShapeError: Shapes do not fit.

    >>> conv(np.arange(5.0).reshape(1, 1, 5), np.ones((1, 1, 3))).ravel()
    array([3., 6., 9.])
    """
    axes = np.ndim(weight) - 2
    outside, inside, *rest = np.shape(weight)
    kernel = tuple(rest)
    steps, gaps = per_axis(stride, axes, "stride"), per_axis(dilation, axes, "dilation")
    check_images(x, inside * groups, axes, f"a convolution with a weight of shape {np.shape(weight)}, {groups} groups,")
    ends = _padding(padding, kernel, steps, gaps)
    x = np.pad(x, ((0, 0), (0, 0), *ends)) if any(map(any, ends)) else x
    counts = window_counts(np.shape(x)[2:], kernel, steps, gaps)
    x = np.moveaxis(x, 1, 0)
    parts = np.stack([x[window] for window in windows(kernel, steps, gaps, counts)], axis=1)
    images, *sizes = np.shape(parts)[2:]
    columns = parts.reshape(groups, inside * math.prod(kernel), images * math.prod(sizes))
    rows = weight.reshape(groups, outside // groups, inside * math.prod(kernel))
    y = (rows[0] @ columns[0] if groups == 1 else rows @ columns).reshape(outside, images, *sizes)
    return np.moveaxis(y if bias is None else y + bias.reshape(-1, *[1] * (axes + 1)), 1, 0)


def _padding(
    padding: Any, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Zeros before and after each axis."""
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ValueError(f"padding='same' needs stride 1, not {stride}")
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(t // 2, t - t // 2) for t in total]
    if isinstance(padding, str):
        raise ValueError(f"padding must be 'same', 'valid' or integers, not {padding!r}")
    return [(p, p) for p in per_axis(padding, len(kernel), "padding", 0)]


def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Any:
    """The transpose of `conv`: what its gradient does to a cotangent (PyTorch's ``conv_transpose1d`` and ``2d``).

    Args:
        x: (n, in, *sizes).
        weight: (in, out/groups, *kernel).
        bias: (out,).
        stride: Of the convolution that this is the transpose of: steps between the windows written to.
        padding: How much is cut off at both ends.
        output_padding: How much is added at the far ends.
        groups: In how many parts the channels are.
        dilation: Distances in the window.

    Returns:
        (n, out, *new sizes), where a new size is (size − 1)·stride − 2·padding + dilation·(kernel − 1) + output_padding
        + 1.

    >>> conv_transpose(np.array([[[1.0, 2.0]]]), np.ones((1, 1, 2)), stride=2).ravel()
    array([1., 1., 2., 2.])
    """
    axes = np.ndim(weight) - 2
    inside, outside, *rest = np.shape(weight)
    kernel = tuple(rest)
    steps, gaps = per_axis(stride, axes, "stride"), per_axis(dilation, axes, "dilation")
    cut, more = per_axis(padding, axes, "padding", 0), per_axis(output_padding, axes, "output_padding", 0)
    check_images(x, inside, axes, f"a transposed convolution with a weight of shape {np.shape(weight)}")
    if any(a >= max(s, d) for a, s, d in zip(more, steps, gaps, strict=True)):
        raise ValueError(f"output_padding {more} must be less than the stride {steps} or the dilation {gaps}")
    images, _, *sizes = np.shape(x)
    whole = [(n - 1) * s + d * (k - 1) + a + 1 for n, s, d, k, a in zip(sizes, steps, gaps, kernel, more, strict=True)]
    rows = np.moveaxis(x, 1, 0).reshape(groups, inside // groups, images * math.prod(sizes))
    matrices = weight.reshape(groups, inside // groups, outside * math.prod(kernel)).transpose(0, 2, 1)
    parts = (matrices @ rows).reshape(groups * outside, math.prod(kernel), images, *sizes)
    y: Any = np.zeros((groups * outside, images, *whole), x.dtype)
    for number, window in enumerate(windows(kernel, steps, gaps, sizes)):
        y[window] += parts[:, number]
    y = y[(..., *[slice(c, n - c) for c, n in zip(cut, whole, strict=True)])]
    return np.moveaxis(y if bias is None else y + bias.reshape(-1, *[1] * (axes + 1)), 1, 0)


@dataclasses.dataclass(eq=False, repr=False, init=False)
class _Conv(Module):
    """What convolutions have in common."""

    weight: Array
    bias: Array | None
    stride: tuple[int, ...] = static()
    padding: Any = static()
    dilation: tuple[int, ...] = static()
    groups: int = static()
    axes: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | Literal["same", "valid"] = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: Rng,
        dtype: DTypeLike = np.float32,
        init: initializers.Initializer | None = None,
    ) -> None:
        rng, dtype = generator(rng), floating(dtype)
        inside, outside = _channels(in_channels, out_channels, groups)
        kernel = per_axis(kernel_size, self.axes, "kernel_size")
        self.stride = per_axis(stride, self.axes, "stride")
        self.dilation = per_axis(dilation, self.axes, "dilation")
        _padding(padding, kernel, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else per_axis(padding, self.axes, "padding", 0)
        self.groups = groups
        shape = (outside, inside // groups, *kernel)
        default = initializers.by_fan_in(math.prod(shape[1:]))
        self.weight = (init or default)(shape, rng, dtype)
        self.bias = (initializers.zeros if init else default)((outside,), rng, dtype) if bias else None

    def __call__(self, x: Array) -> Array:
        check_images(x, self.weight.shape[1] * self.groups, self.axes, type(self).__name__)
        return conv(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def _channels(inside: Any, outside: Any, groups: Any) -> tuple[int, int]:
    inside, outside, groups = size(inside, "in_channels"), size(outside, "out_channels"), size(groups, "groups")
    if inside % groups or outside % groups:
        raise ValueError(f"{groups} groups do not divide {inside} channels in and {outside} channels out")
    return inside, outside


class Conv1d(_Conv):
    """`conv` along one axis: (n, in_channels, length) to (n, out_channels, new length).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the result.
        kernel_size: Of the window, one for all axes or one each.
        stride: Steps of the window.
        padding: Zeros at both ends, or "same" or "valid".
        dilation: Distances in the window.
        groups: In how many parts the channels are.
        bias: Whether to add a number for each channel.
        rng: A generator or seed for the first values: evenly within ±1/√fan-in, as in PyTorch.
        dtype: Of the parameters.
        init: Another initializer of the weight (the bias then starts at 0).

    Attributes:
        weight: (out_channels, in_channels/groups, kernel).
        bias: (out_channels,), or None.

    >>> Conv1d(3, 8, 5, padding="same", rng=0)(np.ones((2, 3, 20), np.float32)).shape
    (2, 8, 20)
    """

    axes = 1


class Conv2d(_Conv):
    """`conv` along two axes: (n, in_channels, height, width) to (n, out_channels, new height, new width).

    Arguments and attributes are those of `Conv1d`; the weight has shape (out_channels, in_channels/groups, *kernel).

    >>> Conv2d(3, 8, 3, stride=2, padding=1, rng=0)(np.ones((2, 3, 32, 32), np.float32)).shape
    (2, 8, 16, 16)
    """

    axes = 2


@dataclasses.dataclass(eq=False, repr=False, init=False)
class _ConvTranspose(Module):
    """What transposed convolutions have in common."""

    weight: Array
    bias: Array | None
    stride: tuple[int, ...] = static()
    padding: tuple[int, ...] = static()
    output_padding: tuple[int, ...] = static()
    groups: int = static()
    dilation: tuple[int, ...] = static()
    axes: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        *,
        rng: Rng,
        dtype: DTypeLike = np.float32,
        init: initializers.Initializer | None = None,
    ) -> None:
        rng, dtype = generator(rng), floating(dtype)
        inside, outside = _channels(in_channels, out_channels, groups)
        self.stride = per_axis(stride, self.axes, "stride")
        self.padding = per_axis(padding, self.axes, "padding", 0)
        self.output_padding = per_axis(output_padding, self.axes, "output_padding", 0)
        self.dilation = per_axis(dilation, self.axes, "dilation")
        self.groups = groups
        shape = (inside, outside // groups, *per_axis(kernel_size, self.axes, "kernel_size"))
        default = initializers.by_fan_in(math.prod(shape[1:]))
        self.weight = (init or default)(shape, rng, dtype)
        self.bias = (initializers.zeros if init else default)((outside,), rng, dtype) if bias else None

    def __call__(self, x: Array) -> Array:
        check_images(x, self.weight.shape[0], self.axes, type(self).__name__)
        return conv_transpose(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )


class ConvTranspose1d(_ConvTranspose):
    """`conv_transpose` along one axis, with PyTorch's order of arguments.

    Attributes:
        weight: (in_channels, out_channels/groups, kernel).
        bias: (out_channels,), or None.

    >>> ConvTranspose1d(8, 3, 4, stride=2, padding=1, rng=0)(np.ones((2, 8, 10), np.float32)).shape
    (2, 3, 20)
    """

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """`conv_transpose` along two axes, with PyTorch's order of arguments.

    Attributes:
        weight: (in_channels, out_channels/groups, *kernel).
        bias: (out_channels,), or None.

    >>> ConvTranspose2d(8, 3, 4, stride=2, padding=1, rng=0)(np.ones((2, 8, 8, 8), np.float32)).shape
    (2, 3, 16, 16)
    """

    axes = 2
