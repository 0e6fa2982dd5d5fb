"""The array API standard: code that asks its arguments for their namespace traces as any other.

The standard's names are NumPy's since version 2, so the namespace is `hopgrad.numpy`.

>>> import hopgrad as hg
>>> import numpy as np
>>> def softmax(x):
...     xp = x.__array_namespace__()
...     e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
...     return e / xp.sum(e, axis=-1, keepdims=True)
>>> hg.jacobian(softmax)(np.array([0.0, 0.0]))
array([[ 0.25, -0.25],
       [-0.25,  0.25]])
"""

from __future__ import annotations

import sys
from typing import Any

import numpy

from hopgrad.trace.tracer import Tracer

_PLAIN: Any = numpy.zeros(0)


def _namespace(self: Tracer, *, api_version: str | None = None) -> Any:
    _PLAIN.__array_namespace__(api_version=api_version)  # raises where NumPy does not know the version
    return sys.modules["hopgrad.numpy"]


# The tracer's class is completed here, as imports point downwards only.
Tracer.__array_namespace__ = _namespace  # type: ignore[attr-defined]
