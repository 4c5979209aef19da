"""Three reductions, and no other."""

from __future__ import annotations

import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.nn.reduction import check_reduction, reduce


def test_reduce() -> None:
    losses = tg.tensor([1.0, 2.0, 6.0])
    assert reduce(losses, "mean").item() == 3
    assert reduce(losses, "sum").item() == 9
    assert reduce(losses, "none") is losses


def test_other_names_are_refused() -> None:
    for name in ("mean", "sum", "none"):
        check_reduction("loss", name)
    with pytest.raises(ArgumentError, match="loss: reduction is 'mean', 'sum', 'none', not None"):
        check_reduction("loss", None)  # type: ignore[arg-type]
