"""The normalisations as functions: against NumPy, what they do not depend on, and bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_edu as tg
from tests.ops.checks import STEP, ComplexReader
from tests.ops.samples import seeds
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.nn import functional as F
from tinygrad_edu.ops import composite

Array = np.ndarray
EPS = 1e-5


# ------------------------------------------------------------------------------ the oracle


def standardized(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    """Written out, example by example, without the engine."""
    x = x.astype(np.longdouble)
    mean = x.sum(axes, keepdims=True) / np.prod([x.shape[a] for a in axes])
    square = ((x - mean) ** 2).sum(axes, keepdims=True) / np.prod([x.shape[a] for a in axes])
    return (x - mean) / np.sqrt(square + eps)


def a_channel(values: Array, x: Array) -> Array:
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def batch_norm(x: Array, w: Array, b: Array) -> Array:
    axes = (0, *range(2, x.ndim))
    return standardized(x, axes, EPS) * a_channel(w, x) + a_channel(b, x)


def group_norm(x: Array, groups: int, w: Array, b: Array) -> Array:
    size = x.shape[1] // groups
    parts = [
        standardized(x[:, i * size : (i + 1) * size], tuple(range(1, x.ndim)), EPS)
        for i in range(groups)
    ]
    return np.concatenate(parts, 1) * a_channel(w, x) + a_channel(b, x)


def layer_norm(x: Array, shape: tuple[int, ...], w: Array, b: Array) -> Array:
    return standardized(x, tuple(range(x.ndim - len(shape), x.ndim)), EPS) * w + b


def rms_norm(x: Array, shape: tuple[int, ...], w: Array, eps: float) -> Array:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    x = x.astype(np.longdouble)
    return x / np.sqrt((x**2).mean(axes, keepdims=True) + eps) * w


def drawn(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) * 2 + 1 for shape in shapes]


def agree(found: tg.Tensor, wanted: Array) -> None:
    """Some thirty roundings of numbers of order 10, of which small variances magnify a few."""
    np.testing.assert_allclose(found.detach().numpy(), wanted.astype(float), rtol=1e-11, atol=1e-11)


inputs = hnp.array_shapes(min_dims=2, max_dims=4, min_side=2, max_side=5)


@given(shape=inputs, seed=seeds)
def test_batch_norm(shape: tuple[int, ...], seed: int) -> None:
    x, w, b = drawn(seed, shape, shape[1:2], shape[1:2])
    agree(F.batch_norm(x, None, None, w, b, training=True), batch_norm(x, w, b))
    mean, var = tg.tensor(w), tg.tensor(np.abs(b))
    wanted = (x - a_channel(w, x)) / np.sqrt(a_channel(np.abs(b), x) + EPS)
    agree(F.batch_norm(x, mean, var, b, w), wanted * a_channel(b, x) + a_channel(w, x))
    agree(F.batch_norm(x, mean, var), wanted)
    np.testing.assert_array_equal(mean.numpy(), w)  # evaluation moves nothing


@given(shape=inputs, seed=seeds, data=st.data())
def test_group_norm(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    groups = data.draw(st.sampled_from([g for g in range(1, 6) if shape[1] % g == 0]))
    x, w, b = drawn(seed, shape, shape[1:2], shape[1:2])
    agree(F.group_norm(x, groups, w, b), group_norm(x, groups, w, b))
    agree(F.group_norm(x, groups), group_norm(x, groups, 0 * w + 1, 0 * b))


@given(shape=inputs, seed=seeds, data=st.data())
def test_layer_and_rms_norm(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    last = shape[data.draw(st.integers(1 - len(shape), -1)) :]
    x, w, b = drawn(seed, shape, last, last)
    agree(F.layer_norm(x, last, w, b), layer_norm(x, last, w, b))
    agree(F.layer_norm(x, last, w), layer_norm(x, last, w, 0 * b))
    agree(F.layer_norm(x, last, bias=b), layer_norm(x, last, 0 * w + 1, b))
    agree(F.rms_norm(x, last, w, 0.01), rms_norm(x, last, w, 0.01))
    agree(F.rms_norm(x, last), rms_norm(x, last, 0 * w + 1, np.finfo(np.float64).eps))
    single = F.rms_norm(x.astype(np.float32), last).numpy()
    wanted = rms_norm(x.astype(np.float32), last, np.float32(1), np.finfo(np.float32).eps)
    np.testing.assert_allclose(single, wanted.astype(float), rtol=2e-6, atol=1e-6)


# ------------------------------------------------------------------------------ derivatives

FUNCTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], Callable[..., Any], Any]] = {
    "batch": (
        (4, 3, 2),
        (3,),
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        lambda m, x, w, b: composite.standardize(m, x, (0, 2), EPS) * w[:, None] + b[:, None],
    ),
    "layer": (
        (4, 3, 2),
        (3, 2),
        lambda x, w, b: F.layer_norm(x, (3, 2), w, b),
        lambda m, x, w, b: composite.standardize(m, x, (1, 2), EPS) * w + b,
    ),
    "rms": (
        (4, 6),
        (6,),
        lambda x, w, b: F.rms_norm(x, 6, w, EPS) + b,
        lambda m, x, w, b: composite.unit_rms(m, x, (1,), EPS) * w + b,
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(seed=seeds)
def test_gradients(name: str, seed: int) -> None:
    """By the complex step through the definition, for the input and both parameters."""
    shape, own, function, definition = FUNCTIONS[name]
    arrays = drawn(seed, shape, own, own)
    directions = drawn(seed + 1, shape, own, own)
    xs = [tg.tensor(a, requires_grad=True) for a in arrays]
    y = function(*xs)
    (g,) = drawn(seed + 2, shape)
    moved = definition(
        ComplexReader(), *(a + 1j * STEP * d for a, d in zip(arrays, directions, strict=True))
    )
    wanted = np.sum(g * moved.imag / STEP)
    for create_graph in (False, True):  # arrays and recorded tensors flow
        pulled = tg.autograd.grad(y, xs, tg.tensor(g), create_graph=create_graph)
        parts = [p.detach().numpy() * d for p, d in zip(pulled, directions, strict=True)]
        scale = sum(np.abs(part).sum() for part in parts)
        assert abs(sum(part.sum() for part in parts) - wanted) < 1e-13 * max(scale, 1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_order_and_mode(name: str) -> None:
    shape, own, function, _ = FUNCTIONS[name]
    xs = [tg.tensor(a, requires_grad=True) for a in drawn(3, shape, own, own)]
    weights = tg.tensor(drawn(4, shape)[0])  # sums of squares alone are constant under a norm
    assert tg.autograd.gradcheck(lambda *a: function(*a) * weights, xs)
    assert tg.autograd.gradgradcheck(lambda *a: function(*a) * weights, xs)


# ------------------------------------------------------------------------------ invariances


@given(seed=seeds, shift=st.floats(-5, 5), factor=st.floats(0.5, 4))
def test_layer_norm_sees_neither_mean_nor_scale_of_a_row(
    seed: int, shift: float, factor: float
) -> None:
    (x,) = drawn(seed, (3, 8))
    plain = F.layer_norm(x, 8, eps=0.0).numpy()
    moved = F.layer_norm(factor * x + shift, 8, eps=0.0).numpy()
    np.testing.assert_allclose(moved, plain, atol=1e-12)
    np.testing.assert_allclose(F.rms_norm(factor * x, 8, eps=0.0), F.rms_norm(x, 8, eps=0.0))


@given(seed=seeds)
def test_one_group_is_a_layer_norm_and_one_channel_a_group_an_instance_norm(seed: int) -> None:
    (x,) = drawn(seed, (3, 4, 5))
    np.testing.assert_allclose(
        F.group_norm(x, 1).numpy(), F.layer_norm(x, (4, 5)).numpy(), atol=1e-12
    )
    rows = F.layer_norm(x, 5).numpy()
    np.testing.assert_allclose(F.group_norm(x, 4).numpy(), rows, atol=1e-12)
    turned = F.batch_norm(x.reshape(1, 12, 5), None, None, training=True).numpy()
    np.testing.assert_allclose(turned.reshape(x.shape), rows, atol=1e-12)


@given(seed=seeds)
def test_rms_norm_of_centred_rows_is_layer_norm(seed: int) -> None:
    (x,) = drawn(seed, (3, 6))
    x = x - x.mean(1, keepdims=True)
    np.testing.assert_allclose(F.rms_norm(x, 6, eps=0.1), F.layer_norm(x, 6, eps=0.1), atol=1e-12)


@given(seed=seeds)
def test_weights_before_a_batch_norm_get_no_gradient_along_themselves(seed: int) -> None:
    """With eps = 0 their scale cancels, unit by unit, so each unit's w . dw = 0 (row 22 of the
    lecture's claims: weight decay then only changes the effective learning rate)."""
    x, w, g = drawn(seed, (16, 5), (3, 5), (16, 3))
    weight = tg.tensor(w, requires_grad=True)
    y = F.batch_norm(tg.tensor(x) @ weight.mT, None, None, training=True, eps=0.0)
    (y * tg.tensor(g)).sum().backward()
    along = (w * weight.grad.numpy()).sum(1)
    size = np.abs(w * weight.grad.numpy()).sum(1)
    assert (np.abs(along) <= 1e-12 * np.maximum(size, 1)).all()
    with_eps = tg.tensor(w, requires_grad=True)
    y = F.batch_norm(tg.tensor(x) @ with_eps.mT, None, None, training=True, eps=1.0)
    (y * tg.tensor(g)).sum().backward()
    assert np.abs((w * with_eps.grad.numpy()).sum(1)).max() > 1e-8


