"""The exceptions that hopgrad raises on purpose.

Each one is also the built-in exception that NumPy or Python would have raised in its place, so that
``except ValueError`` and ``except TypeError`` in existing code keep working.

>>> issubclass(ShapeError, HopgradError), issubclass(ShapeError, ValueError)
(True, True)
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "AxisError",
    "DtypeError",
    "ExpressionError",
    "GraphError",
    "HopgradError",
    "LoopError",
    "NativeCodeWarning",
    "NotDifferentiableError",
    "RetraceWarning",
    "ShapeError",
    "TraceError",
]

_WINDOW = 70  # characters of a long line that are shown around the caret


class HopgradError(Exception):
    """The base of every exception here: catch it to catch them all."""


class TraceError(HopgradError, TypeError):
    """A traced value was used where only a plain number or array can be.

    Usual causes are ``float(x)``, ``if x > 0:`` and writing into an array that is not traced. Use the
    NumPy function of the same meaning instead (``np.where`` for ``if``).
    """


class ShapeError(HopgradError, ValueError):
    """Shapes, or the nesting of two containers, do not fit together. The message names the place."""


class AxisError(ShapeError, np.exceptions.AxisError):
    """An axis that the array does not have."""


class DtypeError(HopgradError, TypeError):
    """A dtype that cannot be used here, such as an integer array to differentiate by: convert it first."""


class NotDifferentiableError(HopgradError, TypeError):
    """A derivative was asked for that does not exist or is not known: the message names the function."""


class RetraceWarning(UserWarning):
    """A function takes so many paths that keeping traces does not pay; the message names the line that decides."""


class NativeCodeWarning(RuntimeWarning):
    """Native code could not be made for a function, which NumPy computes instead: a bug of hopgrad, worth a report."""


class LoopError(HopgradError, RuntimeError):
    """A loop did not end within the number of steps that it was allowed: allow more, or look at its condition."""


class GraphError(HopgradError, AssertionError):
    """The checker found a recorded computation that breaks a rule: a bug in a primitive, not in its use."""


class ExpressionError(HopgradError, ValueError):
    """A text expression cannot be read or computed; ``str`` points at the place.

    ``text`` is the whole expression and ``column`` the offset in it, counted in characters from 0, or
    None where the fault has no place in the text. Correct the text, or the values given for its names.

    >>> print(ExpressionError("attribute access is not allowed", "1 + x.real", 5))
    attribute access is not allowed
      1 + x.real
           ^
    """

    def __init__(self, message: str, text: str = "", column: int | None = None) -> None:
        super().__init__(message, text, column)  # all three, so that the exception can be pickled
        self.message = message
        self.text = text
        self.column = column

    def __str__(self) -> str:
        if self.column is None:
            return self.message
        column = max(0, min(self.column, len(self.text)))
        begin = self.text.rfind("\n", 0, column) + 1
        end = self.text.find("\n", column)
        line = self.text[begin : end if end >= 0 else len(self.text)]
        column -= begin
        first = max(0, min(column - _WINDOW // 2, len(line) - _WINDOW))
        before = "..." if first > 0 else ""
        after = "..." if first + _WINDOW < len(line) else ""
        # A tab or a control character would push the caret away from its place.
        shown = "".join(char if char.isprintable() else " " for char in line[first : first + _WINDOW])
        indent = " " * (len(before) + column - first)
        return f"{self.message}\n  {before}{shown}{after}\n  {indent}^"
