"""Native code against the interpreter: every hop of the catalogue, every program, in all layouts and odd corners."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import realistic
from agreeing import both
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import FAR_OFF, RESIZED_USES, USES, Program, Use, is_moving, layouts, normal

import hopgrad as hg
from hopgrad import tree
from hopgrad.backend import NativePlan
from hopgrad.evaluate import evaluate
from hopgrad.graph.builder import Builder, Expr, catalogue
from hopgrad.hops import arrange
from hopgrad.hops import functions as fn
from hopgrad.lower.program import Program as Native

Array = np.ndarray[Any, Any]

CASES = realistic.cases()

every_use = pytest.mark.parametrize("use", USES, ids=str)


def native(builder: Builder, nodes: list[int], values: dict[int, Any]) -> tuple[list[Any], Native]:
    """The values of nodes by native code, and the program."""
    plan = NativePlan(builder, nodes, list(values))
    return both(plan, values), plan.programs[0]


def with_gradient(use: Use, operands: list[Array]) -> tuple[Program, list[Expr]]:
    """The hop, its pullback of some cotangent, and its pushforward."""
    program = Program(use, operands)
    nodes = [program.out]
    if use.hop.differentiable and program.out.aval.is_float and program.active:
        random = use.random("native")
        seed = program.input(1 + normal(random, program.out.aval) / 4, "ct")
        nodes += program.pulled(program.out, seed)
        tangents = {n: program.input(1 + normal(random, program.builder.avals[n]) / 4, "t") for n in program.active}
        nodes += program.pushed(tangents, program.out)
    return program, nodes


def agree(program: Program, nodes: list[Expr], rtol: float) -> Native:
    with np.errstate(all="ignore"):
        wanted = evaluate(program.builder, [n.id for n in nodes], program.given)
    found, made = native(program.builder, [n.id for n in nodes], program.given)
    for node, one, other in zip(nodes, found, wanted, strict=True):
        assert type(one) is np.ndarray
        assert (one.shape, one.dtype) == (node.shape, node.dtype)
        scale = float(np.max(np.abs(other[np.isfinite(other)]), initial=1.0)) if node.aval.is_float else 1.0
        np.testing.assert_allclose(one, other, rtol, rtol * scale, err_msg=str(program.out))
    assert made.layout.size <= 1.2 * made.layout.live + 1024, "memory"
    return made


@every_use
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_hop(use: Use, dtype: Any) -> None:
    agree(*with_gradient(use, use.draw(dtype)), 1e-12 if dtype == np.float64 else 3e-5)


@pytest.mark.filterwarnings("ignore:Degrees of freedom")
@pytest.mark.parametrize("use", RESIZED_USES, ids=str)
def test_empty_and_other_shapes(use: Use) -> None:
    agree(*with_gradient(use, use.draw()), 1e-12)


@every_use
def test_every_memory_layout(use: Use) -> None:
    operands = use.draw()
    for name in layouts(np.zeros(2)):
        moved = [layouts(a)[name] if is_moving(a) else a for a in operands]
        agree(*with_gradient(use, moved), 1e-12)


SPECIAL = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -1.0, 0.5, 1e300, 1e-300])


def is_the_same_everywhere(use: Use) -> bool:
    """Not complex powers: of infinity NumPy's scalars and its arrays without axes give different ones."""
    if use.hop.name in FAR_OFF:
        return False
    return "raises" not in use.hop.traits and not (use.of_complex and use.hop.name == "constant_power")


@pytest.mark.parametrize("use", [u for u in USES if is_the_same_everywhere(u)], ids=str)
def test_special_values(use: Use) -> None:
    random = use.random("special")
    operands = [random.choice(SPECIAL, a.shape).astype(a.dtype) if is_moving(a) else a for a in use.draw()]
    program = Program(use, operands)
    with np.errstate(all="ignore"):
        (wanted,) = evaluate(program.builder, [program.out.id], program.given)
    (found,), _ = native(program.builder, [program.out.id], program.given)
    np.testing.assert_allclose(found, wanted, 1e-12, 1e-299)  # jₙ(1e-300) is 0 in SciPy, too early


