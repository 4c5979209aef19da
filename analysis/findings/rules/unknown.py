"""What cannot be said."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.findings.rule import Found, rule
from analysis.findings.subject import Subject, span

_FIX = "register a rule for the op in analysis.network, or analyse the part before it"


@rule("NI901", "unknown", "error", sources=("Yang 2019, Tensor Programs I",))
def unknown(subject: Subject) -> Iterator[Found]:
    """An op that the analyzer has no rule for, or whose operands depend on each other in a way that
    it does not follow.

    Everything that depends on it is unknown, and is reported as unknown: a guess that is passed on
    would be mistaken for a result. The other rules say nothing about what they do not know, so a
    network with this finding has not been given a clean bill of health.

    The line: any op without a result. Analyse the part before it, or enter a rule for the op by
    name (see `docs/networks.md`).
    """
    for finding in subject.report.findings:
        yield Found(finding.layer, finding.message, finding.evidence, finding.fix or _FIX)
    if not subject.report.findings:
        lost = [row.name for row in subject.report.rows if row.forward is None]
        if lost:
            yield Found(
                span(lost[:1]),
                "unknown from here on: what this layer computes is not followed",
                {"layers": float(len(lost))},
                _FIX,
            )
