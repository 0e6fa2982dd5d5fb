"""A convolutional network that reads handwritten digits: ``python examples/digits_cnn.py [--epochs N] [--out DIR]``.

Trained on 1437 images of 8×8 pixels, tested on 360 that it has not seen. The network, its loss and its training are in
``src/hopgrad/gallery/networks/digits_cnn.py``.
"""

from __future__ import annotations

from common import options

import hopgrad as hg
from hopgrad.gallery.networks.digits_cnn import at, fit, loss


def main() -> None:
    """Train; the history goes to a picture, the loss of two images to a page."""
    chosen = options(__doc__, epochs=20)
    found = fit(chosen.epochs, progress=True)
    print(f"accuracy {found.history.values('accuracy')[-1]:.2%} on images that it has not seen")
    print(f"wrote {found.history.save(chosen.out / 'digits_cnn.svg')}")
    print(f"wrote {hg.explain(loss, wrt='model')(**at(found.model)).save(chosen.out / 'digits_cnn.html')}")


if __name__ == "__main__":
    main()
