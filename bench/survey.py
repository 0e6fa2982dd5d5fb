"""Derivatives of functions from all over NumPy and SciPy, beside JAX: ``python -m bench.survey [--float32] [NAME …]``.

Where the benchmark has whole problems at several sizes, this has a line for each function, to find where hopgrad is
slow. Both run the same text, by one thread on one processor, from NumPy arrays to NumPy arrays; the least time of a
third of a second counts. In double precision results are compared, to 10⁻⁶.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.__main__ import confine
from bench.report import duration, environment

SECONDS = 1 / 3

GRADIENTS = {
    "cumsum": ("np.sum(np.sin(np.cumsum(x)))", "long"),
    "cumsum along columns": ("np.sum(np.sin(np.cumsum(x, axis=0)))", "table"),
    "cumprod": ("np.sum(np.cumprod(1 + 1e-3 * x))", "line"),
    "prod": ("np.prod(1 + 1e-3 * x)", "line"),
    "sort": ("np.sum(np.sort(x) * np.arange(100_000.0))", "long"),
    "sort rows": ("np.sum(np.sort(x, axis=1) ** 2 * np.arange(400.0))", "table"),
    "median of rows": ("np.sum(np.median(x, axis=1) ** 2)", "table"),
    "quantiles of rows": ("np.sum(np.quantile(x, np.array([0.1, 0.5, 0.9]), axis=1) ** 2)", "table"),
    "max of rows": ("np.sum(np.max(x, axis=1) ** 2)", "table"),
    "max of columns": ("np.sum(np.max(x, axis=0) ** 2)", "table"),
    "elements at places": ("np.sum(np.sin(x[PLACES]))", "line"),
    "rows at places": ("np.sum(np.sin(x[ROWS]))", "table"),
    "take, times a row": ("np.sum(np.take(x, ROWS, axis=0) * x[:1])", "table"),
    "fft": ("np.sum(np.abs(np.fft.fft(x[:65536])) ** 2)", "long"),
    "rfft": ("np.sum(np.abs(np.fft.rfft(x[:4096])))", "long"),
    "fft2": ("np.sum(np.real(np.fft.fft2(x[:256, :256])) ** 2)", "table"),
    "complex numbers": ("np.sum(np.abs(np.exp(1j * x) * (x + 2j)) ** 2)", "long"),
    "convolve": ("np.sum(np.convolve(x, x[:50]) ** 2)", "line"),
    "interp": ("np.sum(np.interp(x, np.linspace(-3, 3, 100), np.sin(np.linspace(-3, 3, 100))) ** 2)", "long"),
    "einsum bij,bjk->bik": ("np.sum(np.einsum('bij,bjk->bik', x, x) ** 2)", "stack"),
    "einsum bii->b": ("np.sum(np.einsum('bii->b', x) ** 2)", "stack"),
    "einsum ij,jk,ik->": ("np.sum(np.einsum('ij,jk,ik->', x, x, x))", "square"),
    "tensordot": ("np.sum(np.tensordot(x, x, axes=((0, 1), (0, 1))) ** 2)", "stack"),
    "stacked matrices times vectors": ("np.sum((x @ x[:, :, :1]) ** 2)", "stack"),
    "x.T @ x": ("np.sum(np.sin(x.T @ x))", "table"),
    "outer": ("np.sum(np.sin(np.outer(x[:400], x[:400])))", "line"),
    "kron": ("np.sum(np.sin(np.kron(x[:20, :20], x[20:40, 20:40])))", "square"),
    "clip, where": ("np.sum(np.clip(np.where(x > 0, x**2, -x), 0.1, 2))", "long"),
    "where, exp": ("np.sum(np.where(np.abs(x) < 1, np.exp(x), 0))", "long"),
    "nansum": ("np.sum(np.nansum(np.where(x > 0, x, np.nan) ** 2))", "long"),
    "minimum, maximum": ("np.sum(np.minimum(np.maximum(x, -1), x[::-1]))", "long"),
    "norms of rows": ("np.sum(np.linalg.norm(x, axis=1))", "table"),
    "norm": ("np.linalg.norm(x)", "table"),
    "trace, diag": ("np.trace(x @ x) + np.sum(np.diag(x) ** 3)", "square"),
    "tril": ("np.sum(np.sin(np.tril(x)))", "table"),
    "roll": ("np.sum((np.roll(x, 1, axis=0) - x) ** 2 + (np.roll(x, 1, axis=1) - x) ** 2)", "table"),
    "backwards": ("np.sum(np.sin(x[::-1]) * x)", "long"),
    "pad": ("np.sum(np.sin(np.pad(x, 2)))", "table"),
    "pad edges": ("np.sum(np.diff(np.pad(x, 1, mode='edge'), axis=0) ** 2)", "table"),
    "concatenate": ("np.sum(np.concatenate([x, np.sin(x), x * x], axis=1) ** 2)", "table"),
    "stack": ("np.sum(np.stack([x, np.sin(x), x * x]) ** 2)", "table"),
    "repeat, tile": ("np.sum(np.sin(np.repeat(x, 3)) * np.tile(x, 3))", "line"),
    "broadcasting": ("np.sum((x[:, None, :] - x[None, :, :]) ** 2)", "square"),
    "distances": ("np.sum(np.sqrt(np.sum((x[:200, None, :3] - x[None, :200, :3]) ** 2, -1) + 1e-6))", "table"),
    "gradient": ("np.sum(np.gradient(x) ** 2)", "long"),
    "diff": ("np.sum(np.diff(x, n=2) ** 2)", "long"),
    "trapezoid": ("np.trapezoid(np.sin(x) * x, dx=0.1)", "long"),
    "average": ("np.average(x, weights=np.exp(x))", "long"),
    "var, std": ("np.var(x) + np.sum(np.std(x, axis=0))", "table"),
    "cov": ("np.sum(np.cov(x[:40]) ** 2)", "table"),
    "corrcoef": ("np.sum(np.corrcoef(x[:40]) ** 2)", "table"),
    "vander": ("np.sum(np.vander(x, 6))", "line"),
    "polyval": ("np.sum(np.polyval(x[:10], x))", "line"),
    "matrix_power": ("np.sum(np.linalg.matrix_power(x * 0.1, 8))", "square"),
    "svd": ("np.sum(np.linalg.svd(x, full_matrices=False)[0][:, :3] ** 3)", "square"),
    "singular values": ("np.sum(np.linalg.svd(x, compute_uv=False))", "square"),
    "qr": ("np.sum(np.abs(np.linalg.qr(x)[1]))", "square"),
    "eigh": ("np.sum(np.linalg.eigh(x @ x.T)[0] ** 1.5)", "square"),
    "inv": ("np.sum(np.linalg.inv(x))", "square"),
    "inv of a stack": ("np.sum(np.linalg.inv(x[:, :3, :3] + 5 * np.eye(3)))", "stack"),
    "solve": ("np.sum(np.linalg.solve(x, np.ones(60)) ** 2)", "square"),
    "slogdet": ("np.linalg.slogdet(x)[1]", "square"),
    "lstsq": ("np.sum(np.linalg.lstsq(x[:, :10], x[:, 10:12], rcond=None)[0] ** 2)", "square"),
    "pinv": ("np.sum(np.linalg.pinv(x[:, :20]) ** 2)", "square"),
    "expm": ("np.sum(linalg.expm(x * 0.1))", "square"),
    "logaddexp": ("np.sum(np.logaddexp(x, 0.5))", "long"),
    "logsumexp of columns": ("np.sum(special.logsumexp(x, axis=0))", "table"),
    "softmax of rows": ("np.sum(special.softmax(x, axis=1) ** 2)", "table"),
    "gammaln": ("np.sum(special.gammaln(np.abs(x[:10_000]) + 1))", "long"),
    "erf": ("np.sum(special.erf(x))", "long"),
    "expit": ("np.sum(special.expit(x))", "long"),
    "i0e": ("np.sum(special.i0e(x[:10_000]))", "long"),
    "power": ("np.sum(np.abs(x) ** 1.7)", "long"),
    "arctan2": ("np.sum(np.arctan2(x[1:], x[:-1]))", "long"),
    "tan, arctan, sinh": ("np.sum(np.tan(x) * np.arctan(x) + np.sinh(x * 0.1))", "long"),
    "log1p, expm1, cbrt": ("np.sum(np.log1p(np.abs(x)) + np.expm1(x * 0.1) + np.cbrt(x))", "long"),
}
"""Functions of x, and the name of the argument."""

_ROSENBROCK = "np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)"
_SMALL = "np.exp(-x[0] ** 2) * np.sin(x[1] * x[2]) + x[0] / (1 + x[1] ** 2)"
_PAIRS = "np.sum((x[:, None, :] - x[None, :, :]) ** 2, -1) + np.eye(len(x))"

OTHERS = {
    "Hessian, 10 numbers": ("d.hessian(f)", _ROSENBROCK, "ten"),
    "Hessian, 1,000 numbers": ("d.hessian(f)", _ROSENBROCK, "line"),
    "Hessian, 30 points": ("d.hessian(f)", f"np.sum(1 / ({_PAIRS}) ** 3 - np.eye(len(x)))", "points"),
    "Jacobian, 1,000 numbers": ("d.jacobian(f)", "np.sin(x) * np.roll(x, 1)", "line"),
    "Jacobian of a matrix's image": ("d.jacobian(f)", "np.tanh(x @ np.linspace(-1, 1, 60))", "square"),
    "gradients of a gradient": ("d.grad(lambda x: np.sum(d.grad(f)(x) ** 2))", _ROSENBROCK, "line"),
    "10,000 gradients": (
        "d.vmap(d.grad(f))",
        "np.exp(-x[0] ** 2) * np.sin(x[1] * x[2]) + x[0] / (1 + x[1] ** 2)",
        "many",
    ),
    "10,000 Hessians": ("d.vmap(d.hessian(f))", "np.exp(-x[0] ** 2) * np.sin(x[1] * x[2]) + x[0]", "many"),
    "10,000 Jacobians": ("d.vmap(d.jacobian(f))", "np.array([1.0, 2.0, 3.0]) * np.cos(x) + np.cross(x, x**2)", "many"),
    "gradients of 300 examples": ("d.vmap(d.grad(f))", "np.sum(np.tanh(np.outer(x, x)))", "table"),
}
"""Transforms of f, by the names of `d`; f as a function of x; the name of the argument."""


def arguments(dtype: Any) -> dict[str, Any]:
    """The arguments by name."""
    rng = np.random.default_rng(0)
    sizes = {
        "ten": 10, "line": 1000, "long": 100_000, "table": (300, 400), "square": (60, 60), "stack": (64, 20, 20),
        "points": (30, 3), "many": (10_000, 3),
    }  # fmt: skip
    return {name: rng.normal(size=size).astype(dtype) for name, size in sizes.items()}


class Differentiators:
    """Transforms under one name each."""

    def __init__(self, grad: Any, jacobian: Any, hessian: Any, vmap: Any) -> None:
        self.grad, self.jacobian, self.hessian, self.vmap = grad, jacobian, hessian, vmap


def made(transform: str, text: str, derivatives: Differentiators, names: dict[str, Any]) -> Callable[..., Any]:
    """The derivative that a text describes, over some namespaces."""
    rng = np.random.default_rng(1)
    known = {**names, "PLACES": rng.integers(0, 1000, 5000), "ROWS": rng.integers(0, 300, 1000), "d": derivatives}
    known["f"] = eval(f"lambda x: {text}", known)  # the texts above
    return eval(transform, known)  # type: ignore[no-any-return]


def least(function: Callable[..., Any], x: Any) -> float:
    """The least time of a call, in seconds, until its result is there for NumPy."""

    def call() -> None:
        np.asarray(function(x))

    call()
    call()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Print the table, the slowest beside JAX first."""
    parser = argparse.ArgumentParser(prog="python -m bench.survey", description=__doc__)
    parser.add_argument("--float32", action="store_true", help="in single precision")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    options = parser.parse_args()
    wanted = environment() | {"JAX_ENABLE_X64": str(int(not options.float32))}
    if any(os.environ.get(name) != value for name, value in wanted.items()):  # NumPy has read them already
        os.execve(sys.executable, [sys.executable, "-m", "bench.survey", *sys.argv[1:]], os.environ | wanted)
    confine(1)
    import jax
    import scipy.linalg
    import scipy.special

    import hopgrad as hg

    ours = Differentiators(hg.grad, hg.jacobian, hg.hessian, lambda f: hg.compile(hg.vmap(f)))
    theirs = Differentiators(jax.grad, jax.jacobian, jax.hessian, jax.vmap)
    names = {"np": np, "special": scipy.special, "linalg": scipy.linalg}
    jax_names = {"np": jax.numpy, "special": jax.scipy.special, "linalg": jax.scipy.linalg}
    given = arguments(np.float32 if options.float32 else np.float64)
    cases = {name: ("d.grad(f)", *case) for name, case in GRADIENTS.items()} | OTHERS
    rows = []
    for name, (transform, text, argument) in cases.items():
        if options.names and name not in options.names:
            continue
        x = given[argument]
        derivative, other = made(transform, text, ours, names), jax.jit(made(transform, text, theirs, jax_names))
        alike = options.float32 or np.allclose(derivative(x), other(x), 1e-6, 1e-8, equal_nan=True)
        times = least(derivative, x), least(other, x)
        rows.append((times[1] / times[0], name, *times, "" if alike else "differs"))
    print("| derivative of | hopgrad | JAX | JAX / hopgrad | |\n|:--|--:|--:|--:|:--|")
    for ratio, name, mine, jaxs, note in sorted(rows):
        print(f"| {name} | {duration(mine)} | {duration(jaxs)} | {ratio:.2f}× | {note} |")
    behind = sum(ratio < 1 for ratio, *_ in rows)
    mean = float(np.exp(np.mean(np.log([ratio for ratio, *_ in rows]))))
    print(f"\n{len(rows) - behind} of {len(rows)} ahead of JAX; {mean:.1f}× in geometric mean")


if __name__ == "__main__":
    main()
