"""What the tool has to know of a function: how to call it, and how it is read and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Input = dict[str, Any]


def plain(result: Any) -> Any:
    """Numbers and arrays as JSON has them.

    >>> plain({"a": np.float64(0.5), "b": np.eye(2)})
    {'a': 0.5, 'b': [[1.0, 0.0], [0.0, 1.0]]}
    """
    if isinstance(result, dict):
        return {name: plain(value) for name, value in result.items()}
    return np.asarray(result).tolist()


@dataclass(frozen=True)
class Problem:
    """One function of a module, as GradBench calls it."""

    call: Callable[..., Any]
    """What is timed."""
    read: Callable[[Input], tuple[Any, ...]]
    """The arguments as native arrays."""
    write: Callable[[Any], Any] = plain
    """The result as JSON has it."""
