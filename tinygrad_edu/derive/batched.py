"""A value with a batch axis in front, and the table of rules that say how ops take one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinygrad_edu import ops
from tinygrad_edu.graph.functions import expand
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.graph.tensor import Tensor, abstract
from tinygrad_edu.ops.table import Op


@dataclass(frozen=True)
class Batched:
    """A value of a traced node: `tensor`, with a batch axis in front if it is `varied`."""

    tensor: Tensor
    varied: bool

    def spread(self, size: int) -> Tensor:
        """With the batch axis in any case."""
        t = self.tensor
        return t if self.varied else expand(t, (size, *t.shape))

    def example(self) -> Tensor:
        """What a traced function gets: a shape, or the value itself if all examples share it."""
        t = self.tensor
        if not self.varied:
            return t
        traced = abstract(t.shape[1:], t.dtype)
        traced.node.requires_grad = t.requires_grad
        return traced

    @property
    def rank(self) -> int:
        """The number of axes of one example."""
        return self.tensor.ndim - self.varied


Rule = Callable[[Op, Sequence[Batched], int, Mapping[str, Any]], Tensor]
"""From an op, its operands (at least one of them varied), the batch size and the op's parameters to
the result with its batch axis in front."""

RULES: dict[str, Rule] = {}
"""By the name of the op; elementwise and fused ops need none."""


def register(*names: str) -> Callable[[Rule], Rule]:
    """Register the decorated function as the rule of these ops."""

    def enter(rule: Rule) -> Rule:
        for name in names:
            RULES[name] = rule
        return rule

    return enter


def aligned(x: Batched, rank: int) -> Tensor:
    """With axes of size 1 after the batch axis, so that an example has `rank` axes."""
    t = x.tensor
    if not x.varied or x.rank == rank:
        return t
    return apply(ops.reshape, t, shape=(t.shape[0], *(1,) * (rank - x.rank), *t.shape[1:]))
