"""A report as a table for the terminal."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from analysis.measurement.verify import Verdict, verify
from analysis.report.report import Prediction, Report

_WIDTH = 110
_ROUNDING = 1e-9


def to_text(report: Report, colour: bool = False) -> str:
    """Layers from input to output; forward on the left, backward on the right."""
    verdicts = {}
    if report.measurement is not None:
        verdicts = {(v.layer, v.direction): v for v in verify(report, report.measurement)}
    table = Table(title=report.title or None, title_justify="left", header_style="bold")
    table.add_column("layer")
    table.add_column("op")
    for direction in (r"forward E\[y^2]", r"backward E\[(ds/dy)^2]"):
        table.add_column(direction, justify="right")
        if verdicts:
            table.add_column("measured", justify="right")
            table.add_column("z", justify="right")
    for row in report.rows:
        cells = [row.name, row.op]
        for direction, side in (("forward", row.forward), ("backward", row.backward)):
            cells.append("unknown" if side is None else _number(side.prediction))
            if verdicts:
                cells += _evidence(verdicts.get((row.name, direction)))
        table.add_row(*cells)
    console = Console(
        file=io.StringIO(),
        width=_WIDTH,
        force_terminal=colour,
        color_system="standard" if colour else None,
    )
    console.print(table)
    for line in _notes(report, list(verdicts.values())):
        console.print(line, highlight=False, soft_wrap=True)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def _number(prediction: Prediction) -> str:
    return f"{prediction.corrected:.4g}"


def _evidence(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return ["", ""]
    if verdict.agrees and not verdict.testable:
        return [f"{verdict.measured:.4g} ± {verdict.standard_error:.1g}", "(loose)"]
    z = f"{verdict.z:+.1f}" if verdict.agrees else f"[bold red]{verdict.z:+.1f}[/] !"
    return [f"{verdict.measured:.4g} ± {verdict.standard_error:.1g}", z]


def _exactness(remainder: float) -> str:
    if remainder < _ROUNDING:
        return "exact at every width, on average over the weights"
    return (
        "limit of infinite width and its correction of order 1/width; what is left out is at most "
        f"about {remainder:.1g} of the value"
    )


def _notes(report: Report, verdicts: list[Verdict]) -> list[str]:
    lines = [f"input: {report.input.sentence}"]
    if verdicts and report.measurement is not None:
        rest = (
            max(v.bound / v.predicted for v in verdicts if v.predicted)
            if any(v.predicted for v in verdicts)
            else 0.0
        )
        failed = [v for v in verdicts if not v.agrees]
        lines.append(
            f"measured: {report.measurement.networks} independent draws of the weights; z counts "
            "standard errors"
        )
        lines.append(f"predicted: {_exactness(rest)}")
        loose = [v for v in verdicts if v.agrees and not v.testable]
        if loose:
            listed = ", ".join(f"{v.layer} {v.direction}" for v in loose)
            lines.append(f"not testable at this width: {listed}")
        lines.append(
            f"{len(verdicts) - len(failed)} of {len(verdicts)} predictions agree"
            + (f"; NOT: {', '.join(f'{v.layer} {v.direction}' for v in failed)}" if failed else "")
        )
    for finding in report.findings:
        fix = f" ({finding.fix})" if finding.fix else ""
        lines.append(f"{finding.layer}: {finding.code} {finding.message}{fix}")
    return lines
