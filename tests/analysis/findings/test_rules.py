"""Every rule: a network that trips it, and that network mended; and nothing in healthy ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from analysis import Thresholds
from analysis.findings import rules
from analysis.findings.rule import RULES, SEVERITIES
from analysis.network.build import dense_network
from analysis.network.records import Finding
from tests.analysis.findings.nets import (
    HEALTHY,
    IMAGES,
    batch_normed,
    chain,
    linear,
    pre_norm,
    residual,
)
from tinygrad_edu import nn
from tools.findings_pages import GROUPS, checked, example

assert rules  # imported for the rules it enters
NUMBERS = {1: 3, 2: 3, 3: 4, 4: 2, 5: 2, 6: 5, 7: 4, 8: 3, 9: 1}
CODES = [f"NI{group}{k:02}" for group, count in NUMBERS.items() for k in range(1, count + 1)]
FREE = {"NI901"}
"""What a mended network may still have: an op that the analyzer does not know says nothing about
the rule."""


def codes(model: nn.Module, given: object = None, **options: object) -> list[str]:
    return [finding.code for finding in analysis.analyze(model, given, **options).findings]


def only(model: nn.Module, code: str, given: object = None, **options: object) -> Finding:
    """The one finding with this code."""
    found = analysis.analyze(model, given, **options).findings
    (finding,) = [f for f in found if f.code == code]
    return finding


def test_the_table_is_complete() -> None:
    assert sorted(RULES) == CODES
    assert {code[:3] for code in RULES} == set(GROUPS)
    for code, rule in RULES.items():
        assert rule.code == code
        assert rule.severity in SEVERITIES
        assert set(rule.unless) <= set(RULES)
        assert len(rule.text.split("\n\n")) >= 3, f"{code}: what, why, and where the line is"
        assert set(rule.derivations) <= set(analysis.derivations())
    assert len({rule.name for rule in RULES.values()}) == len(RULES)


@pytest.mark.parametrize("code", CODES)
def test_the_example_trips_its_rule(code: str) -> None:
    (finding,) = [f for f in checked(code, example(code)).findings if f.code == code]
    assert finding.severity == RULES[code].severity
    assert finding.message
    assert finding.fix
    assert all(math.isfinite(value) for value in finding.evidence.values())


@pytest.mark.parametrize("code", CODES)
def test_the_mended_example_has_no_finding(code: str) -> None:
    found = {f.code for f in checked(code, example(code), "fixed").findings}
    assert found <= FREE - {code}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_networks_have_no_findings(name: str) -> None:
    assert analysis.analyze(HEALTHY[name]()).findings == ()


@pytest.mark.parametrize("name", IMAGES)
def test_healthy_image_networks_have_no_findings(name: str) -> None:
    assert analysis.analyze(IMAGES[name](), (3, 8, 8)).findings == ()


def test_standardised_digits_are_healthy_and_raw_ones_are_not() -> None:
    from tinygrad_edu.data import Standardize, load_digits

    images = load_digits().images
    net = dense_network([64, 100, 100, 10], "relu")
    assert codes(net, Standardize.fit(images)(images)[:128]) == []
    assert "NI501" in codes(net, images[:128])


# ------------------------------------------------------------------------------ figures


def test_figures_of_the_default_law() -> None:
    """nn.Linear's 1/(3 n) behind relu: a sixth a layer, forward and backward (torch-default)."""
    layers = itertools.chain(*((nn.Linear(64, 64), nn.ReLU()) for _ in range(10)))
    found = only(nn.Sequential(*layers, nn.Linear(64, 10)), "NI103")
    assert found.layer == "2 to 18"
    assert found.evidence["gain2"] == pytest.approx(1 / 3)
    assert found.evidence["forward"] == pytest.approx(1 / 6)
    assert found.evidence["backward"] == pytest.approx(1 / 6)
    assert found.evidence["gain"] == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize(
    ("phi", "low", "high"),
    [
        ("relu", 2.0, 2.0),
        ("tanh", 1.0, 1 / 0.394294),  # the gradient near 0, the signal at 1
        ("gelu", 1 / 0.455851, 4.0),  # the gradient at 1 and near 0
        ("sigmoid", 1 / 0.293379, 1 / 0.044836),
        ("selu", 2 / 1.0507**2 / (1 + 1.67326**2), 1.0),
    ],
)
def test_what_suits_an_activation(phi: str, low: float, high: float) -> None:
    found = only(dense_network([64] * 4 + [10], phi, weight_std=0.01), "NI103")
    assert found.evidence["low"] == pytest.approx(low, rel=1e-5)
    assert found.evidence["high"] == pytest.approx(high, rel=1e-5)


