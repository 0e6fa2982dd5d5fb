"""A transformer that writes.

Two blocks of attention guess the next character of the help texts that come with every Python (``pydoc_data.topics``),
after forty steps. The loss of eight characters: of each block the attention and the layers after it, with the ways past
them, on which the derivative comes back unchanged and is added up.
"""

from __future__ import annotations

import dataclasses
from pydoc_data.topics import topics
from typing import Any

import numpy as np

from hopgrad import nn, optim, train

CONTEXT, WIDTH, HEADS, BLOCKS = 64, 64, 4, 2
BATCH, DECAY, MAX_NORM = 32, 0.01, 1.0


@dataclasses.dataclass
class Model:
    """Characters and places as vectors, blocks of attention, and a score for each character that may come next."""

    characters: nn.Embedding
    places: nn.Embedding
    blocks: list[nn.TransformerBlock]
    norm: nn.LayerNorm
    head: nn.Linear

    def __call__(self, tokens: Any) -> Any:
        """From numbers of characters, (n, length), to scores, (n, length, characters)."""
        x = self.characters(tokens) + self.places(np.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x, causal=True)
        return self.head(self.norm(x))


def network(size: int, seed: int) -> Model:
    """The first parameters, for an alphabet of so many characters."""
    rng = np.random.default_rng(seed)
    blocks = [
        nn.TransformerBlock(WIDTH, HEADS, 4 * WIDTH, activation=nn.gelu, norm_first=True, rng=rng)
        for _ in range(BLOCKS)
    ]
    return Model(
        nn.Embedding(size, WIDTH, rng=rng),
        nn.Embedding(CONTEXT, WIDTH, rng=rng),
        blocks,
        nn.LayerNorm(WIDTH),
        nn.Linear(WIDTH, size, rng=rng),
    )


def loss(model: Any, tokens: Any) -> Any:
    """The cross-entropy of each next character, in nats."""
    scores = model(tokens[:, :-1])
    return nn.losses.cross_entropy(scores.reshape(-1, scores.shape[-1]), tokens[:, 1:].reshape(-1))


def alphabet() -> tuple[str, str]:
    """The text, and all its characters in order."""
    text = "\n\n".join(topics[name] for name in sorted(topics))
    text = text.encode("ascii", "ignore").decode()
    return text, "".join(sorted(set(text)))


def pieces() -> tuple[Any, Any, str]:
    """Numbers of characters in rows of `CONTEXT` + 1: nine tenths to train on, the rest, and the alphabet."""
    text, letters = alphabet()
    numbers = np.array([letters.index(c) for c in text])
    rows = numbers[: len(numbers) // (CONTEXT + 1) * (CONTEXT + 1)].reshape(-1, CONTEXT + 1)
    cut = len(rows) * 9 // 10
    return rows[:cut], rows[cut:], letters


def rate(steps: int) -> optim.schedules.Schedule:
    """The learning rate: up a line, and down half a cosine."""
    return optim.schedules.warmup(optim.schedules.cosine(3e-3, steps), 50)


def bits_per_character(model: Any, rows: Any) -> float:
    """The loss in bits."""
    return train.evaluate(model, {"loss": loss}, rows, batch_size=64)["loss"] / float(np.log(2))


def fit(steps: int, progress: bool | None = None) -> train.Fit:
    """Train on nine tenths of the text."""
    training, _, letters = pieces()
    return train.fit(
        network(len(letters), 0),
        loss,
        training,
        optimizer=optim.AdamW(rate(steps), weight_decay=DECAY),
        steps=steps,
        batch_size=BATCH,
        max_norm=MAX_NORM,
        progress=progress,
    )


def at(model: Any = None) -> dict[str, Any]:
    """What is explained: the loss of eight characters, by a network that is trained for a moment if none is given."""
    return {"model": model or fit(40, progress=False).model, "tokens": pieces()[0][:1, :9]}


def continued(model: Any, letters: str, start: str, length: int, seed: int = 0) -> str:
    """A text with so many more characters, drawn by their probabilities."""
    rng = np.random.default_rng(seed)
    words = [letters.index(c) for c in start]
    for _ in range(length):
        tokens = np.array([words[-CONTEXT:]])
        chances = nn.softmax(model(tokens)[0, -1].astype(float) / 0.8)
        words.append(int(rng.choice(len(letters), p=chances)))
    return "".join(letters[k] for k in words)
