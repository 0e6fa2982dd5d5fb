"""What the sweep over the catalogue stands on: uses of every hop, operands inside its domain, accurate slopes.

Everything is read from the hops' own definitions, so a new hop is swept without touching a test.
"""

from __future__ import annotations

import functools
import operator
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import hopgrad.hops  # noqa: F401 - fills the catalogue
from hopgrad.aval import Aval, aval_of
from hopgrad.differentiate import pull, push
from hopgrad.errors import DtypeError, ShapeError
from hopgrad.evaluate import evaluate
from hopgrad.graph.builder import Builder, Expr, catalogue, zeros
from hopgrad.graph.hop import Case, Compound, Draw, Elementwise, Hop, Interval, Item, Matrices, Plane, Source
from hopgrad.hops import elementwise as ew
from hopgrad.hops.custom import Identity, Ruled

Array = np.ndarray[Any, Any]

# Hops that own graphs, such as loops, and those whose derivative users define, have tests of their own
# (test_control.py, test_custom.py).
HOPS = [hop for hop in catalogue.values() if not isinstance(hop, (Source, Compound, Item, Identity, Ruled))]

# Those that user code can call by NumPy's or SciPy's name, and that are smooth all over their domain.
DIFFERENTIABLE_UFUNCS = [
    hop
    for hop in HOPS
    if hop.differentiable and hop.ufunc is not None and hop.ufunc.nin == len(hop.domain)
    and not hop.traits & {"kink", "piecewise", "select"} and not hop.degrees
]  # fmt: skip

# -- uses --------------------------------------------------------------------------------------------------------------

# Operand shapes for hops whose definition does not give any: by class, and for elementwise hops by arity.
ELEMENTWISE: dict[int, list[tuple[tuple[int, ...], ...]]] = {
    1: [((),), ((2, 3),)],
    2: [((), ()), ((2, 3), (2, 3)), ((2, 1), (3,)), ((), (2,)), ((3,), (1, 3))],
    3: [((), (), ()), ((2, 3), (2, 3), (2, 3)), ((2, 1), (3,), ()), ((), (2,), (1, 2))],
}
OTHERS = ((2, 3),)


def inside(interval: Interval, shape: tuple[int, ...], random: np.random.Generator, of_complex: bool = False) -> Array:
    """Random numbers well inside an interval: not so near its ends that differences there lose digits."""
    low, high = interval
    if isinstance(interval, Matrices):
        root = random.uniform(-1, 1, shape) + (1j * random.uniform(-1, 1, shape) if of_complex else 0)
        if len(shape) < 2 or shape[-2] != shape[-1]:
            return root  # the shape rule refuses it
        return np.asarray(root @ np.swapaxes(root, -1, -2).conj() + np.eye(shape[-1]))
    if of_complex or isinstance(interval, Plane):
        return np.asarray(inside(Interval(low, high), shape, random) + 1j * random.uniform(-0.7, 0.7, shape))
    if np.isfinite(low) and np.isfinite(high):
        low, high = low + 0.25 * min(1.0, (high - low) / 2), high - 0.25 * min(1.0, (high - low) / 2)
    elif np.isfinite(low):
        low, high = low + 0.3, low + 2.3
    elif np.isfinite(high):
        low, high = high - 2.3, high - 0.3
    else:
        low, high = -2.0, 2.0
    return np.asarray(random.uniform(low, high, shape))


