"""Single calls with random operands held against torch: values, dtypes, shapes, gradients, and
whether there is a result at all.

A call is a line of Python that means the same with `m` one library or the other. Operands are of
any dtype and rank, empty ones too, and full of ties; keys of an index mix slices, integers, None,
`...`, positions and masks. What torch refuses and we allow is no matter.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu.errors import TinygradError

pytestmark = pytest.mark.peer

DTYPES = ("float32", "float64", "int64", "int32", "bool")
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}
"""Of a function's value and gradient, relative to the largest: a hundred roundings, since torch
computes a float32 gradient of mixed operands partly in float32 where we have float64."""

UNARY = ("abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "erf", "exp", "expm1", "floor",
         "isfinite", "isnan", "log", "log1p", "neg", "relu", "round", "rsqrt", "sigmoid", "sign",
         "sin", "sinh", "sqrt", "tan", "tanh", "trunc", "logical_not")  # fmt: skip
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge",
          "fmod", "remainder", "logical_and", "logical_or", "logical_xor")  # fmt: skip
REDUCTIONS = ("sum", "mean", "prod", "amax", "amin", "var", "std", "all", "any", "logsumexp")
LAYOUTS = ("a.T if a.ndim == 2 else a", "a.flatten()", "a.squeeze()", "a[None].squeeze(0)",
           "m.tril(a) if a.ndim > 1 else a", "m.triu(a, 1) if a.ndim > 1 else a", "a.reshape(-1)",
           "a.unsqueeze(-1)", "m.flip(a, (0,)) if a.ndim else a", "m.cat([a, a], -1)",
           "m.stack([a, a], 1)", "a.repeat_interleave(2)", "m.cumsum(a, -1)", "m.roll(a, 1)",
           "m.unbind(a, -1)", "m.chunk(a, 2)", "m.movedim(a, 0, -1)", "a.tile((2,))",
           "a.sort(-1, stable=True).values", "a.max()", "a.argmax(-1)")  # fmt: skip
OPERATORS = ("+", "-", "*", "/", "%", "<", ">=", "==")
NUMBERS = ("2", "-1", "0.5", "-1.5", "3", "True")
IN_PLACE = ("+=", "-=", "*=", "**=", "%=")

OURS_REFUSES = ("needs floats", "not defined for bool", "cannot be divided by 0", "scalar")
"""What torch allows: softmax and the like of empty or whole tensors, arithmetic of truth values,
integers divided by 0 (undefined there), `cat` of scalars."""


@st.composite
def operands(draw: Any, dtypes: tuple[str, ...] = DTYPES) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays whose shapes broadcast; small integers among the values, so there are ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.lists(st.sampled_from([0, 1, 2, 3, 3, 4]), max_size=3))
    other = [1 if draw(st.booleans()) else n for n in shape][draw(st.integers(0, len(shape))) :]

    def values(shape: list[int]) -> np.ndarray:
        dtype = draw(st.sampled_from(dtypes))
        if dtype == "bool":
            return rng.random(shape) < 0.5
        if dtype.startswith("int") or draw(st.booleans()):
            return np.asarray(rng.integers(-3, 4, shape)).astype(dtype)
        return np.asarray(rng.uniform(-2, 2, shape)).astype(dtype)

    return values(shape), values(other)


@st.composite
def keys(draw: Any, shape: tuple[int, ...]) -> str:
    """What stands between the brackets of an index."""
    parts: list[str] = []
    axis, rows = 0, draw(st.sampled_from([1, 2]))
    while axis < len(shape):
        n = shape[axis]
        kinds = [
            "slice",
            "all",
            "none",
            "ellipsis",
            *(["integer", "list", "tensor", "mask"] * (n > 0)),
        ]
        kind = draw(st.sampled_from(kinds))
        position = st.integers(-n, n - 1) if n else st.just(0)
        if kind == "slice":
            ends = [draw(st.one_of(st.just(""), st.integers(-n - 1, n + 1))) for _ in range(2)]
            parts.append(f"{ends[0]}:{ends[1]}:{draw(st.sampled_from(['', 1, 2]))}")
        elif kind == "none":
            parts.append("None")
            continue
        elif kind == "ellipsis":
            if "..." not in parts:
                parts.append("...")
                axis = draw(st.integers(axis, len(shape)))
            continue
        elif kind == "integer":
            parts.append(str(draw(position)))
        elif kind == "list":
            parts.append(str([draw(position) for _ in range(rows)]))
        elif kind == "tensor":
            parts.append(f"m.tensor({[draw(position)] * rows if rows > 1 else draw(position)})")
        elif kind == "mask":
            held = [i < rows for i in range(n)]
            parts.append(f"m.tensor({held})" if n >= rows else ":")
        else:
            parts.append(":")
        axis += 1
        if draw(st.booleans()) and axis == len(shape):
            break
    return ", ".join(parts) or "..."


# ------------------------------------------------------------------------------ both sides


def run(m: Any, call: str, arrays: dict[str, np.ndarray]) -> Any:
    """The results of a call with their gradients, or the error."""
    tensors = {name: m.tensor(array) for name, array in arrays.items()}
    leaves = {
        name: t.requires_grad_() for name, t in tensors.items() if arrays[name].dtype.kind == "f"
    }
    scope: dict[str, Any] = {"m": m, **tensors}
    try:
        exec(call, scope)  # one of the lines above
    except Exception as error:
        return error
    y = scope["y"]
    results = list(y) if isinstance(y, tuple | list) else [y]
    total = 0.0
    for i, result in enumerate(results):
        if result.requires_grad:
            weights = np.linspace(0.5, 1.5 + i, int(np.prod(tuple(result.shape)))) + 1
            total = total + (result.to(m.float64).reshape(-1) * m.tensor(weights)).sum()
    grads: list[Any] = [None] * len(leaves)
    if getattr(total, "requires_grad", False):
        try:
            grads = list(m.autograd.grad(total, list(leaves.values()), allow_unused=True))
        except Exception as error:
            return error
    return results, grads


def agree(found: Any, wanted: Any) -> None:
    dtype = str(wanted.dtype).removeprefix("torch.")
    assert str(found.dtype) == dtype
    assert tuple(found.shape) == tuple(wanted.shape)
    a, b = found.detach().numpy(), wanted.detach().numpy()
    if dtype not in TOLERANCE:
        np.testing.assert_array_equal(a, b)
        return
    finite = np.abs(b[np.isfinite(b)])
    atol = TOLERANCE[dtype] * finite.max(initial=0.0)
    np.testing.assert_allclose(a, b, rtol=TOLERANCE[dtype], atol=atol)


def hold(torch: ModuleType, call: str, **arrays: np.ndarray) -> None:
    """Ours is torch's, where torch has a result."""
    wanted = run(torch, call, arrays)
    found = run(tg, call, arrays)
    if isinstance(wanted, Exception):
        assert not isinstance(found, Exception) or isinstance(found, TinygradError), found
        return
    if isinstance(found, TinygradError) and any(why in str(found) for why in OURS_REFUSES):
        return
    assert not isinstance(found, Exception), f"{call}: {found}"
    assert len(found[0]) == len(wanted[0])
    for ours, theirs in zip(found[0], wanted[0], strict=True):
        agree(ours, theirs)
    for ours, theirs in zip(found[1], wanted[1], strict=True):
        if ours is not None and theirs is not None:
            agree(ours, theirs)
        else:  # no dependence is a gradient of 0
            assert all(g is None or not g.detach().numpy().any() for g in (ours, theirs))


