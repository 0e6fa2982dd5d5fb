"""Digits through a bottleneck of a few numbers and back: ``python examples/autoencoder.py [--epochs N] [--out DIR]``.

The network has to say in eight numbers what is in an image of 64 pixels, so that it can be drawn again. It is compared
with the best linear map of that width, the principal components.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import options

import hopgrad as hg
from hopgrad import nn, optim, train

WIDTH = 8


def network(seed: int) -> nn.Sequential:
    """Down to `WIDTH` numbers, and up again."""
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Linear(64, 64, rng=rng), nn.gelu, nn.Linear(64, WIDTH, rng=rng),
        nn.Linear(WIDTH, 64, rng=rng), nn.gelu, nn.Linear(64, 64, rng=rng), nn.sigmoid,
    )  # fmt: skip


def loss(model: Any, images: Any) -> Any:
    """The mean square of the pixels' errors."""
    return nn.losses.mse(model(images), images)


def explained(model: Any = None) -> hg.Explanation:
    """The loss of two images, layer by layer."""
    images = hg.data.load_digits()[0][:2].astype(np.float32)
    found: hg.Explanation = hg.explain(loss, wrt="model")(model or network(0), images)
    return found


def run(epochs: int, out: Path, progress: bool | None = None) -> tuple[train.Fit, float, float]:
    """Train; the result, the error on images that were not seen, and that of the principal components."""
    images = hg.data.load_digits()[0].astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    training, test = images[order[:1437]], images[order[1437:]]
    found = train.fit(
        network(0),
        loss,
        training,
        optimizer=optim.Adam(optim.schedules.cosine(3e-3, epochs * 45)),
        epochs=epochs,
        validation=test,
        progress=progress,
    )
    found.history.save(out / "autoencoder.svg")
    mean = training.mean(axis=0)
    axes = np.linalg.svd(training - mean, full_matrices=False)[2][:WIDTH]
    linear = mean + (test - mean) @ axes.T @ axes
    return found, float(loss(found.model, test)), float(np.mean((linear - test) ** 2))


def drawn(image: Any) -> list[str]:
    """An image of 8×8 pixels as text."""
    return ["".join(" .:*#"[round(4 * min(max(float(p), 0.0), 1.0))] * 2 for p in row) for row in image.reshape(8, 8)]


def main() -> None:
    """Run the example."""
    chosen = options(__doc__, epochs=100)
    found, error, linear = run(chosen.epochs, chosen.out, progress=True)
    image = hg.data.load_digits()[0][:3].astype(np.float32)
    for before, after in zip(image, found.model(image), strict=True):
        print("\n".join(f"{a}  |  {b}" for a, b in zip(drawn(before), drawn(after), strict=True)), end="\n\n")
    print(f"mean square error {error:.4f}; by {WIDTH} principal components {linear:.4f}")
    print(f"wrote {chosen.out / 'autoencoder.svg'}")
    print(f"wrote {explained(found.model).save(chosen.out / 'autoencoder.html')}")


if __name__ == "__main__":
    main()
