"""Layers that are products of matrices: linear maps, and rows of a table."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from hopgrad.errors import DtypeError
from hopgrad.nn import initializers
from hopgrad.nn.module import Array, Module, Rng, check_last, floating, generator, size

__all__ = ["Embedding", "Linear"]


@dataclasses.dataclass(eq=False, repr=False, init=False)
class Linear(Module):
    """x Wᵀ + b along the last axis: (…, in_features) to (…, out_features).

    Args:
        in_features: Width of the input.
        out_features: Width of the result.
        bias: Whether to add b.
        rng: A generator or seed for the first values: evenly within ±1/√in_features, as in PyTorch.
        dtype: Of the parameters.
        init: Another initializer of the weight (the bias then starts at 0).

    Attributes:
        weight: (out_features, in_features).
        bias: (out_features,), or None.

    >>> Linear(3, 2, rng=0)
    Linear(weight=float32[2, 3], bias=float32[2])
    """

    weight: Array
    bias: Array | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: Rng,
        dtype: DTypeLike = np.float32,
        init: initializers.Initializer | None = None,
    ) -> None:
        rng, dtype = generator(rng), floating(dtype)
        inside, outside = size(in_features, "in_features"), size(out_features, "out_features")
        default = initializers.by_fan_in(inside)
        self.weight = (init or default)((outside, inside), rng, dtype)
        self.bias = (initializers.zeros if init else default)((outside,), rng, dtype) if bias else None

    def __call__(self, x: Array) -> Array:
        check_last(x, self.weight.shape[1], "Linear")
        y = x @ self.weight.T
        return y if self.bias is None else y + self.bias


@dataclasses.dataclass(eq=False, repr=False, init=False)
class Embedding(Module):
    """Rows of a table by number: integers of shape (…) to (…, features).

    Args:
        num_embeddings: Rows of the table.
        features: Their width.
        rng: A generator or seed for the first values: standard normal, as in PyTorch.
        dtype: Of the table.

    Attributes:
        weight: (num_embeddings, features).

    Raises:
        DtypeError: They are no integers.
        IndexError: A number is outside of the table.

    >>> Embedding(10, 4, rng=0)(np.array([[1, 2, 3]])).shape
    (1, 3, 4)
    """

    weight: Array

    def __init__(self, num_embeddings: int, features: int, *, rng: Rng, dtype: DTypeLike = np.float32) -> None:
        shape = size(num_embeddings, "num_embeddings"), size(features, "features")
        self.weight = initializers.normal()(shape, generator(rng), floating(dtype))

    def __call__(self, indices: Array) -> Any:
        if hasattr(indices, "dtype") and indices.dtype.kind not in "iu":
            raise DtypeError(f"Embedding needs numbers of rows: integers, not {indices.dtype}")
        return self.weight[indices]
