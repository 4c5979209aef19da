"""How work is cut into tiles that fill the registers."""

from __future__ import annotations

import pytest

from tinygrad_edu.kernels.convolution.channel_program import panels, starts, tile


@pytest.mark.parametrize("registers", [16, 32])
@pytest.mark.parametrize("vectors", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("length", [1, 7, 8, 14, 28, 29, 56, 224])
def test_tiles(length: int, vectors: int, registers: int) -> None:
    """A tile, its factors and the number they are multiplied with stay in registers; tiles cover a
    row, panels all vectors."""
    height, width = tile(length, vectors, registers)
    assert height * width + width + 1 <= registers
    assert {i for s in starts(length, height) for i in range(s, s + height)} == set(range(length))
    assert [v for s, n in panels(vectors, width) for v in range(s, s + n)] == list(range(vectors))


def test_common_rows_are_cut_without_a_rest() -> None:
    assert tile(28, 2, 32) == (14, 2)
    assert tile(14, 4, 32) == (14, 2)
    assert tile(56, 1, 32)[0] in (28, 56 // 2)
