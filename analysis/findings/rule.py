"""A rule: a code, a name, a severity, and a function that reads a subject.

The function's docstring is the documentation: what is found, why it matters, where the line is
drawn, what to do. `--explain` prints it and the pages of `docs/findings` are made of it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from analysis.errors import AnalysisError, no_such
from analysis.network.records import Finding

if TYPE_CHECKING:
    from analysis.findings.subject import Subject

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""Something will not learn; something learns badly; something is not as it was meant."""


class UnknownCode(AnalysisError, KeyError):
    """No rule has this code, and none begins with it."""

    __str__ = Exception.__str__


@dataclass(frozen=True)
class Found:
    """What a rule says of a layer, or of several: `layer` names them."""

    layer: str
    message: str
    evidence: dict[str, float]
    fix: str


@dataclass(frozen=True)
class Rule:
    """
    code, name   NI101 and `signal-drift`
    severity     see `SEVERITIES`
    find         what it finds in a subject
    derivations  names for `analysis.derive`: what it rests on
    sources      papers
    unless       codes of deeper causes: where one of them is found, this one adds nothing
    """

    code: str
    name: str
    severity: Severity
    find: Callable[[Subject], Iterator[Found]]
    derivations: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What the rule says of itself."""
        return inspect.getdoc(self.find) or ""

    def findings(self, subject: Subject) -> Iterator[Finding]:
        """Those of this rule."""
        for found in self.find(subject):
            evidence = {k: v for k, v in found.evidence.items() if math.isfinite(v)}
            yield Finding(self.code, self.severity, found.layer, found.message, evidence, found.fix)


RULES: dict[str, Rule] = {}
"""By code; filled by `rule`."""


def rule(
    code: str,
    name: str,
    severity: Severity,
    derivations: Iterable[str] = (),
    sources: Iterable[str] = (),
    unless: Iterable[str] = (),
) -> Callable[[Callable[[Subject], Iterator[Found]]], Callable[[Subject], Iterator[Found]]]:
    """Enter the decorated function as the rule with this code."""

    def enter(find: Callable[[Subject], Iterator[Found]]) -> Callable[[Subject], Iterator[Found]]:
        assert code not in RULES, code
        entered = Rule(code, name, severity, find, *map(tuple, (derivations, sources, unless)))
        RULES[code] = entered
        return find

    return enter


def chosen(select: Iterable[str] | None, ignore: Iterable[str] = ()) -> list[Rule]:
    """The rules whose codes begin with one of `select` (None: all) and with none of `ignore`, in
    order. Raises `UnknownCode` for a prefix that no code has."""
    wanted = list(RULES) if select is None else list(_matching(select))
    unwanted = set(_matching(ignore))
    return [RULES[code] for code in sorted(RULES) if code in wanted and code not in unwanted]


def _matching(prefixes: Iterable[str]) -> Iterator[str]:
    for prefix in prefixes:
        codes = [code for code in RULES if prefix and code.startswith(prefix.upper())]
        if not codes:
            raise UnknownCode(no_such("rule or group of rules", prefix, RULES))
        yield from codes
