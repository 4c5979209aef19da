"""Modules made of other modules: `Sequential` calls them in turn, `Residual` adds one to its input,
`ModuleList` holds them."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, SupportsIndex, overload

from tinygrad_edu.errors import ArgumentError, ModuleError, ShapeError, TinygradError
from tinygrad_edu.graph.functions import as_tensor
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn.module import Module


class _Numbered(Module):
    """Modules in a row, each an attribute named by its position: the keys torch gives them."""

    def __init__(self, modules: Iterable[Module]) -> None:
        for module in modules:
            self.append(module)

    def _row(self) -> list[tuple[str, Module]]:
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Module)]

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        return self._add(str(len(self)), module)

    def _add(self, name: str, module: Module) -> Self:
        if not isinstance(module, Module):
            raise ModuleError(
                f"{type(self).__name__}: position {len(self)} holds a {type(module).__name__}, not "
                "a Module; a function becomes one by a class with that function as forward()."
            )
        setattr(self, name, module)
        return self

    def __len__(self) -> int:
        return len(self._row())

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self._row())

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...  # so that x[0].weight is typed

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        modules = list(self)
        if isinstance(index, slice):
            return self._like(modules[index])
        try:
            return modules[index]
        except IndexError:
            raise IndexError(
                f"{type(self).__name__}: position {operator.index(index)} of {len(modules)} modules"
            ) from None

    def __setitem__(self, index: SupportsIndex, module: Module) -> None:
        setattr(self, self._row()[index][0], module)

    def _like(self, modules: list[Module]) -> Self:
        raise NotImplementedError


class Sequential(_Numbered):
    """Modules called one after another, each with what the one before returned.

    ``Sequential(Linear(64, 128), ReLU())``, or a dictionary of modules under names of your own.
    Positions and slices read the modules (a slice shares them), a position assigns one.

    Raises:
        ModuleError: An argument that is no module.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self._add(name, module)
        else:
            super().__init__(modules)  # type: ignore[arg-type]  # append refuses a mapping

    def _like(self, modules: list[Module]) -> Self:
        return type(self)(*modules)

    def forward(self, x: Any) -> Any:
        """x through every module in turn."""
        for name, module in self._row():
            try:
                x = module(x)
            except TinygradError as error:
                error.add_note(f"in module {name} of {type(self).__name__}: {module}")
                raise
        return x


class Residual(Module):
    """x + scale * block(x): a block around which the signal passes unchanged. He et al. 2016.

    With a block that ends in a layer of mean-zero weights, each doubles the second moment of the
    signal at initialisation; ``scale = depth ** -0.5`` keeps `depth` of them within a factor e.

    Args:
        block: A module whose output has the shape of its input.
        scale: A constant factor of the block's output.

    Raises:
        ModuleError: `block` is no module. ArgumentError: `scale` is no finite number.
        ShapeError: The block's output has another shape than its input.
    """

    block: Module

    def __init__(self, block: Module, scale: float = 1.0) -> None:
        if not isinstance(block, Module):
            raise ModuleError(f"Residual: the block is a {type(block).__name__}, not a Module.")
        if not math.isfinite(scale):
            raise ArgumentError(f"Residual: scale must be finite, got {scale}.")
        self.block = block
        self.scale = scale

    def forward(self, x: Operand) -> Tensor:
        """x and its image under the block, added."""
        x = as_tensor(x)
        y: Tensor = self.block(x)
        if y.shape != x.shape:
            raise ShapeError(
                f"Residual: the block turns shape {x.shape} into {y.shape}, so the two cannot be "
                "added; let the block keep the shape, or project outside of it."
            )
        return x + y if self.scale == 1 else x + self.scale * y

    def extra_repr(self) -> str:
        """The factor, unless it is 1."""
        return "" if self.scale == 1 else f"scale={self.scale}"


class ModuleList(_Numbered):
    """A list whose modules are found by `parameters()` and `state_dict()`, which an ordinary list
    as an attribute hides from them. It cannot be called."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__(modules)

    def _like(self, modules: list[Module]) -> Self:
        return type(self)(modules)

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end."""
        for module in modules:
            self.append(module)
        return self
