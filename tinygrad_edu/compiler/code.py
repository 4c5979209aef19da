"""The instruction stream: for each step the address of its kernel and the kernel's arguments.

Addresses of what lies in the arena are written once. Those of a call's inputs and outputs move, so
their positions in the stream are noted (`Writer.moving`) and set before each step.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_edu.compiler.arena import Layout, allocate
from tinygrad_edu.compiler.called import OUT, REPORT, SCRATCH, Call
from tinygrad_edu.compiler.group import Group
from tinygrad_edu.compiler.lower import base
from tinygrad_edu.compiler.moves import moves_of
from tinygrad_edu.compiler.rules import is_reduction
from tinygrad_edu.compiler.steps import Product, Single, Step
from tinygrad_edu.compiler.term import Term
from tinygrad_edu.graph.node import Node, as_ours
from tinygrad_edu.kernels import native, tiled, tiles, tune
from tinygrad_edu.kernels.emit import emit
from tinygrad_edu.kernels.llvm import Target, address
from tinygrad_edu.kernels.native import COPIED_AXES

CALL_FAILED, FIRST_REPORT = 1, 2
"""Codes in `Writer.stop`: an exception was raised in a call of NumPy; from the second on, number
`code - FIRST_REPORT` of `Writer.checks` was reported."""


@dataclass(frozen=True)
class Instruction:
    """One step of a plan: `kernel` is ``fused``, ``matmul``, ``move``, ``loop`` (a kernel of one
    op alone) or ``numpy`` (a call back to NumPy); `ops` and `nodes` are what it computes, `shapes`
    the space it walks (of a product m, n, k, after the batch if there is one), `flop` and `bytes`
    what it computes and moves."""

    kernel: str
    ops: tuple[str, ...]
    nodes: tuple[Node, ...]
    shapes: tuple[tuple[int, ...], ...]
    flop: int
    bytes: int

    @property
    def is_native(self) -> bool:
        """Whether it runs without Python."""
        return self.kernel != "numpy"


@dataclass(frozen=True)
class At:
    """An argument: the address so many bytes into a term."""

    term: Term
    offset: int


@dataclass(frozen=True)
class Part:
    """The share of one thread in a step: `count` from `start` on along its outermost loop.
    `private` is where it keeps what only all shares together make: sums, by their term; scratch
    rows, by their number; the transposed operand of a product (key ``work``)."""

    start: int
    count: int
    private: Mapping[Any, int] = field(default_factory=dict)


@dataclass
class Code:
    """A stream: its words, and the positions of moving addresses: (position, slot, offset)."""

    words: list[int] = field(default_factory=list)
    moving: list[tuple[int, int, int]] = field(default_factory=list)

    def bound(self, base: np.ndarray) -> np.ndarray:
        """The words, with these addresses where they move."""
        words = np.array(self.words, np.int64)
        for position, slot, offset in self.moving:
            words[position] = base[slot] + offset
        return words


class Writer:
    """Writes the stream of a plan. `slots` are the terms that live outside the arena."""

    def __init__(
        self,
        layout: Layout,
        arena: np.ndarray,
        steps: Sequence[Step],
        slots: Sequence[Term],
        nodes: Mapping[Term, Node],
        target: Target,
    ) -> None:
        self._layout, self._start, self._target = layout, arena.ctypes.data, target
        self._slots = {t: i for i, t in enumerate(slots)}
        self._nodes = nodes
        self._ones = {d: np.ones(1, d) for d in (np.float32, np.float64)}
        self._calls: list[_Call] = []
        self.code = Code()
        self.instructions: list[Instruction] = []
        self.spans: list[tuple[int, int]] = []  # which words each instruction is
        self.stop = np.zeros(3, np.int64)  # a code, and the numbers that a kernel reports
        self.checks: list[Callable[[int, int], Exception]] = []
        self._kept: list[Any] = []
        self.errors: list[BaseException] = []
        self.largest_by_blas = self.largest_in_tiles = 0
        for step in steps:
            if isinstance(step, Group):
                self._group(step)
            elif isinstance(step, Product):
                self._product(step)
            elif step.native:
                self._native(step)
            else:
                self._numpy(step.out)

    # ------------------------------------------------------------------ words

    def instruct(self, code: Code, kernel: int, arguments: Sequence[int | Term | At]) -> None:
        """Append a call; a term stands for its address."""
        code.words += [kernel, len(arguments)]
        for x in arguments:
            if isinstance(x, Term | At):
                t, offset = (x, 0) if isinstance(x, Term) else (x.term, x.offset)
                code.words.append(self._address(code, t, offset))
            else:
                code.words.append(int(x))

    def _address(self, code: Code, t: Term, offset: int) -> int:
        place = self._layout.where(t)
        slot = self._slots.get(place)
        if slot is not None:
            code.moving.append((len(code.words), slot, offset))
            return 0
        return self._start + self._layout.at[place] + offset

    def _instruction(self, kernel: int, arguments: Sequence[int | Term | At]) -> None:
        self.instruct(self.code, kernel, arguments)

    def _describe(
        self,
        kernel: str,
        terms: Sequence[Term],
        step: Any,
        shape: Any,
        flop: int,
        ops: tuple[str, ...] = (),
    ) -> None:
        start = self.spans[-1][1] if self.spans else 0
        self.spans.append((start, len(self.code.words)))
        moved = {t: t.nbytes for t in (*step.reads, *step.outputs)}
        self.instructions.append(
            Instruction(
                kernel,
                ops or tuple(t.name for t in terms),
                tuple(self._nodes[t] for t in terms if t in self._nodes),
                (tuple(shape),),
                flop,
                sum(moved.values()),
            )
        )

    # ------------------------------------------------------------------ steps

    def write(self, step: Step, code: Code, part: Part | None = None) -> None:
        """Append a step, or a thread's part of it, to a stream."""
        if isinstance(step, Group):
            self.instruct(code, self._kernel(step), self._group_arguments(step, part))
        elif isinstance(step, Product):
            self.instruct(code, *self._product_arguments(step, part))
        elif step.call is not None:
            shared = step.shared
            own = part and shared and shared.part(part.start, part.count)
            self._called(step, own or step.call, code, part)
        else:
            self._copies(step.out, code)

    def _kernel(self, group: Group) -> int:
        kernel, target = group.kernel, self._target
        return address(kernel.signature, lambda name: emit(kernel, target, name), target)

    def _group_arguments(self, group: Group, part: Part | None) -> list[int | Term | At]:
        kernel, extents = group.kernel, group.extents
        start, count = (part.start, part.count) if part else (0, extents[0])
        private = part.private if part else {}
        arguments: list[int | Term | At] = [count, *extents[1:]]
        for x in group.operands:
            arguments += [At(x, start * group.pace(x)), *group.strides(x)]
        for t in group.outputs:
            own = private.get(t)
            place = At(t, start * group.pace(t)) if own is None else own
            arguments += [place, *group.strides(t)]
            if kernel.in_memory(group.position[t]):
                arguments.append(t.size)
        for i in kernel.scratch:
            shared = self._start + self._layout.scratch[id(group), i]
            arguments.append(private.get(i, shared))
        return arguments

    def _group(self, group: Group) -> None:
        self.write(group, self.code)
        flop = sum(t.inputs[0].size if is_reduction(t) else t.size for t in group.nodes)
        self._describe("fused", group.nodes, group, group.space, flop)

    def _product_arguments(
        self, step: Product, part: Part | None
    ) -> tuple[int, list[int | Term | At]]:
        """The kernel and its arguments. A part is some of the rows, or of the batch."""
        m, n, k = step.sizes
        dtype, batch = step.out.dtype, step.batch
        start, private = (part.start, part.private) if part else (0, {})
        terms = (step.a, step.b, step.out)
        a, b, out = (At(t, start * pace) for t, pace in zip(terms, step.paces, strict=True))
        if part and batch > 1:
            batch = part.count
        elif part:
            m = part.count
        beta: int | Term = 0
        if step.beta is not None:
            beta = step.beta
        elif step.init is not None:
            beta = self._ones[dtype.type].ctypes.data
        work = private.get("work", self._start + self._layout.work)
        operands = (a, step.a.shape[-1], b, step.b.shape[-1], out, n)
        repeated = (batch, *(step.distance(x) for x in terms))
        if step.in_tiles:
            return self._in_tiles(step, (m, n, k), (*operands, step.row or beta, work), repeated)
        addresses = native.gemm(dtype)
        assert addresses is not None
        kernel, product, transpose = addresses
        mb, nb, kb, first = tune.blocks(step.ta, step.tb, m, n, k, dtype)
        work = work if first and transpose else 0
        arguments = (int(step.ta), int(step.tb), m, n, k, *operands, beta, mb, nb, kb, work)
        return kernel, [*arguments, *repeated, product, transpose]

    def _in_tiles(
        self,
        step: Product,
        sizes: tuple[int, int, int],
        operands: Sequence[int | Term | At],
        repeated: Sequence[int],
    ) -> tuple[int, list[int | Term | At]]:
        """The same for a product by the processor's own kernels."""
        dtype = step.out.dtype
        found = tiles.tiles(*sizes, dtype.itemsize)
        start = "row" if step.row is not None else "zero" if step.init is None else "scaled"
        kernel = tiled.kernel(dtype, found, step.ta, step.tb, start)
        return kernel, tiled.arguments(found, sizes, operands, repeated)

    def _product(self, step: Product) -> None:
        self.write(step, self.code)
        m, n, k = step.sizes
        flop = 2 * m * n * k
        if step.in_tiles:
            self.largest_in_tiles = max(self.largest_in_tiles, flop)
        else:
            self.largest_by_blas = max(self.largest_by_blas, flop)
        batch = step.out.shape[:-2]
        plain = step.init is None and step.row is None
        ops = ("matmul",) if plain else ("matmul", "add")
        self._describe("matmul", [step.out], step, (*batch, m, n, k), flop * step.batch, ops)

    def _native(self, step: Single) -> None:
        self.write(step, self.code)
        kernel = "move" if step.call is None else "loop"
        self._describe(kernel, [step.out], step, step.out.shape, step.flop)

    def _called(self, step: Single, call: Call, code: Code, part: Part | None) -> None:
        self._kept.append(call.kept)
        scratch = 0
        own = part.private.get(step.out) if part else None
        if call.scratch:
            self._kept.append(allocate(call.scratch))
            scratch = self._kept[-1].ctypes.data
        for kernel, given in call.kernels:
            arguments: list[int | Term | At] = []
            for x in given:
                start, offset = x if isinstance(x, tuple) else (x, 0)
                if start == REPORT:
                    arguments += [self.stop.ctypes.data, FIRST_REPORT + len(self.checks)]
                elif start == SCRATCH:
                    arguments.append(scratch + offset)
                elif start == OUT and own is not None:
                    arguments.append(own + offset)
                elif isinstance(start, int):
                    arguments.append(start)
                else:
                    arguments.append(At(step.out if isinstance(start, str) else start, offset))
            self.instruct(code, kernel, arguments)
        if call.error is not None:
            self.checks.append(call.error)

    def _copies(self, t: Term, code: Code) -> None:
        found = moves_of(t)
        assert found is not None
        zeroed, moves = found
        if zeroed:
            self.instruct(code, native.fill_zero(), [t, t.nbytes])
        for move in moves:
            axes = [(1, 0, 0)] * (COPIED_AXES - len(move.axes)) + list(move.axes)
            offsets = (move.target_offset, move.source_offset)
            flat = [number for axis in axes for number in axis]
            kernel = native.strided_copy(move.itemsize)
            self.instruct(code, kernel, [t, base(t.inputs[move.source]), *offsets, *flat])

    def _numpy(self, t: Term) -> None:
        call = _Call(t, self)
        self._calls.append(call)
        self._instruction(call.address, [*(base(x) for x in t.inputs), t])
        self._describe("numpy", [t], Single(t, False), t.shape, t.size)


