"""Reductions: a weighted sum over axes is their local gradient. Also the cumulative sum and the softmax.

Parameters of every reduction: ``axes``, a sorted tuple of axes, and ``keepdims``.
"""

from __future__ import annotations

from math import prod as product
from typing import Any

import numpy as np

from hopgrad.aval import Aval, aval
from hopgrad.batch import Batch, along_axes, along_axis
from hopgrad.graph.builder import Expr, ones
from hopgrad.graph.hop import Case, Draw, Function, Notation, On, general, reduction, structural
from hopgrad.graph.operators import Linear, Operator, Support, expand
from hopgrad.hops.elementwise import exp, isfinite, log, sqrt, where
from hopgrad.hops.shape import concatenate, reshape, slice_axis, transposed

Axes = tuple[int, ...]


def _draw_axes(draw: Draw) -> Case:
    return Case(axes=draw([(), (0,), (1,), (0, 1)]), keepdims=draw([False, True]))


def _count(x: Expr, axes: Axes) -> int:
    return product(x.shape[k] for k in axes)


def _big(symbol: str, tex: str, rule: str = "") -> Notation:
    return Notation("big", symbol, tex, rule)


def _sum(x: Any, *, axes: Axes, keepdims: bool) -> Any:
    return np.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype if x.dtype.kind in "fc" else None)


def _any(x: Any, *, axes: Axes, keepdims: bool) -> Any:
    return np.any(x, axis=axes, keepdims=keepdims)


def _all(x: Any, *, axes: Axes, keepdims: bool) -> Any:
    return np.all(x, axis=axes, keepdims=keepdims)


@reduction(_sum, _big("Σ", r"\sum", "sum"), sample=_draw_axes, lowering="sum")
def sum_(x: Expr) -> Any:
    """Every element counts once."""
    return 1


def _mean(x: Any, *, axes: Axes, keepdims: bool) -> Any:
    return np.mean(x, axis=axes, keepdims=keepdims)


def _mean_parts(x: Expr, *, axes: Axes, keepdims: bool) -> Expr:
    return sum_(x, axes=axes, keepdims=keepdims) / _count(x, axes)


@reduction(_mean, Function("mean", r"\operatorname{mean}", "mean"), sample=_draw_axes, traits=("nonempty",),
           parts=_mean_parts)  # fmt: skip
def mean(x: Expr, *, axes: Axes) -> Any:
    """Every element counts the same."""
    count = _count(x, axes)
    return 1 / count if count else np.nan


def _var(x: Any, *, axes: Axes, keepdims: bool, ddof: float) -> Any:
    return np.var(x, axis=axes, keepdims=keepdims, ddof=ddof)


def _std(x: Any, *, axes: Axes, keepdims: bool, ddof: float) -> Any:
    return np.std(x, axis=axes, keepdims=keepdims, ddof=ddof)


def _draw_spread(draw: Draw) -> Case:
    return Case(axes=draw([(0,), (1,), (0, 1)]), keepdims=draw([False, True]), ddof=draw([0, 1]))


def _degrees(x: Expr, axes: Axes, ddof: float) -> float:
    degrees = _count(x, axes) - ddof
    return 1 / degrees if degrees > 0 else np.nan


def _var_parts(x: Expr, *, axes: Axes, keepdims: bool, ddof: float) -> Expr:
    deviation = x - _mean_parts(x, axes=axes, keepdims=True)
    return sum_(deviation * deviation, axes=axes, keepdims=keepdims) / max(_count(x, axes) - ddof, 0)


def _std_parts(x: Expr, **params: Any) -> Expr:
    return sqrt(_var_parts(x, **params))


@reduction(_var, Function("var", r"\operatorname{var}", "variance"), sample=_draw_spread, traits=("nonempty", "real"),
           parts=_var_parts)  # fmt: skip
