"""Gradients are scaled by one factor, and only if they are too long; parameters as a vector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import ArgumentError, DTypeError, GradientError, ShapeError
from tinygrad_edu.nn.utils import clip_grad_norm_, clip_grad_value_


def graded(*gradients: Any) -> list[nn.Parameter]:
    """Parameters with these gradients."""
    ps = []
    for gradient in gradients:
        p = nn.Parameter(np.zeros(np.shape(gradient), np.float32))
        p.grad = tg.tensor(gradient)
        ps.append(p)
    return ps


def gradients(ps: list[nn.Parameter]) -> list[Any]:
    """As lists."""
    return [p.grad.tolist() for p in ps]  # type: ignore[union-attr]


def test_long_gradients_are_scaled_together() -> None:
    ps = graded([3.0, 0.0], [[4.0]])
    total = clip_grad_norm_(ps, 1.0)
    assert total.item() == 5
    assert total.dtype == tg.float32
    np.testing.assert_allclose(gradients(ps)[0], [0.6, 0], rtol=1e-6)
    assert ps[1].grad is not None
    assert ps[1].grad.item() == pytest.approx(0.8, rel=1e-6)
    assert ps[1].grad.dtype == tg.float32


def test_short_gradients_stay_exactly() -> None:
    ps = graded([0.3, 0.1])
    kept = ps[0].grad
    clip_grad_norm_(ps, 1.0)
    assert ps[0].grad is kept


def test_other_norms_and_other_arguments() -> None:
    ps = graded([3.0, -4.0])
    assert clip_grad_norm_(ps[0], 10.0, math.inf).item() == 4
    assert clip_grad_norm_(iter(ps), 10.0, 1).item() == 7
    several = graded([3.0, -4.0], [[12.0]])
    norms = [clip_grad_norm_(several, 100.0, kind).item() for kind in (1, 2, math.inf)]
    assert norms == [19, 13, 12]  # of all gradients as one vector
    assert clip_grad_norm_([nn.Parameter([1.0])], 1.0).item() == 0  # no gradient
    assert clip_grad_norm_([], 1.0).item() == 0


def test_norms_do_not_overflow_in_float32() -> None:
    (p,) = graded([1e30, 1e30])
    clip_grad_norm_([p], 1.0)
    np.testing.assert_allclose(gradients([p])[0], [0.5**0.5] * 2, rtol=1e-6)


def test_infinite_norms() -> None:
    ps = graded([math.inf, 1.0])
    with pytest.raises(GradientError, match="norm inf"):
        clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)
    assert gradients(ps) == [[math.inf, 1]]
    assert clip_grad_norm_(ps, 1.0).item() == math.inf


@pytest.mark.parametrize("options", [{"max_norm": -1}, {"max_norm": 1, "norm_type": 0}])
def test_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        clip_grad_norm_(graded([1.0]), **options)


@pytest.mark.parametrize("given", [nn.Linear(1, 1), [3], 3])
def test_what_has_no_gradient_is_named(given: Any) -> None:
    with pytest.raises(DTypeError, match=r"pass model\.parameters\(\)"):
        clip_grad_norm_(given, 1.0)


def test_a_limit_is_a_number() -> None:
    with pytest.raises(ArgumentError, match="max_norm"):
        clip_grad_norm_([tg.zeros(1)], "1")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ by value, as vector


def test_each_element_is_clamped() -> None:
    ps = [*graded([3.0, -0.5], [[-4.0]]), nn.Parameter([1.0])]
    clip_grad_value_(ps, 1.0)
    assert gradients(ps[:2]) == [[1.0, -0.5], [[-1.0]]]
    assert ps[2].grad is None
    with pytest.raises(ArgumentError, match="clip_value >= 0"):
        clip_grad_value_(ps, -1.0)


def test_parameters_go_to_a_vector_and_back() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.shape == (3 * 2 + 2 + 2 + 1,)
    (vector**2).sum().backward()
    weight = model[0].weight
    np.testing.assert_allclose(weight.grad.numpy(), 2 * weight.detach().numpy())
    nn.utils.vector_to_parameters(2 * vector, model.parameters())
    again = nn.utils.parameters_to_vector(model.parameters())
    np.testing.assert_array_equal(again.detach().numpy(), 2 * vector.detach().numpy())


def test_a_vector_of_the_wrong_length_changes_nothing() -> None:
    model = nn.Linear(3, 2)
    before = model.weight.detach().numpy().copy()
    with pytest.raises(ShapeError, match="8 elements"):
        nn.utils.vector_to_parameters(tg.zeros(7), model.parameters())
    np.testing.assert_array_equal(model.weight.detach().numpy(), before)
    with pytest.raises(ArgumentError, match="no parameters"):
        nn.utils.parameters_to_vector([])
