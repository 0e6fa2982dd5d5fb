"""Machine code: how it gets into memory and out of it again, its cache on disk, threads and processes."""

from __future__ import annotations

import ctypes
import gc
import itertools
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hopgrad as hg
from hopgrad.aval import aval
from hopgrad.backend import NativePlan
from hopgrad.graph.builder import Builder, catalogue
from hopgrad.lower import cache
from hopgrad.lower.loader import BLOCK, Blocks
from hopgrad.lower.machine import UNUSED, Effort, Loaded, Source, load, machine
from hopgrad.lower.machine import _loaded as in_memory
from hopgrad.lower.program import Program

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
elf = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="elsewhere LLVM links everything"
)
forks = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="there are no processes that begin as copies"
)

ADD = """
define i32 @NAME(ptr %slots, ptr %params) {{
  %x = load i32, ptr %slots
  %y = add i32 %x, {0}
  ret i32 %y
}}
"""

SINE = """
@NAME.table = private constant [2 x double] [double 3.0, double 4.0]
declare double @sin(double)
define i32 @NAME(ptr %slots, ptr %params) {
  %x = load double, ptr %slots
  %s = call double @sin(double %x)
  %k = load i64, ptr %params
  %at = getelementptr double, ptr @NAME.table, i64 %k
  %c = load double, ptr %at
  %y = fmul double %s, %c
  store double %y, ptr %slots
  ret i32 0
}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOPGRAD_CACHE_DIR", str(tmp_path / "kernels"))
    with hg.use_backend("native"):
        yield


def adder(number: int) -> Source:
    return Source(ADD.format(number), effort=Effort.NONE)


def called(loaded: Any, slots: Any, params: Any = None) -> int:
    call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(loaded.address)
    found: int = call(ctypes.addressof(slots), None if params is None else ctypes.addressof(params))
    return found


def compiled(source: Source) -> bytes:
    return machine().compiled(source)


def no_address(name: str) -> int | None:
    return None


# -- into memory and out of it ---------------------------------------------------------------------------------------


def check_sine(loaded: Any) -> None:
    for k in range(2):
        slots, params = (ctypes.c_double * 1)(0.5), (ctypes.c_int64 * 1)(k)
        assert called(loaded, slots, params) == 0
        assert slots[0] == pytest.approx(np.sin(0.5) * (3 + k), rel=1e-15)


@pytest.mark.parametrize("effort", Effort)
def test_constants_and_functions_of_the_c_library(effort: Effort) -> None:
    (loaded,) = load([Source(SINE, effort)])
    check_sine(loaded)


def test_what_the_loader_leaves_alone_is_linked_by_llvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Blocks, "place", lambda *args: None)
    check_sine(Loaded("f", *machine().linked(compiled(Source(SINE.replace("NAME", "f"))), "f"), False))


@elf
def test_everything_that_can_be_is_placed() -> None:
    blocks = Blocks()
    source = Source(SINE)
    code = blocks.place(compiled(source), source.symbol, machine().llvm.address_of_symbol)
    check_sine(code)
    assert blocks.place(compiled(source), source.symbol, no_address) is None  # nobody knows where sin is
    assert blocks.place(b"MZ" + compiled(source)[2:], source.symbol, no_address) is None
    small = machine().llvm.Target.from_default_triple().create_target_machine(reloc="pic", codemodel="small")
    image = small.emit_object(machine().optimized(source.llvm))
    assert blocks.place(image, source.symbol, machine().llvm.address_of_symbol) is None


@elf
def test_memory_is_used_again() -> None:
    blocks = Blocks()
    sources = [adder(k) for k in range(50)]
    images = [compiled(source) for source in sources]
    random = np.random.default_rng(0)
    kept: dict[int, Any] = {}
    for _ in range(3000):
        k = int(random.integers(len(sources)))
        if k in kept:
            assert called(kept.pop(k), (ctypes.c_int32 * 1)(1000)) == 1000 + k
        else:
            kept[k] = blocks.place(images[k], sources[k].symbol, no_address)
    for k, code in kept.items():
        assert called(code, (ctypes.c_int32 * 1)(1000)) == 1000 + k
    del code
    kept.clear()
    blocks.place(images[0], sources[0].symbol, no_address)
    blocks.place(images[0], sources[0].symbol, no_address)
    assert sum(size for _, size in [*blocks.gaps, *blocks.freed]) == BLOCK


@elf
def test_functions_larger_than_a_block() -> None:
    count = BLOCK // 4
    text = f"""
        @NAME.table = private constant [{count} x i64] [{", ".join(f"i64 {k}" for k in range(count))}]
        define i32 @NAME(ptr %slots, ptr %params) {{
          %k = load i64, ptr %slots
          %at = getelementptr i64, ptr @NAME.table, i64 %k
          %y = load i32, ptr %at
          ret i32 %y
        }}"""
    source = Source(text, effort=Effort.NONE)
    code = Blocks().place(compiled(source), source.symbol, no_address)
    for k in (0, 12345, count - 1):
        assert called(code, (ctypes.c_int64 * 1)(k)) == k


def test_the_best_code_there_is_takes_the_place_of_rough_code() -> None:
    source = Source(f"; another text\n{SINE}")
    (rough,) = load([source], {source})
    assert rough.symbol == source.light.symbol != source.symbol
    (good,) = load([source])
    assert good.symbol == source.symbol
    assert load([source], {source}) == [good]
    for one in (rough, good):
        check_sine(one)


def programs_of(f: Any) -> list[Program]:
    return [program for plan in f._replays.latest().plans for program in plan.programs]


@pytest.mark.parametrize(("calls", "function"), [(1, np.exp), (3, np.tanh), (40, np.cosh)])  # kernels of their own
def test_kernels_are_made_better_once_they_have_run_for_long(calls: int, function: Any) -> None:
    f = hg.grad(lambda x: np.sum(np.sin(x) * function(x) * 0.75))
    x = np.linspace(0.0, 1.0, 100)
    f(x)
    wanted = f(x)
    (program,) = programs_of(f)
    assert program._rough
    program._left[0] = calls
    before = program.runs
    for k in range(calls + 20):
        assert bool(program._rough) == (k < calls)
        np.testing.assert_array_equal(f(x), wanted)
    assert program.runs == before + calls + 20
    assert len(f.entries) == 1  # and the same


def test_what_does_much_at_a_call_is_good_code_at_once() -> None:
    f = hg.grad(lambda x: np.sum(np.sin(x) * np.exp(x) * 0.75))
    f(np.linspace(0.0, 1.0, 10**6))
    (program,) = programs_of(f)
    assert not program._rough

    def steps(x: Any) -> Any:
        return hg.fori_loop(0, 10**6, lambda k, y: np.sin(y) * 0.5 + x, x)

    g = hg.compile(steps)
    for _ in range(2):
        g(np.ones(3))
    assert not any("sin" in hole.source.text for program in programs_of(g) for hole in program._rough)


def test_threads_run_what_is_made_better_meanwhile() -> None:
    f = hg.grad(lambda x: np.sum(np.cos(x) * np.exp(x) * 0.625))
    x = np.linspace(0.0, 1.0, 300)
    f(x)
    wanted = f(x)
    (program,) = programs_of(f)
    assert program._rough
    program._left[0] = 2000
    wrong: list[Any] = []

    def call() -> None:
        with hg.use_backend("native"):
            wrong.extend(x for _ in range(1500) if not np.array_equal(f(x), wanted))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not program._rough


def test_functions_go_when_nobody_uses_them() -> None:
    (first,) = load([adder(-1)])
    assert load([adder(-1)]) == [first]
    gone = weakref.ref(first)
    del first
    assert gone() is not None  # it may be wanted again
    load([adder(k) for k in range(UNUSED)])
    gc.collect()
    assert gone() is None
    assert called(*load([adder(-1)]), (ctypes.c_int32 * 1)(5)) == 4


def test_functions_stay_while_they_are_used() -> None:
    f = hg.grad(lambda x: np.sum(np.sin(x) * 1.25))
    x = np.linspace(0.0, 1.0, 7)
    f(x)
    load([adder(k) for k in range(2 * UNUSED)])
    gc.collect()
    np.testing.assert_allclose(f(x), np.cos(x) * 1.25, 1e-14)
    assert "sin" in f.llvm or "cos" in f.llvm


# -- memory ----------------------------------------------------------------------------------------------------------

CHAIN = ["sin", "exp", "tanh", "arctan"]
KINDS = 256


def plan(number: int, chain: list[str]) -> NativePlan:
    """Native code of its own for each number below 256, for a chain of functions."""
    builder = Builder()
    value = x = builder.input(aval((5,), np.float64), "x")
    while number:
        number, digit = divmod(number, len(chain))
        value = catalogue[chain[digit]](value) + x
    made = NativePlan(builder, [value.id], [x.id])
    made.prepare({x.id: np.ones(5)})
    return made


def resident() -> int:
    """Bytes in memory, without what is free."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@elf
