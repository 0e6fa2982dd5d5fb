"""Large steps in parts, run by threads: the same values for any number of threads; kernels to the last bit."""

from __future__ import annotations

import copy
import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import realistic
from agreeing import both

import hopgrad as hg
from hopgrad.backend import NativePlan
from hopgrad.evaluate import evaluate
from hopgrad.lower import blas, loops, nest, parts, report

RNG = np.random.default_rng(0)
PROGRAMS = realistic.cases()


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = hg.get_num_threads()
    yield
    hg.set_num_threads(before)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small kernels are cut, too, at odd places."""
    monkeypatch.setattr(parts, "LEAST", 20)
    monkeypatch.setattr(parts, "PART", 5)
    monkeypatch.setattr(parts, "_GRAIN", 3)


def line(x: Any) -> Any:
    return np.sum(np.sin(x) * x) + np.max(x * 2.0) + np.prod(1.0 + x * 1e-3) + np.sum(x[1:] * x[:-1])


def table(x: Any) -> Any:
    rows, columns = np.sum(np.tanh(x), axis=1), np.sum(x * x, axis=0)
    return np.sum(rows**2) + np.sum(np.exp(columns * 1e-2)) + np.sum(np.min(x, axis=0)) + np.any(x > 2.5) * rows[0]


def block(x: Any) -> Any:
    y = x[:, None, :] * x[None, :, ::-1]
    return np.sum(np.cos(y), axis=(0, 2)) @ np.max(y, axis=(1, 2)) + np.sum(np.where(y > 0, y, 0.1))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("f", "shape"), [(line, (700,)), (table, (31, 23)), (table, (3, 400)), (block, (17, 9))])
def test_values_are_those_of_the_interpreter(f: Any, shape: tuple[int, ...], dtype: Any) -> None:
    x = RNG.normal(size=shape).astype(dtype)
    for given in (x, np.asfortranarray(x), np.repeat(x, 2, 0)[::-2]):
        graph = hg.graph_of(hg.value_and_grad(f))(given)
        inputs = {graph.inputs[0]: given}
        plan = NativePlan(graph.builder, graph.outputs, list(inputs))
        found = both(plan, inputs)
        assert "parts" in "".join(map(report.plan, plan.programs))
        for one, other in zip(found, evaluate(graph.builder, graph.outputs, inputs), strict=True):
            close = 1e-12 if dtype == np.float64 else 1e-4
            np.testing.assert_allclose(one, other, close, close * float(np.max(np.abs(other))))


PRODUCTS = {
    "rows": ((200, 40), (40, 33)),
    "columns": ((33, 40), (40, 200)),
    "small kernels": ((7, 5, 6), (7, 6, 4)),
    "kernels that copy": ((7, 5, 6), (7, 4, 6)),
    "a batch": ((3, 70, 80), (3, 80, 90)),
    "one factor for all": ((6, 70, 80), (80, 90)),
    "a matrix times a vector": ((90, 50), (50,)),
    "a vector times a matrix": ((50,), (50, 90)),
    "sums of products": ((5, 1, 300), (5, 300, 1)),
    "in blocks": ((32, 128), (128, 512)),
    "in turns": ((24, 7744), (7744, 16)),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_in_parts(name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "LEAST", 20)
    monkeypatch.setattr(blas, "PART", 5)
    monkeypatch.setattr(blas, "processors", lambda: 3)
    a, b = (RNG.normal(size=shape).astype(dtype) for shape in PRODUCTS[name])
    if "copy" in name:
        f: Any = hg.compile(lambda a, b: a @ np.swapaxes(b, 1, 2), backend="native")
    else:
        f = hg.compile(lambda a, b: a @ b, backend="native")
    expected = a @ (np.swapaxes(b, 1, 2) if "copy" in name else b)
    graph = hg.graph_of(lambda a, b: a @ (np.swapaxes(b, 1, 2) if "copy" in name else b))(a, b)
    plan = NativePlan(graph.builder, graph.outputs, list(graph.inputs))
    plan.run({graph.inputs[0]: a, graph.inputs[1]: b})
    assert "parts" in "".join(map(report.plan, plan.programs))
    f(a, b)  # by the interpreter
    for count in (1, 2, 3):
        hg.set_num_threads(count)
        seen = {np.asarray(f(a, b)).tobytes() for _ in range(20)}
        assert len(seen) == 1  # the same from run to run
        found = np.frombuffer(seen.pop(), dtype).reshape(expected.shape)
        close = 1e-12 if dtype == np.float64 else 1e-4
        np.testing.assert_allclose(found, expected, close, close * float(np.max(np.abs(expected))))


@pytest.mark.skipif(not blas.threads()[0], reason="SciPy's BLAS is not OpenBLAS")
def test_the_library_gets_its_threads_back() -> None:
    get = ctypes.CFUNCTYPE(ctypes.c_int)(blas.threads()[0])
    put = ctypes.CFUNCTYPE(None, ctypes.c_int)(blas.threads()[1])
    before = get()
    put(2)
    try:
        a = RNG.normal(size=(90, 90))
        f = hg.compile(lambda a: np.tanh(a) @ a, backend="native")
        expected = np.tanh(a) @ a
        f(a)
        seen: list[Any] = []
        many = [threading.Thread(target=lambda: seen.append([f(a) for _ in range(300)])) for _ in range(4)]
        for one in many:
            one.start()
        for one in many:
            one.join()
        assert len(seen) == 4
        for found in seen:
            np.testing.assert_allclose(found[-1], expected, 1e-12, 1e-12)
        assert get() == 2
    finally:
        put(before)


@pytest.mark.parametrize("length", [40, 41, 400])
def test_loops_whose_steps_do_not_need_each_other(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "LEAST", 20)
    monkeypatch.setattr(loops, "PART", 5)
    monkeypatch.setattr(loops, "processors", lambda: 3)
    rows, weights = RNG.normal(size=(length, 30)), RNG.normal(size=(30, 7))

    def f(rows: Any, weights: Any) -> Any:
        def step(_: None, row: Any) -> Any:
            return None, (np.tanh(row @ weights), np.sum(np.exp(weights)) + row[0])

        return hg.scan(step, None, rows)[1]

    g = hg.compile(f, backend="native")
    expected = np.tanh(rows @ weights), np.sum(np.exp(weights)) + rows[:, 0]
    for count in (1, 2, 3):
        hg.set_num_threads(count)
        for _ in range(20):
            for one, other in zip(g(rows, weights), expected, strict=True):
                np.testing.assert_allclose(one, other, 1e-12, 1e-12)
    assert "parts" in g.plan


@pytest.mark.usefixtures("small_parts")
def test_any_number_of_threads_gives_the_same_bits() -> None:
    x = RNG.normal(size=(40, 30))
    g = hg.value_and_grad(table, backend="native")
    seen = set()
    for count in (1, 2, 3, 8, 2, 1):
        hg.set_num_threads(count)
        for _ in range(20):
            value, gradient = g(x)
            seen.add((np.float64(value).tobytes(), gradient.tobytes()))
    assert len(seen) <= 2  # the first call is the interpreter's


def test_large_arrays_are_cut_and_small_ones_are_not() -> None:
    f = hg.value_and_grad(lambda x: np.sum(np.sin(x) ** 2), backend="native")
    hg.set_num_threads(2)
    for n, cut in ((1000, False), (1_000_000, True)):
        x = RNG.normal(size=n)
        first, second = f(x), f(x)
        np.testing.assert_allclose(first[0], second[0], 1e-13)
        np.testing.assert_allclose(first[1], second[1], 1e-13, 1e-14)
        assert ("parts" in f.plan) is cut


@pytest.mark.usefixtures("small_parts")
def test_a_failing_part_is_seen() -> None:
    g = hg.grad(lambda x, k: np.sum(np.sin(x[k]) * np.arange(200.0)), backend="native")
    x, k = RNG.normal(size=50), np.arange(200) % 50
    hg.set_num_threads(3)
    g(x, k)
    wrong = k.copy()
    for place in (0, 100, 199):
        wrong[:] = k
        wrong[place] = 50
        with pytest.raises(IndexError):
            g(x, wrong)
    np.testing.assert_allclose(g(x, k), hg.grad(lambda x: np.sum(np.sin(x[k]) * np.arange(200.0)))(x), 1e-12)


@pytest.mark.usefixtures("small_parts")
def test_threads_of_the_user_share_the_pool() -> None:
    g = hg.grad(table, backend="native")
    inputs = [RNG.normal(size=(40, 30)) for _ in range(8)]
    g(inputs[0])
    hg.set_num_threads(1)
    wanted = [g(x).tobytes() for x in inputs]
    hg.set_num_threads(3)
    wrong: list[int] = []

    def work(k: int) -> None:
        wrong.extend(k for _ in range(300) if g(inputs[k]).tobytes() != wanted[k])

    users = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not wrong


@pytest.mark.usefixtures("small_parts")
def test_rounds_follow_each_other_quickly_and_late() -> None:
    """Of different lengths, with more threads than processors, some asleep: each part is done once."""
    gradients = [hg.value_and_grad(f, backend="native") for f in (line, table)]
    inputs = [[RNG.normal(size=n) for n in (20, 333, 700)], [RNG.normal(size=s) for s in ((31, 23), (4, 9))]]
    hg.set_num_threads(1)
    for g, points in zip(gradients, inputs, strict=True):
        for x in points:
            g(x)
    wanted = [[[np.asarray(v).tobytes() for v in g(x)] for x in xs] for g, xs in zip(gradients, inputs, strict=True)]
    for threads in (2, 7, 3, 40, 2):
        hg.set_num_threads(threads)
        for k in range(200):
            for g, points, results in zip(gradients, inputs, wanted, strict=True):
                for x, result in zip(points, results, strict=True):
                    assert [np.asarray(v).tobytes() for v in g(x)] == result
            if k % 50 == 0:
                time.sleep(0.002)


def test_what_is_added_up_in_gaps_is_added_up_elsewhere_first() -> None:
    def forces(x: Any) -> Any:
        apart = x[:, None, :] - x[None, :, :]
        return np.sum(1 / np.sqrt(np.sum(apart * apart, axis=-1) + 0.1))

    for n in (3, 20, 70):
        for dtype, close in ((np.float64, 1e-12), (np.float32, 1e-4)):
            x = RNG.normal(size=(n, 3)).astype(dtype)
            found = hg.grad(forces, backend="native")
            found(x)
            np.testing.assert_allclose(found(x), hg.grad(forces, backend="numpy")(x), close, close * n)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2", None])
def test_bad_numbers_of_threads(count: Any) -> None:
    with pytest.raises(ValueError, match="positive integer"):
        hg.set_num_threads(count)


PROGRAM = """
import os, numpy as np, hopgrad as hg
g = hg.grad(lambda x: np.sum(np.sin(x) ** 2))
x = np.linspace(0.0, 1.0, 400_000)
g(x)
wanted = g(x)
print(hg.get_num_threads())
if hasattr(os, "fork"):
    child = os.fork()
    if not child:
        hg.set_num_threads(2)
        os._exit(0 if (g(x) == wanted).all() else 1)
    assert os.waitpid(child, 0)[1] == 0
