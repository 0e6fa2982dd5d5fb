"""The method of Broyden, Fletcher, Goldfarb and Shanno with limited memory."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.optim.optimizers import Optimizer, State
from hopgrad.optim.schedules import Schedule

__all__ = ["LBFGS"]


@dataclasses.dataclass(frozen=True)
class LBFGS(Optimizer):
    """Quasi-Newton steps from the last few changes of the parameters and of the gradient, with a fixed step size.

    Nocedal, "Updating quasi-Newton matrices with limited storage" (1980): the two-loop recursion. As PyTorch's
    ``LBFGS`` with ``line_search_fn=None`` and one iteration a step, without its tolerances. For a line search there is
    ``scipy.optimize.minimize(hg.value_and_grad(f), x0, jac=True, method="L-BFGS-B")``.

    Attributes:
        lr: The step size; the first step is shortened to lr/‖g‖₁ where that is less.
        history_size: How many changes are remembered.

    >>> import hopgrad as hg
    >>> gradient = hg.grad(lambda x: np.sum(np.array([1.0, 100.0]) * (x - 3.0) ** 2))
    >>> optimizer, x = LBFGS(), np.zeros(2)
    >>> state = optimizer.init(x)
    >>> for _ in range(12):
    ...     x, state = optimizer.update(gradient(x), state, x)
    >>> x.round(6)
    array([3., 3.])
    """

    lr: float | Schedule = 1.0
    history_size: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.history_size) is not int or self.history_size < 1:
            raise ValueError(f"history_size must be a positive integer, but is {self.history_size!r}")

    def init(self, params: Any) -> State:
        """The first state: of all parameters as one vector."""
        flat = _flat(tree.flatten(params)[0])
        history = np.zeros((self.history_size, flat.size), flat.dtype)
        slots = {
            "steps": history,
            "changes": history.copy(),
            "inverses": np.zeros(self.history_size, flat.dtype),
            "scale": np.ones(1, flat.dtype),
            "gradient": np.zeros_like(flat),
            "step": np.zeros_like(flat),
        }
        return State(np.zeros((), np.int64), slots)

    def update(self, gradient: Any, state: State, params: Any) -> tuple[Any, State]:
        """``(params, state)`` after a step."""
        leaves, structure = tree.flatten(params)
        g = _flat(tree.flatten_like(structure, gradient, root="gradient"))
        old = state.slots
        change, step = g - old["gradient"], old["step"]
        curvature = np.sum(change * step)
        # A change of the wrong curvature is not remembered; the first one is none.
        fresh = curvature > 1e-10

        def pushed(history: Any, new: Any) -> Any:
            return np.where(fresh, np.concatenate([history[1:], new[None]]), history)

        steps, changes = pushed(old["steps"], step), pushed(old["changes"], change)
        safe = np.where(fresh, curvature, 1.0)
        inverses = pushed(old["inverses"], 1.0 / safe)
        scale = np.where(fresh, curvature / np.where(fresh, np.sum(change * change), 1.0), old["scale"])

        direction = -g
        weights = []
        for k in reversed(range(self.history_size)):  # what was not filled yet has the inverse 0
            weight = inverses[k] * np.sum(steps[k] * direction)
            direction = direction - weight * changes[k]
            weights.append(weight)
        direction = direction * scale
        for k, weight in enumerate(reversed(weights)):
            direction = direction + steps[k] * (weight - inverses[k] * np.sum(changes[k] * direction))

        lr = self.lr(state.count) if callable(self.lr) else self.lr
        size = np.sum(np.abs(g))
        shortened = np.minimum(1.0, 1.0 / np.where(size > 0, size, 1.0))
        step = direction * (np.where(state.count == 0, shortened, 1.0) * lr).astype(g.dtype)
        slots = {
            "steps": steps, "changes": changes, "inverses": inverses, "scale": scale, "gradient": g, "step": step,
        }  # fmt: skip
        moved, start = [], 0
        for p in leaves:
            moved.append((p + step[start : start + p.size].reshape(p.shape)).astype(p.dtype))
            start += p.size
        return tree.unflatten(structure, moved), State((state.count.reshape(1) + 1).reshape(()), slots)


def _flat(leaves: list[Any]) -> Any:
    """All numbers as one vector."""
    return np.concatenate([leaf.reshape(-1) for leaf in leaves])
