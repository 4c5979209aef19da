"""One architecture: predicted, measured, judged, and judged again with a planted error."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.special import stdtrit

from analysis.measurement.measure import Measurement, measure
from analysis.measurement.verify import TESTABLE, Verdict, verify
from analysis.network.analyze import propagate, report_of
from analysis.report.report import Report
from analysis.zoo.drawn import build, find

PLANTED = 1.05
"""A second moment wrong by this factor must be noticed where the bound is below `TESTABLE`."""
BLOCK = 50
"""Networks measured before looking whether they are enough."""
MOST = 4000
WORK = 1e5
"""Weights drawn for one architecture at most, for each network allowed: large models are measured
on fewer networks."""


@dataclass(frozen=True)
class Judgement:
    """A layer in one direction.

    verdict   "agrees", "disagrees", "not testable at this width", "needs more networks" (the
              bound is small, but the measured scatter would hide the planted error), or "unknown"
    planted   whether the planted error was noticed; None where it is not testable
    """

    layer: str
    op: str
    direction: str
    predicted: float | None
    bound: float | None
    measured: float | None
    standard_error: float | None
    verdict: str
    planted: bool | None


@dataclass(frozen=True)
class Outcome:
    """What became of one architecture."""

    name: str
    networks: int
    seconds: float
    judgements: tuple[Judgement, ...]
    findings: tuple[str, ...]

    def count(self, verdict: str) -> int:
        """How many judgements are this."""
        return sum(j.verdict == verdict for j in self.judgements)

    @property
    def missed(self) -> int:
        """Planted errors that went unnoticed although they were testable."""
        return sum(j.planted is False for j in self.judgements)

    @property
    def good(self) -> bool:
        """Whether nothing disagrees, and no testable error was missed."""
        return not self.count("disagrees") and not self.missed

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def examine(name: str, false_alarm: float, seed: int = 0, most: int = MOST) -> Outcome:
    """Predict, measure until every testable layer is known well enough (on at most `most`
    networks), and judge. `false_alarm` is the probability that anything disagrees by chance."""
    started = time.perf_counter()
    model, architecture = build(name), find(name)
    given = architecture.shape if architecture.data is None else architecture.data()
    report = report_of(propagate(model, given, batch=architecture.batch))
    weights = sum(p.numel() for p in model.parameters())
    limit = int(min(most, max(WORK * most / weights, 2 * BLOCK)))
    measured: Measurement | None = None
    while measured is None or (
        measured.networks < limit and not _enough(report, measured, false_alarm)
    ):
        done = 0 if measured is None else measured.networks
        count = min(max(BLOCK, done // 2), limit - done)
        block = measure(
            model,
            max(count, 2),
            batch=architecture.batch,
            seed=seed + done * 7919,
            input=report.input,
            progress=False,
        )
        measured = block if measured is None else measured.joined(block)
    return Outcome(
        name,
        measured.networks,
        time.perf_counter() - started,
        tuple(_judgements(report, measured, false_alarm)),
        tuple(f"{f.layer}: {f.code} {f.message}" for f in report.findings),
    )


def _enough(report: Report, measured: Measurement, false_alarm: float) -> bool:
    """Whether no testable layer needs more networks."""
    return all(
        _resolved(v, false_alarm, 2 * len(report.rows), measured.networks)
        for v in verify(report, measured, false_alarm)
        if v.testable
    )


def _resolved(verdict: Verdict, false_alarm: float, cases: int, networks: int) -> bool:
    """Whether the planted error lies outside of the tolerance even if the measured value is off by
    as much as chance leaves likely (4 standard errors)."""
    if verdict.predicted == 0:
        return True
    quantile = -float(stdtrit(networks - 1, false_alarm / cases / 2))
    error = verdict.standard_error * (quantile + 4)
    return error + verdict.bound * (1 + PLANTED) < (PLANTED - 1) * abs(verdict.predicted)


def _judgements(report: Report, measured: Measurement, false_alarm: float) -> list[Judgement]:
    verdicts = {(v.layer, v.direction): v for v in verify(report, measured, false_alarm)}
    wrong = {(v.layer, v.direction): v for v in verify(planted(report), measured, false_alarm)}
    return [
        _judged(
            row.name,
            row.op,
            direction,
            verdicts.get((row.name, direction)),
            wrong.get((row.name, direction)),
            false_alarm,
            2 * len(report.rows),
            measured.networks,
        )
        for row in report.rows
        for direction in ("forward", "backward")
    ]


def _judged(
    layer: str,
    op: str,
    direction: str,
    verdict: Verdict | None,
    wrong: Verdict | None,
    false_alarm: float,
    cases: int,
    networks: int,
) -> Judgement:
    if verdict is None or wrong is None:
        return Judgement(layer, op, direction, None, None, None, None, "unknown", None)
    text, noticed = verdict.text, None
    if verdict.agrees and verdict.testable and verdict.predicted:
        if _resolved(verdict, false_alarm, cases, networks):
            noticed = not wrong.agrees
        else:
            text = "needs more networks"
    return Judgement(
        layer,
        op,
        direction,
        _plain(verdict.predicted),
        _plain(verdict.bound),
        _plain(verdict.measured),
        _plain(verdict.standard_error),
        text,
        noticed,
    )


def _plain(number: float) -> float | None:
    """For JSON, which has no NaN."""
    return float(number) if np.isfinite(number) else None


def planted(report: Report) -> Report:
    """The same report with every second moment wrong by the planted factor. (Each verdict looks at
    its own layer alone, so all can be planted at once.)"""

    def moved(side: Any) -> Any:
        if side is None:
            return None
        p = side.prediction
        wrong = replace(p, second=p.second * PLANTED, shift=p.shift * PLANTED)
        return replace(side, prediction=wrong)

    rows = tuple(
        replace(row, forward=moved(row.forward), backward=moved(row.backward))
        for row in report.rows
    )
    return replace(report, rows=rows)


assert TESTABLE < PLANTED - 1
