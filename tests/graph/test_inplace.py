"""Methods that change a tensor under its name: as `x += y`, they invalidate no graph.

What `+=` does to leaves, results and dtypes is in `test_tensor.py`; these are its longer names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import DTypeError, InPlaceError, ShapeError

START = np.array([[1.0, -2.0], [3.0, 0.5]])
OTHER = np.array([4.0, 2.0])

METHODS: dict[str, tuple[Callable[[tg.Tensor], Any], np.ndarray]] = {
    "add_": (lambda x: x.add_(tg.tensor(OTHER)), START + OTHER),
    "add_ a multiple": (lambda x: x.add_(tg.tensor(OTHER), alpha=-0.5), START - OTHER / 2),
    "add_ a number": (lambda x: x.add_(2, alpha=3), START + 6),
    "sub_": (lambda x: x.sub_(OTHER), START - OTHER),
    "sub_ a multiple": (lambda x: x.sub_(OTHER, alpha=2), START - 2 * OTHER),
    "mul_": (lambda x: x.mul_(tg.tensor(OTHER)), START * OTHER),
    "div_": (lambda x: x.div_(4), START / 4),
    "clamp_": (lambda x: x.clamp_(-1, 1), START.clip(-1, 1)),
    "clamp_ at one end": (lambda x: x.clamp_(min=0), START.clip(0)),
    "copy_": (lambda x: x.copy_(tg.tensor(OTHER)), np.broadcast_to(OTHER, (2, 2))),
    "copy_ of another dtype": (
        lambda x: x.copy_(tg.tensor([[1], [2]])),
        np.array([[1, 1], [2, 2]]),
    ),
    "fill_": (lambda x: x.fill_(7), np.full((2, 2), 7)),
    "zero_": (lambda x: x.zero_(), np.zeros((2, 2))),
}

every_method = pytest.mark.parametrize("name", METHODS)


@every_method
def test_values(name: str) -> None:
    act, wanted = METHODS[name]
    x = tg.tensor(START)
    view, alias = x.numpy(), x
    assert act(x) is x
    assert x is alias
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x.numpy(), wanted)
    np.testing.assert_array_equal(view, START)  # nothing is written to


@every_method
def test_leaves_change_under_no_grad_only(name: str) -> None:
    act, wanted = METHODS[name]
    w = tg.tensor(START, requires_grad=True)
    with pytest.raises(InPlaceError, match=rf"^{name.split()[0]}: this leaf"):
        act(w)
    np.testing.assert_array_equal(w.detach().numpy(), START)
    with tg.no_grad():
        act(w)
    assert w.is_leaf
    assert w.requires_grad
    np.testing.assert_array_equal(w.detach().numpy(), wanted)


@every_method
def test_an_earlier_graph_keeps_the_old_value(name: str) -> None:
    act, _ = METHODS[name]
    w = tg.tensor(START, requires_grad=True)
    h = w * 1
    loss = (h * h).sum()
    act(h)
    loss.backward()
    assert w.grad is not None
    np.testing.assert_array_equal(w.grad.numpy(), 2 * START)


def test_gradients_pass_on_from_the_new_value() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    h = w * 3
    h.mul_(2).add_(w, alpha=4).clamp_(max=18)
    (through,) = tg.autograd.grad(h.sum(), w)
    assert through.tolist() == [10, 0]
    total = tg.zeros(2, 2)
    total.copy_(w)
    (through,) = tg.autograd.grad(total.sum(), w)
    assert through.tolist() == [2, 2]
    total.fill_(w[0])
    (through,) = tg.autograd.grad(total.sum(), w)
    assert through.tolist() == [4, 0]


@pytest.mark.parametrize("how", [lambda h: h.fill_(3), lambda h: h.zero_(), lambda h: h.copy_(7)])
def test_what_is_overwritten_still_requires_grad(how: Callable[[tg.Tensor], tg.Tensor]) -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    h = w * 2
    how(h)
    assert h.requires_grad
    (through,) = tg.autograd.grad(h.sum() + w.sum(), w)
    assert through.tolist() == [1, 1]


def test_a_step_of_descent() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    (w * w).sum().backward()
    with tg.no_grad():
        w.add_(w.grad, alpha=-0.25)
        w.grad.zero_()
    assert w.tolist() == [0.5, 1]
    assert w.grad.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda x: x.add_(tg.ones(3, 2)), ShapeError, r"add_: .*x = x\.add\(\.\.\.\)"),
        (lambda x: x.div_(2.5), ShapeError, r"div_: .*int64.*x\.div"),
        (lambda x: x.copy_(tg.ones(3)), ShapeError, r"copy_: .*\(3,\) does not broadcast.*\(2,\)"),
        (lambda x: x.fill_(tg.ones(3)), ShapeError, r"fill_: .*\(3,\)"),
        (lambda x: x.fill_("a"), DTypeError, "fill_: cannot make numbers"),
    ],
)
def test_misuse_changes_nothing(act: Any, error: type[Exception], text: str) -> None:
    x = tg.tensor([1, 2])
    with pytest.raises(error, match=f"^{text}"):
        act(x)
    assert (x.tolist(), x.dtype) == ([1, 2], np.int64)


@pytest.mark.parametrize(
    "act",
    [
        lambda x: x.flip(()),
        lambda x: x.roll(0),
        lambda x: x.roll((), ()),
        lambda x: x.roll(2, 0),
        lambda x: x.movedim(0, 0),
        lambda x: x.repeat(1, 1),
        lambda x: x.tile(1),
        lambda x: x.split(9)[0],
        lambda x: x.chunk(1)[0],
        lambda x: x.permute(0, 1),
        lambda x: x.expand(2, 2),
        lambda x: x.squeeze(),
        lambda x: tg.pad(x, ()),
        lambda x: tg.pad(x, (0, 0), "circular"),
        lambda x: tg.einsum("ij->ij", x),
        lambda x: x.tril(5),
        lambda x: x.sort(0).values,
    ],
)
def test_where_nothing_is_to_do_the_result_is_a_name_of_its_own(
    act: Callable[[tg.Tensor], tg.Tensor],
) -> None:
    x = tg.tensor(START)
    y = act(x)
    y += 1
    np.testing.assert_array_equal(x.numpy(), START)


@pytest.mark.parametrize(
    "act",
    [
        lambda x: x.cumsum(0),
        lambda x: x.cumprod(0),
        lambda x: x.reshape(1).cumprod(0),
        lambda x: x.movedim(0, 0),
        lambda x: x.roll(0),
        lambda x: x.flip(()),
        lambda x: x.prod(),
        lambda x: x.max(0).values,
        lambda x: x.sort().values,
        lambda x: tg.einsum("->", x),
        lambda x: x.round(),
        lambda x: x.long().round(),
    ],
)
def test_nor_is_the_result_of_a_scalar_the_scalar(act: Callable[[tg.Tensor], tg.Tensor]) -> None:
    x = tg.tensor(2.0)
    for operand in (x, x.long()):
        y = act(operand)
        y += 1
        assert operand.item() == 2


@pytest.mark.parametrize(
    ("act", "wanted"),
    [
        (lambda x: x.__ipow__(2), START**2),
        (lambda x: x.__ifloordiv__(2), START // 2),
        (lambda x: x.__imod__(2), START % 2),
        (lambda x: x.__iadd__(tg.tensor(OTHER)), START + OTHER),
        (lambda x: x.mul_(tg.tensor(OTHER)), START * OTHER),
    ],
)
def test_the_dtype_stays_and_every_name_sees_it(act: Callable[..., Any], wanted: Any) -> None:
    """float64 goes into float32, as in torch; both names stand for the result."""
    x = tg.tensor(START, dtype=tg.float32)
    same = x
    assert act(x) is x
    assert same.dtype == tg.float32
    np.testing.assert_allclose(same.numpy(), wanted, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "value"), [(tg.int64, 1.5), (tg.bool, 2), (tg.bool, 0.5)])
def test_a_higher_category_does_not_go_into_it(dtype: Any, value: Any) -> None:
    x = tg.ones(2, dtype=dtype)
    with pytest.raises(ShapeError, match="does not fit in place"):
        x *= value
    assert x.tolist() == [1, 1]
