"""A network that solves a differential equation: ``python examples/physics.py [--steps N] [--out DIR]``.

The damped oscillator u″ + 2γ u′ + ω² u = 0 with u(0) = 1, u′(0) = 0. The network u(t) never sees a solution: its loss
is by how much it misses the equation, so there are second derivatives by t inside of the loss, and the gradient by the
parameters goes through them. After Raissi, Perdikaris and Karniadakis, "Physics-informed neural networks" (2019).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import options

import hopgrad as hg
from hopgrad import nn, optim, train

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

    velocity = hg.elementwise_grad(u)
    acceleration = hg.elementwise_grad(velocity)
    return np.mean((acceleration(t) + 2 * GAMMA * velocity(t) + OMEGA**2 * u(t)) ** 2)


def explained(model: Any = None) -> hg.Explanation:
    """The loss at three times, layer by layer, forwards and backwards."""
    found: hg.Explanation = hg.explain(loss, wrt="model")(model or network(0), np.linspace(0.0, END, 3))
    return found


def exact(t: Any) -> Any:
    """The solution, by which the network is judged."""
    omega = np.sqrt(OMEGA**2 - GAMMA**2)
    return np.exp(-GAMMA * t) * (np.cos(omega * t) + GAMMA / omega * np.sin(omega * t))


def run(steps: int, out: Path, progress: bool | None = None) -> tuple[train.Fit, float]:
    """Train; the result and the largest error."""
    times = np.linspace(0.0, END, 128)
    found = train.fit(
        network(0),
        loss,
        times,
        optimizer=optim.Adam(optim.schedules.cosine(1e-2, steps)),
        steps=steps,
        batch_size=128,
        progress=progress,
    )
    found.history.save(out / "physics.svg")
    between = np.linspace(0.0, END, 1001)
    return found, float(np.abs(displacement(found.model, between) - exact(between)).max())


def main() -> None:
    """Run the example."""
    chosen = options(__doc__, steps=3000)
    found, error = run(chosen.steps, chosen.out, progress=True)
    print(f"residual {found.history.loss[-1]:.2e}, largest error against the exact solution {error:.2e}")
    print(f"wrote {chosen.out / 'physics.svg'}")
    print(f"wrote {explained(found.model).save(chosen.out / 'physics.html')}")


if __name__ == "__main__":
    main()
