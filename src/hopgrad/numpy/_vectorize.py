"""``np.vectorize``: a Python function on each element, traced ones too."""

from __future__ import annotations

import functools
from typing import Any

import numpy

from hopgrad.hops.surface import refused
from hopgrad.numpy._functions import fillable
from hopgrad.trace.tracer import PYTHON, Tracer, converted, has_traced
from hopgrad.trace.tracer import array as traced_array


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
            return fillable(self._plain(*args, **keywords), (args, keywords))
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
