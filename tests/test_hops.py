"""The sweep: every hop of the catalogue, on every case that its definition gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.linalg
import scipy.special
from numpy.testing import assert_allclose, assert_array_equal
from sampling import (
    FAR_OFF,
    FLAT_USES,
    HOPS,
    RESIZED_USES,
    SMOOTH_USES,
    USES,
    Program,
    Use,
    basis,
    is_moving,
    layouts,
    normal,
    numeric_jacobians,
    of_precision,
    paired,
    parts,
    precision,
    slope,
)

from hopgrad.aval import aval_of
from hopgrad.differentiate import pull, reason_for_zero
from hopgrad.errors import GraphError
from hopgrad.graph.builder import Expr, ones
from hopgrad.graph.hop import TRAITS, Elementwise, Function, Hop, Structural, elementwise
from hopgrad.graph.operators import Scale
from hopgrad.hops.shape import selection

Array = np.ndarray[Any, Any]

every_use = pytest.mark.parametrize("use", USES, ids=str)
smooth_use = pytest.mark.parametrize("use", SMOOTH_USES, ids=str)


# -- definitions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hop", HOPS, ids=lambda hop: hop.name)
def test_a_definition_is_complete(hop: Hop) -> None:
    assert hop.notation.form
    assert hop.__doc__, "say why the derivative has this form"
    assert hop.traits <= TRAITS.keys()
    assert any(use.hop is hop for use in USES)
    assert all(low < high for low, high in hop.domain)


@pytest.mark.parametrize("trait", TRAITS)
def test_every_known_trait_is_used(trait: str) -> None:
    assert any(trait in hop.traits for hop in HOPS)


def test_an_unknown_trait_is_refused() -> None:
    with pytest.raises(GraphError, match="unknown traits: smoothish"):
        elementwise(np.sin, Function("sin"), traits=("smoothish",))(lambda x: x)


def test_a_hop_cannot_be_defined_twice() -> None:
    def sin(x: Any) -> Any:
        return x

    with pytest.raises(GraphError, match="'sin' is defined twice"):
        elementwise(np.sin, Function("sin"))(sin)


# -- traits, both ways: what is told holds, and what holds is told -----------------------------------------------------

POINTS = np.array([0.0, 0.3, 0.5, 0.7, 1.0, np.pi / 2, 1.9, 12.3, 5e3, 1e6])
PLAIN = [hop for hop in HOPS if isinstance(hop, Elementwise) and not hop.sample and "select" not in hop.traits]
NUMERIC = [hop for hop in PLAIN if "predicate" not in hop.traits]


def by_name(hops: list[Hop]) -> Any:
    return pytest.mark.parametrize("hop", hops, ids=lambda hop: hop.name)


@by_name([hop for hop in NUMERIC if len(hop.domain) == 1])
def test_symmetry_is_told(hop: Hop) -> None:
    with np.errstate(all="ignore"):
        plus, minus = hop.function(POINTS), hop.function(-POINTS)
    same: dict[str, Any] = {"rtol": 1e-13, "atol": 0, "equal_nan": True}
    assert ("even" in hop.traits) == np.allclose(plus, minus, **same)
    assert ("odd" in hop.traits) == np.allclose(plus, -minus, **same)


@by_name([hop for hop in PLAIN if len(hop.domain) == 2])
def test_commutativity_is_told(hop: Hop) -> None:
    x, y = np.meshgrid([-2.0, -0.5, 0.0, 0.5, 3.0], [-2.0, -0.5, 0.0, 0.5, 3.0])
    with np.errstate(all="ignore"):
        same = np.array_equal(hop.function(x, y), hop.function(y, x), equal_nan=True)
    assert ("commutative" in hop.traits) == same


@by_name(NUMERIC)
def test_bounds_are_told(hop: Hop) -> None:
    points = np.concatenate([-POINTS, POINTS])
    grid = np.meshgrid(*[points] * len(hop.domain))
    with np.errstate(all="ignore"):
        values = hop.function(*grid)
    assert ("bounded" in hop.traits) == bool(np.nanmax(np.abs(values)) < 10)


# -- values ------------------------------------------------------------------------------------------------------------


def _assigned(x: Array, v: Array, *places: Array, items: Any) -> Array:
    out = x.copy()
    out[selection(items, places)] = v
    return out


def _added(v: Array, *places: Array, items: Any, shape: Any) -> Array:
    out = np.zeros(shape, v.dtype)
    np.add.at(out, selection(items, places), v)
    return out


def _along(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *, axes, keepdims, **more: function(x, axis=axes, keepdims=keepdims, **more)


def _position(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *, axes, keepdims, dtype: function(
        x, axis=None if len(axes) == x.ndim else axes[0], keepdims=keepdims
    )


def _triangle(a: Array, lower: bool, unit: bool) -> Array:
    out = np.tril(a) if lower else np.triu(a)
    if unit:
        out[..., range(a.shape[-1]), range(a.shape[-1])] = 1
    return out


def _cofactors(a: Array) -> Array:
    """By their definition: the determinants of what is left without a row and a column, with their signs."""
    out = np.zeros_like(a)
    n = a.shape[-1]
    for i, j in np.ndindex(n, n):
        rest = np.delete(np.delete(a, i, -2), j, -1)
        out[..., i, j] = (-1) ** (i + j) * np.linalg.det(rest)
    return out


def _cofactors_change(a: Array, t: Array) -> Array:
    """Row for row, as products change."""
    rows = np.eye(a.shape[-1], dtype=bool)[..., None]
    changed = [_cofactors(np.where(row, t, a)) - _cofactors(np.where(row, 0, a)) for row in rows]
    return np.asarray(sum(changed, np.zeros_like(a)))


def _fourier(z: Array, *, axis: int, norm: str, inverse: bool = False) -> Array:
    """By the definition: a product with the matrix exp(∓2πi jk/n)."""
    n = z.shape[axis]
    places = np.arange(n)
    matrix = np.exp((2j if inverse else -2j) * np.pi * np.outer(places, places) / n)
    scale = {"backward": n if inverse else 1, "ortho": np.sqrt(n), "forward": 1 if inverse else n}[norm]
    return np.moveaxis(np.moveaxis(z, axis, -1) @ matrix / scale, -1, axis)


def _half_fourier(x: Array, *, axis: int, norm: str) -> Array:
    return np.take(_fourier(x, axis=axis, norm=norm), range(x.shape[axis] // 2 + 1), axis)


def _from_half(z: Array, *, n: int, axis: int, norm: str) -> Array:
    """From all frequencies: those that are left out are conjugates; of the others alone the real part counts."""
    half = np.moveaxis(z, axis, -1)
    whole = np.concatenate([half, half[..., 1 : (n + 1) // 2][..., ::-1].conj()], -1)
    alone = [0, n // 2] if n % 2 == 0 else [0]
    whole[..., alone] = whole[..., alone].real
    return np.moveaxis(_fourier(whole, axis=-1, norm=norm, inverse=True).real, -1, axis)


def exactly(f: Callable[..., Any], *operands: Array) -> Array:
    """A function of mpmath on each element, with twice the digits of float64."""
    with mpmath.workdps(32):
        kind: Any = complex if any(map(np.iscomplexobj, operands)) else float
        each = np.vectorize(lambda *values: kind(f(*(mpmath.mpmathify(kind(v)) for v in values))), otypes=[kind])
        return each(*operands)


def _places_in_partition(x: Array, kth: tuple[int, ...], axis: int) -> Array:
    """Where the elements of ``np.partition`` come from; all are different."""
    parted = np.partition(x, kth, axis)
    return np.argmax(np.expand_dims(parted, axis + 1) == np.expand_dims(x, axis), axis + 1)


def _carlson(exponents: list[float], weight: int, *z: Any) -> Any:
    def inner(s: Any) -> Any:
        return mpmath.exp(
            s * weight - sum(b * mpmath.log(mpmath.exp(s) + v) for v, b in zip(z, exponents, strict=True))
        )

    return mpmath.quad(inner, mpmath.linspace(-80, 80, 17))


# What NumPy and SciPy call the hops whose value is not simply a ufunc of theirs.
def _of_matrices(name: str) -> Any:
    """SciPy's function of matrices, in double precision, which also takes empty ones."""

    def function(a: Array, *, power: Any = None) -> Array:
        wide = a.astype(np.result_type(a, np.float64))
        given = () if power is None else (power,)
        return np.array(getattr(scipy.linalg, name)(wide, *given)) if a.size else a

    return function


