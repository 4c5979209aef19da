"""Parameters without a law speak by their own numbers: rows, sums, duplicates."""

from __future__ import annotations

import math

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from analysis.errors import InputError
from tests.analysis.network.nets import linear
from tinygrad_edu import nn

N = 50


def load(layer: nn.Linear, weight: np.ndarray, bias: np.ndarray | None = None) -> nn.Linear:
    layer.load_state_dict(
        {
            "weight": tg.tensor(weight.astype(np.float32)),
            "bias": tg.tensor((np.zeros(len(weight)) if bias is None else bias).astype(np.float32)),
        }
    )
    return layer


def uneven(n_in: int, n_out: int, mean: float = 0.0) -> np.ndarray:
    """Rows of very different size."""
    random = np.random.default_rng(4)
    values = random.standard_normal((n_out, n_in)) / math.sqrt(n_in)
    return values * np.geomspace(0.2, 4, n_out)[:, None] + mean


def agree(model: nn.Module, given: object = None, networks: int = 600) -> bool:
    report = analysis.analyze(model, given)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    measured = analysis.measure(model, networks, batch=16, seed=3, input=given, progress=False)
    return all(v.agrees for v in analysis.verify(report, measured))


def test_each_row_of_the_first_layer_has_its_own_law() -> None:
    weight = uneven(20, N)
    model = nn.Sequential(load(nn.Linear(20, N), weight), nn.Tanh(), linear(N, 8))
    rows = analysis.analyze(model).layers
    size = np.sum(weight**2, axis=1)
    assert rows[0].forward.second == pytest.approx(size.mean(), rel=1e-6)
    each = [float(analysis.moments("tanh", 0, q).second) for q in size]
    assert rows[1].forward.second == pytest.approx(np.mean(each), rel=1e-6)
    slopes = [float(analysis.moments("tanh", 0, q).derivative_second) for q in size]
    assert rows[0].backward.second == pytest.approx(8 / N * np.mean(slopes), rel=1e-6)
    one_law = float(analysis.moments("tanh", 0, size.mean()).second)
    assert abs(one_law / np.mean(each) - 1) > 0.2
    assert agree(model)


def test_what_a_row_adds_up_to_meets_the_mean_of_its_inputs() -> None:
    weight = uneven(N, 30, mean=0.1)
    second = load(nn.Linear(N, 30), weight, np.linspace(-1, 1, 30))
    model = nn.Sequential(linear(20, N), nn.ReLU(), second, nn.ReLU(), linear(30, 8))
    row = analysis.analyze(model).layers[2].forward
    mean, square = 1 / math.sqrt(2 * math.pi), 0.5
    shift = mean * weight.sum(axis=1) + np.linspace(-1, 1, 30)
    expected = np.mean(np.sum(weight**2, axis=1) * (square - mean**2) + shift**2)
    assert row.second == pytest.approx(expected, rel=1e-6)
    assert agree(model)


def test_a_whole_network_of_numbers_on_data_is_its_forward_pass() -> None:
    model = nn.Sequential(
        load(nn.Linear(20, N), uneven(20, N, 0.1), np.linspace(-1, 1, N)),
        nn.ReLU(),
        load(nn.Linear(N, 30), uneven(N, 30)),
        nn.GELU(),
    )
    x = np.random.default_rng(0).standard_normal((9, 20)).astype(np.float32)
    rows = analysis.analyze(model, x).layers
    h = tg.tensor(x)
    for row, layer in zip(rows, model, strict=True):
        h = layer(h)
        values = h.detach().numpy().astype(float)
        assert row.forward.second == pytest.approx(np.mean(values**2), rel=1e-5)
        assert row.forward.mean == pytest.approx(np.mean(values), rel=1e-4, abs=1e-6)


def test_identical_rows_are_identical_units() -> None:
    weight = np.repeat(uneven(20, 1), N, axis=0)
    report = analysis.analyze(nn.Sequential(load(nn.Linear(20, N), weight), nn.Tanh()))
    assert report.layers[0].forward.unit_correlation == 1
    assert report.layers[1].forward.unit_correlation == 1


def test_two_loaded_layers_depend_on_each_other_so_what_follows_is_not_testable() -> None:
    first, second = load(nn.Linear(20, N), uneven(20, N)), load(nn.Linear(N, N), uneven(N, N))
    model = nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), linear(N, 8))
    report = analysis.analyze(model)
    measured = analysis.measure(model, 50, seed=1, progress=False)
    found = {(v.layer, v.direction): v for v in analysis.verify(report, measured)}
    assert found["0", "forward"].testable
    assert not found["2", "forward"].testable
    assert found["2", "forward"].agrees


def test_the_report_says_which_parameters_speak_for_themselves() -> None:
    model = nn.Sequential(load(nn.Linear(20, N), uneven(20, N)), nn.Tanh(), linear(N, 8))
    lines = [a for a in analysis.analyze(model).assumptions if "trained or loaded" in a]
    assert {line.split()[0] for line in lines} == {"0.weight", "0.bias"}
    nn.init.normal_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    assert not any("loaded" in a for a in analysis.analyze(model).assumptions)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_none_are_refused(bad: float) -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    model[0].weight.data = tg.full((4, 4), bad)
    with pytest.raises(InputError, match=r"0\.weight holds nan or inf"):
        analysis.analyze(model)
