"""Random numbers without a hidden state: the same key gives the same numbers, in NumPy, in native code, at each replay.

`np.random` draws other numbers at each call, so a function that uses it is traced anew each time. Here numbers are a
function of a *key* and of their place in the array, computed by Philox2x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel
random numbers: as easy as 1, 2, 3", 2011). Make one key from a seed, and from it one for each use and each step:

>>> import numpy as np
>>> from hopgrad import random
>>> root = random.key(0)
>>> mask = random.bernoulli(random.fold_in(root, 3), 0.5, (4,))
>>> mask.dtype, mask.shape
(dtype('bool'), (4,))
>>> bool(np.all(mask == random.bernoulli(random.fold_in(root, 3), 0.5, (4,))))
True

Two arrays drawn with one key are not independent: fold in another number for each.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from hopgrad.errors import DtypeError
from hopgrad.hops import random as hops
from hopgrad.hops.surface import lift
from hopgrad.trace.tracer import call, has_traced

__all__ = ["bernoulli", "bits", "fold_in", "key", "normal", "uniform"]

Shape = int | Sequence[int]
_BITS = 53


def key(seed: int) -> Any:
    """A key from a seed, 0 or more: an int64 without axes.

    >>> key(7).dtype
    dtype('int64')
    """
    if not (type(seed) is int or isinstance(seed, np.integer)) or seed < 0:
        raise ValueError(f"a seed is an integer of 0 or more, not {seed!r}")
    found = np.int64(0)
    for k in range(max(1, -(-int(seed).bit_length() // 32))):  # all bits of the seed enter
        found = _drawn(np.int64(int(seed) >> (32 * k) & 0xFFFFFFFF), found, None)
    return found


def fold_in(key: Any, number: Any) -> Any:
    """Another key, from a key and a number of 0 or more, such as that of the step or of the layer.

    >>> a, b = fold_in(key(0), 1), fold_in(key(0), 2)
    >>> bool(a == b)
    False
    """
    frame = sys._getframe(1)
    # Counters below 0 are of no element of an array.
    return _drawn(-1 - _whole(number, "the number"), _whole(key, "a key"), frame)


def bits(key: Any, shape: Shape = ()) -> Any:
    """int64 of a shape: each has 53 random bits, from 0 to 2⁵³ − 1."""
    return _bits(key, shape, sys._getframe(1))


def uniform(key: Any, shape: Shape = (), dtype: DTypeLike = np.float64) -> Any:
    """Evenly in [0, 1): multiples of 2⁻⁵³ for float64, of 2⁻²⁴ for float32.

    >>> round(float(uniform(key(0), 100_000).mean()), 2)
    0.5
    """
    return _uniform(key, shape, dtype, sys._getframe(1))


def _uniform(key: Any, shape: Shape, dtype: DTypeLike, frame: FrameType | None) -> Any:
    wanted = np.dtype(dtype)
    if wanted not in (np.float64, np.float32):
        raise DtypeError(f"random numbers are float64 or float32, not {wanted}")
    found = _bits(key, shape, frame) * 2.0**-_BITS  # exact
    return found if wanted == np.float64 else (np.floor(found * 2.0**24) * 2.0**-24).astype(wanted)


def normal(key: Any, shape: Shape = (), dtype: DTypeLike = np.float64) -> Any:
    """Standard normal: the inverse distribution function of evenly distributed numbers.

    >>> round(float(normal(key(0), 100_000).std()), 2)
    1.0
    """
    from scipy.special import ndtri

    # In the middles of their steps, so that none is 0.
    return ndtri((_bits(key, shape, sys._getframe(1)) + 0.5) * 2.0**-_BITS).astype(dtype)


def bernoulli(key: Any, probability: Any, shape: Shape = ()) -> Any:
    """Booleans that are true with a probability.

    >>> round(float(bernoulli(key(0), 0.25, 100_000).mean()), 2)
    0.25
    """
    return _uniform(key, shape, np.float64, sys._getframe(1)) < probability


def _bits(key: Any, shape: Shape, frame: FrameType | None) -> Any:
    sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    if math.prod(sizes) > 2**32:
        raise ValueError(
            f"an array of shape {sizes} has more than 2³² elements: draw parts of it with keys of their own"
        )
    counter: Any = np.zeros(sizes, np.int64)
    step = 1
    for axis in reversed(range(len(sizes))):
        counter = counter + (step * np.arange(sizes[axis], dtype=np.int64)).reshape(-1, *[1] * (len(sizes) - 1 - axis))
        step *= sizes[axis]
    return _drawn(counter, _whole(key, "a key"), frame)


def _whole(value: Any, name: str) -> Any:
    if type(value) is int:
        return np.int64(value)
    if not hasattr(value, "dtype") or value.dtype.kind not in "iu":
        raise DtypeError(f"{name} must be an integer, not {getattr(value, 'dtype', type(value).__name__)}")
    return value.astype(np.int64)


def _drawn(counter: Any, key: Any, frame: FrameType | None) -> Any:
    if not has_traced((counter, key)):
        return hops.random_bits.function(counter, key, dtype=hops.INTEGER)
    return call(_emit, (counter, key), {}, frame)


def _emit(counter: Any, key: Any) -> Any:
    builder = (counter if hasattr(counter, "builder") else key).builder
    return hops.random_bits(lift(counter, builder), lift(key, builder), dtype=hops.INTEGER)
