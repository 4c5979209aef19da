"""`pad`, in its four modes: NumPy's values under torch's spelling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.graph.linear import check_linear
from tests.ops.samples import arrays, shapes
from tinygrad_edu.errors import ArgumentError, ShapeError

NUMPYS = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}

Widths = list[tuple[int, int]]


def numpys(a: np.ndarray, widths: Widths, mode: str, **more: Any) -> np.ndarray:
    """`widths` from the first axis on; negative ones cut off, and from a ring before anything is
    added."""
    sizes = zip(widths, a.shape, strict=True)
    cut = tuple(slice(max(-left, 0), n + min(right, 0)) for (left, right), n in sizes)
    added = [(max(left, 0), max(right, 0)) for left, right in widths]
    if mode == "circular":
        return np.pad(a[cut], added, "wrap")
    whole = np.pad(a, added, NUMPYS[mode], **more)  # type: ignore[call-overload]
    ends = zip(widths, whole.shape, strict=True)
    return whole[tuple(slice(max(-left, 0), n + min(right, 0)) for (left, right), n in ends)]  # type: ignore[no-any-return]


@st.composite
def paddings(draw: Any, mode: str) -> tuple[np.ndarray, Widths]:
    """An array and a width for either end of each axis, within what the mode can supply."""
    x = draw(shapes(min_dims=1, min_side=1).flatmap(arrays))
    widths = []
    for n in x.shape:
        cut = draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1))
        cut = (cut[0], min(cut[1], n - 1 - cut[0]))
        most = {"reflect": n - sum(cut) - 1, "circular": n - sum(cut)}.get(mode, 3)
        widths.append(tuple(-c if c else draw(st.integers(0, most)) for c in cut))
    return x, widths


def spelled(widths: Widths) -> list[int]:
    return [n for pair in reversed(widths) for n in pair]


@pytest.mark.parametrize("mode", NUMPYS)
@given(data=st.data())
def test_values_and_gradients(mode: str, data: st.DataObject) -> None:
    x, widths = data.draw(paddings(mode))
    check_linear(lambda t: tg.pad(t, spelled(widths), mode), lambda a: numpys(a, widths, mode), x)


@given(paddings("constant"), st.sampled_from([1.5, -np.inf, np.nan]))
def test_any_value(case: tuple[np.ndarray, Widths], value: float) -> None:
    x, widths = case
    t = tg.tensor(x, requires_grad=True)
    y = tg.pad(t, spelled(widths), value=value)
    wanted = numpys(x, widths, "constant", constant_values=value)
    np.testing.assert_array_equal(y.detach().numpy(), wanted)
    (pulled,) = tg.autograd.grad(y.sum(), t)
    inside = numpys(np.ones_like(x), widths, "constant")
    assert pulled.sum().item() == inside.sum()


def test_axes_from_the_last() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert tg.pad(x, (1, 0)).tolist() == [[0, 1, 2], [0, 3, 4]]
    assert tg.pad(x, (0, 0, 0, 1)).tolist() == [[1, 2], [3, 4], [0, 0]]
    assert tg.pad(x, ()).tolist() == x.tolist()
    assert tg.pad(x, (-1, 1), value=9.0).tolist() == [[2, 9], [4, 9]]


def test_integers_and_truth() -> None:
    whole = tg.pad(tg.tensor([1, 2]), (1, 1), value=7)
    assert (whole.tolist(), whole.dtype) == ([7, 1, 2, 7], np.int64)
    truth = tg.pad(tg.tensor([True]), (1, 0))
    assert (truth.tolist(), truth.dtype) == ([False, True], np.bool_)


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda x: tg.pad(x, (1,)), ShapeError, r"\(1,\) must hold two numbers.*\(2, 3\)"),
        (lambda x: tg.pad(x, (1,) * 6), ShapeError, r"\(2, 3\)"),
        (lambda x: tg.pad(x, (-2, -2)), ShapeError, "-2 and -2 take more away than axis 1"),
        (lambda x: tg.pad(x, (-4, 2)), ShapeError, "-4 and 2 take more away"),
        (lambda x: tg.pad(x, (1, 1), "mirror"), ArgumentError, "not 'mirror'"),
        (lambda x: tg.pad(x, (1, 1), "reflect", 2.0), ArgumentError, "mode 'constant'"),
        (lambda x: tg.pad(x, (3, 0), "reflect"), ShapeError, "at most 2 elements .*axis 1"),
        (lambda x: tg.pad(x, (4, 0), "circular"), ShapeError, "at most 3 elements"),
        (lambda x: tg.pad(tg.ones(0), (1, 0), "replicate"), ShapeError, "at most 0 elements"),
        (lambda x: tg.pad(tg.tensor([1]), (1, 0), value=0.5), ArgumentError, "int64"),
    ],
)
def test_misuse(act: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=rf"^(pad|masked_fill): .*{text}"):
        act(tg.ones(2, 3))
