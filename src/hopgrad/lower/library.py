"""Hops that are computed by libraries, called natively: products of matrices by BLAS, linear algebra by LAPACK."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hopgrad.graph.hop import Hop
from hopgrad.lower import blas, lapack
from hopgrad.lower.fuse import Native
from hopgrad.lower.views import View


def library(
    hop: Hop,
    params: dict[str, Any],
    dtype: np.dtype[Any],
    operands: Sequence[View],
    result: View,
    reserve: Callable[[int], int],
) -> Native | None:
    """The native form of a hop whose operands and result are of one dtype, or None if it has none."""
    given = [_seen(v) for v in operands]
    out = _seen(result)
    if hop.name == "matmul":
        step = blas.matmul(dtype, given[0], given[1], out)
    elif hop.name == "einsum" and len(given) == 2:
        step = blas.einsum(dtype, params["subscripts"], given, out)
    else:
        step = lapack.lower(hop.name, params, given, out, [dtype] * len(given))
    if step is None:
        return None
    words = [*step.params, reserve(step.work)] if step.work else step.params
    return Native(step.source, words, step.flops, step.note)


def _seen(view: View) -> blas.View:
    return blas.View(view.buffer, view.shape, view.strides, view.offset)
