"""`tg.compile` for functions of Values: traced once, replayed in native code ever after."""

from __future__ import annotations

import builtins
import contextlib
import dis
import functools
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.compiler import collector
from tinygrad_edu.compiler.values.replay import Replay, Trace
from tinygrad_edu.compiler.values.watch import Watch
from tinygrad_edu.derive.pytree import flatten, outline
from tinygrad_edu.errors import ArgumentError, GradientError, ShapeError
from tinygrad_edu.graph import modes
from tinygrad_edu.graph.recording import is_number
from tinygrad_edu.graph.resident import cells, settle
from tinygrad_edu.graph.value import Value
from tinygrad_edu.kernels.door import NoDoor
from tinygrad_edu.kernels.values import entrance
from tinygrad_edu.kernels.values.interpreter import address_of


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
        self._last: _Traced | None = None
        self._again: _Again | None = None

    @property
    def traces(self) -> list[_Traced]:
        """All there are, the last used one first."""
        return sorted(self._traces.values(), key=lambda traced: traced is not self._last)

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if modes.state.watcher is not None:  # part of a larger function that is being traced
            return self._function(*args, **kwargs)
        again = self._again
        if again is not None and not kwargs and again.happens(args):
            return again.traced.results()
        return self._other(args, kwargs)

    def _other(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call that is not like the last one."""
        meaning = [read() for read in self._names]
        leaves, rebuild = flatten((args, kwargs))
        key = outline((args, kwargs)), tuple(map(_part, leaves)), tuple(map(_Same, meaning))
        traced = self._traces.get(key)
        if traced is None:
            with collector.paused():
                traced = self._traces[key] = _Traced(self._function, leaves, rebuild)
        result = traced(leaves)
        self._last, self._again = traced, None
        if not kwargs and len(args) == len(leaves):
            with contextlib.suppress(NoDoor):
                self._again = _Again(traced, args, self._function, meaning)
        return result


class _Again:
    """A call whose like is recognised by machine code, which then does it at once: with floats,
    integers and arrays of the shapes and dtypes of this one's, while the function's names mean
    what they mean now."""

    def __init__(
        self, traced: _Traced, args: Sequence[Any], function: Any, meaning: Sequence[Any]
    ) -> None:
        self.traced, self._replay = traced, traced.replay
        self._has_integers = any(x.__class__ is int for x in args)
        args = self._floats(args)
        closure: tuple[types.CellType, ...] = getattr(function, "__closure__", None) or ()
        named = zip(_globals_read(function), meaning[len(closure) :], strict=True)
        self._globals = [(function.__globals__.get, name, value) for name, value in named]
        likes = [entrance.Like(x, traced.place_of(i)) for i, x in enumerate(args)]
        run = self._replay.run
        try:
            self._ticket = entrance.ticket(closure, likes, run.driver, run.table.address)
        except ValueError as error:  # a cell is empty
            raise NoDoor from error
        self._kept = meaning, [getattr(x, "dtype", None) for x in args]
        self._memory = cells.data
        self._enter = entrance.enter()

    def happens(self, args: Sequence[Any]) -> bool:
        """Do the step if a call with these arguments is like this one; whether it was."""
        for get, name, value in self._globals:
            if get(name) is not value:
                return False
        if cells.data is not self._memory:
            return False
        self._replay.begin()
        return self._enter(self._ticket, *(self._floats(args) if self._has_integers else args))

    @staticmethod
    def _floats(args: Sequence[Any]) -> list[Any]:
        return [float(x) if x.__class__ is int else x for x in args]


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
    for cell in getattr(function, "__closure__", None) or ():
        yield functools.partial(getattr, cell, "cell_contents", None)
    for name in _globals_read(function):
        yield functools.partial(function.__globals__.get, name)


def _globals_read(function: Callable[..., Any]) -> list[str]:
    """The global names in a function's text."""
    code: types.CodeType | None = getattr(function, "__code__", None)
    found = set() if code is None else _globals_of(code)
    return sorted(name for name in found if not hasattr(builtins, name))


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
            from tinygrad_edu.compiler.values.lane_replay import LaneReplay

            lanes = [leaf for i in self._arrays for leaf in self._leaves[i]]
            self.replay = LaneReplay(trace, lanes, _precision([given[i] for i in self._arrays]))
        else:
            self.replay = Replay(trace)
        self._assigned = {leaf for leaf, _ in trace.data}
        self._own = {id(leaf) for leaf in trace.program.leaves}
        leaves = [self._leaves[i][0] for i in self._numbers]
        self._cells = dict(zip(self._numbers, settle(leaves).tolist(), strict=True))

    def place_of(self, i: int) -> int:
        """Where the number that is argument i, or an array's address, is read from."""
        if i in self._arrays:
            return int(address_of(self.replay.addresses) + 8 * self._arrays.index(i))
        if i in self._cells:
            return int(address_of(cells.data) + 8 * self._cells[i])
        raise NoDoor("an argument that belongs to the trace")

    def results(self) -> Any:
        """What the last call computed."""
        return self._rebuild(self.replay.results({}))

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