def var(x: Expr, *, axes: Axes, ddof: float) -> Any:
    """Twice the deviation; the mean's own change drops out, as deviations add up to 0."""
    return (2 * _degrees(x, axes, ddof)) * (x - mean(x, axes=axes, keepdims=True))


@reduction(_std, Function("std", r"\operatorname{std}", "standard deviation"), sample=_draw_spread,
           traits=("nonempty", "kink", "real"), kink="all equal: 0, the least subgradient",
           parts=_std_parts)  # fmt: skip
def std(x: Expr, *, out: Expr, axes: Axes, ddof: float) -> Any:
    """The deviation over the standard deviation; masked where that is 0, where std has a corner."""
    spread = expand(out, axes, x.aval, keepdims=out.ndim == x.ndim)
    deviation = _degrees(x, axes, ddof) * (x - mean(x, axes=axes, keepdims=True))
    return On(spread != 0, deviation / spread)


def _norm(x: Any, *, axes: Axes, keepdims: bool) -> Any:
    return np.sqrt(np.sum(np.square(x), axis=axes, keepdims=keepdims))


def _norm_parts(x: Expr, *, axes: Axes, keepdims: bool) -> Expr:
    return sqrt(sum_(x * x, axes=axes, keepdims=keepdims))


@reduction(_norm, Notation("fence", "‖", rule="norm"), sample=_draw_axes, traits=("kink", "real"),
           kink="at 0: 0, the least subgradient", parts=_norm_parts)  # fmt: skip
def norm(x: Expr, *, out: Expr, axes: Axes) -> Any:
    """The unit vector; masked at 0, where the norm has a corner."""
    spread = expand(out, axes, x.aval, keepdims=out.ndim == x.ndim)
    return On(spread != 0, x / spread)


def _prod(x: Any, *, axes: Axes, keepdims: bool) -> Any:
    return np.prod(x, axis=axes, keepdims=keepdims, dtype=x.dtype if x.dtype.kind in "fc" else None)


@reduction(_prod, _big("Π", r"\prod", "product rule"), sample=_draw_axes, lowering="prod")
def prod(x: Expr, *, axes: Axes) -> Any:
    """The product of all other elements, never as out/x: right through zeros, to every order."""
    if x.size == 0:
        return 0
    # Bring the reduced axes together in front, so that one sweep does it.
    rest = tuple(k for k in range(x.ndim) if k not in axes)
    order = axes + rest
    front = transposed(x, order)
    flat = reshape(front, shape=(_count(x, axes), *[x.shape[k] for k in rest]))
    back = reshape(others(flat), shape=front.shape)
    return transposed(back, tuple(int(k) for k in np.argsort(order)))


def others(x: Expr) -> Expr:
    """For each element along axis 0, the product of all others: pairs are multiplied up a tree, then handed down."""
    levels: list[tuple[Expr, Expr, int]] = []
    while x.shape[0] > 1:
        count = x.shape[0]
        if count % 2:
            x = concatenate(x, ones(x.builder, aval((1, *x.shape[1:]), x.dtype)), axis=0)
        even, odd = slice_axis(x, 0, 0, None, 2), slice_axis(x, 0, 1, None, 2)
        levels.append((even, odd, count))
        x = even * odd
    found = ones(x.builder, x.aval)
    for even, odd, count in reversed(levels):
        pairs = [reshape(v, shape=(v.shape[0], 1, *v.shape[1:])) for v in (found * odd, found * even)]
        both = concatenate(*pairs, axis=1)
        found = reshape(both, shape=(2 * even.shape[0], *even.shape[1:]))
        if found.shape[0] != count:
            found = slice_axis(found, 0, 0, count, 1)
    return found


def _max(x: Any, *, axes: Axes, keepdims: bool) -> Any:
    return np.max(x, axis=axes, keepdims=keepdims)


def _min(x: Any, *, axes: Axes, keepdims: bool) -> Any:
    return np.min(x, axis=axes, keepdims=keepdims)


