"""Covariances of squares at different positions, against networks drawn with NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import analysis
from analysis.network.analyze import propagate
from analysis.network.records import Signal
from analysis.network.rules.conv import Geometry
from analysis.network.squares import of_average, square_pairs
from tinygrad_edu import nn


def kernel(n_in: int, n_out: int, size: int, **options: object) -> nn.Conv2d:
    layer = nn.Conv2d(n_in, n_out, size, bias=False, **options)
    nn.init.lecun_normal_(layer.weight)
    return layer


def last_signal(model: nn.Module, shape: tuple[int, ...]) -> tuple[Signal, object]:
    p = propagate(model, shape, backward=False)
    record = p.records[p.graph.output]
    assert isinstance(record, Signal)
    return record, p.context


def test_independent_positions_have_independent_squares() -> None:
    """One tap of very many channels: two positions are made of other inputs."""
    x, context = last_signal(nn.Sequential(kernel(4000, 6, 1)), (4000, 2, 2))
    table = square_pairs(x, context)
    assert table is not None
    assert np.diagonal(table[0]) == pytest.approx(2 * x.second**2)
    off = table[0][~np.eye(4, dtype=bool)]
    assert off == pytest.approx(2 * x.second[0] ** 2 / 4000, rel=1e-6)


@pytest.mark.parametrize("activation", [nn.Identity, nn.ReLU, nn.Tanh])
def test_a_unit_of_fan_in_one_has_its_weight_in_common(activation: type[nn.Module]) -> None:
    """w x and w x' with independent x, x': Cov = E[E[f^2 | w]^2] - E[f^2]^2 over w of f(w x)."""
    model = nn.Sequential(kernel(6, 6, 1, groups=6), activation())
    x, context = last_signal(model, (6, 2, 2))
    table = square_pairs(x, context)
    assert table is not None
    rng = np.random.default_rng(0)
    f = {nn.Identity: lambda v: v, nn.ReLU: lambda v: np.maximum(v, 0), nn.Tanh: np.tanh}
    w, u, v = rng.standard_normal((3, 2_000_000))
    first, second = f[activation](w * u) ** 2, f[activation](w * v) ** 2
    drawn = np.mean(first * second) - np.mean(first) * np.mean(second)
    # w x and w x' are taken for Gaussians with a correlation of 1 or -1, as they are given x, x':
    # that leaves out how those scatter, and the activation between; it is the order that counts
    assert 0.4 < table[0, 0, 1] / drawn < 2.5


def test_squares_within_a_kernel_are_weighed_in_pairs() -> None:
    """Equal positions scatter as one of them does; the sum over 9 taps by 81 times that."""
    model = nn.Sequential(kernel(3, 4, 1, groups=1), nn.ReLU(), kernel(4, 5, 3))
    p = propagate(model, (3, 5, 5), backward=False)
    conv = [n for n in p.graph.nodes if n.op is not None and n.op.name == "convolution"][-1]
    inputs = p.context.notes["convolution", conv]
    geometry = Geometry.of(conv, (3, 3))
    table = square_pairs(inputs, p.context)
    reach = geometry.reach()
    assert reach.sum(axis=1) == pytest.approx(np.full(9, 9.0))
    whole = (reach @ table[0] * reach).sum(axis=1)
    own = reach @ np.diagonal(table[0])
    assert np.all(whole > own)
    assert np.all(whole < 9 * own)
    fluctuation = p.records[conv].fluctuation
    wander = geometry.gathered(np.sqrt(inputs.fluctuation))
    factor = 4 * (1 / 36)
    assert fluctuation == pytest.approx(factor**2 * (wander**2 + whole / 4), rel=1e-9)


def test_a_flattened_map_scatters_by_more_than_independent_positions() -> None:
    x, context = last_signal(nn.Sequential(kernel(1, 4, 3, padding=1), nn.ReLU()), (1, 4, 4))
    added = of_average(x, context)
    assert added.shape == (1,)
    assert added[0] > 0


def test_a_kernel_over_units_of_one_weight_each() -> None:
    """Grouped filters of fan-in 1, then 5 x 5: the mean square of a kernel's reach scatters by the
    weights of a few units, and hardtanh bends with it."""
    model = nn.Sequential(
        kernel(4, 8, 3, padding=1, groups=4), nn.Tanh(), kernel(8, 8, 1, groups=8),
        kernel(8, 8, 5, padding=2), nn.Hardtanh(), nn.Flatten(), nn.Linear(8 * 64, 10),
    )  # fmt: skip
    report = analysis.analyze(model, (4, 8, 8))
    measured = analysis.measure(model, 400, batch=16, input=(4, 8, 8), seed=1, progress=False)
    assert all(v.agrees for v in analysis.verify(report, measured))
