"""Writes networks.npz: the losses of 100 steps of each case of network_cases.py, by PyTorch, in double precision.

Run it in an environment with torch (2.13.0 was used) and NumPy, from the folder of the project::

    python tests/golden/make_networks.py

It needs nothing of hopgrad: the formulas for parameters and data are repeated here.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from torch import nn

STEPS = 100
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def fill(name, shape, size=0.5):
    count = int(np.prod(shape))
    start = sum((k + 1) * ord(letter) for k, letter in enumerate(name)) % 1000
    values = (size * np.sin(start + 1.7 * np.arange(count, dtype=np.float64) ** 1.3)).reshape(shape)
    return torch.from_numpy(values)


def classes(name, shape, count):
    return torch.from_numpy((np.abs(fill(name, shape, 1000.0).numpy()) % count).astype(np.int64))


def prepare(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(fill(name, tuple(parameter.shape)))


def mse(model, x):
    y = model(x)
    return F.mse_loss(y, fill("target", tuple(y.shape)))


def first(model, x):
    y, state = model(x)
    leaves = state if isinstance(state, tuple) else (state,)
    return F.mse_loss(y, fill("target", tuple(y.shape))) + sum(leaf.mean() for leaf in leaves)


def tied(model, x):
    y = torch.tanh(model(x)) @ model.weight.T
    return F.mse_loss(y, fill("target", tuple(y.shape)))


def later(n):
    return torch.triu(torch.ones(n, n, dtype=torch.bool), 1)


def attending(model, x, context=None, mask=None):
    context = x if context is None else context
    y, _ = model(x, context, context, attn_mask=mask, need_weights=False)
    return F.mse_loss(y, fill("target", tuple(y.shape)))


def causal(model, x):
    if isinstance(model, nn.MultiheadAttention):
        return attending(model, x, mask=later(x.shape[1]))
    y = model(x, src_mask=later(x.shape[1]))
    return F.mse_loss(y, fill("target", tuple(y.shape)))


def masked(model, x):
    return attending(model, x, mask=fill("mask", (6, 6), 1.0))


def looking_elsewhere(model, x):
    return attending(model, x, fill("context", (3, 5, 4), 1.0))


images, lines, rows = fill("x", (2, 4, 7, 6), 1.0), fill("x", (2, 4, 9), 1.0), fill("x", (5, 4), 1.0)
sequences, texts = fill("x", (6, 3, 4), 1.0), fill("x", (3, 6, 4), 1.0)
S, attend = nn.Sequential, nn.MultiheadAttention
block = nn.TransformerEncoderLayer
LAYERS = {
    "linear": (S(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3, bias=False)), mse, rows),
    "embedding": (S(nn.Embedding(7, 4), nn.Linear(4, 2)), mse, classes("x", (3, 5), 7)),
    "embedding tied": (nn.Embedding(7, 4), tied, classes("x", (3, 5), 7)),
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1), mse, lines),
    "conv1d dilated": (nn.Conv1d(4, 6, 3, dilation=2, groups=2, bias=False), mse, lines),
    "conv1d same": (nn.Conv1d(4, 3, 4, padding="same"), mse, lines),
    "conv2d": (nn.Conv2d(4, 5, 3, padding=1), mse, images),
    "conv2d strided": (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2)), mse, images),
    "conv2d depthwise": (nn.Conv2d(4, 8, 3, padding=1, groups=4), mse, images),
    "conv2d twice": (
        S(nn.Conv2d(4, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 2), nn.Flatten()), mse, images,
    ),
    "convtranspose1d": (
        nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), mse, lines,
    ),
    "convtranspose2d": (nn.ConvTranspose2d(4, 3, (2, 3), stride=(2, 3), padding=1, dilation=(2, 1)), mse, images),
    "maxpool1d": (S(nn.Conv1d(4, 3, 2), nn.MaxPool1d(3, stride=2, padding=1)), mse, lines),
    "maxpool2d": (S(nn.Conv2d(4, 3, 2), nn.MaxPool2d(2, stride=1, dilation=2)), mse, images),
    "avgpool1d": (S(nn.Conv1d(4, 3, 2), nn.AvgPool1d(3, stride=2, padding=1)), mse, lines),
    "avgpool2d": (S(nn.Conv2d(4, 3, 2), nn.AvgPool2d(2, padding=1, count_include_pad=False)), mse, images),
    "adaptiveavgpool1d": (S(nn.Conv1d(4, 3, 2), nn.AdaptiveAvgPool1d(3)), mse, lines),
    "adaptiveavgpool2d": (S(nn.Conv2d(4, 3, 2), nn.AdaptiveAvgPool2d((3, 2))), mse, images),
    "adaptivemaxpool1d": (S(nn.Conv1d(4, 3, 2), nn.AdaptiveMaxPool1d(5)), mse, lines),
    "adaptivemaxpool2d": (S(nn.Conv2d(4, 3, 2), nn.AdaptiveMaxPool2d(2)), mse, images),
    "layernorm": (S(nn.Linear(4, 6), nn.LayerNorm(6)), mse, rows),
    "layernorm two axes": (nn.LayerNorm((7, 6), eps=1e-3, bias=False), mse, images),
    "rmsnorm": (S(nn.Linear(4, 6), nn.RMSNorm(6)), mse, rows),
    "groupnorm": (S(nn.Conv2d(4, 6, 2), nn.GroupNorm(3, 6)), mse, images),
    "rnn": (nn.RNN(4, 5, num_layers=2), first, sequences),
    "gru": (nn.GRU(4, 5, num_layers=2), first, sequences),
    "lstm": (nn.LSTM(4, 5, num_layers=2), first, sequences),
    "lstm batch first": (nn.LSTM(4, 3, bias=False, batch_first=True), first, texts),
    "rnn both ways": (nn.RNN(4, 3, bidirectional=True), first, sequences),
    "gru both ways": (nn.GRU(4, 3, num_layers=2, bidirectional=True, batch_first=True), first, texts),
    "lstm both ways": (nn.LSTM(4, 3, num_layers=2, bidirectional=True), first, sequences),
    "attention": (attend(4, 2, batch_first=True), causal, texts),
    "attention masked": (attend(4, 1, bias=False, batch_first=True), masked, texts),
    "attention elsewhere": (attend(4, 2, batch_first=True), looking_elsewhere, texts),
    "transformer": (block(4, 2, 8, dropout=0.0, batch_first=True), mse, texts),
    "transformer norm first": (
        block(4, 2, 8, dropout=0.0, activation=F.gelu, norm_first=True, batch_first=True), causal, texts,
    ),
}  # fmt: skip

ACTIVATIONS = {
    "celu": F.celu, "elu": F.elu, "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "hardshrink": F.hardshrink, "hardsigmoid": lambda x: F.relu6(x + 3) / 6,  # its own has a 1/6 in single precision
    "hardswish": F.hardswish, "hardtanh": F.hardtanh,
    "leaky_relu": F.leaky_relu, "log_sigmoid": F.logsigmoid, "log_softmax": lambda x: F.log_softmax(x, -1),
    "mish": F.mish, "relu": F.relu, "relu6": F.relu6, "selu": F.selu, "sigmoid": F.sigmoid, "silu": F.silu,
    "softmax": lambda x: F.softmax(x, -1), "softmin": lambda x: F.softmin(x, -1), "softplus": F.softplus,
    "softshrink": F.softshrink, "softsign": F.softsign, "tanh": F.tanh, "tanhshrink": F.tanhshrink, "glu": F.glu,
}  # fmt: skip


class Activated(nn.Module):
    """Named as a sequence of which the second layer has no parameters."""

    def __init__(self, name):
        super().__init__()
        self.add_module("0", nn.Linear(4, 6))
        self.add_module("2", nn.Linear(3 if name == "glu" else 6, 2))
        self.f = ACTIVATIONS[name]

    def forward(self, x):
        first, last = self.children()
        return last(self.f(first(x)))


signs = torch.sign(fill("signs", (5,)))
labels, weights = classes("labels", (5,), 3), torch.abs(fill("weights", (3,))) + 0.1
some = torch.where(torch.arange(5) == 2, -100, labels)
probabilities = torch.abs(fill("target", (5, 3)))
pixels = classes("pixels", (1, 5), 3)
target = fill("target", (5, 3))
LOSSES = {
    "mse sum": lambda y: F.mse_loss(y, target, reduction="sum"),
    "l1": lambda y: F.l1_loss(y, target),
    "huber": lambda y: F.huber_loss(y, target, delta=0.3),
    "smooth_l1": lambda y: F.smooth_l1_loss(y, target, beta=0.4),
    "nll": lambda y: F.nll_loss(F.log_softmax(y, 1), labels, weights),
    "cross_entropy": lambda y: F.cross_entropy(y, labels),
    "cross_entropy ignore": lambda y: F.cross_entropy(y, some, weights, label_smoothing=0.2),
    "cross_entropy smooth": lambda y: F.cross_entropy(y, some, label_smoothing=0.1, reduction="sum"),
    "cross_entropy probabilities": lambda y: F.cross_entropy(y, probabilities, weights, label_smoothing=0.1),
    "cross_entropy pixels": lambda y: F.cross_entropy(y.T[None], pixels),
    "bce": lambda y: F.binary_cross_entropy(F.sigmoid(y), probabilities),
    "bce_with_logits": lambda y: F.binary_cross_entropy_with_logits(y, probabilities, pos_weight=weights),
    "kl_div": lambda y: F.kl_div(F.log_softmax(y, 1), probabilities, reduction="batchmean"),
    "kl_div log": lambda y: F.kl_div(F.log_softmax(y, 1), target, log_target=True),
    "gaussian_nll": lambda y: F.gaussian_nll_loss(y, target, probabilities + y * y, full=True),
    "poisson_nll": lambda y: F.poisson_nll_loss(y, probabilities),
    "soft_margin": lambda y: F.soft_margin_loss(y, torch.sign(target)),
    "hinge": lambda y: F.hinge_embedding_loss(y, torch.sign(target)),
    "margin_ranking": lambda y: F.margin_ranking_loss(y[:, 0], y[:, 1], signs, margin=0.2),
    "multi_margin": lambda y: F.multi_margin_loss(y, labels),
    "cosine_embedding": lambda y: F.cosine_embedding_loss(y, target, signs, margin=0.1),
    "triplet_margin": lambda y: F.triplet_margin_loss(y, target, fill("other", (5, 3))),
}

o, s = torch.optim, torch.optim.lr_scheduler
OPTIMIZERS = {
    "sgd": (lambda p: o.SGD(p, 0.1), None),
    "sgd momentum": (lambda p: o.SGD(p, 0.1, momentum=0.9, dampening=0.3, weight_decay=0.01), None),
    "sgd nesterov": (lambda p: o.SGD(p, 0.1, momentum=0.9, nesterov=True), None),
    "adam": (lambda p: o.Adam(p, 0.01), None),
    "adam amsgrad": (lambda p: o.Adam(p, 0.01, betas=(0.8, 0.9), weight_decay=0.01, amsgrad=True), None),
    "adamw": (lambda p: o.AdamW(p, 0.01, weight_decay=0.1), None),
    "rmsprop": (lambda p: o.RMSprop(p, 0.01), None),
    "rmsprop centered": (
        lambda p: o.RMSprop(p, 0.003, alpha=0.9, weight_decay=0.01, momentum=0.5, centered=True),
        None,
    ),
    "adagrad": (lambda p: o.Adagrad(p, 0.05), None),
    "adagrad decay": (
        lambda p: o.Adagrad(p, 0.05, lr_decay=0.01, weight_decay=0.01, initial_accumulator_value=0.1, eps=1e-8),
        None,
    ),
    "lbfgs": (
        lambda p: o.LBFGS(p, 0.5, max_iter=1, history_size=5, tolerance_grad=0.0, tolerance_change=0.0),
        None,
    ),
    "step": (lambda p: o.SGD(p, 0.1), lambda x: s.StepLR(x, 30, 0.5)),
    "exponential": (lambda p: o.SGD(p, 0.1), lambda x: s.ExponentialLR(x, 0.98)),
    "linear": (lambda p: o.SGD(p, 0.1), lambda x: s.LinearLR(x, 1.0, 0.2, 80)),
    "polynomial": (lambda p: o.SGD(p, 0.1), lambda x: s.PolynomialLR(x, 120, 2.0)),
    "cosine": (lambda p: o.SGD(p, 0.1), lambda x: s.CosineAnnealingLR(x, 100, 0.01)),
    "one_cycle": (lambda p: o.SGD(p, 0.2), lambda x: s.OneCycleLR(x, 0.2, total_steps=100, cycle_momentum=False)),
}


def train(case, make=None, schedule=None, clip=None):
    model, loss, x = case
    prepare(model)
    optimizer = make(model.parameters()) if make else o.SGD(model.parameters(), 0.03, momentum=0.5)
    scheduler = schedule(optimizer) if schedule else None
    losses = []
    for _ in range(STEPS):

        def closure():
            optimizer.zero_grad()
            value = loss(model, x)
            value.backward()
            if clip:
                clip(model.parameters())
            return value

        losses.append(optimizer.step(closure).item())
        if scheduler:
            scheduler.step()
    return np.array(losses)


def batch_norm():
    """Losses in training, the statistics at the end, and the loss by these."""
    torch_norm = nn.BatchNorm2d(4)
    losses = train((torch_norm, mse, images))
    torch_norm.eval()
    last = mse(torch_norm, images).item()
    return losses, torch_norm.running_mean.numpy(), torch_norm.running_var.numpy(), np.array(last)


def main():
    found = {f"layer {name}": train(case) for name, case in LAYERS.items()}
    found |= {f"activation {name}": train((Activated(name), mse, 2 * rows)) for name in ACTIVATIONS}
    for name, loss in LOSSES.items():
        found[f"loss {name}"] = train((S(nn.Linear(4, 3)), lambda m, x, loss=loss: loss(m(x)), rows))
    for name, (make, schedule) in OPTIMIZERS.items():
        found[f"optimizer {name}"] = train(LAYERS["linear"], make, schedule)
    found["clip value"] = train(LAYERS["linear"], clip=lambda p: nn.utils.clip_grad_value_(p, 0.05))
    found["clip norm"] = train(LAYERS["linear"], clip=lambda p: nn.utils.clip_grad_norm_(p, 0.1))
    for name, value in zip(("losses", "mean", "variance", "after"), batch_norm(), strict=True):
        found[f"batchnorm {name}"] = value
    np.savez_compressed(Path(__file__).with_name("networks.npz"), **found)


if __name__ == "__main__":
    main()
