"""Elementwise hops: arithmetic, powers, exponentials, trigonometry, selection and comparisons.

Each body returns the factor by which a small change of an operand is multiplied. Formulas are chosen so that they do
not overflow, cancel or divide by zero where the derivative itself is finite; what holds at kinks stands in ``kink``.
"""

from __future__ import annotations

from math import log as ln
from math import pi
from typing import Any

import numpy as np

from hopgrad.aval import Aval, aval
from hopgrad.batch import stacked
from hopgrad.errors import DtypeError, ShapeError
from hopgrad.graph.builder import Expr, zeros
from hopgrad.graph.hop import (
    COMPLEX,
    POSITIVE,
    REAL,
    Case,
    Draw,
    Function,
    Infix,
    Interval,
    Notation,
    On,
    elementwise,
    general,
)
from hopgrad.graph.operators import Linear, Operator

UNIT = Interval(-1.0, 1.0)
NONZERO = Interval(0.3, 3.0)

# -- arithmetic ------------------------------------------------------------------------------------------------------


@elementwise(np.add, Infix("+", rule="sum rule"), domain=(REAL, REAL), traits=("commutative",),
             elasticity=lambda a, b: (lambda: 1 / (1 + b / a), lambda: 1 / (1 + a / b)), lowering="a + b")  # fmt: skip
def add(a: Expr, b: Expr) -> Any:
    """Each operand passes its change on as it is."""
    return 1, 1


@elementwise(np.subtract, Infix("−", "-", rule="difference rule"), domain=(REAL, REAL),
             elasticity=lambda a, b: (lambda: 1 / (1 - b / a), lambda: 1 / (1 - a / b)), lowering="a - b")  # fmt: skip
def subtract(a: Expr, b: Expr) -> Any:
    """The second operand's change counts negatively."""
    return 1, -1


@elementwise(np.multiply, Infix("·", r"\cdot", rule="product rule"), domain=(REAL, REAL), traits=("commutative",),
             elasticity=lambda a, b: (1, 1), lowering="a * b")  # fmt: skip
def multiply(a: Expr, b: Expr) -> Any:
    """Each operand's change is scaled by the other operand."""
    return lambda: b, lambda: a


@elementwise(np.divide, Notation("fraction", "/", rule="quotient rule"), domain=(REAL, NONZERO),
             elasticity=lambda a, b: (1, -1), lowering="a / b")  # fmt: skip
def divide(a: Expr, b: Expr, *, out: Expr) -> Any:
    """The quotient is used again for the denominator, since a/b² would overflow where a/b/b does not."""
    return lambda: 1 / b, lambda: -out / b


@elementwise(np.negative, Notation("prefix", "−", "-", rule="negation"), traits=("odd",), elasticity=lambda x: 1,
             lowering="-x")  # fmt: skip
def negative(x: Expr) -> Any:
    """A change is mirrored."""
    return -1


@elementwise(np.power, Notation("power", rule="power rule"), domain=(POSITIVE, REAL), lowering="pow(a, b)")
def power(a: Expr, b: Expr, *, out: Expr) -> Any:
    """Masked where b = 0 (a⁰ is constant) and where a = 0 (0ᵇ is constant around b > 0), so no 0·∞ arises."""

    def by_base() -> Any:
        factor = b * power(a, b - 1)
        return factor if _never_zero(b) else On(b != 0, factor)

    def by_exponent() -> Any:
        factor = out * log(a)
        return factor if _never_zero(a) else On(a != 0, factor)

    return by_base, by_exponent


def _never_zero(x: Expr) -> bool:
    """Whether x is a constant without zeros, so that nothing need be masked."""
    data = x.constant
    return data is not None and bool((data != 0).all())


def _constant_power(x: Any, *, exponent: float) -> Any:
    return x**exponent


def _exponents(draw: Draw) -> Case:
    return Case(exponent=draw([2, 3, -1, 0, 1, 0.5, 1.5, -2]))


@elementwise(_constant_power, Notation("power", rule="power rule"), domain=(POSITIVE,), sample=_exponents,
             elasticity=lambda x, exponent: exponent, lowering="power(x, exponent)")  # fmt: skip
