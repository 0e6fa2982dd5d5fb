"""Calls of SciPy's functions, as text, and how they are compared with SciPy and with differences.

Every call is one of the variables below, all of which are differentiated by. Files of tests walk over their tables of
calls with `check_value`, `check_slopes`, `check_curvature` and `check_native`.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy
from numpy.testing import assert_allclose
from sampling import slope

import hopgrad as hg
from hopgrad import tree

random = np.random.default_rng(11)


def _definite(n: int) -> Any:
    root = random.normal(size=(n, n))
    return root @ root.T / n + np.eye(n) + np.diag(np.arange(n) / 2)


VARIABLES: dict[str, Any] = {
    "s": 0.8, "D": np.array([1.2, -0.4, 0.2]),
    "x": np.array([0.7, -1.1, 1.9]), "y": np.array([1.3, 0.4, -0.6]), "p": np.array([0.6, 1.7, 2.4]),
    "L": random.normal(size=9), "K": random.normal(size=4), "Q": random.normal(size=7),
    "A": random.normal(size=(3, 3)), "B": 0.4 * random.normal(size=(3, 2)) + np.eye(3, 2),
    "C": random.normal(size=(2, 3)),
    "S": _definite(3), "R": _definite(2), "E": random.normal(size=(3, 3)),
    "T": np.stack([_definite(2), _definite(2)]), "U": random.normal(size=(2, 2, 3)),
    "Z": random.normal(size=(3, 3)) + 1j * random.normal(size=(3, 3)),
    "M": random.normal(size=(5, 6)), "N": random.normal(size=(2, 3)),
}  # fmt: skip


def function_of(text: str, module: str) -> tuple[Callable[..., Any], list[str]]:
    """The call as a function of the variables in it, with their names.

    It stands in a module of its own, as the functions of users do: what it reads is replaced while it is traced.
    """
    home: dict[str, Any] = {"__name__": "users_of_scipy", "np": np, "scipy": scipy}
    __import__(module)
    home[module.rpartition(".")[2]] = getattr(scipy, module.rpartition(".")[2])
    code = compile(text, text, "eval")
    names = sorted(set(_names(code)) & VARIABLES.keys())
    made = eval(compile(f"lambda {', '.join(names)}: {text}", text, "eval"), home)
    return made, names


def _names(code: types.CodeType) -> list[str]:
    found = list(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            found += _names(const)
    return found


def arrays(value: Any) -> list[Any]:
    """The arrays and numbers in a nested result."""
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in arrays(item)]
    return [value]


def scalar_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """A number made of all results, real and imaginary parts, in which every element counts differently."""

    def total(*args: Any) -> Any:
        found: Any = 0.0
        for k, leaf in enumerate(arrays(function(*args))):
            if not isinstance(leaf, (bool, int)) and leaf.dtype.kind in "fc":
                weights = np.cos(np.arange(leaf.size) + k).reshape(leaf.shape)
                found = found + np.sum(weights * np.real(leaf))
                if leaf.dtype.kind == "c":
                    found = found + np.sum(np.sin(1.0 + weights) * np.imag(leaf))
        return found

    return total


def check_value(text: str, module: str) -> None:
    """While it is traced, the call gives what SciPy gives: values, dtypes and shapes."""
    function, names = function_of(text, module)
    args = [VARIABLES[name] for name in names]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy's own, of arguments that it will not have any longer
        want = function(*args)
    plain = [v for v in arrays(want) if not isinstance(v, (bool, int))]
    dtypes: list[Any] = []

    def seen(*args: Any) -> Any:
        leaves = [v for v in arrays(function(*args)) if not isinstance(v, (bool, int))]
        dtypes[:] = [v.dtype for v in leaves]
        return tuple(v if v.dtype.kind in "fc" else v.astype(float) for v in leaves)

    found = hg.vjp(seen, *args)[0]
    assert dtypes == [v.dtype for v in plain]
    for got, expected in zip(found, plain, strict=True):
        assert np.shape(got) == np.shape(expected)
        assert_allclose(got, expected, rtol=1e-11, atol=1e-12)


def directions(args: list[Any]) -> list[Any]:
    """A direction of each argument's shape; complex ones have complex directions."""
    draw = np.random.default_rng(5)
    found = []
    for value in args:
        real = draw.normal(size=np.shape(value))
        found.append(real + 1j * draw.normal(size=np.shape(value)) if np.iscomplexobj(value) else real)
    return [v if np.ndim(v) else (complex(v) if np.iscomplexobj(v) else float(v)) for v in found]