def test_a_constant_row_becomes_zero_and_gets_a_finite_gradient() -> None:
    x = tg.tensor(np.full((2, 4), 3.0), requires_grad=True)
    y = F.layer_norm(x, 4)
    (y * tg.tensor(np.arange(8.0).reshape(2, 4))).sum().backward()
    assert not y.detach().numpy().any()
    assert np.isfinite(x.grad.numpy()).all()


def test_a_whole_op_in_a_trace() -> None:
    x = tg.graph.tensor.abstract((6, 4))
    for y, name in (
        (F.layer_norm(x, 4), "standardize"),
        (F.batch_norm(x, None, None, training=True), "standardize"),
        (F.rms_norm(x, 4), "unit_rms"),
    ):
        assert (y.shape, y.dtype, y.node.op.name) == ((6, 4), tg.float32, name)
    y = F.group_norm(x, 2, tg.ones(4), tg.zeros(4))
    assert y.node.op.name == "add"  # scale and shift are their parts
    assert y.node.inputs[0].op.name == "mul"


# ------------------------------------------------------------------------------ bad input

X = np.ones((4, 6), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: F.layer_norm(X, 5), ShapeError, r"layer_norm: .*\(4, 6\).*\(5,\)"),
        (lambda: F.layer_norm(X, (4, 6, 1)), ShapeError, "does not end in"),
        (lambda: F.layer_norm(X, 6, np.ones(5, "f")), ShapeError, r"weight has shape \(5,\)"),
        (lambda: F.layer_norm(X, ()), ArgumentError, "at least one"),
        (lambda: F.layer_norm(X, 0), ArgumentError, "at least 1"),
        (lambda: F.layer_norm(X, 6, eps=-1), ArgumentError, "eps must be finite and at least 0"),
        (lambda: F.layer_norm(X.astype(int), 6), DTypeError, r"one float dtype.*\.float\(\)"),
        (lambda: F.layer_norm(X, 6, np.ones(6)), DTypeError, "float32.*float64"),
        (lambda: F.rms_norm(X, 5), ShapeError, "rms_norm: .*does not end in"),
        (lambda: F.group_norm(X, 4), ArgumentError, "6 channels do not fall into 4 equal groups"),
        (lambda: F.group_norm(X, 0), ArgumentError, "must divide"),
        (lambda: F.group_norm(X[0], 2), ShapeError, r"\(n, channels, \.\.\.\).*x\[None\]"),
        (lambda: F.batch_norm(X, None, None), ArgumentError, "running_mean and running_var"),
        (
            lambda: F.batch_norm(X[:1], None, None, training=True),
            ShapeError,
            r"\(1, 6\) has 1 value\(s\) a channel.*drop_last",
        ),
        (lambda: F.batch_norm(X[:0], None, None, training=True), ShapeError, "0 value"),
        (
            lambda: F.batch_norm(X, tg.zeros(5), tg.ones(6)),
            ShapeError,
            r"running_mean has shape \(5,\).*6 channels",
        ),
        (
            lambda: F.batch_norm(X, None, None, tg.ones(1), training=True),
            ShapeError,
            r"weight has shape \(1,\)",
        ),
    ],
)
def test_what_is_refused(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0])
def test_statistics_that_are_no_numbers(wrong: float) -> None:
    var = np.ones(6, np.float32)
    var[2] = wrong
    with pytest.raises(ArgumentError, match=r"statistics of 1 of 6 channels.*reset_running_stats"):
        F.batch_norm(X, tg.zeros(6), tg.tensor(var))
    if wrong != -1:
        with pytest.raises(ArgumentError):
            F.batch_norm(X, tg.tensor(var), tg.ones(6))


def test_a_refusal_moves_no_statistics() -> None:
    mean, var = tg.zeros(6), tg.ones(6)
    for arguments in ((X[:1], mean, var), (X, mean, var, tg.ones(5)), (X, mean, tg.ones(3))):
        with pytest.raises(ShapeError):
            F.batch_norm(*arguments, training=True)
    assert mean.tolist() == [0] * 6
    assert var.tolist() == [1] * 6
