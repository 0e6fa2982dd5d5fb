"""Which NumPy function is made of which hops.

A ufunc that is the value of a hop needs no entry: it *is* that hop. Every other function of NumPy has a *surface*, an
adapter with NumPy's own signature that takes handles where the user passed traced values, and returns handles. It
deals with axis conventions and promotion, which hops do not know. Or it has a refusal, with the cure.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from hopgrad.errors import DtypeError, GraphError, NotDifferentiableError
from hopgrad.graph.builder import Builder, Expr
from hopgrad.graph.hop import Hop
from hopgrad.hops.elementwise import convert
from hopgrad.hops.shape import concatenate, index, reshape

Aliasing = Literal["", "view", "ravel", "each", "doubt"]
"""What results share with arguments: nothing; a view of the first one; as ``np.ravel``, a view only of contiguous
memory; the k-th a view of the k-th argument; or there is no telling."""


class Surface(NamedTuple):
    """An adapter.

    ``array``: a result of shape () is a 0-d array, as NumPy gives here, instead of a scalar. ``contiguous``: the result
    is in C order whatever the arguments are. ``out``: the position of that parameter.
    """

    function: Callable[..., Any]
    array: bool = False
    aliasing: Aliasing = ""
    contiguous: bool = False
    out: int | None = None


surfaces: dict[Any, Surface] = {}
"""By the NumPy function that dispatches to it; for SciPy by "scipy.special:name"."""

hops_of_results: dict[str, Sequence[Hop]] = {}
"""By the name of a ufunc with several results, such as "scipy.special.airy": the hops that these are."""

refusals: dict[Any, str] = {}
"""The cure, for NumPy functions that are refused by name ("" where there is none)."""


def surface(
    *functions: Any, array: bool = False, aliasing: Aliasing = "", contiguous: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register an adapter for NumPy functions."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = inspect.signature(function).parameters.values()
        positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        out = positional.index("out") if "out" in positional else None
        for key in filter(None, functions):
            surfaces[key] = Surface(function, array, aliasing, contiguous, out)
        return function

    return decorate


def newer(name: str) -> Any:
    """A function that NumPy has from some version after 2.0 on; None before."""
    return getattr(np, name, None)


def refuse(cure: str, *functions: Any) -> None:
    """Have NumPy functions refused by name, with a cure."""
    for function in functions:
        refusals[function] = cure


def refused(what: str, cure: str = "") -> NotDifferentiableError:
    """The error for a function or an option that does not take traced values."""
    return NotDifferentiableError(f"{what} is not supported on traced values" + (f": {cure}" if cure else ""))


# -- operands --------------------------------------------------------------------------------------------------------


def find_builder(value: Any) -> Builder | None:
    """The builder of the first handle in nested lists and tuples."""
    if isinstance(value, Expr):
        return value.builder
    if isinstance(value, (list, tuple)):
        for item in value:
            found = find_builder(item)
            if found is not None:
                return found
    return None


def means_more(cls: type) -> bool:
    """Whether these arrays mean more than their elements, so that they must not be taken for plain ones."""
    # Looked up, since importing numpy.ma takes time that most programs need not spend.
    masked = sys.modules.get("numpy.ma")
    return issubclass(cls, np.matrix) or (masked is not None and issubclass(cls, masked.MaskedArray))


def lift(value: Any, builder: Builder | None = None) -> Expr:
    """A handle for an array-like: itself, a constant, or for a list with handles in it the array that they make."""
    if isinstance(value, Expr):
        return value
    if builder is None:
        builder = find_builder(value)
        if builder is None:
            raise GraphError("no operand belongs to a graph")
    if isinstance(value, (list, tuple)) and find_builder(value) is not None:
        return array_of(value)
    data = np.asarray(value)
    if data is not value and means_more(type(value)):
        raise refused(type(value).__name__, "use np.asarray on it first")
    if data.dtype.kind not in "fiubc":
        raise DtypeError(f"{type(value).__name__} of dtype {data.dtype} cannot be combined with traced values")
    constant = builder.constant(data)
    constant.weak = type(value) in (int, float, bool, complex)
    return constant


def array_of(value: Any, dtype: Any = None) -> Expr:
    """What ``np.array`` makes of nested lists, if it took handles among the numbers."""
    builder = find_builder(value)
    if builder is None:
        raise GraphError("no operand belongs to a graph")
    like = np.array(_skeleton(value), dtype=dtype)  # raises NumPy's own errors about ragged lists
    if like.dtype.kind not in "fiubc":
        raise refused(f"an array of dtype {like.dtype}", "keep them in a list")
    return _joined(value, builder, like.dtype)


def _skeleton(value: Any) -> Any:
    """The same nesting with plain values of the same shape and dtype."""
    if isinstance(value, Expr):
        # np.array gives Python numbers their own dtype; a weak handle has that dtype already.
        return np.broadcast_to(np.zeros((), value.dtype), value.shape)
    return [_skeleton(item) for item in value] if isinstance(value, (list, tuple)) else value


def _joined(value: Any, builder: Builder, dtype: np.dtype[Any]) -> Expr:
    if isinstance(value, Expr):
        return cast(value, dtype)
    if find_builder(value) is None:
        return builder.constant(np.array(value, dtype))
    parts = [_joined(item, builder, dtype) for item in value]
    return joined([reshape(part, shape=(1, *part.shape)) for part in parts], 0)


_MANY = 64


def joined(parts: Sequence[Expr], axis: int) -> Expr:
    """Handles joined along an axis; many of them in groups, since pulling back through n operands takes n² steps."""
    while len(parts) > _MANY:
        groups = [parts[k : k + _MANY] for k in range(0, len(parts), _MANY)]
        parts = [concatenate(*group, axis=axis) if len(group) > 1 else group[0] for group in groups]
    return concatenate(*parts, axis=axis)


# -- promotion -------------------------------------------------------------------------------------------------------

_WEAK: dict[str, Any] = {"f": 0.0, "i": 0, "c": 0j}


def token(value: Any) -> Any:
    """What stands for an operand where NumPy resolves a ufunc's dtypes: a Python number's type, or a dtype."""
    found = _token(value)
    return found if isinstance(found, np.dtype) else type(found)


def _token(value: Any) -> Any:
    """What stands for an operand in NumPy's promotion: a Python number, or a dtype."""
    if isinstance(value, Expr):
        return _WEAK.get(value.dtype.kind, value.dtype) if value.weak else value.dtype
    if type(value) in (int, float, complex):
        return value
    if isinstance(value, (list, tuple)) and find_builder(value) is not None:
        return np.array(_skeleton(value)).dtype
    if isinstance(value, np.dtype):
        return value
    return np.asarray(value).dtype


