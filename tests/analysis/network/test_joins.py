"""Joins, shared weights and weights with a mean: predictions against networks on the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from analysis.errors import InputError
from analysis.network.analyze import propagate
from analysis.network.records import Signal
from analysis.report.report import Backward, Forward, Report
from tests.analysis.network.nets import CASES, Net, linear, one, residual
from tinygrad_edu import nn

NETWORKS = 500


def failed(report: Report, measurement: object) -> list[tuple[str, str]]:
    verdicts = analysis.verify(report, measurement)
    return [(v.layer, v.direction) for v in verdicts if not v.agrees]


@pytest.mark.parametrize("name", CASES)
def test_predictions_hold(name: str) -> None:
    tg.manual_seed(4)
    model = CASES[name]()
    report = analysis.analyze(model)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    measurement = analysis.measure(model, NETWORKS, batch=16, seed=2, progress=False)
    assert failed(report, measurement) == []


@pytest.mark.parametrize("name", ["before, tanh", "after, relu", "gate of two", "dense net"])
def test_predictions_hold_on_data(name: str) -> None:
    model = CASES[name]()
    x = np.random.default_rng(0).standard_normal((8, 16)) * np.linspace(0.3, 2, 8)[:, None]
    report = analysis.analyze(model, x)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    measurement = analysis.measure(model, NETWORKS, input=x, seed=2, progress=False)
    assert failed(report, measurement) == []


@pytest.mark.parametrize("name", ["before, relu", "maxout", "x + relu(x)", "sum of layers"])
@pytest.mark.parametrize("factor", [1.05**2, 1 / 1.05**2])
def test_a_gain_wrong_by_five_per_cent_is_rejected(name: str, factor: float) -> None:
    model = CASES[name]()
    report = analysis.analyze(model)
    measurement = analysis.measure(model, 4000, batch=4, seed=2, progress=False)
    row = report.layers[-1]
    assert row.forward is not None
    p = row.forward.prediction
    moved = Forward(0.0, replace(p, second=p.second * factor, shift=p.shift * factor))
    wrong = replace(report, rows=(*report.rows[:-1], replace(row, forward=moved)))
    assert failed(wrong, measurement) == [(row.name, "forward")]


@pytest.mark.parametrize("name", ["before, relu", "sum of layers", "x + relu(x)"])
def test_a_forgotten_branch_of_the_gradient_is_rejected(name: str) -> None:
    """The first layer's gradient without what comes over the other way."""
    model = CASES[name]()
    report = analysis.analyze(model)
    measurement = analysis.measure(model, NETWORKS, batch=16, seed=2, progress=False)
    row = report.layers[0]
    assert row.backward is not None
    p = row.backward.prediction
    wrong = replace(row, backward=Backward(replace(p, second=p.second * 0.75, shift=0.0)))
    found = failed(replace(report, rows=(wrong, *report.rows[1:])), measurement)
    assert found == [(row.name, "backward")]


def test_plain_he_blocks_double_the_second_moment() -> None:
    rows = analysis.analyze(residual("minus", nn.ReLU, gain=2**0.25, blocks=6)).layers
    sums = [row.forward.second for row in rows if row.name.endswith("out")]
    assert sums == pytest.approx([2.0**k for k in range(1, 7)], rel=1e-12)
    assert sum(r.name.endswith("out") for r in rows) == 6


# ------------------------------------------------------------------------------ honesty


def test_a_sum_that_cannot_be_followed_is_unknown_and_said_so() -> None:
    def twisted(s: Net, x: tg.Tensor) -> tg.Tensor:
        h = s.a(x)
        u, v = s.c(h), s.d(h)
        return u.tanh() * v.sigmoid() - v.tanh() * u.sigmoid()

    report = analysis.analyze(one(twisted, c=linear(40, 40), d=linear(40, 40)))
    (finding,) = report.findings
    assert finding.code == "NI901"
    assert "covariance" in finding.message
    rows = {row.name: row for row in report.layers}
    assert rows["last"].forward is None
    assert rows["last"].backward is None
    assert rows["a"].forward is not None
    assert rows["a"].backward is None


def test_units_that_are_mixed_with_other_layouts_are_unknown() -> None:
    def overlapping(s: Net, x: tg.Tensor) -> tg.Tensor:
        h = s.a(x)
        return h * h.mean(-1, keepdim=True)

    report = analysis.analyze(one(overlapping))
    assert report.layers[-1].forward is None
    assert all(f.code == "NI901" for f in report.findings)