# -- loops of every kind ---------------------------------------------------------------------------------------------

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 31, 511, 512, 513, 1025]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_lengths_around_those_of_vectors_and_blocks(n: int, dtype: Any) -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(np.sin(x) * y) + np.max(x) + np.prod(1 + x / n) + np.min(y - x)

    random = np.random.default_rng(n)
    x, y = random.normal(size=n).astype(dtype), random.normal(size=n).astype(dtype)
    close = 1e-12 if dtype == np.float64 else 1e-4
    compare(f, (x, y), (0, 1), close)
    for step in (2, -1):
        compare(f, (np.repeat(x, 2)[::2][::step], y[::step]), (0, 1), close)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (3, 4), (64, 3), (3, 64), (2, 3, 5), (4, 1, 6), (7, 8, 9)])
def test_reductions_over_every_choice_of_axes(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    rank = len(shape)
    for axes in [None, *range(rank), (0, rank - 1), tuple(range(rank))]:
        for order in (x, np.asfortranarray(x), x.T.copy().T):
            for keep in (False, True):
                found = hg.compile(
                    lambda v, a=axes, k=keep: (
                        np.sum(v, a, keepdims=k), np.max(v, a, keepdims=k), np.any(v > 1, a, keepdims=k),
                        np.mean(np.exp(v), a, keepdims=k), np.prod(v, a, keepdims=k),
                    )
                )  # fmt: skip
                with hg.use_backend("native"):
                    found(order)
                    values = found(order)
                wanted = (
                    np.sum(x, axes, keepdims=keep), np.max(x, axes, keepdims=keep), np.any(x > 1, axes, keepdims=keep),
                    np.mean(np.exp(x), axes, keepdims=keep), np.prod(x, axes, keepdims=keep),
                )  # fmt: skip
                for one, other in zip(values, wanted, strict=True):
                    scale = float(np.max(np.abs(other)))
                    np.testing.assert_allclose(one, other, 1e-13, 1e-14 * scale)


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_arithmetic_of_integers(dtype: Any) -> None:
    """Divisions by 0 give 0, and the smallest number has no opposite."""
    limits = np.iinfo(dtype)
    ends = np.array([limits.min, limits.min + 1, -7, -2, -1, 0, 1, 2, 3, 7, limits.max - 1, limits.max], dtype)
    a, b = ends[:, None], ends

    def f(a: Any, b: Any) -> Any:
        return (
            a // b,
            a % b,
            np.fmod(a, b),
            a + b,
            a * b,
            a - b,
            -a,
            abs(b),
            np.sign(a),
            np.maximum(a, b),
            a // 2,
            b % 4,
        )

    fast = hg.compile(f, backend="native")
    with np.errstate(all="ignore"):
        wanted = f(a, b)
        fast(a, b)
    for one, other in zip(fast(a, b), wanted, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    assert "by NumPy" not in fast.report()


def test_arithmetic_of_truths() -> None:
    def f(a: Any, b: Any) -> Any:
        return a + b, a * b, np.maximum(a, b), np.minimum(a, b), a & b, a | b, a ^ b, np.where(a, b, a), np.sum(a * b)

    a, b = np.array([True, False])[:, None], np.array([True, False, True])
    fast = hg.compile(f, backend="native")
    fast(a, b)
    for one, other in zip(fast(a, b), f(a, b), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    assert "by NumPy" not in fast.report()


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.bool_])
@pytest.mark.parametrize("shape", [(1,), (7,), (1000,), (3, 40), (40, 3), (2, 3, 70)])
def test_reductions_of_integers(shape: tuple[int, ...], dtype: Any) -> None:
    limits = np.iinfo(dtype if dtype != np.bool_ else np.int8)
    random = np.random.default_rng(0)
    for x in (
        random.integers(-9, 9, shape).astype(dtype),
        random.integers(limits.min, limits.max, shape).astype(dtype),
    ):
        for axis in (None, *range(len(shape))):

            def f(x: Any, axis: Any = axis) -> Any:
                return np.sum(x, axis), np.max(x, axis), np.min(x, axis), np.prod(x, axis), np.sum(x > 3, axis)

            fast = hg.compile(f, backend="native")
            fast(x)
            for one, other in zip(fast(x), f(x), strict=True):
                np.testing.assert_array_equal(one, other, strict=True)
            assert dtype == np.bool_ or "by NumPy" not in fast.report()


def test_sums_are_as_accurate_as_numpys() -> None:
    random = np.random.default_rng(1)
    total = hg.compile(np.sum)
    with hg.use_backend("native"):
        for scale in (1.0, 1e8):
            x = random.normal(size=1_000_003) + scale
            exact = float(np.sum(x.astype(np.longdouble)))
            total(x)
            assert abs(total(x) - exact) <= abs(np.sum(x) - exact) + np.spacing(abs(exact))


# -- whole programs --------------------------------------------------------------------------------------------------


def compare(f: Callable[..., Any], args: tuple[Any, ...], argnums: Any = 0, rtol: float = 1e-12) -> None:
    """Value and gradient by native code, at the first call and at replays, and by the interpreter."""
    slow = hg.value_and_grad(f, argnums, backend="numpy")
    fast = hg.value_and_grad(f, argnums, backend="native")
    for _ in range(3):
        wanted = slow(*copy.deepcopy(args))
        found = fast(*copy.deepcopy(args))
        ours, structure = tree.flatten(found)
        theirs, expected = tree.flatten(wanted)
        assert structure == expected
        for one, other in zip(ours, theirs, strict=True):
            assert type(one) is type(other)
            scale = float(np.max(np.abs(other), initial=1e-300))
            np.testing.assert_allclose(one, other, rtol, rtol * scale + 1e-12)


@pytest.mark.parametrize("name", CASES)
def test_programs(name: str) -> None:
    case = CASES[name]
    compare(case.function, case.args, case.argnums, 1e-9)
    for other in case.others:
        compare(case.function, other, case.argnums, 1e-9)


@pytest.mark.parametrize("short", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_short_axes(short: int, dtype: Any) -> None:
    """Those of up to four places are written out."""

    def f(x: Any, w: Any) -> Any:
        apart = x[:, None, :] - x[None, :, :]
        near = np.any(np.abs(apart) < 0.3, axis=2)
        square = np.sum(apart * apart, axis=-1, keepdims=True) + 0.5
        furthest = np.max(apart, axis=2) * w[:, None] + np.min(apart, axis=2)
        parts = np.sum(apart / square, axis=1) * np.prod(x + 2.0, axis=1)[:, None]
        return np.sum(np.where(near, furthest, 0.1)) + np.sum(parts * x[::-1]) + np.sum(np.sqrt(square))

    random = np.random.default_rng(short)
    x, w = random.normal(size=(19, short)).astype(dtype), random.normal(size=19).astype(dtype)
    close = 1e-12 if dtype == np.float64 else 2e-4
    for one in (x, np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::-2]):
        compare(f, (one, w), (0, 1), close)


def test_windows_that_overlap() -> None:
    def line(x: Any) -> Any:
        return np.sum(np.sin(x[1:]) * x[:-1] ** 2) + np.sum(x[5:-3] * x[8:])

    def plane(u: Any) -> Any:
        r = u[1:-1, 2:] + u[1:-1, :-2] + u[2:, 1:-1] * u[:-2, 1:-1] - 4 * u[1:-1, 1:-1]
        return np.sum(r * r) + np.sum(u[3] * u[-1]) + np.sum(np.exp(u[:, 0]))

    random = np.random.default_rng(0)
    for n in (9, 100, 5000, 20_011):
        compare(line, (random.normal(size=n),))
    for shape in ((5, 6), (40, 33), (90, 110)):
        compare(plane, (random.normal(size=shape),))


@pytest.mark.parametrize("n", [32, 200])
def test_what_several_windows_show_is_computed_once(n: int) -> None:
    def roughness(u: Any) -> Any:
        curved = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]
        return np.sum(curved * curved)

    u = np.random.default_rng(0).normal(size=(n, n))
    g = hg.grad(roughness, backend="native")
    for _ in range(3):
        g(u)
    inner = [kernel for kernel in g.kernels if kernel.startswith(f"for i < {n - 4}, j < {n - 4}:")]
    assert len(inner) == 1
    assert inner[0].count("slot") == 6  # five values of what is stored, and the result
    compare(roughness, (u,))


