"""`tg.compile`: an ordinary training step as one compiled call."""

from __future__ import annotations

import functools
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinygrad_edu.compiler import collector
from tinygrad_edu.compiler.entry import Entry, Results
from tinygrad_edu.compiler.epoch import Batches, run_epoch
from tinygrad_edu.compiler.feeds import Source, first_of, leading
from tinygrad_edu.compiler.observed import in_python, one_in_python
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.compiler.tracing.arguments import Key, objects, signature, stand_ins
from tinygrad_edu.compiler.tracing.host import Live
from tinygrad_edu.compiler.tracing.lift import lift
from tinygrad_edu.compiler.tracing.mutation import Locator, assigned_tensors
from tinygrad_edu.compiler.tracing.scan import PLAIN, Scan, is_module
from tinygrad_edu.compiler.tracing.trace import Tracer
from tinygrad_edu.derive.pytree import flatten
from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph import node as graph
from tinygrad_edu.graph.lines import Line
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.tensor import Tensor

if TYPE_CHECKING:
    from tinygrad_edu.compiler.values.compiled import CompiledValues

PROGRAMS = 8
"""Programs kept for one kind of arguments. Whoever needs more changes something at every call."""

F = TypeVar("F", bound=Callable[..., Any])


def compile(step: F, *, gradients: bool = True) -> Compiled:
    """The function as a program that is planned once and then runs without Python.

    It is a function of tensors, or of Values: if one of its arguments is a `tg.Value` or holds one,
    or if its code mentions a Value, a list of them, or something of `tg.scalar`. A function of
    plain numbers, not arrays, that mentions nothing of this package is one of Values, too. ::

        @tg.compile
        def step(x, y):
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

    The first call traces the function: it runs on tensors that have a shape but no values, and what
    it does to them is recorded: forward, backward, the optimizer's update, running statistics,
    random draws. Every call then does that to the values of the moment. Numbers are the same as
    without compiling, up to rounding, and so are the random draws; parameters, buffers, moments and
    `.grad` are found where they always are.

    What may change from call to call: the values of tensors and NumPy arrays that are passed
    (arrays arrive as tensors), of parameters, buffers and other tensors that the function reads,
    the learning rate. Whatever else it depends on (shapes, dtypes, plain arguments, variables it
    closes over, attributes of modules such as `training`, options of the optimizer) belongs to the
    program: where it changes the function is traced again, and a few programs are kept. Files, the
    clock and attributes that are found by `getattr` are not watched.

    Parameters and buffers are updated in place, in memory of the plan. ``p.detach()``, ``p.data``,
    ``p.numpy()`` and views of them are copies, so they keep the values they had. Results cannot be
    differentiated: call `backward` in the step.

    A function of Values may assign their `data` and `grad` and call `backward` once; its result is
    a Value for each Value, which has `backward`, too. Numbers and Values may change from call to
    call. A NumPy array of shape (n, ...) stands for n samples: the function is written for one,
    sees its numbers as Values in lists, and runs on all at once, in lanes of the vector registers,
    in float32 if all floats in arrays are. What differs from sample to sample comes back as `Lanes`
    with `data` and `backward()`; `tg.scalar.batch_mean` and `batch_sum` add up over the samples. ::

        @tg.compile
        def step(point, label, learning_rate):
            loss = tg.scalar.batch_mean((1 - label * mlp(point)).relu())
            mlp.zero_grad()
            loss.backward()
            for p in mlp.parameters():
                p.data -= learning_rate * p.grad
            return loss.data

        step(points, labels, 0.1)  # arrays of shapes (n, 2) and (n,)

    What such a function reads from lists and attributes is what it was when it was traced; another
    object under a name that its text mentions makes another trace.

    Args:
        step: Takes and returns tensors, or tuples, lists and dicts of them, and anything else; or
            Values.
        gradients: Whether `.grad` is there afterwards when the step leaves it set. False saves the
            memory and the time to write it: after a call it is then None. (Values have it always.)

    Raises (when called):
        TraceError: The function asks for values (a condition on data, `.item()`, printing), changes
            Python objects, or computes nothing; the message names the line and what to write
            instead. Model, optimizer and random numbers are as before.
        GradientError: An argument requires grad and is no leaf.
        ShapeError, ArgumentError: Arrays of samples of different lengths, or without a sample.
    """
    return Compiled(step, gradients)


