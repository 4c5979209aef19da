"""Samples in lanes give what the samples give one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.compiler.values.expressions import Expression, expressions
from tinygrad_edu import Value, scalar
from tinygrad_edu.errors import GradientError, TraceError
from tinygrad_edu.kernels.values.lane_machine import width
from tinygrad_edu.scalar import batch_mean, batch_sum

PARAMETERS, INPUTS = 2, 2
sizes = st.sampled_from([1, 2, 16, 17, 64, 65, 140])

ROUNDING = 1e-11
"""Relative: the vector functions are right to two units of 2^-53 instead of half of one, and sums
have another order; amplified by what a dozen steps cancel."""


@settings(max_examples=15)  # each compiles a machine of its own, in some tenths of a second
@given(expressions(PARAMETERS + INPUTS), sizes, st.integers(0, 2**32 - 1))
def test_equal_to_the_samples_one_by_one(expression: Expression, n: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    xs, weights = draw.uniform(-2, 2, (n, INPUTS)), draw.uniform(-2, 2, PARAMETERS)
    parameters = [Value(w) for w in weights]
    compiled = tg.compile(lambda x: expression([*parameters, *x]))
    result = compiled(xs)
    result.backward()

    eager = [Value(w) for w in weights]
    values = [expression([*eager, *map(Value, x)]) for x in xs.tolist()]
    shares = []
    for value in values:
        before = [w.grad for w in eager]
        value.backward()
        shares.append([w.grad - b for w, b in zip(eager, before, strict=True)])
    expected = np.array([value.data for value in values])
    data = np.broadcast_to(result.data, expected.shape)  # one number if no input is used
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(data, expected, ROUNDING, ROUNDING)
        if len(data) == len(np.atleast_1d(result.data)):
            scale = max(1.0, float(np.max(np.abs(shares), initial=0.0)))
            grads = [[w.grad for w in ws] for ws in (parameters, eager)]
            np.testing.assert_allclose(*grads, ROUNDING, ROUNDING * scale * n)


def demo(model: scalar.MLP, mean: bool) -> tuple[object, object]:
    """The training step of micrograd's demo, for all points one by one and for one point."""

    def hinge(point: list[Value], label: Value) -> Value:
        return (1 + -label * model(point)).relu()

    def update(loss: Value, learning_rate: float) -> Value:
        loss = loss + 1e-2 * sum(p * p for p in model.parameters())
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= learning_rate * p.grad
        return loss.data

    def eager(points: np.ndarray, labels: np.ndarray, learning_rate: float) -> float:
        pairs = zip(points.tolist(), labels.tolist(), strict=True)
        losses = [hinge([Value(x) for x in point], Value(label)) for point, label in pairs]
        return update(sum(losses) * (1 / len(losses) if mean else 1.0), learning_rate)

    def one(point: list[Value], label: Value, learning_rate: float) -> Value:
        return update((batch_mean if mean else batch_sum)(hinge(point, label)), learning_rate)

    return eager, tg.compile(one)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mean", [True, False])
def test_a_training_step(dtype: str, mean: bool) -> None:
    draw = np.random.default_rng(3)
    points = draw.normal(size=(77, 2)).astype(dtype)
    labels = np.where(points[:, 0] * points[:, 1] > 0, 1, -1).astype(dtype)
    models = [scalar.MLP(2, [5, 4, 1]) for _ in range(2)]
    for p, q in zip(*(model.parameters() for model in models), strict=True):
        # Biases, too: where all units before it are off, a unit's relu sees its bias alone, and one
        # that began with 0 would be on or off by rounding.
        p.data = q.data = draw.uniform(-1, 1)
    eager, compiled = demo(models[0], mean)[0], demo(models[1], mean)[1]
    tolerance = 2e-6 if dtype == "float32" else 1e-12  # some ten roundings in either
    for _ in range(5):
        rate = 0.1 if mean else 0.001
        expected = eager(points.astype(float), labels.astype(float), rate)
        assert compiled(points, labels, rate) == pytest.approx(expected, rel=tolerance)
        pairs = zip(*(model.parameters() for model in models), strict=True)
        for p, q in pairs:
            assert q.data == pytest.approx(p.data, rel=tolerance, abs=tolerance)
            assert q.grad == pytest.approx(p.grad, rel=10 * tolerance, abs=10 * tolerance)


def test_what_a_call_returns() -> None:
    w = Value(2.0)
    compiled = tg.compile(lambda x: {"each": w * x, "mean": batch_mean(w * x), "w": w * w})
    results = compiled(np.arange(5, dtype=np.float32))
    assert results["each"].data.dtype == np.float32
    assert len(results["each"]) == 5
    np.testing.assert_array_equal(np.asarray(results["each"]), [0, 2, 4, 6, 8])
    assert results["mean"].data == 4.0
    assert results["w"].data == 4.0
    for name, grad in {"each": 10.0, "mean": 2.0, "w": 4.0}.items():
        w.grad = 0.0
        results[name].backward()
        assert w.grad == grad, name


def test_integers_choose_no_precision() -> None:
    w = Value(1.0)
    compiled = tg.compile(lambda x, y: x * y * w)
    assert compiled(np.ones(3, np.float32), np.ones(3, int)).data.dtype == np.float32
    assert compiled(np.ones(3, int), np.ones(3, int)).data.dtype == np.float64


def test_an_earlier_result_has_no_backward() -> None:
    w = Value(1.0)
    compiled = tg.compile(lambda x: w * x)
    earlier = compiled(np.ones(3))
    compiled(np.ones(3))
    with pytest.raises(GradientError, match="before the next call"):
        earlier.backward()


def test_many_samples_are_added_up_exactly_enough() -> None:
    """In float32 one after the other, 10^6 numbers would be off by a hundredth. A block's share of
    a gradient is added up in float32: its registers, then the lanes of one; the rest in float64."""
    w = Value(1.0)
    total = tg.compile(lambda x: batch_sum(w * x))(np.full(1_000_001, 0.1, np.float32))
    total.backward()
    exact, lanes = 1_000_001 * float(np.float32(0.1)), width(1_000_001, "float32")
    additions = 1_000_001 / lanes
    assert total.data == pytest.approx(exact, rel=additions * 2.0**-53)
    assert w.grad == pytest.approx(exact, rel=(lanes / 16 + 4) * 2.0**-24)


def test_a_lane_without_a_sample_adds_nothing() -> None:
    """The derivative of sqrt is infinite at 0, and 0 times that is nan."""
    w = Value(0.0)
    roots = tg.compile(lambda x: (w + x).sqrt())(np.zeros(3))
    roots.backward()
    assert w.grad == np.inf


@pytest.mark.parametrize(
    "function", [lambda x: x - batch_mean(x), lambda x: batch_sum(Value(1.0) * 2) * x]
)
def test_what_lanes_cannot_do(function: object) -> None:
    with pytest.raises(TraceError):
        tg.compile(function)(np.ones(3))  # type: ignore[arg-type]
