"""A report as a LaTeX table (packages: booktabs, amsmath)."""

from __future__ import annotations

from analysis.measurement.verify import verify
from analysis.report.report import Backward, Forward, Report

_ESCAPES = str.maketrans({"_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$"})


def to_latex(report: Report) -> str:
    """One row a layer: predicted and measured second moments, forward and backward."""
    verdicts = {}
    if report.measurement is not None:
        verdicts = {(v.layer, v.direction): v for v in verify(report, report.measurement)}
    measured = bool(verdicts)
    columns = "ll" + ("rrr" * 2 if measured else "rr")
    heads = [r"$\mathbb{E}[y^2]$", r"$\mathbb{E}[(\partial s/\partial y)^2]$"]
    header = ["layer", "op"]
    for head in heads:
        header += [head, "measured", "$z$"] if measured else [head]
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(header) + r" \\"]
    lines.append(r"\midrule")
    for row in report.rows:
        cells = [row.name.translate(_ESCAPES), row.op]
        for direction, side in (("forward", row.forward), ("backward", row.backward)):
            cells.append(_value(side))
            if measured:
                verdict = verdicts.get((row.name, direction))
                cells += (
                    ["", ""]
                    if verdict is None
                    else [
                        rf"${_scientific(verdict.measured)} \pm "
                        rf"{_scientific(verdict.standard_error, 1)}$",
                        f"${verdict.z:+.1f}$",
                    ]
                )
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines)


def _value(side: Forward | Backward | None) -> str:
    return "unknown" if side is None else f"${_scientific(side.prediction.corrected)}$"


def _scientific(number: float, digits: int = 4) -> str:
    """1.2e-05 as LaTeX writes it."""
    mantissa, _, exponent = f"{number:.{digits}g}".partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa
