"""Gradient descent, with momentum."""

from __future__ import annotations

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.optim.optimizer import Group, Optimizer, Parameters, State, Values, with_decay


class SGD(Optimizer):
    """p - lr * g, where momentum replaces the gradient g by a running sum of gradients.

    With momentum m the sum is b = m b + (1 - dampening) g, starting from the first gradient;
    `nesterov` moves along g + m b instead of b (Sutskever et al. 2013). `weight_decay` w adds w p
    to the gradient. torch.optim.SGD's numbers.

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
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
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

    def rule(self, p: Values, g: Values, state: State, group: Group) -> tuple[Values, State]:
        """One step for one parameter."""
        g = with_decay(p, g, group)
        momentum = group["momentum"]
        if not momentum:
            return moved(p, g, group["lr"]), {}
        before = state.get("momentum_buffer")
        average = g if before is None else momentum * before
        if before is not None:
            average += g if group["dampening"] == 0 else (1 - group["dampening"]) * g
        direction = g + momentum * average if group["nesterov"] else average
        return moved(p, direction, group["lr"]), {"momentum_buffer": average}


def moved(p: Values, direction: Values, lr: float) -> Values:
    """p - lr * direction, with one new array."""
    step = -lr * direction
    step += p
    return step
