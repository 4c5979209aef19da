"""Adamax: Adam with the largest gradient of late in place of the root mean square."""

from __future__ import annotations

from tinygrad_edu.ops.table import Reader
from tinygrad_edu.optim.adam import Adaptive
from tinygrad_edu.optim.arithmetic import Arithmetic, Values
from tinygrad_edu.optim.optimizer import Group, Parameters, State, with_decay


class Adamax(Adaptive):
    """p - lr / (1 - b1^t) * m / u, with m = b1 m + (1 - b1) g and u = max(b2 u, |g| + eps), both
    from 0.

    Kingma and Ba 2014, algorithm 2; torch.optim.Adamax's numbers. `weight_decay` w adds w p to the
    gradient; with `maximize` steps go up.

    Raises:
        ArgumentError: A negative lr, eps or weight_decay, or betas outside [0, 1). Parameters: as
            `Optimizer`.
    """

    moments = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Parameters,
        lr: float = 2e-3,
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
        rate = group["lr"] / (1 - group["betas"][0] ** (state.get("step", 0) + 1))
        return self._adapting(_adapted, p, g, state, group, rate)


def _adapted(
    m: Reader,
    p: Values,
    g: Values,
    mean: Values,
    largest: Values,
    rate: Values,
    *,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> list[Values]:
    """The new value, mean and largest."""
    beta1, beta2 = betas
    g = with_decay(p, g, weight_decay)
    mean = beta1 * mean + (1 - beta1) * g
    largest = m.maximum(beta2 * largest, m.abs(g) + eps)
    return [p - rate * (mean / largest), mean, largest]