assert (g(x) == wanted).all()
"""


@pytest.mark.parametrize(("name", "count"), [("HOPGRAD_NUM_THREADS", 3), ("OMP_NUM_THREADS", 2)])
def test_the_environment_and_children(name: str, count: int) -> None:
    given = {k: v for k, v in os.environ.items() if k not in ("HOPGRAD_NUM_THREADS", "OMP_NUM_THREADS")}
    given |= {name: str(count), "HOPGRAD_BACKEND": "native"}
    found = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM], env=given, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == [str(count)]


# -- kernels that follow each other part by part -----------------------------------------------------------------------


@pytest.fixture
def small_strips(small_parts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels over small arrays follow each other in many parts, too."""
    monkeypatch.setattr(parts, "STRIP", 4096)
    monkeypatch.setattr(nest, "FAR", 0)


def softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    p = e / np.sum(e, axis=-1, keepdims=True)
    return np.sum(p * np.log(p + 0.1)) + np.sum(p[..., 0] ** 2)


def normalized(x: Any) -> Any:
    centred = x - np.mean(x, axis=1, keepdims=True)
    scaled = centred / np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + 1e-3)
    return np.sum(np.tanh(scaled) ** 3) + np.sum(np.sum(scaled**3, axis=0) ** 2)


def windows(x: Any) -> Any:
    """Rows that reach into their neighbours, which cannot be done part by part."""
    y = np.exp(np.sin(x) - np.max(x, axis=1, keepdims=True))
    z = y[1:] * y[:-1] / np.sum(y, axis=1, keepdims=True)[1:]
    return np.sum(np.tanh(z[:, 1:] - z[:, :-1])) + np.sum(z / np.max(y))


