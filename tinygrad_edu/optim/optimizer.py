"""What all optimizers share: groups of parameters, state for each, and the step.

An optimizer is one rule, a function without side effects: from a parameter's value, its gradient
and the state kept for it to the new value and the new state. It is written in arithmetic that
arrays and tensors both understand, so it can also be recorded. `step` computes every new value
before it assigns the first, so a step that fails has changed nothing.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import ArgumentError, CheckpointError, DTypeError, GradientError
from tinygrad_edu.graph.modes import enable_grad
from tinygrad_edu.graph.node import clock, tracing
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.nn.parameter import clear_grad
from tinygrad_edu.ops.dtypes import is_float
from tinygrad_edu.ops.silence import silently
from tinygrad_edu.optim.arithmetic import Arithmetic, Values, compute, downhill
from tinygrad_edu.optim.recorded import record_step

State = dict[str, Any]
"""What a rule remembers of one parameter: values in the parameter's shape, and numbers."""
Group = dict[str, Any]
"""Parameters (under "params") and the options that hold for them."""
Parameters = Iterable[Tensor] | Iterable[Mapping[str, Any]]


class Optimizer:
    """Base class: a subclass defines `rule`, or `arithmetic` and `after`, of which it is made.

    Args:
        params: Tensors, or dictionaries {"params": tensors, option: value, ...} whose options
            override the defaults for their group.
        defaults: Every option of the rule and its default.

    Attributes:
        param_groups: The groups; to change an option (the learning rate "lr"), assign it there.
        state: For each parameter that has been updated, what the rule remembers.

    Raises:
        ArgumentError: No parameters, one given twice, an unknown option, or one out of range.
        GradientError: A parameter that is computed by an op or does not require grad.
        DTypeError: A parameter that is not of float dtype.
    """

    def __init__(self, params: Parameters, defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, State] = {}
        if isinstance(params, Tensor):
            raise ArgumentError(f"{self._name}: got a tensor; pass a list of them, [tensor].")
        if not isinstance(params, Iterable):
            raise ArgumentError(
                f"{self._name}: got a {type(params).__name__}; of a model, pass model.parameters()."
            )
        listed: list[Any] = list(params)
        for group in listed if listed and isinstance(listed[0], Mapping) else [{"params": listed}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def rule(self, p: Values, g: Values, state: State, group: Group) -> tuple[Values, State]:
        """The new value of a parameter and its new state, from its value, gradient and state (empty
        before the first step). Nothing is changed in place."""
        return self.after(self.arithmetic(p, g, state, group).compute(), state)

    def arithmetic(self, p: Values, g: Values, state: State, group: Group) -> Arithmetic:
        """What is computed of the values. All parameters can then be computed together."""
        raise NotImplementedError(f"{self._name} defines neither rule() nor arithmetic().")

    def after(self, results: list[Values], state: State) -> tuple[Values, State]:
        """The new value and state, from what was computed and the state before."""
        raise NotImplementedError(f"{self._name} defines neither rule() nor after().")

    def begins(self, group: Group) -> State:
        """What the rule may find as state before the first step without computing anything else
        than with none: 0.0 for an array of zeros, 0 for a count. Nothing, where there is no such
        state; a compiled step then has a program of its own for the first call."""
        return {}

    def check(self, group: Group) -> None:
        """Raise `ArgumentError` if an option is out of range."""
        self._at_least_zero(group, "lr", "weight_decay")

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own; what is not given is as the defaults."""
        if not isinstance(group, Mapping) or "params" not in group:
            raise ArgumentError(
                f"{self._name}: a group is a dictionary with its tensors under 'params', not "
                f"{group!r}."
            )
        unknown = group.keys() - self.defaults.keys() - {"params"}
        if unknown:
            raise ArgumentError(
                f"{self._name}: no option {', '.join(sorted(unknown))}; there are "
                f"{', '.join(self.defaults)}."
            )
        given = group["params"]
        listed = [given] if isinstance(given, Tensor) else list(given)
        full = {**self.defaults, **group, "params": listed}
        if not full["params"]:
            raise ArgumentError(f"{self._name}: got no parameters to train.")
        self.check(full)
        known = {p for earlier in self.param_groups for p in earlier["params"]}
        for position, p in enumerate(full["params"]):
            self._check_parameter(position, p)
            if p in known:
                raise ArgumentError(
                    f"{self._name}: parameter {position} of shape {p.shape} was given before."
                )
            known.add(p)
        self.param_groups.append(full)
        clock.now += 1  # a compiled step looks again at what it depends on

    def _check_parameter(self, position: int, p: Any) -> None:
        if not isinstance(p, Tensor):
            raise DTypeError(
                f"{self._name}: parameter {position} is a {type(p).__name__}, not a tensor."
            )
        if not is_float(p.dtype):
            raise DTypeError(f"{self._name}: parameter {position} is {p.dtype}; it needs floats.")
        if not p.is_leaf or not p.requires_grad:
            raise GradientError(
                f"{self._name}: parameter {position} of shape {p.shape} "
                + ("does not require grad" if p.is_leaf else "was computed by an op")
                + "; train [p for p in model.parameters() if p.requires_grad]."
            )

    def _at_least_zero(self, group: Group, *options: str) -> None:
        for option in options:
            value = group[option]
            if not _is_number(value) or not 0 <= value < math.inf:
                raise ArgumentError(
                    f"{self._name}: {option} must be a finite number >= 0, got {value!r}."
                )

    def _share(self, option: str, value: float) -> None:
        if not _is_number(value) or not 0 <= value < 1:
            raise ArgumentError(f"{self._name}: {option} must lie in [0, 1), got {value!r}.")

    # -------------------------------------------------------------------------- training

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters (or fill them with zeros)."""
        if set_to_none and tracing() is None:
            for p in self._parameters():
                p.node.grad = None
            return
        for p in self._parameters():
            clear_grad(p, set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. Graphs that read the old values are stale
        from here on.

        Args:
            closure: Computes the loss and its gradients anew; it is called first, and what it
                returns is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._step()
        return loss

    def _step(self) -> None:
        now = tracing()
        if now is not None:
            record_step(self, now)
            return
        for p, (value, state) in silently(self._updates):
            # A NumPy scalar among the options (lr from np.logspace) has widened the value.
            # Arithmetic of zero-dimensional arrays gives NumPy scalars, which are no arrays.
            p.node.assign(np.asarray(value, p.node.data.dtype))
            self.state[p] = state

    def _updates(self) -> list[tuple[Tensor, tuple[Values, State]]]:
        """What the rule makes of every parameter that has a gradient."""
        updates: list[tuple[Tensor, tuple[Values, State]]] = []
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.node.grad is not None]
            updates += zip(trained, self._updated(trained, group), strict=True)
        return updates

    def _updated(self, parameters: Sequence[Tensor], group: Group) -> list[tuple[Values, State]]:
        """The new value and state of each parameter."""
        states = [self.state.get(p, {}) for p in parameters]
        given = [
            (p.node.data, downhill(p.node.grad.node.snapshot(), group), state, group)
            for p, state in zip(parameters, states, strict=True)
        ]
        if type(self).rule is not Optimizer.rule:
            return [self.rule(*each) for each in given]
        results = compute([self.arithmetic(*each) for each in given])
        return [self.after(*pair) for pair in zip(results, states, strict=True)]

    # -------------------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything to go on from: {"state": {number of the parameter: ...},
        "param_groups": [options, with the parameters' numbers under "params"]}, as in torch, with
        NumPy arrays for what has a shape."""
        numbers = {p: i for i, p in enumerate(self._parameters())}
        return {
            "state": {numbers[p]: _copied(state) for p, state in self.state.items()},
            "param_groups": [
                {**group, "params": [numbers[p] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state dictionary of an optimizer of this kind for parameters of these
        shapes.

        Raises:
            CheckpointError: It is something else, has other groups, or state in other shapes.
                Nothing has been changed then.
        """
        if not holds(state_dict, "param_groups", "state"):
            raise CheckpointError(
                f"{self._name}: this is not the state of an optimizer, which has the keys "
                "param_groups and state."
            )
        parameters = self._parameters()
        groups, states = state_dict["param_groups"], state_dict["state"]
        problem = self._wrong_groups(groups) or self._wrong_state(parameters, states)
        if problem:
            raise CheckpointError(f"{self._name}: {problem}")
        for own, group in zip(self.param_groups, groups, strict=True):
            own.update({**group, "params": own["params"]})
        self.state = {parameters[int(number)]: _copied(state) for number, state in states.items()}
        clock.now += 1  # a compiled step looks again at what it depends on

    def _wrong_groups(self, groups: Sequence[Mapping[str, Any]]) -> str | None:
        if not isinstance(groups, Sequence) or not all(holds(group, "params") for group in groups):
            return "the param_groups are no list of dictionaries."
        sizes = [len(group["params"]) for group in groups]
        own_sizes = [len(group["params"]) for group in self.param_groups]
        if sizes != own_sizes:
            return f"the state has groups of {sizes} parameters, this optimizer of {own_sizes}."
        missing = {option for group in groups for option in self.defaults if option not in group}
        if missing:
            return f"the state is of another optimizer: it has no {', '.join(sorted(missing))}."
        try:
            for group in groups:
                self.check(dict(group))
        except ArgumentError as error:
            return f"the state has an option out of range: {error}"
        return None

    def _wrong_state(self, parameters: list[Tensor], states: Mapping[Any, State]) -> str | None:
        if not isinstance(states, Mapping):
            return "the state is no dictionary by parameter."
        for number, state in states.items():
            if not str(number).isdigit() or not isinstance(state, Mapping):
                return f"the state of {number!r} is none of a parameter."
            if not int(number) < len(parameters):
                return f"the state speaks of parameter {number}; there are {len(parameters)}."
            shape = parameters[int(number)].shape
            for name, value in state.items():
                if not (value is None or _is_number(value) or hasattr(value, "shape")):
                    return f"{name} of parameter {number} is {value!r}, no number or array."
                if np.shape(value) not in ((), shape):
                    return (
                        f"{name} of parameter {number} has shape {np.shape(value)}, the parameter "
                        f"{shape}."
                    )
        return None

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        groups = [
            ", ".join(f"{name}={value}" for name, value in group.items() if name != "params")
            for group in self.param_groups
        ]
        return f"{self._name}({'; '.join(groups)})"


def _is_number(value: Any) -> bool:
    """A Python or NumPy number, or an array or tensor of shape ()."""
    return isinstance(value, numbers.Real) or getattr(value, "shape", None) == ()


def holds(state_dict: Any, *keys: str) -> bool:
    """Whether this is a dictionary with at least these keys."""
    return isinstance(state_dict, Mapping) and state_dict.keys() >= set(keys)


def with_decay(p: Values, g: Values, weight_decay: float) -> Values:
    """The gradient of the loss plus weight_decay * |p|^2 / 2."""
    return g + weight_decay * p if weight_decay else g


def _copied(state: State) -> State:
    return {name: np.array(v) if isinstance(v, np.ndarray) else v for name, v in state.items()}
