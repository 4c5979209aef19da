"""The ops that the engine brings. Tests and users register more; what must hold for every op of the
table is asked of these. `conftest.py` imports this before anything else can register one."""

from __future__ import annotations

from tinygrad_edu.ops import TABLE

OWN = dict(TABLE)
