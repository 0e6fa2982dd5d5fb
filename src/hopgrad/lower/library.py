"""Hops that are computed by libraries, called natively: products of matrices by BLAS, linear algebra by LAPACK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hopgrad.graph.hop import Hop
from hopgrad.lower import blas, lapack
from hopgrad.lower.machine import Step
from hopgrad.lower.views import View


def library(
    hop: Hop, params: dict[str, Any], dtype: np.dtype[Any], operands: Sequence[View], result: View
) -> Step | None:
    """The native form of a hop whose operands and result are of one dtype, or None if it has none."""
    if hop.name == "matmul":
        return blas.matmul(dtype, operands[0], operands[1], result)
    if hop.name == "einsum" and len(operands) == 2:
        return blas.einsum(dtype, params["subscripts"], operands, result)
    return lapack.lower(hop.name, params, operands, result, [dtype] * len(operands))
