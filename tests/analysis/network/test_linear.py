"""Factors, shifts and biases, element by element: moments in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from analysis.network.analyze import propagate
from analysis.network.records import Signal
from tests.analysis.network.nets import Net, linear
from tinygrad_edu import nn

N = 30


class Scale(nn.Module):
    """A factor a unit, drawn uniformly from [low, high]."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(tg.zeros(N))
        nn.init.uniform_(self.weight, low, high)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x * self.weight


def record(model: nn.Module, given: object = (16,)) -> Signal:
    """Of the last place."""
    found = propagate(model, given)
    signal = found.records[found.graph.places[-1].node]
    assert isinstance(signal, Signal)
    return signal


def test_a_drawn_factor_a_unit_multiplies_moments() -> None:
    """E[w^k] = (high^(k+1) - low^(k+1)) / ((k + 1)(high - low)); in front of it
    the gradient takes E[w^2]."""
    low, high, gain2 = -0.4, 1.4, 2.5

    def power(k: int) -> float:
        return (high ** (k + 1) - low ** (k + 1)) / ((k + 1) * (high - low))

    first = linear(16, N, math.sqrt(gain2))
    nn.init.constant_(first.bias, 0.7)
    model = nn.Sequential(first, Scale(low, high))
    second, mean = gain2 + 0.7**2, 0.7
    found = record(model)
    assert found.mean == pytest.approx(power(1) * mean)
    assert found.second == pytest.approx(power(2) * second)
    fourth = 3 * gain2**2 + 6 * gain2 * mean**2 + mean**4
    assert found.fourth == pytest.approx(power(4) * fourth)
    rows = analysis.analyze(model).layers
    assert rows[0].backward.second == pytest.approx(power(2) * rows[1].backward.second)


@pytest.mark.parametrize(
    ("shift", "mean", "sign"),
    [
        (lambda h: h + 0.8, 0.8, 1),
        (lambda h: 0.8 + h, 0.8, 1),
        (lambda h: h - 0.8, -0.8, 1),
        (lambda h: 0.8 - h, 0.8, -1),
    ],
)
def test_a_constant_on_either_side(
    shift: Callable[[tg.Tensor], tg.Tensor], mean: float, sign: int
) -> None:
    """z + tanh(mean +- z): the covariance of both has the sign of z."""
    layer, last = linear(16, N), linear(N, 8)
    model = Net(
        lambda s, x: (lambda h: s.last(s.seen(shift(h).tanh() + h)))(s.first(x)),
        first=layer,
        seen=nn.Identity(),
        last=last,
    )
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    value = np.tanh(mean + sign * z) + z
    slope = 1 + sign / np.cosh(mean + sign * z) ** 2
    rows = {row.name: row for row in analysis.analyze(model).layers}
    assert rows["seen"].forward.mean == pytest.approx(weight @ value)
    assert rows["seen"].forward.second == pytest.approx(weight @ value**2)
    assert rows["first"].backward.second == pytest.approx(8 / N * weight @ slope**2)


def test_two_examples_share_the_bias_behind_a_product() -> None:
    """A product of two layers correlates by c^2; a bias of mean m and variance b adds m^2 + b."""
    c, m, b = 0.6, 0.5, 0.8
    x = np.array([[1.0, 0.0], [c, math.sqrt(1 - c * c)]]) * math.sqrt(2)
    bias = nn.Linear(1, N)
    nn.init.normal_(bias.bias, m, math.sqrt(b))
    model = Net(
        lambda s, x: s.seen(s.one(x) * s.two(x) + s.bias.bias),
        one=linear(2, N),
        two=linear(2, N),
        bias=bias,
        seen=nn.Identity(),
    )
    found = {row.name: row for row in analysis.analyze(model, x).layers}["seen"].forward
    assert found.second == pytest.approx(1 + m**2 + b)
    assert found.input_correlation == pytest.approx((c**2 + m**2 + b) / (1 + m**2 + b))


def test_a_constant_times_a_parameter() -> None:
    """h - 0.5 b with b = 0.7, a constant parameter, and with one that is drawn."""
    for std in (0.0, 0.4):
        bias = nn.Linear(1, N)
        nn.init.normal_(bias.bias, 0.7, std)
        model = Net(lambda s, x: s.one(x) - 0.5 * s.bias.bias, one=linear(16, N), bias=bias)
        found = propagate(model)
        signal = found.records[found.graph.nodes[-1]]
        assert isinstance(signal, Signal)
        assert signal.mean == pytest.approx(-0.35)
        assert signal.second == pytest.approx(1 + 0.35**2 + 0.25 * std**2)
