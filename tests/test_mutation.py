"""In-place code: every way to write to an array, to arrays of every kind, against NumPy and finite differences."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st

import hopgrad as hg
from hopgrad.errors import HopgradError, TraceError

random = np.random.default_rng(5)
P = random.normal(size=(3, 4))
X = random.normal(size=(3, 4))

# -- the table -------------------------------------------------------------------------------------------------------

# How the array a (3 × 4) is made of the argument x, which may be written to, and of what else it is a part.
STATES = {
    "zeros": "a = np.zeros((3, 4))",
    "computed": "a = x * 1.5",
    "argument": "a = x",
    "captured": "a = C",
    "view of an argument": "a = x[::-1]",
    "view of a captured array": "a = D[1:4][:, ::2]",
    "view of a view": "root = np.arange(48.0).reshape(6, 8) * x[0, 1]; a = root[1:][::2][:, ::-1][:, ::2]",
    "transposed": "root = x.reshape(4, 3) * 1.0; a = root.T",
    "transposed zeros": "root = np.zeros((4, 3)); a = root.T",
    "Fortran order": "a = np.array(x, order='F')",
    "Fortran zeros": "a = np.zeros((3, 4), order='F')",
    "middle axis": "root = np.ones((3, 2, 4)) * x[:, None]; a = root[:, 1]",
    "float32": "a = x.astype(np.float32)",
    "list of rows": "a = np.array([row * 2.0 for row in x])",
}

# The numbers p (3 × 4) and s are never written to.
STATEMENTS = r"""
a += p
a -= s
a *= p
a /= 2.0 + p**2
a **= 2
a @= p.T @ p
a //= 0.3
a %= 0.7
b = a; b += p; a *= 2.0
b = a + 0.0; b += p; a *= 2.0
b = a[1:]; a += p; b *= s
b = a[1:]; b[0] = s; a = a * b[1]; a[1] = p[2]
a[...] = p
a[:] = s
a[()] = p
a[0] = p[1]
a[-1] += p[0]
a[1, 2] = s
a[1, 2] += s
a[1, 2] *= a[2, 1] + p[0, 0]
a[:, 1] *= p[:, 0]
a[1:] = a[:-1]
a[:-1] = a[1:]
a[1:] += a[:-1]
a[:, 1:] -= a[:, :-1] * s
a += a[::-1]
a *= a[:, ::-1]
a[:] = a[::-1, ::-1]
a[::-1] = p
a[:, ::-1][0] = p[0]
a[::2, 1::2] = s
a[0], a[1] = a[1], a[0]
a[0], a[2] = a[2].copy(), a[0].copy()
a[0, 0], a[1, 1] = a[1, 1], a[0, 0]
a[[0, 0, 2]] += p
a[[0, 0, 2]] = p
a[[0, 1], [1, 1]] = p[0, :2]
a[:, [0, 0, 1]] *= p[:, :3]
a[np.array([True, False, True])] = p[:2]
a[[True, False, True], 1] += s
a[a > 0.2] = s
a[a > 0.2] *= s
a[p > 0] = p[p > 0]
a[p > 0] += p[p > 0] * a[p > 0]
a[p[:, 0] > 0] = p[0]
a[p[:, 0] > 0, 1:] += s
a[np.argmax(p[:, 0])] = p[0]
a[np.argmax(p[:, 0])] += p[1]
a[np.argmax(p[:, 0]), 1:] *= s
a[:, np.argmin(p[0])] = p[:, 0]
a[np.argmax(p[:, 0]), np.argmin(p[0])] = s
a[np.argmax(p[:, 0]), np.argmin(p[0])] += s
row = a[np.argmax(p[:, 0])]; row *= s; a += 1.0; extra = row
row = a[np.argmax(p[:, 0])]; a[np.argmax(p[:, 0])] = 1.3 * s; extra = row
row = a[np.argmax(p[:, 0])]; part = row[1:]; part += p[0, 1:]; row[0] = s; extra = part
row = a[np.argmax(p[:, 0])][None]; a[...] = p; extra = row
a[np.argmax(p[:, 0]) :] = s
a[: np.argmax(p[0]), 1:] += s
a[np.argsort(p[:, 0])] = p
a[np.argsort(p[:, 0])] += p
a[np.argmax(p, axis=0), [0, 1, 2, 3]] = p[0]
a[np.argmax(p, axis=0), [0, 1, 2, 3]] *= s
a[np.argmax(p[:, 0]), [0, 0, 1]] = p[1, :3]
a[np.nonzero(p > 0)] = s
a[np.where(a > p)] = s
a.flat[3] = s
a.flat[::2] = p[0]
a.flat[[1, 2, 5]] = [s, 2.0]
a.flat[np.argmax(p)] += s
a.flat = p
a.T[1] = p[:, 0]
a.T[...] = p.T
a.T[a.T > 0] = s
a.real[...] = p
a.real = p * 2
a[None][0, 1] = s
a[:, None, 1] += p
a.fill(s)
a.put([0, 5, 5], [s, 1.0])
np.copyto(a, p)
np.copyto(a, s, where=p > 0)
np.copyto(a[1:], a[:-1])
np.put(a, [0, -1, 5], p[0])
np.put(a, np.argsort(p[0]), [s, 2.0])
np.put(a, [20, -20], s, mode="clip")
np.put(a, [14, -14], s, mode="wrap")
np.place(a, p > 0, [s, 2.0])
np.putmask(a, p > 0, p * 2)
np.putmask(a, p > 0, [s, 2.0, 3.0])
np.fill_diagonal(a, s)
np.put_along_axis(a, np.argsort(p, axis=1)[:, :2], p[:, :2], 1)
np.add.at(a, [0, 0, 1], p)
np.add.at(a, np.argmax(p, axis=0), p[0])
np.subtract.at(a, ([0, 0], [1, 1]), p[0, :2])
np.multiply.at(a, [0, 0, 2], p)
np.divide.at(a, ([0, 0], [1, 1]), 2.0 + p[0, :2] ** 2)
np.maximum.at(a, [0, 0, 1], p)
np.minimum.at(a, (slice(None), [1, 1, 0]), p[:, :3])
np.negative.at(a, [0, 0, 1])
np.add(a[1:], a[:-1], out=a[1:])
np.add(a, p, a)
np.multiply(a, p, out=a, where=p > 0)
np.sin(a, out=a)
np.sum(p, axis=0, out=a[0])
np.mean(p, axis=1, out=a[:, 0])
np.max(p, axis=0, out=a[1])
np.cumsum(a, axis=0, out=a)
np.cumprod(p, axis=1, out=a)
np.clip(a, -0.5, 0.5, out=a)
a.clip(-0.5, s, out=a)
np.matmul(p, p.T @ p, out=a)
a.sort()
a.sort(axis=0)
a[1:].sort(0)
a.T[0].sort()
a.partition(2)
a[:] = np.sort(a * p, axis=0)
np.einsum("ij,kj,kl->il", p, p, p, out=a)
np.take(p, [0, 1, 1], axis=0, out=a)
np.concatenate([p[:1], p[1:] * 2], out=a)
np.stack([p[0], p[1], p[0]], out=a)
np.round(p, 1, out=a)
np.logaddexp(a, p, out=a)
a.sum(axis=1, out=a[:, 2])
for row in a: row += s
for k, row in enumerate(a): row[k] = p[k, 0] * row[k + 1]
for i in range(3): a[i] = a[i - 1] * p[i] + s
for i, j in np.ndindex(3, 4): a[i, j] = a[i, j - 1] * p[i, j]
while a.sum() < 30.0: a += 1.0 + p**2
if p[0, 0] > 0: a[0] = s
np.ravel(a)[3] = s
a.ravel()[1:] *= s
a.ravel("F")[2] = s
a.reshape(-1)[2] = s
a.reshape(4, 3)[1] += s
a.reshape(4, 3, order="F")[1] += s
a.reshape(2, 6)[:, 1] = s
a.flatten()[1] = s
np.swapaxes(a, 0, 1)[0] = p[:, 1]
np.moveaxis(a, 0, 1)[1:] += s
np.split(a, 3)[1][...] = s
np.atleast_3d(a)[1] = s
np.expand_dims(a, 0)[0, 1] = p[1]
np.asarray(a)[1] = s
np.array(a)[1] = s
np.array(a, copy=None)[1] = s
np.flip(a)[0] = p[0]
a.view()[1] = p[0]
a.squeeze()[1] = p[0]
a.astype(float)[1] = s
a.copy()[1] = s
np.diagonal(a.copy()).sum(); a.diagonal()[0]
b = np.zeros_like(a); b += p; a += b
b = np.empty_like(a); b[...] = a; b *= 2.0; a[0] = b[1]
b = np.ones(4); b[:] = a[0]; b[1] = s; a[1] = b
b = [a, a[0]]; b[1][1] = s; b[0] *= 2.0
try: a[7] = s\nexcept IndexError: a[1] = s
try: a[np.argmax(p) + 9] = s\nexcept IndexError: a[1] = s
try: extra = a[np.argmax(p[0]) + 9]\nexcept IndexError: a[2] = s
try: np.take(a, np.argsort(p[0]) + 99)\nexcept IndexError: a[2] = s
try: a[0] = p[:, 0]\nexcept ValueError: a[2] = s
try: a += p[:, :3]\nexcept ValueError: a[2] = s
try: np.broadcast_to(a, (2, 3, 4))[0] = s\nexcept ValueError: a[2] = s
try: np.diagonal(a)[0] = s\nexcept ValueError: a[2] = s
try: a.flat[99] = s\nexcept IndexError: a[2] = s
try: np.add(p, p, out=a[0])\nexcept ValueError: a[2] = s
np.add.at(a, (np.argmax(p[:, 0]), np.argmin(p[0])), s)
a[1:][a[1:] > 0] = s
a[(p > 0) & (a < 0.5)] -= s
a[~(p > 0)] = 0.0
a[0][a[0] > s] = s
a[-1, -1] = a[0, 0] * s; a[0, 0] = a[-1, -1] * 2
"""

ALIASES = ["a", "x", "root", "extra", "C", "D"]


def text_of(state: str, statement: str) -> str:
    lines = [STATES[state], "s = p[1, 1]", *statement.split("\\n")]
    # One statement of several lines, such as try … except, must not be joined with others.
    body = "\n    ".join(lines)
    return (
        f"def f(x, p):\n    root = extra = np.zeros(1)\n    {body}\n"
        "    total = 0.0\n"
        f"    for k, array in enumerate([{', '.join(ALIASES)}]):\n"
        "        weights = np.cos(np.arange(array.size) + k).reshape(array.shape)\n"
        "        total = total + np.sum(weights * array)\n"
        "    return total\n"
    )


def compiled(text: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    env: dict[str, Any] = {"np": np, "__name__": "user"}
    exec(compile(text, "<mutation>", "exec"), env)
    return env["f"], env


def fresh(env: dict[str, Any]) -> None:
    env["C"] = np.sin(np.arange(12.0)).reshape(3, 4)
    env["D"] = np.cos(np.arange(35.0)).reshape(5, 7)


def plain_run(text: str, x: Any, p: Any) -> tuple[Any, list[Any]]:
    """The result in plain NumPy, and what the arrays of the caller hold in the end."""
    f, env = compiled(text)
    fresh(env)
    x, p = x.copy(), p.copy()
    result = f(x, p)
    return result, [x, p, env["C"], env["D"]]


def slopes(text: str, x: Any, p: Any, dx: Any, dp: Any, h: float) -> Any:
    return (plain_run(text, x + h * dx, p + h * dp)[0] - plain_run(text, x - h * dx, p - h * dp)[0]) / (2 * h)


def compare(text: str, x: Any = X, p: Any = P) -> None:
    """Value, final contents and gradient of a program against plain NumPy; again and again, since traces are kept."""
    f, env = compiled(text)
    traced = hg.value_and_grad(f, (0, 1))
    single = "float32" in text
    for scale in (0.9, -1.1, 1.0, 1.0):
        wanted, contents = plain_run(text, x * scale, p * scale)
        fresh(env)
        given = [x * scale, p * scale]
        value, gradient = traced(*given)
        np.testing.assert_allclose(value, wanted, 1e-5 if single else 1e-12, 1e-6 if single else 1e-12)
        for got, want in zip([*given, env["C"], env["D"]], contents, strict=True):
            np.testing.assert_allclose(got, want, 1e-12, 1e-12)
    for seed in range(2):
        directions = np.random.default_rng(seed).normal(size=(2, 3, 4))
        numeric = slopes(text, x, p, *directions, 1e-3 if single else 1e-5)
        found = sum(np.sum(g * d) for g, d in zip(gradient, directions, strict=True))
        np.testing.assert_allclose(found, numeric, 2e-2 if single else 1e-6, 2e-2 if single else 1e-6)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("statement", STATEMENTS.strip().split("\n"))
def test_writing(statement: str, state: str) -> None:
    text = text_of(state, statement)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            plain_run(text, X, P)
        except Exception as error:
            # What NumPy refuses is refused here with an error of the same kind.
            f, env = compiled(text)
            fresh(env)
            with pytest.raises((type(error), HopgradError)):
                hg.grad(f)(X.copy(), P.copy())
            return
        compare(text)


# -- arrays of other shapes ------------------------------------------------------------------------------------------

ZERO_DIMENSIONAL = """
a += p | a *= s | a[...] = p | a[()] = s | a[()] += p | a.fill(s) | a.flat[0] = s | a.flat = p | np.add(a, p, out=a)
| np.sin(p, out=a) | np.sum(p * 2, out=a) | np.copyto(a, p) | np.put(a, 0, s) | a[p > 0] = s | a[p > 9] = s
| a[p > 0] *= p | b = a; b += 1.0; a *= b | b = a[...]; b += p | b = a[()]; b += p | b = a[None]; b[0] = s
| b = a.reshape(1, 1); b[0] += p | np.multiply.at(a, (), s) | a /= 2.0 + a**2
"""


@pytest.mark.parametrize(
    "state", ["a = x", "a = np.array(x * 2.0)", "a = np.zeros(())", "a = x[None][0, ...]", "a = x.T"]
)
@pytest.mark.parametrize("statement", [s.strip() for s in ZERO_DIMENSIONAL.split("|")])
def test_writing_to_an_array_without_axes(statement: str, state: str) -> None:
    text = f"def f(x, p):\n    s = p[()] * 1.5\n    {state}\n    {statement}\n    return a * 2.0 + x * p + a * a"
    f, _ = compiled(text)

    def plain(x: float, p: float) -> tuple[Any, Any]:
        array = np.array(x)
        return f(array, np.array(p)), array

    wanted, left = plain(0.7, 1.3)
    x = np.array(0.7)
    value, gradient = hg.value_and_grad(f, (0, 1))(x, np.array(1.3))
    np.testing.assert_allclose([value, x], [wanted, left], 1e-12)
    h = 1e-6
    numeric = [(plain(0.7 + h, 1.3)[0] - plain(0.7 - h, 1.3)[0]) / (2 * h),
               (plain(0.7, 1.3 + h)[0] - plain(0.7, 1.3 - h)[0]) / (2 * h)]  # fmt: skip
    np.testing.assert_allclose(gradient, numeric, 1e-6, 1e-8)


@pytest.mark.parametrize("statement", [
    "a += p", "a[...] = p", "a[:, 1] = s", "a[a > 0] = s", "a[a > 0] += p[a > 0]", "a.flat = p", "a.flat[:] = s",
    "np.add.at(a, [], p)", "a.T[0] = s", "a[[]] = s", "a.fill(s)", "np.put(a, [], [])", "np.copyto(a, p)",
    "a[:] = a[::-1]", "np.place(a, p > 0, s)", "np.sum(p, axis=0, out=np.zeros(4))", "a.reshape(4, 0)[1] = s",
    "np.cumsum(a, axis=0, out=a)", "a[np.argsort(p[:, 0])] = p", "for row in a: row += s",
])  # fmt: skip
@pytest.mark.parametrize("state", ["a = x", "a = x * 2.0", "a = np.zeros((0, 4))", "a = x[:, ::-1]"])
def test_writing_to_an_empty_array(statement: str, state: str) -> None:
    text = f"def f(x, p, t):\n    s = t * 1.5\n    {state}\n    {statement}\n    return np.sum(a) + np.sum(x) + t * t"
    f, _ = compiled(text)
    value, gradient = hg.value_and_grad(f, 2)(np.zeros((0, 4)), np.zeros((0, 4)), 1.3)
    assert (value, gradient) == (f(np.zeros((0, 4)), np.zeros((0, 4)), 1.3), 2.6)


# -- arguments -------------------------------------------------------------------------------------------------------


def test_the_gradient_is_with_respect_to_the_value_at_entry() -> None:
    def f(x: Any) -> Any:
        y = x
        x += 1.0
        x *= x
        return np.sum(y)

    x = np.array([1.0, 2.0])
    np.testing.assert_array_equal(hg.grad(f)(x), [4.0, 6.0])
    np.testing.assert_array_equal(x, [4.0, 9.0])


def test_what_is_returned_may_be_the_argument() -> None:
    def f(x: Any) -> Any:
        x += 1.0
        return x

    x = np.array([1.0, 2.0])
    value, pullback = hg.vjp(f, x)
    np.testing.assert_array_equal(value, [2.0, 3.0])
    np.testing.assert_array_equal(x, [2.0, 3.0])
    assert not np.shares_memory(value, x)
    np.testing.assert_array_equal(pullback(np.ones(2))[0], [1.0, 1.0])


@pytest.mark.parametrize("make", [
    lambda x: x.astype(">f8"), lambda x: x.astype(np.float32), np.asfortranarray, lambda x: np.repeat(x, 2, 1)[:, ::2],
    lambda x: x[::-1],
])  # fmt: skip
def test_arguments_of_any_layout_get_their_values(make: Callable[[Any], Any]) -> None:
    def f(x: Any) -> Any:
        x[1:] *= x[:-1]
        x.reshape(-1)[0] = 2.0
        return np.sum(x**2)

    plain, given = make(X.copy()), make(X.copy())
    wanted = f(plain)
    np.testing.assert_allclose(hg.value_and_grad(f)(given)[0], wanted, 1e-6)
    np.testing.assert_allclose(given, plain, 1e-6)


def test_every_transform_writes_once() -> None:
    def f(x: Any) -> Any:
        x += 1.0
        return np.sum(x**2)

    transforms: list[Callable[[Any], Any]] = [
        hg.grad(f), hg.value_and_grad(f), hg.jacobian(f), hg.jacobian(f, mode="forward"), hg.hessian(f),
        lambda x: hg.vjp(f, x), lambda x: hg.jvp(f, (x,), (np.ones(2),)), lambda x: hg.hvp(f)(x, np.ones(2)),
    ]  # fmt: skip
    for transform in transforms:
        for _ in range(2):
            x = np.array([1.0, 2.0])
            transform(x)
            np.testing.assert_array_equal(x, [2.0, 3.0])


def test_containers_of_arrays_are_written_to() -> None:
    def step(params: Any, rate: float) -> Any:
        for key in params:
            params[key] -= rate * params[key] ** 3
        params["b"][0] = params["w"][1]
        return sum(np.sum(v**2) for v in params.values())

    def fresh() -> Any:
        return {"w": np.array([1.0, 2.0, 0.5]), "b": np.array([0.3, 0.7])}

    plain, given = fresh(), fresh()
    wanted = step(plain, 0.1)
    arrays = dict(given)
    value, gradient = hg.value_and_grad(step)(given, 0.1)
    np.testing.assert_allclose(value, wanted)
    for key, array in plain.items():
        np.testing.assert_allclose(given[key], array)
        assert given[key] is arrays[key]
    numeric = (
        step({**fresh(), "w": fresh()["w"] + 1e-6}, 0.1) - step({**fresh(), "w": fresh()["w"] - 1e-6}, 0.1)
    ) / 2e-6
    np.testing.assert_allclose(np.sum(gradient["w"]), numeric, 1e-6)


def test_a_read_only_argument_cannot_be_written_to() -> None:
    caught: list[str] = []

    def f(x: Any) -> Any:
        try:
            x[0] = 5.0
        except ValueError as error:
            caught.append(str(error))
            return np.sum(x * x)
        return np.sum(x)

    x = np.array([1.0, 2.0])
    x.flags.writeable = False
    np.testing.assert_array_equal(hg.grad(f)(x), [2.0, 4.0])
    assert caught == ["assignment destination is read-only"]
    with pytest.raises(ValueError, match="read-only"):
        hg.grad(lambda x: np.sum(np.add(x, 1.0, out=x)))(x)


def test_after_an_exception_the_arrays_are_as_in_numpy() -> None:
    def f(x: Any) -> Any:
        x[0] = 7.0
        raise KeyError("missing")

    x = np.array([1.0, 2.0])
    with pytest.raises(KeyError, match="missing"):
        hg.grad(f)(x)
    np.testing.assert_array_equal(x, [7.0, 2.0])


def test_a_refused_function_leaves_the_arrays_alone() -> None:
    def f(x: Any) -> Any:
        x[0] = 7.0
        return np.sum(np.ma.sqrt(x))

    x = np.array([1.0, 2.0])
    with pytest.raises(HopgradError):
        hg.grad(f)(x)
    np.testing.assert_array_equal(x, [1.0, 2.0])


OVERLAPPING = {
    "the same array twice": lambda x: (x, x),
    "an array and its view": lambda x: (x, x[1:]),
    "two views": lambda x: (x[:2], x[1:]),
    "reversed": lambda x: (x, x[::-1]),
}


@pytest.mark.parametrize("case", OVERLAPPING)
def test_arguments_that_overlap_are_not_written_to(case: str) -> None:
    def f(a: Any, b: Any) -> Any:
        a[0] = 1.0
        return np.sum(a) + np.sum(b)

    x = np.array([1.0, 2.0, 3.0])
    with pytest.raises(TraceError, match=r"the array a is written to here, but the array b has elements in common"
                                         r".*\n  at .*test_mutation.py:\d+ in f: a\[0\] = 1.0"):  # fmt: skip
        hg.grad(f, (0, 1))(*OVERLAPPING[case](x))

    def swallowing(a: Any, b: Any) -> Any:
        try:
            return f(a, b)
        except TypeError:
            return np.sum(b)

    with pytest.raises(TraceError, match="elements in common"):
        hg.grad(swallowing, (0, 1))(*OVERLAPPING[case](x))
    # Reading them is fine, and so is writing to parts that do not overlap.
    hg.grad(lambda a, b: np.sum(a) * np.sum(b), (0, 1))(*OVERLAPPING[case](x))
    y = np.arange(8.0)
    hg.grad(f, (0, 1))(y[::2], y[1::2])
    np.testing.assert_array_equal(y, [1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])


BUFFER = np.array([1.0, 2.0, 3.0])


def test_an_argument_that_is_captured_too_is_not_written_to() -> None:
    def f(x: Any) -> Any:
        y = np.sum(BUFFER)
        x[0] = 2.0
        return np.sum(x) * y

    with pytest.raises(TraceError, match="elements in common"):
        hg.grad(f)(BUFFER[1:])

    def g(x: Any) -> Any:
        BUFFER[0] = 2.0
        return np.sum(x) * np.sum(BUFFER)

    with pytest.raises(TraceError, match="elements in common"):
        hg.grad(g)(BUFFER)

    def h(x: Any) -> Any:
        x[0] = 2.0
        return np.sum(x) * np.sum(BUFFER)

    with pytest.raises(TraceError, match="elements in common"):
        hg.grad(h)(BUFFER)
    np.testing.assert_array_equal(BUFFER, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(hg.grad(lambda x: np.sum(x * BUFFER))(BUFFER), BUFFER)


# -- captured arrays -------------------------------------------------------------------------------------------------


def test_a_captured_buffer_is_written_to_in_every_call() -> None:
    history = np.zeros((3, 2))

    def f(x: Any, k: int) -> Any:
        history[k] = x
        history[:, 1] += 0.5
        return np.sum(history * history)

    plain = np.zeros((3, 2))
    for k, x in enumerate(([1.0, 2.0], [3.0, 4.0], [5.0, 6.0])):
        value, gradient = hg.value_and_grad(f)(np.array(x), k)
        plain[k] = x
        plain[:, 1] += 0.5
        np.testing.assert_allclose(history, plain)
        np.testing.assert_allclose(value, np.sum(plain * plain))
        np.testing.assert_allclose(gradient, 2 * plain[k])


def test_the_memory_of_a_captured_array_can_be_asked_for() -> None:
    table = np.asfortranarray(np.arange(6.0).reshape(2, 3))

    def f(x: Any) -> Any:
        assert table.flags.f_contiguous
        assert not table.flags["C_CONTIGUOUS"]
        assert table.strides == (8, 16)
        assert table.T.flags.c_contiguous
        assert table.dtype == float
        assert table.tobytes() == b"".join(np.float64(v).tobytes() for v in (0, 1, 2, 3, 4, 5))
        assert table.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
        return np.sum(x * table[1])

    np.testing.assert_array_equal(hg.grad(f)(np.ones(3)), [3.0, 4.0, 5.0])


# -- functions differentiated inside ---------------------------------------------------------------------------------


def test_an_inner_function_writes_to_its_argument() -> None:
    def inner(z: Any) -> Any:
        z[0] = z[1] ** 2
        return np.sum(z**2)

    def f(x: Any) -> Any:
        z = x * 2.0
        part = z[1:]
        slope = hg.grad(inner)(z)
        part *= 3.0
        return np.sum(slope) + np.sum(z * np.arange(3.0)) + np.sum(z[0] * x)

    def plain(x: Any) -> Any:
        z = x * 2.0
        slope = np.array([0.0, 4 * z[1] ** 3 + 2 * z[1], 2 * z[2]])
        z[0] = z[1] ** 2
        z[1:] *= 3.0
        return np.sum(slope) + np.sum(z * np.arange(3.0)) + np.sum(z[0] * x)

    x = np.array([0.5, 1.5, -0.7])
    value, gradient = hg.value_and_grad(f)(x)
    np.testing.assert_allclose(value, plain(x))
    numeric = [(plain(x + h) - plain(x - h)) / 2e-6 for h in np.eye(3) * 1e-6]
    np.testing.assert_allclose(gradient, numeric, 1e-6)
    np.testing.assert_array_equal(x, [0.5, 1.5, -0.7])


def test_an_inner_function_writes_through_to_the_outer_argument() -> None:
    def inner(z: Any) -> Any:
        z *= 2.0
        return np.sum(z**3)

    def f(x: Any) -> Any:
        slope = hg.grad(inner)(x)
        return np.sum(slope * x)  # 24 v² · 2 v

    x = np.array([1.0, 2.0])
    value, gradient = hg.value_and_grad(f)(x)
    np.testing.assert_array_equal(x, [2.0, 4.0])
    np.testing.assert_allclose(value, 48 * 9.0)
    np.testing.assert_allclose(gradient, 144 * np.array([1.0, 4.0]))


def test_an_outer_array_is_not_read_while_it_is_an_argument_that_was_written_to() -> None:
    def f(x: Any) -> Any:
        z = x * 1.0

        def inner(y: Any) -> Any:
            y[0] = 1.0
            return np.sum(y * z)

        return np.sum(hg.grad(inner)(z))

    with pytest.raises(TraceError, match="argument of a function that is differentiated inside, which assigned to it"):
        hg.grad(f)(np.ones(2))

    def g(x: Any) -> Any:
        z = x * 1.0

        def inner(y: Any) -> Any:
            z[0] = 1.0
            return np.sum(y)

        return np.sum(hg.grad(inner)(z))

    with pytest.raises(TraceError, match="under another name: write to the argument"):
        hg.grad(g)(np.ones(2))


def test_an_inner_function_fills_an_outer_array() -> None:
    def f(x: Any) -> Any:
        seen = np.zeros(2)

        def inner(y: Any) -> Any:
            seen[:] = y * 2.0
            return np.sum(y**2)

        slope = hg.grad(inner)(x * 3.0)
        return np.sum(slope * seen)  # 6x · 6x

    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(hg.grad(f)(x), 72 * x)


# -- views at traced places ------------------------------------------------------------------------------------------


def test_a_row_at_a_traced_place_is_a_view() -> None:
    def f(x: Any) -> Any:
        a = x * 1.0
        k = np.argmax(x[:, 0])
        row = a[k]
        a[k] = 1.3
        before = np.sum(row)
        row[1:] = x[0, 0]
        part = a[k, 1:]
        part *= x[0, 1]
        return before + np.sum(a * np.cos(np.arange(12.0)).reshape(3, 4)) + np.sum(row**2)

    hg.check_grads(f, (X,))
    np.testing.assert_allclose(hg.value_and_grad(f)(X)[0], f(X.copy()))
    graph = hg.graph_of(lambda x: np.sum(x[np.argmax(x[:, 0])] ** 2))(X)
    assert not graph.guards  # reading needs none


def test_an_index_out_of_range_raises_where_it_is_used() -> None:
    def f(x: Any) -> Any:
        try:
            return x[np.argmax(x) + 2]
        except IndexError:
            return x[0] * 3.0

    gradient = hg.grad(f)
    np.testing.assert_array_equal(gradient(np.array([1.0, 2.0, 3.0])), [3.0, 0.0, 0.0])
    np.testing.assert_array_equal(gradient(np.array([5.0, 2.0, 3.0])), [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(gradient(np.array([1.0, 2.0, 3.0])), [3.0, 0.0, 0.0])


# -- traced integers where Python wants plain ones -------------------------------------------------------------------

INTEGERS = """
{0: 2.0, 1: 3.0, 2: 5.0}[k] * x[0] | [x[2], x[1], x[0]][k] | sum(x[j] for j in range(k + 1))
| x.reshape(k + 1, -1)[0, 0] | np.zeros(k + 1).size * x[0] | np.sum(np.arange(k + 1) * x[0])
| float("abc".__len__() - k) * x[0] | "xyz"[k].__len__() * x[k] | (x[0], x[1], x[2])[k] | int(k) * x[0]
| {"w0": 1.0, "w1": 2.0, "w2": 3.0}[f"w{k}"] * x[0] | x[:k].sum() + x[0] | x[k:].prod() | x[-k:].sum()
| divmod(7, int(k) + 1)[1] * x[0] | bin(k).__len__() * x[0] | (x * 2)[k] | "%d" % k and x[k]
| [1.0] * k and x[1] | x[0] * len({k, 1, 2}) | x[slice(None, k)].sum() | x.take(k) | x.repeat(k).sum() + x[0]
| np.full(k + 1, x[0]).sum() | np.eye(k + 1)[0, 0] * x[1] | x[0] ** k | x[0] * (k in (1, 2))
| x[0] if k else x[1] | np.linspace(0.0, 1.0, k + 2)[1] * x[0] | np.ones((k + 1, 2)).sum() * x[0]
| x[np.arange(k + 1)].sum() | x[[k, 0]].sum() | x[k % 3] | x[~k] | x[min(k, 1)]
| list(range(9))[k : k + 2][0] * x[0] | max(range(3), key=lambda j: j == k) * x[1] + x[0]
"""


@pytest.mark.parametrize("expression", [e.strip() for e in INTEGERS.replace("\n", " ").split("|")])
def test_traced_integers_serve_as_plain_ones(expression: str) -> None:
    f, _ = compiled(f"def f(x):\n    k = np.argmax(x)\n    return {expression}")
    gradient = hg.value_and_grad(f)
    for values in ([1.0, 4.0, 2.0], [1.0, 2.0, 4.0], [1.5, 4.0, 2.0]):
        x = np.array(values)
        try:
            wanted = f(x)
        except Exception as error:
            with pytest.raises(type(error)):
                gradient(x)
            continue
        value, slope = gradient(x.copy())
        np.testing.assert_allclose(value, wanted)
        numeric = [(f(x + h) - f(x - h)) / 2e-6 for h in np.eye(3) * 1e-6]
        np.testing.assert_allclose(slope, numeric, 1e-6, 1e-8)


def test_what_python_cannot_make_an_integer_of() -> None:
    for value, error in ((np.inf, OverflowError), (np.nan, ValueError)):
        for make in (int, round, math.floor, math.ceil, math.trunc):

            def f(x: Any, make: Any = make) -> Any:
                return x * make(x)

            with pytest.raises(error):
                hg.grad(f)(value)
            assert hg.grad(f)(2.25) == make(2.25)
            assert hg.grad(f)(1e30) == make(1e30)
            with pytest.raises(error):
                hg.grad(f)(np.float64(value))
    assert hg.grad(lambda x: np.sum(x) * math.floor(x))(np.array(2.5)) == 2.0
    with pytest.raises(TypeError):
        hg.grad(lambda x: np.sum(x) * math.floor(x))(np.array([2.5, 1.0]))


def test_hashes_of_traced_numbers() -> None:
    def f(x: Any) -> Any:
        counts: dict[Any, float] = {}
        for v in x:
            key = np.floor(v).astype(int)
            counts[key] = counts.get(key, 0.0) + v
        return sum(v**2 for v in counts.values())

    x = np.array([0.2, 0.7, 1.5, 1.1, 2.9])
    value, gradient = hg.value_and_grad(f)(x)
    np.testing.assert_allclose(value, f(x))
    np.testing.assert_allclose(gradient, 2 * np.array([0.9, 0.9, 2.6, 2.6, 2.9]))


# -- the shape of an array -------------------------------------------------------------------------------------------


def test_numbers_are_no_arrays_to_write_to() -> None:
    for write in (
        lambda n: np.copyto(n, 2.0), lambda n: np.place(n, True, [2.0]), lambda n: np.putmask(n, True, [2.0]),
        lambda n: operator.setitem(n, (), 2.0), lambda n: np.add(n, 1.0, out=n),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            write(np.float64(1.5))
        with pytest.raises(TypeError):
            hg.grad(lambda x, write=write: [write(x), x][1])(np.float64(1.5))
    for write in (lambda n: np.put(n, [0], [2.0]), lambda n: n.fill(2.0), lambda n: n.flat.__setitem__(0, 2.0)):
        assert hg.value_and_grad(lambda x, write=write: [write(x), x * x][1])(np.float64(1.5)) == (2.25, 3.0)


def test_the_shape_is_set_in_place() -> None:
    def f(x: Any) -> Any:
        a = x * 2.0
        b = a
        rows = a[0]
        a.shape = (4, 3)
        b[1] = x[0, 0]
        c = np.zeros(6)
        c.shape = 2, 3
        c[1] = x[0, :3]
        return np.sum(a[1:] ** 2) + np.sum(rows) + np.sum(c * c)

    hg.check_grads(f, (X,))
    np.testing.assert_allclose(hg.value_and_grad(f)(X)[0], f(X))
    with pytest.raises(AttributeError, match="in-place modification"):
        hg.grad(lambda x: setattr((x * 2.0).T, "shape", (12,)))(X)


# -- keys of every kind ----------------------------------------------------------------------------------------------


def random_key(random: Random, shape: tuple[int, ...]) -> str:
    """A key for an array of this shape: plain and traced integers, slices, arrays and masks."""

    def integer(n: int) -> str:
        k = random.randrange(-n, n)
        row = f"t[o + {k % 3}]" if n == 3 and k >= 0 else str(k)
        return random.choice(
            [str(k), f"(o + {k})", f"int(o + {k})", f"np.int64({k})", f"np.array({k})", row, f"(f > {k}) * {k}"]
        )

    parts = []
    axis = 0
    while axis < len(shape) and random.random() < 0.8:
        n = shape[axis]
        kind = random.random()
        if kind < 0.35:
            parts.append(integer(n))
        elif kind < 0.65:
            bounds = [
                random.choice(["", "", f"o + {random.randrange(n)}", str(random.randrange(-n, n))]) for _ in range(2)
            ]
            parts.append(":".join(bounds) + random.choice(["", "", "::2"[1:], ":-1"]))
        elif kind < 0.75:
            parts.append("None")
            axis -= 1
        elif kind < 0.9:
            places = [random.randrange(-n, n) for _ in range(2)]
            parts.append(
                random.choice([f"{places}", f"np.array({places})", f"o + np.array({places})", f"[o, {places[0]}]"])
            )
        else:
            marks = [random.random() < 0.6 for _ in range(n)]
            parts.append(random.choice([f"np.array({marks})", f"(np.array({marks}) | (f > 9))"]))
        axis += 1
    if not parts or random.random() < 0.15:
        parts.insert(random.randrange(len(parts) + 1), "...")
    return ", ".join(parts)


@settings(max_examples=150, deadline=None)
@given_by(st.randoms(use_true_random=False), st.sampled_from([(3, 4), (4,), (2, 3, 2)]))
def test_keys_of_every_kind(random: Random, shape: tuple[int, ...]) -> None:
    key = random_key(random, shape)
    how = random.choice([
        "b = a[{k}]; a *= 2.0", "b = a[{k}]; b += s", "a[{k}] = s; b = s", "a[{k}] += s; b = s",
        "a[{k}] = a[{k}] * s; b = s", "b = a[{k}] * 1.0; a[{k}] = b * s",
        "b = a[{k}]; b[...] = s; c = a[{k}]; a += 1.0; b = b + c",
    ])  # fmt: skip
    start = random.choice(["x * 1.5", "x", f"np.arange({np.prod(shape)}.0).reshape({shape})", "x.T.copy().T"])
    lines = how.replace("{k}", key).replace("; ", "\n    ")
    text = (
        f"def f(x, s):\n    f = x.max()\n    o = (f > 99).astype(int)\n    t = (x.ravel()[:3] > 99) + np.arange(3)\n"
        f"    a = {start}\n    {lines}\n    w = np.cos(np.arange(a.size)).reshape(a.shape)\n"
        "    return np.sum(w * a) + np.sum(np.sin(b)) * s + np.sum(b)\n"
    )
    f, _ = compiled(text)
    x = np.sin(np.arange(np.prod(shape))).reshape(shape)
    plain = x.copy()
    try:
        wanted = f(plain, 0.7)
    except Exception as error:
        with pytest.raises((type(error), HopgradError)):
            hg.grad(f, (0, 1))(x, 0.7)
        return
    given = x.copy()
    value, (slope, rate) = hg.value_and_grad(f, (0, 1))(given, 0.7)
    np.testing.assert_allclose(value, wanted, 1e-12, 1e-12, err_msg=text)
    np.testing.assert_allclose(given, plain, 1e-12, err_msg=text)
    direction = np.cos(np.arange(x.size) * 2.0).reshape(shape)
    h = 1e-6
    numeric = (f(x + h * direction, 0.7 + h) - f(x - h * direction, 0.7 - h)) / (2 * h)
    np.testing.assert_allclose(np.sum(slope * direction) + rate, numeric, 1e-6, 1e-7, err_msg=text)


def test_an_ellipsis_between_arrays_of_indices_moves_their_axes() -> None:
    x = np.arange(12.0).reshape(2, 3, 2)
    for key in ((None, [0, 1], ..., [1, 0]), ([0, 1], ..., [1, 0], slice(None)), (slice(None), [0, 2], ..., [1, 0])):
        key = tuple(np.array(k) if isinstance(k, list) else k for k in key)

        def f(x: Any, key: Any = key) -> Any:
            a = x * 1.0
            part = a[key]
            a[key] = part * np.arange(part.size).reshape(part.shape)
            return np.sum(part * np.cos(np.arange(part.size)).reshape(part.shape)) + np.sum(a**2)

        np.testing.assert_allclose(hg.value_and_grad(f)(x)[0], f(x))
        hg.check_grads(f, (x,))


# -- what is not differentiated --------------------------------------------------------------------------------------

UNDIFFERENTIATED = """
float(np.median(d)) * x[0] | np.sum(np.linalg.inv(np.outer(d, d) + np.eye(3)) @ x) | np.sort(d) @ x
| np.sum(np.fft.fft(d).real * x) | np.percentile(d, 30) * x[1] | np.unique(d) @ x | np.partition(d, 1) @ x
| struct.unpack("d", struct.pack("d", d[1]))[0] * x[1] | np.histogram(d, 3)[0] @ x
| np.interp(0.3, np.sort(d), d) * x[2] | {d[0]: x[0]}[d[0]] | "%.1f" % d[0] and x[0] | complex(d[0]).real * x[0]
| np.linalg.eigvalsh(np.outer(d, d)) @ x | np.frompyfunc(lambda t: t * 2, 1, 1)(d).astype(float) @ x
| np.nextafter(d, 0) @ x | np.gcd(d.astype(int), 2) @ x | np.left_shift(d.astype(int), 1) @ x
| np.add.reduceat(d, [0, 1]).sum() * x[0] | np.maximum.accumulate(d) @ x | np.array(d.tobytes()).size * x[0]
| np.polyfit([0.0, 1.0, 2.0], d, 1) @ x[:2] | np.frexp(d)[0] @ x | math.fsum(d) * x[0]
| statistics.median(d.tolist()) * x[0] | np.lib.stride_tricks.sliding_window_view(d, 2)[0] @ x[:2]
| np.linalg.solve(np.outer(d, d) + np.eye(3), d) @ x | (np.sort(d) if d[0] > 0 else d) @ x
"""


@pytest.mark.parametrize("expression", [e.strip() for e in UNDIFFERENTIATED.replace("\n", " ").split("|")])
def test_functions_of_data_need_no_derivative(expression: str) -> None:
    text = f"import math, statistics, struct\ndef f(x, d):\n    return {expression}"
    f, _ = compiled(text)
    gradient = hg.value_and_grad(f)
    x = np.array([0.7, -1.2, 2.3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for d in (np.array([1.5, 0.3, 2.2]), np.array([0.4, 1.3, -2.2]), np.array([1.5, 0.3, 2.2])):
            wanted = f(x, d)
            value, slope = gradient(x, d)
            np.testing.assert_allclose(value, wanted, 1e-12)
            numeric = [(f(x + h, d) - f(x - h, d)) / 2e-6 for h in np.eye(3) * 1e-6]
            np.testing.assert_allclose(slope, numeric, 1e-6, 1e-8)


@pytest.mark.parametrize("expression", [
    "np.sum(np.ma.sqrt(x))", "np.frompyfunc(lambda t: t * 2, 1, 1)(x) @ x",
    "struct.unpack('d', struct.pack('d', x[0]))[0]", "{x[0]: x[1]}[x[0]]", "np.array(x.tobytes()).size * x[0]",
])  # fmt: skip
def test_the_same_of_what_is_differentiated_is_refused(expression: str) -> None:
    f, _ = compiled(f"import struct\ndef f(x, d):\n    return {expression}")
    with pytest.raises(HopgradError):
        hg.grad(f)(np.array([0.7, -1.2, 2.3]), np.ones(3))
    # A derivative of the data itself is not lost either.
    with pytest.raises(HopgradError):
        hg.grad(f, (0, 1))(np.array([0.7, -1.2, 2.3]), np.ones(3))


def test_data_that_is_written_to_depends_on_what_was_written() -> None:
    def f(x: Any, d: Any) -> Any:
        before = np.sort(d)
        d[0] = x[0]
        after = d[1:] * 2.0
        return np.sum(before * x) + np.sum(d) + np.sum(after)

    d = np.array([3.0, 1.0, 2.0])
    value, gradient = hg.value_and_grad(f)(np.array([0.5, 1.0, 2.0]), d)
    assert value == 0.5 + 2.0 + 6.0 + 3.5 + 6.0
    np.testing.assert_array_equal(gradient, [2.0, 2.0, 3.0])
    np.testing.assert_array_equal(d, [0.5, 1.0, 2.0])
    with pytest.raises(HopgradError):
        hg.grad(lambda x, d: (d.__setitem__(0, x[0]), np.sum(np.ma.sqrt(d)))[1])(np.ones(2), np.ones(3))
