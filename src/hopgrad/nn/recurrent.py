"""Recurrent networks as scans over time: the step is traced once, however long the sequence is."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from hopgrad import tree
from hopgrad.control import scan
from hopgrad.nn import initializers
from hopgrad.nn.activations import sigmoid
from hopgrad.nn.module import Array, Module, Rng, floating, generator, misfit, size
from hopgrad.tree import static

__all__ = ["GRU", "LSTM", "RNN", "RecurrentLayer"]


@dataclasses.dataclass(eq=False, repr=False)
class RecurrentLayer(Module):
    """The parameters of one layer; rows are in blocks of hidden_size, one a gate, in PyTorch's order.

    Attributes:
        weight_ih: (gates·hidden_size, input_size).
        weight_hh: (gates·hidden_size, hidden_size).
        bias_ih: (gates·hidden_size,), or None.
        bias_hh: The same.
    """

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array | None
    bias_hh: Array | None


@dataclasses.dataclass(eq=False, repr=False, init=False)
class _Recurrent(Module):
    """What recurrent networks have in common: layers, each a scan over the results of the one below.

    If they go both ways, two layers stand at each level: one forwards, one backwards in time.
    """

    layers: tuple[RecurrentLayer, ...]
    batch_first: bool = static()
    bidirectional: bool = static()
    gates: ClassVar[int]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        bidirectional: bool = False,
        *,
        rng: Rng,
        dtype: DTypeLike = np.float32,
    ) -> None:
        rng, dtype = generator(rng), floating(dtype)
        inside, hidden = size(input_size, "input_size"), size(hidden_size, "hidden_size")
        first = initializers.by_fan_in(hidden)
        rows = self.gates * hidden
        layers = []
        ways = 2 if bidirectional else 1
        for _ in range(size(num_layers, "num_layers")):
            shapes = ((rows, inside), (rows, hidden), *((rows,), (rows,)) * bias)
            for _ in range(ways):
                made = [first(shape, rng, dtype) for shape in shapes]
                layers.append(RecurrentLayer(*made, *[None] * (4 - len(made))))
            inside = ways * hidden
        self.layers = tuple(layers)
        self.batch_first, self.bidirectional = batch_first, bidirectional

    @property
    def hidden_size(self) -> int:
        """Width of the state."""
        return int(np.shape(self.layers[0].weight_hh)[1])

    def _first(self, batch: int, dtype: Any) -> Any:
        """The state of all layers before the first step."""
        return np.zeros((len(self.layers), batch, self.hidden_size), dtype)

    def _step(self, layer: RecurrentLayer, driven: Array, state: Any) -> tuple[Any, Array]:
        """(state, result) of a step, given what the input contributes."""
        raise NotImplementedError

    def _recurrent(self, layer: RecurrentLayer, h: Array) -> Any:
        """What the state contributes."""
        y = h @ layer.weight_hh.T
        return y if layer.bias_hh is None else y + layer.bias_hh

    def _along(self, layer: RecurrentLayer, x: Array, state: Any, backwards: bool) -> tuple[Any, Array]:
        """(last state, results) of one layer."""
        driven = x @ layer.weight_ih.T  # of all steps at once
        if layer.bias_ih is not None:
            driven = driven + layer.bias_ih
        order = slice(None, None, -1 if backwards else 1)

        def step(carry: Any, row: Array) -> tuple[Any, Array]:
            return self._step(layer, row, carry)

        after, y = scan(step, state, driven[order])
        return after, y[order]

    def _run(self, x: Array, state: Any) -> tuple[Array, Any]:
        shape, width = np.shape(x), np.shape(self.layers[0].weight_ih)[1]
        if len(shape) not in (2, 3) or shape[-1] != width:
            order = "(batch, time" if self.batch_first else "(time, batch"
            raise misfit(f"{type(self).__name__} needs an input of shape {order}, {width}), or (time, {width}), "
                             f"but its shape is {shape}")  # fmt: skip
        alone = len(shape) == 2
        if alone:
            x = x[:, None]
        elif self.batch_first:
            x = np.swapaxes(x, 0, 1)
        if state is None:
            state = self._first(np.shape(x)[1], x.dtype)
        elif alone:
            state = tree.map(lambda s: s[:, None], state)
        last = []
        ways = 2 if self.bidirectional else 1
        for level in range(0, len(self.layers), ways):
            results = []
            for k in range(level, level + ways):
                after, y = self._along(self.layers[k], x, tree.map(lambda s, k=k: s[k], state), k > level)
                last.append(after)
                results.append(y)
            x = np.concatenate(results, -1) if ways > 1 else results[0]
        states = tree.map(lambda *parts: np.stack(parts), *last)
        if alone:
            return x[:, 0], tree.map(lambda s: s[:, 0], states)
        return (np.swapaxes(x, 0, 1) if self.batch_first else x), states


def _named_children(model: Any) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """The parameters under PyTorch's names, such as ``weight_ih_l0``."""
    names = [field.name for field in dataclasses.fields(RecurrentLayer)]
    ways = ("", "_reverse") if model.bidirectional else ("",)
    places = [f"_l{k // len(ways)}{ways[k % len(ways)]}" for k in range(len(model.layers))]
    children = {n + place: getattr(layer, n) for place, layer in zip(places, model.layers, strict=True) for n in names}
    return children, (len(model.layers), model.batch_first, model.bidirectional)


