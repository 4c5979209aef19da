"""The machine's limit: fused multiply-adds on registers, as many as the vector units take."""

from __future__ import annotations

import ctypes
import functools
import time
from typing import Any

CHAINS = 16
"""Independent accumulators: latency times throughput of two units of four cycles needs eight."""
STEPS, TIMES = 20_000_000, 12


@functools.cache
def flops() -> float:
    """float32 operations per second of one thread at best, each add and each multiply counted."""
    kernel, lanes = _kernel()
    out = (ctypes.c_float * 64)()
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        kernel(STEPS, out)
        seconds.append(time.perf_counter() - start)
    return STEPS * CHAINS * lanes * 2 / min(seconds)


def _kernel() -> tuple[Any, int]:
    """A loop over nothing but multiply-adds; ctypes lets go of the interpreter meanwhile."""
    from llvmlite import binding as llvm
    from llvmlite import ir

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    lanes = 16 if features.get("avx512f") else 8
    single, whole = ir.FloatType(), ir.IntType(64)
    vector = ir.VectorType(single, lanes)
    module = ir.Module()
    function = ir.Function(
        module, ir.FunctionType(ir.VoidType(), [whole, single.as_pointer()]), "peak"
    )
    entry, loop, end = (function.append_basic_block(name) for name in ("entry", "loop", "end"))
    ir.IRBuilder(entry).branch(loop)
    builder = ir.IRBuilder(loop)
    counter = builder.phi(whole)
    sums = [builder.phi(vector) for _ in range(CHAINS)]
    factor, term = (ir.Constant(vector, [x] * lanes) for x in (0.999, 0.001))
    ternary = ir.FunctionType(vector, [vector] * 3)
    fma = ir.Function(module, ternary, f"llvm.fma.v{lanes}f32")
    following = [builder.call(fma, [s, factor, term]) for s in sums]
    count = builder.add(counter, ir.Constant(whole, 1))
    builder.cbranch(builder.icmp_signed("<", count, function.args[0]), loop, end)
    counter.add_incoming(ir.Constant(whole, 0), entry)
    counter.add_incoming(count, loop)
    for i, (s, new) in enumerate(zip(sums, following, strict=True)):
        s.add_incoming(ir.Constant(vector, [float(i)] * lanes), entry)
        s.add_incoming(new, loop)
    builder = ir.IRBuilder(end)
    total = following[0]
    for new in following[1:]:
        total = builder.fadd(total, new)
    builder.store(builder.extract_element(total, ir.Constant(ir.IntType(32), 0)), function.args[1])
    builder.ret_void()
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), target)
    engine.finalize_object()
    address = engine.get_function_address("peak")
    call = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.POINTER(ctypes.c_float))(address)
    call.engine = engine  # type: ignore[attr-defined]  # or its memory would go
    return call, lanes
