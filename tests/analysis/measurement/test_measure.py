"""Measurements on the engine, and the verdicts that compare them with predictions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2, kstest

import analysis
import tinygrad_edu as tg
from analysis.errors import InputError
from analysis.measurement.measure import Estimate
from analysis.network.build import dense_network
from analysis.report.report import Forward, Report
from tinygrad_edu import nn

WIDTHS = [24, 60, 30, 40]


@pytest.fixture(scope="module")
def model() -> object:
    return dense_network(WIDTHS, "tanh", weight_std=0.15, seed=3)


@pytest.fixture(scope="module")
def measurement(model: object) -> object:
    return analysis.measure(model, networks=1500, batch=16, seed=1)


def test_right_predictions_agree(model: object, measurement: object) -> None:
    verdicts = analysis.verify(analysis.analyze(model), measurement)
    assert len(verdicts) == 2 * 5
    assert all(v.agrees for v in verdicts)
    assert all(abs(v.z) < 6 for v in verdicts)


def _wrong(report: Report, layer: int, factor: float) -> Report:
    rows = list(report.rows)
    row = rows[layer]
    p = row.forward.prediction
    bad = replace(p, second=p.second * factor, shift=p.shift * factor)
    rows[layer] = replace(row, forward=Forward(row.forward.mean, bad))
    return replace(report, rows=tuple(rows))


@pytest.mark.parametrize("layer", range(5))
@pytest.mark.parametrize("factor", [1.05**2, 1 / 1.05**2])
def test_a_gain_wrong_by_five_per_cent_is_rejected(
    model: object, measurement: object, layer: int, factor: float
) -> None:
    report = _wrong(analysis.analyze(model), layer, factor)
    failed = [v for v in analysis.verify(report, measurement) if not v.agrees]
    assert [(v.layer, v.direction) for v in failed] == [(report.rows[layer].name, "forward")]


def test_swapped_fans_are_rejected(measurement: object) -> None:
    """A model whose weights have 1/fan_out where the measured one has its own variance."""
    other = dense_network(WIDTHS, "tanh", weight_std=0.15, seed=3)
    for layer in (other[0], other[2], other[4]):
        law = layer.weight.law
        swapped = law.variance * law.fan_in / law.fan_out
        layer.weight.law = replace(law, variance=swapped)
    verdicts = analysis.verify(analysis.analyze(other), measurement)
    assert not any(v.agrees for v in verdicts if v.layer == "0" and v.direction == "forward")


def test_the_model_is_left_as_it_was_and_draws_repeat(model: object) -> None:
    before = [p.detach().numpy().copy() for p in model.parameters()]
    a = analysis.measure(model, networks=3, seed=5)
    b = analysis.measure(model, networks=3, seed=5)
    np.testing.assert_array_equal(a.second, b.second)
    assert not np.array_equal(a.second, analysis.measure(model, networks=3, seed=6).second)
    for parameter, values in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.detach().numpy(), values)
        assert parameter.law is not None


def test_an_error_in_the_model_leaves_it_as_it_was(model: object) -> None:
    before = model[0].weight.detach().numpy().copy()
    with pytest.raises(Exception, match="24"):
        analysis.measure(model, networks=3, input=(7,))
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), before)


def test_the_mean_is_the_outputs_own(model: object) -> None:
    """sigmoid has the mean 1/2 whatever the width; six standard errors over networks."""
    net = nn.Sequential(*model, nn.Sigmoid())  # type: ignore[misc]
    means = analysis.measure(net, networks=200, seed=1, progress=False).mean[:, -1]
    assert abs(means.mean() - 0.5) < 6 * means.std() / math.sqrt(200)
    assert means.std() < 0.1  # the mean of squares would be off by 0.2


def test_interrupting_returns_what_was_measured(
    model: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analysis.measurement import measure as module

    calls = iter(range(100))
    observe = module._observe

    def interrupted(*args: object) -> object:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return observe(*args)

    monkeypatch.setattr(module, "_observe", interrupted)
    assert analysis.measure(model, networks=50).networks == 4


def test_estimates() -> None:
    estimate = Estimate.of(np.array([1.0, 2.0, 3.0]))
    assert estimate.value == 2
    assert estimate.standard_error == pytest.approx(1 / math.sqrt(3))


@pytest.mark.parametrize(("errors", "agrees"), [(6.2, True), (6.7, False)])
def test_the_tolerance_is_the_bound_and_the_quantile(
    model: object, measurement: object, errors: float, agrees: bool
) -> None:
    """With 1500 networks and 10 verdicts, one false alarm in 10^9 is 6.4 to 6.5 errors each way."""
    report = analysis.analyze(model)
    row = report.rows[2]
    p = row.forward.prediction
    estimate = measurement.forward(row.name)
    predicted = estimate.value + p.bound + errors * estimate.standard_error
    moved = replace(p, second=predicted - p.shift)
    rows = (*report.rows[:2], replace(row, forward=Forward(0.0, moved)), *report.rows[3:])
    verdicts = analysis.verify(replace(report, rows=rows), measurement)
    (verdict,) = (v for v in verdicts if (v.layer, v.direction) == (row.name, "forward"))
    assert verdict.agrees is agrees


def test_one_network_has_no_standard_error(model: object) -> None:
    with pytest.raises(InputError, match="at least 2"):
        analysis.measure(model, networks=1)


def test_nothing_of_the_model_or_the_engine_is_moved() -> None:
    """Running statistics, the count of batches, modes and the sequence of random draws stay."""
    model = nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 4)
    ).train()
    model[2].eval()
    tg.manual_seed(11)
    tg.rand(3)
    before = {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    measured = analysis.measure(model, networks=3, batch=8, seed=2, progress=False)
    after = tg.rand(2).numpy().copy()
    assert all(np.array_equal(v.detach().numpy(), before[k]) for k, v in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None and p.law is not None for p in model.parameters())
    tg.manual_seed(11)
    tg.rand(3)
    np.testing.assert_array_equal(after, tg.rand(2).numpy())
    tg.manual_seed(5)  # what was drawn before does not matter
    again = analysis.measure(model, networks=3, batch=8, seed=2, progress=False)
    np.testing.assert_array_equal(measured.gradient, again.gradient)


def test_a_model_is_measured_in_its_mode() -> None:
    model = nn.Sequential(nn.Linear(8, 400), nn.Dropout(0.5))
    training = analysis.measure(model, networks=30, seed=1, progress=False)
    still = analysis.measure(model.eval(), networks=30, seed=1, progress=False)
    assert training.forward("1").value / still.forward("1").value == pytest.approx(2, rel=0.05)
    assert still.forward("1").value == still.forward("0").value


def test_images_by_shape_and_as_data() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 4))
    x = np.random.default_rng(0).standard_normal((5, 3, 6, 6))
    for given in ((3, 6, 6), x):
        measured = analysis.measure(model, networks=3, seed=1, input=given, progress=False)
        assert measured.names == ("0", "1", "2", "3")
        assert np.isfinite(measured.gradient).all()


def test_a_large_bound_is_not_testable() -> None:
    model = dense_network([4] * 5, "tanh")
    report = analysis.analyze(model)
    measured = analysis.measure(model, networks=300, seed=1, progress=False)
    verdicts = analysis.verify(report, measured)
    loose = [v for v in verdicts if v.bound > 0.02 * v.predicted]
    assert loose
    assert all(v.text == "not testable at this width" for v in loose if v.agrees)
    assert all(v.text in ("agrees", "disagrees") for v in verdicts if v not in loose)
    assert "not testable at this width" in report.with_measurement(measured).text()


def test_gradients_at_the_output_are_normal() -> None:
    """A network of one number: the squared gradient is chi-square with one degree of freedom."""
    model = nn.Sequential(nn.Identity())
    options = {"networks": 1000, "batch": 1, "input": (1,), "progress": False}
    (squares,) = analysis.measure(model, seed=3, **options).gradient.T
    assert kstest(squares, chi2(1).cdf).pvalue > 1e-9
    uniform = np.random.default_rng(0).uniform(-math.sqrt(3), math.sqrt(3), 1000) ** 2
    assert kstest(uniform, chi2(1).cdf).pvalue < 1e-9  # so many networks tell the two apart


def test_a_model_that_calls_no_layer() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return x @ self.inner.weight

    with pytest.raises(InputError, match="no layer was called"):
        analysis.measure(Aside(), networks=2, input=(4,), progress=False)
