"""Makes state_dict.safetensors: PyTorch models' state dicts, with what the models gave.

python tests/golden/make_state_dict.py      # needs torch and safetensors
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file


class Net(torch.nn.Module):
    """Layers of many kinds, in modules within modules."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(7, 8)
        self.block = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.lstm = torch.nn.LSTM(8, 4, num_layers=2, batch_first=True)
        self.norm = torch.nn.LayerNorm(4)
        self.head = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))

    def forward(self, tokens: Any) -> Any:
        """Scores for each token."""
        x, _ = self.lstm(self.block(self.embed(tokens)))
        return self.head(self.norm(x))


def main() -> None:
    """Write the file."""
    torch.manual_seed(0)
    net = Net().eval()
    tokens = torch.arange(10).reshape(2, 5) % 7
    images = torch.randn(4, 1, 6, 6)
    cnn = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3, padding=1),
        torch.nn.BatchNorm2d(3),
        torch.nn.ReLU(),
        torch.nn.ConvTranspose2d(3, 2, 2, stride=2),
    )
    cnn(images * 2 + 1)  # so that the running statistics are not those of the beginning
    cnn.eval()
    with torch.no_grad():
        arrays = {f"net.{name}": value for name, value in net.state_dict().items()}
        arrays |= {f"cnn.{name}": value for name, value in cnn.state_dict().items()}
        arrays |= {"net scores": net(tokens), "cnn images": images, "cnn result": cnn(images)}
    save_file(
        {k: v.contiguous().clone() for k, v in arrays.items()}, Path(__file__).with_name("state_dict.safetensors")
    )


if __name__ == "__main__":
    main()
