"""The memory of programs: no two values that are alive stand in one place, and little is left unused."""

from __future__ import annotations

import copy
import ctypes
import gc
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest
import realistic

import hopgrad as hg
from bench.cases import CASES as BENCHMARKS
from bench.cases import training
from hopgrad import nn
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
    own = {b for b in first if buffers[b].role in ("temporary", "output") and b not in program.placed}
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


@pytest.mark.parametrize("name", [name for name, case in BENCHMARKS.items() if case.want == "training"])
def test_training_steps(name: str) -> None:
    """Parameters and averages are updated where they are, and the block holds no more than what has to live."""
    case = BENCHMARKS[name]
    args = case.arguments(case.sizes[1])
    call = case.program(*args)
    (step,) = [cell.cell_contents for cell in call.__closure__ if hasattr(cell.cell_contents, "report")]
    with hg.use_backend("native"):
        for _ in range(2):
            call(*args[-2:])
    program = step._program()
    check(program)
    copied = [program.buffers[program.outputs[k]] for k in program.targets if program.outputs[k] not in program.placed]
    assert sum(buffer.bytes for buffer in copied) < 0.01 * sum(buffer.bytes for buffer in program.buffers)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_a_network_keeps_one_array_a_layer(activation: str) -> None:
    """What activations were given; what they gave is computed once more for the gradients of the weights."""
    batch, width = 512, 256
    act = getattr(nn, activation)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(batch, width)).astype(np.float32)

    def loss(weights: Any, x: Any) -> Any:
        for w in weights:
            x = act(x @ w)
        return np.mean(x * x)

    sizes = []
    for layers in (12, 20):
        weights = [draw.normal(size=(width, width)).astype(np.float32) / 11 for _ in range(layers)]
        gradient = hg.grad(loss)
        (program,) = programs(gradient, (weights, x))
        sizes.append(program.layout.size)
        with hg.use_backend("native"):
            found = gradient(weights, x)
        with hg.use_backend("numpy"):
            expected = hg.grad(loss)(weights, x)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5 * np.abs(other).max())
    assert sizes[1] - sizes[0] <= 8 * x.nbytes + 8 * 4 * width


def test_a_transformer_keeps_what_its_layers_need() -> None:
    """The matrices of attention once, what the activation was given, and eight arrays as wide as the model."""
    case = BENCHMARKS["training/transformer"]
    size: Any = case.sizes[-1]
    batch, time, layers, width = size
    args = case.arguments(size)
    call = case.program(*args)
    (step,) = [cell.cell_contents for cell in call.__closure__ if hasattr(cell.cell_contents, "report")]
    with hg.use_backend("native"):
        call(*args[-2:])
    attention = 4 * batch * (width // training.HEAD) * time * time
    wide = 4 * batch * time * width
    on_the_way = max(2 * attention, 3 * 4 * wide)
    assert step._program().layout.size <= layers * (attention + 4 * wide + 8 * wide) + on_the_way


def test_a_value_that_is_needed_again_is_stored_once_not_all_it_is_made_of() -> None:
    """exp(sin(x) cos(x)) is stored for the second loop; neither the sine nor the cosine is."""

    def f(x: Any) -> Any:
        y = np.exp(np.sin(x) * np.cos(x))
        return y / np.sum(y)

    x = np.linspace(0.0, 1.0, 5000)
    (program,) = programs(hg.compile(f), (x,))
    check(program)
    assert program.layout.size < 1.1 * x.nbytes


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


@pytest.mark.parametrize("order", ["C", "F"])
def test_first_calls_copy_no_large_arguments(order: Any) -> None:
    draw = np.random.default_rng(0)
    x, y, w = draw.normal(size=(2000, 500)), draw.normal(size=2000), np.zeros(500)
    x = np.array(x, order=order)
    captured = x.copy(order)

    def misfit(w: Any, x: Any) -> Any:
        return np.mean((x @ w + captured @ w - y) ** 2)

    gradient = hg.grad(misfit)
    with hg.use_backend("numpy"):
        expected = hg.grad(misfit)(w, x)
    found: list[Any] = []
    with hg.use_backend("native"):
        assert resident_peak(lambda: found.append(gradient(w, x))) < 0.5 * x.nbytes
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)


def test_a_write_to_a_large_argument_that_tracing_does_not_see_is_told() -> None:
    x = np.ones((300, 300))
    address = x.__array_interface__["data"][0]

    def f(a: Any, b: Any) -> Any:
        y = np.sin(a) @ b
        ctypes.memset(address, 0, 80)
        return np.sum(y)

    with hg.use_backend("native"):
        for args in ((x, np.ones((300, 300))), (np.ones((300, 300)), x)):
            x[...] = 1.0
            with pytest.raises(hg.TraceError, match="an array of the caller was changed"):
                hg.grad(f)(*args)


def test_large_arrays_are_exchanged_where_the_interpreter_computes_the_call() -> None:
    """Their values have to be copies then: each is written where the other one was."""

    def exchanged(a: Any, b: Any) -> Any:
        before = a.copy()
        a[...] = b
        b[...] = before[::-1]
        return before[1:]

    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(400, 300)), draw.normal(size=(400, 300))
    own = a.copy(), b.copy()
    plain = a.copy(), b.copy()
    exchanged(*plain)
    with hg.use_backend("native"), np.errstate(all="raise"):
        found = hg.compile(exchanged)(*own)
    np.testing.assert_array_equal(found, a[1:])
    for one, other in zip(own, plain, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_keeps_the_result_of_a_first_call() -> None:
    x = np.linspace(0.0, 1.0, 700_000)
    gradient = hg.grad(lambda x: np.sum(np.sin(x) * np.exp(x)))
    gc.collect()
    gc.disable()
    try:
        with hg.use_backend("native"):
            for _ in range(3):
                result = gradient(x)
                alive = weakref.ref(result)
                del result
                assert alive() is None
    finally:
        gc.enable()
