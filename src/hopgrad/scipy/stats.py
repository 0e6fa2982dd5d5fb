"""``scipy.stats`` for functions that are to be differentiated: ``from hopgrad.scipy import stats``.

Distributions have SciPy's methods, arguments and frozen forms; they and the summary statistics take traced values, and
are differentiated by every real parameter. Probabilities are doubles, as SciPy's. Outside of traced functions, and on
plain values, SciPy's own functions run. What is not defined here refuses traced values by name.

>>> import numpy as np
>>> import hopgrad as hg
>>> from hopgrad.scipy import stats
>>> hg.grad(lambda mu, sigma: stats.norm.logpdf(1.0, mu, sigma), (0, 1))(0.0, 2.0)
(0.25, -0.375)
>>> round(hg.grad(lambda mu: stats.norm(loc=mu).logcdf(-40.0))(0.0), 6)
-40.024969
"""

from __future__ import annotations

import functools
import importlib
import sys
from types import FrameType
from typing import Any

from hopgrad.hops.distributions import UNIVARIATE, Continuous, Discrete, cure_of, of_univariate, takes
from hopgrad.hops.multivariate import MULTIVARIATE
from hopgrad.hops.surface import Surface, refused, surfaces
from hopgrad.scipy._namespace import namespace
from hopgrad.trace import context
from hopgrad.trace.tracer import decline, has_traced, on_real, perform, trace_of

_FIRST = {
    "pmf": "k",
    "logpmf": "k",
    "ppf": "q",
    "isf": "q",
    "mean": "",
    "var": "",
    "std": "",
    "median": "",
    "entropy": "",
}
_DEFAULTS = {"loc": 0.0, "scale": 1.0}


def _scipy() -> Any:
    return importlib.import_module("scipy.stats")


def _original(name: str) -> Any:
    return getattr(_scipy(), name)


class Distribution:
    """A distribution of ``scipy.stats`` whose methods take traced values.

    Called with parameters it gives a frozen one, as in SciPy.
    """

    _accounts_for_itself = True

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def _plain(self) -> Any:
        return _original(self._name)

    @property  # type: ignore[misc]  # isinstance(norm, rv_continuous) is to hold
    def __class__(self) -> Any:
        return type(self._plain)

    def __repr__(self) -> str:
        return f"<scipy.stats.{self._name}, for traced values>"

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if context.current() is None:
            return self._plain(*args, **keywords)
        return Frozen(self, args, keywords)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._plain, name)
        if name.startswith("_") or not callable(found):
            return found
        return functools.partial(self._call, name)

    def _call(self, method: str, *args: Any, **keywords: Any) -> Any:
        trace = context.current()
        original = getattr(self._plain, method)
        if trace is None:
            return original(*args, **keywords)
        frame = sys._getframe(1)
        if method == "rvs":
            trace.only_once("draws random numbers (scipy.stats)", frame)
        if not has_traced((args, keywords)):
            return on_real(trace, original, args, keywords)
        return self._traced(method, original, args, keywords, frame)

    def _traced(self, method: str, original: Any, args: Any, keywords: Any, frame: FrameType) -> Any:
        raise NotImplementedError

    def _refuse(self, method: str, original: Any, args: Any, keywords: Any, frame: FrameType) -> Any:
        error = refused(f"scipy.stats.{self._name}.{method}", cure_of(method))
        return decline(trace_of((args, keywords)), original, args, keywords, error, frame)


class Univariate(Distribution):
    """A distribution of numbers."""

    def _traced(self, method: str, original: Any, args: Any, keywords: Any, frame: FrameType) -> Any:
        if method == "stats":
            return self._moments(original, *args, frame=frame, **keywords)
        if method == "interval":
            return self._interval(*args, **keywords)
        formulas = UNIVARIATE[self._name]
        if not takes(formulas, method):
            return self._refuse(method, original, args, keywords, frame)
        given = _bound(formulas, method, args, keywords)
        return perform(Surface(of_univariate(formulas, method)), given, {}, frame, original)

    def _moments(self, original: Any, *args: Any, frame: FrameType, moments: str = "mv", **keywords: Any) -> Any:
        if not set(moments) <= {"m", "v"}:
            return self._refuse("stats(moments='sk')", original, args, keywords, frame)
        found = [self._call({"m": "mean", "v": "var"}[m], *args, **keywords) for m in moments]
        return tuple(found) if len(found) > 1 else found[0]

    def _interval(self, confidence: Any, *args: Any, **keywords: Any) -> Any:
        tail = (1.0 - confidence) / 2
        return tuple(self._call("ppf", q, *args, **keywords) for q in (tail, (1.0 + confidence) / 2))


