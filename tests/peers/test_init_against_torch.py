"""Gains and fans where torch's are derived, too; where they differ, the documentation says so."""

from __future__ import annotations

from types import ModuleType

import pytest

from tinygrad_edu.nn import init

DIFFERENT = {"tanh": 5 / 3, "selu": 3 / 4, "sigmoid": 1.0}
"""torch's values, for which the engine has others."""


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("linear", None), ("conv2d", None), ("conv_transpose3d", None), ("relu", None)]
    + [("leaky_relu", slope) for slope in (None, 0.0, 0.3, 5**0.5)],
)
def test_derived_gains_agree(torch: ModuleType, name: str, parameter: float | None) -> None:
    theirs = torch.nn.init.calculate_gain(name, parameter)
    assert init.calculate_gain(name, parameter) == pytest.approx(theirs, rel=1e-15)


@pytest.mark.parametrize("name", DIFFERENT)
def test_other_gains_are_those_the_documentation_names(torch: ModuleType, name: str) -> None:
    theirs = torch.nn.init.calculate_gain(name)
    assert theirs == pytest.approx(DIFFERENT[name])
    assert init.calculate_gain(name) != pytest.approx(theirs, rel=0.01)


@pytest.mark.parametrize("shape", [(5, 3), (8, 4, 3), (8, 4, 3, 2), (2, 3, 1, 2, 4)])
def test_fans_agree_without_groups(torch: ModuleType, shape: tuple[int, ...]) -> None:
    theirs = torch.nn.init._calculate_fan_in_and_fan_out(torch.zeros(shape))
    assert init.fans(shape) == theirs
    assert init.fans(shape, transposed=True) == theirs[::-1]


def test_fans_with_groups_do_not(torch: ModuleType) -> None:
    """The gradient of a depthwise convolution reaches an input through its own channel alone."""
    weight = torch.nn.Conv1d(8, 8, 3, groups=8).weight
    assert torch.nn.init._calculate_fan_in_and_fan_out(weight) == (3, 24)
    assert init.fans(tuple(weight.shape), groups=8) == (3, 3)
