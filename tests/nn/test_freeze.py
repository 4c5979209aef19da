"""Frozen, in evaluation mode, and without gradients: three things, kept apart."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import FrozenStatisticsWarning


def model() -> nn.Sequential:
    """A base with a batch norm and dropout, and a head."""
    tg.manual_seed(0)
    base = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5))
    return nn.Sequential(base, nn.Linear(6, 2))


def batch(seed: int = 1) -> tg.Tensor:
    return tg.tensor(np.random.default_rng(seed).normal(2, 3, (16, 4)).astype(np.float32))


def state(module: nn.Module) -> dict[str, bytes]:
    """All state, to the bit."""
    return {key: value.numpy().tobytes() for key, value in module.state_dict().items()}


def train(net: nn.Module, optimizer: Any, steps: int = 3) -> None:
    for seed in range(steps):
        optimizer.zero_grad()
        (net(batch(seed)) ** 2).mean().backward()
        optimizer.step()


def trainable(net: nn.Module) -> list[nn.Parameter]:
    return [p for p in net.parameters() if p.requires_grad]


# ------------------------------------------------------------------------------ the three cases


def test_frozen_nothing_moves_in_training_mode() -> None:
    net = model()
    net(batch())
    base = net[0].freeze()
    before, head = state(base), state(net[1])
    net.train()
    train(net, optim.SGD(trainable(net), lr=0.1, momentum=0.9, weight_decay=0.1))
    assert state(base) == before
    assert state(net[1]) != head


def test_frozen_batch_norm_is_the_evaluated_one() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6))
    net(batch())
    evaluated = copy.deepcopy(net).eval()(batch(2)).detach().numpy()
    frozen = copy.deepcopy(net).freeze().train()(batch(2)).numpy()
    np.testing.assert_array_equal(frozen, evaluated)
    one = copy.deepcopy(net).freeze()(batch(2)[:1]).numpy()  # a batch of one is no problem
    np.testing.assert_allclose(one, evaluated[:1], rtol=1e-5, atol=1e-6)


def test_without_gradients_statistics_move() -> None:
    net = model()
    base = net[0].requires_grad_(False)
    before = state(base)
    with pytest.warns(FrozenStatisticsWarning):
        train(net, optim.SGD(trainable(net), lr=0.1))
    moved = {key for key, value in state(base).items() if value != before[key]}
    assert moved == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


def test_in_evaluation_mode_parameters_move_and_statistics_do_not() -> None:
    net = model()
    net[0].eval()
    before = state(net[0])
    train(net, optim.SGD(net.parameters(), lr=0.1))
    moved = {key for key, value in state(net[0]).items() if value != before[key]}
    assert moved == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_frozen_dropout_drops_in_training_mode() -> None:
    layer = nn.Dropout(0.5).freeze()
    assert 0 in layer(tg.ones(1000)).tolist()
    assert 0 not in layer.eval()(tg.ones(1000)).tolist()


def test_gradients_pass_through_a_frozen_base() -> None:
    """A frozen layer in the middle still hands the gradient on."""
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6).freeze(), nn.Linear(6, 1))
    net(batch()).sum().backward()
    assert net[0].weight.grad is not None
    assert net[0].weight.grad.norm().item() > 0
    assert net[1].weight.grad is None


# ------------------------------------------------------------------------------ freeze and unfreeze


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop])
def test_an_optimizer_made_before_leaves_them_bit_identical(make: Any) -> None:
    """Though it has momenta for them, weight decay, and saw their gradients."""
    net = model()
    options = {"momentum": 0.9} if make is optim.SGD else {}
    optimizer = make(net.parameters(), lr=0.05, weight_decay=0.1, **options)
    train(net, optimizer)
    (net(batch(9)) ** 2).mean().backward()  # gradients that the next step would take
    net[0].freeze()
    before = state(net[0])
    optimizer.step()
    train(net, optimizer)
    assert state(net[0]) == before
    net.unfreeze()
    train(net, optimizer)
    assert state(net[0]) != before


def test_unfreeze_restores_what_freeze_changed() -> None:
    net = model()
    net[0][0].bias.requires_grad_(False)
    flags = [p.requires_grad for p in net.parameters()]
    for _ in range(2):
        assert net.freeze() is net
        net.freeze()  # twice is once
        assert not any(p.requires_grad for p in net.parameters())
        assert all(m.is_frozen() for m in net.modules())
        assert net.unfreeze() is net
        assert [p.requires_grad for p in net.parameters()] == flags
        assert not any(m.is_frozen() for m in net.modules())
    net.unfreeze()  # not frozen: nothing to undo
    assert [p.requires_grad for p in net.parameters()] == flags


def test_a_part_thaws_alone() -> None:
    net = model().freeze()
    net[1].unfreeze()
    assert {n for n, p in net.named_parameters() if p.requires_grad} == {"1.weight", "1.bias"}
    assert net[0][1].is_frozen()
    assert not net[1].is_frozen()


def test_modes_and_copies_keep_it() -> None:
    net = model().freeze().eval().train()
    clone = copy.deepcopy(net)
    assert clone[0][1].is_frozen()
    clone.unfreeze()
    assert all(p.requires_grad for p in clone.parameters())
    assert not any(p.requires_grad for p in net.parameters())


def test_a_shared_parameter_thaws_with_the_layer_that_froze_it() -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    tied.freeze()
    tied.unfreeze()
    assert all(p.requires_grad for p in tied.parameters())


# ------------------------------------------------------------------------------ the warning


def test_the_warning_names_the_layer_the_remedy_and_the_users_line() -> None:
    net = model()
    net[0].requires_grad_(False)
    with pytest.warns(FrozenStatisticsWarning, match=r"BatchNorm1d\(6.*call freeze\(\)") as caught:
        net(batch())
    assert [w.filename for w in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(batch())  # once


@pytest.mark.parametrize(
    "prepare",
    [
        lambda net: net,
        lambda net: net.freeze(),
        lambda net: net.eval().requires_grad_(False),
        lambda net: net.freeze().requires_grad_(False),
    ],
)
def test_no_warning_where_nothing_is_odd(prepare: Any) -> None:
    net = prepare(model())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(batch())
        with tg.no_grad():
            net(batch())


def test_a_warning_made_an_error_moves_nothing() -> None:
    layer = nn.BatchNorm1d(4).requires_grad_(False)
    before = state(layer)
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(FrozenStatisticsWarning):
                layer(batch())
    assert state(layer) == before


# ------------------------------------------------------------------------------ the page
