"""The further derivations against statistics measured on the engine.

As in `test_formulas_hold.py`: a prediction is the value of a derived formula, with numbers put in
for its symbols, and each check is run twice: the right prediction must pass, one with a planted
error must fail. What is drawn is drawn by the engine.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.analysis.holding import concentrated_mean_fits, examples, expect, seeds
from tests.analysis.tails import bernstein_fits, bounded_mean_fits, mean_square_fits
from tests.analysis.topics.steps import number, result, stated
from tinygrad_edu import nn

# ------------------------------------------------------------------------------ dropout


def dropped(y: tg.Tensor, p: float) -> tg.Tensor:
    keep = tg.rand(*y.shape) >= p
    return tg.where(keep, y / (1 - p), tg.zeros_like(y))


@examples
@given(seeds, st.sampled_from([0.1, 0.3, 0.5]))
def test_dropout(seed: int, p: float) -> None:
    tg.manual_seed(seed)
    out = dropped(tg.rand(400_000, dtype="float64"), p).numpy()
    moments = {"p": p, "E[Y]": 0.5, "Var(Y)": 1 / 12}
    expect(lambda e: bounded_mean_fits(out, 1 / (1 - p), e), 0.5, 0.5 * (1 - p), 0.5 / (1 - p))
    squares, right = (out - 0.5) ** 2, number(result("dropout"), **moments)
    bound = max(0.25, (1 / (1 - p) - 0.5) ** 2)
    without_mean = number(stated("dropout", "without a mean"), **moments)
    expect(lambda e: bernstein_fits(squares, bound, bound * right, e), right, without_mean)


@examples
@given(seeds)
def test_variance_shift(seed: int) -> None:
    """The ratio of two variances, as the e for which one less e times the other is 0 on average."""
    tg.manual_seed(seed)
    p = 0.3
    y = tg.rand(400_000, dtype="float64")
    in_evaluation = ((y - 0.5) ** 2).numpy()
    in_training = ((dropped(y, p) - 0.5) ** 2).numpy()
    bound = (1 / (1 - p) - 0.5) ** 2
    right = number(result("variance-shift"), p=p, **{"E[Y]": 0.5, "Var(Y)": 1 / 12})

    def fits(e: float) -> bool:
        return bounded_mean_fits(in_evaluation - e * in_training, 0.25 + e * bound, 0.0)

    expect(fits, right, 1.0, 1 - p)


# ------------------------------------------------------------------------------ residual blocks


@examples
@given(seeds, st.sampled_from([1.0, 0.5]))
def test_residual_block(seed: int, beta: float) -> None:
    """y + beta F, F a layer behind relu that keeps the second moment, over draws of its weights."""
    tg.manual_seed(seed)
    n, draws = 6, 100_000
    y = tg.randn(1, n, dtype="float64")
    h = y.relu()
    second, kept = float((y**2).mean()), float((h**2).mean())
    layer = nn.Linear(n, draws, bias=False).double()
    bound = math.sqrt(3 * second / (n * max(kept, 1e-12)))
    nn.init.uniform_(layer.weight, -bound, bound)
    branch = layer(h).detach().numpy().ravel()
    if kept == 0:
        return
    signal = y.numpy().ravel()[0]
    squares = (signal + beta * branch) ** 2
    largest = (abs(signal) + beta * bound * float(h.sum())) ** 2
    right = signal**2 + (number(result("residual"), beta=beta, **{"E[Y**2]": 1}) - 1) * second
    expect(
        lambda e: bernstein_fits(squares, largest, largest * right, e),
        right,
        signal**2,  # planted: no growth
        signal**2 + 3 * beta**2 * second,
    )


# ------------------------------------------------------------------------------ pooling


@examples
@given(seeds)
def test_max_pooling(seed: int) -> None:
    """The largest of some values has slope 1 in them."""
    tg.manual_seed(seed)
    z = tg.randn(60_000, 4, dtype="float64")
    for size, words in ((4, "closed form"), (3, "mean of the largest of 3")):
        largest = z[:, :size].amax(1).numpy()
        right = number(stated("max-pooling", words))
        expect(lambda e, x=largest: concentrated_mean_fits(x, e), right, right * 1.05, right / 1.05)


@examples
@given(seeds, st.sampled_from([0.0, 0.5]))
def test_average_pooling(seed: int, rho: float) -> None:
    """Normal values with a common part."""
    tg.manual_seed(seed)
    k, windows = 9, 60_000
    common, own = tg.randn(windows, 1, dtype="float64"), tg.randn(windows, k, dtype="float64")
    average = (math.sqrt(rho) * common + math.sqrt(1 - rho) * own).mean(1).numpy()
    right = number(result("average-pooling"), k=k, rho=rho, **{"Var(Y)": 1})
    planted = 1 / k if rho else 1.0
    expect(lambda e: mean_square_fits(average, e), right, planted, right * 1.1)


@examples
@given(seeds)
def test_padding(seed: int) -> None:
    """A kernel of three over seven ones, by shifted sums, over many draws of its weights."""
    tg.manual_seed(seed)
    length, draws = 7, 150_000
    padded = tg.pad(tg.ones(length, dtype="float64"), (1, 1))
    windows = tg.stack([padded[i : i + length] for i in range(3)])
    weights = 2 * tg.rand(draws, 3, dtype="float64") - 1
    squares = ((weights @ windows) ** 2).mean(1).numpy()
    values = {"p": 1, "c": 1, "Var(W)": 1 / 3, "E[Y**2]": 1}
    right = number(result("conv-padding"), T=length, **values)
    fan_in_only = number(result("conv-padding"), T=10**9, **values)
    bound = float((windows.sum(0) ** 2).mean())
    expect(lambda e: bernstein_fits(squares, bound, bound * right, e), right, fan_in_only)


# ------------------------------------------------------------------------------ gradients of a unit


def test_gradients_of_one_sign() -> None:
    """One positive example gives one sign; the two examples of the lecture give both."""
    x = tg.tensor([[1.0, 2.0], [2.0, 1.0]])
    delta = tg.tensor([1.0, -1.0])
    w = tg.zeros(2, requires_grad=True)
    (both,) = tg.autograd.grad((delta * (x @ w)).sum(), w)
    assert both.tolist() == [
        float(stated("same-sign-gradients", words)) for words in ("positive inputs", "and `g_2`")
    ]
    (one,) = tg.autograd.grad((delta * (x @ w))[1], w)
    assert (one.numpy() < 0).all()


@examples
@given(seeds, st.sampled_from([0.0, 1.0]))
def test_zig_zag(seed: int, m: float) -> None:
    """Descent on the squared loss with the largest stable step, on the engine: a direction in which
    the weights sum to 0 shrinks by 1 - 2/condition."""
    n, v = 8, 0.5
    root = np.linalg.cholesky(v * np.eye(n) + m**2)
    w = tg.tensor(np.eye(n)[0] - np.eye(n)[1], requires_grad=True)
    (gradient,) = tg.autograd.grad(((tg.tensor(root.T) @ w) ** 2).sum() / 2, w)
    rate = 2 / (v + n * m**2)
    after = (w - rate * gradient).detach().numpy()
    shrinks = number(stated("zig-zag", "at the largest stable step"), n=n, m=m, v=v)
    assert after == pytest.approx(shrinks * w.detach().numpy(), abs=1e-12)
    if m:
        centred = number(stated("zig-zag", "at the largest stable step"), n=n, m=0, v=v)
        assert after != pytest.approx(centred * w.detach().numpy(), abs=1e-3)


def test_identical_units() -> None:
    """Two units with equal weights in and out stay equal to the last bit on the scalar engine;
    other outgoing weights tell them apart."""

    def trained(outgoing: tuple[float, float]) -> list[list[float]]:
        units = [[tg.Value(0.3), tg.Value(-0.7), tg.Value(a)] for a in outgoing]
        for _ in range(20):
            out = sum((u[0] * 1.5 + u[1] * 0.4).tanh() * u[2] for u in units)
            loss = (out - 1.0) ** 2
            for parameter in (p for unit in units for p in unit):
                parameter.grad = 0.0
            loss.backward()
            units = [[tg.Value(p.data - 0.1 * p.grad) for p in unit] for unit in units]
        return [[p.data for p in unit] for unit in units]

    first, second = trained((0.5, 0.5))
    assert first == second
    first, second = trained((0.5, 0.6))
    assert first[0] != second[0]
