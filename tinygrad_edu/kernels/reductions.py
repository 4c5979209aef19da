"""The maps and reductions of an emitted kernel: what becomes of values in vector registers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels.control import I32, I64
from tinygrad_edu.kernels.description import Kernel
from tinygrad_edu.kernels.lanes import BOOL, TYPES, Lanes, Namespace, constant, evaluate
from tinygrad_edu.kernels.memory import Memory


class Values(Memory):
    """Values of `kernel`, `widths` of its lanes at a time, widest first. `accumulators` keep, by
    reduction and width, what was reduced so far; those of totals are emptied into `sums`."""

    kernel: Kernel
    count: Any
    widths: Any
    accumulators: dict[tuple[int, int], Any]
    sums: dict[tuple[int, int], Any]

    def map(self, i: int, xs: list[Any], width: int) -> Any:
        v = self.kernel.values[i]
        assert v.rule is not None
        lanes = [
            Lanes(self.b, x, self.kernel.values[k].dtype) for k, x in zip(v.inputs, xs, strict=True)
        ]
        return evaluate(self.b, width, v.dtype, v.rule, lanes, v.params).value

    def combine(self, i: int, x: Any, y: Any, dtype: Any = None) -> Any:
        """x and y reduced, as reduction i does it, in its dtype or another."""
        v = self.kernel.values[i]
        dtype = dtype or v.dtype
        a, b = Lanes(self.b, x, dtype), Lanes(self.b, y, dtype)
        if v.kind == "sum":
            return (a + b).value
        namespace = Namespace(self.b, 1, dtype)
        return (namespace.maximum if v.kind == "amax" else namespace.minimum)(a, b).value

    def _empty(self, i: int) -> Any:
        v = self.kernel.values[i]
        if v.kind == "sum":
            return 0
        lowest = v.kind == "amax"
        if v.dtype.kind == "f":
            return float("-inf") if lowest else float("inf")
        if v.dtype == BOOL:
            return 0 if lowest else 1
        return np.iinfo(v.dtype).min if lowest else np.iinfo(v.dtype).max

    def _reset(self, i: int, accumulators: Mapping[tuple[int, int], Any]) -> None:
        dtype = self.kernel.values[i].dtype
        for w in self.widths:
            empty = constant(self.shaped(TYPES[dtype], w), self._empty(i))
            self.b.store(empty, accumulators[i, w])

    def _empty_into_sums(self, i: int) -> None:
        """Add a total's accumulators up and start them anew: the error of a long sum in two levels
        grows with the root of its length only."""
        for w in self.widths:
            parts = [self.b.load(x[i, w]) for x in (self.sums, self.accumulators)]
            self.b.store(self.combine(i, *parts), self.sums[i, w])
        self._reset(i, self.accumulators)

    def _folded(self, i: int, accumulators: Mapping[tuple[int, int], Any]) -> Any:
        """All accumulators of a reduction as one number, halved again and again: LLVM's own vector
        reductions go through the lanes one after another."""
        b = self.b
        for width, narrower in zip(self.widths, self.widths[1:], strict=False):
            # A row that is shorter left these as they were.
            with b.if_then(b.icmp_signed(">=", self.count, I64(width))):
                x = self._halved(i, b.load(accumulators[i, width]), width, narrower)
                x = self.combine(i, x, b.load(accumulators[i, narrower]))
                b.store(x, accumulators[i, narrower])
        last = self.widths[-1]
        return self._halved(i, b.load(accumulators[i, last]), last, 1)

    def _halved(self, i: int, x: Any, width: int, until: int) -> Any:
        while width > until:
            width //= 2
            x = self.combine(i, self._part(x, 0, width), self._part(x, width, width))
        return x

    def _part(self, x: Any, start: int, width: int) -> Any:
        if width == 1:
            return self.b.extract_element(x, I32(start))
        lanes = ir.Constant(ir.VectorType(I32, width), list(range(start, start + width)))
        return self.b.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), lanes)
