"""Distributions of vectors and matrices: functions of ``scipy.stats`` as formulas made of hops.

Positive definite matrices go through Cholesky's factor, whose diagonal gives the determinant and which solves for the
quadratic form (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1).
"""

from __future__ import annotations

from collections.abc import Callable
from math import log as ln
from math import pi
from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.hops import elementwise as ew
from hopgrad.hops import functions as fn
from hopgrad.hops import special as sp
from hopgrad.hops.distributions import Either, choose, fixed, number
from hopgrad.hops.elementwise import exp, log, log1p
from hopgrad.hops.linalg_functions import cholesky, solve
from hopgrad.hops.surface import find_builder, lift, refused


def _handle(value: Any, builder: Any) -> Expr:
    return lift(number(value, builder), builder)


def _line(x: Expr) -> Expr:
    """What ``scipy.stats`` returns: without axes of length 1."""
    return fn.squeeze(x)


# -- quadratic forms ---------------------------------------------------------------------------------------------------


def _parameters(name: str, mean: Any, cov: Any, builder: Any) -> tuple[Expr, Expr, int]:
    """The mean as a vector, the covariance as a matrix, and their dimension, of all that SciPy takes for them."""
    if type(cov).__module__.startswith("scipy.stats"):
        raise refused(f"{name} of a Covariance object", "give the matrix itself")
    center = None if mean is None else fn.atleast_1d(_handle(mean, builder))
    spread = _handle(1.0 if cov is None else cov, builder)
    dim = center.shape[0] if center is not None else spread.shape[0] if spread.ndim else 1
    if center is not None and center.ndim != 1:
        raise ValueError(f"Array 'mean' must be a vector of length {dim}.")
    if center is None:
        center = _handle(np.zeros(dim), builder)
    if spread.ndim == 0:
        spread = spread * np.eye(dim)
    elif spread.ndim == 1:
        spread = fn.diag(spread)
    if spread.shape != (dim, dim):
        raise ValueError(f"Array 'cov' must be of shape {(dim, dim)}, but has shape {spread.shape}.")
    return center, spread, dim


def _points(x: Any, dim: int, builder: Any) -> Expr:
    points = _handle(x, builder)
    if points.ndim == 0:
        return fn.reshape(points, (1,))
    return fn.reshape(points, (-1, 1) if dim == 1 else (1, -1)) if points.ndim == 1 else points


def _form(x: Expr, center: Expr, spread: Expr) -> tuple[Expr, Expr]:
    """dᵀ S⁻¹ d for all d = x − center, and log det S."""
    factor = cholesky(spread)
    away = x - center
    lead = away.shape[:-1]
    flat = fn.reshape(away, (-1, away.shape[-1]))
    white = solve(factor, fn.transpose(flat))
    return fn.reshape(fn.sum(white * white, 0), lead), 2 * fn.sum(log(fn.diagonal(factor)))


def _singular(name: str, allow_singular: Any) -> None:
    if allow_singular:
        raise refused(f"{name}(allow_singular=True)", "give a positive definite matrix")


def normal_logpdf(x: Any, mean: Any = None, cov: Any = 1, allow_singular: Any = False) -> Expr:
    """The normal density of vectors, as a logarithm."""
    builder = find_builder([x, mean, cov])
    _singular("scipy.stats.multivariate_normal", allow_singular)
    center, spread, dim = _parameters("scipy.stats.multivariate_normal", mean, cov, builder)
    form, det = _form(_points(x, dim, builder), center, spread)
    return _line(-(form + (dim * ln(2 * pi) + det)) / 2)


def normal_entropy(mean: Any = None, cov: Any = 1) -> Expr:
    """log det(2πe S) / 2."""
    builder = find_builder([mean, cov])
    _, spread, dim = _parameters("scipy.stats.multivariate_normal", mean, cov, builder)
    return fn.sum(log(fn.diagonal(cholesky(spread)))) + dim * (ln(2 * pi) + 1) / 2


def t_logpdf(x: Any, loc: Any = None, shape: Any = 1, df: Any = 1, allow_singular: Any = False) -> Expr:
    """The density of vectors by Student, as a logarithm."""
    builder = find_builder([x, loc, shape, df])
    name = "scipy.stats.multivariate_t"
    _singular(name, allow_singular)
    if find_builder(df) is None and np.isinf(df):
        return normal_logpdf(x, loc, shape)
    center, spread, dim = _parameters(name, loc, shape, builder)
    form, det = _form(_points(x, dim, builder), center, spread)
    degrees = number(df, builder)
    half = (degrees + dim) / 2
    constant = sp.gammaln(half) - sp.gammaln(degrees / 2) - log(degrees * pi) * (dim / 2)
    return _line(constant - det / 2 - half * log1p(form / degrees))


# -- proportions -------------------------------------------------------------------------------------------------------


def _concentrations(alpha: Any, builder: Any) -> Expr:
    found = _handle(alpha, builder)
    if found.ndim != 1:
        raise ValueError(f"Parameter vector 'a' must be one dimensional, but a.shape = {found.shape}.")
    return found


def _log_beta(alpha: Expr) -> Expr:
    return fn.sum(sp.gammaln(alpha)) - sp.gammaln(fn.sum(alpha))