def _extreme(x: Expr, out: Expr, axes: Axes) -> Any:
    """Ties share evenly, which is the least-norm subgradient."""
    taken = x == expand(out, axes, x.aval, keepdims=out.ndim == x.ndim)
    one, zero = (x.builder.constant(v, x.dtype) for v in (1, 0))
    count = sum_(where(taken, one, zero), axes=axes, keepdims=True)
    return On(taken, 1 / count)


_TIES = "ties: split evenly"


@reduction(_max, Function("max", r"\max", "maximum"), sample=_draw_axes, traits=("nonempty", "kink"), kink=_TIES,
           lowering="max")  # fmt: skip
def max_(x: Expr, *, out: Expr, axes: Axes) -> Any:
    """Passes to the largest elements."""
    return _extreme(x, out, axes)


@reduction(_min, Function("min", r"\min", "minimum"), sample=_draw_axes, traits=("nonempty", "kink"), kink=_TIES,
           lowering="min")  # fmt: skip
def min_(x: Expr, *, out: Expr, axes: Axes) -> Any:
    """Passes to the smallest elements."""
    return _extreme(x, out, axes)


def _logsumexp(x: Any, *, axes: Axes, keepdims: bool) -> Any:
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    safe = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        out = np.log(np.sum(np.exp(x - safe), axis=axes, keepdims=True)) + safe
    return out.astype(x.dtype) if keepdims else np.squeeze(out, axis=axes).astype(x.dtype)


def _logsumexp_parts(x: Expr, *, axes: Axes, keepdims: bool) -> Expr:
    # The exponentials are those of `softmax`, which is the derivative.
    top = max_(x, axes=axes, keepdims=True)
    out = where(isfinite(top), log(sum_(exp(x - top), axes=axes, keepdims=True)) + top, top)
    return out if keepdims else reshape(out, shape=tuple(n for k, n in enumerate(x.shape) if k not in axes))


@reduction(_logsumexp, Function("logsumexp", r"\operatorname{logsumexp}", "log-sum-exp"), sample=_draw_axes,
           kink="all −∞: 0", traits=("real",), parts=_logsumexp_parts)  # fmt: skip
def logsumexp(x: Expr, *, out: Expr, axes: Axes) -> Any:
    """The softmax."""
    return On(expand(out, axes, x.aval, keepdims=out.ndim == x.ndim) != -np.inf, softmax(x, axes=axes))


def _flat_reduction(name: str, value: Any, symbol: str, *traits: str) -> Any:
    def body(x: Expr) -> None:
        """Constant between its jumps, so the derivative is 0."""

    body.__name__, body.__module__ = name, __name__
    return reduction(value, Function(symbol, rf"\operatorname{{{symbol}}}"), sample=_draw_axes,
                     traits=("flat", *traits), lowering=name)(body)  # fmt: skip


any_ = _flat_reduction("any", _any, "any", "predicate")
all_ = _flat_reduction("all", _all, "all", "predicate")


def _arg(function: Any) -> Any:
    def value(x: Any, *, axes: Axes, keepdims: bool, dtype: Any) -> Any:
        out = function(x, axis=None if len(axes) == x.ndim else axes[0])
        return np.reshape(out, tuple(1 if k in axes else n for k, n in enumerate(x.shape))) if keepdims else out

    return value


