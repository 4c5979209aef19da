"""A compiled program: `build` makes it, `Plan.run` runs it."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from tinygrad_edu.compiler.arena import Layout, allocate
from tinygrad_edu.compiler.code import CALL_FAILED, FIRST_REPORT, Code, Instruction, Writer
from tinygrad_edu.compiler.feeds import Source, checked, look
from tinygrad_edu.compiler.fuse import fuse
from tinygrad_edu.compiler.group import is_final
from tinygrad_edu.compiler.lower import Lowered, base, copied, lower
from tinygrad_edu.compiler.order import order
from tinygrad_edu.compiler.parallel import share
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.compiler.reference import initial
from tinygrad_edu.compiler.steps import Single, Step
from tinygrad_edu.compiler.term import Term
from tinygrad_edu.compiler.traffic import cut, rehearse
from tinygrad_edu.errors import ArgumentError, IndexingError, ShapeError
from tinygrad_edu.graph.node import Node
from tinygrad_edu.kernels import blas, native
from tinygrad_edu.kernels.alignment import address_of
from tinygrad_edu.kernels.door import NoDoor
from tinygrad_edu.kernels.llvm import Target, host
from tinygrad_edu.kernels.team import TeamStream
from tinygrad_edu.kernels.threads import WORTH_SHARING, get_num_threads, was_chosen

_SHARED_FROM = 1e6
"""FLOP of a product below which OpenBLAS does not share it among its threads anyway."""

_INDEX_BYTES = 8

LEAST_BY_DEFAULT = 2e-4
"""Seconds of a step from which it is shared among threads if nobody has chosen their number: below,
little is gained by keeping another processor busy."""

_FLOP_AN_ELEMENT, _ELEMENT = 64, 16
"""FLOP, and bytes moved, that take about as long as an element of an elementwise op."""

_REPEATS = 20
"""How often an instruction is run to be measured: a call from Python takes longer than many."""


def build(program: Program, threads: int | None = None, target: Target | None = None) -> Plan:
    """Compile a program: match, fuse, order, lay out, emit and load.

    Args:
        program: The traced step.
        threads: How many threads the plan may use, by default `tg.get_num_threads()`. A step that
            is estimated to gain is shared among them; of another one BLAS's own threads share the
            matrix products that are large enough, unless this is 1.
        target: The processor to emit for; by default this one.

    Raises:
        TraceError: A leaf without data that is neither input nor state.
    """
    if threads is not None and threads < 1:
        raise ArgumentError(f"build: threads must be at least 1, got {threads}.")
    count = get_num_threads() if threads is None else threads
    least = LEAST_BY_DEFAULT if threads is None and not was_chosen() else 0.0
    target = target or host()
    plan = Plan(program, target, count, least)
    if count > 1 and not plan.is_shared and plan.largest_in_tiles >= WORTH_SHARING:
        plan = Plan(program, target, count, least, WORTH_SHARING)  # for BLAS's threads to share
    return plan


class Plan:
    """A program as a stream of kernel calls over one arena.

    `instructions` tells what it does; `arena_bytes` how much memory all its values take; `shapes`
    are those of the outputs.
    """

    def __init__(
        self,
        program: Program,
        target: Target,
        threads: int = 1,
        least: float = 0.0,
        by_blas: float = math.inf,
    ) -> None:
        lowered = lower(program)
        self._states = dict(zip(program.states, lowered.states, strict=True))
        self._inputs = lowered.inputs
        self._outputs = _own_outputs(lowered)
        steps, pinned = _steps(lowered, self._outputs, by_blas)
        constants = _constants(steps)
        slots = [*self._inputs, *self._outputs]
        ends = None
        if threads > 1 and (found := rehearse(steps, pinned, slots, threads, least)):
            steps, ends = found.steps, found.ends
        self._layout = Layout(steps, lowered.states, constants, pinned, set(slots), ends)
        self._arena = allocate(self._layout.bytes)
        for t in constants:
            self._view(t)[...] = t.value
        for node in program.states:
            self.state(node)[...] = initial(node)
        self._writer = Writer(self._layout, self._arena, steps, slots, lowered.nodes, target)
        self._positions = [
            (self._inputs.index(step.reads[0]), step.out.params)
            for step in steps
            if isinstance(step, Single) and step.reports and step.reads[0] in self._inputs
        ]
        self._can_fail = bool(self._writer.checks) or any(
            isinstance(step, Single) and not step.native for step in steps
        )
        self.instructions: tuple[Instruction, ...] = tuple(self._writer.instructions)
        self.arena_bytes = self._layout.bytes
        largest, self.largest_in_tiles = self._writer.largest_by_blas, self._writer.largest_in_tiles
        self._shares = (
            None if ends is None else share(steps, self._writer, self._layout, slots, threads)
        )
        self.threads = threads if self._shares else 1
        shared_by_blas = threads > 1 and not self._shares and largest >= WORTH_SHARING
        self._on_one_thread = largest > _SHARED_FROM and not shared_by_blas
        self._last: list[Any] = [None] * len(self._inputs)
        self.shapes = [t.shape for t in lowered.outputs]
        self._results = [
            np.zeros(shape, t.dtype) for shape, t in zip(self.shapes, self._outputs, strict=True)
        ]
        self._single = self._stream(())
        # By the inputs that are gathered:
        self._many: dict[tuple[int, ...], native.Stream | TeamStream] = {}
        for i, result in enumerate(self._results, len(self._inputs)):
            self._single.base[i] = result.ctypes.data
        self._once = self._entered()

    @property
    def is_shared(self) -> bool:
        """Whether threads share its steps."""
        return self._shares is not None

    def _entered(self) -> Callable[..., Any] | None:
        """What runs the plan once for arrays, if that needs nothing but their addresses."""
        if self._on_one_thread or not isinstance(self._single, native.Stream):
            return None
        work = sum(x.flop // _FLOP_AN_ELEMENT + x.bytes // _ELEMENT for x in self.instructions)
        with contextlib.suppress(NoDoor):
            return self._single.once(len(self._inputs), work)
        return None

    def _view(self, t: Term) -> np.ndarray:
        start = self._layout.offset(t)
        return self._arena[start : start + t.nbytes].view(t.dtype).reshape(t.shape)

    def state(self, node: Node) -> np.ndarray:
        """The storage of a state, to read and to write."""
        return self._view(self._states[node])

    # ------------------------------------------------------------------ one call

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One call: the outputs for these inputs, copied; states are updated in place.

        Raises:
            ShapeError, DTypeError: An input that is not what was traced.
        """
        if len(inputs) != len(self._inputs):
            raise ShapeError(f"run: {len(self._inputs)} inputs expected, got {len(inputs)}.")
        if self._shares:
            look(self._positions, inputs)
        last = self._last
        for i, x in enumerate(inputs):
            if x is not last[i]:
                last[i] = checked(x, self._inputs[i], i)
        if self._once is not None:
            self._once(*last)
            if self._can_fail and self._writer.stop[0]:
                self._raise()
        else:
            for i, x in enumerate(last):
                self._single.base[i] = address_of(x)
            self._walk(self._single, 1)
        return [result.copy() for result in self._results]

    def _walk(self, stream: native.Stream | TeamStream, steps: int) -> None:
        functions = _blas_threads() if self._on_one_thread else None
        count = functions[0]() if functions else 1
        if count > 1 and functions:
            functions[1](1)
        try:
            stream.run(0, steps)
        finally:
            if count > 1 and functions:
                functions[1](count)
        if self._can_fail and self._writer.stop[0]:
            self._raise()

    def _raise(self) -> NoReturn:
        """Raise what a call of NumPy raised while the stream ran, or what a kernel reported."""
        writer = self._writer
        code, *numbers = writer.stop.tolist()
        writer.stop[...] = 0
        if code == CALL_FAILED:
            raise writer.errors.pop()
        raise writer.checks[code - FIRST_REPORT](*numbers)

    def measure(self, inputs: Sequence[np.ndarray], rounds: int = 5) -> list[float]:
        """Seconds that each instruction takes alone, the least of some rounds; states are left as
        they were."""
        before = self._arena.copy()
        none = np.zeros((0, 2), np.int64)
        try:
            self.run(inputs)
            self._arena[...] = before
            whole = self._writer.code.bound(self._single.base)
            seconds = []
            for start, end in self._writer.spans:
                stream = native.Stream(whole[start:end].copy(), none, none, none, self._writer.stop)
                # Each finds what it finds in a call: kernels follow the positions they are given.
                found, times = self._arena.copy(), []
                for _ in range(rounds):
                    self._arena[...] = found
                    begin = time.perf_counter()
                    self._walk(stream, _REPEATS)
                    times.append((time.perf_counter() - begin) / _REPEATS)
                seconds.append(min(times))
                self._arena[...] = found
                self._walk(stream, 1)
            return seconds
        finally:
            self._arena[...] = before

    # ------------------------------------------------------------------ many calls

    def run_many(self, steps: int, sources: Sequence[Source]) -> list[np.ndarray]:
        """`steps` calls in one: the outputs, stacked along a new first axis.

        A source is an array for all steps, an array with a leading axis of `steps`, or a pair
        ``(data, index)`` whose rows ``data[index[step]]`` are the input of each step. One call
        cannot be interrupted, so split what takes long.

        Raises:
            ShapeError, DTypeError, IndexingError: A source that does not fit its input.
        """
        if len(sources) != len(self._inputs):
            raise ShapeError(f"run: {len(self._inputs)} inputs expected, got {len(sources)}.")
        gathered = tuple(i for i, source in enumerate(sources) if isinstance(source, tuple))
        if gathered not in self._many:
            self._many[gathered] = self._stream(gathered)
        stream = self._many[gathered]
        kept: list[Any] = []
        for i, (source, t) in enumerate(zip(sources, self._inputs, strict=True)):
            if isinstance(source, tuple):
                self._bind_gathered(stream, i, gathered, source, steps, kept)
                continue
            each = source.ndim == len(t.shape) + 1 and source.shape[0] == steps
            x = checked(source, t, i, leading=(steps,) if each else ())
            kept.append(x)
            stream.base[i] = address_of(x)
            stream.stride[i] = t.nbytes if each else 0
        look(self._positions, sources)
        results = [
            np.empty((steps, *shape), t.dtype)
            for shape, t in zip(self.shapes, self._outputs, strict=True)
        ]
        for i, (result, t) in enumerate(
            zip(results, self._outputs, strict=True), len(self._inputs)
        ):
            stream.base[i], stream.stride[i] = address_of(result), t.nbytes
        self._walk(stream, steps)
        return results

    def _bind_gathered(
        self,
        stream: native.Stream | TeamStream,
        i: int,
        gathered: tuple[int, ...],
        source: tuple[np.ndarray, np.ndarray],
        steps: int,
        kept: list[Any],
    ) -> None:
        """Let the stream collect input i from rows of `source`."""
        t, (data, index) = self._inputs[i], source
        data = checked(data, t, i, leading=data.shape[:1], skip=1)
        index = np.ascontiguousarray(index, np.int64)
        if index.shape != (steps, *t.shape[:1]):
            raise ShapeError(
                f"run_many: input {i} needs an index of shape {(steps, *t.shape[:1])}, got "
                f"{index.shape}."
            )
        if index.size and not (index.min() >= 0 and index.max() < len(data)):
            raise IndexingError(f"run_many: input {i}: an index outside 0 .. {len(data) - 1}.")
        staged = np.empty(t.shape, t.dtype)
        kept += [data, index, staged]
        slots = len(self._inputs) + len(self._outputs)
        place = slots + 2 * gathered.index(i)
        stream.base[i] = staged.ctypes.data
        stream.base[place], stream.stride[place] = data.ctypes.data, 0
        stream.base[place + 1] = index.ctypes.data
        stream.stride[place + 1] = t.shape[0] * index.itemsize

    def _stream(self, gathered: tuple[int, ...]) -> native.Stream | TeamStream:
        """The plan's code, after instructions that gather these inputs. Beyond the slots of inputs
        and outputs, each gathered input has one for its data and one for its index."""
        slots = len(self._inputs) + len(self._outputs) + 2 * len(gathered)
        shares = self._shares
        if shares is not None:
            codes = [
                self._gathering(gathered, code, k, self.threads)
                for k, code in enumerate(shares.codes)
            ]
            folded = self._gathering(gathered, shares.folded)
            return TeamStream(codes, folded, slots, shares.seconds)
        words, moving = self._gathering(gathered, self._writer.code)
        assert not any(offset for *_, offset in moving)
        moves = np.array([(p, slot) for p, slot, _ in moving], np.int64).reshape(-1, 2)
        base, stride = np.zeros((2, slots), np.int64)
        return native.Stream(np.array(words, np.int64), moves, base, stride, self._writer.stop)

    def _gathering(
        self, gathered: tuple[int, ...], code: Code, k: int = 0, threads: int = 1
    ) -> tuple[list[int], list[tuple[int, int, int]]]:
        """A stream after instructions that gather thread k's part of the rows."""
        words: list[int] = []
        moving: list[tuple[int, int, int]] = []
        slots = len(self._inputs) + len(self._outputs)
        for g, i in enumerate(gathered):
            t = self._inputs[i]
            first, end = cut(t.shape[0], threads)[k : k + 2]
            size, at = t.nbytes // t.shape[0], len(words) + 2
            moving.append((at, i, first * size))
            moving.append((at + 1, slots + 2 * g, 0))
            moving.append((at + 2, slots + 2 * g + 1, first * _INDEX_BYTES))
            words += [native.gather_rows(), 5, 0, 0, 0, end - first, size]
        moving += [(p + len(words), slot, offset) for p, slot, offset in code.moving]
        return [*words, *code.words], moving


