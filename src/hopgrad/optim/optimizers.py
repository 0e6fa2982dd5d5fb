"""Optimizers: pure functions from a gradient, a state and parameters to the next parameters and state.

Each is given by what happens to one array; `Optimizer` does it to all. Formulas, their order and the defaults are those
of PyTorch's ``torch.optim``.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np

from hopgrad import tree
from hopgrad.optim.schedules import Schedule

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Lion", "Optimizer", "RMSprop", "State", "assign"]

Array = Any


@dataclasses.dataclass(eq=False)
class State:
    """What an optimizer remembers between steps.

    Attributes:
        count: int64 without axes: how many steps were made.
        slots: By name, values in the structure of the parameters, such as ``slots["mean"]``.
    """

    count: Array
    slots: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """What optimizers have in common; each says in `_step` what happens to one array.

    Attributes:
        lr: The learning rate, or a function from the number of steps made before to it (`hopgrad.optim.schedules`).
    """

    lr: float | Schedule
    names: ClassVar[tuple[str, ...]] = ()
    """Of all the slots that there may be."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            numbers = value if isinstance(value, tuple) else (value,)
            if any(isinstance(v, str) or v is None for v in numbers):
                raise TypeError(f"{field.name} must be a number, not {value!r}")
            if not callable(value) and not all(0 <= v < np.inf for v in numbers):
                raise ValueError(f"{field.name} must be finite and not negative, but is {value!r}")
            if field.name in ("betas", "alpha", "momentum") and not all(v < 1 for v in numbers):
                raise ValueError(f"{field.name} must be less than 1, but is {value!r}")

    def init(self, params: Any) -> State:
        """The first state for these parameters."""
        slots = {name: tree.map(functools.partial(self._first, name), params) for name in self._used()}
        return State(np.zeros((), np.int64), slots)

    def update(self, gradient: Any, state: State, params: Any) -> tuple[Any, State]:
        """``(params, state)`` after a step.

        Args:
            gradient: Of the loss by the parameters, in their structure.
            state: As `init` or the step before gave it.
            params: The parameters.

        Raises:
            ShapeError: The structures differ.
        """
        leaves, structure = tree.flatten(params)
        gradients = tree.flatten_like(structure, gradient, root="gradient")
        used = self._used()
        slots = [tree.flatten_like(structure, state.slots[name], root=name) for name in used]
        numbers = self._numbers(state.count, self.lr(state.count) if callable(self.lr) else self.lr)
        moved = []
        for p, g, *own in zip(leaves, gradients, *slots, strict=True):
            # NumPy would turn all into float64 if these were of that dtype.
            known = {name: _as(value, p) for name, value in numbers.items()}
            moved.append(self._step(p, g, dict(zip(used, own, strict=True)), known))
        new = {name: tree.unflatten(structure, [own[name] for _, own in moved]) for name in used}
        count = (state.count.reshape(1) + 1).reshape(())  # stays an array, where + would give a number
        return tree.unflatten(structure, [p for p, _ in moved]), State(count, new)

    def _used(self) -> tuple[str, ...]:
        """The slots that these options need."""
        return self.names

    def _first(self, name: str, p: Array) -> Array:
        """The first value of a slot."""
        return np.zeros_like(p)

    def _numbers(self, count: Array, lr: Any) -> dict[str, Any]:
        """What of a step is the same for all arrays."""
        return {"lr": lr}

    def _step(self, p: Array, g: Array, own: dict[str, Array], now: dict[str, Any]) -> tuple[Array, dict[str, Array]]:
        """(the parameter, its slots) after a step, given the gradient."""
        raise NotImplementedError


def _as(value: Any, like: Array) -> Any:
    """A number of a step in the dtype of an array; Python's own numbers adapt by themselves."""
    # By exact type: a float64 of NumPy's is a float of Python's, too, but does not adapt.
    return value if type(value) in (int, float) or not hasattr(like, "dtype") else value.astype(like.dtype)


