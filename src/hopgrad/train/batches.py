"""Where training data comes from: batches out of arrays, or out of anything that can be iterated over."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.errors import ShapeError
from hopgrad.train.checks import integer

__all__ = ["Batch", "batches"]

Batch = tuple[Any, ...]
"""The further arguments of a loss, after the model."""


def batches(
    data: Any,
    size: int = 32,
    *,
    shuffle: bool = True,
    seed: int = 0,
    drop_last: bool = False,
    dtype: np.dtype[Any] | None = None,
) -> Batches:
    """The batches of `data`, epoch by epoch.

    Args:
        data: One of

            * arrays (memory-mapped ones as well: only the rows of a batch are read), alone or in a tuple, a dict or a
              dataclass, whose first axes run over the same samples;
            * a list or any other iterable of batches; one that can be iterated over again is read anew in each epoch,
              a generator or other iterator counts for one epoch;
            * a function from the epoch's number to an iterable of batches.
        size: Samples in a batch of arrays; the last batch of an epoch has what is left.
        shuffle: Whether arrays are taken in a new order in each epoch. It depends on `seed` and the epoch alone.
        seed: Any integer from 0 on.
        drop_last: Whether to leave out a last batch that is smaller.
        dtype: What floating-point arrays are converted to; None: they stay as they are.

    Raises:
        ShapeError: Arrays differ in length, or have none.
        ValueError: An option is out of its range.

    >>> x, y = np.arange(10.0), np.arange(10)
    >>> source = batches((x, y), 4, seed=1)
    >>> [len(x) for x, y in source.epoch(0)]
    [4, 4, 2]
    >>> all((x == y).all() for x, y in source.epoch(1))
    True
    """
    size, seed = integer(size, "batch_size", 1), integer(seed, "seed", 0)
    if isinstance(data, list) or (_is_iterable(data) and not _is_columns(data)) or _is_function(data):
        return _Stream(data, dtype)
    return _Rows(data, size, shuffle, seed, drop_last, dtype)


def _is_columns(data: Any) -> bool:
    """Whether data is an array or a container of some."""
    return _is_array(data) or not tree.is_leaf(data)


def _is_array(data: Any) -> bool:
    return hasattr(data, "__array__")


def _is_iterable(data: Any) -> bool:
    return hasattr(data, "__iter__") or hasattr(data, "__next__")


def _is_function(data: Any) -> bool:
    return callable(data) and tree.is_leaf(data) and not _is_array(data)


class Batches:
    """Batches by epoch. The same epoch gives the same batches again, unless an iterator is used up."""

    length: int | None = None
    """How many batches an epoch has, if that is known."""
    once = False
    """Whether there is one epoch only."""

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from number `start` on."""
        raise NotImplementedError

    @property
    def settings(self) -> dict[str, Any]:
        """What has to be the same for the same batches."""
        return {}


class _Rows(Batches):
    """Rows of arrays."""

    def __init__(
        self, data: Any, size: int, shuffle: bool, seed: int, drop_last: bool, dtype: np.dtype[Any] | None
    ) -> None:
        leaves, self._structure = tree.flatten(data)
        places = [tree.format_path(path, "data") for path in tree.paths(self._structure)]
        if not leaves:
            raise ShapeError("data holds no arrays")
        for place, leaf in zip(places, leaves, strict=True):
            if not _is_array(leaf) or not np.ndim(leaf):
                raise ShapeError(
                    f"{place} is of type {type(leaf).__name__} and has no first axis that could run over samples: data"
                    " is an array, or a tuple or dict of arrays; batches that are ready go into a list or a generator"
                )
        # Of a memory-mapped file this is a view, which is still read when it is needed.
        self._columns = [np.asarray(leaf) for leaf in leaves]
        self._rows = len(self._columns[0])
        for place, column in zip(places, self._columns, strict=True):
            if len(column) != self._rows:
                raise ShapeError(f"{places[0]} has {self._rows} rows, but {place} has {len(column)}")
        if not self._rows:
            raise ShapeError("data has no rows")
        self._size, self._shuffle, self._seed, self._drop, self._dtype = size, shuffle, seed, drop_last, dtype
        self.length = self._rows // size if drop_last else -(-self._rows // size)
        if not self.length:
            raise ValueError(f"drop_last leaves no batch: {self._rows} rows are less than a batch of {size}")

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        order = np.random.default_rng([self._seed, number]).permutation(self._rows) if self._shuffle else None
        assert self.length is not None
        for k in range(start, self.length):
            rows: Any = slice(k * self._size, min((k + 1) * self._size, self._rows))
            if order is not None:
                rows = order[rows]
            yield _arguments(tree.unflatten(self._structure, [_cast(c[rows], self._dtype) for c in self._columns]))

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "rows": self._rows,
            "batch_size": self._size,
            "shuffle": self._shuffle,
            "seed": self._seed,
            "drop_last": self._drop,
        }


class _Stream(Batches):
    """Batches that somebody else makes."""

    def __init__(self, data: Any, dtype: np.dtype[Any] | None) -> None:
        self._make: Callable[[int], Iterable[Any]] = data if _is_function(data) else lambda _: data
        self._dtype = dtype
        self.once = not _is_function(data) and iter(data) is data
        self.length = len(data) if hasattr(data, "__len__") else None

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        made = self._make(number)
        if not _is_iterable(made):
            raise TypeError(f"data({number}) gave a value of type {type(made).__name__}, which is no iterable")
        for batch in itertools.islice(made, start, None):
            yield _arguments(tree.map(lambda leaf: _cast(leaf, self._dtype), batch))


def _arguments(batch: Any) -> Batch:
    """A tuple (or list) gives the loss one argument for each of its elements, anything else a single one."""
    return tuple(batch) if type(batch) in (tuple, list) else (batch,)


def _cast(leaf: Any, dtype: np.dtype[Any] | None) -> Any:
    """An array as NumPy's own kind, floating-point ones in the wanted dtype; other values as they are."""
    if not _is_array(leaf):
        return leaf
    array = np.asarray(leaf)
    return array.astype(dtype, copy=False) if dtype is not None and array.dtype.kind == "f" else array
