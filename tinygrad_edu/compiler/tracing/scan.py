"""What a function depends on besides its arguments: found in its code, before it runs.

From the function on, the walk follows closure cells, the globals that its code names, the
functions, methods and objects these hold, and the attributes that the code names. Each place where
a value was found becomes a `Watch`, which tells later whether another value is there. Code of other
packages is taken as it is.
"""

from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_edu import scalar
from tinygrad_edu.graph.hooks import is_observers
from tinygrad_edu.graph.lines import PACKAGE
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.graph.value import Value

PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic, np.dtype, range, slice)
NAMESPACES = ("SimpleNamespace", "Namespace")
"""The standard library's objects that are nothing but attributes."""

CALLED_BY_THE_ENGINE = ("forward", "backward", "jvp", "rule", "begins", "rate")
"""Methods that code of the user's defines and need not name."""

HOOKS = ("_forward_hooks", "_forward_pre_hooks")
"""Where a module keeps what is called at its forward; whoever adds to it moves the clock."""

LONGEST = 1000
"""Elements of a list or dictionary that are looked into; a longer one is data, not settings."""


EMPTY = type("Nothing", (), {})()
"""What is found where there is nothing yet."""


class Watch:
    """Values at one place: an object's attributes, a namespace, the elements of a list.

    `names` are what to look at (None: everything there is); `label` says where, for messages.
    """

    def __init__(self, label: str, place: Any, names: Sequence[str] | None = None) -> None:
        self.label = label
        self.place = place
        self.names = None if names is None else tuple(names)
        self.expected = self.look()
        self.keys = list(place) if isinstance(place, dict) and names is None else None

    def look(self) -> list[Any]:
        """The values that are there now."""
        place = self.place
        if self.names is not None:
            return [place.get(name, EMPTY) for name in self.names]
        if isinstance(place, dict):
            return [*place.values()]
        if isinstance(place, tuple):  # the cells of a closure
            return [_content(cell) for cell in place]
        return list(place)

    def holds(self) -> bool:
        """Whether the very same objects are there."""
        now = self.look()
        return len(now) == len(self.expected) and all(map(_is, now, self.expected))

    def change(self) -> str | None:
        """What is another value now, in words; None if all are equal."""
        now = self.look()
        keys = list(self.place) if self.keys is not None else None
        if len(now) != len(self.expected) or keys != self.keys:
            return f"{self.label} has other entries than it had"
        for i, (old, new) in enumerate(zip(self.expected, now, strict=True)):
            if not same(old, new):
                return f"{self._name(i)} was {shown(old)} and is {shown(new)}"
        self.expected = now
        return None

    def differing(self) -> list[tuple[int, str, Any, Any]] | None:
        """Position, name, old and new value where these differ; None if entries came or went."""
        now = self.look()
        keys = list(self.place) if self.keys is not None else None
        if len(now) != len(self.expected) or keys != self.keys:
            return None
        return [
            (i, self._name(i), old, new)
            for i, (old, new) in enumerate(zip(self.expected, now, strict=True))
            if not same(old, new)
        ]

    def restore(self) -> None:
        """Put back what was there."""
        place = self.place
        if isinstance(place, types.MappingProxyType):
            return  # a class: its attribute was assigned, which is refused anyway
        if self.names is not None:
            for name, value in zip(self.names, self.expected, strict=True):
                if value is not EMPTY:
                    place[name] = value
                else:
                    place.pop(name, None)
        elif isinstance(place, dict):
            assert self.keys is not None
            place.clear()
            place.update(zip(self.keys, self.expected, strict=True))
        elif isinstance(place, list):
            place[:] = self.expected
        elif isinstance(place, set):
            place.clear()
            place.update(self.expected)
        else:
            for cell, value in zip(place, self.expected, strict=True):
                if value is not EMPTY:
                    cell.cell_contents = value

    def _name(self, i: int) -> str:
        if self.names is not None:
            return f"{self.label}{self.names[i]}"
        if self.keys is not None:
            return f"{self.label}[{self.keys[i]!r}]"
        return f"{self.label}[{i}]"


class Cells(Watch):
    """The variables that a function closes over, by their names."""

    def __init__(self, label: str, function: types.FunctionType) -> None:
        super().__init__(label, function.__closure__ or ())
        self.variables = function.__code__.co_freevars

    @property
    def all_assigned(self) -> bool:
        """Whether each of the variables has a value."""
        return all(value is not EMPTY for value in self.expected)

    def _name(self, i: int) -> str:
        return self.variables[i]


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return EMPTY


