"""What every kernel is written with: its signature, and loops."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from llvmlite import ir

I32, I64 = ir.IntType(32), ir.IntType(64)


@contextlib.contextmanager
def loop(b: ir.IRBuilder, start: Any, stop: Any, step: Any) -> Iterator[Any]:
    """``for i in range(start, stop, step)``."""
    before = b.block
    head, body, done = (b.append_basic_block() for _ in range(3))
    b.branch(head)
    b.position_at_end(head)
    i = b.phi(I64)
    i.add_incoming(start, before)
    b.cbranch(b.icmp_signed("<", i, stop), body, done)
    b.position_at_end(body)
    yield i
    i.add_incoming(b.add(i, I64(step) if isinstance(step, int) else step), b.block)
    b.branch(head)
    b.position_at_end(done)


def function(name: str) -> tuple[ir.Module, ir.IRBuilder, Any]:
    """An empty ``void name(int64 *args)``, and what loads argument q."""
    module = ir.Module()
    kind = ir.FunctionType(ir.VoidType(), [I64.as_pointer()])
    kernel = ir.Function(module, kind, name)
    b = ir.IRBuilder(kernel.append_basic_block())
    return module, b, lambda q: b.load(b.gep(kernel.args[0], [I64(q)]))
