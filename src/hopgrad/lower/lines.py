"""What steps over several views have in common: all axes but those that they work on are loops around the work.

The words of such a step begin with slot and offset of each view, and with length and strides of each axis of the
batch. Axes that lie one behind the other in memory are one. Strides and offsets in words are in bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from hopgrad.lower.blas import Code
from hopgrad.lower.views import View

Axis = tuple[int, ...]
"""The length of an axis, and the strides with which it moves in each of some views."""


def axes_of(views: Sequence[View], axes: Sequence[int]) -> list[Axis]:
    """Axes of views that all have them."""
    return [(views[0].shape[k], *[view.strides[k] for view in views]) for k in axes]


def folded(axes: Sequence[Axis]) -> list[Axis]:
    """Axes that go on where the next one ends are one with it; their order stays."""
    found: list[Axis] = []
    for axis in axes:
        if axis[0] == 1:
            continue
        if found and all(o == axis[0] * i for o, i in zip(found[-1][1:], axis[1:], strict=True)):
            axis = (found.pop()[0] * axis[0], *axis[1:])
        found.append(axis)
    return found


def head(views: Sequence[View], sizes: Sequence[int], batch: Sequence[Axis]) -> list[int]:
    """The words that a step begins with, given the bytes of each view's elements."""
    words = [word for view, size in zip(views, sizes, strict=True) for word in (view.buffer, view.offset * size)]
    return words + [word for axis in batch for word in scaled(axis, sizes)]


def head_size(views: int, rank: int) -> int:
    """How many these are."""
    return 2 * views + (views + 1) * rank


def scaled(axis: Axis, sizes: Sequence[int]) -> list[int]:
    """The words of an axis."""
    return [axis[0], *[stride * size for stride, size in zip(axis[1:], sizes, strict=True)]]


@contextlib.contextmanager
def lines(code: Code, views: int, rank: int) -> Iterator[list[str]]:
    """Loops over a batch; in them, where the work begins in each view."""
    places = [code.at(code.slot(2 * k), code.word(2 * k + 1)) for k in range(views)]
    start = head_size(views, 0)
    axes = [[code.word(start + (views + 1) * k + j) for j in range(views + 1)] for k in range(rank)]
    with contextlib.ExitStack() as stack:
        for size, *strides in axes:
            loop = stack.enter_context(code.loop("0", size))
            places = [code.at(place, loop.index, stride) for place, stride in zip(places, strides, strict=True)]
        yield places