def result_dtype(*values: Any) -> np.dtype[Any]:
    """NumPy's promotion (NEP 50) of handles, arrays and Python numbers."""
    return np.result_type(*[_token(v) for v in values])


def cast(value: Expr, dtype: Any) -> Expr:
    """Converted, if the dtype is another; constants are converted at once."""
    dtype = np.dtype(dtype)
    if value.dtype == dtype:
        return value
    data = value.constant
    return convert(value, dtype=dtype) if data is None else value.builder.constant(data.astype(dtype))


def promote(values: Sequence[Any], builder: Builder | None = None) -> list[Expr]:
    """Handles of one common dtype."""
    dtype = result_dtype(*values)
    builder = builder or find_builder(list(values))
    return [cast(lift(v, builder), dtype) for v in values]


def join(values: Any) -> list[Expr]:
    """Handles of one common dtype for functions that join arrays: to these a Python number is an array of its own."""
    if isinstance(values, Expr):
        return rows(values)
    builder = find_builder(list(values))
    found = [lift(v, builder) for v in values]
    dtype = np.result_type(*[x.dtype for x in found])
    return [cast(x, dtype) for x in found]


def rows(x: Expr) -> list[Expr]:
    """What iterating over an array gives."""
    return [index(x, items=(k,)) for k in range(x.shape[0])]


def as_float(x: Expr) -> Expr:
    """Integers and booleans as float64, as NumPy's means and roots have it."""
    return x if x.aval.is_float else cast(x, np.float64)