class Compiled:
    """What `tg.compile` returns: call it as the function. `functools.wraps` holds for it."""

    def __init__(self, step: Callable[..., Any], gradients: bool) -> None:
        functools.update_wrapper(self, step)
        self.step = step
        self._gradients = gradients
        self._programs: dict[Key, list[Entry]] = {}
        self._last: tuple[Key, Entry] | None = None
        self._warned = False
        self.values: CompiledValues | None = None
        """What runs it, once it has proved to be a function of Values."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.values is not None:
            return self.values(args, kwargs)
        if graph.tracer is not None or graph.watch is not None:
            return self.step(*args, **kwargs)  # part of a larger step, or a search for NaN
        arrays: list[np.ndarray] = []
        key = signature(args, kwargs, arrays)
        last = self._last
        if last is not None and last[0] == key and last[1].ready():
            entry = last[1]
        elif not self._programs and of_values(self.step, args, kwargs):
            from tinygrad_edu.compiler.values.compiled import CompiledValues

            self.values = CompiledValues(self.step)
            return self.values(args, kwargs)
        else:
            entry = self.entry(key, args, kwargs)
        for observer, passes in entry.observers.items():
            if observer.until_next < passes:
                return in_python(self.step, entry, args, kwargs)
        return entry.run(arrays)

    def run_many(self, entry: Entry, steps: int, sources: Sequence[Source]) -> tuple[int, Any]:
        """So many next steps by a program that is ready, or fewer: one that somebody wants to see
        is run alone. `sources` as in `plan.run_many`.

        Returns:
            How many steps were taken, and the result as of `Entry.run_many`.
        """
        together = entry.unobserved(steps) if entry.observers else steps
        if together:
            return together, entry.run_many(together, [leading(s, together) for s in sources])
        return 1, one_in_python(self.step, entry, [first_of(source) for source in sources])

    def epoch(self, *data: Any, batch_size: int, order: Any = None, drop_last: bool = False) -> Any:
        """One step for each batch of the data, without Python between them. ::

            losses = step.epoch(images, labels, batch_size=128, order=tg.randperm(len(images)))

        Args:
            data: For each argument of the step a tensor or array; its rows are the examples.
            batch_size: Rows of a batch.
            order: Numbers of the rows in the order in which they are taken (a permutation for
                shuffled batches, or fewer of them); by default as they stand.
            drop_last: Whether to leave out a last batch of fewer rows.

        Returns:
            What the step returns, each tensor with the values of all steps along a new first axis,
            and everything else as the last step gave it.

        Raises:
            ArgumentError: There is no batch, or `order` is no vector of row numbers.
            ShapeError: Arrays of different lengths, or results that differ in shape because the
                last batch is smaller.
            IndexingError: A row number that the data do not have.
            TraceError: As when called.
        """
        return run_epoch(self, Batches(data, batch_size, order), drop_last)

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        """A compiled method: the object is its first argument."""
        return self if owner is None else functools.partial(self, owner)

    @property
    def programs(self) -> list[Entry]:
        """All programs there are, the last used one first."""
        found = [entry for entries in self._programs.values() for entry in entries]
        last = self._last[1] if self._last else None
        return sorted(found, key=lambda entry: entry is not last)

    def entry_for(self, *args: Any, **kwargs: Any) -> Entry:
        """The program for a call with these arguments, ready to run."""
        key = signature(args, kwargs, [])
        if self._last is not None and self._last[0] == key and self._last[1].ready():
            return self._last[1]
        return self.entry(key, args, kwargs)

    def entry(self, key: Key, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Entry:
        """The program for these arguments and for what holds now; traced if there is none."""
        entries = self._programs.setdefault(key, [])
        found, reason = None, ""
        for entry in reversed(entries):
            why = entry.mismatch()
            if why is None:
                found = entry
                break
            reason = reason or why
        if found is None:
            with collector.paused():
                found = trace(self.step, args, kwargs, self._gradients)
            if not found.once:
                entries.append(found)
            if len(entries) > PROGRAMS:
                del entries[0]
                self._warn(reason)
        found.adopt()
        self._last = None if found.once else (key, found)
        return found

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.step!r} was traced more than {PROGRAMS} times, the last time because "
                f"{reason}. Pass what changes as an argument, as a tensor.",
                stacklevel=4,
            )


def of_values(step: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a function that is called so computes with Values, not with tensors."""
    scan = Scan([("", step), *(("", x) for x in objects(args, kwargs))], lambda array: None)
    if scan.names_values or scan.names_engine:
        return scan.names_values
    leaves = flatten((args, kwargs))[0]
    arrays = any(isinstance(x, Tensor | np.ndarray | np.generic) for x in leaves)
    return not arrays and any(type(x) in (int, float) for x in leaves)


