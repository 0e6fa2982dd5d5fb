"""NumPy's namespace, for functions that are to be differentiated: ``import hopgrad.numpy as np``.

All of NumPy is here, and most of it is NumPy's own: what NumPy dispatches needs no help. The rest takes traced values:

* ``np.array([x, y])`` and every other function of lists with traced values in them (``np.sum([x, y])``),
  ``np.full(n, x)``, ``np.asarray(x)``, ``np.r_``, ``np.c_``, ``np.vectorize``, ``np.float64(x)``;
* ``np.zeros(n)`` and all that makes a new array: while a function is traced it can be filled with traced values.

>>> import hopgrad as hg
>>> import hopgrad.numpy as np
>>> def f(x):
...     a = np.zeros(3)
...     a[0] = x
...     a[1:] += x**2
...     return np.sum(a)
>>> hg.grad(f)(3.0)
13.0

Outside a traced function everything is NumPy's:

>>> type(np.zeros(3))
<class 'numpy.ndarray'>
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy

from hopgrad.hops.surface import refused, surfaces
from hopgrad.trace import context
from hopgrad.trace.tracer import ARRAY, CONVERSIONS, PYTHON, SCALAR, Tracer, converted, has_traced, perform, real
from hopgrad.trace.tracer import array as traced_array

__all__ = [*numpy.__all__]

# -- functions -------------------------------------------------------------------------------------------------------

# They take lists of arrays, and dispatch on what is in these; a list of plain numbers and traced ones is no array here.
_OF_LISTS = frozenset({
    "block", "broadcast_arrays", "choose", "column_stack", "concat", "concatenate", "dstack", "einsum", "hstack",
    "select", "stack", "vstack",
})  # fmt: skip

# They make a new array of plain values, which someone may want to fill.
_NEW = frozenset({
    "arange", "append", "block", "column_stack", "concat", "concatenate", "copy", "delete", "diag", "diagflat",
    "dstack", "empty", "empty_like", "eye", "fromfunction", "full", "full_like", "genfromtxt", "geomspace",
    "hstack", "identity", "indices", "insert", "kron", "linspace", "loadtxt", "logspace", "ones", "ones_like",
    "outer", "pad", "repeat", "resize", "roll", "sort", "stack", "tile", "tri", "tril", "triu", "vander", "vstack",
    "where", "zeros", "zeros_like",
})  # fmt: skip


class _Function:
    """A function of NumPy that also takes lists with traced values in them, and whose result can be filled."""

    def __init__(self, function: Any) -> None:
        functools.update_wrapper(self, function)
        self.__wrapped__ = function

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        function = self.__wrapped__
        if context.current() is None:
            return function(*args, **keywords)
        if function.__name__ not in _OF_LISTS:
            args = tuple(_lifted(a) for a in args)
            keywords = {k: _lifted(v) for k, v in keywords.items()}
        result = function(*args, **keywords)
        return _fillable(result, args) if function.__name__ in _NEW else result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __eq__(self, other: object) -> bool:
        return other is self.__wrapped__ or (isinstance(other, _Function) and other.__wrapped__ is self.__wrapped__)

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def __reduce__(self) -> tuple[Any, ...]:
        return __getattr__, (self.__wrapped__.__name__,)


def _lifted(value: Any) -> Any:
    return traced_array(value) if type(value) in (list, tuple) and has_traced(value) else value


def _fillable(result: Any, args: Iterable[Any] = ()) -> Any:
    """While tracing, a new array of plain numbers as one to which traced values can be written."""
    trace = context.current()
    if trace is None or type(result) is not numpy.ndarray or result.dtype.kind not in "fiub":
        return result
    if any(isinstance(a, numpy.ndarray) and numpy.may_share_memory(a, result) for a in args):
        return result
    return real(trace, result if result.base is None else result.copy("K"))


@functools.cache
def _function(name: str) -> Any:
    found = getattr(numpy, name)
    return _Function(found) if callable(found) and not isinstance(found, type) else found


def __getattr__(name: str) -> Any:
    return getattr(numpy, name) if name.startswith("_") else _function(name)


def __dir__() -> list[str]:
    return dir(numpy)


# -- arrays ----------------------------------------------------------------------------------------------------------


def _conversion(function: Any) -> Callable[..., Any]:
    """``np.array`` or one of its sisters, which copy only if they have to."""

    @functools.wraps(function)
    def make(a: Any, dtype: Any = None, **keywords: Any) -> Any:
        if context.current() is None:
            return function(a, dtype, **keywords)
        if type(a) is Tracer or has_traced(a):
            return traced_array(a, dtype, **{**CONVERSIONS[function], **keywords})
        return _fillable(function(a, dtype, **keywords), (a,))

    return make


array = _conversion(numpy.array)
asarray = _conversion(numpy.asarray)
asanyarray = _conversion(numpy.asanyarray)
ascontiguousarray = _conversion(numpy.ascontiguousarray)
asfortranarray = _conversion(numpy.asfortranarray)


@functools.wraps(numpy.full)
def full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", **keywords: Any) -> Any:
    if has_traced(fill_value):
        fill_value = _lifted(fill_value)
        frame = sys._getframe(1)
        return perform(surfaces[numpy.full], (shape, fill_value, dtype, order), {}, frame, numpy.full)
    return _fillable(numpy.full(shape, fill_value, dtype, order, **keywords))


@functools.wraps(numpy.full_like)
def full_like(a: Any, fill_value: Any, *args: Any, **keywords: Any) -> Any:
    if has_traced(fill_value):
        a = array(numpy.zeros_like(a)) if type(a) is not Tracer else a  # so that NumPy dispatches
        fill_value = _lifted(fill_value)
    return _fillable(numpy.full_like(a, fill_value, *args, **keywords))


@functools.wraps(numpy.fromiter)
def fromiter(iter: Iterable[Any], dtype: Any, count: int = -1, **keywords: Any) -> Any:
    if context.current() is None:
        return numpy.fromiter(iter, dtype, count, **keywords)
    values = [value for k, value in zip(range(count), iter, strict=False)] if count >= 0 else list(iter)
    return array(values, dtype)


def ndenumerate(arr: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """As ``np.ndenumerate``: pairs of index and element."""
    return (
        ((index, arr[index]) for index in numpy.ndindex(*arr.shape)) if type(arr) is Tracer else numpy.ndenumerate(arr)
    )


# -- r_ and c_ -------------------------------------------------------------------------------------------------------


class _Joiner:
    """``np.r_`` and ``np.c_``, with traced values among the parts."""

    def __init__(self, plain: Any, join: Callable[[list[Any]], Any]) -> None:
        self._plain = plain
        self._join = join

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        if not has_traced(list(parts)):
            return _fillable(self._plain[key])
        if any(isinstance(part, str) for part in parts):
            raise refused("np.r_ with a directive", "use np.concatenate or np.stack")
        return self._join([self._plain[part] if isinstance(part, slice) else _lifted(part) for part in parts])


r_ = _Joiner(numpy.r_, lambda parts: numpy.concatenate([numpy.atleast_1d(part) for part in parts]))
c_ = _Joiner(numpy.c_, lambda parts: numpy.concatenate([
    part if numpy.ndim(part) > 1 else numpy.reshape(part, (-1, 1)) for part in parts], axis=-1))  # fmt: skip

# -- numbers ---------------------------------------------------------------------------------------------------------


class _Number(type):
    """The class of NumPy's floating-point types here: calling one converts traced values too."""

    def __call__(cls, value: Any = 0.0, *args: Any) -> Any:
        plain = cls.__mro__[1]
        if not has_traced(value):
            return plain(value, *args)
        made = converted(_lifted(value), numpy.dtype(plain))
        result = Tracer(made._trace, made._id, ARRAY if made._aval.shape else SCALAR) if made._kind == PYTHON else made
        return result if result._aval.shape or result._kind == SCALAR else result[()]

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.__mro__[1])

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(subclass, cls.__mro__[1])

    def __eq__(cls, other: object) -> bool:
        return other is cls.__mro__[1] or other is cls

    def __hash__(cls) -> int:
        return hash(cls.__mro__[1])


