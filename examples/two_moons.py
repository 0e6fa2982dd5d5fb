"""A network that tells two half moons apart: a module, a loss, an optimizer, and one compiled function for the step.

Run ``python examples/two_moons.py [--steps N] [--out DIR]``. It trains in a second or two, draws in the terminal where
the border lies, and writes a page on which the loss of four points is seen layer by layer.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from common import options

import hopgrad as hg
from hopgrad import nn, optim

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

    @hg.compile
    def step(model: Any, state: Any, x: Array, labels: Array) -> Any:
        value, gradient = hg.value_and_grad(loss)(model, x, labels)
        optim.assign((model, state), optimizer.update(gradient, state, model))
        return value

    losses = []
    for _ in range(steps):
        chosen = rng.integers(len(x), size=batch)
        losses.append(float(step(model, state, x[chosen], labels[chosen])))
    return losses


def explained(model: Any = None) -> hg.Explanation:
    """The loss of four points, layer by layer."""
    rng = np.random.default_rng(0)
    found: hg.Explanation = hg.explain(loss, wrt="model")(model or network(rng), *moons(4, 0.15, rng))
    return found


def accuracy(model: Any, x: Array, labels: Array) -> float:
    """The fraction of points that are told right."""
    return float(np.mean(np.argmax(model(x), axis=1) == labels))


def picture(model: Any, columns: int = 66, rows: int = 20) -> str:
    """Which moon the model takes each place for, darker where it is sure."""
    across, down = np.meshgrid(np.linspace(-1.5, 2.5, columns), np.linspace(1.3, -0.9, rows))
    places = np.stack([across.ravel(), down.ravel()], 1).astype(np.float32)
    second = nn.softmax(model(places))[:, 1].reshape(rows, columns)
    levels = np.minimum((second * 5).astype(int), 4)
    return "\n".join("".join(" ░▒▓█"[level] for level in row) for row in levels)


def main() -> None:
    """Train, and tell how it went."""
    chosen = options(__doc__, steps=1000, seed=0)
    rng = np.random.default_rng(chosen.seed)
    x, labels = moons(1000, 0.15, rng)
    test = moons(1000, 0.15, rng)
    model = network(rng)
    print(nn.summary(model, x[:64]), end="\n\n")
    start = time.perf_counter()
    losses = train(model, x, labels, chosen.steps, 64, rng)
    print(f"{chosen.steps} steps in {time.perf_counter() - start:.1f} s, loss {losses[0]:.3f} → {losses[-1]:.3f}")
    print(f"accuracy {accuracy(model, *test):.1%} on 1000 points that it has not seen\n")
    print(picture(model))
    print(f"wrote {explained(model).save(chosen.out / 'two_moons.html')}")


if __name__ == "__main__":
    main()
