"""The graph under any sequence of uses, against a naive model of it.

Hypothesis builds, reuses, detaches, changes in place, assigns, differentiates (once and twice) and
drops tensors in whatever order it likes. The model keeps closures on nodes and gradients on leaves,
as the simplest autograd engine would, and knows which leaf values each op has read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

import tinygrad_edu as tg
from tinygrad_edu.errors import InPlaceError, StaleStorageError

N = 3
Array = np.ndarray
Pull = Callable[[Array], Array]


@dataclass(eq=False)
class Model:
    """A vector of N numbers, and how a gradient travels to what it was made from."""

    value: Array
    requires_grad: bool = False
    parents: list[tuple[Model, Pull]] = field(default_factory=list)
    grad: Array | None = None
    version: int = 0
    read: list[tuple[Model, int]] = field(default_factory=list)

    @property
    def is_leaf(self) -> bool:
        return not self.parents

    def reachable(self) -> list[Model]:
        """Every node behind this one that carries gradient, results before operands."""
        order: list[Model] = []

        def visit(node: Model) -> None:
            if node not in order:
                for parent, _ in node.parents:
                    visit(parent)
                order.append(node)

        visit(self)
        return order[::-1]

    def is_stale(self) -> bool:
        """Whether a leaf was assigned after an op behind this node had read it."""
        return any(leaf.version != seen for node in self.reachable() for leaf, seen in node.read)

    def gradients(self) -> dict[Model, Array]:
        """Of the sum of this vector, by every leaf."""
        total = {self: np.ones(N)}
        for node in self.reachable():
            for parent, pull in node.parents:
                total[parent] = total.get(parent, np.zeros(N)) + pull(total[node])
        return {node: g for node, g in total.items() if node.is_leaf}


def derive(value: Array, reads: bool, *parents: tuple[Model, Pull]) -> Model:
    """A result; parents that carry no gradient are constants."""
    live = [(p, pull) for p, pull in parents if p.requires_grad]
    read = [(p, p.version) for p, _ in parents if p.is_leaf] if reads and live else []
    return Model(value, bool(live), live, read=read)


numbers = st.lists(st.sampled_from([-1.5, -0.25, 0.5, 1.0, 2.0]), min_size=N, max_size=N)


class Graph(RuleBasedStateMachine):
    """Tensors in one hand, models in the other."""

    pairs = Bundle("pairs")

    def __init__(self) -> None:
        super().__init__()
        self.leaves: list[tuple[tg.Tensor, Model]] = []

    # -------------------------------------------------------------------------- making

    @rule(target=pairs, values=numbers, requires_grad=st.booleans())
    def leaf(self, values: list[float], requires_grad: bool) -> object:
        x = tg.tensor(values, dtype="float64", requires_grad=requires_grad)
        model = Model(np.array(values), requires_grad)
        if requires_grad:
            self.leaves.append((x, model))
        return x, model

    @rule(target=pairs, a=pairs, b=pairs)
    def add(self, a: object, b: object) -> object:
        (x, m), (y, n) = a, b
        return x + y, derive(m.value + n.value, False, (m, lambda g: g), (n, lambda g: g))

    @rule(target=pairs, a=pairs, b=pairs)
    def mul(self, a: object, b: object) -> object:
        (x, m), (y, n) = a, b
        u, v = m.value, n.value
        return x * y, derive(u * v, True, (m, lambda g: g * v), (n, lambda g: g * u))

    @rule(target=pairs, a=pairs)
    def tanh(self, a: object) -> object:
        x, m = a
        y = np.tanh(m.value)
        return x.tanh(), derive(y, True, (m, lambda g: g * (1 - y * y)))

    @rule(target=pairs, a=pairs, i=st.integers(0, N - 1))
    def spread_one(self, a: object, i: int) -> object:
        """x[i] + 0 x, by reading, expanding and nothing else."""
        x, m = a

        def pull(g: Array) -> Array:
            back = np.zeros(N)
            back[i] = g.sum()
            return back

        return x[i].expand(N), derive(np.full(N, m.value[i]), False, (m, pull))

    @rule(target=pairs, a=pairs)
    def detached(self, a: object) -> object:
        x, m = a
        return x.detach(), Model(m.value)

    @rule(target=pairs, a=pairs)
    def without_recording(self, a: object) -> object:
        x, m = a
        with tg.no_grad():
            return x * 2.0, Model(m.value * 2)

    # -------------------------------------------------------------------------- changing

    @rule(target=pairs, a=consumes(pairs), b=pairs)
    def add_in_place(self, a: object, b: object) -> object:
        (x, m), (y, n) = a, b
        if m.is_leaf and m.requires_grad:
            with pytest.raises(InPlaceError):
                x += y
            return x, m
        x += y
        return x, derive(m.value + n.value, False, (m, lambda g: g), (n, lambda g: g))

    @rule(target=pairs, a=consumes(pairs), b=pairs, i=st.integers(0, N - 1))
    def assign_one(self, a: object, b: object, i: int) -> object:
        (x, m), (y, n) = a, b
        if m.is_leaf and m.requires_grad:
            with pytest.raises(InPlaceError):
                x[i] = y[i]
            return x, m
        keep, put = np.ones(N), np.zeros(N)
        keep[i], put[i] = 0, 1
        x[i] = y[i]
        value = m.value * keep + n.value * put
        return x, derive(value, False, (m, lambda g: g * keep), (n, lambda g: g * put))

    @rule(a=pairs, values=numbers)
    def assign_data(self, a: object, values: list[float]) -> None:
        x, m = a
        if m.is_leaf and m.requires_grad:
            x.data = tg.tensor(values, dtype="float64")
            m.value = np.array(values)
            m.version += 1

    # -------------------------------------------------------------------------- differentiating

    @rule(a=pairs, times=st.integers(1, 2))
    def backward(self, a: object, times: int) -> None:
        x, m = a
        if not m.requires_grad:
            return
        total = x.sum()
        if m.is_stale():
            with pytest.raises(StaleStorageError):
                total.backward()
            return
        for _ in range(times):
            total.backward()
            for leaf, g in m.gradients().items():
                leaf.grad = g if leaf.grad is None else leaf.grad + g

    @rule(values=numbers, times=st.integers(1, 2))
    def change_what_was_read(self, values: list[float], times: int) -> None:
        """The commonest way to a stale graph: an update between forward and backward."""
        for x, m in self.leaves[-times:]:
            model = derive(m.value**2, True, (m, lambda g, u=m.value: 2 * g * u))
            y = x * x
            self.assign_data((x, m), values)
            self.backward((y, model), times)

    @rule()
    def zero_grad(self) -> None:
        for x, m in self.leaves:
            x.grad = m.grad = None

    @rule(a=consumes(pairs))
    def drop(self, a: object) -> None:
        """The user forgets a tensor; graphs that need it keep what they need."""
        self.leaves = [pair for pair in self.leaves if pair[0] is not a[0]]

    # -------------------------------------------------------------------------- always

    @rule(a=pairs)
    def values_agree(self, a: object) -> None:
        x, m = a
        np.testing.assert_allclose(x.detach().numpy(), m.value, rtol=1e-13, atol=1e-13)
        assert x.requires_grad == m.requires_grad

    @invariant()
    def gradients_agree(self) -> None:
        for x, m in self.leaves:
            assert (x.grad is None) == (m.grad is None)
            if m.grad is not None:
                # sums of at most a few hundred products of numbers up to 2^k: relative to the size
                scale = max(1.0, float(np.abs(m.grad).max()))
                np.testing.assert_allclose(x.grad.numpy(), m.grad, rtol=0, atol=1e-11 * scale)


TestGraph = Graph.TestCase
TestGraph.settings = settings(max_examples=200, stateful_step_count=30)
