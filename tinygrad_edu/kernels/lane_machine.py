"""A machine for one sample's program on many samples at a time, emitted with LLVM.

A row holds one number of each of WIDTH samples, so an instruction is a few vector instructions.
Numbers that all samples share are not rows but scalars, and their derivatives add up in rows. The
instructions are data; what is emitted, once for a set of ops, is the loop that reads and does them.

Memory is described by `Field`: a table of addresses and numbers is each pass's only argument.
"""

from __future__ import annotations

import ctypes
import enum
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from tinygrad_edu.kernels.vector_math.arithmetic import Number, muladd

WIDTH = {"float32": 64, "float64": 16}
"""Samples in a row: two of the widest registers, so that two chains of additions overlap."""

DOT_SHARED, DOT_MIXED, DOT_ROWS, COPY = 255, 254, 253, 252
"""start + the sum of factor times other, where start and factors are shared numbers; only factors
are; none is. `other` is a row always. COPY passes a number on and no derivative."""


class Field(enum.IntEnum):
    """The table's entries."""

    OP, LEFT, RIGHT, THIRD, FACTOR, OTHER = range(6)  # of instructions and terms
    COUNT = 6  # of instructions
    SOURCES = 7  # rows before those of instructions
    SHARED = 8  # scalars
    SPREAD_ROW, SPREAD_FROM, SPREADS = 9, 10, 11  # shared numbers that are also rows
    VALUE, BLOCK_BYTES = 12, 13  # rows of all blocks
    FIRST_BLOCK, LAST_BLOCK = 14, 15
    MASK = 16  # a row for each block: 1 where there is a sample, else 0
    SUM_ROW, SUM, SUMS = 17, 18, 19  # rows to add up, in rows of doubles
    COTANGENT, ROWS = 20, 21  # of the rows of one block
    SEED_ROW, SEED, SEEDS = 22, 23, 24
    SHARE, SHARED_COUNT, GRADIENT = 25, 26, 27  # of each shared number, and its lanes' sum
    TOTAL = 28  # of the rows added up


SHARE_BYTES = 64
"""Of a shared number's share in a gradient: one register, into which all of a row is added."""


@dataclass(frozen=True)
class Case:
    """An op: its code, its value of the operands, and each operand's share in its cotangent,
    given (cotangent, result, operands)."""

    code: int
    value: Callable[[list[Number]], Number]
    pulls: tuple[Callable[[Number, Number, list[Number]], Number] | None, ...]


class Machine:
    """The two passes, compiled for this machine: each takes the address of a table."""

    def __init__(self, cases: Sequence[Case], dtype: str) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit",
            opt=2,
            codemodel="jitdefault",
            jit=True,
        )
        module = llvm.parse_assembly(_module(cases, dtype))
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(2))
        builder.getModulePassManager().run(module, builder)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        self.forward = self._function("forward")
        self.backward = self._function("backward")

    def _function(self, name: str) -> Any:
        address = self._engine.get_function_address(name)
        return ctypes.CFUNCTYPE(None, ctypes.c_int64)(address)


def _module(cases: Sequence[Case], dtype: str) -> str:
    module = ir.Module()
    cases = [*cases, Case(COPY, lambda xs: xs[0], (None,))]
    _Pass(module, "forward", dtype).forward(cases)
    _Pass(module, "backward", dtype).backward(cases)
    return str(module)


_I64, _I32, _I8 = ir.IntType(64), ir.IntType(32), ir.IntType(8)


