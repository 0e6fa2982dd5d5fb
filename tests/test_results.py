"""Memory of large results is used again, and arrays behave as any other; large results go past the caches."""

from __future__ import annotations

import pickle
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest
from numpy._core.multiarray import get_handler_name  # type: ignore[attr-defined]

import hopgrad as hg
from hopgrad.backend import NativePlan
from hopgrad.evaluate import evaluate
from hopgrad.lower import entry, nest, results

RNG = np.random.default_rng(0)
LARGE = results.LEAST // 8 + 1000

linux = pytest.mark.skipif(
    sys.platform != "linux" or entry.native() is None, reason="elsewhere NumPy makes arrays as it does"
)


def squares(x: Any) -> Any:
    return np.sum(x * x)


def gradient(size: int) -> tuple[Any, Any]:
    """A gradient that has an entry point for arrays of a size, and such an array."""
    g, x = hg.grad(squares, backend="native"), np.arange(float(size))
    for _ in range(3):
        g(x)
    return g, x


def address(x: Any) -> int:
    found: int = x.ctypes.data
    return found


@linux
def test_what_was_dropped_is_used_again() -> None:
    g, x = gradient(LARGE)
    first, second = g(x), g(x)
    assert get_handler_name(first) == "hopgrad"
    places = {address(first), address(second)}
    assert len(places) == 2
    first[:] = second[:] = np.nan
    del first, second
    for _ in range(5):
        found = g(x)
        assert address(found) in places
        np.testing.assert_array_equal(found, 2 * x)
    kept = [g(x) for _ in range(4)]
    assert len({address(k) for k in kept} | {address(found)}) == 5
    for k in kept:
        np.testing.assert_array_equal(k, 2 * x)


@linux
def test_arrays_own_their_memory() -> None:
    g, x = gradient(LARGE)
    found = g(x)
    assert found.flags.owndata
    assert found.flags.writeable
    assert found.flags.c_contiguous
    assert found.base is None
    view = found[10:20]
    assert view.base is found
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)), found)
    gone = weakref.ref(found)
    del found
    np.testing.assert_array_equal(view, 2 * x[10:20])
    del view
    assert gone() is None


@linux
def test_arrays_that_change_their_size() -> None:
    g, x = gradient(LARGE)
    found = g(x)
    found.resize(3 * LARGE, refcheck=False)
    np.testing.assert_array_equal(found[:LARGE], 2 * x)
    assert not found[LARGE:].any()
    found.resize(5, refcheck=False)
    np.testing.assert_array_equal(found, [0, 2, 4, 6, 8])
    del found  # a small block does not come back as a large one
    again = g(x)
    np.testing.assert_array_equal(again, 2 * x)
    again.dtype = np.float32
    again.shape = (2, LARGE)
    del again
    np.testing.assert_array_equal(g(x), 2 * x)


@linux
def test_other_sizes_get_memory_of_their_own() -> None:
    g, x = gradient(LARGE)
    h, y = gradient(LARGE + 100_000)
    for _ in range(3):
        a, b = g(x), h(y)
        np.testing.assert_array_equal(a, 2 * x)
        np.testing.assert_array_equal(b, 2 * y)
        del a, b


@linux
def test_small_results_are_as_they_were() -> None:
    g, x = gradient(1000)
    assert get_handler_name(g(x)) == "default_allocator"
    assert get_handler_name(np.zeros(LARGE)) == "default_allocator"


_RUN = """
import ctypes, gc, sys, threading
import numpy as np
import hopgrad as hg
from hopgrad.lower import results

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

g, x = hg.grad(lambda x: np.sum(x * x), backend="native"), np.ones({size})
for _ in range(3):
    g(x)
"""


def run(text: str, size: int) -> str:
    """What a program prints that begins with a gradient of a large array."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _RUN.format(size=size) + text],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@linux
def test_little_memory_is_kept() -> None:
    text = """
before = resident()
all_of_them = [g(x) for _ in range(6)]
del all_of_them
kept = resident() - before
print(kept)
"""
    assert int(run(text, LARGE)) <= 2 * 8 * LARGE + (8 << 20)
    assert int(run(text, results.MOST // 8 + 1000)) < 8 << 20


@linux
def test_results_outlive_the_program() -> None:
    """Arrays that go when the interpreter does, and threads."""
    text = """