def _filtered(b: Array, a: Array, x: Array) -> Array:
    """By the definition, one after the other."""
    y = np.zeros_like(x)
    for n in range(x.shape[-1]):
        before = sum(b[k] * x[..., n - k] for k in range(min(len(b), n + 1)))
        after = sum(a[k] * y[..., n - k] for k in range(1, min(len(a), n + 1)))
        y[..., n] = (before - after) / a[0]
    return y


def _sylvester(a: Array, b: Array, q: Array) -> Array:
    """By Kronecker products."""
    m, n = q.shape[-2:]
    found = np.empty_like(q)
    for place in np.ndindex(*q.shape[:-2]):
        system = np.kron(a[place], np.eye(n)) + np.kron(np.eye(m), b[place].T)
        found[place] = np.linalg.solve(system, q[place].ravel()).reshape(m, n)
    return found


def _of_band(ab: Array, below: int) -> Array:
    """The full matrix."""
    rows, n = ab.shape
    found = np.zeros((n, n), ab.dtype)
    for r in range(rows):
        for j in range(n):
            i = j + r - (rows - 1 - below)
            if 0 <= i < n:
                found[i, j] = ab[r, j]
    return found


def _first_extremes(x: Array, *, axis: int, largest: bool, skipping: bool, dtype: Any) -> Array:
    """One position after the other, by NumPy's argmax of all elements up to there."""
    x = x if largest else -x
    find = np.nanargmax if skipping else np.argmax
    lines = [find(x.take(range(k + 1), axis), axis) for k in range(x.shape[axis])]
    return np.stack(lines, axis).astype(dtype)


