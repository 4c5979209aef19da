"""IDX files are read exactly, and whatever is not one is refused with what was found."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_edu.data import load_idx
from tinygrad_edu.errors import DataError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}

arrays = st.sampled_from(list(CODES)).flatmap(
    lambda kind: hnp.arrays(np.dtype(kind), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0))
)


def idx(array: np.ndarray) -> bytes:
    """``array`` as an IDX file, written from the format's description."""
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "some-file"


def load(path: Path, content: bytes) -> np.ndarray:
    path.write_bytes(content)
    return load_idx(path)


@given(array=arrays, compress=st.booleans())
def test_round_trip(path: Path, array: np.ndarray, compress: bool) -> None:
    loaded = load(path, gzip.compress(idx(array)) if compress else idx(array))
    assert loaded.dtype == array.dtype  # this machine's byte order included
    assert loaded.shape == array.shape
    assert loaded.tobytes() == array.tobytes()  # NaN by NaN
    assert loaded.flags.writeable


def test_elements_come_in_the_files_order(path: Path) -> None:
    content = bytes.fromhex("00000b02 00000002 00000003 000100020003 ffff00000100")
    assert load(path, content).tolist() == [[1, 2, 3], [-1, 0, 256]]
    assert load_idx(str(path)).tolist() == [[1, 2, 3], [-1, 0, 256]]


@given(array=arrays, data=st.data(), compress=st.booleans())
def test_any_cut_is_refused(
    path: Path, array: np.ndarray, data: st.DataObject, compress: bool
) -> None:
    content = gzip.compress(idx(array)) if compress else idx(array)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(DataError, match="some-file"):
        load(path, cut)


@given(array=arrays, extra=st.binary(min_size=1, max_size=9), compress=st.booleans())
def test_leftover_bytes_are_refused(
    path: Path, array: np.ndarray, extra: bytes, compress: bool
) -> None:
    content = idx(array) + extra
    with pytest.raises(DataError, match="but more follow"):
        load(path, gzip.compress(content) if compress else content)


beginnings = st.sampled_from([b"", b"\0\0", b"\0\0\x08\x01\0\0\0"])


@given(content=st.builds(bytes.__add__, beginnings, st.binary(max_size=64)))
def test_noise_is_an_array_or_a_data_error(path: Path, content: bytes) -> None:
    try:
        loaded = load(path, content)
    except DataError:
        return
    assert idx(loaded) == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG\r\n\x1a\n", "not an IDX file. It begins with 89 50 4e 47"),
        (bytes.fromhex("00000a01 00000000"), "00 00 0a 01"),
        (bytes.fromhex("00000800"), "0 dimensions"),
        (bytes.fromhex("000008ff") + bytes(4 * 255), "255 dimensions"),
        (bytes.fromhex("00000802 00000001"), "2 dimensions need 8 bytes, only 4"),
        (bytes.fromhex("00000801 00000004 0102"), r"\(4,\) of uint8, 4 bytes, but only 2"),
        (b"\x1f\x8b junk that is no gzip", "gzip"),
    ],
)
def test_says_what_was_found(path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(path, content)


@pytest.mark.parametrize("compress", [False, True])
def test_a_forged_size_claims_no_memory(path: Path, compress: bool) -> None:
    content = bytes.fromhex("00000e04") + b"\xff" * 16 + bytes(100)
    with pytest.raises(DataError, match="only 100"):
        load(path, gzip.compress(content) if compress else content)


@pytest.mark.parametrize("where", [-6, 40], ids=["checksum", "compressed data"])
def test_a_damaged_gzip_is_refused(path: Path, where: int) -> None:
    content = bytearray(gzip.compress(idx(np.arange(1000, dtype=np.int32))))
    content[where] ^= 0xFF
    with pytest.raises(DataError, match="gzip"):
        load(path, bytes(content))


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_idx(tmp_path / "nowhere")
