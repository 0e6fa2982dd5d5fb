"""Summary statistics of ``scipy.stats``: moments and means of samples, standard scores, correlation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.hops import elementwise as ew
from hopgrad.hops import functions as fn
from hopgrad.hops import incomplete as inc
from hopgrad.hops import special as sp
from hopgrad.hops.order import median, percentile, sort
from hopgrad.hops.surface import as_float, cast, find_builder, lift, refused, surface

_STATS = "scipy.stats:"


def _sample(name: str, a: Any, nan_policy: str) -> Expr:
    """The sample as numbers with a fraction. NaN is carried on, as by default."""
    if nan_policy != "propagate":
        raise refused(f"scipy.stats.{name}(nan_policy={nan_policy!r})", "take NaN out before")
    return as_float(lift(a))


def _center(x: Expr, axis: Any) -> Expr:
    return fn.mean(x, axis, keepdims=True)


def _size(x: Expr, axis: Any) -> int:
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return int(np.prod([x.shape[k] for k in axes], dtype=int))


@surface(_STATS + "moment")
def moment(a: Any, order: Any = 1, axis: Any = 0, nan_policy: str = "propagate", *, center: Any = None,
           keepdims: bool = False) -> Expr:  # fmt: skip
    """The mean power of the distance from the mean, or from `center`."""
    x = _sample("moment", a, nan_policy)
    if isinstance(order, Expr) or np.ndim(order) or order != round(order):
        raise refused("scipy.stats.moment of several orders, or of an order that is no integer", "call it for each")
    if order == 0:
        return fn.mean(x * 0.0 + 1.0, axis, keepdims=keepdims)
    if order == 1 and center is None:
        return fn.mean(x * 0.0, axis, keepdims=keepdims)
    middle = _center(x, axis) if center is None else lift(center, x.builder)
    return fn.mean(ew.subtract(x, cast(middle, x.dtype)) ** int(order), axis, keepdims=keepdims)


@surface(_STATS + "skew")
def skew(a: Any, axis: Any = 0, bias: bool = True, nan_policy: str = "propagate", *, keepdims: bool = False) -> Expr:
    """The third moment over that of the standard deviation; NaN of equal values."""
    x = _sample("skew", a, nan_policy)
    second, third = moment(x, 2, axis, keepdims=keepdims), moment(x, 3, axis, keepdims=keepdims)
    found = third / (second * ew.sqrt(second))
    n = _size(x, axis)
    return found if bias or n < 3 else found * (np.sqrt((n - 1.0) * n) / (n - 2.0)).item()


@surface(_STATS + "kurtosis")
def kurtosis(a: Any, axis: Any = 0, fisher: bool = True, bias: bool = True, nan_policy: str = "propagate", *,
             keepdims: bool = False) -> Expr:  # fmt: skip
    """The fourth moment over the squared variance, less 3 by Fisher's definition."""
    x = _sample("kurtosis", a, nan_policy)
    second, fourth = moment(x, 2, axis, keepdims=keepdims), moment(x, 4, axis, keepdims=keepdims)
    found = fourth / (second * second)
    n = _size(x, axis)
    if not bias and n > 3:
        found = ((n * n - 1.0) * found - 3 * (n - 1.0) ** 2) / ((n - 2) * (n - 3)) + 3.0
    return found - 3.0 if fisher else found


@surface(_STATS + "sem")
def sem(a: Any, axis: Any = 0, ddof: int = 1, nan_policy: str = "propagate", *, keepdims: bool = False) -> Expr:
    """The standard error of the mean."""
    x = _sample("sem", a, nan_policy)
    return fn.std(x, axis, ddof=ddof, keepdims=keepdims) / float(np.sqrt(_size(x, axis)))


@surface(_STATS + "variation")
def variation(a: Any, axis: Any = 0, nan_policy: str = "propagate", ddof: int = 0, *, keepdims: bool = False) -> Expr:
    """The standard deviation over the mean."""
    x = _sample("variation", a, nan_policy)
    return fn.std(x, axis, ddof=ddof, keepdims=keepdims) / fn.mean(x, axis, keepdims=keepdims)


