"""Hops that are no loop nests: products by BLAS, linear algebra by LAPACK, convolutions, what goes along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hopgrad.graph.hop import Elementwise, Hop
from hopgrad.lower import along, blas, convolve, factors, lapack, loops, stacks, ufunc
from hopgrad.lower.fuse import Fuser
from hopgrad.lower.machine import Step
from hopgrad.lower.views import View


def library(
    hop: Hop, params: dict[str, Any], operands: Sequence[View], result: View, dtypes: Sequence[np.dtype[Any]]
) -> Step | None:
    """The native form of a hop, or None if it has none. `dtypes` are those of the operands and of the result."""
    *given, made = dtypes
    if isinstance(hop, Elementwise) and not params and hop.ufunc is not None:
        return ufunc.call(hop.ufunc, operands, result, dtypes)
    if not all(dtype == made for dtype in given):
        return along.lower(hop.name, params, operands, result, given)
    small = stacks.lower(hop.name, params, operands, result, given)
    if small is not None:
        return small
    if hop.name == "matmul":
        return blas.matmul(made, operands[0], operands[1], result)
    if hop.name == "einsum" and len(operands) == 2:
        return blas.einsum(made, params["subscripts"], operands, result)
    if hop.name == "convolve":
        return convolve.convolve(made, operands[0], operands[1], result, params["start"])
    if hop.name == "singular_values":
        return factors.factorization(hop.name, blas.KINDS.get(made), params, operands[0], {0: result})
    return along.lower(hop.name, params, operands, result, given) or lapack.lower(
        hop.name, params, operands, result, given
    )


def compound(fuser: Fuser, node: int) -> bool:
    """Have a hop with several results computed natively, if that is possible."""
    return factors.place(fuser, node) or loops.place(fuser, node)
