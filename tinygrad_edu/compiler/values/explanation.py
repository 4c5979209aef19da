"""`tg.explain` of a compiled function of Values: its instructions, counted by op and by part."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tinygrad_edu.compiler.values.lane_plan import DOTS, LaneRun
from tinygrad_edu.compiler.values.replay import Run
from tinygrad_edu.graph.tape import OPS
from tinygrad_edu.kernels.values.instructions import COPY, DOT, MEAN, SUM

HEADER = ("part", "op", "instructions")
NAMES = {**dict.fromkeys((DOT, *DOTS), "sum of products"), COPY: "data", SUM: "sum", MEAN: "mean"}


@dataclass(frozen=True)
class Row:
    """So many instructions of one op in one part: "once" or, for each sample, "in lanes" before the
    step's `backward`, and "update" after it."""

    part: str
    op: str
    instructions: int


@dataclass(frozen=True)
class ValuesExplanation:
    """A replayed function of Values. `print` shows it as a table.

    Attributes:
        rows: Instructions by part and op. Those before `backward` run forward and backward.
        products: The products in all sums of products.
        leaves: The Values that are read.
        lanes: Samples in a row of registers; 1 without arrays.
        dtype: What the lanes compute in.
    """

    name: str
    rows: tuple[Row, ...]
    products: int
    leaves: int
    lanes: int
    dtype: str

    @property
    def title(self) -> str:
        """The sums."""
        count = sum(row.instructions for row in self.rows)
        lanes = f", {self.lanes} samples at a time in {self.dtype}" if self.lanes > 1 else ""
        return (
            f"{self.name}: {count} instructions with {self.products} products, "
            f"on {self.leaves} Values{lanes}, in one native call"
        )

    def __str__(self) -> str:
        table = [HEADER, *((row.part, row.op, str(row.instructions)) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in table]
        return "\n".join([self.title, *(line.rstrip() for line in lines)])

    __repr__ = __str__


def explained(name: str, run: Run) -> ValuesExplanation:
    """What a trace's run does."""
    program, lanes = run.program, run.lane if isinstance(run, LaneRun) else None
    counts: Counter[tuple[str, str]] = Counter()
    for i, code in enumerate(program.op.tolist()):
        inside = lanes is not None and lanes[program.sources + i]
        part = "in lanes" if inside else "once" if i < program.split else "update"
        counts[part, _name(code)] += 1
    rows = tuple(Row(part, op, count) for (part, op), count in counts.items())
    dtype = run.dtype if isinstance(run, LaneRun) else "float64"
    width = run.width if isinstance(run, LaneRun) else 1
    return ValuesExplanation(name, rows, len(program.factor), len(program.leaves), width, dtype)


def _name(code: Any) -> str:
    op = None if code in NAMES else OPS[code]
    return NAMES[code] if op is None else op.name
