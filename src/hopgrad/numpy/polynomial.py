"""NumPy's ``np.polynomial``, with coefficients and points that are traced.

It is NumPy's own code, read once more with `hopgrad.numpy` in place of ``numpy``. Its classes are derived from NumPy's.

>>> import hopgrad as hg
>>> import hopgrad.numpy as np
>>> hg.grad(lambda c: np.polynomial.Polynomial(c)(2.0))(np.array([1.0, 1.0, 1.0]))
array([1., 2., 4.])
"""

from __future__ import annotations

import builtins
import functools
import importlib.util
import sys
import types
from typing import Any

import numpy.polynomial

from hopgrad.trace import context

_OURS = "hopgrad.numpy.polynomial"


def _as_it_is(*_: Any, **__: Any) -> Any:
    return lambda function: function


_NO_DISPATCH = types.SimpleNamespace(array_function_dispatch=_as_it_is, set_module=_as_it_is)
"""In place of NumPy's dispatch, which is to know NumPy's own functions only."""


def _import(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
    """The import statement of modules that are read again: ``numpy`` and their own siblings are the new ones."""
    if level:
        return read_again(name) if name else types.SimpleNamespace(**{part: read_again(part) for part in fromlist})
    if name in ("numpy", "numpy.linalg"):
        return sys.modules["hopgrad.numpy"]
    if name.endswith(".overrides"):
        return _NO_DISPATCH
    return builtins.__import__(name, globals, locals, fromlist)


@functools.cache
def read_again(name: str) -> types.ModuleType:
    """A module of NumPy's package, executed over `hopgrad.numpy`."""
    plain = importlib.import_module(f"numpy.polynomial.{name}")
    spec = importlib.util.find_spec(plain.__name__)
    loader: Any = spec.loader if spec else None
    made = types.ModuleType(f"{_OURS}.{name}", plain.__doc__)
    made.__dict__.update(__builtins__={**vars(builtins), "__import__": _import}, __file__=plain.__file__)
    with context.within(None):  # what it makes belongs to no trace
        exec(loader.get_code(plain.__name__), made.__dict__)
    for key in plain.__dict__.get("__all__", ()):
        found = getattr(made, key)
        if isinstance(found, type):
            own = {"__module__": made.__name__, "__doc__": found.__doc__}
            vars(made)[key] = type(found)(key, (found, getattr(plain, key)), own)
    sys.modules[made.__name__] = made
    return made


def of_plain(value: Any) -> Any:
    """The polynomial with traced arithmetic that is equal to one of NumPy's."""
    module = type(value).__module__.rpartition(".")[2]
    cls = getattr(read_again(module), type(value).__name__)
    return cls(value.coef, value.domain, value.window, value.symbol)


def __getattr__(name: str) -> Any:
    found = getattr(numpy.polynomial, name)
    if name.startswith("_"):
        return found
    if isinstance(found, types.ModuleType):
        return read_again(name)
    if isinstance(found, type):
        return getattr(read_again(found.__module__.rpartition(".")[2]), name)
    return found


def __dir__() -> list[str]:
    return dir(numpy.polynomial)
