"""Schedules one after another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.optim.optimizer import Optimizer
from tinygrad_edu.optim.schedule import LRScheduler


class SequentialLR(LRScheduler):
    """The first schedule up to the first milestone (an epoch), then the second, and so on; each
    counts its epochs from the milestone where it begins. A warm-up before a decay, say.

    Raises:
        ArgumentError: Milestones that do not grow, or of which there are not one fewer than
            schedules, or a schedule of another optimizer.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]
    ) -> None:
        self.schedulers = list(schedulers)
        self.milestones = list(milestones)
        if len(self.schedulers) != len(self.milestones) + 1:
            raise ArgumentError(
                f"SequentialLR: {len(self.schedulers)} schedules need one milestone fewer, not "
                f"{len(self.milestones)}."
            )
        if sorted(set(self.milestones)) != self.milestones:
            raise ArgumentError(f"SequentialLR: milestones must grow, got {self.milestones}.")
        for each in self.schedulers:
            if not isinstance(each, LRScheduler) or each.optimizer is not optimizer:
                raise ArgumentError("SequentialLR: a schedule is not one of this optimizer.")
        super().__init__(optimizer)

    def options(self, group: int, epoch: int) -> dict[str, Any]:
        """Those of the schedule whose turn it is."""
        turn = bisect_right(self.milestones, epoch)
        begun = self.milestones[turn - 1] if turn else 0
        return self.schedulers[turn].options(group, epoch - begun)

    def rate(self, group: int, base: float, epoch: int) -> float:
        """The rate of the schedule whose turn it is."""
        return float(self.options(group, epoch)["lr"])
