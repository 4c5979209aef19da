"""What a contender is once it is set up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Run:
    """`epoch()` performs `steps` training steps, from where the last one ended, and returns their
    losses."""

    epoch: Callable[[], Any]
    steps: int
