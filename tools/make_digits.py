"""Rebuild ``tinygrad_edu/data/digits.npz`` from scikit-learn's copy of the digits.

    pip install scikit-learn
    python tools/make_digits.py

prints the SHA-256 that ``tinygrad_edu/data/digits.py`` records. Another version of zlib may pack
the same pixels into other bytes; ``tests/data/test_digits.py`` compares the pixels themselves.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn import datasets

ARCHIVE = Path(__file__).parent.parent / "tinygrad_edu" / "data" / "digits.npz"


def as_bytes(values: npt.NDArray[np.number]) -> npt.NDArray[np.uint8]:
    """Whole numbers from 0 to 255, whatever their dtype, as uint8; anything else is an error."""
    packed = values.astype(np.uint8)
    if not np.array_equal(packed, values):
        raise ValueError(f"not every value is a whole number from 0 to 255: {values}")
    return packed


def main() -> None:
    """Write the archive and print its checksum."""
    digits = datasets.load_digits()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=as_bytes(digits.data), labels=as_bytes(digits.target))
    ARCHIVE.write_bytes(buffer.getvalue())
    print(f"{hashlib.sha256(buffer.getvalue()).hexdigest()}  {ARCHIVE.name}")


if __name__ == "__main__":
    main()
