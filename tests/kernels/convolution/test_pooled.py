"""The pooling kernels against the windows, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ops.sliding import elements, pools
from tinygrad_edu.kernels.convolution import pooled
from tinygrad_edu.kernels.convolution.windows import Windows


def winner(values: list[float]) -> int:
    """Which is the largest: the last nan, or else the first of equals."""
    nans = [i for i, value in enumerate(values) if np.isnan(value)]
    return nans[-1] if nans else int(np.argmax(values))


def expected(x: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    """The position of each window's winner in x."""
    rank = len(params["kernel"])
    size = x.shape[x.ndim - rank :]
    found: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for window, _, place in elements(size, params):
        found.setdefault(window, []).append(place)
    shape = tuple(n + 1 for n in max(found))
    out = np.zeros((*x.shape[: x.ndim - rank], *shape), np.int64)
    numbers = np.arange(x.size).reshape(x.shape)
    for lead in np.ndindex(*x.shape[: x.ndim - rank]):
        for window, places in found.items():
            best = places[winner([x[(*lead, *place)] for place in places])]
            out[(*lead, *window)] = numbers[(*lead, *best)]
    return out


@st.composite
def samples(draw: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Few different numbers, so that there are ties; nan and -inf among them. Rows as long as a
    vector, and longer, come of what is drawn beside the last axis."""
    shape, params = draw(pools(dilated=True))
    more = draw(st.integers(0, 40))
    shape = (*shape[:-1], shape[-1] + more * params["stride"][-1])
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = draw(st.sampled_from([[0, 1, 2], [-np.inf, 0], [np.nan, -np.inf, 1, 2]]))
    return rng.choice(values, size=shape).astype(draw(st.sampled_from(["f4", "f8"]))), params


@settings(max_examples=150, deadline=None)
@given(samples())
def test_against_the_windows(sample: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, params = sample
    windows = Windows(**params)
    values, positions = (pooled.pool(x, windows, which) for which in (False, True))
    if not pooled.suits(x.shape, windows, x.dtype):
        assert values is None
        assert positions is None
        return
    assert positions is not None
    places = expected(x, params)
    np.testing.assert_array_equal(positions, places)
    np.testing.assert_array_equal(values, x.reshape(-1)[places])


def plain(kernel: int) -> Windows:
    return Windows((kernel, kernel), (kernel, kernel), ((0, 0), (0, 0)), (1, 1))


@pytest.mark.parametrize(
    ("shape", "kernel", "dtype"),
    [
        ((2, 64, 64), 64, "f4"),  # long windows, one result in a row
        ((2, 66, 66), 33, "f8"),  # more elements than a kernel is written for
        ((2, 8, 8), 2, "f2"),
        ((2, 8, 8), 2, "i4"),
        ((0, 32, 32), 2, "f4"),
    ],
)
def test_what_is_left_to_numpy(shape: tuple[int, ...], kernel: int, dtype: str) -> None:
    assert pooled.pool(np.zeros(shape, dtype), plain(kernel), False) is None


def test_an_operand_with_gaps() -> None:
    x = np.random.default_rng(0).standard_normal((3, 64, 64)).astype(np.float32)[:, ::2, ::2]
    found = pooled.pool(x, plain(2), False)
    np.testing.assert_array_equal(found, x.reshape(3, 16, 2, 16, 2).max((2, 4)))
