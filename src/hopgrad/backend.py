"""Which way values are computed: by native code, or by the interpreter (`hopgrad.evaluate`), which is the reference.

Native code is the default. ``HOPGRAD_BACKEND=numpy`` in the environment, `use_backend` for a block, or the argument
``backend="numpy"`` of a transform choose the interpreter.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Literal

import numpy as np

from hopgrad.errors import NativeCodeWarning
from hopgrad.graph.builder import Builder, catalogue
from hopgrad.graph.graph import Graph, reachable
from hopgrad.graph.operators import all_finite
from hopgrad.lower.expand import boundary, expanded
from hopgrad.lower.library import compound, library
from hopgrad.lower.program import Program
from hopgrad.simplify import by_rows, is_short, rolled, simplify, tiled, unlooped
from hopgrad.trace import context

Backend = Literal["native", "numpy"]
_BACKENDS = ("native", "numpy")

_chosen: ContextVar[str | None] = ContextVar("hopgrad_backend", default=None)


def backend(given: str | None = None) -> str:
    """The backend in force: the one that is given, or else that of the block, or of the environment.

    Raises:
        ValueError: there is no such backend.
    """
    found = given or _chosen.get() or os.environ.get("HOPGRAD_BACKEND") or "native"
    if found not in _BACKENDS:
        raise ValueError(f"there is no backend {found!r}: choose one of {', '.join(_BACKENDS)}")
    return found


@contextlib.contextmanager
def use_backend(name: Backend) -> Iterator[None]:
    """Within this block functions of hopgrad compute in the way `name`.

    >>> import hopgrad as hg
    >>> with hg.use_backend("numpy"):
    ...     hg.grad(lambda x: x**2)(3.0)
    6.0
    """
    backend(name)
    token = _chosen.set(name)
    try:
        with context.blocking():
            yield
    finally:
        _chosen.reset(token)


LARGE = 6000
"""Graphs of more values are simplified when they are used again, which is when written-out loops are found; what is
still as large then is compiled when the interpreter has taken as long as compiling would take."""
COMPILING = 5e-4
"""About how many seconds that is for a value."""


def pays(size: int, seconds: float) -> bool:
    """Whether to compile a graph that the interpreter has taken so long for."""
    return size <= LARGE or seconds > COMPILING * size


class Fallback:
    """Where native code is made: what goes wrong there is told once, and costs time but no result.

    Attributes:
        reason: What went wrong, or "".
    """

    def __init__(self) -> None:
        self.reason = ""

    def __enter__(self) -> Fallback:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if not isinstance(error, Exception) or isinstance(error, MemoryError):
            return False
        self.reason = f"native code could not be made ({type(error).__name__}: {error})"
        warnings.warn(
            f"{self.reason}, so that NumPy computes this function. That is a bug of hopgrad: please report it with the"
            ' function; backend="numpy" chooses NumPy without this warning',
            NativeCodeWarning,
            stacklevel=2,
        )
        return True


class NativePlan:
    """Native code for some values of a graph: as `hopgrad.evaluate.Plan`, for values of the inputs given by id.

    There is one `Program` for each way in which the given arrays lie in memory, made when it is first needed.

    Args:
        source: The graph.
        nodes: What to compute.
        inputs: Values that will be given.
        guards: Values that have to be these; else `run` gives None.
        targets: Results that are written to inputs in the end: by number, the input.
        whole: Whether kernels may have any size (see `hopgrad.lower.program.Steps`).
        lean: Whether to leave out what only matters where a zero meets an infinity in a reverse sweep; `run` gives
            None then as well.
    """

    def __init__(
        self,
        source: Builder,
        nodes: Sequence[int],
        inputs: Sequence[int],
        guards: Sequence[tuple[int, Any]] = (),
        targets: Mapping[int, int] | None = None,
        whole: bool = False,
        lean: bool = False,
    ) -> None:
        wanted = [*nodes, *[node for node, _ in guards]]
        known = frozenset(inputs)
        ends = boundary(source, wanted, known) if lean else None
        self.lean = ends is not None
        """Whether there was anything to be left out."""
        builder, moved, given = expanded(source, [*wanted, *(ends or ())], known, lean=self.lean)
        checks = [_holds(builder, n, v) for n, (_, v) in zip(moved[len(nodes) :], guards, strict=False)]
        with builder.passing("guards"):
            checks += [all_finite(builder.expr(n)).id for n in moved[len(wanted) :]]
        simplified = simplify(builder, [*moved[: len(nodes)], *checks], frozenset(given.values()))
        simplified = tiled(unlooped(rolled(by_rows(simplified))))
        self.graph = Graph(simplified.builder, list(simplified.inputs.values()), simplified.outputs)
        """Simplified, with what guards ask among its outputs."""
        self.outputs = simplified.outputs[: len(nodes)]
        self.checks = [(node, 1.0) for node in simplified.outputs[len(nodes) :]]
        self.output_avals = [simplified.builder.avals[n] for n in self.outputs]
        self.keys = [key for key, node in given.items() if node in simplified.inputs]
        self._inputs = [simplified.inputs[given[key]] for key in self.keys]
        self.size = len(reachable(simplified.builder, simplified.outputs))
        """How many values the simplified graph has."""
        self._targets = {result: self.keys.index(key) for result, key in (targets or {}).items() if key in self.keys}
        self.targets = dict(targets or {})
        """As they were given."""
        self._whole = whole
        self._programs: dict[tuple[Any, ...], Program] = {}
        self._lock = threading.Lock()
        self.unable = Fallback()

    def run(self, given: Mapping[int, Any]) -> list[Any] | None:
        """The values, new arrays each time; None if a guard does not hold, or if there is no native code."""
        values = [_aligned(given[key]) for key in self.keys]
        program: Program | None = None
        if not self.unable.reason:
            with self.unable:
                program = self.program(values)
        return program.run(values) if program is not None else None

    def prepare(self, given: Mapping[int, Any]) -> None:
        """Compile for arrays like these."""
        self.program([_aligned(given[key]) for key in self.keys])

    def program(self, values: Sequence[Any]) -> Program:
        """The program for arrays that lie in memory as these do."""
        key = tuple([_strides(v) for v in values])
        found = self._programs.get(key)
        if found is None:
            with self._lock:
                found = self._programs.get(key)
                if found is None:
                    found = self._programs[key] = self._compile(key)
        return found

    def _compile(self, strides: tuple[Any, ...]) -> Program:
        inputs = dict(zip(self._inputs, strides, strict=True))
        return Program(
            self.graph.builder, self.outputs, inputs, self.checks, library, compound, self._targets, self._whole
        )

    @property
    def runs(self) -> int:
        """How often its programs ran to their end."""
        return sum(program.runs for program in self.programs)

    @property
    def programs(self) -> list[Program]:
        """What was compiled."""
        return list(self._programs.values())


_EXACT = frozenset("""
    input constant convert add subtract multiply divide negative absolute sqrt sign floor ceil trunc rint copysign
    maximum minimum fmax fmin clip where equal not_equal less less_equal greater greater_equal logical_and logical_or
    logical_xor logical_not isnan isinf isfinite reshape transpose broadcast_to concatenate index put triangle
    max min any all argmax argmin argsort lexsort searchsorted cumsum
    fmod remainder floor_divide round exists
