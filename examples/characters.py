"""A small transformer that writes like Python's manual: ``python examples/characters.py [--steps N] [--out DIR]``.

It is trained to guess the next character of the help texts that come with every Python (``pydoc_data.topics``), and
then continues a text of its own. The network, its loss and its training are in
``src/hopgrad/gallery/networks/characters.py``.
"""

from __future__ import annotations

from common import options

import hopgrad as hg
from hopgrad.gallery.networks.characters import at, bits_per_character, continued, fit, loss, pieces


def main() -> None:
    """Run the example."""
    chosen = options(__doc__, steps=600)
    found = fit(chosen.steps, progress=True)
    _, test, letters = pieces()
    print(f"{bits_per_character(found.model, test):.3f} bits per character on text that it has not seen")
    print(continued(found.model, letters, "The statement ", 300))
    print(f"wrote {found.history.save(chosen.out / 'characters.svg')}")
    print(f"wrote {hg.explain(loss, wrt='model')(**at(found.model)).save(chosen.out / 'characters.html')}")


if __name__ == "__main__":
    main()
