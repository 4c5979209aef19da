"""`conv1d`, `conv2d` and their transposes: torch's arguments, and what is told who gets them wrong.

Values and derivatives of the ops behind them are tested in `ops/test_every_op.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.samples import seeds
from tests.ops.sliding import by_input, convolve
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.graph.tensor import abstract

RNG = np.random.default_rng(0)


def whole(*shape: int) -> np.ndarray:
    """Small integers: sums of their products are exact in any order."""
    return np.asarray(RNG.integers(-3, 4, shape), float)


def layout(rank: int, **given: Any) -> dict[str, Any]:
    """All parameters of the oracle."""
    plain = {"stride": (1,) * rank, "padding": ((0, 0),) * rank, "dilation": (1,) * rank}
    return {**plain, "groups": 1, **given}


# ------------------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ({}, {}),
        ({"stride": 2}, {"stride": (2, 2)}),
        ({"stride": (2, 3)}, {"stride": (2, 3)}),
        ({"stride": [3]}, {"stride": (3, 3)}),
        ({"padding": 1}, {"padding": ((1, 1), (1, 1))}),
        ({"padding": (2, 0)}, {"padding": ((2, 2), (0, 0))}),
        ({"dilation": (1, 2)}, {"dilation": (1, 2)}),
        ({"padding": "valid", "stride": 2}, {"stride": (2, 2)}),
        ({"padding": "same"}, {"padding": ((0, 1), (1, 1))}),
        (
            {"padding": "same", "dilation": (3, 2)},
            {"padding": ((1, 2), (2, 2)), "dilation": (3, 2)},
        ),
    ],
)
def test_arguments(options: dict[str, Any], meant: dict[str, Any]) -> None:
    x, w, b = whole(2, 3, 7, 8), whole(4, 3, 2, 3), whole(4)
    wanted = convolve(x, w, **layout(2, **meant))
    np.testing.assert_array_equal(tg.conv2d(x, w, **options).numpy(), wanted)
    biased = tg.conv2d(x, w, b, **options).numpy()
    np.testing.assert_array_equal(biased, wanted + b[:, None, None])
    if options.get("padding") == "same":
        assert wanted.shape[2:] == x.shape[2:]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("name", ["conv1d", "conv2d"])
def test_groups_and_missing_batch(name: str, groups: int) -> None:
    rank = int(name[-2])
    x, w, b = whole(2, 4, *[5] * rank), whole(8, 4 // groups, *[3] * rank), whole(8)
    wanted = convolve(x, w, **layout(rank, groups=groups)) + b.reshape(-1, *[1] * rank)
    conv = getattr(tg, name)
    np.testing.assert_array_equal(conv(x, w, b, groups=groups).numpy(), wanted)
    np.testing.assert_array_equal(conv(x[1], w, b, groups=groups).numpy(), wanted[1])


@pytest.mark.parametrize(
    ("x", "w", "options", "shape"),
    [
        ((0, 3, 5, 5), (2, 3, 3, 3), {}, (0, 2, 3, 3)),  # no images
        ((2, 3, 5, 5), (2, 3, 1, 1), {}, (2, 2, 5, 5)),
        ((2, 3, 9, 9), (2, 3, 2, 2), {"stride": 4}, (2, 2, 2, 2)),  # windows with gaps between
        ((2, 3, 3, 3), (2, 3, 3, 3), {}, (2, 2, 1, 1)),  # one window
        ((2, 3, 1, 1), (2, 3, 3, 3), {"padding": 3}, (2, 2, 5, 5)),  # windows in padding alone
        ((2, 3, 6, 1), (2, 3, 3, 1), {"dilation": 2}, (2, 2, 2, 1)),
    ],
)
def test_edges(x: Any, w: Any, options: dict[str, Any], shape: Any) -> None:
    a, b = tg.tensor(whole(*x), requires_grad=True), tg.tensor(whole(*w), requires_grad=True)
    y = tg.conv2d(a, b, **options)
    assert y.shape == shape
    pairs = {k: (v, v) for k, v in options.items()}
    if "padding" in pairs:
        pairs["padding"] = ((3, 3), (3, 3))
    wanted = convolve(a.detach().numpy(), b.detach().numpy(), **layout(2, **pairs))
    np.testing.assert_array_equal(y.detach().numpy(), wanted)
    y.sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    # <gradient, operand> is the sum of y for either operand: y is linear in each
    assert (a.grad * a).sum().item() == (b.grad * b).sum().item() == y.sum().item()


@given(st.data(), seeds)
@settings(max_examples=40)
def test_transposed_is_the_transpose(data: st.DataObject, seed: int) -> None:
    """<conv(x), y> = <x, conv_transpose(y)>, for each size of x that gives that of y."""
    rng = np.random.default_rng(seed)
    rank = data.draw(st.integers(1, 2))
    numbers = st.lists(st.integers(1, 3), min_size=rank, max_size=rank)
    kernel, stride, dilation, count = (data.draw(numbers) for _ in range(4))
    padding = [data.draw(st.integers(0, k - 1)) for k in kernel]
    more = [data.draw(st.integers(0, s - 1)) for s in stride]
    groups = data.draw(st.integers(1, 2))
    y = np.asarray(rng.integers(-3, 4, (2, groups, *count)), float)
    w = np.asarray(rng.integers(-3, 4, (groups, 2, *kernel)), float)
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    rows = zip(count, kernel, stride, padding, dilation, more, strict=True)
    size = [(n - 1) * s - 2 * p + d * (k - 1) + 1 + e for n, k, s, p, d, e in rows]
    transpose, conv = getattr(tg, f"conv_transpose{rank}d"), getattr(tg, f"conv{rank}d")
    if min(size) < 1:
        with pytest.raises(ShapeError, match="leave nothing"):
            transpose(y, w, output_padding=more, groups=groups, **options)
        return
    pulled = transpose(y, w, output_padding=more, groups=groups, **options)
    assert pulled.shape == (2, 2 * groups, *size)
    x = np.asarray(rng.integers(-3, 4, pulled.shape), float)
    moved = conv(x, w, groups=groups, **options)
    assert moved.shape == y.shape
    assert (moved * y).sum().item() == (pulled * x).sum().item()


def test_transposed_with_bias_and_without_batch() -> None:
    y, w, b = whole(3, 4), whole(3, 2, 3), whole(2)
    found = tg.conv_transpose1d(y, w, b, stride=2)
    around = layout(1, stride=(2,))
    wanted = by_input(y[None], w, (9,), **around)[0] + b[:, None]
    np.testing.assert_array_equal(found.numpy(), wanted)


def test_output_padding_below_dilation_only() -> None:
    """What is left over is more than a step: no window reaches it."""
    found = tg.conv_transpose1d(whole(1, 1, 3), whole(1, 1, 2), dilation=3, output_padding=2)
    assert found.shape == (1, 1, 8)
    assert found.numpy()[0, 0, -2:].tolist() == [0, 0]


# ------------------------------------------------------------------------------ traces, derivatives


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(), (2,)])
def test_traces(bias: bool, lead: tuple[int, ...]) -> None:
    """Shapes alone; a bias is an addition in the trace, as analyzers know it."""
    x, w, b = abstract((*lead, 2, 6, 6)), abstract((3, 2, 3, 3)), abstract((3,))
    y = tg.conv2d(x, w, b if bias else None, padding=1)
    assert (y.shape, y.dtype) == ((*lead, 3, 6, 6), np.float32)
    with pytest.raises(ShapeError, match=r"bias is \(3,\)"):
        tg.conv2d(x, w, abstract((1,)))
    assert tg.conv_transpose2d(y, w, abstract((2,)), stride=2).shape == (*lead, 2, 13, 13)
    operations = set()
    waiting = [y.node]
    while waiting:
        node = waiting.pop()
        if node.op is not None:
            operations.add(node.op.name)
        waiting += node.inputs
    assert "convolution" in operations
    assert ("add" in operations) == bias
    assert "convolution_bias" not in operations


def test_third_derivatives_by_every_mode() -> None:
    """A cube of a convolution: reverse three times, and forward over reverse over reverse."""
    x, w = tg.tensor(whole(1, 2, 4, 4)), tg.tensor(whole(2, 2, 2, 3))
    along = tg.tensor(whole(1, 2, 4, 4))

    def energy(x: Any) -> Any:
        return (tg.conv2d(x, w, stride=(1, 2), padding=1) ** 3).sum()

    def second(x: Any) -> Any:
        first = tg.func.grad(energy)
        return (tg.func.grad(lambda z: (first(z) * along).sum())(x) * along).sum()

    third = (tg.func.grad(second)(x) * along).sum().item()
    forward = tg.func.jvp(second, (x,), (along,))[1].item()
    moved = tg.conv2d(along, w, stride=(1, 2), padding=1)
    assert third == forward == 6 * (moved**3).sum().item()


# ------------------------------------------------------------------------------ misuse

X, W, B = tg.ones(2, 4, 6, 6), tg.ones(6, 4, 3, 3), tg.ones(6)


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda: tg.conv2d(X, tg.ones(6, 3, 3, 3)), ShapeError, r"4 channels.*takes 3"),
        (lambda: tg.conv2d(X, W, groups=3), ShapeError, "groups=3 must divide the 4 input"),
        (lambda: tg.conv2d(X, tg.ones(5, 2, 3, 3), groups=2), ShapeError, "5 output channels"),
        (lambda: tg.conv2d(X, tg.ones(6, 4, 7, 1)), ShapeError, r"\(7, 1\).*\(6, 6\).*pad more"),
        (lambda: tg.conv2d(X, W, dilation=3), ShapeError, r"covers \(7, 7\)"),
        (lambda: tg.conv2d(X[0, 0], W), ShapeError, r"4 axes.*or 3 without.*\(6, 6\)"),
        (lambda: tg.conv2d(X, W[0]), ShapeError, r"weight has 4 axes.*\(4, 3, 3\)"),
        (lambda: tg.conv1d(X, W), ShapeError, r"3 axes.*\(2, 4, 6, 6\)"),
        (lambda: tg.conv2d(X, W, tg.ones(4)), ShapeError, r"bias is \(6,\), not \(4,\)"),
        (lambda: tg.conv2d(X, W, tg.ones(6, 1, 1)), ShapeError, r"not \(6, 1, 1\)"),
        (lambda: tg.conv2d(X, W, stride=0), ArgumentError, "stride is at least 1, not 0"),
        (lambda: tg.conv2d(X, W, stride=(1, 2, 1)), ArgumentError, r"2 of them.*\(1, 2, 1\)"),
        (lambda: tg.conv2d(X, W, stride=1.5), ArgumentError, "stride is a whole number"),
        (lambda: tg.conv2d(X, W, dilation=0), ArgumentError, "dilation is at least 1"),
        (lambda: tg.conv2d(X, W, padding=-1), ArgumentError, "padding is at least 0, not -1"),
        (lambda: tg.conv2d(X, W, padding="full"), ArgumentError, "'same' or 'valid', not 'full'"),
        (lambda: tg.conv2d(X, W, stride=2, padding="same"), ArgumentError, "only at stride 1"),
        (lambda: tg.conv2d(X, W, groups=0), ArgumentError, "groups are at least 1"),
        (lambda: tg.conv2d(X, W.double()), DTypeError, "float32 and float64"),
        (lambda: tg.conv2d(X, W, B.double()), DTypeError, r"float64.*\.to"),
        (lambda: tg.conv2d(X.long(), W.long()), DTypeError, r"needs floats, got int64.*\.float"),
        (lambda: tg.conv2d(X > 0, W > 0), DTypeError, "got bool"),
        (
            lambda: tg.conv_transpose2d(X, W),
            ShapeError,
            "must have that shape",
        ),
        (lambda: tg.conv_transpose2d(X, tg.ones(4, 2, 1, 1), padding=3), ShapeError, "less padd"),
        (
            lambda: tg.conv_transpose2d(X, tg.ones(4, 2, 3, 3), output_padding=1),
            ArgumentError,
            "output_padding",
        ),
        (
            lambda: tg.conv_transpose2d(X, tg.ones(4, 2, 3, 3), tg.ones(4)),
            ShapeError,
            r"bias is \(2,\)",
        ),
    ],
)
def test_misuse(act: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=rf"^conv[a-z_12]+: .*({text})"):
        act()