def _bits(counter: int, key: int) -> int:
    """53 bits of Philox2x32-10, in Python's own integers."""
    word = 2**32 - 1
    low, high, bump = counter & word, ((counter ^ key) >> 32) & word, key & word
    for _ in range(10):
        product = 0xD256D193 * low
        low, high = (product >> 32) ^ bump ^ high, product & word
        bump = (bump + 0x9E3779B9) & word
    return low << 21 | high >> 11


REFERENCES: dict[str, Callable[..., Any]] = {
    "constant_power": lambda x, *, exponent: np.power(x, exponent),
    "round": lambda x, *, decimals: np.round(x, decimals),
    "round_digits": lambda x, *, digits: np.vectorize(lambda v: round(float(v), digits))(x).astype(x.dtype),
    "fsum": lambda x, *, axes, keepdims: np.sum(x, axes, keepdims=keepdims),
    "where": np.where,
    "supported": lambda support, x: np.where(support, x, np.zeros((), x.dtype)),
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "convert": lambda x, *, dtype: x.astype(dtype),
    "real": np.real,
    "imag": np.imag,
    "conjugate": np.conjugate,
    "cartesian": lambda x, y: x + 1j * y,
    "fft": _fourier,
    "rfft": _half_fourier,
    "irfft": _from_half,
    "reshape": lambda x, *, shape: x.reshape(shape),
    "transpose": lambda x, *, axes: np.transpose(x, axes),
    "broadcast_to": lambda x, *, shape: np.broadcast_to(x, shape),
    "concatenate": lambda *xs, axis: np.concatenate(xs, axis),
    "index": lambda x, *places, items: x[selection(items, places)],
    "scatter": _added,
    "put": _assigned,
    "triangle": lambda x, *, k, lower: (np.tril if lower else np.triu)(x, k),
    "sum": _along(np.sum),
    "mean": _along(np.mean),
    "var": _along(np.var),
    "std": _along(np.std),
    "norm": lambda x, *, axes, keepdims: np.sqrt(np.sum(x * x, axis=axes, keepdims=keepdims)),
    "prod": _along(np.prod),
    "max": _along(np.max),
    "min": _along(np.min),
    "any": _along(np.any),
    "all": _along(np.all),
    "argmax": _position(np.argmax),
    "argmin": _position(np.argmin),
    "logsumexp": _along(scipy.special.logsumexp),
    "cumsum": np.cumsum,
    "softmax": lambda x, *, axes: scipy.special.softmax(x, axes),
    "log_softmax": lambda x, *, axes: scipy.special.log_softmax(x, axes),
    "einsum": lambda *xs, subscripts: np.einsum(subscripts, *xs),
    "convolve": lambda a, v, *, start, length: np.convolve(a, v)[start : start + length],
    "gamma_density": lambda a, x: exactly(lambda a, x: x ** (a - 1) * mpmath.exp(-x) / mpmath.gamma(a), a, x),
    "beta_density": lambda a, b, x: exactly(
        lambda a, b, x: x ** (a - 1) * (1 - x) ** (b - 1) / mpmath.beta(a, b), a, b, x
    ),
    "gammainc_by_shape": lambda a, x, *, order: exactly(
        lambda a, x: mpmath.diff(lambda a: mpmath.gammainc(a, 0, x, regularized=True), a, order), a, x
    ),
    "betainc_by_shapes": lambda a, b, x, *, orders: exactly(
        lambda a, b, x: mpmath.diff(lambda a, b: mpmath.betainc(a, b, 0, x, regularized=True), (a, b), orders), a, b, x
    ),
    "carlson": lambda *z, halves, weight: exactly(partial(_carlson, [half / 2 for half in halves], weight), *z),
    "zeta": lambda s, q: scipy.special.zeta(s, q),
    "zeta_by_exponent": lambda s, q, *, order: exactly(lambda s, q: mpmath.zeta(s, q, order), s, q),
    "lambertw": lambda z, *, branch, tolerance: scipy.special.lambertw(z, branch),
    **{
        f"{name}_{part}": lambda *x, name=name, number=number: getattr(scipy.special, name)(*x)[number]
        for name, parts in {
            "ellipj": ("sn", "cn", "dn", "am"),
            "sici": ("si", "ci"),
            "shichi": ("shi", "chi"),
            "fresnel": ("s", "c"),
        }.items()
        for number, part in enumerate(parts)
    },
    "spherical_yn": lambda x, *, order: scipy.special.spherical_yn(order, x),
    "spherical_in": lambda x, *, order: scipy.special.spherical_in(order, x),
    "spherical_kn": lambda x, *, order: scipy.special.spherical_kn(order, x),
    "kv_by_order": lambda v, x, *, order, scaled: exactly(
        lambda v, x: mpmath.diff(lambda v: mpmath.besselk(v, x), v, order) * (mpmath.exp(x) if scaled else 1), v, x
    ),
    **{
        f"{name}_{part}": lambda x, name=name, number=number: getattr(scipy.special, name)(x)[number]
        for name in ("airy", "airye")
        for number, part in enumerate(("ai", "aip", "bi", "bip"))
    },
    "polygamma": lambda x, *, order: exactly(lambda x: mpmath.psi(order, x), x),
    "spherical_jn": lambda x, *, order: scipy.special.spherical_jn(order, x),
    "sinc": np.sinc,
    "inv": lambda a, *, strict: np.linalg.inv(a),
    "solve": np.linalg.solve,
    "triangular_solve": lambda a, b, *, lower, unit, strict: np.linalg.solve(_triangle(a, lower, unit), b),
    "det": np.linalg.det,
    "cofactors": _cofactors,
    "cofactors_change": _cofactors_change,
    "sign_det": lambda a: np.linalg.slogdet(a)[0],
    "phase_det": lambda a: np.linalg.slogdet(a)[0],
    "eigvals": np.linalg.eigvals,
    "log_det": lambda a: np.linalg.slogdet(a)[1],
    "cholesky": lambda a, *, upper: np.linalg.cholesky(a, upper=upper),
    "eigvalsh": lambda a, *, lower: np.linalg.eigvalsh(a, "L" if lower else "U"),
    "singular_values": lambda a: np.linalg.svd(a, compute_uv=False),
    "pinv": lambda a, *, rcond: np.linalg.pinv(a, rcond),
    **{name: _of_matrices(name) for name in ("expm", "logm", "sqrtm")},
    "matrix_power": _of_matrices("fractional_matrix_power"),
    "is_real": lambda a, *, function, power: np.isrealobj(scipy.linalg.sqrtm(a)),
    "cut_angle": lambda a: (np.pi - max(t for t in abs(np.angle(np.linalg.eigvals(a))) if t < np.pi)) / 2,
    "linear_filter": _filtered,
    "lags": lambda w, x, *, count: np.array([np.sum(w[..., k:] * x[..., : x.shape[-1] - k]) for k in range(count)]),
    "sylvester": _sylvester,
    "unitary_factor": lambda a: np.linalg.svd(a, full_matrices=False)[0] @ np.linalg.svd(a, full_matrices=False)[2],
    "order_of_pivots": lambda pivots, *, dtype: np.array([2, 0, 1]),
    "column_order": lambda a, *, dtype: scipy.linalg.qr(a.astype(float), pivoting=True)[2],
    "solve_banded": lambda ab, b, *, below, definite, strict: np.linalg.solve(_of_band(ab, below), b),
    "lstsq_rank": lambda a, b, *, rcond, dtype: np.linalg.lstsq(a, b, rcond)[2],
    "p_norm": lambda x, *, axes, keepdims, order: np.linalg.vector_norm(x, axis=axes, keepdims=keepdims, ord=order),
    "exists": lambda x: np.bool_(True),
    "succeeds": lambda *xs, hop, given: np.bool_(True),
    "running_positions": _first_extremes,
    "argsort": lambda x, *, axis, kind, dtype: np.argsort(x, axis, kind),
    "exponent": lambda x, *, dtype: np.frexp(x)[1],
    "random_bits": lambda counter, key, *, dtype: np.array(
        [[_bits(int(c), int(k)) for c, k in zip(row, key, strict=True)] for row in counter]
    ),
    "argpartition": lambda x, *, axis, kth, dtype: np.argpartition(x, kth, axis),
    "partition_order": lambda x, *, axis, kth, dtype: _places_in_partition(x, kth, axis),
    "lexsort": lambda *keys, axis, dtype: np.lexsort(keys, axis),
    "searchsorted": lambda a, v, *, side, dtype: np.searchsorted(a, v, side),
    "isin": lambda x, among, *, invert: np.isin(x, among, invert=invert),
    "histogram_counts": lambda x, *, bins, between, dtype: np.histogram(x, bins, between)[0],
    "lerp": lambda a, b, t: (1 - t) * a + t * b,
    "chord": np.vectorize(lambda x, x0, y0, x1, y1: np.interp(x, [x0, x1], [y0, y1])),
}