def test_distinct_kernels_keep_little() -> None:
    """With the graph, which is more than half of it; pages of their own alone would be 12 kB."""
    kept = [plan(k, CHAIN) for k in range(KINDS)]
    before, functions = resident(), len(in_memory)
    kept += [plan(k, ["cos", *CHAIN[1:]]) for k in range(1, KINDS)]
    added = len(in_memory) - functions
    assert added > 100
    assert resident() - before < 14_000 * KINDS
    assert sum(len(p.programs) for p in kept) == 2 * KINDS - 1


def captured(get: Callable[[Any], Any]) -> tuple[Any, Any]:
    """A function used and dropped, and what it captured."""
    data = np.arange(5.0)
    f = get(lambda x: np.sum(np.sin(x) * data))
    for _ in range(3):
        f(np.ones(5))
    return weakref.ref(f), weakref.ref(data)


@pytest.mark.parametrize("transform", [hg.grad, hg.value_and_grad, hg.compile, hg.jacobian, hg.hessian])
def test_a_function_that_was_dropped_is_gone(transform: Any) -> None:
    found = captured(transform)
    gc.collect()
    assert [get() for get in found] == [None, None]


@linux
def test_calls_keep_nothing() -> None:
    def path(x: Any, scale: float = 2.0) -> Any:
        if x > 4:
            raise ValueError("large")
        return x * scale if x > 0 else (-x if x > -1 else np.sin(x))

    f = hg.grad(path)
    whole = hg.value_and_grad(lambda x: np.sum(np.linalg.cholesky(x)))
    good, bad = np.eye(3), -np.eye(3)

    def work(count: int) -> None:
        for k in range(count):
            f((1.0, -0.5, -2.0)[k % 3])
            f(1.0, scale=float(k))
            whole(good)
            if k % 10 == 0:
                with pytest.raises(ValueError, match="large"):
                    f(5.0)
                with pytest.raises(np.linalg.LinAlgError):
                    whole(bad)

    work(2000)
    before = resident()
    work(4000)
    assert resident() - before < 300_000  # one object a call would be more


