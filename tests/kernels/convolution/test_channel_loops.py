"""The kernels of convolutions with channels in the lanes, each by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_edu.kernels.convolution import channel_loops
from tinygrad_edu.kernels.convolution.channel_loops import Outer, Products
from tinygrad_edu.kernels.convolution.channel_program import RESULT, SOURCE, Program
from tinygrad_edu.kernels.convolution.sweep import pairs

DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 3), (5, 7), (8, 8), (16, 33), (40, 37)])
def test_a_matrix_is_turned(shape: tuple[int, int], dtype: Any) -> None:
    """Whatever its shape, and nothing beside the result is written."""
    rows, columns = shape
    x = np.arange(2.0 * rows * columns).astype(dtype).reshape(2, rows, columns)
    out = np.full((2, columns, rows + 1), -1.0, dtype)
    program = Program(dtype)
    program.stage()
    program.turn(
        rows, columns, pairs(0, 0), images=2, out=(RESULT, 0), source=(SOURCE, 0),
        out_image=out.strides[0], source_image=x.strides[0], out_row=out.strides[1],
        source_row=x.strides[1],
    )  # fmt: skip
    program.finish(1)
    program.run(0, x, x, x, program.memory(), out)
    np.testing.assert_array_equal(out[..., :rows], x.swapaxes(1, 2))
    assert (out[..., rows:] == -1).all()


def test_kernels_of_equal_numbers_are_not_taken_for_each_other() -> None:
    dtype = DTYPES[0]
    one, other = Products(dtype, 4, 1, 4, False), Outer(dtype, 4, 1, 4, False)
    assert one != other
    assert channel_loops.address(one) != channel_loops.address(other)
