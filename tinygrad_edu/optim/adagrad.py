"""Adagrad: each number's steps shrink with all the gradients it has seen."""

from __future__ import annotations

from tinygrad_edu.ops.table import Reader
from tinygrad_edu.optim.arithmetic import Arithmetic, Values
from tinygrad_edu.optim.optimizer import Group, Optimizer, Parameters, State, with_decay


class Adagrad(Optimizer):
    """p - lr_t * g / (sqrt(s) + eps), with s the sum of all g^2, from initial_accumulator_value on,
    and lr_t = lr / (1 + (t - 1) lr_decay) at step t.

    Duchi, Hazan and Singer 2011; torch.optim.Adagrad's numbers. `weight_decay` w adds w p to the
    gradient; with `maximize` steps go up.

    Raises:
        ArgumentError: A negative lr, lr_decay, weight_decay, initial_accumulator_value or eps.
            Parameters: as `Optimizer`.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )

    def check(self, group: Group) -> None:
        """Refuse options out of range."""
        super().check(group)
        self._at_least_zero(group, "lr_decay", "initial_accumulator_value", "eps")

    def begins(self, group: Group) -> State:
        """No steps, and the sum to start from."""
        return {"step": 0, "sum": float(group["initial_accumulator_value"])}

    def arithmetic(self, p: Values, g: Values, state: State, group: Group) -> Arithmetic:
        """One step for one parameter."""
        state = {**self.begins(group), **state}
        rate = group["lr"] / (1 + state["step"] * group["lr_decay"])
        options = {"eps": group["eps"], "weight_decay": group["weight_decay"]}
        return Arithmetic(_adapted, (p, g, state["sum"]), (rate,), options)

    def after(self, results: list[Values], state: State) -> tuple[Values, State]:
        """The sum is kept, and one more step is counted."""
        new, total = results
        return new, {"step": state.get("step", 0) + 1, "sum": total}


def _adapted(
    m: Reader, p: Values, g: Values, total: Values, rate: Values, *, eps: float, weight_decay: float
) -> list[Values]:
    """The new value and sum."""
    g = with_decay(p, g, weight_decay)
    total = total + g * g
    return [p - rate * (g / (m.sqrt(total) + eps)), total]
