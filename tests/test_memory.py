"""The memory of programs: no two values that are alive stand in one place, and little is left unused."""

from __future__ import annotations

import copy
import tracemalloc
from typing import Any

import numpy as np
import pytest
import realistic

import hopgrad as hg
from bench.cases import CASES as BENCHMARKS
from hopgrad.lower import memory, nest, parts
from hopgrad.lower.fuse import KernelStep
from hopgrad.lower.memory import touched
from hopgrad.lower.program import Program

PROGRAMS = realistic.cases()


@pytest.fixture(autouse=True)
def kept_kernels(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPGRAD_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "kernels"))


def programs(f: Any, args: tuple[Any, ...]) -> list[Program]:
    """What is compiled when a function is called."""
    with hg.use_backend("native"):
        for _ in range(2):
            f(*copy.deepcopy(args))
    return [
        program
        for kept in f._replays._kept.values()
        for trace in kept.traces
        if trace.native is not None
        for program in trace.native.programs
    ]


def check(program: Program) -> None:
    """Check the layout of a program, worked out here in another way, step by step."""
    schedule, layout = program.schedule, program.layout
    buffers = schedule.buffers
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for k, step in enumerate(schedule.steps):
        reads, writes = touched(step)
        for b in (*reads, *writes):
            first.setdefault(b, k)
            last[b] = k
    own = {b for b in first if buffers[b].role in ("temporary", "output")}
    for b in own:
        if buffers[b].role == "output":
            last[b] = len(schedule.steps)  # it is returned

    def place(b: int) -> tuple[int, int, int]:
        """Which memory (−1 is the block), from where to where."""
        home, at = (b, 0) if buffers[b].role == "output" else layout.shared.get(b) or (-1, layout.offsets[b])
        size = layout.size if home < 0 else buffers[home].bytes
        assert at >= 0
        assert at + buffers[b].bytes <= size
        assert at % buffers[b].aval.dtype.alignment == 0
        return home, at, at + buffers[b].bytes

    most = 0
    for k, step in enumerate(schedule.steps):
        alive = [b for b in own if first[b] <= k <= last[b] and buffers[b].bytes]
        kernels = step.nests if isinstance(step, KernelStep) else []
        replaced: dict[int, set[int]] = {}
        """What each value may be written over."""
        for kernel in kernels:
            for new, old in memory.in_place(kernel):
                replaced.setdefault(new, set()).update({old}, replaced.get(old, set()))
        together: set[int] = set()
        taken: dict[int, list[tuple[int, int, int]]] = {}
        for b in alive:
            home, start, end = place(b)
            for other_start, other_end, other in taken.get(home, ()):
                if start < other_end and other_start < end:
                    old = other if other in replaced.get(b, ()) else b
                    new = b if old == other else other
                    assert old in replaced.get(new, ()), f"step {k}: {b} and {other} are both alive in one place"
                    assert last[old] == k
                    assert (start, end) == (other_start, other_end)
                    together.add(old)
            taken.setdefault(home, []).append((start, end, b))
        most = max(most, sum(buffers[b].bytes for b in alive if b not in together))
    whole = layout.size + sum(buffers[b].bytes for b in own if buffers[b].role == "output")
    assert whole <= 1.2 * most + 512


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, by_rows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_rows:  # even small kernels follow each other part by part
        for attribute, value in {"LEAST": 20, "PART": 5, "_GRAIN": 3, "STRIP": 4096}.items():
            monkeypatch.setattr(parts, attribute, value)
        monkeypatch.setattr(nest, "FAR", 0)
    case = PROGRAMS[name]
    found = programs(hg.value_and_grad(case.function, case.argnums), case.args)
    for program in found:
        check(program)


# A Jacobian may be several compiled functions: see tests/test_sparse_jacobian.py; and see tests/test_targets.py for the
# steps that train a network.
DENSE = [name for name, case in BENCHMARKS.items() if case.want not in ("jacobian", "sparse_jacobian", "training")]