def test_values_are_not_stored_for_a_few_elements() -> None:
    def f(x: Any, y: Any) -> Any:
        dear = np.exp(np.sin(x)) / (1 + x * x)
        return dear[1:] * y, np.sum(y) * dear[3], np.sum(np.cos(np.sum(y) * dear[:4]))

    x, y = np.random.default_rng(0).normal(size=(2, 3000))
    program = hg.compile(f, backend="native")
    for _ in range(3):
        found = program(x, y[1:])
    for one, other in zip(found, f(x, y[1:]), strict=True):
        np.testing.assert_allclose(one, other, 1e-12)
    large = [line for line in program.plan.splitlines() if line.startswith("slot") and "float64[3000]" in line]
    assert large
    assert all("input" in line for line in large)


def test_guards_choose_among_paths() -> None:
    def f(x: Any) -> Any:
        if x > 1:
            return x * x
        return -x if x < 0 else np.sin(x)

    with hg.use_backend("native"):
        derivative = hg.grad(f)
        for _ in range(3):
            for x, wanted in ((2.0, 4.0), (-1.0, -1.0), (0.5, np.cos(0.5)), (3.0, 6.0), (-0.25, -1.0)):
                assert derivative(x) == pytest.approx(wanted, rel=1e-15)
        assert "3 traces kept" in derivative.report()


