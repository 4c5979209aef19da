"""A step that is compiled beside the same step without compiling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn

Step = Callable[..., Any]


def tolerance(dtype: Any) -> dict[str, float]:
    """The same sums in another order differ by a few roundings, which a dozen steps and a division
    by the gradient's own size (Adam near zero gradients) spread: a few hundred roundings."""
    few_hundred = 300 * float(np.finfo(dtype).eps)
    return {"rtol": few_hundred, "atol": few_hundred}


def values(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: t.numpy() for name, t in model.state_dict().items()}


def compare(make: Callable[[], tuple[nn.Module, Step]], calls: int = 4) -> None:
    """The step that `make` makes, run both ways: the same results, parameters and gradients."""
    found = []
    for compiled in (False, True):
        tg.manual_seed(0)
        model, step = make()
        run = tg.compile(step) if compiled else step
        tg.manual_seed(1)
        told = [run(tg.randn(4, 3), tg.randn(4, 1)) for _ in range(calls)]
        grads = [None if p.grad is None else p.grad.numpy() for p in model.parameters()]
        found.append(([np.asarray(t.detach()) for t in told], values(model), grads))
    (told, model_, grads), wanted = found[1], found[0]
    np.testing.assert_allclose(told, wanted[0], rtol=1e-5)
    for name, array in wanted[1].items():
        np.testing.assert_allclose(model_[name], array, rtol=1e-5, atol=1e-6)
    for now, then in zip(grads, wanted[2], strict=True):
        assert (now is None) == (then is None)
        if then is not None:
            np.testing.assert_allclose(now, then, rtol=1e-4, atol=1e-6)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
