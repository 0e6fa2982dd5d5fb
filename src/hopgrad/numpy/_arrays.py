"""Making arrays: what NumPy does not dispatch on its arguments."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy

from hopgrad.hops.surface import refused, surfaces
from hopgrad.numpy._functions import fillable, lifted
from hopgrad.trace import context
from hopgrad.trace.tracer import CONVERSIONS, Tracer, bare, has_traced, perform, real_data, with_place
from hopgrad.trace.tracer import array as traced_array


def _conversion(function: Any) -> Callable[..., Any]:
    """``np.array`` or one of its sisters, which copy only if they have to."""

    @functools.wraps(function)
    def make(a: Any, dtype: Any = None, *args: Any, **keywords: Any) -> Any:
        if context.current() is None:
            return function(a, dtype, *args, **keywords)
        if args:
            keywords["order"] = args[0]  # of np.asarray and its sisters
        a = lifted(a) if type(a) not in (list, tuple) else a
        if has_traced(a):
            return traced_array(a, dtype, **{**CONVERSIONS[function], **keywords})
        if type(a) is not Tracer:
            return fillable(function(bare(a), dtype, **keywords), (a,))
        data = real_data(a)
        made = function(data, dtype, **keywords)
        if made is data:
            return a
        # A view is one with more axes (ndmin).
        return a.reshape(made.shape) if numpy.may_share_memory(made, data) else fillable(made)

    return make


array = _conversion(numpy.array)
asarray = _conversion(numpy.asarray)
asanyarray = _conversion(numpy.asanyarray)
ascontiguousarray = _conversion(numpy.ascontiguousarray)
asfortranarray = _conversion(numpy.asfortranarray)


@functools.wraps(numpy.asarray_chkfinite)
def asarray_chkfinite(a: Any, dtype: Any = None, order: Any = None) -> Any:
    found = asarray(a, dtype, order=order or "K")
    if found.dtype.char in numpy.typecodes["AllFloat"] and not numpy.isfinite(found).all():
        raise ValueError("array must not contain infs or NaNs")
    return found


@functools.wraps(numpy.kaiser)
def kaiser(M: Any, beta: Any) -> Any:
    if context.current() is None or not has_traced((M, beta)):
        return fillable(numpy.kaiser(bare(M), bare(beta)))
    # NumPy's window over its own I₀: from −1 to 1 in equal steps, which a single point has none of.
    points = numpy.linspace(-1.0, 1.0, int(M)) if M != 1 else numpy.zeros(1)
    return numpy.i0(beta * numpy.sqrt(1 - points**2)) / numpy.i0(beta)


@functools.wraps(numpy.require)
def require(a: Any, dtype: Any = None, requirements: Any = None, **keywords: Any) -> Any:
    if context.current() is None or not has_traced(a):
        return fillable(numpy.require(bare(a), dtype, requirements, **keywords), (a,))
    wanted = {str(name).upper()[:1] for name in requirements or ()}
    if wanted >= {"C", "F"}:
        raise ValueError('Cannot specify both "C" and "F" order')
    made = asanyarray(a, dtype, order="F" if "F" in wanted else "C" if "C" in wanted else "A")
    read_only = "W" in wanted and not made.flags.writeable
    return made.copy("A") if made is a and ("O" in wanted or read_only) else made


@functools.wraps(numpy.full)
def full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", **keywords: Any) -> Any:
    if has_traced(fill_value):
        fill_value = lifted(fill_value)
        frame = sys._getframe(1)
        return perform(surfaces[numpy.full], (shape, fill_value, dtype, order), {}, frame, numpy.full)
    return fillable(numpy.full(shape, fill_value, dtype, order, **keywords))


@functools.wraps(numpy.full_like)
def full_like(a: Any, fill_value: Any, *args: Any, **keywords: Any) -> Any:
    if has_traced(fill_value):
        a = lifted(a)
        a = array(numpy.zeros_like(a)) if type(a) is not Tracer else a  # so that NumPy dispatches
        fill_value = lifted(fill_value)
    return fillable(numpy.full_like(a, fill_value, *args, **keywords))


@functools.wraps(numpy.arange)
def arange(*args: Any, **keywords: Any) -> Any:
    """How many elements there are is a guard of the trace."""
    if not has_traced((args, keywords)):
        return fillable(numpy.arange(*args, **keywords))
    names = ["stop"] if len(args) == 1 else ["start", "stop", "step", "dtype"]
    given: dict[str, Any] = {**dict(zip(names, args, strict=False)), **keywords}
    if "stop" not in given or given["stop"] is None:
        given = {**given, "start": None, "stop": given.get("start")}
    start, step = given.get("start"), given.get("step")
    start, step = 0 if start is None else start, 1 if step is None else step
    # NumPy computes the second element, and goes on in steps of the difference.
    difference = (start + step) - start
    count = max(int(numpy.ceil((given["stop"] - start) / step)), 0)
    found = start + difference * numpy.arange(count)
    dtype = given.get("dtype")
    if dtype is None:
        dtype = numpy.result_type(*(v for v in (start, given["stop"], step) if type(v) is Tracer or v is not None))
        dtype = numpy.dtype(int) if dtype.kind == "b" else dtype
    return asarray(found, dtype)


@functools.wraps(numpy.fromiter)
def fromiter(iter: Iterable[Any], dtype: Any, count: int = -1, **keywords: Any) -> Any:
    if context.current() is None:
        return numpy.fromiter(iter, dtype, count, **keywords)
    values = [value for _, value in zip(range(count), iter, strict=False)] if count >= 0 else list(iter)
    if not has_traced(values):
        return fillable(numpy.fromiter(values, dtype, count, **keywords))
    if len(values) < count:
        raise ValueError("iterator too short")
    return array(values, dtype)


def ndenumerate(arr: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """As ``np.ndenumerate``: pairs of index and element."""
    if type(arr) is not Tracer and not has_traced(arr):
        return numpy.ndenumerate(arr)
    arr = lifted(arr)
    return ((index, arr[index]) for index in numpy.ndindex(*numpy.shape(arr)))


# -- r_, c_ and their like -------------------------------------------------------------------------------------------


class _Joiner:
    """``np.r_`` and ``np.c_``, with traced values among the parts."""

    def __init__(self, plain: Any, join: Callable[[list[Any]], Any]) -> None:
        self._plain = plain
        self._join = join

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        if not has_traced([[p.start, p.stop, p.step] if isinstance(p, slice) else p for p in parts]):
            return fillable(self._plain[key])
        if any(isinstance(part, str) for part in parts):
            raise refused("np.r_ with a directive", "use np.concatenate or np.stack")
        return self._join([_range(part) if isinstance(part, slice) else lifted(part) for part in parts])

    def __len__(self) -> int:
        return 0


def _range(part: slice) -> Any:
    """What a slice stands for in ``np.r_``."""
    if not has_traced([part.start, part.stop, part.step]):
        return numpy.r_[part]
    if isinstance(part.step, complex):
        return numpy.linspace(0 if part.start is None else part.start, part.stop, int(abs(part.step)))
    return arange(0 if part.start is None else part.start, part.stop, 1 if part.step is None else part.step)


class _Grid:
    """``np.mgrid`` and ``np.ogrid``: new arrays that can be filled."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        if not has_traced([[p.start, p.stop, p.step] if isinstance(p, slice) else p for p in parts]):
            return fillable(self._plain[key])
        name = "np.ogrid" if self._plain.sparse else "np.mgrid"
        trace = context.current()
        assert trace is not None  # there are traced values
        trace.refuse(with_place(refused(name, "use np.linspace and np.meshgrid"), sys._getframe(1)))

    def __len__(self) -> int:
        return 0


r_ = _Joiner(numpy.r_, lambda parts: numpy.concatenate([numpy.atleast_1d(part) for part in parts]))
c_ = _Joiner(numpy.c_, lambda parts: numpy.concatenate([
    part if numpy.ndim(part) > 1 else numpy.reshape(part, (-1, 1)) for part in parts], axis=-1))  # fmt: skip
mgrid = _Grid(numpy.mgrid)
ogrid = _Grid(numpy.ogrid)
