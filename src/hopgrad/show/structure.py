"""What a model is made of, as far as it can be told without data: modules, their parameters and functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.graph.sites import Layer

__all__ = ["Part", "parts"]


@dataclasses.dataclass(frozen=True)
class Part:
    """A module, or a function that one holds.

    Attributes:
        layer: How it is reached, and what it is.
        arrays: The shapes of its own parameters, by name.
        parts: What it holds, in the order of its fields.
    """

    layer: Layer
    arrays: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    parts: list[Part] = dataclasses.field(default_factory=list)

    @property
    def count(self) -> int:
        """How many numbers its parameters are, those of its parts included."""
        own = sum(int(np.prod(shape)) for shape in self.arrays.values())
        return own + sum(part.count for part in self.parts)

    @property
    def rows(self) -> list[str]:
        """Its own parameters in words."""
        return [f"{name} {'×'.join(map(str, shape))}".rstrip() for name, shape in self.arrays.items()]

    def text(self, depth: int = 0) -> Iterator[str]:
        """A line for each part, indented."""
        words = [str(self.layer), *self.rows]
        count = f" ({self.count:,} parameters)" if self.parts and self.count else ""
        yield "  " * depth + "  ".join(words) + count
        for part in self.parts:
            yield from part.text(depth + 1)


def parts(model: Any, name: str = "model") -> Part:
    """What a model is made of.

    >>> from hopgrad import nn
    >>> print(*parts(nn.Sequential(nn.Linear(2, 3, rng=0), nn.relu)).text(), sep=" | ")
    model: Sequential (9 parameters) |   model[0]: Linear  weight 3×2  bias 3 |   relu
    """
    known = {id(item): tree.format_path(path, name) for path, item in tree.containers(model)}
    return _part(model, known)


def _part(module: Any, known: Mapping[int, str]) -> Part:
    made = Part(Layer(known.get(id(module), ""), type(module).__name__))
    leaves, structure = tree.flatten(module)
    for leaf, path in zip(leaves, tree.paths(structure), strict=True):
        if len(path) == 1 and hasattr(leaf, "shape"):
            made.arrays[path[0].name] = leaf.shape
    made.parts.extend(_held(vars(module).values(), known))
    return made


def _held(values: Any, known: Mapping[int, str]) -> Iterator[Part]:
    """The modules and functions among values, and in lists, tuples and dicts of them."""
    for value in values:
        if isinstance(value, dict):
            yield from _held(value.values(), known)
        elif isinstance(value, (list, tuple)):
            yield from _held(value, known)
        elif not callable(value) or isinstance(value, type):
            continue
        elif tree.is_leaf(value):
            function = tree.original(value)
            yield Part(Layer("", getattr(function, "__name__", type(function).__name__)))
        else:
            yield _part(value, known)
