"""What all modules have in common: they are dataclasses of arrays that can be called.

There is nothing to inherit: any dataclass with ``__call__`` is a module, and any function a layer. `Module` only adds
a readable ``repr`` and `replace`. Parameters are whatever arrays the fields hold; fields made by `static` (a stride, an
activation) belong to the structure.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from hopgrad import tree
from hopgrad.errors import DtypeError, ShapeError
from hopgrad.random import fold_in
from hopgrad.tree import static

__all__ = ["Module", "Rng", "Sequential", "named_parameters", "num_parameters", "static", "with_parameters"]

Array = Any
"""A NumPy array, or a traced one."""
Rng = np.random.Generator | int
"""Where first values come from: a generator, or the seed of one."""


@dataclasses.dataclass(eq=False, repr=False)
class Module:
    """A dataclass of arrays: a base for modules that adds a ``repr`` by shapes, and `replace`."""

    def replace(self, **fields: Any) -> Self:
        """The same module with other values of some fields.

        >>> from hopgrad import nn
        >>> layer = nn.Linear(2, 3, rng=0)
        >>> layer.replace(bias=None)
        Linear(weight=float32[3, 2], bias=None)
        """
        names = [field.name for field in dataclasses.fields(self)]
        unknown = sorted(fields.keys() - set(names))
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {unknown[0]!r}, only {', '.join(names)}")
        made = object.__new__(type(self))
        for name in names:
            object.__setattr__(made, name, fields[name] if name in fields else getattr(self, name))
        return made

    def __repr__(self) -> str:
        shown = ", ".join(f"{f.name}={_shown(getattr(self, f.name, None))}" for f in dataclasses.fields(self))
        return f"{type(self).__name__}({shown})"


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(_shown, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {_shown(v)}" for k, v in value.items()) + "}"
    return getattr(value, "__name__", None) or repr(value)


@dataclasses.dataclass(eq=False, repr=False, init=False)
class Sequential(Module):
    """Layers one after the other: modules, or any functions of one array.

    Args:
        layers: Each is called with what the one before it gave. A function has no parameters. Those with a true
            attribute ``takes_key`` (`Dropout`, a `Sequential` in turn) also get a key of their own, if there is one.

    >>> from hopgrad import nn
    >>> model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.relu, nn.Linear(8, 2, rng=1))
    >>> model(np.ones((5, 4), np.float32)).shape
    (5, 2)
    >>> model[0].bias.shape
    (8,)
    """

    layers: tuple[Callable[..., Any], ...]
    takes_key = True

    def __init__(self, *layers: Callable[..., Any]) -> None:
        for place, layer in enumerate(layers):
            if not callable(layer):
                raise TypeError(f"layer {place} of Sequential is of type {type(layer).__name__}, which is no function")
        self.layers = layers

    def __call__(self, x: Array, key: Array | None = None) -> Array:
        for place, layer in enumerate(self.layers):
            if key is not None and getattr(layer, "takes_key", False):
                x = layer(x, key=fold_in(key, place))
            else:
                x = layer(x)
        return x

    def __getitem__(self, place: int) -> Any:
        return self.layers[place]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(self.layers)


class _Parameters:
    """In the place of a layer in a structure: its parameters are children."""


_PARAMETERS = _Parameters()


def _opened(model: Sequential) -> tuple[list[Any], tuple[Any, ...]]:
    """Children by place, None for a layer that is a plain function; these are part of the structure."""
    children = [None if tree.is_leaf(layer) else layer for layer in model.layers]
    kept = [tree.original(layer) if tree.is_leaf(layer) else _PARAMETERS for layer in model.layers]
    return children, tuple(kept)


def _closed(kept: tuple[Any, ...], children: list[Any]) -> Sequential:
    made = object.__new__(Sequential)
    made.layers = tuple(c if k is _PARAMETERS else k for k, c in zip(kept, children, strict=True))
    return made


tree.register(Sequential, _opened, _closed)


# -- parameters by name ------------------------------------------------------------------------------------------------


def _named(model: Any) -> tuple[list[str], list[Any], tree.Structure]:
    leaves, structure = tree.flatten(model)
    names = [".".join(key.name for key in path) for path in tree.paths(structure)]
    return names, leaves, structure


def named_parameters(model: Any) -> dict[str, Any]:
    """The arrays of a model by their names, which are those of PyTorch's state dicts.

    >>> from hopgrad import nn
    >>> model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.relu, nn.Linear(8, 2, rng=1))
    >>> {name: array.shape for name, array in named_parameters(model).items()}
    {'0.weight': (8, 4), '0.bias': (8,), '2.weight': (2, 8), '2.bias': (2,)}
    """
    names, leaves, _ = _named(model)
    return dict(zip(names, leaves, strict=True))


def with_parameters(model: Any, arrays: Mapping[str, Any]) -> Any:
    """The same model with other arrays, given by the names of `named_parameters`.

    Raises:
        ShapeError: An array has another shape than that of the model.
        KeyError: Names are missing, or there are others.
    """
    names, leaves, structure = _named(model)
    missing, unknown = [n for n in names if n not in arrays], [n for n in arrays if n not in set(names)]
    if missing or unknown:
        told = [f"{what} {', '.join(found)}" for what, found in (("missing:", missing), ("unknown:", unknown)) if found]
        raise KeyError(f"the arrays do not fit the model; {'; '.join(told)}")
    for name, leaf in zip(names, leaves, strict=True):
        if np.shape(arrays[name]) != np.shape(leaf):
            raise ShapeError(f"{name} has shape {np.shape(arrays[name])}, but that of the model is {np.shape(leaf)}")
    return tree.unflatten(structure, [arrays[name] for name in names])


def num_parameters(model: Any) -> int:
    """How many numbers the arrays of a model hold.

    >>> from hopgrad import nn
    >>> num_parameters(nn.Linear(784, 10, rng=0))
    7850
    """
    return sum(int(np.size(leaf)) for leaf in tree.flatten(model)[0])


# -- for the constructors ----------------------------------------------------------------------------------------------


def generator(rng: Rng) -> np.random.Generator:
    """The generator that a constructor draws from."""
    if isinstance(rng, np.random.Generator):
        return rng
    if type(rng) is int or isinstance(rng, np.integer):
        return np.random.default_rng(rng)
    raise TypeError(f"rng must be np.random.default_rng(seed) or an integer seed, not {type(rng).__name__}")


def size(value: Any, name: str, least: int = 1) -> int:
    """A size that was given to a constructor, checked."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be {least} or more, but is {value}")
    return int(value)


def floating(dtype: DTypeLike) -> np.dtype[Any]:
    """A dtype for parameters, checked."""
    found = np.dtype(dtype)
    if found.kind != "f":
        raise DtypeError(f"parameters have a floating-point dtype, not {found}")
    return found


def check_last(x: Any, expected: int, layer: str) -> None:
    """The error that a layer gives for an input of another width."""
    shape = np.shape(x)
    if not shape or shape[-1] != expected:
        raise misfit(f"{layer} needs an input whose last axis has {expected} elements, but its shape is {shape}")


def misfit(words: str) -> ShapeError:
    """The error of a layer about its input, which tells how the layer is reached from the model that was called."""
    calls: list[Any] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__call__" and code.co_argcount:
            owner = frame.f_locals.get(code.co_varnames[0])
            calls += [] if tree.is_leaf(owner) else [owner]
        frame = frame.f_back
    for model in reversed(calls[1:]):
        for path, part in tree.containers(model):
            if part is calls[0] and path:
                way = tree.format_path(path, "").lstrip(".")
                return ShapeError(f"{words}\n  in layer {way} of the {type(model).__name__}")
    return ShapeError(words)
