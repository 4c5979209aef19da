"""How a program calls kernels that were written for one op, and how threads share such a call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinygrad_edu.compiler.term import Term

OUT, REPORT, SCRATCH = "out", "report", "scratch"
"""Arguments known only when the stream is written: where the result goes, where a kernel reports
what is wrong (and a code for it), and memory of its own, which is zero at first."""

Argument = int | Term | str | tuple[Term | str, int]
"""A term, `OUT` or `SCRATCH` stands for its address; in a pair, for so many bytes from there. (The
call of all rows names terms without an offset: inputs and outputs of a program move.)"""


@dataclass(frozen=True)
class Call:
    """The kernels to call one after another, with their arguments; `scratch` is how many bytes they
    need, `kept` what must live as long as they are called, `error` what is raised for two numbers
    that one of them reports, and `shared` how threads share the work, if they can."""

    kernels: tuple[tuple[int, tuple[Argument, ...]], ...]
    scratch: int = 0
    error: Callable[[int, int], Exception] | None = None
    kept: Any = None
    shared: Shared | None = None


@dataclass(frozen=True)
class Shared:
    """A call that threads may share: `part(start, count)` does it for some of the `rows`. `paces`
    are bytes from a row to the next of each operand, 0 where all of it is read for any row, and
    `pace` those of the result, 0 where it is a sum over rows. It takes so many `flop`."""

    rows: int
    part: Callable[[int, int], Call]
    paces: tuple[int, ...]
    pace: int
    flop: int = 0


def shared_call(shared: Shared) -> Call:
    """The call for all rows, which can be shared."""
    return dataclasses.replace(shared.part(0, shared.rows), shared=shared)
