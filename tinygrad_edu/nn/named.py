"""Modules that hold others under names, and parameters in rows and under names, so that
`parameters()` and `state_dict()` find what an ordinary list or dictionary hides from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, Self, SupportsIndex, TypeVar

from tinygrad_edu.errors import DTypeError, ModuleError
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.nn.module import Module
from tinygrad_edu.nn.parameter import Parameter

Held = TypeVar("Held", Module, Parameter)


class _Named(Module, Generic[Held]):
    """What is held, each an attribute under its own name: the keys of `state_dict`."""

    def _held(self) -> dict[str, Held]:
        raise NotImplementedError

    def _checked(self, key: str, value: Any) -> Held:
        raise NotImplementedError

    def __getitem__(self, key: str) -> Any:
        return self._held()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str) or not key or "." in key:
            raise ModuleError(
                f"{type(self).__name__}: a name is a string without a point, not {key!r}."
            )
        if key not in self._held() and hasattr(self, key):
            raise ModuleError(
                f"{type(self).__name__}: {key!r} is the name of an attribute; choose another."
            )
        setattr(self, key, self._checked(key, value))

    def __delitem__(self, key: str) -> None:
        self._held()[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._held())

    def __iter__(self) -> Iterator[str]:
        return iter(self._held())

    def __contains__(self, key: object) -> bool:
        return key in self._held()

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._held().keys()

    def values(self) -> Iterable[Held]:
        """What is held."""
        return self._held().values()

    def items(self) -> Iterable[tuple[str, Held]]:
        """Pairs of name and what is held."""
        return self._held().items()

    def pop(self, key: str) -> Held:
        """Remove one, and return it."""
        value = self._held()[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove all."""
        for key in list(self):
            del self[key]

    def update(self, held: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add or replace several."""
        for key, value in dict(held).items():
            self[key] = value


class ModuleDict(_Named[Module]):
    """A dictionary of modules. It cannot be called.

    Raises:
        ModuleError: What is no module, or a name that an attribute has.
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        self.update(modules or {})

    def _held(self) -> dict[str, Module]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}

    def _checked(self, key: str, value: Any) -> Module:
        if not isinstance(value, Module):
            raise ModuleError(f"ModuleDict: {key!r} holds a {type(value).__name__}, not a Module.")
        return value


class ParameterDict(_Named[Parameter]):
    """A dictionary of parameters; what is no parameter becomes one. It cannot be called.

    Raises:
        ModuleError: A name that an attribute has. DTypeError: What is no tensor.
    """

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        self.update(parameters or {})

    def _held(self) -> dict[str, Parameter]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Parameter)}

    def _checked(self, key: str, value: Any) -> Parameter:
        return _parameter("ParameterDict", value)


class ParameterList(Module):
    """A list of parameters; what is no parameter becomes one. It cannot be called.

    Raises:
        DTypeError: What is no tensor.
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self.extend(values)

    def _row(self) -> list[Parameter]:
        return [value for value in vars(self).values() if isinstance(value, Parameter)]

    def append(self, value: Any) -> Self:
        """Add one at the end."""
        setattr(self, str(len(self)), _parameter("ParameterList", value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several at the end."""
        for value in values:
            self.append(value)
        return self

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        row = self._row()
        return type(self)(row[index]) if isinstance(index, slice) else row[index]

    def __setitem__(self, index: SupportsIndex, value: Any) -> None:
        position = range(len(self))[index]
        setattr(self, str(position), _parameter("ParameterList", value))

    def __len__(self) -> int:
        return len(self._row())

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._row())


def _parameter(name: str, value: Any) -> Parameter:
    if isinstance(value, Parameter):
        return value
    if not isinstance(value, Tensor):
        raise DTypeError(f"{name}: holds parameters and tensors, not a {type(value).__name__}.")
    return Parameter(value.detach())