def turned(x: Any) -> Any:
    """A square that is read by rows and by columns."""
    n = min(x.shape)
    y = np.exp(np.sin(x[:n, :n]))
    return np.sum(np.log(np.sum(y, axis=1)) * np.sum(y, axis=0)) + np.sum(np.tanh(y.T @ y * 0.01) * y.T)


def stored(x: Any) -> Any:
    """Dear values that kernels of several levels need."""
    dear = np.exp(np.sin(x) * np.cos(x))
    total = np.sum(dear)
    return np.sum(dear**2 / total) + np.mean(dear) * np.sum(np.tanh(dear - total * 1e-3))


ROWS = [softmax, normalized, windows, turned, stored]


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("f", ROWS)
@pytest.mark.parametrize("shape", [(40, 40), (57, 33), (2, 900), (300, 3)])
def test_kernels_that_follow_each_other(f: Any, shape: tuple[int, ...], dtype: Any) -> None:
    x = RNG.normal(size=shape).astype(dtype)
    for given in (x, np.asfortranarray(x), np.repeat(x, 2, 0)[::-2]):
        graph = hg.graph_of(hg.value_and_grad(f))(given)
        inputs = {graph.inputs[0]: given}
        plan = NativePlan(graph.builder, graph.outputs, list(inputs))
        seen = set()
        for count in (1, 3, 1):
            hg.set_num_threads(count)
            found = plan.run(inputs)
            assert found is not None
            seen.add(b"".join(np.asarray(one).tobytes() for one in found))
        assert len(seen) == 1
        for one, other in zip(found, evaluate(graph.builder, graph.outputs, inputs), strict=True):
            close = 1e-11 if dtype == np.float64 else 1e-3
            np.testing.assert_allclose(one, other, close, close * float(np.max(np.abs(other))))


