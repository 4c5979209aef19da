"""NAdam: Adam that looks one step ahead, as Nesterov's momentum does."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinygrad_edu.ops.table import Reader
from tinygrad_edu.optim.adam import Adaptive, decayed
from tinygrad_edu.optim.arithmetic import Arithmetic, Values, number
from tinygrad_edu.optim.optimizer import Group, Parameters, State


class NAdam(Adaptive):
    """p - lr ((1 - mu_t) / (1 - M_t) g + mu_{t+1} / (1 - M_{t+1}) m) / (sqrt(v / (1 - b2^t)) + eps)
    with Adam's means m and v, mu_t = b1 (1 - 0.96^(t momentum_decay) / 2), M_t = mu_1 ... mu_t.

    Dozat 2016, algorithm 2; torch.optim.NAdam's numbers. `weight_decay` w adds w p to the gradient,
    or shrinks p by lr w p if `decoupled_weight_decay`; with `maximize` steps go up.

    Raises:
        ArgumentError: A negative lr, eps, weight_decay or momentum_decay, or betas outside [0, 1).
            Parameters: as `Optimizer`.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
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
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, group: Group) -> None:
        """Refuse options out of range."""
        super().check(group)
        self._at_least_zero(group, "momentum_decay")

    def arithmetic(self, p: Values, g: Values, state: State, group: Group) -> Arithmetic:
        """One step for one parameter."""
        (beta1, beta2), lr, t = group["betas"], group["lr"], state.get("step", 0) + 1
        law = (beta1, group["momentum_decay"])
        mu, next_mu = number(_momentum, t, *law), number(_momentum, t + 1, *law)
        product = number(_product, t, *law)
        rate = lr * (1 - mu) / (1 - product)
        ahead = lr * next_mu / (1 - product * next_mu)
        return self._adapting(_adapted, p, g, state, group, rate, ahead, 1 - beta2**t)


def _momentum(t: Any, beta1: float, decay: float) -> Any:
    """mu_t."""
    return beta1 * (1 - 0.5 * 0.96 ** (t * decay))


def _product(t: Any, beta1: float, decay: float) -> Any:
    """M_t, of one step or of many."""
    last = int(np.max(t))
    found = _products(1 << last.bit_length(), beta1, decay)[np.asarray(t, np.int64)]
    return found if np.ndim(t) else float(found)


@functools.lru_cache(maxsize=8)
def _products(count: int, beta1: float, decay: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """M_0 to M_count."""
    return np.cumprod([1.0, *_momentum(np.arange(1.0, count + 1), beta1, decay)])


def _adapted(
    m: Reader,
    p: Values,
    g: Values,
    mean: Values,
    square: Values,
    rate: Values,
    ahead: Values,
    unbiased: Values,
    *shrink: Values,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> list[Values]:
    """The new value and moments. `rate` and `ahead` are the factors of gradient and mean, and
    `unbiased` is 1 - b2^t; `shrink`: see `decayed`."""
    beta1, beta2 = betas
    p, g = decayed(p, g, weight_decay, shrink)
    mean = beta1 * mean + (1 - beta1) * g
    square = beta2 * square + (1 - beta2) * (g * g)
    size = m.sqrt(square / unbiased) + eps
    return [p - rate * (g / size) - ahead * (mean / size), mean, square]
