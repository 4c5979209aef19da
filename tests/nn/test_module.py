"""A module finds its parts by looking at its attributes, and refuses what would hide one."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import CheckpointError, DTypeError, ModuleError, StaleStorageError


class Counter(nn.Module):
    """A parameter, two buffers, and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter([2.0])
        self.register_buffer("count", tg.tensor(0))
        self.register_buffer("cache", tg.zeros(3), persistent=False)
        self.size = 3

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x * self.weight


class Net(nn.Module):
    """A tree with a module under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.scale = nn.Parameter([1.0])
        self.body = nn.Sequential(Counter(), nn.Tanh())
        self.again = self.first

    def forward(self, x: tg.Tensor) -> Any:
        return self.body(self.first(x)) * self.scale


class Forgetful(nn.Module):
    """Does not call super().__init__()."""

    def __init__(self) -> None:
        self.weight = nn.Parameter([1.0])


# ------------------------------------------------------------------------------ the tree


def test_parameters_under_torchs_names_and_in_its_order() -> None:
    # Own ones first, then those of the children; a shared module counts once.
    names = ["scale", "first.weight", "first.bias", "body.0.weight"]
    assert [name for name, _ in Net().named_parameters()] == names
    assert next(name for name, _ in Net().named_parameters(prefix="net")) == "net.scale"
    assert [name for name, _ in Net().named_parameters(recurse=False)] == ["scale"]
    assert len(list(Net().parameters())) == 4


def test_modules_and_buffers() -> None:
    net = Net()
    names = ["", "first", "body", "body.0", "body.1"]
    assert [name for name, _ in net.named_modules()] == names
    assert [type(m).__name__ for m in net.modules()] == [
        "Net", "Linear", "Sequential", "Counter", "Tanh",
    ]  # fmt: skip
    assert [name for name, _ in net.named_children()] == ["first", "body"]
    assert list(net.children()) == [net.first, net.body]
    assert [name for name, _ in net.named_buffers()] == ["body.0.count", "body.0.cache"]
    assert [key for key in net.state_dict() if "count" in key or "cache" in key] == ["body.0.count"]
    assert len(list(net.buffers())) == 2


def test_a_parameter_in_two_places_is_trained_once() -> None:
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    assert [name for name, _ in tied.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert list(tied.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_forgetting_super_init_is_no_mistake() -> None:
    assert [name for name, _ in Forgetful().named_parameters()] == ["weight"]


def test_apply_reaches_every_module_children_first() -> None:
    seen: list[str] = []
    Net().apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Linear", "Counter", "Tanh", "Sequential", "Net"]


# ------------------------------------------------------------------------------ assignment


@pytest.mark.parametrize("value", [tg.zeros(2, 2), np.zeros((2, 2)), 1.0, nn.ReLU()])
def test_a_parameter_is_replaced_by_parameters_only(value: Any) -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(ModuleError, match=r"Linear\.weight holds a Parameter"):
        layer.weight = value
    with pytest.raises(TypeError):  # what torch raises
        layer.bias = value
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    with pytest.raises(ModuleError):
        layer.bias = value
    layer.bias = nn.Parameter([1.0, 2.0])
    assert layer.bias in set(layer.parameters())


def test_a_layer_without_bias_refuses_a_tensor_as_bias() -> None:
    with pytest.raises(ModuleError):
        nn.Linear(2, 2, bias=False).bias = tg.zeros(2)  # type: ignore[assignment]


def test_modules_and_buffers_keep_their_kind() -> None:
    net = Net()
    with pytest.raises(ModuleError, match="holds a Module"):
        net.first = tg.zeros(2)  # type: ignore[assignment]
    net.first = nn.Linear(5, 5)
    with pytest.raises(ModuleError, match="holds a Tensor"):
        net.body[0].count = 4
    net.body[0].count = tg.tensor(4)
    assert net.state_dict()["body.0.count"].item() == 4


def test_deleting_frees_the_name() -> None:
    counter = Counter()
    del counter.weight, counter.count
    counter.weight = tg.zeros(1)  # type: ignore[assignment]
    counter.count = 3
    assert not list(counter.parameters())
    assert [name for name, _ in counter.named_buffers()] == ["cache"]


# ------------------------------------------------------------------------------ calling


def test_calling_without_forward() -> None:
    with pytest.raises(NotImplementedError, match="Module does not define forward"):
        nn.Module()()


def test_forward_takes_keywords() -> None:
    assert Counter()(x=tg.tensor([3.0])).item() == 6


# ------------------------------------------------------------------------------ modes


def test_training_mode_reaches_every_module() -> None:
    net = Net()
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())


def test_a_module_has_a_say_in_its_mode() -> None:
    class Frozen(nn.Linear):
        def train(self, mode: bool = True) -> Frozen:
            return super().train(False)

    net = nn.Sequential(Frozen(1, 1), nn.Linear(1, 1)).train()
    assert [module.training for module in net] == [False, True]


def test_requires_grad_and_zero_grad() -> None:
    net = Net().requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_()
    net(tg.ones(1, 2)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(p.grad is not None and not p.grad.norm().item() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


# ------------------------------------------------------------------------------ precision


def test_conversion_is_of_floats_only_and_in_place() -> None:
    net = Net()
    before = list(net.parameters())
    assert net.double() is net
    assert all(p is q for p, q in zip(net.parameters(), before, strict=True))
    assert {str(p.dtype) for p in net.parameters()} == {"float64"}
    assert {name: b.dtype for name, b in net.named_buffers()} == {
        "body.0.count": tg.int64,
        "body.0.cache": tg.float64,
    }
    assert net(tg.ones(1, 2, dtype=tg.float64)).dtype == tg.float64
    assert {p.dtype for p in net.float().parameters()} == {tg.float32}
    assert {p.dtype for p in net.to("float64").parameters()} == {tg.float64}
    with pytest.raises(DTypeError, match="computes with floats"):
        net.to(tg.int64)


def test_a_graph_from_before_a_conversion_is_stale() -> None:
    net = nn.Linear(2, 2)
    loss = (net.weight * net.weight).sum()
    net.double()
    with pytest.raises(StaleStorageError):
        loss.backward()


# ------------------------------------------------------------------------------ copies, printing


def test_deep_copies_share_nothing() -> None:
    net = Net()
    clone = copy.deepcopy(net)
    for (name, p), (other, q) in zip(net.named_parameters(), clone.named_parameters(), strict=True):
        assert name == other
        assert p is not q
        assert p.tolist() == q.tolist()
        assert p.law == q.law
    nn.init.zeros_(clone.first.weight)
    assert net.first.weight.norm().item() > 0
    with pytest.raises(ModuleError):
        clone.scale = 1.0  # type: ignore[assignment]


def test_printing_is_torchs() -> None:
    expected = """\
Net(
  (first): Linear(in_features=2, out_features=3, bias=True)
  (body): Sequential(
    (0): Counter()
    (1): Tanh()
  )
  (again): Linear(in_features=2, out_features=3, bias=True)
)"""
    assert repr(Net()) == expected


# ------------------------------------------------------------------------------ wrong use


@pytest.mark.parametrize(
    "act",
    [
        lambda m: m.register_buffer("a.b", tg.zeros(1)),
        lambda m: m.register_parameter("", None),
        lambda m: m.register_parameter(3, None),
        lambda m: setattr(m, "a.b", nn.Linear(1, 1)),
        lambda m: nn.Sequential({"a.b": nn.Linear(1, 1)}),
    ],
)
def test_names_have_no_dots(act: Any) -> None:
    module = nn.Module()
    with pytest.raises(ModuleError, match="without dots"):
        act(module)
    assert not module.state_dict()


@pytest.mark.parametrize("state", [None, 3, [("weight", 1)]])
def test_a_state_is_a_dictionary(state: Any) -> None:
    with pytest.raises(CheckpointError, match="tensors or arrays by name"):
        nn.Linear(1, 1).load_state_dict(state)
