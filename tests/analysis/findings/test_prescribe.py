"""Changes: they resolve what they say, bring nothing new, are made whole or not at all, and what is
predicted after them is measured."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import analysis
from analysis.errors import InputError
from analysis.findings import changes, prescribe
from analysis.findings.changes import Change, Draw, NormBefore, Option, Scale, make
from analysis.network.build import dense_network
from tests.analysis.findings.nets import HEALTHY, residual
from tinygrad_edu import nn
from tinygrad_edu.nn.drawing import constant_law, normal_law
from tools.findings_pages import example

NETWORKS = 200


def codes(model: nn.Module) -> set[str]:
    return {finding.code for finding in analysis.analyze(model).findings}


def values(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: p.detach().numpy().copy() for name, p in model.named_parameters()}


def default(depth: int, phi: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(100, 100), phi()]
    return nn.Sequential(*layers, nn.Linear(100, 10))


def constant() -> nn.Sequential:
    net = dense_network([32, 64, 64, 10], "relu")
    nn.init.constant_(net[2].weight, 0.1)
    return net


def large_head() -> nn.Sequential:
    net = dense_network([32, 64, 10], "tanh")
    nn.init.normal_(net[2].weight, 0.0, 1.0)
    return net


def off() -> nn.Sequential:
    net = dense_network([32, 64, 64, 10], "relu")
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.constant_(layer.bias, -3.0)
    return net


def biased() -> nn.Sequential:
    layers = [nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*layers)


SICK = {
    "default relu": (lambda: default(6), {"NI103", "NI201"}),
    "default tanh": (lambda: default(8, nn.Tanh), {"NI103", "NI201"}),
    "glorot relu": (lambda: dense_network([100] * 13 + [10], "relu", "xavier_normal"), {"NI103"}),
    "saturated tanh": (lambda: dense_network([64] * 4 + [10], "tanh", weight_std=1.0), {"NI301"}),
    "linear tanh": (lambda: dense_network([64] * 4 + [10], "tanh", weight_std=0.01), {"NI302"}),
    "alternating": (lambda: example("NI203").net, {"NI203"}),
    "off": (off, {"NI303"}),
    "constant": (constant, {"NI401"}),
    "zero": (lambda: example("NI402").net, {"NI402"}),
    "residual": (lambda: residual(12), {"NI701"}),
    "few blocks": (lambda: residual(5), {"NI702"}),
    "large head": (large_head, {"NI802"}),
    "wrong fans": (lambda: example("NI803").net, {"NI803"}),
    "bias": (biased, {"NI604"}),
    "gelu": (lambda: example("NI102").net, {"NI102"}),
}


@pytest.mark.parametrize("name", SICK)
def test_a_change_resolves_what_it_says_and_brings_nothing(name: str) -> None:
    make_model, wanted = SICK[name]
    model = make_model()
    before, kept = codes(model), values(model)
    assert wanted <= before
    offered = analysis.prescribe(model)
    assert wanted <= set(offered[0].resolves)
    for change in offered:
        after = {f.code for f in change.report.findings}
        assert set(change.resolves) == before - after
        assert after < before
    assert all(np.array_equal(v, kept[k]) for k, v in values(model).items())  # tried on copies


@pytest.mark.parametrize("name", SICK)
def test_what_a_change_predicts_is_measured(name: str) -> None:
    model = SICK[name][0]()
    best = analysis.prescribe(model)[0]
    assert best.apply() is model
    report = analysis.analyze(model)
    assert codes(model) == {f.code for f in best.report.findings}
    seconds = [row.forward.second for row in report.layers if row.forward]
    assert seconds == pytest.approx([r.forward.second for r in best.report.layers if r.forward])
    if name == "gelu":  # 60 layers: predictions alone
        return
    measured = analysis.measure(model, NETWORKS, batch=32, seed=3, progress=False)
    assert all(v.agrees for v in analysis.verify(report, measured))


def test_the_gradient_that_vanished_is_kept() -> None:
    """Measured: at the first layer a thousandth of that at the last hidden one, then as much."""
    model = default(8)

    def ratio() -> float:
        measured = analysis.measure(model, NETWORKS, batch=8, seed=1, progress=False)
        return measured.backward("0").value / measured.backward("14").value

    assert ratio() < 1e-4
    analysis.prescribe(model)[0].apply()
    assert 0.5 < ratio() < 2


@pytest.mark.parametrize("name", ["he relu, 5", "pre-norm, 4", "batch norm, 5", "head of zeros"])
def test_a_healthy_network_needs_nothing(name: str) -> None:
    assert analysis.prescribe(HEALTHY[name]()) == ()


def test_the_derived_gain_is_offered_first() -> None:
    model = default(6)
    first = analysis.prescribe(model)[0]
    assert "gain 1.4142 behind relu" in first.description
    first.apply()
    law = model[2].weight.law
    assert law is not None
    assert 100 * law.variance == pytest.approx(2)
    assert float(model[2].weight.detach().numpy().var()) * 100 == pytest.approx(2, rel=0.1)
    assert law.family == "uniform"  # the weights it had, scaled
    assert not np.any(model[0].bias.detach().numpy())


def test_two_diseases_are_cured_together() -> None:
    model = residual(12)
    nn.init.constant_(model[3].block[0].weight, 0.05)
    before = codes(model)
    offered = analysis.prescribe(model)
    assert {"NI401", "NI701"} <= before
    assert set(offered[0].resolves) == {"NI401", "NI701"}
    assert max(len(c.resolves) for c in offered[1:]) == 1


def test_what_a_deeper_cause_hid_is_not_new() -> None:
    """Outputs are far too large with scaled branches, too; that was hidden by the explosion."""
    model = residual(12)
    nn.init.normal_(model[-1].weight, 0.0, 5.0)
    assert codes(model) == {"NI701"}
    change = analysis.prescribe(model)[0]
    assert change.resolves == ("NI701",)
    assert [f.code for f in change.report.findings] == ["NI802"]
    change.apply()
    analysis.prescribe(model)[0].apply()
    assert codes(model) == set()


def test_weights_of_a_trained_network_are_left_alone() -> None:
    model = dense_network([64] * 13 + [10], "relu", "xavier_normal")
    model.load_state_dict(model.state_dict())
    assert {"NI101", "NI201"} <= codes(model)
    for change in analysis.prescribe(model):
        assert not any(isinstance(edit, Scale | Draw) for edit in change.edits)


def test_draws_depend_on_the_seed_alone() -> None:
    drawn = []
    for seed in (0, 0, 1):
        model = constant()
        nn.init.normal_(model[0].weight)  # moves the global sequence
        analysis.prescribe(model, seed=seed)[0].apply()
        drawn.append(model[2].weight.detach().numpy().copy())
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_selection_and_thresholds_are_obeyed() -> None:
    model = default(6)
    assert analysis.prescribe(model, select=["NI7"]) == ()
    assert analysis.prescribe(model, ignore=["NI1", "NI2"]) == ()
    loose = analysis.Thresholds(gain=100.0, drift=1e30)
    assert analysis.prescribe(model, thresholds=loose) == ()


# ------------------------------------------------------------------------------ edits


def test_all_edits_or_none() -> None:
    model = biased()
    before, law, bias = values(model), model[0].weight.law, model[0].bias
    edits = [
        Scale("0.weight", 2.0),
        Draw("3.weight", normal_law(0.0, 0.1), (64, 10)),
        Option("0", "bias", None),
        NormBefore("2", 64),
        Scale("no.such.weight", 1.0),
    ]
    with pytest.raises(InputError, match=r"no\.such\.weight"):
        make(edits, model, 0)
    assert model[0].bias is bias
    assert isinstance(model[2], nn.ReLU)
    assert model[0].weight.law == law
    assert all(np.array_equal(v, before[k]) for k, v in values(model).items())
    make(edits[:-1], model, 0)
    assert model[0].bias is None
    assert [type(m).__name__ for m in model[2]] == ["LayerNorm", "ReLU"]
    assert np.array_equal(values(model)["0.weight"], 2 * before["0.weight"])


@pytest.mark.parametrize(
    "edit",
    [Scale("0.weight", math.inf), Scale("0.weight", math.nan), Option("9", "p", 0.1)],
    ids=["inf", "nan", "module"],
)
def test_edits_that_cannot_be_made(edit: changes.Edit) -> None:
    model = biased()
    before = values(model)
    with pytest.raises(InputError), np.errstate(all="ignore"):
        make([edit], model, 0)
    assert all(np.array_equal(v, before[k]) for k, v in values(model).items())


def test_a_change_to_a_model_that_has_changed_since() -> None:
    model = constant()
    change = analysis.prescribe(model)[0]
    model[2] = nn.Identity()
    before = values(model)
    with pytest.raises(InputError, match="analyse it again"):
        change.apply()
    assert all(np.array_equal(v, before[k]) for k, v in values(model).items())


def test_laws_after_edits() -> None:
    model = biased()
    make([Scale("0.weight", 3.0), Draw("3.bias", constant_law(0.0))], model, 0)
    law = model[0].weight.law
    assert law is not None
    assert law.variance == pytest.approx(9 / 48)
    assert law.fan_in == 16
    assert (model[3].bias.law.mean, model[3].bias.law.variance) == (0.0, 0.0)


def test_a_model_in_double_precision_stays_so() -> None:
    model = default(6).double()
    for change in analysis.prescribe(model):
        patient = copy.deepcopy(model)
        Change("", (), change.report, change.edits, patient).apply()
        assert {str(p.dtype) for p in patient.parameters()} == {"float64"}


def test_a_change_that_brings_a_finding_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaling the last layer up cures nothing; switching units off cures NI103 by hiding it."""
    model = default(6)
    worse = [("worse", [Draw(f"{i}.bias", constant_law(-9.0)) for i in range(0, 12, 2)])]
    monkeypatch.setattr(prescribe, "remedies", lambda subject, codes: iter(worse))
    assert prescribe.prescribe(model) == ()