def constant_power(x: Expr, *, exponent: float) -> Any:
    """The exponent is fixed, so no logarithm of the base is needed and 0, 1 and 2 have no singularity."""
    if exponent == 0:
        return 0
    if exponent == 1:
        return 1
    return x * 2 if exponent == 2 else constant_power(x, exponent=exponent - 1) * exponent


@elementwise(np.remainder, Infix("mod", r"\bmod"), domain=(REAL, NONZERO), traits=("piecewise",),
             kink="the derivative of the branch that NumPy's rounding takes",
             lowering="m = fmod(a, b);"
             " select(m == 0, copysign(0, b), select((b < 0) ^ (m < 0), m + b, m))")  # fmt: skip
def remainder(a: Expr, b: Expr) -> Any:
    """a − ⌊a/b⌋ b, where the floor does not change."""
    return lambda: 1, lambda: -floor(a / b)


@elementwise(np.fmod, Infix("fmod", r"\operatorname{fmod}"), domain=(REAL, NONZERO), traits=("piecewise",),
             kink="the derivative of the branch that C's rounding takes", lowering="fmod(a, b)")  # fmt: skip
def fmod(a: Expr, b: Expr) -> Any:
    """As remainder, with rounding towards zero."""
    return lambda: 1, lambda: -trunc(a / b)


# -- exponentials and logarithms -------------------------------------------------------------------------------------


@elementwise(np.exp, Notation("exp", "exp", r"\exp", rule="exponential"), growth=lambda x: 1, lowering="exp(x)")
def exp(x: Expr, *, out: Expr) -> Any:
    """The exponential is its own derivative, so the value is used again."""
    return out


@elementwise(np.exp2, Notation("exp2", "exp2", rule="exponential"), growth=lambda x: ln(2), lowering="exp2(x)")
def exp2(x: Expr, *, out: Expr) -> Any:
    """2ˣ = exp(x ln 2)."""
    return out * ln(2)


def _growth_of_expm1(x: Expr) -> Expr:
    return -1 / expm1(-x)


@elementwise(np.expm1, Function("expm1", r"\operatorname{expm1}", "exponential"), growth=_growth_of_expm1,
             lowering="expm1(x)")  # fmt: skip
def expm1(x: Expr, *, out: Expr) -> Any:
    """eˣ, not the value plus one: that would lose digits for very negative x."""
    return exp(x)


@elementwise(np.log, Function("log", r"\log", "logarithm"), domain=(POSITIVE,), kink="at 0: ∞, from the right",
             lowering="log(x)")  # fmt: skip
def log(x: Expr) -> Any:
    """The reciprocal."""
    return 1 / x


@elementwise(np.log2, Function("log₂", r"\log_2", "logarithm"), domain=(POSITIVE,), kink="at 0: ∞, from the right",
             lowering="log2(x)")  # fmt: skip
def log2(x: Expr) -> Any:
    """ln x / ln 2."""
    return (1 / ln(2)) / x


@elementwise(np.log10, Function("log₁₀", r"\log_{10}", "logarithm"), domain=(POSITIVE,),
             kink="at 0: ∞, from the right", lowering="log10(x)")  # fmt: skip
def log10(x: Expr) -> Any:
    """ln x / ln 10."""
    return (1 / ln(10)) / x


@elementwise(np.log1p, Function("log1p", r"\operatorname{log1p}", "logarithm"), domain=(Interval(-1.0),),
             kink="at −1: ∞, from the right", lowering="log1p(x)")  # fmt: skip
def log1p(x: Expr) -> Any:
    """The reciprocal of 1 + x."""
    return 1 / (1 + x)


def _share(mine: Expr, other: Expr, out: Expr, exponential: Any) -> On:
    """The share of one operand in the sum, from their difference, which loses no digits; 0 where both are −∞."""
    return On(out != -np.inf, 1 / (1 + exponential(other - mine)))


