"""Activation functions as modules.

Each class names its function and declares the function's options as fields: constructor, attributes
and printed form follow from them. `Activation.function` is what the analyzer reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar

from tinygrad_edu.graph import functions
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn.module import Module

_with_options = dataclass(eq=False, repr=False)
"""Makes the constructor from the fields. Modules are compared by identity and print themselves."""


class Activation(Module):
    """A function of the input, element by element or along an axis, without parameters.

    A new one needs its function, and each of the function's options as a field. ::

        @dataclass(eq=False, repr=False)
        class Power(Activation):
            function = staticmethod(lambda x, n: tg.abs(x) ** n)
            n: float = 2.0
    """

    function: ClassVar[Callable[..., Tensor]]

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of `function` besides the input."""
        if not is_dataclass(self):
            return {}
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def forward(self, x: Operand) -> Tensor:
        """The function of x, in the shape of x."""
        return self.function(x, **self.options)

    def extra_repr(self) -> str:
        """The options."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


# ------------------------------------------------------------------------------ piecewise linear


class ReLU(Activation):
    """max(x, 0). Nair and Hinton 2010."""

    function = staticmethod(functions.relu)


class ReLU6(Activation):
    """min(max(x, 0), 6)."""

    function = staticmethod(functions.relu6)


@_with_options
class LeakyReLU(Activation):
    """x above 0, negative_slope * x below. Maas et al. 2013."""

    function = staticmethod(functions.leaky_relu)
    negative_slope: float = 0.01


@_with_options
class Hardtanh(Activation):
    """x between min_val and max_val, the bound outside."""

    function = staticmethod(functions.hardtanh)
    min_val: float = -1.0
    max_val: float = 1.0


# ------------------------------------------------------------------------------ saturating


class Tanh(Activation):
    """The hyperbolic tangent."""

    function = staticmethod(functions.tanh)


class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    function = staticmethod(functions.sigmoid)


class LogSigmoid(Activation):
    """log(sigmoid(x)), accurate where sigmoid underflows or rounds to 1."""

    function = staticmethod(functions.logsigmoid)


class Softsign(Activation):
    """x / (1 + |x|)."""

    function = staticmethod(functions.softsign)


# ------------------------------------------------------------------------------ smooth rectifiers


@_with_options
class Softplus(Activation):
    """log(1 + exp(beta x)) / beta, exact over the whole range: torch's threshold is not needed."""

    function = staticmethod(functions.softplus)
    beta: float = 1.0


@_with_options
class ELU(Activation):
    """x above 0, alpha (exp(x) - 1) below. Clevert et al. 2015."""

    function = staticmethod(functions.elu)
    alpha: float = 1.0


@_with_options
class CELU(Activation):
    """x above 0, alpha (exp(x / alpha) - 1) below: its slope has no jump. Barron 2017."""

    function = staticmethod(functions.celu)
    alpha: float = 1.0


class SELU(Activation):
    """The elu, scaled so that mean 0 and variance 1 are a fixed point. Klambauer et al. 2017."""

    function = staticmethod(functions.selu)


@_with_options
class GELU(Activation):
    """x Phi(x), with Phi the normal distribution function; approximate="tanh" for the formula with
    tanh. Hendrycks and Gimpel 2016."""

    function = staticmethod(functions.gelu)
    approximate: str = "none"


class SiLU(Activation):
    """x sigmoid(x), also known as swish. Elfwing et al. 2017."""

    function = staticmethod(functions.silu)


class Mish(Activation):
    """x tanh(softplus(x)). Misra 2019."""

    function = staticmethod(functions.mish)


class Hardswish(Activation):
    """x min(max(x + 3, 0), 6) / 6. Howard et al. 2019."""

    function = staticmethod(functions.hardswish)


# ------------------------------------------------------------------------------ along an axis


@_with_options
class Softmax(Activation):
    """exp(x) divided by its sum along `dim` (torch guesses an axis if none is given; here it is
    the last)."""

    function = staticmethod(functions.softmax)
    dim: int = -1


@_with_options
class LogSoftmax(Activation):
    """The logarithm of softmax along `dim`, accurate where softmax underflows."""

    function = staticmethod(functions.log_softmax)
    dim: int = -1