def assign(target: Any, value: Any) -> None:
    """Write a nested value into the arrays of another one in place: ``old[...] = new`` for each leaf.

    With it a compiled training step updates parameters and state without making new arrays::

        @hg.compile
        def step(model, state, x, y):
            value, gradient = hg.value_and_grad(loss)(model, x, y)
            optim.assign((model, state), optimizer.update(gradient, state, model))
            return value

    Raises:
        ShapeError: The structures differ.
    """
    leaves, structure = tree.flatten(target)
    for old, new in zip(leaves, tree.flatten_like(structure, value, root="value"), strict=True):
        old[...] = new


@dataclasses.dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent: p ← p − lr·v, where v is the gradient or, with momentum μ, v ← μ v + (1 − d) g.

    Momentum is Polyak's (1964), `nesterov` that of Nesterov (1983) in the form of Sutskever, Martens, Dahl and Hinton,
    "On the importance of initialization and momentum in deep learning" (2013).

    Attributes:
        lr: The learning rate.
        momentum: μ.
        dampening: d, from the second step on.
        weight_decay: λ, which adds λp to the gradient.
        nesterov: Whether to move by g + μ v instead of v.
    """

    lr: float | Schedule = 1e-3
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    names = ("velocity",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and (not self.momentum or self.dampening):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")

    def _used(self) -> tuple[str, ...]:
        return self.names if self.momentum else ()

    def _numbers(self, count: Array, lr: Any) -> dict[str, Any]:
        fresh = np.where(count == 0, 1.0, 1.0 - self.dampening) if self.dampening else 1.0
        return {"lr": lr, "fresh": fresh}

    def _step(self, p: Array, g: Array, own: dict[str, Array], now: dict[str, Any]) -> tuple[Array, dict[str, Array]]:
        if self.weight_decay:
            g = g + self.weight_decay * p
        if not self.momentum:
            return p - now["lr"] * g, {}
        v = self.momentum * own["velocity"] + now["fresh"] * g
        return p - now["lr"] * (g + self.momentum * v if self.nesterov else v), {"velocity": v}


@dataclasses.dataclass(frozen=True)
class Adam(Optimizer):
    """Steps by the ratio of two moving averages, of the gradient and of its square.

    Kingma and Ba, "Adam: a method for stochastic optimization" (2015); `amsgrad` after Reddi, Kale and Kumar, "On the
    convergence of Adam and beyond" (2018).

    Attributes:
        lr: The learning rate.
        betas: How much of both averages is kept.
        eps: Added to the denominator.
        weight_decay: λ, which adds λp to the gradient.
        amsgrad: Whether to divide by the largest average so far.
    """

    lr: float | Schedule = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False
    names = ("mean", "square", "largest")

    def _used(self) -> tuple[str, ...]:
        return self.names if self.amsgrad else self.names[:2]

    def _numbers(self, count: Array, lr: Any) -> dict[str, Any]:
        made = count + 1.0
        return {
            "lr": lr,
            "rate": lr / (1.0 - self.betas[0] ** made),
            "correction": np.sqrt(1.0 - self.betas[1] ** made),
        }

    def _decayed(self, p: Array, g: Array, lr: Any) -> tuple[Array, Array]:
        """Parameter and gradient with weight decay."""
        return p, g + self.weight_decay * p if self.weight_decay else g

    def _step(self, p: Array, g: Array, own: dict[str, Array], now: dict[str, Any]) -> tuple[Array, dict[str, Array]]:
        p, g = self._decayed(p, g, now["lr"])
        mean = self.betas[0] * own["mean"] + (1.0 - self.betas[0]) * g
        square = self.betas[1] * own["square"] + (1.0 - self.betas[1]) * g * g
        new, largest = {"mean": mean, "square": square}, square
        if self.amsgrad:
            new["largest"] = largest = np.maximum(own["largest"], square)
        return p - now["rate"] * mean / (np.sqrt(largest) / now["correction"] + self.eps), new


@dataclasses.dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay apart from the gradient: p ← (1 − lr·λ) p before each step.

    Loshchilov and Hutter, "Decoupled weight decay regularization" (2019).
    """

    weight_decay: float = 1e-2

    def _decayed(self, p: Array, g: Array, lr: Any) -> tuple[Array, Array]:
        return p * (1.0 - lr * self.weight_decay), g


