"""What rules read: a model, its analysis, its structure, and the thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.findings.structure import Layer, Structure
from analysis.findings.thresholds import Thresholds
from analysis.network import laws
from analysis.network.analyze import Propagation
from analysis.network.context import Parts
from analysis.network.program import Program
from analysis.network.records import Signal, Weight
from analysis.network.response import Grid
from tinygrad_edu.graph.node import Node
from tinygrad_edu.ops.kinds import Elementwise

if TYPE_CHECKING:
    from analysis.report.report import Report, Row
    from tinygrad_edu.nn import Module

Steps = tuple[Any, ...]
"""Elementwise ops in order: (op, options, operands) each."""

NEGLIGIBLE = 1e-24
"""A variance at which every activation is as it is near 0."""


@dataclass(frozen=True)
class Curve:
    """E[phi^2] and E[phi'^2] under N(0, q) at some variances q."""

    second: tuple[float, ...]
    slope: tuple[float, ...]


class Subject:
    """A model under diagnosis."""

    def __init__(
        self, model: Module, propagation: Propagation, report: Report, thresholds: Thresholds
    ) -> None:
        self.model = model
        self.propagation = propagation
        self.report = report
        self.thresholds = thresholds
        self.structure = Structure(propagation.graph)
        self._curves: dict[tuple[Any, ...], Curve | None] = {}

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Products with weights, in order."""
        return self.structure.layers

    @cached_property
    def rows(self) -> dict[Node, Row]:
        """The report's row whose output is at a node."""
        places = self.propagation.graph.places
        return {p.node: row for p, row in zip(places, self.report.rows, strict=True)}

    # ---------------------------------------------------------------------- moments

    def signals(self, node: Node) -> tuple[Signal, ...]:
        """What is known of a node: one record, or those of its parts; none if it is unknown."""
        record = self.propagation.records.get(node)
        if isinstance(record, Parts):
            return record.signals
        return (record,) if isinstance(record, Signal) else ()

    def second(self, node: Node) -> float | None:
        """E[x^2] of an element."""
        return self._average(node, "second")

    def mean(self, node: Node) -> float | None:
        """E[x] of an element."""
        return self._average(node, "mean")

    def _average(self, node: Node, name: str) -> float | None:
        signals = self.signals(node)
        units = sum(s.units for s in signals)
        if not units:
            return None
        average = self.propagation.context.average
        return sum(s.units / units * average(getattr(s, name)) for s in signals)

    def gradient(self, node: Node) -> float | None:
        """E of the squared length of the gradient at a node, which layers of any width keep if
        n_in Var(W) E[phi'^2] = 1."""
        found = self.propagation.cotangents.get(node)
        signals = self.signals(node)
        if found is None or not signals:
            return None
        parts = found if isinstance(found, tuple) else (found,)
        average = self.propagation.context.average
        units = sum(s.units for s in signals)
        mixed = sum(
            s.units / units * average(c.gradient.second)
            for c, s in zip(parts, signals, strict=True)
        )
        return float(mixed * np.prod(node.shape[1:]))

    def law(self, layer: Layer) -> Weight:
        """What a layer's weights were drawn from, or what their numbers say."""
        return laws.law_of(layer.parameter_name, layer.parameter)[0]

    def gain2(self, layer: Layer) -> float:
        """fan_in Var(W)."""
        return layer.fans[0] * self.law(layer).variance

    # ---------------------------------------------------------------------- chains

    @cached_property
    def chains(self) -> tuple[tuple[Layer, ...], ...]:
        """Runs of layers with nothing but an activation (and pools, masks) between two of them."""
        origin = self.structure.origin
        bent = {origin(each.output): each for each in self.layers if each.after == "activation"}
        chains: list[list[Layer]] = []
        for layer in self.layers:
            before = None
            if self.structure.is_activation(layer.before):
                before = bent.get(origin(self.pre_activation(layer.before)))
            if before is not None and chains and chains[-1][-1] is before:
                chains[-1].append(layer)
            else:
                chains.append([layer])
        return tuple(tuple(chain) for chain in chains if len(chain) > 1)

    # ---------------------------------------------------------------------- activations

    def curve(self, node: Node, variances: Sequence[float]) -> Curve | None:
        """How the activation whose result is `node` responds to N(0, q); None where it is no
        function of one pre-activation."""
        steps = self._composed(node)
        if steps is None:
            return None
        key = (*steps, *variances)
        if key not in self._curves:
            self._curves[key] = _respond(steps, variances)
        return self._curves[key]

    def _composed(self, node: Node) -> Steps | None:
        """The elementwise ops between one pre-activation and a node: (op, options, operands), an
        operand being a position in this list, 0 the pre-activation, or a constant."""
        structure = self.structure
        inside = [node]
        for each in inside:
            for x in structure.operands(each):
                if x not in inside and structure.is_activation(x):
                    inside.append(x)
        ends = {x for each in inside for x in structure.operands(each) if x not in inside}
        if len(ends) != 1 or not all(isinstance(each.op, Elementwise) for each in inside):
            return None
        order = sorted(inside, key=structure.position.__getitem__)
        number = {ends.pop(): 0, **{each: i for i, each in enumerate(order, 1)}}
        steps: list[Any] = []
        for each in order:
            if any(x not in number and (x.is_abstract or x.data.size != 1) for x in each.inputs):
                return None
            operands = tuple(
                number[x] if x in number else float(x.data.item()) for x in each.inputs
            )
            steps.append((each.op, tuple(sorted(each.params.items())), operands))
        return tuple(steps)

    def pre_activation(self, node: Node) -> Node:
        """The signal that an activation is a function of."""
        structure = self.structure
        while structure.is_activation(node):
            node = structure.operands(node)[0]
        return node


def _respond(steps: Steps, variances: Sequence[float]) -> Curve | None:
    program = Program()
    try:
        for op, options, operands in steps:
            held = tuple(o if isinstance(o, int) else np.asarray(o) for o in operands)
            program.append(op, dict(options), held)
    except (AnalysisError, TypeError, ValueError):  # a rule that cannot be read has no curve
        return None
    last = len(program.instructions) - 1
    q = np.asarray(variances, np.float64)
    grid = Grid.gaussian(np.zeros_like(q), q, program.kinks[last])
    with np.errstate(all="ignore"):
        f, d = program.run(grid.x, last)[last]
        second, slope = grid.expect(f * f), grid.expect(d * d)
    if not (np.isfinite(second).all() and np.isfinite(slope).all()):
        return None
    return Curve(tuple(second.tolist()), tuple(slope.tolist()))


def span(names: Sequence[str]) -> str:
    """Layers as one name: "3", or "0 to 98"."""
    distinct = list(dict.fromkeys(names))
    return distinct[0] if len(distinct) == 1 else f"{distinct[0]} to {distinct[-1]}"


def number(value: float) -> str:
    """With three digits."""
    return f"{value:.3g}"
