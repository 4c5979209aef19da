"""Both ways to walk over a page of Values."""

from __future__ import annotations

import math

import pytest

from tinygrad_edu.derive import scalar


@pytest.fixture(params=["python", "compiled"])
def walk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to walk over a page with numbers."""
    left = math.inf if request.param == "python" else 0
    monkeypatch.setattr(scalar._NumberFlow, "left", left)
    return str(request.param)
