"""What a traced function is handed in place of Python's and NumPy's own modules, functions and classes.

A traced value is no number: ``math.sin(x)``, ``float(x)`` and ``np.zeros(3)[0] = x`` would lose its gradient. While a
function is traced, what it reads from outside is looked up here: `stand_in` gives what to hand out in its place, and
`is_pure` tells whether a trace that used it may be replayed without running the Python code again.

A stand-in accounts for itself: it tells the trace when something is done that is not to be replayed.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import math
import re
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import hopgrad.numpy as drop_in
from hopgrad import scipy as drop_in_scipy
from hopgrad.hops.surface import surfaces
from hopgrad.numpy import random
from hopgrad.numpy._classes import NUMBERS, Stand
from hopgrad.numpy._functions import Function, Namespace
from hopgrad.scipy import special
from hopgrad.standins import _builtins, _functools, _math, _warnings
from hopgrad.standins._functools import Cached
from hopgrad.trace import context

__all__ = ["Cached", "builtins_stand_in", "is_pure", "stand_in"]

# -- purity ----------------------------------------------------------------------------------------------------------

_PURE_PACKAGES = frozenset({"array_api_compat", "hopgrad", "numpy"})

_AS_USERS = ("hopgrad.gallery", "hopgrad.nn", "hopgrad.optim")

_PURE_MODULES = frozenset({
    "__future__", "_bisect", "_collections", "_collections_abc", "_functools", "_heapq", "_operator", "_sre", "_struct",
    "abc", "array", "bisect", "cmath", "collections", "collections.abc", "contextlib", "copy", "dataclasses", "enum",
    "fractions", "functools", "heapq", "itertools", "math", "numbers", "operator", "re", "string", "struct", "textwrap",
    "types", "typing",
})  # fmt: skip

_PURE_OF_SCIPY = frozenset({
    "constants", "fft", "fftpack", "integrate", "interpolate", "linalg", "ndimage", "signal", "special",
})  # fmt: skip
"""Where nothing is drawn, read or written."""

_IMPURE_BUILTINS = frozenset({
    "breakpoint", "compile", "copyright", "credits", "delattr", "eval", "exec", "exit", "globals", "help", "id",
    "input", "license", "locals", "memoryview", "open", "print", "quit", "setattr", "vars", "__import__",
})  # fmt: skip

_VALUES = (
    bool, int, float, complex, str, bytes, type(None), type(Ellipsis), type(NotImplemented), range, slice, np.dtype,
    np.generic, np.finfo, np.iinfo, re.Pattern,
)  # fmt: skip
"""Types of values that never change."""


def is_pure(value: Any) -> bool:
    """Whether what comes of `value`, called or looked into, depends on it and the arguments only, without side effects.

    So a trace that used it may be replayed. What has a stand-in counts as pure, since that accounts for itself.
    """
    cls = type(value)
    if cls in (Function, Stand, Namespace) or _known(value) is not None:
        return True
    if getattr(cls, "_accounts_for_itself", False):
        return True  # an object of hopgrad's own that records what it reads
    if cls is types.ModuleType or isinstance(value, types.ModuleType):
        return value.__name__ in _REPLACED_MODULES or _is_pure_module(value.__name__)
    if isinstance(value, type):
        return _is_pure_module(value.__module__) or (
            value.__module__ == "builtins" and value.__name__ not in _IMPURE_BUILTINS
        )
    if cls is types.FunctionType:
        home = str(value.__globals__.get("__name__", ""))
        # Of functions that the user's are wrapped in, only hopgrad's own see to these.
        if is_as_users(home):
            return False
        if home.startswith("hopgrad.") or _has_surface(value):
            return True
        return _is_pure_module(home) and _is_pure_module(value.__module__ or "")
    if isinstance(value, np.ufunc):
        # One that was made of a Python function knows only objects.
        return any("O" not in kinds for kinds in value.types)
    if cls in (types.BuiltinFunctionType, types.MethodWrapperType):
        owner = value.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            home = value.__module__ or ""
            return _is_pure_module(home) or (home == "builtins" and value.__name__ not in _IMPURE_BUILTINS)
        return isinstance(owner, _VALUES) or (isinstance(owner, type) and is_pure(owner))
    if cls in (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType):
        return is_pure(value.__objclass__)
    if isinstance(value, _VALUES):
        return type(value).__module__ in ("builtins", "numpy", "re") or _is_pure_module(type(value).__module__)
    name = f"{cls.__module__}.{cls.__qualname__}"
    return name in ("operator.itemgetter", "operator.attrgetter", "numpy._ArrayFunctionDispatcher") or (
        cls.__module__ in ("typing", "types") and cls is not types.SimpleNamespace
    )


def is_as_users(module: str) -> bool:
    """Whether a module is a part of hopgrad that is written as a user would write it, and traced as such."""
    return module.startswith(_AS_USERS)


def _home_in_scipy(module: str) -> str:
    """The public module of SciPy of which a function is a member: scipy.stats for scipy.stats._stats_py."""
    return ".".join(module.split(".")[:2])


def _has_surface(function: Any) -> bool:
    """Whether hopgrad computes a function of SciPy itself, so that it draws nothing at random."""
    home, name = _home_in_scipy(str(function.__module__ or "")), function.__name__
    return f"{home}:{name}" in surfaces and getattr(sys.modules.get(home), name, None) is function


@functools.cache
def _is_pure_module(name: str) -> bool:
    if is_as_users(name):
        return False
    package, *inside = name.split(".")
    if package == "scipy":
        return not inside or inside[0] in _PURE_OF_SCIPY or inside[0].startswith("_lib")
    return package in _PURE_PACKAGES or name in _PURE_MODULES


# -- stand-ins -------------------------------------------------------------------------------------------------------


def _same(name: str, found: Any) -> Any:
    return found


def _namespace(plain: types.ModuleType, members: dict[str, Any]) -> Callable[[], Any]:
    return functools.cache(lambda: Namespace(plain, members, _same))


def _module(name: str) -> Callable[[], Any]:
    return functools.partial(importlib.import_module, name)


_BUILTINS = _builtins.replaced(lambda module, frame: _handed(module, frame))

_REPLACED_MODULES: dict[str, Callable[[], Any]] = {
    "numpy": lambda: drop_in,
    "numpy.linalg": lambda: drop_in.linalg,
    "numpy.random": lambda: random,
    "numpy.fft": _module("hopgrad.numpy.fft"),
    "numpy.polynomial": _module("hopgrad.numpy.polynomial"),
    "numpy.lib.scimath": _module("hopgrad.numpy.emath"),
    "numpy.ma": lambda: drop_in.ma,
    "numpy.testing": lambda: drop_in.testing,
    "scipy": lambda: drop_in_scipy,
    "scipy.integrate": _module("hopgrad.scipy.integrate"),
    "scipy.interpolate": _module("hopgrad.scipy.interpolate"),
    "scipy.linalg": _module("hopgrad.scipy.linalg"),
    "scipy.signal": _module("hopgrad.scipy.signal"),
    "scipy.special": lambda: special,
    "scipy.stats": _module("hopgrad.scipy.stats"),
    "math": _namespace(math, _math.MEMBERS),
    "warnings": _namespace(warnings, _warnings.MEMBERS),
    "functools": _namespace(functools, _functools.MEMBERS),
    "builtins": functools.cache(lambda: Namespace(builtins, _BUILTINS, _same)),
}
"""What stands for a module."""


@functools.cache
def _table() -> dict[int, tuple[Any, Any]]:
    """By the identity of what is replaced: that object (which so stays alive), and where its stand-in is found."""
    found: dict[int, tuple[Any, Any]] = {}

    def enter(original: Any, home: Any, name: str) -> None:
        if callable(original) or name in ("r_", "c_", "mgrid", "ogrid"):
            found.setdefault(id(original), (original, (home, name)))

    for name, original in {**vars(np.linalg)}.items():
        if name in np.linalg.__all__:
            enter(original, drop_in.linalg, name)
    for name in np.random.__all__:
        enter(getattr(np.random, name), random, name)
    for name, original in {**vars(np)}.items():
        if not name.startswith("_") and not isinstance(original, types.ModuleType):
            enter(original, drop_in, name)
    for plain, members in (
        (math, _math.MEMBERS), (warnings, _warnings.MEMBERS), (functools, _functools.MEMBERS), (builtins, _BUILTINS),
    ):  # fmt: skip
        for name, replacement in members.items():
            found[id(getattr(plain, name))] = getattr(plain, name), replacement
    for original, replacement in NUMBERS.items():
        found[id(original)] = original, replacement
    return found


def _known(value: Any) -> Any:
    """What stands for a function or class of which that is known beforehand, or None."""
    table = _table()
    entry = table.get(id(value))
    if entry is None:
        return None
    replacement = entry[1]
    if type(replacement) is tuple:
        replacement = getattr(*replacement)
        # What is NumPy's own there has no stand-in.
        replacement = None if replacement is value else replacement
        table[id(value)] = value, replacement
    return replacement


def stand_in(value: Any) -> Any:
    """What a traced function is handed in place of `value`: the same object, where nothing has to be replaced."""
    known = _known(value)
    if known is not None:
        return known
    cls = type(value)
    if cls is types.ModuleType or isinstance(value, types.ModuleType):
        name = value.__name__
        make = _REPLACED_MODULES.get(name)
        if name.startswith("numpy.polynomial."):
            return drop_in.polynomial.read_again(name.rpartition(".")[2])
        return make() if make is not None and sys.modules.get(name) is value else value
    if cls is np.vectorize:
        return _vectorized(value)
    if cls.__module__.startswith("numpy.polynomial."):
        return _polynomial(value)
    if cls.__module__.startswith("numpy.random"):
        return random.drawing(value)
    owner = value.__self__ if cls is types.MethodType else value  # (as in f = stats.norm.logpdf)
    if type(owner).__module__.startswith("scipy.stats."):
        other = _REPLACED_MODULES["scipy.stats"]().stand_in(owner)
        return value if other is owner else other if owner is value else getattr(other, value.__name__)
    if cls.__module__.startswith("scipy.interpolate.") and not isinstance(value, type):
        return _interpolant(value)
    module = getattr(value, "__module__", None)
    if module == "numpy.fft" and callable(value):
        return _member("numpy.fft", value, _module("hopgrad.numpy.fft"))
    if module is not None and module.startswith("numpy.polynomial.") and callable(value):
        return _member(module, value, lambda: drop_in.polynomial.read_again(module.rpartition(".")[2]))
    if (cls is types.FunctionType or cls is type) and module is not None and module.startswith("scipy."):
        home = _home_in_scipy(module)
        return _member(home, value, _REPLACED_MODULES[home]) if home in _REPLACED_MODULES else value
    return value


def _member(module: str, value: Any, home: Callable[[], Any]) -> Any:
    """What has the same name as a public function in the module that stands for its own."""
    name = getattr(value, "__name__", "")
    return getattr(home(), name) if getattr(sys.modules.get(module), name, None) is value else value


def _polynomial(value: Any) -> Any:
    """A polynomial that was made outside. Its coefficients may change."""
    trace = context.current()
    if trace is not None:
        trace.only_once(f"reads a {type(value).__name__}, whose coefficients may change", sys._getframe(2))
    return drop_in.polynomial.of_plain(value)


def _interpolant(value: Any) -> Any:
    """One of SciPy's interpolants that was made outside. Its arrays may change."""
    other = importlib.import_module("hopgrad.scipy.interpolate").of_plain(value)
    trace = context.current()
    if trace is not None and other is not value:
        trace.only_once(f"reads a {type(value).__name__}, whose coefficients may change", sys._getframe(2))
    return other


def _vectorized(value: Any) -> Any:
    """A ``np.vectorize`` that was made outside, over the stand-in for its function."""
    trace = context.current()
    function = value.pyfunc
    if trace is not None and trace.outside is not None:
        get = functools.partial(getattr, value, "pyfunc")
        function = trace.outside.hand(function, get, "the function of np.vectorize", sys._getframe(2))
    return drop_in.vectorize(
        function, value.otypes, value.__doc__, value.excluded, value.cache, getattr(value, "signature", None)
    )


# -- builtins --------------------------------------------------------------------------------------------------------


def _handed(module: types.ModuleType, frame: types.FrameType) -> Any:
    """What a traced function gets that imports a module itself."""
    trace = context.current()
    other = stand_in(module)
    if other is not module or is_pure(module) or trace is None:
        return other
    if trace.outside is None:
        trace.only_once(f"imports {module.__name__}, which may have state", frame)
        return module
    name = module.__name__
    return trace.outside.hand(module, functools.partial(sys.modules.get, name), name, frame)


def builtins_stand_in() -> dict[str, Any]:
    """A new dict of the builtins, with stand-ins for those that need one."""
    return {**vars(builtins), **_BUILTINS}
