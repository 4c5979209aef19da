"""NumPy's functions on tensors have NumPy's meaning and stay in the graph; DLPack copies."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import ArgumentError, AxisError, DTypeError, GradientError
from tinygrad_edu.graph import numpy_protocol

X = np.array([[3.0, -1.0, 2.0], [0.5, 4.0, -2.5]])
ORDER = np.array([[2, 0, -1]])

CALLS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: np.sum(x, axis=0),
    "sum of all": np.sum,
    "sum of integers": lambda x: np.sum(_whole(x)),
    "prod": lambda x: np.prod(x, axis=1, keepdims=True),
    "mean": lambda x: np.mean(x, axis=(0, 1)),
    "mean of integers": lambda x: np.mean(_whole(x), 0),
    "var divides by n": lambda x: np.var(x, axis=1),
    "var": lambda x: np.var(x, ddof=1),
    "std": lambda x: np.std(x, axis=0, keepdims=True),
    "max over several axes": lambda x: np.max(x, axis=(0, 1)),
    "max is the values alone": lambda x: np.max(x, axis=1),
    "amax": lambda x: np.amax(x, 0),
    "min": lambda x: np.min(x, axis=1, keepdims=True),
    "amin": np.amin,
    "argmax": lambda x: np.argmax(x, axis=1),
    "argmin": np.argmin,
    "any": lambda x: np.any(x > 3, axis=0),
    "all": lambda x: np.all(x),
    "count_nonzero": lambda x: np.count_nonzero(x > 0, axis=1),
    "cumsum of all": np.cumsum,
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "cumprod of all": np.cumprod,
    "cumprod": lambda x: np.cumprod(x, axis=0),
    "sort": np.sort,
    "sort of all": lambda x: np.sort(x, axis=None),
    "argsort": lambda x: np.argsort(x, axis=0, kind="stable"),
    "argsort of all": lambda x: np.argsort(x, axis=None),
    "concatenate": lambda x: np.concatenate([x, x], axis=1),
    "concatenate with an array": lambda x: np.concatenate((X, x)),
    "concatenate flat": lambda x: np.concatenate([x, X], axis=None),
    "stack": lambda x: np.stack([x, X], axis=1),
    "split evenly": lambda x: np.split(x, 3, axis=1),
    "split at places": lambda x: np.split(x, [1, -1, 1], axis=1),
    "reshape": lambda x: np.reshape(x, (3, -1)),
    "ravel": np.ravel,
    "transpose": np.transpose,
    "transpose by axes": lambda x: np.transpose(x[None], (1, 0, 2)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "moveaxis": lambda x: np.moveaxis(x[None], 0, -1),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "squeeze": lambda x: np.squeeze(x[None]),
    "squeeze an axis": lambda x: np.squeeze(x[None], axis=0),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "flip": np.flip,
    "flip an axis": lambda x: np.flip(x, 1),
    "roll": lambda x: np.roll(x, 2),
    "roll an axis": lambda x: np.roll(x, 1, axis=1),
    "tile": lambda x: np.tile(x, (2, 1)),
    "repeat": lambda x: np.repeat(x, 2, 1),
    "where": lambda x: np.where(x > 0, x, 0.0),
    "clip": lambda x: np.clip(x, -1, 1),
    "clip at one end": lambda x: np.clip(x, None, 1.0),
    "round": lambda x: np.round(x, 1),
    "around": np.around,
    "dot of matrices": lambda x: np.dot(x, X.T),
    "dot of vectors": lambda x: np.dot(x[0], x[1]),
    "dot with a number": lambda x: np.dot(x, 2.0),
    "dot of many axes": lambda x: np.dot(x, np.ones((4, 3, 2))),
    "outer of whatever": lambda x: np.outer(x, x),
    "tensordot": lambda x: np.tensordot(x, X, axes=([1], [1])),
    "tensordot by default": lambda x: np.tensordot(x, X),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, X, optimize=True),
    "tril": np.tril,
    "triu": lambda x: np.triu(x, 1),
    "diag": lambda x: np.diag(x[0]),
    "diagonal": lambda x: np.diagonal(x, 1),
    "take": lambda x: np.take(x, ORDER, axis=1),
    "take of all": lambda x: np.take(x, [4, -1]),
    "take_along_axis": lambda x: np.take_along_axis(x, ORDER[[0, 0]], 1),
    "take_along_axis of all": lambda x: np.take_along_axis(x, ORDER[0], None),
    "pad": lambda x: np.pad(x, 1),
    "pad with a value": lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=3.0),
    "pad with the edge": lambda x: np.pad(x, ((0, 0), (1, 2)), mode="edge"),
    "pad around": lambda x: np.pad(x, ((0, 0), (1, 2)), "wrap"),
    "norm": np.linalg.norm,
    "norm of rows": lambda x: np.linalg.norm(x, 1, axis=1),
    "norm of Frobenius": lambda x: np.linalg.norm(x, "fro"),
    "zeros_like": np.zeros_like,
    "ones_like": lambda x: np.ones_like(x, dtype=np.int32),
    "empty_like": lambda x: 0 * np.empty_like(x),
    "full_like": lambda x: np.full_like(x, 2.5),
    "isclose": lambda x: np.isclose(x, X + 1e-12),
}
ANSWERS: dict[str, Callable[[Any], Any]] = {
    "shape": np.shape,
    "ndim": np.ndim,
    "size": np.size,
    "size of an axis": lambda x: np.size(x, 1),
    "allclose": lambda x: np.allclose(x, X + 1e-12, rtol=0, atol=1e-9),
    "array_equal": lambda x: np.array_equal(x, X + 1),
}


def _whole(x: Any) -> Any:
    return x.detach().to("int32") if isinstance(x, tg.Tensor) else x.astype("int32")


@pytest.mark.parametrize("name", CALLS)
def test_values_are_numpys_and_tensors(name: str) -> None:
    x = tg.tensor(X, requires_grad=True)
    found, wanted = CALLS[name](x), CALLS[name](X)
    if not isinstance(wanted, list):
        found, wanted = [found], [wanted]
    assert len(found) == len(wanted)
    for y, value in zip(found, wanted, strict=True):
        assert isinstance(y, tg.Tensor)
        assert (y.shape, y.dtype) == (np.shape(value), value.dtype)
        np.testing.assert_allclose(y.detach().numpy(), value, rtol=1e-14)
        constant = name.endswith(("integers", "_like")) or name in ("isclose", "round", "around")
        assert y.requires_grad == (value.dtype == np.float64 and not constant)


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_numpys(name: str) -> None:
    found = ANSWERS[name](tg.tensor(X, requires_grad=True))
    assert found == ANSWERS[name](X)
    assert not isinstance(found, tg.Tensor)


def test_every_function_is_tested() -> None:
    """By the name of the test, up to the first blank."""
    tested = {name.split()[0] for name in CALLS | ANSWERS}
    assert {function.__name__ for function in numpy_protocol._HANDLERS} == tested


def test_a_gradient_through_numpy() -> None:
    x = tg.tensor([1.0, 2.0, 6.0], requires_grad=True)
    np.var(x).backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [-4 / 3, -2 / 3, 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (np.median, DTypeError, r"np\.median: .*no differentiable.*detach"),
        (np.linalg.inv, DTypeError, r"np\.linalg\.inv"),
        (lambda x: np.sum(x, out=np.zeros(())), DTypeError, r"np\.sum: .*'out'.*detach"),
        (lambda x: np.sum(x, where=X > 0), DTypeError, r"np\.sum: .*'where'"),
        (lambda x: np.where(x > 0), DTypeError, r"np\.where"),
        (lambda x: np.split(x, 2, axis=1), ArgumentError, r"np\.split: 3 elements .*chunk"),
        (lambda x: np.linalg.norm(x, 2), ArgumentError, r"np\.linalg\.norm: ord=2 .*matrix"),
        (lambda x: np.take_along_axis(x, ORDER + 5, 1), IndexError, "gather: position"),
        (lambda x: np.sum(x, axis=2), AxisError, "sum: axis 2"),
    ],
)
def test_misuse(act: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        act(tg.tensor(X))


def test_other_arrays_may_answer_first() -> None:
    class Loud:
        def __array_function__(self, *_: Any) -> str:
            return "mine"

    assert np.concatenate([tg.ones(2), Loud()]) == "mine"  # type: ignore[list-item]


# ------------------------------------------------------------------------------ DLPack


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
def test_dlpack_there_and_back(dtype: str) -> None:
    x = tg.tensor(X.astype(dtype))
    for given in (x, X.astype(dtype), X.astype(dtype).T, np.zeros((0, 2), dtype)):
        there = np.from_dlpack(given)
        back = tg.from_dlpack(given)
        assert (there.dtype, back.dtype) == (dtype, dtype)
        np.testing.assert_array_equal(there, np.asarray(given))
        np.testing.assert_array_equal(back.numpy(), there)


def test_nobody_else_writes_to_what_a_graph_needs() -> None:
    x, foreign = tg.tensor([1.0, 2.0]), np.array([3.0, 4.0])
    given, taken = np.from_dlpack(x), tg.from_dlpack(foreign)
    if given.flags.writeable:
        given[:] = 9
    foreign[:] = 9
    assert x.tolist() == [1, 2]
    assert taken.tolist() == [3, 4]
    assert tg.from_numpy(foreign).numpy() is not foreign


def test_dlpack_refuses() -> None:
    x = tg.tensor([1.0])
    assert x.__dlpack_device__() == (1, 0)
    with pytest.raises(GradientError, match="detach"):
        np.from_dlpack(tg.tensor([1.0], requires_grad=True))
    with pytest.raises(ArgumentError, match="copies"):
        x.__dlpack__(copy=False)
    with pytest.raises(ArgumentError, match="processor"):
        x.__dlpack__(dl_device=(2, 0))
    for other in ([1.0], "text", None):
        with pytest.raises(DTypeError, match=rf"^from_dlpack: .*{type(other).__name__}"):
            tg.from_dlpack(other)
    with pytest.raises(DTypeError, match=r"^from_numpy: .*list"):
        tg.from_numpy([1.0])  # type: ignore[arg-type]


def test_dlpack_with_torch(torch: ModuleType) -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    theirs = torch.from_dlpack(x)
    assert theirs.tolist() == x.tolist()
    theirs.zero_()
    assert x.tolist() == [[1, 2], [3, 4]]
    source = torch.arange(6.0).reshape(2, 3).T
    ours = tg.from_dlpack(source)
    assert ours.tolist() == source.tolist()
    source.zero_()
    assert ours.tolist() == [[0, 3], [1, 4], [2, 5]]
    with pytest.raises(DTypeError, match=r"^from_dlpack: .*Tensor"):
        tg.from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(DTypeError, match=r"^from_dlpack: .*Tensor"):
        tg.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
