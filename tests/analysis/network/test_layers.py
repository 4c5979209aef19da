"""Norms, convolutions, pooling and dropout, on stand-ins for the ops that layers bring along."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from tests.analysis.network import stand_ins as ops
from tests.analysis.network.nets import Net, linear, one
from tinygrad_edu import nn

NETWORKS = 300


def agree(model: nn.Module, given: object = None, batch: int = 16) -> bool:
    """Everything is known, and what is predicted is measured."""
    report = analysis.analyze(model, given)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    options = {"input": given, "seed": 5, "progress": False}
    measurement = analysis.measure(model, NETWORKS, batch=batch, **options)
    return all(v.agrees for v in analysis.verify(report, measurement))


def layer_norm(x: tg.Tensor) -> tg.Tensor:
    return ops.standardize(x, (1,))


# ------------------------------------------------------------------------------ norms


@pytest.mark.parametrize("norm", [layer_norm, lambda x: ops.unit_rms(x, (1,))])
def test_norms_of_one_example(norm: object) -> None:
    assert agree(one(lambda s, x: norm(s.w(norm(s.a(x)).relu())).tanh(), w=linear(40, 40)))


def test_normalised_branches_add_the_same_each_time() -> None:
    """1 + L, and backward 1 + 1/l through block l (residual-normalised)."""

    class PreNorm(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.a, self.b = linear(n, n, math.sqrt(2)), linear(n, n)
            self.out = nn.Identity()

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return self.out(x + self.b(self.a(layer_norm(x)).relu()))

    model = nn.Sequential(linear(16, 40), *[PreNorm(40) for _ in range(4)], linear(40, 8))
    rows = [r for r in analysis.analyze(model).layers if r.name.endswith("out")]
    assert [r.forward.second for r in rows] == pytest.approx([2, 3, 4, 5], rel=1e-4)
    ratios = [a.backward.second / b.backward.second for a, b in itertools.pairwise(rows)]
    assert ratios == pytest.approx([1 + 1 / k for k in (2, 3, 4)], rel=1e-4)
    assert agree(model)


def test_batch_norm_explodes_by_pi_over_pi_minus_1() -> None:
    """E[phi'^2] / Var(phi) a layer for relu, as the batch grows (batchnorm-depth)."""
    n = 64

    def run(s: Net, x: tg.Tensor) -> tg.Tensor:
        for layer in (s.a, s.c, s.d):
            x = ops.standardize(layer(x), (0,)).relu()
        return x

    model = one(run, n=n, a=linear(16, n), c=linear(n, n), d=linear(n, n))
    rows = {r.name: r for r in analysis.analyze(model).layers}
    rate = math.pi / (math.pi - 1)
    assert rows["c"].backward.second / rows["d"].backward.second == pytest.approx(rate, rel=1e-4)
    assert agree(model, batch=64)


def test_a_norm_over_one_element_or_of_unknown_correlation_is_unknown() -> None:
    single = analysis.analyze(one(lambda s, x: ops.standardize(s.a(x), ()), n=40))
    assert single.layers[-1].forward is None
    assert "one element" in single.findings[0].message


# ------------------------------------------------------------------------------ dropout


def test_dropout() -> None:
    model = one(lambda s, x: ops.drop(s.w(ops.drop(s.a(x).relu(), 0.3)), 0.5), w=linear(40, 40))
    rows = {r.name: r for r in analysis.analyze(model).layers}
    assert rows["w"].forward.second == pytest.approx(0.5 / 0.7, rel=1e-6)
    assert rows["seen"].forward.second == pytest.approx(0.5 / 0.7 / 0.5, rel=1e-6)
    assert agree(model)


def test_what_follows_dropout_sees_its_law() -> None:
    assert agree(one(lambda s, x: (s.a(x) + ops.drop(s.b(x), 0.4)).relu()))


# ------------------------------------------------------------------------------ convolution


class Convolutions(nn.Module):
    """Two convolutions, an activation after each, pooling if asked for, and a dense layer."""

    def __init__(self, kernel: int = 3, padding: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.first = self._weights(8, 3, kernel)
        self.second = self._weights(12, 8 // groups, kernel)
        self.options = (stride, padding)
        self.groups = groups
        size = (6 + 2 * padding - kernel) // stride + 1
        size = size + 2 * padding - kernel + 1
        self.last = linear(12 * size * size, 5)
        self.seen, self.after = nn.Identity(), nn.Identity()

    def _weights(self, n_out: int, n_in: int, kernel: int) -> nn.Parameter:
        weights = nn.Parameter(np.zeros((n_out, n_in, kernel, kernel), np.float32))
        return nn.init.normal_(weights, 0.0, math.sqrt(2 / (n_in * kernel**2)))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        stride, padding = self.options
        h = self.seen(ops.convolve(x, self.first, stride, padding)).tanh()
        h = self.after(ops.convolve(h, self.second, 1, padding, self.groups)).relu()
        return self.last(h.flatten(1))


@pytest.mark.parametrize(
    "options", [{}, {"padding": 0}, {"stride": 2, "groups": 4}, {"kernel": 1, "padding": 0}]
)
def test_convolutions(options: dict[str, int]) -> None:
    assert agree(Convolutions(**options), (3, 6, 6))


def test_images_are_followed_position_by_position() -> None:
    images = np.random.default_rng(1).standard_normal((5, 3, 6, 6)) * np.linspace(0.2, 2, 6)
    assert agree(Convolutions(), images)


def test_padding_costs_the_border_its_share() -> None:
    """121/144 for a 3 x 3 kernel on 8 x 8 positions (conv-padding)."""

    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.Parameter(np.zeros((4, 2, 3, 3), np.float32))
            nn.init.normal_(self.weights, 0.0, math.sqrt(1 / 18))
            self.out = nn.Identity()

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return self.out(ops.convolve(x, self.weights, 1, 1))

    row = analysis.analyze(Padded(), (2, 8, 8)).layers[0]
    assert row.forward.second == pytest.approx((11 / 12) ** 2, rel=1e-9)