def steps_of(f: Any, x: Any) -> list[str]:
    """The steps of a function's gradient, with what they read and write."""
    g = hg.grad(f, backend="native")
    for _ in range(3):
        g(x)
    return [line for line in g.plan.splitlines() if line[0].isdigit()]


@pytest.mark.usefixtures("small_strips")
def test_rows_are_done_one_after_the_other() -> None:
    x = RNG.normal(size=(60, 50))
    (step,) = steps_of(lambda x: np.sum(np.exp(x - np.max(x, axis=1, keepdims=True)) ** 2), x)
    assert "then" in step
    assert not any("then" in step for step in steps_of(lambda x: np.sum(np.exp(x - np.max(x, axis=0)) ** 2), x)[:1])


def test_small_arrays_are_not_done_by_rows() -> None:
    assert not any("then" in step for step in steps_of(softmax, RNG.normal(size=(20, 30))))
    assert any("then" in step for step in steps_of(softmax, RNG.normal(size=(4000, 1000))))


@pytest.mark.usefixtures("small_strips")
def test_arrays_of_the_caller_by_rows() -> None:
    """What is written in place may be read at other rows before, and then not row by row."""

    def near(w: Any) -> None:
        y = w - np.max(w, axis=1, keepdims=True)
        w[...] = np.exp(y) / np.sum(np.exp(y), axis=1, keepdims=True)

    def far(w: Any) -> None:
        y = np.exp(np.sin(w)) * np.max(w[::-1], axis=1, keepdims=True)
        w[...] = y / np.sum(y, axis=1, keepdims=True) + w

    for f in (near, far):
        program, plain = hg.compile(f, backend="native"), RNG.normal(size=(70, 41))
        found = plain.copy()
        for _ in range(3):
            f(plain)
            program(found)
            np.testing.assert_allclose(found, plain, 1e-11)


@pytest.mark.usefixtures("small_strips")
def test_values_that_are_read_at_other_rows_are_not_written_over() -> None:
    def f(x: Any, w: Any) -> Any:
        product = np.tanh(x @ w)
        return product * np.max(product[::-1] * 2, axis=1, keepdims=True)

    x, w = RNG.normal(size=(80, 90)), RNG.normal(size=(90, 70))
    program = hg.compile(f, backend="native")
    for _ in range(3):
        np.testing.assert_allclose(program(x, w), f(x, w), 1e-12)
    assert "then" in program.plan


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_by_rows(name: str) -> None:
    case = PROGRAMS[name]
    value, expected = hg.value_and_grad(case.function, case.argnums, backend="numpy")(*copy.deepcopy(case.args))
    g = hg.value_and_grad(case.function, case.argnums, backend="native")
    for _ in range(3):
        found, gradient = g(*copy.deepcopy(case.args))
    np.testing.assert_allclose(found, value, 1e-9)
    for one, other in zip(hg.tree.flatten(gradient)[0], hg.tree.flatten(expected)[0], strict=True):
        np.testing.assert_allclose(one, other, 1e-7, 1e-9 * float(np.max(np.abs(other), initial=1.0)))