@dataclasses.dataclass(frozen=True)
class RMSprop(Optimizer):
    """Steps by the gradient over the root of a moving average of its square.

    Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning" (2012); `centered` after Graves,
    "Generating sequences with recurrent neural networks" (2013).

    Attributes:
        lr: The learning rate.
        alpha: How much of the average is kept.
        eps: Added to the root.
        weight_decay: λ, which adds λp to the gradient.
        momentum: μ of v ← μ v + g/root, by which the step goes then.
        centered: Whether to subtract the square of the gradient's own average.
    """

    lr: float | Schedule = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False
    names = ("square", "velocity", "mean")

    def _used(self) -> tuple[str, ...]:
        wanted = {"square": True, "velocity": self.momentum > 0, "mean": self.centered}
        return tuple(name for name in self.names if wanted[name])

    def _step(self, p: Array, g: Array, own: dict[str, Array], now: dict[str, Any]) -> tuple[Array, dict[str, Array]]:
        if self.weight_decay:
            g = g + self.weight_decay * p
        new = {"square": self.alpha * own["square"] + (1.0 - self.alpha) * g * g}
        spread = new["square"]
        if self.centered:
            new["mean"] = self.alpha * own["mean"] + (1.0 - self.alpha) * g
            spread = spread - new["mean"] * new["mean"]
        step = g / (np.sqrt(spread) + self.eps)
        if self.momentum:
            new["velocity"] = step = self.momentum * own["velocity"] + step
        return p - now["lr"] * step, new


@dataclasses.dataclass(frozen=True)
class Adagrad(Optimizer):
    """Steps by the gradient over the root of the sum of all its squares so far.

    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization" (2011).

    Attributes:
        lr: The learning rate.
        lr_decay: δ of lr/(1 + δ k) after k steps.
        weight_decay: λ, which adds λp to the gradient.
        initial_accumulator_value: Where the sum starts.
        eps: Added to the root.
    """

    lr: float | Schedule = 1e-2
    lr_decay: float = 0.0
    weight_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10
    names = ("sum",)

    def _first(self, name: str, p: Array) -> Array:
        return np.full_like(p, self.initial_accumulator_value)

    def _numbers(self, count: Array, lr: Any) -> dict[str, Any]:
        return {"lr": lr / (1.0 + count * self.lr_decay) if self.lr_decay else lr}

    def _step(self, p: Array, g: Array, own: dict[str, Array], now: dict[str, Any]) -> tuple[Array, dict[str, Array]]:
        if self.weight_decay:
            g = g + self.weight_decay * p
        total = own["sum"] + g * g
        return p - now["lr"] * g / (np.sqrt(total) + self.eps), {"sum": total}


@dataclasses.dataclass(frozen=True)
class Lion(Optimizer):
    """Steps by the sign of a mixture of the gradient and its average.

    Chen et al., "Symbolic discovery of optimization algorithms" (2023), algorithm 2.

    Attributes:
        lr: The learning rate: some 3 to 10 times smaller than Adam's.
        betas: How much of the average is in the step, and how much of it is kept.
        weight_decay: λ of p ← p − lr·(sign + λp): some 3 to 10 times larger than AdamW's.
    """

    lr: float | Schedule = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    names = ("mean",)

    def _step(self, p: Array, g: Array, own: dict[str, Array], now: dict[str, Any]) -> tuple[Array, dict[str, Array]]:
        direction = np.sign(self.betas[0] * own["mean"] + (1.0 - self.betas[0]) * g)
        if self.weight_decay:
            direction = direction + self.weight_decay * p
        return p - now["lr"] * direction, {"mean": self.betas[1] * own["mean"] + (1.0 - self.betas[1]) * g}