def _arg_batch(batch: Batch) -> Expr:
    """Positions along one axis, or among all elements of a value."""
    x = batch.args[0]
    if len(batch.params["axes"]) == x.ndim - 1:
        x = reshape(x, shape=(batch.count, x.size // batch.count if batch.count else product(x.shape[1:])))
        return batch.shaped(batch.hop(x, **{**batch.params, "axes": (1,)}))
    return along_axes(batch)


def _draw_arg(draw: Draw) -> Case:
    return Case(axes=draw([(0,), (1,), (0, 1)]), keepdims=draw([False, True]), dtype=np.dtype(np.intp))


@reduction(_arg(np.argmax), Function("argmax", r"\operatorname{argmax}"), traits=("flat", "nonempty"),
           batch=_arg_batch, sample=_draw_arg)  # fmt: skip
def argmax(x: Expr) -> Any:
    """An integer, so the derivative is 0."""
    return None


@reduction(_arg(np.argmin), Function("argmin", r"\operatorname{argmin}"), traits=("flat", "nonempty"),
           batch=_arg_batch, sample=_draw_arg)  # fmt: skip
def argmin(x: Expr) -> Any:
    """An integer, so the derivative is 0."""
    return None


# -- along an axis, keeping it ---------------------------------------------------------------------------------------


def _cumsum(x: Any, *, axis: int) -> Any:
    return np.cumsum(x, axis=axis, dtype=x.dtype)


def _same_shape(x: Aval, **_: Any) -> Any:
    return x.shape


@structural(_cumsum, Function("cumsum", r"\operatorname{cumsum}", "cumulative sum"), shape=_same_shape,
            traits=("mixing",), batch=along_axis, sample=lambda draw: Case(axis=draw([0, 1])))  # fmt: skip
def cumsum(ct: Any, x: Expr, *, axis: int) -> Any:
    """An element enters all later sums: the cumulative sum from the other end."""
    return flip(cumsum(flip(ct, axis), axis=axis), axis)


def flip(x: Any, axis: int) -> Any:
    """Reversed along one axis."""
    return slice_axis(x, axis, None, None, -1)


def _softmax(x: Any, *, axes: Axes) -> Any:
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    e = np.exp(x - top)
    return e / np.sum(e, axis=axes, keepdims=True)


def _same(x: Aval, **_: Any) -> Aval:
    return x


def lines(x: Aval, axes: Axes) -> Any:
    """Every element enters all results of its own lines along the axes."""

    def mask(support: Support) -> Support:
        return None if support is None else expand(any_(support, axes=axes, keepdims=True), axes, x, keepdims=True)

    return mask


def _softmax_parts(x: Expr, *, axes: Axes) -> Expr:
    e = exp(x - max_(x, axes=axes, keepdims=True))
    return e / sum_(e, axes=axes, keepdims=True)


@general(_softmax, Function("softmax", r"\operatorname{softmax}", "softmax"), infer=_same,
         parts=_softmax_parts, batch=along_axes, sample=lambda draw: Case(axes=draw([(0,), (1,), (0, 1)])))  # fmt: skip
def softmax(x: Expr, *, out: Expr, axes: Axes) -> Operator:
    """diag(y) − y yᵀ, which is symmetric: pushing and pulling are the same map."""

    def both(t: Expr) -> Expr:
        return out * (t - sum_(out * t, axes=axes, keepdims=True))

    return Linear(x.aval, out.aval, both, both, lines(x.aval, axes))


def _log_softmax(x: Any, *, axes: Axes) -> Any:
    shifted = x - np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axes, keepdims=True))


def _log_softmax_parts(x: Expr, *, axes: Axes) -> Expr:
    shifted = x - max_(x, axes=axes, keepdims=True)
    return shifted - log(sum_(exp(shifted), axes=axes, keepdims=True))


@general(_log_softmax, Function("log softmax", r"\log\operatorname{softmax}", "log softmax"), infer=_same,
         parts=_log_softmax_parts, batch=along_axes,
         sample=lambda draw: Case(axes=draw([(0,), (1,), (0, 1)])))  # fmt: skip
def log_softmax(x: Expr, *, out: Expr, axes: Axes) -> Operator:
    """I − 1 yᵀ, with y the softmax."""

    def push(t: Expr) -> Expr:
        return t - sum_(exp(out) * t, axes=axes, keepdims=True)

    def pull(ct: Expr) -> Expr:
        return ct - exp(out) * sum_(ct, axes=axes, keepdims=True)

    return Linear(x.aval, out.aval, push, pull, lines(x.aval, axes))