@pytest.mark.parametrize("name", [name for name in DENSE if not name.startswith("unrolled")])
def test_benchmarks(name: str) -> None:
    case = BENCHMARKS[name]
    for size in case.sizes[:2]:
        args = case.arguments(size)
        if case.want == "step":
            args = (args[0], *args[-2:])
        if case.want == "hvp":
            f = hg.hvp(case.function)
        else:
            f = (hg.jacobian if case.want == "jacobian" else hg.value_and_grad)(case.function, case.argnums)
        found = programs(f, args)
        assert found
        for program in found:
            check(program)


def test_values_live_where_results_will_be() -> None:
    """Three matrices are alive at once, and two of them are results."""

    def f(x: Any) -> Any:
        y = np.sin(x) @ x
        z = np.sum(np.cos(y @ x), axis=0)
        return z, np.outer(z, z), np.outer(z, np.exp(z))

    x = np.random.default_rng(0).normal(size=(40, 40)) / 7
    whole = hg.compile(f)
    (program,) = programs(whole, (x,))
    assert program.layout.size < x.nbytes
    check(program)
    with hg.use_backend("native"):
        for found in (whole(x), program.run([x])):
            for one, other in zip(found or (), f(x), strict=True):
                np.testing.assert_allclose(one, other, 1e-12)


def test_a_value_in_the_middle_of_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through an entry point and from Python, with several values in one result's memory."""
    monkeypatch.setenv("HOPGRAD_BACKEND", "native")

    def f(x: Any, y: Any) -> Any:
        a, b = np.tanh(x @ y), np.tanh(y @ x)
        c = a @ b + b @ a
        return np.sum(c, axis=0), np.outer(np.sum(c, axis=0), np.arange(200.0))

    random = np.random.default_rng(1)
    x, y = random.normal(size=(30, 30)), random.normal(size=(30, 30))
    whole = hg.compile(f)
    (program,) = programs(whole, (x, y))
    assert len({at for _, at in program.layout.shared.values()}) > 1
    check(program)
    assert "entry point of its own" in whole.report()
    for _ in range(3):
        for found in (whole(x, y), whole(x, y=y)):
            for one, other in zip(found, f(x, y), strict=True):
                np.testing.assert_allclose(one, other, 1e-12)
    assert program.runs >= 3


@pytest.mark.parametrize("seed", range(20))
def test_layouts_of_random_values(seed: int) -> None:
    """Neither way of laying out lets two values meet, and the better one is close to what is alive."""
    random = np.random.default_rng(seed)
    count, steps = int(random.integers(1, 120)), int(random.integers(1, 60))
    born = {b: int(random.integers(steps)) for b in range(count)}
    dies = {b: min(steps - 1, born[b] + int(random.geometric(0.2)) - 1) for b in range(count)}
    sizes = {b: int(2 ** random.uniform(0, 14)) for b in range(count)}
    values = range(count)
    live = memory._live(values, sizes, born, dies, steps)
    ways = [memory._by_step(values, sizes, born, dies, steps), memory._by_size(values, sizes, born, dies)]
    for offsets, size in ways:
        assert size >= live
        for b in values:
            assert offsets[b] + sizes[b] <= size
            assert offsets[b] % min(64, 1 << max(0, sizes[b].bit_length() - 4)) == 0
            for other in range(b):
                if born[b] <= dies[other] and born[other] <= dies[b]:
                    assert offsets[b] + sizes[b] <= offsets[other] or offsets[other] + sizes[other] <= offsets[b]
    assert min(size for _, size in ways) <= 1.2 * live + 64


