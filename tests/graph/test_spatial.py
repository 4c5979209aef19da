"""One number for all spatial axes, or one for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.graph.spatial import per_axis, sides


@pytest.mark.parametrize(
    ("value", "meant"), [(2, (2, 2)), ([3], (3, 3)), ((1, 4), (1, 4)), (np.int64(2), (2, 2))]
)
def test_numbers(value: Any, meant: tuple[int, int]) -> None:
    assert per_axis("pool", "stride", value, 2, 1) == meant


@pytest.mark.parametrize("value", [None, "2", 1.0, (1, 2, 3), (), (1, 2.5), np.ones(2)])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^pool: stride is a whole number or 2 of them"):
        per_axis("pool", "stride", value, 2, 1)


def test_too_small() -> None:
    with pytest.raises(ArgumentError, match=r"^pool: stride is at least 1, not \(1, 0\)"):
        per_axis("pool", "stride", (1, 0), 2, 1)


def test_sides() -> None:
    assert sides("conv", "same", (2, 5), (1, 1), (3, 1)) == ((1, 2), (2, 2))
    assert sides("conv", "valid", (2, 5), (2, 1), (3, 1)) == ((0, 0), (0, 0))
    assert sides("conv", (1, 2), (2, 5), (2, 1), (3, 1)) == ((1, 1), (2, 2))
