"""`compile` for functions of Values: traced once, replayed in native code ever after."""

from __future__ import annotations

import builtins
import dis
import functools
import types
from collections.abc import Callable, Iterable, Sequence
from operator import is_
from typing import Any

import numpy as np

from tinygrad_edu.compiler.replay import Replay, Trace
from tinygrad_edu.compiler.watch import Watch
from tinygrad_edu.derive.pytree import flatten, outline
from tinygrad_edu.errors import ArgumentError, GradientError, ShapeError
from tinygrad_edu.graph import modes
from tinygrad_edu.graph.recording import is_number
from tinygrad_edu.graph.value import Value


def compile_values(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, replayed in native code.

    Its first call traces it; later ones replay the trace with the numbers that the arguments, and
    the Values that the function uses, have then. Arguments may be

    * numbers, Values, and lists, tuples and dicts of them;
    * NumPy arrays of shape (n, ...), of which the function sees one entry, as Values in lists. It
      runs for all n samples at once, in lanes: in float32 if all floats are, else in float64;
    * anything else, which becomes a part of the trace: another object makes another trace, and so
      does another object under a name that the function's text mentions. What it reads deeper, from
      lists and attributes, is what it was when the function was traced.

    The function may read and assign `data` and `grad` and call `backward` once: a whole training
    step. `scalar.batch_mean` and `batch_sum` add up over the samples.

    Returns what the function returns, with a Value for each Value, or, for those that differ from
    sample to sample, a `Lanes`. Both have `data` and `backward()`.

    Raises `TraceError`, when it traces, for what would decide by a Value's number.

    >>> w = Value(2.0)
    >>> square = compile_values(lambda x: (w * x) * (w * x))
    >>> y = square(3.0)
    >>> y.backward()
    >>> y.data, w.grad
    (36.0, 36.0)
    """
    compiled = _Compiled(function)

    @functools.wraps(function)
    def replay(*args: Any, **kwargs: Any) -> Any:
        return compiled(args, kwargs)

    return replay


class _Compiled:
    """A function and its traces, by what is part of them."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._names = list(_names(function))
        self._traces: dict[Any, _Traced] = {}
        self._recent: dict[Any, _Traced] = {}
        self._meaning: list[Any] = []

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        meaning = [read() for read in self._names]
        if len(self._meaning) != len(meaning) or not all(map(is_, meaning, self._meaning)):
            self._recent.clear()
            self._meaning = meaning
        kinds = None if kwargs else tuple(map(_kind, args))
        traced = self._recent.get(kinds)
        if traced is not None:  # arguments without lists or objects, of the kinds of a call before
            return traced(args)
        leaves, rebuild = flatten((args, kwargs))
        key = outline((args, kwargs)), tuple(map(_part, leaves)), tuple(map(_Same, meaning))
        traced = self._traces.get(key)
        if traced is None:
            traced = self._traces[key] = _Traced(self._function, leaves, rebuild)
        if kinds is not None and None not in kinds:
            self._recent[kinds] = traced
        return traced(leaves)


def _kind(x: Any) -> Any:
    """What a trace depends on, of the most frequent arguments; None for all others."""
    if x.__class__ is np.ndarray:
        return x.shape[1:], x.dtype, x.ndim > 0
    return x.__class__ if x.__class__ in (float, int) else None


def _part(x: Any) -> Any:
    """What of an argument a trace depends on."""
    if isinstance(x, np.ndarray) and x.ndim:
        return "array", x.shape[1:], x.dtype
    return "Value" if isinstance(x, Value) else "number" if _is_input(x) else _Same(x)


def _is_input(x: Any) -> bool:
    return is_number(x) and not isinstance(x, bool | np.bool_)


class _Same:
    """Equal to the same object, and to an equal constant of the same type."""

    def __init__(self, x: Any) -> None:
        self._x = x
        constant = x is None or isinstance(x, bool | int | float | str)
        self._key = (type(x), repr(x)) if constant else id(x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _names(function: Callable[..., Any]) -> Iterable[Callable[[], Any]]:
    """How to read what the names in a function's text stand for: its closure, its globals."""
    code: types.CodeType | None = getattr(function, "__code__", None)
    if code is None:
        return
    for cell in getattr(function, "__closure__", None) or ():
        yield functools.partial(getattr, cell, "cell_contents", None)
    for name in sorted(_globals_of(code)):
        if not hasattr(builtins, name):
            yield functools.partial(function.__globals__.get, name)


def _globals_of(code: types.CodeType) -> set[str]:
    """The global names that code reads, comprehensions and inner functions in it included."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return found.union(*map(_globals_of, inner))


class _Traced:
    """A trace, and how to bring arguments to it and results back."""

    def __init__(self, function: Callable[..., Any], given: Sequence[Any], rebuild: Any) -> None:
        arguments = [_argument(x) for x in given]
        self._leaves = [flatten(argument)[0] for argument in arguments]
        arrays = [isinstance(x, np.ndarray) and x.ndim > 0 for x in given]
        self._arrays = [i for i, is_array in enumerate(arrays) if is_array]
        self._numbers = [
            i
            for i, x in enumerate(given)
            if not arrays[i] and (isinstance(x, Value) or _is_input(x))
        ]
        watch = Watch()
        positional, named = rebuild(arguments)
        with modes.watched_by(watch), modes.enable_grad():
            results, self._rebuild = flatten(function(*positional, **named))
            trace = Trace(watch, results)
        self._replay: Any
        if self._arrays:
            from tinygrad_edu.compiler.lane_replay import LaneReplay

            lanes = [leaf for i in self._arrays for leaf in self._leaves[i]]
            self._replay = LaneReplay(trace, lanes, _precision([given[i] for i in self._arrays]))
        else:
            self._replay = Replay(trace)
        self._assigned = {leaf for leaf, _ in trace.data}
        self._own = {id(leaf) for leaf in trace.program.leaves}

    def __call__(self, given: Sequence[Any]) -> Any:
        standing_for: dict[Value, Value] = {}
        for i in self._numbers:
            leaf, x = self._leaves[i][0], given[i]
            leaf._data, leaf._page = float(x), None
            if isinstance(x, Value):
                self._check(x)
                leaf._grad = x._grad
                standing_for[leaf] = x
        results = self._run(given, standing_for)
        for leaf, x in standing_for.items():
            x._grad = leaf._grad
            if leaf in self._assigned:
                x.data = leaf._data
        return self._rebuild(results)

    def _run(self, given: Sequence[Any], standing_for: dict[Value, Value]) -> list[Any]:
        if not self._arrays:
            results: list[Any] = self._replay.run_once(standing_for)
            return results
        arrays = [given[i] for i in self._arrays]
        if len({len(x) for x in arrays}) > 1:
            raise ShapeError(
                f"compile: arrays of {[len(x) for x in arrays]} samples; the first axis of all "
                "array arguments must have one length."
            )
        if not len(arrays[0]):
            raise ArgumentError("compile: there is no sample in the arrays.")
        results = self._replay.run_on(arrays, standing_for)
        return results

    def _check(self, x: Value) -> None:
        if not x.is_leaf:
            raise GradientError(
                "compile: an argument is the result of operations outside of the function, to "
                "which no derivative would come; pass its .data, or compute it inside."
            )
        if id(x) in self._own:
            raise GradientError(
                "compile: an argument is a Value that the function uses on its own as well; pass "
                "it or close over it, but not both."
            )


def _argument(x: Any) -> Any:
    """What the traced function is called with."""
    if isinstance(x, np.ndarray) and x.ndim:
        if x.dtype.kind not in "biuf":
            raise ArgumentError(f"compile: an array of {x.dtype}; samples are numbers.")
        return _nested(np.asarray(x[0], float)) if len(x) else _nested(np.zeros(x.shape[1:]))
    return Value(float(x)) if isinstance(x, Value) or _is_input(x) else x


def _nested(x: Any) -> Any:
    """Values in lists, as an array's numbers are."""
    return Value(float(x)) if x.ndim == 0 else [_nested(row) for row in x]


def _precision(arrays: Sequence[Any]) -> str:
    """float32 if all floats among the arrays are, else float64."""
    floats = {x.dtype for x in arrays if x.dtype.kind == "f"}
    return "float32" if floats == {np.dtype(np.float32)} else "float64"