@surface(_STATS + "zscore", array=True)
def zscore(a: Any, axis: Any = 0, ddof: int = 0, nan_policy: str = "propagate") -> Expr:
    """(a − mean) / standard deviation."""
    return zmap(a, a, axis, ddof, nan_policy)


@surface(_STATS + "zmap", array=True)
def zmap(scores: Any, compare: Any, axis: Any = 0, ddof: int = 0, nan_policy: str = "propagate") -> Expr:
    """(scores − mean) / standard deviation of what they are compared with; NaN where that is constant."""
    builder = find_builder([scores, compare])
    x, other = (_sample("zmap", lift(v, builder), nan_policy) for v in (scores, compare))
    dtype = np.result_type(x.dtype, other.dtype)
    x, other = cast(x, dtype), cast(other, dtype)
    return ew.subtract(x, _center(other, axis)) / fn.std(other, axis, ddof=ddof, keepdims=True)


@surface(_STATS + "gzscore", array=True)
def gzscore(a: Any, *, axis: Any = 0, ddof: int = 0, nan_policy: str = "propagate") -> Expr:
    """The standard score of the logarithm."""
    return zscore(ew.log(_sample("gzscore", a, nan_policy)), axis, ddof)


@surface(_STATS + "gstd")
def gstd(a: Any, axis: Any = 0, ddof: int = 1, *, keepdims: bool = False, nan_policy: str = "propagate") -> Expr:
    """The exponential of the logarithm's standard deviation."""
    return ew.exp(fn.std(ew.log(_sample("gstd", a, nan_policy)), axis, ddof=ddof, keepdims=keepdims))


def _mean(x: Expr, axis: Any, weights: Any, keepdims: bool) -> Expr:
    found: Expr = fn.average(x, axis, weights, keepdims=keepdims)
    return found


@surface(_STATS + "gmean")
def gmean(a: Any, axis: Any = 0, dtype: Any = None, weights: Any = None, *, nan_policy: str = "propagate",
          keepdims: bool = False) -> Expr:  # fmt: skip
    """The exponential of the mean logarithm."""
    builder = find_builder([a, weights])
    x = _sample("gmean", lift(a, builder), nan_policy)
    return ew.exp(_mean(ew.log(x if dtype is None else cast(x, dtype)), axis, weights, keepdims))


@surface(_STATS + "hmean")
def hmean(a: Any, axis: Any = 0, dtype: Any = None, *, weights: Any = None, nan_policy: str = "propagate",
          keepdims: bool = False) -> Expr:  # fmt: skip
    """The reciprocal of the mean reciprocal."""
    builder = find_builder([a, weights])
    x = _sample("hmean", lift(a, builder), nan_policy)
    return 1 / _mean(1 / (x if dtype is None else cast(x, dtype)), axis, weights, keepdims)


@surface(_STATS + "pmean")
def pmean(a: Any, p: Any, *, axis: Any = 0, dtype: Any = None, weights: Any = None, nan_policy: str = "propagate",
          keepdims: bool = False) -> Expr:  # fmt: skip
    """The p-th root of the mean p-th power; of p = 0 the geometric mean."""
    builder = find_builder([a, weights, p])
    if isinstance(p, Expr):
        raise refused("scipy.stats.pmean of a traced p", "compute np.mean(x**p, axis) ** (1 / p)")
    if p == 0:
        return gmean(lift(a, builder), axis, dtype, weights, nan_policy=nan_policy, keepdims=keepdims)
    x = _sample("pmean", lift(a, builder), nan_policy)
    powers = (x if dtype is None else cast(x, dtype)) ** float(p)
    return _mean(powers, axis, weights, keepdims) ** (1 / float(p))


@surface(_STATS + "entropy")
def entropy(pk: Any, qk: Any = None, base: Any = None, axis: Any = 0, *, nan_policy: str = "propagate",
            keepdims: bool = False) -> Expr:  # fmt: skip
    """Shannon's entropy of what is brought to the sum 1, or with `qk` the relative one."""
    builder = find_builder([pk, qk, base])
    p = _sample("entropy", lift(pk, builder), nan_policy)
    p = p / fn.sum(p, axis, keepdims=True)
    if qk is None:
        terms = sp.entr(p)
    else:
        q = cast(_sample("entropy", lift(qk, builder), nan_policy), p.dtype)
        terms = sp.rel_entr(p, q / fn.sum(q, axis, keepdims=True))
    found = fn.sum(terms, axis, keepdims=keepdims)
    return found if base is None else found / ew.log(cast(lift(base, builder), found.dtype))


