"""The examples of the gallery, each with what there is to see on its page: small programs, and networks.

The programs stand here, in plain NumPy, to be read, copied and changed. The decorator says at which point each is
explained, and by what it is differentiated. The networks have a module each in `hopgrad.gallery.networks`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from hopgrad.gallery.networks import autoencoder, characters, digits_cnn, neural_ode, physics, two_moons

__all__ = ["EXAMPLES", "Example"]


@dataclass(frozen=True)
class Example:
    """A function and the point at which it is explained.

    Attributes:
        name: The name of its file, without a suffix.
        about: A title, and after an empty line what to look at.
        function: What is explained.
        wrt: The arguments to differentiate by.
        made: Gives the point. That of a network is trained, which takes a second or a few.
        parts: The functions whose code is shown.

    >>> [e.name for e in EXAMPLES][:3]
    ['chain', 'product-and-quotient', 'used-twice']
    >>> EXAMPLES[0].title
    'The chain rule'
    """

    name: str
    about: str
    function: Callable[..., Any]
    wrt: tuple[str, ...]
    made: Callable[[], dict[str, Any]] = field(repr=False)
    parts: Sequence[Callable[..., Any]] = ()

    @cached_property
    def at(self) -> dict[str, Any]:
        """The values of the function's arguments, by name."""
        return self.made()

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return self.about.partition("\n")[0].rstrip(".")

    @property
    def look(self) -> str:
        """What to look at on its page, in a few sentences."""
        return " ".join(self.about.partition("\n\n")[2].replace("`", "").split())

    @property
    def code(self) -> str:
        """The source, without docstrings of functions that are explained above it."""
        return "\n\n".join(_without_docstring(inspect.getsource(part)) for part in self.parts or (self.function,))


def _without_docstring(source: str) -> str:
    code = "def " + source.partition("def ")[2]
    head, quotes, rest = code.partition('    """')
    return head + rest.partition('"""\n')[2] if quotes else code


EXAMPLES: list[Example] = []
"""All examples, from the simplest on."""


def _example(*wrt: str, **at: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def note(function: Callable[..., Any]) -> Callable[..., Any]:
        name = function.__name__.replace("_", "-")
        EXAMPLES.append(Example(name, inspect.getdoc(function) or "", function, wrt or tuple(at), lambda: at))
        return function

    return note


def _normal(*shape: int, seed: int = 0) -> Any:
    """Normally distributed numbers, always the same."""
    return np.random.default_rng(seed).normal(size=shape).round(2)


# -- the rules of the school ------------------------------------------------------------------------------------------


@_example(x=0.5)
def chain(x: Any) -> Any:
    """The chain rule.

    sin((x+1)²) is made of three hops, and each has a local derivative of its own, on its edge. Step through the
    backward sweep: every step is one multiplication, adjoint times local derivative. Drag x to where the slope
    is 0.
    """
    z = x + 1
    h = z**2
    y = np.sin(h)
    return y


@_example(x=1.2)
def product_and_quotient(x: Any) -> Any:
    """Product and quotient.

    Two paths lead from x through the product above the bar. The product rule is the sum over them: each factor
    is held while the other one moves. The third path goes below the bar: look at the minus on its last edge.
    """
    up = x * np.sin(x)
    down = 1 + x**2
    return up / down


@_example(x=0.8)
def used_twice(x: Any) -> Any:
    """A value used twice.

    s is used three times, so its adjoint is a sum of three terms: they appear one by one in the backward sweep.
    All three paths share the way from s to x, which dynamic programming walks once: compare the two counts of
    multiplications.
    """
    s = np.exp(-x)
    t = s * s
    return t + np.cos(s)


# -- optimization -----------------------------------------------------------------------------------------------------


@_example(
    x=-1.2,
    y=1.0,
)
def rosenbrock(x: Any, y: Any) -> Any:
    """Rosenbrock's valley.

    The classic test of minimizers: a curved valley with its lowest point at (1, 1). Let gradient descent run: it falls
    into the valley at once and then creeps along it. On the floor, where y = x², nothing comes through the second
    square any more, and what is left is the gentle slope of (1 − x)².
    """
    side = 1 - x
    off = y - x**2
    return side**2 + 100 * off**2


# -- networks ---------------------------------------------------------------------------------------------------------


@_example(
    "scores",
    scores=np.array([2.0, 0.5, -1.0]),
    target=np.array([0.0, 1.0, 0.0]),
)
def cross_entropy(scores: Any, target: Any) -> Any:
    """Softmax and cross-entropy.

    The loss of a classifier for one example whose class is the second. The adjoint of the scores is the softmax
    minus 1 at that class: it adds up to 0. Raise one score by 100: nothing overflows, since the largest is
    subtracted first, and the paths through that largest score cancel.
    """
    shifted = scores - np.max(scores)
    log_total = np.log(np.sum(np.exp(shifted)))
    return log_total - np.sum(target * shifted)


@_example(
    "W1",
    "b1",
    "W2",
    "b2",
    W1=_normal(2, 3, seed=1),
    b1=np.zeros(3),
    W2=_normal(3, 1, seed=2),
    b2=np.zeros(1),
    X=np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]),
    T=np.array([[0.0], [1], [1], [0]]),
)
def two_layers(W1: Any, b1: Any, W2: Any, b2: Any, X: Any, T: Any) -> Any:
    """A network of two layers.

    Four points of the exclusive-or, three hidden units. Each layer multiplies the adjoint by its weights,
    transposed, and by the slope of tanh: look at the heat on the edges where units are saturated. Descend, and
    see the loss fall.
    """
    hidden = np.tanh(X @ W1 + b1)
    score = hidden @ W2 + b2
    error = score - T
    return np.mean(error**2)