def work():
    for _ in range(5):
        assert g(x)[-1] == 2
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
sys.kept = [g(x) for _ in range(3)]
class Late:
    def __init__(self, it): self.it = it
    def __del__(self): self.it[0] = 1.0
np.late = Late(g(x))
del g, hg, results
gc.collect()
print("fine")
"""
    assert run(text, LARGE) == "fine\n"


@linux
def test_a_handler_of_the_user_stays() -> None:
    text = """
from numpy._core import _multiarray_umath as umath
get = ctypes.pythonapi.PyCapsule_GetPointer
get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
table = (ctypes.c_void_p * 307).from_address(get(umath._ARRAY_API, None))
default = ctypes.c_void_p.from_address(table[306]).value
usual = get(ctypes.cast(default, ctypes.py_object).value, b"mem_handler")
block = ctypes.create_string_buffer(ctypes.string_at(usual, 168))
block[:5] = b"mine\\0"
new = ctypes.pythonapi.PyCapsule_New
new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
name = ctypes.create_string_buffer(b"mem_handler")
mine = new(ctypes.addressof(block), ctypes.cast(name, ctypes.c_char_p), None)
change = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[304])
before = change(mine)
named = np._core.multiarray.get_handler_name
print(named(g(x)), named())
change(before)
print(named(g(x)), named())
"""
    assert run(text, LARGE).split() == ["mine", "mine", "hopgrad", "default_allocator"]


# -- past the caches ---------------------------------------------------------------------------------------------------


def waves(x: Any) -> Any:
    return np.sum(np.sin(x) * x)


def steps(x: Any) -> Any:
    return np.sum((x[1:] - x[:-1]) ** 2) + np.sum(x[..., 3:] * x[..., :-3])


def columns(x: Any) -> Any:
    return np.sum(np.mean(x, axis=0) ** 3) + np.sum(np.max(x, axis=-1))


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small results go past the caches, too."""
    monkeypatch.setattr(nest, "FAR", 0)


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("f", [waves, steps, columns])
@pytest.mark.parametrize("shape", [(512,), (513,), (1000,), (4099,), (100_003,), (3, 700), (37, 1031), (2, 3, 515)])
def test_streams(f: Any, shape: tuple[int, ...], dtype: Any) -> None:
    x = RNG.normal(size=shape).astype(dtype)
    for given in (x, np.repeat(x, 2, -1)[..., ::2]):
        graph = hg.graph_of(hg.value_and_grad(f))(given)
        inputs = {graph.inputs[0]: given}
        plan = NativePlan(graph.builder, graph.outputs, list(inputs))
        found = plan.run(inputs)
        assert found is not None
        for one, other in zip(found, evaluate(graph.builder, graph.outputs, inputs), strict=True):
            close = 1e-12 if dtype == np.float64 else 1e-4
            np.testing.assert_allclose(one, other, close, close * float(np.max(np.abs(other))))


@pytest.mark.parametrize(("size", "streams"), [(100_000, False), (3_000_000, True)])
def test_only_large_results_stream(size: int, streams: bool) -> None:
    g, x = gradient(size)
    assert ("nontemporal" in g.llvm) == streams
    np.testing.assert_array_equal(g(x), 2 * x)


@pytest.mark.usefixtures("near")
def test_results_in_the_callers_arrays_stream_at_any_place() -> None:
    """What is written begins at any element of an array; nothing beside it is touched."""

    def step(w: Any, x: Any) -> None:
        w -= 0.1 * np.sin(x)

    program = hg.compile(step, backend="native")
    for start in range(12):
        for size in (600, 1500):
            whole, x = np.zeros(size + 40), RNG.normal(size=size)
            for _ in range(3):
                program(whole[start : start + size], x)
            np.testing.assert_allclose(whole[start : start + size], -0.3 * np.sin(x), 1e-13)
            assert not whole[:start].any()
            assert not whole[start + size :].any()
