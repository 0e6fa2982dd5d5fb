"""For each rule of the simplifier the graphs that it is for, as functions of handles: forms and values are tested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import hopgrad.hops  # noqa: F401 - fills the catalogue
from hopgrad.aval import Aval, aval
from hopgrad.graph.builder import Expr, catalogue, ones, zeros
from hopgrad.hops.shape import Operand, Slice

F, I, B = np.float64, np.int64, np.bool_  # noqa: E741 - dtypes by their letters


class Example(NamedTuple):
    """A graph, the rule that has to simplify it (or None: nothing may), and its operands."""

    rule: str | None
    build: Callable[..., Any]
    operands: tuple[Aval, ...]


def f(*shapes: tuple[int, ...], dtype: Any = F) -> tuple[Aval, ...]:
    return tuple(aval(shape, dtype) for shape in shapes)


def hop(name: str, *args: Any, **params: Any) -> Any:
    return catalogue[name](*args, **params)


def total(x: Expr, *axes: int, keepdims: bool = False, name: str = "sum") -> Any:
    return hop(name, x, axes=axes, keepdims=keepdims)


def wide(x: Expr, *shape: int) -> Any:
    return hop("broadcast_to", x, shape=shape)


def reshaped(x: Expr, *shape: int) -> Any:
    return hop("reshape", x, shape=shape)


def moved(x: Expr, *axes: int) -> Any:
    return hop("transpose", x, axes=axes)


def at(x: Expr, *items: Any) -> Any:
    return hop("index", x, items=items)


def put(x: Expr, v: Expr, *items: Any) -> Any:
    return hop("put", x, v, items=items)


def scatter(v: Expr, shape: tuple[int, ...], *items: Any) -> Any:
    return hop("scatter", v, items=items, shape=shape)


def gather(x: Expr, places: Any, axis: int) -> Any:
    items = (*[every()] * axis, Operand(0))
    return hop("index", x, x.builder.constant(np.array(places)), items=items)


def power(x: Expr, exponent: float) -> Any:
    return hop("constant_power", x, exponent=exponent)


def cast(x: Expr, dtype: Any) -> Any:
    return hop("convert", x, dtype=np.dtype(dtype))


def einsum(subscripts: str, *operands: Expr) -> Any:
    return hop("einsum", *operands, subscripts=subscripts)


def where(m: Expr, a: Any, b: Any) -> Any:
    return hop("where", m, a, b)


def full(x: Expr, value: Any) -> Any:
    return x.builder.constant(np.full(x.shape, value, x.dtype))


def every(start: int | None = None, stop: int | None = None, step: int | None = None) -> Slice:
    return Slice(start, stop, step)


def spd(a: Expr) -> Any:
    """A factor of a positive definite matrix."""
    return hop("cholesky", hop("matmul", a, moved(a, 1, 0)) + np.eye(a.shape[0]), upper=False)


def nested_choice(second: bool) -> Callable[..., Any]:
    def build(m: Expr, x: Expr, y: Expr, z: Expr) -> Any:
        return where(m, x, where(m, y, z)) if second else where(m, where(m, x, y), z)

    return build


def chosen(*shapes: tuple[int, ...]) -> tuple[Aval, ...]:
    return (*f(shapes[0], dtype=B), *f(*shapes[1:]))


X, XY, V, M = f((2, 3)), f((2, 3), (2, 3)), f((3,)), f((2, 3), dtype=B)
N = f((2, 3), dtype=I)

EXAMPLES = [
    # -- logic
    Example("the same either way", lambda m, x: where(m, x, x), chosen((2, 3), (3,))),
    Example("fixed choice", lambda x, y: where(x.builder.constant(True), x, y), f((3,), (2, 3))),
    Example("fixed choice", lambda x, y: where(x.builder.constant(np.zeros((2, 3), bool)), x, y), XY),
    Example("choice turned round", lambda m, x, y: where(~m, x, y), chosen((2, 3), (2, 3), (2, 3))),
    Example("choice within its first branch", nested_choice(False), chosen((2, 3), (2, 3), (2, 3), (2, 3))),
    Example("choice within its first branch", nested_choice(False), chosen((3,), (3,), (2, 3), ())),
    Example("choice within its second branch", nested_choice(True), chosen((2, 3), (2, 3), (2, 3), (2, 3))),
    Example("choice of truth", lambda m: where(m, m.builder.constant(True), m.builder.constant(False)), M),
    Example("choice of truth", lambda m: where(m, m.builder.constant(False), m.builder.constant(True)), M),
    Example("not not", lambda m: ~~m, M),
    Example(None, lambda x: hop("logical_not", hop("logical_not", x)), X),
    Example("opposite", lambda x, y: ~(x == y), XY),
    Example("opposite", lambda x, y: ~(x < y), N + N),
    Example(None, lambda x, y: ~(x < y), XY),
    Example("truth with a constant", lambda m: m & full(m, True), M),
    Example("truth with a constant", lambda m: m & full(m, False), M),
    Example("truth with a constant", lambda m: m | full(m, True), M),
    Example("truth with a constant", lambda m: full(m, False) | m, M),
    Example("truth with a constant", lambda m: hop("logical_xor", m, True), M),
    Example("truth with a constant", lambda x: hop("logical_and", x, 1.0), X),
    Example("with itself", lambda m: m & m, M),
    Example("with itself", lambda x: hop("maximum", x, x), X),
    Example("differing from itself", lambda m: hop("logical_xor", m, m), M),
    Example("less than itself", lambda x: x < x, X),
    Example("equal to itself", lambda x: x == x, N),
    Example("equal to itself", lambda x: x != x, N),
    Example(None, lambda x: x == x, X),
    Example("asked of integers", lambda x: hop("isfinite", x), N),
    # -- powers
    *[Example("small power", lambda x, p=p: power(x, p), X) for p in (0, 1, 2, 3, 4, 5, 6, 7, 8, -1, -2, -3, -4, 0.5)],
    *[Example("small power", lambda x, p=p: power(x * x, p), f(())) for p in (0.5, 1.5, -0.5, -1.5)],
    *[Example("small power", lambda x, p=p: power(x, p), N) for p in (0, 1, 2, 3, 8)],
    *[Example(None, lambda x, p=p: power(x, p), X) for p in (9, -5, 1.5, 0.1)],
    *[Example(None, lambda x, p=p: power(x, p), f(())) for p in (0.5, 1.5)],
    Example("power with a constant exponent", lambda x: hop("power", x, 3.0), X),
    Example("power with a constant exponent", lambda x: hop("power", hop("absolute", x), 0.5), X),
    Example(None, lambda x: hop("power", x, 0.5), X),
    # -- arithmetic
    Example("times one", lambda x: x * 1.0, X),
    Example("times one", lambda x: -1.0 * x, X),
    Example("times one", lambda x: x * 1, N),
    Example(None, lambda x: x * 0.0, X),
    Example("plus zero", lambda x: x + -0.0, X),
    Example("plus zero", lambda x: 0 + x, N),
    Example(None, lambda x: x + 0.0, X),
    Example("minus zero", lambda x: x - 0.0, X),
    Example(None, lambda x: x - -0.0, X),
    Example("from zero", lambda x: -0.0 - x, X),
    Example("from zero", lambda x: 0 - x, N),
    Example(None, lambda x: 0.0 - x, X),
    Example("over a constant", lambda x: x / 1.0, X),
    Example("over a constant", lambda x: x / -8.0, X),
    Example(None, lambda x: x / 3.0, X),
    Example(None, lambda x: x / 2.0**-1074, X),
    Example("minus minus", lambda x: hop("negative", -x), X),
    Example("plus minus", lambda x, y: x + -y, XY),
    Example("plus minus", lambda x, y: -x + y, XY),
    Example("minus negative", lambda x, y: x - -y, XY),
    Example("both negative", lambda x, y: -x * -y, XY),
    Example("both negative", lambda x, y: -x / -y, XY),
    Example("negative and constant", lambda x: -x * 3.0, X),
    Example("negative and constant", lambda x: -x / 3.0, X),
    Example("constant over negative", lambda x: 3.0 / -x, X),
    Example("negative of a multiple", lambda x: -(x * 3.0), X),
    Example("negative of a multiple", lambda x: -(x / 3.0), X),
    Example("negative of a multiple", lambda x: -(3.0 / x), X),
    Example("even function", lambda x: hop("cos", -x), X),
    Example("two constant factors", lambda x: 3.0 * (4.0 * x), X),
    Example("two constant factors", lambda x: 0.5 * (0.3 * x), X),
    Example("two constant factors", lambda x: 5 * (3 * x), N),
    Example(None, lambda x: 3.0 * (0.5 * x), X),
    Example(None, lambda x: 3.0 * (5.0 * x), X),
    Example(None, lambda x: np.inf * (2.0 * x), X),
    # -- shapes
    Example("broadcast operand", lambda x, y: wide(x, 2, 3) * y, f((3,), (2, 3))),
    Example("broadcast operand", lambda x, y: wide(x, 2, 3) * wide(y, 2, 3), f((3,), ())),
    Example("broadcast operand", lambda x, y: wide(x, 2, 3) * y, f((), (3,))),
    Example("broadcast operand", lambda x: x * full(x, 5.0), X),
    Example("broadcast operand", lambda x, y: reshaped(x, 1, 3) * y, f((3,), (2, 3))),
    Example("broadcast operand", lambda x: cast(wide(x, 2, 3), np.float32), V),
    Example(None, lambda x, y: reshaped(x, 3, 1) * y, f((3,), (3, 2))),
    Example("broadcast of nothing", lambda x: wide(x, 2, 3), X),
    Example("broadcast of nothing", lambda x: wide(x, 1, 2, 3), X),
    Example("broadcast twice", lambda x: wide(wide(x, 2, 3), 4, 2, 3), V),
    Example("broadcast with new axes", lambda x: wide(reshaped(x, 1, 3), 2, 3), V),
    Example("broadcast of one number", lambda x: (total(wide(full(x, 2.5), 2, 3), 0), x), V),
    Example("reshape twice", lambda x: reshaped(reshaped(x, 3, 2), 6), X),
    Example("reshape of nothing", lambda x: reshaped(x, 2, 3), X),
    Example("map of reshaped", lambda x, y: reshaped(x * y, 6) * 3 + reshaped(x, 6), (*X, *X)),
    Example("map of reshaped", lambda x, y: reshaped(x + y, 6) * reshaped(x * 3, 6), (*X, *X)),
    Example(None, lambda x: reshaped(x, 6) * 3, X),  # of an argument it is a view
    Example(None, lambda x, y: reshaped(x * 2, 6) * y, (*X, *f((6,)))),
    Example("reshape of broadcast", lambda x: reshaped(wide(x, 2, 3), 2, 1, 3), V),
    Example("reshape of broadcast", lambda x: reshaped(wide(x, 2, 3), 3, 2), f((1,))),
    Example(None, lambda x: reshaped(wide(x, 2, 3), 6), V),
    Example("transpose of nothing", lambda x: moved(x, 0), V),
    Example("transpose of nothing", lambda x: moved(x, 1, 0), f((1, 3))),
    Example("transpose twice", lambda x: moved(moved(x, 1, 2, 0), 2, 0, 1), f((2, 3, 4))),
    Example("transpose twice", lambda x: moved(moved(x, 1, 2, 0), 1, 2, 0), f((2, 3, 4))),
    Example("transpose of broadcast", lambda x: moved(wide(x, 2, 3), 1, 0), V),
    Example("conversion of nothing", lambda x: cast(x, np.float64), X),
    Example("conversion twice", lambda x: cast(cast(x, np.float64), np.float32), f((2, 3), dtype=np.float32)),
    Example("conversion twice", lambda x: cast(cast(x, np.float64), np.float32), f((2, 3), dtype=np.int32)),
    Example(None, lambda x: cast(cast(x, np.float32), np.float64), X),
    Example(None, lambda x: cast(cast(x, np.float64), np.int64), N),
    Example("join of one", lambda x: hop("concatenate", x, axis=0), X),
    Example("join of one", lambda x, y: hop("concatenate", x, y, x, axis=1), f((2, 3), (2, 0))),
    Example("join of one", lambda x: hop("concatenate", zeros(x.builder, x.aval), full(x, 0.0), axis=0), X),
    Example(None, lambda x: hop("concatenate", full(x, -0.0), zeros(x.builder, x.aval), x, axis=0), X),
    # -- indexing
    Example("index of everything", lambda x: at(x, every(0, 9), None, every()), X),
    Example("index of everything", lambda x: at(x, 0, every()), f((1, 3))),
    Example(None, lambda x: at(x, every(None, None, -1)), X),
    Example("index of an index", lambda x: at(at(x, every(4, None, -1)), 1), f((7,))),
    Example("index of an index", lambda x: at(at(x, every(1, 6, 2), None, 1), every(None, None, -1), 0), f((7, 2, 2))),
    Example("index of an index", lambda x: at(at(x, 1), every(1, 3)), f((4, 5))),
    Example("index of broadcast", lambda x: at(wide(x, 4, 3), every(1, 3), every(1, None)), V),
    Example("index of broadcast", lambda x: at(wide(x, 2, 4, 3), 1, None, every(1, 3), 2), f((4, 1))),
    Example("index of joined", lambda x, y: at(hop("concatenate", x, y, axis=0), 3), XY),
    Example("index of joined", lambda x, y: at(hop("concatenate", x, y, axis=1), 1, every(4, 2, -1)), XY),
    Example(None, lambda x, y: at(hop("concatenate", x, y, axis=0), every(1, 3)), XY),
    Example("index of written", lambda x, v: at(put(x, v, 1), 1), f((4,), ())),
    Example("index of written", lambda x, v: at(put(x, v, 1), 3), f((4,), ())),
    Example("index of written", lambda x, v: at(put(x, v, 1), 1, every(1, None)), f((4, 3), (3,))),
    Example("index of written", lambda x, v, w: at(put(put(x, v, 1), w, 2), 1), f((4,), (), ())),
    Example("index of written", lambda x, v: at(put(x, v, every(None, None, 2)), every(2, 0, -2)), f((4,), (2,))),
    Example("index of written", lambda v: at(scatter(v, (4,), every(1, 3)), every(1, 3)), f((2,))),
    Example("index of written", lambda v: at(scatter(v, (4,), every(1, 3)), 0), f((2,))),
    Example(None, lambda x, v: at(put(x, v, every(1, 3)), every(2, 4)), f((4,), (2,))),
    Example("put everywhere", lambda x, v: put(x, v, every()), XY),
    Example("put twice", lambda x, v, w: put(put(x, v, 1), w, 1), f((4,), (), ())),
    Example("put back", lambda x: put(x, at(x, 1), 1), X),
    Example("reshape of an index", lambda x: reshaped(at(x, every(2, 3)), 5), f((4, 5))),
    Example(
        "reshape of an index", lambda x: reshaped(at(x, None, every(), every(1, 4), every(2, 3)), 5, 3), f((5, 6, 4))
    ),
    Example(None, lambda x: reshaped(at(x, every(2, 3)), 1, 1, 5), f((4, 5))),
    Example(None, lambda x: reshaped(at(x, every(1, 3)), 10), f((4, 5))),
    Example(
        "question of joined", lambda x, y: hop("isfinite", hop("concatenate", x, y, axis=0)), f((40, 80), (30, 80))
    ),
    Example(None, lambda x, y: hop("isfinite", hop("concatenate", x, y, axis=0)), f((40,), (30,))),
    Example(
        "answers joined",
        lambda x, y: total(hop("concatenate", hop("isnan", x), hop("isnan", y), axis=1), 0, 1, name="any"),
        f((80, 40), (80, 30)),
    ),
    Example(
        "answers joined",
        lambda x, y: total(hop("concatenate", x, y, axis=0), 0, name="all", keepdims=True),
        f((40, 80), (30, 80), dtype=B),
    ),
    Example(
        None, lambda x, y: total(hop("concatenate", x, y, axis=0), 1, name="all"), f((40, 80), (30, 80), dtype=B)
    ),
    Example("sum of written", lambda v, w: scatter(v, (4,), 2) + scatter(w, (4,), 0), f((), ())),
    Example(
        "sum of written",
        lambda x, v, w: scatter(v, (4, 3), every(1, 3)) + x + scatter(w, (4, 3), 3) + scatter(w, (4, 3), 3),
        f((4, 3), (2, 3), (3,)),
    ),
    Example("sum of written", lambda v, w: scatter(v, (2, 2), 1, 0) + scatter(w, (2, 2), 0, 1), f((), ())),
    Example(None, lambda v, w: scatter(v, (4,), every(0, 3)) + scatter(w, (4,), every(2, 4)), f((3,), (2,))),
    Example(None, lambda v, w: scatter(v, (1, 4), 0, every(1, 3)) + scatter(w, (4,), 2), f((2,), ())),
    Example(
        "sum of written",
        lambda u, v, w: scatter(u, (2, 3), 0) + (scatter(v, (3,), 2) + scatter(w, (2, 3), 1)),
        f((3,), (), (3,)),
    ),
    Example(
        "sum of written",
        lambda v, w: scatter(v, (5000,), every(0, 4999)) + scatter(w, (5000,), every(1, 5000)),
        f((4999,), (4999,)),
    ),
    Example(
        "sum of written",
        lambda x, u, v, w: (
            scatter(u, (70, 80), every(1, 69), every(2, 80)) + (x + scatter(v, (70, 80), every(0, 68), every(0, 79)))
            + scatter(w, (70, 80), 3)
        ),
        f((70, 80), (68, 78), (68, 79), (80,)),
    ),
    Example(
        "sum of written",
        lambda u, v, w: (
            scatter(u, (4, 6), every(), 1) + (scatter(v, (4, 6), every(), 5) + scatter(w, (4, 6), every(), 3))
        ),
        f((4,), (4,), (4,)),
    ),
    Example(
        "sum of written",
        lambda x, u, v, w: (
            scatter(u, (4, 2, 6), 1, every(), -4) + x + scatter(v, (4, 2, 6), 1, every(), -1)
            + scatter(w, (4, 2, 6), 2) + scatter(v, (4, 2, 6), 1, every(), 4) + scatter(v, (4, 2, 6), 1, every(), 3)
        ),
        f((4, 2, 6), (2,), (2,), (2, 6)),
    ),
    Example(
        None,
        lambda u, v, w: (
            scatter(u, (4, 6), every(), 1) + scatter(v, (4, 6), every(), 5) + scatter(w, (4, 6), every(), 2)
        ),
        f((4,), (4,), (4,)),
    ),
    Example(
        None,
        lambda v, w: scatter(v, (5000,), every(0, 4999)) + scatter(w, (5000,), every(1, 5000, 2)),
        f((4999,), (2500,)),
    ),
    Example(None, lambda v, w: scatter(v, (4, 3), every(), 1) + scatter(w, (4, 3), every(), 2), f((4,), (4,))),
    Example(
        "sum of written",
        lambda v, w: scatter(v, (4, 6), every(), every(0, 2)) + scatter(w, (4, 6), every(), every(2, 6)),
        f((4, 2), (4, 4)),
    ),
    Example(
        None,
        lambda v, w: scatter(v, (4, 6), every(), every(0, 3)) + scatter(w, (4, 6), every(), every(2, 6)),
        f((4, 3), (4, 4)),
    ),
    Example(
        None,
        lambda x, v, w: x + (scatter(v, (4, 6), every(), every(0, 2)) + scatter(w, (4, 6), every(), every(2, 6))),
        f((4, 6), (4, 2), (4, 4)),
    ),
    # -- sums
    Example("reduction of one", lambda x: total(x, 1), f((2, 1))),
    *[Example("reduction of one", lambda x, n=n: total(x, 1, name=n), f((2, 1))) for n in ("mean", "prod", "max")],
    Example("reduction of one", lambda x: total(x, 0, 1, 2), f((1, 1, 1))),
    Example("reduction of one", lambda x: total(x, 0, 2, keepdims=True), f((1, 3, 1))),
    Example(None, lambda x: total(x, 0, 1, keepdims=True), f((1, 3))),
    Example("reduction of one", lambda x: total(x), X),
    Example("reduction of broadcast", lambda x: total(wide(x, 2, 3), 0), V),
    Example("reduction of broadcast", lambda x: total(wide(x, 2, 3), 0, 1, keepdims=True), V),
    Example("reduction of broadcast", lambda x: total(wide(x, 2, 3), 0), f((3,), dtype=I)),
    Example("reduction of broadcast", lambda x: total(wide(x, 2, 3), 0, name="max"), V),
    Example("reduction of broadcast", lambda x: total(wide(x, 2, 3), 0, 1, name="any"), f((3,), dtype=B)),
    Example("reduction of broadcast", lambda x: total(wide(x, 2, 3), 0, 1, name="mean"), V),
    Example(None, lambda x: total(wide(x, 0, 3), 0), V),
    Example(None, lambda x: total(wide(x, 2, 3), 0, 1, name="max"), V),
    Example("sum of sums", lambda x: total(total(x, 1), 1), f((2, 5, 4))),
    Example("sum of sums", lambda x: total(total(x, 1, keepdims=True), 0, 1), f((2, 5, 4))),
    Example(None, lambda x: (total(total(x, 1), 0), total(x, 1)), X),
    Example("sum of everything", lambda x: total(reshaped(x, 3, 2), 0, 1), X),
    Example("sum of everything", lambda x: total(moved(x, 1, 0), 0, 1), X),
    Example("sum of transpose", lambda x: total(moved(x, 1, 0), 0), X),
    Example(None, lambda x: total(moved(x, 1, 0, 2), 2), f((2, 3, 4))),
    Example("sum of multiples", lambda x: total(x * 3.0, 1), f((2, 5))),
    Example(None, lambda x: total(x * 0.3, 1), X),
    Example(None, lambda x: total(x * -3.0, 1), X),
    Example(None, lambda x, s: total(x * s, 1), f((2, 3), ())),
    Example("running sum of one", lambda x: hop("cumsum", x, axis=0), f((1, 3))),
    # -- products
    Example("product of column and row", lambda a, b: hop("matmul", a, b), f((2, 1), (1, 3))),
    Example("product of column and row", lambda a, b: hop("matmul", a, b), f((1,), (1, 3))),
    Example("product of column and row", lambda a, b: hop("matmul", a, b), f((4, 2, 1), (1,))),
    Example("product of column and row", lambda a, b: hop("matmul", a, b), f((1,), (1,))),
    Example(None, lambda a, b: hop("matmul", a, moved(b, 1, 0)), f((2, 4), (3, 4))),
    Example("transpose of product", lambda a, b: moved(hop("matmul", a, b), 1, 0), f((2, 3), (3, 4))),
    Example("transpose of product", lambda a, b: moved(hop("matmul", a, b), 0, 2, 1), f((5, 2, 3), (3, 4))),
    Example(None, lambda a, b: moved(hop("matmul", a, b), 1, 0, 2), f((5, 2, 3), (5, 3, 4))),
    Example(None, lambda a, b: (c := hop("matmul", a, b), moved(c, 1, 0)), f((2, 3), (3, 4))),
    Example("sum of products", lambda a, b: total(hop("matmul", moved(a, 0, 2, 1), b), 0), f((5, 3, 2), (5, 3, 4))),
    Example(
        "sum of products",
        lambda a, b: total(hop("matmul", moved(a, 0, 1, 3, 2), b), 0, 1),
        f((2, 5, 3, 2), (2, 5, 3, 4)),
    ),
    Example(None, lambda a, b: total(hop("matmul", a, b), 0), f((5, 2, 3), (5, 3, 4))),
    Example(None, lambda a, b: total(hop("matmul", moved(a, 0, 2, 1), b), 0), f((5, 3, 2), (3, 4))),
    Example(None, lambda a, b: total(hop("matmul", moved(a, 0, 2, 1), b), 1), f((5, 3, 2), (5, 3, 4))),
    Example(
        "chain from the left", lambda a, b, v: hop("matmul", hop("matmul", a, b), v), f((4, 5), (5, 6), (6,))
    ),
    Example(
        "chain from the right", lambda v, a, b: hop("matmul", v, hop("matmul", a, b)), f((4,), (4, 5), (5, 6))
    ),
    Example(
        "chain from the left",
        lambda a, b, c, d: hop("matmul", hop("matmul", hop("matmul", a, b), c), d),
        f((7, 2), (2, 7), (7, 2), (2, 1)),
    ),
    Example(None, lambda a, b, v: hop("matmul", a, hop("matmul", b, v)), f((4, 5), (5, 6), (6,))),
    *[
        Example("solve by substitution", lambda a, b, low=low: hop("solve", hop("triangle", a, k=0, lower=low), b),
                f((3, 3), (3,)))
        for low in (True, False)
    ],
    Example(
        "solve by substitution",
        lambda a, b: hop("solve", moved(hop("triangle", a, k=0, lower=True), 0, 2, 1), b),
        f((2, 3, 3), (2, 3, 1)),
    ),
    Example(
        "solve by substitution", lambda a, b: hop("solve", moved(spd(a), 1, 0), b), f((3, 3), (3, 2))
    ),
    Example(None, lambda a, v: (hop("matmul", hop("matmul", a, a), v), hop("matmul", a, a)), f((4, 4), (4,))),
    Example("einsum of one", lambda x: einsum("ij->ji", x), X),
    Example("einsum of one", lambda x: einsum("ijk->ki", x), f((2, 3, 4))),
    Example(None, lambda x: einsum("ii->i", x), f((3, 3))),
    Example("einsum of two", lambda x, y: einsum("ij,jk->ik", x, y), f((2, 3), (3, 4))),
    Example("einsum of two", lambda x, y: einsum("ji,kj->ki", x, y), f((3, 2), (4, 3))),
    Example("einsum of two", lambda x, y: einsum("i,j->ji", x, y), f((2,), (3,))),
    Example("einsum of two", lambda x, y: einsum("ij,j->i", x, y), f((2, 3), (3,))),
    Example("einsum of two", lambda x, y: einsum("i,i->", x, y), V + V),
    Example("einsum of two", lambda x, y: einsum("bij,bjk->bik", x, y), f((5, 2, 3), (5, 3, 4))),
    Example("einsum of two", lambda x, y: einsum("bij,bj->ib", x, y), f((5, 2, 3), (5, 3))),
    Example("einsum of two", lambda x, y: einsum("bj,bj->b", x, y), f((5, 3), (5, 3))),
    Example("einsum of two", lambda x, y: einsum("ijkl,lkm->mij", x, y), f((2, 3, 4, 5), (5, 4, 2))),
    Example("einsum of two", lambda x, y: einsum("ij,kl->jl", x, y), f((2, 3), (4, 5))),
    Example("einsum of two", lambda x, y: einsum("i,ij->j", full(x, 1.0), y), f((2,), (2, 3))),
    Example("einsum of two", lambda x, y: einsum("ij,k->ik", x, full(y, 1.0)), f((2, 3), (4,))),
    Example(None, lambda x, y: einsum("ij,jk->ik", x, y), f((2, 1), (3, 2))),
    Example(None, lambda x, y: einsum("ii,ij->j", x, y), f((3, 3), (3, 2))),
    Example("einsum of many", lambda x, y, z: einsum("ij,jk,kl->il", x, y, z), f((2, 3), (3, 4), (4, 5))),
    Example("einsum of many", lambda x, y, z: einsum("i,i,i->", x, y, z), V + V + V),
    Example("einsum of many", lambda x, y, z: einsum("ij,ik,il->jkl", x, y, z), f((2, 3), (2, 4), (2, 5))),
    Example("einsum of many", lambda x: einsum("ij,i,j->", x, ones(x.builder, f((2,))[0]), ones(x.builder, V[0])), X),
    # -- an index that is an array
    Example("scatter everywhere", lambda x: scatter(x, (2, 3), every(), None), f((2, 1, 3))),
    Example("index in equal steps", lambda x: gather(x, [1, 2], 1), X),
    Example("index in equal steps", lambda x: gather(x, [-1, 1, 0], 1), X),
    Example("index in equal steps", lambda x: gather(x, 1, 1), X),
    Example(
        "scatter in equal steps",
        lambda v: hop("scatter", v, v.builder.constant(np.array([0, 2])), items=(Operand(0),), shape=(4,)),
        f((2,)),
    ),
    Example(
        "index in equal steps",
        lambda x, v: hop("put", x, v, x.builder.constant(np.array([3, 2])), items=(Operand(0),)),
        f((4,), (2,)),
    ),
    Example("index of windows", lambda x: gather(x, [[0, 1], [1, 2], [2, 3], [3, 4]], 1), f((2, 5))),
    Example("index of windows", lambda x: gather(x, [[0, 2, 4, 6], [1, 3, 5, -1]], 0), f((8,))),
    Example(None, lambda x: gather(x, [[0, 1], [1, 2], [3, 4], [2, 3]], 0), f((5,))),
    Example(
        "scatter of windows",
        lambda v: hop(
            "scatter", v, v.builder.constant(np.array([[0, 1], [1, 2], [2, 3], [3, 4]])),
            items=(Slice(None, None, None), Operand(0)), shape=(2, 5),
        ),
        f((2, 4, 2)),
    ),
    Example(None, lambda x: gather(x, [1, 1], 1), X),
    Example(None, lambda x: gather(x, [0, 2, 1], 1), X),
    Example(
        None, lambda x: hop("index", x, x.builder.constant(np.array([1, 0, 1])), items=(Operand(0),)), X
    ),
    Example(None, lambda x: total(total(x, 1), 1), f((2, 3, 4))),
    Example(None, lambda x: total(x * 3.0, 1), X),
    Example(None, lambda x: total(wide(x, 4, 3), 0), V),
    Example("question of moved", lambda x: hop("isfinite", hop("transpose", x, axes=(1, 0))), X),
    Example("question of moved", lambda x: hop("isnan", hop("reshape", x, shape=(6,))), X),
    Example("sum of everything", lambda x: total(hop("transpose", x > 0.0, axes=(1, 0)), 0, 1, name="all"), X),
]  # fmt: skip