@elementwise(np.logaddexp, Function("logaddexp", r"\operatorname{logaddexp}"), domain=(REAL, REAL),
             traits=("commutative",), kink="all −∞: 0",
             lowering="select(a == b, a + 0.6931471805599453, maximum(a, b) + log1p(exp(-fabs(a - b))))")  # fmt: skip
def logaddexp(a: Expr, b: Expr, *, out: Expr) -> Any:
    """Each operand's share of the sum, a logistic function of the difference."""
    return lambda: _share(a, b, out, exp), lambda: _share(b, a, out, exp)


@elementwise(np.logaddexp2, Function("logaddexp2", r"\operatorname{logaddexp2}"), domain=(REAL, REAL),
             traits=("commutative",), kink="all −∞: 0",
             lowering="select(a == b, a + 1,"
             " maximum(a, b) + 1.4426950408889634 * log1p(exp2(-fabs(a - b))))")  # fmt: skip
def logaddexp2(a: Expr, b: Expr, *, out: Expr) -> Any:
    """As logaddexp, to the base 2."""
    return lambda: _share(a, b, out, exp2), lambda: _share(b, a, out, exp2)


# -- roots -----------------------------------------------------------------------------------------------------------


@elementwise(np.sqrt, Notation("root", "√", r"\sqrt", rule="square root"), domain=(POSITIVE,),
             kink="at 0: ∞, from the right", elasticity=lambda x: 0.5, lowering="sqrt(x)")  # fmt: skip
def sqrt(x: Expr, *, out: Expr) -> Any:
    """1/(2√x), from the root that is there already."""
    return 1 / (2 * out)


@elementwise(np.cbrt, Notation("root", "∛", "3", rule="cube root"), domain=(NONZERO,), traits=("odd",),
             kink="at 0: ∞", lowering="cbrt(x)")  # fmt: skip
def cbrt(x: Expr, *, out: Expr) -> Any:
    """1/(3 x^⅔), from the root that is there already."""
    return 1 / (3 * constant_power(out, exponent=2))


# -- trigonometry ----------------------------------------------------------------------------------------------------


@elementwise(np.sin, Function("sin", r"\sin", "sine"), traits=("odd", "bounded"), lowering="sin(x)")
def sin(x: Expr) -> Any:
    """The sine a quarter turn ahead."""
    return cos(x)


@elementwise(np.cos, Function("cos", r"\cos", "cosine"), traits=("even", "bounded"), lowering="cos(x)")
def cos(x: Expr) -> Any:
    """The cosine a quarter turn ahead."""
    return -sin(x)


@elementwise(np.tan, Function("tan", r"\tan", "tangent"), domain=(Interval(-1.4, 1.4),), traits=("odd",),
             lowering="tan(x)")  # fmt: skip
def tan(x: Expr, *, out: Expr) -> Any:
    """1 + tan², which needs no cosine that could vanish."""
    return 1 + constant_power(out, exponent=2)


def _versed(x: Expr) -> Expr:
    """1 − x², as a product that keeps its digits near ±1."""
    return (1 - x) * (1 + x)


def _cosine(x: Expr) -> Expr:
    """√(1 − x²). Complex numbers on a cut, |x| > 1, keep the sign of their zero imaginary part: 1 − x would lose it."""
    return sqrt(-(x - 1)) * sqrt(-(-x - 1)) if x.dtype.kind == "c" else sqrt(_versed(x))


@elementwise(np.arcsin, Function("arcsin", r"\arcsin", "arc sine"), domain=(UNIT,), traits=("odd", "bounded"),
             kink="at ±1: ∞, from inside", lowering="asin(x)")  # fmt: skip
def arcsin(x: Expr) -> Any:
    """From sin² + cos² = 1."""
    return 1 / _cosine(x)


@elementwise(np.arccos, Function("arccos", r"\arccos", "arc cosine"), domain=(UNIT,), traits=("bounded",),
             kink="at ±1: −∞, from inside", lowering="acos(x)")  # fmt: skip
def arccos(x: Expr) -> Any:
    """The arc sine's, negated: the two add up to π/2."""
    return -1 / _cosine(x)


