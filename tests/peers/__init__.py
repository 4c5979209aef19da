"""Tests that hold the engine against other engines: torch, micrograd, autograd, scikit-learn.

A peer is an optional install, so without it such a test is skipped. Continuous integration sets
``TINYGRAD_EDU_REQUIRE_PEERS=1``: there a missing peer fails, or a broken install of it would turn
the whole comparison into a silent pass.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import pytest

SKIP_REASON = "needs the peers extra: pip install -e '.[peers]'"


def import_peer(name: str) -> ModuleType:
    """Import the peer module ``name``, or skip the calling test (or module) when it is missing.

    In a test, take the fixture of that name (``torch``, ``micrograd``, ...) from ``conftest.py``;
    call this one at the top of a module whose parametrisation needs the peer, and mark that module
    with ``pytestmark = pytest.mark.peer``.

    Raises:
        ImportError: ``TINYGRAD_EDU_REQUIRE_PEERS`` is 1 and the peer cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("TINYGRAD_EDU_REQUIRE_PEERS") == "1":
            raise
        pytest.skip(SKIP_REASON, allow_module_level=True)
