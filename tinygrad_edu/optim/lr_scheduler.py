"""Schedules: the learning rate as a function of how often `step` was called, usually the epoch.

Each schedule is a closed formula of the initial rate and the epoch, so that a run can be resumed by
setting the epoch, and rounding errors do not add up.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinygrad_edu.errors import ArgumentError, CheckpointError
from tinygrad_edu.graph.node import tracing
from tinygrad_edu.optim.optimizer import Optimizer


class LRScheduler(ABC):
    """Base class: a subclass defines `rate`.

    Making one sets the learning rates for epoch 0. The rate of each group when its first scheduler
    was made is kept in the group under "initial_lr".

    Attributes:
        last_epoch: How often `step` was called.
        base_lrs: The initial rate of each group.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = 0
        self._set()

    @abstractmethod
    def rate(self, group: int, base: float, epoch: int) -> float:
        """The rate of a group whose initial rate is `base`, at an epoch."""

    def step(self) -> None:
        """Go on to the next epoch: call it after the optimizer's steps."""
        now = tracing()
        if now is not None:  # Python's work, at every call of a compiled step
            now.effect(self.step)
            return
        self.last_epoch += 1
        self._set()

    def _set(self) -> None:
        groups = self.optimizer.param_groups
        for i, (group, base) in enumerate(zip(groups, self.base_lrs, strict=True)):
            group["lr"] = self.rate(i, base, self.last_epoch)

    def get_last_lr(self) -> list[float]:
        """The rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from there; the rates are set.

        Raises:
            CheckpointError: It is something else, or has another number of groups. Nothing has been
                changed then.
        """
        if not state_dict.keys() >= {"last_epoch", "base_lrs"}:
            raise CheckpointError(
                f"{type(self).__name__}: this is not the state of a schedule, which has the keys "
                "last_epoch and base_lrs."
            )
        if len(state_dict["base_lrs"]) != len(self.base_lrs):
            raise CheckpointError(
                f"{type(self).__name__}: the state has {len(state_dict['base_lrs'])} initial "
                f"rates, this optimizer {len(self.base_lrs)} groups."
            )
        self.last_epoch = state_dict["last_epoch"]
        self.base_lrs = list(state_dict["base_lrs"])
        self._set()


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
        if step_size < 1:
            raise ArgumentError(f"StepLR: step_size must be at least 1, got {step_size}.")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The stair at this epoch."""
        return float(base * self.gamma ** (epoch // self.step_size))


class MultiStepLR(LRScheduler):
    """The initial rate times gamma for each of the milestones (epochs) that are reached."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
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


class LambdaLR(LRScheduler):
    """The initial rate times lr_lambda(epoch); a list gives each group a function of its own.

    Raises:
        ArgumentError: A list whose length is not the number of groups.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ArgumentError(
                f"LambdaLR: {len(self.lr_lambdas)} functions for {groups} parameter groups."
            )
        super().__init__(optimizer)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The function's factor at this epoch."""
        return base * self.lr_lambdas[group](epoch)