@every_use
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_are_numpys_and_keep_the_dtype(use: Use, dtype: Any) -> None:
    """And the shape rule tells the result's shape and dtype."""
    reference = use.hop.ufunc or REFERENCES[use.hop.name]
    operands = use.draw(dtype)
    (got,) = (program := Program(use, operands)).evaluate(program.out)
    want = reference(*operands, **use.params)
    close = 1e-6 if dtype == np.float32 else 1e-14
    assert_allclose(got, want, rtol=close, atol=close)
    assert aval_of(got) is program.out.aval
    if "predicate" not in use.hop.traits and "dtype" not in use.params and not use.hop.degrees:
        assert parts(got).dtype == dtype


@pytest.mark.filterwarnings("ignore:Degrees of freedom")
@pytest.mark.parametrize("use", RESIZED_USES, ids=str)
def test_empty_and_other_shapes(use: Use) -> None:
    program = Program(use, use.draw())
    (got,) = program.evaluate(program.out)
    assert aval_of(got) is program.out.aval
    for pushed, pulled in zip(program.jacobians("push"), program.jacobians("pull"), strict=True):
        assert_allclose(pushed, pulled, rtol=1e-12, atol=1e-14)


@every_use
def test_memory_layout_makes_no_difference(use: Use) -> None:
    operands = use.draw()
    want = use.value(*operands)
    program = Program(use, operands)
    adjoints = program.pulled(program.out, ones(program.builder, program.out.aval)) if program.out.aval.is_float else []
    (value, *gradients) = program.evaluate(program.out, *adjoints)
    for name in layouts(np.zeros(2)):
        moved = [layouts(a)[name] if is_moving(a) else a for a in operands]
        assert_allclose(use.value(*moved), want, rtol=1e-14, atol=1e-15)
        program.given.update(zip(program.active, [a for a in moved if is_moving(a)], strict=True))
        again, *slopes = program.evaluate(program.out, *adjoints)
        assert_allclose(again, value, rtol=1e-14, atol=1e-15)
        for a, b in zip(slopes, gradients, strict=True):
            assert_allclose(a, b, rtol=1e-14, atol=1e-15)
    assert all(np.array_equal(a, b) for a, b in zip(operands, use.draw(), strict=True)), "operands were changed"


