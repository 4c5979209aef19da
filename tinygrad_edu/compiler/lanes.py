"""`tg.compile` for functions of Values: traced once, replayed in native code ever after."""

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
from tinygrad_edu.graph.resident import cells, settle
from tinygrad_edu.graph.value import Value


class CompiledValues:
    """A function of Values and its traces, by what is part of them (`tg.compile` is its interface).

    Numbers and Values among the arguments are fed to a trace, and so are arrays of samples.
    Anything else belongs to it: another object makes another trace, and so does another object
    under a name that the function's text mentions.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._names = list(_names(function))
        self._traces: dict[Any, _Traced] = {}
        self._meaning: list[Any] = []
        self._last: tuple[Any, _Traced] = ((), None)  # type: ignore[assignment]

    @property
    def traces(self) -> list[_Traced]:
        """All there are, the last used one first."""
        return sorted(self._traces.values(), key=lambda traced: traced is not self._last[1])

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if modes.state.watcher is not None:  # part of a larger function that is being traced
            return self._function(*args, **kwargs)
        meaning = [read() for read in self._names]
        kinds, traced = self._last
        if (
            traced is not None
            and len(kinds) == len(args)
            and not kwargs
            and all(map(is_, meaning, self._meaning))
            and all(map(_is_again, args, kinds))
        ):
            return traced.again(args)
        return self._other(args, kwargs, meaning)

    def _other(self, args: tuple[Any, ...], kwargs: dict[str, Any], meaning: list[Any]) -> Any:
        """A call that is not like the last one."""
        leaves, rebuild = flatten((args, kwargs))
        key = outline((args, kwargs)), tuple(map(_part, leaves)), tuple(map(_Same, meaning))
        traced = self._traces.get(key)
        if traced is None:
            traced = self._traces[key] = _Traced(self._function, leaves, rebuild)
        result = traced(leaves)
        kinds = tuple(map(_kind, args))
        self._meaning = meaning
        self._last = ((_NEVER,) if kwargs or None in kinds else kinds), traced
        return result


_NEVER = (None, None, None)
"""The kind of no argument."""


def _kind(x: Any) -> Any:
    """What to recognise a frequent argument by; None for all others."""
    if x.__class__ is np.ndarray and x.ndim in (1, 2):
        return x.__class__, x.shape, x.dtype
    return (x.__class__, None, None) if x.__class__ in (float, int) else None


def _is_again(x: Any, kind: tuple[Any, Any, Any]) -> bool:
    if x.__class__ is not kind[0]:
        return False
    return kind[1] is None or (x.shape == kind[1] and x.dtype is kind[2])


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
        self.replay: Any
        if self._arrays:
            from tinygrad_edu.compiler.lane_replay import LaneReplay

            lanes = [leaf for i in self._arrays for leaf in self._leaves[i]]
            self.replay = LaneReplay(trace, lanes, _precision([given[i] for i in self._arrays]))
        else:
            self.replay = Replay(trace)
        self._assigned = {leaf for leaf, _ in trace.data}
        self._own = {id(leaf) for leaf in trace.program.leaves}
        leaves = [self._leaves[i][0] for i in self._numbers]
        self._cells = list(zip(self._numbers, settle(leaves).tolist(), strict=True))

    def again(self, args: Sequence[Any]) -> Any:
        """A call with arguments like those of the last one, numbers and arrays only."""
        data = cells.data
        for i, cell in self._cells:
            data[cell] = args[i]
        if self._arrays:
            self.replay.put([args[i] for i in self._arrays])
        return self._rebuild(self.replay.run_once({}))

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
            results: list[Any] = self.replay.run_once(standing_for)
            return results
        arrays = [given[i] for i in self._arrays]
        if len({len(x) for x in arrays}) > 1:
            raise ShapeError(
                f"compile: arrays of {[len(x) for x in arrays]} samples; the first axis of all "
                "array arguments must have one length."
            )
        if not len(arrays[0]):
            raise ArgumentError("compile: there is no sample in the arrays.")
        results = self.replay.run_on(arrays, standing_for)
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
