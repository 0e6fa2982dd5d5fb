"""What stands for ``functools.lru_cache``: traced numbers, whose hash would be that of a value, count by identity."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from hopgrad.trace.tracer import ARRAY, Tracer


class _Itself:
    """A key for a traced number: equal to itself only. It keeps the number alive, so that no other takes its place."""

    __slots__ = ("value",)

    def __init__(self, value: Tracer) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def _key(value: Any) -> Any:
    return _Itself(value) if type(value) is Tracer and value._kind != ARRAY else value


def _bare(key: Any) -> Any:
    return key.value if type(key) is _Itself else key


class Cached:
    """A function with a cache, which traced numbers can be arguments of.

    Args:
        function: What is called.
        maxsize, typed: As of ``functools.lru_cache``.
        plain: A function with a cache of its own that serves plain arguments, and gives NotImplemented for others.
    """

    def __init__(
        self, function: Callable[..., Any], maxsize: int | None = 128, typed: bool = False, plain: Any = None
    ) -> None:
        def compute(*args: Any, **keywords: Any) -> Any:
            return function(*map(_bare, args), **{name: _bare(v) for name, v in keywords.items()})

        functools.update_wrapper(self, function)
        self._cache = functools.lru_cache(maxsize, typed)(compute)
        self._plain = plain
        shown = self._cache if plain is None else plain.__wrapped__
        self.cache_info = shown.cache_info
        self.cache_parameters = shown.cache_parameters

    def cache_clear(self) -> None:
        """As functions have it that ``functools.lru_cache`` makes."""
        self._cache.cache_clear()
        if self._plain is not None:
            self._plain.__wrapped__.cache_clear()

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if self._plain is not None and (found := self._plain(*args, **keywords)) is not NotImplemented:
            return found
        return self._cache(*map(_key, args), **{name: _key(v) for name, v in keywords.items()})

    def __get__(self, owner: Any, cls: Any = None) -> Any:
        return self if owner is None else types.MethodType(self, owner)


def _lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    if callable(maxsize):  # used without parentheses
        return Cached(maxsize, 128, typed)
    return lambda function: Cached(function, maxsize, typed)


def _cache(function: Callable[..., Any], /) -> Cached:
    return Cached(function, None)


MEMBERS: dict[str, Any] = {
    "lru_cache": functools.wraps(functools.lru_cache)(_lru_cache),
    "cache": functools.wraps(functools.cache)(_cache),
}