@surface(_STATS + "trim_mean")
def trim_mean(a: Any, proportiontocut: float, axis: Any = 0, *, nan_policy: str = "propagate",
              keepdims: bool = False) -> Expr:  # fmt: skip
    """The mean of the middle of the sorted sample."""
    x = _sample("trim_mean", a, nan_policy)
    if isinstance(axis, tuple):
        raise refused("scipy.stats.trim_mean over several axes", "reshape the sample")
    x, axis = (fn.reshape(x, -1), 0) if axis is None else (x, axis)
    n = x.shape[axis]
    cut = int(proportiontocut * n)
    if cut >= n - cut:
        raise ValueError("Proportion too big.")
    return fn.mean(fn.take(sort(x, axis), np.arange(cut, n - cut), axis), axis, keepdims=keepdims)


@surface(_STATS + "iqr")
def iqr(x: Any, axis: Any = None, rng: Any = (25, 75), scale: Any = 1.0, nan_policy: str = "propagate",
        interpolation: str = "linear", keepdims: bool = False) -> Expr:  # fmt: skip
    """The distance of two percentiles, by default of the quartiles."""
    sample = _sample("iqr", x, nan_policy)
    low, high = (percentile(sample, q, axis, method=interpolation, keepdims=keepdims) for q in sorted(rng))
    found = ew.subtract(high, low)
    width = {"normal": 1.3489795003921634}.get(scale) if isinstance(scale, str) else scale
    if width is None:
        raise ValueError(f"{scale} not a valid scale for `iqr`")
    return found if width == 1.0 else found / width


@surface(_STATS + "median_abs_deviation")
def median_abs_deviation(x: Any, axis: Any = 0, center: Any = None, scale: Any = 1.0,
                         nan_policy: str = "propagate", *, keepdims: bool = False) -> Expr:  # fmt: skip
    """The median distance from the median."""
    sample = _sample("median_abs_deviation", x, nan_policy)
    if center is not None:
        raise refused("scipy.stats.median_abs_deviation(center=)", "use np.median of the distances")
    middle = median(sample, axis, keepdims=True)
    width = 0.6744897501960817 if scale == "normal" else scale
    return median(ew.absolute(ew.subtract(sample, middle)), axis, keepdims=keepdims) / width


# -- two samples -------------------------------------------------------------------------------------------------------


class Test(NamedTuple):
    """What a test of SciPy finds."""

    statistic: Any
    pvalue: Any


class Line(NamedTuple):
    """What ``scipy.stats.linregress`` finds."""

    slope: Any
    intercept: Any
    rvalue: Any
    pvalue: Any
    stderr: Any


def _doubles(*values: Any) -> list[Expr]:
    builder = find_builder(list(values))
    return [cast(lift(v, builder), np.float64) for v in values]


def _chance(t: Expr, df: Any, alternative: str) -> Expr:
    """How probable a t statistic is that is at least as extreme."""
    if alternative == "two-sided":
        return 2 * inc.stdtr(df, -ew.absolute(t))
    if alternative not in ("less", "greater"):
        raise ValueError("`alternative` must be 'less', 'greater', or 'two-sided'.")
    return inc.stdtr(df, t if alternative == "less" else -t)


def _propagating(name: str, nan_policy: str, **more: Any) -> None:
    """Options beyond the statistic itself."""
    for option, (given, plain) in {"nan_policy": (nan_policy, "propagate"), **more}.items():
        if given != plain:
            raise refused(f"scipy.stats.{name}({option}={given!r})", "leave it out")


