"""Products of matrices, einsum, and systems with a triangular matrix."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from hopgrad.simplify.draft import Call, Draft
from hopgrad.simplify.rules import ANY, rule

# The most factors of a product whose best order is looked for, and how much cheaper it has to be.
_FACTORS, _WORTH = 8, 0.8


@rule("matmul")
def product_of_column_and_row(draft: Draft, call: Call, a: int, b: int) -> int | None:
    """A column times a row has one product in each element: that of an elementwise multiplication."""
    first, second = draft.shape(a), draft.shape(b)
    if first[-1] != 1 or call.kind not in "fiu":
        return None
    # A vector of one element is a number.
    column = a if len(first) > 1 else draft.reshape(a, ())
    row = b if len(second) > 1 else draft.reshape(b, ())
    return draft.reshape(draft.make("multiply", column, row), call.shape)


@rule("transpose", "matmul")
def transpose_of_product(draft: Draft, call: Call, x: int, *, axes: Sequence[int]) -> int | None:
    """(A B)ᵀ → Bᵀ Aᵀ, if nobody else wants A B: a product reads its factors either way, others want rows."""
    a, b = draft.args(x)
    if list(axes) != _swapped(len(axes)) or not draft.single(x) or min(draft.aval(a).ndim, draft.aval(b).ndim) < 2:
        return None
    turned = [draft.transpose(node, _swapped(draft.aval(node).ndim)) for node in (b, a)]
    return draft.make("matmul", *turned)


@rule("sum", "matmul")
def sum_of_products(draft: Draft, call: Call, x: int, *, axes: Sequence[int], keepdims: bool) -> int | None:
    """Σ Aₖᵀ Bₖ over all products of a stack is one product: of all rows of A, turned, and all rows of B."""
    a, b = draft.args(x)
    batch = draft.aval(x).ndim - 2
    if list(axes) != list(range(batch)) or not batch or keepdims or not draft.single(x) or call.kind != "f":
        return None
    rows = draft.of(a, "transpose")
    if rows is None or list(draft.params(a)["axes"]) != _swapped(batch + 2) or not draft.aval(x).size:
        return None
    if draft.shape(rows)[:-1] != draft.shape(b)[:-1]:
        return None
    flat = [draft.reshape(node, (prod(draft.shape(node)[:-1]), draft.shape(node)[-1])) for node in (rows, b)]
    return draft.make("matmul", draft.transpose(flat[0], (1, 0)), flat[1])


def _swapped(ndim: int) -> list[int]:
    """The axes of a stack of matrices, each of them transposed."""
    return [*range(ndim - 2), ndim - 1, ndim - 2]


# -- chains ----------------------------------------------------------------------------------------------------------


@rule("matmul", "matmul")
def chain_from_the_left(draft: Draft, call: Call, a: int, b: int) -> int | None:
    """(A B) C → A (B C) where that takes fewer multiplications, if nobody else wants A B."""
    return _reordered(draft, call, a, b)


@rule("matmul", ANY, "matmul")
def chain_from_the_right(draft: Draft, call: Call, a: int, b: int) -> int | None:
    """A (B C) → (A B) C where that takes fewer multiplications, if nobody else wants B C."""
    return _reordered(draft, call, a, b)


def _reordered(draft: Draft, call: Call, a: int, b: int) -> int | None:
    """The cheapest order, by dynamic programming (Godbole 1973). Vectors stand at the ends, as one row or column."""
    if call.kind not in "fiu":
        return None
    factors, now = _factors(draft, a, b)
    if len(factors) < 3:
        return None
    shapes = [draft.shape(f) for f in factors]
    sizes = [1 if len(shapes[0]) == 1 else shapes[0][0], *[s[0] for s in shapes[1:]]]
    sizes.append(1 if len(shapes[-1]) == 1 else shapes[-1][1])
    best, cut = _best_order(sizes)
    if best >= now or best > _WORTH * now:
        return None

    def product(i: int, j: int) -> int:
        return factors[i] if i == j else draft.make("matmul", product(i, cut[i, j]), product(cut[i, j] + 1, j))

    return product(0, len(factors) - 1)


def _factors(draft: Draft, a: int, b: int) -> tuple[list[int], int]:
    """The factors of a product, products of two matrices within it taken apart; and its multiplications as it is."""
    factors = [a, b]
    cost = _cost(draft, a, b)
    k = 0
    while k < len(factors) and len(factors) < _FACTORS:
        node = factors[k]
        # A vector in the middle would be a number, and a stack of matrices is not one of these.
        if draft.name(node) == "matmul" and draft.single(node):
            first, second = draft.args(node)
            ends = draft.aval(first).ndim == 2 or k == 0, draft.aval(second).ndim == 2 or k == len(factors) - 1
            if all(ends) and max(draft.aval(first).ndim, draft.aval(second).ndim) == 2:
                factors[k : k + 1] = [first, second]
                cost += _cost(draft, first, second)
                continue
        k += 1
    plain = all(draft.aval(f).ndim == 2 for f in factors[1:-1]) and all(draft.aval(f).ndim <= 2 for f in factors)
    return (factors, cost) if plain else ([a, b], cost)


def _cost(draft: Draft, a: int, b: int) -> int:
    first, second = draft.aval(a), draft.aval(b)
    return first.size * (second.shape[-1] if second.ndim > 1 else 1)


def _best_order(sizes: Sequence[int]) -> tuple[int, dict[tuple[int, int], int]]:
    """Multiplications, and where to cut the product of factors i … j, for factors of ``sizes[k]`` by ``sizes[k+1]``."""
    count = len(sizes) - 1
    best = {(i, i): 0 for i in range(count)}
    cut: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            found = [(best[i, k] + best[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)]
            best[i, j], cut[i, j] = min(found)
    return best[0, count - 1], cut


# -- einsum ----------------------------------------------------------------------------------------------------------


@rule("einsum")
def einsum_of_one(draft: Draft, call: Call, *operands: int, subscripts: str) -> int | None:
    """Summing over indices and moving the others, unless an index is repeated (a diagonal)."""
    left, _, right = subscripts.partition("->")
    if len(operands) != 1 or len(set(left)) != len(left) or call.kind not in "fciu":
        return None
    return _ordered(draft, *_summed(draft, operands[0], left, right), right)


@rule("einsum")
def einsum_of_two(draft: Draft, call: Call, *operands: int, subscripts: str) -> int | None:
    """A product of matrices, or an elementwise one if no index is in both operands but not in the result.

    An index that only one operand has is summed there first, and factors of 1 are left out. Not where an index is
    repeated in one operand, or has length 1 in one and not in the other.
    """
    left, _, right = subscripts.partition("->")
    if len(operands) != 2 or call.kind not in "fiu":
        return None
    first, second = left.split(",")
    lengths: dict[str, set[int]] = {}
    for term, node in zip((first, second), operands, strict=True):
        for letter, n in zip(term, draft.shape(node), strict=True):
            lengths.setdefault(letter, set()).add(n)
    if len(set(first)) != len(first) or len(set(second)) != len(second) or any(len(n) > 1 for n in lengths.values()):
        return None
    size = {letter: n for letter, (n,) in lengths.items()}
    if draft.number(operands[0]) == 1 and set(first) <= {*second, *right}:
        return draft.broadcast(_spread(draft, *_summed(draft, operands[1], second, right), right), call.shape)
    if draft.number(operands[1]) == 1 and set(second) <= {*first, *right}:
        return draft.broadcast(_spread(draft, *_summed(draft, operands[0], first, right), right), call.shape)
    a, first = _summed(draft, operands[0], first, right + second)
    b, second = _summed(draft, operands[1], second, right + first)
    summed = [c for c in first if c in second and c not in right]
    batch = [c for c in right if c in first and c in second]
    rows, columns = [[c for c in right if c in term and c not in batch] for term in (first, second)]
    if not summed:
        both = draft.make("multiply", _spread(draft, a, first, right), _spread(draft, b, second, right))
        return draft.broadcast(both, call.shape)
    if batch and not rows and not columns:  # one scalar product for each index of the batch
        inner = "".join([*batch, *summed])
        both = draft.make("multiply", _ordered(draft, a, first, inner), _ordered(draft, b, second, inner))
        return draft.make("sum", both, axes=tuple(range(len(batch), len(inner))), keepdims=False)
    outer = tuple(size[c] for c in batch)
    n, m, k = (prod(size[c] for c in letters) for letters in (rows, columns, summed))
    a = _ordered(draft, a, first, "".join([*batch, *rows, *summed]))
    b = _ordered(draft, b, second, "".join([*batch, *summed, *columns]))
    # Without rows or columns of its own, an operand is a vector, unless there is one for each index of a batch.
    a = draft.reshape(a, (*outer, n, k) if rows or batch else (k,))
    b = draft.reshape(b, (*outer, k, m) if columns or batch else (k,))
    found = draft.reshape(draft.make("matmul", a, b), tuple(size[c] for c in [*batch, *rows, *columns]))
    return _ordered(draft, found, "".join([*batch, *rows, *columns]), right)


@rule("einsum")
def einsum_of_many(draft: Draft, call: Call, *operands: int, subscripts: str) -> int | None:
    """Pair by pair, in the order that `numpy.einsum_path` finds, as NumPy itself computes it."""
    left, _, right = subscripts.partition("->")
    terms, nodes = left.split(","), list(operands)
    if len(operands) < 3 or call.kind not in "fiu" or any(len(set(t)) != len(t) for t in terms):
        return None
    shapes = [np.broadcast_to(np.float64(0), draft.shape(a)) for a in operands]
    for step in np.einsum_path(subscripts, *shapes, optimize="greedy")[0][1:]:
        chosen = [(terms[k], nodes[k]) for k in step]
        for k in sorted(step, reverse=True):
            del terms[k], nodes[k]
        term, node = chosen[0]
        for number, (other, factor) in enumerate(chosen[1:], 2):
            wanted = {*right, *"".join(terms), *"".join(t for t, _ in chosen[number:])}
            kept = "".join(c for c in dict.fromkeys(term + other) if c in wanted)
            if not terms and number == len(chosen):
                kept = right
            node = draft.make("einsum", node, factor, subscripts=f"{term},{other}->{kept}")
            term = kept
        terms.append(term)
        nodes.append(node)
    return nodes[0] if terms == [right] and draft.aval(nodes[0]) is call.aval else None


def _summed(draft: Draft, node: int, letters: str, wanted: str) -> tuple[int, str]:
    """The sum over indices that nobody wants."""
    axes = tuple(k for k, c in enumerate(letters) if c not in wanted)
    if not axes:
        return node, letters
    return draft.make("sum", node, axes=axes, keepdims=False), "".join(c for c in letters if c in wanted)


def _ordered(draft: Draft, node: int, letters: str, wanted: str) -> int:
    return draft.transpose(node, [letters.index(c) for c in wanted])


def _spread(draft: Draft, node: int, letters: str, wanted: str) -> int:
    """With axes in the order of `wanted`, those that are missing of length 1."""
    kept = "".join(c for c in wanted if c in letters)
    shape = dict(zip(letters, draft.shape(node), strict=True))
    return draft.reshape(_ordered(draft, node, letters, kept), tuple(shape.get(c, 1) for c in wanted))


# -- systems ---------------------------------------------------------------------------------------------------------


@rule("solve", ("cholesky", "triangle", "transpose"))
def solve_by_substitution(draft: Draft, call: Call, a: int, b: int) -> int | None:
    """A system with a matrix that is triangular whatever its elements needs no elimination."""
    lower = _triangular(draft, a)
    return None if lower is None else draft.make("triangular_solve", a, b, lower=lower, unit=False, strict=True)


def _triangular(draft: Draft, node: int) -> bool | None:
    """Whether matrices are lower (True) or upper triangular because of what makes them."""
    name, params = draft.name(node), draft.params(node)
    if name == "cholesky":
        return not params["upper"]
    if name == "triangle":
        lower: bool = params["lower"]
        return lower if (params["k"] <= 0 if lower else params["k"] >= 0) else None
    if name == "transpose":
        *batch, row, column = params["axes"]
        if batch == list(range(len(batch))) and row == column + 1:
            inner = _triangular(draft, draft.args(node)[0])
            return None if inner is None else not inner
    return None
