"""NumPy's settings: how floating-point errors are handled, and how arrays are printed.

Hops are computed later than the user's code runs. So what is pending is computed before a setting changes, and warnings
and errors come where NumPy would give them.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy

from hopgrad.errors import HopgradError
from hopgrad.numpy._functions import note
from hopgrad.trace import context

_ERRORS = "changes or reads NumPy's error handling"


def flush() -> None:
    """Compute what the trace in progress has recorded so far."""
    trace = context.current()
    if trace is not None:
        trace.flush()


def hurry(eager: bool | None = None) -> bool:
    """Say whether each hop is to be computed as it is recorded, since it may raise; None: by NumPy's settings.

    Returns what was the case before.
    """
    trace = context.current()
    if trace is None:
        return False
    before = trace.eager
    trace.eager = context.raises() if eager is None else eager
    return before


class errstate:
    """``np.errstate``: what is computed inside it follows its settings.

    >>> with errstate(divide="ignore"):
    ...     numpy.float64(1.0) / 0.0
    np.float64(inf)
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._plain = numpy.errstate(**settings)

    def __enter__(self) -> None:
        flush()
        note(_ERRORS, sys._getframe(1))
        self._plain.__enter__()
        self._eager = hurry()

    def __exit__(self, *error: Any) -> None:
        try:
            # What raises here would have raised before whatever else did.
            if not isinstance(error[1], HopgradError):
                flush()
        finally:
            self._plain.__exit__(*error)
            hurry(self._eager)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """As a decorator."""

        @functools.wraps(function)
        def inside(*args: Any, **keywords: Any) -> Any:
            with errstate(**self._settings):
                return function(*args, **keywords)

        return inside


def _setting(function: Any, reason: str = _ERRORS) -> Any:
    @functools.wraps(function)
    def change(*args: Any, **keywords: Any) -> Any:
        flush()
        note(reason, sys._getframe(1))
        result = function(*args, **keywords)
        hurry()
        return result

    return change


SETTINGS: dict[str, Any] = {
    "errstate": errstate,
    **{name: _setting(getattr(numpy, name)) for name in (
        "seterr", "geterr", "seterrcall", "geterrcall", "setbufsize", "getbufsize")},
    **{name: _setting(getattr(numpy, name), "changes or reads how NumPy prints") for name in (
        "set_printoptions", "get_printoptions", "printoptions")},
}  # fmt: skip
