"""Networks on which a prediction once lay outside its bound: each holds, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from analysis.measurement.verify import verify
from analysis.network.analyze import propagate, report_of
from tests.analysis.network.nets import Net, linear
from tinygrad_edu import nn


def _data(*shape: int, mean: float, size: float) -> np.ndarray[Any, Any]:
    return mean + size * np.random.default_rng(5).standard_normal(shape)


def _by_channel() -> np.ndarray[Any, Any]:
    """Channels of size 1/4 to 2."""
    return _data(6, 8, 6, 6, mean=0.0, size=1.0) * np.arange(1, 9)[:, None, None] / 4


def gates_in_a_row() -> nn.Module:
    """The slope by one factor is the other one, which scatters with it."""
    gate = lambda s, x: s.a(x) * s.b(x).sigmoid()  # noqa: E731
    blocks = [Net(gate, a=linear(12, 12, 1.5), b=linear(12, 12, 1.5)) for _ in range(4)]
    return nn.Sequential(*blocks, linear(12, 6))


def dropped_before_a_norm() -> nn.Module:
    """Where all inputs were dropped all units are equal, and a norm makes them 0."""
    first, second = linear(16, 3), linear(3, 8)
    nn.init.constant_(second.bias, 0.5)
    norm = nn.GroupNorm(2, 8)
    return nn.Sequential(first, nn.ReLU(), nn.Dropout(0.5), second, norm, nn.ReLU(), linear(8, 8))


def batch_norm_behind(phi: type[nn.Module]) -> nn.Module:
    """Biases make units of different variance, and E[1/v] is not 1/E[v]."""
    return nn.Sequential(
        linear(50, 120, 1.3, bias_std=1.0), phi(), nn.BatchNorm1d(120), linear(120, 20)
    )


def groups_of_data() -> nn.Module:
    """Each group sees channels of its own size."""
    model = nn.Sequential(
        nn.Conv2d(8, 32, 3, groups=8, bias=False), nn.Hardtanh(), nn.Flatten(), linear(512, 8)
    )
    nn.init.kaiming_normal_(model[0].weight)
    return model


def pooled_norm() -> nn.Module:
    """A norm over few channels takes away part of what positions have in common."""
    layers = (nn.Conv2d(8, 12, 5, groups=2), nn.LeakyReLU(), nn.GroupNorm(4, 12), nn.AvgPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), linear(12, 6))


def mean_under_rms_norm() -> nn.Module:
    """The share that a mean has of the length scatters."""
    layers: list[nn.Module] = []
    for n_in, n_out in ((16, 6), (6, 6), (6, 28)):
        layers += [linear(n_in, n_out, 1.3), nn.GELU()]
        nn.init.constant_(layers[-2].bias, 0.9)
    return nn.Sequential(*layers[:-1], nn.RMSNorm(28), nn.GELU(), linear(28, 9))


def groups_on_a_stream() -> nn.Module:
    """E[1/v] over a group of few units."""
    blocks = [
        nn.Residual(
            nn.Sequential(nn.GroupNorm(5, 20), linear(20, 12), nn.Hardtanh(), linear(12, 20))
        )
        for _ in range(3)
    ]
    return nn.Sequential(linear(21, 20), *blocks, linear(20, 8))


def norm_over_positions() -> nn.Module:
    """Second moments of positions scatter apart, and a norm over all leaves that."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 3, padding=1),
        nn.SELU(),
        nn.Conv2d(20, 8, 3, stride=2),
        nn.GroupNorm(1, 8),
        nn.SELU(),
        nn.Flatten(),
        linear(8 * 16, 8),
    )


CASES: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "gates in a row": (gates_in_a_row, None),
    "dropped before a norm": (dropped_before_a_norm, None),
    "batch norm behind tanh": (lambda: batch_norm_behind(nn.Tanh), None),
    "batch norm behind mish": (lambda: batch_norm_behind(nn.Mish), None),
    "batch norm behind relu": (lambda: batch_norm_behind(nn.ReLU), None),
    "groups of data": (groups_of_data, _by_channel()),
    "pooled norm": (pooled_norm, _data(6, 8, 6, 6, mean=0.5, size=0.3)),
    "mean under rms norm": (mean_under_rms_norm, None),
    "groups on a stream": (groups_on_a_stream, None),
    "norm over positions": (norm_over_positions, (1, 10, 10)),
}


@pytest.mark.parametrize("name", CASES)
def test_no_prediction_lies_outside_its_bound(name: str) -> None:
    tg.manual_seed(0)
    make, given = CASES[name]
    model = make()
    report = report_of(propagate(model, given))
    measured = analysis.measure(model, 400, input=given, seed=3, progress=False)
    wrong = [v for v in verify(report, measured, 1e-6) if not v.agrees]
    assert not wrong, wrong


def test_batch_norm_of_too_few_different_values_is_unknown() -> None:
    """Of relus with different biases some are off on the whole batch, and divided by eps."""
    rows = report_of(propagate(batch_norm_behind(nn.ReLU), batch=8)).rows
    assert rows[1].op == "ReLU"
    assert rows[1].backward is None
    assert rows[2].backward is not None
