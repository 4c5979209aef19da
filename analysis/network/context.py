"""What the rules of one analysis share: cases, variables met so far, and what went wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.network.examples import Partners
from analysis.network.records import Array, Mask, Noise, Numbers, Signal, Weight
from analysis.network.response import Response
from analysis.network.roots import Root
from analysis.network.sources import Key
from tinygrad_edu.graph.node import Node


class UnknownSignal(AnalysisError):
    """A rule that cannot speak; its message says why."""


@dataclass(frozen=True)
class Parts:
    """Units of several kinds one after another along the last axis: what a concatenation gives."""

    signals: tuple[Signal, ...]

    @property
    def units(self) -> int:
        """All of them together."""
        return sum(s.units for s in self.signals)


Record = Signal | Parts | Weight | Mask | Noise | Numbers | float | None
"""What is known of a node: a signal, a parameter's law, a constant, or nothing."""


@dataclass(frozen=True)
class Applied:
    """How an op was applied to functions of one variable: enough for its partial derivatives."""

    root: Root
    operands: tuple[int | Array, ...]
    index: int


@dataclass(frozen=True)
class Joint:
    """What a function y of two signals is at real widths, seen from one of them (x).

    own      d log E[y^2] / d log E[x^2], when both signals scatter together
    slope    the same of the slope's mean square
    curve    E[x^2]^2 times the second derivative of its logarithm by E[x^2]
    second, fourth, square, cross   E[y^2], E[y^4], E[y_x^2], E[y^2 y_x^2] with y_x = dy/dx
    operand  E[x^2]
    units    independent elements that are averaged over
    apart    half the relative variance of the other signal's second moment that does not go with
             this one's, and its covariance with it
    """

    own: Array
    slope: Array
    curve: Array
    second: Array
    fourth: Array
    square: Array
    cross: Array
    operand: Array
    units: int
    apart: Array


@dataclass(frozen=True)
class Slope:
    """The derivative by one operand, averaged over all that is independent of it: its mean and
    mean square given the operand's variable (`root`), or over everything if `root` is None."""

    root: Root | None
    mean: Array
    square: Array
    joint: Joint


@dataclass
class Context:
    """What rules leave for each other, for the backward sweep and for the reader.

    weights    how much each case (example, and shared offset) counts
    offsets    standard normal numbers, one array for each layer whose weights have a mean: what all
               of its units share
    partners   which examples are compared with each other; None for a law
    examples   how many examples the cases belong to
    sampled    what these leave open of all the data they stand for, as a share of a moment
    batch      how many examples are in a batch
    narrowness the sum of 1/fan_in over the layers so far: by how much, at most, the covariance of
               two examples scatters
    unevenness the same of batch norms of data: by how much their factors scatter
    """

    weights: Array
    offsets: list[Array] = field(default_factory=list)
    partners: Partners | None = None
    examples: int = 1
    sampled: float = 0.0
    batch: int = 64
    narrowness: float = 0.0
    unevenness: float = 0.0
    responses: dict[Any, Response] = field(default_factory=dict)
    reasons: dict[Node, str] = field(default_factory=dict)
    roots: dict[Any, Root] = field(default_factory=dict)
    variables: dict[Root, Signal] = field(default_factory=dict)
    applied: dict[Any, Applied] = field(default_factory=dict)
    slopes: dict[Any, dict[int, Slope]] = field(default_factory=dict)
    holders: Counter[Key] = field(default_factory=Counter)
    correlations: dict[Key, Array] = field(default_factory=dict)
    tied: dict[str, list[Any]] = field(default_factory=dict)
    notes: dict[Any, Any] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)
    part: int = 0
    """Which part of a concatenation is being worked on."""

    def at(self, node: Node) -> Any:
        """The key under which what belongs to a node's current part is kept."""
        return (node, self.part) if self.part else node

    def unknown(self, node: Node, reason: str) -> None:
        """No record, and the reason why."""
        self.reasons.setdefault(node, reason)

    def assume(self, line: str) -> None:
        """A line for the report, once."""
        if line not in self.assumptions:
            self.assumptions.append(line)

    def average(self, values: Array) -> float:
        """Over cases and places."""
        return float(np.dot(self.spread(values), values))

    def spread(self, values: Array) -> Array:
        """The weight of each entry of an array with entries for cases and places."""
        places = len(values) // len(self.weights)
        return np.repeat(self.weights, places) / places

    def partner(self, values: Array) -> Array:
        """Each case's number on its partners: a table; of a law, the same number."""
        return values if self.partners is None else self.partners.of(values)

    def products(self, rows: Array) -> Array | None:
        """The mean over the columns of each case's numbers times its partners' numbers."""
        return None if self.partners is None else self.partners.products(rows)

    def others(self, table: Array) -> Array:
        """The average over a case's partners, for each case."""
        return table if self.partners is None else self.partners.others(table)
