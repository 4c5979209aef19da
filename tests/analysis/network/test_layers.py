"""Norms, dropout, convolutions, padding and pooling: the engine's own layers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad

import analysis
import tinygrad_edu as tg
from analysis.network.analyze import propagate
from analysis.network.records import Signal
from analysis.report.report import Row
from tests.analysis.network.nets import Net, linear, one
from tinygrad_edu import nn

NETWORKS = 400
N = 40


def rows(model: nn.Module, given: object = None, **options: object) -> dict[str, Row]:
    return {row.name: row for row in analysis.analyze(model, given, **options).layers}


def agree(model: nn.Module, given: object = None, batch: int = 16) -> bool:
    """Everything is known, and what is predicted is measured."""
    report = analysis.analyze(model, given, batch=batch)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    options = {"input": given, "seed": 5, "progress": False}
    measurement = analysis.measure(model, NETWORKS, batch=batch, **options)
    return all(v.agrees for v in analysis.verify(report, measurement))


def stack(norm: Callable[[int], nn.Module], *phis: type[nn.Module]) -> nn.Module:
    layers: list[nn.Module] = []
    for i, phi in enumerate(phis):
        layers += [linear(N if i else 16, N), norm(N), phi()]
    return nn.Sequential(*layers, linear(N, 8))


def conv(n_in: int, n_out: int, kernel: int = 3, gain: float = 1.4, **options: object) -> nn.Conv2d:
    layer = nn.Conv2d(n_in, n_out, kernel, bias=False, **options)
    nn.init.lecun_normal_(layer.weight, gain)
    return layer


def images(*layers: nn.Module, features: int) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), linear(features, 8))


# ------------------------------------------------------------------------------ norms


NORMS = {
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
    "group": lambda n: nn.GroupNorm(4, n),
    "batch": nn.BatchNorm1d,
}


@pytest.mark.parametrize("norm", NORMS)
def test_norms(norm: str) -> None:
    assert agree(stack(NORMS[norm], nn.ReLU, nn.Tanh), batch=32)


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_the_correction_behind_a_norm_of_gaussian_elements_is_exact(norm: type) -> None:
    """E[1/v] = n/(n - 3) about the mean, n/(n - 2) about 0, less the directions that are lost: of
    order 1/n, so that what is left out is of order 1/n^2."""
    model = nn.Sequential(linear(16, N), norm(N), linear(N, 8))
    x = np.random.default_rng(0).standard_normal((1, 16))  # one length, so only z scatters
    found = rows(model, x)["0"].backward.prediction
    lost, gained = (2, 3) if norm is nn.LayerNorm else (1, 2)
    assert found.shift / found.second == pytest.approx((gained - lost) / N, rel=1e-3)
    assert found.bound < 0.03 * found.second
    exact = (N - 2) / (N - 3) if norm is nn.LayerNorm else (N - 1) / (N - 2)
    assert found.corrected == pytest.approx(found.second * exact, rel=4 / N**2)
    assert agree(model, np.repeat(x, 2, axis=0))


def test_normalised_branches_add_the_same_each_time() -> None:
    """1 + L, and backward 1 + 1/l through block l (residual-normalised)."""

    def block() -> nn.Module:
        inner = nn.Sequential(nn.LayerNorm(N), linear(N, N, math.sqrt(2)), nn.ReLU(), linear(N, N))
        return nn.Sequential(nn.Residual(inner), nn.Identity())

    model = nn.Sequential(linear(16, N), *[block() for _ in range(4)], linear(N, 8))
    sums = [r for r in analysis.analyze(model).layers if r.op == "Identity"]
    assert [r.forward.second for r in sums] == pytest.approx([2, 3, 4, 5], rel=1e-4)
    ratios = [a.backward.second / b.backward.second for a, b in itertools.pairwise(sums)]
    assert ratios == pytest.approx([1 + 1 / k for k in (2, 3, 4)], rel=1e-4)
    assert agree(model)


def test_batch_norm_explodes_by_pi_over_pi_minus_1() -> None:
    """E[phi'^2] / Var(phi) a layer for relu, as the batch grows (batchnorm-depth)."""
    model = stack(nn.BatchNorm1d, nn.ReLU, nn.ReLU, nn.ReLU)
    found = rows(model, batch=10**6)
    rate = math.pi / (math.pi - 1)
    assert found["3"].backward.second / found["6"].backward.second == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize("m", [8, 32])
def test_the_batch_of_a_linear_network(m: int) -> None:
    """(m - 2)/(m - 3) a layer, up to order 1/m^2 (batchnorm-finite-batch)."""
    found = rows(stack(nn.BatchNorm1d, nn.Identity, nn.Identity, nn.Identity), batch=m)
    ratio = found["3"].backward.second / found["6"].backward.second
    assert ratio == pytest.approx((m - 2) / (m - 3), rel=3 / m**2)


def test_the_batch_is_that_of_the_measurement() -> None:
    """At 8 examples the gradient is half as large again as at 1000."""
    wide = nn.Sequential(linear(400, 400), nn.BatchNorm1d(400), linear(400, 64))
    small, large = (rows(wide, batch=m)["0"].backward.second for m in (8, 1000))
    assert small / large == pytest.approx(8 / 5 * 6 / 8, rel=0.02)
    measured = analysis.measure(wide, 100, batch=8, seed=1, progress=False).backward("0")
    tolerance = 6 * measured.standard_error + 6 / 64 * small
    assert abs(measured.value - small) < tolerance < (small - large)


def test_covariances_of_short_examples_scatter() -> None:
    """Those of two examples of 16 numbers by 1/16 of the variances' product: v scatters by 2/16
    and the gradient is larger by that. A relu before passes on ((1/4) / (1/2 - 1/2/pi))^2 of it."""
    wide = nn.Sequential(linear(16, 600), nn.BatchNorm1d(600), linear(600, 8))
    before = nn.Sequential(linear(16, 600), nn.ReLU(), *wide[1:])
    measured = analysis.measure(wide, 300, batch=64, seed=1, progress=False).backward("0")
    found = rows(wide, batch=64)["0"].backward.prediction
    assert found.shift / found.second == pytest.approx(2 / 16, rel=1e-9)
    assert abs(measured.value / found.corrected - 1) < 0.02 + 4 * measured.standard_error
    p = propagate(before, batch=64)
    records = [p.records[place.node] for place in p.graph.places]
    assert [isinstance(r, Signal) and r.loose for r in records[:2]] == [
        pytest.approx(1 / 16),
        pytest.approx((0.25 / (0.5 - 0.5 / math.pi)) ** 2 / 16, rel=1e-3),
    ]


def test_batch_norm_in_evaluation_scales_each_channel_by_its_own_numbers() -> None:
    norm = nn.BatchNorm1d(N)
    random = np.random.default_rng(0)
    mean, variance = random.normal(0, 0.5, N), random.uniform(0.3, 3, N)
    for buffer, values in ((norm.running_mean, mean), (norm.running_var, variance)):
        buffer.node.assign(values.astype(np.float32))
    model = nn.Sequential(linear(16, N), norm, nn.ReLU(), linear(N, 8)).eval()
    found = rows(model)
    scale = 1 / np.sqrt(variance + norm.eps)
    second = np.mean(scale**2 * (1 + mean**2))
    assert found["1"].forward.second == pytest.approx(second, rel=1e-6)
    # E[relu(s z - s m)^2] and P(z > m), each averaged over the channels
    above = [float(analysis.moments("relu", -m, 1).second) for m in mean]
    assert found["2"].forward.second == pytest.approx(np.mean(scale**2 * above), rel=1e-6)
    open_ = np.array([0.5 * math.erfc(m / math.sqrt(2)) for m in mean])
    passed = 8 / N * np.mean(scale**2 * open_)
    assert found["0"].backward.second == pytest.approx(passed, rel=1e-6)
    assert agree(model)


def test_fresh_running_statistics_change_nothing() -> None:
    found = rows(stack(nn.BatchNorm1d, nn.ReLU, nn.Tanh).eval())
    assert found["1"].forward.second == pytest.approx(1, rel=2e-5)
    assert found["1"].forward.law == "gaussian"


def test_norms_of_data_are_exact() -> None:
    x = np.random.default_rng(3).standard_normal((12, 16)) * np.linspace(0.2, 3, 16)
    for norm in (nn.BatchNorm1d(16), nn.LayerNorm(16), nn.GroupNorm(2, 16)):
        model = nn.Sequential(norm, linear(16, N), nn.Tanh(), linear(N, 8))
        out = norm(tg.tensor(x.astype(np.float32))).detach().numpy()
        first = rows(model, x)["0"].forward
        assert first.second == pytest.approx(np.mean(out.astype(float) ** 2), rel=1e-5)
        assert agree(model, x)


def test_a_norm_over_one_element_or_few_examples_is_unknown() -> None:
    single = analysis.analyze(nn.Sequential(linear(16, N), nn.GroupNorm(N, N)))
    assert single.layers[-1].forward is None
    assert "one element" in single.findings[0].message
    few = analysis.analyze(stack(nn.BatchNorm1d, nn.ReLU), batch=3)
    assert few.layers[1].forward is None
    assert "3 values" in few.findings[0].message


# ------------------------------------------------------------------------------ dropout


def test_dropout() -> None:
    model = nn.Sequential(
        linear(16, N), nn.ReLU(), nn.Dropout(0.3), linear(N, N), nn.Dropout(0.5), linear(N, 8)
    )
    found = rows(model)
    assert found["3"].forward.second == pytest.approx(0.5 / 0.7, rel=1e-6)
    assert found["4"].forward.second == pytest.approx(0.5 / 0.7 / 0.5, rel=1e-6)
    assert agree(model)
    still = rows(model.eval())
    assert still["4"].forward.second == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize("known", [True, False])
def test_the_fourth_moment_behind_dropout(known: bool) -> None:
    """keep value^4 E[x^4], of a normal x and of a product, whose law is not followed."""
    p = 0.5
    dropped = nn.Dropout(p)
    if known:
        model, fourth = nn.Sequential(nn.Identity(), dropped), 3.0
    else:
        a, b = linear(16, N), linear(16, N)
        model = Net(lambda s, x: s.drop(s.a(x) * s.b(x)), a=a, b=b, drop=dropped)
        fourth = 9.0
    found = propagate(model, (16,))
    record = found.records[found.graph.places[-1].node]
    assert isinstance(record, Signal)
    assert (record.element is not None) == known
    np.testing.assert_allclose(record.fourth, fourth / (1 - p) ** 3, rtol=1e-9)


def test_dropout_takes_its_share_of_a_correlation() -> None:
    """Masks of two examples are independent: E[y y'] stays, E[y^2] is divided by 1 - p."""
    x = np.array([[1.0, 0.0], [0.6, 0.8]])
    for p in (0.0, 0.3):
        model = nn.Sequential(linear(2, N), nn.Dropout(p))
        found = rows(model, x)["1"].forward
        assert found.input_correlation == pytest.approx(0.6 * (1 - p))


def test_what_follows_dropout_sees_its_law() -> None:
    assert agree(one(lambda s, x: (s.a(x) + s.drop(s.b(x))).relu(), drop=nn.Dropout(0.4)))


# ------------------------------------------------------------------------------ convolution


@pytest.mark.parametrize(
    "options", [{}, {"padding": 0}, {"stride": 2}, {"groups": 4}, {"dilation": 2}]
)
def test_convolutions(options: dict[str, int]) -> None:
    first = conv(3, 8, padding=1)
    second = conv(8, 12, **{"padding": 1, **options})
    size = second(tg.zeros(1, 8, 6, 6)).shape[-1]
    model = images(first, nn.Tanh(), second, nn.ReLU(), features=12 * size**2)
    assert agree(model, (3, 6, 6))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_by_the_elements_themselves_costs_nothing(mode: str) -> None:
    options = {"padding": 1, "padding_mode": mode}
    model = images(conv(3, 8, **options), nn.ReLU(), conv(8, 12, **options), features=12 * 25)
    assert rows(model, (3, 5, 5))["0"].forward.second == pytest.approx(1.96, rel=1e-9)
    assert agree(model, (3, 5, 5))


def test_sequences() -> None:
    model = nn.Sequential(
        nn.Conv1d(4, 16, 3), nn.ReLU(), nn.Conv1d(16, 16, 3, padding=1), nn.Tanh(),
        nn.Flatten(), linear(160, 8),
    )  # fmt: skip
    assert agree(model, (4, 12))


def test_images_are_followed_position_by_position() -> None:
    given = np.random.default_rng(1).standard_normal((5, 3, 6, 6)) * np.linspace(0.2, 2, 6)
    model = images(conv(3, 8, padding=1), nn.Tanh(), conv(8, 12), nn.ReLU(), features=12 * 16)
    assert agree(model, given)


def test_padding_costs_the_border_its_share() -> None:
    """121/144 for a 3 x 3 kernel on 8 x 8 positions (conv-padding)."""
    row = rows(conv(2, 4, gain=1.0, padding=1), (2, 8, 8))["model"]
    assert row.forward.second == pytest.approx((11 / 12) ** 2, rel=1e-9)


def test_orthogonal_filters_with_groups() -> None:
    """n = max(rows, columns) of each group's own matrix."""
    layer = nn.Conv2d(8, 16, 1, groups=4, bias=False)
    nn.init.orthogonal_(layer.weight, gain=2.0)
    row = rows(layer, (8, 3, 3))["model"]
    assert row.forward.second == pytest.approx(2 * 4 / 4, rel=1e-9)
    assert agree(nn.Sequential(layer, nn.Tanh(), nn.Flatten(), linear(16 * 9, 8)), (8, 3, 3))


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d, lambda n: nn.GroupNorm(2, n), lambda n: nn.LayerNorm((n, 6, 6))]
)
@pytest.mark.parametrize("training", [True, False])
def test_norms_of_images(norm: Callable[[int], nn.Module], training: bool) -> None:
    model = images(conv(3, 8), norm(8), nn.ReLU(), features=8 * 36).train(training)
    assert agree(model, (3, 8, 8))


