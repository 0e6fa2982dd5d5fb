"""The trace in progress: its builder, its place in the user's code, and what it refused."""

from __future__ import annotations

import functools
import math
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from hopgrad.aval import aval
from hopgrad.errors import HopgradError, TraceError
from hopgrad.evaluate import extend
from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import Guard, reachable
from hopgrad.graph.sites import Location, user_location

if TYPE_CHECKING:
    from hopgrad.trace.memory import Memory

_current: ContextVar[Trace | None] = ContextVar("hopgrad_trace", default=None)


state: dict[str, int] = {"blocked": 0}
"""How many traces run, and how many blocks want the interpreter, in all threads together: meanwhile native entry
points, which see neither, are passed over."""
_state_lock = threading.Lock()


@contextmanager
def blocking() -> Iterator[None]:
    """Pass over native entry points within this block."""
    with _state_lock:
        state["blocked"] += 1
    try:
        yield
    finally:
        with _state_lock:
            state["blocked"] -= 1


LENT = 1 << 16
"""From how many bytes on an array is lent instead of copied."""


def _checksum(array: np.ndarray[Any, Any]) -> int:
    """Of the bytes of a contiguous array, in the order in which they lie."""
    return zlib.crc32(np.ravel(array, order="K").view(np.uint8).data)


