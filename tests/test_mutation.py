"""In-place code: every way to write to an array, to arrays of every kind, against NumPy and finite differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

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
    """Value, final contents and gradient of a program against plain NumPy; twice, since traces are kept."""
    wanted, contents = plain_run(text, x, p)
    f, env = compiled(text)
    traced = hg.value_and_grad(f, (0, 1))
    single = "float32" in text
    for _ in range(2):
        fresh(env)
        given = [x.copy(), p.copy()]
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