def test_guards_are_answered_as_numpy_does() -> None:
    """Native code rounds sums and functions otherwise, so where a branch depends on them NumPy decides."""

    def by_sum(x: Any) -> Any:
        total = 0.0
        for v in x:
            total += v
        return np.sum(x) * (2.0 if total == np.sum(x) else 3.0)

    def by_function(x: Any) -> Any:
        return np.sum(x) * (2.0 if np.log(np.exp(x[0])) == x[0] else 3.0)

    random = np.random.default_rng(3)
    for f in (by_sum, by_function):
        fast = hg.value_and_grad(f, backend="native")
        for _ in range(60):
            x = random.normal(size=20)
            assert fast(x)[1][0] == (2.0 if f(x) == np.sum(x) * 2.0 else 3.0)


SHORT_SUMS: dict[str, Callable[[Any], Any]] = {
    "three": lambda x: np.sum(x[0, :3]),
    "rows": lambda x: np.sum(x, axis=0)[1],
    "columns": lambda x: np.sum(x, axis=1)[2],
    "one after the other": lambda x: np.sum(np.sum(x[:2, :2], axis=1)),
    "two axes, one after the other in memory": lambda x: np.sum(np.sum(x[:2, :2].T, axis=1)),
    "multiples": lambda x: np.sum(3.1 * x[1]),
    "repeated": lambda x: np.sum(np.ones(4) * x[0, 0]),
    "squares": lambda x: np.sqrt(np.sum(x[2] ** 2)),
    "of a product": lambda x: np.sum(x[1] * x[2]),
    "a norm": lambda x: np.sqrt(np.sum(x[:3] * x[:3], axis=0))[1],
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", SHORT_SUMS)
def test_sums_of_a_few_numbers_may_decide_natively(name: str, dtype: Any) -> None:
    """They are rounded as NumPy rounds them: a guard that compares them to the last bit never fails wrongly."""
    total = SHORT_SUMS[name]

    def f(x: Any, expected: Any) -> Any:
        return np.sum(x * x) * (2.0 if total(x) == expected else 3.0)

    fast = hg.value_and_grad(f, backend="native")
    random = np.random.default_rng(5)
    for k in range(100):
        x = random.normal(size=(4, 4)).astype(dtype)
        expected = total(x) if k % 3 else np.nextafter(total(x), dtype(9))
        assert f(x, expected) / np.sum(x * x) == pytest.approx(2.0 if k % 3 else 3.0)
        np.testing.assert_allclose(fast(x, expected)[1], (4 if k % 3 else 6) * x, rtol=1e-6)
    assert "2 traces kept" in fast.report()
    assert "guards by NumPy first" not in fast.report()


def test_the_backend_that_was_asked_for_computes_replays() -> None:
    with hg.use_backend("native"):
        slow, fast = hg.value_and_grad(np.log, backend="numpy"), hg.value_and_grad(np.log)
        for _ in range(3):
            with pytest.warns(RuntimeWarning, match="divide by zero"):
                slow(0.0)
        with pytest.warns(RuntimeWarning, match="divide by zero"):
            fast(0.0)
        for _ in range(3):
            assert fast(0.0) == (-np.inf, np.inf)  # native code gives no warnings
        with hg.use_backend("numpy"), pytest.warns(RuntimeWarning, match="divide by zero"):
            fast(0.0)


def test_functions_that_are_alike_along_short_rows_are_computed_by_vectors() -> None:
    def f(w: Any, x: Any) -> Any:
        return np.tanh(x @ w)[:, :, None] * x[:, None, :]

    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(10, 20)), rng.normal(size=(50, 10))
    g = hg.compile(f, backend="native")
    for _ in range(3):
        np.testing.assert_allclose(g(w, x), f(w, x), 1e-12)
    assert all("tanh" not in kernel for kernel in g.kernels if "k < 10" in kernel)