@dataclass(frozen=True)
class Use:
    """A hop with parameters and with shapes of its operands (arrays, where an operand is an index)."""

    hop: Hop
    operands: tuple[tuple[int, ...] | Array, ...]
    params: dict[str, Any]
    of_complex: bool = False
    """Whether the operands are complex numbers with real parts in the domain."""

    def __str__(self) -> str:
        return self.hop.name + repr(Case(*self.operands, **self.params)) + " of complex numbers" * self.of_complex

    def random(self, purpose: str) -> np.random.Generator:
        """Random numbers of this use's own, always the same, so that no test depends on the order of tests."""
        return np.random.default_rng(zlib.crc32(f"{purpose} {self}".encode()))

    def draw(self, dtype: Any = np.float64, random: np.random.Generator | None = None) -> list[Array]:
        """Random operands inside the hop's domain."""
        random = random or self.random("operands")
        domain = self.hop.domain
        if self.hop.degrees:
            dtype = np.float64  # beside integers
        return [
            shape
            if isinstance(shape, np.ndarray)
            else np.asarray(random.random(shape) < 0.5)
            if number == 0 and "select" in self.hop.traits
            else of_precision(inside(domain[min(number, len(domain) - 1)], shape, random, self.of_complex), dtype)
            for number, shape in enumerate(self.operands)
        ]

    def draw_smooth(self) -> list[Array]:
        """Random operands around which the hop is smooth, away from its kinks and jumps."""
        random = self.random("smooth operands")
        for _ in range(300):
            operands = self.draw(random=random)
            if all(found is not None for _, found in numeric_jacobians(self.value, operands)):
                return operands
        raise AssertionError(f"no operands found around which {self} is smooth")

    def value(self, *operands: Array) -> Any:
        return self.hop.function(*operands, **self.params)


def of_precision(x: Array, dtype: Any) -> Array:
    """Real or complex numbers with parts of a dtype."""
    return x.astype(np.result_type(dtype, np.complex64) if x.dtype.kind == "c" else dtype)


def is_moving(x: Array) -> bool:
    """Whether an operand is one to differentiate by."""
    return x.dtype.kind in "fc"


def normal(random: np.random.Generator, like: Aval) -> Array:
    """Normally distributed numbers of a shape and dtype."""
    found = random.standard_normal(like.shape)
    return np.asarray(found + 1j * random.standard_normal(like.shape) if like.dtype.kind == "c" else found, like.dtype)


def parts(x: Any) -> Array:
    """Complex numbers as pairs of real ones, along a last axis more; others as they are."""
    x = np.asarray(x)
    return np.stack([x.real, x.imag], -1) if x.dtype.kind == "c" else x


def paired(a: Any, b: Any) -> Any:
    """What a cotangent says of a change: the real part of the sum of products."""
    return np.sum(np.real(np.multiply(a, b)))


def every(sampler: Callable[[Draw], Case]) -> Iterator[Case]:
    """All that a sampler can return: each of its draws is answered with each choice."""
    paths: list[tuple[int, ...]] = [()]
    while paths:
        path, taken = paths.pop(), []

        def draw(choices: Sequence[Any], path: tuple[int, ...] = path, taken: list[int] = taken) -> Any:
            if len(taken) >= len(path):
                paths.extend((*taken, other) for other in range(len(choices) - 1, 0, -1))
                taken.append(0)
            else:
                taken.append(path[len(taken)])
            return choices[taken[-1]]

        yield sampler(draw)


def uses_of(hop: Hop) -> Iterator[Use]:
    """What the hop's definition says that it can be tried on."""
    for case in every(hop.sample) if hop.sample else [Case()]:
        if case.operands:
            yield Use(hop, case.operands, case.params)
            continue
        for shapes in ELEMENTWISE[len(hop.domain)] if isinstance(hop, Elementwise) else [OTHERS]:
            yield Use(hop, shapes, case.params)


def has_derivative(use: Use) -> bool:
    """Whether the hop is not flat, and the result not an integer (of a conversion)."""
    return use.hop.differentiable and use.hop.infer(*[aval_of(a) for a in use.draw()], **use.params).is_float


def takes_complex(use: Use) -> bool:
    """Whether the hop, which takes real operands, takes complex ones, too."""
    if any(isinstance(interval, Plane) for interval in use.hop.domain):
        return False
    other = replace(use, of_complex=True)
    try:
        with warnings.catch_warnings(action="error"):
            other.hop.infer(*[aval_of(a) for a in other.draw()], **use.params)
            other.value(*other.draw())
    except (DtypeError, TypeError, np.exceptions.ComplexWarning):
        return False
    return True


