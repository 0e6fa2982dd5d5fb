"""Which results depend on which inputs: the sparsity of a Jacobian, found from the graph, and colourings of it.

The pattern is structural: a derivative outside of it is zero whatever the values are, and a derivative inside of it may
be zero by chance. It never misses one. Where a hop is not known any closer, each of its results depends on all that its
operands depend on. The pattern depends on values only through the integers by which arrays are indexed: these are told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from hopgrad.aval import Several
from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import reachable
from hopgrad.graph.hop import Elementwise, Reduction
from hopgrad.hops.shape import selection

Matrix = Any
"""A SciPy sparse array by rows: one row for each element of a value, one column for each element of the inputs."""

Array = np.ndarray[Any, Any]


def indices(builder: Builder, outputs: Sequence[int], inputs: Sequence[int]) -> list[int]:
    """The integers by which values that depend on `inputs` are indexed, on which the pattern depends."""
    found: dict[int, None] = {}
    depends = set(inputs)
    for node in reachable(builder, outputs, min(inputs)):
        args = builder.args(node)
        if node in depends or depends.isdisjoint(args):
            continue
        depends.add(node)
        moved = {"index": 1, "scatter": 1, "put": 2}.get(builder.hop(node).name)
        if moved is not None and not depends.isdisjoint(args[:moved]):
            found.update(dict.fromkeys(a for a in args[moved:] if a not in builder.constants))
    return list(found)


def pattern(builder: Builder, outputs: Sequence[int], inputs: Sequence[int], known: Mapping[int, Array]) -> Matrix:
    """The sparsity of the Jacobian of all outputs' elements by all inputs' elements, a boolean array by rows.

    Args:
        builder: Holds the values.
        outputs: Their elements are the rows, one output after the other.
        inputs: Their elements are the columns.
        known: Values of all `indices`.
    """
    from scipy import sparse

    sizes = [builder.avals[n].size for n in inputs]
    ends = np.cumsum([0, *sizes])
    width = int(ends[-1])
    rows: dict[int, Matrix | None] = {
        n: _selection(np.arange(start, end), width) for n, (start, end) in zip(inputs, pairwise(ends), strict=True)
    }
    if inputs:
        for node in reachable(builder, outputs, min(inputs)):
            if node not in rows:
                rows[node] = _of_hop(builder, node, [rows.get(a) for a in builder.args(node)], known)
    parts = [
        sparse.csr_array((builder.avals[n].size, width), dtype=bool) if (found := rows.get(n)) is None else found
        for n in outputs
    ]
    whole = sparse.csr_array(sparse.vstack(parts, format="csr")) if parts else sparse.csr_array((0, width), dtype=bool)
    whole.sort_indices()
    return whole


def _selection(columns: Array, width: int) -> Matrix:
    """One nonzero in each row."""
    from scipy import sparse

    n = columns.size
    return sparse.csr_array((np.ones(n, bool), columns.ravel(), np.arange(n + 1)), (n, width))


def _numbers(shape: Sequence[int]) -> Array:
    """The numbers of a value's elements, in its shape."""
    return np.arange(int(np.prod(shape, dtype=np.int64))).reshape(tuple(shape))


def _summed(groups: Array, count: int, rows: Matrix) -> Matrix:
    """For each of `count` groups all that its members depend on; `groups` has the group of each row."""
    from scipy import sparse

    n = groups.size
    joined = sparse.csr_array((np.ones(n, bool), (groups.ravel(), np.arange(n))), (count, n)) @ rows
    return _as_pattern(joined)


def _as_pattern(rows: Matrix) -> Matrix:
    rows.data = np.ones(rows.data.size, bool)
    return rows


def _union(parts: Sequence[Matrix | None]) -> Matrix | None:
    found: dict[int, Matrix] = {id(part): part for part in parts if part is not None}
    total: Matrix | None = None
    for part in found.values():
        total = part if total is None else _as_pattern(total + part)
    return total