def test_products_with_the_hessian() -> None:
    def f(x: Any, scale: Any = 2.0) -> Any:
        return np.sum(np.sin(x) * scale) ** 2 + np.sum(np.sqrt(x) * x)

    with hg.use_backend("native"):
        product, whole = hg.hvp(f), hg.hessian(f)
        for x, v in (([1.0, 2.0], [0.5, -1.0]), ([3.0, 0.25], [1.0, 0.0]), ([0.0, 1.0], [0.0, 1.0])):
            for _ in range(3):
                found = product(np.array(x), np.array(v))
                assert np.isfinite(found).all()
                if 0 not in x:
                    np.testing.assert_allclose(found, whole(np.array(x)) @ v, 1e-12)
        np.testing.assert_allclose(product(np.ones(2), v=np.ones(2), scale=3.0), hg.hvp(f)(np.ones(2), np.ones(2), 3.0))


def test_fields_of_records() -> None:
    """Their elements may stand at any byte."""
    records = np.zeros(9, np.dtype([("flag", "i1"), ("x", "f8"), ("y", "f4")], align=False))
    records["x"], records["y"] = np.arange(9.0), 1.5
    scale = records["y"]
    compare(lambda x: np.sum(np.sin(x) * scale), (records["x"],))
    compare(lambda x: np.sum(np.sin(x) * scale[:5]), (records["x"][::-2],))


