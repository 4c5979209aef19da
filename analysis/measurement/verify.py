"""Hold predictions against measurements: one verdict for each layer and direction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.measurement.measure import Estimate, Measurement
from analysis.report.report import Prediction, Report

FALSE_ALARM = 1e-9
"""Probability that any verdict of one call fails although every prediction is right."""

TESTABLE = 0.02
"""A relative bound above which a prediction counts as not testable: agreement says little then."""

RARE = 0.1
"""If one network brings more than this share of the sum (and three equal shares), the mean
lies in rare networks: neither it nor its standard error is known from such a sample. In a narrow
relu network, whose second moment is about log-normal, this comes with depth."""


UNDERFLOW = float(np.finfo(np.float32).tiny) ** 2
"""A second moment of 1e-76: numbers of that size lose their digits in the networks' float32."""


@dataclass(frozen=True)
class Verdict:
    """A prediction beside its measurement.

    predicted       E[y^2] with the correction of order 1/width
    bound           size of what that leaves out
    measured        mean over independent networks, with its `standard_error`
    z               (measured - predicted) / standard_error
    agrees          |measured - predicted| is within the bound and the standard error's share, or
                    the mean lies in rare networks, and nothing speaks against the prediction
    testable        whether the bound is so small that an error of 5 % would be noticed, given
                    enough networks, and the mean does not lie in rare ones
    """

    layer: str
    direction: str
    predicted: float
    bound: float
    measured: float
    standard_error: float
    z: float
    agrees: bool
    testable: bool = True

    @property
    def text(self) -> str:
        """In words."""
        if not self.agrees:
            return "disagrees"
        return "agrees" if self.testable else "not testable at this width"


def verify(
    report: Report, measurement: Measurement, false_alarm: float = FALSE_ALARM
) -> tuple[Verdict, ...]:
    """A verdict for every layer and direction that has a prediction.

    The tolerance is bound + t * standard error, where t is Student's quantile for the number of
    networks at `false_alarm` divided by the number of verdicts (Bonferroni)."""
    cases = [
        (row.name, direction, side.prediction, estimate(row.name))
        for row in report.rows
        for direction, side, estimate in (
            ("forward", row.forward, measurement.forward),
            ("backward", row.backward, measurement.backward),
        )
        if side is not None
    ]
    if not cases:
        return ()
    level = false_alarm / len(cases) / 2
    quantile = -float(stdtrit(measurement.networks - 1, level))
    return tuple(_judge(*case, quantile, measurement.networks) for case in cases)


def _judge(
    layer: str,
    direction: str,
    prediction: Prediction,
    estimate: Estimate,
    quantile: float,
    networks: int,
) -> Verdict:
    gap = estimate.value - prediction.corrected
    error = estimate.standard_error
    z = gap / error if error > 0 else math.copysign(math.inf, gap) if gap else 0.0
    rounding = 1e-6 * abs(prediction.corrected) + UNDERFLOW  # of the float32 sums measured
    tolerance = prediction.bound + quantile * error + rounding
    rare = estimate.leading > max(RARE, 3 / networks)
    return Verdict(
        layer=layer,
        direction=direction,
        predicted=prediction.corrected,
        bound=prediction.bound,
        measured=estimate.value,
        standard_error=error,
        z=z,
        agrees=rare or abs(gap) <= tolerance,
        testable=not rare and prediction.bound <= TESTABLE * abs(prediction.corrected),
    )
