"""Rules read as LLVM instructions against the same rules read by NumPy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.costs import costs
from tinygrad_edu.kernels.description import Kernel, Value
from tinygrad_edu.kernels.emit import emit
from tinygrad_edu.kernels.lanes import NoVectorForm
from tinygrad_edu.kernels.native import Stream
from tinygrad_edu.ops.kinds import Elementwise
from tinygrad_edu.ops.table import TABLE

NONE = np.zeros((0, 2), np.int64)
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, -3.0, 6.0, 7.5, -40.0, np.inf, -np.inf, np.nan, 1e-30]
RULES = sorted(name for name, op in TABLE.items() if isinstance(op, Elementwise))
PARAMS = {"leaky_relu": {"negative_slope": 0.1}, "elu": {"alpha": 1.5}}
PARAMS["hardtanh"] = {"low": -1.0, "high": 0.5}
ULPS = 64
"""Allowed difference: products are fused with sums, and both sides round several times."""


def run(op: Elementwise, xs: list[np.ndarray], result: Any, params: Any) -> np.ndarray:
    """The op emitted for arrays of one shape."""
    everywhere = (True,)
    operands = [Value("operand", x.dtype, everywhere) for x in xs]
    inputs = tuple(range(len(xs)))
    details = (f"{op.name} {params}", op.rule, params)
    kernel = Kernel((*operands, Value("map", result, everywhere, inputs, *details)), (len(xs),))
    y = np.zeros(xs[0].shape, result)
    target = llvm.host()
    address = llvm.address(kernel.signature, lambda name: emit(kernel, target, name), target)
    args = [y.size, *(x.ctypes.data for x in xs), y.ctypes.data]
    Stream(np.array([address, len(args), *args], np.int64), NONE, NONE, NONE).run(0, 1)
    return y


def operands(op: Elementwise, dtype: Any) -> list[np.ndarray]:
    """Operands of the op: conditions first where it selects."""
    rng = np.random.default_rng(0)
    values = np.concatenate([EDGES, rng.standard_normal(60) * 3])
    if np.dtype(dtype).kind != "f":
        values = np.nan_to_num(values, posinf=9, neginf=-9)
    xs = [rng.permutation(values).astype(dtype) for _ in range(op.arity)]
    for i in range(op.selects):
        xs[i] = rng.random(values.size) < 0.5
    return xs


def emitted() -> Iterator[tuple[str, Any]]:
    """The rules and dtypes that have an emitted form: not those whose operands are converted to
    another dtype first, or refused."""
    for name in RULES:
        op = TABLE[name]
        assert isinstance(op, Elementwise)
        for dtype in (np.float32, np.float64, np.int64, np.bool_):
            xs = operands(op, dtype)
            with contextlib.suppress(NoVectorForm, TypeError):
                result = op.infer(*xs)[1]
                costs(op.rule, PARAMS.get(name, {}), [x.dtype for x in xs], result)
                if op.prepare(xs) is None:
                    yield name, dtype


EMITTED = list(emitted())


def test_the_common_rules_are_emitted() -> None:
    floats = {name for name, dtype in EMITTED if dtype is np.float32}
    assert floats >= {"add", "sub", "mul", "div", "where", "exp", "log", "tanh", "relu", "sqrt"}
    assert len(EMITTED) > 80


@pytest.mark.parametrize(("name", "dtype"), EMITTED)
def test_every_rule(name: str, dtype: Any) -> None:
    op, params = TABLE[name], PARAMS.get(name, {})
    assert isinstance(op, Elementwise)
    xs = operands(op, dtype)
    result = op.infer(*xs, **params)[1]
    found, expected = run(op, xs, result, params), op.forward(*xs, **params)
    if result.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    unit = np.finfo(result).eps * ULPS
    scale = 1 + max(float(np.abs(x[np.isfinite(x)]).max()) for x in xs if x.dtype.kind == "f")
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(found, expected, rtol=unit, atol=unit * scale)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))


def test_only_the_power_of_integers_has_no_vector_form() -> None:
    """It raises where the exponent is negative, so NumPy computes it, in compiled steps too."""
    refused = set()
    for name in RULES:
        op = TABLE[name]
        assert isinstance(op, Elementwise)
        for dtype in (np.float32, np.float64, np.int32, np.int64, np.bool_):
            xs = operands(op, dtype)
            with contextlib.suppress(TypeError):
                if op.prepare(xs) is None and (name, dtype) not in EMITTED:
                    try:
                        costs(
                            op.rule, PARAMS.get(name, {}), [x.dtype for x in xs], op.infer(*xs)[1]
                        )
                    except NoVectorForm:
                        refused.add((name, np.dtype(dtype).name))
    assert refused == {("pow", "int32"), ("pow", "int64")}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
@pytest.mark.parametrize("name", ["remainder", "floor_divide"])
def test_division_of_every_pair(name: str, dtype: Any) -> None:
    if np.dtype(dtype).kind == "f":
        numbers = np.array([*EDGES, 0.3, -0.3, 1e30, -5.5], dtype)
    else:
        info = np.iinfo(dtype)
        numbers = np.array([0, 1, -1, 2, -2, 7, -7, info.min, info.max, info.min + 1], dtype)
    x, y = (a.ravel().copy() for a in np.meshgrid(numbers, numbers))
    op = TABLE[name]
    assert isinstance(op, Elementwise)
    found, expected = run(op, [x, y], x.dtype, {}), op.forward(x, y)
    np.testing.assert_array_equal(found, expected)
    if x.dtype.kind == "f":
        numeric = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found[numeric]), np.signbit(expected[numeric]))


def test_a_bare_number_takes_the_type_of_what_is_beside_it() -> None:
    seen = []
    costs(lambda m, x: seen.append((2 * x + 1).dtype) or x, {}, [np.dtype("f4")], np.dtype("f4"))
    assert seen == [np.dtype(np.float32)]


def test_what_has_no_vector_form_says_so() -> None:
    with pytest.raises(NoVectorForm):
        costs(TABLE["pow"].rule, {}, [np.dtype("i8")] * 2, np.dtype("i8"))  # type: ignore[attr-defined]
    with pytest.raises(NoVectorForm):
        costs(lambda m, x: x / 2, {}, [np.dtype("i8")], np.dtype("i8"))
