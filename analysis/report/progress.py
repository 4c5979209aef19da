"""A progress bar for long work, on stderr and only where somebody is watching."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def track(items: Sequence[T], description: str, show: bool | None = None) -> Iterator[T]:
    """Iterate with a bar; `show` None means: if stderr is a terminal."""
    if not (sys.stderr.isatty() if show is None else show):
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(
        items, description=description, console=Console(stderr=True), transient=True
    )
