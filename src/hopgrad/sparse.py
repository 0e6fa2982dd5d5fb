"""Sparse Jacobians and Hessians, as SciPy's sparse arrays: only what can be other than zero is computed and stored."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Literal

import numpy as np

from hopgrad import entries
from hopgrad.aval import aval
from hopgrad.backend import Backend
from hopgrad.batch import batched, bound
from hopgrad.blocks import Blocks, blocks
from hopgrad.calling import Argnums, Call, check_function, computation, give_back, title_of, transform, wraps
from hopgrad.differentiate import pull, push
from hopgrad.errors import DtypeError, NotDifferentiableError, TraceError
from hopgrad.graph.builder import Expr, zeros
from hopgrad.hops.shape import concatenate, reshape
from hopgrad.hops.surface import cast
from hopgrad.sparsity import Matrix, coloring, indices, pattern
from hopgrad.trace.tracer import ARRAY, SCALAR
from hopgrad.transforms import adjoints, float_outputs, grad

__all__ = ["sparse_hessian", "sparse_jacobian"]

Format = Literal["csr", "csc", "coo"]
Array = np.ndarray[Any, Any]


def sparse_jacobian(
    f: Callable[..., Any], argnums: Argnums = 0, *, format: Format = "csr", backend: Backend | None = None
) -> Callable[..., Any]:
    """The function that computes the Jacobian of `f` as a SciPy sparse array.

    Which elements can be nonzero is found from the graph, never from values: none is missed, and what is zero by chance
    is stored. Columns that no row has in common are found by one sweep in forward mode, or rows in reverse mode,
    whichever needs fewer sweeps. The pattern is kept, and worked out anew where integers by which arrays are indexed
    have changed.

    Args:
        f: Returns an array (or a nested structure of arrays) of real numbers.
        argnums: As in `grad`.
        format: "csr", "csc" or "coo".
        backend: "native" or "numpy"; by default as `hopgrad.use_backend` says.

    Returns:
        A function of the same arguments. It gives one array of two axes: the elements of all results, one after the
        other in C order, by the elements of the arguments of `argnums`, likewise. Columns are sorted in each row (rows
        in each column of "csc"), none occurs twice.

    Raises:
        DtypeError: results or arguments are complex, or no floating-point numbers.
        TraceError: it is called inside another transform: use `jacobian` there.

    Source of the compression: Curtis, Powell and Reid, On the estimation of sparse Jacobian matrices, 1974.

    >>> import numpy as np
    >>> steps = sparse_jacobian(lambda x: x[1:] ** 2 - x[:-1])
    >>> steps(np.array([1.0, 2.0, 3.0])).toarray()
    array([[-1.,  4.,  0.],
           [ 0., -1.,  6.]])
    """
    check_function(f, "sparse_jacobian")
    return _sparse(f, argnums, "sparse Jacobian of {}", format, backend)


def sparse_hessian(
    f: Callable[..., Any], argnums: Argnums = 0, *, format: Format = "csr", backend: Backend | None = None
) -> Callable[..., Any]:
    """The function that computes all second derivatives of a scalar function as a SciPy sparse array.

    The sparse Jacobian of its gradient: see `sparse_jacobian`.

    >>> import numpy as np
    >>> sparse_hessian(lambda x: np.sum(x[1:] * x[:-1] ** 2))(np.array([1.0, 2.0, 3.0])).toarray()
    array([[4., 2., 0.],
           [2., 6., 4.],
           [0., 4., 0.]])
    """
    check_function(f, "sparse_hessian")
    return wraps(f, "sparse Hessian of {}")(_sparse(grad(f, argnums), argnums, "sparse Hessian of {}", format, backend))


def _sparse(
    f: Callable[..., Any], argnums: Argnums, title: str, format: str, way: Backend | None
) -> Callable[..., Any]:
    if format not in ("csr", "csc", "coo"):
        raise ValueError(f"format is 'csr', 'csc' or 'coo', not {format!r}")

    def derivatives(call: Call, frame: FrameType | None) -> Any:
        if call.trace.nested:
            raise TraceError(
                f"the sparse Jacobian of {title_of(f)} is no array of NumPy's, so it cannot be computed inside another"
                " transform: use jacobian there"
            )
        outputs = float_outputs(call, f)
        avals = call.builder.avals
        if any(avals[n].dtype.kind == "c" for n in (*call.inputs, *[o.node for o in outputs if o.node is not None])):
            raise DtypeError("sparse Jacobians are of real numbers: take real and imaginary parts")
        nodes = [o.node for o in outputs if o.node is not None]
        made: Blocks | _Compressed = call.derive(
            "sparse", lambda: blocks(call.builder, nodes, call.inputs, call.known) or _Compressed(call, nodes)
        )
        if isinstance(made, _Compressed):
            return _formatted(made.compute(call), format)
        wanted = [made.data, *[n for n in (made.columns, made.sorted) if n is not None]]
        parts = give_back(call, wanted, [ARRAY, ARRAY, SCALAR][: len(wanted)], frame, whole=made.whole)
        make = functools.partial(_assembled, made, sum(avals[n].size for n in call.inputs), format)
        return entries.Made(make, tuple(parts)) if call.results is entries.MARKED else make(tuple(parts))

    return transform(f, argnums, title, derivatives, way=way)


def _assembled(found: Blocks, width: int, format: str, parts: tuple[Any, ...]) -> Matrix:
    """The sparse array of the elements, their columns, and whether these ascend, as far as the graph computes them."""
    from scipy import sparse

    data, *rest = parts
    columns = rest[0] if rest else found.fixed.copy()
    made = sparse.csr_array((data, columns, found.starts.copy()), (found.starts.size - 1, width))
    if len(rest) == 2 and not rest[1]:
        made.sum_duplicates()
    else:
        made.has_canonical_format = True
    return _formatted(made, format)


def _formatted(found: Matrix, format: str) -> Matrix:
    return found if format == "csr" else found.asformat(format)


@dataclass
class _Plan:
    """How a Jacobian of some pattern is found: which sweeps are made, and where in them its elements stand."""

    keys: list[Array]
    """The integers that the pattern depends on."""
    rows: Matrix
    colors: Array
    """Of each column (forward mode) or row (reverse mode)."""
    count: int
    forward: bool
    places: Array
    """For each stored element where it stands among all numbers of all sweeps."""


@dataclass
class _Compressed:
    """The sparse Jacobian of one trace."""

    call: Call
    outputs: list[int]
    plans: list[_Plan] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @functools.cached_property
    def keys(self) -> list[int]:
        """The integers that the pattern depends on."""
        return indices(self.call.builder, self.outputs, self.call.inputs) if self.call.inputs else []

    @functools.cached_property
    def dtype(self) -> Any:
        """The dtype of the derivatives."""
        avals = self.call.builder.avals
        return np.result_type(*[avals[n].dtype for n in (*self.outputs, *self.call.inputs)])

    def compute(self, call: Call) -> Matrix:
        """The Jacobian for the arguments of a call of this trace."""
        from scipy import sparse

        plan = self._plan(call, True)
        data = self._data(call, plan)
        if plan.forward and not np.isfinite(data).all():
            # Unit tangents have zeros that meet infinite derivatives; reverse mode knows which to trust.
            plan = self._plan(call, False)
            data = self._data(call, plan)
        rows = plan.rows
        found = sparse.csr_array((data, rows.indices.copy(), rows.indptr.copy()), rows.shape)
        found.has_canonical_format = True
        return found

    def _values(self, call: Call, nodes: Sequence[int], more: dict[int, Any]) -> Sequence[Any]:
        builder = call.builder
        inputs = [n for n in call.known if builder.hop(n).name == "input"]
        return computation(call, nodes, [*inputs, *more]).run({**call.known, **more}, call.native and call.replayed)

    def _plan(self, call: Call, free: bool) -> _Plan:
        """The plan for the pattern that the arguments have; in reverse mode, unless the mode is `free`."""
        keys = [np.asarray(v) for v in self._values(call, self.keys, {})] if self.keys else []
        with self.lock:
            for plan in reversed(self.plans):
                same = all(np.array_equal(a, b) for a, b in zip(plan.keys, keys, strict=True))
                if same and (free or not plan.forward):
                    return plan
        plan = self._planned([key.copy() for key in keys], free)
        with self.lock:
            self.plans.append(plan)
            del self.plans[:-4]
        return plan

    def _planned(self, keys: list[Array], free: bool) -> _Plan:
        rows = pattern(self.call.builder, self.outputs, self.call.inputs, dict(zip(self.keys, keys, strict=True)))
        by_row, many = coloring(rows.T.tocsr())
        forward = False
        colors, count = by_row, many
        if free:
            by_column, few = coloring(rows)
            if few <= many and self._has_forward():
                forward, colors, count = True, by_column, few
        high = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        low = rows.indices.astype(np.intp)
        places = colors[low] * rows.shape[0] + high if forward else colors[high] * rows.shape[1] + low
        rows.data = rows.data[:0]  # the pattern is all that is needed
        return _Plan(keys, rows, colors, count, forward, places)

    def _has_forward(self) -> bool:
        try:
            self._sweep(True)
        except NotDifferentiableError:
            return False
        return True

    def _sweep(self, forward: bool) -> tuple[list[int], list[int]]:
        """One sweep: what it gives, and the seeds that it starts from."""
        call, builder = self.call, self.call.builder

        def derive() -> tuple[list[int], list[int]]:
            starts = call.inputs if forward else self.outputs
            seeds = [builder.input(builder.avals[n], "seed") for n in starts]
            if forward:
                moved = push(builder, dict(zip(starts, seeds, strict=True)), self.outputs)
                found = [moved[n].id if n in moved else zeros(builder, builder.avals[n]).id for n in self.outputs]
            else:
                total: dict[int, Expr] = {}
                for node, seed in zip(starts, seeds, strict=True):
                    total[node] = total[node] + seed if node in total else seed
                found = adjoints(call, pull(builder, total, call.inputs, units=True))
            return found, [seed.id for seed in seeds]

        made: tuple[list[int], list[int]] = call.derive(("sparse sweep", forward), derive)
        return made

    def _data(self, call: Call, plan: _Plan) -> Array:
        """The stored elements."""
        builder = call.builder
        nodes, seeds = self._sweep(plan.forward)
        if not plan.count:
            return np.zeros(0, self.dtype)
        count = max(1, min([plan.count, *[bound(builder, nodes, seed) for seed in seeds]]))

        def derive() -> tuple[int, list[int]]:
            likes = [builder.avals[s] for s in seeds]
            wide = [builder.input(aval((count, *like.shape), like.dtype), "seeds") for like in likes]
            found = batched(builder, nodes, dict(zip(seeds, wide, strict=True)))
            lines = [reshape(x, shape=(count, x.size // count)) for x in found]
            kind = np.result_type(*[x.dtype for x in lines])
            return concatenate(*[cast(x, kind) for x in lines], axis=1).id, [x.id for x in wide]

        whole, wide = call.derive(("sparse sweeps", plan.forward, count), derive)
        blocks = []
        for start in range(0, plan.count, count):
            chosen = plan.colors == np.arange(start, start + count)[:, None]
            given, place = {}, 0
            for node in wide:
                like = builder.avals[node]
                size = like.size // count
                given[node] = chosen[:, place : place + size].astype(like.dtype).reshape(like.shape)
                place += size
            blocks.append(self._values(call, [whole], given)[0])
        every = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        return np.asarray(every.reshape(-1)[plan.places], self.dtype)