@_example(
    "Wq",
    "Wk",
    "Wv",
    Wq=_normal(4, 2, seed=3),
    Wk=_normal(4, 2, seed=4),
    Wv=_normal(4, 2, seed=5),
    tokens=_normal(3, 4, seed=6),
)
def attention(Wq: Any, Wk: Any, Wv: Any, tokens: Any) -> Any:
    """A head of attention.

    Three tokens of length four look at one another. The weights are a softmax along the rows, so the adjoint of
    the scores adds up to 0 in each row. The last token alone counts for the result: follow which rows of the
    values it reaches.
    """
    queries, keys, values = tokens @ Wq, tokens @ Wk, tokens @ Wv
    scores = queries @ keys.T / np.sqrt(2.0)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = weights / weights.sum(axis=1, keepdims=True)
    mixed = weights @ values
    return np.sum(mixed[-1] ** 2)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


@_example(
    "W",
    "c",
    "h",
    W=_normal(4, 2, seed=7),
    c=0.5,
    h=0.1,
    inputs=np.array([1.0, -0.5]),
)
def lstm_cell(W: Any, c: Any, h: Any, inputs: Any) -> Any:
    """A cell of an LSTM.

    Two steps of one memory cell. The memory c goes from step to step through a product with the forget gate alone, so
    that its adjoint is only scaled by that gate's value; h goes through the weights and a tanh. Compare the adjoints of
    the two as they flow back.
    """
    for x in inputs:
        forget, take, show, new = (w[0] * x + w[1] * h for w in W)
        c = _sigmoid(forget) * c + _sigmoid(take) * np.tanh(new)
        h = _sigmoid(show) * np.tanh(c)
    return h


# -- loops and branches -----------------------------------------------------------------------------------------------


@_example(a=2.0)
def newton(a: Any) -> Any:
    """Newton's iteration, with its guards.

    A square root, to nine digits: the loop ran as often as it had to at this point, and the page says under
    which conditions that stays so. The derivative comes from the last steps: the adjoints of the earlier ones
    fade quadratically, as their errors do. Drag a until a guard fails.
    """
    x = a
    while abs(x * x - a) > 1e-9 * a:
        x = 0.5 * (x + a / x)
    return x


@_example(x=1.0)
def vanishing(x: Any) -> Any:
    """A vanishing chain.

    Twelve logistic functions, one into the other. No slope is above 1/4, so the adjoint of x is below 4⁻¹²: the
    heat on the edges, in logarithms, falls like a staircase. Why deep networks were hard to train.
    """
    for _ in range(12):
        x = _sigmoid(x)
    return x


@_example(x=np.array([-1.0, 0.25, 4.0]))
def where_nan(x: Any) -> Any:
    """Where NaN is not taken.

    √x of a negative number is NaN, and it stands in the branch that np.where does not take for it. The value is
    fine; the derivative is, too, because what was not taken gets a zero by structure, not one multiplied by
    NaN. The page marks where the NaN is born, and that nothing it poisons reaches the result.
    """
    root = np.sqrt(x)
    kept = np.where(x > 0, root, 0.0)
    return np.sum(kept)


# -- engineering ------------------------------------------------------------------------------------------------------


@_example(
    "q",
    "r",
    q=0.1,
    r=0.5,
    state=np.array([0.0, 1.0]),
    spread=np.eye(2),
    measured=np.array([1.4]),
)
def kalman_step(q: Any, r: Any, state: Any, spread: Any, measured: Any) -> Any:
    """A step of Kalman's filter.

    A position and its speed, of which the position is measured: predict, then correct by the gain. How much
    does the result's likelihood change with the noise of the measurement, r, and of the motion, q? Both go
    through the inverse of the innovation's variance.
    """
    motion = np.array([[1.0, 1.0], [0.0, 1.0]])
    seen = np.array([[1.0, 0.0]])
    state = motion @ state
    spread = motion @ spread @ motion.T + q * np.eye(2)
    surprise = measured - seen @ state
    variance = seen @ spread @ seen.T + r * np.eye(1)
    gain = spread @ seen.T @ np.linalg.inv(variance)
    state = state + gain @ surprise
    return surprise @ np.linalg.solve(variance, surprise) + np.log(np.linalg.det(variance)) + np.sum(state**2)


# -- whole networks ---------------------------------------------------------------------------------------------------


def _network(module: ModuleType, *parts: Callable[..., Any]) -> None:
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    shown = (module.network, *parts, module.loss)
    EXAMPLES.append(Example(name, inspect.getdoc(module) or "", module.loss, ("model",), module.at, shown))


_network(two_moons)
_network(digits_cnn)
_network(characters, characters.Model.__call__)
_network(autoencoder)
_network(physics, physics.displacement)
_network(neural_ode, neural_ode.runge_kutta, neural_ode.trajectories)
