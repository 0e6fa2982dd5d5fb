"""Digits through a bottleneck of a few numbers and back: ``python examples/autoencoder.py [--epochs N] [--out DIR]``.

The network has to say in eight numbers what is in an image of 64 pixels, so that it can be drawn again. It is compared
with the best linear map of that width, the principal components. The network, its loss and its training are in
``src/hopgrad/gallery/networks/autoencoder.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import options

import hopgrad as hg
from hopgrad.gallery.networks.autoencoder import WIDTH, at, fit, images, loss


def by_components() -> float:
    """The error of the principal components, on images that were not used to find them."""
    training, test = images()
    mean = training.mean(axis=0)
    axes = np.linalg.svd(training - mean, full_matrices=False)[2][:WIDTH]
    linear = mean + (test - mean) @ axes.T @ axes
    return float(np.mean((linear - test) ** 2))


def drawn(image: Any) -> list[str]:
    """An image of 8×8 pixels as text."""
    return ["".join(" .:*#"[round(4 * min(max(float(p), 0.0), 1.0))] * 2 for p in row) for row in image.reshape(8, 8)]


def main() -> None:
    """Run the example."""
    chosen = options(__doc__, epochs=100)
    found = fit(chosen.epochs, progress=True)
    _, test = images()
    for before, after in zip(test[:3], found.model(test[:3]), strict=True):
        print("\n".join(f"{a}  |  {b}" for a, b in zip(drawn(before), drawn(after), strict=True)), end="\n\n")
    error = float(loss(found.model, test))
    print(f"mean square error {error:.4f}; by {WIDTH} principal components {by_components():.4f}")
    print(f"wrote {found.history.save(chosen.out / 'autoencoder.svg')}")
    print(f"wrote {hg.explain(loss, wrt='model')(**at(found.model)).save(chosen.out / 'autoencoder.html')}")


if __name__ == "__main__":
    main()
