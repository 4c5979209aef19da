"""Codes are chosen by how they begin."""

from __future__ import annotations

import pytest

import analysis
from analysis.findings import rules
from analysis.findings.rule import RULES, Found, Rule, UnknownCode, chosen
from tinygrad_edu import nn

assert rules  # imported for the rules it enters


def codes(select: list[str] | None, ignore: list[str] = []) -> list[str]:  # noqa: B006
    return [rule.code for rule in chosen(select, ignore)]


def test_all_in_order() -> None:
    assert codes(None) == codes(["NI"]) == sorted(RULES)


def test_prefixes() -> None:
    assert codes(["NI1"]) == ["NI101", "NI102", "NI103"]
    assert codes(["NI402", "NI1"]) == ["NI101", "NI102", "NI103", "NI402"]
    assert codes(["ni20"], ["NI203"]) == ["NI201", "NI202"]
    assert codes(["NI1"], ["NI"]) == []
    assert codes([]) == []


@pytest.mark.parametrize("prefix", ["NI0", "NI1011", "E", "", "NI 1", "101"])
def test_unknown(prefix: str) -> None:
    with pytest.raises(UnknownCode):
        chosen([prefix])
    with pytest.raises(UnknownCode):
        chosen(None, [prefix])
    with pytest.raises(KeyError):  # what a caller would expect
        analysis.analyze(nn.Linear(2, 2), select=[prefix])


def test_evidence_is_finite() -> None:
    """JSON has no infinity."""
    found = Found("0", "", {"a": float("inf"), "b": float("nan"), "c": 1.0}, "")
    (finding,) = Rule("NI000", "", "info", lambda subject: iter([found])).findings(None)
    assert finding.evidence == {"c": 1.0}
