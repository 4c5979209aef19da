"""An optimizer's step while a whole training step is traced: its rule on tensors without values.

The rule is the one that runs on arrays. The learning rate and counts of steps are numbers that are
read at each call; the other options are what the program is made for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu.graph.modes import no_grad
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.optim.arithmetic import downhill

if TYPE_CHECKING:
    from tinygrad_edu.optim.optimizer import Group, Optimizer, State

OWN = ("params", "lr", "initial_lr")
"""What is in a group besides the options that a program is made for."""


def record_step(optimizer: Optimizer, tracer: Any) -> None:
    """Record the update of every parameter that has a gradient, and of its state."""
    recorder = _Recorder(optimizer, tracer)
    with no_grad():
        for group in optimizer.param_groups:
            options = recorder.options(group)
            for p in group["params"]:
                if p.grad is not None:
                    recorder.compute(p, group, options)
        recorder.assign()


class _Recorder:
    """One step of one optimizer in a trace."""

    def __init__(self, optimizer: Optimizer, tracer: Any) -> None:
        self._optimizer = optimizer
        self._tracer = tracer
        self._updates: list[tuple[Tensor, State, Tensor, State]] = []
        """Parameter, its state as it is kept, new value, new state."""

    def options(self, group: Group) -> Group:
        """The group as the rule sees it."""
        self._tracer.depends_on(group, [name for name in group if name not in OWN])
        return {**group, "lr": self._tracer.option(group, "lr")}

    def compute(self, p: Tensor, group: Group, options: Group) -> None:
        """The new value and state of a parameter."""
        assert p.grad is not None
        kept = self._kept(p, group)
        names = kept.keys()
        self._tracer.needs(
            f"the state of {type(self._optimizer).__name__} is of another kind",
            lambda: self._kept(p, group).keys() == names,
        )
        state = {name: self._seen(p, name, value) for name, value in kept.items()}
        g = downhill(p.grad.detach(), options)
        value, new = self._optimizer.rule(p.detach(), g, state, options)
        self._tracer.once |= not new.keys() <= names
        self._updates.append((p, kept, value, new))

    def assign(self) -> None:
        """Let parameters and state have their new values."""
        counts: dict[Any, tuple[Any, list[Tensor]]] = {}
        for p, kept, value, state in self._updates:
            p.node.take(value.to(p.dtype).node)
            for name, new in state.items():
                if isinstance(new, Tensor):
                    self._moment(p, name, 0.0).node.take(new.to(p.dtype).node)
                else:
                    key = self._key(name, kept.get(name))
                    counts.setdefault(key, (new, []))[1].append(p)
        self._tracer.takes_over(
            self._optimizer, partial(self._states, [p for p, *_ in self._updates])
        )
        for key, (new, parameters) in counts.items():
            self._tracer.keep_number(partial(self._states, parameters), key[1], new, key)
            self._tracer.needs(
                f"the {key[1]} of {type(self._optimizer).__name__} is not the same for all",
                partial(self._agree, key[1], parameters),
            )

    # -------------------------------------------------------------------------- state

    def _kept(self, p: Tensor, group: Group) -> State:
        """The state of a parameter outside the trace. A program that has not run yet has made the
        arrays, but no count."""
        return {**self._optimizer.begins(group), **state_of(self._optimizer, p)}

    def _seen(self, p: Tensor, name: str, value: Any) -> Any:
        """A part of the state as the rule sees it: a tensor, or a number read at each call."""
        if isinstance(value, float | np.ndarray | np.generic):
            return self._moment(p, name, value)
        key = self._key(name, value)
        before = self._tracer.number(key, lambda: state_of(self._optimizer, p).get(name, value))
        return self._tracer.carried.get(key, before)

    def _key(self, name: str, value: Any) -> tuple[int, str, Any]:
        """Parameters with the same count share it."""
        return id(self._optimizer), name, value

    def _moment(self, p: Tensor, name: str, value: Any) -> Tensor:
        """The tensor for an array of a parameter's state."""
        array = value if np.shape(value) == p.shape else np.full(p.shape, value, p.dtype)

        def put(array: np.ndarray) -> None:
            self._optimizer.state.setdefault(p, {})[name] = array

        moment: Tensor = self._tracer.moment(
            (id(self._optimizer), p, name),
            lambda: state_of(self._optimizer, p).get(name),
            put,
            np.asarray(array, p.dtype),
        )
        return moment

    def _states(self, parameters: list[Tensor]) -> list[State]:
        """Where the state of each parameter is kept."""
        return [self._optimizer.state.setdefault(p, {}) for p in parameters]

    def _agree(self, name: str, parameters: list[Tensor]) -> bool:
        return len({state_of(self._optimizer, p).get(name, 0) for p in parameters}) == 1


def state_of(optimizer: Optimizer, p: Tensor) -> State:
    """What is kept for a parameter, if anything."""
    return optimizer.state.get(p, {})
