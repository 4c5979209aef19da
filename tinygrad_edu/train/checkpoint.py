"""`save` and `load`: nested state in one file that is whole or absent, and verified when read.

The file is a safetensors file (https://github.com/huggingface/safetensors), which other programs
read as well: 8 bytes with the length of the header, the header in JSON, the bytes of the arrays.
The metadata in the header begin with

    "tinygrad_edu": the version of this format
    "sha256": of every byte of the file, taken with zeros in the place of these 64 digits
    "bytes": how many bytes of arrays follow the header
    "tree": the nesting and all that is no array, in JSON; see `nesting`

Nothing in a file is ever executed: there is no pickle.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_edu.errors import CheckpointError
from tinygrad_edu.train.nesting import CODES, Array, Json, join, native, split

PathLike = str | os.PathLike[str]

FORMAT = "1"
LONGEST_HEADER = 100_000_000
"""Bytes; other readers of safetensors refuse more."""
_CHUNK = 1 << 20
"""Bytes hashed at a time."""

_BLANK = "0" * hashlib.sha256().digest_size * 2
_START = re.compile(
    rb'\{"__metadata__":\{"tinygrad_edu":"(?P<format>\d+)","sha256":"(?P<sha256>[0-9a-f]{64})",'
    rb'"bytes":"(?P<bytes>\d{16})",'
)
_LENGTH = 8
"""Bytes that hold the length of the header."""
_SHORTEST = 160
"""No checkpoint has fewer bytes, and all that `_START` looks for lies within them."""
_DTYPES = {code: dtype for dtype, code in CODES.items()}


def save(obj: Any, path: PathLike) -> None:
    """Write a state dictionary, or any nesting of them, to a file that `load` reads. ::

        tg.save({"model": model.state_dict(), "epoch": 3}, "model.safetensors")

    The file appears under its name when it is complete and on disk; until then, and if anything
    fails, the name stands for what it stood for before. A new file has the permissions that the
    umask leaves, one that is replaced keeps its own; of a symbolic link, the file it leads to is
    replaced. A process that is killed here leaves a file ``.name.*.part`` beside it.

    Args:
        obj: Tensors, arrays and NumPy scalars of dtype bool, int or float, numbers, str, bool,
            None, and dictionaries (keys str or int), lists and tuples of these. Subclasses come
            back as their base: an OrderedDict as a dict.
        path: Where to write.

    Raises:
        CheckpointError: `obj` holds something else, holds itself, or holds more text and numbers
            outside arrays than safetensors allows (the message says where); or `path` is a folder
            or a device.
        OSError: The file cannot be written, for example for lack of space.
    """
    tree, arrays = split(obj)
    # The widest first, so that each array lies at a multiple of its item size, for those who map
    # the file into memory.
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))
    header = _header(tree, arrays)
    checksum = hashlib.sha256()
    with _replacing(os.fsdecode(path)) as file:
        for part in _parts(header, arrays):
            checksum.update(part)
            file.write(part)
        file.seek(_LENGTH + header.index(_BLANK.encode()))
        file.write(checksum.hexdigest().encode())


def load(path: PathLike) -> Any:
    """Read what `save` wrote: tensors come back as tensors without gradients, the rest as it was.

    Raises:
        CheckpointError: The file is truncated, damaged, or not one that `save` wrote; the message
            says which. Nothing has been loaded then.
        OSError: The file is not there, or cannot be read.
    """
    name = os.fsdecode(path)
    with open(name, "rb") as file:
        header = json.loads(_verified_header(file, name))
        tree = json.loads(header.pop("__metadata__")["tree"])
        # They follow each other in the order of the header.
        arrays = {name: _read(file, entry) for name, entry in header.items()}
    return join(tree, arrays)


# ------------------------------------------------------------------------------ the bytes


def _header(tree: Json, arrays: Mapping[str, Array]) -> bytes:
    """The header, with zeros for the checksum."""
    entries, end = {}, 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        entries[name] = {
            "dtype": CODES[native(array.dtype)],
            "shape": array.shape,
            "data_offsets": [begin, end],
        }
    metadata = {
        "tinygrad_edu": FORMAT,
        "sha256": _BLANK,
        "bytes": f"{end:016d}",
        "tree": json.dumps(tree, separators=(",", ":"), allow_nan=False),
    }
    text = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)  # the arrays begin at a multiple of 8
    if len(text) > LONGEST_HEADER:
        raise CheckpointError(
            f"save: the names, numbers and text take {len(text):,} bytes, and a safetensors header "
            f"has at most {LONGEST_HEADER:,}; put long lists of numbers into arrays. Nothing was "
            "written."
        )
    return text


def _parts(header: bytes, arrays: Mapping[str, Array]) -> Iterator[bytes | memoryview]:
    yield len(header).to_bytes(_LENGTH, "little")
    yield header
    yield from map(array_bytes, arrays.values())


def array_bytes(array: Array) -> memoryview:
    """The elements in C order and little-endian; copied only if they lie otherwise."""
    little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    return little.reshape(-1).view(np.uint8).data


def _read(file: io.BufferedReader, entry: Mapping[str, Any]) -> Array:
    array = np.empty(entry["shape"], _DTYPES[entry["dtype"]].newbyteorder("<"))
    file.readinto(array.reshape(-1).view(np.uint8).data)
    return array.astype(native(array.dtype), copy=False)


# ------------------------------------------------------------------------------ verifying


def _verified_header(file: io.BufferedReader, path: str) -> bytes:
    """The header of a file whose every byte is as it was written; leaves the file at its end."""
    size = os.fstat(file.fileno()).st_size
    beginning = file.read(_LENGTH + _SHORTEST)
    start = _START.match(beginning, _LENGTH)
    if start is None:
        raise _unusable(path, _what_else(beginning, size))
    if start["format"] != FORMAT.encode():
        version = start["format"].decode()
        raise _unusable(path, f"is in format {version} of this package, which here reads {FORMAT}")
    length = int.from_bytes(beginning[:_LENGTH], "little")
    expected = _LENGTH + length + int(start["bytes"])
    if size < expected:
        raise _unusable(path, f"is truncated: it has {size:,} of {expected:,} bytes")
    if size > expected:
        raise _unusable(path, f"is damaged: it has {size:,} bytes instead of {expected:,}")
    file.seek(_LENGTH)
    header = file.read(length)
    at = start.start("sha256") - _LENGTH
    blanked = header[:at] + _BLANK.encode() + header[at + len(_BLANK) :]
    if _checksum(beginning[:_LENGTH] + blanked, file) != start["sha256"].decode():
        raise _unusable(path, "is damaged: its contents have another checksum than when written")
    file.seek(_LENGTH + length)
    return header


def _checksum(first: bytes, file: io.BufferedReader) -> str:
    """SHA-256 of these bytes and the rest of the file."""
    checksum, buffer = hashlib.sha256(first), memoryview(bytearray(_CHUNK))
    while count := file.readinto(buffer):
        checksum.update(buffer[:count])
    return checksum.hexdigest()


def _what_else(beginning: bytes, size: int) -> str:
    """What a file is that does not begin as a checkpoint does."""
    if size < _SHORTEST:
        return f"has {size} bytes, fewer than any checkpoint: it is truncated, or something else"
    if beginning[_LENGTH : _LENGTH + 2] == b'{"':
        return (
            "is not a file that tg.save wrote, though it looks like a safetensors file; "
            "safetensors.numpy.load_file reads those, and load_state_dict takes what it returns"
        )
    return "is not a checkpoint: it does not begin like one"


def _unusable(path: str, why: str) -> CheckpointError:
    return CheckpointError(f"load: {path} {why}. Nothing was loaded.")


# ------------------------------------------------------------------------------ whole or absent


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[io.BufferedWriter]:
    """A file to write to, which takes the place of `path` when it is complete and on disk."""
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "save: there is no such folder", folder)
    if os.path.exists(path) and not os.path.isfile(path):
        raise CheckpointError(f"save: {path} is a folder or a device; give the name of a file.")
    aside = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.part")
    try:
        with open(aside, "xb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(aside, stat.S_IMODE(os.stat(path).st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Wait until the names in a folder are on disk, or a power cut could bring the old one back."""
    if os.name != "posix":  # only there a folder can be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without this has its own ways
            raise
    finally:
        os.close(descriptor)


def remove_leftovers(path: PathLike) -> None:
    """Delete what killed processes left of their attempts to write this file."""
    folder, name = os.path.split(os.path.realpath(os.fsdecode(path)))
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.part")
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name):
                os.unlink(entry.path)
