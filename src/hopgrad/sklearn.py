"""Estimators for scikit-learn: networks with ``fit`` and ``predict``, for pipelines, searches and cross-validation.

Needs scikit-learn: ``pip install 'hopgrad[sklearn]'``. As with all networks, features of very different sizes should be
brought to one scale first (``sklearn.preprocessing.StandardScaler``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hopgrad import nn, optim
from hopgrad.train import fit

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise ImportError("hopgrad.sklearn needs scikit-learn: pip install 'hopgrad[sklearn]'") from None

__all__ = ["HopClassifier", "HopRegressor"]

Network = Callable[[int, int, np.random.Generator, Any], Any]
"""``network(features, outputs, rng, dtype)``: a model to begin with."""

_AUTO = 200
"""The largest batch that "auto" takes."""


class _Hop(BaseEstimator):
    """What both estimators have in common: their options, and how they train."""

    _loss: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        hidden: Sequence[int] = (64,),
        *,
        activation: Callable[..., Any] = nn.relu,
        network: Network | None = None,
        optimizer: Any = None,
        learning_rate: float = 0.01,
        weight_decay: float = 1e-4,
        epochs: int = 200,
        batch_size: int | str = "auto",
        patience: int | None = None,
        validation_fraction: float = 0.1,
        progress: bool | None = False,
        random_state: Any = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.network = network
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.progress = progress
        self.random_state = random_state

    def _train(self, X: NDArray[Any], y: NDArray[Any], outputs: int) -> None:
        """Set `model_` and what tells of its training. Rows of y are targets."""
        random = check_random_state(self.random_state)
        seed = int(random.randint(2**31 - 1))
        rng = np.random.default_rng(seed)
        make = self.network or self._layers
        model = make(X.shape[1], outputs, rng, X.dtype)
        training, held = np.arange(len(X)), None
        if self.patience is not None:
            if not 0 < self.validation_fraction < 1:
                raise ValueError(f"validation_fraction must lie between 0 and 1, but is {self.validation_fraction!r}")
            count = math.ceil(self.validation_fraction * len(X))
            if count >= len(X):
                raise ValueError(f"patience holds {count} of {len(X)} samples back, so none are left to train on")
            order = rng.permutation(len(X))
            training, held = order[count:], order[:count]
        default = optim.Adam(self.learning_rate, weight_decay=self.weight_decay)
        found = fit(
            model,
            type(self)._loss,
            (X[training], y[training]),
            optimizer=default if self.optimizer is None else self.optimizer,
            epochs=self.epochs,
            batch_size=min(_AUTO, len(training)) if self.batch_size == "auto" else self.batch_size,  # type: ignore[arg-type]
            seed=seed,
            validation=None if held is None else (X[held], y[held]),
            patience=self.patience,
            progress=self.progress,
        )
        self.model_ = found.model
        self.history_ = found.history
        self.n_epochs_ = found.epochs

    def _layers(self, features: int, outputs: int, rng: np.random.Generator, dtype: Any) -> Any:
        """Linear layers with an activation between them."""
        widths = [features, *self.hidden, outputs]
        layers: list[Any] = []
        for inside, outside in itertools.pairwise(widths):
            layers += [nn.Linear(inside, outside, rng=rng, dtype=dtype), self.activation]
        return nn.Sequential(*layers[:-1])

    def _outputs(self, X: Any) -> NDArray[Any]:
        """What the network gives for these samples, checked as those that it was trained on."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=_FLOATS, reset=False)
        return np.asarray(self.model_(X.astype(self._dtype_, copy=False)))


_FLOATS = [np.float64, np.float32]


def _classification_loss(model: Any, X: Any, labels: Any) -> Any:
    return nn.losses.cross_entropy(model(X), labels)


def _regression_loss(model: Any, X: Any, y: Any) -> Any:
    return nn.losses.mse(model(X), y)


class HopClassifier(ClassifierMixin, _Hop):
    """A network that tells classes apart, trained on the cross-entropy of its softmax.

    Args:
        hidden: Widths of the hidden layers.
        activation: Between the layers: a function of an array, such as those of `hopgrad.nn`.
        network: Instead of both, a function ``network(features, classes, rng, dtype)`` that makes the model: anything
            that can be called with an array of shape (samples, features) and gives one of shape (samples, classes).
        optimizer: Of `hopgrad.optim`; None: Adam with the two options that follow.
        learning_rate: Adam's.
        weight_decay: The factor of the squares of the parameters that are added to the loss.
        epochs: How often to go through the samples.
        batch_size: Samples in a batch; "auto": 200, or all if there are fewer.
        patience: After how many epochs without progress on samples that are held back to stop; None: never, and none
            are held back.
        validation_fraction: Which part is held back if there is a patience.
        progress: As for `hopgrad.train.fit`.
        random_state: Decides about first values and the order of samples: an integer, a ``RandomState`` or None.

    Attributes:
        model_: The trained network.
        classes_: The classes, in the order of `predict_proba`'s columns.
        history_: The course of the training: a `hopgrad.train.History`.
        n_epochs_: How many epochs it took.
        n_features_in_: Features of a sample.

    The dtype is that of the samples if that is float32, else float64.

    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> y = np.array(["same", "different", "different", "same"])
    >>> HopClassifier((16,), random_state=0).fit(X, y).predict(X).tolist()
    ['same', 'different', 'different', 'same']
    """

    _loss = staticmethod(_classification_loss)

    def fit(self, X: Any, y: Any) -> Self:
        """Train on samples X, (samples, features), and their classes y, (samples,)."""
        X, y = validate_data(self, X, y, dtype=_FLOATS)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._dtype_ = X.dtype
        self._train(X, labels, len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """The probability of each class for each sample: (samples, classes)."""
        return np.asarray(nn.softmax(self._outputs(X)))

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """The logarithms of `predict_proba`."""
        return np.asarray(nn.log_softmax(self._outputs(X)))

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each sample: (samples,)."""
        scores = self._outputs(X)
        return np.asarray(self.classes_[np.argmax(scores, axis=1)])


class HopRegressor(RegressorMixin, _Hop):
    """A network that predicts numbers, trained on the mean of the squares of its errors.

    The arguments are those of `HopClassifier`; ``network(features, outputs, rng, dtype)`` gives (samples, outputs).

    Attributes:
        model_: The trained network.
        history_: The course of the training: a `hopgrad.train.History`.
        n_epochs_: How many epochs it took.
        n_features_in_: Features of a sample.

    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> model = HopRegressor((16,), random_state=0).fit(X, X[:, 0] ** 2)
    >>> bool(model.score(X, X[:, 0] ** 2) > 0.95)
    True
    """

    _loss = staticmethod(_regression_loss)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Train on samples X, (samples, features), and what to predict y, (samples,) or (samples, outputs)."""
        X, y = validate_data(self, X, y, dtype=_FLOATS, multi_output=True, y_numeric=True)
        self._dtype_ = X.dtype
        self._is_flat = y.ndim == 1
        y = y.reshape(len(y), -1).astype(X.dtype, copy=False)
        self._train(X, y, y.shape[1])
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """What the network predicts for each sample: of the shape that y had."""
        found = self._outputs(X)
        return found[:, 0] if self._is_flat else found
