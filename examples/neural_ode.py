"""A differential equation learnt from a trajectory: ``python examples/neural_ode.py [--steps N] [--out DIR]``.

The right-hand side of dx/dt = f(x) is a network. It is integrated by Runge's and Kutta's classical method in a
`hopgrad.scan`, and the gradient goes back through all of its steps. After Chen, Rubanova, Bettencourt and Duvenaud,
"Neural ordinary differential equations" (2018), who fit the same spiral.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import options

import hopgrad as hg
from hopgrad import nn, optim, train

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

    return hg.scan(step, start, None, length=length)[1]


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


def explained(model: Any = None) -> hg.Explanation:
    """The loss of one step of the method, which asks the network four times, layer by layer."""

    def loss_of_a_step(model: Any, x: Any, after: Any) -> Any:
        return np.mean((runge_kutta(lambda x: model(x**3), x) - after) ** 2)

    start = np.array([[2.0, 0.0]])
    found: hg.Explanation = hg.explain(loss_of_a_step, wrt="model")(
        model or network(0), start, runge_kutta(spiral, start)
    )
    return found


def run(steps: int, out: Path, progress: bool | None = None) -> tuple[train.Fit, float]:
    """Train on pieces of one long trajectory; the result and the mean error of a trajectory that it predicts."""
    whole = np.concatenate([np.array([[2.0, 0.0]]), trajectories(spiral, np.array([[2.0, 0.0]]), 500)[:, 0]])
    begins = np.arange(0, len(whole) - LENGTH)
    pieces = np.stack([whole[b + 1 : b + 1 + LENGTH] for b in begins])
    found = train.fit(
        network(0),
        loss,
        (whole[begins], pieces),
        optimizer=optim.Adam(optim.schedules.cosine(1e-2, steps)),
        steps=steps,
        batch_size=64,
        progress=progress,
    )
    found.history.save(out / "neural_ode.svg")
    predicted = trajectories(lambda x: found.model(x**3), whole[:1], 500)[:, 0]
    return found, float(np.abs(predicted - whole[1:]).mean())


def main() -> None:
    """Run the example."""
    chosen = options(__doc__, steps=1500)
    found, error = run(chosen.steps, chosen.out, progress=True)
    print(f"loss {found.history.loss[0]:.2e} → {found.history.loss[-1]:.2e}, mean error over 500 steps {error:.3f}")
    print(f"wrote {chosen.out / 'neural_ode.svg'}")
    print(f"wrote {explained(found.model).save(chosen.out / 'neural_ode.html')}")


if __name__ == "__main__":
    main()
