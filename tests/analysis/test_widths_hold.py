"""Derivations about finite width, activations and laws of weights against the engine."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from analysis.symbolic.powersums import set_partitions
from tests.analysis.holding import examples, expect, median_of_means_fits, seeds, uniform
from tests.analysis.tails import bernstein_fits, bounded_mean_fits, mean_square_fits
from tests.analysis.topics.steps import number, result, stated
from tinygrad_edu import nn

# ------------------------------------------------------------------------------ finite width


def moments_of_kept_squares(count: int) -> list[float]:
    """E[relu(g)^(2 k)], k = 0, 1, ...: half of 1, 1, 3, 15, ..."""
    return [1.0] + [math.prod(range(1, 2 * k, 2)) / 2 for k in range(1, count + 1)]


def moment_of_mean_square(power: int, n: int) -> float:
    """E[(2 S)^power] for the mean S of n squares relu(g)^2, by the partitions of its indices."""
    kept = moments_of_kept_squares(power)
    total = sum(
        math.perm(n, len(blocks)) * math.prod(kept[len(block)] for block in blocks)
        for blocks in set_partitions(range(power))
    )
    return (2 / n) ** power * total


@examples
@given(seeds)
def test_finite_width(seed: int) -> None:
    """The mean square behind a He layer and relu, over draws of normal weights."""
    tg.manual_seed(seed)
    n, n_in, networks = 6, 3, 200_000
    layer = nn.Linear(n_in, n * networks, bias=False).double()
    nn.init.kaiming_normal_(layer.weight)
    y = tg.randn(1, n_in, dtype="float64")
    ratio = (layer(y).relu() ** 2).reshape(networks, n).mean(1) / (y**2).mean()
    squares = (ratio.detach().numpy()) ** 2
    right = number(result("finite-width"), n=n, **{"E[M**2]": 1})
    assert right == pytest.approx(moment_of_mean_square(2, n))
    variance = moment_of_mean_square(4, n) - right**2
    linear = 1 + 2 / n  # planted: what it would be without relu
    expect(lambda e: median_of_means_fits(squares, variance, e), right, linear, 1.0)


@examples
@given(seeds)
def test_the_log_scale(seed: int) -> None:
    tg.manual_seed(seed)
    n, networks = 12, 100_000
    squares = (tg.randn(networks, n, dtype="float64").relu() ** 2).mean(1).numpy()
    alive = np.log(2 * squares[squares > 0])
    right = number(result("log-norm"), n=n)
    variance = number(stated("log-norm", "in all"), n=n, c=right)
    expect(lambda e: median_of_means_fits(alive, variance, e), right, 0.0, math.log(1 - 1 / n))


@examples
@given(seeds)
def test_weight_kurtosis(seed: int) -> None:
    """Weights of two values, kurtosis 1, on two inputs: M'^2 is at most 16 M^2 or so."""
    tg.manual_seed(seed)
    n, networks = 2, 20_000
    y = np.array([1.0, 0.5])
    signs = np.sign(uniform(networks, n, 2) - 0.5)
    z = tg.tensor(signs) @ tg.tensor(y)  # He: sqrt(2/2) = 1
    squares = ((z.relu() ** 2).mean(1) ** 2).numpy()
    moments = {"n": n, "n_in": 2, "E[M**2]": np.mean(y**2) ** 2, "E[Q]": np.mean(y**4)}
    right, normal = (number(result("weight-kurtosis"), kappa=k, **moments) for k in (1, 3))
    bound = float(np.sum(y) ** 4)
    expect(lambda e: bernstein_fits(squares, bound, bound * right, e), right, normal)


@settings(max_examples=2)  # one matrix after the other takes its time
@given(seeds)
def test_orthogonal_weights(seed: int) -> None:
    tg.manual_seed(seed)
    n, networks = 4, 1000
    y = tg.randn(n, 1, dtype="float64")
    drawn = []
    for _ in range(networks):
        w = nn.init.orthogonal_(nn.Parameter(np.zeros((n, n))), gain=math.sqrt(2))
        drawn.append(float(((w.detach() @ y).relu() ** 2).mean() / (y**2).mean()))
    squares = np.square(drawn)
    right = number(result("orthogonal"), n=n, **{"E[M**2]": 1})
    normal = number(result("finite-width"), n=n, **{"E[M**2]": 1})
    expect(lambda e: bernstein_fits(squares, 4, 4 * right, e), right, normal)


