"""A shuffle depends on its key and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_edu.data.keyed import permutation, whole_number
from tinygrad_edu.errors import DataError

seeds = st.integers(0, 2**128)


@given(st.integers(0, 200), seeds, st.integers(0, 1000))
def test_permutation_is_one(n: int, seed: int, stream: int) -> None:
    order = permutation(n, seed, stream)
    assert sorted(order.tolist()) == list(range(n))
    assert np.array_equal(order, permutation(n, seed, stream))


@given(seeds, st.integers(0, 1000))
def test_streams_and_seeds_differ(seed: int, stream: int) -> None:
    order = permutation(50, seed, stream)
    assert not np.array_equal(order, permutation(50, seed, stream + 1))
    assert not np.array_equal(order, permutation(50, seed + 1, stream))


def test_permutation_never_changes() -> None:
    # Recorded once. It changing would change every published split and training run.
    assert permutation(10, seed=0).tolist() == [6, 3, 8, 1, 4, 5, 9, 2, 7, 0]
    assert permutation(10, seed=1337, stream=3).tolist() == [1, 5, 7, 8, 6, 4, 2, 9, 0, 3]


def test_every_position_is_equally_likely() -> None:
    n, shuffles = 5, 4000
    counts = np.zeros((n, n))
    for seed in range(shuffles):
        counts[np.arange(n), permutation(n, seed)] += 1
    expected = shuffles / n
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    # (n - 1)² = 16 degrees of freedom: mean 16, standard deviation sqrt(32); 5 of them above.
    assert chi_squared < 16 + 5 * np.sqrt(32)


@pytest.mark.parametrize("value", [3, np.int32(3), True + 2])
def test_whole_number_accepts_integers(value: int) -> None:
    assert whole_number("n", value, 3) == 3


@pytest.mark.parametrize("value", [2, -1, 3.0, "3", None])
def test_whole_number_refuses(value: int) -> None:
    with pytest.raises(DataError, match=r"^n must be .*, got "):
        whole_number("n", value, 3)
