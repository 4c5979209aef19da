"""Which line of the user's code is running."""

from __future__ import annotations

import linecache
import os
import sys
from typing import NamedTuple

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class Line(NamedTuple):
    """A line of code."""

    file: str
    number: int
    function: str

    def __str__(self) -> str:
        if not self.file:
            return "  (recorded before detect_anomaly, so its line is not known)"
        place = f'  File "{self.file}", line {self.number}, in {self.function}'
        source = linecache.getline(self.file, self.number).strip()
        return f"{place}\n    {source}" if source else place


UNKNOWN = Line("", 0, "")


def users_line() -> Line:
    """The innermost line that runs outside this package, and outside of what it has written."""
    frame = sys._getframe(1)
    own = (PACKAGE, "<tinygrad_edu")
    while frame.f_code.co_filename.startswith(own) and frame.f_back is not None:
        frame = frame.f_back
    return Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
