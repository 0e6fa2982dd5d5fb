"""A network that obeys a law of physics.

The damped oscillator u″ + 2γ u′ + ω² u = 0 with u(0) = 1, u′(0) = 0. The network u(t) never sees a solution: its loss
is by how much it misses the equation, so there are second derivatives by t inside of the loss, which are calls of the
same layers, backward, and the gradient by the parameters goes through them as well. After Raissi, Perdikaris and
Karniadakis, "Physics-informed neural networks" (2019).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad import nn, optim, train
from hopgrad.transforms import elementwise_grad

GAMMA, OMEGA, END = 0.3, 2.0, 4.0


def network(seed: int) -> nn.Sequential:
    """u as a function of t; double precision, since second derivatives lose digits."""
    rng = np.random.default_rng(seed)
    widths = [(1, 32), (32, 32), (32, 1)]
    layers: list[Any] = []
    for inside, outside in widths:
        layers += [nn.Linear(inside, outside, rng=rng, dtype=np.float64), nn.tanh]
    return nn.Sequential(*layers[:-1])


def displacement(model: Any, t: Any) -> Any:
    """u(t), built so that u(0) = 1 and u′(0) = 0 whatever the network says."""
    return 1.0 + t**2 * model(t[:, None] / END)[:, 0]


def loss(model: Any, t: Any) -> Any:
    """The mean square of u″ + 2γ u′ + ω² u."""

    def u(t: Any) -> Any:
        return displacement(model, t)

    velocity = elementwise_grad(u)
    acceleration = elementwise_grad(velocity)
    return np.mean((acceleration(t) + 2 * GAMMA * velocity(t) + OMEGA**2 * u(t)) ** 2)


def exact(t: Any) -> Any:
    """The solution, by which the network is judged."""
    omega = np.sqrt(OMEGA**2 - GAMMA**2)
    return np.exp(-GAMMA * t) * (np.cos(omega * t) + GAMMA / omega * np.sin(omega * t))


def fit(steps: int, progress: bool | None = None) -> train.Fit:
    """Train on 128 times."""
    return train.fit(
        network(0),
        loss,
        np.linspace(0.0, END, 128),
        optimizer=optim.Adam(optim.schedules.cosine(3e-3, steps)),
        steps=steps,
        batch_size=128,
        progress=progress,
    )


def at(model: Any = None) -> dict[str, Any]:
    """What is explained: the loss at three times, by a network that is trained for a moment if none is given."""
    return {"model": model or fit(1000, progress=False).model, "t": np.linspace(0.0, END, 3)}