@linux
def test_the_same_function_made_anew_keeps_nothing() -> None:
    def work(count: int) -> None:
        for _ in range(count):
            f = hg.grad(eval("lambda x: np.sum(np.tanh(x) * x)", {"np": np}))
            f(np.ones(5))
            f(np.ones(5))

    work(500)
    before, objects = resident(), len(gc.get_objects())
    work(1000)
    assert resident() - before < 1 << 20
    assert len(gc.get_objects()) - objects < 2000


# -- on disk ---------------------------------------------------------------------------------------------------------


def entries(place: Path) -> list[Path]:
    return sorted(place.glob("*.o"))


def test_a_file_that_was_changed_is_ignored(tmp_path: Path) -> None:
    name = cache.key("a", "b")
    assert cache.load(name) is None
    cache.store(name, b"code")
    assert cache.load(name) == b"code"
    (path,) = entries(tmp_path / "kernels")
    whole = path.read_bytes()
    for wrong in (b"", whole[:-1], whole[:-1] + b"!", whole + b"!"):
        path.write_bytes(wrong)
        assert cache.load(name) is None
    path.rename(path.with_name(cache.key("ab") + ".o"))
    path.with_name(cache.key("ab") + ".o").write_bytes(whole)
    assert cache.load(cache.key("ab")) is None  # it belongs to another name