class Trace:
    """One outermost trace. Nested transforms work in the same builder, so their values can be mixed freely.

    Attributes: ``known`` holds the actual values of inputs, and of all values that were asked for so far; ``guards``
    what the user's Python code asked for, and so what the trace depends on; ``standing`` maps fresh inputs of nested
    transforms to the values that they stand for; ``nested`` says that the transform at work was called
    inside the trace, so that its results stay symbolic; ``once`` are reasons why the trace holds for this call only;
    ``outside`` is how the user's functions see the world, for ``hopgrad.outside`` to fill;
    ``homes`` are the memories of arrays that were not made inside, and ``dirty`` those of them that were written to;
    ``wrt`` are the inputs that are differentiated by, None for all; ``failed`` are values that could not be computed.
    ``lends`` says that large arrays need not be copied if native code computes the call, ``lent`` are those that were
    not (see `give`).
    ``eager`` says that each hop is computed as it is recorded, since it may raise; ``flushed`` how many hops were
    computed, or passed over, by `flush`.
    ``batches`` are the functions that are being mapped over batches (see `Mapped`), the outermost first.
    ``body`` is the number of the loop's or branch's body that is traced now (0: none), ``bodies`` how many there were;
    ``root`` is the frame below which the call paths of sites begin; ``explicit`` overrides the site while a text
    expression is evaluated.
    """

    def __init__(self, root: FrameType | None) -> None:
        self.builder = Builder()
        self.root = root
        self.known: dict[int, Any] = {}
        self.lends = False
        self.lent: dict[int, tuple[np.ndarray[Any, Any], int]] = {}
        self.guards: dict[int, Guard] = {}
        self.once: dict[str, str] = {}
        self.outside: Any = None
        self.standing: dict[int, int] = {}
        self.homes: list[Memory] = []
        self.dirty: list[Memory] = []
        self.wrt: set[int] | None = None
        self._active = bytearray()
        self.nested = False
        self.failed: set[int] = set()
        self.batches: list[Mapped] = []
        self.body = 0
        self.bodies = 0
        self._body_start = 0
        self._bodies: list[tuple[int, int]] = []
        self.closed = False
        self.refusals: list[HopgradError] = []
        self.sited = 0
        self.explicit: int | None = None
        self.flushed = 0
        self.eager = raises()
        if self.eager:
            self.only_once("NumPy is set to raise at floating-point errors (np.errstate)", None)

    def site(self, node: int, frame: FrameType | None) -> None:
        """Record that the user's code at `frame` computed `node`; values made on the way belong to the same place."""
        builder = self.builder
        sites = builder.sites
        site = self.explicit if self.explicit is not None else sites.at(frame, self.root)
        column = builder.site
        for k in range(self.sited, len(builder)):
            if not column[k] and not builder.stage[k]:
                column[k] = -site
        if node >= self.sited or column[node] < 0:
            column[node] = site
        elif column[node] != site:
            sites.hits.add((node, site))
        self.sited = len(builder)
        if self.eager:
            self.flush()

    def flush(self) -> None:
        """Compute all that the user's code has computed so far. What depends on an input without a value is left out.

        For those who change how NumPy handles errors: each hop is computed under the settings under which NumPy would
        have computed it.
        """
        builder, known = self.builder, self.known
        first, self.flushed = self.flushed, self._body_start if self.body else len(builder)
        unknown: set[int] = set()
        # The body of a loop or branch computes nothing before it is run.
        skipped = [node for start, end in self._bodies for node in range(max(start, first), end)]
        unknown.update(skipped)
        for node in range(first, self.flushed):
            if builder.stage[node] or node in known or node in unknown:
                continue
            if unknown.isdisjoint(builder.args(node)):
                try:
                    extend(builder, node, known, self.standing)
                except KeyError:
                    unknown.add(node)
            else:
                unknown.add(node)

    def give(self, node: int, array: np.ndarray[Any, Any]) -> None:
        """Note an array of the caller as the value of an input.

        It is copied, since code that is not traced may write to it. Of a large one, a checksum tells at the end whether
        that has happened; that takes a third of the time, and no memory.
        """
        contiguous = array.flags.c_contiguous or array.flags.f_contiguous
        if self.lends and array.nbytes >= LENT and contiguous and not array.dtype.hasobject:
            self.known[node] = view = array.view()
            view.flags.writeable = False
            self.lent[node] = array, _checksum(array)
        else:
            self.known[node] = array.copy("K")

    def own(self) -> None:
        """Copy what is only lent, because its values are needed longer than the trace."""
        arrays = [array for array, _ in self.lent.values()]
        for node, value in self.known.items() if arrays else ():
            view = isinstance(value, np.ndarray) and value.base is not None
            if node in self.lent or (view and any(np.may_share_memory(value, array) for array in arrays)):
                self.known[node] = value.copy("K")

    @property
    def is_stale(self) -> bool:
        """Whether an array that is lent has been written to."""
        return any(_checksum(array) != found for array, found in self.lent.values())

    def concrete(self, node: int) -> Any:
        """The value of `node` for the actual inputs. Whoever lets it decide what is traced next must use `settle`.

        Raises:
            UnknownValueError: it depends on the input of a loop's or branch's body, which has no value yet.
        """
        try:
            return extend(self.builder, node, self.known, self.standing)
        except KeyError as error:
            raise UnknownValueError from error

    def settle(self, node: int, frame: FrameType | None) -> Any:
        """The value of `node`, on which what is traced next may depend: recorded as a guard."""
        try:
            value = self.concrete(node)
        except UnknownValueError:
            names = self._rows_behind(node)
            if names:
                self.refuse(TraceError(
                    f"Python asks here for a value that differs from row to row of a batch: it depends on"
                    f" {', '.join(names)}, over which vmap maps, and the function is traced once for all rows. Choose"
                    f" by np.where, or by hopgrad.cond for a branch of its own\n  at {where(frame)}"))  # fmt: skip
            self.refuse(TraceError(
                "a value that Python asks for here is not known: it depends on the input of the body of a scan,"
                " while_loop, cond or switch, which is traced once for all values. Use cond, switch, while_loop or"
                f" np.where inside the body, or a plain Python loop instead\n  at {where(frame)}"))  # fmt: skip
        if self.builder.hop(node).name != "constant" and node not in self.guards:
            sites = self.builder.sites
            site = self.explicit if self.explicit is not None else sites.at(frame, self.root)
            kept = value.copy() if isinstance(value, np.ndarray) else value
            self.guards[node] = Guard(node, kept, site, len(self.builder))
        return value

    def _rows_behind(self, node: int) -> list[str]:
        """The names of the rows of batches on which a value depends."""
        rows = {fresh for batch in self.batches for fresh in batch.along}
        found: set[int] = set()
        todo = [node] if rows else []
        while todo:
            reached = set(reachable(self.builder, todo)) - found
            found |= reached
            todo = [self.standing[n] for n in reached if n in self.standing]
        return [str(dict(self.builder.params(n))["name"]) for n in sorted(rows & found)]

    def active(self, node: int) -> bool:
        """Whether a derivative with respect to an input of `wrt` can pass through `node`."""
        builder, marks = self.builder, self._active
        for k in range(len(marks), node + 1):
            hop = builder.hop(k)
            if hop.name == "input":
                mark = self.wrt is None or k in self.wrt
            else:
                mark = hop.differentiable and any(marks[a] for a in builder.args(k))
            marks.append(mark and builder.avals[k].is_float)
        return bool(marks[node])

    @contextmanager
    def inside_body(self) -> Iterator[None]:
        """For tracing the body of a loop or branch, which must not write to arrays that were made outside of it."""
        before = self.body
        if not before:
            self._body_start = len(self.builder)
        self.bodies += 1
        self.body = self.bodies
        try:
            yield
        finally:
            self.body = before
            if not before:
                self._bodies.append((self._body_start, len(self.builder)))

    @contextmanager
    def mapping(self, batch: Mapped) -> Iterator[None]:
        """For tracing a function that is mapped over a batch: once for all rows, as the body of a loop."""
        self.batches.append(batch)
        try:
            with self.inside_body():
                yield
        finally:
            self.batches.remove(batch)

    def by_row(self, depth: int, make: Callable[[], np.ndarray[Any, Any]]) -> int:
        """A value of which each row of the batches inside the first `depth` ones has its own, made by a call each."""
        batches = self.batches[depth:]
        counts = [batch.count for batch in batches]
        rows = [make() for _ in range(math.prod(counts))] or [make()]
        whole = np.stack(rows)[: math.prod(counts)]
        node = self.builder.constant(whole.reshape(*counts, *whole.shape[1:])).id
        for batch in batches:
            like = self.builder.avals[node]
            fresh = self.builder.input(aval(like.shape[1:], like.dtype), "drawn").id
            batch.along[fresh] = node
            node = fresh
        return node

    def only_once(self, reason: str, frame: FrameType | None) -> None:
        """Note that the trace must not be replayed: what it did depends on something that cannot be checked."""
        if reason not in self.once:
            self.once[reason] = where(frame)

    def refuse(self, error: HopgradError) -> NoReturn:
        """Raise, and remember: a ``try … except TypeError`` in the user's code must not hide a lost gradient."""
        self.refusals.append(error)
        raise error

    def check_open(self) -> None:
        """Raise if the traced function has returned already."""
        if self.closed:
            raise TraceError(
                "a traced value was used after its function had returned (it was kept in a global, an attribute or a"
                " closure). Return the value from the function instead"
            )


