"""NumPy's namespace, for functions that are to be differentiated: ``import hopgrad.numpy as np``.

All of NumPy is here, and most of it is NumPy's own: what NumPy dispatches needs no help. The rest takes traced values:

* ``np.array([x, y])`` and every other function of lists with traced values in them (``np.sum([x, y])``),
  ``np.full(n, x)``, ``np.asarray(x)``, ``np.r_``, ``np.c_``, ``np.vectorize``, ``np.float64(x)``;
* ``np.zeros(n)`` and all that makes a new array: while a function is traced it can be filled with traced values;
* ``np.polynomial``, which is NumPy's own code over this namespace;
* arrays of code written for the array API standard, which is given this namespace;
* ``np.random`` and ``np.errstate``, after which a trace counts for one call only.

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

import importlib
import sys
from typing import Any

import numpy

from hopgrad.numpy import _standard as _standard
from hopgrad.numpy import linalg as linalg
from hopgrad.numpy import random as random
from hopgrad.numpy._arrays import arange as arange
from hopgrad.numpy._arrays import array as array
from hopgrad.numpy._arrays import asanyarray as asanyarray
from hopgrad.numpy._arrays import asarray as asarray
from hopgrad.numpy._arrays import asarray_chkfinite as asarray_chkfinite
from hopgrad.numpy._arrays import ascontiguousarray as ascontiguousarray
from hopgrad.numpy._arrays import asfortranarray as asfortranarray
from hopgrad.numpy._arrays import c_ as c_
from hopgrad.numpy._arrays import fromiter as fromiter
from hopgrad.numpy._arrays import full as full
from hopgrad.numpy._arrays import full_like as full_like
from hopgrad.numpy._arrays import kaiser as kaiser
from hopgrad.numpy._arrays import mgrid as mgrid
from hopgrad.numpy._arrays import ndenumerate as ndenumerate
from hopgrad.numpy._arrays import ogrid as ogrid
from hopgrad.numpy._arrays import r_ as r_
from hopgrad.numpy._arrays import require as require
from hopgrad.numpy._classes import NUMBERS, stand_for
from hopgrad.numpy._functions import Function, Namespace, looking, note, noting, refusing
from hopgrad.numpy._iterate import nditer as nditer
from hopgrad.numpy._state import SETTINGS
from hopgrad.numpy._vectorize import vectorize as vectorize

__all__ = [*numpy.__all__]  # NumPy's names

_READS = "reads a file"
_WRITES = "writes a file"
_PRINTS = "prints"
_EFFECTS = {
    **dict.fromkeys(("load", "loadtxt", "genfromtxt", "fromfile", "fromregex", "memmap"), _READS),
    **dict.fromkeys(("save", "savetxt", "savez", "savez_compressed"), _WRITES),
    **dict.fromkeys(("info", "show_config", "show_runtime", "test"), _PRINTS),
}
"""Functions of which a trace cannot know the effect next time, and why."""


_MATRICES = "arrays of two axes multiply by @"
_MASKED = "compute with plain arrays and a mask of your own: np.where(mask, x, 0.0), np.sum(x, where=mask)"
_REFUSING = {
    **dict.fromkeys(("matrix", "asmatrix", "bmat"), _MATRICES),
    "broadcast": "use np.broadcast_shapes and np.broadcast_arrays",
}
"""What takes no traced values, and what to do instead."""


def dressed(name: str, found: Any) -> Any:
    """What stands for a member of NumPy: itself, or what takes traced values in its place."""
    if name in _EFFECTS:
        return noting(found, _EFFECTS[name])
    if name in SETTINGS:
        return SETTINGS[name]
    if name in _REFUSING:
        return _refusing(f"np.{name}", found, _REFUSING[name])
    if isinstance(found, type):
        return NUMBERS.get(found, found)
    return Function(found) if callable(found) else found


def _refusing(name: str, found: Any, cure: str) -> Any:
    call = refusing(found, name, cure)
    return stand_for(found, call, derived=False) if isinstance(found, type) else call


def _masked(name: str, found: Any) -> Any:
    """Members of ``np.ma``: of traced values there are no masked arrays."""
    taken = callable(found) and (not isinstance(found, type) or issubclass(found, numpy.ndarray))
    return _refusing(f"np.ma.{name}", found, _MASKED) if taken else found


def _tested(name: str, found: Any) -> Any:
    """Members of ``np.testing`` look at the values for the actual inputs."""
    return looking(found, "asserts (np.testing)") if callable(found) and not isinstance(found, type) else found


def __getattr__(name: str) -> Any:
    found = getattr(numpy, name)
    if name.startswith("_"):
        return found
    if not str(getattr(found, "__module__", "numpy")).startswith(("numpy", "builtins")):
        note(f"np.{name} was replaced", sys._getframe(1))  # for a while: it is not to stay
        return found
    if name in ("emath", "fft", "polynomial"):
        return importlib.import_module(f"hopgrad.numpy.{name}")  # which loads NumPy's
    parts = {"testing": _tested, "ma": _masked}
    found = globals()[name] = Namespace(found, {}, parts[name]) if name in parts else dressed(name, found)
    return found


def __dir__() -> list[str]:
    return dir(numpy)
