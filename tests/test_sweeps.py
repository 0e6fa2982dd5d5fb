"""jacobian, hessian, jvp and vjp by native code, against the interpreter."""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import realistic

import hopgrad as hg
from hopgrad import backend, batch, calling, tree
from hopgrad.backend import NativePlan
from hopgrad.replay import FUNCTIONS

Array = np.ndarray[Any, Any]

CASES = realistic.cases()
rng = np.random.default_rng(0)
WEIGHTS = rng.normal(size=(4, 3))


@pytest.fixture(autouse=True, scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Native code everywhere, as by default, with entry points; kernels on disk, in a place of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOPGRAD_BACKEND", "native")
        patch.setenv("HOPGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("kernels")))
        yield


def same(found: Any, wanted: Any, rtol: float = 1e-12) -> None:
    """Check structure, types and values."""
    ours, structure = tree.flatten(found)
    theirs, expected = tree.flatten(wanted)
    assert structure == expected
    for one, other in zip(ours, theirs, strict=True):
        assert type(one) is type(other)
        assert np.shape(one) == np.shape(other)
        assert np.asarray(one).dtype == np.asarray(other).dtype
        if type(one) is np.ndarray:
            assert one.flags.c_contiguous
        finite = np.abs(np.asarray(other)[np.isfinite(other)])
        np.testing.assert_allclose(one, other, rtol, rtol * float(np.max(finite, initial=1.0)))


def agree(make: Callable[..., Callable[..., Any]], *args: Any, rtol: float = 1e-12) -> Any:
    """Check a transform at its first call and at later ones; the native function."""
    slow, fast = make(backend="numpy"), make(backend="native")
    for _ in range(4):
        same(fast(*copy.deepcopy(args)), slow(*copy.deepcopy(args)), rtol)
    return fast


def entered(function: Any) -> bool:
    """Whether it is called without Python, unless NumPy computes a part of it."""
    told = function.report()
    return "called through an entry point of its own" in told or "by NumPy, for want of a native form" in told


# -- whole Jacobians -------------------------------------------------------------------------------------------------

FUNCTIONS_OF_ARRAYS: dict[str, Callable[[Any], Any]] = {
    "elementwise": lambda x: np.sin(x) * 2.0,
    "products": lambda x: np.tanh(WEIGHTS[:, : x.shape[0]] @ np.tanh(x)),
    "scalars": lambda x: np.array([x[0] * x[1], np.sin(x[1]) + x[0], x[-1] ** 2 * x[1]]),
    "a number": lambda x: np.sum(x * x) * x[0],
    "matrices": lambda x: np.outer(x, x) @ np.outer(np.cos(x), x),
    "nested": lambda x: {"a": (x[:2], [np.sum(x)]), "b": x[None, :] * x[:, None]},
    "linear algebra": lambda x: np.linalg.solve(np.outer(x, x) + 4 * np.eye(len(x)), x),
    "order": lambda x: np.sort(x)[::-1] + np.cumsum(x) + np.max(x),
    "indices": lambda x: x[np.array([[0, 1], [1, 1]])] * x[np.array([1, 0])],
    "writing": lambda x: written(x),
    "constant": lambda x: np.array([1.0, 2.0]),
    "the same": lambda x: (x, x),
    "norms": lambda x: np.array([np.linalg.norm(x), np.std(x), np.prod(x)]),
    "a loop": lambda x: hg.scan(lambda c, v: (c * v + x[0], np.sin(c)), x[1], x),
    "a branch": lambda x: hg.cond(x[0] > 0, lambda v: v * v, lambda v: np.sin(v), x),
    "convolution": lambda x: np.convolve(x, np.array([1.0, 2.0])),
}


def written(x: Any) -> Any:
    y = np.zeros((2, 3))
    y[0, :2] = x[:2] * 2
    y[1] += np.exp(x[0])
    return y


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
@pytest.mark.parametrize("name", FUNCTIONS_OF_ARRAYS)
def test_jacobians(name: str, mode: Any) -> None:
    f = FUNCTIONS_OF_ARRAYS[name]
    x = np.array([0.5, 1.25, -0.75])
    fast = agree(lambda backend: hg.jacobian(f, mode=mode, backend=backend), x)
    assert entered(fast), fast.report()
    for other in (x.astype(np.float32), np.repeat(x, 2)[::2], x[::-1], x[:2]):
        agree(lambda backend: hg.jacobian(f, mode=mode, backend=backend), other, rtol=1e-12 if x is other else 1e-5)


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
@pytest.mark.parametrize(
    "args",
    [(2.0, 3.0), (2.0, np.float32(3)), (np.array(2.0), np.array(3.0)), (np.ones((2, 2)), 3.0), (0.5, np.ones(3))],
    ids=str,
)  # fmt: skip
def test_numbers_and_arrays(args: Any, mode: Any) -> None:
    def f(x: Any, y: Any) -> Any:
        return x * y, {"d": x - np.sin(y)}

    for argnums in (0, 1, (0, 1), (1, 0)):
        agree(lambda backend, a=argnums: hg.jacobian(f, a, mode=mode, backend=backend), *args, rtol=1e-6)


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
def test_nested_arguments(mode: Any) -> None:
    def f(params: Any, x: Any) -> Any:
        return np.tanh(x @ params["w"] + params["b"][0])

    params = {"w": rng.normal(size=(3, 2)), "b": [0.5]}
    agree(lambda backend: hg.jacobian(f, (0, 1), mode=mode, backend=backend), params, rng.normal(size=(4, 3)))
    agree(lambda backend: hg.jacobian(f, "params", mode=mode, backend=backend), params, rng.normal(size=3))


def test_no_elements() -> None:
    for mode in (None, "forward", "reverse"):
        agree(lambda backend, m=mode: hg.jacobian(np.sin, mode=m, backend=backend), np.zeros((0, 2)))
        agree(lambda backend, m=mode: hg.jacobian(lambda x: x[:0], mode=m, backend=backend), np.zeros(2))


@pytest.mark.parametrize("name", FUNCTIONS_OF_ARRAYS)
def test_hessians(name: str) -> None:
    f = FUNCTIONS_OF_ARRAYS[name]

    def total(x: Any) -> Any:
        return sum(np.sum(v**2) for v in tree.flatten(f(x))[0])

    x = np.array([0.5, 1.25, -0.75])
    fast = agree(lambda backend: hg.hessian(total, backend=backend), x)
    assert entered(fast), fast.report()
    assert fast.__name__ == "total"
    assert fast.report().startswith("Hessian of total")


@pytest.mark.parametrize("name", [name for name, case in CASES.items()])
def test_programs(name: str) -> None:
    case = CASES[name]
    f, args, argnums = case.function, case.args, case.argnums
    places = [argnums] if isinstance(argnums, int) else argnums
    inside = sum(np.size(leaf) for place in places for leaf in tree.flatten(args[place])[0])
    if inside <= 20:
        agree(lambda backend: hg.jacobian(f, argnums, backend=backend), *args, rtol=1e-8)


def test_infinite_derivatives() -> None:
    """Zeros of unit vectors say "not asked for": they make no NaN beside an infinite derivative."""

    def f(x: Any) -> Any:
        return np.array([np.sqrt(x[0]) + x[1], x[0] * x[1]])

    def g(x: Any) -> Any:
        return np.sum(x * np.sqrt(x)) + x[0] * x[1]

    finite, infinite = np.array([4.0, 1.0]), np.array([0.0, 1.0])
    for points in ((finite, infinite, finite, infinite), (infinite, infinite, finite)):
        fast, slow = (hg.jacobian(f, backend=b) for b in ("native", "numpy"))  # type: ignore[arg-type]
        second, slowly = (hg.hessian(g, backend=b) for b in ("native", "numpy"))  # type: ignore[arg-type]
        for x in points:
            same(fast(x), slow(x))
            same(second(x), slowly(x))
    np.testing.assert_array_equal(fast(infinite), [[np.inf, 1.0], [1.0, 0.0]])


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
def test_many_seeds_go_in_parts(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = rng.normal(size=(3, 4))
    for elements in (5, 40, 60):
        monkeypatch.setattr(batch, "ELEMENTS", elements)
        for f in (lambda x: np.tanh(x @ WEIGHTS), lambda x: np.sin(x) * x[1, 1], lambda x: (x * 2.0, np.sum(x))):
            fast = agree(lambda backend, f=f: hg.jacobian(f, mode=mode, backend=backend), x)
            assert not entered(fast)
            assert "loops and" in fast.report()
            assert fast.kernels


def test_loops_and_what_has_no_rule() -> None:
    def loop(x: Any) -> Any:
        return hg.scan(lambda c, v: (c * v + x[0], np.sin(c)), 1.0, x)

    x = np.array([0.5, 1.25, -0.75])
    for f in (loop, lambda x: np.convolve(np.sin(x), x)):
        for mode in ("forward", "reverse"):
            agree(lambda backend, f=f, m=mode: hg.jacobian(f, mode=m, backend=backend), x)  # type: ignore[arg-type]


def test_no_rule_for_forward_mode() -> None:
    @hg.custom_vjp
    def clipped(x: Any) -> Any:
        return x * 2.0

    clipped.defvjp(lambda x: (x * 2.0, None), lambda _, ct: (np.clip(ct, -1.0, 1.0),))
    agree(lambda backend: hg.jacobian(lambda x: clipped(np.sin(x)), backend=backend), np.array([0.5, 1.0]))


def test_inside_other_transforms() -> None:
    def inner(x: Any) -> Any:
        return np.sum(hg.jacobian(lambda v: np.sin(v) * v[0])(x) ** 2) + hg.vjp(np.tanh, x)[1](x)[0][1]

    agree(lambda backend: hg.grad(inner, backend=backend), np.array([0.5, 1.0]))
    agree(lambda backend: hg.jacobian(hg.jacobian(lambda x: x**3), backend=backend), np.array([0.5, 1.0]))


# -- paths and the world ---------------------------------------------------------------------------------------------

SCALE = 2.0


def scaled(x: Any) -> Any:
    return np.sin(x) * SCALE


def test_globals_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.array([0.5, 1.0])
    jacobian = hg.jacobian(scaled)
    for scale in (2.0, 3.0, 2.0, 5.0):
        monkeypatch.setitem(globals(), "SCALE", scale)
        for _ in range(3):
            np.testing.assert_allclose(jacobian(x), np.diag(np.cos(x) * scale), 1e-14)
            value, pullback = hg.vjp(scaled, x)
            np.testing.assert_allclose(value, np.sin(x) * scale, 1e-14)
            np.testing.assert_allclose(pullback(x)[0], np.cos(x) * scale * x, 1e-14)
            np.testing.assert_allclose(hg.jvp(scaled, (x,), (x,))[1], np.cos(x) * scale * x, 1e-14)


def test_guards_choose_among_paths() -> None:
    def f(x: Any) -> Any:
        return x * x if x[0] > 1 else np.sin(x) * x[1]

    jacobian = hg.jacobian(f)
    for _ in range(3):
        for first in (2.0, 0.5, -1.0, 3.0):
            x = np.array([first, 1.5])
            wanted = np.diag(2 * x) if first > 1 else np.diag(np.cos(x) * x[1]) + np.outer(np.sin(x), [0, 1])
            np.testing.assert_allclose(jacobian(x), wanted, 1e-13)
            np.testing.assert_allclose(hg.vjp(f, x)[1](np.ones(2))[0], np.sum(wanted, 0), 1e-13)
            np.testing.assert_allclose(hg.jvp(f, (x,), (np.ones(2),))[1], np.sum(wanted, 1), 1e-13)
    assert "2 traces kept" in jacobian.report()


def test_exceptions_leave_nothing_behind() -> None:
    def f(x: Any, deep: Any) -> Any:
        if x[0] < 0:
            raise ValueError("negative")
        return np.sqrt(x) * deep["scale"]

    x = np.array([1.0, 4.0])
    jacobian = hg.jacobian(f)
    for _ in range(4):
        np.testing.assert_allclose(jacobian(x, {"scale": 2.0}), np.diag(1 / np.sqrt(x)), 1e-14)
        np.testing.assert_allclose(hg.vjp(f, x, {"scale": 2.0})[1](x)[1]["scale"], np.sum(x * np.sqrt(x)), 1e-14)
        with pytest.raises(ValueError, match="negative"):
            jacobian(-x, {"scale": 2.0})
        with pytest.raises(ValueError, match="negative"):
            hg.vjp(f, -x, {"scale": 2.0})
        with pytest.raises(hg.ShapeError):
            hg.vjp(f, x, {"scale": 2.0})[1](np.ones(3))
        with pytest.raises(hg.ShapeError):
            hg.jvp(f, (x, {"scale": 2.0}), (np.ones(3), {"scale": 2.0}))
        with pytest.raises(hg.ShapeError):
            hg.jvp(f, (x, {"scale": 2.0}), (x, {"other": 2.0}))
        assert hg.jacobian(np.sin)(0.0) == 1.0


def test_threads_share_what_is_kept() -> None:
    def f(x: Any) -> Any:
        return np.tanh(x @ WEIGHTS) * x[0]

    jacobian = hg.jacobian(f)
    inputs = [np.random.default_rng(k).normal(size=4) for k in range(8)]
    wanted = [hg.jacobian(f, backend="numpy")(x) for x in inputs]
    wrong: list[Any] = []

    def work(k: int) -> None:
        x, expected = inputs[k], wanted[k]
        for _ in range(40):
            pulled = hg.vjp(f, x)[1](np.ones(3))[0]
            pushed = hg.jvp(f, (x,), (np.ones(4),))[1]
            for found, right in ((jacobian(x), expected), (pulled, np.sum(expected, 0)), (pushed, np.sum(expected, 1))):
                if not np.allclose(found, right, 1e-10):
                    wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_arrays_of_the_caller_that_are_written_to() -> None:
    def f(x: Any, scratch: Any) -> Any:
        scratch[:] = x * 2.0
        x[0] = x[1] * scratch[1]
        return x * scratch[0]

    wanted = np.array([[2 * 2 * 9.0, 2 * 1.0 * 4 * 3.0], [2 * 3.0, 2 * 1.0]])
    jacobian = hg.jacobian(f)
    for _ in range(5):
        for way in (jacobian, lambda x, s: pulled(f, x, s), lambda x, s: pushed(f, x, s)):
            x, scratch = np.array([1.0, 3.0]), np.zeros(2)
            np.testing.assert_allclose(way(x, scratch), wanted, 1e-13)
            np.testing.assert_array_equal(scratch, [2.0, 6.0])
            np.testing.assert_array_equal(x, [18.0, 3.0])


def pulled(f: Any, x: Array, scratch: Array) -> Array:
    """A Jacobian, row by row."""
    _, back = hg.vjp(f, x, scratch)
    return np.array([back(unit)[0] for unit in np.eye(2)])


def pushed(f: Any, x: Array, scratch: Array) -> Array:
    """A Jacobian, column by column."""
    before = x.copy()
    columns = []
    for unit in np.eye(2):
        x[:] = before
        columns.append(hg.jvp(f, (x, scratch), (unit, np.zeros(2)))[1])
    return np.array(columns).T


# -- products --------------------------------------------------------------------------------------------------------


def products(f: Callable[..., Any], primals: tuple[Any, ...], rtol: float = 1e-12) -> None:
    """Check `jvp` and `vjp` of one function, given again and again: its traces are kept from the second time on."""
    tangents = tree.unflatten(tree.flatten(primals)[1], [np.cos(leaf) for leaf in tree.flatten(primals)[0]])
    value, pullback = hg.vjp(lambda *a: f(*a), *copy.deepcopy(primals), backend="numpy")
    leaves, structure = tree.flatten(value)
    cotangent = tree.unflatten(structure, [np.sin(leaf) + 1 for leaf in leaves])
    pulled = pullback(cotangent)
    pushed = hg.jvp(lambda *a: f(*a), copy.deepcopy(primals), tangents, backend="numpy")
    for _ in range(5):
        again, back = hg.vjp(f, *copy.deepcopy(primals))
        same(again, value, rtol)
        for _ in range(3):
            same(back(cotangent), pulled, rtol)
        same(hg.jvp(f, copy.deepcopy(primals), tangents), pushed, rtol)


@pytest.mark.parametrize("name", FUNCTIONS_OF_ARRAYS)
def test_products(name: str) -> None:
    f = FUNCTIONS_OF_ARRAYS[name]
    x = np.array([0.5, 1.25, -0.75])
    products(f, (x,))
    products(f, (x.astype(np.float32),), 1e-5)
    products(f, (np.repeat(x, 2)[::2],))


def test_products_of_nested_and_plain_arguments() -> None:
    products(lambda x, y: {"p": x * y, "q": (x - y,)}, (2.0, 3.0))
    products(lambda x, y: x * y["a"][0] + y["b"], (np.ones(3), {"a": [2.0], "b": np.float64(3.0)}))
    products(lambda x: np.broadcast_to(x, (2, 3)) * 1.0, (np.float32(0.5),), 1e-6)


@pytest.mark.parametrize("name", CASES)
def test_products_of_programs(name: str) -> None:
    case = CASES[name]
    places = [case.argnums] if isinstance(case.argnums, int) else case.argnums

    def f(*chosen: Any) -> Any:
        args = list(copy.deepcopy(case.args))
        for place, value in zip(places, chosen, strict=True):
            args[place] = value
        return case.function(*args)

    products(f, tuple(case.args[place] for place in places), 1e-8)


def test_vectors_are_converted() -> None:
    """A program reads vectors of the dtypes that it was made for."""
    x, v = np.array([1.0, 2.0], np.float32), np.array([3.0, 4.0])

    def f(x: Any) -> Any:
        return x**3

    product = hg.hvp(lambda x: np.sum(x**3))
    for _ in range(4):
        same(product(x, v), (6 * x * v).astype(np.float32), 1e-6)
        same(hg.jvp(f, (x,), (v,))[1], (3 * x**2 * v).astype(np.float32), 1e-6)
        back = hg.vjp(f, x)[1]
        for _ in range(3):
            same(back(v)[0], (3 * x**2 * v).astype(np.float32), 1e-6)
            same(back(v.astype(np.float32))[0], (3 * x**2 * v).astype(np.float32), 1e-6)
            same(back(np.array([3, 4]))[0], (3 * x**2 * v).astype(np.float32), 1e-6)


def test_large_pullbacks_are_compiled_when_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []
    run = NativePlan.run
    monkeypatch.setattr(NativePlan, "run", lambda plan, given: compiled.append(plan) or run(plan, given))
    for module in (backend, calling):
        monkeypatch.setattr(module, "LARGE", 10)
    for seconds, fast in ((1e9, False), (0.0, True)):
        monkeypatch.setattr(backend, "COMPILING", seconds)
        back = hg.vjp(lambda x: np.sin(np.sin(np.sin(np.sin(x) * x) * x) * x), 0.5)[1]
        for _ in range(4):
            assert back(1.0) == pytest.approx(back(1.0), rel=1e-15)
        assert bool(compiled) is fast


def test_what_vjp_and_jvp_keep_for_a_function_is_told() -> None:
    x = np.linspace(0.0, 1.0, 50)
    assert "nothing is kept" in hg.report(cube)
    for _ in range(3):
        hg.vjp(cube, x)
        hg.jvp(cube, (x,), (x,))
    told = hg.report(cube)
    assert told.count("1 trace kept") == 2
    assert "kernels" in told


def cube(x: Any) -> Any:
    return x**3


def test_what_is_kept_is_the_pullbacks_own() -> None:
    def f(x: Any) -> Any:
        return (x, np.exp(x))

    for _ in range(5):
        x = np.array([0.5, 1.0])
        wanted = 1 + np.exp(x)
        value, back = hg.vjp(f, x)
        x[:] = 7.0
        for part in value:
            part[:] = 7.0
        for _ in range(3):
            (found,) = back((np.ones(2), np.ones(2)))
            np.testing.assert_allclose(found, wanted, 1e-14)
            found[:] = 7.0


def test_pullbacks_inside_later_transforms() -> None:
    def f(x: Any) -> Any:
        return np.sin(x) * x

    x = np.array([0.5, 1.0])
    for _ in range(4):
        back = hg.vjp(f, x)[1]
        slope = np.cos(x) * x + np.sin(x)
        for _ in range(2):
            np.testing.assert_allclose(hg.grad(lambda c: np.sum(back(c)[0] ** 2))(x), 2 * slope**2 * x, 1e-13)  # noqa: B023
            np.testing.assert_allclose(back(np.ones(2))[0], slope, 1e-13)


def test_the_backend_that_was_asked_for() -> None:
    def f(x: Any) -> Any:
        return np.log(x)

    one = np.array([1.0])
    for _ in range(4):  # native code gives no warnings
        hg.vjp(f, np.zeros(1) + 1.0)[1](one)
        hg.jvp(f, (one,), (one,))
    zero = np.zeros(1)
    assert hg.vjp(f, zero)[0] == -np.inf
    assert hg.jvp(f, (zero,), (one,))[0] == -np.inf
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="divide by zero"):
            hg.vjp(f, zero, backend="numpy")
        with pytest.warns(RuntimeWarning, match="divide by zero"):
            hg.jvp(f, (zero,), (one,), backend="numpy")
        with hg.use_backend("numpy"), pytest.warns(RuntimeWarning, match="divide by zero"):
            hg.vjp(f, zero)
    with pytest.raises(ValueError, match="no backend"):
        hg.vjp(f, zero, backend="fast")  # type: ignore[arg-type]


def test_functions_of_a_single_call_are_not_kept() -> None:
    gone = []
    for k in range(3):

        def f(x: Any, k: int = k) -> Any:
            return x * k

        hg.vjp(f, 2.0)[1](1.0)
        hg.jvp(f, (2.0,), (1.0,))
        gone.append(weakref.ref(f))
        del f
    gc.collect()
    assert not any(ref() for ref in gone)


def test_few_functions_are_kept() -> None:
    gone = []
    for k in range(FUNCTIONS + 3):

        def f(x: Any, k: int = k) -> Any:
            return x * k

        for _ in range(3):
            assert hg.vjp(f, 2.0)[1](1.0) == (k,)
        gone.append(weakref.ref(f))
        del f
    gc.collect()
    assert 0 < sum(ref() is not None for ref in gone) <= FUNCTIONS


def test_callables_without_weak_references() -> None:
    class Scaled:
        __slots__ = ("scale",)

        def __init__(self, scale: float) -> None:
            self.scale = scale

        def __call__(self, x: Any) -> Any:
            return x * self.scale

    f = Scaled(2.0)
    for scale in (2.0, 3.0, 3.0):
        f.scale = scale
        assert hg.vjp(f, 5.0)[1](1.0) == (scale,)
        assert hg.jvp(f, (5.0,), (1.0,)) == (5.0 * scale, scale)


def test_functions_with_effects_run_at_each_call() -> None:
    seen: list[float] = []

    def f(x: Any) -> Any:
        seen.append(1.0)
        return x * 2.0

    for k in range(5):
        assert hg.vjp(f, 2.0)[1](1.0) == (2.0,)
        assert len(seen) == k + 1
