"""What each scheme draws is what its law says, and what its law says is what the papers say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

import tinygrad_edu as tg
from tinygrad_edu import nn, ops
from tinygrad_edu.errors import ArgumentError, DTypeError, GradientError, StaleStorageError
from tinygrad_edu.nn import Law, Parameter, functional, init

FALSE_ALARM = 1e-10
Z = float(norm.isf(FALSE_ALARM / 2))
SHAPE = (500, 2000)

Scheme = Callable[[Parameter], Any]

# Scheme, variance for (out, in) = SHAPE, kurtosis, E[z^8] of the standardized law.
FAN_IN, FAN_OUT = 2000, 500
NORMAL, UNIFORM = (3, 105), (9 / 5, 9)
INDEPENDENT: dict[str, tuple[Scheme, float, tuple[float, float]]] = {
    "normal": (lambda p: init.normal_(p, 0.3, 0.5), 0.25, NORMAL),
    "uniform": (lambda p: init.uniform_(p, -1, 5), 3, UNIFORM),
    "xavier_uniform": (init.xavier_uniform_, 2 / (FAN_IN + FAN_OUT), UNIFORM),
    "xavier_normal": (
        lambda p: init.xavier_normal_(p, gain=5 / 3),
        (5 / 3) ** 2 * 2 / (FAN_IN + FAN_OUT),
        NORMAL,
    ),
    "kaiming_uniform": (lambda p: init.kaiming_uniform_(p, a=5**0.5), 1 / (3 * FAN_IN), UNIFORM),
    "kaiming_normal": (lambda p: init.kaiming_normal_(p, mode="fan_out"), 2 / FAN_OUT, NORMAL),
    "lecun_normal": (init.lecun_normal_, 1 / FAN_IN, NORMAL),
    "default of Linear": (
        lambda p: init.kaiming_uniform_(p, gain=3**-0.5),
        1 / (3 * FAN_IN),
        UNIFORM,
    ),
    # Cut at two standard deviations of the normal law before the cut. E[z^8] <= bound^4 E[z^4].
    "trunc_normal": (
        lambda p: init.trunc_normal_(p, std=0.879625661034),
        0.879625661034**2,
        (2.365537, (2 / 0.879625661034) ** 4 * 2.365537),
    ),
    "trunc_normal at std 1": (init.trunc_normal_, 1, (2.101385736, 2**4 * 2.101385736)),
}


def parameter(*shape: int, dtype: Any = np.float64) -> Parameter:
    """A parameter of zeros."""
    return Parameter(np.zeros(shape, dtype))


def law_of(p: Parameter) -> Law:
    """Its law, which it must have."""
    assert p.law is not None
    return p.law


@pytest.mark.parametrize("name", INDEPENDENT)
def test_law_says_what_the_paper_says(name: str) -> None:
    scheme, variance, (kurtosis, _) = INDEPENDENT[name]
    p = parameter(*SHAPE)
    assert scheme(p) is p
    law = law_of(p)
    assert law.variance == pytest.approx(variance, rel=1e-12)
    assert law.kurtosis == pytest.approx(kurtosis, rel=1e-6)
    assert (law.fan_in, law.fan_out) == (FAN_IN, FAN_OUT)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_draws_have_the_moments_of_the_law(name: str) -> None:
    """m independent draws; each tolerance is its statistic's standard error times the normal
    quantile of a false alarm of 1e-10 (m is a million, so the statistics are normal that far out).

    * the mean: Var = sigma^2 / m
    * the variance s^2: Var = sigma^4 (2 / (m - 1) + (kappa - 3) / m)
    * the mean of z^4, z = (w - mean) / sigma: Var = (E[z^8] - kappa^2) / m
    """
    scheme, _, (_, eighth) = INDEPENDENT[name]
    tg.manual_seed(11)
    p = parameter(*SHAPE)
    scheme(p)
    law, w = law_of(p), p.detach().numpy().ravel()
    m = w.size
    assert abs(w.mean() - law.mean) < Z * math.sqrt(law.variance / m)
    of_variance = law.variance * math.sqrt(2 / (m - 1) + (law.kurtosis - 3) / m)
    assert abs(w.var(ddof=1) - law.variance) < Z * of_variance
    assert of_variance * Z < 0.01 * law.variance  # a wrong 2 %, and far more a wrong fan, is seen
    z = (w - law.mean) / math.sqrt(law.variance)
    assert abs((z**4).mean() - law.kurtosis) < Z * math.sqrt((eighth - law.kurtosis**2) / m)


def test_bounds_of_bounded_laws() -> None:
    p = init.trunc_normal_(parameter(*SHAPE), std=1.0)
    assert np.abs(p.detach().numpy()).max() <= 2
    q = init.uniform_(parameter(*SHAPE), 2, 3)
    assert q.detach().numpy().min() >= 2
    assert q.detach().numpy().max() <= 3


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (1, 4), (4, 2, 3)])
def test_orthogonal_matrices(shape: tuple[int, ...]) -> None:
    p = init.orthogonal_(parameter(*shape), gain=2.0)
    w = p.detach().numpy().reshape(shape[0], -1)
    small, large = sorted(w.shape)
    gram = w @ w.T if w.shape[0] == small else w.T @ w
    np.testing.assert_allclose(gram, 4 * np.eye(small), atol=1e-12)
    # So the mean square is known exactly: gain^2 times `small` unit vectors of `large` entries.
    assert (w**2).mean() == pytest.approx(law_of(p).variance, rel=1e-12)
    assert law_of(p).variance == pytest.approx(4 / large, rel=1e-12)
    assert law_of(p).kurtosis == pytest.approx(3 * large / (large + 2), rel=1e-12)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (3, 3)])
def test_orthogonal_draws_are_uniform(shape: tuple[int, int]) -> None:
    """One entry each of many matrices: a coordinate of a uniform unit vector in n = 3 dimensions,
    uniform on [-1, 1] (Archimedes). False alarm 1e-10 as above: mean 0 with variance 1/3, and
    E[q^4] = 1/5 with Var(q^4) = 1/9 - 1/25. QR without its signs mended fails the mean."""
    matrices, (row, column) = 20_000, (shape[0] - 1, shape[1] - 1)
    tg.manual_seed(2)
    law = law_of(init.orthogonal_(parameter(*shape)))
    generator = np.random.default_rng(3)
    q = np.array([law.draw(generator, shape)[row, column] for _ in range(matrices)])
    assert abs(q.mean()) < Z * math.sqrt(law.variance / matrices)
    fourth = law.kurtosis * law.variance**2
    assert fourth == pytest.approx(1 / 5)
    assert abs((q**4).mean() - fourth) < Z * math.sqrt((1 / 9 - 1 / 25) / matrices)


def test_constants() -> None:
    p = parameter(2, 3)
    assert init.constant_(p, 0.3).tolist() == [[0.3] * 3] * 2
    assert (law_of(p).family, law_of(p).mean, law_of(p).variance) == ("constant", 0.3, 0)
    assert init.ones_(p).tolist() == [[1] * 3] * 2
    assert init.zeros_(p).tolist() == [[0] * 3] * 2
    assert init.trunc_normal_(p, 0.5, 0).tolist() == [[0.5] * 3] * 2
    assert init.normal_(p, 0.5, 0).tolist() == [[0.5] * 3] * 2


# ------------------------------------------------------------------------------ fans and gains


def test_fans() -> None:
    assert init.fans((5, 3)) == (3, 5)
    assert init.fans((8, 4, 3, 2)) == (4 * 6, 8 * 6)
    for shape in [(), (3,), (0, 3), (3, 0), (2, 2, 0)]:
        with pytest.raises(ArgumentError, match="fans"):
            init.fans(shape)
    assert law_of(init.normal_(parameter(4))).fan_in is None
    assert law_of(init.normal_(parameter(8, 4, 3))).fan_in == 12


@given(
    groups=st.integers(1, 3),
    sizes=st.tuples(*[st.integers(1, 3)] * 3),
    dilation=st.integers(1, 3),
    transposed=st.booleans(),
)
def test_fans_are_what_a_convolution_connects(
    groups: int, sizes: tuple[int, int, int], dilation: int, transposed: bool
) -> None:
    """The matrix of a 1-d convolution on a circle too long for the kernel to meet itself: fan_in is
    the number of connections in a row, fan_out that in a column."""
    first, second, kernel = sizes
    length = dilation * kernel + 1
    shape = (groups * first, second, kernel)
    matrix = np.zeros((groups * first, length, groups * second, length), int)
    for row, column, k, at in np.ndindex(*shape, length):
        group = row // first
        matrix[row, at, group * second + column, (at + dilation * k) % length] += 1
    rows, columns = matrix.sum((2, 3)), matrix.sum((0, 1))
    assert np.ptp(rows) == np.ptp(columns) == 0
    expected = (rows[0, 0], columns[0, 0])
    p = Parameter(np.zeros(shape), groups=groups, transposed=transposed)
    assert init.fans(p) == (expected[::-1] if transposed else expected)
    assert init.fans(shape, groups, transposed) == init.fans(p)
    assert (law_of(init.normal_(p)).fan_in, law_of(p).fan_out) == init.fans(p)


def test_schemes_know_groups() -> None:
    plain, grouped = parameter(8, 3, 5), Parameter(np.zeros((8, 3, 5)), groups=4)
    for scheme in (init.xavier_uniform_, init.xavier_normal_, init.lecun_normal_):
        assert law_of(scheme(plain, groups=4)) == law_of(scheme(grouped))
    for mode, fan in (("fan_in", 15), ("fan_out", 10)):
        for scheme in (init.kaiming_normal_, init.kaiming_uniform_):
            law = law_of(scheme(grouped, mode=mode))
            assert law == law_of(scheme(plain, mode=mode, groups=4))
            assert law.variance == pytest.approx(2 / fan)
    assert law_of(init.xavier_normal_(grouped)).variance == pytest.approx(2 / 25)


def test_each_group_has_its_own_orthogonal_matrix() -> None:
    p = init.orthogonal_(Parameter(np.zeros((8, 3, 1)), groups=2))
    for w in p.detach().numpy().reshape(2, 4, 3):
        np.testing.assert_allclose(w.T @ w, np.eye(3), atol=1e-12)
    assert law_of(p).variance == pytest.approx(1 / 4)
    assert law_of(p).kurtosis == pytest.approx(3 * 4 / 6)


def test_gains_by_name_and_number() -> None:
    def variance(**options: Any) -> float:
        return 100 * law_of(init.kaiming_normal_(parameter(7, 100), **options)).variance

    assert variance() == pytest.approx(2)  # a leaky relu of slope 0
    assert variance(nonlinearity="relu") == pytest.approx(2)
    assert variance(nonlinearity="linear") == pytest.approx(1)
    assert variance(a=0.5) == pytest.approx(2 / 1.25)
    assert variance(a=0.5, nonlinearity="relu") == pytest.approx(2)
    assert variance(nonlinearity="tanh", gain=3) == pytest.approx(9)
    assert law_of(init.lecun_normal_(parameter(7, 100), "relu")).variance == pytest.approx(0.02)
    assert law_of(init.orthogonal_(parameter(7, 100), "relu")).variance == pytest.approx(0.02)
    assert law_of(init.xavier_normal_(parameter(40, 60), "relu")).variance == pytest.approx(0.04)


ONE_NUMBER = sorted(
    name
    for name in functional.__all__
    if hasattr(ops, name) and hasattr(getattr(ops, name), "partials") and name != "flatten"
)


def test_every_activation_of_one_number_has_a_gain() -> None:
    assert {"elu", "gelu", "relu", "tanh"} < set(ONE_NUMBER)
    assert set(ONE_NUMBER) <= set(init.GAINS)


@pytest.mark.parametrize("name", ONE_NUMBER)
def test_gains_keep_the_second_moment(name: str) -> None:
    """E[phi(z)^2] = 1/gain^2, by the trapezoidal rule on the engine's function: with 100 nodes a
    unit it errs by some h^2/12 = 1e-5 of a jump in slope at a kink, and far less elsewhere."""
    z = np.linspace(-12, 12, 2401)
    second = np.trapezoid(getattr(functional, name)(z).numpy() ** 2 * norm.pdf(z), z)
    assert init.calculate_gain(name) == pytest.approx(second**-0.5, rel=1e-5)


def test_gains_with_a_parameter() -> None:
    gain = init.calculate_gain
    assert gain("leaky_relu") == gain("leaky_relu", 0.01) != gain("leaky_relu", 0.2)
    assert gain("leaky_relu", 0.5) == pytest.approx(math.sqrt(2 / 1.25))
    assert gain("elu", 0.0) == pytest.approx(gain("relu"))
    assert gain("elu", 1.0) == pytest.approx(gain("elu"))
    assert gain("gelu", "none") == gain("gelu")
    assert gain("gelu", "tanh") == pytest.approx(gain("gelu"), rel=1e-4)
    assert gain("linear") == gain("conv2d") == gain("conv_transpose3d") == 1


def test_gain_of_relu_keeps_the_second_moment() -> None:
    """E[relu(g z)^2] = 1 for z ~ N(0, 1): He et al. 2015, by quadrature on z > 0."""
    z = np.linspace(0, 12, 100_001)
    for slope in (0.0, 0.01, 0.5):
        gain = math.sqrt(law_of(init.kaiming_normal_(parameter(1, 1), a=slope)).variance)
        second = np.trapezoid((1 + slope**2) * (gain * z) ** 2 * norm.pdf(z), z)
        assert second == pytest.approx(1, rel=1e-6)


# ------------------------------------------------------------------------------ how it is written


def test_seeds_repeat_draws_and_draws_differ() -> None:
    def draws() -> list[Any]:
        tg.manual_seed(7)
        return [scheme(parameter(4, 6)).tolist() for scheme, _, _ in INDEPENDENT.values()]

    first = draws()
    assert first == draws()
    assert len({str(values) for values in first}) == len(first)


def test_either_precision_gets_the_same_numbers() -> None:
    tg.manual_seed(1)
    double = init.normal_(parameter(3, 3))
    tg.manual_seed(1)
    single = init.normal_(parameter(3, 3, dtype=np.float32))
    assert single.dtype == tg.float32
    assert single.tolist() == double.detach().float().tolist()


def test_graphs_with_the_old_values_are_stale_not_wrong() -> None:
    p = init.ones_(parameter(2, 2))
    loss = (p * p).sum()
    init.normal_(p)
    assert p.requires_grad
    assert p.is_leaf
    with pytest.raises(StaleStorageError):
        loss.backward()


def test_plain_tensors_get_values_without_a_law() -> None:
    t = tg.zeros(2, 2)
    assert init.ones_(t) is t
    assert t.tolist() == [[1, 1], [1, 1]]


MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "negative std": (lambda: init.normal_(parameter(2), std=-1), ArgumentError, "std .* >= 0"),
    "nan mean": (lambda: init.normal_(parameter(2), math.nan), ArgumentError, "mean"),
    "reversed bounds": (lambda: init.uniform_(parameter(2), 1, 0), ArgumentError, "a <= b"),
    "infinite variance": (lambda: init.normal_(parameter(2), 0, 1e200), ArgumentError, "variance"),
    "infinite bound": (lambda: init.uniform_(parameter(2), 0, math.inf), ArgumentError, "finite"),
    "no elements": (lambda: init.normal_(parameter(0)), ArgumentError, "no elements"),
    "no fan": (lambda: init.xavier_normal_(parameter(3)), ArgumentError, "fan_in and fan_out"),
    "fan of 0": (lambda: init.lecun_normal_(parameter(3, 0)), ArgumentError, "fan of 0"),
    "negative gain": (lambda: init.xavier_normal_(parameter(2, 2), -1), ArgumentError, "gain"),
    "unknown gain": (
        lambda: init.kaiming_normal_(parameter(2, 2), nonlinearity="softmax"),
        ArgumentError,
        r"linear, .*relu.* not 'softmax'.*analysis\.gain",
    ),
    "gain without formula": (
        lambda: init.calculate_gain("softplus", 2.0),
        ArgumentError,
        r"no formula in the parameter of 'softplus'.*analysis\.gain",
    ),
    "gain without parameter": (lambda: init.calculate_gain("tanh", 1.0), ArgumentError, "default"),
    "text for a number": (lambda: init.calculate_gain("elu", "tanh"), ArgumentError, "'tanh'"),
    "groups": (
        lambda: init.xavier_normal_(parameter(6, 2, 3), groups=4),
        ArgumentError,
        "4 groups",
    ),
    "no groups": (lambda: init.orthogonal_(parameter(6, 2), groups=0), ArgumentError, "0 groups"),
    "mode": (lambda: init.kaiming_normal_(parameter(2, 2), mode="in"), ArgumentError, "fan_out"),
    "vector, orthogonal": (lambda: init.orthogonal_(parameter(3)), ArgumentError, "fan"),
    "mean outside": (lambda: init.trunc_normal_(parameter(2), 3), ArgumentError, "a < mean < b"),
    "std too wide": (lambda: init.trunc_normal_(parameter(2), std=1.2), ArgumentError, "sqrt"),
    "integers": (lambda: init.normal_(tg.tensor([1])), DTypeError, "int64"),
    "computed": (lambda: init.normal_(parameter(2) * 2), GradientError, "leaves"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named(case: str) -> None:
    call, error, message = MISTAKES[case]
    with pytest.raises(error, match=message):
        call()


def test_a_layer_can_be_initialised_after_the_fact() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    net.apply(lambda m: init.orthogonal_(m.weight) if isinstance(m, nn.Linear) else None)
    assert law_of(net[0].weight).family == "orthogonal"


# ------------------------------------------------------------------------------ identities


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [(3,), (3, 5), (1, 3, 3)])
def test_dirac_passes_channels_on(kernel: tuple[int, ...], groups: int) -> None:
    weight = init.dirac_(Parameter(np.ones((4, 3, *kernel))), groups)
    assert weight.law is None
    values = weight.detach().numpy().reshape(4, 3, -1)
    middle = values.shape[-1] // 2
    each = 4 // groups
    np.testing.assert_array_equal(values[:, :, middle], np.tile(np.eye(each, 3), (groups, 1)))
    assert values.sum() == values[:, :, middle].sum()


def test_a_dirac_convolution_is_the_identity() -> None:
    conv = nn.Conv2d(3, 3, 5, padding="same", bias=False)
    init.dirac_(conv.weight)
    x = tg.randn(2, 3, 6, 6)
    np.testing.assert_array_equal(conv(x).detach().numpy(), x.numpy())


def test_eye_is_as_much_of_the_identity_as_fits() -> None:
    assert init.eye_(Parameter(np.ones((2, 3)))).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert init.eye_(init.normal_(Parameter(np.ones((2, 2))))).law is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: init.eye_(Parameter(np.ones(3))),
        lambda: init.dirac_(Parameter(np.ones((3, 3)))),
        lambda: init.dirac_(Parameter(np.ones((3, 3, 3))), 2),
    ],
)
def test_identities_need_a_shape(call: Callable[[], Any]) -> None:
    with pytest.raises(ArgumentError, match=r"eye_|dirac_"):
        call()