def test_slices_of_the_same_units_are_dependent_and_others_are_not() -> None:
    def same(s: Net, x: tg.Tensor) -> tg.Tensor:
        h = s.a(x)
        return h[:, :40] + h[:, :40]

    def other(s: Net, x: tg.Tensor) -> tg.Tensor:
        h = s.a(x)
        return h[:, :40] + h[:, 40:]

    seen = [
        {r.name: r for r in analysis.analyze(one(f, a=linear(16, 80))).layers}["seen"]
        for f in (same, other)
    ]
    assert seen[0].forward.second == pytest.approx(4.0)
    assert seen[1].forward.second == pytest.approx(2.0)


def test_a_long_sum_remembers_the_branches_that_are_still_used() -> None:
    """s = a + b + c, then s - a - b, s + a + b = 2 a + 2 b + c, and with two strangers."""
    layers = {name: linear(16, 40, bias_std=1.0) for name in "abcde"}  # of second moment 2

    def run(s: Any, x: tg.Tensor) -> tg.Tensor:
        a, b = s.a(x), s.b(x)
        total = a + b + s.c(x)
        other = s.other(total + s.d(x) + s.e(x))
        return tg.cat([s.less(total - a - b), s.more(total + a + b), other], -1)

    marks = {name: nn.Identity() for name in ("less", "more", "other")}
    found = {row.name: row for row in analysis.analyze(Net(run, **layers, **marks)).layers}
    seconds = [found[name].forward.second for name in marks]
    assert seconds == pytest.approx([2, 18, 10])


def test_a_layer_that_is_used_on_related_signals() -> None:
    """W h and W g with g = h / 2 + z: each has its input's second moment, and the difference that
    of h - g."""

    def run(s: Any, x: tg.Tensor) -> tg.Tensor:
        h = s.a(x).tanh()
        g = 0.5 * h + s.b(x)
        first, second = s.w(h), s.w(g)
        return tg.cat([s.one(second), s.two(first - second)], -1)

    layers = {"a": linear(16, 40), "b": linear(16, 40), "w": linear(40, 40)}
    model = Net(run, **layers, one=nn.Identity(), two=nn.Identity())
    found = {row.name: row for row in analysis.analyze(model).layers}
    square = float(analysis.moments("tanh").second)
    assert found["one"].forward.second == pytest.approx(square / 4 + 1)
    assert found["two"].forward.second == pytest.approx(square / 4 + 1)  # (h - g)^2


def test_moments_of_a_sum_of_products() -> None:
    """E[(ab)^4] = 9, so that of two of them has 9 + 6 + 9."""
    layers = {name: linear(16, 40) for name in "abcd"}
    found = propagate(Net(lambda s, x: s.a(x) * s.b(x) + s.c(x) * s.d(x), **layers))
    record = found.records[found.graph.nodes[-1]]
    assert isinstance(record, Signal)
    assert (record.mean, record.second, record.fourth) == (0, pytest.approx(2), pytest.approx(24))


def test_concatenations_along_positions_are_unknown() -> None:
    """Twice as many positions of the same units are no more units."""
    model = Net(
        lambda s, x: s.seen(tg.cat([s.a(x), s.b(x)], 2)),
        a=nn.Conv2d(2, 4, 1),
        b=nn.Conv2d(2, 4, 1),
        seen=nn.Identity(),
    )
    report = analysis.analyze(model, (2, 3, 3))
    assert {row.name: row for row in report.layers}["seen"].forward is None
    assert any("another axis" in f.message for f in report.findings)


@pytest.mark.parametrize(
    "take", [lambda h: h[:, 3], lambda h: h[1:, :20], lambda h: h[:, ::2], lambda h: h[0]]
)
def test_slices_that_are_no_range_of_units_are_unknown(
    take: Callable[[tg.Tensor], tg.Tensor],
) -> None:
    model = Net(lambda s, x: s.seen(take(s.a(x))), a=linear(16, 40), seen=nn.Identity())
    report = analysis.analyze(model)
    assert {row.name: row for row in report.layers}["seen"].forward is None
    assert any("a range of units" in f.message for f in report.findings)


