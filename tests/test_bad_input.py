"""What users get wrong, and what they are told: which function, which shapes, and what to do.

Each mistake has its own exception, which is also the built-in exception (or NumPy's) for it, and
leaves everything as it was. Misfits of single functions are tested beside them
(`graph/test_axes.py`, `graph/test_indexing.py`, `derive/test_reverse.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.ops.samples import RULES
from tinygrad_edu import errors
from tinygrad_edu.errors import ArgumentError, DTypeError, IndexingError, ShapeError, TinygradError
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.ops import TABLE
from tinygrad_edu.ops.kinds import Elementwise

SEVERAL = [name for name in sorted(RULES) if TABLE[name].arity > 1]  # type: ignore[attr-defined]


def test_every_error_is_ours_and_a_builtin() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, TinygradError) and kind is not TinygradError
    ]
    assert len(kinds) > 8
    builtin = (ValueError, TypeError, RuntimeError, IndexError)
    assert all(issubclass(kind, builtin) for kind in kinds)
    assert all(kind.__doc__ for kind in kinds)


# ------------------------------------------------------------------------------ shapes


@pytest.mark.parametrize("make", [tg.ones, lambda *s: abstract(s)], ids=["eager", "traced"])
@pytest.mark.parametrize("name", SEVERAL)
def test_operands_that_do_not_broadcast(name: str, make: Callable[..., Any]) -> None:
    op = TABLE[name]
    assert isinstance(op, Elementwise)
    operands = [make(2, 3), *[make(4, 3)] * (op.arity - 1)]
    if op.selects:
        operands[0] = operands[0] > 0
    with pytest.raises(ShapeError, match=rf"^{name}: .*\(2, 3\).*\(4, 3\).*x\[:, None\]"):
        apply(op, *operands)


@pytest.mark.parametrize("make", [tg.ones, lambda *s: abstract(s)], ids=["eager", "traced"])
@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        ((2, 3), (2, 3), r"\(2, 3\) @ \(2, 3\).*x @ w\.mT"),
        ((3,), (4,), r"\(3,\) @ \(4,\).*only size"),
        ((2, 3), (4,), r"\(2, 3\) @ \(4,\).*only size"),
        ((4,), (2, 3), r"\(4,\) @ \(2, 3\).*second last"),
        ((), (3,), r"\(\) @ \(3,\).*multiply with \*"),
        ((5, 2, 3), (4, 3, 2), r"\(5,\).*\(4,\) do not broadcast"),
    ],
)
def test_matrices_that_do_not_multiply(make: Callable[..., Any], a: Any, b: Any, text: str) -> None:
    with pytest.raises(ShapeError, match=f"^matmul: .*{text}"):
        make(*a) @ make(*b)


# ------------------------------------------------------------------------------ dtypes


@pytest.mark.parametrize("make", [tg.ones, lambda *s, dtype: abstract(s, dtype)])
def test_matrices_of_mixed_dtypes(make: Callable[..., Any]) -> None:
    a, b = make(2, 2, dtype="float32"), make(2, 2, dtype="float64")
    with pytest.raises(DTypeError, match=r"^matmul: float32 @ float64.*\.to\('float32'\)"):
        a @ b


@pytest.mark.parametrize(
    "name", ["mean", "var", "std", "norm", "softmax", "log_softmax", "logsumexp"]
)
def test_integers_where_floats_are_needed(name: str) -> None:
    extra = {"dim": 0} if "softmax" in name else {}
    with pytest.raises(DTypeError, match=rf"^{name}: needs floats, got int64 \(2,\).*\.float\(\)"):
        getattr(tg, name)(tg.tensor([1, 2]), **extra)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("wrong", [None, "1", [1.0], {}, 1j, object()])
def test_operands_that_are_no_numbers(name: str, wrong: Any) -> None:
    op = TABLE[name]
    assert isinstance(op, Elementwise)
    operands = [tg.ones(2)] * op.arity
    operands[-1] = wrong
    with pytest.raises(DTypeError, match=rf"^{name}: .*{type(wrong).__name__}.*tg\.tensor"):
        apply(op, *operands)


@pytest.mark.parametrize("condition", [tg.tensor([1, 0]), tg.ones(2), np.ones(2)])
def test_conditions_are_bool(condition: Any) -> None:
    """A number as condition would count as true, and scale the gradient."""
    with pytest.raises(DTypeError, match=r"^where: the condition must be bool.*x != 0"):
        tg.where(condition, 1.0, 2.0)


def test_python_bools_are_conditions() -> None:
    assert tg.where(True, tg.ones(2), 0.0).tolist() == [1, 1]
    assert tg.where(False, 1.0, 2.0).item() == 2


def test_numbers_that_do_not_fit_the_dtype() -> None:
    with pytest.raises(ArgumentError, match=r"^add: the number \d+ does not fit into int32"):
        tg.tensor([1], dtype="int32") + 2**40


def test_powers_that_integers_do_not_have() -> None:
    with pytest.raises(ArgumentError, match=r"^pow: .*negative integer powers.*\(2,\) int64"):
        tg.tensor([1, 2]) ** -1
    assert (tg.tensor([1.0, 2.0]) ** -1).tolist() == [1, 0.5]


# ------------------------------------------------------------------------------ nothing happened


def test_an_error_leaves_no_trace() -> None:
    """Neither values, nor names, nor recording, nor gradients change when a call is refused."""
    w = tg.tensor([[1.0, 2.0]], requires_grad=True)
    h = w * 2
    node = h.node
    attempts: list[Callable[[], Any]] = [
        lambda: h + tg.ones(3),
        lambda: h @ h,
        lambda: h.reshape(3),
        lambda: h[5],
        lambda: h.__setitem__(5, 0.0),
        lambda: h.__setitem__(0, tg.ones(3)),
        lambda: h.__iadd__(tg.ones(4, 2)),
        lambda: h.__iadd__(tg.ones(3)),
        lambda: h.backward(),
        lambda: tg.autograd.grad(h.sum(), tg.ones(1)),
        lambda: setattr(w, "data", tg.ones(3)),
        lambda: setattr(w, "grad", tg.ones(3)),
        lambda: w.__iadd__(1.0),
    ]
    for attempt in attempts:
        with pytest.raises(TinygradError):
            attempt()
        assert h.node is node
        assert h.tolist() == [[2, 4]]
        assert w.tolist() == [[1, 2]]
        assert w.grad is None
        assert tg.is_grad_enabled()
    h.sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [[2, 2]]


def test_messages_are_sentences_about_the_call() -> None:
    """The name of the function first, then what is wrong, then what to do."""
    x = tg.ones(2, 3)
    for act in (
        lambda: x + tg.ones(4),
        lambda: x @ x,
        lambda: x.reshape(5),
        lambda: x.expand(4, 4),
        lambda: x.sum(dim=7),
        lambda: x.permute(0, 0),
        lambda: tg.cat([x, tg.ones(3)]),
        lambda: tg.clamp(x),
        lambda: tg.gelu(x, approximate="erf"),
        lambda: x & x,
        lambda: x.item(),
        lambda: bool(x),
        lambda: x[9],
        lambda: x["a"],
    ):
        with pytest.raises(TinygradError) as caught:
            act()
        message = str(caught.value)
        assert re.match(r"[\w&.]+: ", message), message
        assert len(message) > 40, message


def test_out_of_range_is_an_index_error() -> None:
    with pytest.raises(IndexingError, match=r"index \[9\] does not fit|out of bounds.*\(2, 3\)"):
        tg.ones(2, 3)[9]
