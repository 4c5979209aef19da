"""The error function: a polynomial near 0, and 1 - exp(a polynomial) from 1 on, where log(erfc(x))
is as smooth as a parabola."""

from __future__ import annotations

from tinygrad_edu.kernels.vector_math.arithmetic import Number, muladd, polynomial
from tinygrad_edu.kernels.vector_math.coefficients import ERF, ERFC
from tinygrad_edu.kernels.vector_math.exponential import exp_within

ERF_ONE = {"float32": 4.0, "float64": 6.0}
"""From here on erf rounds to 1: erfc(4) = 1.5e-8 < 2^-25, erfc(6) = 2.2e-17 < 2^-54."""


def erf(x: Number) -> Number:
    """2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    name = x.format.name
    size = x.abs()
    small = muladd(size, polynomial(size * size, ERF[name]), size)
    large = 1.0 - exp_within(polynomial(size.minimum(ERF_ONE[name]) - 1.0, ERFC[name]))
    return (size < 1.0).select(small, large).copysign(x)
