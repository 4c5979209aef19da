"""Adadelta: steps as large as the steps before, so that no learning rate is needed."""

from __future__ import annotations

from tinygrad_edu.ops.table import Reader
from tinygrad_edu.optim.arithmetic import Arithmetic, Values
from tinygrad_edu.optim.optimizer import Group, Optimizer, Parameters, State, with_decay


class Adadelta(Optimizer):
    """p - lr * d, with d = sqrt(u + eps) / sqrt(v + eps) * g, where v and u are running means of
    g^2 and d^2: x = rho x + (1 - rho) (g^2 or d^2), from 0.

    Zeiler 2012, algorithm 1; torch.optim.Adadelta's numbers. `weight_decay` w adds w p to the
    gradient; with `maximize` steps go up.

    Raises:
        ArgumentError: A negative lr, eps or weight_decay, or rho outside [0, 1]. Parameters: as
            `Optimizer`.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, group: Group) -> None:
        """Refuse options out of range."""
        super().check(group)
        self._at_least_zero(group, "eps")
        if group["rho"] != 1:  # which never forgets
            self._share("rho", group["rho"])

    def begins(self, group: Group) -> State:
        """No steps, and both means 0."""
        return {"step": 0, "square_avg": 0.0, "acc_delta": 0.0}

    def arithmetic(self, p: Values, g: Values, state: State, group: Group) -> Arithmetic:
        """One step for one parameter."""
        values = (p, g, state.get("square_avg", 0.0), state.get("acc_delta", 0.0))
        options = {name: group[name] for name in ("rho", "eps", "weight_decay")}
        return Arithmetic(_adapted, values, (group["lr"],), options)

    def after(self, results: list[Values], state: State) -> tuple[Values, State]:
        """Both means are kept, and one more step is counted."""
        new, square, delta = results
        count = state.get("step", 0) + 1
        return new, {"step": count, "square_avg": square, "acc_delta": delta}


def _adapted(
    m: Reader,
    p: Values,
    g: Values,
    square: Values,
    moved: Values,
    lr: Values,
    *,
    rho: float,
    eps: float,
    weight_decay: float,
) -> list[Values]:
    """The new value and means."""
    g = with_decay(p, g, weight_decay)
    square = rho * square + (1 - rho) * (g * g)
    delta = m.sqrt(moved + eps) / m.sqrt(square + eps) * g
    return [p - lr * delta, square, rho * moved + (1 - rho) * (delta * delta)]