def test_a_gradient_kept_element_by_element_suits_too() -> None:
    """He by fan_out: fan_in Var(W) = 2 fan_in / fan_out."""
    net = dense_network([64, 512, 64, 10], "relu")
    nn.init.kaiming_normal_(net[2].weight, mode="fan_out")
    assert "NI103" not in codes(net)


def test_one_finding_for_many_layers() -> None:
    net = dense_network([64] * 51 + [10], "relu", "xavier_normal")
    found = analysis.analyze(net).findings
    assert len(found) == len({f.code for f in found}) <= 4
    assert all(" to " in f.layer for f in found)


def test_gradient_of_relu_at_glorots_scale() -> None:
    net = dense_network([64] * 21 + [10], "relu", "xavier_normal")
    found = only(net, "NI201")
    # 20 slopes of 1/2 and 19 layers of fan_in Var(W) = 1 lie between first and last hidden place
    assert found.evidence["ratio"] == pytest.approx(2.0**-20, rel=1e-6)
    assert found.evidence["factor"] == pytest.approx(2.0 ** (-20 / 19), rel=1e-6)
    signal = only(net, "NI101")
    assert signal.evidence["factor"] == pytest.approx(0.5, rel=1e-6)
    assert signal.evidence["last"] / signal.evidence["first"] == pytest.approx(2.0**-19, rel=1e-6)


def test_the_slope_of_the_variance_map_of_gelu() -> None:
    """1.144063 at the fixed point 1."""
    net = chain(30, nn.GELU, nn.init.calculate_gain("gelu"), width=64)
    assert only(net, "NI102").evidence["slope"] == pytest.approx(1.144063, rel=1e-6)


def test_batch_norms_rate_is_pi_over_pi_minus_1() -> None:
    found = only(batch_normed(24), "NI601", batch=10**6)
    assert found.evidence["factor"] == pytest.approx(math.pi / (math.pi - 1), rel=1e-3)
    assert "NI601" not in codes(batch_normed(18), batch=10**6)  # 1.4669^18 < 1000 < 1.4669^19
    usual = only(batch_normed(24), "NI601").evidence["factor"]
    assert found.evidence["factor"] < usual < 1.55  # a batch of 64 makes it worse


def test_residual_growth_is_2_to_the_blocks() -> None:
    assert only(residual(12), "NI701").evidence["growth"] == pytest.approx(2**12)
    assert only(residual(5), "NI702").evidence["growth"] == pytest.approx(2**5)
    assert only(residual(5), "NI702").evidence["factor"] == pytest.approx(2)
    assert codes(pre_norm(24)) == []  # 1 + l after l blocks


def test_dropout_shortens_the_depth_scale() -> None:
    """The fixed point .472799 of relu at p = .2 (Schoenholz et al. 2017): slope .8 (pi - acos c)/pi
    there."""
    layers: list[nn.Module] = []
    for _ in range(12):
        layers += [linear(64, 64, math.sqrt(2)), nn.ReLU(), nn.Dropout(0.2)]
    found = only(nn.Sequential(*layers, linear(64, 10)), "NI703")
    c = 0.472799
    slope = 0.8 * (math.pi - math.acos(c)) / math.pi
    assert found.evidence["depth_scale"] == pytest.approx(-1 / math.log(slope), rel=1e-4)


