"""Whether it is quicker to compute an elementwise rule again than to keep what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels.control import function
from tinygrad_edu.kernels.lanes import TYPES, Lanes, Namespace, check_float, read

_FEW = 12
"""Instructions that are quicker than reading a number from memory again."""


class _Probe(Namespace):
    """A namespace that notes whether an elementary function is called, and does not write it."""

    costly = False

    def _function(self, name: str, x: Lanes, *others: Lanes) -> Lanes:
        check_float(name, x)
        self.costly = True
        return x


def costs(
    rule: Any, params: Mapping[str, Any], dtypes: list[np.dtype[Any]], result: np.dtype[Any]
) -> bool:
    """Whether a rule of operands of these dtypes is costly; raises `NoVectorForm` if there is no
    way to emit it."""
    _, b, _ = function("probe")
    xs = [Lanes(b, ir.Constant(ir.VectorType(TYPES[d], 4), ir.Undefined), d) for d in dtypes]
    probe = _Probe(b, 4, result)
    read(probe, result, rule, xs, params)
    written = [i for block in b.function.blocks for i in block.instructions]
    return probe.costly or len(written) > _FEW or any(map(_is_slow, written))


def _is_slow(instruction: Any) -> bool:
    """Division, and the square root."""
    if instruction.opname == "call":
        return "sqrt" in instruction.callee.name
    return bool(instruction.opname == "fdiv")
