"""Moments and gains of activation functions.

Moments under x ~ N(mean, variance) are closed forms where lemma A or B of `gaussian.py` applies,
also with a symbolic variance, and inert expectations with a certified value elsewhere:

>>> moments("relu", variance=sp.Symbol("q", positive=True)).second.exact
q/2
>>> gain("relu").exact
sqrt(2)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import sympy as sp
from sympy import Expr

from analysis.errors import UnsupportedActivation
from analysis.symbolic.gaussian import GaussianExpectation, closed_form, standard_deviation
from analysis.symbolic.namespace import exact
from analysis.symbolic.pieces import is_odd
from analysis.symbolic.quantity import Quantity
from analysis.symbolic.reading import Activation, X, read


@dataclass(frozen=True)
class Moments:
    """The moments of phi(x) for x ~ N(mean, variance), each computed when it is asked for.

    Attributes:
        activation: the function phi.
        at: mean and variance of x.
    """

    activation: Activation
    at: tuple[Expr, Expr]

    @cached_property
    def mean(self) -> Quantity:
        """E[phi(x)]"""
        return self.expectation(self.activation.expression)

    @cached_property
    def second(self) -> Quantity:
        """E[phi(x)^2]"""
        return self.expectation(self.activation.expression**2)

    @cached_property
    def variance(self) -> Quantity:
        """Var(phi(x))"""
        second, mean = self.second.expression, self.mean.expression
        if mean != 0 and (second - mean).has(GaussianExpectation):
            return Quantity(second - mean**2, self._centred())
        return Quantity(sp.expand(second - mean**2))

    def _centred(self) -> Expr | None:
        """The variance once more, of phi(x) - phi(E[x]): where phi hardly varies, the difference of
        E[phi^2] and E[phi]^2 has no digits left."""
        f = self.activation.expression
        shift = f.subs(X, self.at[0])
        if shift.free_symbols or self.at[1].free_symbols or shift.has(sp.oo, sp.zoo, sp.nan):
            return None
        first, second = (GaussianExpectation(g, X, *self.at) for g in (f - shift, (f - shift) ** 2))
        return second - first**2

    @cached_property
    def fourth(self) -> Quantity:
        """E[phi(x)^4]"""
        return self.expectation(self.activation.expression**4)

    @cached_property
    def derivative_second(self) -> Quantity:
        """E[phi'(x)^2], kinks and jumps not counted"""
        return self.expectation(self.activation.derivative**2)

    def expectation(self, f: Expr) -> Quantity:
        """E[f(x)] for any other function of X.

        Raises:
            DivergentMoment: it does not exist.
        """
        value = closed_form(f, X, *self.at)
        if value is not None:
            return Quantity(value)
        node = GaussianExpectation(f, X, *self.at)
        if node.free_symbols:
            return Quantity(node)
        from analysis.symbolic.integrands import integrand
        from analysis.symbolic.quadrature import expectation

        expectation(integrand(f, X), *map(float, self.at))  # refuses what diverges
        return Quantity(sp.S.Zero if self.at[0] == 0 and is_odd(f, X) else node)


def moments(activation: Any, mean: Any = 0, variance: Any = 1, **parameters: Any) -> Moments:
    """The moments of an activation function phi under x ~ N(mean, variance).

    Args:
        activation: what `reading.read` takes: a name, a function or module of the engine or one
            composed of such, a SymPy expression.
        mean, variance: numbers or SymPy expressions; declare a symbolic variance positive.
        parameters: parameters of the activation, such as `negative_slope`.

    Returns:
        An object with `.mean .second .variance .fourth .derivative_second`, each a `Quantity`.
        They are computed when asked for, and then raise `DivergentMoment` if they do not exist.

    Raises:
        UnknownActivation, UnsupportedActivation: the activation cannot be read.
        InvalidLaw: the variance is negative, or not known to be positive.
    """
    mean, variance = exact(mean), exact(variance)
    standard_deviation(variance)
    phi = read(activation, **parameters)
    _require_real(phi)
    return Moments(phi, (mean, variance))


PROBES = tuple(sign * size for size in (0.01, 0.3, 1.7, 8.0, 1e3) for sign in (-1, 1))
"""Where a function must be real: a logarithm or a root of what may be negative is not."""


def _require_real(phi: Activation) -> None:
    if phi.expression.free_symbols != {X} or phi.expression.is_polynomial(X):
        return  # with symbols for parameters, realness is the caller's assumption
    import mpmath

    from analysis.symbolic.integrands import integrand

    f = integrand(phi.expression, X)
    for x in PROBES:
        f.real(mpmath.mpf(x))


def gain(
    activation: Any, direction: Literal["forward", "backward"] = "forward", **parameters: Any
) -> Quantity:
    """By what to multiply 1/sqrt(fan) so that a layer keeps its signal's second moment.

    Forward it is 1/sqrt(E[phi(z)^2]), backward 1/sqrt(E[phi'(z)^2]), with z ~ N(0, 1)
    (He et al. 2015, for relu).

    Args:
        activation, parameters: as for `moments`.
        direction: "forward" or "backward".

    Raises:
        UnknownActivation, UnsupportedActivation: the activation cannot be read.
            Also if the second moment is 0, which no gain can keep.
        DivergentMoment: the second moment does not exist.
        ValueError: another direction.
    """
    if direction not in ("forward", "backward"):
        raise ValueError(f"direction must be 'forward' or 'backward', not {direction!r}")
    standard = moments(activation, **parameters)
    second = standard.second if direction == "forward" else standard.derivative_second
    if second.expression == 0:
        raise UnsupportedActivation(f"{activation} lets no signal through {direction}")
    return Quantity(1 / sp.sqrt(sp.factor_terms(second.expression)))
