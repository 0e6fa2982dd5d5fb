"""``scipy.special`` for functions that are to be differentiated: ``from hopgrad.scipy.special import logsumexp``.

SciPy's ufuncs (``expit``, ``gammaln``, …) take traced values as they are, and so do its functions that are made of
them. A few ask for plain arrays: these have stand-ins here, or refuse traced values by name.

>>> import numpy as np
>>> import hopgrad as hg
>>> from hopgrad.scipy.special import logsumexp, zeta
>>> hg.grad(logsumexp)(np.array([0.0, 0.0]))
array([0.5, 0.5])
>>> round(hg.grad(zeta)(2.0), 9)
-0.937548254
"""

from __future__ import annotations

import importlib
from typing import Any

from hopgrad.hops.surface import refusals, surfaces
from hopgrad.scipy._namespace import namespace

_find = namespace("scipy.special", {})


def __getattr__(name: str) -> Any:
    key = f"scipy.special:{name}"
    if name.startswith("_") or key in surfaces or key in refusals:
        return _find(name)
    return getattr(importlib.import_module("scipy.special"), name)


def __dir__() -> list[str]:
    return dir(importlib.import_module("scipy.special"))
