"""``scipy.signal`` for functions that are to be differentiated, under SciPy's own names.

Convolutions, filters and other rates of samples are differentiated by all their arguments that are numbers; windows and
designs of filters are SciPy's own; what finds places or estimates spectra is refused by name.

>>> import numpy as np
>>> import hopgrad as hg
>>> from hopgrad.scipy.signal import convolve
>>> hg.grad(lambda k: convolve(np.array([1.0, 2.0, 3.0]), k)[1])(np.zeros(2))
array([2., 1.])
"""

from __future__ import annotations

import importlib

from hopgrad.scipy._namespace import namespace

__getattr__ = namespace("scipy.signal", {})


def __dir__() -> list[str]:
    return dir(importlib.import_module("scipy.signal"))
