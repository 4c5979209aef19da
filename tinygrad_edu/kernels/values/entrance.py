"""One native call for a call of a compiled function of Values: guards, arguments, the step.

Whether the arguments are like those of the call before takes Python longer than the step that
depends on it. So machine code compares them where CPython and NumPy keep what they are, hands over
addresses and numbers, and runs the driver. Whatever else Python may be here, there is no entrance
(`door.NoDoor`), and every call is looked at in Python.
"""

from __future__ import annotations

import ctypes
import functools
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import door, llvm
from tinygrad_edu.kernels.control import I32, I64, loop
from tinygrad_edu.kernels.door import HEADER, NoDoor

DATA, NDIM, SHAPE, DTYPE, FLAGS = (HEADER + offset for offset in (0, 8, 16, 40, 48))
"""Where an array, after what all objects begin with, keeps what it is."""
ORDERLY = 0x0101
"""The flags of an array whose numbers lie without gaps, each at a multiple of its size."""
TYPE = HEADER - 8


class Like(NamedTuple):
    """An argument to expect, and where its number, or an array's address, is to be put."""

    sample: Any
    target: int


def suits(x: Any) -> bool:
    """Whether an argument can be recognised: a float, or an array of one axis or two, in order."""
    if x.__class__ is float:
        return True
    orderly = x.__class__ is np.ndarray and x.flags.c_contiguous and x.flags.aligned
    return bool(orderly and x.ndim in (1, 2))


def ticket(
    cells: Sequence[types.CellType], arguments: Iterable[Like], driver: int, table: int
) -> np.ndarray:
    """What `enter` needs: cells that shall hold what they hold now, arguments like these, and the
    driver with its table. What the cells hold and the arrays' dtypes must stay alive with it."""
    records: list[int] = []
    for x, target in arguments:
        if not suits(x):
            raise NoDoor(f"an argument of type {type(x).__name__}")
        array = x.__class__ is np.ndarray
        shape = (*x.shape, 0)[:2] if array else (0, 0)
        kind = (x.ndim, id(x.dtype)) if array else (0, 0)
        records += [id(x.__class__), target, *kind, *shape]
    held = [number for cell in cells for number in (id(cell), id(cell.cell_contents))]
    counts = [driver, table, len(cells), len(records) // _RECORD]
    return np.array([*counts, *held, *records], np.int64)


_RECORD = 6
"""Numbers about an argument: type, target, ndim, dtype, shape."""


@functools.cache
def enter() -> Callable[..., bool]:
    """``enter()(ticket, *arguments)`` does the step if everything is as the ticket says; whether it
    did."""
    if not (door.exists() and _as_expected()):
        raise NoDoor("this Python keeps arrays, numbers or cells in another way.")
    address = llvm.address(f"entrance {HEADER}", _Entrance().write)
    return door.builtin(b"enter", address, [id(True), id(False), "Py_IncRef"])


def _as_expected() -> bool:
    """Whether arrays, floats and cells are laid out as this file has it."""

    def number(x: Any, offset: int, kind: Any = ctypes.c_int64) -> Any:
        return kind.from_address(id(x) + offset).value

    x, y = np.zeros((3, 5), np.float32), 1.25
    cell = types.CellType(y)
    shape = (ctypes.c_int64 * 2).from_address(number(x, SHAPE))
    return (
        number(x, DATA) == x.ctypes.data
        and number(x, NDIM, ctypes.c_int32) == 2
        and tuple(shape) == x.shape
        and number(x, DTYPE) == id(x.dtype)
        and number(x, FLAGS) & ORDERLY == ORDERLY
        and number(x[:, 1:], FLAGS) & ORDERLY != ORDERLY
        and number(x, TYPE) == id(np.ndarray)
        and number(y, HEADER, ctypes.c_double) == y
        and number(cell, HEADER) == id(y)
    )


class _Entrance:
    """``PyObject *name(PyObject *answers, PyObject **arguments, Py_ssize_t count)``"""

    def write(self, name: str) -> str:
        """The function as LLVM assembly."""
        module = ir.Module()
        function = ir.Function(module, ir.FunctionType(I64, [I64, I64, I64]), name)
        self.builder = b = ir.IRBuilder(function.append_basic_block())
        self.refused = function.append_basic_block()
        own, arguments, count = function.args
        plan = self.number(self.number(arguments), DATA)
        answers = self.number(own, DATA)
        driver, table, cells, expected = (self.number(plan, 8 * i) for i in range(4))
        self.require(b.icmp_signed("==", b.sub(count, I64(1)), expected))
        held = b.add(plan, I64(4 * 8))
        with loop(b, I64(0), cells, 1) as i:
            pair = b.add(held, b.mul(i, I64(16)))
            content = self.number(self.number(pair), HEADER)
            self.require(b.icmp_signed("==", content, self.number(pair, 8)))
        records = b.add(held, b.mul(cells, I64(16)))
        for step in (self._check, self._hand_over):  # nothing is changed before all is as it was
            with loop(b, I64(0), expected, 1) as i:
                x = self.number(b.add(arguments, b.mul(b.add(i, I64(1)), I64(8))))
                step(x, b.add(records, b.mul(i, I64(8 * _RECORD))))
        kind = ir.FunctionType(ir.VoidType(), [I64])
        b.call(b.inttoptr(driver, kind.as_pointer()), [table])
        b.ret(self._answer(answers, 0))
        b.position_at_end(self.refused)
        b.ret(self._answer(answers, 1))
        return str(module)

    def number(self, address: Any, offset: int = 0, kind: ir.Type = I64) -> Any:
        """What is in memory."""
        b = self.builder
        return b.load(b.inttoptr(b.add(address, I64(offset)), kind.as_pointer()))

    def require(self, condition: Any) -> None:
        """Go on only if it holds."""
        go_on = self.builder.append_basic_block()
        self.builder.cbranch(condition, go_on, self.refused)
        self.builder.position_at_end(go_on)

    def _check(self, x: Any, record: Any) -> None:
        """That an argument is like the one before."""
        b = self.builder

        def same(found: Any, word: int) -> None:
            self.require(b.icmp_signed("==", found, self.number(record, 8 * word)))

        same(self.number(x, TYPE), 0)
        ndim = self.number(record, 16)
        with b.if_then(b.icmp_signed("!=", ndim, I64(0))):
            same(b.zext(self.number(x, NDIM, I32), I64), 2)
            same(self.number(x, DTYPE), 3)
            flags = b.and_(self.number(x, FLAGS, I32), I32(ORDERLY))
            self.require(b.icmp_signed("==", flags, I32(ORDERLY)))
            shape = self.number(x, SHAPE)
            same(self.number(shape), 4)
            with b.if_then(b.icmp_signed("==", ndim, I64(2))):
                same(self.number(shape, 8), 5)

    def _hand_over(self, x: Any, record: Any) -> None:
        """Put a float's number, or an array's address: either is the first thing in it."""
        b = self.builder
        b.store(self.number(x, HEADER), b.inttoptr(self.number(record, 8), I64.as_pointer()))

    def _answer(self, answers: Any, which: int) -> Any:
        answer = self.number(answers, 8 * which)
        kind = ir.FunctionType(ir.VoidType(), [I64])
        count = self.builder.inttoptr(self.number(answers, 16), kind.as_pointer())
        self.builder.call(count, [answer])
        return answer
