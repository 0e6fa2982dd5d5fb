"""A differential equation learnt from a trajectory: ``python examples/neural_ode.py [--steps N] [--out DIR]``.

The right-hand side of dx/dt = f(x) is a network. The network, its loss and its training are in
``src/hopgrad/gallery/networks/neural_ode.py``.
"""

from __future__ import annotations

import numpy as np
from common import options

import hopgrad as hg
from hopgrad.gallery.networks.neural_ode import at, fit, loss, spiral, trajectories


def main() -> None:
    """Run the example."""
    chosen = options(__doc__, steps=3000)
    found = fit(chosen.steps, progress=True)
    start = np.array([[2.0, 0.0]])
    seen, predicted = (trajectories(f, start, 500) for f in (spiral, lambda x: found.model(x**3)))
    error = np.abs(predicted - seen).mean()
    print(f"loss {found.history.loss[0]:.2e} → {found.history.loss[-1]:.2e}, mean error over 500 steps {error:.3f}")
    print(f"wrote {found.history.save(chosen.out / 'neural_ode.svg')}")
    print(f"wrote {hg.explain(loss, wrt='model')(**at(found.model)).save(chosen.out / 'neural_ode.html')}")


if __name__ == "__main__":
    main()
