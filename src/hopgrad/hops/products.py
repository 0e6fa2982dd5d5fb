"""Products: matmul, einsum, convolve. Linear in each operand: pushing is the product itself, pulling is written."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad.aval import Aval, aval, broadcast_shapes
from hopgrad.batch import Batch
from hopgrad.errors import DtypeError, ShapeError
from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import Case, Function, Notation, multilinear
from hopgrad.graph.operators import Support, broadcast_to, spread, sum_to
from hopgrad.hops.reduce import any_
from hopgrad.hops.shape import Operand, reshape, slice_axis, transposed
from hopgrad.hops.shape import index as index_


def _common_dtype(name: str, operands: tuple[Aval, ...]) -> np.dtype[Any]:
    dtype = operands[0].dtype
    if any(a.dtype != dtype for a in operands):
        raise DtypeError(f"{name}: operands have dtypes {' and '.join(str(a.dtype) for a in operands)}")
    return dtype


def _matmul_aval(a: Aval, b: Aval) -> Aval:
    inner = a.shape[-1] if a.ndim else None
    other = b.shape[max(b.ndim - 2, 0)] if b.ndim else None
    if inner is None or other is None or inner != other:
        raise ShapeError(f"matmul: shapes {a.shape} and {b.shape} do not fit: inner lengths {inner} and {other}")
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    rows = a.shape[-2:-1] if a.ndim > 1 else ()
    columns = b.shape[-1:] if b.ndim > 1 else ()
    return aval(batch + rows + columns, _common_dtype("matmul", (a, b)))


def _swap(x: Any) -> Any:
    """The matrix transpose."""
    return transposed(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _matrices(a: Any, b: Any, out: Any) -> tuple[Any, Any, Any]:
    """Vectors as one-row and one-column matrices, so that one rule does for all ranks."""
    batch = out.shape[: out.ndim - (a.ndim > 1) - (b.ndim > 1)]
    row = a if a.ndim > 1 else reshape(a, shape=(1, *a.shape))
    column = b if b.ndim > 1 else reshape(b, shape=(*b.shape, 1))
    return row, column, reshape_if(out, (*batch, row.shape[-2], column.shape[-1]))


def reshape_if(x: Any, shape: tuple[int, ...]) -> Any:
    """Reshaped, unless it has the shape already."""
    return x if x.shape == shape else reshape(x, shape=shape)


def _matmul_reach(support: Any, a: Expr, b: Expr, *, index: int) -> Support:
    """A row of a is used if any element of that row of the result is; likewise columns of b."""
    row, column, mask = _matrices(a, b, support)
    operand, axis = (row, -1) if index == 0 else (column, -2)
    touched = any_(mask, axes=(mask.ndim + axis,), keepdims=True)
    wide = (*touched.shape[:-2], *operand.shape[-2:])
    found: Support = reshape_if(sum_to(broadcast_to(touched, wide), operand.shape), (a, b)[index].shape)
    return found


_SAMPLE_FACTORS = [
    Case((2, 3), (3, 4)),
    Case((3,), (3,)),
    Case((2, 3), (3,)),
    Case((3,), (3, 2)),
    Case((2, 2, 3), (3, 2)),
    Case((2, 2, 3), (3,)),
    Case((3,), (2, 3, 2)),
    Case((2, 1, 2, 3), (2, 3, 1)),
    Case((2, 0), (0, 3)),
]


def _matmul_batch(batch: Batch) -> Expr:
    """Vectors as matrices: one row on the left, one column on the right."""
    ranks = [len(batch.single(k)) for k in range(2)]
    ndim = max(2, *ranks)

    def matrices(number: int) -> Expr:
        x = batch.args[number]
        if ranks[number] == 1:
            x = reshape(x, shape=(*x.shape[:-1], 1, x.shape[-1]) if number == 0 else (*x.shape, 1))
        missing = ndim + 1 - x.ndim if batch.along[number] else 0
        return reshape(x, shape=(batch.count, *[1] * missing, *x.shape[1:])) if missing else x

    return batch.shaped(batch.hop(matrices(0), matrices(1)))


@multilinear(np.matmul, Notation("product", "@", "", rule="matrix product"), infer=_matmul_aval, reach=_matmul_reach,
             batch=_matmul_batch, sample=lambda draw: draw(_SAMPLE_FACTORS))  # fmt: skip
def matmul(ct: Any, a: Expr, b: Expr, *, index: int) -> Any:
    """For C = A B: Ā = C̄ Bᵀ and B̄ = Aᵀ C̄, summed over broadcast batch axes."""
    row, column, cotangent = _matrices(a, b, ct)
    if index == 0:
        return reshape_if(sum_to(matmul(cotangent, _swap(column)), row.shape), a.shape)
    return reshape_if(sum_to(matmul(_swap(row), cotangent), column.shape), b.shape)


# -- einsum ----------------------------------------------------------------------------------------------------------


def _einsum(*operands: Any, subscripts: str) -> Any:
    # optimize: three and more operands are contracted pairwise by BLAS instead of in one loop over all indices.
    out = np.einsum(subscripts, *operands, optimize=len(operands) > 2 or "auto")
    return out if isinstance(out, np.ndarray) and out.base is None else np.array(out)


def _split(subscripts: str) -> tuple[list[str], str]:
    left, _, right = subscripts.partition("->")
    return left.split(","), right


def _einsum_aval(*operands: Aval, subscripts: str) -> Aval:
    terms, result = _split(subscripts)
    length: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        if len(term) != operand.ndim:
            raise ShapeError(f"einsum {subscripts!r}: {term!r} does not fit shape {operand.shape}")
        for letter, n in zip(term, operand.shape, strict=True):
            known = length.setdefault(letter, n)
            if known != n and 1 not in (known, n):
                raise ShapeError(f"einsum {subscripts!r}: index {letter} has lengths {known} and {n}")
            length[letter] = max(known, n) if n != 0 and known != 0 else 0
    return aval(tuple(length[c] for c in result), _common_dtype("einsum", operands))


def _einsum_reach(support: Any, *operands: Expr, index: int, subscripts: str) -> Support:
    """An element is used if any element of the result that it enters is."""
    terms, result = _split(subscripts)
    kept = "".join(c for c in result if c in terms[index])
    lost = tuple(k for k, c in enumerate(result) if c not in kept)
    mask = any_(support, axes=lost, keepdims=False) if lost else support
    if len(set(terms[index])) != len(terms[index]):  # a diagonal: elements beside it are not used
        back = f"{terms[index]}->{kept}"
        return spread(mask, lambda m: einsum.body(m, operands[index], index=0, subscripts=back), operands[index].dtype)
    order = sorted(range(len(kept)), key=lambda k: terms[index].index(kept[k]))
    mask = transposed(mask, tuple(order))
    shape = operands[index].shape
    lengths = dict(zip(sorted(kept, key=terms[index].index), mask.shape, strict=True))
    wide = reshape_if(mask, tuple(lengths.get(c, 1) for c in terms[index]))
    lined = tuple(n if c in kept else 1 for c, n in zip(terms[index], shape, strict=True))
    found: Support = broadcast_to(sum_to(wide, lined), shape)
    return found


def _einsum_parts(*operands: Expr, subscripts: str) -> Any:
    """The diagonals of a single operand, picked; then its other indices."""
    (term, *others), result = _split(subscripts)
    if others or len(set(term)) == len(term):
        return einsum(*operands, subscripts=subscripts)
    (x,) = operands
    letters = "".join(dict.fromkeys(term))
    grid = np.ogrid[*(slice(n) for n in (x.shape[term.index(c)] for c in letters))]
    places = [x.builder.constant(grid[letters.index(c)]) for c in term]
    picked = index_(x, *places, items=tuple(Operand(k) for k in range(len(term))))
    return einsum(picked, subscripts=f"{letters}->{result}")


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _einsum_batch(batch: Batch) -> Expr | None:
    """One more index. There are 52 letters."""
    terms, right = _split(batch.params["subscripts"])
    free = next((c for c in _LETTERS if c not in batch.params["subscripts"]), None)
    if free is None:
        return None
    wide = [free * along + term for term, along in zip(terms, batch.along, strict=True)]
    found: Expr = batch.hop(*batch.args, subscripts=f"{','.join(wide)}->{free}{right}")
    return found


_SAMPLE_CONTRACTIONS = [
    Case((2, 3), (3, 2), subscripts="ij,jk->ik"),
    Case((2, 3), subscripts="ij->ji"),
    Case((2, 3), subscripts="ij->"),
    Case((3, 3), subscripts="ii->i"),
    Case((3, 3), subscripts="ii->"),
    Case((2, 2, 2), subscripts="iii->i"),
    Case((2, 3, 2), subscripts="iji->j"),
    Case((2,), (3,), subscripts="i,j->ji"),
    Case((2, 3), (2, 2), subscripts="ij,kl->"),
    Case((3,), (3,), (3,), subscripts="i,i,i->"),
    Case((2, 2, 3), (2, 3), subscripts="bij,bj->bi"),
    Case((2, 1), (3, 2), subscripts="ij,jk->ik"),
    Case((), (2,), subscripts=",i->i"),
]


@multilinear(_einsum, Notation("einsum", "einsum"), infer=_einsum_aval, reach=_einsum_reach,
             parts=_einsum_parts, batch=_einsum_batch, sample=lambda draw: draw(_SAMPLE_CONTRACTIONS))  # fmt: skip
def einsum(ct: Any, *operands: Expr, index: int, subscripts: str) -> Any:
    """The same contraction with the result in the operand's place.

    An index that only this operand has was summed over: its cotangent is spread along it. A repeated index reads
    a diagonal: the cotangent is written there by multiplying with unit matrices.
    """
    terms, result = _split(subscripts)
    operand = operands[index]
    others = [(t, o) for k, (t, o) in enumerate(zip(terms, operands, strict=True)) if k != index]
    mine = terms[index]
    available = set(result).union(*[set(t) for t, _ in others]) if others else set(result)
    factors: list[tuple[str, Any]] = [(result, ct), *others]
    target, seen = "", set()
    free = (c for c in _LETTERS if c not in subscripts)
    sizes = [pair for t, o in zip(terms, operands, strict=True) for pair in zip(t, o.shape, strict=True)]
    length = {c: max(n for d, n in sizes if d == c) for c in mine}
    for letter in mine:
        if letter in seen:
            fresh = next(free)
            unit = operand.builder.constant(np.eye(length[letter], dtype=operand.dtype))
            factors.append((letter + fresh, unit))
            target += fresh
        else:
            seen.add(letter)
            target += letter
            if letter not in available:
                one = operand.builder.constant(np.ones(length[letter], operand.dtype))
                factors.append((letter, one))
    pulled = einsum(*[f for _, f in factors], subscripts=f"{','.join(t for t, _ in factors)}->{target}")
    # An index of length 1 is repeated to meet a longer one: here the operand's own, or another's.
    full = tuple(max(n, m) for n, m in zip(pulled.shape, operand.shape, strict=True))
    return sum_to(broadcast_to(pulled, full), operand.shape)


# -- convolve --------------------------------------------------------------------------------------------------------


def _convolve(a: Any, v: Any, *, start: int, length: int) -> Any:
    n, m = a.size, v.size
    for mode, first, count in (("full", 0, n + m - 1), ("valid", min(n, m) - 1, abs(n - m) + 1)):
        if (start, length) == (first, count):
            return np.convolve(a, v, mode)  # type: ignore[call-overload]  # one of NumPy's words
    back = v[::-1]
    found = np.empty(length, a.dtype)
    for k in range(start, start + length):
        low, high = max(k - m + 1, 0), min(k + 1, n)
        found[k - start] = np.dot(a[low:high], back[m - 1 - k + low : m - 1 - k + high])
    return found


def _convolved(a: Aval, v: Aval, *, start: int, length: int) -> Aval:
    if a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        raise ShapeError(f"convolve: shapes {a.shape} and {v.shape} are not those of two lines")
    # The window of sums that is wanted: all elements enter some of them, so the transposed maps have such windows, too.
    if not 0 <= start < min(a.size, v.size) <= max(a.size, v.size) <= start + length < a.size + v.size:
        raise ShapeError(f"convolve: no window of lines of {a.size} and {v.size} goes from {start} to {start + length}")
    return aval((length,), _common_dtype("convolve", (a, v)))


def _convolve_reach(support: Any, a: Expr, v: Expr, *, index: int, start: int, length: int) -> Support:
    """An element is used if any sum that it enters is."""
    one = np.ones((a, v)[1 - index].shape, a.dtype)
    operands = (None, one) if index == 0 else (one, None)
    found: Support = spread(
        support, lambda m: _pulled(m, *operands, index=index, start=start, size=(a, v)[index].size), a.dtype
    )
    return found


def _pulled(ct: Any, a: Any, v: Any, *, index: int, start: int, size: int) -> Any:
    other = (v, a)[index]
    found = convolve(slice_axis(other, 0, None, None, -1), ct, start=other.size - 1 - start, length=size)
    return found


_SAMPLE_LINES = [
    Case((3,), (2,), start=0, length=4),
    Case((2,), (3,), start=1, length=2),
    Case((4,), (3,), start=1, length=4),
    Case((1,), (1,), start=0, length=1),
]


@multilinear(_convolve, Function("convolve", r"\operatorname{convolve}", "convolution"), infer=_convolved,
             reach=_convolve_reach, sample=lambda draw: draw(_SAMPLE_LINES))  # fmt: skip
def convolve(ct: Any, a: Expr, v: Expr, *, index: int, start: int, length: int) -> Any:
    """Sums of a[i] v[k − i] for k from `start` on; the other line turned round, convolved with the cotangent."""
    return _pulled(ct, a, v, index=index, start=start, size=(a, v)[index].size)
