"""Small networks that are trained for 100 steps here and by PyTorch, from the same parameters and data.

PyTorch's side, with the same names, is golden/make_networks.py, which writes golden/networks.npz.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hopgrad import nn, optim

STEPS = 100
GOLDEN = Path(__file__).parent / "golden" / "networks.npz"
Array = Any


def fill(name: str, shape: tuple[int, ...], size: float = 0.5) -> Array:
    """Numbers that look random, the same on both sides."""
    count = int(np.prod(shape))
    start = sum((k + 1) * ord(letter) for k, letter in enumerate(name)) % 1000
    return (size * np.sin(start + 1.7 * np.arange(count, dtype=np.float64) ** 1.3)).reshape(shape)


def classes(name: str, shape: tuple[int, ...], count: int) -> Array:
    """Numbers of classes."""
    return (np.abs(fill(name, shape, 1000.0)) % count).astype(np.int64)


def prepared(model: Any) -> Any:
    """The model with parameters that both sides know."""
    return nn.with_parameters(model, {k: fill(k, v.shape) for k, v in nn.named_parameters(model).items()})


def mse(model: Any, x: Array) -> Any:
    y = model(x)
    return nn.mse(y, fill("target", y.shape))


# -- layers ------------------------------------------------------------------------------------------------------------

_own: dict[str, Any] = {"rng": 0, "dtype": np.float64}
_d: dict[str, Any] = {"dtype": np.float64}
images, lines, rows = fill("x", (2, 4, 7, 6), 1.0), fill("x", (2, 4, 9), 1.0), fill("x", (5, 4), 1.0)
sequences, texts = fill("x", (6, 3, 4), 1.0), fill("x", (3, 6, 4), 1.0)


def first(model: Any, x: Array) -> Any:
    """The loss of a recurrent network, whose result is a pair."""
    y, state = model(x)
    leaves = state if isinstance(state, tuple) else (state,)
    return nn.mse(y, fill("target", y.shape)) + sum(np.mean(leaf) for leaf in leaves)


def causal(model: Any, x: Array) -> Any:
    y = model(x, causal=True)
    return nn.mse(y, fill("target", y.shape))


def masked(model: Any, x: Array) -> Any:
    y = model(x, mask=fill("mask", (6, 6), 1.0))
    return nn.mse(y, fill("target", y.shape))


def looking_elsewhere(model: Any, x: Array) -> Any:
    y = model(x, fill("context", (3, 5, 4), 1.0))
    return nn.mse(y, fill("target", y.shape))


def tied(model: Any, x: Array) -> Any:
    """The loss of an embedding whose weight also gives the scores, as in many language models."""
    y = np.tanh(model(x)) @ model.weight.T
    return nn.mse(y, fill("target", y.shape))


def seq(*layers: Any) -> Callable[[], Any]:
    return lambda: nn.Sequential(*layers)


Layer = tuple[Callable[[], Any], Callable[..., Any], Array]
LAYERS: dict[str, Layer] = {
    "linear": (seq(nn.Linear(4, 5, **_own), nn.tanh, nn.Linear(5, 3, bias=False, **_own)), mse, rows),
    "embedding": (seq(nn.Embedding(7, 4, **_own), nn.Linear(4, 2, **_own)), mse, classes("x", (3, 5), 7)),
    "embedding tied": (lambda: nn.Embedding(7, 4, **_own), tied, classes("x", (3, 5), 7)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, **_own), mse, lines),
    "conv1d dilated": (lambda: nn.Conv1d(4, 6, 3, dilation=2, groups=2, bias=False, **_own), mse, lines),
    "conv1d same": (lambda: nn.Conv1d(4, 3, 4, padding="same", **_own), mse, lines),
    "conv2d": (lambda: nn.Conv2d(4, 5, 3, padding=1, **_own), mse, images),
    "conv2d strided": (
        lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2), **_own), mse, images,
    ),
    "conv2d depthwise": (lambda: nn.Conv2d(4, 8, 3, padding=1, groups=4, **_own), mse, images),
    "conv2d twice": (
        seq(nn.Conv2d(4, 3, 3, **_own), nn.relu, nn.MaxPool2d(2), nn.Conv2d(3, 2, 2, **_own), nn.Flatten()),
        mse,
        images,
    ),
    "convtranspose1d": (
        lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, **_own), mse, lines,
    ),
    "convtranspose2d": (
        lambda: nn.ConvTranspose2d(4, 3, (2, 3), stride=(2, 3), padding=1, dilation=(2, 1), **_own), mse, images,
    ),
    "maxpool1d": (seq(nn.Conv1d(4, 3, 2, **_own), nn.MaxPool1d(3, stride=2, padding=1)), mse, lines),
    "maxpool2d": (seq(nn.Conv2d(4, 3, 2, **_own), nn.MaxPool2d(2, stride=1, dilation=2)), mse, images),
    "avgpool1d": (seq(nn.Conv1d(4, 3, 2, **_own), nn.AvgPool1d(3, stride=2, padding=1)), mse, lines),
    "avgpool2d": (seq(nn.Conv2d(4, 3, 2, **_own), nn.AvgPool2d(2, padding=1, count_include_pad=False)), mse, images),
    "adaptiveavgpool1d": (seq(nn.Conv1d(4, 3, 2, **_own), nn.AdaptiveAvgPool1d(3)), mse, lines),
    "adaptiveavgpool2d": (seq(nn.Conv2d(4, 3, 2, **_own), nn.AdaptiveAvgPool2d((3, 2))), mse, images),
    "adaptivemaxpool1d": (seq(nn.Conv1d(4, 3, 2, **_own), nn.AdaptiveMaxPool1d(5)), mse, lines),
    "adaptivemaxpool2d": (seq(nn.Conv2d(4, 3, 2, **_own), nn.AdaptiveMaxPool2d(2)), mse, images),
    "layernorm": (seq(nn.Linear(4, 6, **_own), nn.LayerNorm(6, **_d)), mse, rows),
    "layernorm two axes": (lambda: nn.LayerNorm((7, 6), eps=1e-3, bias=False, **_d), mse, images),
    "rmsnorm": (seq(nn.Linear(4, 6, **_own), nn.RMSNorm(6, **_d)), mse, rows),
    "groupnorm": (seq(nn.Conv2d(4, 6, 2, **_own), nn.GroupNorm(3, 6, **_d)), mse, images),
    "rnn": (lambda: nn.RNN(4, 5, num_layers=2, **_own), first, sequences),
    "gru": (lambda: nn.GRU(4, 5, num_layers=2, **_own), first, sequences),
    "lstm": (lambda: nn.LSTM(4, 5, num_layers=2, **_own), first, sequences),
    "lstm batch first": (lambda: nn.LSTM(4, 3, bias=False, batch_first=True, **_own), first, texts),
    "rnn both ways": (lambda: nn.RNN(4, 3, bidirectional=True, **_own), first, sequences),
    "gru both ways": (lambda: nn.GRU(4, 3, num_layers=2, bidirectional=True, batch_first=True, **_own), first, texts),
    "lstm both ways": (lambda: nn.LSTM(4, 3, num_layers=2, bidirectional=True, **_own), first, sequences),
    "attention": (lambda: nn.MultiheadAttention(4, 2, **_own), causal, texts),
    "attention masked": (lambda: nn.MultiheadAttention(4, 1, bias=False, **_own), masked, texts),
    "attention elsewhere": (lambda: nn.MultiheadAttention(4, 2, **_own), looking_elsewhere, texts),
    "transformer": (lambda: nn.TransformerBlock(4, 2, 8, **_own), mse, texts),
    "transformer norm first": (
        lambda: nn.TransformerBlock(4, 2, 8, activation=nn.gelu, norm_first=True, **_own), causal, texts,
    ),
}  # fmt: skip

ACTIVATIONS: dict[str, Callable[[Array], Any]] = {
    "celu": nn.celu, "elu": nn.elu, "gelu": nn.gelu, "gelu_tanh": nn.gelu_tanh, "hardshrink": nn.hardshrink,
    "hardsigmoid": nn.hardsigmoid, "hardswish": nn.hardswish, "hardtanh": nn.hardtanh, "leaky_relu": nn.leaky_relu,
    "log_sigmoid": nn.log_sigmoid, "log_softmax": lambda x: nn.log_softmax(x), "mish": nn.mish, "relu": nn.relu,
    "relu6": nn.relu6, "selu": nn.selu, "sigmoid": nn.sigmoid, "silu": nn.silu, "softmax": nn.softmax,
    "softmin": nn.softmin, "softplus": nn.softplus, "softshrink": nn.softshrink, "softsign": nn.softsign,
    "tanh": nn.tanh, "tanhshrink": nn.tanhshrink, "glu": nn.glu,
}  # fmt: skip


def activated(name: str) -> Layer:
    """A network with an activation in its midst."""
    inside = 3 if name == "glu" else 6
    return seq(nn.Linear(4, 6, **_own), ACTIVATIONS[name], nn.Linear(inside, 2, **_own)), mse, 2 * rows


# -- losses: of a linear map of the rows -------------------------------------------------------------------------------

_signs = np.sign(fill("signs", (5,)))
_labels, _weights = classes("labels", (5,), 3), np.abs(fill("weights", (3,))) + 0.1
_some = np.where(np.arange(5) == 2, -100, _labels)
_probabilities = np.abs(fill("target", (5, 3)))
_pixels = classes("pixels", (1, 5), 3)

LOSSES: dict[str, Callable[[Array], Any]] = {
    "mse sum": lambda y: nn.mse(y, fill("target", (5, 3)), "sum"),
    "l1": lambda y: nn.l1(y, fill("target", (5, 3))),
    "huber": lambda y: nn.huber(y, fill("target", (5, 3)), delta=0.3),
    "smooth_l1": lambda y: nn.smooth_l1(y, fill("target", (5, 3)), beta=0.4),
    "nll": lambda y: nn.nll(nn.log_softmax(y), _labels, _weights),
    "cross_entropy": lambda y: nn.cross_entropy(y, _labels),
    "cross_entropy ignore": lambda y: nn.cross_entropy(y, _some, _weights, label_smoothing=0.2),
    "cross_entropy smooth": lambda y: nn.cross_entropy(y, _some, label_smoothing=0.1, reduction="sum"),
    "cross_entropy probabilities": lambda y: nn.cross_entropy(y, _probabilities, _weights, label_smoothing=0.1),
    "cross_entropy pixels": lambda y: nn.cross_entropy(y.T[None], _pixels),
    "bce": lambda y: nn.bce(nn.sigmoid(y), _probabilities),
    "bce_with_logits": lambda y: nn.bce_with_logits(y, _probabilities, pos_weight=_weights),
    "kl_div": lambda y: nn.kl_div(nn.log_softmax(y), _probabilities, reduction="batchmean"),
    "kl_div log": lambda y: nn.kl_div(nn.log_softmax(y), fill("target", (5, 3)), log_target=True),
    "gaussian_nll": lambda y: nn.gaussian_nll(y, fill("target", (5, 3)), _probabilities + y * y, full=True),
    "poisson_nll": lambda y: nn.poisson_nll(y, _probabilities),
    "soft_margin": lambda y: nn.soft_margin(y, np.sign(fill("target", (5, 3)))),
    "hinge": lambda y: nn.hinge(y, np.sign(fill("target", (5, 3)))),
    "margin_ranking": lambda y: nn.margin_ranking(y[:, 0], y[:, 1], _signs, margin=0.2),
    "multi_margin": lambda y: nn.multi_margin(y, _labels),
    "cosine_embedding": lambda y: nn.cosine_embedding(y, fill("target", (5, 3)), _signs, margin=0.1),
    "triplet_margin": lambda y: nn.triplet_margin(y, fill("target", (5, 3)), fill("other", (5, 3))),
}


def lossy(name: str) -> Layer:
    """A linear map with a loss."""
    return seq(nn.Linear(4, 3, **_own)), lambda model, x: LOSSES[name](model(x)), rows


# -- optimizers --------------------------------------------------------------------------------------------------------

s = optim.schedules
OPTIMIZERS: dict[str, optim.Optimizer] = {
    "sgd": optim.SGD(0.1),
    "sgd momentum": optim.SGD(0.1, momentum=0.9, dampening=0.3, weight_decay=0.01),
    "sgd nesterov": optim.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": optim.Adam(0.01),
    "adam amsgrad": optim.Adam(0.01, betas=(0.8, 0.9), weight_decay=0.01, amsgrad=True),
    "adamw": optim.AdamW(0.01, weight_decay=0.1),
    "rmsprop": optim.RMSprop(0.01),
    "rmsprop centered": optim.RMSprop(0.003, alpha=0.9, weight_decay=0.01, momentum=0.5, centered=True),
    "adagrad": optim.Adagrad(0.05),
    "adagrad decay": optim.Adagrad(0.05, lr_decay=0.01, weight_decay=0.01, initial_accumulator_value=0.1, eps=1e-8),
    "lbfgs": optim.LBFGS(0.5, history_size=5),
    "step": optim.SGD(s.step(0.1, 30, 0.5)),
    "exponential": optim.SGD(s.exponential(0.1, 0.98)),
    "linear": optim.SGD(s.linear(0.1, 80, 0.02)),
    "polynomial": optim.SGD(s.polynomial(0.1, 120, 2.0)),
    "cosine": optim.SGD(s.cosine(0.1, 100, 0.01)),
    "one_cycle": optim.SGD(s.one_cycle(0.2, 100)),
}


def optimized() -> Layer:
    """What the optimizers work on."""
    return LAYERS["linear"]


def clipped(how: str) -> Callable[[Any], Any]:
    """A gradient that is clipped."""
    if how == "value":
        return lambda gradient: optim.clip_by_value(gradient, 0.05)
    return lambda gradient: optim.clip_by_global_norm(gradient, 0.1)[0]
