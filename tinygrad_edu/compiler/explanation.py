"""`tg.explain`: what a compiled step runs, instruction by instruction."""

from __future__ import annotations

import linecache
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinygrad_edu.compiler.compiled import Compiled
from tinygrad_edu.compiler.entry import Entry
from tinygrad_edu.compiler.values.explanation import ValuesExplanation, explained
from tinygrad_edu.derive.walk import ordered
from tinygrad_edu.errors import ArgumentError, DTypeError

HEADER = ("line", "kernel", "ops", "shape", "FLOP", "bytes", "us", "source")
LONGEST_OPS = 40


@dataclass(frozen=True)
class Row:
    """One instruction.

    Attributes:
        line: File and number of the line of the user's code it comes from; of several, the first.
        source: That line.
        kernel: What runs: ``fused`` ops, a ``matmul``, a ``move`` of memory, a ``loop`` for that op
            alone, or a call of ``numpy`` through Python.
        ops: What it stands for.
        shape: The shape of its (last) result.
        flop: Arithmetic operations.
        bytes: Bytes read and written.
        seconds: How long it takes; None where the plan cannot tell.
    """

    line: str
    source: str
    kernel: str
    ops: tuple[str, ...]
    shape: tuple[int, ...]
    flop: float
    bytes: int
    seconds: float | None

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `HEADER`."""
        ops = " ".join(self.ops)
        ops = ops if len(ops) <= LONGEST_OPS else f"{ops[: LONGEST_OPS - 3]}..."
        time = "" if self.seconds is None else f"{self.seconds * 1e6:.2f}"
        shape = "x".join(map(str, self.shape)) or "()"
        return (
            self.line,
            self.kernel,
            ops,
            shape,
            _short(self.flop),
            _short(self.bytes),
            time,
            self.source,
        )


@dataclass(frozen=True)
class Explanation:
    """A program's instructions and its memory. `print` shows it as a table; so does Rich, with
    colours.

    Attributes:
        rows: The instructions in the order in which they run.
        arena_bytes: Memory of the plan: state and everything computed on the way.
        separate_bytes: The same with memory of its own for each value, as without compiling.
    """

    name: str
    rows: tuple[Row, ...]
    arena_bytes: int
    separate_bytes: int

    @property
    def title(self) -> str:
        """The sums."""
        flop = sum(row.flop for row in self.rows)
        times = [row.seconds for row in self.rows if row.seconds is not None]
        took = f", {sum(times) * 1e6:.1f} us" if times else ""
        calls = [row for row in self.rows if row.kernel == "numpy"]
        names = ", ".join(dict.fromkeys(name for row in calls for name in row.ops))
        left = f" ({len(calls)} of them calls of NumPy ({names}))" if calls else ""
        return (
            f"{self.name}: {len(self.rows)} instructions{left}, {_short(flop)} FLOP{took}, "
            f"{_short(self.arena_bytes)} bytes of memory (separately {_short(self.separate_bytes)})"
        )

    def __str__(self) -> str:
        table = [HEADER, *(row.cells for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in table
        ]
        return "\n".join([self.title, *(line.rstrip() for line in lines)])

    __repr__ = __str__

    def __rich__(self) -> Any:
        from rich.table import Table

        table = Table(title=self.title)
        for name in HEADER:
            table.add_column(name, justify="right" if name in ("FLOP", "bytes", "us") else "left")
        for row in self.rows:
            table.add_row(*row.cells)
        return table


def explain(compiled: Any, program: int = 0) -> Explanation | ValuesExplanation:
    """What a compiled step runs: each instruction with the line it comes from, its shape, FLOP,
    bytes and time, and the memory of all together. ``print(tg.explain(step))`` shows a table. Of a
    function of Values it shows how many instructions there are, by op and by part.

    Args:
        compiled: What `tg.compile` returned, called once at least.
        program: Which of its programs, if shapes or settings have changed; 0 is the last used.

    Raises:
        DTypeError: It is not a compiled step.
        ArgumentError: It has not been called yet, or has no such program.
    """
    if not isinstance(compiled, Compiled):
        raise DTypeError(f"explain: needs what tg.compile returned, not {type(compiled).__name__}.")
    programs: Sequence[Any] = (
        compiled.programs if compiled.values is None else compiled.values.traces
    )
    if not programs:
        raise ArgumentError(
            "explain: call the compiled step first; it is traced at its first call."
        )
    if not 0 <= program < len(programs):
        raise ArgumentError(f"explain: there are {len(programs)} programs, no number {program}.")
    entry = programs[program]
    name = getattr(compiled, "__name__", "step")
    if compiled.values is not None:
        return explained(name, entry.replay.run)
    rows = _rows(entry)
    return Explanation(name, rows, entry.plan.arena_bytes, _separate_bytes(entry))


def _rows(entry: Entry) -> tuple[Row, ...]:
    instructions = entry.plan.instructions
    measure = getattr(entry.plan, "measure", None)
    seconds: Sequence[float | None] = [None] * len(instructions)
    if measure is not None:
        seconds = measure(entry.inputs)
    rows = []
    for instruction, time in zip(instructions, seconds, strict=True):
        lines = [getattr(node, "line", None) for node in instruction.nodes]
        line = next((found for found in lines if found), None)
        rows.append(
            Row(
                f"{os.path.basename(line.file)}:{line.number}" if line else "",
                linecache.getline(line.file, line.number).strip() if line else "",
                instruction.kernel,
                tuple(instruction.ops),
                tuple(instruction.shapes[-1]) if instruction.shapes else (),
                float(instruction.flop),
                int(instruction.bytes),
                time,
            )
        )
    return tuple(rows)


def _separate_bytes(entry: Entry) -> int:
    program = entry.lifted.program
    nodes = ordered([*program.outputs, *program.updates.values()], constants=True)
    nodes = [node for node in nodes if node.op is None or not node.op.view]
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in nodes)


def _short(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g}"
