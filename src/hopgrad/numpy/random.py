"""NumPy's ``np.random``. A trace in which numbers are drawn counts for this call only, since the next one draws others.

Parameters of distributions are not differentiated: write the draw as a function of a standard one.

>>> import hopgrad as hg
>>> from hopgrad.numpy.random import default_rng
>>> round(hg.grad(lambda scale: scale * default_rng(0).standard_normal())(2.0), 6)
0.12573
"""

from __future__ import annotations

import functools
import sys
from types import FrameType
from typing import Any

import numpy
from numpy.random import Generator as PlainGenerator
from numpy.random import RandomState as PlainState

from hopgrad.hops.surface import refused
from hopgrad.numpy._classes import stand_for
from hopgrad.numpy._functions import fillable, lifted, note
from hopgrad.trace import context
from hopgrad.trace.tracer import (
    ARRAY,
    SCALAR,
    Tracer,
    current_node,
    has_traced,
    is_traced,
    leaves_of,
    real_data,
    shown,
    with_place,
)

__all__ = [*numpy.random.__all__]

REASON = "draws random numbers (np.random)"

_CURES = {
    "normal": "loc + scale*{}.standard_normal(size)",
    "uniform": "low + (high - low)*{}.random(size)",
    "exponential": "scale*{}.standard_exponential(size)",
    "lognormal": "np.exp(mean + sigma*{}.standard_normal(size))",
    "laplace": "loc + scale*{}.laplace(size=size)",
    "logistic": "loc + scale*{}.logistic(size=size)",
    "gumbel": "loc + scale*{}.gumbel(size=size)",
    "rayleigh": "scale*{}.rayleigh(size=size)",
    "weibull": "{}.standard_exponential(size)**(1/a)",
    "pareto": "np.expm1({}.standard_exponential(size)/a)",
    "gamma": "scale*{}.standard_gamma(shape, size), with a shape that is not traced",
    "multivariate_normal": "mean + L @ {}.standard_normal(n), where L @ L.T is the covariance",
}
"""Draws that can be differentiated by their parameters, with `{}` for the generator."""


def _draw(
    method: Any, owner: str, args: tuple[Any, ...], keywords: dict[str, Any], frame: FrameType | None, depth: int = 0
) -> Any:
    """A method of a random generator while a function is traced, inside of `depth` batches when it was made."""
    trace = context.current()
    assert trace is not None
    name = method.__name__
    if has_traced((args, keywords)):
        chosen = _pick(trace, method, name, args, keywords, frame, depth)
        if chosen is not None:
            return chosen[0]
        for value in leaves_of((args, keywords)):
            # What is not differentiated may be used for what it is: the trace counts for this call only.
            if is_traced(value) and trace.active(current_node(value)):
                cure = _CURES.get(name, "draw with parameters that do not depend on differentiated values")
                trace.refuse(with_place(refused(f"{owner}.{name}", cure.format(owner)), frame))
    plain, named = _bare(args), _bare(keywords)
    return _by_row(trace, lambda: method(*plain, **named), (args, keywords), name, frame, depth)


def _by_row(trace: context.Trace, draw: Any, given: Any, name: str, frame: FrameType | None, depth: int) -> Any:
    """A draw; in a function under vmap one for each row, unless the generator is made anew for each of them."""
    if not trace.batches[depth:]:
        return fillable(draw(), given)

    def array() -> Any:
        found = draw()
        if not isinstance(found, (int, float, numpy.generic, numpy.ndarray)):
            trace.refuse(with_place(refused(f"{name} under vmap", "draw outside, and pass what was drawn"), frame))
        return numpy.asarray(found)

    node = trace.by_row(depth, array)
    return Tracer(trace, node, ARRAY if trace.builder.avals[node].shape else SCALAR)


def _pick(
    trace: context.Trace, method: Any, name: str, args: tuple[Any, ...], keywords: dict[str, Any],
    frame: FrameType | None, depth: int,
) -> tuple[Any] | None:  # fmt: skip
    """Choosing among traced values: the same draws choose among their places."""
    pool: Any = args[0] if args else None
    others = (*args[1:], *keywords.values())
    if name not in ("choice", "permutation", "shuffle") or not has_traced(pool) or has_traced(others):
        return None
    axis = keywords.get("axis", args[1] if name == "shuffle" and len(args) > 1 else 0)
    pool = lifted(pool) if name != "shuffle" else pool
    if not numpy.ndim(pool):
        return None
    places = numpy.arange(numpy.shape(pool)[axis])
    if name == "choice":
        named = {k: v for k, v in keywords.items() if k != "axis"}
        chosen = _by_row(trace, lambda: method(places, *args[1:], **named), args, name, frame, depth)
        return (numpy.take(pool, chosen, axis=axis),)
    # Both draw as they do for the places themselves.
    places = _by_row(trace, lambda: method.__self__.permutation(len(places)), args, name, frame, depth)
    if name == "permutation":
        return (numpy.take(pool, places, axis=axis),)
    if isinstance(pool, list):
        if is_traced(places):
            trace.refuse(with_place(refused("shuffle of a list under vmap", "use an array"), frame))
        pool[:] = [pool[k] for k in places.tolist()]
    else:
        pool[...] = numpy.take(pool, places, axis=axis)
    return (None,)


