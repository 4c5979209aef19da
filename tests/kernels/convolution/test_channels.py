"""Convolution with channels in the lanes; its values are tested with the other schemes', in
`test_convolve.py`."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tinygrad_edu.kernels.convolution import channels, unfolding
from tinygrad_edu.kernels.convolution import convolve as kernel
from tinygrad_edu.kernels.convolution.windows import Windows

SAME = Windows((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
FLOAT32 = np.dtype(np.float32)


@pytest.mark.parametrize(("outer", "inner", "groups"), [(32, 16, 1), (1, 1, 32), (24, 3, 4)])
def test_large_convolutions_take_it(
    outer: int, inner: int, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And agree with the unfolded ones within the rounding of a sum in two orders."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, groups * inner, 28, 28)).astype(FLOAT32)
    w = rng.standard_normal((groups * outer, inner, 3, 3)).astype(FLOAT32)
    y = rng.standard_normal((6, len(w), 28, 28)).astype(FLOAT32)
    monkeypatch.setattr(unfolding, "multiply", None)
    monkeypatch.setattr(unfolding, "multiply_outer", None)
    found = kernel.convolve(x, w, SAME, groups), kernel.convolve_weight(x, y, SAME, groups)
    monkeypatch.undo()
    monkeypatch.setattr(kernel, "_WORTH", np.inf)
    wanted = kernel.convolve(x, w, SAME, groups), kernel.convolve_weight(x, y, SAME, groups)
    for a, b, terms in zip(found, wanted, (9 * inner, y[:, 0].size), strict=True):
        # The errors of a sum's roundings are as of a random walk; 6 of their standard deviations.
        bound = 6 * np.finfo(FLOAT32).eps * np.sqrt(terms) * np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=0, atol=bound)


def test_few_lanes_are_left_to_other_schemes() -> None:
    assert channels.suits(32, 16, 1, 28, FLOAT32)
    assert channels.suits(1, 1, 32, 28, FLOAT32)
    assert not channels.suits(1, 16, 1, 28, FLOAT32)
    assert not channels.suits(32, 16, 1, 1, np.dtype(np.complex64))


def test_a_long_sum_keeps_its_digits() -> None:
    """A million equal products: one running sum in float32 would be off by 1e-3."""
    windows = Windows((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))
    x = np.full((4, 1, 512, 512), 0.1, FLOAT32)
    y = np.ones((4, 16, 512, 512), FLOAT32)
    w = np.empty((16, 1, 1, 1), FLOAT32)
    channels.convolve_weight(w, x, y, windows, 1)
    exact = float(Fraction(float(np.float32(0.1))) * x.size)
    sums, parts = channels._PIXELS, x.size // channels._PIXELS
    bound = (sums + parts) * np.finfo(FLOAT32).eps / 2  # of either level, every rounding the worst
    assert np.abs(w / exact - 1).max() < bound
