"""What is known of a signal, and of a gradient, at one place of a network.

Fields are arrays with one entry for each example of the input (one entry when the input is a law):
each example's moments travel by themselves, and averages are taken last, because the average
example is not the example.

Mean-field theory gives the value in the limit of infinite width. Beside it travel the corrections
of order 1/width, so that a prediction for a real width has a remainder of order 1/width^2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from analysis.network.elements import Element

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Weight:
    """A parameter as a law: independent entries with this mean, variance and kurtosis; or, with
    `orthogonal`, a matrix of that many orthonormal rows or columns.

    shared    whether more than one op uses it
    values    its own numbers, if it was not drawn from a law: then the moments above are theirs
    """

    name: str
    mean: float
    variance: float
    kurtosis: float
    orthogonal: int = 0
    shared: bool = False
    values: Array | None = field(default=None, repr=False, compare=False)

    @property
    def drawn(self) -> bool:
        """Whether this is the law it was drawn from, and not its own numbers."""
        return self.values is None


@dataclass(frozen=True)
class Mask:
    """Independent random elements: `value` with probability `keep`, and else 0."""

    keep: float
    value: float = 1.0


@dataclass(frozen=True)
class Noise:
    """Independent elements, uniform on [0, 1)."""


@dataclass(frozen=True)
class Numbers:
    """What is known: tokens, and what is computed from them and from constants alone.

    values    (cases, ...), or without the axis of the cases if not `batched`
    """

    values: np.ndarray[Any, Any] = field(repr=False, compare=False)
    batched: bool = True


@dataclass(frozen=True)
class Signal:
    """One element of a layer's output, over random weights.

    mean, second, fourth   moments of an element in the limit of infinite width
    shift                  correction of `second` of order 1/width
    size                   the sum of that correction's terms in absolute value
    fluctuation            variance, over draws of the weights, of the second moment that the
                           elements' own law has (the elements scatter about that law, too)
    excess                 excess kurtosis of an element over a Gaussian's, of order 1/fan_in
    units                  elements that share that law
    element                what an element is made of; None if only the moments are known
    sources                everything random in it
    places                 positions (pixels, time steps) with laws of their own: arrays then have
                           one entry for each case and, within it, for each place
    fixed                  the numbers are data: they do not scatter
    layout                 where its axes have positions and units (see `layouts`); "" for units
                           first
    dead                   probability that all units are exactly 0
    alike                  probability that all units were exactly 0 and then shifted alike
    joined                 whether branches were joined before: then corrections are estimates, and
                           their size is part of the bound
    identical              whether all units are equal
    partner                E[x x'] for the same element on another example; None if unknown
    apart                  whether places are independent of each other
    pairs                  gives E[x_p x_q] of two places where no law says it; None if unknown
    reshaped               relative doubt in functions of it: a norm gave its law another shape
    centred                whether the units of each example add up to 0, so that their mean does
                           not scatter
    loose                  of a law: variance over networks of two examples' covariance, relative to
                           the square of what they do not share; 0 where it is not followed
    """

    mean: Array
    second: Array
    fourth: Array
    shift: Array
    size: Array
    fluctuation: Array
    excess: Array
    units: int
    element: Element | None = None
    sources: frozenset[tuple[int, int]] = frozenset()
    places: int = 1
    fixed: bool = False
    dead: float = 0.0
    alike: float = 0.0
    joined: bool = False
    identical: bool = False
    partner: Array | None = None
    apart: bool = False
    pairs: Callable[[], Array | None] | None = None
    reshaped: float = 0.0
    centred: bool = False
    layout: str = ""
    loose: float = 0.0

    @property
    def gaussian(self) -> bool:
        """Whether the law is Gaussian up to `excess`."""
        return self.element is not None and self.element.root is None

    @property
    def law(self) -> str:
        """ "gaussian", "exact" where the law is known in full, else "moments"."""
        if self.element is None:
            return "moments"
        return "gaussian" if self.gaussian else "exact"

    @property
    def variance(self) -> Array:
        """E[x^2] - E[x]^2 of an element."""
        return self.second - self.mean**2

    @property
    def scatter(self) -> Array:
        """Variance of the average square over the units: their law's, and theirs about it."""
        if self.fixed:
            return np.zeros_like(self.second)
        different = 1 if self.identical else self.units
        return self.fluctuation + (self.fourth - self.second**2) / different

    @property
    def kurtosis(self) -> Array:
        """E[x^4] / E[x^2]^2 of an element."""
        return self.fourth / np.maximum(self.second**2, np.finfo(float).tiny)


@dataclass(frozen=True)
class Gradient:
    """The squared gradient of the output (weighted by iid standard normals) at one place.

    second    E[(ds/dx)^2] of an element in the limit of infinite width, as a function of the
              signal's second moment there; `log_1` and `log_2` are the first two derivatives of
              its logarithm
    coherent  the squared derivative along the signal itself, per squared length of it
    profile   part of the gradient (relative, of order 1/units) that sits where the signal is
              large, from the kurtosis of the weights
    bend      d log(second) / dq of the last activation alone: what `profile` is made of
    epsilon   relative correction of order 1/width
    size      the sum of that correction's terms in absolute value
    slack     relative size of what is not modelled at all
    blocked   whether it vanishes where the signal is exactly 0, because an activation follows that
              is flat there
    joined    whether it came back through more than one branch, as in `Signal`
    aligned   whether gradients at different places may be correlated
    numbers   whether it came through weights that speak by their own numbers
    at_variable  whether the corrections are those at the variable that the place is a function of
    """

    second: Array
    coherent: Array
    profile: Array
    bend: Array
    log_1: Array
    log_2: Array
    epsilon: Array
    size: Array
    slack: float = 0.0
    blocked: bool = False
    joined: bool = False
    aligned: bool = False
    numbers: bool = False
    at_variable: bool = False


@dataclass(frozen=True)
class Step:
    """A rule that was applied at one op, for the report: what it is and where it is derived."""

    op: str
    derivation: str
    formula: str


@dataclass(frozen=True)
class Finding:
    """Something the analyzer has to say about one layer."""

    code: str
    severity: str
    layer: str
    message: str
    evidence: dict[str, float] = field(default_factory=dict)
    fix: str | None = None


def one_a_unit(shape: tuple[int, ...], x: Signal) -> bool:
    """Whether an array of this shape, spread over a signal, has a number for each of its units."""
    return [size for size in shape if size != 1] == ([] if x.units == 1 else [x.units])