SPECIAL = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0])


@pytest.mark.parametrize("use", [use for use in USES if use.hop.name not in FAR_OFF], ids=str)
def test_special_values_raise_nothing(use: Use) -> None:
    for shift in range(2):
        operands = [
            np.resize(np.roll(SPECIAL, k * shift), a.shape).astype(a.dtype) if is_moving(a) else a
            for k, a in enumerate(use.draw())
        ]
        program = Program(use, operands)
        try:
            program.evaluate(program.out)
            program.jacobians("push")
            program.jacobians("pull")
        except np.linalg.LinAlgError:
            assert "raises" in use.hop.traits


# -- first derivatives -------------------------------------------------------------------------------------------------


def close(got: Any, want: Any, digits: float = 1e-10) -> None:
    assert_allclose(got, want, rtol=digits, atol=digits * max(1.0, float(np.max(np.abs(want), initial=0.0))))


@smooth_use
@pytest.mark.parametrize("mode", ["push", "pull"])
def test_full_jacobians(use: Use, mode: str) -> None:
    operands = use.draw_smooth()
    program = Program(use, operands)
    digits = max(1e-10, 1e3 * precision(program.out))
    for got, (_, want) in zip(program.jacobians(mode), numeric_jacobians(use.value, operands), strict=True):
        close(got, want, digits)


