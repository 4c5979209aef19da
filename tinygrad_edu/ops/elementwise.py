"""Every elementwise op with a derivative: its rule in the body, its partial derivatives in the
decorator. (Comparisons, logic and rounding have none: `constant.py`.)

A rule is Python that does not care what flows through it; its functions come from the namespace
`m`. A partial takes `(m, y, *operands)`, with `y` the op's own result. Conventions:

* Branches are `m.where`, written so that NaN stays NaN (``where(x <= 0, 0, x)``), never `if`.
* A partial that is a condition is a mask: the cotangent passes where it holds and is exactly 0
  elsewhere, even if the cotangent is infinite. So `relu` has the partial ``not (x <= 0)``. The
  option `picks` asks the same of the zeros of a numeric partial.
* At kinks the partials follow torch; a test names each.
"""

from __future__ import annotations

from tinygrad_edu.ops.kinds import elementwise

# ------------------------------------------------------------------------------ arithmetic


@elementwise(1, 1)
def add(m, a, b):
    """a + b"""
    return a + b


@elementwise(1, -1, numeric=True)
def sub(m, a, b):
    """a - b"""
    return a - b


@elementwise(lambda m, y, a, b: b, lambda m, y, a, b: a)
def mul(m, a, b):
    """a * b"""
    return a * b


@elementwise(lambda m, y, a, b: 1 / b, lambda m, y, a, b: -y / b, result="float")
def div(m, a, b):
    """a / b; integers divide to floats."""
    return a / b


@elementwise(1, lambda m, y, a, b: -m.floor_divide(a, b), numeric=True)
def remainder(m, a, b):
    """a - b floor(a / b), without the rounding of that formula; it has the sign of b."""
    return m.remainder(a, b)


@elementwise(-1, quiet=True, numeric=True)
def neg(m, x):
    """-x"""
    return -x


@elementwise(
    lambda m, y, x, n: m.where(m.eq(n, 0), 0, n * m.pow(x, n - 1)),
    lambda m, y, x, n: m.where(m.logical_and(m.eq(x, 0), n >= 0), 0, y * m.log(x)),
    numeric=True,
)
def pow(m, x, n):
    """x ** n. The derivative of x ** 0 is 0 everywhere, at 0 too; so is that of 0 ** n, n >= 0."""
    return m.pow(x, n)


@elementwise(lambda m, y, x: m.sign(x), quiet=True, numeric=True)
def abs(m, x):
    """The absolute value; derivative 0 at 0."""
    return m.abs(x)


@elementwise(
    lambda m, y, a, b: m.where(a < b, 0, m.where(m.eq(a, b), 0.5, 1)),
    lambda m, y, a, b: m.where(b < a, 0, m.where(m.eq(a, b), 0.5, 1)),
    quiet=True,
    picks=True,
)
def maximum(m, a, b):
    """The larger operand; a tie shares the gradient evenly, NaN wins."""
    return m.maximum(a, b)


@elementwise(
    lambda m, y, a, b: m.where(b < a, 0, m.where(m.eq(a, b), 0.5, 1)),
    lambda m, y, a, b: m.where(a < b, 0, m.where(m.eq(a, b), 0.5, 1)),
    quiet=True,
    picks=True,
)
def minimum(m, a, b):
    """The smaller operand; a tie shares the gradient evenly, NaN wins."""
    return m.minimum(a, b)


@elementwise(None, lambda m, y, c, a, b: c, lambda m, y, c, a, b: m.logical_not(c), quiet=True)
def where(m, c, a, b):
    """`a` where the condition `c` holds, else `b`."""
    return m.where(c, a, b)


@elementwise(
    lambda m, y, x, low, high: m.logical_and(x >= low, x <= high),
    lambda m, y, x, low, high: m.logical_and(x < low, low < high),
    lambda m, y, x, low, high: m.logical_or(x > high, high < low),
    quiet=True,
    numeric=True,
)
def clamp(m, x, low, high):
    """min(max(x, low), high). At a bound the gradient goes to x; where low > high, to high."""
    return m.minimum(m.maximum(x, low), high)


# ------------------------------------------------------------------------------ functions


@elementwise(lambda m, y, x: y, result="float")
def exp(m, x):
    """The exponential."""
    return m.exp(x)


@elementwise(lambda m, y, x: y + 1, result="float")
def expm1(m, x):
    """exp(x) - 1, accurate near 0."""
    return m.expm1(x)


@elementwise(lambda m, y, x: 1 / x, result="float")
def log(m, x):
    """The natural logarithm."""
    return m.log(x)


@elementwise(lambda m, y, x: 1 / (1 + x), result="float")
def log1p(m, x):
    """log(1 + x), accurate near 0."""
    return m.log1p(x)


@elementwise(lambda m, y, x: 1 / (2 * y), result="float")
def sqrt(m, x):
    """The square root; infinite derivative at 0."""
    return m.sqrt(x)


@elementwise(lambda m, y, x: -y * y * y / 2, result="float")
def rsqrt(m, x):
    """1 / sqrt(x)"""
    return 1 / m.sqrt(x)


@elementwise(lambda m, y, x: m.cos(x), result="float")
def sin(m, x):
    """The sine of x in radians."""
    return m.sin(x)


@elementwise(lambda m, y, x: -m.sin(x), result="float")
def cos(m, x):
    """The cosine of x in radians."""
    return m.cos(x)


@elementwise(lambda m, y, x: 1 + y * y, result="float")
def tan(m, x):
    """The tangent of x in radians."""
    return m.tan(x)


@elementwise(lambda m, y, x: m.cosh(x), result="float")
def sinh(m, x):
    """The hyperbolic sine."""
    return m.sinh(x)


