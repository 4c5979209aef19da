"""The further derivations against statistics measured on the engine.

As in `test_formulas_hold.py`: a prediction is the value of a derived formula, with numbers put in
for its symbols, and each check is run twice: the right prediction must pass, one with a planted
error must fail. What is drawn is drawn by the engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from analysis.symbolic.powersums import set_partitions
from tests.analysis.tails import ALARM, bernstein_fits, bounded_mean_fits, mean_square_fits
from tests.analysis.topics.steps import number, result, stated
from tinygrad_edu import nn

examples = settings(max_examples=4)
seeds = st.integers(0, 2**32 - 1)

Fits = Callable[[float], bool]
BLOCKS = math.ceil(-2 * math.log(ALARM) / math.log(4 / 3))
"""Of a median of means, so many that half of them are off by chance once in 1 / ALARM."""


def median_of_means_fits(x: np.ndarray, variance: float, expectation: float) -> bool:
    """Whether independent x_i with this variance may have this expectation, however heavy their
    tails are.

    By Chebyshev a block's mean is off by more than twice its standard deviation with probability
    1/4 at most. For the median to be, half of the blocks must be: by Chernoff's bound for their
    number, exp(-BLOCKS log(4/3) / 2) at most.
    """
    size = x.size // BLOCKS
    median = float(np.median(x[: BLOCKS * size].reshape(BLOCKS, size).mean(1)))
    return abs(median - expectation) <= 2 * math.sqrt(variance / size)


def concentrated_mean_fits(x: np.ndarray, expectation: float) -> bool:
    """Whether independent x_i = f(g_i), with g_i standard normal vectors and f of slope 1 or less,
    may have this expectation: P(|mean - E f| >= t) <= 2 exp(-N t^2 / 2) (Tsirelson, Ibragimov and
    Sudakov 1976)."""
    return x.size * (float(x.mean()) - expectation) ** 2 / 2 <= math.log(2 / ALARM)


def expect(fits: Fits, right: float, *planted: float) -> None:
    assert fits(right)
    for wrong in planted:
        assert not fits(wrong), f"{wrong} passes for {right}"


def uniform(*shape: int) -> np.ndarray:
    """Independent draws from [0, 1): mean 1/2, variance 1/12, kurtosis 9/5."""
    drawn: np.ndarray = tg.rand(*shape, dtype="float64").numpy()
    return drawn


UNIFORM = {"Var(y)": 1 / 12, "Var(b)": 1 / 12, "kappa": 1.8}


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
