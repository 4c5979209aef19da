"""`Tensor`: what it is, what Python's and NumPy's operators do with it, and what changes it."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import DTypeError, GradientError, InPlaceError, ShapeError, TraceError
from tinygrad_edu.graph.tensor import abstract

# ------------------------------------------------------------------------------ making one


@pytest.mark.parametrize(
    ("data", "as_tensor", "as_Tensor"),
    [
        (1, "int64", "float32"),
        (1.5, "float32", "float32"),
        (True, "bool", "bool"),
        ([[1, 2], [3, 4]], "int64", "float32"),
        ([1, 2.5], "float32", "float32"),
        ([], "float32", "float32"),
        (np.float64(1), "float64", "float64"),
        ([np.float64(1), 2], "float64", "float64"),
        (np.ones(2), "float64", "float64"),
        (np.ones(2, np.int32), "int32", "int32"),
        (range(3), "int64", "float32"),
        (np.ones(2, ">f4"), "float32", "float32"),
    ],
)
def test_dtype_of_data(data: Any, as_tensor: str, as_Tensor: str) -> None:
    """Python numbers make float32 (integers: only under `Tensor`); arrays keep their dtype."""
    assert tg.tensor(data).dtype == as_tensor
    assert tg.Tensor(data).dtype == as_Tensor
    assert tg.tensor(data, dtype="float64").dtype == np.float64


def test_data_are_copied() -> None:
    source = np.ones(3)
    made = [tg.tensor(source), tg.Tensor(source), tg.ones(3, dtype="float64")]
    made[2].data = source
    sums = [t + source for t in made]
    source[:] = 7
    assert all(t.tolist() == [1, 1, 1] for t in made)
    assert all(t.tolist() == [2, 2, 2] for t in sums)


def test_a_tensor_of_a_tensor_is_a_new_leaf() -> None:
    x = tg.tensor([1.0], requires_grad=True)
    y = tg.tensor(x * 2)
    assert y.is_leaf
    assert not y.requires_grad


# ------------------------------------------------------------------------------ what it is


def test_shape_and_size() -> None:
    x = tg.zeros(2, 3)
    assert (x.shape, x.ndim, x.dim(), x.numel(), len(x)) == ((2, 3), 2, 2, 6, 2)
    assert (x.size(), x.size(0), x.size(-1)) == ((2, 3), 2, 3)
    assert [row.shape for row in x] == [(3,), (3,)]
    assert x.T.shape == x.mT.shape == (3, 2)
    assert tg.zeros(2, 3, 4).T.shape == (4, 3, 2)
    assert tg.zeros(2, 3, 4).mT.shape == (2, 4, 3)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: tg.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (lambda: tg.tensor(2.0, requires_grad=True), "tensor(2., requires_grad=True)"),
        (lambda: tg.tensor([1], dtype="int32"), "tensor([1], dtype=int32)"),
        (lambda: tg.tensor(True), "tensor(True)"),
        (lambda: tg.tensor(2.0, requires_grad=True) * 3, "tensor(6., grad_fn=<mul>)"),
        (lambda: abstract((2, 3)), "tensor(shape=(2, 3), dtype=float32, no values)"),
    ],
)
def test_repr(make: Callable[[], Any], text: str) -> None:
    assert repr(make()) == text


def test_one_element_is_a_number() -> None:
    x = tg.tensor([[2.5]], requires_grad=True)
    assert (x.item(), float(x), int(x), bool(x), f"{x:.2f}") == (2.5, 2.5, 2, True, "2.50")
    assert f"{x}" == repr(x)
    assert isinstance(x.item(), float)
    assert operator.index(tg.tensor(3)) == 3


@pytest.mark.parametrize("act", [float, int, bool, lambda x: x.item(), lambda x: f"{x:.1f}"])
def test_several_elements_are_not(act: Callable[[Any], Any]) -> None:
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        act(tg.ones(2))


def test_scalars_have_no_length() -> None:
    with pytest.raises(TypeError, match="zero-dimensional"):
        len(tg.tensor(1.0))
    with pytest.raises(TypeError, match="zero-dimensional"):
        iter(tg.tensor(1.0))


def test_identity_and_equality() -> None:
    """== compares elements; hashing and `None` go by identity."""
    x = tg.tensor([1.0, 2.0])
    assert (x == x).tolist() == [True, True]
    assert len({x, x, x.detach()}) == 2
    assert (x == None) is False  # noqa: E711
    assert (x != None) is True  # noqa: E711
    assert (x == "text") is False
    assert 2.0 in x
    assert 3.0 not in x


def test_no_values_in_a_trace() -> None:
    x = abstract((2,))
    for act in (bool, x.numpy.__func__, lambda t: t.sum().item(), np.asarray, lambda t: t.tolist()):
        with pytest.raises((TraceError, ShapeError), match=r"tg.where|\(2,\)"):
            act(x)
    assert (x @ x).exp().shape == ()
    assert x.detach().node.inputs == (x.node,), "a trace must still know where values come from"


# ------------------------------------------------------------------------------ NumPy


def test_numpy_is_a_read_only_view() -> None:
    x = tg.tensor([1.0, 2.0])
    view = x.numpy()
    assert np.shares_memory(view, x.numpy())
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5
    assert np.array(x).flags.writeable
    assert np.asarray(x, np.float64).dtype == np.float64


def test_numpy_of_a_tensor_that_requires_grad() -> None:
    x = tg.tensor([1.0], requires_grad=True)
    for act in (x.numpy, (x * 2).numpy, lambda: np.asarray(x)):
        with pytest.raises(GradientError, match="detach"):
            act()
    assert x.detach().numpy()[0] == 1


UFUNCS = """
    add subtract multiply divide power negative absolute sign floor maximum minimum matmul
    exp expm1 log log1p sqrt sin cos tan sinh cosh tanh arcsin arccos arctan
    less less_equal greater greater_equal equal not_equal logical_and logical_or logical_not