@elementwise(np.arctan, Function("arctan", r"\arctan", "arc tangent"), traits=("odd", "bounded"), lowering="atan(x)")
def arctan(x: Expr) -> Any:
    """From tan' = 1 + tan²."""
    return 1 / (1 + constant_power(x, exponent=2))


@elementwise(np.arctan2, Function("arctan2", r"\operatorname{arctan2}", "arc tangent"), domain=(REAL, REAL),
             traits=("bounded", "piecewise"), kink="at the origin: NaN", lowering="atan2(a, b)")  # fmt: skip
def arctan2(y: Expr, x: Expr) -> Any:
    """Divided by the radius twice, because its square overflows and underflows too early."""

    def over_square(part: Expr) -> Expr:
        radius = hypot(y, x)
        return part / radius / radius

    return lambda: over_square(x), lambda: -over_square(y)


@elementwise(np.hypot, Function("hypot", r"\operatorname{hypot}", "Pythagoras"), domain=(REAL, REAL),
             traits=("commutative", "kink"), kink="at the origin: 0, the least subgradient",
             lowering="hypot(a, b)")  # fmt: skip
def hypot(a: Expr, b: Expr, *, out: Expr) -> Any:
    """The direction of (a, b): a quotient that cannot overflow."""
    return lambda: On(out != 0, a / out), lambda: On(out != 0, b / out)


def _growth_of_sinh(x: Expr) -> Expr:
    return 1 / tanh(x)


def _growth_of_cosh(x: Expr) -> Expr:
    return tanh(x)


@elementwise(np.sinh, Function("sinh", r"\sinh", "hyperbolic sine"), traits=("odd",),
             growth=_growth_of_sinh, lowering="sinh(x)")  # fmt: skip
def sinh(x: Expr) -> Any:
    """No sign changes in the hyperbolic family."""
    return cosh(x)


@elementwise(np.cosh, Function("cosh", r"\cosh", "hyperbolic cosine"), traits=("even",),
             growth=_growth_of_cosh, lowering="cosh(x)")  # fmt: skip
def cosh(x: Expr) -> Any:
    """No sign changes in the hyperbolic family."""
    return sinh(x)


@elementwise(np.tanh, Function("tanh", r"\tanh", "hyperbolic tangent"), traits=("odd", "bounded"), lowering="tanh(x)")
def tanh(x: Expr, *, out: Expr) -> Any:
    """1 − tanh², from the value that is there; 0 far out, without overflow."""
    return 1 - constant_power(out, exponent=2)


@elementwise(np.arcsinh, Function("arsinh", r"\operatorname{arsinh}", "area hyperbolic sine"), traits=("odd",),
             lowering="asinh(x)")  # fmt: skip
def arcsinh(x: Expr) -> Any:
    """hypot, because x² + 1 overflows; of complex numbers the root itself, which has the same cuts, sides included."""
    return 1 / sqrt(-(-(x * x) - 1)) if x.dtype.kind == "c" else 1 / hypot(x, 1.0)


@elementwise(np.arccosh, Function("arcosh", r"\operatorname{arcosh}", "area hyperbolic cosine"),
             domain=(Interval(1.0),), kink="at 1: ∞, from the right", lowering="acosh(x)")  # fmt: skip
def arccosh(x: Expr) -> Any:
    """Two roots, because x² − 1 overflows and loses digits near 1. On a cut, x + 1 would lose the side."""
    return 1 / (sqrt(x - 1) * sqrt(-(-x - 1) if x.dtype.kind == "c" else x + 1))


@elementwise(np.arctanh, Function("artanh", r"\operatorname{artanh}", "area hyperbolic tangent"), domain=(UNIT,),
             traits=("odd",), kink="at ±1: ∞, from inside", lowering="atanh(x)")  # fmt: skip
def arctanh(x: Expr) -> Any:
    """From tanh' = 1 − tanh²."""
    return 1 / _versed(x)


@elementwise(np.deg2rad, Function("rad", r"\operatorname{rad}", "constant factor"), traits=("odd",),
             lowering="x * 0.017453292519943295")  # fmt: skip
