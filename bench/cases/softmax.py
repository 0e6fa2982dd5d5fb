"""Softmax cross-entropy of a batch of logits with integer labels."""

from __future__ import annotations

import numpy as np

from bench.case import Array, Case


def cross_entropy(logits: Array, labels: Array) -> Array:
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    log_norm = np.log(np.sum(np.exp(shifted), axis=1))
    return np.mean(log_norm - shifted[np.arange(len(labels)), labels])


def cross_entropy_by_hand(logits: Array, labels: Array) -> Array:
    e = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    e /= np.sum(e, axis=1, keepdims=True)
    e[np.arange(len(labels)), labels] -= 1
    e /= len(labels)
    return e


def cross_entropy_torch(logits: Array, labels: Array) -> Array:
    import torch

    return torch.nn.functional.cross_entropy(logits, labels)


def make(size: tuple[int, int], rng: np.random.Generator) -> tuple[Array, Array]:
    batch, classes = size
    return rng.normal(size=size), rng.integers(classes, size=batch)


CASES = (
    Case(
        "softmax-cross-entropy",
        cross_entropy,
        make,
        sizes=((32, 10), (256, 100), (1024, 1000)),
        by_hand=cross_entropy_by_hand,
        torch=cross_entropy_torch,
    ),
)
