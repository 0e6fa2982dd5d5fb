"""What stands for Python's ``warnings``: hops are computed later than the code runs, and then they may warn.

So what is pending is computed before the filters change, and warnings come under the filters of their place.
"""

from __future__ import annotations

import functools
import sys
import warnings
from typing import Any

from hopgrad.errors import HopgradError
from hopgrad.numpy._functions import note
from hopgrad.numpy._state import flush, hurry

_REASON = "warns, or changes what becomes of warnings"


class catch_warnings(warnings.catch_warnings):  # noqa: N801  # Python's name
    """``warnings.catch_warnings``, within which each hop is computed as it is recorded."""

    def __enter__(self) -> Any:
        flush()
        note(_REASON, sys._getframe(1))
        found = super().__enter__()
        self._hurried = hurry(True)
        return found

    def __exit__(self, *error: Any) -> None:
        try:
            if not isinstance(error[1], HopgradError):
                flush()
        finally:
            super().__exit__(*error)
            hurry(self._hurried)


def _changing(function: Any) -> Any:
    @functools.wraps(function)
    def change(*args: Any, **keywords: Any) -> Any:
        flush()
        note(_REASON, sys._getframe(1))
        return function(*args, **keywords)

    return change


@functools.wraps(warnings.warn)
def _warn(message: Any, category: Any = None, stacklevel: int = 1, *args: Any, **keywords: Any) -> None:
    flush()
    note(_REASON, sys._getframe(1))
    warnings.warn(message, category, stacklevel + 1, *args, **keywords)


MEMBERS: dict[str, Any] = {
    "catch_warnings": catch_warnings,
    "warn": _warn,
    **{name: _changing(getattr(warnings, name)) for name in (
        "filterwarnings", "simplefilter", "resetwarnings", "warn_explicit", "showwarning")},
}  # fmt: skip
