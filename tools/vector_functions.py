"""The vector functions of the engine as functions of NumPy arrays, to try them on."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import vector_math

Array = np.ndarray[Any, np.dtype[Any]]

WITHOUT_AVX512 = "-avx512f"
WIDTHS = {"float32": 16, "float64": 8}


class VectorFunction:
    """A function of the vector library, compiled for this machine.

    >>> VectorFunction("exp", "float32")(np.zeros(3, np.float32))
    array([1., 1., 1.], dtype=float32)
    """

    def __init__(self, name: str, dtype: str, width: int | None = None, features: str = "") -> None:
        """`width` lanes at a time (1: scalars); `features` are added to the machine's."""
        self.dtype, self.width = np.dtype(dtype), width or WIDTHS[dtype]
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.arity = 1 if name in vector_math.UNARY else 2
        module = llvm.parse_assembly(_module(name, dtype, self.width, self.arity))
        found = llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit"
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=f"{found},{features}" if features else found,
            opt=2,
            codemodel="jitdefault",
            jit=True,
        )
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        self.assembly = machine.emit_assembly(module)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        address = self._engine.get_function_address("apply")
        self.call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * (self.arity + 2))(address)

    def __call__(self, *xs: Array) -> Array:
        """The function of every element."""
        size, shape = xs[0].size, xs[0].shape
        rows = np.zeros((len(xs) + 1, -(-size // self.width) * self.width), self.dtype)
        for row, x in zip(rows, xs, strict=False):
            row[:size] = x.ravel()
        self.call(*(row.ctypes.data for row in rows), rows.shape[1])
        return rows[-1, :size].reshape(shape)


def _module(name: str, dtype: str, width: int, arity: int) -> str:
    """``apply(x, ..., y, n)``: y[i] = function(x[i], ...) for i < n, a multiple of the width."""
    element = ir.FloatType() if dtype == "float32" else ir.DoubleType()
    kind = element if width == 1 else ir.VectorType(element, width)
    size = np.dtype(dtype).itemsize
    module, integer = ir.Module(), ir.IntType(64)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [integer] * (arity + 2)), "apply")
    start = function.append_basic_block()
    loop, end = function.append_basic_block(), function.append_basic_block()
    builder = ir.IRBuilder(start)
    *xs, y, n = function.args
    builder.cbranch(builder.icmp_signed(">", n, integer(0)), loop, end)
    builder.position_at_end(loop)
    i = builder.phi(integer)
    i.add_incoming(integer(0), start)

    def pointer(base: ir.Value) -> ir.Value:
        offset = builder.mul(i, integer(size))
        return builder.inttoptr(builder.add(base, offset), kind.as_pointer())

    values = [builder.load(pointer(x)) for x in xs]
    for value in values:
        value.align = size
    builder.store(vector_math.emit(name, builder, *values), pointer(y), align=size)
    following = builder.add(i, integer(width))
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, n), loop, end)
    builder.position_at_end(end)
    builder.ret_void()
    return str(module)


@functools.cache
def vector_function(
    name: str, dtype: str = "float32", width: int | None = None, features: str = ""
) -> Callable[[Array], Array]:
    """A `VectorFunction`, compiled once."""
    return VectorFunction(name, dtype, width, features)
