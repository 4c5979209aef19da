"""`max_pool1d/2d` and `avg_pool1d/2d`: torch's arguments, ties, NaN, and mistakes.

Values and derivatives of the ops behind them are tested in `ops/test_every_op.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.ops.sliding import largest, means
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.graph.tensor import abstract

X = np.random.default_rng(0).permutation(2 * 3 * 7 * 8).reshape(2, 3, 7, 8) / 4.0
PLAIN = {"kernel": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0))}

ARGUMENTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"kernel_size": 2}, {}),
    ({"kernel_size": (2, 3)}, {"kernel": (2, 3), "stride": (2, 3)}),
    ({"kernel_size": 2, "stride": 3}, {"stride": (3, 3)}),  # larger than the window
    ({"kernel_size": 3, "stride": [1, 2]}, {"kernel": (3, 3), "stride": (1, 2)}),
    ({"kernel_size": 3, "stride": []}, {"kernel": (3, 3), "stride": (3, 3)}),
    ({"kernel_size": 3, "padding": 1}, {"kernel": (3, 3), "stride": (3, 3),
                                        "padding": ((1, 1), (1, 1))}),
    ({"kernel_size": 2, "ceil_mode": True}, {"padding": ((0, 1), (0, 0))}),
    ({"kernel_size": 3, "ceil_mode": True, "padding": 1},
     {"kernel": (3, 3), "stride": (3, 3), "padding": ((1, 1), (1, 0))}),
    ({"kernel_size": (7, 8)}, {"kernel": (7, 8), "stride": (7, 8)}),  # one window
    ({"kernel_size": 1}, {"kernel": (1, 1), "stride": (1, 1)}),
]  # fmt: skip


@pytest.mark.parametrize(("options", "meant"), ARGUMENTS)
def test_arguments(options: dict[str, Any], meant: dict[str, Any]) -> None:
    params = {**PLAIN, **meant}
    y, places = tg.max_pool2d(X, return_indices=True, **options)
    at = largest(X, dilation=(1, 1), **params)
    np.testing.assert_array_equal(y.numpy(), X.reshape(-1)[at])
    np.testing.assert_array_equal(places.numpy(), at % 56)
    assert places.dtype == np.int64
    for counted in (True, False):
        wanted = means(X, count_padding=counted, divisor=0, **params)
        found = tg.avg_pool2d(X, count_include_pad=counted, **options)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-14)
    wanted = means(X, count_padding=True, divisor=7, **params)
    found = tg.avg_pool2d(X, divisor_override=7, **options)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-14)


def test_one_axis_no_batch_no_images() -> None:
    for one, two in ((tg.max_pool1d, tg.max_pool2d), (tg.avg_pool1d, tg.avg_pool2d)):
        wanted = two(X, (1, 3), (1, 2)).numpy()
        np.testing.assert_array_equal(one(X[:, 0], 3, 2).numpy(), wanted[:, 0])
        np.testing.assert_array_equal(one(X[0, 0], 3, 2).numpy(), wanted[0, 0])
    np.testing.assert_array_equal(tg.max_pool2d(X[0], 2).numpy(), tg.max_pool2d(X, 2).numpy()[0])
    assert tg.max_pool2d(X[:0], 2).shape == (0, 3, 3, 4)
    values, places = tg.max_pool2d(X[:0], 2, return_indices=True)
    assert values.shape == places.shape == (0, 3, 3, 4)
    assert tg.avg_pool2d(X[:0], 2).shape == (0, 3, 3, 4)


def test_dilated() -> None:
    row = [[5.0, 1.0, 4.0, 2.0, 3.0, 9.0]]
    assert tg.max_pool1d(row, 2, 1, dilation=2).tolist() == [[5, 2, 4, 9]]
    assert tg.max_pool1d(row, 2, 1, dilation=5).tolist() == [[9]]


# ------------------------------------------------------------------------------ ties and NaN


def gradient(x: Any, *arguments: Any) -> Any:
    t = tg.tensor(x, requires_grad=True)
    y = tg.max_pool2d(t, *arguments)
    y.sum().backward()
    assert t.grad is not None
    return y.tolist(), t.grad.tolist()


def test_ties_go_to_the_first_in_row_major_order() -> None:
    assert gradient([[[1.0, 2.0], [2.0, 2.0]]], 2) == ([[[2]]], [[[0, 1], [0, 0]]])
    assert gradient([[[3.0] * 3] * 3], 2, 1) == ([[[3, 3], [3, 3]]], [[[1, 1, 0], [1, 1, 0],
                                                                      [0, 0, 0]]])  # fmt: skip


def test_padding_never_wins() -> None:
    low = -np.inf
    values, places = tg.max_pool2d(np.full((1, 2, 2), low), 2, 1, 1, return_indices=True)
    assert values.tolist() == [[[low] * 3] * 3]
    assert places.tolist() == [[[0, 0, 1], [0, 0, 1], [2, 2, 3]]]
    assert tg.max_pool1d([[-5.0, -7.0]], 2, 1, 1).tolist() == [[-5, -5, -7]]


def test_nan_wins_and_the_last_of_several() -> None:
    nan = np.nan
    x = [[[1.0, nan, 3.0, 4.0], [nan, 9.0, 5.0, 2.0]]]
    values, places = tg.max_pool2d(x, 2, return_indices=True)
    np.testing.assert_array_equal(values.numpy(), [[[nan, 5]]])
    assert places.tolist() == [[[4, 6]]]


def test_large_windows_number_their_elements() -> None:
    """More elements than fit into one byte, and into two bytes of a row alone."""
    for size in ((1, 300), (20, 20), (300, 300)):
        x = np.zeros((1, *size))
        x[0, size[0] - 1, size[1] - 2] = 1
        _, places = tg.max_pool2d(x, size, return_indices=True)
        assert places.item() == x.argmax()


# ------------------------------------------------------------------------------ traces, derivatives


def test_traces() -> None:
    x = abstract((2, 3, 7, 7))
    values, places = tg.max_pool2d(x, 3, 2, 1, return_indices=True)
    assert (values.shape, values.dtype) == ((2, 3, 4, 4), np.float32)
    assert (places.shape, places.dtype) == ((2, 3, 4, 4), np.int64)
    assert values.node.op.name == "max_pool"
    mean = tg.avg_pool2d(x, 2, ceil_mode=True)
    assert (mean.shape, mean.node.op.name) == ((2, 3, 4, 4), "avg_pool")


@pytest.mark.parametrize(
    "pool", [lambda z: tg.max_pool2d(z, 3, 1), lambda z: tg.avg_pool2d(z, 2)], ids=["max", "avg"]
)
def test_second_order_and_forward_mode(pool: Any) -> None:
    """Pooling P is linear around x, so the Hessian of sum (P x)^3 along d is P^T (6 P x · P d)."""
    x, along = tg.tensor(X[:1, :1]), tg.tensor(np.cos(X[:1, :1]))

    def energy(z: Any) -> Any:
        return (pool(z) ** 3).sum()

    y, tangent = tg.func.jvp(pool, (x,), (along,))
    (wanted,) = tg.func.vjp(pool, x)[1](6 * y * tangent)
    (product,) = tg.func.hvp(energy, (x,), (along,))
    moved = tg.func.jvp(tg.func.grad(energy), (x,), (along,))[1]
    for found in (product, moved):
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-12, atol=1e-10)


# ------------------------------------------------------------------------------ misuse


@pytest.mark.parametrize("pool", [tg.max_pool2d, tg.avg_pool2d])
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"kernel_size": 0}, ArgumentError, "kernel_size is at least 1"),
        ({"kernel_size": (2, 2, 2)}, ArgumentError, "2 of them"),
        ({"kernel_size": 2, "stride": 0}, ArgumentError, "stride is at least 1"),
        ({"kernel_size": 2, "padding": -1}, ArgumentError, "padding is at least 0"),
        ({"kernel_size": 2, "padding": 2}, ArgumentError, "more than half a window"),
        ({"kernel_size": 9}, ShapeError, r"\(9, 9\).*\(7, 8\).*smaller window"),
    ],
)
def test_misuse(pool: Any, options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=rf"^(max|avg)_pool(2d)?: .*{text}"):
        pool(X, **options)


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda: tg.max_pool2d(X[0, 0], 2), ShapeError, r"4 axes.*\(7, 8\)"),
        (lambda: tg.max_pool1d(X, 2), ShapeError, "3 axes"),
        (lambda: tg.max_pool2d(X, 2, dilation=0), ArgumentError, "dilation is at least 1"),
        (lambda: tg.max_pool2d(X.astype(int), 2), DTypeError, r"int64.*\.float\(\)"),
        (lambda: tg.avg_pool2d(X > 0, 2), DTypeError, "bool"),
        (lambda: tg.avg_pool2d(X, 2, divisor_override=0), ArgumentError, "other than 0"),
        (
            lambda: tg.max_pool1d(np.ones((1, 1)), 2, 1, 1, dilation=2),
            ShapeError,
            "wholly in the padding",
        ),
    ],
)
def test_more_misuse(act: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=rf"^(max|avg)_pool[12]?d?: .*{text}"):
        act()
