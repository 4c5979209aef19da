"""Sums of products become one instruction: start + w0 x0 + w1 x1 + ..., added as they were."""

from __future__ import annotations

import numpy as np

from tinygrad_edu.compiler.values.recorded import Array, Program
from tinygrad_edu.graph.tape import code_of
from tinygrad_edu.kernels.values import instructions
from tinygrad_edu.kernels.values.instructions import DOT
from tinygrad_edu.ops.elementwise import add, mul


def fuse_sums(program: Program, kind: Array | None = None) -> Program:
    """The program with chains of additions of products as single instructions.

    Only products and partial sums that nothing else reads disappear, and only into an instruction
    of the same `kind`, a number for each instruction.
    """
    sources, n = program.sources, len(program.op)
    phase = (np.arange(n) >= program.split).astype(np.int64)
    if kind is not None:
        phase += 2 * kind.astype(np.int64)
    uses = np.zeros(sources + n, np.int64)
    for column in program.operands():
        instructions.passes(n).count(column, uses)
    uses[list(program.rows.values())] += 1
    op, left, right, third = (column.copy() for column in (program.op, *program.operands()))
    row = np.arange(sources + n, dtype=np.int32)
    factor, other = np.zeros(n, np.int32), np.zeros(n, np.int32)
    codes = code_of(add), code_of(mul)
    kept = instructions.passes(n).fuse(
        *(op, left, right, third, phase, uses, sources, *codes, row, factor, other)
    )
    terms = int(np.max(third[:kept][op[:kept] == DOT], initial=0))
    return Program(
        program.constants,
        program.leaves,
        program.grads,
        program.cotangents,
        op[:kept],
        left[:kept],
        right[:kept],
        third[:kept],
        split=int(np.count_nonzero(row[sources : sources + program.split] >= 0)),
        rows={x: int(row[at]) for x, at in program.rows.items()},
        factor=factor[:terms],
        other=other[:terms],
    )
