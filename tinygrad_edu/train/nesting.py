"""A nested object as JSON and named arrays, and back: what a checkpoint is made of.

None, bools, whole numbers, finite floats, text, lists and dictionaries are JSON as they are.
Whatever JSON does not have is an object whose only key begins with "$":

    {"$tensor": name}   {"$array": name}   {"$scalar": name}   of the array stored under that name
    {"$tuple": [...]}   {"$dict": [[key, value], ...]}   keys that are numbers, or begin with "$"
    {"$float": "nan"}   {"$int": "0x..."}                a float that is not finite; 65 bits or more

`$axes` beside an array's name is its order in memory, see `memory_order`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_edu.errors import CheckpointError
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.tensor import Tensor, make

Array = np.ndarray[Any, np.dtype[Any]]
Json = Any
Path = tuple[str | int, ...]

CODES = {
    np.dtype(numpys): code
    for numpys, code in {
        "?": "BOOL",
        **{f"u{size}": f"U{8 * size}" for size in (1, 2, 4, 8)},
        **{f"i{size}": f"I{8 * size}" for size in (1, 2, 4, 8)},
        **{f"f{size}": f"F{8 * size}" for size in (2, 4, 8)},
    }.items()
}
"""The dtypes a checkpoint can hold, and what safetensors calls them."""

DEEPEST = 100
"""Levels of nesting. Python's JSON gives up near 1000, and a level here may be three of its."""

LARGEST_PLAIN = 2**63
"""Whole numbers from here on are written in hexadecimal: other readers of JSON would round them,
and Python converts thousands of decimal digits only if told to."""


# ------------------------------------------------------------------------------ taking apart


def split(obj: Any) -> tuple[Json, dict[str, Array]]:
    """The object as JSON and arrays. An array is named after the keys that lead to it, joined by
    dots, so a state dictionary keeps its keys; the arrays are not copied.

    Raises:
        CheckpointError: Something in it cannot be stored; the message says where.
    """
    taker = _Splitter()
    return taker.split(obj, ()), taker.arrays


class _Splitter:
    """One object being taken apart."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self._around: list[Any] = []
        """The containers that lead to where we are."""

    def split(self, value: Any, path: Path) -> Json:
        if isinstance(value, Tensor):
            if value.node.is_abstract:
                raise _refused(path, "a tensor that is being traced and has no values yet")
            return self._array("$tensor", value.node.data, path)
        if isinstance(value, np.generic):  # before str, int and float, of which some are
            return self._array("$scalar", value, path)
        if type(value) in (np.ndarray, np.memmap):  # a masked array, say, would lose its mask
            return self._array("$array", value, path)
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int):
            return int(value) if abs(value) < LARGEST_PLAIN else {"$int": hex(value)}
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
        if isinstance(value, Mapping | list | tuple):
            return self._container(value, path)
        raise _refused(path, _what(value))

    def _array(self, tag: str, value: Any, path: Path) -> Json:
        array = np.asarray(value)
        if native(array.dtype) not in CODES:
            raise _refused(path, f"of dtype {array.dtype}")
        name = _name(path)
        while name in self.arrays or name == "__metadata__":
            name += "_"
        self.arrays[name] = array
        axes = memory_order(array)
        return {tag: name} if axes is None else {tag: name, "$axes": axes}

    def _container(self, value: Any, path: Path) -> Json:
        if any(value is outer for outer in self._around):
            raise _refused(path, "a container that holds itself")
        if len(self._around) == DEEPEST:
            raise _refused(path, f"nested more than {DEEPEST} levels deep")
        self._around.append(value)
        if isinstance(value, Mapping):
            node = self._mapping(value, path)
        else:
            node = [self.split(part, (*path, i)) for i, part in enumerate(value)]
        self._around.pop()
        return {"$tuple": node} if isinstance(value, tuple) else node

    def _mapping(self, value: Mapping[Any, Any], path: Path) -> Json:
        for key in value:
            if type(key) not in (str, int):  # a bool or an enumeration would come back as another
                raise _refused(path, f"a dictionary with the key {key!r}; keys are str or int")
        if any(isinstance(key, int) or key.startswith("$") for key in value):
            pairs = [
                [self.split(key, path), self.split(v, (*path, key))] for key, v in value.items()
            ]
            return {"$dict": pairs}
        return {key: self.split(v, (*path, key)) for key, v in value.items()}


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in this machine's byte order."""
    return dtype.newbyteorder("=")


def memory_order(array: Array) -> list[int] | None:
    """The axes from the largest stride to the smallest, then those of size 1, which have none to
    speak of; None where that is C's order.

    What a matrix product rounds to may depend on it, so a run that is resumed needs it back.
    """
    if array.flags.c_contiguous:
        return None
    axes = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    long = [axis for axis in axes if array.shape[axis] > 1]
    short = [axis for axis in range(array.ndim) if array.shape[axis] <= 1]
    return None if long == sorted(long) else long + short


def _name(path: Path) -> str:
    name = ".".join(map(str, path)) or "value"
    # A lone surrogate is allowed in a Python string, but not in a JSON file that others read.
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _refused(path: Path, what: str) -> CheckpointError:
    place = "obj" + "".join(f"[{key!r}]" for key in path)
    return CheckpointError(
        f"save: {place} is {what}, which a checkpoint cannot hold: it takes tensors, arrays (bool, "
        "int, float), numbers, str, None, and dictionaries, lists and tuples of these. Nothing was "
        "written."
    )


def _what(value: Any) -> str:
    kind = type(value).__name__
    hint = " (save its state_dict())" if hasattr(value, "state_dict") else ""
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}{hint}"


# ------------------------------------------------------------------------------ putting together


def join(node: Json, arrays: Mapping[str, Array]) -> Any:
    """The object again, of what `split` made of it; the arrays are used, not copied."""
    if isinstance(node, list):
        return [join(part, arrays) for part in node]
    if not isinstance(node, dict):
        return node
    tag = next(iter(node), "")
    if not tag.startswith("$"):
        return {key: join(part, arrays) for key, part in node.items()}
    if tag in _OF_ARRAY:
        return _OF_ARRAY[tag](_laid_out(arrays[node[tag]], node.get("$axes")))
    if tag == "$tuple":
        return tuple(join(part, arrays) for part in node[tag])
    if tag == "$dict":
        return {join(key, arrays): join(part, arrays) for key, part in node[tag]}
    return _OF_TEXT[tag](node[tag])


def _laid_out(array: Array, axes: list[int] | None) -> Array:
    """The array with its axes in that `memory_order`."""
    if axes is None:
        return array
    return np.ascontiguousarray(array.transpose(axes)).transpose(np.argsort(axes))


_OF_ARRAY: Mapping[str, Callable[[Array], Any]] = {
    "$tensor": lambda array: make(Node(array)),
    "$array": lambda array: array,
    "$scalar": lambda array: array[()],
}
_OF_TEXT: Mapping[str, Callable[[str], Any]] = {
    "$float": float,
    "$int": lambda text: int(text, 16),
}
