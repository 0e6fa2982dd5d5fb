"""Two half moons.

A network of two hidden layers that tells the points of two interleaved half circles apart, after 300 steps of AdamW.
The loss of four points: each layer has what it gives and the derivative by that. Open one to see the product with its
weights, transposed, by which the derivative goes back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad import nn, optim
from hopgrad.transforms import compile, value_and_grad

Array = Any


def moons(count: int, noise: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """So many points on two interleaved half circles, and which one each belongs to."""
    labels = np.arange(count) % 2
    angle = rng.uniform(0.0, np.pi, count)
    upper = np.stack([np.cos(angle), np.sin(angle)], 1)
    lower = np.stack([1.0 - np.cos(angle), 0.5 - np.sin(angle)], 1)
    points = np.where(labels[:, None] == 0, upper, lower) + rng.normal(scale=noise, size=(count, 2))
    return points.astype(np.float32), labels


def network(rng: np.random.Generator) -> nn.Sequential:
    """Two hidden layers of 24."""
    return nn.Sequential(
        nn.Linear(2, 24, rng=rng), nn.gelu, nn.Linear(24, 24, rng=rng), nn.gelu, nn.Linear(24, 2, rng=rng)
    )


def loss(model: Any, x: Array, labels: Array) -> Any:
    """How surprised the model is by the labels."""
    return nn.cross_entropy(model(x), labels)


def train(model: Any, x: Array, labels: Array, steps: int, batch: int, rng: np.random.Generator) -> list[float]:
    """Train the model in place; the losses on the way."""
    optimizer = optim.AdamW(optim.schedules.warmup(optim.schedules.cosine(1e-2, steps), max(steps // 10, 1)))
    state = optimizer.init(model)

    @compile
    def step(model: Any, state: Any, x: Array, labels: Array) -> Any:
        value, gradient = value_and_grad(loss)(model, x, labels)
        optim.assign((model, state), optimizer.update(gradient, state, model))
        return value

    losses = []
    for _ in range(steps):
        chosen = rng.integers(len(x), size=batch)
        losses.append(float(step(model, state, x[chosen], labels[chosen])))
    return losses


def at(model: Any = None) -> dict[str, Any]:
    """What is explained: the loss of four points, by a network that is trained for a moment if none is given."""
    rng = np.random.default_rng(0)
    if model is None:
        model = network(rng)
        train(model, *moons(1000, 0.15, rng), steps=300, batch=64, rng=rng)
    x, labels = moons(4, 0.15, rng)
    return {"model": model, "x": x, "labels": labels}