def test_signs_of_zeros() -> None:
    fast = hg.compile(lambda x: (x + 0.0, x + (-0.0), x * -0.0, np.where(x > 1, -0.0, x)), backend="native")
    x = np.array([-0.0, 0.0, 1.0, 2.0])
    for _ in range(2):
        for one, other in zip(fast(x), (x + 0.0, x + (-0.0), x * -0.0, np.where(x > 1, -0.0, x)), strict=True):
            np.testing.assert_array_equal(np.signbit(one), np.signbit(other))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_roundings_to_the_last_bit(dtype: Any) -> None:
    """Branches may depend on these."""
    random = np.random.default_rng(0)
    ends = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1, -1, 0.5, -2.5, 3, 1e15 + 0.5, 1e-30])
    grid = np.meshgrid(*[np.concatenate([ends, 5 * random.normal(size=40)]).astype(dtype)] * 2)
    a, b = (x.ravel() for x in grid)

    def f(a: Any, b: Any) -> Any:
        rounded = [np.round(a, k) for k in (-1, 0, 2)]
        return (a // b, np.remainder(a, b), np.fmod(a, b), np.signbit(a), np.interp(a, np.arange(9.0), b[:9]), *rounded)

    fast = hg.compile(f, backend="native")
    with np.errstate(all="ignore"):
        wanted = f(a, b)
        fast(a, b)
    for one, other in zip(fast(a, b), wanted, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
        np.testing.assert_array_equal(np.signbit(one) & ~np.isnan(one), np.signbit(other) & ~np.isnan(other))
    assert "by NumPy" not in fast.report()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_derivatives_of_sinc(dtype: Any) -> None:
    """They are spherical Bessel functions, by series and recurrence: right for small numbers, and between the two."""
    x = np.concatenate([[0.0, -0.0, 1e-30], np.geomspace(1e-6, 60, 400), -np.linspace(0.1, 9, 400)]).astype(dtype)
    first, second = hg.grad(lambda x: np.sum(np.sinc(x))), hg.hvp(lambda x: np.sum(np.sinc(x)))
    with hg.use_backend("numpy"):
        wanted = first(x), second(x, np.ones_like(x))
    with hg.use_backend("native"):
        for _ in range(2):
            found = first(x), second(x, np.ones_like(x))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, 0, 50 * np.finfo(dtype).eps)
    assert "by NumPy" not in first.report()


def test_indices_that_are_computed() -> None:
    def f(x: Any, k: Any, m: Any) -> Any:
        rows = x[k] * np.arange(1.0, 4.0)  # the same row twice
        y = np.zeros((3, 4))
        y[m, k[:3]] = x[0, 0] * np.arange(3.0)
        np.add.at(y, (slice(None), k), x[:3, :1] * 2.0)
        return np.sum(np.sin(rows)) + np.sum(y * y) + np.sum(np.tril(x @ x.T, 1) ** 2) + np.sum(np.triu(x, -1)[1:])

    random = np.random.default_rng(0)
    x = random.normal(size=(5, 3))
    fast, slow = (hg.value_and_grad(f, backend=b) for b in ("native", "numpy"))  # type: ignore[arg-type]
    for k in ([0, 3, 3, -1], [1, 1, 1, 1], [-4, 2, 0, 3]):
        for m in ([0, 1, 2], [2, 0, -2]):
            found, wanted = (g(x, np.array(k), np.array(m)) for g in (fast, slow))
            np.testing.assert_allclose(found[0], wanted[0], 1e-13)
            np.testing.assert_allclose(found[1], wanted[1], 1e-13)
    assert "by NumPy" not in fast.report()
    for _ in range(2):
        with pytest.raises(IndexError):
            fast(x, np.array([0, 1, 2, 5]), np.array([0, 1, 2]))
    assert fast(x, np.array(k), np.array(m))[0] == pytest.approx(wanted[0], rel=1e-13)


def test_threads_share_one_function() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.tanh(x @ np.ones((50, 20))) ** 2)

    fast = hg.value_and_grad(f, backend="native")
    inputs = [np.random.default_rng(k).normal(size=(30, 50)) for k in range(8)]
    wanted = [hg.value_and_grad(f, backend="numpy")(x) for x in inputs]
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(50):
            value, gradient = fast(inputs[k])
            if abs(value - wanted[k][0]) > 1e-9 or not np.allclose(gradient, wanted[k][1], 1e-10):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_results_are_new_arrays() -> None:
    with hg.use_backend("native"):
        views = hg.compile(lambda x: (x, x.T, x[1:], x))
        x = np.arange(6.0).reshape(2, 3)
        for _ in range(3):
            found = views(x)
            assert not any(np.may_share_memory(a, x) for a in found)
            assert not any(np.may_share_memory(a, b) for k, a in enumerate(found) for b in found[:k])
            np.testing.assert_array_equal(found[1], x.T)


