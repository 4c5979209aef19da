"""The vector functions against mpmath and float64: accuracy, special values, widths, compositions.

`python -m tools.exhaustive` does for every float32 what is done here for a sample.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import special

from tinygrad_edu import ops
from tinygrad_edu.kernels import vector_math
from tinygrad_edu.ops import arrays
from tools.exhaustive import PROMISED, REFERENCES, ulps
from tools.vector_functions import WITHOUT_AVX512, VectorFunction, vector_function

NAMES = sorted(vector_math.UNARY)
BRANCHING = {"sin", "cos", "tan"}
INF, NAN = np.inf, np.nan


def truth(name: str, x: float) -> Any:
    """The function's value to forty digits more than its argument can cancel."""
    with mpmath.workdps(60 if abs(x) < 1e20 else 400):
        if name == "sigmoid":
            return 1 / (1 + mpmath.exp(-mpmath.mpf(x)))
        if name == "softplus":
            return mpmath.log1p(mpmath.exp(mpmath.mpf(x)))
        return getattr(mpmath, name)(mpmath.mpf(x))


def dense_sample() -> np.ndarray:
    """Every sign and exponent of float32 with 2000 fractions each, the first and last included."""
    fractions = np.random.default_rng(0).integers(0, 1 << 23, 2000, dtype=np.uint32)
    fractions[:4] = 0, 1, (1 << 23) - 1, 1 << 22
    return (np.arange(512, dtype=np.uint32)[:, None] << 23 | fractions).ravel().view(np.float32)


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    return dense_sample()


# ------------------------------------------------------------------------------ accuracy


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_within_two_units_everywhere(name: str, sample: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        result = vector_function(name)(sample)
        error = ulps(result, REFERENCES[name](sample.astype(float)))
    assert np.max(error) <= PROMISED
    for i in np.argsort(error)[-20:]:  # where it is worst, the reference must not be what is right
        exact = truth(name, float(sample[i]))
        unit = max(np.ldexp(1.0, int(mpmath.floor(mpmath.log(abs(exact), 2))) - 23), 2.0**-149)
        assert float(abs(float(result[i]) - exact) / unit) == pytest.approx(error[i], abs=1e-5)


LIMITS = {  # where the function is neither constant nor infinite
    "exp": (-745.0, 709.7),
    "expm1": (-40.0, 709.7),
    "log": (1e-300, 1e300),
    "log1p": (-1 + 1e-15, 1e300),
    "sigmoid": (-745.0, 40.0),
    "softplus": (-745.0, 1e3),
    "tanh": (-21.0, 21.0),
    "erf": (-6.5, 6.5),
    "sin": (-1.7e308, 1.7e308),
    "cos": (-1.7e308, 1.7e308),
    "tan": (-1.7e308, 1.7e308),
    "sinh": (-710.4, 710.4),
    "cosh": (-710.4, 710.4),
    "asin": (-1.0, 1.0),
    "acos": (-1.0, 1.0),
    "atan": (-1e300, 1e300),
}


def adversaries() -> np.ndarray:
    """Both sides of every place where a formula changes, multiples of ln(2)/2, powers of 2."""
    places = [0.625, 1.0, 6.0, 20.0, np.sqrt(0.5), np.sqrt(2.0), -1.0 + 2.0**-30]
    places += [k * np.log(2) / 2 for k in range(1, 2048, 61)]
    places += [2.0**k for k in range(-1074, 1024, 53)]
    places += [0.5, 2.0**15, np.sqrt(2) - 1, np.sqrt(2) + 1]
    # Multiples of pi/2, and the float64 that is nearest to one (Muller, *Elementary Functions*).
    places += [*(np.arange(1, 20_000, 331) * np.pi / 2), 6381956970095103.0 * 2.0**797]
    x = np.array(places)
    x = np.concatenate([x, np.nextafter(x, INF), np.nextafter(x, -INF), 1 + x[x < 1]])
    return np.concatenate([x, -x])


@pytest.mark.parametrize("name", NAMES)
def test_float64_is_within_two_units(name: str) -> None:
    draw, (low, high) = np.random.default_rng(1), LIMITS[name]
    near = draw.uniform(-1.5, 1.5, 400)
    spread = np.exp(draw.uniform(-700, 700, 400)) * draw.choice([-1, 1], 400)
    wide = draw.uniform(max(low, -1e5), min(high, 1e5), 400)
    x = np.concatenate([wide, near, 1 + near, spread, adversaries(), [low, high]])
    x = x[(x >= low) & (x <= high)]
    for argument, result in zip(x.tolist(), vector_function(name, "float64")(x), strict=True):
        exact = truth(name, argument)
        unit = max(np.spacing(abs(float(exact))), 2.0**-1074)
        assert abs(mpmath.mpf(float(result)) - exact) / unit <= PROMISED, argument


# ------------------------------------------------------------------------------ special values

EDGES = {
    "exp": [(INF, INF), (-INF, 0.0), (0.0, 1.0), (1e4, INF), (-1e4, 0.0)],
    "expm1": [(INF, INF), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (1e4, INF), (-1e4, -1.0)],
    "log": [(INF, INF), (0.0, -INF), (-0.0, -INF), (1.0, 0.0), (-1.0, NAN), (-INF, NAN)],
    "log1p": [(INF, INF), (-1.0, -INF), (0.0, 0.0), (-0.0, -0.0), (-2.0, NAN), (-INF, NAN)],
    "tanh": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0)],
    "erf": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0)],
    "sigmoid": [(INF, 1.0), (-INF, 0.0), (0.0, 0.5), (-0.0, 0.5)],
    "softplus": [(INF, INF), (-INF, 0.0), (-1e4, 0.0), (1e4, 1e4)],
    "sin": [(INF, NAN), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0)],
    "cos": [(INF, NAN), (-INF, NAN), (0.0, 1.0), (-0.0, 1.0)],
    "tan": [(INF, NAN), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0)],
    "sinh": [(INF, INF), (-INF, -INF), (1e4, INF), (-1e4, -INF), (0.0, 0.0), (-0.0, -0.0)],
    "cosh": [(INF, INF), (-INF, INF), (1e4, INF), (-1e4, INF), (0.0, 1.0), (-0.0, 1.0)],
    "asin": [(INF, NAN), (2.0, NAN), (-1.5, NAN), (0.0, 0.0), (-0.0, -0.0)],
    "acos": [(INF, NAN), (2.0, NAN), (-1.5, NAN), (1.0, 0.0)],
    "atan": [(0.0, 0.0), (-0.0, -0.0)],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_special_values(name: str, dtype: str) -> None:
    for argument, expected in [*EDGES[name], (NAN, NAN), (-NAN, NAN)]:
        result = vector_function(name, dtype)(np.array([argument], dtype))
        np.testing.assert_array_equal(result, np.array([expected], dtype))
        assert np.isnan(expected) or np.signbit(result[0]) == np.signbit(expected), argument


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_neighbours_make_no_difference(name: str, dtype: str) -> None:
    """Special values in one register with ordinary and very large ones."""
    x = np.array([INF, -INF, NAN, 0.0, -0.0, 1.0, 1e30, -1e30, 0.3, -2.0, 1e5, 7.0] * 3, dtype)
    alone = [vector_function(name, dtype)(x[i : i + 1])[0] for i in range(12)]
    np.testing.assert_array_equal(vector_function(name, dtype)(x), np.array(alone * 3, dtype))


