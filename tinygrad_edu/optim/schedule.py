"""What all schedules share: initial rates, the epoch, and how a run is resumed.

Each schedule is a closed formula of the initial rate and the epoch, so that a run can be resumed by
setting the epoch, and rounding errors do not add up.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from tinygrad_edu.errors import ArgumentError, CheckpointError
from tinygrad_edu.graph.node import tracing
from tinygrad_edu.optim.optimizer import Optimizer, holds


class LRScheduler(ABC):
    """Base class: a subclass defines `rate` (or `options`, if it sets more than that).

    Making one sets the learning rates for epoch 0. The rate of each group when its first scheduler
    was made is kept in the group under "initial_lr".

    Attributes:
        last_epoch: How often `step` was called.
        base_lrs: The initial rate of each group.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(
                f"{type(self).__name__}: schedules the rate of an optimizer, not of "
                f"{type(optimizer).__name__}."
            )
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = 0
        self._set()

    @abstractmethod
    def rate(self, group: int, base: float, epoch: int) -> float:
        """The rate of a group whose initial rate is `base`, at an epoch."""

    def options(self, group: int, epoch: int) -> dict[str, Any]:
        """What a group has at an epoch: the rate, and in some schedules the momentum."""
        return {"lr": self.rate(group, self.base_lrs[group], epoch)}

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
        if len(groups) != len(self.base_lrs):
            raise ArgumentError(
                f"{type(self).__name__}: was made for {len(self.base_lrs)} parameter groups, and "
                f"there are {len(groups)} now; make the schedule after add_param_group."
            )
        try:
            options = [self.options(i, self.last_epoch) for i in range(len(groups))]
        except TypeError as error:
            raise ArgumentError(
                f"{type(self).__name__}: its arguments make no learning rate: {error}."
            ) from None
        for group, changed in zip(groups, options, strict=True):
            group.update(changed)

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
        if not holds(state_dict, "last_epoch", "base_lrs"):
            raise CheckpointError(
                f"{type(self).__name__}: this is not the state of a schedule, which has the keys "
                "last_epoch and base_lrs."
            )
        rates, epoch = state_dict["base_lrs"], state_dict["last_epoch"]
        if (
            not is_whole(epoch)
            or not isinstance(rates, Sequence)
            or not all(isinstance(rate, numbers.Real) for rate in rates)
        ):
            raise CheckpointError(
                f"{type(self).__name__}: last_epoch is an integer and base_lrs a list of numbers, "
                f"not {epoch!r} and {rates!r}."
            )
        if len(rates) != len(self.base_lrs):
            raise CheckpointError(
                f"{type(self).__name__}: the state has {len(rates)} initial rates, this optimizer "
                f"{len(self.base_lrs)} groups."
            )
        self.last_epoch = int(epoch)
        self.base_lrs = list(rates)
        self._set()


def is_whole(number: Any) -> bool:
    """Whether it is an integer, Python's or NumPy's."""
    return isinstance(number, numbers.Integral)
