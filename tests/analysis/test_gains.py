"""The command `python -m analysis.gains`, and the file it wrote for the engine."""

from __future__ import annotations

import ast

import pytest

from analysis import gain, gains
from tinygrad_edu import nn
from tinygrad_edu.nn.gains import CLOSED_FORMS, GAINS

ROUNDING = 1e-15
"""A closed form evaluated in double precision: a few units in the last place."""


def shape_of(source: str) -> str:
    """A program without its layout and without the last digits of its numbers."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            node.value = float(f"{node.value:.12g}")
    return ast.dump(tree)


def test_the_engines_file_is_what_the_command_writes() -> None:
    assert shape_of(gains.path().read_text(encoding="utf-8")) == shape_of(gains.source())


@pytest.mark.parametrize("name", sorted(GAINS))
def test_each_gain_is_the_derived_one(name: str) -> None:
    (phi,) = (phi for own, _, phi in gains.functions() if own == name)
    derived = gain(phi)
    assert GAINS[name] == pytest.approx(float(derived), rel=ROUNDING, abs=derived.error)


@pytest.mark.parametrize("value", [0.0, 0.3, -0.5, 2.0])
@pytest.mark.parametrize(
    ("name", "parameter"), [("leaky_relu", "negative_slope"), ("elu", "alpha")]
)
def test_closed_forms_are_the_derived_ones(name: str, parameter: str, value: float) -> None:
    derived = float(gain(name, **{parameter: value}))
    assert CLOSED_FORMS[name](value) == pytest.approx(derived, rel=ROUNDING)
    assert nn.init.calculate_gain(name, value) == CLOSED_FORMS[name](value)


def test_the_command_prints_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert gains.main([]) == 0
    assert shape_of(capsys.readouterr().out) == shape_of(gains.source())
