"""A progress bar for long work, on stderr and only where somebody is watching."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def track(items: Sequence[T], description: str, show: bool | None = None) -> Iterator[T]:
    """Iterate with a bar; `show` None means: if stderr is a terminal."""
    with watch(len(items), description, show) as step:
        for item in items:
            yield item
            step()


@contextmanager
def watch(total: int, description: str, show: bool | None = None) -> Iterator[Callable[[], None]]:
    """A bar of so many steps, and what takes one; `show` as in `track`."""
    if not (sys.stderr.isatty() if show is None else show):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)
