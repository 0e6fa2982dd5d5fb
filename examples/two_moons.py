"""A network that tells two half moons apart: a module, a loss, an optimizer, and one compiled function for the step.

Run ``python examples/two_moons.py [--steps N] [--out DIR]``. It trains in a second or two, draws in the terminal where
the border lies, and writes a page on which the loss of four points is seen layer by layer. The network, its loss and
its training are in ``src/hopgrad/gallery/networks/two_moons.py``.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from common import options

import hopgrad as hg
from hopgrad import nn
from hopgrad.gallery.networks.two_moons import at, loss, moons, network, train


def accuracy(model: Any, x: Any, labels: Any) -> float:
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
    print(f"wrote {hg.explain(loss, wrt='model')(**at(model)).save(chosen.out / 'two_moons.html')}")


if __name__ == "__main__":
    main()
