"""Where a loss or gradient that is no longer finite came from: the layer, the hop and the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.errors import HopgradError
from hopgrad.files import is_numeric
from hopgrad.graph.graph import Graph
from hopgrad.graph.sites import Step
from hopgrad.show.explanation import explain

__all__ = ["NonFiniteError", "diagnose"]

MAX_BIRTHS = 3
"""A message tells of this many places."""


class NonFiniteError(HopgradError, ArithmeticError):
    """The loss or its gradient became infinite or NaN.

    Attributes:
        step: How many steps had been made before.
        epoch: The epoch, from 0.
        batch: The number of the batch in its epoch, from 0.
        model: The model before that step; all its numbers were finite, unless it was given otherwise.
        data: The batch itself.
        births: Sentences that say in which layer and at which hop the values ceased to be finite.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.step: int = facts.get("step", 0)
        self.epoch: int = facts.get("epoch", 0)
        self.batch: int = facts.get("batch", 0)
        self.model: Any = facts.get("model")
        self.data: Any = facts.get("data")
        self.births: list[str] = facts.get("births", [])

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (str(self), vars(self))


def _restored(message: str, facts: dict[str, Any]) -> NonFiniteError:
    return NonFiniteError(message, **facts)


def diagnose(
    loss: Callable[..., Any], model: Any, batch: Sequence[Any], *, step: int, epoch: int, number: int, what: str
) -> NonFiniteError:
    """The error that tells where a loss or gradient ceased to be finite.

    Args:
        loss: ``loss(model, *batch)``, a scalar.
        model: Where the loss was computed.
        batch: The further arguments.
        step: The number of the step, from 0.
        epoch: That of the epoch.
        number: That of the batch in its epoch.
        what: What is not finite, as a sentence's beginning.
    """
    births = [*_unfinite("the model", model, ""), *_unfinite("the batch", tuple(batch), "batch")]
    if not births:
        births = _born(loss, model, batch)
    lines = [f"{what} at step {step + 1} (epoch {epoch + 1}, batch {number + 1})"]
    lines += [f"  {line}" for line in births[:MAX_BIRTHS]]
    if len(births) > MAX_BIRTHS:
        lines.append(f"  and {len(births) - MAX_BIRTHS} more")
    if not births:
        lines.append("  no single hop is to blame: the numbers outgrow their dtype when they are added up")
    lines.append("  try a smaller learning rate, or max_norm=; .model and .data of this exception are what it was at")
    facts = {"step": step, "epoch": epoch, "batch": number, "model": model, "data": tuple(batch), "births": births}
    return NonFiniteError("\n".join(lines), **facts)


def _unfinite(whose: str, value: Any, root: str) -> list[str]:
    """The leaves that were not finite before anything was computed."""
    leaves, structure = tree.flatten(value)
    found = []
    for path, leaf in zip(tree.paths(structure), leaves, strict=True):
        array = np.asarray(leaf) if is_numeric(leaf) else np.zeros(0)
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            count = int(np.size(array) - np.isfinite(array).sum())
            name = tree.format_path(path, root).lstrip(".") or "its array"
            first = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
            at = f", the first at {first}" if first else ""
            found.append(f"{whose} itself has {count} infinite or NaN elements in {name}{at}")
    return found


def _born(loss: Callable[..., Any], model: Any, batch: Sequence[Any]) -> list[str]:
    """The hops that make infinite values or NaN out of finite ones."""
    with np.errstate(all="ignore"):
        story = explain(loss, wrt=0)(model, *batch)
    layers = _layers(story.graph, model)
    found = []
    for line in story.troubles:
        where = [f"layer {layer}"] if (layer := _layer_of(story.graph, line.node, layers)) else []
        where += _steps(story.graph, line.node)
        found.append(f"in {', '.join(where)}: {line.prose}" if where else line.prose)
    return found


def _steps(graph: Graph, node: int | None) -> list[str]:
    """The steps of loops in which a value was computed."""
    builder = graph.builder
    calls = [] if node is None else builder.sites.layers(builder.made_at(node))
    return [layer.kind for _, layer in calls if isinstance(layer, Step)]


def _layers(graph: Graph, model: Any) -> dict[int, str]:
    """For each parameter, an input of the graph, the module that holds it."""
    paths = tree.paths(tree.flatten(model)[1])
    names = [tree.format_path(path[:-1], "").lstrip(".") or tree.format_path(path, "").lstrip(".") for path in paths]
    return dict(zip(graph.inputs, names, strict=False))  # the model is the first argument; others come after it


def _layer_of(graph: Graph, node: int | None, layers: dict[int, str]) -> str:
    """The module whose parameters entered last on the way to a value."""
    front = [] if node is None else [node]
    seen = set(front)
    while front:
        reached = [layers[n] for n in front if n in layers]
        if reached:
            return reached[0]
        behind = [arg for n in front for arg in graph.builder.args(n) if arg not in seen]
        seen.update(behind)
        front = list(dict.fromkeys(behind))
    return ""
