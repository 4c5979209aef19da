"""The digits are the published ones, whole, and split in proportion."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_edu.data import Digits, digits, load_digits
from tinygrad_edu.errors import DataError


def test_shapes_types_and_range() -> None:
    data = load_digits()
    assert len(data) == 1797
    assert data.images.shape == (1797, 64)
    assert data.images.dtype == np.float32
    assert data.images.min() == 0
    assert data.images.max() == 1
    assert np.array_equal(data.images * 16, np.round(data.images * 16))
    assert data.labels.dtype == np.int64
    # The counts UCI's description of the test part gives, digit by digit.
    assert np.bincount(data.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_first_image_is_an_upright_zero() -> None:
    image = load_digits().images[0].reshape(8, 8)
    assert image[0].tolist() == [0, 0, 5 / 16, 13 / 16, 9 / 16, 1 / 16, 0, 0]
    assert image[3:5, 3:5].max() == 0  # the hole in the middle


def test_equal_to_scikit_learn(sklearn: ModuleType) -> None:
    theirs, ours = sklearn.datasets.load_digits(), load_digits()
    assert np.array_equal(ours.images * 16, theirs.data)
    assert np.array_equal(ours.labels, theirs.target)


def test_each_load_is_the_callers_own() -> None:
    load_digits().images[:] = 7
    assert load_digits().images.max() == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_damaged_archive_is_refused(damage: str) -> None:
    archive = bytearray((digits.files("tinygrad_edu.data") / digits.ARCHIVE).read_bytes())
    if damage == "flip":
        archive[1000] ^= 1
    damaged = {"flip": bytes(archive), "cut": bytes(archive[:-1]), "empty": b""}[damage]
    with pytest.raises(DataError, match=r"digits\.npz is damaged.*SHA-256"):
        digits._decode(damaged)


def labelled(labels: list[int]) -> Digits:
    """Digits with these labels; the image of example i holds the number i."""
    images = np.repeat(np.arange(len(labels), dtype=np.float32)[:, None], 64, axis=1)
    return Digits(images, np.array(labels, dtype=np.int64))


any_digits = st.lists(st.integers(0, 9), min_size=1, max_size=120).map(labelled)
fractions = st.floats(0, 1, exclude_min=True, exclude_max=True)


@given(any_digits, fractions, st.integers(0, 5))
@example(labelled([0] * 24 + [1]), 0.1, 0)  # 24 * 0.1 + 1 * 0.1 is not 25 * 0.1
def test_split_is_a_stratified_partition(data: Digits, fraction: float, seed: int) -> None:
    size = round(len(data) * fraction)
    if not 0 < size < len(data):
        with pytest.raises(DataError, match="empty"):
            data.split(fraction, seed)
        return
    train, test = data.split(fraction, seed)
    assert len(test) == size
    train_ids, test_ids = train.images[:, 0].astype(int), test.images[:, 0].astype(int)
    assert sorted([*train_ids, *test_ids]) == list(range(len(data)))
    assert (np.diff(train_ids) > 0).all()
    assert (np.diff(test_ids) > 0).all()
    assert np.array_equal(test.labels, data.labels[test_ids])
    assert np.array_equal(train.labels, data.labels[train_ids])
    for digit in range(10):
        share = fraction * (data.labels == digit).sum()
        assert abs((test.labels == digit).sum() - share) < 1


def test_split_depends_on_the_seed_alone() -> None:
    data = load_digits()
    first, again, other = data.split(seed=0)[1], data.split(seed=0)[1], data.split(seed=1)[1]
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)
    assert len(first) == 449


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_split_refuses_fractions_that_are_none(fraction: float) -> None:
    with pytest.raises(DataError, match="test_fraction"):
        load_digits().split(fraction)


def test_split_refuses_a_negative_seed() -> None:
    with pytest.raises(DataError, match="seed"):
        load_digits().split(seed=-1)
