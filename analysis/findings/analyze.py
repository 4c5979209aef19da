"""`analyze`: what happens to the signal of a network, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from analysis.findings import rules
from analysis.findings.rule import SEVERITIES, Rule, chosen
from analysis.findings.subject import Subject
from analysis.findings.thresholds import Thresholds
from analysis.network.analyze import propagate, report_of
from analysis.network.inputs import BATCH
from analysis.network.records import Finding
from tinygrad_edu.ops.native import numpy_only

if TYPE_CHECKING:
    from analysis.report.report import Report
    from tinygrad_edu.nn import Module

assert rules  # imported for the rules it enters


def analyze(
    model: Module,
    input: Any = None,
    backward: bool = True,
    batch: int = BATCH,
    *,
    select: Iterable[str] | None = None,
    ignore: Iterable[str] = (),
    thresholds: Thresholds | None = None,
) -> Report:
    """Predict mean, second moment and variance of every leaf module's output over the random
    weights, and the second moment of the gradient there; and say what is wrong with them.

    Args:
        input: None for iid standard normal elements of the model's own input size, a shape for the
            same, or data (examples first), each of which is followed by itself.
        backward: Whether the gradient is followed, too.
        batch: How many examples of a law go through the network together. Only batch norm in
            training mode makes a difference of it; data are one batch. `measure` has the same
            default.
        select, ignore: Codes of the rules to apply, or how they begin, such as NI1; None is all.
        thresholds: Where the rules draw their lines.

    Returns:
        A `Report`. Ops without a rule give a finding NI901; what depends on them is unknown.

    Raises:
        InputError: Input or parameters that are not finite or do not fit.
        UnknownCode: No rule has a code that begins so.
    """
    chosen_rules = chosen(select, ignore)
    propagation = propagate(model, input, backward, batch)
    report = report_of(propagation)
    subject = Subject(model, propagation, report, thresholds or Thresholds())
    return replace(report, findings=causes(everything(subject, chosen_rules)))


def everything(subject: Subject, chosen_rules: Sequence[Rule]) -> dict[Rule, list[Finding]]:
    """What each rule finds."""
    with numpy_only():  # a few numbers in many shapes: not worth compiling for
        return {rule: list(rule.findings(subject)) for rule in chosen_rules}


def causes(found: dict[Rule, list[Finding]]) -> tuple[Finding, ...]:
    """The gravest findings first, without those that a deeper cause among them explains."""
    present = {rule.code for rule, findings in found.items() if findings}
    kept = [
        finding
        for rule, findings in found.items()
        if present.isdisjoint(rule.unless)
        for finding in findings
    ]
    return tuple(sorted(kept, key=lambda f: (SEVERITIES.index(f.severity), f.code)))
