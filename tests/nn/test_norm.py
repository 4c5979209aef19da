"""The normalisation layers: running statistics over batches, modes, state, and bad input."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.samples import seeds
from tinygrad_edu import nn
from tinygrad_edu.derive.walk import ordered
from tinygrad_edu.errors import ArgumentError, CheckpointError, DTypeError, ShapeError

LAYERS: list[Any] = [
    lambda: nn.BatchNorm1d(6),
    lambda: nn.LayerNorm(6),
    lambda: nn.RMSNorm(6),
    lambda: nn.GroupNorm(3, 6),
]


def state(layer: nn.Module) -> dict[str, Any]:
    return {key: value.tolist() for key, value in layer.state_dict().items()}


# ------------------------------------------------------------------------------ all of them


@pytest.mark.parametrize("make", LAYERS)
def test_at_the_start_the_output_is_standardized(make: Any) -> None:
    layer = make().double()
    layer.eps = 0.0
    x = np.random.default_rng(0).normal(size=(40, 6)) * 3 + 5
    y = layer(x).detach().numpy()
    groups = y.reshape(40, 3, 2) if isinstance(layer, nn.GroupNorm) else y
    axis = 0 if isinstance(layer, nn.BatchNorm1d) else -1
    # Two close numbers lose what they share: up to 4 digits in 240 draws.
    np.testing.assert_allclose((groups**2).mean(axis), 1, rtol=1e-11)
    if not isinstance(layer, nn.RMSNorm):
        np.testing.assert_allclose(groups.mean(axis), 0, atol=1e-11)


@pytest.mark.parametrize("make", LAYERS)
def test_parameters_start_at_one_and_zero_and_train(make: Any) -> None:
    layer = make()
    assert layer.weight.tolist() == [1] * 6
    assert layer.weight.law.family == "constant"
    assert layer.bias is None or layer.bias.tolist() == [0] * 6
    x = tg.tensor(np.random.default_rng(1).normal(size=(5, 6)), dtype=tg.float32)
    (layer(x) ** 3).sum().backward()
    for p in layer.parameters():
        assert p.grad is not None
        assert p.grad.shape == p.shape
    layer.weight.data = tg.full((6,), 3.0)
    layer.reset_parameters()
    assert layer.weight.tolist() == [1] * 6
    assert state(layer) == state(make())


def test_parts_left_out() -> None:
    assert not list(nn.LayerNorm(6, elementwise_affine=False).parameters())
    assert not list(nn.RMSNorm(6, elementwise_affine=False).parameters())
    assert not list(nn.GroupNorm(3, 6, affine=False).parameters())
    assert not list(nn.BatchNorm1d(6, affine=False).parameters())
    assert [n for n, _ in nn.LayerNorm(6, bias=False).named_parameters()] == ["weight"]
    assert not nn.BatchNorm1d(6, track_running_stats=False).state_dict().keys() - {"weight", "bias"}


@pytest.mark.parametrize("make", LAYERS)
def test_precision_follows_the_layer(make: Any) -> None:
    x = np.random.default_rng(2).normal(size=(5, 6))
    assert make()(x.astype(np.float32)).dtype == tg.float32
    assert make().double()(x).dtype == tg.float64
    with pytest.raises(DTypeError, match="one float dtype"):
        make()(x)


# ------------------------------------------------------------------------------ running statistics


def batches(seed: int, shape: tuple[int, ...], count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) * rng.uniform(0.5, 2) + rng.normal() for _ in range(count)]


@given(
    seed=seeds,
    momentum=st.sampled_from([0.1, 0.5, 1.0, 0.0, None]),
    shape=st.sampled_from([(4, 3), (2, 3), (4, 3, 5), (1, 3, 4), (2, 3, 4, 2)]),
    count=st.integers(1, 5),
)
def test_running_statistics(
    seed: int, momentum: float | None, shape: tuple[int, ...], count: int
) -> None:
    """The moving average as a weighted sum over the batches, the newest counting most."""
    layer = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(3, momentum=momentum).double()
    data = batches(seed, shape, count)
    for x in data:
        layer(x)
    axes = (0, *range(2, len(shape)))
    if momentum is None:
        start, shares = 0.0, [1 / count] * count
    else:
        start = (1 - momentum) ** count
        shares = [momentum * (1 - momentum) ** (count - 1 - k) for k in range(count)]
    mean = sum(s * x.mean(axes) for s, x in zip(shares, data, strict=True))
    var = start + sum(s * x.var(axes, ddof=1) for s, x in zip(shares, data, strict=True))
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-12)
    assert layer.num_batches_tracked.item() == count
    assert layer.num_batches_tracked.dtype == tg.int64

    before = state(layer)
    x = data[-1]
    found = layer.eval()(x).detach().numpy()
    mean, var = (v.reshape(3, *[1] * (x.ndim - 2)) for v in (mean, var))
    np.testing.assert_allclose(found, (x - mean) / np.sqrt(var + 1e-5), atol=1e-9)
    assert state(layer) == before


def test_evaluation_does_not_depend_on_the_batch() -> None:
    layer = nn.BatchNorm1d(4).double()
    for x in batches(0, (8, 4), 5):
        layer(x)
    layer.eval()
    x = batches(1, (6, 4), 1)[0]
    rows = np.concatenate([layer(row[None]).detach().numpy() for row in x])
    np.testing.assert_array_equal(layer(x).detach().numpy(), rows)


def test_without_running_statistics_evaluation_goes_by_the_batch() -> None:
    layer = nn.BatchNorm1d(4, track_running_stats=False).double()
    x = batches(2, (8, 4), 1)[0]
    np.testing.assert_array_equal(layer(x).detach().numpy(), layer.eval()(x).detach().numpy())


def test_statistics_are_no_part_of_the_graph() -> None:
    """They move without recording, and a graph from before still runs backward."""
    layer = nn.BatchNorm1d(4).double()
    x, later = (tg.tensor(b, requires_grad=True) for b in batches(3, (8, 4), 2))
    y = layer(x)
    layer(later)
    (y**2 * y).sum().backward()
    assert not layer.running_mean.requires_grad
    assert layer.running_mean.is_leaf
    assert x.grad is not None


def test_moving_on_without_recording() -> None:
    layer = nn.BatchNorm1d(4).double()
    with tg.no_grad():
        y = layer(batches(4, (8, 4), 1)[0])
    assert not y.requires_grad
    assert layer.num_batches_tracked.item() == 1


def test_resetting() -> None:
    layer = nn.BatchNorm1d(4)
    fresh = state(layer)
    layer(tg.randn(8, 4))
    assert state(layer) != fresh
    layer.reset_running_stats()
    assert state(layer) == fresh
    assert layer.running_mean.dtype == tg.float32
    nn.BatchNorm1d(4, track_running_stats=False).reset_running_stats()


def test_a_trace_leaves_the_statistics() -> None:
    layer = nn.BatchNorm1d(4)
    before = state(layer)
    y = layer(tg.graph.tensor.abstract((8, 4)))
    assert y.node.is_abstract
    assert state(layer) == before


def written(node: Any) -> str:
    """The expression of a traced node."""
    if node.op is None:
        return str(node.data.tolist()) if not node.is_abstract else "x"
    operands = ", ".join(map(written, node.inputs))
    return f"{node.op.name}({operands}; {dict(node.params)})"


def test_traced_statistics_are_parts_of_the_normalisations_definition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Word for word, so a compiler that expands it and shares what is equal computes them once."""
    values: list[Any] = []
    monkeypatch.setattr(nn.normalization, "advance", lambda buffer, value: values.append(value))
    x = tg.graph.tensor.abstract((8, 4, 3))
    y = nn.BatchNorm1d(4, affine=False)(x).node
    definition = y.op.definition(tg.graph.reader.graph_reader(x.dtype), x, **y.params).node
    assert len(values) == 2
    for value in values:
        nodes = ordered([value.node], constants=True)
        statistics = [written(node) for node in nodes if node.op and node.op.name == "div"]
        assert statistics
        assert all(statistic in written(definition) for statistic in statistics)