_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Call:
    """An instruction that computes one term by its op's own `forward`.

    An exception cannot pass through compiled code: it is kept, and the stream stops."""

    def __init__(self, t: Term, writer: Writer) -> None:
        self._term, self._writer = t, writer
        self._function = _CALLBACK(self._run)
        self.address = ctypes.cast(self._function, ctypes.c_void_p).value or 0

    def _run(self, arguments: int) -> None:
        t = self._term
        assert t.op is not None
        try:
            places = (ctypes.c_int64 * (len(t.inputs) + 1)).from_address(arguments)
            xs = [_array(x, place) for x, place in zip(t.inputs, places, strict=False)]
            result = t.op.forward(*xs, **t.params)
            _array(t, places[-1])[...] = np.reshape(result, t.shape)
        except BaseException as error:
            ours = as_ours(error, t.op, t.inputs) if isinstance(error, Exception) else error
            self._writer.errors.append(ours)
            self._writer.stop[0] = CALL_FAILED


def _array(t: Term, place: int) -> np.ndarray:
    """The memory at an address as the array of a term."""
    if t.size == 0:
        return np.zeros(t.shape, t.dtype)
    memory: Any = (ctypes.c_char * t.nbytes).from_address(place)
    array: np.ndarray = np.frombuffer(memory, t.dtype).reshape(t.shape)
    return array