def _along(gradients: Any, directions: list[Any]) -> float:
    """∂f/∂x − i ∂f/∂y times a direction."""
    return float(sum(np.sum(np.real(np.multiply(g, d))) for g, d in zip(gradients, directions, strict=True)))


def check_slopes(text: str, module: str, digits: float = 1e-9, symmetric: bool = False) -> None:
    """Reverse and forward mode against differences of SciPy's own values."""
    function, names = function_of(text, module)
    args = [VARIABLES[name] for name in names]
    ways = directions(args)
    if symmetric:
        ways = [w + np.swapaxes(w, -1, -2) if np.ndim(w) > 1 and w.shape[-1] == w.shape[-2] else w for w in ways]
    total = scalar_of(function)

    def moved(t: float) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(total(*[a + t * w for a, w in zip(args, ways, strict=True)]))

    want = slope(moved)
    assert want is not None, f"{text} is not smooth there"
    argnums = tuple(range(len(args)))
    scale = max(1.0, abs(float(want)))
    assert_allclose(_along(hg.grad(total, argnums=argnums)(*args), ways), want, rtol=digits, atol=digits * scale)
    if not any(np.iscomplexobj(a) for a in args):
        assert_allclose(hg.jvp(total, tuple(args), tuple(ways))[1], want, rtol=digits, atol=digits * scale)


def check_curvature(text: str, module: str, digits: float = 1e-8, symmetric: bool = False) -> None:
    """The second derivative along a direction against differences of the first."""
    function, names = function_of(text, module)
    args = [VARIABLES[name] for name in names]
    ways = directions(args)
    if symmetric:
        ways = [w + np.swapaxes(w, -1, -2) if np.ndim(w) > 1 and w.shape[-1] == w.shape[-2] else w for w in ways]
    total = scalar_of(function)

    def line(t: Any) -> Any:
        return total(*[a + t * w for a, w in zip(args, ways, strict=True)])

    first = hg.grad(line, backend="numpy")
    want = slope(lambda t: np.asarray(first(t)))
    assert want is not None, f"{text} is not smooth there"
    got = hg.grad(hg.grad(line))(0.0)
    assert_allclose(got, want, rtol=digits, atol=digits * max(1.0, abs(float(want))))


def check_native(text: str, module: str) -> None:
    """Native code against the interpreter, at the second call and for other numbers."""
    function, names = function_of(text, module)
    args = [VARIABLES[name] for name in names]
    total = scalar_of(function)
    argnums = tuple(range(len(args)))
    native = hg.value_and_grad(total, argnums=argnums, backend="native")
    native(*args)
    others = [a + 1e-3 * w for a, w in zip(args, directions(args), strict=True)]
    got = native(*others)
    want = hg.value_and_grad(total, argnums=argnums, backend="numpy")(*others)
    for one, other in zip(tree.flatten(got)[0], tree.flatten(want)[0], strict=True):
        assert_allclose(one, other, rtol=1e-10, atol=1e-10 * max(1.0, float(np.max(np.abs(other), initial=0.0))))


def parametrize(calls: str, name: str = "text") -> Any:
    """The lines of a table of calls."""
    return pytest.mark.parametrize(name, [line.strip() for line in calls.strip().splitlines() if line.strip()])