def test_a_detached_branch_passes_no_gradient() -> None:
    model = one(lambda s, x: (lambda h: h + s.w(h.detach()).tanh())(s.a(x)), w=linear(40, 40))
    row = {r.name: r for r in analysis.analyze(model).layers}["a"]
    assert row.backward.second == pytest.approx(8 / 40, rel=1e-9)
    measurement = analysis.measure(model, NETWORKS, batch=16, seed=2, progress=False)
    assert failed(analysis.analyze(model), measurement) == []


def test_parameters_that_speak_for_themselves() -> None:
    model = nn.Sequential(nn.Linear(40, 50, bias=False), nn.Tanh(), linear(50, 8))
    model[0].weight.data = tg.full((50, 40), 0.1)
    report = analysis.analyze(model)
    assert report.layers[0].forward.second == pytest.approx(40 * 0.01, rel=1e-6)
    assert report.layers[0].forward.unit_correlation == 1
    assert any("trained or loaded" in line for line in report.assumptions)
    assert "identical" in report.text()
    nn.init.zeros_(model[0].weight)
    rows = analysis.analyze(model).layers
    assert [row.forward.second for row in rows] == pytest.approx([0, 0, 0], abs=1e-20)
    assert analysis.verify(analysis.analyze(model), analysis.measure(model, 3, progress=False))


def test_statistics_of_units_and_inputs() -> None:
    rows = analysis.analyze(nn.Sequential(linear(16, 40), nn.ReLU(), linear(40, 8))).layers
    relu = rows[1].forward
    assert relu.regions.dead == pytest.approx(0.5, abs=1e-3)
    assert relu.regions.near_linear == pytest.approx(0.5, abs=1e-3)
    # independent inputs: K(0) = 1/(2 pi) of E[relu^2] = 1/2 (arccosine-kernel)
    assert relu.input_correlation == pytest.approx(1 / np.pi, rel=1e-9)
    assert relu.unit_correlation == pytest.approx(0, abs=1e-12)
    mean = analysis.analyze(nn.Sequential(linear(16, 40, mean=0.5))).layers[0].forward
    assert mean.unit_correlation == pytest.approx(0.25 / (0.25 + 1 / 16), rel=1e-9)


class Scaled(nn.Module):
    """x + W x / sqrt(depth)."""

    def __init__(self, n: int, depth: int) -> None:
        super().__init__()
        self.inner, self.scale = linear(n, n), depth**-0.5

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x + self.scale * self.inner(x)


@pytest.mark.parametrize("depth", [50, 2000])
def test_any_depth(depth: int) -> None:
    """Branches scaled by L^(-1/2) give (1 + 1/L)^L, forward and backward (residual); the scale is
    a float32 constant of the trace."""
    model = nn.Sequential(*[Scaled(8, depth) for _ in range(depth)], nn.Identity())
    report = analysis.analyze(model, (8,))
    assert report.layers[-1].forward.second == pytest.approx((1 + 1 / depth) ** depth, rel=1e-6)
    first = report.layers[0].backward.second
    assert first == pytest.approx((1 + 1 / depth) ** (depth - 1) / depth, rel=1e-6)


def test_models_that_cannot_be_analysed() -> None:
    model = linear(4, 4)
    model.weight.data = tg.full((4, 4), float("nan"))
    with pytest.raises(InputError, match="nan"):
        analysis.analyze(model)
    report = analysis.analyze(nn.Sequential(nn.Tanh()), (5,))
    assert report.layers[0].forward.second == pytest.approx(0.394294, rel=1e-5)


def test_means_of_both_branches_are_what_two_examples_share() -> None:
    """Batch norm takes them away."""
    shifted = linear(16, 40)
    nn.init.constant_(shifted.bias, 0.7)
    model = Net(
        lambda s, x: s.last(s.norm(s.a(x).relu() + s.b(x)).tanh()),
        a=linear(16, 40, 1.4),
        b=shifted,
        norm=nn.BatchNorm1d(40),
        last=linear(40, 8),
    )
    report = analysis.analyze(model, batch=16)
    measurement = analysis.measure(model, NETWORKS, batch=16, seed=2, progress=False)
    verdicts = analysis.verify(report, measurement)
    assert len(verdicts) == 2 * len(report.layers)
    assert all(v.agrees for v in verdicts)
    (norm,) = (row for row in report.layers if row.name == "norm")
    assert norm.forward is not None
    assert norm.forward.prediction.second == pytest.approx(1, abs=1e-3)
