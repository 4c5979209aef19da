"""On the digits the default network is as good as torch's, from the same weights and batches.

Three seeds, for time; all ten: python benchmarks/digits_against_torch.py
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from types import ModuleType

import numpy as np
import pytest

import tinygrad_edu as tg
from benchmarks.digits_against_torch import torch_accuracy, torch_network
from tinygrad_edu.data import load_digits
from tinygrad_edu.train.digits import Recipe, network, run

SEEDS = range(3)
REQUIRED = 0.97
HALF_A_POINT = 0.005


@pytest.fixture(autouse=True)
def one_thread(torch: ModuleType) -> Iterator[None]:
    """The matrices are small: two threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_both_start_from_the_same_function(torch: ModuleType) -> None:
    images = load_digits().images[:50]
    ours, theirs = network(1)(tg.tensor(images)), torch_network(torch, 1)(torch.tensor(images))
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_as_accurate_as_torch(torch: ModuleType) -> None:
    ours = median(run(seed, progress=False).test_accuracy for seed in SEEDS)
    theirs = median(torch_accuracy(torch, seed, Recipe()) for seed in SEEDS)
    assert ours >= REQUIRED
    assert abs(ours - theirs) <= HALF_A_POINT