# ------------------------------------------------------------------------------ calls


def test_a_difference_is_found(torch: ModuleType) -> None:
    x = np.array([1.5, -2.5])
    hold(torch, "y = a.abs()", a=x)
    with pytest.raises(AssertionError):
        hold(torch, "y = a + (0 if m.__name__ == 'torch' else 1)", a=x)
    with pytest.raises(AssertionError):
        hold(torch, "y = a if m.__name__ == 'torch' else a.detach() + a * 0", a=x)


@settings(max_examples=200)
@given(data=st.data(), xs=operands())
def test_arithmetic(torch: ModuleType, data: st.DataObject, xs: Any) -> None:
    calls = [f"m.{name}(a)" for name in UNARY]
    calls += [form for name in BINARY for form in (f"m.{name}(a, b)", f"a.{name}(b)")]
    calls += [f"a {sign} b" for sign in OPERATORS]
    calls += [f"a {sign} {number}" for sign in OPERATORS for number in NUMBERS]
    calls += [f"{number} {sign} a" for sign in OPERATORS for number in NUMBERS]
    calls += ["m.where(a > b, a, b)", "m.where(a > 0, a, -1)", "m.clamp(a, -1, 0.5)"]
    hold(torch, f"y = {data.draw(st.sampled_from(calls))}", a=xs[0], b=xs[1])


@settings(max_examples=150)
@given(data=st.data(), xs=operands())
def test_reductions_and_layouts(torch: ModuleType, data: st.DataObject, xs: Any) -> None:
    x, ndim = xs[0], xs[0].ndim
    axis = data.draw(st.integers(-max(ndim, 1), max(ndim, 1) - 1))
    keep = data.draw(st.booleans())
    calls = [f"m.{name}(a, dim={axis}, keepdim={keep})" for name in REDUCTIONS]
    calls += [f"a.{name}()" for name in ("sum", "mean", "prod", "var", "std", "all", "any", "max")]
    calls += [f"m.softmax(a, {axis})", f"m.log_softmax(a, {axis})", *LAYOUTS]
    hold(torch, f"y = {data.draw(st.sampled_from(calls))}", a=x)


@settings(max_examples=250)
@given(data=st.data(), xs=operands())
def test_reading_and_assigning(torch: ModuleType, data: st.DataObject, xs: Any) -> None:
    """Every element at most once on assignment: torch does not say which of two values stays."""
    key = data.draw(keys(xs[0].shape))
    hold(torch, f"y = a[{key}]", a=xs[0])
    number = data.draw(st.sampled_from(NUMBERS))
    hold(torch, f"y = a * 1\ny[{key}] = {number}", a=xs[0])


@settings(max_examples=100)
@given(data=st.data(), xs=operands())
def test_arithmetic_in_place(torch: ModuleType, data: st.DataObject, xs: Any) -> None:
    sign = data.draw(st.sampled_from(IN_PLACE))
    other = data.draw(st.sampled_from(("b", *NUMBERS)))
    hold(torch, f"x = a * 1\nz = x\nx {sign} {other}\ny = (x, z)", a=xs[0], b=xs[1])
