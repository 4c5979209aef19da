"""A parameter knows the law of its values for as long as they are the values drawn."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import DTypeError
from tinygrad_edu.graph.creation import generator
from tinygrad_edu.graph.node import clock
from tinygrad_edu.nn.parameter import Law, Parameter, clear_grad, convert


def drawn() -> Parameter:
    """A parameter with a law."""
    return nn.init.normal_(Parameter(np.zeros((3, 4), np.float32)), std=0.5)


def with_gradient() -> Parameter:
    """A parameter with a law and a gradient."""
    p = drawn()
    (p * p).sum().backward()
    return p


def test_is_a_tensor_that_requires_grad() -> None:
    p = Parameter([1, 2])
    assert isinstance(p, tg.Tensor)
    assert p.requires_grad
    assert p.is_leaf
    assert p.dtype == tg.float32
    assert not Parameter([1.0], requires_grad=False).requires_grad
    assert repr(p).startswith("Parameter containing:\ntensor([1., 2.]")


def test_copies_its_values() -> None:
    source = np.ones(3)
    p = Parameter(source)
    source[0] = 7
    assert p.tolist() == [1, 1, 1]


def test_integers_have_no_gradient() -> None:
    with pytest.raises(DTypeError):
        Parameter(np.array([1, 2]))


def fields(law: Law | None) -> tuple[Any, ...]:
    """What a law says, without the way to draw."""
    assert law is not None
    return tuple(getattr(law, field.name) for field in dataclasses.fields(law) if field.compare)


def test_law_of_what_was_drawn() -> None:
    assert Parameter([1.0]).law is None
    assert fields(drawn().law) == ("normal", 0.0, 0.25, 3.0, 4, 3, "normal")


def test_a_law_can_draw_again() -> None:
    tg.manual_seed(0)
    p = drawn()
    assert p.law is not None
    tg.manual_seed(0)
    again = p.law.draw(generator(), p.shape).astype(np.float32)
    assert again.tolist() == p.tolist()


def sgd_step(p: Parameter) -> None:
    """One update by an optimizer."""
    (p * p).sum().backward()
    optim.SGD([p], lr=0.1).step()


def add_in_place(p: Parameter) -> None:
    """Arithmetic in place on a leaf that requires grad."""
    with tg.no_grad():
        p += 1


def add_in_place_while_frozen(p: Parameter) -> None:
    """Arithmetic in place that gives the handle another node."""
    p.requires_grad_(False)
    p += 1


def set_data(p: Parameter) -> None:
    """Assign the same numbers, which now come from elsewhere."""
    p.data = p.data


def load(p: Parameter) -> None:
    """Load a state dictionary into a module that holds the parameter."""
    module = nn.Module()
    module.p = p  # type: ignore[attr-defined]
    module.load_state_dict({"p": np.ones(p.shape)})


@pytest.mark.parametrize(
    "change", [sgd_step, add_in_place, add_in_place_while_frozen, set_data, load]
)
def test_law_ends_when_the_values_come_from_elsewhere(change: Callable[[Parameter], None]) -> None:
    p = drawn()
    change(p)
    assert p.law is None
    nn.init.zeros_(p)
    assert fields(p.law) == ("constant", 0.0, 0.0, 1.0, 4, 3, "constant")


def test_law_outlives_what_leaves_the_values_alone() -> None:
    p = with_gradient()
    p.requires_grad_(False)
    _ = p * 2
    clear_grad(p)
    nn.init.zeros_(Parameter([1.0]))  # another parameter changes
    assert p.law is not None


def test_copies_have_laws_of_their_own() -> None:
    p = drawn()
    clone = copy.deepcopy(p)
    assert isinstance(clone, Parameter)
    assert clone.law == p.law
    clone.data = clone.data
    assert clone.law is None
    assert p.law is not None


def test_a_pickled_parameter_goes_on_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    pickled = pickle.dumps(drawn())
    monkeypatch.setattr(clock, "now", 0)  # as there
    p = pickle.loads(pickled)
    assert p.law is not None
    (p * p).sum().backward()
    assert p.grad is not None


def test_clear_grad() -> None:
    p = with_gradient()
    clear_grad(p, set_to_none=False)
    assert p.grad is not None
    assert p.grad.tolist() == np.zeros(p.shape).tolist()
    clear_grad(p)
    assert p.grad is None
    clear_grad(p, set_to_none=False)
    assert p.grad is None


def test_convert_keeps_values_gradient_and_law() -> None:
    p = with_gradient()
    values, law = p.tolist(), p.law
    convert(p, tg.float64)
    assert p.dtype == tg.float64
    assert p.tolist() == values
    assert p.law == law is not None
    assert p.grad is not None
    assert p.grad.dtype == tg.float64
    assert p.requires_grad