class float16(numpy.float16, metaclass=_Number):
    """NumPy's half precision."""


class float32(numpy.float32, metaclass=_Number):
    """NumPy's single precision."""


class float64(numpy.float64, metaclass=_Number):
    """NumPy's double precision."""


half, single, double = float16, float32, float64

# -- vectorize -------------------------------------------------------------------------------------------------------


class vectorize:
    """``np.vectorize``: a function of numbers, called for each element, traced ones too.

    >>> import hopgrad as hg
    >>> square = vectorize(lambda t: t * t)
    >>> hg.grad(lambda x: square(x).sum())(numpy.array([1.0, 2.0]))
    array([2., 4.])
    """

    def __init__(
        self, pyfunc: Any = None, otypes: Any = None, doc: Any = None, excluded: Any = None, cache: bool = False,
        signature: Any = None,
    ) -> None:  # fmt: skip
        if pyfunc is None:  # used as a decorator with arguments
            self._make = functools.partial(
                vectorize, otypes=otypes, doc=doc, excluded=excluded, cache=cache, signature=signature
            )
            return
        functools.update_wrapper(self, pyfunc)
        self._make = None  # type: ignore[assignment]  # made already
        self.pyfunc = pyfunc
        self.excluded = frozenset(excluded or ())
        self.signature = signature
        self._plain = numpy.vectorize(pyfunc, otypes, doc, excluded, cache, signature)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if self._make is not None:
            return self._make(*args, **keywords)
        if not has_traced((args, keywords)):
            return self._plain(*args, **keywords)
        if self.signature is not None:
            raise refused("np.vectorize(signature=)", "use np.stack([f(row) for row in x])")
        places: list[Any] = [k for k in range(len(args)) if k not in self.excluded]
        names = [name for name in keywords if name not in self.excluded]
        wide = numpy.broadcast_arrays(*[_whole(v) for v in (*(args[k] for k in places), *(keywords[n] for n in names))])
        shape = numpy.shape(wide[0])
        found = []
        for index in numpy.ndindex(*shape):
            values = [_number(array[index]) for array in wide]
            given = list(args)
            for k, value in zip(places, values, strict=False):
                given[k] = value
            named = dict(zip(names, values[len(places) :], strict=True))
            found.append(self.pyfunc(*given, **{**keywords, **named}))
        if not found:
            raise ValueError("cannot call `vectorize` on size 0 inputs unless `otypes` is set")
        many = isinstance(found[0], tuple)
        columns = list(zip(*found, strict=True)) if many else [found]
        types = self._plain.otypes or [None] * len(columns)
        results = tuple(
            numpy.reshape(traced_array(list(column), code or _dtype(column[0])), shape)
            for column, code in zip(columns, types, strict=True)
        )
        return results if many else results[0]


def _whole(value: Any) -> Any:
    return value if type(value) is Tracer else traced_array(value)


def _number(value: Any) -> Any:
    """An element as a Python number, as ``np.vectorize`` hands it on."""
    if type(value) is not Tracer:
        return value.item()
    value = converted(value, numpy.dtype(float)) if value._aval.dtype.kind == "f" else value
    return Tracer(value._trace, value._id, PYTHON)


def _dtype(value: Any) -> Any:
    return value._aval.dtype if type(value) is Tracer else numpy.asarray(value).dtype