"""


@pytest.mark.parametrize("name", UFUNCS.split())
def test_numpys_functions_stay_in_the_graph(name: str) -> None:
    function = getattr(np, name)
    a, b = np.array([0.5, 0.25]), np.array([0.25, 0.5])
    xs = (a, b)[: function.nin]
    t = tg.tensor(a, requires_grad=True)
    found = function(t, *xs[1:])
    assert isinstance(found, tg.Tensor)
    np.testing.assert_allclose(found.detach().numpy(), function(*xs), rtol=1e-15)
    if function.nin == 2:  # an array on the left asks NumPy first
        reflected = function(b, t)
        assert isinstance(reflected, tg.Tensor)
        np.testing.assert_allclose(reflected.detach().numpy(), function(b, a), rtol=1e-15)


@pytest.mark.parametrize(
    "act",
    [
        lambda x: np.cbrt(x),
        lambda x: np.add.reduce(x),
        lambda x: np.add(x, x, out=np.zeros(2)),
        lambda x: np.exp(x, where=np.array([True, False])),
    ],
)
def test_numpys_other_functions_are_refused(act: Callable[[Any], Any]) -> None:
    with pytest.raises(DTypeError, match=r"np\.\w+.*detach"):
        act(tg.ones(2))


# ------------------------------------------------------------------------------ conversion


def test_conversion() -> None:
    x = tg.tensor([1.5, -1.5], requires_grad=True)
    assert (x.double().dtype, x.long().dtype, x.to(tg.bool).dtype) == ("float64", "int64", "bool")
    assert x.to("float32") is x
    assert x.double().float().requires_grad
    assert not x.long().requires_grad
    x.double().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float32


def test_requires_grad_is_for_floats() -> None:
    for data in ([1], [True]):
        with pytest.raises(DTypeError, match="float"):
            tg.tensor(data, requires_grad=True)


# ------------------------------------------------------------------------------ in place

IN_PLACE = [operator.iadd, operator.isub, operator.imul, operator.itruediv]


@pytest.mark.parametrize("act", IN_PLACE)
def test_in_place_is_a_new_value_under_the_old_name(act: Callable[..., Any]) -> None:
    """An earlier graph keeps the old one, and its gradient."""
    w = tg.tensor([2.0, 3.0], requires_grad=True)
    h = w * 1
    loss = (h * h).sum()
    alias = h
    h = act(h, 4.0)
    assert h is alias
    assert h.tolist() == act(np.array([2.0, 3.0]), 4.0).tolist()
    loss.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [4, 6]
    (through,) = tg.autograd.grad(h.sum(), w)
    factor = {operator.imul: 4.0, operator.itruediv: 0.25}.get(act, 1.0)
    assert through.tolist() == [factor, factor]


@pytest.mark.parametrize("act", IN_PLACE)
def test_in_place_on_a_leaf(act: Callable[..., Any]) -> None:
    w = tg.tensor([2.0, 3.0], requires_grad=True)
    with pytest.raises(InPlaceError, match=r"leaf of shape \(2,\).*no_grad"):
        act(w, 1.0)
    assert w.tolist() == [2, 3]
    with tg.no_grad():
        act(w, 4.0)
    assert w.is_leaf
    assert w.requires_grad
    assert w.tolist() == act(np.array([2.0, 3.0]), 4.0).tolist()


def test_in_place_under_no_grad_does_not_cut_the_graph() -> None:
    w = tg.tensor([2.0], requires_grad=True)
    h = w * 3
    with tg.no_grad(), pytest.raises(InPlaceError, match="cut"):
        h += 1
    assert h.requires_grad


def test_in_place_keeps_shape_and_dtype() -> None:
    x, n = tg.ones(2), tg.tensor([1, 2])
    with pytest.raises(ShapeError, match=r"x \+ y"):
        x += tg.ones(3, 2)
    with pytest.raises(ShapeError, match=r"x / y"):
        n /= 2
    assert x.tolist() == [1, 1]
    assert n.tolist() == [1, 2]


def test_in_place_by_a_tensor_that_requires_grad() -> None:
    total, w = tg.zeros(2), tg.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        total += w * w
    total.sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [6, 12]


def test_a_reshape_to_the_same_shape_is_a_name_of_its_own() -> None:
    x = tg.tensor([1.0, 2.0])
    y = x.reshape(2)
    y += 1
    assert x.tolist() == [1, 2]


def test_detach_and_data_are_constants() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    for constant in (w.detach(), w.data, (w * 1).detach()):
        assert constant.is_leaf
        assert not constant.requires_grad
        constant += 1  # a name of its own, too
    assert w.tolist() == [1, 2]


def test_data_are_replaced_whole() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    w.data = w.data * 2
    assert (w.tolist(), w.is_leaf, w.requires_grad) == ([2, 4], True, True)
    for wrong in (tg.ones(3), tg.ones(2, dtype="float64"), np.ones(3), 5.0):
        with pytest.raises(ShapeError, match=r"data: .*must agree"):
            w.data = wrong
    assert w.tolist() == [2, 4]
    w.data = np.array([5.0, 6.0])
    assert (w.tolist(), w.dtype) == ([5, 6], np.float32)


def test_grad_is_replaced_by_a_tensor_that_fits() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    assert w.grad is None
    w.grad = tg.ones(2)
    (w * 3).sum().backward()
    assert w.grad.tolist() == [4, 4]
    for wrong in (tg.ones(3), tg.ones(2, dtype="float64")):
        with pytest.raises(ShapeError, match=r"grad: .*must agree"):
            w.grad = wrong
    with pytest.raises(DTypeError, match="ndarray"):
        w.grad = np.ones(2)
    assert w.grad.tolist() == [4, 4]
    w.grad = None
    assert w.grad is None


def test_only_leaves_stop_asking_for_gradients() -> None:
    w = tg.tensor([1.0], requires_grad=True)
    with pytest.raises(GradientError, match="detach"):
        (w * 2).requires_grad_(False)
    w.requires_grad = False
    assert not (w * 2).requires_grad


def test_a_deep_copy_is_independent() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    twin = copy.deepcopy(w)
    with tg.no_grad():
        twin *= 3
    assert (w.tolist(), twin.tolist(), twin.requires_grad) == ([1, 2], [3, 6], True)


def test_a_clone_is_another_tensor_of_the_same_graph() -> None:
    x = tg.tensor([1.0, -0.0], requires_grad=True)
    y = x.clone()
    assert y is not x
    assert y.detach().numpy().tobytes() == x.detach().numpy().tobytes()
    (3 * y).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3, 3]
    kept = x.detach().clone()
    kept[0] = 7.0
    assert x.tolist() == [1, 0]


def test_in_the_form_of_another() -> None:
    x, other = tg.ones(2, 3), tg.zeros(3, 2, dtype=tg.float64)
    assert x.contiguous() is x
    assert x.T.is_contiguous()
    assert x.type_as(other).dtype == tg.float64
    assert x.view_as(other).shape == x.reshape_as(other).shape == (3, 2)
    assert tg.ones(2).expand_as(other).shape == (3, 2)