@surface(_STATS + "pearsonr")
def pearsonr(x: Any, y: Any, *, alternative: str = "two-sided", method: Any = None, axis: Any = 0) -> Test:
    """The product of the directions of both samples, and its chance by Student's (beta) distribution."""
    _propagating("pearsonr", "propagate", method=(method, None))
    lines = _doubles(x, y)
    away = [ew.subtract(v, _center(v, axis)) for v in lines]
    first, second = (v / ew.sqrt(fn.sum(v * v, axis, keepdims=True)) for v in away)
    found = fn.sum(ew.multiply(first, second), axis)
    half = _size(lines[0], axis) / 2 - 1
    if alternative == "two-sided":
        return Test(found, 2 * inc.betainc(half, half, (1 - ew.absolute(found)) / 2))
    if alternative not in ("less", "greater"):
        raise ValueError("`alternative` must be 'less', 'greater', or 'two-sided'.")
    return Test(found, inc.betainc(half, half, (1 - (found if alternative == "greater" else -found)) / 2))


@surface(_STATS + "ttest_1samp")
def ttest_1samp(a: Any, popmean: Any, axis: Any = 0, nan_policy: str = "propagate", alternative: str = "two-sided", *,
                keepdims: bool = False) -> Test:  # fmt: skip
    """Student's test of a mean."""
    _propagating("ttest_1samp", nan_policy)
    x, middle = _doubles(a, popmean)
    t = ew.subtract(fn.mean(x, axis, keepdims=keepdims), middle) / sem(x, axis, keepdims=keepdims)
    return Test(t, _chance(t, _size(x, axis) - 1.0, alternative))


@surface(_STATS + "ttest_rel")
def ttest_rel(a: Any, b: Any, axis: Any = 0, nan_policy: str = "propagate", alternative: str = "two-sided", *,
              keepdims: bool = False) -> Test:  # fmt: skip
    """Student's test of paired samples: of their differences."""
    x, y = _doubles(a, b)
    return ttest_1samp(ew.subtract(x, y), 0.0, axis, nan_policy, alternative, keepdims=keepdims)


@surface(_STATS + "ttest_ind")
def ttest_ind(a: Any, b: Any, *, axis: Any = 0, equal_var: bool = True, nan_policy: str = "propagate",
              alternative: str = "two-sided", trim: Any = 0, method: Any = None,
              keepdims: bool = False) -> Test:  # fmt: skip
    """Student's test with the pooled variance, or Welch's with both."""
    _propagating("ttest_ind", nan_policy, trim=(trim, 0), method=(method, None))
    x, y = _doubles(a, b)
    n, m = _size(x, axis), _size(y, axis)
    mean, other = (fn.mean(v, axis, keepdims=keepdims) for v in (x, y))
    var, more = (fn.var(v, axis, ddof=1, keepdims=keepdims) for v in (x, y))
    df: Any
    if equal_var:
        df = n + m - 2.0
        spread = ((n - 1) * var + (m - 1) * more) / df * (1 / n + 1 / m)
    else:
        var, more = var / n, more / m
        spread = var + more
        df = spread * spread / (var * var / (n - 1) + more * more / (m - 1))
    t = ew.subtract(mean, other) / ew.sqrt(spread)
    return Test(t, _chance(t, df, alternative))


@surface(_STATS + "linregress")
def linregress(x: Any, y: Any, alternative: str = "two-sided", *, axis: Any = 0, nan_policy: str = "propagate",
               keepdims: bool = False) -> Line:  # fmt: skip
    """The line of least squares. The error of the intercept is no part of what comes back."""
    _propagating("linregress", nan_policy, axis=(axis, 0), keepdims=(keepdims, False))
    first, second = _doubles(x, y)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError("linregress of traced values takes two vectors of the same length")
    n = first.size
    away, rise = (ew.subtract(v, _center(v, 0)) for v in (first, second))
    xx, xy, yy = fn.sum(away * away, 0), fn.sum(away * rise, 0), fn.sum(rise * rise, 0)
    slope = xy / xx
    r = xy / ew.sqrt(xx * yy)
    t = r * ew.sqrt((n - 2.0) / ((1 - r) * (1 + r)))
    stderr = ew.sqrt((1 - r * r) * yy / xx / (n - 2))
    intercept = fn.mean(second) - slope * fn.mean(first)
    return Line(slope, intercept, r, _chance(t, n - 2.0, alternative), stderr)
