"""What hopgrad does, in two examples: ``python examples/demo.py [--out DIR]``, or ``make demo``.

First the work behind the derivative of sin((x+1)²), which fits on one screen. Then a neural network that reads
handwritten digits: the same explanation of its loss, and its training by gradient descent.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hopgrad as hg
from hopgrad.cli import painter

Array = NDArray[Any]
Parameters = dict[str, Array]

# -- plain NumPy: nothing below knows about derivatives ----------------------------------------------------------------


def f(x: float) -> float:
    """The small example. The names of the explanation are those of its variables."""
    z = x + 1
    h = z**2
    y = np.sin(h)
    return y


def scores(params: Parameters, X: Array) -> Array:
    """A network with one hidden layer: for each image (row of X) a score of each of the ten digits."""
    z = X @ params["W1"] + params["b1"]
    h = np.tanh(z)
    return h @ params["W2"] + params["b2"]


def loss(params: Parameters, X: Array, T: Array) -> float:
    """The cross-entropy: how surprised the network is by the true digits (a 1 in each row of T). 0 is perfect."""
    a = scores(params, X)
    s = a - np.max(a, axis=1, keepdims=True)  # changes nothing but keeps exp from overflowing
    p = s - np.log(np.sum(np.exp(s), axis=1, keepdims=True))  # the logarithms of the probabilities
    return -np.mean(np.sum(T * p, axis=1))


def accuracy(params: Parameters, X: Array, digits: Array) -> float:
    """The fraction of images whose highest score is that of the true digit."""
    return float(np.mean(np.argmax(scores(params, X), axis=1) == digits))


def first_parameters(hidden: int, rng: np.random.Generator) -> Parameters:
    """Random weights of a size that keeps tanh away from its flat ends."""
    return {
        "W1": rng.normal(size=(64, hidden)) / np.sqrt(64),
        "b1": np.zeros(hidden),
        "W2": rng.normal(size=(hidden, 10)) / np.sqrt(hidden),
        "b2": np.zeros(10),
    }


# -- the demonstration -------------------------------------------------------------------------------------------------


def show(story: hg.Explanation, name: str, out: Path, sections: Sequence[str] = ()) -> None:
    """Print the story (of a long one only these sections), and write its picture and its page."""
    columns = min(shutil.get_terminal_size((110, 24)).columns, 120)
    paint = painter(sys.stdout)
    parts = story.text(paint=paint, columns=columns).rstrip().split("\n\n")
    shown = [part for part in parts if not sections or part is parts[0] or any(s in part for s in sections)]
    print("\n\n".join(shown))
    if len(shown) < len(parts):
        print(paint(f"\n… {len(parts) - len(shown)} more sections are on the page.", "note"))
    print()
    for suffix in ("svg", "html"):
        print(f"wrote {story.save(out / f'{name}.{suffix}')}")


def sparkline(values: Array, columns: int = 60) -> str:
    """The values as a row of bars, on a logarithmic scale."""
    picked = np.log(values[np.linspace(0, len(values) - 1, min(columns, len(values))).astype(int)])
    low, high = picked.min(), picked.max()
    levels = np.round(7 * (picked - low) / max(high - low, 1e-12)).astype(int)
    return "".join("▁▂▃▄▅▆▇█"[level] for level in levels)


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    default = Path(__file__).resolve().parents[1] / "out"
    parser.add_argument("--out", type=Path, default=default, metavar="DIR", help="where to write (default: out)")
    parser.add_argument("--steps", type=int, default=300, help="steps of gradient descent (default: 300)")
    options = parser.parse_args()
    if options.steps < 1:
        parser.error("--steps is 1 or more")
    options.out.mkdir(parents=True, exist_ok=True)
    paint = painter(sys.stdout)

    print(paint("1. A function, its derivative, and how that comes about", "title"), end="\n\n")
    show(hg.explain(f)(0.5), "sine", options.out)

    print(paint("\n2. A neural network that reads digits", "title"), end="\n\n")
    rng = np.random.default_rng(0)
    images, digits = hg.data.load_digits()
    order = rng.permutation(len(images))
    train, test = order[:1437], order[1437:]
    X, T = images[train], np.eye(10)[digits[train]]
    params = first_parameters(32, rng)
    story = hg.explain(loss, wrt="params")(params, X[:4], T[:4])
    show(story, "network", options.out, ["The steps", "Dynamic programming"])

    print(f"\ntraining on {len(train)} images, {options.steps} steps of gradient descent with momentum …", flush=True)
    start = time.perf_counter()
    fit = hg.optim.descend(
        lambda p: loss(p, X, T), params, options.steps, learning_rate=0.2, momentum=0.9, progress=True
    )
    seconds = time.perf_counter() - start
    print(f"loss      {fit.losses[0]:.3f} {sparkline(fit.losses)} {fit.losses[-1]:.3f}   in {seconds:.1f} s")
    before, after = (accuracy(p, images[test], digits[test]) for p in (params, fit.params))
    print(f"accuracy  {after:.1%} on {len(test)} images that it has not seen (before training {before:.1%})")


if __name__ == "__main__":
    main()
