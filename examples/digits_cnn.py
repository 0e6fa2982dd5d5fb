"""A convolutional network that reads handwritten digits: ``python examples/digits_cnn.py [--epochs N] [--out DIR]``.

Trained on 1437 images of 8×8 pixels, tested on 360 that it has not seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import options

import hopgrad as hg
from hopgrad import nn, optim, train


def network(seed: int) -> nn.Sequential:
    """Two convolutions, each of which sees 3×3 pixels, and two layers that join what they found."""
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, rng=rng),
        nn.relu,
        nn.Conv2d(16, 32, 3, padding=1, rng=rng),
        nn.relu,
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 64, rng=rng),
        nn.relu,
        nn.Linear(64, 10, rng=rng),
    )


def loss(model: Any, images: Any, digits: Any) -> Any:
    """The cross-entropy of the ten scores."""
    return nn.losses.cross_entropy(model(images), digits)


def accuracy(model: Any, images: Any, digits: Any) -> Any:
    """The fraction of images whose highest score is that of the true digit."""
    return np.mean(np.argmax(model(images), axis=1) == digits)


def explained(model: Any = None) -> hg.Explanation:
    """The loss of two images, layer by layer."""
    images, digits = hg.data.load_digits()
    chosen = images[:2].reshape(-1, 1, 8, 8).astype(np.float32)
    found: hg.Explanation = hg.explain(loss, wrt="model")(model or network(1), chosen, digits[:2])
    return found


def run(epochs: int, out: Path, progress: bool | None = None) -> train.Fit:
    """Train; the history goes to a picture, the loss of two images to a page."""
    images, digits = hg.data.load_digits()
    images = images.reshape(-1, 1, 8, 8).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    training, test = order[:1437], order[1437:]
    found = train.fit(
        network(1),
        loss,
        (images[training], digits[training]),
        optimizer=optim.AdamW(optim.schedules.cosine(3e-3, epochs * 45), weight_decay=1e-2),
        epochs=epochs,
        validation=(images[test], digits[test]),
        metrics={"accuracy": accuracy},
        progress=progress,
    )
    found.history.save(out / "digits_cnn.svg")
    return found


def main() -> None:
    """Run the example."""
    chosen = options(__doc__, epochs=20)
    found = run(chosen.epochs, chosen.out, progress=True)
    print(f"accuracy {found.history.values('accuracy')[-1]:.2%} on images that it has not seen")
    print(f"wrote {chosen.out / 'digits_cnn.svg'}")
    print(f"wrote {explained(found.model).save(chosen.out / 'digits_cnn.html')}")


if __name__ == "__main__":
    main()