def deg2rad(x: Expr) -> Any:
    """A fixed scale."""
    return pi / 180


@elementwise(np.rad2deg, Function("deg", r"\operatorname{deg}", "constant factor"), traits=("odd",),
             lowering="x * 57.29577951308232")  # fmt: skip
def rad2deg(x: Expr) -> Any:
    """A fixed scale."""
    return 180 / pi


# -- sizes, signs, rounding ------------------------------------------------------------------------------------------


@elementwise(np.absolute, Notation("fence", "|", rule="absolute value"), traits=("even", "kink", "real"),
             kink="at 0: 0, the least subgradient", lowering="fabs(x)")  # fmt: skip
def absolute(x: Expr) -> Any:
    """The sign, which is 0 at 0."""
    return sign(x)


@elementwise(np.copysign, Function("copysign", r"\operatorname{copysign}"), domain=(NONZERO, NONZERO),
             traits=("piecewise",), kink="at 0: 0", lowering="copysign(a, b)")  # fmt: skip
def copysign(a: Expr, b: Expr) -> Any:
    """a's own sign, turned where b's differs."""
    return lambda: sign(a) * copysign(a.builder.constant(1, a.dtype), b), None


def _flat_hop(name: str, value: Any, notation: Notation, arity: int = 1, *traits: str, **fields: Any) -> Any:
    """A hop without a derivative: its result does not change where it is continuous."""

    def body(*operands: Expr) -> None:
        """Constant between its jumps, so the derivative is 0."""

    body.__name__, body.__module__ = name, __name__
    domain = fields.pop("domain", (REAL,) * arity)
    return elementwise(value, notation, domain=domain, traits=("flat", *traits), **fields)(body)


sign = _flat_hop(
    "sign",
    np.sign,
    Function("sign", r"\operatorname{sign}"),
    1,
    "odd",
    "bounded",
    "real",
    lowering="select(x > 0, 1, select(x < 0, -1, select(x == 0, 0, x)))",
)
floor = _flat_hop("floor", np.floor, Notation("fence", "⌊"), lowering="floor(x)")
ceil = _flat_hop("ceil", np.ceil, Notation("fence", "⌈"), lowering="ceil(x)")
trunc = _flat_hop("trunc", np.trunc, Function("trunc", r"\operatorname{trunc}"), 1, "odd", lowering="trunc(x)")
rint = _flat_hop("rint", np.rint, Function("round", r"\operatorname{round}"), 1, "odd", lowering="rint(x)")
floor_divide = _flat_hop(
    "floor_divide",
    np.floor_divide,
    Infix("//", r"\mathbin{//}"),
    2,
    domain=(REAL, NONZERO),
    lowering="m = fmod(a, b); d = (a - m) / b; d = select((m != 0) & ((b < 0) ^ (m < 0)), d - 1, d);"
    " f = floor(d); f = select(d - f > 0.5, f + 1, f);"
    " select(b == 0, a / b, select(d == 0, copysign(0, a / b), f))",
)
heaviside = _flat_hop(
    "heaviside",
    np.heaviside,
    Function("heaviside", r"\operatorname{H}"),
    2,
    lowering="select(isnan(a), a, select(a == 0, b, select(a < 0, 0, 1)))",
)
equal = _flat_hop("equal", np.equal, Infix("=", "="), 2, "predicate", "commutative", lowering="a == b")
not_equal = _flat_hop("not_equal", np.not_equal, Infix("≠", r"\neq"), 2, "predicate", "commutative", lowering="a != b")
less = _flat_hop("less", np.less, Infix("<", "<"), 2, "predicate", lowering="a < b")
less_equal = _flat_hop("less_equal", np.less_equal, Infix("≤", r"\leq"), 2, "predicate", lowering="a <= b")
greater = _flat_hop("greater", np.greater, Infix(">", ">"), 2, "predicate", lowering="a > b")
greater_equal = _flat_hop("greater_equal", np.greater_equal, Infix("≥", r"\geq"), 2, "predicate", lowering="a >= b")
logical_and = _flat_hop(
    "logical_and", np.logical_and, Infix("∧", r"\land"), 2, "predicate", "commutative", lowering="truth(a) & truth(b)"
)
logical_or = _flat_hop(
    "logical_or", np.logical_or, Infix("∨", r"\lor"), 2, "predicate", "commutative", lowering="truth(a) | truth(b)"
)
logical_xor = _flat_hop(
    "logical_xor", np.logical_xor, Infix("⊻", r"\veebar"), 2, "predicate", "commutative", lowering="truth(a) ^ truth(b)"
)
logical_not = _flat_hop(
    "logical_not", np.logical_not, Notation("prefix", "¬", r"\lnot"), 1, "predicate", lowering="~truth(x)"
)
isnan = _flat_hop("isnan", np.isnan, Function("isnan", r"\operatorname{isnan}"), 1, "predicate", lowering="isnan(x)")
isinf = _flat_hop(
    "isinf", np.isinf, Function("isinf", r"\operatorname{isinf}"), 1, "predicate", lowering="fabs(x) == inf"
)
isfinite = _flat_hop(
    "isfinite", np.isfinite, Function("isfinite", r"\operatorname{isfinite}"), 1, "predicate", lowering="fabs(x) < inf"
)
signbit = _flat_hop(
    "signbit",
    np.signbit,
    Function("signbit", r"\operatorname{signbit}"),
    1,
    "predicate",
    parts=lambda x: (copysign(x.builder.constant(1, x.dtype), x) if x.dtype.kind == "f" else x) < 0,
)