def resized(use: Use, shape: tuple[int, ...]) -> Use | None:
    """The same use with operands of another shape with as many axes, where the hop's shape rule allows that."""
    if any(isinstance(operand, np.ndarray) or len(operand) != len(shape) for operand in use.operands):
        return None
    other = replace(use, operands=(shape,) * len(use.operands))
    try:
        use.hop.infer(*[aval_of(a) for a in other.draw()], **use.params)
    except ShapeError:
        return None
    return other


FAR_OFF = {"hyp0f1", "hyp1f1"}
"""Hops whose ufunc, at numbers as large as 1e300, does not come back or gives anything."""

USES = [use for hop in HOPS for use in uses_of(hop)]
USES += [replace(use, of_complex=True) for use in USES if has_derivative(use) and takes_complex(use)]
SMOOTH_USES = [use for use in USES if has_derivative(use)]
FLAT_USES = [use for use in USES if not has_derivative(use)]
RESIZED_USES = [
    other
    for shape in [(), (0, 3), (2, 0), (1, 1)]
    for use in USES
    if (0 not in shape or "nonempty" not in use.hop.traits) and (other := resized(use, shape))
]


# -- one-hop programs --------------------------------------------------------------------------------------------------


class Program:
    """A use of a hop as a graph, with the derivatives that hopgrad makes of it."""

    def __init__(self, use: Use, operands: Sequence[Array]) -> None:
        self.builder = Builder()
        self.given: dict[int, Any] = {}
        """Values of all inputs, those of seeds included."""
        self.inputs = [
            self.input(value, f"x{k}") if is_moving(value) else self.builder.constant(value)
            for k, value in enumerate(operands)
        ]
        self.out: Expr = use.hop(*self.inputs, **use.params)
        self.active = [x.id for x in self.inputs if x.id in self.given]

    def input(self, value: Any, name: str) -> Expr:
        node = self.builder.input(aval_of(value), name)
        self.given[node.id] = value
        return node

    def evaluate(self, *nodes: Expr) -> list[Any]:
        with np.errstate(all="ignore"):
            return evaluate(self.builder, [n.id for n in nodes], self.given)

    def pulled(self, node: Expr, cotangent: Expr, wrt: Sequence[int] | None = None) -> list[Expr]:
        wrt = self.active if wrt is None else wrt
        adjoints = pull(self.builder, {node.id: cotangent}, wrt).adjoints
        return [adjoints.get(n, zeros(self.builder, self.builder.avals[n])) for n in wrt]

    def pushed(self, tangents: dict[int, Expr], *nodes: Expr) -> list[Expr]:
        found = push(self.builder, tangents, [n.id for n in nodes])
        return [found.get(n.id, zeros(self.builder, n.aval)) for n in nodes]

    def dot(self, first: Iterable[Expr], second: Iterable[Expr]) -> Expr:
        """The inner product ⟨first, second⟩ as a value of the graph; see `paired`."""
        products = map(ew.real_part, map(operator.mul, first, second))
        terms = [catalogue["sum"](p, axes=tuple(range(p.ndim)), keepdims=False) for p in products]
        return functools.reduce(operator.add, terms)

    def jacobians(self, mode: str) -> list[Array]:
        """For each float operand the full Jacobian, of shape ``result.shape + operand.shape``; see `parts`."""
        out = np.zeros(self.out.shape, self.out.dtype)
        if mode == "pull":
            seed = self.input(out, "ct")
            adjoints = self.pulled(self.out, seed)
            # (Re(c z) is the real part of z for c = 1 and the imaginary part for c = −i.)
            rows = [self.at(seed, np.conj(unit), adjoints) for unit in basis(out)]
            found = [[parts(np.conj(row[k])) for row in rows] for k in range(len(adjoints))]
            likes = [parts(np.zeros(a.shape, a.dtype)) for a in adjoints]
            return [
                np.array(columns, like.dtype).reshape(parts(out).shape + like.shape)
                for columns, like in zip(found, likes, strict=True)
            ]
        found = []
        for node in self.active:
            aval = self.builder.avals[node]
            like = np.zeros(aval.shape, aval.dtype)
            seed = self.input(like, "t")
            tangent = self.pushed({node: seed}, self.out)
            columns = [parts(self.at(seed, unit, tangent)[0]) for unit in basis(like)]
            found.append(_as_jacobian(columns, parts(like), parts(out)))
        return found

    def at(self, seed: Expr, unit: Array, nodes: Sequence[Expr]) -> list[Any]:
        self.given[seed.id] = unit
        return self.evaluate(*nodes)


