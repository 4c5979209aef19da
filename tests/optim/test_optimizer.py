"""What all optimizers share: groups, checks, a step that is whole or nothing, and saving."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import (
    ArgumentError,
    CheckpointError,
    DTypeError,
    GradientError,
    StaleStorageError,
)
from tinygrad_edu.optim import Optimizer

OPTIMIZERS: list[type[Any]] = [
    optim.SGD,
    optim.Adam,
    optim.AdamW,
    optim.RMSprop,
    optim.Adagrad,
    optim.Adadelta,
    optim.Adamax,
    optim.NAdam,
    optim.RAdam,
]
RATES = {optim.Adagrad: 0.5, optim.Adadelta: 10.0, optim.RAdam: 0.1}
"""Where the usual rate is too slow for a few steps: these begin with small ones."""
WITH_STATE: dict[str, Any] = {
    "SGD": lambda ps: optim.SGD(ps, momentum=0.9),
    "Adam": optim.Adam,
    "AdamW": optim.AdamW,
    "RMSprop": lambda ps: optim.RMSprop(ps, momentum=0.5, centered=True),
    "Adagrad": lambda ps: optim.Adagrad(ps, lr_decay=0.1),
    "Adadelta": optim.Adadelta,
    "Adamax": optim.Adamax,
    "NAdam": optim.NAdam,
    "RAdam": lambda ps: optim.RAdam(ps, betas=(0.9, 0.8)),
}


def parameters() -> list[nn.Parameter]:
    """Two parameters."""
    return [nn.Parameter([1.0, 2.0]), nn.Parameter([[3.0]])]


def descend(ps: list[nn.Parameter], optimizer: Optimizer, steps: int = 1) -> None:
    """Minimise the sum of squares."""
    for _ in range(steps):
        optimizer.zero_grad()
        sum((p * p).sum() for p in ps).backward()  # type: ignore[union-attr]
        optimizer.step()


def values(ps: list[nn.Parameter]) -> list[Any]:
    """As lists."""
    return [p.tolist() for p in ps]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_descends(make: Any) -> None:
    ps = parameters()
    descend(ps, make(ps, lr=RATES.get(make, 0.05)), steps=200)
    assert all(abs(p.detach().numpy()).max() < 0.2 for p in ps)


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
@pytest.mark.parametrize("lr", [0.1, np.float64(0.1)])
@pytest.mark.parametrize("name", WITH_STATE)
def test_parameters_keep_dtype_identity_and_leafhood(name: str, lr: Any, dtype: Any) -> None:
    p = nn.Parameter(np.ones(2, dtype))
    optimizer = WITH_STATE[name]([p])
    optimizer.param_groups[0]["lr"] = lr
    descend([p], optimizer, 2)
    assert p.dtype == dtype
    assert p.is_leaf
    assert p.requires_grad


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_maximize_is_a_step_along_the_negated_loss(make: Any) -> None:
    down, up = nn.Parameter([1.0, -2.0]), nn.Parameter([1.0, -2.0])
    a, b = make([down], lr=0.1), make([up], lr=0.1, maximize=True)
    for _ in range(3):
        a.zero_grad()
        b.zero_grad()
        (-(down * down).sum()).backward()
        (up * up).sum().backward()
        a.step()
        b.step()
    assert up.tolist() == down.tolist() != [1.0, -2.0]


def test_without_a_gradient_a_parameter_stays() -> None:
    used, unused = parameters()
    optimizer = optim.AdamW([used, unused], lr=0.1, weight_decay=0.5)
    descend([used], optimizer)
    assert unused.tolist() == [[3]]
    assert list(optimizer.state) == [used]


def test_zero_grad() -> None:
    ps = parameters()
    optimizer = optim.SGD(ps)
    descend(ps, optimizer)
    optimizer.zero_grad(set_to_none=False)
    assert [p.grad.tolist() for p in ps] == [[0, 0], [[0]]]  # type: ignore[union-attr]
    optimizer.zero_grad()
    assert [p.grad for p in ps] == [None, None]


def test_graphs_from_before_a_step_are_stale_not_wrong() -> None:
    (p, _) = parameters()
    optimizer = optim.SGD([p], lr=0.1)
    loss = (p * p).sum()
    loss.backward()
    optimizer.step()
    with pytest.raises(StaleStorageError):
        loss.backward()


def test_a_step_that_fails_has_changed_nothing() -> None:
    class Failing(optim.SGD):
        def rule(self, p: Any, g: Any, state: Any, group: Any) -> Any:
            if p.ndim == 2:
                raise KeyboardInterrupt
            return super().rule(p, g, state, group)

    ps = parameters()
    optimizer = Failing(ps, momentum=0.9)
    with pytest.raises(KeyboardInterrupt):
        descend(ps, optimizer)
    assert values(ps) == values(parameters())
    assert not optimizer.state


# ------------------------------------------------------------------------------ groups


def test_groups_have_options_of_their_own() -> None:
    a, b = parameters()
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.0)
    descend([a, b], optimizer)
    assert a.tolist() == [1, 2]
    assert b.tolist() == [[0]]
    c = nn.Parameter([4.0])
    optimizer.add_param_group({"params": [c], "momentum": 0.9})
    assert [group["momentum"] for group in optimizer.param_groups] == [0, 0, 0.9]
    assert repr(optimizer).startswith("SGD(lr=0.0, momentum=0.0,")


def test_a_generator_is_read_once() -> None:
    model = nn.Linear(2, 2)
    optimizer = optim.Adam(model.parameters())
    assert len(optimizer.param_groups[0]["params"]) == 2


MISTAKES: dict[str, tuple[Any, type[Exception], str]] = {
    "empty": (lambda make: make([]), ArgumentError, "no parameters"),
    "empty generator": (lambda make: make(nn.ReLU().parameters()), ArgumentError, "no parameters"),
    "empty group": (lambda make: make([{"params": []}]), ArgumentError, "no parameters"),
    "a tensor": (lambda make: make(nn.Parameter([1.0])), ArgumentError, r"\[tensor\]"),
    "twice": (lambda make: make(parameters()[:1] * 2), ArgumentError, "given before"),
    "frozen": (
        lambda make: make(nn.Linear(1, 1).requires_grad_(False).parameters()),
        GradientError,
        "does not require grad",
    ),
    "computed": (lambda make: make([parameters()[0] * 2]), GradientError, "computed by an op"),
    "integers": (lambda make: make([tg.tensor([1])]), DTypeError, "int64"),
    "no tensor": (lambda make: make([np.ones(2)]), DTypeError, "ndarray"),
    "negative lr": (lambda make: make(parameters(), lr=-0.1), ArgumentError, "lr must be"),
    "nan lr": (lambda make: make(parameters(), lr=float("nan")), ArgumentError, "lr must be"),
    "negative decay": (
        lambda make: make(parameters(), weight_decay=-1),
        ArgumentError,
        "weight_decay must be",
    ),
    "lr of a group": (
        lambda make: make([{"params": parameters(), "lr": -1}]),
        ArgumentError,
        "lr must be",
    ),
    "unknown option": (
        lambda make: make([{"params": parameters(), "rate": 1}]),
        ArgumentError,
        "no option rate",
    ),
}


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named(case: str, make: Any) -> None:
    call, error, message = MISTAKES[case]
    with pytest.raises(error, match=message):
        call(make)


# ------------------------------------------------------------------------------ saving


@pytest.mark.parametrize("name", WITH_STATE)
def test_a_run_can_be_resumed(name: str) -> None:
    make = WITH_STATE[name]
    through = parameters()
    optimizer = make(through)
    descend(through, optimizer, 3)
    middle, state = values(through), optimizer.state_dict()
    descend(through, optimizer, 3)

    resumed = [nn.Parameter(value) for value in middle]
    fresh = make(resumed)
    fresh.param_groups[0]["lr"] = 7.0
    fresh.load_state_dict(state)
    descend(resumed, fresh, 3)
    assert values(resumed) == values(through)


@pytest.mark.parametrize("name", WITH_STATE)
def test_a_zero_dimensional_parameter_stays_an_array(name: str) -> None:
    p = nn.Parameter(np.ones((), np.float32))
    descend([p], WITH_STATE[name]([p]), 2)
    assert p.detach().numpy().shape == ()
    assert type(p.node.data) is np.ndarray


def test_a_state_is_plain_and_a_snapshot() -> None:
    ps = parameters()
    optimizer = optim.Adam(ps)
    descend(ps, optimizer)
    state = optimizer.state_dict()
    assert state["param_groups"][0]["params"] == [0, 1]
    assert sorted(state["state"][1]) == ["exp_avg", "exp_avg_sq", "step"]
    assert state["state"][1]["step"] == 1
    before = state["state"][0]["exp_avg"].tolist()
    descend(ps, optimizer)
    assert state["state"][0]["exp_avg"].tolist() == before
    optimizer.load_state_dict(state)
    state["state"][0]["exp_avg"][:] = 7
    assert optimizer.state_dict()["state"][0]["exp_avg"].tolist() == before


def test_a_state_of_another_optimizer_changes_nothing() -> None:
    ps = parameters()
    descend(ps, optim.SGD(ps))
    adam = optim.Adam(ps)
    descend(ps, adam)
    good = adam.state_dict()
    wrong_shape = {
        **good,
        "state": {0: good["state"][0], 1: {**good["state"][1], "exp_avg": np.ones(5)}},
    }
    for state, message in [
        (optim.SGD(ps).state_dict(), "has no betas, eps"),
        (optim.Adam(ps[:1]).state_dict(), r"groups of \[1\] parameters, this optimizer of \[2\]"),
        (wrong_shape, r"exp_avg of parameter 1 has shape \(5,\), the parameter \(1, 1\)"),
        ({**good, "state": {2: {}}}, "parameter 2; there are 2"),
        ({"0.weight": np.ones(2)}, "not the state of an optimizer"),
        (3, "not the state of an optimizer"),
        ({**good, "param_groups": 3}, "no list of dictionaries"),
        ({**good, "param_groups": [3]}, "no list of dictionaries"),
        ({**good, "param_groups": [{**good["param_groups"][0], "lr": -1.0}]}, "lr must be"),
        ({**good, "param_groups": [{**good["param_groups"][0], "betas": 3}]}, "two numbers"),
        ({**good, "state": 3}, "no dictionary"),
        ({**good, "state": {"first": {}}}, "none of a parameter"),
        ({**good, "state": {0: {"exp_avg": "a"}}}, "no number or array"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            adam.load_state_dict(state)
    np.testing.assert_equal(adam.state_dict(), good)


@pytest.mark.parametrize(
    "make",
    [
        lambda ps: optim.SGD(ps, lr="a"),
        lambda ps: optim.SGD(ps, lr=None),
        lambda ps: optim.SGD(ps, momentum="a"),
        lambda ps: optim.Adam(ps, betas=0.9),
        lambda ps: optim.Adam(ps, betas=(0.9,)),
        lambda ps: optim.SGD([{"lr": 3}]),
        lambda ps: optim.SGD(ps).add_param_group(3),
    ],
)
def test_options_that_are_no_numbers(make: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^(SGD|Adam): "):
        make(parameters())


def test_a_model_in_place_of_its_parameters_is_named() -> None:
    with pytest.raises(ArgumentError, match=r"got a Linear; of a model, pass model\.parameters"):
        optim.SGD(nn.Linear(2, 1))  # type: ignore[arg-type]


def test_what_overflows_becomes_infinite_without_a_warning() -> None:
    p = nn.Parameter([3e38])
    p.grad = tg.tensor([-3e38])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for make in (optim.SGD, optim.RMSprop, optim.AdamW):
            optimizer = make([p], lr=10.0)
            optimizer.step()
    assert not math.isfinite(p.item())


@pytest.mark.parametrize("compiled", [False, True])
def test_a_closure_computes_the_loss_anew(compiled: bool) -> None:
    """Also where gradients are not recorded, as torch has it."""
    w = tg.tensor([1.0, -2.0], requires_grad=True)
    optimizer = tg.optim.SGD([w], lr=0.25)

    def closure() -> tg.Tensor:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    step = tg.compile(lambda: optimizer.step(closure)) if compiled else optimizer.step
    with tg.no_grad():
        losses = [float(step() if compiled else optimizer.step(closure)) for _ in range(3)]
    assert losses == [5.0, 1.25, 0.3125]
    assert optimizer.step() is None
