"""A schedule that looks at how training goes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tinygrad_edu.errors import ArgumentError, CheckpointError
from tinygrad_edu.optim.optimizer import Optimizer


class ReduceLROnPlateau:
    """The rate times `factor` whenever a metric has not improved for more than `patience` epochs.

    `step(metric)` goes on to the next epoch; it looks at the metric's value, so it stands outside
    of a compiled step.

    Args:
        optimizer: Whose rates are reduced.
        mode: "min" if the metric should become small, "max" if large.
        factor: Below 1.
        patience: How many epochs without improvement change nothing.
        threshold: What counts as an improvement: a share of the best value, or a difference.
        threshold_mode: "rel" for a share, "abs" for a difference.
        cooldown: How many epochs after a reduction do not count.
        min_lr: The least rate, or one for each group.
        eps: A reduction by no more than this is left out.

    Attributes:
        best: The best value so far.
        num_bad_epochs: How many epochs in a row have brought none better.
        cooldown_counter: How many epochs are still left out.
        last_epoch: How often `step` was called.

    Raises:
        ArgumentError: factor >= 1, another mode, or rates in another number than the groups.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1:
            raise ArgumentError(f"ReduceLROnPlateau: factor must be below 1, got {factor}.")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                "ReduceLROnPlateau: mode is 'min' or 'max' and threshold_mode 'rel' or 'abs', not "
                f"{mode!r} and {threshold_mode!r}."
            )
        groups = len(optimizer.param_groups)
        self.min_lrs = list(min_lr) if isinstance(min_lr, Sequence) else [min_lr] * groups
        if len(self.min_lrs) != groups:
            raise ArgumentError(f"ReduceLROnPlateau: {len(self.min_lrs)} rates, {groups} groups.")
        self.optimizer = optimizer
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.last_epoch = 0

    def step(self, metrics: Any) -> None:
        """Go on to the next epoch with the metric's value in this one."""
        value = float(metrics)
        self.last_epoch += 1
        if self._is_better(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * value < sign * self.best * (1 - sign * self.threshold)
        return sign * value < sign * self.best - self.threshold

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            rate = max(group["lr"] * self.factor, least)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate

    def get_last_lr(self) -> list[float]:
        """The rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is; the rates are the optimizer's."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from there.

        Raises:
            CheckpointError: It is something else. Nothing has been changed then.
        """
        missing = [name for name in _STATE if name not in state_dict]
        if missing:
            raise CheckpointError(
                f"ReduceLROnPlateau: this is not its state: it has no {', '.join(missing)}."
            )
        for name in _STATE:
            setattr(self, name, state_dict[name])


_STATE = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
