"""The machine that native code is made for, and the way from LLVM's text form to addresses of functions.

Kernels are SIMD code already when they get here: vectors of `Machine.width` bytes, with the vector functions of the
C library's math (libmvec) where there are any. So LLVM has to do no vectorizing, which is what makes its optimizer
slow: parsing, a few cheap passes and code generation take some milliseconds a module.

Functions are in memory (`hopgrad.lower.loader`) once for each text while somebody uses them, and on disk across
processes (`hopgrad.lower.cache`).
"""

from __future__ import annotations

import ctypes
import enum
import functools
import hashlib
import itertools
import os
import platform
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from hopgrad.lower import cache
from hopgrad.lower.loader import Blocks

UNUSED = 256
"""How many functions that nobody uses stay in memory, at least: the same function is often made anew."""

_lock = threading.RLock()
_names = itertools.count()

VECTORIZED = frozenset({
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "cos", "cosh", "erf", "erfc", "exp", "exp10",
    "exp2", "expm1", "hypot", "log", "log10", "log1p", "log2", "pow", "sin", "sinh", "tan", "tanh",
})  # fmt: skip
"""Functions of which the C library may have vector variants."""


class Machine:
    """The processor of this process: `width` bytes in a vector; `prefix` of its vector functions' names."""

    def __init__(self) -> None:
        import llvmlite.binding as llvm

        self.llvm = llvm
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = llvm.get_host_cpu_features()
        self.cpu = llvm.get_host_cpu_name()
        self.features = features.flatten()
        triple = llvm.get_process_triple()
        self.target = self._target(triple, 2)
        self.header = f'target triple = "{triple}"\ntarget datalayout = "{self.target.target_data}"\n'
        machine = platform.machine()
        self.width, self._isas = 16, {}
        if machine in ("x86_64", "AMD64"):
            self._isas = {16: "b", 32: "d", 64: "e"}
            wide = all(features.get(name) for name in ("avx512f", "avx512dq", "avx512bw", "avx512vl"))
            self.width = 64 if wide else 32 if features.get("avx2") else 16
        elif machine in ("aarch64", "arm64"):
            self._isas = {16: "n"}
        self._library = _math_library()
        self._blocks = Blocks()
        self.identity = f"{llvm.llvm_version_info} {self.cpu} {self.features} static"

    def _target(self, triple: str, level: int) -> Any:
        return self.llvm.Target.from_triple(triple).create_target_machine(
            opt=level, cpu=self.cpu, features=self.features, jit=True, reloc="static", codemodel="large"
        )

    @functools.cached_property
    def _quick(self) -> Any:
        return self._target(self.llvm.get_process_triple(), 0)

    @functools.cached_property
    def _jit(self) -> Any:
        return self.llvm.create_lljit_compiler(self.target)

    def linked(self, image: bytes, symbol: str) -> tuple[int, Any]:
        """The address of a function of an object file that was put into memory, and what has to live meanwhile."""
        code = self._blocks.place(image, symbol, self.llvm.address_of_symbol)
        if code is not None:
            return code.address, code
        builder = self.llvm.JITLibraryBuilder().add_current_process()
        builder.add_object_img(image).export_symbol(symbol)
        tracker = builder.link(self._jit, f"hopgrad{next(_names)}")
        return tracker[symbol], tracker

    def compiled(self, source: Source) -> bytes:
        """The object code of a function."""
        target, module = self.module(source)
        return bytes(target.emit_object(module))

    def module(self, source: Source) -> tuple[Any, Any]:
        """What makes the code of a function, and its module."""
        if source.effort == Effort.NONE:
            return self._quick, self._parsed(source.llvm)
        return self.target, self.optimized(source.llvm)

    def _parsed(self, text: str) -> Any:
        # In a context of its own, which goes with it: one for all would keep every constant.
        module = self.llvm.parse_assembly(self.header + text, self.llvm.create_context())
        module.verify()
        return module

    def optimized(self, text: str) -> Any:
        """The module of a text, after a few cheap passes: kernels are in good order already."""
        from llvmlite.binding.newpassmanagers import NewPassManager

        module = self._parsed(text)
        for function in module.functions:
            if not function.is_declaration:
                # Neither may be used again: that aborts the process.
                builder = self.llvm.create_pass_builder(self.target, self.llvm.create_pipeline_tuning_options(0))
                passes = self.llvm.create_new_function_pass_manager()
                passes.add_sroa_pass()
                passes.add_instruction_combine_pass()
                passes.add_simplify_cfg_pass()
                passes.run(function, builder)
                NewPassManager._dispose(passes)  # it does not do so by itself
        return module

    @functools.cache  # noqa: B019 - there is one machine
    def vector_function(self, name: str, itemsize: int, lanes: int, arity: int) -> str | None:
        """The name of a vector variant of a function of the C library's math, or None if it has none."""
        isa = self._isas.get(itemsize * lanes)
        if self._library is None or name not in VECTORIZED or isa is None or itemsize * lanes > self.width:
            return None
        symbol = f"_ZGV{isa}N{lanes}{'v' * arity}_{name}{'f' if itemsize == 4 else ''}"
        return symbol if hasattr(self._library, symbol) else None


