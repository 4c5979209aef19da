"""How products are cut into tiles, and which are left to BLAS."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_edu.kernels import llvm, tiles


@given(
    m=st.integers(1, 600),
    n=st.integers(1, 3000),
    k=st.integers(1, 900),
    itemsize=st.sampled_from([4, 8]),
)
def test_tiles_cover_the_result_once(m: int, n: int, k: int, itemsize: int) -> None:
    t = tiles.tiles(m, n, k, itemsize)
    assert t.high_blocks * t.height + t.low_blocks * (t.height - 1) == m
    vectors = t.wide_panels * t.width + t.narrow_panels * (t.width - 1)
    assert vectors == -(-n * itemsize // 64)
    assert t.height * t.width + t.width < 32  # they must fit into the registers


def test_what_is_left_to_blas() -> None:
    float32, plain = np.dtype(np.float32), llvm.host().without("avx512")
    wide = llvm.Target("", "+avx512vl,+avx512bw")
    assert tiles.suits(64, 64, 64, float32, wide)
    assert not tiles.suits(64, 64, 64, float32, plain)
    assert not tiles.suits(64, 64, 64, np.dtype(np.int64), wide)
    assert not tiles.suits(1024, 1024, 1024, float32, wide)
    assert not tiles.suits(8, 8, 4096, float32, wide)
    assert not tiles.suits(128, 100, 100, float32, wide)  # 12 of 112 lanes are in vain
    assert tiles.suits(32, 10, 32, float32, wide)
    assert not tiles.suits(32, 1, 32, float32, wide)
    assert not tiles.suits(1, 32, 32, float32, wide)