def _of_hop(
    builder: Builder, node: int, operands: Sequence[Matrix | None], known: Mapping[int, Array]
) -> Matrix | None:
    """What the elements of a value depend on, given what those of its operands depend on."""
    hop, args, like = builder.hop(node), builder.args(node), builder.avals[node]
    if not hop.differentiable or all(rows is None for rows in operands):
        return None
    if hop.name == "item":
        return _everything(operands, like.size)
    if isinstance(like, Several):
        return _everything(operands, 1)
    if not like.is_float:
        return None
    params = dict(builder.params(node))
    shapes = [builder.avals[a].shape for a in args]
    if isinstance(hop, Elementwise) or hop.name in _AS_IT_IS:
        return _union([_repeated(rows, shape, like.shape) for rows, shape in zip(operands, shapes, strict=True)])
    if isinstance(hop, Reduction):
        return _reduced(operands[0], shapes[0], params["axes"])
    rule = _RULES.get(hop.name)
    if rule is None:
        return _everything(operands, like.size)
    values = [builder.constants[a] if a in builder.constants else known.get(a) for a in args]
    return rule(operands, shapes, values, params, like.shape)


_AS_IT_IS = frozenset({"convert", "enter"})


def _everything(operands: Sequence[Matrix | None], size: int) -> Matrix | None:
    """All elements depend on all that any element of an operand depends on."""
    total = _union([None if rows is None else _summed(np.zeros(rows.shape[0], int), 1, rows) for rows in operands])
    return None if total is None else total[np.zeros(size, int)]


def _repeated(rows: Matrix | None, shape: Sequence[int], wide: Sequence[int]) -> Matrix | None:
    """The rows of a value that is broadcast."""
    if rows is None or tuple(shape) == tuple(wide):
        return rows
    return rows[np.broadcast_to(_numbers(shape), tuple(wide)).ravel()]


def _lines(shape: Sequence[int], axes: Sequence[int]) -> tuple[Array, int]:
    """For each element the number of its line along some axes, and how many lines there are."""
    kept = tuple(1 if k in axes else n for k, n in enumerate(shape))
    return np.broadcast_to(_numbers(kept), tuple(shape)), int(np.prod(kept, dtype=np.int64))


def _reduced(rows: Matrix | None, shape: Sequence[int], axes: Sequence[int]) -> Matrix | None:
    return None if rows is None else _summed(*_lines(shape, axes), rows)


Rule = Callable[[Sequence[Any], Sequence[Sequence[int]], Sequence[Any], dict[str, Any], Sequence[int]], Any]


def _moved(operands: Any, shapes: Any, values: Any, params: Any, like: Any, function: Any, moved: int) -> Any:
    """Elements that go to other places: where, their numbers tell."""
    from scipy import sparse

    width = next(rows.shape[1] for rows in operands if rows is not None)
    sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes[:moved]]
    starts = np.cumsum([0, *sizes])
    numbers = [_numbers(shape) + start for shape, start in zip(shapes, starts[:moved], strict=False)]
    parts = [
        sparse.csr_array((size, width), dtype=bool) if rows is None else rows
        for rows, size in zip(operands, sizes, strict=False)
    ]
    whole = parts[0] if moved == 1 else sparse.csr_array(sparse.vstack(parts, format="csr"))
    return whole[np.ravel(function(*numbers, *values[moved:], **params))]


def _by_numbers(name: str, moved: int | None = 1) -> Rule:
    def rule(operands: Any, shapes: Any, values: Any, params: Any, like: Any) -> Any:
        function = _FUNCTIONS[name]
        return _moved(operands, shapes, values, params, like, function, len(shapes) if moved is None else moved)

    return rule


def _put(x: Array, v: Array, *arrays: Array, items: Any) -> Array:
    found = x.copy()
    found[selection(items, arrays)] = v
    return found


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "reshape": lambda x, shape: x,
    "transpose": lambda x, axes: np.transpose(x, axes),
    "broadcast_to": lambda x, shape: np.broadcast_to(x, shape),
    "concatenate": lambda *xs, axis: np.concatenate(xs, axis=axis),
    "index": lambda x, *arrays, items: x[selection(items, arrays)],
    "put": _put,
}


def _scatter(operands: Any, shapes: Any, values: Any, params: Any, like: Any) -> Any:
    places = _numbers(like)[selection(params["items"], values[1:])]
    return _summed(np.ravel(places), int(np.prod(like, dtype=np.int64)), operands[0])


