"""Minimizing a function by following its gradient downhill.

For anything serious there is ``scipy.optimize.minimize(value_and_grad(f), x0, jac=True)``; this is the loop that
everyone writes first, with its history, its progress and a clear end when the numbers blow up.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.transforms import value_and_grad

__all__ = ["Descent", "DivergenceError", "descend"]


@dataclass(frozen=True)
class Descent:
    """What `descend` found.

    Attributes:
        params: The parameters after the last step, in the structure in which they were given.
        losses: float64 of shape (steps + 1,): the loss before each step, and after the last one.
        gradient_norms: float64 of shape (steps + 1,): the Euclidean norm of the whole gradient at the same points.
        steps: How many steps were made.
    """

    params: Any
    losses: np.ndarray[Any, np.dtype[np.float64]]
    gradient_norms: np.ndarray[Any, np.dtype[np.float64]]
    steps: int

    def __repr__(self) -> str:
        return (
            f"<Descent: {self.steps} steps, loss {self.losses[0]:.6g} → {self.losses[-1]:.6g},"
            f" gradient norm {self.gradient_norms[-1]:.3g}>"
        )


class DivergenceError(ArithmeticError):
    """The loss or its gradient is no longer finite.

    Attributes:
        step: The step at which that happened, counted from 0.
        result: The `Descent` up to the last point at which both were finite; None if there was none.
    """

    def __init__(self, message: str, step: int, result: Descent | None) -> None:
        super().__init__(message)
        self.step = step
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return DivergenceError, (str(self), self.step, self.result)


def descend(
    loss: Callable[[Any], Any],
    params: Any,
    steps: int,
    learning_rate: float | Callable[[int], float] = 0.1,
    momentum: float = 0.0,
    *,
    callback: Callable[[int, float, Any], Any] | None = None,
    progress: bool = False,
) -> Descent:
    """Gradient descent: ``steps`` times ``params -= learning_rate * gradient``.

    With momentum μ it is the heavy ball of Polyak, "Some methods of speeding up the convergence of iteration methods"
    (1964), which remembers its direction v, from v₀ = 0:

        vₖ₊₁ = μ vₖ − η ∇f(xₖ),  xₖ₊₁ = xₖ + vₖ₊₁

    Args:
        loss: From the parameters to a scalar.
        params: The starting point: a float, an array, or a nested list, tuple or dict of them. It is not changed.
        steps: How many steps to make, 0 or more.
        learning_rate: The step size η > 0, or a function from the step's number to it.
        momentum: 0 ≤ μ < 1.
        callback: Called before each step with its number, the loss and the parameters; a true result ends the descent.
        progress: Whether to show the loss in one line of stderr, if that is a terminal.

    Returns:
        The `Descent`: final parameters and the history.

    Raises:
        DivergenceError: The loss or its gradient became infinite or NaN; it carries the last good parameters.
        ValueError: An option is out of its range.

    >>> import numpy as np
    >>> found = descend(lambda p: np.sum((p["x"] - 3.0) ** 2), {"x": np.zeros(2)}, steps=50, learning_rate=0.2)
    >>> found.params["x"].round(6)
    array([3., 3.])
    >>> found
    <Descent: 50 steps, loss 18 → 1.17...e-21, gradient norm 6.8...e-11>
    """
    _check(loss, steps, learning_rate, momentum)
    both = value_and_grad(loss)
    velocity: list[Any] | None = None
    losses: list[float] = []
    norms: list[float] = []
    line = _Line(steps, progress)

    def result(at: Any) -> Descent:
        return Descent(at, np.array(losses), np.array(norms), len(losses) - 1)

    good = params
    try:
        for step in range(steps + 1):
            with np.errstate(over="ignore", invalid="ignore"):  # it is told below
                value, gradient = both(params)
            leaves, structure = tree.flatten(gradient)
            norm = math.hypot(
                *[float(np.linalg.norm(np.asarray(leaf, np.result_type(leaf, np.float64)))) for leaf in leaves]
            )
            if not (math.isfinite(value) and math.isfinite(norm)):
                before = result(good) if losses else None
                raise DivergenceError(_blown_up(step, value, norm, before), step, before)
            losses.append(float(value))
            norms.append(norm)
            good = params
            line.show(step, losses[-1], norm)
            if step == steps or (callback is not None and callback(step, losses[-1], params)):
                break
            rate = _rate(learning_rate, step)
            velocity = velocity or [leaf * 0.0 for leaf in leaves]
            # By a complex number x + i y the gradient is ∂f/∂x − i ∂f/∂y, and it rises along the conjugate of that.
            velocity = [momentum * v - rate * leaf.conjugate() for v, leaf in zip(velocity, leaves, strict=True)]
            moved = [x + v for x, v in zip(tree.flatten_like(structure, params), velocity, strict=True)]
            params = tree.unflatten(structure, moved)
    finally:
        line.close()
    return result(params)


def _check(loss: Any, steps: Any, learning_rate: Any, momentum: Any) -> None:
    if not callable(loss):
        raise TypeError(f"loss must be a function of the parameters, not {type(loss).__name__}")
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)):
        raise TypeError(f"steps must be an integer, not {type(steps).__name__}")
    if steps < 0:
        raise ValueError(f"steps must not be negative, but is {steps}")
    if not callable(learning_rate):
        _rate(learning_rate, 0)
    if not (isinstance(momentum, (int, float, np.number)) and 0 <= momentum < 1):
        raise ValueError(f"momentum must be at least 0 and less than 1, but is {momentum!r}")


def _rate(learning_rate: Any, step: int) -> float:
    rate = learning_rate(step) if callable(learning_rate) else learning_rate
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not 0 < rate < math.inf:
        where = f" at step {step}" if callable(learning_rate) else ""
        raise ValueError(f"learning_rate must be a positive number, but is {rate!r}{where}")
    return float(rate)


def _blown_up(step: int, value: Any, norm: float, before: Descent | None) -> str:
    what = f"the loss is {float(value)}" if not math.isfinite(value) else f"the gradient's norm is {norm}"
    if before is None:
        return f"{what} at the starting point"
    return (
        f"{what} at step {step}, after {before.losses[-1]:.6g} at step {step - 1}: try a smaller learning_rate;"
        " the last good parameters are in .result.params of this exception"
    )


class _Line:
    """One line of progress, rewritten in place."""

    def __init__(self, steps: int, wanted: bool) -> None:
        self._steps = steps
        self._every = max(1, steps // 100)
        self._on = wanted and sys.stderr.isatty()

    def show(self, step: int, loss: float, norm: float) -> None:
        if self._on and (step % self._every == 0 or step == self._steps):
            sys.stderr.write(f"\r\033[Kstep {step}/{self._steps}  loss {loss:.6g}  gradient norm {norm:.3g}")
            sys.stderr.flush()

    def close(self) -> None:
        if self._on:
            sys.stderr.write("\n")