@pytest.mark.parametrize("use", [use for use in SMOOTH_USES if not use.hop.degrees], ids=str)
def test_float32_derivatives_are_float32_and_close(use: Use) -> None:
    operands = [of_precision(a, np.float32) if is_moving(a) else a for a in use.draw_smooth()]
    wide = [of_precision(a, np.float64) if is_moving(a) else a for a in operands]
    program = Program(use, operands)
    for mode in ("push", "pull"):
        for got, want in zip(program.jacobians(mode), Program(use, wide).jacobians(mode), strict=True):
            assert got.dtype == (np.real(np.zeros((), program.out.dtype)).dtype if mode == "push" else np.float32)
            close(got, want, 2e-5)


@smooth_use
def test_pushing_and_pulling_are_transposes(use: Use) -> None:
    """The dot test, with all operands moved at once: ⟨w, J v⟩ = ⟨Jᵀ w, v⟩."""
    program = Program(use, use.draw())
    random = use.random("directions")
    weights = normal(random, program.out.aval)
    directions = {n: normal(random, program.builder.avals[n]) for n in program.active}
    seeds = {n: program.input(v, "t") for n, v in directions.items()}
    (tangent,) = program.evaluate(*program.pushed(seeds, program.out))
    adjoints = program.evaluate(*program.pulled(program.out, program.input(weights, "ct")))
    pulled = sum(paired(a, v) for a, v in zip(adjoints, directions.values(), strict=True))
    digits = 1e4 * precision(program.out)
    assert_allclose(paired(weights, tangent), pulled, rtol=digits, atol=digits)


# -- second derivatives ------------------------------------------------------------------------------------------------


@smooth_use
def test_second_derivatives_in_all_orders_of_modes(use: Use) -> None:
    """Of ⟨w, f⟩ along v: forward over reverse, reverse over forward and reverse over reverse."""
    operands = use.draw_smooth()
    program = Program(use, operands)
    random = use.random("directions")
    weights = program.input(normal(random, program.out.aval), "ct")
    directions = [normal(random, program.builder.avals[n]) / 4 for n in program.active]
    seeds = {n: program.input(v, "t") for n, v in zip(program.active, directions, strict=True)}
    gradient = program.pulled(program.out, weights)
    (tangent,) = program.pushed(seeds, program.out)
    forms = {
        "forward over reverse": program.pushed(seeds, *gradient),
        "reverse over forward": program.pulled(tangent, weights),
        "reverse over reverse": program.pulled(program.dot(gradient, seeds.values()), program.input(1.0, "one")),
    }
    points = [program.given[n] for n in program.active]

    def moved(t: float) -> Array:
        program.given.update({n: x + t * v for n, x, v in zip(program.active, points, directions, strict=True)})
        found = program.evaluate(*gradient)
        program.given.update(zip(program.active, points, strict=True))
        return np.concatenate([np.ravel(parts(a)) for a in found])

    want = slope(moved)
    assert want is not None
    for name, form in forms.items():
        got = np.concatenate([np.ravel(parts(a)) for a in program.evaluate(*form)])
        scale = max(1.0, float(np.max(np.abs(want), initial=0.0)))
        assert_allclose(got, want, rtol=1e-9, atol=1e-9 * scale, err_msg=name)


