"""Optimizers, schedules and clipping give torch's numbers over 20 steps, in float64."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.optim import lr_scheduler

STEPS = 20
TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}
RNG = np.random.default_rng(0)
START = [RNG.normal(size=(3, 4)), RNG.normal(size=3)]
X, Y = RNG.normal(size=(STEPS, 8, 4)), RNG.normal(size=(STEPS, 8, 3))

OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.8, "momentum": 0.9, "centered": True}),
]


def gradients_of(x: Any, y: Any, weight: Any, bias: Any) -> Any:
    """The loss of a step, written once for both: a nonlinear one, so that gradients vary."""
    return (((x @ weight.mT + bias).tanh() - y) ** 2).sum()


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_twenty_steps(torch: ModuleType, name: str, options: dict[str, Any]) -> None:
    ours = [nn.Parameter(value) for value in START]
    theirs = [torch.nn.Parameter(torch.tensor(value)) for value in START]
    a = getattr(optim, name)(ours, **options)
    b = getattr(torch.optim, name)(theirs, **options)
    for x, y in zip(X, Y, strict=True):
        a.zero_grad()
        gradients_of(tg.tensor(x), tg.tensor(y), *ours).backward()
        a.step()
        b.zero_grad()
        gradients_of(torch.tensor(x), torch.tensor(y), *theirs).backward()
        b.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), **TOLERANCE)


def test_defaults_are_torchs(torch: ModuleType) -> None:
    for name in ("SGD", "Adam", "AdamW", "RMSprop"):
        ours = getattr(optim, name)([nn.Parameter([1.0])]).defaults
        theirs = getattr(torch.optim, name)([torch.nn.Parameter(torch.ones(1))]).defaults
        assert ours == {option: theirs[option] for option in ours}


SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    ("CosineAnnealingLR", {"T_max": 20}),
    ("LinearLR", {"start_factor": 0.25, "end_factor": 0.5, "total_iters": 6}),
    ("LinearLR", {}),
    ("StepLR", {"step_size": 3, "gamma": 0.3}),
    ("MultiStepLR", {"milestones": [2, 5, 5], "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.9**epoch}),
]


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_schedules(torch: ModuleType, name: str, options: dict[str, Any]) -> None:
    a = optim.SGD([nn.Parameter([1.0])], lr=0.3)
    b = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    ours = getattr(lr_scheduler, name)(a, **options)
    theirs = getattr(torch.optim.lr_scheduler, name)(b, **options)
    for _ in range(STEPS):
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-12, atol=1e-15)
        b.step()
        ours.step()
        theirs.step()


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping(torch: ModuleType, max_norm: float, norm_type: float) -> None:
    ours = [nn.Parameter(value) for value in START]
    theirs = [torch.nn.Parameter(torch.tensor(value)) for value in START]
    for p, q in zip(ours, theirs, strict=True):
        p.grad, q.grad = tg.tensor(3 * p.detach().numpy()), 3 * q.detach()
    total = optim.clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    np.testing.assert_allclose(total.item(), expected.item(), **TOLERANCE)
    for p, q in zip(ours, theirs, strict=True):
        assert p.grad is not None
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), **TOLERANCE)
