"""The maps that a deep network iterates: of the variance, and of the correlation of two inputs.

    >>> deep = analysis.maps("tanh")
    >>> deep.critical(sigma_b2=0.05)            # the edge of chaos
    >>> deep.fixed_point(sigma_w2=2.5, sigma_b2=0.05)

In a wide layer with weights of variance sigma_w2 / fan_in and biases of variance sigma_b2,
pre-activations are normal. With x = sqrt(q) z, z ~ N(0, 1), the layer maps (Poole et al. 2016,
eq. 3, 5 and 6; Schoenholz et al. 2017, eq. 2 to 4)

    the variance       q -> sigma_w2 E[phi(x)^2] + sigma_b2
    the correlation    c -> (sigma_w2 E[phi(u) phi(v)] + sigma_b2) / q'
    a perturbation, and the gradient's second moment,  by  chi_1 = sigma_w2 E[phi'(x)^2]

where (u, v) has variances q and correlation c, and q' is the next variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from sympy import Expr

from analysis.dynamics.closed import Rectifier, closed_kernel
from analysis.dynamics.expectations import Array, Expectations
from analysis.dynamics.fixed_points import Critical, FixedPoint, critical_points, fixed_points
from analysis.dynamics.number import Number
from analysis.dynamics.phase import Phase, phase
from analysis.errors import InvalidLaw
from analysis.symbolic.activations import Moments, moments
from analysis.symbolic.integrands import integrand
from analysis.symbolic.namespace import exact
from analysis.symbolic.quadrature import expectation
from analysis.symbolic.quantity import Quantity
from analysis.symbolic.reading import Activation, X

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def maps(activation: Any, **parameters: Any) -> Maps:
    """The maps of an activation.

    Args:
        activation, parameters: as for `analysis.moments`.

    Raises:
        UnknownActivation, UnsupportedActivation, InputError: the activation cannot be read.
    """
    return _maps(moments(activation, **parameters).activation)


@lru_cache(maxsize=64)
def _maps(activation: Activation) -> Maps:
    return Maps(activation)


@dataclass(frozen=True)
class DepthScale:
    """Over how many layers a deviation from the fixed point shrinks by a factor e.

    Attributes:
        xi_q: of the variance, -1 / log(slope of the variance map) (Schoenholz et al. 2017, eq. 7);
            infinite where the fixed point does not attract.
        xi_c: of the correlation, -1 / log(slope of the correlation map at its fixed point) (eq. 9);
            infinite on the edge of chaos.
    """

    xi_q: Number
    xi_c: Number


@dataclass(frozen=True)
class Maps:
    """The maps of one activation; made by `maps`."""

    activation: Activation

    # -------------------------------------------------------------------------- one layer

    def q(self, q: Any, sigma_w2: Any, sigma_b2: Any = 0) -> Any:
        """The variance after a layer, of an input of variance q.

        Returns:
            A `Number`; for an array of q an array; where an argument is a SymPy expression with
            symbols, a `Quantity` (with `.exact` and `.latex()`).
        """
        if symbolic := _symbolic(q, sigma_w2, sigma_b2):
            q, w, b = symbolic
            return Quantity(sp.expand(w * self._at(q).second.expression) + b)
        w, b = _variance("sigma_w2", sigma_w2), _variance("sigma_b2", sigma_b2)
        if np.ndim(q):
            return w * self._expect.curves(_variances(q)).second + b
        value = self.second(_variance("q", q))
        return Number(w * value + b, w * value.error)

    def chi(self, q: Any, sigma_w2: Any) -> Any:
        """chi_1 at variance q: what a layer multiplies a small perturbation's square, and the
        gradient's second moment, by. Infinite for an activation with jumps. Returns as `q`."""
        if symbolic := _symbolic(q, sigma_w2):
            q, w = symbolic
            return Quantity(sp.expand(w * self._at(q).derivative_second.expression))
        w = _variance("sigma_w2", sigma_w2)
        if np.ndim(q):
            return w * self._expect.curves(_variances(q)).chi
        value = self.derivative_second(_variance("q", q))
        return Number(w * value, w * value.error)

    def c(self, c: Any, q: Any, sigma_w2: Any, sigma_b2: Any = 0) -> Any:
        """The correlation of two signals after a layer; before it they have variance q and
        correlation c. Returns as `q`, symbolic only for rectifiers and error functions.

        Raises:
            InvalidLaw: c is not in [-1, 1].
        """
        if symbolic := _symbolic(c, q, sigma_w2, sigma_b2):
            return self._symbolic_c(*symbolic)
        if np.ndim(c):
            return np.array([float(self.c(each, q, sigma_w2, sigma_b2)) for each in np.ravel(c)])
        if not -1 <= c <= 1:
            raise InvalidLaw(f"a correlation lies in [-1, 1], not {c}")
        w, b = _variance("sigma_w2", sigma_w2), _variance("sigma_b2", sigma_b2)
        together = self.kernel(_variance("q", q), float(c))
        alone = self.q(q, w, b)
        value = (w * together + b) / alone
        return Number(value, (w * together.error + abs(value) * alone.error) / alone)

    # -------------------------------------------------------------------------- many layers

    def fixed_point(self, sigma_w2: float, sigma_b2: float = 0.0, start: float = 1.0) -> FixedPoint:
        """Where the variance settles that starts from `start`, with all other fixed points.

        `.q` is infinite if it grows without bound. `.stable` says whether the fixed point attracts,
        `.slope` the slope of the variance map there, `.chi_1` and `.c` what becomes of the
        correlation of two inputs; `.others` are the remaining fixed points.
        """
        w, b = _variance("sigma_w2", sigma_w2), _variance("sigma_b2", sigma_b2)
        return fixed_points(self, w, b, _variance("start", start))

    def critical(self, sigma_b2: float = 0.0) -> Critical:
        """The edge of chaos: sigma_w2 for which chi_1 = 1 at the fixed point of the variance map.

        Returns:
            An object with `.sigma_w2`, `.q` (None for rectifiers, for which any q will do),
            `.stable` and `.others`, more solutions if there are any.

        Raises:
            NoFixedPoint: there is none.
        """
        return critical_points(self, _variance("sigma_b2", sigma_b2))

    def matched(self, q: float = 1.0) -> FixedPoint:
        """The fixed point at q with weights of variance sigma_w2 = q / E[phi^2], no biases: what
        `analysis.gain` prescribes. Its `.slope` tells whether the variance stays there; for gelu it
        is 1.144, so that it does not."""
        q = _variance("q", q)
        second = self.second(q)
        return fixed_points(self, q / second, 0.0, q)

    def depth_scale(self, sigma_w2: float, sigma_b2: float = 0.0) -> DepthScale:
        """How deep a signal reaches: the depth scales at the fixed point from variance 1."""
        at = self.fixed_point(sigma_w2, sigma_b2)
        return DepthScale(_scale(at.slope), _scale(at.c_slope))

    def phase(self, sigma_w2: Any, sigma_b2: Any) -> Phase:
        """Fixed points over a grid of sigma_w2 (columns) and sigma_b2 (rows), all at once."""
        return phase(self._expect, _variances(sigma_w2), _variances(sigma_b2))

    def plot(self, sigma_w2: Any = None, sigma_b2: Any = None) -> Figure:
        """The phase diagram as a matplotlib figure: chi_1 over both variances, the edge of chaos.

        Raises:
            MissingExtra: matplotlib is not installed, which the extra "plots" brings.
        """
        from analysis.dynamics.picture import phase_diagram

        return phase_diagram(self, sigma_w2, sigma_b2)

    # -------------------------------------------------------------------------- expectations

    def second(self, q: float) -> Number:
        """E[phi(x)^2]"""
        return self._expectation(self.activation.expression**2, q)

    def derivative_second(self, q: float) -> Number:
        """E[phi'(x)^2]; infinite if phi jumps."""
        if self._expect.jumps:
            return Number(math.inf)
        return self._expectation(self.activation.derivative**2, q)

    def second_slope(self, q: float) -> Number:
        """d/dq E[phi(x)^2] = E[x phi phi'] / q, by Stein's lemma."""
        if isinstance(self._closed, Rectifier):
            return Number(float(self._closed.half))
        if self._expect.jumps:
            fine, coarse = (
                float(self._expect.curves(np.array([q]), order).slope[0]) for order in (28, 20)
            )
            return Number(fine, abs(fine - coarse) + 1e-14 * abs(self.second(q)) / q)
        phi = self.activation
        value = self._expectation(X * phi.expression * phi.derivative, q)
        return Number(value / q, value.error / q)

    def kernel(self, q: float, c: float, of_slope: bool = False) -> Number:
        """E[phi(u) phi(v)], or E[phi'(u) phi'(v)], for variances q and correlation c."""
        closed = self._closed
        if closed is None:
            return Number(*self._expect.kernel(q, c, of_slope))
        formula = closed.slope_kernel if of_slope else closed.kernel
        value = formula(sp.Float(q, 30), sp.Float(c, 30))
        return Number(float(sp.N(value, 20)))

    def _expectation(self, f: Expr, q: float) -> Number:
        if not f.has(X):
            return Number(float(f))
        found = expectation(integrand(f, X), 0.0, q)
        return Number(found.value, found.error)

    @cached_property
    def _expect(self) -> Expectations:
        return Expectations(self.activation)

    @cached_property
    def _closed(self) -> Any:
        return closed_kernel(self.activation.expression)

    # -------------------------------------------------------------------------- symbols

    def _at(self, q: Expr) -> Moments:
        return moments(self.activation, variance=q)

    def _symbolic_c(self, c: Expr, q: Expr, w: Expr, b: Expr) -> Quantity:
        closed = self._closed
        if closed is None:
            raise InvalidLaw(
                f"the correlation map of {self.activation.name} has no closed form here; give "
                "numbers"
            )
        after = self._at(q).second.expression
        return Quantity((w * closed.kernel(q, c) + b) / (w * after + b))


def _scale(slope: Number) -> Number:
    """-1 / log(slope), and how far the slope's error moves it."""
    size = abs(slope)
    if math.isnan(size) or size >= 1:
        return Number(math.nan if math.isnan(size) else math.inf)
    if size == 0:
        return Number(0.0)
    xi = -1 / math.log(size)
    return Number(xi, xi**2 * slope.error / size)


def _variance(name: str, value: Any) -> float:
    try:
        number = float(value)
    except TypeError:
        raise InvalidLaw(f"{name} must be a number, not {value!r}") from None
    if not 0 <= number < math.inf:
        raise InvalidLaw(f"{name} is a variance, finite and not negative; got {value}")
    return number


def _variances(values: Any) -> Array:
    array = np.asarray(values, np.float64)
    if not (np.all(array >= 0) and np.all(np.isfinite(array))):
        raise InvalidLaw("variances are finite and not negative")
    return np.maximum(np.atleast_1d(array), np.finfo(float).tiny)


def _symbolic(*values: Any) -> list[Expr] | None:
    """The arguments as exact expressions, if one of them has symbols."""
    if any(isinstance(value, Expr) and value.free_symbols for value in values):
        return [exact(value) for value in values]
    return None
