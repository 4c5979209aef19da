"""Batch norm of data: exact in the covariances of all examples, forward and backward."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import analysis
from analysis.measurement.verify import Verdict
from analysis.network import cases
from analysis.network.analyze import propagate, report_of
from analysis.network.build import activation_module
from analysis.network.rules.batch_of_data import by_repeat, centred
from tests.analysis.network.nets import linear
from tinygrad_edu import nn
from tinygrad_edu.data import load_digits

WIDTH = 100
RANDOM = np.random.default_rng(0)


def clusters() -> np.ndarray:
    """Two, of which each spreads by a third of their distance."""
    centres = RANDOM.standard_normal((2, 32))
    return centres[RANDOM.integers(0, 2, 64)] + 0.3 * RANDOM.standard_normal((64, 32))


DATA: dict[str, Callable[[], np.ndarray]] = {
    "independent": lambda: RANDOM.standard_normal((64, 32)),
    "of varying size": lambda: (
        RANDOM.standard_normal((64, 32)) * np.exp(RANDOM.standard_normal((64, 1)))
    ),
    "clusters": clusters,
    "digits": lambda: load_digits().images[:64].reshape(64, -1).astype(float),
}


def blocks(features: int, depth: int, activation: str = "relu", width: int = WIDTH) -> nn.Module:
    layers: list[nn.Module] = []
    for n in [features, *[width] * (depth - 1)]:
        layers += [linear(n, width), nn.BatchNorm1d(width), activation_module(activation)()]
    return nn.Sequential(*layers, linear(width, 10))


def verdicts(model: nn.Module, data: Any, networks: int) -> dict[tuple[str, str], Verdict]:
    report = analysis.analyze(model, data)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    measured = analysis.measure(model, networks, seed=1, input=data, progress=False)
    return {(v.layer, v.direction): v for v in analysis.verify(report, measured)}


@pytest.mark.parametrize("name", DATA)
def test_five_blocks(name: str) -> None:
    """Predictions are off by what a width of 100 leaves open: 6 % after five blocks, while one
    number for all pairs of examples was off by up to 90 %."""
    data = DATA[name]()
    found = verdicts(blocks(data.shape[1], 5), data, 300)
    assert all(v.agrees for v in found.values())
    for v in found.values():
        assert abs(v.measured / v.predicted - 1) < 0.06 + 4 * v.standard_error / v.measured
        assert v.bound < 0.2 * v.predicted


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_other_activations(activation: str) -> None:
    data = DATA["clusters"]()
    assert all(v.agrees for v in verdicts(blocks(32, 3, activation), data, 300).values())


def test_wide_layers_are_predicted_to_a_percent() -> None:
    """The limit of infinite width itself: what remains are 2048 draws."""
    data = DATA["of varying size"]()
    found = verdicts(blocks(32, 2, width=1500), data, 60)
    for v in found.values():
        assert abs(v.measured / v.predicted - 1) < 0.01 + 4 * v.standard_error / v.measured


def test_two_points_give_signs() -> None:
    """Two tight clusters of one size: batch norm gives each unit +1 on one and -1 on the other, so
    E[tanh^2] is tanh(1)^2 and not the 0.394 of a Gaussian."""
    data = np.repeat(RANDOM.standard_normal((2, 32)), 16, axis=0)
    data = data + 1e-3 * RANDOM.standard_normal(data.shape)
    report = analysis.analyze(blocks(32, 1, "tanh", width=4000), data)
    assert report.layers[2].forward.prediction.corrected == pytest.approx(np.tanh(1) ** 2, rel=0.01)


def jacobian(z: np.ndarray, eps: float) -> np.ndarray:
    """Of batch norm on one unit, by differences."""

    def norm(z: np.ndarray) -> np.ndarray:
        about = z - z.mean()
        return about / np.sqrt(np.mean(about**2) + eps)

    step = 1e-6 * np.eye(len(z))
    return np.stack([(norm(z + e) - norm(z - e)) / 2e-6 for e in step], axis=1)


def test_back_is_the_transposed_jacobian_on_every_draw() -> None:
    """E[dz dz^T] = mean of J^T (D o c c^T) J over draws, with J by differences."""
    data = RANDOM.standard_normal((6, 8))
    model = nn.Sequential(linear(8, 9), nn.BatchNorm1d(9, affine=False, eps=0.1))
    p = propagate(model, data, backward=False)
    known, _ = p.context.notes[p.graph.output]
    few = dataclasses.replace(known, y=known.y[..., :7], inverse=known.inverse[..., :7])
    arriving = RANDOM.standard_normal((6, 6))
    arriving = arriving @ arriving.T
    slopes = RANDOM.standard_normal((1, 6, 7))
    found, squares = few.back(arriving[None], slopes)
    wanted = []
    for y, inverse, c in zip(few.y[0].T, few.inverse[0, 0], slopes[0].T, strict=True):
        back = jacobian(y / inverse, 0.1).T * c
        wanted.append(back @ arriving @ back.T)
    assert found[0] == pytest.approx(np.mean(wanted, axis=0), rel=1e-6, abs=1e-7)
    assert squares[0] == pytest.approx([np.trace(w) for w in wanted], rel=1e-6)


def test_centred_matrices_have_no_mean() -> None:
    matrices = RANDOM.standard_normal((2, 5, 5))
    assert centred(matrices).mean(axis=1) == pytest.approx(np.zeros((2, 5)), abs=1e-12)
    partners = cases.Partners(5, 2, everyone=True)
    assert by_repeat(np.arange(10.0)[:, None], partners)[1, :, 0].tolist() == [1, 3, 5, 7, 9]


def test_many_examples_are_followed_on_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their bound says what the others may change."""
    data = load_digits().images[:400].reshape(400, -1).astype(float)
    model = blocks(64, 2, width=400)
    whole = report_of(propagate(model, data[:200]))
    assert whole.rows[0].forward.prediction.bound < 1e-6
    monkeypatch.setattr(cases, "MOST_TOGETHER", 64)
    part, full = (report_of(propagate(model, data)) for _ in range(2))
    monkeypatch.setattr(cases, "MOST_TOGETHER", 400)
    full = report_of(propagate(model, data))
    assert any("followed on 64" in line for line in part.assumptions)
    for few, all_of_them in zip(part.rows, full.rows, strict=True):
        for one, other in (
            (few.forward, all_of_them.forward),
            (few.backward, all_of_them.backward),
        ):
            gap = abs(one.prediction.corrected - other.prediction.corrected)
            assert gap <= one.prediction.bound + 1e-12