def _math_library() -> Any:
    """The library of vector functions, loaded so that generated code finds its symbols; None where there is none."""
    import llvmlite.binding as llvm

    try:
        llvm.load_library_permanently("libmvec.so.1")
        return ctypes.CDLL("libmvec.so.1")
    except (OSError, RuntimeError):
        return None


@functools.cache
def c_library() -> Any:
    """Linux's C library, for semaphores in memory of the user's own and what else not all systems have, or None."""
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None


def give_back() -> None:
    """Give memory that is free, as what tracing and compiling needed, back to the system, where glibc does so."""
    trim = getattr(c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


@functools.cache
def machine() -> Machine:
    """This process's machine; starting LLVM takes some milliseconds."""
    with _lock:
        return Machine()


class Effort(enum.Enum):
    """How much LLVM does for the speed of a function."""

    NONE = 0
    """It makes code of the text as it stands, in a fifth of the time: loops take several times as long."""
    BEST = 1
    """A few passes, and good code."""


@dataclass(frozen=True)
class Source:
    """A native function in LLVM's text form, under the name ``@NAME``, with declarations of what it calls.

    Two sources with the same text are the same function, compiled once. A text names its function and everything
    private to it by words that begin with ``NAME``, which a hash takes the place of.
    """

    text: str
    effort: Effort = Effort.BEST

    @functools.cached_property
    def symbol(self) -> str:
        """The name under which the function is linked."""
        return "hg" + hashlib.blake2b(f"{self.effort.value}{self.text}".encode(), digest_size=12).hexdigest()

    @property
    def light(self) -> Source:
        """The same with the least effort."""
        return replace(self, effort=Effort.NONE)

    @property
    def llvm(self) -> str:
        """The text as LLVM takes it."""
        return self.text.replace("NAME", self.symbol)

    @property
    def assembly(self) -> str:
        """The machine code in the assembler's notation."""
        with _lock:
            target, module = machine().module(self)
            return str(target.emit_assembly(module))


@dataclass
class Step:
    """A step that calls a library. If it needs scratch memory, it has to be told which (`use`).

    ``flops`` are counted as BLAS does: a multiplication and an addition are two. ``work`` is in bytes. ``programs`` are
    those that the step itself runs, ``times`` times at most; ``lowerings`` what it computes beside them, to read.
    ``parts`` are parameters that do a part each, if it can be done by several threads.
    """

    source: Source
    params: list[int]
    flops: int
    work: int = 0
    note: str = ""
    programs: Sequence[Any] = ()
    times: int = 1
    lowerings: Sequence[str] = ()
    parts: Sequence[list[int]] = ()

    def use(self, scratch: int) -> None:
        """Have it use the scratch memory in a slot: the last of its parameters."""
        for params in (self.params, *self.parts):
            params.append(scratch)


class Hole(NamedTuple):
    """Where the address of a function goes: a table of steps, and the number of the step."""

    table: Any
    step: int
    source: Source

    def fill(self, loaded: Loaded) -> None:
        """Write the address, which is one store: whoever runs the table meanwhile runs the old or the new code."""
        self.table[2 * self.step] = loaded.address


RUN = Source("""
define i32 @NAME(ptr %slots, ptr %program) {
entry:
  br label %head
head:
  %at = phi ptr [%program, %entry], [%next, %done]
  %step = load ptr, ptr %at
  %last = icmp eq ptr %step, null
  br i1 %last, label %end, label %go
go:
  %after = getelementptr ptr, ptr %at, i64 1
  %params = load ptr, ptr %after
  %bad = call i32 %step(ptr %slots, ptr %params)
  %fine = icmp eq i32 %bad, 0
  br i1 %fine, label %done, label %end
done:
  %next = getelementptr ptr, ptr %at, i64 2
  br label %head
end:
  %result = phi i32 [0, %head], [%bad, %go]
  ret i32 %result
}
""")
"""A step that runs the steps of a program one after the other, until one fails; its parameters are their `table`."""


def table(params: Sequence[list[int]]) -> Any:
    """Pairs of a step, to be filled in, and its parameters; zeros at the end; behind them the parameters."""
    first = 2 * len(params) + 2
    words = [word for one in params for word in one]
    table = (ctypes.c_int64 * (first + len(words)))(*[0] * first, *words)
    for k, one in enumerate(params):
        table[2 * k + 1] = ctypes.addressof(table) + 8 * first
        first += len(one)
    return table


class Loaded:
    """A function in memory: its address, and whether it came from disk. The code lives as long as this object."""

    __slots__ = ("__weakref__", "_code", "address", "stored", "symbol")

    def __init__(self, symbol: str, address: int, code: Any, stored: bool) -> None:
        self.symbol = symbol
        self.address = address
        self.stored = stored
        self._code = code


_loaded: weakref.WeakValueDictionary[str, Loaded] = weakref.WeakValueDictionary()
_latest: OrderedDict[str, Loaded] = OrderedDict()
"""Those that were asked for last."""


def load(sources: Sequence[Source], light: Collection[Source] = ()) -> list[Loaded]:
    """The functions, compiled or read from disk where they are not in memory yet. Thread-safe.

    Those in `light` are made with the least effort if nothing better is there.
    """
    with _lock:
        found = [(source in light and _found(source)) or _made(source, source in light) for source in sources]
        for loaded in found:
            _latest[loaded.symbol] = loaded
            _latest.move_to_end(loaded.symbol)
        while len(_latest) > UNUSED:
            _latest.popitem(last=False)
    return found


def _found(source: Source) -> Loaded | None:
    """A function that is in memory or on disk."""
    loaded = _loaded.get(source.symbol)
    if loaded is None:
        image = cache.load(_key(source))
        loaded = _placed(source, image, True) if image is not None else None
    return loaded


def _made(source: Source, light: bool) -> Loaded:
    """A function that is compiled unless it is there."""
    source = source.light if light else source
    loaded = _found(source)
    if loaded is None:
        image = machine().compiled(source)
        cache.store(_key(source), image)
        loaded = _placed(source, image, False)
    return loaded


def _key(source: Source) -> str:
    # The code has its symbol in it, which says how much effort went into it.
    return cache.key(machine().identity, source.symbol, source.text)


def _placed(source: Source, image: bytes, stored: bool) -> Loaded:
    loaded = _loaded[source.symbol] = Loaded(source.symbol, *machine().linked(image, source.symbol), stored)
    return loaded


if hasattr(os, "register_at_fork"):  # no other thread is to hold the lock in a child
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
