"""A report as one HTML page that needs nothing else: table, findings, figure, derivations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from analysis.errors import MissingExtra
from analysis.measurement.verify import Verdict, verify
from analysis.report.figures import svg
from analysis.report.report import Backward, Forward, Report
from analysis.symbolic.derivation import Derivation, Step
from analysis.symbolic.printing import plain, plain_prose

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #e4e4e4; }
th { border-bottom: 2px solid #888; } td:first-child, th:first-child, td:nth-child(2),
th:nth-child(2) { text-align: left; }
.derivation td { text-align: left; vertical-align: top; }
.derivation code { white-space: pre-wrap; }
.bad { color: #b00020; font-weight: 600; } .quiet { color: #777; }
code { font-size: .9em; } svg { max-width: 100%; height: auto; }
summary { cursor: pointer; padding: .3rem 0; }
"""


def to_html(reports: Sequence[Report], derivations: Iterable[Derivation] | None = None) -> str:
    """Reports, each with its figure (where matplotlib is installed), and derivations, each folded
    away behind its title; None for those behind the reports' rows."""
    if derivations is None:
        rows = [row for report in reports for row in report.rows]
        derivations = {d.name: d for row in rows if (d := row.derivation) is not None}.values()
    folded = "".join(map(_derivation, derivations))
    parts = [_report(report) for report in reports]
    if folded:
        parts.append(f"<h2>Derivations</h2>{folded}")
    only = reports[0].title if len(reports) == 1 else ""
    title = escape(only or "Variance through a network")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _report(report: Report) -> str:
    parts = [f"<h1>{escape(report.title or 'Variance through a network')}</h1>"]
    parts += [_head(report), _picture(report), _table(report), _findings(report)]
    if report.assumptions:
        parts.append("<h2>Assumptions</h2>" + _listed(map(plain_prose, report.assumptions)))
    return "\n".join(parts)


def _head(report: Report) -> str:
    measured = report.measurement
    networks = "" if measured is None else f" Measured on {measured.networks} independent networks."
    return f"<p>Input: {escape(report.input.sentence)}.{networks}</p>"


def _table(report: Report) -> str:
    verdicts = {}
    if report.measurement is not None:
        verdicts = {(v.layer, v.direction): v for v in verify(report, report.measurement)}
    heads = ["layer", "op"]
    for formula in ("E[y²]", "E[(∂s/∂y)²]"):
        heads += [formula, "measured", "z"] if verdicts else [formula]
    rows = []
    for row in report.rows:
        cells = [escape(row.name), escape(row.op)]
        for direction, side in (("forward", row.forward), ("backward", row.backward)):
            cells.append(_value(side))
            if verdicts:
                cells += _evidence(verdicts.get((row.name, direction)))
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{h}</th>" for h in heads)
    return f"<table><tr>{head}</tr>\n" + "\n".join(rows) + "</table>"


def _value(side: Forward | Backward | None) -> str:
    if side is None:
        return '<span class="quiet">unknown</span>'
    return f'<span title="± {side.prediction.bound:.1g}">{side.prediction.corrected:.4g}</span>'


def _evidence(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return ["", ""]
    z = f"{verdict.z:+.1f}"
    return [
        f"{verdict.measured:.4g} ± {verdict.standard_error:.1g}",
        z if verdict.agrees else f'<span class="bad">{z}</span>',
    ]


def _findings(report: Report) -> str:
    if not report.findings:
        return ""
    return "<h2>Findings</h2>" + _listed(
        f"{finding.layer}: {finding.code} {finding.message}"
        + (f" (fix: {finding.fix})" if finding.fix else "")
        for finding in report.findings
    )


def _listed(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _picture(report: Report) -> str:
    try:
        return svg(report)
    except MissingExtra as missing:
        return f'<p class="quiet">No figure: {escape(str(missing))}</p>'


# ------------------------------------------------------------------------------ derivations


def _derivation(derivation: Derivation) -> str:
    rows = [_start(derivation), *map(_step, derivation.steps)]
    given = _listed(f"given: {plain_prose(assumption)}" for assumption in derivation.given)
    return (
        f"<details><summary>{escape(plain_prose(derivation.title))} "
        f'<span class="quiet">[{derivation.grade}]</span></summary>{given}'
        f'<table class="derivation">{"".join(rows)}</table></details>'
    )


def _start(derivation: Derivation) -> str:
    return _row("", plain(derivation.start), "", "")


def _step(step: Step) -> str:
    name = plain_prose(step.name) + (f", if {step.assumption}" if step.assumption else "")
    formula = f"= {plain(step.rhs)}"
    if step.role != "step":
        formula = f"{plain(step.lhs)} {formula}"
        name = f"{step.role}: {name}"
    return _row(step.grade.value, formula, plain_prose(name), step.evidence)


def _row(grade: str, formula: str, reason: str, evidence: str) -> str:
    return (
        f"<tr><td><code>{escape(formula)}</code></td><td>{escape(reason)}</td>"
        f'<td class="quiet" title="{escape(evidence)}">{escape(grade)}</td></tr>'
    )
