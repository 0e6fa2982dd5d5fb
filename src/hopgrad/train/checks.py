"""Checks of options."""

from __future__ import annotations

from typing import Any

import numpy as np


def integer(value: Any, name: str, least: int) -> int:
    """An option that has to be an integer, at least `least`.

    >>> integer(np.int64(3), "steps", 0)
    3
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer from {least} on, but is {value!r}")
    return int(value)
