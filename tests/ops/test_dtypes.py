"""Which dtype comes out: torch's table, as literal facts."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_edu as tg
from tests.ops.samples import RULES, SIDE
from tinygrad_edu.errors import DTypeError
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.ops import TABLE
from tinygrad_edu.ops.dtypes import Spec, of_number, promote, promote_pair
from tinygrad_edu.ops.kinds import Elementwise

NAMES = ("bool", "int32", "int64", "float32", "float64")

# torch.promote_types, row and column in the order of NAMES.
PAIRS = (
    ("bool", "int32", "int64", "float32", "float64"),
    ("int32", "int32", "int64", "float32", "float64"),
    ("int64", "int64", "int64", "float32", "float64"),
    ("float32", "float32", "float32", "float32", "float64"),
    ("float64", "float64", "float64", "float64", "float64"),
)

# A tensor with dimensions (row) and one without (column): only a higher category counts.
WITH_SCALAR = (
    ("bool", "int32", "int64", "float32", "float64"),
    ("int32", "int32", "int32", "float32", "float64"),
    ("int64", "int64", "int64", "float32", "float64"),
    ("float32", "float32", "float32", "float32", "float32"),
    ("float64", "float64", "float64", "float64", "float64"),
)

# A tensor of any shape (row) and a Python bool, int or float.
WITH_NUMBER = (
    ("bool", "int64", "float32"),
    ("int32", "int32", "float32"),
    ("int64", "int64", "float32"),
    ("float32", "float32", "float32"),
    ("float64", "float64", "float64"),
)

NUMBERS = (True, 2, 0.5)

pairs = [(i, j) for i in range(len(NAMES)) for j in range(len(NAMES))]
beside = [(i, j) for i in range(len(NAMES)) for j in range(len(NUMBERS))]


def spec(name: str, shape: tuple[int, ...]) -> Spec:
    return SimpleNamespace(dtype=np.dtype(name), shape=shape)


@pytest.mark.parametrize(("i", "j"), pairs)
def test_two_tensors(i: int, j: int) -> None:
    assert promote_pair(np.dtype(NAMES[i]), np.dtype(NAMES[j])) == PAIRS[i][j]
    for shape in ((), (2,)):
        assert promote([spec(NAMES[i], shape), spec(NAMES[j], shape)]) == PAIRS[i][j]
    a, b = tg.ones(2, dtype=NAMES[i]), tg.ones(2, dtype=NAMES[j])
    assert (a + b).dtype == (b + a).dtype == PAIRS[i][j]


@pytest.mark.parametrize(("i", "j"), pairs)
def test_tensor_and_scalar_tensor(i: int, j: int) -> None:
    assert promote([spec(NAMES[i], (2,)), spec(NAMES[j], ())]) == WITH_SCALAR[i][j]
    a, b = tg.ones(2, dtype=NAMES[i]), tg.ones((), dtype=NAMES[j])
    assert (a + b).dtype == (b + a).dtype == WITH_SCALAR[i][j]


@pytest.mark.parametrize(("i", "j"), beside)
@pytest.mark.parametrize("shape", [(), (2,)])
def test_tensor_and_python_number(i: int, j: int, shape: tuple[int, ...]) -> None:
    number = NUMBERS[j]
    assert of_number(number, np.dtype(NAMES[i])) == WITH_NUMBER[i][j]
    x = tg.ones(shape, dtype=NAMES[i])
    assert (x + number).dtype == (number + x).dtype == WITH_NUMBER[i][j]


@pytest.mark.parametrize(("number", "name"), [(True, "bool"), (2, "int64"), (0.5, "float32")])
def test_a_number_alone(number: Any, name: str) -> None:
    assert of_number(number, None) == name
    assert tg.tensor(number).dtype == name


@pytest.mark.parametrize("name", ["complex64", "datetime64[s]", "U3", "O"])
def test_other_dtypes_are_refused(name: str) -> None:
    with pytest.raises(DTypeError, match="bool, int or float"):
        tg.tensor(np.zeros(2, name))


@pytest.mark.parametrize("name", sorted(set(RULES)))
@settings(max_examples=15)
@given(data=st.data())
def test_inference_of_any_dtypes(name: str, data: st.DataObject) -> None:
    """Tracing gives the shape and dtype, or the refusal, of the real call, whatever goes in."""
    op = TABLE[name]
    assert isinstance(op, Elementwise)
    shapes = data.draw(
        hnp.mutually_broadcastable_shapes(num_shapes=op.arity, min_side=0, max_side=SIDE)
    ).input_shapes
    dtypes = [data.draw(st.sampled_from(NAMES)) for _ in shapes]
    if op.selects and data.draw(st.booleans()):
        dtypes[0] = "bool"
    xs = [np.ones(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    params = {"alpha": 1.0} if name == "elu" else {}
    params |= {"negative_slope": 0.1} if name == "leaky_relu" else {}
    params |= {"low": -1.0, "high": 1.0} if name == "hardtanh" else {}
    placeholders = [abstract(x.shape, x.dtype) for x in xs]
    try:
        y = apply(op, *map(tg.tensor, xs), **params)
    except DTypeError:
        with pytest.raises(DTypeError, match=f"^{name}: "):
            apply(op, *placeholders, **params)
        return
    traced = apply(op, *placeholders, **params)
    assert (traced.shape, traced.dtype) == (y.shape, y.dtype)
    assert y.shape == np.broadcast_shapes(*shapes)


@pytest.mark.parametrize("name", ["neg", "sub", "pow", "abs", "relu", "relu6", "floor", "clamp"])
def test_arithmetic_that_bool_does_not_have(name: str) -> None:
    """As in torch: -True and True - True would have to be integers."""
    op = TABLE[name]
    assert isinstance(op, Elementwise)
    x = tg.tensor([True, False])
    with pytest.raises(DTypeError, match=f"^{name}: not defined for bool"):
        apply(op, *([x] * op.arity))


def test_python_numbers_do_not_widen() -> None:
    x = tg.ones(3, requires_grad=True)
    y = (1.5 * x**2 / 3 - 0.25 + x.maximum(0.5)).sum()
    y.backward()
    assert y.dtype == np.float32
    assert x.grad is not None
    assert x.grad.dtype == np.float32


def test_numpy_arrays_keep_their_dtype() -> None:
    x = tg.ones(3)
    assert (x + np.ones(3)).dtype == np.float64
    assert (np.ones(3) + x).dtype == np.float64
    assert (x * np.float64(2)).dtype == np.float32  # without dimensions: category only


# ------------------------------------------------------------------------------ held against torch


@pytest.mark.parametrize(("i", "j"), pairs)
def test_torch_promotes_alike(torch: ModuleType, i: int, j: int) -> None:
    def dtype(x: Any) -> str:
        return str(x).removeprefix("torch.")

    a, b = getattr(torch, NAMES[i]), getattr(torch, NAMES[j])
    assert dtype(torch.promote_types(a, b)) == PAIRS[i][j]
    dimensioned, scalar = torch.ones(2, dtype=a), torch.ones((), dtype=b)
    assert dtype(torch.result_type(dimensioned, scalar)) == WITH_SCALAR[i][j]
    if j < len(NUMBERS):
        assert dtype(torch.result_type(dimensioned, NUMBERS[j])) == WITH_NUMBER[i][j]
        assert dtype(torch.result_type(torch.ones((), dtype=a), NUMBERS[j])) == WITH_NUMBER[i][j]
