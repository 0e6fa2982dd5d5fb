"""The estimators keep to scikit-learn's own rules, and work inside of its tools."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from hopgrad import nn, optim

pytest.importorskip("sklearn")

from sklearn.datasets import load_diabetes, make_moons
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from hopgrad.sklearn import HopClassifier, HopRegressor


@parametrize_with_checks(
    [HopClassifier((16,), epochs=60, learning_rate=0.02), HopRegressor((16,), epochs=60, learning_rate=0.02)]
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_two_moons() -> None:
    X, y = make_moons(300, noise=0.15, random_state=0)
    model = HopClassifier((16, 16), activation=nn.tanh, epochs=100, batch_size=50, random_state=0)
    assert cross_val_score(model, X, y, cv=2).min() > 0.95
    found = model.fit(X, y)
    probabilities = found.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(found.predict_log_proba(X)), probabilities)
    assert found.n_epochs_ == 100
    assert len(found.history_) == 100 * 6
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.predict_proba(X), probabilities)


def test_regression_in_a_pipeline_and_a_search() -> None:
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    model = make_pipeline(StandardScaler(), HopRegressor((16,), epochs=40, random_state=0))
    search = GridSearchCV(model, {"hopregressor__weight_decay": [1e-4, 0.3]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.35
    several = HopRegressor((16,), epochs=30, random_state=0).fit(X, np.stack([y, -y], axis=1))
    assert several.predict(X).shape == (len(X), 2)


def test_single_precision_stays() -> None:
    X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    model = HopRegressor((8,), epochs=5, random_state=0).fit(X, X[:, 0])
    assert model.model_[0].weight.dtype == np.float32
    assert model.predict(X.astype(float)).dtype == np.float32
    assert HopRegressor((8,), epochs=5).fit(X.astype(float), X[:, 0]).model_[0].weight.dtype == np.float64


def test_a_network_of_ones_own_and_an_optimizer() -> None:
    def linear(features: int, outputs: int, rng: np.random.Generator, dtype: Any) -> Any:
        return nn.Linear(features, outputs, rng=rng, dtype=dtype)

    X = np.random.default_rng(0).normal(size=(80, 3))
    y = X @ np.array([1.0, 2.0, -1.0]) + 0.5
    model = HopRegressor(network=linear, optimizer=optim.SGD(0.3), epochs=100, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.model_.weight, [[1.0, 2.0, -1.0]], atol=1e-6)


def test_patience_holds_samples_back() -> None:
    X, y = make_moons(200, noise=0.3, random_state=0)
    model = HopClassifier((32,), epochs=500, learning_rate=0.05, patience=10, validation_fraction=0.25, random_state=0)
    model.fit(X, y)
    assert model.n_epochs_ < 500
    assert not np.isnan(model.history_.values("validation_loss")).any()
    with pytest.raises(ValueError, match="validation_fraction must lie between 0 and 1"):
        HopClassifier(patience=3, validation_fraction=1.5).fit(X, y)
