"""Schedules: the learning rate as a function of how often `step` was called, usually the epoch.

Those of one formula are here; `cycles.py`, `sequence.py` and `plateau.py` hold the others.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.optim.cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from tinygrad_edu.optim.optimizer import Optimizer
from tinygrad_edu.optim.plateau import ReduceLROnPlateau
from tinygrad_edu.optim.schedule import LRScheduler, is_whole
from tinygrad_edu.optim.sequence import SequentialLR

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


class CosineAnnealingLR(LRScheduler):
    """From the initial rate to eta_min over T_max epochs, along half a cosine:
    eta_min + (initial - eta_min) (1 + cos(pi epoch / T_max)) / 2. After T_max it rises again.
    Loshchilov and Hutter 2016, eq. 5.

    Raises:
        ArgumentError: T_max < 1.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        if T_max < 1:
            raise ArgumentError(f"CosineAnnealingLR: T_max must be at least 1, got {T_max}.")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The cosine at this epoch."""
        share = (1 + math.cos(math.pi * epoch / self.T_max)) / 2
        return self.eta_min + (base - self.eta_min) * share


class LinearLR(LRScheduler):
    """The initial rate times a factor that goes from start_factor to end_factor in total_iters
    equal steps and stays there: a warm-up, by default from a third.

    Raises:
        ArgumentError: total_iters < 1, or a factor that is not above 0 (start) or is below 0 (end).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        if total_iters < 1 or not start_factor > 0 or not end_factor >= 0:
            raise ArgumentError(
                "LinearLR: needs total_iters >= 1, start_factor > 0 and end_factor >= 0, got "
                f"{total_iters}, {start_factor} and {end_factor}."
            )
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The point on the line at this epoch."""
        done = min(epoch / self.total_iters, 1)
        return base * (self.start_factor + (self.end_factor - self.start_factor) * done)


class StepLR(LRScheduler):
    """The initial rate times gamma ** (epoch // step_size): a fall every step_size epochs.

    Raises:
        ArgumentError: step_size < 1.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if not is_whole(step_size) or step_size < 1:
            raise ArgumentError(f"StepLR: step_size must be an integer >= 1, got {step_size!r}.")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The stair at this epoch."""
        return float(base * self.gamma ** (epoch // self.step_size))


class MultiStepLR(LRScheduler):
    """The initial rate times gamma for each of the milestones (epochs) that are reached."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        if not isinstance(milestones, Sequence):
            raise ArgumentError(f"MultiStepLR: milestones are a list, got {milestones!r}.")
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The stair at this epoch."""
        return float(base * self.gamma ** bisect_right(self.milestones, epoch))


class ExponentialLR(LRScheduler):
    """The initial rate times gamma ** epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The power at this epoch."""
        return float(base * self.gamma**epoch)


class ConstantLR(LRScheduler):
    """The initial rate times `factor` for total_iters epochs, and the initial rate from then on.

    Raises:
        ArgumentError: A factor outside [0, 1], or total_iters < 0.
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        if not 0 <= factor <= 1 or total_iters < 0:
            raise ArgumentError(
                f"ConstantLR: needs a factor in [0, 1] and total_iters >= 0, got {factor} and "
                f"{total_iters}."
            )
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The lower rate, or the initial one."""
        return base * self.factor if epoch < self.total_iters else base


class PolynomialLR(LRScheduler):
    """The initial rate times (1 - epoch / total_iters) ** power, which is 0 from total_iters on.

    Raises:
        ArgumentError: total_iters < 1.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        if total_iters < 1:
            raise ArgumentError(f"PolynomialLR: needs total_iters >= 1, got {total_iters}.")
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The power at this epoch."""
        left = 1 - min(epoch, self.total_iters) / self.total_iters
        return float(base * left**self.power)


class _OfFunctions(LRScheduler):
    """A function of the epoch for each group.

    Raises:
        ArgumentError: A list whose length is not the number of groups.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        if not callable(lr_lambda) and not isinstance(lr_lambda, Sequence):
            raise ArgumentError(
                f"{type(self).__name__}: lr_lambda is a function, got {lr_lambda!r}."
            )
        groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ArgumentError(
                f"{type(self).__name__}: {len(self.lr_lambdas)} functions for {groups} parameter "
                "groups."
            )
        super().__init__(optimizer)


class LambdaLR(_OfFunctions):
    """The initial rate times lr_lambda(epoch); a list gives each group a function of its own.

    Raises:
        ArgumentError: A list whose length is not the number of groups.
    """

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The function's factor at this epoch."""
        return base * self.lr_lambdas[group](epoch)


class MultiplicativeLR(_OfFunctions):
    """The initial rate times lr_lambda(1) lr_lambda(2) ... lr_lambda(epoch); a list gives each
    group a function of its own.

    Raises:
        ArgumentError: A list whose length is not the number of groups.
    """

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The product at this epoch."""
        factors = self._factors.setdefault(group, [])
        factors += [self.lr_lambdas[group](n) for n in range(len(factors) + 1, epoch + 1)]
        return math.prod(factors[:epoch], start=base)

    @functools.cached_property
    def _factors(self) -> dict[int, list[float]]:
        """The factors so far, by group."""
        return {}
