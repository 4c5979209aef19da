"""Forward mode: every op's tangent against its cotangent, in both orders, and what the walk keeps.

For any directions t of the operands and any cotangent g of the result, <g, J t> = <J^T g, t>. The
cotangents are proved elsewhere (`tests/ops/test_every_op.py`), so this proves the tangents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.cases import CASES
from tests.ops.checks import DERIVATIVE_ULPS, assert_close, directions, influential, size
from tests.ops.samples import Sample
from tests.ops.test_mutations import FACTORS, reports
from tinygrad_edu import func
from tinygrad_edu.derive.autograd import grad
from tinygrad_edu.errors import StaleStorageError
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.ops import TABLE, Op

EXAMPLES = settings(max_examples=8)

DIFFERENTIABLE = [name for name in sorted(CASES) if TABLE[name].differentiable]

every_op = pytest.mark.parametrize("name", DIFFERENTIABLE)


# ------------------------------------------------------------------------------ every op


def only(op: Op, sample: Sample, which: Sequence[int]) -> Callable[..., Any]:
    """The op as a function of the chosen operands."""

    def function(*chosen: Any) -> Any:
        xs = [tg.tensor(x) for x in sample.xs]
        for i, x in zip(which, chosen, strict=True):
            xs[i] = x
        return apply(op, *xs, **sample.params)

    return function


def inner(xs: Sequence[Any], ys: Sequence[Any]) -> tuple[float, float]:
    """The inner product, and the size of what was added up for it."""
    terms = [np.ravel(np.asarray(x) * np.asarray(y)) for x, y in zip(xs, ys, strict=True)]
    products = np.concatenate(terms) if terms else np.zeros(0)
    return float(products.sum()), size(np.abs(products).sum())


def check_forward(op: Op, sample: Sample) -> None:
    """<g, J t> = <J^T g, t>, for all operands at once and for each alone."""
    everything = influential(op, sample)
    for which in [everything, *([i] for i in everything)]:
        function = only(op, sample, which)
        primals = tuple(sample.xs[i] for i in which)
        along = tuple(directions(sample, which))
        y, tangent = func.jvp(function, primals, along)
        assert (tangent.shape, tangent.dtype) == (y.shape, y.dtype)
        (g,) = directions(Sample((y.numpy(),)), [0], seed=1)
        pulled = func.vjp(function, *primals)[1](g)
        forward, terms = inner([g], [tangent])
        reverse, more_terms = inner(pulled, along)
        scale = max(terms, more_terms)
        assert_close(f"{op.name} by {which}", forward, reverse, DERIVATIVE_ULPS, scale)


def check_second_order(op: Op, sample: Sample) -> None:
    """The change of the gradient along t is the same three ways: forward over reverse, reverse over
    reverse, and reverse over forward, as <g, J(x) t> is what is differentiated."""
    which = influential(op, sample)
    primals, along = tuple(sample.xs[i] for i in which), tuple(directions(sample, which))
    function = only(op, sample, which)
    (g,) = directions(Sample((function(*map(tg.tensor, primals)).numpy(),)), [0], seed=1)

    def pulled(*xs: Any) -> Any:
        return func.vjp(function, *xs)[1](g)

    def reverse_slope(*xs: Any) -> Any:
        return sum((p * tg.tensor(t)).sum() for p, t in zip(pulled(*xs), along, strict=True))

    def forward_slope(*xs: Any) -> Any:
        return (func.jvp(function, xs, along)[1] * tg.tensor(g)).sum()

    everything = tuple(range(len(which)))
    wanted = func.grad(reverse_slope, everything)(*primals)
    scale = size(*(x.numpy() for x in wanted))
    for way, found in (
        ("forward over reverse", func.jvp(pulled, primals, along)[1]),
        ("reverse over forward", func.grad(forward_slope, everything)(*primals)),
    ):
        for i, x, y in zip(which, found, wanted, strict=True):
            name = f"{op.name}, operand {i}, {way}"
            assert_close(name, x.numpy(), y.numpy(), DERIVATIVE_ULPS, scale)


@every_op
@EXAMPLES
@given(data=st.data())
def test_forward_against_reverse(name: str, data: st.DataObject) -> None:
    check_forward(TABLE[name], data.draw(CASES[name].samples))


@every_op
@EXAMPLES
@given(data=st.data())
def test_modes_mix(name: str, data: st.DataObject) -> None:
    check_second_order(TABLE[name], data.draw(CASES[name].samples))


@every_op
@settings(max_examples=3)
@given(data=st.data())
def test_traced_and_float32(name: str, data: st.DataObject) -> None:
    """On shapes alone a tangent has the shape and dtype it has on values, float32 too."""
    op, sample = TABLE[name], data.draw(CASES[name].samples)
    which = influential(op, sample)
    low = [np.asarray(x, np.float32) if x.dtype.kind == "f" else x for x in sample.xs]
    chosen = tuple(tg.tensor(low[i]) for i in which)
    function = only(op, Sample(tuple(low), sample.params), which)
    y, tangent = func.jvp(function, chosen, chosen)
    shapes = tuple(abstract(x.shape, x.dtype) for x in chosen)
    traced = func.jvp(function, shapes, shapes)[1]
    assert (tangent.shape, tangent.dtype) == (y.shape, y.dtype)
    assert (traced.shape, traced.dtype) == (y.shape, y.dtype)
    assert traced.node.is_abstract
    assert not traced.requires_grad


@pytest.mark.parametrize("kind", FACTORS)
@pytest.mark.parametrize("name", ["tanh", "clamp", "where", "concat", "matmul", "amax", "cast"])
def test_a_wrong_tangent_is_reported(monkeypatch: pytest.MonkeyPatch, name: str, kind: str) -> None:
    op = TABLE[name]
    true = op.jvp
    monkeypatch.setattr(op, "jvp", lambda *args, **params: true(*args, **params) * FACTORS[kind])
    assert reports(check_forward, op)


@pytest.mark.parametrize("name", ["tanh", "mul", "pow", "matmul"])
def test_a_tangent_that_is_a_constant_is_reported(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Its value is right, and its own derivative is missing."""
    op = TABLE[name]
    true = op.jvp

    def jvp(m: Any, ts: Any, y: Any, xs: Any, **params: Any) -> Any:
        return true(m, ts, m.detach(y), [m.detach(x) for x in xs], **params)

    monkeypatch.setattr(op, "jvp", jvp)
    assert not reports(check_forward, op)
    assert reports(check_second_order, op)


