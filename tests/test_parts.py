"""Large kernels in parts, run by threads: the same values for any number of threads, to the last bit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import hopgrad as hg
from hopgrad.backend import NativePlan
from hopgrad.evaluate import evaluate
from hopgrad.lower import parts, report

RNG = np.random.default_rng(0)


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
        found = plan.run(inputs)
        assert found is not None
        assert "parts" in "".join(map(report.plan, plan.programs))
        for one, other in zip(found, evaluate(graph.builder, graph.outputs, inputs), strict=True):
            close = 1e-12 if dtype == np.float64 else 1e-4
            np.testing.assert_allclose(one, other, close, close * float(np.max(np.abs(other))))


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_the_same_for_any_number_of_threads(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x, w, v = (rng.normal(size=shape).astype(dtype) for shape in ((256, 64), (256, 64), (64, 256)))

    def f(x: Any, w: Any, v: Any) -> Any:
        return np.sum(np.tanh(np.tanh(x @ w.T) @ v.T) ** 2)

    g = hg.grad(f, (0, 1, 2), backend="native")
    expected = hg.grad(f, (0, 1, 2), backend="numpy")(x, w, v)
    found = []
    g(x, w, v)  # by the interpreter
    for count in (1, 2, 3):
        hg.set_num_threads(count)
        found += [g(x, w, v) for _ in range(20)]
    for one in found[1:]:
        for a, b in zip(one, found[0], strict=True):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(found[0], expected, strict=True):
        np.testing.assert_allclose(a, b, 0, np.max(np.abs(b)) * (1e-5 if dtype == np.float32 else 1e-13))
