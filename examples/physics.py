"""A network that solves a differential equation: ``python examples/physics.py [--steps N] [--out DIR]``.

The damped oscillator, of which the network never sees a solution. The network, its loss and its training are in
``src/hopgrad/gallery/networks/physics.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import options

import hopgrad as hg
from hopgrad.gallery.networks.physics import END, GAMMA, OMEGA, at, displacement, fit, loss


def exact(t: Any) -> Any:
    """The solution, by which the network is judged."""
    omega = np.sqrt(OMEGA**2 - GAMMA**2)
    return np.exp(-GAMMA * t) * (np.cos(omega * t) + GAMMA / omega * np.sin(omega * t))


def main() -> None:
    """Run the example."""
    chosen = options(__doc__, steps=3000)
    found = fit(chosen.steps, progress=True)
    between = np.linspace(0.0, END, 1001)
    error = np.abs(displacement(found.model, between) - exact(between)).max()
    print(f"residual {found.history.loss[-1]:.2e}, largest error against the exact solution {error:.2e}")
    print(f"wrote {found.history.save(chosen.out / 'physics.svg')}")
    print(f"wrote {hg.explain(loss, wrt='model')(**at(found.model)).save(chosen.out / 'physics.html')}")


if __name__ == "__main__":
    main()
