"""Functions of many kinds, explained: what the tests of stories, pictures and pages look at."""

from collections.abc import Callable
from typing import Any

import numpy as np

import hopgrad as hg
from hopgrad.show.explanation import Explanation


def chain(x: Any) -> Any:
    z = x + 1
    h = z**2
    y = np.sin(h)
    return y


def network(W1: Any, b1: Any, W2: Any, b2: Any, X: Any, T: Any) -> Any:
    h = np.tanh(X @ W1 + b1)
    o = h @ W2 + b2
    m = o.max(axis=1, keepdims=True)
    lse = np.log(np.exp(o - m).sum(axis=1)) + m[:, 0]
    loss = np.mean(lse - np.sum(o * T, axis=1))
    return loss


def doubled(x: Any) -> Any:
    for _ in range(50):
        x = x + x
    return x


def newton(a: Any) -> Any:
    x = 1.0
    for _ in range(6):
        x = 0.5 * (x + a / x)
    return x


def branches(x: Any, y: Any) -> Any:
    z = x * y
    if x > 0 and not z > 3:
        return np.sin(z)
    return x


def until(a: Any) -> Any:
    x = a / 2
    while abs(x * x - a) > 1e-9:
        x = 0.5 * (x + a / x)
    return x


def _network() -> Explanation:
    r = np.random.default_rng(0)
    targets = np.eye(2)[[0, 1, 1, 0, 1]]
    arguments = (r.normal(size=(3, 4)), np.zeros(4), r.normal(size=(4, 2)), np.zeros(2), r.normal(size=(5, 3)), targets)
    return hg.explain(network, wrt=["W1", "b1", "W2", "b2"])(*arguments)


GALLERY: dict[str, Callable[[], Explanation]] = {
    "chain": lambda: hg.explain(chain)(0.5),
    "second order": lambda: hg.explain(chain, order=2)(0.5),
    "fractions": lambda: hg.explain("x*sin(x)/sqrt(x)", x=0.5),
    "two inputs": lambda: hg.explain("z = x*y; z + x*exp(z)", x=2, y=0.5),
    "cases": lambda: hg.explain(lambda x, y: np.exp(-x * y) + np.where(x > y, x**3, y))(0.5, 2.0),
    "network": _network,
    "infinite": lambda: hg.explain(lambda x: np.sqrt(x) ** 2 + np.log(x))(0.0),
    "softmax": lambda: hg.explain(lambda v: np.sum(np.exp(v) / np.sum(np.exp(v)) * np.array([1.0, 0, 0])))(
        np.arange(3.0)
    ),
    "norm": lambda: hg.explain("norm(x) + log(sum(exp(x)))", x=[1, 2, 3]),
    "cube": lambda: hg.explain(lambda x: x * x * x)(2.0),
    "greek": lambda: hg.explain("alpha_1*sin(beta*x)^2/(1+exp(-gamma*x))", alpha_1=1, beta=2, x=0.3, gamma=1.5),
    "kinks": lambda: hg.explain("arctan2(y, x)*hypot(x, y) + abs(x)*floor(y)", x=1.0, y=2.0),
    "doubled": lambda: hg.explain(doubled)(1.0),
    "newton": lambda: hg.explain(newton)(2.0),
    "indexing": lambda: hg.explain(lambda x: x[0] * x[1] + x[1:].sum() / x[-1])(np.array([1.0, 2.0, 3.0])),
    "flat": lambda: hg.explain(lambda x, y: 2 * np.floor(x) + 0 * y)(1.5, 2.0),
    "array result": lambda: hg.explain(lambda x: np.cumsum(np.sin(x)))(np.array([0.1, 0.2])),
    "identity": lambda: hg.explain(lambda x: x)(2.0),
    "branches": lambda: hg.explain(branches)(2.0, 1.0),
    "boundary": lambda: hg.explain(lambda x: x * x if x > 0 else -x)(0.0),
    "until": lambda: hg.explain(until)(2.0),
    "hostile names": lambda: hg.explain(lambda **k: k["<b>&\"'"] * k["x_{y}$%\\"], wrt=["<b>&\"'"])(
        **{"<b>&\"'": 2.0, "x_{y}$%\\": 3.0}
    ),
}
