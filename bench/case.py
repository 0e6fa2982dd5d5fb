"""What a case is: a problem in plain NumPy, its sizes, and how other tools write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Array = Any  # a NumPy array, or what a tool puts in its place
Size = int | tuple[int, ...]
Want = Literal["grad", "value_and_grad", "hvp", "step", "training", "jacobian", "sparse_jacobian"]


def joined(size: Size) -> str:
    """A size in words.

    >>> joined(1000000), joined((128, 784, 10))
    ('1,000,000', '128×784×10')
    """
    return f"{size:,}" if isinstance(size, int) else "×".join(map(str, size))


@dataclass(frozen=True)
class Case:
    """One problem at several sizes.

    `function` is written as for NumPy, at the top level of its module, over the module's names ``np`` and ``special``.
    JAX, PyTorch and autograd run the same source over their own namespaces unless a version of their own is given.
    Plain ints among the arguments are static. The arguments of ``"hvp"`` are the point, the vector, and what else the
    function takes.
    """

    name: str
    function: Callable[..., Any]
    """The scalar function to differentiate."""
    make: Callable[[Any, np.random.Generator], tuple[Any, ...]]
    """The arguments for a size."""
    sizes: tuple[Size, ...]
    want: Want = "grad"
    """What is timed; ``"step"`` is `program`, given the tool's value_and_grad; ``"training"`` is the
    step of the last two arguments that `program`, `jax` and `torch` make of all of them, and that keeps the others."""
    argnums: int | tuple[int, ...] = 0
    program: Callable[..., Any] | None = None
    by_hand: Callable[..., Any] | None = None
    """The same result in NumPy, derived by hand."""
    jax: Callable[..., Any] | None = None
    """The function for jax.numpy, where the NumPy source does not run."""
    torch: Callable[..., Any] | None = None
    """The function on tensors, where the NumPy source does not run over torch's namespace."""
    casadi: Callable[..., Any] | None = None
    """The function on CasADi's symbols."""
    cpp: Callable[..., Any] | None = None
    """The same result by hand-written C++, one of `bench.cpp`."""
    instead: Mapping[str, Mapping[str, Callable[..., Any]]] = field(default_factory=dict)
    """By tool: helpers in the function's module that it needs written otherwise, by name."""
    skip: Mapping[str, str] = field(default_factory=dict)
    """Tools that cannot run this case, and why."""
    up_to: Mapping[str, Size] = field(default_factory=dict)
    """The largest size for tools that would take minutes or all memory above it."""
    traffic: Callable[[Any], int] | None = None
    """Bytes that an ideal gradient reads and writes, for cases bound by memory."""
    first_size: Size | None = None
    """The size at which the first call is timed; the smallest if not given."""
    label: Callable[[Any], str] = joined

    def arguments(self, size: Size) -> tuple[Any, ...]:
        """The arguments for a size, the same ones at each call."""
        return self.make(size, np.random.default_rng(20240229))

    def of_function(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """What the function itself takes of the arguments."""
        return (args[0], *args[2:]) if self.want == "hvp" else args

    def excuse(self, tool: str, size: Size) -> str | None:
        """Why the tool does not run this size, if so."""
        if tool in self.skip:
            return self.skip[tool]
        if tool in self.up_to and self.sizes.index(size) > self.sizes.index(self.up_to[tool]):
            return f"not run above {self.label(self.up_to[tool])}: too slow or too large"
        return None


def leaves(value: Any) -> Iterator[Any]:
    """The numbers and arrays in nested containers, dicts by sorted key.

    >>> list(leaves({"b": [1, (2, 3)], "a": 0}))
    [0, 1, 2, 3]
    """
    if isinstance(value, dict):
        for key in sorted(value):
            yield from leaves(value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def mapped(convert: Callable[[Any], Any], value: Any) -> Any:
    """The same containers with every number and array converted, in the order of `leaves`.

    >>> mapped(float, {"b": [1, (2, 3)], "a": 0})
    {'a': 0.0, 'b': [1.0, (2.0, 3.0)]}
    """
    if isinstance(value, dict):
        return {key: mapped(convert, value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return type(value)([mapped(convert, item) for item in value])
    return convert(value)
