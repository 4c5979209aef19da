"""Where windows lie, and how work is dealt out."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_edu.kernels.convolution.windows import Padded, Windows, chunks

WINDOWS = Windows((3, 2), (2, 1), ((1, 0), (-1, 2)), (1, 3))


def test_sizes() -> None:
    assert WINDOWS.padded((6, 7)) == (7, 8)
    assert WINDOWS.extent == (3, 4)
    assert WINDOWS.fitting((6, 7)) == (3, 5)
    assert WINDOWS.fitting((1, 1)) == (0, -1)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_padded_rows_of_windows(row: int) -> None:
    """What the memory holds is what these rows of windows need, whatever it held before."""
    x = np.arange(2.0 * 3 * 6 * 7).reshape(2, 3, 6, 7)
    memory = Padded(WINDOWS, 2, 1, 3, (6, 7), x.dtype)
    whole = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2)))[..., 1:]
    for start in (2, 0, row):
        memory.fill(x, start)
    wanted = whole[:, :, 2 * row : 2 * row + 3].swapaxes(0, 1)
    np.testing.assert_array_equal(memory.padded, wanted)


@pytest.mark.parametrize("layout", ["rows", "reversed", "transposed"])
def test_padding_of_any_layout(layout: str) -> None:
    """Rows of neighbouring numbers are copied whole, others number by number."""
    x = np.arange(2.0 * 3 * 6 * 7).reshape(2, 3, 6, 7)
    view = {"rows": x, "reversed": x[..., ::-1], "transposed": x.swapaxes(2, 3)}[layout]
    windows = Windows((1, 1), (1, 1), ((2, 0), (1, 1)), (1, 1))
    memory = Padded(windows, 2, view.shape[2] + 2, 3, view.shape[2:], x.dtype)
    memory.fill(view)
    wanted = np.pad(view, ((0, 0), (0, 0), (2, 0), (1, 1))).swapaxes(0, 1)
    np.testing.assert_array_equal(memory.padded, wanted)


def test_chunks_are_nearly_alike() -> None:
    """Memory is made for each size of chunk: 3 and 3 images rather than 5 and 1."""
    sizes = [memory for *_, memory in chunks(6, 4, 20, lambda images, rows: images)]
    assert sizes == [3, 3]


@pytest.mark.parametrize("most", [1, 3, 4, 5, 9, 100])
def test_chunks_cover_everything_once(most: int) -> None:
    seen = np.zeros((5, 4), int)
    for images, rows, memory in chunks(5, 4, most, lambda images, rows: (images, rows)):
        seen[images, rows] += 1
        assert memory == seen[images, rows].shape
        assert seen[images, rows].size <= most
    assert (seen == 1).all()