def basis(like: Any) -> Iterator[Array]:
    """All unit vectors of a shape and dtype; of complex numbers in both directions."""
    for k in range(like.size):
        for step in (1, 1j) if like.dtype.kind == "c" else (1,):
            unit = np.zeros(like.size, like.dtype)
            unit[k] = step
            yield unit.reshape(like.shape)


def _as_jacobian(columns: Sequence[Any], source: Array, out: Array) -> Array:
    """A Jacobian from its columns, one for each element of the operand."""
    stacked = np.array(columns, out.dtype).reshape(source.shape + out.shape)
    return np.moveaxis(stacked, range(source.ndim), range(-source.ndim, 0))


# -- slopes ------------------------------------------------------------------------------------------------------------

# The slope of the polynomial through Chebyshev points: for a function that is analytic around, the error falls
# geometrically with their number, so that nearly all digits hold. (Trefethen, Approximation Theory and Practice, 2013.)
_COUNT, _RADIUS = 12, 0.02
_NODES = np.cos(np.pi * (np.arange(_COUNT) + 0.5) / _COUNT)
_FIT = np.linalg.inv(np.polynomial.chebyshev.chebvander(_NODES, _COUNT - 1))
_SLOPE = np.array([k * np.sin(k * np.pi / 2) for k in range(_COUNT)])  # of each Chebyshev polynomial at 0


def slope(f: Callable[[float], Any], radius: float = _RADIUS) -> Array | None:
    """f'(0), to about 12 digits if f gives float64; None if f is not smooth around 0."""
    with np.errstate(all="ignore"):
        found = [parts(f(radius * t)) for t in _NODES]
    values = np.array(found, np.float64)
    coefficients = np.tensordot(_FIT, values, 1)
    tail = np.max(np.abs(coefficients[-3:]), initial=0.0)
    if not tail <= 5e3 * precision(found[0]) * max(1.0, float(np.max(np.abs(values), initial=0.0))):
        return None
    return np.asarray(np.tensordot(_SLOPE, coefficients, 1) / radius)


def precision(value: Any) -> float:
    """The distance from 1 to the next number of the value's dtype, where it is a float, else of float64."""
    return float(np.finfo(value.dtype if is_moving(value) else np.float64).eps)


def numeric_jacobians(f: Callable[..., Any], operands: Sequence[Array]) -> Iterator[tuple[int, Array | None]]:
    """(number, Jacobian or None where f is not smooth) for each float operand."""
    for number, operand in enumerate(operands):
        if not is_moving(operand):
            continue

        def moved(t: float, unit: Array, number: int = number) -> Any:
            return f(*[a + t * unit if k == number else a for k, a in enumerate(operands)])

        columns = [slope(lambda t, u=unit: moved(t, u)) for unit in basis(operand)]
        if any(column is None for column in columns):
            yield number, None
            continue
        yield number, _as_jacobian(columns, parts(operand), np.asarray(parts(f(*operands)), np.float64))


def layouts(array: Array) -> dict[str, Array]:
    """The same numbers in other memory layouts."""
    frozen = array.copy()
    frozen.flags.writeable = False
    strided = np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
    reversed_ = array[(slice(None, None, -1),) * array.ndim].copy()[(slice(None, None, -1),) * array.ndim]
    return {
        "read-only": frozen,
        "Fortran": np.array(array, order="F"),
        "strided": strided,
        "negative strides": reversed_,
    }
