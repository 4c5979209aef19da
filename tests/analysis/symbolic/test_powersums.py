"""Moments of sums of n copies, against writing the sums out."""

from __future__ import annotations

import pytest
import sympy as sp

from analysis.symbolic.expectation import (
    E,
    Named,
    RandomVariable,
    SumOfCopies,
    Var,
    identical_copies,
    independence,
    linearity,
)
from analysis.symbolic.laws import compare
from analysis.symbolic.powersums import (
    degree_bounds,
    equality_patterns,
    falling_factorial,
    instantiate,
    random_sum,
    set_partitions,
    symbolic_sizes,
)

X = RandomVariable("X")
n = sp.Symbol("n", integer=True, positive=True)
i = sp.Symbol("i", integer=True)


def total(power: int) -> SumOfCopies:
    return SumOfCopies(X**power, i, n)


def test_set_partitions_are_counted_by_the_bell_numbers() -> None:
    assert [len(list(set_partitions(range(k)))) for k in range(7)] == [1, 1, 2, 5, 15, 52, 203]


def test_falling_factorial_counts_injections() -> None:
    assert [falling_factorial(sp.Integer(4), k) for k in range(6)] == [1, 4, 12, 24, 24, 0]


@pytest.mark.parametrize(
    "powers", [(1,), (1, 1), (2, 1), (2, 2), (1, 1, 1), (2, 1, 1), (1, 1, 1, 1)]
)
def test_equality_patterns_against_written_out_sums(powers: tuple[int, ...]) -> None:
    product = E(sp.Mul(*map(total, powers)))
    resolved = identical_copies(independence(equality_patterns(product)))
    assert not symbolic_sizes(resolved)
    for size in range(len(powers) + 1):
        written_out = identical_copies(independence(linearity(instantiate(product, {n: size}))))
        assert sp.expand(written_out - resolved.subs(n, size)) == 0


def test_dependent_copies_keep_their_joint_moments() -> None:
    Y = RandomVariable("Y", exchangeable=True)
    resolved = equality_patterns(E(SumOfCopies(Y, i, n) ** 2))
    assert sp.expand(resolved - n * E(Y**2) - n * (n - 1) * E(Y * Y.copy(1))) == 0


def test_variance_of_the_sample_variance() -> None:
    """Var(s^2) = sigma^4 (2/(n-1) + (kappa - 3)/n), for centred variables of any law."""
    centred = RandomVariable("X", zero_mean=True)
    s1, s2 = (SumOfCopies(centred**k, i, n) for k in (1, 2))
    square = (s2 - s1**2 / n) ** 2 / (n - 1) ** 2
    resolved = identical_copies(independence(equality_patterns(linearity(E(square)))))
    second, fourth = sp.symbols("m2 m4")
    moments = {E(centred**2): second, E(centred**4): fourth, E(centred): 0, E(centred**3): 0}
    claimed = second**2 * (2 / (n - 1) + (fourth / second**2 - 3) / n)
    assert sp.simplify(resolved.xreplace(moments) - second**2 - claimed) == 0


def test_degree_bounds_enclose_the_true_degree() -> None:
    assert degree_bounds(Var(total(1)), n) == (1, 2)
    assert degree_bounds(E(total(1) ** 2) / n + n, n) == (0, 1)
    assert degree_bounds(E(X), n) == (0, 0)
    with pytest.raises(ValueError, match="polynomial"):
        degree_bounds(1 / (n + 1), n)


def test_a_moment_of_sums_is_divisible_by_their_number() -> None:
    """Unless single copies, or constants, stand beside the sums."""
    assert degree_bounds(E(total(1) ** 4) / n**4, n) == (-3, 0)
    assert degree_bounds(E(total(1)) ** 2, n) == (2, 2)
    assert degree_bounds(E(total(1) * E(total(1))), n) == (2, 2)
    assert degree_bounds(E((1 + total(1)) ** 2), n) == (0, 2)
    assert degree_bounds(E(Named("z", 1 + total(1)) ** 2), n) == (0, 2)
    assert degree_bounds(E(X * total(1)), n) == (0, 1)
    assert degree_bounds(E(RandomVariable("Y") * total(1)), n) == (1, 1)


def test_copies_that_may_or_may_not_be_summed_are_refused() -> None:
    """E[X'' (X + X' + ...)] is n E[X]^2 up to n = 2, and not from 3 on."""
    with pytest.raises(ValueError, match="large n"):
        degree_bounds(E(X.copy(2) * total(1)), n)
    with pytest.raises(ValueError, match="large n"):
        degree_bounds(E(total(1) * SumOfCopies(X, i, n + 1)), n)


def test_instantiate_writes_out_only_sums_of_known_size() -> None:
    assert instantiate(total(1), {n: 2}) == X + X.copy(1)
    assert instantiate(n * E(X), {n: 3}) == 3 * E(X)
    assert instantiate(total(1), {}) == total(1)


def test_random_sum_reads_indexed_quantities_as_variables() -> None:
    w, x = sp.IndexedBase("w"), sp.IndexedBase("x")
    k = sp.Symbol("k", integer=True)
    W = RandomVariable("W")
    read = random_sum(sp.Sum(w[i, k] * x[i], (i, 1, n)), {w: W, x: X})
    assert read == SumOfCopies(W * X, i, n)
    compare(instantiate(Var(read), {n: 2}), 2 * Var(W * X))
