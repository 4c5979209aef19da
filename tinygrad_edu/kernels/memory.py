"""What emitted kernels load and store: single numbers and vectors, whole or masked."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from tinygrad_edu.kernels.control import I32, I64
from tinygrad_edu.kernels.lanes import BOOL, STORED, constant


class Memory:
    """Access to memory from a kernel that is being written with `b` into `module`."""

    module: ir.Module
    b: ir.IRBuilder

    @staticmethod
    def shaped(element: ir.Type, width: int) -> ir.Type:
        return element if width == 1 else ir.VectorType(element, width)

    def pointer(self, address: Any, kind: ir.Type) -> Any:
        return self.b.inttoptr(address, kind.as_pointer())

    def load(self, dtype: Any, address: Any, width: int, mask: Any = None) -> Any:
        kind = self.shaped(STORED[dtype], width)
        if mask is None:
            x = self.b.load(self.pointer(address, kind))
            x.align = dtype.itemsize
        else:
            args = [self.pointer(address, kind), I32(dtype.itemsize), mask, constant(kind, 0)]
            x = self._masked("load", dtype, width, kind, args)
        if dtype == BOOL:
            return self.b.icmp_unsigned("!=", x, constant(kind, 0))
        return x

    def store(self, dtype: Any, x: Any, address: Any, mask: Any = None) -> None:
        width = x.type.count if isinstance(x.type, ir.VectorType) else 1
        kind = self.shaped(STORED[dtype], width)
        if dtype == BOOL:
            x = self.b.zext(x, kind)
        if mask is None:
            self.b.store(x, self.pointer(address, kind), align=dtype.itemsize)
        else:
            args = [x, self.pointer(address, kind), I32(dtype.itemsize), mask]
            self._masked("store", dtype, width, ir.VoidType(), args)

    def _masked(self, what: str, dtype: Any, width: int, result: Any, args: list[Any]) -> Any:
        bits = f"f{dtype.itemsize * 8}" if dtype.kind == "f" else f"i{dtype.itemsize * 8}"
        name = f"llvm.masked.{what}.v{width}{bits}.p0"
        function = self.module.globals.get(name) or ir.Function(
            self.module, ir.FunctionType(result, [x.type for x in args]), name
        )
        return self.b.call(function, args)

    def offset(self, address: Any, j: Any, dtype: Any) -> Any:
        return self.b.add(address, self.b.mul(j, I64(dtype.itemsize)))
