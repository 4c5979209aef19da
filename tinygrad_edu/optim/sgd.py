"""Gradient descent, with momentum."""

from __future__ import annotations

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.ops.table import Reader
from tinygrad_edu.optim.arithmetic import Arithmetic, Values
from tinygrad_edu.optim.optimizer import Group, Optimizer, Parameters, State, with_decay


class SGD(Optimizer):
    """p - lr * g, where momentum replaces the gradient g by a running sum of gradients.

    With momentum m the sum is b = m b + (1 - dampening) g, starting from the first gradient;
    `nesterov` moves along g + m b instead of b (Sutskever et al. 2013). `weight_decay` w adds w p
    to the gradient; with `maximize` steps go up. torch.optim.SGD's numbers.

    Raises:
        ArgumentError: A negative lr, momentum or weight_decay, or nesterov without momentum or with
            dampening. Parameters: as `Optimizer`.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check(self, group: Group) -> None:
        """Refuse options out of range."""
        super().check(group)
        self._at_least_zero(group, "momentum")
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ArgumentError(
                f"SGD: nesterov needs momentum > 0 and dampening 0, got {group['momentum']} and "
                f"{group['dampening']}."
            )

    def begins(self, group: Group) -> State:
        """A sum of 0, unless dampening would then reduce the first gradient."""
        return {"momentum_buffer": 0.0} if group["momentum"] and not group["dampening"] else {}

    def arithmetic(self, p: Values, g: Values, state: State, group: Group) -> Arithmetic:
        """One step for one parameter."""
        values = [p, g]
        if group["momentum"] and "momentum_buffer" in state:
            values.append(state["momentum_buffer"])
        options = {
            "momentum": group["momentum"],
            "dampening": group["dampening"],
            "weight_decay": group["weight_decay"],
            "nesterov": group["nesterov"],
        }
        return Arithmetic(_descended, values, (group["lr"],), options)

    def after(self, results: list[Values], state: State) -> tuple[Values, State]:
        """The sum of gradients is kept, if there is one."""
        new, *average = results
        return new, {"momentum_buffer": average[0]} if average else {}


def _descended(
    m: Reader,
    p: Values,
    g: Values,
    *others: Values,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> list[Values]:
    """The new value and, with momentum, the new sum. The `others` are the sum, if there is one, and
    the learning rate."""
    *before, lr = others
    g = with_decay(p, g, weight_decay)
    if not momentum:
        return [moved(p, g, lr)]
    average = g
    if before:
        average = momentum * before[0]
        average += g if dampening == 0 else (1 - dampening) * g
    direction = g + momentum * average if nesterov else average
    return [moved(p, direction, lr), average]


def moved(p: Values, direction: Values, lr: Values) -> Values:
    """p - lr * direction, with one new array."""
    step = -lr * direction
    step += p
    return step
