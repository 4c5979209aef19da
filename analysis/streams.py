"""What the commands do with the standard streams."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def prints_aside() -> Iterator[None]:
    """What a user's model prints goes to stderr: stdout is the command's, and may be JSON."""
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """A reader that closes the pipe, as `head` does, has seen enough; that is no error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # what is still buffered would be written when the interpreter ends, and fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
