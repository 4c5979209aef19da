"""Padding, by counting the taps that fall inside."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.topics.steps import number, result, stated


def taps(length: int, side: int) -> np.ndarray:
    """How many of the 2 side + 1 taps are not in the padding, at each position."""
    return np.convolve(np.ones(length), np.ones(2 * side + 1), mode="same")


@pytest.mark.parametrize(("length", "side"), [(8, 1), (8, 2), (28, 3), (7, 3)])
def test_the_mean_over_all_positions(length: int, side: int) -> None:
    moments = {"T": length, "p": side, "c": 3, "Var(W)": 0.5, "E[Y**2]": 2}
    expected = 3 * 0.5 * 2 * taps(length, side).mean()
    assert number(result("conv-padding"), **moments) == pytest.approx(expected)
    kernel = 2 * side + 1
    too_much = number(stated("conv-padding", "in terms of"), k=kernel, T=length)
    assert too_much == pytest.approx(1 - taps(length, side).mean() / kernel)


def test_the_outermost_position_and_two_dimensions() -> None:
    assert number(stated("conv-padding", "outermost")) == taps(8, 1)[0] / 3
    both = np.outer(taps(8, 1), taps(8, 1)).mean() / 9
    assert number(stated("conv-padding", "two dimensions")) == pytest.approx(both)
