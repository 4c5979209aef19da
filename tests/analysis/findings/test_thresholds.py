"""Thresholds are read from lines, and each has a reason."""

from __future__ import annotations

from dataclasses import fields

import pytest

from analysis import Thresholds
from analysis.errors import InputError
from tools.findings_pages import _meanings


def test_parse() -> None:
    assert Thresholds.parse([]) == Thresholds()
    assert Thresholds.parse(["drift=1e2", "dead=0.5"]) == Thresholds(drift=100.0, dead=0.5)


@pytest.mark.parametrize(
    "line", ["drift", "drift=", "drift=x", "drift=inf", "drift=-1", "x=1", "="]
)
def test_what_is_no_setting(line: str) -> None:
    with pytest.raises(InputError):
        Thresholds.parse([line])


def test_each_is_explained() -> None:
    meanings = _meanings()
    assert set(meanings) == {field.name for field in fields(Thresholds)}
    assert all(len(text) > 30 for text in meanings.values())