# ------------------------------------------------------------------------------ state


def test_keys_and_round_trip() -> None:
    layer, other = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    layer(tg.randn(3, 2, 4, 4))
    assert list(layer.state_dict()) == [
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked",
    ]  # fmt: skip
    other.load_state_dict(layer.state_dict())
    assert state(other) == state(layer)
    clone = copy.deepcopy(layer)
    layer(tg.randn(3, 2, 4, 4))
    assert state(clone) == state(other)


def test_state_of_another_width_changes_nothing() -> None:
    layer, wider = nn.BatchNorm1d(2), nn.BatchNorm1d(3)
    before = state(layer)
    with pytest.raises(CheckpointError, match=r"running_mean \(shape \(3,\), the model has \(2,\)"):
        layer.load_state_dict(wider.state_dict())
    assert state(layer) == before


# ------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(3), (4, 2)),
        (nn.BatchNorm1d(3), (3,)),
        (nn.BatchNorm1d(3), (4, 3, 2, 2)),
        (nn.BatchNorm1d(3), (1, 3)),
        (nn.BatchNorm1d(3), (1, 3, 1)),
        (nn.BatchNorm2d(3), (4, 3)),
        (nn.BatchNorm2d(3), (4, 2, 5, 5)),
        (nn.BatchNorm2d(3), (1, 3, 1, 1)),
        (nn.LayerNorm(3), (4, 2)),
        (nn.RMSNorm((2, 3)), (4, 3, 2)),
        (nn.GroupNorm(1, 3), (4, 2)),
        (nn.GroupNorm(1, 3), (3,)),
    ],
)
def test_shapes_that_do_not_fit_change_nothing(layer: nn.Module, shape: tuple[int, ...]) -> None:
    before = state(layer)
    with pytest.raises(ShapeError):
        layer(tg.randn(*shape))
    assert state(layer) == before


def test_an_error_names_layer_and_shape() -> None:
    with pytest.raises(ShapeError, match=r"BatchNorm1d\(3.*shape \(4, 2\).*with 3 channels"):
        nn.BatchNorm1d(3)(tg.ones(4, 2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.BatchNorm1d(0),
        lambda: nn.BatchNorm1d(3, eps=-1),
        lambda: nn.BatchNorm1d(3, eps=float("nan")),
        lambda: nn.BatchNorm1d(3, momentum=1.5),
        lambda: nn.BatchNorm2d(3, momentum=-0.1),
        lambda: nn.LayerNorm(0),
        lambda: nn.LayerNorm(()),
        lambda: nn.RMSNorm((2, -1)),
        lambda: nn.GroupNorm(4, 6),
        lambda: nn.GroupNorm(0, 6),
        lambda: nn.GroupNorm(1, 0),
    ],
)
def test_arguments_out_of_range(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make()


def test_a_batch_with_nan_is_noticed_in_evaluation() -> None:
    layer = nn.BatchNorm1d(2)
    layer(tg.tensor([[1.0, float("nan")], [2.0, 3.0]]))
    with pytest.raises(ArgumentError, match="statistics of 1 of 2 channels"):
        layer.eval()(tg.ones(3, 2))
    layer.reset_running_stats()
    layer(tg.ones(3, 2))