def _triangle(operands: Any, shapes: Any, values: Any, params: Any, like: Any) -> Any:
    from scipy import sparse

    numbers = _numbers(shapes[0]) + 1
    kept = (np.tril if params["lower"] else np.triu)(numbers, params["k"]).ravel()
    empty = sparse.csr_array((1, operands[0].shape[1]), dtype=bool)
    return sparse.csr_array(sparse.vstack([empty, operands[0]], format="csr"))[kept]


def _along(operands: Any, shapes: Any, values: Any, params: Any, like: Any) -> Any:
    """Each element depends on its line along an axis, or on the elements that share its other axes."""
    axes = params["axes"] if "axes" in params else (params["axis"],)
    lines, count = _lines(shapes[0], axes)
    return _summed(lines, count, operands[0])[lines.ravel()]


def _einsum(operands: Any, shapes: Any, values: Any, params: Any, like: Any) -> Any:
    left, _, result = params["subscripts"].partition("->")
    parts = []
    for rows, shape, term in zip(operands, shapes, left.split(","), strict=True):
        if rows is None:
            continue
        letters = "".join(dict.fromkeys(term))
        numbers = np.einsum(f"{term}->{letters}", _numbers(shape))
        kept = [c for c in result if c in letters]
        line = np.transpose(numbers, [*[letters.index(c) for c in kept],
                                      *[k for k, c in enumerate(letters) if c not in kept]])  # fmt: skip
        lengths = line.shape[: len(kept)]
        count = int(np.prod(lengths, dtype=np.int64))
        groups = np.broadcast_to(_numbers(lengths).reshape(*lengths, *[1] * (line.ndim - len(kept))), line.shape)
        summed = _summed(groups, count, rows[line.ravel()])
        aligned = tuple(lengths[kept.index(c)] if c in kept else 1 for c in result)
        parts.append(_repeated(summed, aligned, like))
    return _union(parts)


def _matmul(operands: Any, shapes: Any, values: Any, params: Any, like: Any) -> Any:
    a, b = (
        (1, *shapes[0]) if len(shapes[0]) == 1 else shapes[0],
        (*shapes[1], 1) if len(shapes[1]) == 1 else shapes[1],
    )
    stack = np.broadcast_shapes(tuple(a[:-2]), tuple(b[:-2]))
    full = (*stack, a[-2], b[-1])
    rows = _reduced(operands[0], a, (len(a) - 1,))
    columns = _reduced(operands[1], b, (len(b) - 2,))
    return _union([_repeated(rows, (*a[:-1], 1), full), _repeated(columns, (*b[:-2], 1, b[-1]), full)])


_RULES: dict[str, Rule] = {
    **{name: _by_numbers(name) for name in ("reshape", "transpose", "broadcast_to", "index")},
    "concatenate": _by_numbers("concatenate", None), "put": _by_numbers("put", 2),
    "scatter": _scatter, "triangle": _triangle, "einsum": _einsum, "matmul": _matmul,
    **dict.fromkeys(("cumsum", "softmax", "log_softmax"), _along),
}  # fmt: skip


def coloring(rows: Matrix) -> tuple[Array, int]:
    """A colour for each column so that no row has two columns of one colour, and the number of colours.

    Columns of one colour can be found by one sweep: each row tells whose derivative it has. Greedy, columns in their
    order, each with the lowest colour that is free. Sources: Curtis, Powell and Reid, On the estimation of sparse
    Jacobian matrices, 1974; as a colouring of distance 2, Gebremedhin, Manne and Pothen, What color is your Jacobian?,
    2005.

    >>> from scipy import sparse
    >>> colors, count = coloring(sparse.csr_array([[1, 1, 0], [0, 1, 1]]))
    >>> colors.tolist(), count
    ([0, 1, 0], 2)
    """
    columns = rows.tocsc()
    taken = [0] * rows.shape[0]  # the colours of each row, as bits
    starts, members = columns.indptr.tolist(), columns.indices.tolist()
    colors = np.zeros(rows.shape[1], np.intp)
    count = 0
    for column, (start, end) in enumerate(pairwise(starts)):
        used = 0
        own = members[start:end]
        for row in own:
            used |= taken[row]
        free = ~used & (used + 1)
        for row in own:
            taken[row] |= free
        if own:
            colors[column] = free.bit_length() - 1
            count = max(count, free.bit_length())
    return colors, count