# ------------------------------------------------------------------------------ pooling


@pytest.mark.parametrize("pool", [nn.MaxPool2d, nn.AvgPool2d])
@pytest.mark.parametrize("phi", [nn.Identity, nn.ReLU, nn.Tanh])
def test_pooling_of_independent_positions(pool: type, phi: type) -> None:
    model = images(conv(16, 24, 1, gain=1.0), phi(), pool(2), features=24 * 4)
    if phi is nn.Identity:
        exact = 1 + math.sqrt(3) / math.pi if pool is nn.MaxPool2d else 0.25
        found = rows(model, (16, 4, 4))["2"].forward
        assert found.second == pytest.approx(exact, rel=1e-9)
    assert agree(model, (16, 4, 4))


def test_the_largest_of_a_function_that_falls() -> None:
    """Of four |z|: P(max < t) = erf(t / sqrt(2))^4, so E[max^2] = integral of 2 t (1 - P)."""
    layer, last = conv(16, 24, 1, gain=1.0), linear(24 * 4, 8)
    pool, flat = nn.MaxPool2d(2), nn.Flatten()
    model = Net(
        lambda s, x: s.last(s.flat(s.pool(s.conv(x).abs()))),
        conv=layer, pool=pool, flat=flat, last=last,
    )  # fmt: skip
    exact, _ = quad(lambda t: 2 * t * (1 - math.erf(t / math.sqrt(2)) ** 4), 0, 12)
    found = rows(model, (16, 4, 4))
    assert found["pool"].forward.second == pytest.approx(exact, rel=1e-3)
    # one of four is the largest, whose slope is +-1
    assert found["conv"].backward.second == pytest.approx(8 / 96 / 4, rel=1e-3)