def _round(x: Any, *, decimals: int) -> Any:
    return np.round(x, decimals)


def _round_parts(x: Expr, *, decimals: int) -> Any:
    if x.dtype.kind != "f":
        return round_(x, decimals=decimals)
    scale = 10.0 ** abs(decimals)
    return rint(x * scale) / scale if decimals >= 0 else rint(x / scale) * scale


@elementwise(_round, Function("round", r"\operatorname{round}"), traits=("flat",), parts=_round_parts,
             sample=lambda draw: Case(decimals=draw([0, 1, -1])))  # fmt: skip
def round_(x: Expr) -> Any:
    """Constant between its jumps, so the derivative is 0."""
    return None


# -- selection -------------------------------------------------------------------------------------------------------


def _condition_of(args: tuple[Expr, ...], active: tuple[bool, ...], wins: Any) -> Any:
    """Factors of maximum and minimum: `wins(a, b)` says where the first one is strictly taken.

    With both operands active a tie is split evenly; with one it gets the least (sub- or super-)gradient, 0.
    """
    a, b = args

    def factor(mine: Expr, other: Expr) -> On:
        if not all(active):
            return On(wins(mine, other))
        tie = mine == other
        half, one = (mine.builder.constant(v, mine.dtype) for v in (0.5, 1))
        return On(logical_or(wins(mine, other), tie), where(tie, half, one))

    return (lambda: factor(a, b)), (lambda: factor(b, a))


_TIES = "ties: split evenly among the differentiated operands; 0 against a constant"


@elementwise(np.maximum, Function("max", r"\max"), domain=(REAL, REAL), traits=("commutative", "kink"), kink=_TIES,
             lowering="maximum(a, b)")  # fmt: skip
def maximum(a: Expr, b: Expr, *, active: tuple[bool, ...]) -> Any:
    """Passes to the operand that is taken."""
    return _condition_of((a, b), active, greater)


@elementwise(np.minimum, Function("min", r"\min"), domain=(REAL, REAL), traits=("commutative", "kink"), kink=_TIES,
             lowering="minimum(a, b)")  # fmt: skip
def minimum(a: Expr, b: Expr, *, active: tuple[bool, ...]) -> Any:
    """Passes to the operand that is taken."""
    return _condition_of((a, b), active, less)


def _ignoring_nan(wins: Any) -> Any:
    return lambda mine, other: logical_or(wins(mine, other), logical_and(isnan(other), logical_not(isnan(mine))))


