"""Hooks see every call, may replace its output, and can be ended."""

from __future__ import annotations

from typing import Any

import tinygrad_edu as tg
from tinygrad_edu import nn


def test_hooks_see_module_arguments_and_output() -> None:
    layer, seen = nn.Linear(2, 1), []
    handle = layer.register_forward_hook(lambda *call: seen.append(call))
    x = tg.ones(3, 2)
    y = layer(x)
    assert len(seen) == 1
    module, args, output = seen[0]
    assert module is layer
    assert args[0] is x
    assert output is y
    handle.remove()
    handle.remove()
    layer(x)
    assert len(seen) == 1


def test_what_a_hook_returns_replaces_the_output() -> None:
    identity = nn.Identity()
    identity.register_forward_hook(lambda module, args, output: output + 1)
    with identity.register_forward_hook(lambda module, args, output: output * 10):
        assert identity(tg.tensor([1.0])).item() == 20
    assert identity(tg.tensor([1.0])).item() == 2


def test_hooks_of_inner_modules_run_inside_a_network() -> None:
    order: list[str] = []
    net = nn.Sequential(nn.Identity(), nn.Identity())
    for name, module in net.named_modules():
        module.register_forward_hook(lambda m, a, o, name=name: order.append(name))
    net(tg.ones(1))
    assert order == ["0", "1", ""]


def test_a_hook_may_end_itself() -> None:
    identity, calls = nn.Identity(), []

    def once(module: Any, args: Any, output: Any) -> None:
        calls.append(output)
        handle.remove()

    handle = identity.register_forward_hook(once)
    identity(1)
    identity(1)
    assert calls == [1]


class Sum(nn.Module):
    """Of any number of arguments."""

    def forward(self, *numbers: float) -> float:
        return sum(numbers)


def test_hooks_before_forward_see_and_replace_the_arguments() -> None:
    module, seen = Sum(), []
    with module.register_forward_pre_hook(lambda *call: seen.append(call)):
        assert module(2, 3) == 5
    with module.register_forward_pre_hook(lambda module, args: args[0] + 1):
        with module.register_forward_pre_hook(lambda module, args: (args[0] * 10, 4)):
            assert module(2) == 34
        assert module(2) == 3
    assert module(2) == 2
    assert seen == [(module, (2, 3))]


def test_hooks_belong_to_one_module() -> None:
    first, second = nn.Identity(), nn.Identity()
    first.register_forward_pre_hook(lambda module, args: 7)
    assert (first(1), second(1)) == (7, 1)
