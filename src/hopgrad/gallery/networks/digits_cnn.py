"""Digits by convolutions.

A convolutional network that reads handwritten digits of 8×8 pixels, after one of the epochs that it takes to read 99 %
of them right. The loss of two images, one convolution after the other: follow the derivative back through the pooling,
which hands it on to the largest of four pixels alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad import nn, optim, train
from hopgrad.data import load_digits


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


def fit(epochs: int, progress: bool | None = None) -> train.Fit:
    """Train on 1437 images, and test after each epoch on 360 others."""
    images, digits = load_digits()
    images = images.reshape(-1, 1, 8, 8).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    training, test = order[:1437], order[1437:]
    return train.fit(
        network(1),
        loss,
        (images[training], digits[training]),
        optimizer=optim.AdamW(optim.schedules.cosine(3e-3, epochs * 45), weight_decay=1e-2),
        epochs=epochs,
        validation=(images[test], digits[test]),
        metrics={"accuracy": accuracy},
        progress=progress,
    )


def at(model: Any = None) -> dict[str, Any]:
    """What is explained: the loss of two images, by a network that is trained for a moment if none is given."""
    images, digits = load_digits()
    chosen = images[:2].reshape(-1, 1, 8, 8).astype(np.float32)
    return {"model": model or fit(1, progress=False).model, "images": chosen, "digits": digits[:2]}