@examples
@given(seeds, st.sampled_from([2, 3]))
def test_dead_units(seed: int, n: int) -> None:
    tg.manual_seed(seed)
    networks = 50_000
    layer = nn.Linear(5, n * networks, bias=False)
    nn.init.kaiming_uniform_(layer.weight)
    out = layer(tg.randn(1, 5)).relu().reshape(networks, n).detach()
    dead = (out.numpy() == 0).all(1).astype(float)
    right = number(result("dead-units"), n=n)
    expect(lambda e: bounded_mean_fits(dead, 1.0, e), right, right / 2, n * right)


# ------------------------------------------------------------------------------ activations, laws


@pytest.mark.parametrize(
    ("name", "words", "phi"),
    [
        ("tanh-loss", "by the law", lambda z: z.tanh() ** 2),
        ("sigmoid", "second moment, of which", lambda z: z.sigmoid() ** 2),
        ("sigmoid", "the lemma", lambda z: z.sigmoid()),
    ],
)
def test_bounded_activations(name: str, words: str, phi: Callable[[tg.Tensor], tg.Tensor]) -> None:
    tg.manual_seed(7)
    values = phi(tg.randn(300_000, dtype="float64")).numpy()
    right = number(stated(name, words))
    expect(lambda e: bounded_mean_fits(values, 1.0, e), right, right * 1.05, right / 1.05)


def test_selu() -> None:
    """Mean 0 and second moment 1; the fourth moment is 2.5031, so the square varies by 1.5031."""
    tg.manual_seed(8)
    values = nn.functional.selu(tg.randn(1_000_000, dtype="float64")).numpy()
    alpha, scale = number(stated("selu", "so it is 0 for")), number(result("selu"))
    expect(lambda e: median_of_means_fits(values, 1.0, e), 0.0, 0.05, -0.05)
    expect(lambda e: median_of_means_fits(values**2, 1.504, e), 1.0, scale**2, 1 / scale**2)
    assert float(values.min()) > -scale * alpha


@examples
@given(seeds)
def test_torch_default(seed: int) -> None:
    """The second moment behind relu and a layer as nn.Linear draws it, bias and all."""
    tg.manual_seed(seed)
    n = 5
    y = tg.rand(1, n, dtype="float64")
    kept = nn.Linear(n, 100_000).double()(y).relu().detach().numpy() ** 2
    second, rest = float((y**2).mean()), number(result("torch-default"), n_in=n)
    right = rest + (second - rest) * number(stated("torch-default", "what exceeds"))
    bound = (float(y.sum()) + 1) ** 2 / n
    without_bias = second / 6
    expect(lambda e: bernstein_fits(kept, bound, bound * right, e), right, without_bias, second)


@examples
@given(seeds)
def test_truncated_normal(seed: int) -> None:
    tg.manual_seed(seed)
    z = tg.randn(200_000, dtype="float64").numpy()
    cut = z[np.abs(z) < 2]
    right = number(stated("truncated-normal", "the variance for"))
    expect(lambda e: mean_square_fits(cut, e), right, 1.0, right * 1.05, right / 1.05)


@examples
@given(seeds, st.sampled_from([0.3, 2.0]))
def test_edge_of_chaos(seed: int, q: float) -> None:
    """E[erf'^2] is 1 / sigma_w^2 on the edge; the slope is at most 2/sqrt(pi)."""
    tg.manual_seed(seed)
    z = math.sqrt(q) * tg.randn(200_000, dtype="float64")
    z.requires_grad_()
    (slope,) = tg.autograd.grad(z.erf().sum(), z)
    right = 1 / number(result("edge-of-chaos"), q=q)
    squares = slope.numpy() ** 2
    expect(lambda e: bounded_mean_fits(squares, 4 / math.pi, e), right, right * 1.05, 4 / math.pi)


@examples
@given(seeds, st.sampled_from([-0.5, 0.3, 0.8]))
def test_kernels(seed: int, rho: float) -> None:
    """The products of relu outputs vary by E[relu^4] = 3/2 at most."""
    tg.manual_seed(seed)
    u, other = (tg.randn(600_000, dtype="float64") for _ in range(2))
    v = rho * u + math.sqrt(1 - rho**2) * other
    both = (u.relu() * v.relu()).numpy()
    right = number(result("arccosine-kernel"), rho=rho)
    independent = number(result("arccosine-kernel"), rho=0)
    expect(lambda e: median_of_means_fits(both, 1.5, e), right, independent)
    both = (u.erf() * v.erf()).numpy()
    right = number(result("arcsine-kernel"), rho=rho, q=1)
    expect(lambda e: bounded_mean_fits(both, 2.0, e), right, rho, 0.0)
