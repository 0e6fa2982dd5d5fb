"""``scipy.linalg`` for functions that are to be differentiated, under SciPy's own names.

Everything that has a derivative is differentiated; what has none, because its result is not determined, is refused by
name, with what to use instead. Outside of traces, SciPy's own functions run.

>>> import numpy as np
>>> import hopgrad as hg
>>> from hopgrad.scipy.linalg import expm, solve_triangular
>>> hg.grad(lambda t: expm(t * np.array([[0.0, 1.0], [-1.0, 0.0]]))[0, 1])(0.0)  # of sin t
1.0
>>> hg.grad(lambda x: solve_triangular(np.array([[2.0, 0.0], [1.0, 4.0]]), x, lower=True).sum())(np.ones(2))
array([0.375, 0.25 ])
"""

from __future__ import annotations

import importlib
from types import FrameType
from typing import Any

import numpy as np

from hopgrad.hops import linalg_functions, scipy_linalg
from hopgrad.hops.surface import Surface, refused
from hopgrad.scipy._namespace import namespace
from hopgrad.trace.context import Trace, UnknownValueError
from hopgrad.trace.tracer import has_traced, on_real, perform, settled, special

__getattr__ = namespace("scipy.linalg", {})


def __dir__() -> list[str]:
    return dir(importlib.import_module("scipy.linalg"))


def _own(name: str) -> Any:
    return getattr(importlib.import_module("scipy.linalg"), name)


def _holds(condition: Any, frame: FrameType | None) -> bool:
    """Whether something holds for the actual inputs, on which what is traced next depends; not where nobody knows."""
    try:
        return bool(settled(condition, frame))
    except UnknownValueError:
        return False


def _by_values(name: str, text: str) -> None:
    """A function of matrices that SciPy gives as real or as complex numbers, depending on their values."""

    def function(trace: Trace, frame: FrameType | None, A: Any, t: Any = None, disp: bool = True) -> Any:
        given = (A,) if t is None else (A, t)
        if not has_traced((A, t)):
            return on_real(trace, _own(name), given, {} if disp is True else {"disp": disp})
        if has_traced(t):
            trace.refuse(refused(f"scipy.linalg.{name} with a traced power", "use expm(t * logm(A))"))
        if disp is not True:
            trace.refuse(refused(f"scipy.linalg.{name}(disp=…)", "leave it out"))
        if t is not None and float(t).is_integer():
            return perform(Surface(linalg_functions.matrix_power), (A, int(t)), {}, frame, _own(name))
        real = Surface(lambda a: scipy_linalg.is_real(a, name, t))
        is_real = np.iscomplexobj(A) or _holds(perform(real, (A,), {}, frame, _own(name)), frame)
        adapter = Surface(lambda a: scipy_linalg.by_values(a, name, t, turned=not is_real), contiguous=True)
        return perform(adapter, (A,), {}, frame, _own(name))

    function.__name__ = name
    function.__doc__ = f"""``scipy.linalg.{name}``: {text} of a matrix.

    The derivative is the upper right block of the same function of [[A, E], [0, A]]. Source: Higham, Functions of
    Matrices, 2008, theorem 3.6. Of a real matrix with negative eigenvalues it is that of SciPy's complex result; an
    eigenvalue 0 has none: infinite or NaN.
    """
    special[f"scipy.linalg:{name}"] = function


_by_values("logm", "the logarithm")
_by_values("sqrtm", "the square root")
_by_values("fractional_matrix_power", "a power, which is a plain number,")


def _lstsq(trace: Trace, frame: FrameType | None, a: Any, b: Any, cond: Any = None, overwrite_a: bool = False,
           overwrite_b: bool = False, check_finite: bool = True, lapack_driver: Any = None) -> Any:  # fmt: skip
    """``scipy.linalg.lstsq``: the x with the least ‖a x − b‖, the squares, the rank and the singular values of `a`.

    Source: Golub and Pereyra, 1973. A matrix that has not full rank is refused when a derivative is asked for.
    """
    if not has_traced((a, b, cond)):
        return on_real(trace, _own("lstsq"), (a, b, cond), {})
    if lapack_driver == "gelsy":
        trace.refuse(refused("scipy.linalg.lstsq(lapack_driver='gelsy')", "it gives no singular values: leave it out"))
    if has_traced(cond):
        trace.refuse(refused("scipy.linalg.lstsq with a traced cond", "give it a plain number"))
    found = perform(Surface(scipy_linalg.lstsq_rank), (a, b, cond), {}, frame, _own("lstsq"))
    if type(found) is tuple:
        return found  # SciPy's own answer, since no derivative is asked for
    try:
        rank = int(settled(found, frame))
        keywords = {"rank": rank}
    except UnknownValueError:
        rank, keywords = min(np.shape(a)), {}
    x, squares, s = perform(Surface(scipy_linalg.lstsq, contiguous=True), (a, b, cond), keywords, frame, _own("lstsq"))
    return x, squares, rank, s


special["scipy.linalg:lstsq"] = _lstsq


def _eig(trace: Trace, frame: FrameType | None, a: Any, *args: Any, **keywords: Any) -> Any:
    """``scipy.linalg.eig``: complex eigenvalues, and eigenvectors, which are real where all eigenvalues are.

    Equal eigenvalues have no derivative. Vectors on the left and pairs of matrices are refused by name. Source: Giles,
    Collected matrix derivative results, 2008, section 3.1.
    """
    if not has_traced((a, args, keywords)):
        return on_real(trace, _own("eig"), (a, *args), keywords)
    found = perform(Surface(scipy_linalg.eigenpairs, contiguous=True), (a, *args), keywords, frame, _own("eig"))
    if not isinstance(found, tuple) or np.iscomplexobj(a):
        return found
    w, v = found
    return (w, v.real) if _holds(np.all(w.imag == 0), frame) else found


special["scipy.linalg:eig"] = _eig