def _bare(value: Any) -> Any:
    if type(value) is Tracer:
        return shown(value) if is_traced(value) else real_data(value)
    if isinstance(value, dict):
        return {k: _bare(v) for k, v in value.items()}
    if type(value) in (list, tuple) and any(type(v) is Tracer for v in leaves_of(value)):
        return type(value)([_bare(v) for v in value])
    return value


def function(method: Any, name: str) -> Any:
    """What stands for a function of ``np.random`` that draws from the global generator, or changes it."""

    @functools.wraps(method)
    def draw(*args: Any, **keywords: Any) -> Any:
        if context.current() is None:
            return method(*args, **keywords)
        frame = sys._getframe(1)
        note(REASON, frame)
        now = getattr(numpy.random, name, method)
        if getattr(now, "__name__", "") != name:  # somebody put another function there for a while
            return fillable(now(*args, **keywords), (args, keywords))
        return _draw(method, "np.random", args, keywords, frame)

    return draw


class Drawing:
    """Stands for a generator while a function is traced: its arrays can be filled."""

    def __init__(self, plain: Any, own: bool) -> None:
        self._plain = plain
        self._own = own
        trace = context.current()
        self._depth = len(trace.batches) if own and trace is not None else 0

    @property  # type: ignore[misc]  # as the tracer has it, for isinstance
    def __class__(self) -> Any:
        return type(self._plain)

    def __getattr__(self, name: str) -> Any:
        plain = self.__dict__["_plain"]
        found = getattr(plain, name)
        if name.startswith("_"):
            return found
        if not self.__dict__["_own"]:
            note(REASON, sys._getframe(1))
        if not callable(found) or name in ("spawn", "get_state", "set_state", "seed"):
            return found

        def draw(*args: Any, **keywords: Any) -> Any:
            if context.current() is None:
                return found(*args, **keywords)
            return _draw(found, "rng", args, keywords, sys._getframe(1), self.__dict__["_depth"])

        return functools.wraps(found)(draw)

    def __repr__(self) -> str:
        return repr(self._plain)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._plain.__reduce_ex__(protocol)


def drawing(plain: Any, own: bool = False) -> Any:
    """What stands for a generator. One made inside with a seed is the trace's `own`: it draws the same in each call."""
    return Drawing(plain, own) if isinstance(plain, (PlainGenerator, PlainState)) else plain


def _bare_generator(value: Any) -> Any:
    return value.__dict__["_plain"] if type(value) is Drawing else value


def _made(maker: Any) -> Any:
    """A function or class that makes a generator, or what generators draw from."""

    def make(*args: Any, **keywords: Any) -> Any:
        given = [*args, *keywords.values()]
        if context.current() is None:
            return maker(*args, **keywords)
        seeded = bool(given) and all(v is not None for v in given)
        if any(type(v) is Drawing for v in given):
            seeded = seeded and all(v.__dict__["_own"] for v in given if type(v) is Drawing)
        if not seeded:
            note(REASON, sys._getframe(1))
        return drawing(maker(*map(_bare_generator, _bare(args)), **_bare(keywords)), own=True)

    return make


default_rng = functools.wraps(numpy.random.default_rng)(_made(numpy.random.default_rng))
RandomState = stand_for(PlainState, _made(PlainState))
Generator = stand_for(PlainGenerator, _made(PlainGenerator), derived=False)
MT19937, PCG64, PCG64DXSM, Philox, SFC64, SeedSequence = (
    stand_for(getattr(numpy.random, name), _made(getattr(numpy.random, name)), derived=False)
    for name in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64", "SeedSequence")
)


def __getattr__(name: str) -> Any:
    found = getattr(numpy.random, name)
    # The functions are methods of the global generator, or call it.
    if not name.startswith("_") and callable(found) and not isinstance(found, type):
        made = function(found, name)
        if getattr(found, "__name__", "") == name:
            globals()[name] = made
        return made  # what somebody put there for a while is not to stay
    return found


def __dir__() -> list[str]:
    return dir(numpy.random)
