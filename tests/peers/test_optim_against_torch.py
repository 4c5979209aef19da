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

NAMES = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam"]
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
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "eps": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.1, "betas": (0.8, 0.95), "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("RAdam", {"betas": (0.9, 0.5), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    *((name, {"maximize": True, "lr": 1e-2}) for name in NAMES),
]


def gradients_of(x: Any, y: Any, weight: Any, bias: Any) -> Any:
    """The loss of a step, written once for both: a nonlinear one, so that gradients vary."""
    return (((x @ weight.mT + bias).tanh() - y) ** 2).sum()


@pytest.fixture(autouse=True)
def double_numbers(torch: ModuleType) -> Any:
    """torch keeps some of an optimizer's numbers in its default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


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
    for name in NAMES:
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
    ("MultiplicativeLR", {"lr_lambda": lambda epoch: 1 - 0.5 / epoch}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.5, "total_iters": 3}),
    ("PolynomialLR", {}),
    ("PolynomialLR", {"total_iters": 7, "power": 2.5}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3}),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 2, "eta_min": 0.01}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 21}),
    ("OneCycleLR", {"max_lr": 0.5, "epochs": 7, "steps_per_epoch": 3, "three_phase": True}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 21, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 30, "pct_start": 0.4, "div_factor": 5}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 3}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 3, "step_size_down": 2}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 2, "mode": "triangular2"}),
    (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 1, "step_size_up": 2, "mode": "exp_range", "gamma": 0.9},
    ),
    (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 1, "step_size_up": 4, "scale_fn": lambda cycle: 1 / cycle},
    ),
]


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_schedules(torch: ModuleType, name: str, options: dict[str, Any]) -> None:
    a = optim.SGD([nn.Parameter([1.0])], lr=0.3)
    b = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    ours = getattr(lr_scheduler, name)(a, **options)
    theirs = getattr(torch.optim.lr_scheduler, name)(b, **options)
    for _ in range(STEPS):
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-12, atol=1e-15)
        assert a.param_groups[0]["momentum"] == pytest.approx(b.param_groups[0]["momentum"], 1e-12)
        b.step()
        ours.step()
        theirs.step()


@pytest.mark.parametrize("name", ["OneCycleLR", "CyclicLR"])
def test_betas_cycle(torch: ModuleType, name: str) -> None:
    options = (
        {"max_lr": 0.1, "total_steps": 21}
        if name == "OneCycleLR"
        else {"base_lr": 0.1, "max_lr": 0.2, "step_size_up": 3}
    )
    a = optim.Adam([nn.Parameter([1.0])])
    b = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
    ours = getattr(lr_scheduler, name)(a, **options)
    theirs = getattr(torch.optim.lr_scheduler, name)(b, **options)
    for _ in range(STEPS):
        assert a.param_groups[0]["betas"] == pytest.approx(b.param_groups[0]["betas"], 1e-12)
        b.step()
        ours.step()
        theirs.step()


def test_schedules_in_sequence(torch: ModuleType) -> None:
    rates = []
    for library, parameter in ((optim, nn.Parameter([1.0])), (torch.optim, None)):
        parameter = parameter or torch.nn.Parameter(torch.ones(1))
        o = library.SGD([parameter], lr=0.3)
        s = library.lr_scheduler
        each = [s.LinearLR(o, total_iters=3), s.CosineAnnealingLR(o, 8), s.ExponentialLR(o, 0.9)]
        schedule = s.SequentialLR(o, each, [4, 11])
        found = []
        for _ in range(STEPS):
            found.append(o.param_groups[0]["lr"])
            o.step()
            schedule.step()
        rates.append(found)
    np.testing.assert_allclose(*rates, rtol=1e-12, atol=1e-15)


PLATEAUS: list[dict[str, Any]] = [
    {"patience": 2},
    {"patience": 0, "factor": 0.5, "cooldown": 2, "min_lr": 0.01},
    {"mode": "max", "patience": 1, "threshold": 0.05},
    {"patience": 1, "threshold": 0.1, "threshold_mode": "abs"},
    {"mode": "max", "patience": 1, "threshold": 0.1, "threshold_mode": "abs"},
]


@pytest.mark.parametrize("options", PLATEAUS)
def test_plateaus(torch: ModuleType, options: dict[str, Any]) -> None:
    a = optim.SGD([nn.Parameter([1.0])], lr=0.3)
    b = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    ours = lr_scheduler.ReduceLROnPlateau(a, **options)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(b, **options)
    metrics = np.round(np.cumsum(np.random.default_rng(4).normal(size=60)), 1)
    for i, metric in enumerate(metrics):
        ours.step(tg.tensor(metric) if i % 2 else metric)
        theirs.step(metric)
        assert a.param_groups[0]["lr"] == pytest.approx(b.param_groups[0]["lr"], 1e-12)
    assert ours.best == theirs.best
    assert ours.num_bad_epochs == theirs.num_bad_epochs


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
