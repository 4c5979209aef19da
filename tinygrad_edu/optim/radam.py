"""RAdam: Adam that waits until it knows the size of the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.ops.table import Reader
from tinygrad_edu.optim.adam import Adaptive, decayed
from tinygrad_edu.optim.arithmetic import Arithmetic, Values, number
from tinygrad_edu.optim.optimizer import Group, Parameters, State

TRACTABLE = 5.0
"""From how many steps in the average of squares on its variance counts as known. It is finite above
4; torch and the authors' code wait until 5."""


class RAdam(Adaptive):
    """Adam whose first steps are not divided by the size of the gradient, and the following ones
    are reduced, as the variance of that size asks for.

    With Adam's means m and v, c = sqrt(1 - b2^t), r_inf = 2 / (1 - b2) - 1 and
    r = r_inf - 2 t b2^t / (1 - b2^t), the step is lr / (1 - b1^t) m while r <= 5, and then this
    times c / (sqrt(v) + eps) sqrt((r - 4) (r - 2) r_inf / ((r_inf - 4) (r_inf - 2) r)).
    Liu et al. 2019, algorithm 2; torch.optim.RAdam's numbers. `weight_decay` w adds w p to the
    gradient, or shrinks p by lr w p if `decoupled_weight_decay`; with `maximize` steps go up.

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
        decoupled_weight_decay: bool = False,
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
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def arithmetic(self, p: Values, g: Values, state: State, group: Group) -> Arithmetic:
        """One step for one parameter."""
        (beta1, beta2), t = group["betas"], state.get("step", 0) + 1
        rate = group["lr"] / (1 - beta1**t)
        divided, plain = (rate * number(part, t, beta2) for part in (_rectified, _plain))
        return self._adapting(_adapted, p, g, state, group, divided, plain)


def _length(t: Any, beta2: float) -> tuple[Any, float]:
    """How many steps are in the average of squares now, and in the end."""
    longest = 2 / (1 - beta2) - 1
    return longest - 2 * t * beta2**t / (1 - beta2**t), longest


def _rectified(t: Any, beta2: float) -> Any:
    """The factor of the step that is divided by sqrt(v), biased; 0 while there is none."""
    length, longest = _length(t, beta2)
    known = length > TRACTABLE
    n = np.where(known, length, longest)
    share = (n - 4) * (n - 2) * longest / ((longest - 4) * (longest - 2) * n)
    factor = np.where(known, np.sqrt(np.maximum(share, 0) * (1 - beta2**t)), 0.0)
    return factor if np.ndim(t) else float(factor)


def _plain(t: Any, beta2: float) -> Any:
    """The factor of the step that is not divided: 1 at first, then 0."""
    early = np.where(_length(t, beta2)[0] > TRACTABLE, 0.0, 1.0)
    return early if np.ndim(t) else float(early)


def _adapted(
    m: Reader,
    p: Values,
    g: Values,
    mean: Values,
    square: Values,
    divided: Values,
    plain: Values,
    *shrink: Values,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> list[Values]:
    """The new value and moments. `divided` and `plain` are the factors of the mean with and without
    a division by its size; `shrink`: see `decayed`."""
    beta1, beta2 = betas
    p, g = decayed(p, g, weight_decay, shrink)
    mean = beta1 * mean + (1 - beta1) * g
    square = beta2 * square + (1 - beta2) * (g * g)
    return [p - mean * (divided / (m.sqrt(square) + eps) + plain), mean, square]
