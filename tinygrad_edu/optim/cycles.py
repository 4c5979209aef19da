"""Schedules that go up and down: once or again and again, the momentum the other way round."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.optim.optimizer import Optimizer
from tinygrad_edu.optim.schedule import LRScheduler

Rates = float | Sequence[float]
"""One number for every group, or one for each."""


class CosineAnnealingWarmRestarts(LRScheduler):
    """From the initial rate to eta_min along half a cosine, and again from the initial rate: first
    in T_0 epochs, then each time in T_mult times as many. Loshchilov and Hutter 2016, eq. 5.

    Raises:
        ArgumentError: T_0 or T_mult below 1.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0
    ) -> None:
        if T_0 < 1 or T_mult < 1:
            raise ArgumentError(
                f"CosineAnnealingWarmRestarts: needs T_0 and T_mult >= 1, got {T_0} and {T_mult}."
            )
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        super().__init__(optimizer)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The cosine at this epoch."""
        length, since = self.T_0, epoch
        if self.T_mult == 1:
            since %= length
        while since >= length:
            since -= length
            length *= self.T_mult
        return self.eta_min + (base - self.eta_min) * _fall(since / length)


def _fall(share: float) -> float:
    """Half a cosine, from 1 to 0."""
    return (1 + math.cos(math.pi * share)) / 2


class _Cycle(LRScheduler):
    """A schedule that also moves the momentum (of Adam and its relatives: the first of the betas)
    of each group, from its highest value, where the rate is lowest, to its lowest."""

    def __init__(
        self, optimizer: Optimizer, cycle_momentum: bool, base_momentum: Rates, max_momentum: Rates
    ) -> None:
        self.cycle_momentum = cycle_momentum
        if cycle_momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ArgumentError(
                f"{type(self).__name__}: {type(optimizer).__name__} has no momentum; pass "
                "cycle_momentum=False."
            )
        self.base_momentums = _for_groups(self, optimizer, "base_momentum", base_momentum)
        self.max_momentums = _for_groups(self, optimizer, "max_momentum", max_momentum)
        super().__init__(optimizer)

    def momentum(self, group: int, epoch: int) -> float:
        """The momentum of a group at an epoch."""
        raise NotImplementedError

    def options(self, group: int, epoch: int) -> dict[str, Any]:
        """The rate and, if it cycles, the momentum."""
        found = super().options(group, epoch)
        if not self.cycle_momentum:
            return found
        momentum = self.momentum(group, epoch)
        if "betas" in self.optimizer.defaults:
            _, *others = self.optimizer.param_groups[group]["betas"]
            return {**found, "betas": (momentum, *others)}
        return {**found, "momentum": momentum}


def _for_groups(schedule: Any, optimizer: Optimizer, name: str, given: Rates) -> list[float]:
    groups = len(optimizer.param_groups)
    found = list(given) if isinstance(given, Sequence) else [given] * groups
    if len(found) != groups:
        raise ArgumentError(
            f"{type(schedule).__name__}: {name} has {len(found)} values for {groups} groups."
        )
    return found


class CyclicLR(_Cycle):
    """Up from base_lr to max_lr in step_size_up steps and down again in step_size_down, over and
    over; `step` is called after every batch. Smith 2015.

    The height of a cycle is all of max_lr - base_lr ("triangular"), half as much each time
    ("triangular2"), or shrinks by gamma at every step ("exp_range"); or it is scale_fn of the
    number of the cycle (from 1), or with scale_mode "iterations" of the step.

    In a compiled step a momentum is what the program is made for; there, pass cycle_momentum=False.

    Raises:
        ArgumentError: Another mode or scale_mode, a step_size below 1, values in another number
            than the groups, or cycle_momentum of an optimizer without one.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: Rates,
        max_lr: Rates,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[int], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: Rates = 0.8,
        max_momentum: Rates = 0.9,
    ) -> None:
        heights: dict[str, tuple[Callable[[int], float], str]] = {
            "triangular": (lambda cycle: 1.0, "cycle"),
            "triangular2": (lambda cycle: 0.5 ** (cycle - 1), "cycle"),
            "exp_range": (lambda step: gamma**step, "iterations"),
        }
        if scale_fn is None and mode not in heights:
            raise ArgumentError(f"CyclicLR: mode is {', '.join(heights)}, not {mode!r}.")
        self.height, self.counts = heights[mode] if scale_fn is None else (scale_fn, scale_mode)
        if self.counts not in ("cycle", "iterations"):
            raise ArgumentError(
                f"CyclicLR: scale_mode is 'cycle' or 'iterations', not {scale_mode!r}."
            )
        self.up = step_size_up
        self.down = step_size_up if step_size_down is None else step_size_down
        if min(self.up, self.down) < 1:
            raise ArgumentError("CyclicLR: a cycle goes up and down by at least one step each.")
        self.max_lrs = _for_groups(self, optimizer, "max_lr", max_lr)
        lowest = _for_groups(self, optimizer, "base_lr", base_lr)
        for group, rate in zip(optimizer.param_groups, lowest, strict=True):
            group["initial_lr"] = rate
        super().__init__(optimizer, cycle_momentum, base_momentum, max_momentum)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The point of the cycle at this step."""
        return base + (self.max_lrs[group] - base) * self._share(epoch)

    def momentum(self, group: int, epoch: int) -> float:
        """The opposite point."""
        highest = self.max_momentums[group]
        return highest - (highest - self.base_momentums[group]) * self._share(epoch)

    def _share(self, epoch: int) -> float:
        cycle, since = divmod(epoch, self.up + self.down)
        share = since / self.up if since <= self.up else 1 - (since - self.up) / self.down
        return share * self.height(cycle + 1 if self.counts == "cycle" else epoch)


class OneCycleLR(_Cycle):
    """One cycle for a whole training run: up from max_lr / div_factor to max_lr in the first
    pct_start of the steps, and down to the initial rate / final_div_factor in the others; with
    three_phase down to the initial rate first, in as many steps as up. `step` is called after every
    batch. Smith and Topin 2017.

    In a compiled step a momentum is what the program is made for; there, pass cycle_momentum=False.

    Args:
        optimizer: Whose rates are set.
        max_lr: The highest rate, or one for each group.
        total_steps: The number of steps; or give the two that follow.
        epochs: The number of epochs.
        steps_per_epoch: The steps in each.
        pct_start: The share of the steps that go up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: Whether the momentum goes the other way.
        base_momentum: Its lowest value.
        max_momentum: Its highest value.
        div_factor: How many times lower the rate is at the start.
        final_div_factor: How many times lower still at the end.
        three_phase: See above.

    Raises:
        ArgumentError: No number of steps, pct_start outside [0, 1], another strategy, values in
            another number than the groups, or cycle_momentum of an optimizer without one. Called:
            more steps than there are.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Rates,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Rates = 0.85,
        max_momentum: Rates = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        if total_steps is None:
            total_steps = (epochs or 0) * (steps_per_epoch or 0)
        if total_steps < 1:
            raise ArgumentError("OneCycleLR: give total_steps, or epochs and steps_per_epoch.")
        if not 0 <= pct_start <= 1 or anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                "OneCycleLR: pct_start lies in [0, 1] and anneal_strategy is 'cos' or 'linear', "
                f"got {pct_start} and {anneal_strategy!r}."
            )
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        self.final_div_factor = final_div_factor
        self.three_phase = three_phase
        turn = pct_start * total_steps
        self.ends = [turn - 1, 2 * turn - 2] if three_phase else [turn - 1]
        self.ends.append(total_steps - 1)
        self.max_lrs = _for_groups(self, optimizer, "max_lr", max_lr)
        for group, rate in zip(optimizer.param_groups, self.max_lrs, strict=True):
            group["initial_lr"] = rate / div_factor
        super().__init__(optimizer, cycle_momentum, base_momentum, max_momentum)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The point of the cycle at this step."""
        highest, final = self.max_lrs[group], base / self.final_div_factor
        middle = [base] if self.three_phase else []
        return self._along(epoch, [base, highest, *middle, final])

    def momentum(self, group: int, epoch: int) -> float:
        """The opposite point."""
        lowest, highest = self.base_momentums[group], self.max_momentums[group]
        last = [highest] if self.three_phase else []
        return self._along(epoch, [highest, lowest, highest, *last])

    def _along(self, epoch: int, corners: Sequence[float]) -> float:
        """From corner to corner, each reached where its phase ends."""
        if epoch >= self.total_steps + 1:
            raise ArgumentError(
                f"OneCycleLR: step {epoch} of {self.total_steps}; a cycle has no more steps."
            )
        phase = next((i for i, end in enumerate(self.ends) if epoch <= end), len(self.ends) - 1)
        begun = self.ends[phase - 1] if phase else 0
        share = (epoch - begun) / (self.ends[phase] - begun)
        start, end = corners[phase : phase + 2]
        if self.anneal_strategy == "linear":
            return start + (end - start) * share
        return end + (start - end) * _fall(share)