@elementwise(np.fmax, Function("fmax", r"\operatorname{fmax}"), domain=(REAL, REAL), traits=("commutative", "kink"),
             kink=_TIES, lowering="select(isnan(a), b, select(isnan(b), a, maximum(a, b)))")  # fmt: skip
def fmax(a: Expr, b: Expr, *, active: tuple[bool, ...]) -> Any:
    """Passes to the operand that is taken; one that is NaN is not."""
    return _condition_of((a, b), active, _ignoring_nan(greater))


@elementwise(np.fmin, Function("fmin", r"\operatorname{fmin}"), domain=(REAL, REAL), traits=("commutative", "kink"),
             kink=_TIES, lowering="select(isnan(a), b, select(isnan(b), a, minimum(a, b)))")  # fmt: skip
def fmin(a: Expr, b: Expr, *, active: tuple[bool, ...]) -> Any:
    """Passes to the operand that is taken; one that is NaN is not."""
    return _condition_of((a, b), active, _ignoring_nan(less))


@elementwise(np.clip, Function("clip", r"\operatorname{clip}"),
             domain=(REAL, Interval(-2.0, -1.0), Interval(1.0, 2.0)), traits=("kink",),
             kink="on a bound: 1 to the operand, 0 to the bound", lowering="minimum(maximum(a, b), c)")  # fmt: skip
def clip(x: Expr, low: Expr, high: Expr) -> Any:
    """Passes to the operand inside, to the bound outside."""
    return (
        lambda: On(logical_and(x >= low, x <= high)),
        lambda: On(logical_and(x < low, low <= high)),
        lambda: On(logical_or(x > high, low > high)),
    )


@elementwise(np.where, Notation("cases"), domain=(REAL, REAL, REAL), traits=("select",),
             lowering="select(truth(a), b, c)")  # fmt: skip
def where(condition: Expr, a: Expr, b: Expr) -> Any:
    """Passes to what was taken; the other branch is structurally zero, whatever it holds."""
    return None, lambda: On(condition), lambda: On(logical_not(condition))


def _supported(support: Any, x: Any) -> Any:
    return np.where(support, x, np.zeros((), np.asarray(x).dtype))


@elementwise(_supported, Notation("call", "supported"), domain=(REAL, REAL), traits=("select",),
             parts=lambda support, x: where(support, x, x.builder.constant(0, x.dtype)))  # fmt: skip
def supported(support: Expr, x: Expr) -> Any:
    """Passes where it is supported; made by reverse sweeps alone, see `hopgrad.graph.operators`."""
    return None, lambda: On(support)


# -- dtype -----------------------------------------------------------------------------------------------------------


def _convert(x: Any, *, dtype: np.dtype[Any]) -> Any:
    return np.asarray(x).astype(dtype)


def _converted(x: Aval, *, dtype: np.dtype[Any]) -> Aval:
    return aval(x.shape, dtype)


def _change(x: Expr, dtype: np.dtype[Any]) -> Expr:
    """A change converted; the imaginary part of one is left out in silence."""
    if x.dtype.kind == "c" != dtype.kind:
        x = real(x)
    return x if x.dtype == dtype else convert(x, dtype=dtype)


@general(_convert, Notation("convert", "convert"), infer=_converted, traits=("hidden",), batch=stacked,
         sample=lambda draw: Case(dtype=np.dtype(draw(["float32", "float64", "int64"]))))  # fmt: skip
def convert(x: Expr, *, dtype: np.dtype[Any]) -> Operator | None:
    """Promotion made explicit; the cotangent is converted back. A conversion to integers cuts the gradient."""
    source = x.aval
    if dtype.kind not in "fc" or not source.is_float:
        return None
    return Linear(
        source,
        aval(source.shape, dtype),
        push=lambda t: _change(t, dtype),
        pull=lambda ct: _change(ct, source.dtype),
        mask=lambda support: support,
    )


# -- complex numbers -------------------------------------------------------------------------------------------------
#
# A cotangent c of z says that the result changes by Re(c dz). So hops that are analytic pull by the transpose, without
# conjugation, and need no rule of their own; the few others are made of those here.