@pytest.mark.parametrize("drawn", [True, False])
def test_dropout_between_tanh_layers_with_biases(drawn: bool) -> None:
    """The maps q' = w E[tanh(u)^2] / (1 - p) + b and c' q' = w E[tanh(u) tanh(v)] + b, iterated by
    Gauss-Hermite sums; biases that were not drawn have no variance to count with."""
    w, p = 1.8, 0.3
    layers: list[nn.Module] = []
    for _ in range(20):
        dense = linear(40, 40, math.sqrt(w))
        nn.init.normal_(dense.bias, 0.2, 0.3)
        if not drawn:
            dense.bias.data = tg.zeros(40)
        layers += [dense, nn.Tanh(), nn.Dropout(p)]
    found = only(nn.Sequential(*layers, linear(40, 10)), "NI703").evidence["depth_scale"]
    b = 0.2**2 + 0.3**2 if drawn else 0.0
    z, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    q, c = 1.0, 0.5
    for _ in range(300):
        u = math.sqrt(q) * z[:, None]
        v = math.sqrt(q) * (c * z[:, None] + math.sqrt(1 - c * c) * z)
        after = w * float(weight @ np.tanh(u[:, 0]) ** 2) / (1 - p) + b
        c = (w * float(weight @ (np.tanh(u) * np.tanh(v)) @ weight) + b) / after
        slopes = (1 - np.tanh(u) ** 2) * (1 - np.tanh(v) ** 2)
        slope = w * float(weight @ slopes @ weight)
        slope, q = slope * q / after, after
    assert found == pytest.approx(-1 / math.log(slope), rel=1e-3)


def test_variance_shift_has_the_means_share() -> None:
    """(v + p m^2) / ((1 - p) v) with m^2 / v = 1/(pi - 1) behind relu."""
    layers = [linear(32, 64), nn.ReLU(), nn.Dropout(0.5), linear(64, 64, bias=False)]
    net = nn.Sequential(*layers, nn.BatchNorm1d(64), nn.ReLU(), linear(64, 10))
    expected = (1 + 0.5 / (math.pi - 1)) / 0.5
    assert only(net, "NI605").evidence["ratio"] == pytest.approx(expected, rel=1e-6)


def test_a_silent_layers_probability() -> None:
    """1 - (1 - 2^-4)^5 = .2758 for five layers of four units (dead-units)."""
    net = dense_network([8, 4, 4, 4, 4, 4, 2], "relu")
    assert only(net, "NI304").evidence["probability"] == pytest.approx(1 - (15 / 16) ** 5)


def test_the_narrowest_layer_is_named() -> None:
    found = only(dense_network([8, 6, 4, 5, 3], "relu"), "NI304")
    assert found.evidence["width"] == 4
    assert found.evidence["probability"] == pytest.approx(
        1 - (1 - 2**-6) * (1 - 2**-4) * (1 - 2**-5)
    )


def test_scatter_of_one_draw() -> None:
    """sum 5/n to first order, for relu; what inputs of different length add is not counted."""
    for n_in in (8, 400):
        net = dense_network([n_in] + [16] * 6 + [4], "relu")
        assert only(net, "NI801").evidence["scatter"] == pytest.approx(6 * 5 / 16)


def test_one_unit_is_not_identical_to_others() -> None:
    net = nn.Sequential(linear(16, 1), nn.Tanh(), linear(1, 10))
    nn.init.constant_(net[0].weight, 0.25)
    assert "NI401" not in codes(net)


def test_the_first_loss() -> None:
    net = dense_network([64, 128, 10], "relu")
    nn.init.kaiming_normal_(net[2].weight, gain=3 * math.sqrt(2))  # 18 times E[x^2] = 1
    assert only(net, "NI802").evidence["loss"] == pytest.approx(math.log(10) + 9)


def test_conditioning_behind_sigmoid() -> None:
    """1 + 5.7632 n for a pre-activation of variance 1."""
    found = only(dense_network([64, 128, 10], "sigmoid", "lecun_normal"), "NI501")
    assert found.evidence["condition"] == pytest.approx(1 + 5.7632 * 128, rel=1e-4)