def _register(cls: type[Any]) -> type[Any]:
    """Have a network's parameters named as PyTorch names them."""

    def rebuilt(kept: tuple[Any, ...], children: dict[str, Any]) -> Any:
        values = list(children.values())
        made = object.__new__(cls)
        layers, made.batch_first, made.bidirectional = kept
        made.layers = tuple(RecurrentLayer(*values[4 * k : 4 * k + 4]) for k in range(layers))
        return made

    return tree.register(cls, _named_children, rebuilt)


@_register
class RNN(_Recurrent):
    """h ← tanh(W_ih x + b_ih + W_hh h + b_hh), Elman's network (1990).

    Args:
        input_size: Width of the input.
        hidden_size: Width of the state.
        num_layers: Each works on the results of the one below.
        bias: Whether there are biases.
        batch_first: Whether inputs and results are (batch, time, width) instead of (time, batch, width).
        bidirectional: Whether a second network goes through the sequence backwards. Results are twice as wide then, and
            states are (2·layers, batch, hidden): forwards and backwards at each level.
        rng: A generator or seed for the first values: evenly within ±1/√hidden_size, as in PyTorch.
        dtype: Of the parameters.

    Attributes:
        layers: `RecurrentLayer`s. By name they are ``weight_ih_l0``, ``weight_hh_l0`` and so on, as in PyTorch.

    >>> y, h = RNN(3, 5, rng=0)(np.ones((10, 2, 3), np.float32))
    >>> y.shape, h.shape
    ((10, 2, 5), (1, 2, 5))
    """

    gates = 1

    def __call__(self, x: Array, state: Array | None = None) -> tuple[Array, Array]:
        """``(results, last state)``, from zeros if there is no state; it has shape (layers, batch, hidden)."""
        return self._run(x, state)

    def _step(self, layer: RecurrentLayer, driven: Array, state: Array) -> tuple[Any, Array]:
        h = np.tanh(driven + self._recurrent(layer, state))
        return h, h


@_register
class GRU(_Recurrent):
    """Gated recurrent units. Cho et al., "Learning phrase representations using RNN encoder–decoder" (2014).

    Gates are reset, update, new; the reset gate multiplies W_hn h + b_hn, as in PyTorch. Arguments are those of `RNN`.

    >>> y, h = GRU(3, 5, num_layers=2, rng=0)(np.ones((10, 2, 3), np.float32))
    >>> y.shape, h.shape
    ((10, 2, 5), (2, 2, 5))
    """

    gates = 3

    def __call__(self, x: Array, state: Array | None = None) -> tuple[Array, Array]:
        """``(results, last state)``, from zeros if there is no state; it has shape (layers, batch, hidden)."""
        return self._run(x, state)

    def _step(self, layer: RecurrentLayer, driven: Array, state: Array) -> tuple[Any, Array]:
        reset, update, new = np.split(driven, 3, -1)
        reset_h, update_h, new_h = np.split(self._recurrent(layer, state), 3, -1)
        z = sigmoid(update + update_h)
        n = np.tanh(new + sigmoid(reset + reset_h) * new_h)
        h = (1 - z) * n + z * state
        return h, h


@_register
class LSTM(_Recurrent):
    """Long short-term memory. Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).

    Gates are input, forget, cell, output, as in PyTorch. Arguments are those of `RNN`; the state is a pair (h, c).

    >>> y, (h, c) = LSTM(3, 5, rng=0)(np.ones((10, 2, 3), np.float32))
    >>> y.shape, h.shape, c.shape
    ((10, 2, 5), (1, 2, 5), (1, 2, 5))
    """

    gates = 4

    def __call__(self, x: Array, state: tuple[Array, Array] | None = None) -> tuple[Array, tuple[Array, Array]]:
        """``(results, (h, c))``, from zeros if there is no state; both have shape (layers, batch, hidden)."""
        return self._run(x, state)

    def _first(self, batch: int, dtype: Any) -> Any:
        return super()._first(batch, dtype), super()._first(batch, dtype)

    def _step(self, layer: RecurrentLayer, driven: Array, state: tuple[Array, Array]) -> tuple[Any, Array]:
        h, c = state
        i, f, g, o = np.split(driven + self._recurrent(layer, h), 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (h, c), h
