"""One function that reads its surroundings in all usual ways, and random changes of them, some of which move its path.

Single changes are in `changes`; here they come together, in any order, with calls in between that are alike.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator
CHANGES: list[Callable[[Random], Any]] = []


def change(f: Callable[[Random], Any]) -> Callable[[Random], Any]:
    CHANGES.append(f)
    return f


def square(x: Any) -> Any:
    return np.sum(x * weights) * factor


def wave(x: Any) -> Any:
    return np.sum(np.sin(x) * biases)


def linear(x: Any, slope: Any = 3.0, w: Any = None) -> Any:
    return np.sum(x * w) * slope


class Layer:
    """Has parameters, a switch and a counter."""

    kind = "tanh"

    def __init__(self) -> None:
        self.W = np.eye(3) + 0.1
        self.on = True
        self.calls = 0
        self.kept = np.zeros(3)

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        if not self.on:
            return x
        self.kept[:] = self.W @ x
        return np.tanh(self.kept) if self.kind == "tanh" else self.kept * 0.5


def loss(x: Any, other: Any = None, times: int = 1) -> Any:
    """A number of the vector x."""
    total = 0.0
    for i in range(count):
        total = total + np.sum((x * weights)[places]) * (i + 1)
    if total > config["rate"]:
        total = total * 2
    elif biases[0] < 0:
        total = total - 1
    else:
        total = total + biases[1]
    if mode == "masked":
        total = total + np.sum(x[mask])
    elif mode == "scaled":
        total = total * config["deep"]["k"][0]
    y = np.zeros(3)
    y[:] = x * config["w"]
    y[places] += 1.0
    buffer[:] = biases
    buffer[0] = times
    y *= buffer
    total = total + np.sum(y) + helper(x) + linear(x)
    total = total + pair[0] * np.sum(pair[1]) * x[0] + sum(numbers) * x[1] + float(single) * x[2]
    total = total + np.sum(x * narrow) + len(rows) + len(members) * x[0]
    if other is not None:
        total = total + np.sum(other * x[: len(other)] if np.ndim(other) else other * x)
    w = 2 * weights
    w[0] = 5.0
    z = biases.copy()
    z[1:] = x[1:]
    best = int(np.argmax(x))
    total = total + np.sum(x @ np.outer(w, biases)) + np.sum(z**2) + x[best] * biases[best]
    return total * times


def loss_of_layer(x: Any, other: Any = None, times: int = 1) -> Any:
    """The same, and something of an object with state."""
    return loss(x, other, times) + np.sum(layer(x) ** 2)


def reset() -> None:
    """Everything as at the beginning."""
    global weights, biases, factor, count, mode, config, numbers, pair, mask, places, buffer, narrow, single, rows
    global members, helper, layer
    weights, biases, factor, count, mode = np.ones(3), np.arange(3.0), 2.0, 2, "masked"
    config = {"rate": 1.0, "deep": {"k": [1.0, 2.0]}, "w": np.ones(3)}
    numbers, pair, mask, places = [1.0, 2.0], (1.0, np.ones(2)), np.array([True, False, True]), np.array([0, 2])
    buffer, narrow, single, rows, members = np.zeros(3), np.ones(3, np.float32), np.array(2.0), np.zeros((0, 3)), {1, 2}
    helper, layer = square, Layer()
    linear.__defaults__ = (3.0, np.ones(3))
    loss.__defaults__ = loss_of_layer.__defaults__ = (None, 1)
    Layer.kind = "tanh"


weights: Any
biases: Any
factor: Any
count: Any
mode: Any
config: Any
numbers: Any
pair: Any
mask: Any
places: Any
buffer: Any
narrow: Any
single: Any
rows: Any
members: Any
helper: Any
layer: Any
reset()


def assign(name: str, value: Callable[[Random], Any]) -> None:
    """A change that binds a global again."""
    CHANGES.append(lambda random: globals().update({name: value(random)}))


assign("weights", lambda random: weights * 1.1)
assign("weights", lambda random: biases)
assign("weights", lambda random: np.ones((3, 2), order="F")[:, 0])
assign("weights", lambda random: np.arange(6.0)[::2])
assign("biases", lambda random: np.array([random.choice([-0.0, 0.0, -1.0]), 1.0, 2.0]))
assign("factor", lambda random: factor + 1)
assign("factor", lambda random: np.float64(factor))
assign("factor", lambda random: int(random.integers(3)))
assign("count", lambda random: int(random.integers(4)))
assign("mode", lambda random: ["masked", "scaled", "plain"][random.integers(3)])
assign("config", lambda random: copy.deepcopy(config))
assign("pair", lambda random: (2.0, np.ones(3)))
assign("places", lambda random: np.array([1, 1, 2]))
assign("buffer", lambda random: np.ones(3))
assign("narrow", lambda random: narrow.astype(np.float64) + 0.1)
assign("rows", lambda random: np.zeros((random.integers(3), 3)))
assign("helper", lambda random: wave if helper is square else square)
assign("layer", lambda random: copy.deepcopy(layer))


@change
def _element(random: Random) -> None:
    weights[random.integers(3)] += 0.5


@change
def _rate(random: Random) -> None:
    config["rate"] = float(random.normal())


@change
def _deep(random: Random) -> None:
    config["deep"]["k"][0] += 1.0


@change
def _array_of_a_dict(random: Random) -> None:
    config["w"][0] += 1.0


@change
def _another_array_of_a_dict(random: Random) -> None:
    config["w"] = config["w"] * 2


@change
def _list(random: Random) -> None:
    numbers.append(1.0)


@change
def _item(random: Random) -> None:
    numbers[0] += 1.0


@change
def _array_of_a_tuple(random: Random) -> None:
    pair[1][0] += 1.0


@change
def _mask(random: Random) -> None:
    mask[:] = random.random(3) < 0.5


@change
def _place(random: Random) -> None:
    places[0] = random.integers(3)


@change
def _single(random: Random) -> None:
    single[...] += 1.0


@change
def _set(random: Random) -> None:
    members.add(int(random.integers(10)))


@change
def _default(random: Random) -> None:
    linear.__defaults__ = (float(random.normal()), linear.__defaults__[1])


@change
def _array_default(random: Random) -> None:
    linear.__defaults__[1][1] += 1.0


@change
def _default_of_the_function(random: Random) -> None:
    chosen = (2.0 if random.random() < 0.5 else None, int(random.integers(1, 3)))
    loss.__defaults__ = loss_of_layer.__defaults__ = chosen


@change
def _parameters(random: Random) -> None:
    layer.W[0, random.integers(3)] += 0.2


@change
def _other_parameters(random: Random) -> None:
    layer.W = layer.W.T.copy()


@change
def _switch(random: Random) -> None:
    layer.on = not layer.on


@change
def _class_attribute(random: Random) -> None:
    Layer.kind = "half" if Layer.kind == "tanh" else "tanh"


def arguments(random: Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments for `loss`, of several shapes and kinds."""
    x = np.round(random.normal(size=3), 1)
    kind = random.integers(5)
    rest = ((random.normal(size=int(random.integers(1, 4))),), (float(random.normal()),))[kind] if kind < 2 else ()
    return (x, *rest), {"times": int(random.integers(1, 4))} if random.random() < 0.3 else {}


def story(call: Callable[..., Any], seed: int, length: int) -> list[Any]:
    """Calls and changes from the beginning: results, and what the calls left behind."""
    reset()
    random = np.random.default_rng(seed)
    told = []
    for _ in range(length):
        args, keywords = arguments(random)
        told.append((call(*args, **keywords), buffer.copy(), layer.calls, layer.kept.copy()))
        if random.random() < 0.35:
            CHANGES[random.integers(len(CHANGES))](random)
    return told
