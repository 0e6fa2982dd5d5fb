"""Small real data sets for examples and tests; README.md beside this file names sources and licences."""

import gzip
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["load_digits"]

_BRIGHTEST = 16


def load_digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Load 1797 images of handwritten digits, 8×8 pixels each.

    The test part of the UCI data set "Optical Recognition of Handwritten Digits" by E. Alpaydin and
    C. Kaynak (CC BY 4.0). Both arrays are made anew by every call, so a caller may change them.

    Returns:
        The images, one per row with their pixels row by row, scaled from the stored 0..16 to [0, 1];
        and the digits shown, 0 to 9.

    Example:
        >>> images, digits = load_digits()
        >>> images.shape, digits.shape
        ((1797, 64), (1797,))
        >>> print(digits[4])
        4
        >>> for row in images[4].reshape(8, 8):
        ...     print("".join("_-+*#"[round(4 * float(pixel))] for pixel in row))
        ____*___
        ___++___
        ___*+___
        __+#_++_
        _-#+_#+_
        _-##*#__
        ___-#+__
        ____#-__
    """
    packed = files(__name__).joinpath("digits.csv.gz").read_bytes()
    table = np.loadtxt(gzip.decompress(packed).decode("ascii").splitlines(), dtype=np.int64, delimiter=",")
    return table[:, :-1] / _BRIGHTEST, table[:, -1].copy()
