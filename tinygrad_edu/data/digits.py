"""The handwritten digits that come with the package: 1797 images of 8 x 8 pixels.

Source, licence and how the file was made: ``DIGITS.md`` beside this file.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from tinygrad_edu.data.keyed import IndexArray, permutation, whole_number
from tinygrad_edu.errors import DataError

ARCHIVE = "digits.npz"
SHA256 = "af104d81e7cd419be5f343d23c6ca2e4e4ff847b06636260802df8e903c6183f"

DARKEST = 16  # a pixel counts the inked dots of a 4 x 4 block of the original scan


@dataclass(frozen=True, eq=False)
class Digits:
    """Images of handwritten digits and what they show.

    Attributes:
        images: Shape (n, 64), float32 in [0, 1], row by row from the top left; the pixels are
            exact multiples of 1/16. ``images.reshape(-1, 1, 8, 8)`` is what a convolution takes.
        labels: Shape (n,), int64, the digit 0 to 9.
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def split(self, test_fraction: float = 0.25, seed: int = 0) -> tuple[Digits, Digits]:
        """Split into training and test data, every digit in proportion.

        A digit with m images gives floor or ceil of ``m * test_fraction`` of them to the test data,
        so that these are ``round(n * test_fraction)`` together. Both parts keep the file's order.
        The same 13 people wrote both parts, so accuracy on the test data says nothing about
        somebody else's hand.

        Args:
            test_fraction: Share of the test data, between 0 and 1.
            seed: An integer >= 0; the same seed gives the same split.

        Returns:
            The training data and the test data.

        Raises:
            DataError: ``test_fraction`` leaves one of the parts empty, or ``seed`` is negative.
        """
        seed = whole_number("seed", seed, 0)
        if not 0 < test_fraction < 1:
            raise DataError(f"test_fraction must lie between 0 and 1, got {test_fraction!r}.")
        chosen = np.zeros(len(self), dtype=bool)
        chosen[_stratified_sample(self.labels, test_fraction, seed)] = True
        if chosen.all() or not chosen.any():
            raise DataError(
                f"test_fraction={test_fraction!r} of {len(self)} images leaves the "
                f"{'training' if chosen.any() else 'test'} data empty."
            )
        return self._take(~chosen), self._take(chosen)

    def _take(self, chosen: npt.NDArray[np.bool_]) -> Digits:
        return Digits(self.images[chosen], self.labels[chosen])


def load_digits() -> Digits:
    """The 1797 digits of UCI's "Optical Recognition of Handwritten Digits", test part.

    The images scikit-learn's ``load_digits`` gives, in the same order, scaled from 0..16 to [0, 1].
    Data by E. Alpaydin and C. Kaynak (1998), https://doi.org/10.24432/C50P49, CC BY 4.0.

    Raises:
        DataError: The file is damaged: its SHA-256 is not the one recorded here.
    """
    return _decode(files("tinygrad_edu.data").joinpath(ARCHIVE).read_bytes())


def _decode(archive: bytes) -> Digits:
    found = hashlib.sha256(archive).hexdigest()
    if found != SHA256:
        raise DataError(
            f"{ARCHIVE} is damaged: its SHA-256 is {found}, not {SHA256}. "
            "Install tinygrad-edu anew."
        )
    with np.load(io.BytesIO(archive), allow_pickle=False) as stored:
        images = stored["images"].astype(np.float32) / DARKEST
        return Digits(images, stored["labels"].astype(np.int64))


def _stratified_sample(labels: npt.NDArray[np.int64], fraction: float, seed: int) -> IndexArray:
    """Indices of a random ``fraction`` of each class, by the method of largest remainders."""
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * fraction
    quotas = np.floor(shares).astype(int)
    left = round(len(labels) * fraction) - quotas.sum()
    largest_remainders = np.argsort(quotas - shares, kind="stable")[:left]
    quotas[largest_remainders] += 1

    order = permutation(len(labels), seed)
    sample = [order[labels[order] == c][:quota] for c, quota in zip(classes, quotas, strict=True)]
    return np.concatenate(sample)