def _bound(formulas: Continuous | Discrete, method: str, args: Any, keywords: dict[str, Any]) -> list[Any]:
    """The arguments in their order: x, shape parameters, location and scale."""
    first = _FIRST.get(method, "k" if isinstance(formulas, Discrete) else "x")
    names = [*([first] if first else []), *formulas.shapes, *formulas.positions]
    given = dict(zip(names, args, strict=False))
    if len(args) > len(names) or given.keys() & keywords.keys() or not keywords.keys() <= set(names):
        wrong = sorted(keywords.keys() - set(names)) or "too many"
        raise TypeError(f"scipy.stats.{formulas.name}.{method}: arguments {wrong}; it takes {', '.join(names)}")
    given.update(keywords)
    missing = [name for name in names if name not in given and name not in _DEFAULTS]
    if missing:
        raise TypeError(f"scipy.stats.{formulas.name}.{method}: missing a required argument: {missing[0]!r}")
    return [given.get(name, _DEFAULTS.get(name)) for name in names]


class Multivariate(Distribution):
    """A distribution of vectors or matrices."""

    def _traced(self, method: str, original: Any, args: Any, keywords: Any, frame: FrameType) -> Any:
        formula = MULTIVARIATE[self._name].get(method)
        if formula is None:
            return self._refuse(method, original, args, keywords, frame)
        # (Of counts SciPy gives arrays without axes, not numbers.)
        return perform(Surface(formula, array=self._name == "multinomial"), args, keywords, frame, original)


class Frozen:
    """A distribution with its parameters, of which some may be traced."""

    _accounts_for_itself = True

    def __init__(self, dist: Distribution, args: tuple[Any, ...], kwds: dict[str, Any]) -> None:
        self.dist = dist
        self.args = args
        self.kwds = kwds

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.dist, name)
        if not callable(method):
            return method
        leading = 0 if name in ("mean", "var", "std", "median", "entropy", "stats", "rvs", "support") else 1

        def call(*args: Any, **keywords: Any) -> Any:
            if name == "stats" and args:
                args, keywords = args[1:], {"moments": args[0], **keywords}
            return method(*args[:leading], *self.args, *args[leading:], **self.kwds, **keywords)

        return call


class Refusing(Distribution):
    """A distribution without formulas here: on plain values SciPy's own, refused by name on traced ones."""

    def _traced(self, method: str, original: Any, args: Any, keywords: Any, frame: FrameType) -> Any:
        return self._refuse(method, original, args, keywords, frame)


@functools.cache
def _distribution(name: str) -> Distribution:
    kind = Univariate if name in UNIVARIATE else Multivariate if name in MULTIVARIATE else Refusing
    return kind(name)


def _is_a(value: Any, *names: str) -> bool:
    """Whether a value is of one of SciPy's classes, by name: most programs need not import them."""
    return any(cls.__name__ in names for cls in type(value).__mro__)


def stand_in(value: Any) -> Any:
    """What stands for a distribution of SciPy, or a frozen one, in a traced function; anything else as it is."""
    if _is_a(value, "rv_frozen"):
        dist = stand_in(_original(value.dist.name) if hasattr(_scipy(), value.dist.name) else value.dist)
        trace = context.current()
        if trace is None or not isinstance(dist, Univariate):
            return value
        trace.only_once("reads a frozen distribution, whose parameters may change", sys._getframe(2))
        return Frozen(dist, value.args, value.kwds)
    if _is_a(value, "rv_generic", "multi_rv_generic"):
        name = next((name for name, known in vars(_scipy()).items() if known is value), None)
        return value if name is None else _distribution(name)
    return value


_find = namespace("scipy.stats", {})


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        return _find(name)
    found = getattr(_scipy(), name)
    if _is_a(found, "rv_generic", "multi_rv_generic"):
        return stand_in(found)
    trace = context.current()
    if trace is not None and callable(found) and f"scipy.stats:{name}" not in surfaces:
        trace.only_once(f"uses scipy.stats.{name}, which may draw random numbers", sys._getframe(1))
    return _find(name)


def __dir__() -> list[str]:
    return dir(_scipy())
