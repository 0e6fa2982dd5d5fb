"""Gradients of bounded size."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad import tree

__all__ = ["clip_by_global_norm", "clip_by_value", "global_norm"]


def global_norm(values: Any) -> Any:
    """The Euclidean norm of all numbers of a nested value together.

    >>> float(global_norm([np.array([3.0]), {"b": np.array([[4.0]])}]))
    5.0
    """
    leaves = tree.flatten(values)[0]
    return np.sqrt(sum(np.sum(leaf * leaf) for leaf in leaves))


def clip_by_value(gradient: Any, limit: float) -> Any:
    """Each number between −limit and limit (PyTorch's ``clip_grad_value_``)."""
    if not limit > 0:
        raise ValueError(f"limit must be positive, but is {limit}")
    return tree.map(lambda g: np.clip(g, -limit, limit), gradient)


def clip_by_global_norm(gradient: Any, limit: float) -> tuple[Any, Any]:
    """``(gradient, norm)``: the gradient shortened to a norm of at most `limit`, and the norm that it had.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (2013), as PyTorch's
    ``clip_grad_norm_``, which adds 10⁻⁶ to the norm before it divides.

    >>> clipped, norm = clip_by_global_norm({"a": np.array([3.0, 4.0])}, 1.0)
    >>> clipped["a"].round(5), float(norm)
    (array([0.6, 0.8]), 5.0)
    """
    if not limit > 0:
        raise ValueError(f"limit must be positive, but is {limit}")
    norm = global_norm(gradient)
    factor = np.minimum(limit / (norm + 1e-6), 1.0)
    return tree.map(lambda g: g * factor.astype(g.dtype), gradient), norm