def dirichlet_logpdf(x: Any, alpha: Any) -> Expr:
    """The density of proportions, as a logarithm. That they add up to 1 is not checked."""
    builder = find_builder([x, alpha])
    a, points = _concentrations(alpha, builder), _handle(x, builder)
    if points.shape[0] + 1 == a.shape[0]:
        rest = 1 - fn.sum(points, 0, keepdims=True)
        points = fn.concatenate([points, rest])
    if points.shape[0] != a.shape[0]:
        raise ValueError(
            "Vector 'x' must have either the same number of entries as, or one entry fewer than, parameter vector 'a',"
            f" but alpha.shape = {a.shape} and x.shape = {points.shape}."
        )
    powers = fn.reshape(a - 1, (-1, *[1] * (points.ndim - 1)))
    return _line(fn.sum(sp.xlogy(powers, points), 0) - _log_beta(a))


def dirichlet_mean(alpha: Any) -> Expr:
    """Proportions of the concentrations."""
    a = _concentrations(alpha, find_builder(alpha))
    return _line(a / fn.sum(a))


def dirichlet_var(alpha: Any) -> Expr:
    """Variances of the proportions."""
    a = _concentrations(alpha, find_builder(alpha))
    total = fn.sum(a)
    return _line(a * (total - a) / (total * total * (total + 1)))


def dirichlet_entropy(alpha: Any) -> Expr:
    """The differential entropy."""
    a = _concentrations(alpha, find_builder(alpha))
    total, count = fn.sum(a), a.shape[0]
    return _log_beta(a) + (total - count) * sp.digamma(total) - fn.sum((a - 1) * sp.digamma(a))


def _proportions(p: Any, builder: Any) -> Either:
    """The last one is what the others leave, as in SciPy."""
    given = _handle(p, builder)
    last = given.shape[-1] - 1
    others = fn.take(given, np.arange(last), -1)
    return fn.concatenate([others, 1 - fn.sum(others, -1, keepdims=True)], -1)


def multinomial_logpmf(x: Any, n: Any, p: Any) -> Expr:
    """The probability of counts, as a logarithm: −∞ where they do not add up to n."""
    builder = find_builder([x, n, p])
    shares, counts, trials = _proportions(p, builder), fixed(_handle(x, builder)), fixed(_handle(n, builder))
    whole = fn.all(ew.logical_and(ew.equal(counts, ew.floor(counts)), counts >= 0), -1)
    possible = ew.logical_and(whole, ew.equal(fn.sum(counts, -1), trials))
    counts = choose(counts >= 0, counts, 0.0)
    found = sp.gammaln(trials + 1) + fn.sum(sp.xlogy(counts, shares) - sp.gammaln(counts + 1), -1)
    return lift(choose(possible, found, -np.inf), builder)


def multinomial_mean(n: Any, p: Any) -> Expr:
    """Expected counts."""
    builder = find_builder([n, p])
    trials = _handle(n, builder)
    return fn.reshape(fixed(trials), (*trials.shape, 1)) * _proportions(p, builder)


# -- matrices ----------------------------------------------------------------------------------------------------------


def _multigammaln(a: Either, dim: int) -> Either:
    found: Either = ln(pi) * dim * (dim - 1) / 4
    for k in range(dim):
        found = found + sp.gammaln(a - k / 2)
    return found


def wishart_logpdf(x: Any, df: Any, scale: Any) -> Expr:
    """The density of scatter matrices, as a logarithm."""
    builder = find_builder([x, df, scale])
    spread, degrees, given = _handle(scale, builder), number(df, builder), _handle(x, builder)
    if spread.ndim < 2:
        spread = fn.reshape(spread, (1, 1)) if spread.size == 1 else fn.diag(spread)
    dim = spread.shape[0]
    if spread.shape != (dim, dim):
        raise ValueError(f"Array 'scale' must be square if it is two dimensional, but scale.scale = {spread.shape}.")
    if given.ndim < 2 and dim > 1:
        raise refused("scipy.stats.wishart of numbers and diagonals", "give x as matrices along its first two axes")
    matrices = fn.reshape(given, (1, 1, -1)) if given.ndim < 2 else fn.reshape(given, (dim, dim, -1))
    stack = fn.moveaxis(matrices, -1, 0)
    factor = cholesky(stack)
    det = 2 * fn.sum(log(fn.diagonal(factor, 0, -2, -1)), -1)
    white = solve(cholesky(spread), factor)
    trace = fn.sum(white * white, (-2, -1))
    det_scale = 2 * fn.sum(log(fn.diagonal(cholesky(spread))))
    constant = degrees * (dim * ln(2) / 2) + degrees / 2 * det_scale + _multigammaln(degrees / 2, dim)
    return _line((degrees - dim - 1) / 2 * det - trace / 2 - constant)


def _density(logarithm: Callable[..., Expr]) -> Callable[..., Expr]:
    return lambda *args, **keywords: exp(logarithm(*args, **keywords))


MULTIVARIATE: dict[str, dict[str, Callable[..., Expr]]] = {
    "multivariate_normal": {
        "logpdf": normal_logpdf, "pdf": _density(normal_logpdf), "entropy": normal_entropy,
    },
    "multivariate_t": {"logpdf": t_logpdf, "pdf": _density(t_logpdf)},
    "dirichlet": {
        "logpdf": dirichlet_logpdf, "pdf": _density(dirichlet_logpdf), "mean": dirichlet_mean, "var": dirichlet_var,
        "entropy": dirichlet_entropy,
    },
    "multinomial": {"logpmf": multinomial_logpmf, "pmf": _density(multinomial_logpmf), "mean": multinomial_mean},
    "wishart": {"logpdf": wishart_logpdf, "pdf": _density(wishart_logpdf)},
}  # fmt: skip
"""By the name in ``scipy.stats``, and the method's; parameters are SciPy's."""
