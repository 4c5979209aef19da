"""Arrays that begin where a cache line does, and memory that is used again."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest

from tinygrad_edu.kernels.alignment import LINE, address_of, copied, empty


@pytest.mark.parametrize("shape", [(), (3,), (0, 5), (700, 3), (1, 40, 41)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
def test_empty(shape: tuple[int, ...], dtype: type) -> None:
    arrays = [empty(shape, np.dtype(dtype)) for _ in range(5)]
    for i, x in enumerate(arrays):
        assert x.shape == shape
        assert x.dtype == dtype
        assert x.flags.c_contiguous
        assert x.flags.writeable
        x[...] = i
        if x.nbytes > 2000:
            assert x.ctypes.data % LINE == 0
    for i, x in enumerate(arrays):  # none lies in another's memory
        assert (x == np.array(i, dtype)).all()


def test_copied() -> None:
    """Contiguous arrays are copied to the beginning of a line; others keep their order."""
    x = np.random.default_rng(0).standard_normal((60, 70))
    for source in (x, x.T, x[::2], x[:1], x[:0], np.array(1.5), x.astype(">f8")):
        y = copied(source)
        np.testing.assert_array_equal(y, source)
        assert y.dtype == source.dtype
        assert not np.shares_memory(y, source)
    assert copied(x).ctypes.data % LINE == 0
    assert copied(x.T).flags.f_contiguous


def test_addresses() -> None:
    """Also of what has no buffer: read-only, empty or strided arrays."""
    x = np.arange(12.0)
    read_only = x[3:]
    read_only.flags.writeable = False
    for array in (x, x[5:], read_only, x[4:4], x[1::2]):
        assert address_of(array) == array.ctypes.data


_FAULTS = """
import resource
import numpy as np
from tinygrad_edu.kernels.alignment import empty

def work():
    arrays = [empty((1 << 18,), np.dtype(np.float32)) for _ in range(4)]
    for x in arrays:
        x[...] = 1

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(5):
    work()
before = faults()
for _ in range(20):
    work()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators, other habits")
def test_freed_memory_is_used_again() -> None:
    """A page that comes from the system is cleared first; 4 MB are 1000 of them, each round."""
    run = subprocess.run(
        [sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 1000
