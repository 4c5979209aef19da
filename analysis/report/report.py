"""The result of an analysis: one row a layer, what was found, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.measurement.measure import Measurement
    from analysis.network.inputs import Input
    from analysis.network.records import Finding
    from analysis.network.regions import Regions
    from analysis.symbolic.derivation import Derivation

_DERIVED_IN = {"Linear": "dense-forward", "ReLU": "he"}
"""The derivation that stands behind a layer's row."""


@dataclass(frozen=True)
class Prediction:
    """A second moment: its value in the limit of infinite width, the correction of order 1/width
    for this network's widths, and the size of what is left out after that."""

    second: float
    shift: float
    bound: float

    @property
    def corrected(self) -> float:
        """What a measurement of this network should give."""
        return self.second + self.shift


@dataclass(frozen=True)
class Forward:
    """A layer's output over random weights and over the examples.

    law                "gaussian", "exact" (known in full) or "moments" (only those are known)
    regions            fractions of units that are saturated, near linear, dead; of activations
    input_correlation  E[y y'] / sqrt(E[y^2] E[y'^2]) of an element on two examples
    unit_correlation   correlation of two units on one example: 1 where they are identical
    """

    mean: float
    prediction: Prediction
    law: str | None = None
    regions: Regions | None = None
    input_correlation: float | None = None
    unit_correlation: float | None = None

    @property
    def second(self) -> float:
        """E[y^2] of an element."""
        return self.prediction.second

    @property
    def variance(self) -> float:
        """E[y^2] - E[y]^2."""
        return self.second - self.mean**2


@dataclass(frozen=True)
class Backward:
    """The gradient at a layer's output: E[(ds/dy)^2] of an element, with s the network's output
    weighted by iid standard normals."""

    prediction: Prediction

    @property
    def second(self) -> float:
        """E[(ds/dy)^2] of an element."""
        return self.prediction.second


@dataclass(frozen=True)
class Row:
    """One leaf module. `forward` or `backward` is None where nothing is known."""

    name: str
    op: str
    forward: Forward | None
    backward: Backward | None

    @property
    def derivation(self) -> Derivation | None:
        """The checked derivation behind this row, where there is one of its own."""
        from analysis.topics import derive

        name = _DERIVED_IN.get(self.op)
        return None if name is None else derive(name)


@dataclass(frozen=True)
class Report:
    """What `analyze` found. `measurement` is set by `with_measurement`."""

    input: Input
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    assumptions: tuple[str, ...]
    title: str = ""
    measurement: Measurement | None = field(default=None, repr=False)

    @property
    def layers(self) -> tuple[Row, ...]:
        """One row a leaf module, in order of use."""
        return self.rows

    def with_measurement(self, measurement: Measurement) -> Report:
        """The same report beside what was measured."""
        return replace(self, measurement=measurement)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: numbers, strings, lists, dictionaries and None only."""
        from analysis.report.serialise import to_dict

        return to_dict(self)

    def text(self) -> str:
        """A table for the terminal."""
        from analysis.report.text import to_text

        return to_text(self)

    def latex(self) -> str:
        """A table for a paper."""
        from analysis.report.latex import to_latex

        return to_latex(self)

    def html(self) -> str:
        """One page that needs nothing else: table, findings, figure, derivations."""
        from analysis.report.page import to_html

        return to_html([self])

    def plot(self) -> Figure:
        """Second moments by depth, forward and backward, as a matplotlib figure.

        Raises `MissingExtra` without matplotlib, which the extra "plots" brings.
        """
        from analysis.report.figures import figure

        return figure(self)
