"""Losses: numerically stable, with PyTorch's formulas and defaults.

Each takes predictions and what they should have been, and ``reduction``: "mean" (the default), "sum" or "none".
Shapes that differ are an error, as broadcasting (n, 1) against (n,) is never what was meant.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from hopgrad.custom import stop_gradient
from hopgrad.errors import DtypeError, ShapeError
from hopgrad.nn.activations import log_softmax

__all__ = ["bce", "bce_with_logits", "cosine_embedding", "cosine_similarity", "cross_entropy", "gaussian_nll", "hinge"]
__all__ += ["huber", "kl_div", "l1", "margin_ranking", "mse", "multi_margin", "nll", "poisson_nll", "smooth_l1"]
__all__ += ["soft_margin", "triplet_margin"]

Array = Any
Reduction = Literal["mean", "sum", "none"]


def _reduced(values: Array, reduction: str) -> Any:
    if reduction == "mean":
        return np.mean(values)
    if reduction == "sum":
        return np.sum(values)
    if reduction == "none":
        return values
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', not {reduction!r}")


def _same_shapes(loss: str, predicted: Array, target: Array) -> None:
    if np.shape(predicted) != np.shape(target):
        raise ShapeError(f"{loss} needs two arrays of one shape, not {np.shape(predicted)} and {np.shape(target)}")


def mse(predicted: Array, target: Array, reduction: Reduction = "mean") -> Any:
    """(predicted − target)².

    >>> float(mse(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """
    _same_shapes("mse", predicted, target)
    return _reduced((predicted - target) ** 2, reduction)


def l1(predicted: Array, target: Array, reduction: Reduction = "mean") -> Any:
    """|predicted − target|."""
    _same_shapes("l1", predicted, target)
    return _reduced(np.abs(predicted - target), reduction)


def huber(predicted: Array, target: Array, delta: float = 1.0, reduction: Reduction = "mean") -> Any:
    """½d² up to |d| = δ, and δ(|d| − ½δ) from there on. Huber (1964)."""
    _same_shapes("huber", predicted, target)
    if not delta > 0:
        raise ValueError(f"delta must be positive, but is {delta}")
    d = np.abs(predicted - target)
    return _reduced(np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)


def smooth_l1(predicted: Array, target: Array, beta: float = 1.0, reduction: Reduction = "mean") -> Any:
    """`huber` divided by β; `l1` where β is 0. Girshick, "Fast R-CNN" (2015)."""
    if beta == 0:
        return l1(predicted, target, reduction)
    return huber(predicted, target, beta, reduction) / beta


def _chosen(values: Array, target: Array, ignore_index: int) -> tuple[Any, Any]:
    """(values of the target classes along axis 1, whether the target counts)."""
    classes = np.shape(values)[1]
    counts = target != ignore_index
    # NumPy would take a negative class from the end; beyond the end it is an error.
    places = np.where(counts, np.where(target < 0, classes, target), 0)
    return np.take_along_axis(values, np.expand_dims(places, 1), 1)[:, 0], counts


def _check_classes(loss: str, values: Array, target: Array) -> tuple[Array, Array]:
    """Both with an axis of examples, after a check of shapes and dtypes."""
    if getattr(target, "dtype", np.dtype(int)).kind not in "iu":
        raise DtypeError(f"{loss} needs the numbers of classes as integers, or probabilities of all classes")
    shape, of = np.shape(values), np.shape(target)
    if len(shape) == 1 and of == ():
        return values[None], np.reshape(target, (1,))
    if len(shape) < 2 or (shape[0], *shape[2:]) != of:
        raise ShapeError(
            f"{loss} needs scores of shape (n, classes, …) and classes of shape (n, …), not {shape} and {of}"
        )
    return values, target


def nll(
    log_probabilities: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Any:
    """Minus the log-probability of the true class.

    Args:
        log_probabilities: (n, classes, …), as `log_softmax` along axis 1 gives them; or (classes,).
        target: Integers of shape (n, …): the classes.
        weight: (classes,): what each class counts. The mean is divided by the sum of the weights of the targets.
        ignore_index: Targets of this number do not count.
        reduction: "mean", "sum" or "none".

    Raises:
        IndexError: A target is no class.
    """
    alone = np.ndim(log_probabilities) == 1
    values, target = _check_classes("nll", log_probabilities, target)
    chosen, counts = _chosen(values, target, ignore_index)
    shares = _shares(values, target, counts, weight)
    return _of_classes(-chosen * shares, shares, alone, reduction)


def _of_classes(losses: Array, shares: Array, alone: bool, reduction: str) -> Any:
    """Losses of examples, reduced; the mean is by what the targets count."""
    if reduction == "mean":
        return np.sum(losses) / np.sum(shares)
    return _reduced(losses[0] if alone and reduction == "none" else losses, reduction)


def _shares(values: Array, target: Array, counts: Array, weight: Array | None) -> Any:
    """What each target counts."""
    shares = counts.astype(values.dtype)
    return shares if weight is None else shares * weight[np.where(counts, target, 0)]


def cross_entropy(
    scores: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Any:
    """The cross-entropy of the softmax of scores, computed from their differences from the largest one.

    Args:
        scores: (n, classes, …), or (classes,): any numbers.
        target: Integers of shape (n, …): the classes; or probabilities in the shape of the scores.
        weight: (classes,): what each class counts.
        ignore_index: Targets of this number do not count.
        label_smoothing: ε: the target becomes (1 − ε) of it and ε/classes of every class (Szegedy et al. 2016).
        reduction: "mean", "sum" or "none".

    Raises:
        IndexError: A target is no class.

    >>> round(float(cross_entropy(np.array([[1000.0, 0.0], [0.0, 0.0]]), np.array([0, 1]))), 6)
    0.346574
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be between 0 and 1, but is {label_smoothing}")
    if getattr(target, "dtype", np.dtype(int)).kind == "f":
        return _with_probabilities(scores, target, weight, label_smoothing, reduction)
    alone = np.ndim(scores) == 1
    scores, target = _check_classes("cross_entropy", scores, target)
    # Not by `log_softmax`: so all scores have a derivative, whatever the target is, and none has to be masked.
    s = scores - stop_gradient(np.max(scores, 1, keepdims=True))
    log_sum = np.log(np.sum(np.exp(s), 1))
    chosen, counts = _chosen(s, target, ignore_index)
    shares = _shares(s, target, counts, weight)
    losses = (log_sum - chosen) * shares
    if label_smoothing:
        classes = np.shape(s)[1]
        whole = classes if weight is None else np.sum(weight)
        spread = whole * log_sum - np.sum(s if weight is None else s * _by_class(weight, s), 1)
        losses = (1.0 - label_smoothing) * losses + label_smoothing / classes * spread * counts
    return _of_classes(losses, shares, alone, reduction)


def _by_class(weight: Array, like: Array) -> Any:
    return np.reshape(weight, (-1, *[1] * (np.ndim(like) - 2)))


def _with_probabilities(scores: Array, target: Array, weight: Array | None, smoothing: float, reduction: str) -> Any:
    _same_shapes("cross_entropy with probabilities", scores, target)
    axis = 0 if np.ndim(scores) == 1 else 1
    log_p = log_softmax(scores, axis)
    classes = np.shape(scores)[axis]
    if smoothing:
        target = target * (1.0 - smoothing) + smoothing / classes
    if weight is not None:
        target = target * (weight if axis == 0 else _by_class(weight, log_p))
    return _reduced(-np.sum(log_p * target, axis), reduction)


def bce(probability: Array, target: Array, weight: Array | None = None, reduction: Reduction = "mean") -> Any:
    """−t log p − (1 − t) log(1 − p); logarithms are kept above −100. Better is `bce_with_logits`."""
    _same_shapes("bce", probability, target)
    tiny = math.exp(-100.0)
    log_p, log_q = np.log(np.maximum(probability, tiny)), np.log1p(-np.minimum(probability, 1.0))
    losses = -target * log_p - (1 - target) * np.maximum(log_q, -100.0)
    return _reduced(losses if weight is None else losses * weight, reduction)


def bce_with_logits(
    scores: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: Reduction = "mean",
) -> Any:
    """−w t log σ(s) − (1 − t) log(1 − σ(s)), where σ is the sigmoid, stable for all scores; w is `pos_weight`.

    >>> round(float(bce_with_logits(np.array([1000.0, 0.0]), np.array([1.0, 1.0]))), 6)
    0.346574
    """
    _same_shapes("bce_with_logits", scores, target)
    soft = np.logaddexp(-scores, 0)  # −log σ(s)
    if pos_weight is None:
        losses = (1 - target) * scores + soft
    else:
        losses = (1 - target) * scores + (1 + (pos_weight - 1) * target) * soft
    return _reduced(losses if weight is None else losses * weight, reduction)


def kl_div(
    log_probabilities: Array,
    target: Array,
    log_target: bool = False,
    reduction: Literal["mean", "sum", "none", "batchmean"] = "mean",
) -> Any:
    """t (log t − log p), the divergence of Kullback and Leibler; 0 where t is 0.

    "mean" is by all elements, "batchmean" by the size of the first axis, which is the divergence as it is defined.
    """
    _same_shapes("kl_div", log_probabilities, target)
    if log_target:
        losses = np.exp(target) * (target - log_probabilities)
    else:
        positive = np.where(target > 0, target, 1.0)
        losses = np.where(target > 0, target * np.log(positive), 0.0) - target * log_probabilities
    if reduction == "batchmean":
        return np.sum(losses) / np.shape(losses)[0]
    return _reduced(losses, reduction)


def gaussian_nll(
    mean: Array, target: Array, variance: Array, full: bool = False, eps: float = 1e-6, reduction: Reduction = "mean"
) -> Any:
    """½(log v + (mean − target)²/v), with a variance v of at least `eps`; `full` adds ½ log 2π."""
    _same_shapes("gaussian_nll", mean, target)
    # The bound is no function of the variance, as in PyTorch: the gradient goes on below it.
    bounded = np.maximum(variance, eps)
    losses = 0.5 * (np.log(bounded) + (mean - target) ** 2 / bounded)
    return _reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def poisson_nll(log_rate: Array, target: Array, reduction: Reduction = "mean") -> Any:
    """exp(s) − t s, minus the log-likelihood of counts t up to what does not depend on s."""
    _same_shapes("poisson_nll", log_rate, target)
    return _reduced(np.exp(log_rate) - target * log_rate, reduction)


def soft_margin(scores: Array, target: Array, reduction: Reduction = "mean") -> Any:
    """log(1 + exp(−t s)), for targets ±1."""
    _same_shapes("soft_margin", scores, target)
    return _reduced(np.logaddexp(-target * scores, 0), reduction)


def hinge(distance: Array, target: Array, margin: float = 1.0, reduction: Reduction = "mean") -> Any:
    """The distance where the target is 1, and max(0, margin − distance) where it is −1 (``hinge_embedding_loss``)."""
    _same_shapes("hinge", distance, target)
    return _reduced(np.where(target > 0, distance, np.maximum(0, margin - distance)), reduction)


def margin_ranking(
    first: Array, second: Array, target: Array, margin: float = 0.0, reduction: Reduction = "mean"
) -> Any:
    """max(0, −t (first − second) + margin): t is 1 where the first should be larger, else −1."""
    _same_shapes("margin_ranking", first, second)
    return _reduced(np.maximum(0, -target * (first - second) + margin), reduction)


def multi_margin(
    scores: Array, target: Array, power: int = 1, margin: float = 1.0, reduction: Reduction = "mean"
) -> Any:
    """Σ max(0, margin − s[true] + s[other])^power over the other classes, by their number."""
    scores, target = _check_classes("multi_margin", scores, target)
    chosen, _ = _chosen(scores, target, -1 - np.shape(scores)[1])
    short = np.maximum(0, margin - np.expand_dims(chosen, 1) + scores) ** power
    others = np.arange(np.shape(scores)[1]) != target[:, None]
    return _reduced(np.sum(short * others, 1) / np.shape(scores)[1], reduction)


def cosine_similarity(x: Array, y: Array, axis: int = -1, eps: float = 1e-8) -> Any:
    """x·y/(|x||y|) along an axis, with norms of at least `eps`.

    >>> float(cosine_similarity(np.array([1.0, 0.0]), np.array([1.0, 1.0])).round(6))
    0.707107
    """
    norms = [np.maximum(np.sqrt(np.sum(v * v, axis)), eps) for v in (x, y)]
    return np.sum(x * y, axis) / (norms[0] * norms[1])


def cosine_embedding(x: Array, y: Array, target: Array, margin: float = 0.0, reduction: Reduction = "mean") -> Any:
    """1 − cos where the target is 1, and max(0, cos − margin) where it is −1; 10⁻¹² is added to squares of norms."""
    _same_shapes("cosine_embedding", x, y)
    squares = [np.sum(v * v, -1) + 1e-12 for v in (x, y)]
    cosine = np.sum(x * y, -1) / np.sqrt(squares[0] * squares[1])
    return _reduced(np.where(target > 0, 1 - cosine, np.maximum(0, cosine - margin)), reduction)


def triplet_margin(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> Any:
    """max(0, |anchor − positive| − |anchor − negative| + margin), with norms along the last axis of x − y + `eps`."""
    _same_shapes("triplet_margin", anchor, positive)
    _same_shapes("triplet_margin", anchor, negative)
    near, far = (np.sqrt(np.sum((anchor - other + eps) ** 2, -1)) for other in (positive, negative))
    return _reduced(np.maximum(0, near - far + margin), reduction)
