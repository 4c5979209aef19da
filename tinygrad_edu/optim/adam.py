"""Adam and its relatives: steps measured in units of the gradient's own size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.ops.table import Reader
from tinygrad_edu.optim.arithmetic import Arithmetic, Values
from tinygrad_edu.optim.optimizer import Group, Optimizer, Parameters, State, with_decay


class Adaptive(Optimizer):
    """Base class of those that divide by the size of the gradient: `betas` and `eps`. A subclass's
    `arithmetic` makes the new value and then the new `moments`."""

    moments: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")
    """What is kept of a parameter's gradients, beside the count of steps."""
    decoupled: ClassVar[bool] = False
    """Whether `weight_decay` shrinks the value, whatever the option decoupled_weight_decay says."""

    def begins(self, group: Group) -> State:
        """No steps, and all moments 0."""
        return {"step": 0, **dict.fromkeys(self.moments, 0.0)}

    def after(self, results: list[Values], state: State) -> tuple[Values, State]:
        """The moments are kept, and one more step is counted."""
        new, *kept = results
        count = state.get("step", 0) + 1
        return new, {"step": count, **dict(zip(self.moments, kept, strict=True))}

    def check(self, group: Group) -> None:
        """Refuse options out of range."""
        super().check(group)
        self._at_least_zero(group, "eps")
        betas = group["betas"]
        if not isinstance(betas, Sequence) or len(betas) != 2:
            raise ArgumentError(f"{self._name}: betas are two numbers, not {betas!r}.")
        for beta in betas:
            self._share("betas", beta)

    def _adapting(
        self,
        formula: Callable[..., list[Values]],
        p: Values,
        g: Values,
        state: State,
        group: Group,
        *numbers: Values,
    ) -> Arithmetic:
        """The formula of value, gradient and moments, with these numbers, with `shrink` if the
        weight decay is decoupled, and with the options of all of this kind."""
        values = (p, g, *(state.get(name, 0.0) for name in self.moments))
        decay = group["weight_decay"]
        shrink: list[Values] = []
        if decay and (self.decoupled or group.get("decoupled_weight_decay")):
            decay, shrink = 0.0, [1 - group["lr"] * decay]
        options = {"betas": tuple(group["betas"]), "eps": group["eps"], "weight_decay": decay}
        return Arithmetic(formula, values, (*numbers, *shrink), options)


def decayed(
    p: Values, g: Values, weight_decay: float, shrink: Sequence[Values]
) -> tuple[Values, Values]:
    """Value and gradient with the weight decay: added to the gradient, or decoupled from it, and
    then the value is multiplied by the one number of `shrink`. (Loshchilov and Hutter 2017.)"""
    if shrink:
        p = p * shrink[0]
    return p, with_decay(p, g, weight_decay)


class Adam(Adaptive):
    """p - lr * m / (sqrt(v) + eps), where m and v are running means of g and g^2.

    m = b1 m + (1 - b1) g and v = b2 v + (1 - b2) g^2 start at 0 and are divided by 1 - b1^t and
    1 - b2^t after t steps, so that they are unbiased. Kingma and Ba 2014, algorithm 1;
    torch.optim.Adam's numbers. `weight_decay` w adds w p to the gradient, where the division by
    sqrt(v) undoes much of it: see `AdamW`. With `maximize` steps go up.

    Raises:
        ArgumentError: A negative lr, eps or weight_decay, or betas outside [0, 1). Parameters: as
            `Optimizer`.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def arithmetic(self, p: Values, g: Values, state: State, group: Group) -> Arithmetic:
        """One step for one parameter."""
        (beta1, beta2), t = group["betas"], state.get("step", 0) + 1
        numbers = (group["lr"] / (1 - beta1**t), (1 - beta2**t) ** 0.5)
        return self._adapting(_adapted, p, g, state, group, *numbers)


def _adapted(
    m: Reader,
    p: Values,
    g: Values,
    mean: Values,
    square: Values,
    rate: Values,
    root: Values,
    *shrink: Values,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> list[Values]:
    """The new value and moments. The `rate` is lr / (1 - b1^t) and `root` the square root of
    1 - b2^t; `shrink`: see `decayed`."""
    beta1, beta2 = betas
    p, g = decayed(p, g, weight_decay, shrink)
    mean = beta1 * mean + (1 - beta1) * g
    square = beta2 * square + (1 - beta2) * (g * g)
    size = m.sqrt(square) / root + eps
    return [p - rate * (mean / size), mean, square]


class AdamW(Adam):
    """Adam with decoupled weight decay: p shrinks by lr * weight_decay * p, whatever the size of
    its gradient. Loshchilov and Hutter 2017, algorithm 2; torch.optim.AdamW's numbers.

    Raises:
        ArgumentError: As `Adam`.
    """

    decoupled = True

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, maximize=maximize)