def resident_peak(call: Any) -> int:
    """The most bytes that NumPy's arrays took during a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_first_calls_of_large_arrays_store_no_values_on_the_way() -> None:
    x = np.linspace(0.1, 1.0, 1_000_000)

    def chain(x: Any) -> Any:
        for _ in range(8):
            x = np.sin(x) * np.exp(-x)
        return np.sum(x)

    gradient = hg.grad(chain)
    with hg.use_backend("numpy"):
        expected = hg.grad(chain)(x)
    found: list[Any] = []
    with hg.use_backend("native"):
        assert resident_peak(lambda: found.append(gradient(x))) < 8 * x.nbytes  # there are 40 values
    np.testing.assert_allclose(found[0], expected, rtol=1e-12, atol=1e-14)
    assert "kept" in gradient.report()


def test_first_calls_of_large_arrays_raise_what_numpy_raises() -> None:
    x = np.zeros((900, 900))
    gradient = hg.grad(lambda x: np.sum(np.linalg.cholesky(x)))
    with hg.use_backend("native"):
        for _ in range(2):
            with pytest.raises(np.linalg.LinAlgError):
                gradient(x)
        np.testing.assert_allclose(np.diag(gradient(np.eye(900))), 0.5)


def test_first_calls_of_large_arrays_follow_their_guards() -> None:
    def branching(x: Any, y: Any) -> Any:
        return np.sum(x * y) if np.max(x) > 0.5 else np.sum(x * x * y)

    x, y = np.linspace(0, 1, 700_000), np.ones(700_000)
    gradient = hg.grad(branching)
    with hg.use_backend("native"):
        for scale in (1.0, 0.1, 1.0, 0.1):
            np.testing.assert_array_equal(gradient(scale * x, y), y if scale == 1.0 else 2 * scale * x)


def chained(p: Any, x: Any) -> Any:
    """A step of descent on a function with many values on the way; returns what the parameters were."""

    def loss(p: Any) -> Any:
        for _ in range(8):
            p = np.sin(p * x) * np.exp(-p)
        return np.sum(p)

    before = p.copy()
    p -= 0.1 * hg.grad(loss)(p)
    return before


def test_first_calls_that_write_to_large_arrays_store_no_values_on_the_way() -> None:
    p, x = np.linspace(0.1, 1.0, 1_000_000), np.linspace(1.0, 0.1, 1_000_000)
    step = hg.compile(chained)
    expected, found = p.copy(), p.copy()
    with hg.use_backend("numpy"):
        for _ in range(2):
            before = hg.compile(chained)(expected, x)
    with hg.use_backend("native"):
        for _ in range(2):
            given = found.copy()
            returned: list[Any] = []
            assert resident_peak(lambda to=returned: to.append(step(found, x))) < 5 * x.nbytes  # there are 40 values
            np.testing.assert_array_equal(returned[0], given)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(returned[0], before, rtol=1e-12, atol=1e-14)
    assert "entry point of its own" in step.report()


def test_first_calls_that_write_to_large_arrays_are_right_without_native_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **keywords: Any) -> Any:
        raise RuntimeError("no code today")

    monkeypatch.setattr("hopgrad.backend.Program", broken)
    p, x = np.linspace(0.1, 1.0, 700_000), np.ones(700_000)
    expected, given = p.copy(), p.copy()
    chained(expected, x)
    with hg.use_backend("native"), pytest.warns(hg.NativeCodeWarning, match="no code today"):
        before = hg.compile(chained)(p, x)
    assert before is not p
    np.testing.assert_array_equal(before, given)
    np.testing.assert_allclose(p, expected, rtol=1e-12, atol=1e-14)


def test_first_calls_with_a_large_array_in_two_places_that_is_written_to() -> None:
    def moved(a: Any, b: Any) -> Any:
        a += 1
        return np.sum(b * b)

    whole = hg.compile(moved)
    own, plain = np.linspace(0, 1, 700_000), np.linspace(0, 1, 700_000)
    with hg.use_backend("native"):
        for _ in range(3):
            np.testing.assert_allclose(whole(own, own), moved(plain, plain), 1e-12)
            np.testing.assert_array_equal(own, plain)


def test_first_calls_that_fail_leave_large_arrays_as_numpy_does() -> None:
    def scaled(p: Any) -> Any:
        p *= 2.0
        return np.sum(np.linalg.cholesky(p))

    whole = hg.compile(scaled)
    with hg.use_backend("native"):
        p, plain = np.zeros((900, 900)), np.zeros((900, 900))
        p[0] = plain[0] = 1.0
        for _ in range(2):
            for f, a in ((whole, p), (scaled, plain)):
                with pytest.raises(np.linalg.LinAlgError):
                    f(a)
            np.testing.assert_array_equal(p, plain)
        p = np.eye(900)
        np.testing.assert_allclose(whole(p), 900 * np.sqrt(2), 1e-12)
        np.testing.assert_array_equal(p, 2 * np.eye(900))
