"""Reader for IDX, the file format of MNIST and its kin.

A file is two zero bytes, a byte for the type, a byte for the number of dimensions, the size of each
dimension as a big-endian 32-bit number, then the elements, big-endian, last dimension fastest.
Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", section "FILE
FORMATS FOR THE MNIST DATABASE".
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from tinygrad_edu.errors import DataError

ELEMENT_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
GZIP_MAGIC = b"\x1f\x8b"
MAX_DIMENSIONS = 64  # NumPy's limit; files in use have 1 to 4
CHUNK = 1 << 20


def load_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read an IDX file, plain or compressed with gzip (told by its first bytes, not its name).

    ``load_idx("train-images-idx3-ubyte.gz")`` gives MNIST's training images, uint8, shape
    (60000, 28, 28). Nothing in the file is executed, and no more is read than its header announces.

    Returns:
        The array in the file's shape and type, in this machine's byte order.

    Raises:
        DataError: The file is not IDX, is cut short, has bytes left over, or its gzip is damaged.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    with path.open("rb") as plain:
        compressed = plain.read(2) == GZIP_MAGIC
        plain.seek(0)
        if not compressed:
            return _read(path, plain)
        try:
            with gzip.GzipFile(fileobj=plain) as unpacked:
                return _read(path, cast("IO[bytes]", unpacked))
        except (gzip.BadGzipFile, EOFError, zlib.error) as damage:
            raise DataError(f"{path}: the gzip compression is damaged ({damage}).") from damage


def _read(path: Path, stream: IO[bytes]) -> npt.NDArray[Any]:
    dtype, shape = _read_header(path, stream)
    size = math.prod(shape) * dtype.itemsize
    payload = _read_up_to(stream, size + 1)  # one byte more than announced shows leftovers
    if len(payload) != size:
        found = f"only {len(payload)}" if len(payload) < size else "more"
        raise DataError(
            f"{path}: the IDX header announces shape {shape} of {dtype.name}, {size} bytes, but "
            f"{found} follow it."
        )
    elements = np.frombuffer(payload, dtype)
    return elements.astype(dtype.newbyteorder("=")).reshape(shape)


def _read_header(path: Path, stream: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = _read_up_to(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in ELEMENT_TYPES:
        raise DataError(
            f"{path}: not an IDX file. It begins with {magic.hex(' ') or 'nothing'}; IDX begins "
            "with 00 00, one of 08 09 0b 0c 0d 0e, and the number of dimensions."
        )
    dimensions = magic[3]
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise DataError(
            f"{path}: an IDX file of {dimensions} dimensions; 1 to {MAX_DIMENSIONS} can be read."
        )
    sizes = _read_up_to(stream, 4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(
            f"{path}: cut short within its header: {dimensions} dimensions need "
            f"{4 * dimensions} bytes, only {len(sizes)} follow."
        )
    return ELEMENT_TYPES[magic[2]], struct.unpack(f">{dimensions}I", sizes)


def _read_up_to(stream: IO[bytes], size: int) -> bytes:
    """``size`` bytes, or all there are; by chunks, as a forged header may announce any size."""
    chunks = []
    while size > 0 and (chunk := stream.read(min(size, CHUNK))):
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