def test_conditioning_of_data_that_are_not_centred() -> None:
    """1 + n m^2 / v with the mean of 3^2 and 0^2 over the mean of 1 and 4."""
    z = np.random.default_rng(0).standard_normal((64, 2))
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    found = only(dense_network([2, 64, 4], "tanh"), "NI501", z * [1.0, 2.0] + [3.0, 0.0])
    assert found.evidence["ratio"] == pytest.approx(4.5 / 2.5, rel=1e-6)
    assert found.evidence["condition"] == pytest.approx(1 + 2 * 4.5 / 2.5, rel=1e-6)


# ------------------------------------------------------------------------------ details


def test_zeros_and_constants_where_they_are_harmless() -> None:
    net = dense_network([64, 128, 128, 10], "relu")
    nn.init.constant_(net[-1].weight, 0.01)
    assert not {"NI401", "NI402"} & set(codes(net))


def test_equal_rows_of_a_loaded_matrix() -> None:
    net = dense_network([16, 32, 32, 4], "tanh")
    row = np.random.default_rng(0).standard_normal(32) / 6
    state = {**net.state_dict(), "2.weight": np.tile(row, (32, 1)).astype(np.float32)}
    net.load_state_dict(state)
    assert "NI401" in codes(net)


def test_equal_weights_with_different_biases_are_not_identical() -> None:
    net = dense_network([16, 32, 32, 4], "tanh")
    nn.init.constant_(net[2].weight, 0.05)
    nn.init.normal_(net[2].bias)
    assert "NI401" not in codes(net)


class Grouped(nn.Module):
    """A convolution with groups, whose parameter knows them or not."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(tg.zeros(8, 2, 3, 3), groups=groups)
        nn.init.xavier_normal_(self.weight)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return tg.conv2d(x, self.weight, groups=4).relu()


def test_fans_of_groups() -> None:
    """torch's fan_out of a grouped convolution counts all groups (pytorch#23854)."""
    assert "NI803" in codes(Grouped(1), (8, 6, 6))
    assert "NI803" not in codes(Grouped(4), (8, 6, 6))


def test_fans_of_a_transposed_convolution() -> None:
    class Transposed(nn.Module):
        def __init__(self, transposed: bool) -> None:
            super().__init__()
            self.weight = nn.Parameter(tg.zeros(16, 4, 3, 3), transposed=transposed)
            nn.init.lecun_normal_(self.weight)

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return tg.conv_transpose2d(x, self.weight)

    assert "NI803" in codes(Transposed(False), (16, 6, 6))
    assert "NI803" not in codes(Transposed(True), (16, 6, 6))


def test_batch_is_only_known_when_told() -> None:
    net = batch_normed(3)
    assert codes(net) == []
    assert codes(net, thresholds=Thresholds(batch=4)) == ["NI602"]
    assert codes(net, thresholds=Thresholds(batch=6)) == []


def test_positions_count_as_examples() -> None:
    layers = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 64, 4))
    assert "NI602" not in codes(net, (3, 8, 8), thresholds=Thresholds(batch=2))


def test_evaluation_mode_has_no_batch_statistics() -> None:
    net = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4))
    assert "NI604" in codes(net)
    assert "NI604" not in codes(net.eval())


def test_a_deeper_cause_silences_what_it_explains() -> None:
    found = codes(residual(14))
    assert "NI701" in found
    assert not {"NI101", "NI202", "NI702", "NI802"} & set(found)
    alone = codes(residual(14), ignore=["NI70"])
    assert "NI101" in alone


def test_the_gravest_come_first() -> None:
    net = dense_network([40] * 41 + [10], "relu", "xavier_normal")
    order = [SEVERITIES.index(f.severity) for f in analysis.analyze(net).findings]
    assert order == sorted(order)
    assert len(set(order)) > 1


def test_nothing_is_said_without_a_gradient() -> None:
    net = dense_network([64] * 21 + [10], "sigmoid")
    assert "NI201" not in codes(net, None, backward=False)