# -- random graphs ---------------------------------------------------------------------------------------------------

UNARY = ["sin", "exp", "tanh", "negative", "sqrt", "absolute", "arctan", "floor", "expit"]
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "hypot"]
SHAPES = [(), (1,), (3,), (2, 3), (4, 1), (2, 1, 3), (5,), (4, 3)]


def grown(random: Any) -> tuple[Builder, list[int], dict[int, Any]]:
    """A random graph of elementwise hops, reductions, views, products and writes."""
    builder = Builder()
    numbers = np.random.default_rng(random.randrange(2**32))
    values: dict[int, Any] = {}
    pool: list[Expr] = []
    for k in range(random.randint(1, 4)):
        shape = random.choice(SHAPES)
        node = builder.input(hg_aval(shape), f"x{k}")
        values[node.id] = numbers.uniform(0.5, 2.0, shape)
        pool.append(node)
    for _ in range(random.randint(3, 40)):
        x = random.choice(pool)
        kind = random.randrange(9)
        try:
            if kind < 2:
                y = catalogue[random.choice(UNARY)](x)
            elif kind < 5:
                y = catalogue[random.choice(BINARY)](x, random.choice(pool))
            elif kind == 5 and x.ndim:
                axes = tuple(sorted(random.sample(range(x.ndim), random.randint(1, x.ndim))))
                y = catalogue[random.choice(["sum", "max", "mean", "logsumexp"])](
                    x, axes=axes, keepdims=random.random() < 0.5
                )
            elif kind == 6 and x.ndim:
                y = random.choice([
                    lambda v: fn.transpose(v), lambda v: fn.reshape(v, (-1,)), lambda v: fn.flip(v, 0),
                    lambda v: fn.concatenate([v, v * 2.0], 0), lambda v: arrange.roll(v, 1, 0), lambda v: v[None],
                ])(x)  # fmt: skip
            elif kind == 7 and x.ndim == 2:
                y = catalogue["matmul"](x, fn.transpose(x))
            else:
                condition = catalogue["greater"](x, random.choice(pool))
                y = catalogue["where"](condition, x, random.choice(pool))
        except (hg.ShapeError, TypeError, ValueError):
            continue
        if y.size <= 500:
            pool.append(y)
    outputs = random.sample(pool, min(len(pool), random.randint(1, 5)))
    return builder, [o.id for o in outputs], values


def hg_aval(shape: tuple[int, ...]) -> Any:
    from hopgrad.aval import aval

    return aval(shape, np.float64)


@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_random_graphs(random: Any) -> None:
    builder, outputs, values = grown(random)
    with np.errstate(all="ignore"):
        wanted = evaluate(builder, outputs, values)
    found, made = native(builder, outputs, values)
    for one, other in zip(found, wanted, strict=True):
        finite = np.asarray(other)[np.isfinite(other)]
        np.testing.assert_allclose(one, other, 1e-9, 1e-12 * float(np.max(np.abs(finite), initial=1.0)))
    assert made.layout.size <= 1.2 * made.layout.live + 4096


@pytest.fixture(autouse=True, scope="module")
def kept_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels on disk, in a place of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOPGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("kernels")))
        yield


def test_a_trace_that_numpy_computed_first_is_compiled_later() -> None:
    f = hg.grad(lambda x: np.sum(np.sin(x) * x))
    x = np.linspace(0.0, 1.0, 5)
    with hg.use_backend("numpy"):
        wanted = f(x)
        assert "compiled when native code is asked for" in f.report()
    with hg.use_backend("native"):
        for _ in range(3):
            np.testing.assert_allclose(f(x), wanted, 1e-14)
    assert len(f.entries) == 1


