"""`vmap` against the stack of single calls: values and gradients, by NumPy and by native code, in all nestings."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.special
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_arrays import program

import hopgrad as hg
from hopgrad import tree

rng = np.random.default_rng(11)
X = rng.normal(size=(5, 4))
M = rng.normal(size=(5, 3, 3)) + 3.0 * np.eye(3)


@pytest.fixture(autouse=True, scope="module")
def kept_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels on disk, in a place of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOPGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("kernels")))
        yield


def same(found: Any, wanted: Any, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    one, structure = tree.flatten(found)
    other, expected = tree.flatten(wanted)
    assert structure == expected
    for a, b in zip(one, other, strict=True):
        assert np.shape(a) == np.shape(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol, atol)


def stacked(f: Callable[..., Any], *args: Any) -> Any:
    """The results of single calls, stacked."""
    count = len(args[0])
    found = [tree.flatten(f(*[a[k] for a in args])) for k in range(count)]
    return tree.unflatten(found[0][1], [np.stack(column) for column in zip(*[leaves for leaves, _ in found])])  # noqa: B905


def check(f: Callable[..., Any], *args: Any) -> Callable[..., Any]:
    """Values and weighted gradients of `vmap` in both ways of computing, twice each, and the other way round."""
    wanted = stacked(f, *args)
    for backend in ("numpy", "native"):
        fast = hg.vmap(f, backend=backend)
        for _ in range(2):
            same(fast(*args), wanted)
    floats = tuple(k for k, a in enumerate(args) if a.dtype.kind == "f")

    def total(*args: Any) -> Any:
        leaves = tree.flatten(f(*args))[0]
        return sum(np.sum(np.cos(0.5 + leaf)) for leaf in leaves if np.asarray(leaf).dtype.kind == "f")

    if not floats or "f" not in [np.asarray(leaf).dtype.kind for leaf in tree.flatten(wanted)[0]]:
        return fast
    single = hg.grad(total, floats, backend="numpy")
    gradients = stacked(single, *args)
    for backend in ("numpy", "native"):
        inside = hg.vmap(hg.grad(total, floats), backend=backend)
        outside = hg.grad(lambda *args: np.sum(hg.vmap(total)(*args)), floats, backend=backend)
        for _ in range(2):
            same(inside(*args), gradients, 1e-7, 1e-9)
            same(outside(*args), gradients, 1e-7, 1e-9)
    return fast


# -- what rows are computed by -----------------------------------------------------------------------------------------

TABLE = rng.normal(size=(7, 3))
PLACES = rng.integers(0, 4, size=(5, 3))

FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "elementwise": (lambda x: np.sin(x) * x[0] + 2.0, (X,)),
    "two": (lambda x, y: np.hypot(x, y[:, None]), (X, rng.normal(size=(5, 2)))),
    "numbers": (lambda a, b: a * b + np.exp(a), (X[:, 0], X[:, 1])),
    "reductions": (lambda x: (np.max(x), x.mean(0), np.std(x), np.argmax(x), np.any(x > 1.0)), (X,)),
    "softmax": (lambda x: (scipy.special.softmax(x), scipy.special.log_softmax(x), scipy.special.logsumexp(x)), (X,)),
    "argmax of a matrix": (lambda m: (np.argmax(m), np.argmin(m, axis=1), m.argmax(0)), (M,)),
    "shapes": (lambda x: np.concatenate([x.reshape(2, 2).T.ravel(), x[::-1], np.tile(x, 2)])[1:-1], (X,)),
    "padded": (lambda x: np.pad(x, (1, 2), mode="reflect"), (X,)),
    "cumsum": (lambda m: np.cumsum(m, axis=1) + np.diff(m, axis=0, prepend=0.0), (M,)),
    "triangle": (lambda m: np.tril(m, -1) + np.triu(m, 1).T + np.diag(np.diag(m)) + np.trace(m), (M,)),
    "own index": (lambda x, k: x[k] * np.arange(3.0), (X, PLACES)),
    "own index of a table": (lambda k: TABLE[k] * 2.0, (PLACES,)),
    "own number": (lambda x, k: x[k] ** 2, (X, PLACES[:, 0])),
    "own index behind": (lambda m, k: m[:, k] + m[1:, k % 3][0], (M, PLACES % 3)),
    "own index apart": (lambda m, k: np.stack([m, -m])[k % 2, :, k % 3], (M, PLACES)),
    "two own indices": (lambda m, k: m[k % 3, (k + 1) % 3], (M, PLACES)),
    "one index for all": (lambda m: m[[2, 0]][:, [1, 1]] + m[np.array([0, 1]), np.array([2, 2])][:, None], (M,)),
    "one index apart": (lambda m: np.stack([m, m * 2.0])[[1, 0], :, [2, 0]], (M,)),
    "writing": (lambda x, k: _written(x, k), (X, PLACES)),
    "adding": (lambda x, k: _added(x, k), (X, PLACES)),
    "sorting": (lambda x: (np.sort(x), np.argsort(-x), np.median(x), np.partition(x, 2)), (X,)),
    "quantiles": (lambda x: np.quantile(x, [0.2, 0.9]), (X,)),
    "lexsort": (lambda x, k: x[np.lexsort((x[:3], k))], (X, PLACES)),
    "searching": (lambda x: np.searchsorted(np.array([-1.0, 0.0, 1.0]), x) + x, (X,)),
    "searching in rows": (lambda x, y: np.searchsorted(np.sort(x), y), (X, X[:, :2])),
    "interpolating": (lambda x: np.interp(x, np.array([-2.0, 0.0, 2.0]), np.array([1.0, 3.0, -1.0])), (X,)),
    "histogram": (lambda x: np.histogram(x, bins=3, range=(-1.0, 1.0))[0], (X,)),
    "isin": (lambda k: np.isin(k, [1, 2]), (PLACES,)),
    "products": (lambda m, x: (m @ x[:3], x[:3] @ m, np.outer(x, x), x @ x, m @ m), (M, X)),
    "product with one for all": (lambda x: TABLE @ x[:3] + x[:3] @ TABLE.T, (X,)),
    "einsum": (lambda m: np.einsum("ij,jk,ik->i", m, m, m) + np.einsum("ii->i", m), (M,)),
    "convolution": (lambda x: np.convolve(x, np.array([1.0, -2.0, 0.5])), (X,)),
    "inverse": (lambda m: (np.linalg.inv(m), np.linalg.det(m), np.linalg.slogdet(m)[1], np.linalg.pinv(m)), (M,)),
    "solve": (lambda m, x: (np.linalg.solve(m, x[:3]), np.linalg.solve(m, m.T)), (M, X)),
    "solve with one matrix": (lambda x: np.linalg.solve(M[0], x[:3]), (X,)),
    "solve with one right side": (lambda m: np.linalg.solve(m, np.ones(3)), (M,)),
    "solve stacks": (lambda m: np.linalg.solve(np.stack([m, m + 1.0]), m), (M,)),
    "cholesky": (lambda m: np.linalg.cholesky(m @ m.T), (M,)),
    "eigenvalues": (lambda m: np.linalg.eigvalsh(m + m.T) + np.linalg.eigh(m + m.T)[0], (M,)),
    "singular values": (lambda m: (np.linalg.svd(m)[1], np.linalg.norm(m, 2), np.linalg.norm(m[0])), (M,)),
    "qr": (lambda m: np.abs(np.linalg.qr(m)[1]), (M,)),
    "least squares": (lambda m, x: np.linalg.lstsq(m, x[:3], rcond=None)[0], (M, X)),
    "fourier": (lambda x: (np.abs(np.fft.fft(x)[1]), np.fft.irfft(np.fft.rfft(x)) * x), (X,)),
    "complex": (lambda x: np.abs(np.exp(1j * x) + x) ** 2, (X,)),
    "where": (lambda x: np.where(x > 0.0, np.sqrt(np.abs(x)), x), (X,)),
    "clip": (lambda x: np.clip(x, -0.5, 0.5) + np.nan_to_num(x), (X,)),
    "integers": (lambda k: (k % 3, k // 2, k.astype(float) / 3.0), (PLACES,)),
    "constant": (lambda x: (np.ones(3), 2.0, x[0]), (X,)),
}  # fmt: skip


def _written(x: Any, k: Any) -> Any:
    y = np.zeros(6)
    y[1:5] = x
    y[k[0]] = 3.0 * x[1]
    y[::2] *= 2.0
    return y


def _added(x: Any, k: Any) -> Any:
    y = np.zeros(4)
    np.add.at(y, k, x[:3])
    return y


@pytest.mark.parametrize("name", FUNCTIONS)
def test_rows(name: str) -> None:
    f, args = FUNCTIONS[name]
    check(f, *args)


@pytest.mark.parametrize("name", ["searching in rows", "convolution", "least squares", "histogram"])
def test_what_goes_row_by_row_is_told(name: str) -> None:
    f, args = FUNCTIONS[name]
    mapped = hg.vmap(f, backend="native")
    mapped(*args)
    assert "for one value of a batch after the other: " in mapped.report()
    assert re.search(r"\(line \d+ of .*test_vmap", mapped.report())


def test_nothing_else_goes_row_by_row() -> None:
    for name in ("products", "solve", "inverse", "sorting", "fourier", "own index apart", "adding", "singular values"):
        f, args = FUNCTIONS[name]
        mapped = hg.vmap(f)
        mapped(*args)
        assert "one value of a batch" not in mapped.report(), name


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_random_programs(random: Any) -> None:
    made = program(random, random.randint(1, 5))
    if re.search(r"\[k % \d+\] [*]?= ", made.source):  # places that may occur twice: see below
        return
    f = made.function()
    count = random.choice([1, 2, 3])
    calls = [made.arguments(call) for call in range(count)]
    args = [np.stack(column) for column in zip(*calls, strict=True)]
    floats = tuple(range(len(args) - 1))
    digits = 1e-3 if made.dtype is np.float32 else 1e-8
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", hg.NativeCodeWarning)
        wanted = [f(*call) for call in calls]
        gradients = [hg.grad(f, floats, backend="numpy")(*call) for call in calls]
        if not all(np.isfinite(leaf).all() for leaf in tree.flatten([wanted, gradients])[0]):
            return
        for backend in ("numpy", "native"):
            both = hg.vmap(hg.value_and_grad(f, floats), backend=backend)
            outer = hg.grad(lambda *args: np.sum(hg.vmap(f)(*args)), floats, backend=backend)
            for _ in range(2):
                value, gradient = both(*args)
                again = outer(*args)
                np.testing.assert_allclose(value, np.stack(wanted), digits, digits, err_msg=str(made))
                for k in floats:
                    one = np.stack([g[k] for g in gradients])
                    scale = digits * max(1.0, float(np.max(np.abs(one), initial=0.0)))
                    assert gradient[k].dtype == args[k].dtype
                    np.testing.assert_allclose(gradient[k], one, digits, scale, err_msg=str(made))
                    np.testing.assert_allclose(again[k], one, digits, scale, err_msg=str(made))


# -- loops and branches ------------------------------------------------------------------------------------------------


def scanned(x: Any) -> Any:
    return hg.scan(lambda c, v: (np.sin(c) * v + x[0], c * v), 1.0, x)


def reversed_scan(x: Any) -> Any:
    return hg.scan(lambda c, v: (c + v**2, np.tanh(c)), np.zeros(2), x.reshape(2, 2), reverse=True)


def counted(x: Any) -> Any:
    return hg.fori_loop(0, 3, lambda i, c: c * x[i] + x[3 - i], 1.0)


def halved(x: Any) -> Any:
    return hg.while_loop(lambda c: np.sum(c**2) > 0.1, lambda c: c * 0.6, x, max_steps=30)


def shared_condition(x: Any) -> Any:
    return hg.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, np.sin(c[1]) + x), (0, x), max_steps=9)[1]


def unbounded(x: Any) -> Any:
    return hg.while_loop(lambda c: c < 50.0, lambda c: c * 2.0 + 1.0, np.abs(x[0]))


def branched(x: Any) -> Any:
    return hg.cond(x[0] > 0.0, lambda x: np.sqrt(np.abs(x)) * x[1], lambda x: x**2, x)


def switched(x: Any, k: Any) -> Any:
    return hg.switch(k[0], [lambda x: x, lambda x: 2.0 * x[::-1], lambda x: np.sin(x)], x)


def loop_in_branch(x: Any) -> Any:
    return hg.cond(x.sum() > 0.0, lambda x: scanned(x)[0], lambda x: np.sum(halved(x)), x)


LOOPS: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (scanned, (X,)), (reversed_scan, (X,)), (counted, (X,)), (halved, (X,)), (shared_condition, (X,)), (branched, (X,)),
    (switched, (X, PLACES)), (loop_in_branch, (X,)),
]  # fmt: skip


@pytest.mark.parametrize(("f", "args"), LOOPS, ids=lambda v: getattr(v, "__name__", ""))
def test_loops_and_branches(f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    fast = check(f, *args)
    assert "one value of a batch" not in fast.report()


@pytest.mark.parametrize("f", [scanned, halved, branched, loop_in_branch], ids=lambda f: f.__name__)
def test_loops_at_second_order(f: Callable[..., Any]) -> None:
    def total(x: Any) -> Any:
        return sum(np.sum(np.cos(leaf)) for leaf in tree.flatten(f(x))[0])

    wanted = stacked(hg.hessian(total, backend="numpy"), X)
    same(hg.vmap(hg.hessian(total))(X), wanted, 1e-7, 1e-9)
    outside = hg.hessian(lambda x: np.sum(hg.vmap(total)(x)))(X)
    for k in range(5):
        np.testing.assert_allclose(outside[k, :, k], wanted[k], 1e-7, 1e-9)


def test_unbounded_loop_forwards() -> None:
    same(hg.vmap(unbounded)(X), stacked(unbounded, X))
    moved = hg.jvp(hg.vmap(unbounded), (X,), (np.ones_like(X),))[1]
    same(moved, np.stack([hg.jvp(unbounded, (row,), (np.ones(4),))[1] for row in X]))


def test_a_branch_that_all_share_runs_alone() -> None:
    def f(x: Any, flag: Any) -> Any:
        return hg.cond(flag, lambda x: np.linalg.inv(x), lambda x: x, x)

    singular = np.zeros((2, 3, 3))
    same(hg.vmap(f, in_axes=(0, None))(singular, False), singular)


def test_derivatives_of_untaken_branches_do_not_poison() -> None:
    f = hg.grad(lambda x: hg.cond(x > 0.0, lambda x: np.sqrt(x), lambda x: 0.0 * x, x))
    x = np.array([0.0, 4.0])
    np.testing.assert_array_equal(hg.vmap(f)(x), [f(0.0), f(4.0)])


# -- transforms, in all orders -----------------------------------------------------------------------------------------


def f(x: Any) -> Any:
    return np.sum(np.sin(x) * x[::-1] ** 2)


def vector(x: Any) -> Any:
    return np.sin(x) * x[0]


TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "grad": lambda x: hg.grad(f)(x),
    "value_and_grad": lambda x: hg.value_and_grad(f)(x),
    "jacobian": lambda x: hg.jacobian(vector)(x),
    "reverse jacobian": lambda x: hg.jacobian(vector, mode="reverse")(x),
    "hessian": lambda x: hg.hessian(f)(x),
    "hvp": lambda x: hg.hvp(f)(x, np.cos(x)),
    "jvp": lambda x: hg.jvp(vector, (x,), (np.cos(x),))[1],
    "vjp": lambda x: hg.vjp(vector, x)[1](np.cos(x))[0],
    "compile": lambda x: hg.compile(vector)(x),
    "elementwise_grad": lambda x: hg.elementwise_grad(np.tanh)(x),
    "third order": lambda x: hg.grad(lambda x: np.sum(hg.hessian(f)(x) ** 2))(x),
    "vmap": lambda x: hg.vmap(lambda v: v**2)(x),
    "vmap of grad": lambda x: hg.vmap(hg.grad(lambda v: v**3))(x),
    "vmap with the outer row": lambda x: hg.vmap(lambda v: v * x)(x),
    "grad of vmap": lambda x: hg.grad(lambda x: np.sum(hg.vmap(lambda v: v**3 * x[0])(x)))(x),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_vmap_of_transforms(name: str) -> None:
    g = TRANSFORMS[name]
    wanted = stacked(g, X)
    for backend in ("numpy", "native"):
        mapped = hg.vmap(g, backend=backend)
        for _ in range(2):
            same(mapped(X), wanted, 1e-8, 1e-10)
    compiled = hg.compile(hg.vmap(g))
    for _ in range(2):
        same(compiled(X), wanted, 1e-8, 1e-10)


def test_transforms_of_vmap() -> None:
    mapped = hg.vmap(f)
    single = stacked(hg.grad(f), X)
    same(hg.grad(lambda x: np.sum(mapped(x)))(X), single)
    same(hg.jvp(mapped, (X,), (np.cos(X),)), (mapped(X), np.sum(single * np.cos(X), axis=1)))
    same(hg.vjp(mapped, X)[1](np.arange(5.0))[0], single * np.arange(5.0)[:, None])
    dense = hg.jacobian(mapped)(X)
    for k in range(5):
        np.testing.assert_allclose(dense[k, k], single[k], 1e-9)
    assert np.count_nonzero(dense) == np.count_nonzero(single)
    hg.check_grads(mapped, (X,), order=2)
    assert "vmap" not in hg.explain(lambda x: np.sum(hg.vmap(np.sin)(x)))(X[0]).text()


def test_three_levels() -> None:
    x = rng.normal(size=(2, 3, 4))
    nested = hg.vmap(hg.vmap(hg.vmap(lambda v: np.sin(v) * v)))
    same(nested(x), np.sin(x) * x)
    outer = hg.vmap(lambda a: hg.vmap(lambda b: np.outer(a, b))(x[0]))(x[0])
    same(outer, np.einsum("ai,bj->abij", x[0], x[0]))


def test_perturbations_are_not_confused() -> None:
    g = hg.grad(lambda x: x * hg.vmap(hg.grad(lambda y: x + y))(np.ones(3)).sum())
    assert g(2.0) == 3.0


# -- axes --------------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any


def test_axes() -> None:
    x, y = rng.normal(size=(2, 3, 5)), rng.normal(size=(5, 3))

    def g(x: Any, y: Any) -> Any:
        return x * y, y.sum()

    wanted = [g(x[:, :, k], y[k]) for k in range(5)]
    found = hg.vmap(g, in_axes=(-1, 0), out_axes=(1, 0))(x, y)
    same(found, (np.stack([w[0] for w in wanted], 1), np.stack([w[1] for w in wanted])))
    found = hg.vmap(g, in_axes=(2, 0), out_axes=(-1, -1))(x, y)
    same(found, (np.stack([w[0] for w in wanted], -1), np.stack([w[1] for w in wanted])))
    same(hg.vmap(lambda x: x, 1, 1)(y), y)
    same(hg.vmap(lambda x: (x, 7.0), out_axes=(0, None))(y), (y, 7.0))
    same(hg.vmap(lambda a, b: a * b, in_axes=(None, 0))(2.0, y), 2.0 * y)
    same(hg.vmap(lambda x, *, scale: x * scale)(y, scale=y), y * y)
    same(hg.vmap(lambda x, scale: x * scale, in_axes=0)(y, scale=y[:, 0]), y * y[:, :1])


def test_nested_arguments() -> None:
    weights = {"w": rng.normal(size=(5, 4)), "b": 2.0}
    one = hg.vmap(lambda p, x: np.dot(p["w"], x) + p["b"], in_axes=({"w": 0, "b": None}, 0))(weights, X)
    same(one, np.sum(weights["w"] * X, axis=1) + 2.0)
    pair = hg.vmap(lambda p: Pair(p.b, p.a * 2.0), in_axes=(Pair(1, 0),), out_axes=Pair(0, 1))(Pair(X.T, X))
    same(pair, Pair(X, (X * 2.0).T))
    layer = hg.vmap(lambda p, x: p.weight @ x + p.bias, in_axes=(None, 0))(Layer(np.eye(4), 1.0), X)
    same(layer, X + 1.0)
    same(hg.vmap(lambda p: p[0] + p[1][0])([X, [X]]), 2.0 * X)
    gradient = hg.grad(lambda p: np.sum(hg.vmap(lambda p, x: np.dot(p["w"], x), in_axes=(None, 0))(p, X) ** 2))
    same(gradient({"w": np.ones(4)}), {"w": 2.0 * X.T @ X.sum(1)})


def test_static_arguments() -> None:
    def g(x: Any, kind: str, n: int, flag: bool, none: Any) -> Any:
        assert none is None
        return (np.sin(x) if kind == "sin" else x) * n + flag

    mapped = hg.vmap(g, in_axes=(0, None, None, None, None))
    same(mapped(X, "sin", 2, True, None), np.sin(X) * 2 + 1)
    same(mapped(X, "id", 3, False, None), X * 3)


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_few_rows(count: int, dtype: Any) -> None:
    x = rng.normal(size=(count, 4)).astype(dtype)
    m = (rng.normal(size=(count, 3, 3)) + 3 * np.eye(3)).astype(dtype)
    k = PLACES[:count]
    for _ in range(2):
        for g, args, shapes in (
            (lambda x: np.sin(x).sum(), (x,), [()]),
            (lambda x, k: x[k].cumsum(), (x, k), [(3,)]),
            (lambda m, x: np.linalg.solve(m, x[:3]), (m, x), [(3,)]),
            (lambda x: np.sort(x) @ x, (x,), [()]),
            (lambda x: np.argmax(x), (x,), [()]),
            (scanned, (x,), [(), (4,)]),
            (halved, (x,), [(4,)]),
            (lambda x: np.convolve(x, x), (x,), [(7,)]),
            (hg.grad(lambda x: np.max(x) * x[0]), (x,), [(4,)]),
        ):
            found = tree.flatten(hg.vmap(g)(*args))[0]
            assert [v.shape for v in found] == [(count, *s) for s in shapes]
            if count:
                same(found, tree.flatten(stacked(g, *args))[0], 1e-4 if dtype is np.float32 else 1e-9, 1e-5)


def test_layouts() -> None:
    wide = rng.normal(size=(8, 10))
    for x in (wide[::2, 1:5], wide[::-1], np.asfortranarray(wide), wide.T):
        same(hg.vmap(lambda v: np.sin(v).sum())(x), np.sin(x).sum(1))
    same(hg.vmap(lambda v: v + 1)(np.arange(6).reshape(3, 2)), np.arange(6).reshape(3, 2) + 1)


# -- the world outside -------------------------------------------------------------------------------------------------

SCALE = 2.0


def scaled(x: Any) -> Any:
    return x * SCALE


def test_captured_state_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = hg.vmap(scaled)
    same(mapped(X), X * 2.0)
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    same(mapped(X), X * 3.0)
    table = np.ones(4)
    captured = hg.vmap(lambda x: x * table)
    same(captured(X), X)
    table[:] = 5.0
    same(captured(X), X * 5.0)


def test_traces_are_kept() -> None:
    calls = []

    def g(x: Any) -> Any:
        calls.append(1)
        return x * 2.0

    mapped = hg.vmap(lambda x: x * 2.0)
    for _ in range(3):
        same(mapped(X), X * 2.0)
    assert "replayed 2 times" in mapped.report()
    hg.vmap(g)(X)
    assert len(calls) == 1


def test_branches_on_what_all_rows_share() -> None:
    def g(x: Any, a: Any) -> Any:
        return x * 2.0 if a > 0.0 else x

    mapped = hg.vmap(g, in_axes=(0, None))
    for a in (1.0, -1.0, 1.0):
        same(mapped(X, a), X * 2.0 if a > 0 else X)


def test_random_numbers_differ_from_row_to_row() -> None:
    def noisy(x: Any) -> Any:
        return x + np.random.normal(size=4)

    np.random.seed(3)
    mapped = hg.vmap(noisy)
    first, second = mapped(X) - X, mapped(X) - X
    assert len(np.unique(np.round(first, 9))) == 20
    assert not np.isclose(first, second).any()
    np.random.seed(3)
    np.testing.assert_allclose(mapped(X) - X, first)
    outer = np.random.default_rng(5)
    nested = hg.vmap(hg.vmap(lambda v: v * 0.0 + outer.random()))(X)
    assert len(np.unique(nested)) == 20
    chosen = hg.vmap(lambda x: outer.choice(x, size=2) + 0.0 * outer.permutation(x)[:2])(np.arange(40.0).reshape(10, 4))
    assert ((chosen // 4) == np.arange(10)[:, None]).all()
    assert len(np.unique(chosen % 4, axis=0)) > 2
    # A generator made anew in each call draws the same in each call.
    same(hg.vmap(lambda x: np.random.default_rng(0).normal() * x)(X), np.random.default_rng(0).normal() * X)
    assert hg.vmap(noisy)(X[:0]).shape == (0, 4)


def test_rules_of_ones_own() -> None:
    @hg.custom_vjp
    def safe(x: Any, y: Any) -> Any:
        return x * np.sin(y)

    safe.defvjp(lambda x, y: (x * np.sin(y), (x, y)), lambda r, ct: (ct * np.sin(r[1]) * 3.0, ct * r[0] * np.cos(r[1])))

    @hg.custom_jvp
    def pair(x: Any, y: Any) -> Any:
        return x * y, x + y

    pair.defjvp(lambda p, t: ((p[0] * p[1], p[0] + p[1]), (5.0 * (t[0] * p[1] + p[0] * t[1]), t[0] + t[1])))
    x, y = rng.normal(size=5), rng.normal(size=5)
    for one in (safe, lambda x, y: np.sum(np.stack(pair(x, y)) ** 2)):
        gradient = hg.grad(one, (0, 1))
        same(hg.vmap(gradient)(x, y), stacked(gradient, x, y))
        same(hg.grad(lambda x, y, one=one: np.sum(hg.vmap(one)(x, y)), (0, 1))(x, y), stacked(gradient, x, y))
        shared = hg.grad(lambda x, y, one=one: np.sum(hg.vmap(one, in_axes=(0, None))(x, y)), (0, 1))(x, y[0])
        wanted = [gradient(v, y[0]) for v in x]
        same(shared, (np.stack([w[0] for w in wanted]), np.sum([w[1] for w in wanted])))
        second = hg.hessian(lambda x, one=one: one(x, 0.3))
        same(hg.vmap(second)(x), np.stack([second(v) for v in x]))


def test_black_boxes() -> None:
    seen = []

    def reverse(x: Any) -> Any:
        seen.append(np.shape(x))
        return np.sort(x)[::-1].copy()

    box = hg.external(reverse, like=np.ones(4))
    mapped = hg.vmap(lambda x: box(x) + 1.0)
    same(mapped(X), -np.sort(-X, axis=1) + 1.0)
    assert set(seen) == {(4,)}
    assert "one value of a batch after the other: external" in mapped.report()


def test_stopped_gradients() -> None:
    g = hg.grad(lambda x: np.sum(hg.stop_gradient(x) * x))
    same(hg.vmap(g)(X), X)


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_branches_on_rows_are_refused_with_the_cure() -> None:
    def g(x: Any) -> Any:
        if x.sum() > 0:
            return x
        return -x

    for mapped in (
        hg.vmap(g),
        hg.vmap(hg.grad(lambda v: np.sum(g(v)))),
        hg.vmap(hg.vmap(lambda v: abs(v) if v else v)),
    ):
        with pytest.raises(hg.TraceError, match=r"differs from row to row.*np\.where.*cond(.|\n)*test_vmap"):
            mapped(X)
    with pytest.raises(hg.TraceError, match="depends on x, over which vmap"):
        hg.vmap(g)(X)
    with pytest.raises(hg.TraceError, match="row to row"):
        hg.vmap(lambda x: x[x > 0])(X)
    with pytest.raises(hg.TraceError, match="row to row"):
        hg.vmap(lambda x: np.zeros(int(x[0])))(X)


def test_assignments_to_several_places_of_a_rows_own_are_refused() -> None:
    def g(x: Any, k: Any) -> Any:
        y = np.zeros(4)
        y[k] = x[:3]
        return y

    with pytest.raises(hg.TraceError, match="depends on k, over which vmap maps"):
        hg.vmap(g)(X, PLACES)


def test_writes_to_what_is_outside_are_refused() -> None:
    def into_row(x: Any) -> Any:
        x[0] = 1.0
        return x

    with pytest.raises(hg.TraceError, match=r"a row of a batch under vmap.*copy it first"):
        hg.vmap(into_row)(X.copy())
    total = np.zeros(4)

    def into_captured(x: Any) -> Any:
        total[:] = x
        return x

    with pytest.raises(hg.TraceError, match="made outside"):
        hg.vmap(into_captured)(X)


def test_wrong_arguments() -> None:
    g = hg.vmap(lambda x, y: x * y)
    with pytest.raises(hg.ShapeError, match=r"x has 5 rows .*but y has 4"):
        g(X, X[:4])
    with pytest.raises(hg.ShapeError, match=r"y is a single number.*None"):
        g(X, 2.0)
    with pytest.raises(hg.ShapeError, match=r"y is a single number.*None"):
        g(X, np.float64(2.0))
    with pytest.raises(hg.ShapeError, match="no axis 2"):
        hg.vmap(lambda x: x, in_axes=2)(X)
    with pytest.raises(hg.ShapeError, match="no axis -3"):
        hg.vmap(lambda x: x, in_axes=-3)(X)
    with pytest.raises(hg.ShapeError, match="cannot lie along 2"):
        hg.vmap(np.sum, out_axes=2)(X)
    with pytest.raises(hg.ShapeError, match="differs from row to row, but its out_axes is None"):
        hg.vmap(np.sum, out_axes=None)(X)
    with pytest.raises(ValueError, match="in_axes has 1 entries"):
        hg.vmap(lambda x, y: x, in_axes=(0,))(X, X)
    with pytest.raises(ValueError, match="maps no argument"):
        hg.vmap(lambda x: x, in_axes=None)(X)
    with pytest.raises(ValueError, match="the same containers"):
        hg.vmap(lambda p: p["a"], in_axes=({"b": 0},))({"a": X})
    with pytest.raises(TypeError, match="integers or None"):
        hg.vmap(lambda x: x, in_axes=0.5)
    with pytest.raises(TypeError, match="integers or None"):
        hg.vmap(lambda x: x, out_axes="0")
    with pytest.raises(hg.DtypeError, match=r"kind is a str, which has no rows.*None"):
        hg.vmap(lambda x, kind: x)(X, "sin")
    with pytest.raises(hg.DtypeError, match="returned a str"):
        hg.vmap(lambda x: "text")(X)
    with pytest.raises(hg.DtypeError, match="masked"):
        hg.vmap(lambda x: x)(np.ma.masked_array(X))
    with pytest.raises(TypeError, match="needs a function"):
        hg.vmap(3)  # type: ignore[arg-type]