# ------------------------------------------------------------------------------ edges


def along(function: Callable[..., Any], x: Any, t: Any) -> Any:
    return func.jvp(function, (np.array(x, float),), (np.array(t, float),))[1].tolist()


def test_ties_move_by_their_mean() -> None:
    """The transpose of sharing a gradient evenly."""
    assert along(lambda x: tg.amax(x), [1, 1, 0], [1, 0, 0]) == 0.5
    assert along(lambda x: tg.amin(x, 1), [[1, 1], [0, 2]], [[3, 5], [7, 9]]) == [4, 7]
    assert along(lambda x: tg.maximum(x, 1.0), [1, 2, 0], [4, 4, 4]) == [2, 4, 0]


def test_a_mask_drops_infinite_tangents() -> None:
    inf = math.inf
    assert along(tg.relu, [-1, 0, 1], [inf, inf, 2]) == [0, 0, 2]
    assert along(lambda x: tg.where(x > 0, x, 3), [-1, 1], [inf, 2]) == [0, 2]
    assert along(lambda x: tg.amax(x), [1, 2], [inf, 3]) == 3


def test_what_has_no_derivative_does_not_move() -> None:
    assert along(tg.floor, [0.5, 1.5], [1, 1]) == [0, 0]
    assert along(lambda x: (x > 0).to(x.dtype), [0.5, -1], [1, 1]) == [0, 0]
    assert along(lambda x: x.detach() * 3, [0.5], [1]) == [0]
    assert along(lambda x: tg.ones(2), [0.5], [1]) == [0, 0]


# ------------------------------------------------------------------------------ the walk


def test_long_chains_need_no_recursion() -> None:
    def chain(x: Any) -> Any:
        for _ in range(20_000):
            x = x + 1
        return x

    assert along(chain, 0, 1) == 1


def test_diamonds_add_up() -> None:
    def diamond(a: Any) -> Any:
        b = a + a
        return b * b + b

    assert along(diamond, 3, 1) == 8 * 3 + 2


def test_a_value_changed_meanwhile_is_refused() -> None:
    w = tg.tensor([2.0], requires_grad=True)

    def function(x: Any) -> Any:
        y = x * w
        w.data = tg.tensor([3.0])
        return y

    with pytest.raises(StaleStorageError, match="mul"):
        func.jvp(function, (tg.ones(1),), (tg.ones(1),))


def test_tangents_are_constants_unless_someone_asks() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    plain = func.jvp(tg.exp, (x.detach(),), (tg.ones(2),))[1]
    assert not plain.requires_grad
    recorded = func.jvp(tg.exp, (x,), (tg.ones(2),))[1]
    (gradient,) = grad(recorded.sum(), x)
    np.testing.assert_allclose(gradient.numpy(), np.exp([1, 2]), rtol=1e-6)
    with tg.no_grad():
        assert not func.jvp(tg.exp, (x,), (tg.ones(2),))[1].requires_grad