THROUGH_0 = ["expm1", "log1p", "tanh", "sin", "tan", "sinh", "asin", "atan"]


@pytest.mark.parametrize("name", THROUGH_0)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_subnormal_numbers_pass(name: str, dtype: str) -> None:
    """f(x) = x + O(x^2) for all of them, so the nearest number is x itself."""
    smallest = np.finfo(dtype).smallest_subnormal
    x = smallest * np.array([1, -1, 3, 1000, -12345], dtype)
    np.testing.assert_array_equal(vector_function(name, dtype)(x), x)


@pytest.mark.parametrize("name", ["exp", "expm1"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_overflow_is_where_the_true_value_overflows(name: str, dtype: str) -> None:
    last = np.array([np.log(np.finfo(dtype).max.astype(np.longdouble))]).astype(dtype)[0]
    x = np.array([np.nextafter(last, 0, dtype=dtype), last, np.nextafter(last, INF, dtype=dtype)])
    largest = mpmath.mpf(float(np.finfo(dtype).max))
    half_unit = largest * float(np.finfo(dtype).epsneg) / 2
    for argument, result in zip(x.tolist(), vector_function(name, dtype)(x), strict=True):
        assert np.isinf(result) == (truth(name, argument) >= largest + half_unit)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exp_underflows_gradually(dtype: str) -> None:
    info = np.finfo(dtype)
    low, high = np.log(info.smallest_subnormal.astype(float)), np.log(info.tiny.astype(float))
    x = np.linspace(low - 1, high, 301).astype(dtype)
    result = vector_function("exp", dtype)(x)
    unit = float(info.smallest_subnormal)
    for argument, y in zip(x.tolist(), result.tolist(), strict=True):
        assert abs(y - truth("exp", argument)) <= unit, argument
    assert 0 < result[np.searchsorted(x, low + 1)] < info.tiny


# ------------------------------------------------------------------------------ code


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_width_makes_no_difference(name: str, dtype: str) -> None:
    draw = np.random.default_rng(2)
    large = np.exp(draw.uniform(0, 80, 100))
    x = np.concatenate([draw.normal(size=500), draw.uniform(-100, 100, 500), large]).astype(dtype)
    expected = vector_function(name, dtype)(x).tobytes()
    for width in (1, 2, 4, 64):
        assert VectorFunction(name, dtype, width)(x).tobytes() == expected, width
    narrow = VectorFunction(name, dtype, 8, WITHOUT_AVX512)
    assert name in BRANCHING or "zmm" not in narrow.assembly
    assert narrow(x).tobytes() == expected


@pytest.mark.parametrize("name", sorted(vector_math.SUPPORTED - BRANCHING))
def test_no_call_and_no_branch_in_the_loop(name: str) -> None:
    assembly = VectorFunction(name, "float32").assembly
    assert "call" not in assembly
    assert assembly.count("\tj") == 2  # in, and around


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_without_fma_computes_as_well(name: str, sample: np.ndarray) -> None:
    x = sample[::37]
    with np.errstate(all="ignore"):
        result = vector_function(name, features="-fma,-fma4,-avx512f", width=4)(x)
        assert np.max(ulps(result, REFERENCES[name](x.astype(float)))) <= PROMISED


def test_another_name_is_refused() -> None:
    with pytest.raises(KeyError):
        VectorFunction("gamma", "float32")


# ------------------------------------------------------------------------------ the power


def bases_and_exponents() -> tuple[np.ndarray, np.ndarray]:
    """Results over the whole range; bases near 1 with large exponents; whole and half exponents."""
    draw = np.random.default_rng(3)
    x = np.exp(draw.uniform(-740, 709, 800))
    whole = draw.integers(1, 200, 300) * draw.choice([-1.0, 1.0], 300)
    near = 1 + draw.uniform(-1, 1, 400) * 1e-8
    halves = draw.integers(-20, 60, 300) / 2
    bases = [x, np.exp(draw.uniform(-1, 1, 800)), near, whole, np.abs(whole)]
    exponents = [
        *(draw.uniform(-800, 700, 800) / np.log(x), draw.uniform(-700, 700, 800)),
        *(draw.uniform(-1e10, 1e10, 400), np.floor(halves), halves),
    ]
    return np.concatenate(bases), np.concatenate(exponents)


def test_pow_in_float64_is_within_two_units() -> None:
    x, y = bases_and_exponents()
    largest = mpmath.mpf(2) ** 1024
    with mpmath.workdps(50):
        for a, b, result in zip(*map(np.ndarray.tolist, (x, y)), power(x, y).tolist(), strict=True):
            exact = mpmath.power(mpmath.mpf(a), mpmath.mpf(b))
            if abs(exact) >= largest:
                assert np.isinf(result), (a, b)
            else:
                unit = max(mpmath.ldexp(1, int(mpmath.floor(mpmath.log(abs(exact), 2))) - 52)
                           if exact else mpmath.mpf(0), mpmath.mpf(2) ** -1074)  # fmt: skip
                assert abs(mpmath.mpf(result) - exact) / unit <= PROMISED, (a, b)


def power(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The vector function."""
    found: np.ndarray = VectorFunction("pow", str(x.dtype))(x, y)
    return found


def test_pow_in_float32_is_within_two_units() -> None:
    draw = np.random.default_rng(4)
    x = np.exp(draw.uniform(-103, 88.7, 200_000)).astype(np.float32)
    with np.errstate(divide="ignore"):
        y = (draw.uniform(-104, 89, x.size) / np.log(x)).astype(np.float32)
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(float), y.astype(float))
        assert np.max(ulps(power(x, y), exact)) <= PROMISED


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values_of_pow(dtype: str) -> None:
    """Zeros, infinities, nan, exact powers, signs of whole exponents odd and even: as C's pow."""
    numbers = [0.0, -0.0, INF, -INF, NAN, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 4.0, -3.0]
    numbers += [2.5, 1e30, 2.0**23 + 1, 2.0**24, 2.0**53 + 2]
    x, y = (a.ravel().astype(dtype) for a in np.meshgrid(numbers, numbers))
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    found = power(x, y)
    np.testing.assert_allclose(found, expected, 4 * np.finfo(dtype).eps)
    numeric = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[numeric]), np.signbit(expected[numeric]))


# ------------------------------------------------------------------------------ compositions


def read_rule(op: Any) -> Callable[[np.ndarray], np.ndarray]:
    """The op's rule, read with the vector functions in place of NumPy's."""
    names = {name: getattr(arrays, name) for name in arrays.__all__}
    names |= {name: vector_function(name) for name in NAMES}
    reader = types.SimpleNamespace(**names)
    return lambda x: op.rule(reader, x)


TRUE = {
    "gelu": lambda x: x * special.erfc(-x / np.sqrt(2)) / 2,
    "silu": lambda x: np.where(x < 0, x * np.exp(x), x) / (1 + np.exp(-np.abs(x))),
}


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_a_composed_rule(name: str, sample: np.ndarray) -> None:
    """Within 2 units in the last place, or 2^-24 |x|: what 1 + erf(x/sqrt(2)) cancels where it is
    near 0 is a unit in the last place of 1 at most, of which the rule takes |x|/2."""
    x = sample[np.abs(sample) < 1e37]
    with np.errstate(all="ignore"):
        result, expected = read_rule(getattr(ops, name))(x), TRUE[name](x.astype(float))
        error = ulps(result, expected)
    absolute = np.abs(result - expected)
    assert result.dtype == np.float32
    assert np.all((error <= PROMISED) | (absolute <= 2.0**-24 * np.abs(x.astype(float))))