# ------------------------------------------------------------------------------ one trace


def trace(
    step: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], gradients: bool
) -> Entry:
    """The program of a function for such arguments. Everything is as before, also if it fails."""
    tracer = Tracer()
    roots = [("", step), *(("an argument ", x) for x in objects(args, kwargs))]
    scan = Scan(roots, tracer.watch_array)
    watches = [*scan.always, *scan.modules]
    locator = Locator(watches)
    entropy = _entropy()
    try:
        with tracer:
            for optimizer in scan.optimizers:
                for group in optimizer.param_groups:
                    tracer.lend(group, "lr")
            given, named, arguments = stand_ins(args, kwargs)
            before = [*arguments]
            stood = _handles(given, named, arguments)
            with locator:
                result = step(*given, **named)
            for handle, node in zip(stood, before, strict=True):
                if handle.node is not node or node in tracer.current:
                    raise TraceError(_argument_changed(step, node))
            nodes, results = _results(result, scan, tracer)
        assigned = assigned_tensors(watches, tracer, locator.lines)
    finally:
        for watch in watches:
            watch.restore()
    if _entropy() != entropy:
        _restore(entropy)
        raise TraceError(
            "The step draws from NumPy's or Python's random numbers, which would be done once "
            "and for all. Draw with tg.rand, randn, randint or randperm, or pass the numbers "
            f"as an argument.\n{_where(step)}"
        )
    if tracer.changed_asking() is not None:
        raise TraceError(
            f"The step changes requires_grad of a tensor for good; do so before it.\n{_where(step)}"
        )
    lifted = lift(tracer, nodes, assigned, gradients)
    if not nodes and not lifted.program.updates and not tracer.host.has_effects:
        raise TraceError(
            "The step computes nothing that lasts: it returns no tensor and updates no parameter "
            "or buffer. Return the tensors you want; for a function of numbers, pass tg.Value(x)."
            f"\n{_where(step)}"
        )
    return Entry(scan, tracer, lifted, arguments, results, planned(lifted.program))


def planned(program: Program) -> Any:
    """The plan that runs a program; the back end is loaded when the first one is made."""
    from tinygrad_edu.compiler.plan import build

    return build(program)


def _handles(given: Any, named: Any, nodes: Sequence[Node]) -> list[Tensor]:
    """The tensors that stand for the arguments' arrays, in the order of their nodes."""
    by_node = {leaf.node: leaf for leaf in flatten((given, named))[0] if isinstance(leaf, Tensor)}
    return [by_node[node] for node in nodes]


def _results(result: Any, scan: Scan, tracer: Tracer) -> tuple[list[Node], Results]:
    """The nodes that a call must return, and how its result is made of them."""
    leaves, rebuild = flatten(result)
    nodes: list[Node] = []
    kinds: list[tuple[str, Any]] = []
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            if tracer.is_older(leaf.node) and leaf not in tracer.handles:
                kinds.append(("object", leaf))
            else:
                kinds.append(("output", len(nodes)))
                nodes.append(leaf.node)
        elif isinstance(leaf, Live):
            kinds.append(("number", leaf.slot))
        elif isinstance(leaf, (*PLAIN, np.ndarray, type)) or callable(leaf) or is_module(leaf):
            kinds.append(("object", leaf))
        else:
            raise TraceError(
                f"The step returns a {type(leaf).__name__}; return tensors, or tuples, lists and "
                "dicts of them."
            )
    single = result.__class__ is Tensor and kinds == [("output", 0)]
    return nodes, Results(rebuild, tuple(kinds), single)


def _argument_changed(step: Any, node: Node) -> str:
    return (
        f"The step changes its argument of shape {node.shape} in place, which whoever passed it "
        f"would not see; compute a new tensor and return it.\n{_where(step)}"
    )


def _where(step: Any) -> Line | str:
    """The line where the function begins."""
    code = getattr(getattr(step, "__func__", step), "__code__", None)
    return Line(code.co_filename, code.co_firstlineno, code.co_name) if code else repr(step)


def _entropy() -> tuple[Any, ...]:
    """Where the sources of random numbers are that a trace would freeze."""
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - the user's, not ours
    return kind, np.asarray(keys).tobytes(), tuple(rest), random.getstate()


def _restore(entropy: tuple[Any, ...]) -> None:
    kind, keys, rest, python = entropy
    np.random.set_state((kind, np.frombuffer(keys, np.uint32), *rest))  # noqa: NPY002
    random.setstate(python)


__all__ = ["Compiled", "compile"]
