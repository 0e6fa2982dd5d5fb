"""A small convolutional network and one block of a transformer: loss and gradient, single precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bench.case import Array, Case

Params = dict[str, Array]


def convolved(x: Array, kernel: Array) -> Array:
    """Images by rows, columns and channels; the kernel by rows, columns, channels before and after."""
    windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    return np.tensordot(windows, kernel, axes=((3, 4, 5), (2, 0, 1)))


def halved(x: Array) -> Array:
    n, rows, columns, channels = x.shape
    return np.mean(x.reshape(n, rows // 2, 2, columns // 2, 2, channels), axis=(2, 4))


def cross_entropy(logits: Array, labels: Array) -> Array:
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    log_norm = np.log(np.sum(np.exp(shifted), axis=1))
    return np.mean(log_norm - shifted[np.arange(len(labels)), labels])


def convolutional(params: Params, images: Array, labels: Array) -> Array:
    x = halved(np.maximum(convolved(images, params["kernel1"]) + params["bias1"], 0))
    x = np.maximum(convolved(x, params["kernel2"]) + params["bias2"], 0)
    return cross_entropy(x.reshape(len(x), -1) @ params["weight"], labels)


def convolved_jax(x: Array, kernel: Array) -> Array:
    import jax

    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def convolutional_torch(params: Params, images: Array, labels: Array) -> Array:
    from torch.nn import functional

    def convolved(x: Array, i: int) -> Array:
        return functional.relu(functional.conv2d(x, params[f"kernel{i}"].permute(3, 2, 0, 1), params[f"bias{i}"]))

    x = functional.avg_pool2d(convolved(images.permute(0, 3, 1, 2), 1), 2)
    x = convolved(x, 2).permute(0, 2, 3, 1).flatten(1)
    return functional.cross_entropy(x @ params["weight"], labels)


def make_convolutional(size: tuple[int, ...], rng: np.random.Generator) -> tuple[Any, ...]:
    batch, side, first, second = size
    after = (side - 2) // 2 - 2
    params = {
        "kernel1": rng.normal(size=(3, 3, 1, first)) / 3,
        "bias1": 0.1 * rng.normal(size=first),
        "kernel2": rng.normal(size=(3, 3, first, second)) / np.sqrt(9 * first),
        "bias2": 0.1 * rng.normal(size=second),
        "weight": rng.normal(size=(after * after * second, 10)) / np.sqrt(after * after * second),
    }
    images = rng.normal(size=(batch, side, side, 1))
    return single(params), images.astype(np.float32), rng.integers(10, size=batch)


def single(params: Params) -> Params:
    return {name: value.astype(np.float32) for name, value in params.items()}


def normalized(x: Array, scale: Array, shift: Array) -> Array:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + 1e-5) * scale + shift


def attention(params: Params, x: Array, heads: int) -> Array:
    n, t, d = x.shape
    query, key, value = (
        np.swapaxes((x @ params[name]).reshape(n, t, heads, d // heads), 1, 2) for name in ("query", "key", "value")
    )
    scores = query @ np.swapaxes(key, 2, 3) / (d // heads) ** 0.5
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    weights = weights / np.sum(weights, axis=-1, keepdims=True)
    return np.swapaxes(weights @ value, 1, 2).reshape(n, t, d) @ params["out"]


def gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3)))


def transformer(params: Params, x: Array, target: Array, heads: int) -> Array:
    x = x + attention(params, normalized(x, params["scale1"], params["shift1"]), heads)
    hidden = gelu(normalized(x, params["scale2"], params["shift2"]) @ params["up"] + params["bias"])
    return np.mean((x + hidden @ params["down"] - target) ** 2)


def transformer_torch(params: Params, x: Array, target: Array, heads: int) -> Array:
    from torch.nn import functional

    n, t, d = x.shape
    y = functional.layer_norm(x, (d,), params["scale1"], params["shift1"])
    parts = ((y @ params[name]).reshape(n, t, heads, d // heads).transpose(1, 2) for name in ("query", "key", "value"))
    x = x + functional.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(n, t, d) @ params["out"]
    y = functional.layer_norm(x, (d,), params["scale2"], params["shift2"])
    hidden = functional.gelu(y @ params["up"] + params["bias"], approximate="tanh")
    return functional.mse_loss(x + hidden @ params["down"], target)


def make_transformer(size: tuple[int, ...], rng: np.random.Generator) -> tuple[Any, ...]:
    n, t, d, heads = size
    shapes = {"query": (d, d), "key": (d, d), "value": (d, d), "out": (d, d), "up": (d, 4 * d), "down": (4 * d, d)}
    params = {name: rng.normal(size=shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
    params |= {name: rng.normal(size=d) for name in ("scale1", "shift1", "scale2", "shift2")}
    params["bias"] = rng.normal(size=4 * d)
    x, target = (rng.normal(size=(n, t, d)).astype(np.float32) for _ in range(2))
    return single(params), x, target, heads


CASES = (
    Case(
        "convolutional-network",
        convolutional,
        make_convolutional,
        sizes=((2, 10, 2, 3), (32, 28, 8, 16), (64, 28, 16, 32)),
        label=lambda size: "batch {0}, {1}×{1}, {2} and {3} channels".format(*size),
        want="value_and_grad",
        torch=convolutional_torch,
        instead={name: {"convolved": convolved_jax} for name in ("JAX", "JAX device")},
        skip={"autograd": "has no windows"},
    ),
    Case(
        "transformer-block",
        transformer,
        make_transformer,
        sizes=((1, 8, 16, 2), (4, 64, 128, 4), (8, 128, 256, 8)),
        label=lambda size: "{}×{}×{}, {} heads".format(*size),
        want="value_and_grad",
        torch=transformer_torch,
    ),
)