class _Pass:
    """One function under construction."""

    def __init__(self, module: ir.Module, name: str, dtype: str) -> None:
        self.element = ir.FloatType() if dtype == "float32" else ir.DoubleType()
        self.size = 4 if dtype == "float32" else 8
        self.width = WIDTH[dtype]
        self.row = ir.VectorType(self.element, self.width)
        self.wide = ir.VectorType(ir.DoubleType(), self.width)
        self.narrow = ir.VectorType(self.element, SHARE_BYTES // self.size)
        kind = ir.FunctionType(ir.VoidType(), [_I64])
        self.function = ir.Function(module, kind, name)
        self.builder = ir.IRBuilder(self.function.append_basic_block())
        self.field = {field: self.load(_I64, self.function.args[0], field) for field in Field}

    # -------------------------------------------------------------------------- memory

    def pointer(self, kind: ir.Type, base: ir.Value, index: Any, size: int) -> ir.Value:
        """The address of an element of an array."""
        index = _I64(index) if isinstance(index, int) else index
        offset = self.builder.mul(index, _I64(size))
        return self.builder.inttoptr(self.builder.add(base, offset), kind.as_pointer())

    def load(self, kind: ir.Type, base: ir.Value, index: Any) -> ir.Value:
        """An integer or float of an array."""
        size = {_I64: 8, _I32: 4, _I8: 1, ir.DoubleType(): 8, ir.FloatType(): 4}[kind]
        value = self.builder.load(self.pointer(kind, base, index, size))
        return self.builder.zext(value, _I64) if kind in (_I32, _I8) else value

    def index(self, field: Field, at: ir.Value) -> ir.Value:
        """An entry of an array of rows."""
        return self.load(_I32, self.field[field], at)

    def read(self, base: ir.Value, row: Any) -> Number:
        """A row."""
        value = self.builder.load(self._place(base, row))
        value.align = 64
        return Number(self.builder, value)

    def write(self, x: Number, base: ir.Value, row: Any) -> None:
        """Set a row."""
        self.builder.store(x.value, self._place(base, row), align=64)

    def parts(self, x: Number) -> list[Number]:
        """A row in registers of the size of a share."""
        count = self.narrow.count
        nothing = ir.Constant(x.value.type, ir.Undefined)
        masks = (
            ir.Constant(ir.VectorType(_I32, count), list(range(first, first + count)))
            for first in range(0, self.width, count)
        )
        return [x.of(self.builder.shuffle_vector(x.value, nothing, mask)) for mask in masks]

    def give(self, parts: list[Number], others: list[Number] | None, at: ir.Value) -> None:
        """Add a row, or its products with another, to a shared number's share."""
        place = self.pointer(self.narrow, self.field[Field.SHARE], at, SHARE_BYTES)
        share = Number(self.builder, self.builder.load(place))
        share.value.align = SHARE_BYTES
        for i, part in enumerate(parts):
            share = share + part if others is None else muladd(part, others[i], share)
        self.builder.store(share.value, place, align=SHARE_BYTES)

    def add(self, x: Number, base: ir.Value, row: Any) -> None:
        """Add to a row."""
        self.write(self.read(base, row) + x, base, row)

    def _place(self, base: ir.Value, row: Any) -> ir.Value:
        return self.pointer(self.row, base, row, self.width * self.size)

    def shared(self, at: ir.Value) -> Number:
        """A shared number, in every lane."""
        return self.broadcast(self.load(self.element, self.field[Field.SHARED], at))

    def broadcast(self, scalar: ir.Value) -> Number:
        """A scalar in every lane."""
        nothing = ir.Constant(self.row, ir.Undefined)
        first = self.builder.insert_element(nothing, scalar, _I32(0))
        zeros = ir.Constant(ir.VectorType(_I32, self.width), [0] * self.width)
        return Number(self.builder, self.builder.shuffle_vector(first, nothing, zeros))

    @property
    def zero(self) -> Number:
        """A row of zeros."""
        return Number(self.builder, ir.Constant(self.row, [0.0] * self.width))

    # -------------------------------------------------------------------------- loops

    @contextmanager
    def loop(self, start: Any, stop: ir.Value, down: bool = False) -> Iterator[ir.Value]:
        """For each index from start to stop, or back from stop."""
        start = _I64(start) if isinstance(start, int) else start
        builder = self.builder
        before = builder.block
        head, body, end = (builder.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        counter = builder.phi(_I64)
        counter.add_incoming(start, before)
        builder.cbranch(builder.icmp_signed("<", counter, stop), body, end)
        builder.position_at_end(body)
        index = counter
        if down:
            index = builder.sub(builder.sub(builder.add(stop, start), counter), _I64(1))
        yield index
        counter.add_incoming(builder.add(counter, _I64(1)), builder.block)
        builder.branch(head)
        builder.position_at_end(end)

    @contextmanager
    def blocks(self) -> Iterator[tuple[ir.Value, ir.Value]]:
        """For each block: its number and the address of its rows."""
        first, last = self.field[Field.FIRST_BLOCK], self.field[Field.LAST_BLOCK]
        with self.loop(first, last) as block:
            offset = self.builder.mul(block, self.field[Field.BLOCK_BYTES])
            yield block, self.builder.add(self.field[Field.VALUE], offset)

    def switch(self, code: ir.Value, branches: dict[int, Callable[[], None]]) -> None:
        """What is to be done for a code."""
        done = self.builder.append_basic_block()
        choice = self.builder.switch(code, done)
        for value, branch in branches.items():
            choice.add_case(_I64(value), self.builder.append_basic_block())
            self.builder.position_at_end(choice.cases[-1][1])
            branch()
            self.builder.branch(done)
        self.builder.position_at_end(done)

    # -------------------------------------------------------------------------- forward

    def forward(self, cases: Sequence[Case]) -> None:
        """Every instruction on every block, then the sums."""
        with self.loop(0, self.field[Field.SUMS]) as k:
            self.builder.store(ir.Constant(self.wide, [0.0] * self.width), self._sum(k), align=64)
        with self.blocks() as (block, value):
            with self.loop(0, self.field[Field.SPREADS]) as k:
                number = self.shared(self.index(Field.SPREAD_FROM, k))
                self.write(number, value, self.index(Field.SPREAD_ROW, k))
            with self.loop(0, self.field[Field.COUNT]) as i:
                self._forward_step(cases, value, i)
            mask = self.read(self.field[Field.MASK], block)
            with self.loop(0, self.field[Field.SUMS]) as k:
                self._add_up(self.read(value, self.index(Field.SUM_ROW, k)), mask, k)
        with self.loop(0, self.field[Field.SUMS]) as k:
            place = self.pointer(ir.DoubleType(), self.field[Field.TOTAL], k, 8)
            self.builder.store(self._total(self.builder.load(self._sum(k))), place)
        self.builder.ret_void()

    def _forward_step(self, cases: Sequence[Case], value: ir.Value, i: ir.Value) -> None:
        places = [self.index(field, i) for field in (Field.LEFT, Field.RIGHT, Field.THIRD)]
        row = self.builder.add(self.field[Field.SOURCES], i)

        def compute(case: Case) -> None:
            xs = [self.read(value, p) for p in places[: len(case.pulls)]]
            self.write(case.value(xs), value, row)

        branches: dict[int, Callable[[], None]] = {
            case.code: functools.partial(compute, case) for case in cases
        }
        for code in (DOT_SHARED, DOT_MIXED, DOT_ROWS):
            branches[code] = functools.partial(self._dot, code, value, places, row)
        self.switch(self.load(_I8, self.field[Field.OP], i), branches)

    def _dot(self, code: int, value: ir.Value, places: list[ir.Value], row: ir.Value) -> None:
        start, first, last = places
        begin = self.shared(start) if code == DOT_SHARED else self.read(value, start)
        builder, before = self.builder, self.builder.block
        head, body, end = (builder.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        k, total = builder.phi(_I64), builder.phi(self.row)
        k.add_incoming(first, before)
        total.add_incoming(begin.value, before)
        builder.cbranch(builder.icmp_signed("<", k, last), body, end)
        builder.position_at_end(body)
        factor, other = self._term(code, value, k)
        total.add_incoming(muladd(factor, other, begin.of(total)).value, builder.block)
        k.add_incoming(builder.add(k, _I64(1)), builder.block)
        builder.branch(head)
        builder.position_at_end(end)
        self.write(begin.of(total), value, row)

    def _term(self, code: int, value: ir.Value, k: ir.Value) -> tuple[Number, Number]:
        at = self.index(Field.FACTOR, k)
        factor = self.read(value, at) if code == DOT_ROWS else self.shared(at)
        return factor, self.read(value, self.index(Field.OTHER, k))

    def _add_up(self, x: Number, mask: Number, k: ir.Value) -> None:
        """Add a row to a sum in double precision, the lanes that have a sample."""
        chosen = (mask > 0.0).select(x, self.zero).value
        if self.size == 4:
            chosen = self.builder.fpext(chosen, self.wide)
        total = self.builder.load(self._sum(k))
        total.align = 64
        self.builder.store(self.builder.fadd(total, chosen), self._sum(k), align=64)

    def _sum(self, k: ir.Value) -> ir.Value:
        return self.pointer(self.wide, self.field[Field.SUM], k, 8 * self.width)

    # -------------------------------------------------------------------------- backward

    def backward(self, cases: Sequence[Case]) -> None:
        """Every instruction on every block, from the last one back; then the sums of the shares."""
        cotangent = self.field[Field.COTANGENT]
        with self.loop(0, self.field[Field.SHARED_COUNT]) as k:
            nothing = ir.Constant(self.narrow, [0.0] * self.narrow.count)
            place = self.pointer(self.narrow, self.field[Field.SHARE], k, SHARE_BYTES)
            self.builder.store(nothing, place, align=SHARE_BYTES)
        with self.blocks() as (block, value):
            with self.loop(0, self.field[Field.ROWS]) as row:
                self.write(self.zero, cotangent, row)
            mask = self.read(self.field[Field.MASK], block)
            with self.loop(0, self.field[Field.SEEDS]) as k:
                seed = self.broadcast(self.load(self.element, self.field[Field.SEED], k))
                self.add(seed * mask, cotangent, self.index(Field.SEED_ROW, k))
            with self.loop(0, self.field[Field.COUNT], down=True) as i:
                self._backward_step(cases, value, mask, i)
            with self.loop(0, self.field[Field.SPREADS]) as k:
                share = self.read(cotangent, self.index(Field.SPREAD_ROW, k))
                self.give(self.parts(share), None, self.index(Field.SPREAD_FROM, k))
        with self.loop(0, self.field[Field.SHARED_COUNT]) as k:
            place = self.pointer(self.narrow, self.field[Field.SHARE], k, SHARE_BYTES)
            total = self._total(self.builder.load(place))
            self.builder.store(
                self.builder.fpext(total, ir.DoubleType()) if self.size == 4 else total,
                self.pointer(ir.DoubleType(), self.field[Field.GRADIENT], k, 8),
            )
        self.builder.ret_void()

    def _backward_step(
        self, cases: Sequence[Case], value: ir.Value, mask: Number, i: ir.Value
    ) -> None:
        cotangent = self.field[Field.COTANGENT]
        places = [self.index(field, i) for field in (Field.LEFT, Field.RIGHT, Field.THIRD)]
        row = self.builder.add(self.field[Field.SOURCES], i)
        given = self.read(cotangent, row)

        def pull(case: Case) -> None:
            xs = [self.read(value, p) for p in places[: len(case.pulls)]]
            y = self.read(value, row)
            for place, share in zip(places, case.pulls, strict=False):
                if share is not None:  # 0 times an infinite derivative must not come from no sample
                    found = (mask > 0.0).select(share(given, y, xs), self.zero)
                    self.add(found, cotangent, place)

        branches: dict[int, Callable[[], None]] = {
            case.code: functools.partial(pull, case) for case in cases
        }
        for code in (DOT_SHARED, DOT_MIXED, DOT_ROWS):
            branches[code] = functools.partial(self._pull_dot, code, value, places, given)
        self.switch(self.load(_I8, self.field[Field.OP], i), branches)

    def _pull_dot(self, code: int, value: ir.Value, places: list[ir.Value], given: Number) -> None:
        start, first, last = places
        cotangent, parts = self.field[Field.COTANGENT], self.parts(given)
        with self.loop(first, last) as k:
            factor_at, other_at = self.index(Field.FACTOR, k), self.index(Field.OTHER, k)
            factor, other = self._term(code, value, k)
            self.write(muladd(given, factor, self.read(cotangent, other_at)), cotangent, other_at)
            if code == DOT_ROWS:
                found = muladd(given, other, self.read(cotangent, factor_at))
                self.write(found, cotangent, factor_at)
            else:
                self.give(parts, self.parts(other), factor_at)
        if code == DOT_SHARED:
            self.give(parts, None, start)
        else:
            self.add(given, cotangent, start)

    def _total(self, value: ir.Value) -> ir.Value:
        """The sum of a vector's lanes, halves added until one is left."""
        count = value.type.count
        while count > 1:
            count //= 2
            low, high = (
                self.builder.shuffle_vector(
                    value,
                    ir.Constant(value.type, ir.Undefined),
                    ir.Constant(ir.VectorType(_I32, count), list(range(first, first + count))),
                )
                for first in (0, count)
            )
            value = self.builder.fadd(low, high)
        return self.builder.extract_element(value, _I32(0))
