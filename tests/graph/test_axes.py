"""Axes and shapes as users spell them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.samples import arrays, shapes
from tinygrad_edu.errors import ArgumentError, AxisError, DTypeError, ShapeError
from tinygrad_edu.graph.axes import all_axes, one_axis, resolve_reshape, unpack

REDUCTIONS = ["sum", "mean", "amax", "amin", "var", "std", "norm", "logsumexp"]
ONE_AXIS = ["argmax", "argmin", "softmax", "log_softmax"]


@st.composite
def spelled_axes(draw: Any) -> tuple[np.ndarray, Any]:
    """An array and some of its axes: None, one, or several; negative or not; any sequence."""
    x = draw(shapes(min_dims=1, min_side=1).flatmap(arrays))
    chosen = draw(st.lists(st.integers(0, x.ndim - 1), unique=True, min_size=1))
    signed = [a - x.ndim if draw(st.booleans()) else a for a in chosen]
    how = draw(st.sampled_from([tuple, list, lambda s: s[0], lambda s: np.int64(s[0])]))
    return x, draw(st.sampled_from([None, how(signed)]))


@given(spelled_axes(), st.booleans())
def test_reductions_take_axes_as_numpy_does(case: tuple[np.ndarray, Any], keep: bool) -> None:
    """Under torch's names and under NumPy's."""
    x, dim = case
    axis = tuple(dim) if isinstance(dim, list) else dim
    for name in ("sum", "mean", "amax", "amin"):
        wanted = getattr(np, name)(x, axis=axis, keepdims=keep)
        function = getattr(tg, name)
        for found in (
            function(tg.tensor(x), dim, keep),
            function(tg.tensor(x), dim=dim, keepdim=keep),
            function(tg.tensor(x), axis=dim, keepdims=keep),
        ):
            assert found.shape == wanted.shape
            # A sum of at most 27 numbers below 2 in another order: 27 roundings of up to 54.
            np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=27 * 54 * 2.3e-16)


@pytest.mark.parametrize("name", REDUCTIONS + ONE_AXIS)
def test_an_axis_that_does_not_exist(name: str) -> None:
    for shape, dim in [((2, 3), 2), ((2, 3), -3), ((), 1), ((), -2)]:
        with pytest.raises(AxisError, match=rf"^{name}: axis {dim} .*{len(shape) or 1}") as caught:
            getattr(tg, name)(tg.zeros(shape), dim=dim)
        assert isinstance(caught.value, IndexError)
        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", REDUCTIONS + ONE_AXIS)
@pytest.mark.parametrize("dim", [1.0, "0", [0.5]])
def test_an_axis_that_is_no_integer(name: str, dim: Any) -> None:
    with pytest.raises(DTypeError, match=f"^{name}: an axis is an integer"):
        getattr(tg, name)(tg.zeros(2, 3), dim=dim)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_an_axis_named_twice(name: str) -> None:
    with pytest.raises(AxisError, match=f"^{name}: .*twice"):
        getattr(tg, name)(tg.zeros(2, 3), dim=(1, -1))


@pytest.mark.parametrize("name", REDUCTIONS + ONE_AXIS)
def test_scalars_have_the_axis_of_a_vector(name: str) -> None:
    x = tg.tensor(2.0, requires_grad=True)
    extra = {"correction": 0} if name in ("var", "std") else {}
    for dim in (0, -1):
        y = getattr(tg, name)(x, dim=dim, **extra)
        assert y.shape == ()
    assert getattr(tg, name)(x.reshape(1), dim=0, **extra).item() == y.item()


@pytest.mark.parametrize("name", ["sum", "softmax"])
def test_both_spellings_at_once(name: str) -> None:
    with pytest.raises(ArgumentError, match="'dim' and 'axis'"):
        getattr(tg, name)(tg.zeros(2), dim=0, axis=0)


def test_unpack() -> None:
    assert unpack((2, 3)) == unpack(((2, 3),)) == unpack(([2, 3],)) == (2, 3)
    assert unpack(()) == unpack(((),)) == ()
    assert unpack((np.int64(2),)) == (2,)
    with pytest.raises(TypeError):
        unpack((2.5,))


@given(shapes(min_dims=1), st.data())
def test_one_axis_counts_from_either_end(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    assert one_axis("op", shape, axis) == one_axis("op", shape, axis - len(shape)) == axis
    assert all_axes("op", shape, None) == tuple(range(len(shape)))


# ------------------------------------------------------------------------------ layout


@given(shapes(max_dims=4), st.data())
def test_reshape_works_one_size_out(shape: tuple[int, ...], data: st.DataObject) -> None:
    x = np.arange(math.prod(shape)).reshape(shape)
    target = list(data.draw(st.permutations(shape)))
    known = [i for i, _ in enumerate(target) if math.prod(target[:i] + target[i + 1 :])]
    wanted = x.reshape(target)
    spelled = [tuple(target)]
    if known:
        at = data.draw(st.sampled_from(known))
        spelled.append((*target[:at], -1, *target[at + 1 :]))
    for sizes in spelled:
        for y in (tg.tensor(x).reshape(*sizes), tg.tensor(x).view(sizes)):
            assert y.shape == wanted.shape
            assert y.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((6,), (4,)),
        ((6,), (-1, -1)),
        ((6,), (-1, 4)),
        ((6,), (-1, -2, -3)),
        ((6,), (-2, -3)),
        ((6,), (-6,)),
        ((0,), (-1, 0)),
        ((6,), ()),
    ],
)
def test_reshapes_that_do_not_fit(shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"^reshape: \d elements of shape .*worked out"):
        resolve_reshape(shape, wanted)


@given(shapes(min_dims=2), st.data())
def test_moving_axes(shape: tuple[int, ...], data: st.DataObject) -> None:
    x = data.draw(arrays(shape))
    order = data.draw(st.permutations(range(len(shape))))
    signed = [a - len(shape) if data.draw(st.booleans()) else a for a in order]
    a, b = signed[0], signed[1]
    t = tg.tensor(x)
    np.testing.assert_array_equal(t.permute(signed).numpy(), np.transpose(x, order))
    np.testing.assert_array_equal(t.permute(*signed).numpy(), np.transpose(x, order))
    np.testing.assert_array_equal(t.transpose(a, b).numpy(), np.swapaxes(x, a, b))
    np.testing.assert_array_equal(t.unsqueeze(a).squeeze(a).numpy(), x)
    at = data.draw(st.integers(-len(shape) - 1, len(shape)))
    assert t.unsqueeze(at).shape == np.expand_dims(x, at).shape


def test_squeeze_and_flatten() -> None:
    x = tg.zeros(1, 2, 1, 3)
    assert x.squeeze().shape == (2, 3)
    assert x.squeeze(0).shape == (2, 1, 3)
    assert x.squeeze(1).shape == (1, 2, 1, 3)  # as torch: not of size 1, left alone
    assert x.squeeze((0, 2)).shape == (2, 3)
    assert x.flatten().shape == (6,)
    assert x.flatten(1).shape == (1, 6)
    assert x.flatten(1, 2).shape == (1, 2, 3)
    assert tg.tensor(1.0).flatten().shape == (1,)
    assert tg.tensor(1.0).squeeze().shape == ()


def test_expand() -> None:
    x = tg.tensor([[1.0], [2.0]], requires_grad=True)
    y = x.expand(4, 2, 3)
    assert y.shape == x.expand(4, -1, 3).shape == (4, 2, 3)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[12], [12]]
    for wrong in ((3, 3), (-1, 2, 3), (2,), (2, -2)):
        with pytest.raises(ShapeError, match=r"^expand: shape \(2, 1\)"):
            x.expand(wrong)


def test_cat_and_stack() -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.arange(3.0).reshape(1, 3)
    x, y = tg.tensor(a), tg.tensor(b)
    assert tg.cat([x, y]).tolist() == np.concatenate([a, b]).tolist()
    assert tg.cat((x, x), dim=-1).tolist() == np.concatenate([a, a], -1).tolist()
    assert tg.cat([x, x], axis=1).shape == (2, 6)
    for dim in (0, 1, 2, -1, -3):
        assert tg.stack([x, x], dim).tolist() == np.stack([a, a], dim).tolist()
    assert tg.stack([tg.tensor(1.0), 2.0]).tolist() == [1, 2]
    assert tg.cat(t for t in (x, y)).shape == (3, 3)
    assert tg.cat([x, tg.tensor([[1, 2, 3]])]).dtype == np.float64


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda x: tg.cat([]), "cat: needs at least one"),
        (lambda x: tg.stack([]), "stack: needs at least one"),
        (lambda x: tg.cat([x, tg.ones(2, 4)]), r"cat: .*\(2, 3\) and \(2, 4\).*axis 0"),
        (lambda x: tg.cat([x, tg.ones(2)]), r"cat: .*\(2, 3\) and \(2,\)"),
        (lambda x: tg.cat([x, x], 2), "cat: axis 2 does not exist"),
        (lambda x: tg.cat([tg.tensor(1.0)]), "cat: a scalar .*stack"),
        (lambda x: tg.stack([x, tg.ones(2, 4)]), r"stack: .*\(2, 3\) and \(2, 4\).*cat"),
        (lambda x: tg.stack([x, x], 3), "unsqueeze|stack: axis 3"),
        (lambda x: x.permute(0), r"permute: \(0,\)"),
        (lambda x: x.permute(0, 0), r"permute: \(0, 0\)"),
        (lambda x: x.permute(0, 2), "permute: axis 2"),
        (lambda x: x.transpose(0, 2), "transpose: axis 2"),
        (lambda x: x.flatten(1, 0), "flatten: start_dim 1 comes after end_dim 0"),
        (lambda x: x.unsqueeze(3), "unsqueeze: axis 3"),
        (lambda x: x.squeeze(2), "squeeze: axis 2"),
        (lambda x: tg.ones(3).mT, "mT: shape"),
        (lambda x: tg.ones(2, 0).amax(1), r"amax: shape \(2, 0\)"),
        (lambda x: tg.ones(0).argmax(), r"argmax: shape \(0,\)"),
    ],
)
def test_misfits_name_the_function_and_the_shapes(act: Any, text: str) -> None:
    with pytest.raises((ShapeError, ArgumentError), match=f"^({text})"):
        act(tg.ones(2, 3))


# ------------------------------------------------------------------------------ accuracy of sums


@pytest.mark.parametrize("layout", ["rows", "columns", "strided", "transposed"])
@pytest.mark.parametrize("axes", [None, 0, 1, (0, 1)])
def test_float32_sums_do_not_drift(layout: str, axes: Any) -> None:
    """Summing n positive numbers one after another errs by up to n/2 roundings. Pairwise, or with
    a float64 total, it is log2(n) roundings at most, whatever the strides."""
    n = 1 << 18
    flat = np.random.default_rng(0).random(n, np.float32)
    x = {
        "rows": flat.reshape(-1, 2),
        "columns": flat.reshape(2, -1),
        "strided": np.repeat(flat.reshape(-1, 2), 2, axis=1)[:, ::2],
        "transposed": np.asfortranarray(flat.reshape(-1, 2)),
    }[layout]
    found = tg.tensor(x).node
    found.data = x  # with its strides, which a copy would not keep
    wanted = x.astype(np.float64).sum(axis=axes)
    error = np.abs(tg.sum(tg.graph.tensor.make(found), axes).numpy() - wanted) / wanted
    assert np.max(error) < 18 * np.finfo(np.float32).eps
