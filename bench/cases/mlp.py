"""A training step of a small network: forward, backward, and Adam written in NumPy; single precision."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.case import Array, Case

RATE, DECAY, DECAY2, EPSILON = 1e-3, 0.9, 0.999, 1e-8


def loss(params: list[dict[str, Array]], x: Array, labels: Array) -> Array:
    for layer in params[:-1]:
        x = np.maximum(x @ layer["w"] + layer["b"], 0)
    logits = x @ params[-1]["w"] + params[-1]["b"]
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    log_norm = np.log(np.sum(np.exp(shifted), axis=1))
    return np.mean(log_norm - shifted[np.arange(len(labels)), labels])


def loss_by_hand(params: list[dict[str, Array]], x: Array, labels: Array) -> tuple[Array, list[dict[str, Array]]]:
    """The loss and its gradient."""
    seen = [x]
    for layer in params[:-1]:
        seen.append(np.maximum(seen[-1] @ layer["w"] + layer["b"], 0))
    logits = seen[-1] @ params[-1]["w"] + params[-1]["b"]
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    e = np.exp(shifted)
    norm = np.sum(e, axis=1, keepdims=True)
    rows = np.arange(len(labels))
    value = np.mean(np.log(norm[:, 0]) - shifted[rows, labels])
    back = e / norm
    back[rows, labels] -= 1
    back /= len(labels)
    gradient: list[dict[str, Array]] = []
    for layer, inputs in zip(reversed(params), reversed(seen), strict=True):
        gradient.insert(0, {"w": inputs.T @ back, "b": np.sum(back, axis=0)})
        if inputs is not x:
            back = (back @ layer["w"].T) * (inputs > 0)
    return value, gradient


def training_step(value_and_grad: Callable[..., Any]) -> Callable[..., Any]:
    """The step that a tool's value_and_grad makes: loss, parameters and both moments after it."""
    loss_and_gradient = value_and_grad(loss)

    def step(params: Any, mean: Any, square: Any, count: Array, x: Array, labels: Array) -> tuple[Any, ...]:
        value, gradient = loss_and_gradient(params, x, labels)
        count = count + 1
        scale, scale2 = RATE / (1 - DECAY**count), 1 / (1 - DECAY2**count)
        new_params, new_mean, new_square = [], [], []
        for p, g, m, s in zip(params, gradient, mean, square, strict=True):
            m = {k: DECAY * m[k] + (1 - DECAY) * g[k] for k in p}
            s = {k: DECAY2 * s[k] + (1 - DECAY2) * g[k] * g[k] for k in p}
            new_params.append({k: p[k] - scale * m[k] / (np.sqrt(scale2 * s[k]) + EPSILON) for k in p})
            new_mean.append(m)
            new_square.append(s)
        return value, new_params, new_mean, new_square, count

    return step


def step_by_hand() -> Callable[..., Any]:
    """The same step over the gradient written by hand."""
    return training_step(lambda _: loss_by_hand)


def torch_step(params: Any, mean: Any, square: Any, count: Array, x: Array, labels: Array) -> Callable[..., Any]:
    """The step as PyTorch's users write it: modules, its cross-entropy, its fused Adam. The parameters stay there."""
    import torch

    linears = [torch.nn.Linear(*layer["w"].shape) for layer in params]
    hidden = [part for linear in linears[:-1] for part in (linear, torch.nn.ReLU())]
    model = torch.nn.Sequential(*hidden, linears[-1])
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, betas=(DECAY, DECAY2), eps=EPSILON, fused=True)
    after: list[list[dict[str, Array]]] = [[], [], []]  # views of what the optimizer updates in place
    for linear, *given in zip(linears, params, mean, square, strict=True):
        tensors = [{k: torch.tensor(part[k].T) for k in part} for part in given]
        for k, parameter in (("w", linear.weight), ("b", linear.bias)):
            parameter.data = tensors[0][k]
            step = torch.tensor(float(count))
            optimizer.state[parameter] = {"step": step, "exp_avg": tensors[1][k], "exp_avg_sq": tensors[2][k]}
        for views, part in zip(after, tensors, strict=True):
            views.append({k: part[k].numpy().T for k in part})

    def training_step(x: Array, labels: Array) -> tuple[Any, ...]:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(labels))
        value.backward()
        optimizer.step()
        return value.item(), *after, step.item()

    return training_step


def make(size: tuple[int, ...], rng: np.random.Generator) -> tuple[Any, ...]:
    batch, *widths = size
    shapes = list(itertools.pairwise(widths))
    params = [
        {"w": (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32), "b": np.zeros(shape[1], np.float32)}
        for shape in shapes
    ]
    # As in the midst of training. (At the very first step, Adam takes the sign of every gradient, rounding errors too.)
    mean, square = (
        [{name: np.full_like(value, fill) for name, value in layer.items()} for layer in params] for fill in (0, 1e-4)
    )
    x = rng.normal(size=(batch, widths[0])).astype(np.float32)
    return params, mean, square, np.float32(10), x, rng.integers(widths[-1], size=batch)


CASES = (
    Case(
        "mlp-training-step",
        loss,
        make,
        sizes=((32, 64, 32, 32, 10), (64, 256, 128, 128, 10), (128, 784, 512, 512, 10)),
        label=lambda size: f"{'-'.join(map(str, size[1:]))}, batch {size[0]}",
        want="step",
        program=training_step,
        by_hand=step_by_hand,
        torch=torch_step,
    ),
)
