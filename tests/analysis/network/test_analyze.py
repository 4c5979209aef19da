"""Predictions of whole networks: known values, invariances, and honesty about what is unknown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from analysis.errors import InputError
from analysis.network.build import dense_network
from tests.analysis.network.nets import Net, linear
from tinygrad_edu import nn


def test_he_keeps_both_directions_in_a_square_relu_network() -> None:
    report = analysis.analyze(dense_network([50] * 6, "relu"))
    linear = [row for row in report.layers if row.op == "Linear"]
    relu = [row for row in report.layers if row.op == "ReLU"]
    # the input has second moment 1, not that of a relu's output: He doubles it once
    assert [row.forward.second for row in linear] == pytest.approx([2.0] * 5, rel=1e-12)
    assert [row.forward.second for row in relu] == pytest.approx([1.0] * 4, rel=1e-12)
    assert [row.backward.second for row in linear] == pytest.approx([1.0] * 5, rel=1e-12)
    assert [row.backward.second for row in relu] == pytest.approx([2.0] * 4, rel=1e-12)


def test_backward_depends_on_fan_out() -> None:
    model = nn.Sequential(nn.Linear(8, 32, bias=False), nn.Linear(32, 4, bias=False))
    nn.init.normal_(model[0].weight, 0.0, 0.1)
    nn.init.normal_(model[1].weight, 0.0, 0.3)
    first, second = analysis.analyze(model).layers
    assert first.forward.second == pytest.approx(8 * 0.01)
    assert second.forward.second == pytest.approx(8 * 0.01 * 32 * 0.09)
    assert second.backward.second == 1
    assert first.backward.second == pytest.approx(4 * 0.09)


def test_tanh_layer_by_the_moments_of_the_activation() -> None:
    model = dense_network([30, 40, 20], "tanh", weight_std=0.3)
    rows = analysis.analyze(model).layers
    q = 30 * 0.09
    moments = analysis.moments("tanh", variance=q)
    assert rows[1].forward.second == pytest.approx(float(moments.second), rel=1e-10)
    assert rows[1].forward.mean == pytest.approx(0, abs=1e-12)
    slope = float(moments.derivative_second)
    assert rows[0].backward.second == pytest.approx(20 * 0.09 * slope, rel=1e-10)


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "gelu", "elu", "selu", "hardswish"])
def test_every_activation_by_its_own_moments(name: str) -> None:
    rows = analysis.analyze(dense_network([30, 40, 20], name, weight_std=0.2)).layers
    moments = analysis.moments(name, variance=30 * 0.04)
    assert rows[1].forward.mean == pytest.approx(float(moments.mean), rel=1e-9)
    assert rows[1].forward.second == pytest.approx(float(moments.second), rel=1e-9)
    assert rows[1].forward.variance == pytest.approx(float(moments.variance), rel=1e-8)


def test_data_are_followed_example_by_example() -> None:
    """tanh is curved, so the average example is not the example."""
    model = dense_network([10, 50, 10], "tanh", weight_std=0.5)
    x = np.random.default_rng(0).standard_normal((40, 10)) * np.linspace(0.1, 3, 40)[:, None]
    row = analysis.analyze(model, input=x).layers[1]
    each = [
        float(analysis.moments("tanh", variance=10 * 0.25 * float(np.mean(e**2))).second) for e in x
    ]
    assert row.forward.second == pytest.approx(np.mean(each), rel=1e-9)
    average = float(analysis.moments("tanh", variance=10 * 0.25 * np.mean(x**2)).second)
    assert abs(average / np.mean(each) - 1) > 0.05


def test_torch_default_shrinks_a_relu_stack_to_its_biases() -> None:
    """Var W = Var b = 1/(3n): M <- M/6 + 1/(6n), whose fixed point is 1/(5n)."""
    n = 64
    model = nn.Sequential(*(layer for _ in range(30) for layer in (nn.Linear(n, n), nn.ReLU())))
    last = analysis.analyze(model).layers[-1]
    assert last.forward.second == pytest.approx(1 / (5 * n), rel=1e-9)


def test_a_constant_factor_takes_its_square() -> None:
    class Halved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(20, 30)
            nn.init.normal_(self.inner.weight, 0.0, 0.2)
            nn.init.zeros_(self.inner.bias)
            self.outer = nn.Linear(30, 5)
            nn.init.normal_(self.outer.weight, 0.0, 0.1)
            nn.init.zeros_(self.outer.bias)

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return self.outer((self.inner(x) * 0.5).tanh())

    inner, outer = analysis.analyze(Halved()).layers
    q = 20 * 0.04 / 4
    assert outer.forward.second == pytest.approx(
        30 * 0.01 * float(analysis.moments("tanh", variance=q).second), rel=1e-9
    )
    assert inner.backward.second == pytest.approx(
        5 * 0.01 * float(analysis.moments("tanh", variance=q).derivative_second) / 4, rel=1e-9
    )


# ------------------------------------------------------------------------------ honesty


def test_an_op_without_a_rule_makes_the_rest_unknown() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(8, 8)
            self.second = nn.Linear(8, 8)

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return self.second(self.first(x).cumsum(-1))

    report = analysis.analyze(Odd())
    first, second = report.layers
    assert first.forward is not None
    assert second.forward is None
    assert second.backward is None
    (finding,) = {f.code: f for f in report.findings}.values()
    assert finding.code == "NI901"
    assert finding.layer == "second"
    assert "unknown" in report.text()


def test_trained_parameters_speak_by_their_own_moments() -> None:
    model = nn.Sequential(nn.Linear(40, 50, bias=False))
    model[0].weight.data = tg.full((50, 40), 0.1)
    report = analysis.analyze(model)
    assert report.layers[0].forward.second == pytest.approx(40 * 0.01, rel=1e-6)
    assert any("trained or loaded" in line for line in report.assumptions)


def test_weights_with_a_mean_add_what_all_units_share() -> None:
    """n (Var W + E[W]^2) E[x^2] for inputs of mean 0; after them, 4 such layers are too many."""
    model = nn.Sequential(nn.Linear(8, 8, bias=False))
    nn.init.normal_(model[0].weight, 0.5, 0.1)
    row = analysis.analyze(model).layers[0]
    assert row.forward.second == pytest.approx(8 * (0.01 + 0.25), rel=1e-9)
    deep = dense_network([8] * 6, "tanh")
    for layer in deep:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.5, 0.1)
    report = analysis.analyze(deep)
    assert report.layers[0].forward is None
    assert "too many such layers" in report.findings[0].message


def test_bad_input_is_refused() -> None:
    model = dense_network([4, 4, 2], "relu")
    with pytest.raises(InputError, match="nan"):
        analysis.analyze(model, input=np.full((3, 4), math.nan))
    with pytest.raises(InputError, match="examples along the first axis"):
        analysis.analyze(model, input=np.ones(4))
    with pytest.raises(InputError, match="positive"):
        analysis.analyze(model, input=(0,))
    with pytest.raises(tg.errors.ShapeError):
        analysis.analyze(model, input=(5,))
    with pytest.raises(InputError, match="shape of one example"):
        analysis.analyze(nn.Sequential(nn.ReLU()))
    model[0].weight.data = tg.full((4, 4), math.nan)
    with pytest.raises(InputError, match="nan"):
        analysis.analyze(model)


def test_an_unknown_initialiser_names_those_there_are() -> None:
    with pytest.raises(InputError, match="known are ") as caught:
        dense_network([4, 4], "relu", "nothing_like_it")
    names = str(caught.value).partition("known are ")[2].split(", ")
    assert "kaiming_normal" in names
    assert all(callable(getattr(nn.init, f"{name}_")) for name in names)
    assert not any(name.startswith("_") for name in names)


def test_cost_is_linear_in_depth_and_the_model_is_not_touched() -> None:
    model = dense_network([16] * 400, "tanh")
    before = model[0].weight.detach().numpy().copy()
    report = analysis.analyze(model)
    assert len(report.layers) == 797
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), before)
    assert model[0].weight.law is not None


def test_float64_models_and_inputs_of_any_shape() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.GELU(), nn.Linear(8, 3)).double()
    report = analysis.analyze(model, input=(3, 4))
    assert [row.op for row in report.layers] == ["Flatten", "Linear", "GELU", "Linear"]
    verdicts = analysis.verify(report, analysis.measure(model, networks=400, input=(3, 4)))
    assert len(verdicts) == 8
    assert all(v.agrees for v in verdicts)


def test_narrow_relu_networks_die_as_predicted() -> None:
    """With 4 units, 1 layer in 16 is off, and relu passes nothing at 0: without that share the
    gradient would be predicted up to 30 % too large."""
    model = dense_network([4] * 7, "relu")
    report = analysis.analyze(model)
    measurement = analysis.measure(model, networks=5000, seed=1)
    assert all(v.agrees for v in analysis.verify(report, measurement))
    last_relu = report.layers[-2]
    assert last_relu.op == "ReLU"
    before = report.layers[-3].backward.prediction
    assert before.shift == pytest.approx(-before.second * (1 - (15 / 16) ** 4), rel=1e-9)


def test_orthogonal_weights_keep_lengths() -> None:
    model = dense_network([40] * 5, "tanh", "orthogonal")
    report = analysis.analyze(model)
    measurement = analysis.measure(model, networks=1500, seed=1)
    assert all(v.agrees for v in analysis.verify(report, measurement))
    independent = analysis.analyze(dense_network([40] * 5, "tanh", "lecun_normal"))
    verdicts = analysis.verify(independent, measurement)
    assert not all(v.agrees for v in verdicts if v.direction == "forward")


def test_what_is_not_followed_says_what_to_do() -> None:
    largest = Net(lambda s, x: s.last(s.a(x).amax(1, True)), a=linear(4, 8), last=linear(1, 2))
    report = analysis.analyze(largest)
    assert [row.forward is None for row in report.layers] == [False, True]
    assert "analyse the part of the network before" in report.findings[0].message
    totals = Net(
        lambda s, x: s.last(s.a(x).sum(1, keepdim=True)), a=linear(4, 8), last=linear(1, 2)
    )
    assert any("sum over units" in f.message for f in analysis.analyze(totals).findings)
    crossed = Net(lambda s, x: s.a(x).mT @ s.b(x), a=linear(4, 8), b=linear(4, 8))
    findings = analysis.analyze(crossed, (6, 4)).findings
    assert any("those of an attention" in f.message for f in findings)


def test_forward_only() -> None:
    model = dense_network([16, 20, 20, 4], "tanh")
    both, ahead = analysis.analyze(model), analysis.analyze(model, backward=False)
    assert all(row.backward is not None for row in both.layers)
    assert all(row.backward is None for row in ahead.layers)
    assert [row.forward for row in ahead.layers] == [row.forward for row in both.layers]


def test_beside_an_unknown_branch_the_rest_is_known() -> None:
    """The cumulative sum of a concatenation goes nowhere."""

    def run(s: Any, x: tg.Tensor) -> tg.Tensor:
        h = s.a(x)
        s.lost(tg.cat([h, s.b(x)], -1).cumsum(-1))
        return s.last(h.tanh())

    layers = {"a": nn.Linear(16, 20), "b": nn.Linear(16, 20), "last": nn.Linear(20, 4)}
    found = analysis.analyze(Net(run, lost=nn.Identity(), **layers)).layers
    rows = {row.name: row for row in found}
    assert rows["lost"].forward is None
    alone = nn.Sequential(layers["a"], nn.Tanh(), layers["last"])
    for name, row in zip(("a", "last"), analysis.analyze(alone).layers[::2], strict=True):
        assert rows[name].forward == row.forward
        assert rows[name].backward == row.backward
