"""The transformer of the gallery, trained here and by PyTorch: ``python -m bench.characters [--steps N]``.

Both start from the same parameters, see the same batches in the same order, and have the same optimizer, in single
precision. What counts is how well they predict text that they have not seen, in bits per character.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from hopgrad import nn, train
from hopgrad.gallery.networks import characters as example


def by_pytorch(steps: int) -> Any:
    """The model after so many steps of PyTorch's, its parameters in ours, and the losses on the way."""
    import torch
    from torch.nn import functional

    training, _, letters = example.pieces()
    start = example.network(len(letters), 0)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.characters = torch.nn.Embedding(len(letters), example.WIDTH)
            self.places = torch.nn.Embedding(example.CONTEXT, example.WIDTH)
            self.blocks = torch.nn.ModuleList(
                torch.nn.TransformerEncoderLayer(
                    example.WIDTH, example.HEADS, 4 * example.WIDTH, dropout=0.0, activation=functional.gelu,
                    batch_first=True, norm_first=True,
                )
                for _ in range(example.BLOCKS)
            )  # fmt: skip
            self.norm = torch.nn.LayerNorm(example.WIDTH)
            self.head = torch.nn.Linear(example.WIDTH, len(letters))

        def forward(self, tokens: Any) -> Any:
            x = self.characters(tokens) + self.places(torch.arange(tokens.shape[1]))
            mask = torch.nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
            for block in self.blocks:
                x = block(x, src_mask=mask, is_causal=True)
            return self.head(self.norm(x))

    model = Model()
    model.load_state_dict({name: torch.tensor(value) for name, value in nn.named_parameters(start).items()})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.0)
    rate = example.rate(steps)
    source = train.batches(training, example.BATCH)
    losses: list[float] = []
    epoch = 0
    while len(losses) < steps:
        for (rows,) in source.epoch(epoch):
            for group in optimizer.param_groups:
                group["lr"], group["weight_decay"] = float(rate(len(losses))), example.DECAY
            tokens = torch.from_numpy(rows)
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), example.MAX_NORM)
            optimizer.step()
            losses.append(float(loss.detach()))
            if len(losses) == steps:
                break
        epoch += 1
    found = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    return nn.with_parameters(start, found), np.array(losses)


def main() -> int:
    """Train both; 0 if they agree to two per cent."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=600)
    steps = parser.parse_args().steps
    _, test, _ = example.pieces()
    begun = time.perf_counter()
    found = example.fit(steps)
    bits = example.bits_per_character(found.model, test)
    middle = time.perf_counter()
    model, losses = by_pytorch(steps)
    end = time.perf_counter()
    other = example.bits_per_character(model, test)
    ours = np.asarray(found.history.loss)
    print(f"hopgrad {bits:.4f} bits per character in {middle - begun:.0f} s, "
          f"PyTorch {other:.4f} in {end - middle:.0f} s: {bits / other - 1:+.2%}")  # fmt: skip
    early = np.abs(ours[:20] / losses[:20] - 1).max()
    print(f"largest relative difference of the losses: {early:.1e} in 20 steps, "
          f"{np.abs(ours / losses - 1).max():.1e} in {steps}")  # fmt: skip
    return 0 if abs(bits / other - 1) < 0.02 else 1


if __name__ == "__main__":
    raise SystemExit(main())
