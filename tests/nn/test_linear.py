"""x @ weight.mT + bias, torch's initial law, and errors that name the layer."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError


@pytest.mark.parametrize("lead", [(), (4,), (2, 5), (0,)])
@pytest.mark.parametrize("bias", [True, False])
def test_values(lead: tuple[int, ...], bias: bool) -> None:
    layer = nn.Linear(3, 2, bias=bias, dtype=tg.float64)
    x = np.random.default_rng(0).normal(size=(*lead, 3))
    expected = x @ layer.weight.detach().numpy().T
    if layer.bias is not None:
        expected = expected + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-14, atol=1e-14)


def test_starts_from_torchs_law() -> None:
    layer = nn.Linear(12, 5)
    law = layer.weight.law
    assert law is not None
    assert (law.family, law.scheme, law.mean) == ("uniform", "kaiming_uniform", 0)
    assert law.variance == pytest.approx(1 / (3 * 12), rel=1e-14)
    assert (law.fan_in, law.fan_out) == (12, 5)
    assert layer.bias is not None
    assert layer.bias.law is not None
    assert layer.bias.law.variance == pytest.approx(1 / (3 * 12), rel=1e-14)
    assert layer.bias.law.fan_in is None


def test_seeds_repeat_weights_at_either_precision() -> None:
    layers = []
    for dtype in (tg.float32, tg.float64, tg.float64):
        tg.manual_seed(3)
        layers.append(nn.Linear(4, 4, dtype=dtype))
    single, double, again = (layer.weight.detach().numpy() for layer in layers)
    np.testing.assert_array_equal(double, again)
    np.testing.assert_array_equal(single, double.astype(np.float32))
    before = double.copy()
    layers[1].reset_parameters()
    assert not np.array_equal(layers[1].weight.detach().numpy(), before)


def test_a_wrong_width_names_layer_and_shape() -> None:
    with pytest.raises(ShapeError, match=r"Linear\(in_features=3.*shape \(4, 2\).*3 elements"):
        nn.Linear(3, 1)(tg.ones(4, 2))
    with pytest.raises(ShapeError, match=r"shape \(\)"):
        nn.Linear(3, 1)(tg.tensor(1.0))


def test_a_wrong_dtype_names_the_remedy() -> None:
    with pytest.raises(DTypeError, match="float64"):
        nn.Linear(3, 1)(tg.ones(4, 3, dtype=tg.float64))


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0), (-1, 2)])
def test_sizes_below_one_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ArgumentError, match="at least one input and one output"):
        nn.Linear(*sizes)