@dataclass(eq=False)
class Mapped:
    """A function that is being traced once for all rows of a batch.

    ``along`` has, for each fresh input that stands for a row, the value with all rows along its first axis.
    """

    count: int
    along: dict[int, int]


def raises() -> bool:
    """Whether NumPy is to raise or to call a function at a floating-point error, so that each one has its place."""
    return not {"raise", "call"}.isdisjoint(np.geterr().values())


class UnknownValueError(TraceError):
    """A value depends on an input that has no actual value."""

    def __init__(self) -> None:
        super().__init__(
            "a value is not known, because it belongs to the body of a loop or branch, which is traced once for all"
            " values: return it from the body instead of keeping it elsewhere"
        )


def current() -> Trace | None:
    """The trace in progress in this thread (and context), if any."""
    return _current.get()


@contextmanager
def within(trace: Trace | None) -> Iterator[None]:
    """For the block, `trace` is the one in progress; with None there is none, as outside of all transforms."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def tracing(root: FrameType | None) -> Iterator[Trace]:
    """The trace in progress, or a new outermost one for the block; whatever happens in it leaves no state behind.

    Call paths begin below the frame `root`.
    """
    running = _current.get()
    if running is not None:
        yield running
        return
    trace = Trace(root)
    token = _current.set(trace)
    try:
        with blocking():
            yield trace
    except HopgradError:
        raise
    except Exception as error:
        # NumPy may answer a refusal with an error of its own, which tells less.
        if trace.refusals:
            raise trace.refusals[0] from error
        raise
    finally:
        trace.closed = True
        trace.root = None
        _current.reset(token)
    if trace.refusals:
        raise trace.refusals[0]


def where(frame: FrameType | None) -> str:
    """``line 12 of model.py in loss: "z = x @ w"``, or '' if no frame is the user's."""
    place = user_location(frame)
    return describe(place) if place else ""


@functools.lru_cache(maxsize=4096)
def _handled(code: CodeType) -> tuple[tuple[int, int], ...]:
    """The stretches of a code object where an exception is caught, or looked at by a ``with``."""
    import dis  # not needed until a Python number is divided by

    catching = {step.offset for step in dis.get_instructions(code) if step.opname == "PUSH_EXC_INFO"}
    entries: Any = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]  # since Python 3.11
    return tuple((entry.start, entry.end) for entry in entries if entry.target in catching)


def is_handled(frame: FrameType | None, root: FrameType | None) -> bool:
    """Whether code that is traced would get to see an exception that is raised in `frame`."""
    while frame is not None and frame is not root:
        ours = str(frame.f_globals.get("__name__", "")).partition(".")[0] == "hopgrad"
        if not ours and any(start <= frame.f_lasti < end for start, end in _handled(frame.f_code)):
            return True
        frame = frame.f_back
    return False


def library_call(frame: FrameType | None) -> str:
    """The function of NumPy or SciPy that the user's code called to get to `frame`, as "scipy.stats.zscore", or ''."""
    found = ""
    while frame is not None:
        package, *parts = str(frame.f_globals.get("__name__", "")).split(".")
        if package in ("numpy", "scipy"):
            module = ".".join((package, *parts[:1]))
            hidden = module if package == "scipy" and parts and not parts[0].startswith("_") else ""
            found = _public_name(package, parts, frame.f_code.co_qualname) or found or hidden
        elif package != "hopgrad":
            break
        frame = frame.f_back
    return found


def _public_name(package: str, parts: list[str], name: str) -> str:
    """Under which name a user knows a function of a private module, or ''."""
    inside = [part for part in parts if not part.startswith("_")]
    for modules in (inside, inside[:1], []):
        owner = sys.modules.get(".".join((package, *modules)))
        if owner is not None and hasattr(owner, name.partition(".")[0]):
            short = ["np" if package == "numpy" else package, *modules, name.removesuffix(".__call__")]
            return ".".join(short)
    return ""


def describe(place: Location) -> str:
    """A place in words, with its line of code."""
    source = f": {place.source}" if place.source else ""
    return f"{place.file}:{place.line} in {place.function}{source}"
