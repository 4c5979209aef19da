"""The derived formulas against statistics measured on the engine.

Every check takes the formula's value from the checked derivation, with numbers put in for its
symbols, and is run twice: with the right numbers it must pass, with a planted error it must fail.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis
import tinygrad_edu as tg
from analysis.symbolic.expectation import E, Var
from tests.analysis.tails import bernstein_fits, bounded_mean_fits, mean_square_fits, needed
from tinygrad_edu import nn

examples = settings(max_examples=20)
seeds = st.integers(0, 2**32 - 1)
families = st.sampled_from(["normal", "uniform", "truncated_normal"])
means = st.sampled_from([0.0, 0.5, -1.5])
fans = st.integers(3, 40)
unequal_fans = st.tuples(fans, fans).filter(lambda f: max(f) >= 1.4 * min(f))
wide = st.integers(180, 700)
matrix_shapes = st.tuples(wide, wide).filter(lambda f: max(f) >= 1.4 * min(f))

GAIN_ERROR = 1.05**2
"""A gain that is 5 % too large makes the second moment 10.25 % too large."""
VALUES = needed(GAIN_ERROR - 1)
"""Independent values that expose it: about 65 000."""
STD = 0.7


def formula(name: str) -> sp.Expr:
    """What a derivation results in; of an equation, the right side."""
    result = analysis.derive(name).result
    return result.rhs if isinstance(result, sp.Equality) else result


def number(expression: sp.Expr, **values: float) -> float:
    """The formula with numbers for its symbols, moments and variances, found by their names."""
    terms = expression.atoms(E, Var) | expression.free_symbols
    put = {term: sp.Float(values[str(term)]) for term in terms if str(term) in values}
    result = expression.xreplace(put)
    assert result.is_number, f"{result} still needs {result.free_symbols}"
    return float(result)


def drawn(family: str, n_out: int, n_in: int, seed: int) -> nn.Linear:
    """A float64 linear layer without bias whose weights have standard deviation STD, drawn by the
    engine; the law it recorded must say what was asked for."""
    tg.manual_seed(seed)
    layer = nn.Linear(n_in, n_out, bias=False).double()
    if family == "normal":
        nn.init.normal_(layer.weight, 0.0, STD)
    elif family == "uniform":
        nn.init.uniform_(layer.weight, -math.sqrt(3) * STD, math.sqrt(3) * STD)
    else:
        nn.init.trunc_normal_(layer.weight, 0.0, STD, -2 * STD, 2 * STD)
    assert layer.weight.law.variance == pytest.approx(STD**2, rel=1e-9)
    return layer


# ------------------------------------------------------------------------------ product-variance


@examples
@given(seeds, means, means)
def test_product_variance(seed: int, mean_w: float, mean_y: float) -> None:
    """Var(YW) of independent uniform laws with any means. The squared deviation is bounded, and its
    variance is at most its bound times its mean."""
    tg.manual_seed(seed)
    w = mean_w + 2 * tg.rand(4 * VALUES, dtype="float64") - 1
    y = mean_y + 2 * tg.rand(4 * VALUES, dtype="float64") - 1
    deviations = ((w * y - mean_w * mean_y) ** 2).numpy()
    bound = (abs(mean_w) + abs(mean_y) + 1) ** 2
    moments = {"Var(W)": 1 / 3, "Var(Y)": 1 / 3, "E[W]": mean_w, "E[Y]": mean_y}
    predicted = number(formula("product-variance"), **moments)

    def fits(variance: float) -> bool:
        return bernstein_fits(deviations, bound, bound * predicted, variance)

    assert fits(predicted)
    if mean_w or mean_y:  # planted: the means dropped
        assert not fits(number(formula("product-variance"), **{**moments, "E[W]": 0, "E[Y]": 0}))


# ------------------------------------------------------------------------------ dense layers


@examples
@given(seeds, unequal_fans, families, means)
def test_dense_forward(seed: int, both_fans: tuple[int, int], family: str, mean_y: float) -> None:
    """n Var(W) E[Y^2], given the input: each unit is an independent observation."""
    n_in, other = both_fans
    layer = drawn(family, VALUES, n_in, seed)
    y = mean_y + np.random.default_rng(seed).standard_normal(n_in)
    z = layer(tg.tensor(y[None])).detach().numpy()

    def predicted(n: int, second: float) -> float:
        moments = {"n_in": n, "Var(W)": STD**2, "E[Y**2]": second}
        return number(formula("dense-forward"), **moments)

    right = predicted(n_in, float(np.mean(y**2)))
    assert mean_square_fits(z, right)
    assert not mean_square_fits(z, right * GAIN_ERROR)
    assert not mean_square_fits(z, right / GAIN_ERROR)
    assert not mean_square_fits(z, predicted(other, float(np.mean(y**2))))  # another fan
    if np.mean(y) ** 2 > 0.1 * np.mean(y**2):  # planted: E[Y]^2 dropped
        assert not mean_square_fits(z, predicted(n_in, float(np.var(y))))


@examples
@given(seeds, unequal_fans, families)
def test_dense_backward_through_the_weights(
    seed: int, both_fans: tuple[int, int], family: str
) -> None:
    """n_out Var(W) E[delta^2], given delta: each input is an independent observation."""
    n_out, other = both_fans
    layer = drawn(family, n_out, VALUES, seed)
    delta = np.random.default_rng(seed).standard_normal((1, n_out))
    x = tg.zeros(1, VALUES, dtype="float64", requires_grad=True)
    (gradient,) = tg.autograd.grad((layer(x) * tg.tensor(delta)).sum(), x)

    def predicted(n: int) -> float:
        moments = {"n_out": n, "Var(W)": STD**2, "E[delta**2]": float(np.mean(delta**2))}
        return number(formula("dense-backward"), **moments, **{"E[phi'(X)**2]": 1})

    assert mean_square_fits(gradient.numpy(), predicted(n_out))
    assert not mean_square_fits(gradient.numpy(), predicted(n_out) * GAIN_ERROR)
    assert not mean_square_fits(gradient.numpy(), predicted(n_out) / GAIN_ERROR)
    assert not mean_square_fits(gradient.numpy(), predicted(other))


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "leaky_relu", "hardtanh"])
@pytest.mark.parametrize("variance", [0.3, 2.0])
def test_dense_backward_through_the_activation(name: str, variance: float) -> None:
    """E[phi'^2], with slopes between 0 and 1: Hoeffding."""
    tg.manual_seed(5)
    z = math.sqrt(variance) * tg.randn(4 * VALUES, dtype="float64")
    z.requires_grad_()
    (slope,) = tg.autograd.grad(getattr(nn.functional, name)(z).sum(), z)
    predicted = float(analysis.moments(name, variance=variance).derivative_second)
    squares = slope.numpy() ** 2
    assert squares.max() <= 1
    width = 1 / 16 if name == "sigmoid" else 1.0
    assert bounded_mean_fits(squares, width, predicted)
    assert not bounded_mean_fits(squares, width, predicted * GAIN_ERROR)
    assert not bounded_mean_fits(squares, width, predicted / GAIN_ERROR)


# ------------------------------------------------------------------------------ initialisers


@examples
@given(seeds, matrix_shapes)
def test_lecun(seed: int, shape: tuple[int, int]) -> None:
    n_out, n_in = shape
    tg.manual_seed(seed)
    w = nn.init.lecun_normal_(nn.Parameter(np.zeros(shape))).detach().numpy()
    predicted = number(formula("lecun"), n_in=n_in)
    assert mean_square_fits(w, predicted)
    assert not mean_square_fits(w, predicted * GAIN_ERROR) or w.size < VALUES
    assert not mean_square_fits(w, number(formula("lecun"), n_in=n_out))  # swapped fans


@examples
@given(seeds, matrix_shapes, st.sampled_from(["normal", "uniform"]))
def test_glorot(seed: int, shape: tuple[int, int], family: str) -> None:
    n_out, n_in = shape
    tg.manual_seed(seed)
    draw = getattr(nn.init, f"xavier_{family}_")
    w = draw(nn.Parameter(np.zeros(shape))).detach().numpy()
    predicted = number(formula("glorot"), n_in=n_in, n_out=n_out)
    assert mean_square_fits(w, predicted)
    assert not mean_square_fits(w, predicted * GAIN_ERROR) or w.size < VALUES
    assert not mean_square_fits(w, 1 / n_in)  # one direction only
    assert not mean_square_fits(w, 1 / n_out)
    if max(shape) > 3 * min(shape):  # the two scale factors averaged, not the fans
        literally = ((n_in**-0.5 + n_out**-0.5) / 2) ** 2
        assert not mean_square_fits(w, literally)


@examples
@given(seeds, families, fans)
def test_he_halves_any_symmetric_law(seed: int, family: str, n: int) -> None:
    """E[relu(Z)^2] = E[Z^2] / 2. Given |Z| the sign decides: relu(z)^2 is z^2 or 0 (Hoeffding)."""
    z = drawn(family, VALUES, n, seed)(tg.ones(1, n, dtype="float64")).detach()
    kept = (z.relu() ** 2).numpy().ravel()
    squares = (z**2).numpy().ravel()
    half = 1 / number(formula("he"), n_in=1)
    assert bounded_mean_fits(kept, squares, half * squares.mean())
    assert not bounded_mean_fits(kept, squares, half * GAIN_ERROR * squares.mean())
    shifted = z + 0.2 * math.sqrt(squares.mean())  # planted: not symmetric any more
    kept, squares = (shifted.relu() ** 2).numpy().ravel(), (shifted**2).numpy().ravel()
    assert not bounded_mean_fits(kept, squares, half * squares.mean())


@examples
@given(seeds, fans)
def test_he_keeps_the_second_moment(seed: int, n_in: int) -> None:
    """A He layer behind a relu, given the relu's output; the lecture's n Var(W) Var(Y), which
    forgets that a relu's output has a mean, is rejected."""
    tg.manual_seed(seed)
    layer = nn.Linear(n_in, VALUES, bias=False).double()
    nn.init.kaiming_normal_(layer.weight)
    y = tg.randn(1, n_in, dtype="float64").relu()
    z = layer(y).detach().numpy()
    variance = number(formula("he"), n_in=n_in)
    second = float((y**2).mean())
    if second == 0:
        assert not z.any()
        return
    assert mean_square_fits(z, n_in * variance * second)
    assert not mean_square_fits(z, n_in * variance * second * GAIN_ERROR)
    lecture = n_in * variance * float(y.numpy().var())
    assert not mean_square_fits(z, lecture)