def test_another_divisor() -> None:
    model = images(conv(16, 24, 1, gain=1.0), nn.AvgPool2d(2, divisor_override=3), features=24 * 4)
    assert rows(model, (16, 4, 4))["1"].forward.second == pytest.approx(4 / 9, rel=1e-9)
    assert agree(model, (16, 4, 4))


@pytest.mark.parametrize("given", [None, "data"])
def test_one_output_with_its_bias(given: str | None) -> None:
    """A head of one unit: its bias has one number, which no other unit shares."""
    model = nn.Sequential(nn.Linear(12, 60), nn.Tanh(), nn.Linear(60, 1))
    data = None if given is None else np.random.default_rng(0).gamma(1.0, size=(16, 12))
    found = rows(model, data)
    assert all(row.forward is not None and row.backward is not None for row in found.values())
    assert agree(model, data)


def test_batch_norm_of_examples_that_differ_in_size() -> None:
    """Two norms: what the first one leaves is correlated from example to example."""
    generator = np.random.default_rng(3)
    data = generator.gamma(1.0, size=(24, 30)) * generator.choice([0.3, 2.0], (24, 1))
    norms = [nn.Linear(30, 60), nn.BatchNorm1d(60), nn.ReLU(), nn.Linear(60, 60)]
    assert agree(nn.Sequential(*norms, nn.BatchNorm1d(60), nn.Tanh(), nn.Linear(60, 5)), data)
