"""`prescribe`: changes that cure what was found, each tried on a copy and analysed again.

Candidates come from `remedies`; what is offered has been seen to work: the findings it is for are
gone, and no other rule finds anything new.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError
from analysis.findings.analyze import causes, everything
from analysis.findings.changes import Change, Edit, make
from analysis.findings.remedies import remedies
from analysis.findings.rule import SEVERITIES, Rule, chosen
from analysis.findings.subject import Subject
from analysis.findings.thresholds import Thresholds
from analysis.network.analyze import propagate, report_of
from tinygrad_edu.errors import TinygradError

if TYPE_CHECKING:
    from analysis.network.records import Finding
    from tinygrad_edu.nn import Module


def prescribe(
    model: Module,
    input: Any = None,
    *,
    select: Iterable[str] | None = None,
    ignore: Iterable[str] = (),
    thresholds: Thresholds | None = None,
    seed: int = 0,
) -> tuple[Change, ...]:
    """Changes that cure what is wrong with a model at its initialisation, the best first.

    Every change was made to a copy of the model and analysed with the same rules: it resolves at
    least one finding and brings none. (If there is no such change, those are offered that uncover
    what a deeper cause had explained: then prescribe again.) First come those that resolve the most
    and the gravest, then those that change the least. An empty tuple: nothing was found, or nothing
    is known to help.

    Args:
        input: As for `analyze`.
        select, ignore, thresholds: As for `analyze`.
        seed: Of weights that are drawn anew.

    Raises:
        InputError, UnknownCode: As `analyze`.
    """
    trial = _Trial(model, input, chosen(select, ignore), thresholds or Thresholds(), seed)
    if not trial.before:
        return ()
    offered: list[Change] = []
    seen: list[list[Edit]] = []
    for description, edits in remedies(trial.subject, trial.known):
        if edits in seen:
            continue
        seen.append(edits)
        change = trial.of(description, edits)
        if change is not None:
            offered.append(change)
    together = _together(offered)
    if together is not None:
        change = trial.of(*together)
        if change is not None and all(len(change.resolves) > len(c.resolves) for c in offered):
            offered.insert(0, change)
    whole = [c for c in offered if trial.before.keys() >= {f.code for f in c.report.findings}]
    return tuple(sorted(whole or offered, key=trial.rank))


class _Trial:
    """A model whose copies are changed and analysed again.

    before  what is reported of it, by code
    known   the codes of all that was found, also of what a deeper cause explains: where that cause
            is cured and the rest is not, what is left is not new
    """

    def __init__(
        self, model: Module, input: Any, rules: Sequence[Rule], limits: Thresholds, seed: int
    ) -> None:
        self.model, self.input, self.rules, self.limits = model, input, rules, limits
        self.seed = seed
        self.subject, found = self._found(model)
        self.before = {f.code: f for f in causes(found)}
        self.known = {rule.code for rule, findings in found.items() if findings}

    def _found(self, model: Module) -> tuple[Subject, dict[Rule, list[Finding]]]:
        propagation = propagate(model, self.input)
        subject = Subject(model, propagation, report_of(propagation), self.limits)
        return subject, everything(subject, self.rules)

    def of(self, description: str, edits: Sequence[Edit]) -> Change | None:
        """The change, if it resolves something and brings nothing new."""
        patient = copy.deepcopy(self.model)
        try:
            make(edits, patient, self.seed)
            subject, found = self._found(patient)
        except (AnalysisError, TinygradError):  # this model cannot be changed in this way
            return None
        report = replace(subject.report, findings=causes(found))
        after = {f.code for f in report.findings}
        resolved = tuple(sorted(self.before.keys() - after))
        if not resolved or after - self.known:
            return None
        return Change(description, resolved, report, tuple(edits), self.model, self.seed)

    def rank(self, change: Change) -> tuple[int, ...]:
        """More and graver findings resolved come first, and fewer left; then the order of the
        candidates, as sorting keeps it."""
        resolved = [self.before[code].severity for code in change.resolves]
        return (*(-resolved.count(s) for s in SEVERITIES), len(change.report.findings))


def _together(changes: Sequence[Change]) -> tuple[str, tuple[Edit, ...]] | None:
    """The first changes that between them resolve all that any of them does."""
    resolved: set[str] = set()
    used = []
    for change in sorted(changes, key=lambda c: -len(c.resolves)):
        if not resolved.issuperset(change.resolves):
            resolved.update(change.resolves)
            used.append(change)
    if len(used) < 2:
        return None
    edits = tuple(edit for change in used for edit in change.edits)
    return "; and ".join(change.description for change in used), edits