def test_steady_functions_give_the_same_bits_from_the_first_call_on() -> None:
    def f(x: Array) -> Any:
        total = np.sum(np.exp(np.sin(x)))
        return np.tanh(total) * total if total > 5 else total

    x = np.random.default_rng(0).normal(size=1000)
    with hg.use_backend("native"):
        first, *later = [steady(x) for steady in [hg.compile(f, steady=True)] for _ in range(3)]
        assert all(value == first for value in later)
        assert hg.compile(f, steady=True)(x) == first

        def long(x: Array) -> Any:
            for k in range(2500):
                x = np.sin(x) * 1.01 + (k % 7) * 0.1 * np.exp(-x * x)
            return np.sum(x)

        # Otherwise NumPy would replay it until that has taken as long as compiling.
        made = hg.compile(long, steady=True)
        first = made(x[:4])
        assert made.kernels
        assert made(x[:4]) == first


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("width", [1, 5, 16, 37, 64])
def test_rows_at_computed_places_are_read_and_added_as_wholes(width: int, dtype: Any) -> None:
    """As in an embedding: all of a row has the same index, which may come again, or be counted from the end."""
    rng = np.random.default_rng(width)
    table = rng.integers(-9, 9, (7, width)).astype(dtype)
    rows = np.array([[0, 6, 6], [-1, 3, -7]])
    values = rng.integers(-9, 9, (2, 3, width)).astype(dtype)

    def read(table: Any, rows: Any, values: Any) -> Any:
        return table[rows] * 2 + values

    def written(table: Any, rows: Any, values: Any) -> Any:
        out = table + 1
        out[rows] = values[0, 0] * 3
        return out

    def added(table: Any, rows: Any, values: Any) -> Any:
        out = table * 3
        np.add.at(out, rows, values)
        return out

    for f in (read, written, added):
        fast = hg.compile(f, backend="native")
        for _ in range(2):
            np.testing.assert_array_equal(fast(table, rows, values), f(table, rows, values))
        with pytest.raises(IndexError):
            fast(table, np.array([[0, 7, 1], [0, 0, 0]]), values)
    if dtype != np.int64:
        gradient = hg.grad(lambda table, rows, values: np.sum(table[rows] ** 2 * values), backend="native")
        expected = np.zeros_like(table)
        np.add.at(expected, rows, 2 * table[rows] * values)
        for _ in range(2):
            np.testing.assert_allclose(gradient(table, rows, values), expected, 1e-6)


def test_a_sum_of_many_large_arrays_is_read_from_memory_when_it_is_needed_again() -> None:
    """Kernels of later levels read one array instead of all those that it is computed from."""

    def f(arrays: list[Any]) -> Any:
        total = arrays[0]
        for x in arrays[1:]:
            total = total + x
        return total - np.mean(total, -1, keepdims=True)

    arrays = [np.random.default_rng(k).normal(size=(64, 64)) for k in range(7)]
    fast = hg.compile(f, backend="native")
    for _ in range(2):
        np.testing.assert_allclose(fast(arrays), f(arrays), 1e-12, 1e-12)
    read = re.search(r"([\d,]+) bytes read", fast.report())
    assert read is not None
    assert int(read[1].replace(",", "")) < 10 * arrays[0].nbytes


@pytest.mark.parametrize("width", [1, 3, 11, 16, 40])
def test_rows_at_computed_places_go_along_the_rows(width: int) -> None:
    rng = np.random.default_rng(width)
    x, rows, y = rng.normal(size=(50, width)), rng.integers(0, 50, 400), rng.normal(size=(400, width))
    for f in (
        lambda x: np.sum(np.cos(x[rows]) * y),
        lambda x: np.sum(x[rows].sum(0) ** 3),
        lambda x: np.sum(x[:, 0][rows]),
    ):
        g = hg.grad(f, backend="native")
        expected = hg.grad(f, backend="numpy")(x)
        for _ in range(3):
            np.testing.assert_allclose(g(x), expected, 1e-12, 1e-12)
