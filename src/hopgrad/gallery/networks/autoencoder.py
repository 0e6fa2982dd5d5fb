"""Digits through a bottleneck.

An autoencoder has to say in eight numbers what is in an image of 64 pixels, so that it can be drawn again; this one had
five epochs to learn it. The mean square error of two images: everything that the first layers learn comes back through
the eight numbers in the middle.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad import nn, optim, train
from hopgrad.data import load_digits

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


def images() -> tuple[Any, Any]:
    """1437 images to train on, and 360 others."""
    found = load_digits()[0].astype(np.float32)
    order = np.random.default_rng(0).permutation(len(found))
    return found[order[:1437]], found[order[1437:]]


def fit(epochs: int, progress: bool | None = None) -> train.Fit:
    """Train, and test after each epoch on images that it has not seen."""
    training, test = images()
    return train.fit(
        network(0),
        loss,
        training,
        optimizer=optim.Adam(optim.schedules.cosine(3e-3, epochs * 45)),
        epochs=epochs,
        validation=test,
        progress=progress,
    )


def at(model: Any = None) -> dict[str, Any]:
    """What is explained: the loss of two images, by a network that is trained for a moment if none is given."""
    return {"model": model or fit(5, progress=False).model, "images": load_digits()[0][:2].astype(np.float32)}
