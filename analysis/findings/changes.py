"""Changes to a model's parameters and options, made together or not at all.

An `Edit` names what it changes, so that the same edit can be tried on a copy and made on the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import InputError
from tinygrad_edu.nn import LayerNorm, Module, Parameter, Sequential
from tinygrad_edu.nn.drawing import scaled_law

if TYPE_CHECKING:
    from analysis.report.report import Report
    from tinygrad_edu.nn.parameter import Law

Undo = Callable[[], object]


class Edit:
    """Something that can be done to a model, and undone."""

    def do(self, model: Module, generator: np.random.Generator) -> Undo:
        """Change the model. Returns what changes it back. Raises if it cannot, having changed
        nothing."""
        raise NotImplementedError


@dataclass(frozen=True)
class Scale(Edit):
    """A parameter times a factor, values and law."""

    parameter: str
    factor: float

    def do(self, model: Module, generator: np.random.Generator) -> Undo:
        found = _parameter(model, self.parameter)
        law = found.law
        scaled = found.detach().numpy() * np.asarray(self.factor, found.dtype)
        if law is not None:  # no longer what the scheme of this name draws
            law = replace(scaled_law(law, self.factor), scheme="scaled")
        return _write(found, scaled, law)


@dataclass(frozen=True)
class Draw(Edit):
    """A parameter drawn anew from a law."""

    parameter: str
    law: Law
    fans: tuple[int, int] | None = None

    def do(self, model: Module, generator: np.random.Generator) -> Undo:
        found = _parameter(model, self.parameter)
        fan_in, fan_out = self.fans or (None, None)
        law = replace(self.law, fan_in=fan_in, fan_out=fan_out)
        return _write(found, law.draw(generator, found.shape), law)


@dataclass(frozen=True)
class Option(Edit):
    """Another value for an attribute of a module: p of a dropout, None for a bias."""

    module: str
    name: str
    value: Any

    def do(self, model: Module, generator: np.random.Generator) -> Undo:
        module = _module(model, self.module)
        before = getattr(module, self.name)
        setattr(module, self.name, self.value)
        return lambda: setattr(module, self.name, before)


@dataclass(frozen=True)
class NormBefore(Edit):
    """A layer norm in front of a module without parameters. It becomes a pair, so the keys of all
    other modules stay."""

    module: str
    units: int

    def do(self, model: Module, generator: np.random.Generator) -> Undo:
        path, _, name = self.module.rpartition(".")
        parent = _module(model, path)
        inner = getattr(parent, name)
        dtype = next(iter(model.parameters())).dtype
        setattr(parent, name, Sequential(LayerNorm(self.units, dtype=dtype), inner))
        return lambda: setattr(parent, name, inner)


@dataclass(frozen=True)
class Change:
    """A way to cure some findings.

    description  what to do
    resolves     codes of the findings that are then gone
    report       the analysis after it
    """

    description: str
    resolves: tuple[str, ...]
    report: Report = field(repr=False)
    edits: tuple[Edit, ...] = field(repr=False)
    model: Module = field(repr=False)
    seed: int = 0

    def apply(self) -> Module:
        """Make the change to the user's own model, in place; parameters then know their new laws.
        Weights that are drawn anew depend on the seed alone. If anything fails, nothing is changed.
        Returns the model."""
        make(self.edits, self.model, self.seed)
        return self.model


def make(edits: Iterable[Edit], model: Module, seed: int) -> None:
    """Do all edits, or none."""
    generator = np.random.default_rng(seed)
    with ExitStack() as undo:
        for edit in edits:
            undo.callback(edit.do(model, generator))
        undo.pop_all()


def _write(parameter: Parameter, values: Any, law: Law | None) -> Undo:
    values = np.asarray(values).astype(parameter.dtype)
    if values.shape != parameter.shape or not np.isfinite(values).all():
        raise InputError(
            f"a change would give values of shape {values.shape} that are not all finite to a "
            f"parameter of shape {parameter.shape}; nothing was changed."
        )
    before, known = parameter.node.data, parameter.law
    parameter.node.assign(values)
    parameter.law = law

    def undo() -> None:
        parameter.node.assign(before)
        parameter.law = known

    return undo


def _parameter(model: Module, name: str) -> Parameter:
    found = dict(model.named_parameters()).get(name)
    if found is None:
        raise InputError(f"the model has no parameter {name!r} any more; analyse it again.")
    return found


def _module(model: Module, name: str) -> Module:
    found = dict(model.named_modules()).get(name)
    if found is None:
        raise InputError(f"the model has no module {name!r} any more; analyse it again.")
    return found
