"""Parts of a signal that scatter each in its own measure: sums, concatenations, gates, kernels."""

from __future__ import annotations

import math

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from analysis.network.context import Context
from analysis.network.elements import Element
from analysis.network.response import STRETCH
from analysis.network.roots import GaussianRoot, MixtureRoot
from analysis.network.scatter import deviation, remember_scatter
from analysis.network.sources import Form, gaussian
from tests.analysis.network.nets import Net, linear
from tinygrad_edu import nn


def verdicts(model: nn.Module, given: object, networks: int) -> dict[tuple[str, str], object]:
    report = analysis.analyze(model, given)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    options = {"input": given, "seed": 3, "progress": False}
    measurement = analysis.measure(model, networks, batch=4, **options)
    return {(v.layer, v.direction): v for v in analysis.verify(report, measurement)}


# ------------------------------------------------------------------------------ sums


def narrow_branch() -> nn.Module:
    """A wide stream whose branch goes through 5 units: it scatters, the stream does not."""
    inside = nn.Sequential(linear(200, 5), nn.ReLU(), linear(5, 200, 1.0))
    return nn.Sequential(linear(64, 200, 5.0), nn.ReLU(), nn.Residual(inside, 0.3), nn.Tanh())


def test_a_function_of_a_sum_bends_with_the_part_that_scatters() -> None:
    (verdict,) = [
        v for (layer, way), v in verdicts(narrow_branch(), (64,), 1500).items()
        if (layer, way) == ("3", "forward")
    ]  # fmt: skip
    assert verdict.agrees
    row = analysis.analyze(narrow_branch(), (64,)).layers[-1]
    p = row.forward.prediction
    # without it the value would be wrong by more than all that is left open
    assert abs(verdict.measured - p.second) > 3 * abs(verdict.measured - p.corrected)


def test_ends_move_the_parts_by_their_own_measure() -> None:
    inner = GaussianRoot(gaussian(np.array([4.0])))
    inner.program.append(tg.ops.relu, {}, (0,))
    element = Element(gaussian(np.array([0.5])), inner, 1)
    for share, wanted in ((0.0, 2.0 * STRETCH), (1.0, 0.5 * STRETCH), (0.2, 2.5 * STRETCH)):
        root = MixtureRoot(element, np.array([share]))
        up, down = root.ends(())
        # E[relu^2] = 2 and the form's 0.5 grow, the larger of the relative steps being STRETCH
        assert up.q[0] - 2.5 == pytest.approx(wanted, rel=1e-6)
        assert 2.5 - down.q[0] == pytest.approx(wanted, rel=1e-6)


def test_deviations_of_sources_add_up_by_their_squares() -> None:
    context = Context(np.ones(1))
    form = gaussian(np.array([3.0])).plus(Form(np.zeros(1), {(-1, 0): np.ones(1)}))
    fresh = Form(np.zeros(1), {k: c for k, c in form.terms.items() if k[0] >= 0})
    remember_scatter(fresh, np.array([3.0]), np.array([0.36]), context)
    assert deviation(form, context) == pytest.approx([0.6])
    assert deviation(form.times(2.0), context) == pytest.approx([2.4])


# ------------------------------------------------------------------------------ concatenations


def test_a_part_that_does_not_scatter_is_told_of_the_others() -> None:
    """A saturated half beside one behind a narrow layer: what follows is divided by the length of
    both, which the saturated half does not tell."""
    model = Net(
        lambda self, x: self.last(self.norm(self.c(
            tg.cat([self.left(self.a(x)), self.right(self.b(self.thin(x)))], -1)
        ))),
        a=linear(16, 20, 8.0), thin=linear(16, 3), b=linear(3, 20, 3.0), left=nn.Softsign(),
        right=nn.Identity(), c=linear(40, 60), norm=nn.LayerNorm(60), last=linear(60, 8),
    )  # fmt: skip
    verdict = verdicts(model, (16,), 1500)["left", "backward"]
    assert verdict.agrees
    assert verdict.bound > 0.05 * verdict.predicted  # the expansion is in 1/3


# ------------------------------------------------------------------------------ gates


@pytest.mark.parametrize("n", [8, 12])
def test_both_factors_of_a_gate_grow_along_the_signal(n: int) -> None:
    """Of y = (A x)(B x) the squared gradient at x is 2/n (1 + 1/n) times its |x|^2: A^T (g B x) and
    B^T (g A x) have 2 Var(W)^2 |x|^2 a unit in common."""

    def product(self: object, x: tg.Tensor) -> tg.Tensor:
        a, b = self.both(self.seen(self.first(x))).chunk(2, -1)
        return a * b

    model = Net(product, first=linear(16, n), seen=nn.Identity(), both=linear(n, 400))
    row = {r.name: r for r in analysis.analyze(model, (16,)).layers}["seen"]
    p = row.backward.prediction
    # 400/2 products, each 2 q Var(W), with q = 1 and Var(W) = 1/n; and 1/n of it for the above
    assert p.second == pytest.approx(400 / n, rel=1e-9)
    assert p.shift / p.second == pytest.approx(1 / n, rel=1e-6)
    assert verdicts(model, (16,), 2500)["seen", "backward"].agrees


# ------------------------------------------------------------------------------ batch norm


def test_units_that_are_off_on_the_whole_batch_stay_off() -> None:
    """Examples that are nearly alike: a relu is off on all of them with probability near 1/2."""
    thin = linear(16, 40, 0.05, bias_std=1.0)
    model = nn.Sequential(thin, nn.ReLU(), nn.BatchNorm1d(40), linear(40, 8))
    report = analysis.analyze(model, (16,), batch=64)
    measured = analysis.measure(model, 300, batch=64, seed=1, progress=False)
    by_layer = {(v.layer, v.direction): v for v in analysis.verify(report, measured)}
    norm = by_layer["2", "forward"]
    assert norm.measured < 0.6
    assert norm.agrees
    assert math.isclose(norm.predicted, norm.measured, rel_tol=0.05)


def test_how_large_each_example_is_about_the_mean_is_known_behind_batch_norm() -> None:
    """Of data with a mean: every pair's covariance is, so that a function that bends is right."""
    x = 2.0 + np.random.default_rng(0).standard_normal((40, 7))
    model = nn.Sequential(linear(7, 10), nn.BatchNorm1d(10), nn.Hardtanh(), linear(10, 4))
    by_layer = verdicts(model, x, 300)
    assert by_layer["2", "forward"].agrees
    assert by_layer["2", "forward"].testable
