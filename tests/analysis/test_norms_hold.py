"""Derivations about batch statistics and normalisation against the engine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import tinygrad_edu as tg
from tests.analysis.holding import UNIFORM, examples, expect, median_of_means_fits, seeds, uniform
from tests.analysis.tails import bernstein_fits, bounded_mean_fits
from tests.analysis.topics.steps import number, result, stated

# ------------------------------------------------------------------------------ batch statistics


@examples
@given(seeds)
def test_batch_mean(seed: int) -> None:
    """Batches of 6 out of 12 numbers, by sorting uniform draws."""
    tg.manual_seed(seed)
    size, m, batches = 12, 6, 40_000
    population = tg.rand(size, dtype="float64")
    chosen = tg.rand(batches, size).argsort(1)[:, :m]
    means = population[chosen].mean(1)
    squares = ((means - population.mean()) ** 2).numpy()
    values = {"m": m, "N": size, "Var(y)": float(population.numpy().var())}
    right = number(result("batch-mean"), **values)
    bound = 1 / 4  # half of the numbers, against all of them
    with_replacement = number(stated("batch-mean", "with replacement"), **values)
    expect(lambda e: bernstein_fits(squares, bound, bound * right, e), right, with_replacement)


@examples
@given(seeds)
def test_batch_variance(seed: int) -> None:
    tg.manual_seed(seed)
    m, batches = 8, 200_000
    y = tg.rand(batches, m, dtype="float64")
    v = y.var(1, correction=0).numpy()
    mean = number(stated("batch-variance", "too small"), m=m, **UNIFORM)
    expect(lambda e: bounded_mean_fits(v, 1 / 4, e), mean, 1 / 12)  # planted: unbiased
    squares, bound = (v - mean) ** 2, (1 / 4) ** 2
    right, normal = (
        number(result("batch-variance"), m=m, **{**UNIFORM, "kappa": kappa}) for kappa in (1.8, 3)
    )
    expect(lambda e: bernstein_fits(squares, bound, bound * right, e), right, normal)


@examples
@given(seeds)
def test_moving_average(seed: int) -> None:
    tg.manual_seed(seed)
    alpha, chains = 0.4, 50_000
    average = tg.rand(chains, dtype="float64")
    for _ in range(40):
        average = (1 - alpha) * average + alpha * tg.rand(chains, dtype="float64")
    squares = ((average - 0.5) ** 2).numpy()
    right = number(result("moving-average"), alpha=alpha, **UNIFORM)
    one_batch = alpha**2 / 12  # planted: what came before forgotten
    expect(lambda e: bernstein_fits(squares, 1 / 4, right / 4, e), right, one_batch, 1 / 12)


# ------------------------------------------------------------------------------ normalisation


EPS = 1.0


def standardise(y: tg.Tensor) -> tg.Tensor:
    return (y - y.mean(1, keepdim=True)) / (y.var(1, correction=0, keepdim=True) + EPS).sqrt()


def divide_by_root_mean_square(y: tg.Tensor) -> tg.Tensor:
    return y / ((y**2).mean(1, keepdim=True) + EPS).sqrt()


@examples
@given(seeds)
@pytest.mark.parametrize("name", ["batchnorm", "layernorm", "rmsnorm"])
def test_the_gradient_behind_a_norm(name: str, seed: int) -> None:
    """Behind one input, for many draws of the gradient by the output: random signs. A norm's
    Jacobian shrinks every direction by 1/sqrt(v + eps) at least."""
    tg.manual_seed(seed)
    draws, m = 60_000, 6
    y = uniform(m)
    values = tg.tensor(np.tile(y, (draws, 1)), requires_grad=True)
    norm = divide_by_root_mean_square if name == "rmsnorm" else standardise
    upstream = tg.tensor(np.sign(uniform(draws, m) - 0.5))
    (gradient,) = tg.autograd.grad((norm(values) * upstream).sum(), values)
    squares = (gradient.numpy() ** 2).mean(1)
    spread = float(np.mean(y**2) if name == "rmsnorm" else y.var())
    at = {"m": m, "n": m, "v": spread, "q": spread, "eps": EPS, "gamma": 1, "E[u**2]": 1}
    right, with_r_1 = (number(result(name), r=r, **at) for r in (spread / (spread + EPS), 1.0))
    bound = 1 / (spread + EPS)  # also what is left if no direction is lost
    expect(lambda e: bernstein_fits(squares, bound, bound * right, e), right, with_r_1, bound)


@examples
@given(seeds)
def test_the_inverse_square_length_behind_batch_norm(seed: int) -> None:
    """E[1/|g|^2] = 1/(d - 2), from which (m - 2)/(m - 3) follows; its variance is
    2 / ((d - 2)^2 (d - 4))."""
    tg.manual_seed(seed)
    d = 9
    inverse = (1 / (tg.randn(200_000, d, dtype="float64") ** 2).sum(1)).numpy()
    right = number(stated("batchnorm-finite-batch", "so on average"), d=d)
    variance = 2 / ((d - 2) ** 2 * (d - 4))
    expect(lambda e: median_of_means_fits(inverse, variance, e), right, 1 / d, 1 / (d - 1))


def gradient_of_unit(w: np.ndarray, eps: float, seed: int) -> np.ndarray:
    """The gradient by the weights of a unit in front of batch norm, for some data and loss."""
    tg.manual_seed(seed)
    x, upstream = tg.randn(16, len(w), dtype="float64"), tg.randn(16, dtype="float64")
    weights = tg.tensor(w, requires_grad=True)
    y = x @ weights
    yhat = (y - y.mean()) / (y.var(correction=0) + eps).sqrt()
    (gradient,) = tg.autograd.grad((upstream * yhat + yhat**4 / 10).sum(), weights)
    drawn: np.ndarray = gradient.numpy()
    return drawn


@examples
@given(seeds)
def test_weight_decay_under_batch_norm(seed: int) -> None:
    """The gradient is orthogonal to the weights for eps = 0 only; and a step from the derived norm
    ends there again."""
    eta, decay, length = 0.1, 0.02, np.linalg.norm
    w = uniform(5) - 0.5
    for eps in (0.0, 0.5):
        gradient = gradient_of_unit(w, eps, seed)
        cosine = w @ gradient / (length(w) * length(gradient))
        assert (abs(cosine) < 1e-12) == (eps == 0), cosine
    g = float(length(w) * length(gradient_of_unit(w, 0.0, seed)))
    right = number(result("weight-decay-under-batchnorm"), eta=eta, g=g, **{"lambda": decay})

    def stays(fourth_power: float) -> bool:
        at_rest = w * fourth_power**0.25 / length(w)
        after = at_rest - eta * (gradient_of_unit(at_rest, 0.0, seed) + decay * at_rest)
        return bool(abs(length(after) / length(at_rest) - 1) < 1e-12)

    expect(stays, right, eta * g**2 / (2 * decay), 2 * right)
