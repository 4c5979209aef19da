"""Sums of products, functions shifted by constants, concatenated and added maps: what users write
in `forward`, predicted and measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import analysis
import tinygrad_edu as tg
from tests.analysis.network.nets import Net, linear
from tinygrad_edu import nn

Run = Callable[[Any, tg.Tensor], tg.Tensor]


def dense(run: Run, n: int = 40, **modules: nn.Module) -> nn.Module:
    """Two layers beside each other, what `run` makes of the input with them, a dense layer."""
    hidden = Net(run, **{"a": linear(16, n, 1.2), "b": linear(16, n, 1.2), **modules})
    return nn.Sequential(hidden, linear(n, 6))


def through(phi: Callable[[tg.Tensor], tg.Tensor]) -> nn.Module:
    """Three layers with a function of the user's."""
    layers = [Net(lambda s, x: phi(s.a(x)), a=linear(n, 32, 1.2, bias_std=0.2)) for n in (16, 32)]
    return nn.Sequential(*layers, linear(32, 6))


def highway() -> nn.Module:
    """t h + (1 - t) x, three times."""

    def run(s: Any, x: tg.Tensor) -> tg.Tensor:
        t = s.t(x).sigmoid()
        return t * s.h(x).relu() + (1 - t) * x

    return nn.Sequential(*[Net(run, t=linear(32, 32), h=linear(32, 32)) for _ in range(3)])


def mixture(s: Any, x: tg.Tensor) -> tg.Tensor:
    g = s.g(x).sigmoid()
    return g * s.a(x).relu() + (1 - g) * s.b(x).relu()


def modulated(s: Any, x: tg.Tensor) -> tg.Tensor:
    u, v = s.a(x).relu(), s.b(x).tanh()
    return u * v - v


def temperature(s: Any, x: tg.Tensor) -> tg.Tensor:
    return (s.a(x) / s.scale).tanh()


def growing(width: int = 24) -> nn.Module:
    """Branches with means: what lies along the signal grows from block to block."""
    blocks = [Net(lambda s, x: x + s.a(x).relu(), a=linear(width, width)) for _ in range(6)]
    return nn.Sequential(*blocks, linear(width, 4))


def maps(run: Run, features: int, **modules: nn.Module) -> nn.Module:
    """Convolutions of 3 x 6 x 6 inputs, a dense layer."""
    given = {"a": nn.Conv2d(3, 16, 3, padding=1), "b": nn.Conv2d(3, 16, 1), **modules}
    return nn.Sequential(Net(run, **given), nn.Flatten(), linear(features, 6))


def dense_maps(s: Any, x: tg.Tensor) -> tg.Tensor:
    h = tg.cat([x, s.a(x).relu()], 1)
    return s.c(tg.cat([h, s.d(h).relu()], 1)).relu()


def sum_then_pool(s: Any, x: tg.Tensor) -> tg.Tensor:
    return nn.functional.avg_pool2d((s.a(x) + s.b(x)).relu(), 2)


def pooled_with_a_bias(s: Any, x: tg.Tensor) -> tg.Tensor:
    return nn.functional.avg_pool2d(s.b(x).relu(), 2)


def scaled_sum_then_pool(s: Any, x: tg.Tensor) -> tg.Tensor:
    h = (s.a(x).relu() + s.b(x).relu()) * 0.5 + 0.3
    return nn.functional.avg_pool2d(h * s.scale - 0.1, 2)


def with_mean_and_scale(gain: float) -> nn.Parameter:
    return nn.Parameter(tg.full((1,), gain))


