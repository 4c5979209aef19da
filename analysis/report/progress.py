"""A progress bar for long work, on stderr and only where somebody is watching."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def watch(total: int, description: str, show: bool | None = None) -> Iterator[Callable[[], None]]:
    """A bar of so many steps, and what takes one; `show` None means:
    if stderr is a terminal."""
    if not (sys.stderr.isatty() if show is None else show):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)
