"""The noise of batch statistics, against all batches there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.analysis.topics.steps import number, result, stated

POPULATION = np.array([0.0, 1.0, 1.0, 4.0, -2.0, 7.0])


@pytest.mark.parametrize("m", [1, 2, 4, 6])
def test_the_mean_of_every_batch_of_a_population(m: int) -> None:
    means = [np.mean(batch) for batch in itertools.combinations(POPULATION, m)]
    moments = {"m": m, "N": len(POPULATION), "Var(y)": POPULATION.var()}
    assert number(result("batch-mean"), **moments) == pytest.approx(np.var(means), abs=1e-14)


def test_with_replacement() -> None:
    means = [np.mean(batch) for batch in itertools.product(POPULATION, repeat=3)]
    moments = {"m": 3, "Var(y)": POPULATION.var()}
    assert number(stated("batch-mean", "with replacement"), **moments) == pytest.approx(
        np.var(means)
    )


@pytest.mark.parametrize("m", [2, 3, 4])
def test_the_variance_of_every_batch(m: int) -> None:
    """Independent draws from the population, whose kurtosis is not 3."""
    centred = POPULATION - POPULATION.mean()
    kappa = np.mean(centred**4) / np.mean(centred**2) ** 2
    moments = {"m": m, "kappa": kappa, "Var(y)": POPULATION.var()}
    batches = np.array(list(itertools.product(POPULATION, repeat=m)))
    assert number(result("batch-variance"), **moments) == pytest.approx(batches.var(1).var())
    assert number(stated("batch-variance", "too small"), **moments) == pytest.approx(
        batches.var(1).mean()
    )
    assert number(stated("batch-variance", "unbiased"), **moments) == pytest.approx(
        batches.var(1, ddof=1).var()
    )


def test_normal_values() -> None:
    """The textbook's 2 sigma^4 / (m - 1), from the chi-square law."""
    assert number(stated("batch-variance", "normal"), m=11, **{"Var(y)": 3}) == 2 * 9 / 10


def test_the_moving_average_of_torch() -> None:
    """Momentum 0.1: V = 0.1/1.9, and the recursion V <- 0.81 V + 0.01 comes to it."""
    rest = number(result("moving-average"), alpha=0.1, **{"Var(b)": 1})
    assert rest == pytest.approx(0.1 / 1.9)
    v = 5.0
    for _ in range(200):
        v = 0.9**2 * v + 0.1**2
    assert v == pytest.approx(rest)
