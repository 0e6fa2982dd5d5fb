"""The functions of ``scipy.linalg``, with SciPy's signatures, made of hops.

Arguments that only say how SciPy may go about it (``overwrite_a``, ``check_finite``, …) are taken, and do nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from hopgrad.graph.builder import Expr
from hopgrad.graph.operators import broadcast_to as to_shape
from hopgrad.hops import elementwise as ew
from hopgrad.hops import fft, products
from hopgrad.hops import functions as fn
from hopgrad.hops import linalg as la
from hopgrad.hops import linalg_functions as lf
from hopgrad.hops import matrices as mx
from hopgrad.hops.linalg_functions import operands
from hopgrad.hops.order import argsort
from hopgrad.hops.shape import slice_axis
from hopgrad.hops.surface import cast, find_builder, join, lift, refuse, refused, surface

_MODULE = "scipy.linalg:"
_PLACES = np.dtype(np.intp)

# -- operands --------------------------------------------------------------------------------------------------------


def _shape_error(x: Expr, square: bool) -> None:
    if x.ndim < 2:
        raise ValueError(f"Expected at least a 2-D array, got one of {x.ndim} dimensions.")
    if square and x.shape[-1] != x.shape[-2]:
        raise ValueError(f"Expected a square matrix, got one of shape {x.shape[-2:]}.")


def _matrices(*values: Any, square: bool = True) -> list[Expr]:
    """Handles of one dtype, in which SciPy computes; all are (stacks of) matrices."""
    found = operands(*values)
    for x in found:
        _shape_error(x, square)
    return found


def _leading(*xs: Expr) -> list[Expr]:
    """Stacks that are as many as the largest ones."""
    lead = np.broadcast_shapes(*[x.shape[:-2] for x in xs])
    return [to_shape(x, (*lead, *x.shape[-2:])) for x in xs]


def _system(a: Any, b: Any) -> tuple[Expr, Expr]:
    x, y = operands(a, b)
    _shape_error(x, square=True)
    if not y.ndim or y.shape[-2 if y.ndim > 1 else 0] != x.shape[-1]:
        raise ValueError(f"incompatible dimensions ({x.shape} and {y.shape})")
    return x, y


def _adjoint(x: Expr) -> Any:
    return la.adjoint(x) if x.dtype.kind == "c" else la.swap(x)


def _from_triangle(x: Expr, lower: bool, hermitian: bool = True) -> Any:
    """The symmetric (or Hermitian) matrix of which a triangle is read."""
    if hermitian or x.dtype.kind != "c":
        return la._mirrored(x, lower)
    return fn.tril(x) + la.swap(fn.tril(x, -1)) if lower else fn.triu(x) + la.swap(fn.triu(x, 1))


def _part(x: Expr, kept: slice, axis: int = 0) -> Any:
    """x[kept] along an axis."""
    return slice_axis(x, axis % x.ndim, kept.start, kept.stop, 1)


# -- systems ---------------------------------------------------------------------------------------------------------

_STRUCTURES = {
    "gen": "general", "sym": "symmetric", "her": "hermitian", "pos": "positive definite",
    "diagonal": "diagonal", "tridiagonal": "tridiagonal", "banded": "banded",
    "upper triangular": "upper triangular", "lower triangular": "lower triangular",
}  # fmt: skip


def _structured(x: Expr, assume_a: Any, lower: bool) -> Any:
    """The matrix that SciPy reads, of the elements that it reads."""
    if assume_a is None or assume_a in ("gen", "general", "banded"):
        return x
    if assume_a in ("sym", "symmetric"):
        return _from_triangle(x, lower, hermitian=False)
    if assume_a in ("her", "hermitian", "pos", "positive definite"):
        return _from_triangle(x, lower)
    if assume_a == "diagonal":
        return fn.tril(fn.triu(x))
    if assume_a == "tridiagonal":
        return fn.tril(fn.triu(x, -1), 1)
    if assume_a in ("upper triangular", "lower triangular"):
        return fn.triu(x) if assume_a.startswith("upper") else fn.tril(x)
    known = sorted({*_STRUCTURES, *_STRUCTURES.values()})
    raise ValueError(f"{assume_a} is not a recognized matrix structure: it may be one of {', '.join(known)}")


def _is_definite(assume_a: Any) -> bool:
    return assume_a in ("pos", "positive definite")


def _is_triangular(assume_a: Any) -> bool:
    return isinstance(assume_a, str) and assume_a.endswith("triangular")


@surface(_MODULE + "solve", contiguous=True)
def solve(a: Any, b: Any, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False,
          check_finite: bool = True, assume_a: Any = None, transposed: bool = False) -> Expr:  # fmt: skip
    """``scipy.linalg.solve``: x with a x = b, or with the transposed matrix.

    With `assume_a` only a part of the matrix is read, and the gradient lies in that part: of "sym", "her" and "pos" a
    triangle (the lower one with `lower`). From A X = B: A dX = dB − dA X. Source: Giles, Collected matrix derivative
    results, 2008, section 2.3.

    Raises:
        LinAlgError: the matrix is singular, or not positive definite though `assume_a` says so.
    """
    x, y = _system(a, b)
    if transposed and x.dtype.kind == "c":
        raise NotImplementedError("scipy.linalg.solve can currently not solve a^T x = b or a^H x = b for complex a.")
    whole = _structured(x, assume_a, lower)
    if _is_definite(assume_a):
        return _cho_solve(la.cholesky(x, upper=not lower), lower, y)
    if _is_triangular(assume_a):
        return _solve_triangle(whole, y, assume_a.startswith("lower"), int(transposed))
    return la.solve(la.swap(whole) if transposed else whole, y)


@surface(_MODULE + "inv", contiguous=True)
def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True, *, assume_a: Any = None,
        lower: bool = False) -> Expr:  # fmt: skip
    """``scipy.linalg.inv``: the inverse. From A X = 1: dX = −X dA X (Giles 2008, section 2.2.3).

    Raises:
        LinAlgError: the matrix is singular.
    """
    (x,) = _matrices(a)
    return la.inv(_structured(x, assume_a, lower), strict=True)


@surface(_MODULE + "det")
def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Expr:
    """``scipy.linalg.det``: the determinant, whose gradient are the cofactors, of singular matrices too."""
    (x,) = _matrices(a)
    return la.det(x)


def _solve_triangle(x: Expr, y: Expr, lower: bool, trans: int, unit: bool = False) -> Any:
    if trans:
        x, lower = (la.swap(x) if trans == 1 else _adjoint(x)), not lower
    return la.triangular_solve(x, y, lower=lower, unit=unit, strict=True)


def _trans(trans: Any) -> int:
    found: dict[Any, int] = {0: 0, 1: 1, 2: 2, "N": 0, "T": 1, "C": 2}
    if trans not in found:
        raise ValueError(f"trans is {trans!r}, but may be 0, 1, 2, 'N', 'T' or 'C'")
    return found[trans]


@surface(_MODULE + "solve_triangular", contiguous=True)
def solve_triangular(a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False,
                     overwrite_b: bool = False, check_finite: bool = True) -> Expr:  # fmt: skip
    """``scipy.linalg.solve_triangular``: x with a x = b, of which only one triangle of `a` is read.

    The gradient lies in that triangle; with `unit_diagonal` beside the diagonal. As `solve` otherwise.

    Raises:
        LinAlgError: the diagonal has a zero.
    """
    x, y = _system(a, b)
    return _solve_triangle(x, y, bool(lower), _trans(trans), bool(unit_diagonal))


@surface(_MODULE + "solve_banded")
def solve_banded(l_and_u: Any, ab: Any, b: Any, overwrite_ab: bool = False, overwrite_b: bool = False,
                 check_finite: bool = True) -> Expr:  # fmt: skip
    """``scipy.linalg.solve_banded``: x with a x = b, of a matrix given by its diagonals.

    Takes time and memory as the diagonals do, and so does the derivative: A dX = dB − dA X. Stacks are refused.

    Raises:
        LinAlgError: the matrix is singular.
    """
    below, above = (operator.index(k) for k in l_and_u)
    band, right = operands(ab, b)
    _one_band(band, right)
    if band.shape[0] != below + above + 1:
        raise ValueError(
            f"invalid values for the number of lower and upper diagonals: l+u+1 ({below + above + 1}) does not equal"
            f" ab.shape[0] ({band.shape[0]})"
        )
    return mx.solve_banded(band, right, below=below, definite=False, strict=True)


def _one_band(band: Expr, right: Expr) -> None:
    if band.ndim > 2 or right.ndim > 2:
        raise refused("a banded system of several matrices", "solve one at a time")
    if band.ndim < 2 or right.ndim < 1 or band.shape[-1] != right.shape[0]:
        raise ValueError("shapes of ab and b are not compatible.")


@surface(_MODULE + "solveh_banded")
def solveh_banded(ab: Any, b: Any, overwrite_ab: bool = False, overwrite_b: bool = False, lower: bool = False,
                  check_finite: bool = True) -> Expr:  # fmt: skip
    """``scipy.linalg.solveh_banded``: as `solve_banded`, for a positive definite matrix given by half of its diagonals.

    Raises:
        LinAlgError: the matrix is not positive definite.
    """
    band, right = operands(ab, b)
    _one_band(band, right)
    if band.dtype.kind == "c":
        raise refused("scipy.linalg.solveh_banded of complex numbers", "use scipy.linalg.solve")
    count = band.shape[0] - 1
    n = band.shape[1]
    rows = [fn.take(band, k, 0) for k in range(count + 1)]
    # Diagonal number k, above and below, starts at column k in the rows above and at column 0 in those below.
    zero = band.builder.constant(0, band.dtype)
    first = [rows[k] if lower else rows[count - k] for k in range(count + 1)]

    def rolled(x: Expr, k: int, right: bool) -> Any:
        if k >= n:
            return to_shape(zero, (n,))
        pad = to_shape(zero, (k,))
        kept = [pad, _part(x, slice(0, n - k))] if right else [_part(x, slice(k, None)), pad]
        return fn.concatenate(kept) if k else x

    above = [rolled(first[k], k, True) if lower else first[k] for k in range(count, 0, -1)]
    below = [first[k] if lower else rolled(first[k], k, False) for k in range(1, count + 1)]
    whole = fn.stack([*above, first[0], *below])
    return mx.solve_banded(whole, right, below=count, definite=True, strict=True)


@surface(_MODULE + "solve_toeplitz")
def solve_toeplitz(c_or_cr: Any, b: Any, check_finite: bool = True) -> Expr:
    """``scipy.linalg.solve_toeplitz``: x with T x = b; the matrix is written out (n² memory)."""
    c, r = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr, None)
    x, y = _system(toeplitz(*_of_one_graph(c, r, b)[:2]), b)
    return la.solve(x, y)


def _of_one_graph(*values: Any) -> list[Any]:
    """The same values, handles wherever there are numbers."""
    builder = find_builder(values)
    return [None if v is None else lift(v, builder) for v in values]


@surface(_MODULE + "matmul_toeplitz")
def matmul_toeplitz(c_or_cr: Any, x: Any, check_finite: bool = False, workers: Any = None) -> Expr:
    """``scipy.linalg.matmul_toeplitz``: T x, by Fourier transforms of a circulant matrix in which T lies."""
    c, r = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr, None)
    c, r, x = _of_one_graph(c, r, x)
    c = fn.ravel(c)
    r = fn.ravel(ew.conj(c) if r is None else r)
    c, r, x = operands(c, r, x)
    vector = x.ndim == 1
    wide = fn.reshape(x, (-1, 1)) if vector else x
    rows, columns = c.shape[0], r.shape[0]
    if x.ndim > 2 or wide.shape[0] != columns:
        raise ValueError(f"incompatible dimensions: the matrix has {columns} columns, x is of shape {x.shape}")
    ring = fn.concatenate([c, fn.flip(_part(r, slice(1, None)))])
    total = rows + columns - 1
    ahead, back = (fft.transform, fft.inverse) if c.dtype.kind == "c" else (fft.real_transform, fft.real_inverse)
    found = back(fn.expand_dims(ahead(ring, total), 1) * ahead(wide, total, 0), total, 0)
    found = _part(found, slice(0, rows))
    return fn.reshape(found, (rows,)) if vector else found


@surface(_MODULE + "solve_circulant")
def solve_circulant(c: Any, b: Any, singular: str = "raise", tol: Any = None, caxis: int = -1, baxis: int = 0,
                    outaxis: int = 0) -> Expr:  # fmt: skip
    """``scipy.linalg.solve_circulant``: x with C x = b, by Fourier transforms. Singular matrices give infinities."""
    if singular != "raise":
        raise refused(f"scipy.linalg.solve_circulant(singular={singular!r})", "use scipy.linalg.lstsq")
    x, y = operands(c, b)
    x, y = fn.moveaxis(x, caxis, -1), fn.moveaxis(y, baxis, -1)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"Shapes of c {x.shape} and b {y.shape} are incompatible")
    found = fft.inverse(fft.transform(y) / fft.transform(x))
    if x.dtype.kind != "c":
        found = ew.real(found)
    return fn.moveaxis(found, -1, outaxis)


# -- norms -----------------------------------------------------------------------------------------------------------


@surface(_MODULE + "norm")
def norm(a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, check_finite: bool = True) -> Expr:
    """``scipy.linalg.norm``: that of a vector or matrix, as ``np.linalg.norm``; 0 has the gradient 0."""
    return lf.norm(a, ord, axis, keepdims)


# -- pseudoinverses --------------------------------------------------------------------------------------------------


def _least(x: Expr, atol: Any, rtol: Any) -> float:
    if any(isinstance(v, Expr) for v in (atol, rtol)):
        raise refused("a traced tolerance of a pseudoinverse", "give it a plain number")
    if atol:
        raise refused("scipy.linalg.pinv(atol=…)", "say rtol, relative to the largest singular value")
    return float(max(x.shape[-2:]) * np.finfo(x.dtype).eps if rtol is None else rtol)


@surface(_MODULE + "pinv", contiguous=True)
def pinv(a: Any, *, atol: Any = None, rtol: Any = None, return_rank: bool = False, check_finite: bool = True) -> Any:
    """``scipy.linalg.pinv``: the pseudoinverse. Source: Golub and Pereyra, 1973.

    Where the rank changes it jumps: the derivative is that among matrices of the same rank.
    """
    (x,) = _matrices(a, square=False)
    least = _least(x, atol, rtol)
    found = la.pinv(x, rcond=least)
    return (found, lf.matrix_rank(x, rtol=least)) if return_rank else found


@surface(_MODULE + "pinvh", contiguous=True)
def pinvh(a: Any, atol: Any = None, rtol: Any = None, lower: bool = True, return_rank: bool = False,
          check_finite: bool = True) -> Any:  # fmt: skip
    """``scipy.linalg.pinvh``: the pseudoinverse of a Hermitian matrix, of which a triangle is read."""
    (x,) = _matrices(a)
    return pinv(_from_triangle(x, lower), atol=atol, rtol=rtol, return_rank=return_rank)


def lstsq(a: Any, b: Any, cond: Any = None, *, rank: int = -1) -> tuple[Expr, ...]:
    """Solution, least squares and singular values for a matrix of this rank."""
    x, y = operands(a, b)
    if x.ndim != 2 or y.ndim not in (1, 2):
        raise refused("scipy.linalg.lstsq of several matrices", "solve one at a time")
    if x.shape[0] != y.shape[0]:
        raise ValueError(f"Shape mismatch: a and b should have the same number of rows ({x.shape[0]} != {y.shape[0]}).")
    least = float(np.finfo(x.dtype).eps if cond is None else cond)
    found: tuple[Expr, ...] = la.LSTSQ(x, y, rcond=least, rank=rank)
    solution, squares, values = found
    if y.ndim == 1 and squares.size:
        squares = fn.reshape(squares, ())
    return solution, squares, values


def lstsq_rank(a: Any, b: Any, cond: Any = None) -> Expr:
    """The rank that ``scipy.linalg.lstsq`` tells."""
    x, y = operands(a, b)
    least = float(np.finfo(x.dtype).eps if cond is None else cond)
    return la.lstsq_rank(x, y, rcond=least, dtype=np.dtype(np.int32))


# -- Cholesky --------------------------------------------------------------------------------------------------------


@surface(_MODULE + "cholesky", contiguous=True)
def cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Expr:
    """``scipy.linalg.cholesky``: the triangle U with UᴴU = a, or L with L Lᴴ = a; one triangle of `a` is read.

    Source: Murray, Differentiation of the Cholesky decomposition, 2016.

    Raises:
        LinAlgError: the matrix is not positive definite.
    """
    (x,) = _matrices(a)
    return la.cholesky(x, upper=not lower)


@surface(_MODULE + "cho_factor", contiguous=True)
def cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """``scipy.linalg.cho_factor``: what `cho_solve` needs; the triangle that is not used is that of `a`."""
    (x,) = _matrices(a)
    rest = fn.triu(x, 1) if lower else fn.tril(x, -1)
    return la.cholesky(x, upper=not lower) + rest, bool(lower)


def _cho_solve(c: Expr, lower: bool, y: Expr) -> Any:
    first = _solve_triangle(c, y, lower, 0 if lower else 2)
    return _solve_triangle(c, first, lower, 2 if lower else 0)


@surface(_MODULE + "cho_solve", contiguous=True)
def cho_solve(c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Expr:
    """``scipy.linalg.cho_solve``: x with a x = b, by the factor of `cho_factor`."""
    c, lower = c_and_lower
    x, y = _system(c, b)
    return _cho_solve(x, bool(lower), y)


# -- LU --------------------------------------------------------------------------------------------------------------


@surface(_MODULE + "lu_factor", contiguous=True)
def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """``scipy.linalg.lu_factor``: triangles L and U in one matrix, and the pivots, which are integers.

    With the order of rows fixed: L⁻¹ dA U⁻¹ is L⁻¹ dL, below the diagonal, plus dU U⁻¹ (Giles 2008, by the same way).
    """
    (x,) = _matrices(a, square=False)
    packed, _, pivots = mx.LU(x)
    return packed, pivots


@surface(_MODULE + "lu_solve", contiguous=True)
def lu_solve(lu_and_piv: Any, b: Any, trans: Any = 0, overwrite_b: bool = False, check_finite: bool = True) -> Expr:
    """``scipy.linalg.lu_solve``: x with a x = b, by the factors of `lu_factor`; `trans` of the transposed matrix."""
    packed, pivots = lu_and_piv
    x, y = _system(packed, b)
    pivots = lift(pivots, x.builder)
    order = mx.order_of_pivots(pivots, dtype=_PLACES)
    vector = y.ndim == 1
    wide = fn.expand_dims(y, -1) if vector else y
    lead = np.broadcast_shapes(order.shape[:-1], wide.shape[:-2])
    places = to_shape(fn.expand_dims(order, -1), (*lead, order.shape[-1], 1))
    trans = _trans(trans)

    def moved(v: Expr, places: Expr) -> Any:
        v = to_shape(v, (*lead, *v.shape[-2:]))
        return fn.take_along_axis(v, to_shape(places, v.shape), -2)

    if not trans:
        found = la.triangular_solve(x, moved(wide, places), lower=True, unit=True, strict=True)
        found = la.triangular_solve(x, found, lower=False, unit=False, strict=True)
    else:
        turned = la.swap(x) if trans == 1 else _adjoint(x)
        found = la.triangular_solve(turned, wide, lower=True, unit=False, strict=True)
        found = la.triangular_solve(turned, found, lower=False, unit=True, strict=True)
        found = moved(found, _argsort(places, -2))
    return fn.squeeze(found, -1) if vector else found


@surface(_MODULE + "lu", contiguous=True)
def lu(a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True,
       p_indices: bool = False) -> Any:  # fmt: skip
    """``scipy.linalg.lu``: P, L and U with a = P L U, of rectangular matrices too. P does not change."""
    (x,) = _matrices(a, square=False)
    packed, order, _ = mx.LU(x)
    left, right = mx.unit_lower(packed), mx.upper(packed)
    places = _argsort(order, -1)
    if permute_l:
        return fn.take_along_axis(left, fn.expand_dims(places, -1), -2), right
    if p_indices:
        return cast(places, np.int32), left, right
    m = x.shape[-2]
    rows = ew.equal(fn.expand_dims(places, -1), x.builder.constant(np.arange(m)))
    return cast(rows, ew.parts_of(x.dtype)), left, right


def _argsort(x: Expr, axis: int) -> Any:
    return argsort(x, axis=axis % x.ndim, kind=None, dtype=_PLACES)


# -- QR --------------------------------------------------------------------------------------------------------------


@surface(_MODULE + "qr", contiguous=True)
def qr(a: Any, overwrite_a: bool = False, lwork: Any = None, mode: str = "full", pivoting: bool = False,
       check_finite: bool = True) -> Any:  # fmt: skip
    """``scipy.linalg.qr``: Q with orthonormal columns and the triangle R with a = Q R.

    With `pivoting`, columns in an order that is given back as integers. Of a matrix with more rows than columns,
    mode="full" is refused: the columns that Q has too many are not determined. Source: Walter and Lehmann, Algorithmic
    differentiation of linear algebra functions, 2012.
    """
    if mode not in ("full", "r", "economic", "raw"):
        raise ValueError("Mode argument should be one of ['full', 'r', 'economic', 'raw']")
    (x,) = _matrices(a, square=False)
    m, n = x.shape[-2:]
    if mode == "raw" or (mode == "full" and m > n):
        raise refused(f"scipy.linalg.qr(mode={mode!r})", "mode='economic' and 'r' are")
    order: tuple[Any, ...] = ()
    if pivoting:
        places = mx.column_order(x, dtype=_PLACES)
        x = fn.take_along_axis(x, to_shape(fn.expand_dims(places, -2), x.shape), -1)
        order = (cast(places, np.int32),)
    q, r = la.QR(x)
    if mode == "r":
        if m > n:
            r = fn.concatenate([r, to_shape(r.builder.constant(0, r.dtype), (*r.shape[:-2], m - n, n))], -2)
        return (r, *order)
    return (q, r, *order)


# -- eigenvalues -----------------------------------------------------------------------------------------------------


def _standard(x: Expr, b: Any, lower: bool, type: int) -> tuple[Any, Callable[[Any], Any]]:
    """The matrix with the same eigenvalues as a generalized problem, and the way back to its vectors."""
    (y,) = operands(b)
    dtype = np.result_type(x.dtype, y.dtype)
    x, y = cast(x, dtype), cast(y, dtype)
    if y.shape != x.shape:
        raise ValueError(f"wrong b dimensions {y.shape}, should be {x.shape}")
    if type not in (1, 2, 3):
        raise ValueError('"type" keyword only accepts 1, 2, and 3.')
    factor = la.cholesky(y, upper=not lower)
    if not lower:
        factor = _adjoint(factor)
    whole = _from_triangle(x, lower)

    def ahead(m: Any) -> Any:
        return la.triangular_solve(factor, m, lower=True, unit=False, strict=False)

    def back(m: Any) -> Any:
        return la.triangular_solve(_adjoint(factor), m, lower=False, unit=False, strict=False)

    if type == 1:
        return ahead(_adjoint(ahead(whole))), back
    inner = products.matmul(products.matmul(_adjoint(factor), whole), factor)
    return inner, (back if type == 2 else lambda m: products.matmul(factor, m))


def _chosen(subset_by_index: Any, subset_by_value: Any, n: int) -> slice:
    if subset_by_value is not None:
        raise refused("scipy.linalg.eigh(subset_by_value=…)", "take those that you need of all")
    if subset_by_index is None:
        return slice(None)
    low, high = (operator.index(k) for k in subset_by_index)
    if not 0 <= low <= high < n:
        raise ValueError(
            "Requested eigenvalue indices are not valid. Valid range is "
            f"[0, {n - 1}] and start <= end, but start={low}, end={high} is given"
        )
    return slice(low, high + 1)


@surface(_MODULE + "eigh", contiguous=True)
def eigh(a: Any, b: Any = None, *, lower: bool = True, eigvals_only: bool = False, overwrite_a: bool = False,
         overwrite_b: bool = False, type: int = 1, check_finite: bool = True, subset_by_index: Any = None,
         subset_by_value: Any = None, driver: Any = None) -> Any:  # fmt: skip
    """``scipy.linalg.eigh``: eigenvalues and -vectors of a Hermitian matrix, or of a pair of these.

    A triangle of each is read, so gradients lie there. A pair is turned into one matrix by the Cholesky factor of `b`,
    as LAPACK does it. Equal eigenvalues: the vectors have no derivative. Source: Giles 2008, section 3.1.

    Raises:
        LinAlgError: `b` is not positive definite.
    """
    builder = find_builder([a, b])
    (x,) = _matrices(lift(a, builder))
    kept = _chosen(subset_by_index, subset_by_value, x.shape[-1])
    if b is not None:
        inner, back = _standard(x, lift(b, builder), lower, type)
        w, v = la.EIGH(inner, lower=lower)
        if eigvals_only:
            return _part(w, kept, -1)
        return _part(w, kept, -1), _part(back(v), kept, -1)
    if eigvals_only:
        return _part(la.eigvalsh(x, lower=bool(lower)), kept, -1)
    w, v = mx.EIGH_BY(x, lower=bool(lower), driver=driver or "")
    return _part(w, kept, -1), _part(v, kept, -1)


@surface(_MODULE + "eigvalsh")
def eigvalsh(a: Any, b: Any = None, *, lower: bool = True, overwrite_a: bool = False, overwrite_b: bool = False,
             type: int = 1, check_finite: bool = True, subset_by_index: Any = None, subset_by_value: Any = None,
             driver: Any = None) -> Any:  # fmt: skip
    """``scipy.linalg.eigvalsh``: the eigenvalues alone; see `eigh`."""
    return eigh(a, b, lower=lower, eigvals_only=True, type=type, subset_by_index=subset_by_index,
                subset_by_value=subset_by_value)  # fmt: skip


def eigenpairs(
    a: Any,
    b: Any = None,
    left: bool = False,
    right: bool = True,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    homogeneous_eigvals: bool = False,
) -> Any:
    """Complex eigenvalues and -vectors of any matrix."""
    _only_standard(b, homogeneous_eigvals)
    if left:
        raise refused("scipy.linalg.eig(left=True)", "they are the rows of the inverse of those on the right")
    (x,) = _matrices(a)
    return tuple(la.EIG(x)) if right else la.eigvals(x)


def _only_standard(b: Any, homogeneous: bool) -> None:
    if b is not None:
        raise refused("scipy.linalg.eig of two matrices", "give it scipy.linalg.solve(b, a)")
    if homogeneous:
        raise refused("scipy.linalg.eig(homogeneous_eigvals=True)", "leave it out")


@surface(_MODULE + "eigvals")
def eigvals(a: Any, b: Any = None, overwrite_a: bool = False, check_finite: bool = True,
            homogeneous_eigvals: bool = False) -> Expr:  # fmt: skip
    """``scipy.linalg.eigvals``: the eigenvalues of any matrix, complex; equal ones have no derivative."""
    _only_standard(b, homogeneous_eigvals)
    (x,) = _matrices(a)
    return la.eigvals(x)


@surface(_MODULE + "eigvalsh_tridiagonal")
def eigvalsh_tridiagonal(d: Any, e: Any, select: str = "a", select_range: Any = None, check_finite: bool = True,
                         tol: float = 0.0, lapack_driver: str = "auto") -> Expr:  # fmt: skip
    """``scipy.linalg.eigvalsh_tridiagonal``: by the full matrix."""
    if select not in ("a", "i", 0, 2):
        raise refused(f"scipy.linalg.eigvalsh_tridiagonal(select={select!r})", "select 'a' or 'i'")
    x, y = operands(d, e)
    whole = fn.diag(x) + fn.diag(y, -1)
    found = la.eigvalsh(whole, lower=True)
    kept = slice(None) if select in ("a", 0) else _chosen(select_range, None, x.shape[0])
    return _part(found, kept, -1)


# -- singular values -------------------------------------------------------------------------------------------------


@surface(_MODULE + "svd", contiguous=True)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, overwrite_a: bool = False,
        check_finite: bool = True, lapack_driver: str = "gesdd") -> Any:  # fmt: skip
    """``scipy.linalg.svd``: U, s and Vᴴ. Equal singular values: the vectors have no derivative (Giles 2008, 3.2)."""
    if lapack_driver not in ("gesdd", "gesvd"):
        raise ValueError(f'lapack_driver must be "gesdd" or "gesvd", not "{lapack_driver}"')
    (x,) = _matrices(a, square=False)
    found = lf.svd(x, full_matrices, compute_uv)
    return tuple(found) if isinstance(found, tuple) else found


@surface(_MODULE + "svdvals")
def svdvals(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Expr:
    """``scipy.linalg.svdvals``: the singular values; a zero one has the derivative 0, the least subgradient."""
    (x,) = _matrices(a, square=False)
    return la.singular_values(x)


@surface(_MODULE + "diagsvd")
def diagsvd(s: Any, M: int, N: int) -> Expr:
    """``scipy.linalg.diagsvd``: the rectangular matrix with s on its diagonal."""
    return _arranged("diagsvd", s, given=(M, N))


@surface(_MODULE + "polar", contiguous=True)
def polar(a: Any, side: str = "right") -> Any:
    """``scipy.linalg.polar``: U with orthonormal columns (or rows) and P with a = U P, or a = P U on the left side.

    Equal singular values do no harm: P Ω + Ω P = Uᴴ dA − dAᴴ U gives dU. Source: Higham, Functions of Matrices, 2008,
    chapter 8. Of matrices without full rank U has no derivative.
    """
    if side not in ("right", "left"):
        raise ValueError("`side` must be either 'right' or 'left'")
    (x,) = _matrices(a, square=False)
    wide = x.shape[-2] < x.shape[-1]
    u = _adjoint(mx.unitary_factor(_adjoint(x))) if wide else mx.unitary_factor(x)
    return u, products.matmul(_adjoint(u), x) if side == "right" else products.matmul(x, _adjoint(u))


@surface(_MODULE + "orthogonal_procrustes", contiguous=True)
def orthogonal_procrustes(A: Any, B: Any, check_finite: bool = True) -> Any:
    """``scipy.linalg.orthogonal_procrustes``: the orthogonal R with the least ‖A R − B‖, and a sum of singular values.

    R is the unitary factor of AᴴB; see `polar`.
    """
    x, y = _matrices(A, B, square=False)
    if x.shape != y.shape:
        raise ValueError(f"the shapes of A and B differ ({x.shape} vs {y.shape})")
    inner = products.matmul(_adjoint(x), y)
    return mx.unitary_factor(inner), fn.sum(la.singular_values(inner), -1)


# -- functions of matrices -------------------------------------------------------------------------------------------


def _squares_only(a: Any) -> Expr:
    (x,) = operands(a)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise LinAlgError("Last 2 dimensions of the array must be square")
    return x


@surface(_MODULE + "expm", contiguous=True)
def expm(A: Any) -> Expr:
    """``scipy.linalg.expm``: the exponential, by Padé approximation, scaling and squaring (Al-Mohy and Higham, 2009).

    The derivative in the direction E is the upper right block of the exponential of [[A, E], [0, A]], of any order.
    Source: Mathias, A chain rule for matrix functions and applications, 1996; Higham, Functions of Matrices, 2008, 3.2.
    """
    return mx.expm(_squares_only(A))


def _circular(A: Any) -> tuple[Any, Any]:
    """Cosine and sine, from exp(iA)."""
    x = _squares_only(A)
    if x.dtype.kind != "c":
        found = mx.expm(ew.cartesian(x.builder.constant(np.zeros(x.shape, x.dtype)), x))
        return ew.real(found), ew.imag(found)
    ahead, back = mx.expm(1j * x), mx.expm(-1j * x)
    return 0.5 * (ahead + back), -0.5j * (ahead - back)


def _hyperbolic(A: Any) -> tuple[Any, Any]:
    """Their hyperbolic sisters."""
    x = _squares_only(A)
    ahead, back = mx.expm(x), mx.expm(-x)
    return 0.5 * (ahead + back), 0.5 * (ahead - back)


def _of_exponentials(name: str, text: str, function: Callable[[Any], Any]) -> None:
    def adapter(A: Any) -> Any:
        return function(A)

    adapter.__name__ = name
    adapter.__doc__ = f"""``scipy.linalg.{name}``: {text} of a matrix, made of exponentials as in SciPy; see `expm`."""
    surface(_MODULE + name, contiguous=True)(adapter)


def _ratio(of: Callable[[Any], tuple[Any, Any]]) -> Callable[[Any], Any]:
    def function(A: Any) -> Any:
        below, above = of(A)
        return la.solve(below, above)

    return function


_of_exponentials("cosm", "the cosine", lambda A: _circular(A)[0])
_of_exponentials("sinm", "the sine", lambda A: _circular(A)[1])
_of_exponentials("tanm", "the tangent", _ratio(_circular))
_of_exponentials("coshm", "the hyperbolic cosine", lambda A: _hyperbolic(A)[0])
_of_exponentials("sinhm", "the hyperbolic sine", lambda A: _hyperbolic(A)[1])
_of_exponentials("tanhm", "the hyperbolic tangent", _ratio(_hyperbolic))


def is_real(A: Any, name: str, power: Any) -> Expr:
    """Whether SciPy gives real numbers."""
    found: Expr = mx.is_real(_squares_only(A), function=name, power=0.0 if power is None else float(power))
    return found


def by_values(A: Any, name: str, power: Any, turned: bool) -> Any:
    """`logm`, `sqrtm` or a power; `turned` for real matrices with negative eigenvalues, which lie on the cut."""
    x = _squares_only(A)
    if turned:
        x = cast(x, ew.complex_of(x.dtype))
    if name == "sqrtm":
        return mx.sqrtm(x)
    if not turned:
        return mx.logm(x) if name == "logm" else mx.matrix_power(x, power=float(power))
    angle = mx.cut_angle(x)
    zero = angle.builder.constant(np.zeros(angle.shape, angle.dtype))
    phase = fn.expand_dims(ew.cartesian(zero, angle), (-1, -2))
    moved = ew.exp(-phase) * x
    if name == "logm":
        return mx.logm(moved) + phase * np.eye(x.shape[-1], dtype=x.dtype)
    return mx.matrix_power(moved, power=float(power)) * ew.exp(phase * x.builder.constant(float(power), x.dtype))


@surface(_MODULE + "signm", contiguous=True)
def signm(A: Any) -> Expr:
    """``scipy.linalg.signm``: the sign of a matrix, A over the root of A² (Higham, Functions of Matrices, 2008, 5.1).

    Eigenvalues on the imaginary axis have no sign: NaN.
    """
    x = _squares_only(A)
    found: Expr = la.solve(mx.sqrtm(products.matmul(x, x)), x)
    return found


@surface(_MODULE + "expm_frechet", contiguous=True)
def expm_frechet(A: Any, E: Any, method: Any = None, compute_expm: bool = True, check_finite: bool = True) -> Any:
    """``scipy.linalg.expm_frechet``: the exponential of A, and its derivative in the direction E, by block matrices."""
    if method not in (None, "SPS", "blockEnlarge"):
        raise ValueError(f"Unknown implementation {method}")
    x, e = (_squares_only(v) for v in operands(A, E))
    if x.shape[-2:] != e.shape[-2:]:
        raise ValueError("expected A and E to be the same shape")
    both = mx.expm(mx._blocks(*_leading(x, e)))
    n = x.shape[-1]
    change = mx._corner(both)
    return (_part(_part(both, slice(0, n), -2), slice(0, n), -1), change) if compute_expm else change


# -- matrix equations ------------------------------------------------------------------------------------------------


@surface(_MODULE + "solve_sylvester", contiguous=True)
def solve_sylvester(a: Any, b: Any, q: Any) -> Expr:
    """``scipy.linalg.solve_sylvester``: X with a X + X b = q. Its derivative is such an equation as well.

    Source: Bartels and Stewart, 1972. Where an eigenvalue of `a` is one of −`b`, there is no solution: NaN.
    """
    x, y, z = operands(a, b, q)
    for m in (x, y):
        _shape_error(m, square=True)
    if z.ndim < 2 or z.shape[-2:] != (x.shape[-1], y.shape[-1]):
        raise ValueError(f"Shapes {x.shape}, {y.shape} and {z.shape} of a, b and q do not fit")
    return mx.sylvester(*_leading(x, y, z))


def _lyapunov(a: Any, q: Any) -> list[Expr]:
    x, y = operands(a, q)
    for m in (x, y):
        _shape_error(m, square=True)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError("Matrix a and q should have the same shape.")
    return _leading(x, y)


def _continuous_lyapunov(a: Any, q: Any) -> Expr:
    """``scipy.linalg.solve_continuous_lyapunov``: X with a X + X aᴴ = q, a case of `solve_sylvester`."""
    x, y = _lyapunov(a, q)
    return mx.sylvester(x, _adjoint(x), y)


surface(_MODULE + "solve_continuous_lyapunov", _MODULE + "solve_lyapunov", contiguous=True)(_continuous_lyapunov)


@surface(_MODULE + "solve_discrete_lyapunov", contiguous=True)
def solve_discrete_lyapunov(a: Any, q: Any, method: Any = None) -> Expr:
    """``scipy.linalg.solve_discrete_lyapunov``: X with X = a X aᴴ + q, by the method that SciPy takes."""
    method = method if method is None else method.lower()
    if method not in (None, "direct", "bilinear"):
        raise ValueError(f"Unknown solver {method}")
    x, y = _lyapunov(a, q)
    found: Expr = mx.stein(x, y, method)
    return found


def _riccati(name: str, discrete: bool) -> None:
    def function(a: Any, b: Any, q: Any, r: Any, e: Any = None, s: Any = None, balanced: bool = True) -> Expr:
        if e is not None or s is not None:
            raise refused(f"scipy.linalg.{name} with e or s", "they can be put into a, b and q")
        xs = operands(a, b, q, r)
        if any(x.dtype.kind == "c" for x in xs):
            raise refused(f"scipy.linalg.{name} of complex numbers")
        if any(x.ndim != 2 for x in xs):
            raise refused(f"scipy.linalg.{name} of several matrices", "solve one at a time")
        (found,) = mx.RICCATI(*xs, discrete=discrete)
        result: Expr = found
        return result

    function.__name__ = name
    function.__doc__ = f"""``scipy.linalg.{name}``: the stabilizing solution of the algebraic Riccati equation.

    For real matrices, without `e` and `s`. Its derivative solves an equation of Lyapunov with the closed loop's matrix;
    gradients by `q` and `r` are those among symmetric ones, and symmetric.

    Raises:
        LinAlgError: there is no such solution.
    """
    surface(_MODULE + name, contiguous=True)(function)


_riccati("solve_continuous_are", discrete=False)
_riccati("solve_discrete_are", discrete=True)

# -- matrices of given form ------------------------------------------------------------------------------------------


def _arranged(name: str, *values: Any, given: Sequence[Any] = ()) -> Expr:
    """What a function of SciPy makes that puts elements into places, and zeros beside them.

    It is asked where to by giving it the elements' numbers.
    """
    import scipy.linalg

    xs = join(values)
    numbers, count = [], 1
    for x in xs:
        numbers.append(np.arange(count, count + x.size).reshape(x.shape))
        count += x.size
    places = np.asarray(getattr(scipy.linalg, name)(*numbers, *given)).astype(np.intp)
    zero = xs[0].builder.constant(np.zeros(1, xs[0].dtype))
    return fn.take(fn.concatenate([zero, *[fn.reshape(x, (x.size,)) for x in xs]]), places)


@surface(_MODULE + "block_diag")
def block_diag(*arrs: Any) -> Expr:
    """``scipy.linalg.block_diag``: matrices along the diagonal, and zeros beside them."""
    return _arranged("block_diag", *arrs)


@surface(_MODULE + "toeplitz")
def toeplitz(c: Any, r: Any = None) -> Expr:
    """``scipy.linalg.toeplitz``: the matrix with constant diagonals of this first column (and row)."""
    c, r = _of_one_graph(c, r)
    return _arranged("toeplitz", c, ew.conj(c) if r is None else r)


@surface(_MODULE + "hankel")
def hankel(c: Any, r: Any = None) -> Expr:
    """``scipy.linalg.hankel``: the matrix with constant antidiagonals of this first column (and last row)."""
    c, r = _of_one_graph(c, r)
    return _arranged("hankel", c) if r is None else _arranged("hankel", c, r)


@surface(_MODULE + "circulant")
def circulant(c: Any) -> Expr:
    """``scipy.linalg.circulant``: the matrix of which each column is the one before, rolled by one."""
    return _arranged("circulant", c)


@surface(_MODULE + "leslie")
def leslie(f: Any, s: Any) -> Expr:
    """``scipy.linalg.leslie``: fecundities in the first row, survival below the diagonal."""
    return _arranged("leslie", *_of_one_graph(f, s))


@surface(_MODULE + "convolution_matrix")
def convolution_matrix(a: Any, n: int, mode: str = "full") -> Expr:
    """``scipy.linalg.convolution_matrix``: the matrix that convolves with `a` what it is multiplied by."""
    return _arranged("convolution_matrix", a, given=(n, mode))


def _companion(name: str, a: Any) -> Expr:
    """The pattern of a companion matrix has the ratios of coefficients with a sign, and ones."""
    import scipy.linalg

    (x,) = operands(a)
    if x.ndim != 1:
        raise refused(f"scipy.linalg.{name} of several polynomials", "take one at a time")
    pattern = getattr(scipy.linalg, name)(np.arange(1.0, x.shape[0] + 1))
    ratios = -_part(x, slice(1, None)) / _part(x, slice(0, 1))
    both = fn.concatenate([x.builder.constant(np.array([0, 1], x.dtype)), ratios])
    return fn.take(both, np.abs(pattern).astype(np.intp))


@surface(_MODULE + "companion")
def companion(a: Any) -> Expr:
    """``scipy.linalg.companion``: the matrix whose eigenvalues are the roots of a polynomial."""
    return _companion("companion", a)


@surface(_MODULE + "fiedler_companion")
def fiedler_companion(a: Any) -> Expr:
    """``scipy.linalg.fiedler_companion``: as `companion`, with five diagonals."""
    return _companion("fiedler_companion", a)


@surface(_MODULE + "fiedler")
def fiedler(a: Any) -> Expr:
    """``scipy.linalg.fiedler``: the matrix of all distances between numbers."""
    x = fn.reshape(lift(a), (1,)) if not lift(a).ndim else lift(a)
    return ew.magnitude(fn.expand_dims(x, -1) - fn.expand_dims(x, -2))


@surface(_MODULE + "khatri_rao")
def khatri_rao(a: Any, b: Any) -> Expr:
    """``scipy.linalg.khatri_rao``: the Kronecker products of columns with columns."""
    x, y = join([a, b])
    if x.ndim < 2 or y.ndim < 2:
        raise ValueError("The both arrays should be 2-dimensional.")
    if x.shape[-1] != y.shape[-1]:
        raise ValueError("The number of columns for both arrays should be equal.")
    found = fn.expand_dims(x, -2) * fn.expand_dims(y, -3)
    return fn.reshape(found, (*found.shape[:-3], x.shape[-2] * y.shape[-2], x.shape[-1]))


# -- what is refused -------------------------------------------------------------------------------------------------

for _name, _cure in {
    "schur": "use scipy.linalg.eig or eigh", "rsf2csf": "", "hessenberg": "use scipy.linalg.qr",
    "ldl": "use scipy.linalg.cholesky or lu", "qz": "", "ordqz": "", "cossin": "", "cdf2rdf": "",
    "rq": "use scipy.linalg.qr of the matrix with its rows turned round",
    "qr_multiply": "multiply by the result of scipy.linalg.qr", "qr_delete": "use scipy.linalg.qr",
    "qr_insert": "use scipy.linalg.qr", "qr_update": "use scipy.linalg.qr",
    "null_space": "any turned basis would do, so it has no derivative: use the projection 1 − pinv(A) A",
    "orth": "any turned basis would do, so it has no derivative: use the projection A pinv(A)",
    "subspace_angles": "use np.arccos of scipy.linalg.svdvals(QᴴR)",
    "matrix_balance": "its result is a matter of powers of 2: leave it out",
    "funm": "use expm, logm, sqrtm, cosm, … or eig", "expm_cond": "",
    "cholesky_banded": "use scipy.linalg.solveh_banded, or cholesky of the full matrix",
    "cho_solve_banded": "use scipy.linalg.solveh_banded",
    "eig_banded": "use scipy.linalg.eigh of the full matrix",
    "eigvals_banded": "use scipy.linalg.eigvalsh of the full matrix",
    "eigh_tridiagonal": "use scipy.linalg.eigvalsh_tridiagonal, or eigh of the full matrix",
    "clarkson_woodruff_transform": "it draws random numbers: multiply by a matrix that you draw yourself",
}.items():  # fmt: skip
    refuse(_cure, _MODULE + _name)
