"""The loss of a long short-term memory whose gates are elementwise, differentiated by its weights.

Layer i has its weights in row 2i and its biases in row 2i + 1 of `main`, for the gates forget, input, output and change
one after the other; its hidden values and its cells are rows 2i and 2i + 1 of `state`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import hopgrad as hg
from bench.case import Array
from bench.gradbench.problem import Input, Problem


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def layer(weights: Array, biases: Array, hidden: Array, cell: Array, x: Array) -> tuple[Array, Array]:
    """Hidden values and cells after one step."""
    forget = sigmoid(x * weights[0] + biases[0])
    store = sigmoid(hidden * weights[1] + biases[1])
    show = sigmoid(x * weights[2] + biases[2])
    change = np.tanh(hidden * weights[3] + biases[3])
    cell = cell * forget + store * change
    return show * np.tanh(cell), cell


def predicted(main: Array, extra: Array, state: list[Array], x: Array) -> tuple[list[Array], Array]:
    """All layers' states after x, and the logarithms of the next bits' probabilities."""
    x = x * extra[0]
    after = []
    for i in range(0, len(state), 2):
        x, cell = layer(main[i], main[i + 1], state[i], state[i + 1], x)
        after += [x, cell]
    y = x * extra[1] + extra[2]
    return after, y - np.log(2 + np.sum(np.exp(y)))


def objective_by_python(main: Array, extra: Array, state: Array, sequence: Array) -> Array:
    """The loss by a plain loop, which is traced step by step."""
    steps, b = len(sequence) - 1, sequence.shape[1]
    gates = main.reshape(len(main), 4, b)
    states = list(state)
    total = 0.0
    for t in range(steps):
        states, scores = predicted(gates, extra, states, sequence[t])
        total = total + np.sum(sequence[t + 1] * scores)
    return -total / (steps * b)


def objective(main: Array, extra: Array, state: Array, sequence: Array) -> Array:
    """The same by a loop that is traced once."""
    steps, b = len(sequence) - 1, sequence.shape[1]
    gates = main.reshape(len(main), 4, b)

    def step(states: list[Array], row: tuple[Array, Array]) -> tuple[list[Array], Array]:
        states, scores = predicted(gates, extra, states, row[0])
        return states, np.sum(row[1] * scores)

    _, losses = hg.scan(step, list(state), (sequence[:-1], sequence[1:]))
    return -np.sum(losses) / (steps * b)


jacobian = hg.grad(objective, (0, 1))


def read(input: Input) -> tuple[Array, ...]:
    return tuple(np.array(input[name], dtype=float) for name in ("main_params", "extra_params", "state", "sequence"))


def write(gradients: tuple[Array, Array]) -> Any:
    return [*gradients[0].ravel().tolist(), *gradients[1].ravel().tolist()]


CALLS = {"objective": Problem(hg.compile(objective), read), "jacobian": Problem(jacobian, read, write)}