# -- relative changes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use", [u for u in SMOOTH_USES if (u.hop.growth or u.hop.elasticity) and not u.of_complex], ids=str
)
def test_growth_and_elasticity_are_the_slopes_of_logarithms(use: Use) -> None:
    """Growth is (log f)′, elasticity d log f / d log x."""
    program = Program(use, use.draw_smooth())
    hop, params = use.hop, program.builder.params(program.out.id)
    falling = hop.falling(params)
    for number, jacobian in enumerate(program.jacobians("push")):
        x = program.inputs[number]
        operator = Scale(x.aval, program.out.aval, hop.relative(number, program.inputs, params))
        seed = program.input(np.zeros(x.shape), "t")
        found = [program.at(seed, unit, [operator.push(seed)])[0] for unit in basis(x.aval)]
        (value,) = program.evaluate(program.out)
        scale = 1 if hop.growth else program.given[x.id]
        results = (...,) + (None,) * x.ndim
        want = jacobian * scale / np.asarray(value)[results]
        close(np.moveaxis(np.reshape(found, x.shape + value.shape), range(x.ndim), range(-x.ndim, 0)), want)
        if number in falling:
            far = [np.full(a.shape, 1e300 if k == number else 1.0) for k, a in enumerate(use.draw())]
            with np.errstate(all="ignore"):
                assert np.all(use.value(*far) < 1e-10)


# -- flat hops ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", FLAT_USES, ids=str)
def test_flat_hops_cut_the_derivative_and_are_named(use: Use) -> None:
    program = Program(use, use.draw())
    assert (
        program.out.id
        not in pull(program.builder, {program.out.id: ones(program.builder, program.out.aval)}, program.active).adjoints
    )
    for node in program.active:
        zero = reason_for_zero(program.builder, node, [program.out.id])
        assert use.hop.name in zero.reason
        assert zero.cuts == (program.out.id,)


@pytest.mark.parametrize("use", FLAT_USES, ids=str)
def test_flat_hops_are_flat(use: Use) -> None:
    for _, found in numeric_jacobians(use.value, use.draw_smooth()):
        assert found is not None
        assert_allclose(found, 0, atol=1e-10)


# -- supports ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "computed"])
@smooth_use
def test_supports_mark_exactly_the_elements_that_are_used(use: Use, dynamic: bool) -> None:
    """An operand's element is in the support if any supported element of the result depends on it."""
    program = Program(use, use.draw_smooth())
    builder, hop = program.builder, use.hop
    mask = np.asarray(use.random("support").random(program.out.shape) < 0.5)
    support = program.builder.input(aval_of(mask), "support") if dynamic else mask
    if dynamic:
        program.given[support.id] = mask
    ids, flags = builder.args(program.out.id), [n.id in program.active for n in program.inputs]
    params = builder.params(program.out.id)
    jacobians = iter(program.jacobians("pull"))
    for number, active in enumerate(flags):
        if not active:
            continue
        jacobian = next(jacobians)
        operator = hop.operator(number, [builder.expr(a) for a in ids], program.out, params, flags)
        if operator is None:
            assert_array_equal(jacobian, 0)
            continue
        reach = operator.support(support)
        if reach is None:
            reach = np.ones(program.inputs[number].shape, bool)
        got = program.evaluate(reach)[0] if isinstance(reach, Expr) else reach
        touches = jacobian != 0
        if program.out.dtype.kind == "c":
            touches = touches.any(axis=mask.ndim)
        if program.inputs[number].dtype.kind == "c":
            touches = touches.any(axis=-1)
        results = tuple(range(mask.ndim))
        want = np.any(touches & mask.reshape(mask.shape + (1,) * (touches.ndim - mask.ndim)), axis=results)
        assert got.shape == want.shape
        # A factor may happen to be 0 without being structurally so.
        settled = touches.any(axis=results) | isinstance(hop, Structural)
        assert_array_equal(got[settled], want[settled])
