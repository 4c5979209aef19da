"""Whatever a checkpoint takes comes back as it was, and whatever it does not take is named."""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.train.nestings import DTYPES, arrays, nestings, same
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import CheckpointError
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.train.nesting import CODES, DEEPEST, join, split


@given(nestings)
def test_round_trip(obj: Any) -> None:
    tree, parts = split(obj)
    text = json.dumps(tree, allow_nan=False)
    assert same(obj, join(json.loads(text), parts))


@given(st.dictionaries(st.text(), arrays))
def test_a_flat_dictionary_keeps_its_keys_as_names(obj: dict[str, np.ndarray]) -> None:
    _, parts = split(obj)
    assert {key for key in obj if key not in ("", "__metadata__")} <= parts.keys()
    assert len(parts) == len(obj)


def test_names_do_not_clash() -> None:
    one, two, three, four = (np.full(1, i) for i in range(4))
    obj = {"a.b": one, "a": {"b": two}, "__metadata__": three, "\ud800": four}
    tree, parts = split(obj)
    assert list(parts) == ["a.b", "a.b_", "__metadata___", "\\ud800"]
    assert same(join(tree, parts), obj)


def test_every_dtype_of_the_engine() -> None:
    assert CODES.keys() == {np.dtype(dtype) for dtype in DTYPES}
    assert CODES[np.dtype(bool)] == "BOOL"
    assert CODES[np.dtype(np.uint8)] == "U8"
    assert CODES[np.dtype(np.float16)] == "F16"


def test_large_numbers_are_text() -> None:
    """Other readers of JSON round numbers of more than 64 bits, and Python refuses to convert
    thousands of decimal digits."""
    numbers = [2**63 - 1, 2**63, -(2**63), 10**5000, -(10**5000)]
    tree, parts = split(numbers)
    assert tree[0] == numbers[0]
    assert [list(node) for node in tree[1:]] == [["$int"]] * 4
    assert same(join(json.loads(json.dumps(tree)), parts), numbers)


def test_arrays_are_not_copied() -> None:
    array = np.zeros((3, 2)).T
    _, parts = split([array])
    assert parts["0"] is array
    assert join({"$array": "0"}, parts) is array


def test_subclasses_come_back_as_their_base() -> None:
    class Number(enum.IntEnum):
        ONE = 1

    obj = OrderedDict(n=Number.ONE, p=nn.Parameter([1.0]))
    back = join(*split(obj))
    assert type(back) is dict
    assert type(back["n"]) is int
    assert type(back["p"]) is tg.Tensor
    assert not back["p"].requires_grad


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_states_of_optimizers_and_schedules(name: str, shape: tuple[int, ...]) -> None:
    options: dict[str, Any] = {} if "Adam" in name else {"momentum": 0.9}
    p = nn.Parameter(np.ones(shape, np.float32))
    optimizer = getattr(optim, name)([p], lr=np.float64(0.1), **options)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    for _ in range(2):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
        schedule.step()
    for part in (optimizer, schedule):
        state = part.state_dict()
        back = join(*split(state))
        assert same(state, back)
        part.load_state_dict(back)
        assert same(part.state_dict(), state)


def itself() -> list[Any]:
    """A list in itself, three levels down."""
    inner: list[Any] = []
    inner.append({"b": (inner,)})
    return inner


def deep() -> list[Any]:
    """More levels than are allowed."""
    obj: list[Any] = []
    for _ in range(DEEPEST):
        obj = [obj]
    return obj


REFUSED: dict[str, tuple[Any, str]] = {
    "function": ({"a": [1, {"f": math.sin}]}, r"obj\['a'\]\[1\]\['f'\] is a builtin_function"),
    "module": (nn.Linear(1, 1), r"obj is a Linear \(save its state_dict\(\)\)"),
    "object": ([object()], r"obj\[0\] is an object"),
    "bytes": (b"a", "obj is a bytes"),
    "set": ({"a": {1}}, r"obj\['a'\] is a set"),
    "complex number": (1j, "obj is a complex"),
    "complex array": ([np.zeros(1, complex)], r"obj\[0\] is of dtype complex128"),
    "objects": (np.array([None]), "obj is of dtype object"),
    "text array": (np.array(["a"]), "obj is of dtype <U1"),
    "long double": (np.zeros(1, np.longdouble), "obj is of dtype"),
    "record": (np.zeros(1, [("a", "f4")]), "obj is of dtype"),
    "date": (np.datetime64("2020"), "obj is of dtype datetime64"),
    "NumPy text": (np.str_("a"), "obj is of dtype <U1"),
    "masked array": (np.ma.array([1.0], mask=[True]), "obj is a MaskedArray"),
    "tuple as key": ({(1, 2): 0}, r"obj is a dictionary with the key \(1, 2\)"),
    "float as key": ({"a": {0.5: 0}}, r"obj\['a'\] is a dictionary with the key 0.5"),
    "None as key": ({None: 0}, "the key None"),
    "bool as key": ({True: 0}, "the key True"),
    "cycle": (itself(), r"obj\[0\]\['b'\]\[0\] is a container that holds itself"),
    "depth": (deep(), f"nested more than {DEEPEST} levels"),
    "no values": ([abstract((2,))], r"obj\[0\] is a tensor that is being traced"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_and_names_the_place(case: str) -> None:
    obj, message = REFUSED[case]
    with pytest.raises(CheckpointError, match=message) as error:
        split(obj)
    assert "Nothing was written" in str(error.value)


def test_the_deepest_that_is_taken_can_be_written_and_read() -> None:
    """With the nesting that costs Python's JSON most."""
    obj: Any = ()
    for level in range(DEEPEST - 1):
        obj = {0: obj} if level % 2 else (obj,)
    tree, parts = split(obj)
    assert same(join(json.loads(json.dumps(tree)), parts), obj)


def test_one_container_in_two_places_is_no_cycle() -> None:
    inner = [1]
    assert same(join(*split([inner, inner])), [[1], [1]])
