"""A differential equation that is learnt.

The right-hand side of dx/dt = f(x) is a network, integrated by Runge's and Kutta's classical method in a
`hopgrad.scan`, which asks it four times a step. The loss of three steps: open them one after the other, and see the
adjoint of the state go back in time, each step adding to the same parameters. After Chen, Rubanova, Bettencourt and
Duvenaud, "Neural ordinary differential equations" (2018), who fit the same spiral.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad import nn, optim, train
from hopgrad.control import scan

STEP, LENGTH = 0.05, 20


def runge_kutta(f: Any, x: Any) -> Any:
    """One step of the fourth order."""
    a = f(x)
    b = f(x + STEP / 2 * a)
    c = f(x + STEP / 2 * b)
    d = f(x + STEP * c)
    return x + STEP / 6 * (a + 2 * b + 2 * c + d)


def trajectories(f: Any, start: Any, length: int) -> Any:
    """From starting points, (n, 2), the states after each step: (length, n, 2)."""

    def step(x: Any, _: Any) -> Any:
        x = runge_kutta(f, x)
        return x, x

    return scan(step, start, None, length=length)[1]


def spiral(x: Any) -> Any:
    """The equation to be learnt: a cubic spiral."""
    return x**3 @ np.array([[-0.1, -2.0], [2.0, -0.1]])


def network(seed: int) -> nn.Sequential:
    """The right-hand side."""
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Linear(2, 50, rng=rng, dtype=np.float64), nn.tanh, nn.Linear(50, 2, rng=rng, dtype=np.float64)
    )


def loss(model: Any, start: Any, states: Any) -> Any:
    """The mean square of the distance from what was seen, (n, length, 2)."""
    return np.mean((trajectories(lambda x: model(x**3), start, states.shape[1]) - states.transpose(1, 0, 2)) ** 2)


def pieces() -> tuple[Any, Any]:
    """One long trajectory of the spiral: each of its points, and the states after that."""
    whole = np.concatenate([np.array([[2.0, 0.0]]), trajectories(spiral, np.array([[2.0, 0.0]]), 500)[:, 0]])
    begins = np.arange(0, len(whole) - LENGTH)
    return whole[begins], np.stack([whole[b + 1 : b + 1 + LENGTH] for b in begins])


def fit(steps: int, progress: bool | None = None) -> train.Fit:
    """Train on pieces of one long trajectory."""
    return train.fit(
        network(0),
        loss,
        pieces(),
        optimizer=optim.Adam(optim.schedules.cosine(1e-2, steps)),
        steps=steps,
        batch_size=64,
        progress=progress,
    )


def at(model: Any = None) -> dict[str, Any]:
    """What is explained: the loss of three steps, by a network that is trained for a moment if none is given."""
    start, states = pieces()
    return {"model": model or fit(200, progress=False).model, "start": start[:1], "states": states[:1, :3]}
