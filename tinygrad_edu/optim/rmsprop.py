"""RMSprop: gradient descent in units of the gradient's own size."""

from __future__ import annotations

import numpy as np

from tinygrad_edu.optim.arithmetic import Values
from tinygrad_edu.optim.optimizer import Group, Optimizer, Parameters, State, with_decay


class RMSprop(Optimizer):
    """p - lr * g / (sqrt(v) + eps), with v = alpha v + (1 - alpha) g^2 a running mean from 0.

    Tieleman and Hinton 2012, lecture 6.5; torch.optim.RMSprop's numbers. `centered` divides by the
    standard deviation, sqrt(v - m^2) with m the running mean of g (Graves 2013); `momentum` adds up
    the steps; `weight_decay` w adds w p to the gradient; with `maximize` steps go up.

    Raises:
        ArgumentError: A negative lr, eps, momentum or weight_decay, or alpha outside [0, 1).
            Parameters: as `Optimizer`.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
            },
        )

    def check(self, group: Group) -> None:
        """Refuse options out of range."""
        super().check(group)
        self._at_least_zero(group, "eps", "momentum")
        self._share("alpha", group["alpha"])

    def begins(self, group: Group) -> State:
        """Means and sum of 0."""
        names = ["square_avg"]
        names += ["grad_avg"] if group["centered"] else []
        names += ["momentum_buffer"] if group["momentum"] else []
        return dict.fromkeys(names, 0.0)

    def rule(self, p: Values, g: Values, state: State, group: Group) -> tuple[Values, State]:
        """One step for one parameter."""
        g = with_decay(p, g, group["weight_decay"])
        alpha = group["alpha"]
        new = {"square_avg": alpha * state.get("square_avg", 0.0) + (1 - alpha) * (g * g)}
        variance = new["square_avg"]
        if group["centered"]:
            new["grad_avg"] = alpha * state.get("grad_avg", 0.0) + (1 - alpha) * g
            variance = variance - new["grad_avg"] * new["grad_avg"]
        step = g / (np.sqrt(variance) + group["eps"])
        if group["momentum"]:
            step = group["momentum"] * state.get("momentum_buffer", 0.0) + step
            new["momentum_buffer"] = step
        return p - group["lr"] * step, new