""".split())  # fmt: skip  # noqa: SIM905 - a list of words
"""Hops that native code computes to the last bit as NumPy does."""


def rounds_alike(builder: Builder, nodes: Sequence[int]) -> bool:
    """Whether native code and NumPy agree on some values to the last bit, so that either may decide a branch."""
    # Whether something has a value at all is told by the step that computes it.
    known = {n for n in reachable(builder, nodes) if builder.hop(n).name == "exists"}
    return all(_is_exact(builder, node) for node in reachable(builder, nodes, known=known))


def _is_exact(builder: Builder, node: int) -> bool:
    # Unless a sort is to be stable, NumPy leaves equal elements in an order of its own.
    name, params = builder.hop(node).name, dict(builder.params(node))
    if name == "sum":  # a few numbers are added up one after the other, by NumPy as by native code
        (x,) = builder.args(node)
        return builder.avals[node].dtype.kind in "iub" or is_short(builder.avals[x].shape, params["axes"])
    if name == "constant_power":  # NumPy squares arrays, but calls the C library's function for numbers
        return params["exponent"] == 2 and bool(builder.avals[node].shape)
    return name in _EXACT and params.get("kind", "stable") in ("stable", "mergesort")


def _aligned(value: Any) -> Any:
    """A value whose elements stand at multiples of their size, as they may not in fields of records."""
    return value.copy() if type(value) is np.ndarray and not value.flags.aligned else value


def _strides(value: Any) -> tuple[int, ...] | None:
    """Strides in elements; None for what is no number or array."""
    if type(value) is np.ndarray:
        size = value.itemsize
        return tuple([s // size for s in value.strides])
    if isinstance(value, (np.generic, float, int, complex, np.ndarray)):
        return ()
    return None


def _holds(builder: Builder, node: int, value: Any) -> int:
    """A hop that tells whether a value is this one; of arrays, all elements, NaN being equal to NaN."""
    here = builder.expr(node)
    expected = builder.constant(value, here.dtype)
    with builder.passing("guards"):
        same = catalogue["equal"](here, expected)
        if isinstance(value, np.ndarray) and value.shape:
            if value.dtype.kind in "fc":
                both = catalogue["logical_and"](catalogue["isnan"](here), catalogue["isnan"](expected))
                same = catalogue["logical_or"](same, both)
            same = catalogue["all"](same, axes=tuple(range(same.ndim)), keepdims=False)
    return same.id