@elementwise(lambda m, y, x: m.sinh(x), result="float")
def cosh(m, x):
    """The hyperbolic cosine."""
    return m.cosh(x)


@elementwise(lambda m, y, x: 1 - y * y, result="float")
def tanh(m, x):
    """The hyperbolic tangent."""
    return m.tanh(x)


@elementwise(lambda m, y, x: 1 / m.sqrt(1 - x * x), result="float")
def asin(m, x):
    """The inverse sine, in radians."""
    return m.asin(x)


@elementwise(lambda m, y, x: -1 / m.sqrt(1 - x * x), result="float")
def acos(m, x):
    """The inverse cosine, in radians."""
    return m.acos(x)


@elementwise(lambda m, y, x: 1 / (1 + x * x), result="float")
def atan(m, x):
    """The inverse tangent, in radians."""
    return m.atan(x)


@elementwise(lambda m, y, x: 2 / m.sqrtpi * m.exp(-x * x), result="float")
def erf(m, x):
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return m.erf(x)


# ------------------------------------------------------------------------------ activations


@elementwise(lambda m, y, x: m.logical_not(x <= 0), quiet=True, numeric=True)
def relu(m, x):
    """max(x, 0); derivative 0 at 0."""
    return m.where(x <= 0, 0, x)


@elementwise(lambda m, y, x: m.logical_not(m.logical_or(x <= 0, x >= 6)), quiet=True, numeric=True)
def relu6(m, x):
    """min(max(x, 0), 6); derivative 0 at both kinks."""
    return m.where(x <= 0, 0, m.where(x >= 6, 6, x))


@elementwise(lambda m, y, x, negative_slope: m.where(x > 0, 1, negative_slope), result="float")
def leaky_relu(m, x, negative_slope=0.01):
    """x above 0, negative_slope * x below."""
    return m.where(x > 0, x, negative_slope * x)


@elementwise(
    lambda m, y, x, alpha: m.where(x <= 0, alpha * m.exp(m.where(x < 0, x, 0)), 1), result="float"
)
def elu(m, x, alpha=1.0):
    """x above 0, alpha (exp(x) - 1) below."""
    return m.where(x <= 0, alpha * m.expm1(m.where(x < 0, x, 0)), x)


# Klambauer et al. 2017, eq. 14: E[y] = 0 and E[y^2] = 1 for a standard normal input.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@elementwise(
    lambda m, y, x: m.where(
        x <= 0, SELU_SCALE * SELU_ALPHA * m.exp(m.where(x < 0, x, 0)), SELU_SCALE
    ),
    result="float",
)
def selu(m, x):
    """The self-normalising elu: scale * elu(x, alpha) with mean 0 and variance 1 as fixed point."""
    return m.where(x <= 0, SELU_SCALE * SELU_ALPHA * m.expm1(m.where(x < 0, x, 0)), SELU_SCALE * x)


@elementwise(lambda m, y, x: y * (1 - y), result="float")
def sigmoid(m, x):
    """1 / (1 + exp(-x))"""
    return m.sigmoid(x)


@elementwise(lambda m, y, x: m.sigmoid(x), result="float")
def softplus(m, x):
    """log(1 + exp(x))"""
    return m.softplus(x)


@elementwise(lambda m, y, x: 1 / ((1 + m.abs(x)) * (1 + m.abs(x))), result="float")
def softsign(m, x):
    """x / (1 + |x|)"""
    return x / (1 + m.abs(x))


@elementwise(lambda m, y, x: m.sigmoid(x) * (1 + x * m.sigmoid(-x)), result="float")
def silu(m, x):
    """x sigmoid(x)"""
    return x * m.sigmoid(x)


@elementwise(
    lambda m, y, x: (
        m.tanh(m.softplus(x))
        + x * m.sigmoid(x) * (1 - m.tanh(m.softplus(x)) * m.tanh(m.softplus(x)))
    ),
    result="float",
)
def mish(m, x):
    """x tanh(softplus(x))"""
    return x * m.tanh(m.softplus(x))


@elementwise(
    lambda m, y, x: (1 + m.erf(x / m.sqrt2)) / 2 + x * m.exp(-x * x / 2) / (m.sqrt2 * m.sqrtpi),
    result="float",
)
def gelu(m, x):
    """x Phi(x), with Phi the standard normal distribution function."""
    return x * (1 + m.erf(x / m.sqrt2)) / 2


def _gelu_tanh_argument(m, x):
    return m.sqrt2 / m.sqrtpi * (x + 0.044715 * x * x * x)


@elementwise(
    lambda m, y, x: (
        (1 + m.tanh(_gelu_tanh_argument(m, x))) / 2
        + x
        / 2
        * (1 - m.tanh(_gelu_tanh_argument(m, x)) * m.tanh(_gelu_tanh_argument(m, x)))
        * (m.sqrt2 / m.sqrtpi)
        * (1 + 0.134145 * x * x)
    ),
    result="float",
)
def gelu_tanh(m, x):
    """The tanh approximation of gelu (Hendrycks and Gimpel 2016)."""
    return x * (1 + m.tanh(_gelu_tanh_argument(m, x))) / 2


@elementwise(
    lambda m, y, x, low, high: m.logical_not(m.logical_or(x <= low, x >= high)), result="float"
)
def hardtanh(m, x, low=-1.0, high=1.0):
    """x between low and high, the bound outside; derivative 0 at both kinks."""
    return m.where(x <= low, low, m.where(x >= high, high, x))


@elementwise(lambda m, y, x: m.where(x <= -3, 0, m.where(x < 3, x / 3 + 0.5, 1)), result="float")
def hardswish(m, x):
    """x min(max(x + 3, 0), 6) / 6"""
    return m.where(x <= -3, 0, m.where(x < 3, x * (x + 3) / 6, x))