def _is(a: Any, b: Any) -> bool:
    return a is b


def same(old: Any, new: Any) -> bool:
    """Whether a program made for one value holds for the other: equal plain values of one type,
    else the same object."""
    if old is new:
        return True
    if type(old) is not type(new):
        return False
    if isinstance(old, PLAIN):
        return bool(old == new) or (old != old and new != new)
    if isinstance(old, tuple | frozenset):
        return len(old) == len(new) and all(map(same, old, new))
    return False


def shown(value: Any) -> str:
    """A value in a message."""
    text = repr(value) if isinstance(value, PLAIN) else f"a {type(value).__name__}"
    return text if len(text) < 60 else text[:57] + "..."


class Scan:
    """Everything that was found from a function (and from arguments that are no data)."""

    def __init__(self, roots: Sequence[tuple[str, Any]], visit: Callable[[Any], None]) -> None:
        self.always: list[Watch] = []
        """To be looked at before every call."""
        self.modules: list[Watch] = []
        """To be looked at when an assignment was counted by the clock: attributes of modules."""
        self.tensors: dict[Tensor, Any] = {}
        """Every tensor found, and the node it stands for."""
        self.optimizers: list[Any] = []
        self.names_values = self.names_engine = False
        """Whether there was something of the scalar engine, and anything of this package."""
        self._names: set[str] = set()
        """Of all attributes that code names; of those that it assigns:"""
        self._stored: dict[str, None] = {}
        self._visit = visit
        self._seen: dict[int, Any] = {}
        self._code: set[types.CodeType] = set()
        self._objects: list[tuple[str, Any]] = []
        self._watched: set[tuple[int, str]] = set()
        todo = list(roots)
        while todo:
            while todo:
                todo.extend(self._look_at(*todo.pop()))
            # Which attributes count is known only when all code so far has been read.
            todo = [found for label, x in self._objects for found in self._attributes(label, x)]

    # -------------------------------------------------------------------------- one value

    def _look_at(self, label: str, value: Any) -> Iterator[tuple[str, Any]]:
        """Watch what depends on this value; yields the values in it."""
        if isinstance(value, PLAIN) or id(value) in self._seen:
            return
        self._seen[id(value)] = value  # kept, so that the id stays taken
        self.names_values |= _is_scalar(value)
        self.names_engine |= _is_of_engine(value)
        if isinstance(value, Tensor):
            self.tensors[value] = value.node
        elif isinstance(value, np.ndarray):
            self._visit(value)
        elif isinstance(value, types.FunctionType):
            yield from self._function(label, value)
        elif isinstance(value, types.MethodType):
            yield from ((label, part) for part in (value.__self__, value.__func__))
        elif isinstance(value, functools.partial):
            yield from ((label, part) for part in (value.func, value.args, value.keywords))
        elif isinstance(value, type):
            yield from ((label, base) for base in value.__mro__[1:])
            if is_users(value.__module__):
                self._objects.append((f"{value.__name__}.", value))
        elif isinstance(value, staticmethod | classmethod):
            yield label, value.__func__
        elif isinstance(value, property):
            yield label, value.fget
        elif isinstance(value, list | dict | set) and len(value) <= LONGEST:
            self.always.append(Watch(label, value))
            yield from ((label, x) for x in (value.values() if isinstance(value, dict) else value))
        elif isinstance(value, tuple | frozenset) and len(value) <= LONGEST:
            yield from ((label, x) for x in value)
        elif is_module(value):
            yield from self._module(label, value)
        elif hasattr(value, "__wrapped__"):
            yield label, value.__wrapped__
        elif hasattr(value, "param_groups") and hasattr(value, "rule"):
            self.optimizers.append(value)
            yield from ((label, p) for group in value.param_groups for p in group["params"])
            yield label, type(value)
        elif hasattr(value, "__dict__") and (
            is_users(type(value).__module__) or type(value).__name__ in NAMESPACES
        ):
            yield label, type(value)
            self._objects.append((label, value))

    def _module(self, label: str, module: Any) -> Iterator[tuple[str, Any]]:
        attributes = vars(module)
        self.modules.append(Watch(f"{type(module).__name__}.", attributes))
        yield label, type(module)
        for name, value in attributes.items():
            if name not in ("_kept_for", "_buffers", *HOOKS):
                yield f"{type(module).__name__}.{name}", value
        for hooks in (attributes[name] for name in HOOKS if name in attributes):
            self.modules.append(Watch(f"{type(module).__name__}'s hooks", hooks))
            yield from ((label, hook) for hook in hooks.values() if not is_observers(hook))

    def _attributes(self, label: str, owner: Any) -> Iterator[tuple[str, Any]]:
        """The attributes of a user's object or class that the code names."""
        space = vars(owner)
        if isinstance(owner, type):
            names = [name for name in space if self._counts(name, space[name])]
        else:
            names = [name for name in space if name in self._names]
            names += [name for name in self._stored if name not in space]
        names = [name for name in names if (id(owner), name) not in self._watched]
        self._watched.update((id(owner), name) for name in names)
        if names:
            label = label if label.endswith(".") else f"{label}."
            self.always.append(Watch(label, space, names))
            yield from ((f"{label}{name}", space[name]) for name in names if name in space)

    def _counts(self, name: str, value: Any) -> bool:
        """Whether a class's attribute counts: one that code names, or a method that Python calls
        itself, such as __call__. What constructs an object has been done."""
        if isinstance(value, PLAIN):
            return name in self._names and not name.startswith("__")
        if not isinstance(value, types.FunctionType | staticmethod | classmethod | property):
            return False
        special = name.startswith("__") and name not in ("__init__", "__new__", "__post_init__")
        return special or name in CALLED_BY_THE_ENGINE or name in self._names

    # -------------------------------------------------------------------------- code

    def _function(self, label: str, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
        if not is_users(function.__module__) or function.__code__.co_filename.startswith(PACKAGE):
            # A wrapper (tg.func.grad, functools.wraps) may hold a function of the user's.
            yield from ((label, _content(cell)) for cell in function.__closure__ or ())
            return
        if function.__closure__:
            self.always.append(Cells("", function))
            cells = zip(function.__code__.co_freevars, function.__closure__, strict=True)
            yield from ((name, _content(cell)) for name, cell in cells)
        yield from ((label, x) for x in function.__defaults__ or ())
        yield from ((label, x) for x in (function.__kwdefaults__ or {}).values())
        for code in _all_code(function.__code__):
            if code not in self._code:
                self._code.add(code)
                self._names.update(code.co_names)
                yield from self._globals(code, function.__globals__)

    def _globals(
        self, code: types.CodeType, namespace: dict[str, Any]
    ) -> Iterator[tuple[str, Any]]:
        """The globals that code names, and what it names in modules of Python among them."""
        wanted: dict[int, tuple[str, dict[str, Any], list[str]]] = {}

        def want(prefix: str, space: dict[str, Any], name: str) -> Any:
            names = wanted.setdefault(id(space), (prefix, space, []))[2]
            if name in space and name not in names:
                names.append(name)
            return space.get(name)

        value: Any = None
        path = ""
        for step in dis.get_instructions(code):
            name = step.argval
            if step.opname == "STORE_ATTR":
                self._stored[name] = None
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL"):
                value, path = want("", namespace, name), f"{name}."
            elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(
                value, types.ModuleType
            ):
                if not is_users(value.__name__):
                    value = None
                    continue
                value, path = want(path, vars(value), name), f"{path}{name}."
            else:
                value = None
        for prefix, space, names in wanted.values():
            if names:
                self.always.append(Watch(prefix, space, names))
                yield from ((f"{prefix}{name}", space[name]) for name in names)


def _is_scalar(value: Any) -> bool:
    """Whether it is a Value, a long list of them, or something of `tg.scalar`."""
    if isinstance(value, list | tuple) and len(value) > LONGEST:
        value = value[0]
    made_there = getattr(value, "__module__", None) == scalar.__name__
    return (
        isinstance(value, Value | scalar.Module) or value is Value or value is scalar or made_there
    )


def _is_of_engine(value: Any) -> bool:
    """Whether it is a module, class or function of this package."""
    named = value if isinstance(value, types.ModuleType) else None
    name = named.__name__ if named else getattr(value, "__module__", None)
    return isinstance(name, str) and name.partition(".")[0] == "tinygrad_edu"


def is_module(value: Any) -> bool:
    """Whether it is a `tinygrad_edu.nn.Module`, which this folder cannot import."""
    return "_forward_hooks" in getattr(value, "__dict__", ()) and hasattr(value, "named_parameters")


def _all_code(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _all_code(constant)


@functools.cache
def is_users(module: str | None) -> bool:
    """Whether code or classes of this module are the user's own, so that they are looked into."""
    top = (module or "").partition(".")[0]
    if top == "tinygrad_edu" or top in sys.stdlib_module_names - {"__main__"}:
        return False
    found = sys.modules.get(top)
    file = getattr(found, "__file__", None) or ""
    return "site-packages" not in file and "dist-packages" not in file