def parts_of(dtype: Any) -> np.dtype[Any]:
    """The dtype of the real and the imaginary part of complex numbers; a real dtype itself."""
    return np.zeros((), dtype).real.dtype


def complex_of(dtype: Any) -> np.dtype[Any]:
    """The dtype of complex numbers that have such parts; a complex dtype itself."""
    return np.result_type(dtype, np.complex64)


def _part(z: Aval) -> Aval:
    if z.dtype.kind != "c":
        raise DtypeError(f"the real or imaginary part of {z!r}, which is not complex")
    return aval(z.shape, parts_of(z.dtype))


def _same_support(support: Any) -> Any:
    return support


@general(np.real, Function("Re", r"\operatorname{Re}", "real part"), infer=_part, domain=(COMPLEX,), batch=stacked)
def real(z: Expr, *, out: Expr) -> Operator:
    """A change of the real part alone counts."""
    return Linear(z.aval, out.aval, real, lambda ct: convert(ct, dtype=z.dtype), _same_support)


@general(np.imag, Function("Im", r"\operatorname{Im}", "imaginary part"), infer=_part, domain=(COMPLEX,),
         batch=stacked)  # fmt: skip
def imag(z: Expr, *, out: Expr) -> Operator:
    """Im dz is Re(−i dz), so the cotangent is turned by −i."""
    return Linear(z.aval, out.aval, imag, lambda ct: cartesian(zeros(ct.builder, ct.aval), -ct), _same_support)


def _conjugate(z: Any) -> Any:
    return np.conjugate(z)


def _complex(z: Aval) -> Aval:
    _part(z)
    return z


@general(_conjugate, Function("conj", r"\operatorname{conj}", "conjugate"), infer=_complex, domain=(COMPLEX,),
         traits=("conjugating",), batch=stacked)  # fmt: skip
def conjugate(z: Expr) -> Operator:
    """A change is mirrored, and so is its cotangent."""
    return Linear(z.aval, z.aval, conjugate, conjugate, _same_support)


def _cartesian(x: Any, y: Any) -> Any:
    found = np.empty(np.shape(x), complex_of(x.dtype))
    found.real, found.imag = x, y
    return found[()]


def _of_parts(x: Aval, y: Aval) -> Aval:
    if x.dtype != y.dtype or x.dtype.kind != "f":
        raise DtypeError(f"complex numbers of the parts {x!r} and {y!r}")
    if x.shape != y.shape:
        raise ShapeError(f"complex numbers of parts of the shapes {x.shape} and {y.shape}")
    return aval(x.shape, complex_of(x.dtype))


@general(_cartesian, Notation("call", "complex"), infer=_of_parts, domain=(REAL, REAL), batch=stacked,
         sample=lambda draw: draw([Case((), ()), Case((2, 3), (2, 3))]))  # fmt: skip
def cartesian(x: Expr, y: Expr, *, out: Expr) -> Any:
    """x + i y, exactly: Re(c dx) and Re(c i dy) = −Im(c) dy."""

    def none(t: Expr) -> Expr:
        return zeros(t.builder, t.aval)

    return (
        lambda: Linear(x.aval, out.aval, lambda t: cartesian(t, none(t)), real, _same_support),
        lambda: Linear(y.aval, out.aval, lambda t: cartesian(none(t), t), lambda ct: -imag(ct), _same_support),
    )


def conj(z: Any) -> Any:
    """The conjugate of complex numbers; others themselves."""
    return conjugate(z) if z.dtype.kind == "c" else z


def real_part(z: Any) -> Any:
    """The real part of complex numbers; others themselves."""
    return real(z) if z.dtype.kind == "c" else z


def magnitude(z: Any) -> Any:
    """The absolute value of real and of complex numbers."""
    return hypot(real(z), imag(z)) if z.dtype.kind == "c" else absolute(z)


def direction(z: Any) -> Any:
    """z/|z|, and 0 at 0: the sign of real and of complex numbers."""
    if z.dtype.kind != "c":
        return sign(z)
    size = magnitude(z)
    return where(size == 0, z.builder.constant(0, z.dtype), z / convert(size, dtype=z.dtype))