@functools.cache
def _blas_threads() -> tuple[Any, Any] | None:
    """What gets and sets the number of OpenBLAS's threads; None for another BLAS."""
    import ctypes

    found = blas.find()
    if found is None:
        return None
    get, put = (found.address(f"openblas_{verb}_num_threads") for verb in ("get", "set"))
    if not (get and put):
        return None
    return ctypes.CFUNCTYPE(ctypes.c_int)(get), ctypes.CFUNCTYPE(None, ctypes.c_int)(put)


# ------------------------------------------------------------------------------ planning


def _own_outputs(lowered: Lowered) -> list[Term]:
    """For each output a term that is nobody else's and can be written outside the arena: a state,
    an input, a constant, what updates a state and what is there already are copied, and so are
    sums over rows, whose kernels need padded memory."""
    taken = {base(t) for t in lowered.updates.values()}
    outputs = []
    for mark, t in enumerate(lowered.outputs):
        t = base(t)
        if t.op is None or t in taken or (is_final(t) and t.size > 1):
            t = copied(t, mark)
        taken.add(t)
        outputs.append(t)
    return outputs


def _steps(
    lowered: Lowered, outputs: Sequence[Term], by_blas: float
) -> tuple[list[Step], dict[Term, Term]]:
    """The steps in order, and the state that each new value is written into. (Sums over rows are
    copied there, as in `_own_outputs`.)"""
    updates: dict[Term, Term] = {}
    taken: set[Term] = set()
    # The same value may be copied for several places, each with a mark of its own.
    marks = {state: len(outputs) + i for i, state in enumerate(lowered.updates)}
    for state, t in lowered.updates.items():
        t = base(t)
        if t is state:
            continue
        if t.op is None or t in taken or (is_final(t) and t.size > 1):
            t = copied(t, marks[state])
        taken.add(t)
        updates[state] = t
    while True:
        fused = fuse([*outputs, *updates.values()], updates, by_blas)
        pinned: dict[Term, Term] = {t: state for state, t in updates.items()}
        steps, late = order(fused.steps, fused.rank, pinned)
        if not late:
            return steps, pinned
        updates = {s: copied(t, marks[s]) if t in late else t for s, t in updates.items()}


def _constants(steps: Sequence[Step]) -> list[Term]:
    """Constants whose values the steps read."""
    reads: Mapping[Term, None] = dict.fromkeys(x for step in steps for x in step.reads)
    return [t for t in reads if t.value is not None]