def test_old_entries_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPGRAD_CACHE_SIZE", "3000")
    monkeypatch.setattr("hopgrad.lower.cache.random.random", lambda: 1.0)  # no entry is removed before it is said so
    names = [cache.key(str(k)) for k in range(6)]
    for k, name in enumerate(names):
        cache.store(name, bytes(1000))
        for path in entries(tmp_path / "kernels"):
            if path.stem == name:
                os.utime(path, (k, k))
    left = tmp_path / "kernels" / "left over"
    left.write_bytes(b"by a process that was killed")
    cache._trim(tmp_path / "kernels")
    assert [cache.load(name) is not None for name in names] == [False] * 4 + [True] * 2
    assert not left.exists()
    monkeypatch.setenv("HOPGRAD_CACHE_SIZE", "unlimited")
    cache._trim(tmp_path / "kernels")  # no number: the default
    assert cache.load(names[-1]) is not None
    cache._trim(tmp_path / "nowhere")


def script(text: str, place: Path | str) -> subprocess.Popen[str]:
    """Another process with its kernels in a place."""
    head = "import numpy as np, hopgrad as hg\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(text)],
        env={**os.environ, "HOPGRAD_BACKEND": "native", "HOPGRAD_CACHE_DIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


COMPUTES = """
    f = hg.value_and_grad(lambda x: np.sum(np.sin(x) * np.exp(x)) + np.prod(x))
    x = np.linspace(0.5, 1.0, 9)
    f(x)
    print(repr(f(x)[0]), "stored" if "(0 from disk)" not in f.report() else "compiled")
"""


def finished(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert not error
    return out


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    outs = [finished(script(COMPUTES, tmp_path / "kernels")) for _ in range(2)]
    assert [out.split()[1] for out in outs] == ["compiled", "stored"]
    assert outs[0].split()[0] == outs[1].split()[0]


def test_processes_race_for_one_cache(tmp_path: Path) -> None:
    place = tmp_path / "kernels"
    running = [script(COMPUTES, place) for _ in range(2)]
    values = {finished(process).split()[0] for process in running}
    assert len(values) == 1
    assert entries(place)
    assert len(entries(place)) == len(list(place.iterdir()))  # no halves


FULL = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
"""


@pytest.mark.skipif(os.name != "posix", reason="limits and modes of files")
@pytest.mark.parametrize("how", ["full", "a file", "missing", "open to all", "none"])
def test_a_cache_that_cannot_be_used_is_no_error(how: str, tmp_path: Path) -> None:
    place = tmp_path / "kernels"
    if how == "a file":
        place.write_text("")
    if how == "missing":
        place = Path("/proc/nowhere/kernels")
    if how == "open to all":
        place.mkdir()
        place.chmod(0o777)
    text = FULL + COMPUTES if how == "full" else COMPUTES
    outs = [finished(script(text, place if how != "none" else "")) for _ in range(2)]
    assert [out.split()[1] for out in outs] == ["compiled", "compiled"]
    assert not place.is_dir() or not list(place.iterdir())


# -- threads and processes -------------------------------------------------------------------------------------------


def at_once(work: Callable[[int], None], count: int = 8) -> None:
    """Run `work` in threads that begin together."""
    barrier = threading.Barrier(count)
    failed: list[BaseException] = []

    def begin(k: int) -> None:
        barrier.wait()
        try:
            work(k)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=begin, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
        assert not thread.is_alive()
    if failed:
        raise failed[0]


def test_first_calls_race() -> None:
    x = np.linspace(0.1, 1.0, 3000)
    for k in range(6):
        f = hg.value_and_grad(lambda x, k=k: np.sum(np.sin(x) * np.exp(x / (k + 3))) ** 2)
        wanted = hg.value_and_grad(f.__wrapped__, backend="numpy")(x)

        def work(number: int, f: Any = f, wanted: Any = wanted) -> None:
            for _ in range(10):
                value, gradient = f(x)
                np.testing.assert_allclose(value, wanted[0], 1e-12)
                np.testing.assert_allclose(gradient, wanted[1], 1e-12)

        at_once(work)


def test_threads_with_functions_of_their_own() -> None:
    """Functions are made, compiled, used and dropped while others do the same."""

    def work(number: int) -> None:
        for k in range(12):
            factor = number * 100.0 + k
            f = hg.grad(lambda x: np.sum(np.tanh(x) * factor))  # noqa: B023 - called here
            for n in (3, 2049):
                x = np.linspace(-1.0, 1.0, n)
                for _ in range(3):
                    np.testing.assert_allclose(f(x), factor / np.cosh(x) ** 2, 1e-12)
            load([adder(number * 1000 + j) for j in range(k, k + 40)])

    at_once(work)


def test_threads_on_branches_and_keywords() -> None:
    def f(x: Any, scale: float = 1.0) -> Any:
        return scale * (x * x if x > 0 else np.sin(x))

    g = hg.grad(f)

    def work(number: int) -> None:
        for k in range(300):
            x = (number + 1.0) * (-1) ** k
            scale = 2.0 if k % 3 else 1.0
            found = g(x, scale=scale) if scale != 1 else g(x)
            assert found == pytest.approx(scale * (2 * x if x > 0 else np.cos(x)), rel=1e-14)

    at_once(work)


def check_in_child(number: int) -> bool:
    """What a child does: a kept function, one of the parent's kernels in another function, and new ones."""
    x = np.linspace(0.0, 1.0, 2100)
    found = [
        KEPT(x),
        hg.grad(lambda x: np.sum(np.sin(x)))(x),
        *[hg.grad(lambda x, k=k: np.sum(np.sin(x) + k * np.arctan(x) ** 3))(x) for k in range(3) for _ in range(2)],
    ]
    return np.allclose(found[0], np.cos(x), 1e-13) and np.allclose(found[1], np.cos(x), 1e-13)


KEPT = hg.grad(lambda x: np.sum(np.sin(x)))


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_children_use_what_was_compiled_and_compile_more() -> None:
    x = np.linspace(0.0, 1.0, 2100)
    for _ in range(3):
        KEPT(x)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert all(pool.map(check_in_child, range(4)))
    np.testing.assert_allclose(KEPT(x), np.cos(x), 1e-13)


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_children_of_a_process_that_compiles() -> None:
    """No lock that another thread held stays locked in a child."""
    stop = threading.Event()

    def compile_on() -> None:
        for k in itertools.count(10**6):
            load([adder(k)])
            if stop.is_set():
                return

    thread = threading.Thread(target=compile_on)
    thread.start()
    try:
        for k in range(10):
            child = multiprocessing.get_context("fork").Process(target=load, args=([adder(10**7 + k)],))
            child.start()
            child.join(timeout=60)
            hangs = child.is_alive()
            child.kill()
            assert not hangs
            assert child.exitcode == 0
    finally:
        stop.set()
        thread.join()
