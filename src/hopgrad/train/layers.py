"""What goes on in a model, layer by layer: activations forward, gradients backward, parameters with their gradients."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.nn.module import named_parameters
from hopgrad.nn.watched import watched
from hopgrad.transforms import grad

__all__ = ["Activity", "Layer", "activity"]


@dataclasses.dataclass(frozen=True)
class Layer:
    """One call of a module.

    Attributes:
        name: Its path in the model, such as ``blocks.0.norm``; a module that is called again gets ``(2)`` and so on.
        kind: Its class.
        output: What it gave.
        gradient: The derivative of the loss by that, in the same shape.
        parameters: By name, the root mean squares of each of its own parameters and of the gradient by it.
    """

    name: str
    kind: str
    output: Any
    gradient: Any
    parameters: dict[str, tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Activity:
    """The layers of a model in the order of their calls, on some data. Shows itself as a table."""

    loss: float
    layers: tuple[Layer, ...]

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"no layer is called {name!r}: there are {', '.join(layer.name for layer in self.layers)}")

    def __repr__(self) -> str:
        head = ["layer", "", "output", "mean", "deviation", "zeros", "gradient", "parameters", "their gradient"]
        rows = [head]
        for layer in self.layers:
            values = np.asarray(layer.output)
            own = list(layer.parameters.values())
            rows.append([
                layer.name,
                layer.kind,
                "×".join(map(str, values.shape)) or "1",
                f"{values.mean():.3g}" if values.size else "",
                f"{values.std():.3g}" if values.size else "",
                f"{np.mean(values == 0):.0%}" if values.size else "",
                f"{_size(layer.gradient):.3g}",
                f"{math.hypot(*[a for a, _ in own]):.3g}" if own else "",
                f"{math.hypot(*[b for _, b in own]):.3g}" if own else "",
            ])  # fmt: skip
        widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
        lines = [
            "  ".join(c.ljust(w) if k < 2 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True)))
            for row in rows
        ]
        return "\n".join(line.rstrip() for line in [f"loss {self.loss:.6g}", "", *lines])


def activity(loss: Callable[..., Any], model: Any, *batch: Any) -> Activity:
    """Compute a loss and tell what each module of the model gave, and what the loss's derivative by that is.

    A gradient that shrinks or grows from layer to layer, activations that are nearly all zero, or parameters whose
    gradient is tiny beside them show where a network does not learn.

    Args:
        loss: ``loss(model, *batch)``, a scalar.
        model: Modules in any nested structure; the dataclasses among them that can be called are the layers, if what
            they give is one array.
        *batch: The further arguments.

    >>> import numpy as np
    >>> from hopgrad import nn
    >>> model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.relu, nn.Linear(3, 1, rng=1))
    >>> found = activity(lambda model, x: np.mean(model(x) ** 2), model, np.ones((4, 2), np.float32))
    >>> [layer.name for layer in found.layers]
    ['0', '2', 'model']
    >>> found["2"].gradient.shape
    (4, 1)
    """
    seen: list[tuple[str, str, Any]] = []
    counts: dict[str, int] = {}

    def note(name: str, kind: str, value: Any) -> None:
        counts[name] = counts.get(name, 0) + 1
        seen.append((name if counts[name] == 1 else f"{name} ({counts[name]})", kind, value))

    def watch(name: str, module: Any, call: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        value = call(*args, **keywords)
        if _is_array(value):
            note(name or "model", type(module).__name__, np.array(value))
        return value

    value = float(loss(watched(model, watch), *batch))

    def with_taps(taps: list[Any]) -> Any:
        """The loss, as a function of zeros that are added to what the layers give."""
        waiting = list(taps)

        def tap(name: str, module: Any, call: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            found = call(*args, **keywords)
            return found + waiting.pop(0) if _is_array(found) else found

        return loss(watched(model, tap), *batch)

    by_output = grad(with_taps)([np.zeros_like(output) for _, _, output in seen]) if seen else []
    by_model = named_parameters(grad(loss)(model, *batch))
    own = named_parameters(model)
    layers = []
    for (name, kind, output), gradient in zip(seen, by_output, strict=True):
        prefix = "" if name == "model" else name.partition(" (")[0] + "."
        mine = [n for n in own if n.startswith(prefix) and "." not in n[len(prefix) :]]
        sizes = {n[len(prefix) :]: (_size(own[n]), _size(by_model[n])) for n in mine}
        layers.append(Layer(name, kind, output, gradient, sizes))
    return Activity(value, tuple(layers))


def _is_array(value: Any) -> bool:
    return tree.is_leaf(value) and hasattr(value, "dtype") and np.ndim(value) > 0


def _size(value: Any) -> float:
    """The root mean square."""
    return float(np.sqrt(np.mean(np.square(np.asarray(value, float))))) if np.size(value) else 0.0