def norm_of_a_flat_map() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ELU(), nn.Flatten(), nn.LayerNorm(256), linear(256, 6)
    )


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "sqrt(x^2 + 1) - 1": (lambda: through(lambda x: (x * x + 1).sqrt() - 1), (16,)),
    "sigmoid(x) - 1/2": (lambda: through(lambda x: x.sigmoid() - 0.5), (16,)),
    "1 / (1 + x^2)": (lambda: through(lambda x: 1 / (1 + x * x)), (16,)),
    "2 relu(x) - 1/2": (lambda: through(lambda x: (2.0 * x.clamp(min=-1) - 0.5) / 1.5), (16,)),
    "tanh(2 relu(x))": (lambda: through(lambda x: (2 * x.relu()).tanh()), (16,)),
    "x + sin(x)^2": (lambda: through(lambda x: x + x.sin() ** 2), (16,)),
    "highway": (highway, (32,)),
    "mixture": (lambda: dense(mixture, g=linear(16, 40)), (16,)),
    "modulated": (lambda: dense(modulated), (16,)),
    "temperature": (
        lambda: dense(temperature, scale=with_mean_and_scale(0.5)),  # type: ignore[arg-type]
        (16,),
    ),
    "growing": (growing, (24,)),
    "dense maps": (
        lambda: maps(
            dense_maps,
            16 * 36,
            d=nn.Conv2d(19, 16, 3, padding=1),
            c=nn.Conv2d(35, 16, 1),
        ),
        (3, 6, 6),
    ),
    "positions that share a bias, pooled": (lambda: maps(pooled_with_a_bias, 16 * 9), (3, 6, 6)),
    "sum of maps, pooled": (lambda: maps(sum_then_pool, 16 * 9), (3, 6, 6)),
    "scaled sum of maps, pooled": (
        lambda: maps(
            scaled_sum_then_pool,
            16 * 9,
            scale=nn.Parameter(tg.full((16, 1, 1), 0.5)),  # type: ignore[arg-type]
        ),
        (3, 6, 6),
    ),
    "input added to a map": (
        lambda: nn.Sequential(
            nn.Residual(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())),
            nn.Flatten(),
            linear(108, 6),
        ),
        (3, 6, 6),
    ),
    "norm of a flat map": (norm_of_a_flat_map, (3, 6, 6)),
}


@pytest.mark.parametrize("name", CASES)
def test_predictions_hold(name: str) -> None:
    build, shape = CASES[name]
    tg.manual_seed(3)
    model = build()
    report = analysis.analyze(model, shape, batch=8)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    measurement = analysis.measure(model, 1500, batch=8, input=shape, seed=5, progress=False)
    verdicts = analysis.verify(report, measurement)
    assert [(v.layer, v.direction, v.z) for v in verdicts if not v.agrees] == []


def test_a_constant_beside_a_function_moves_its_corrections() -> None:
    """E[(f - 1)^2] scatters with E[f] as well as with E[f^2]: sqrt(q + 1) is linear in q alone."""
    shifts = []
    for phi in (lambda x: (x * x + 1).sqrt(), lambda x: (x * x + 1).sqrt() - 1):
        forward = analysis.analyze(through(phi), (16,)).layers[1].forward
        assert forward is not None
        shifts.append(forward.prediction.shift)
    assert abs(shifts[0]) < 1e-12
    assert shifts[1] > 1e-3


def test_products_that_share_both_factors_are_unknown() -> None:
    """Their gradients would not be independent either."""

    def run(s: Any, x: tg.Tensor) -> tg.Tensor:
        u, v = s.a(x), s.b(x)
        return u.tanh() * v.sigmoid() - v.tanh() * u.sigmoid()

    report = analysis.analyze(dense(run), (16,))
    assert report.layers[-1].forward is None
    assert any("covariance is not known" in f.message for f in report.findings)


def test_a_random_divisor_is_unknown() -> None:
    scale = with_mean_and_scale(1.0)
    nn.init.normal_(scale, 1.0, 0.1)
    report = analysis.analyze(dense(temperature, scale=scale), (16,))  # type: ignore[arg-type]
    assert any("a division by" in f.message for f in report.findings)


def test_a_model_that_divides_by_0_is_named() -> None:
    scale = with_mean_and_scale(0.0)
    report = analysis.analyze(dense(temperature, scale=scale), (16,))  # type: ignore[arg-type]
    assert any("which has a 0 in it" in f.message for f in report.findings)
