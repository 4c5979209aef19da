"""All parameters computed together by kernels end where each alone does by NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.ops import native
from tinygrad_edu.optim import arithmetic

MAKERS = {
    "plain": lambda ps: optim.SGD(ps, lr=0.1),
    "momentum": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True),
    "dampening": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, dampening=0.5),
    "adam": lambda ps: optim.Adam(ps, lr=0.1, weight_decay=0.1),
    "adamw": lambda ps: optim.AdamW(ps, lr=0.1, weight_decay=0.1),
    "rmsprop": lambda ps: optim.RMSprop(ps, lr=0.1, momentum=0.5),
}


def trained(make: Any, dtypes: list[Any], rates: list[float]) -> list[np.ndarray]:
    """Parameters and state after some steps with different learning rates."""
    rng = np.random.default_rng(0)
    shapes = [(30, 40), (40,), (), (7, 5)]
    parameters = [
        nn.Parameter(rng.standard_normal(shape).astype(dtype))
        for shape, dtype in zip(shapes, dtypes, strict=True)
    ]
    optimizer = make(parameters)
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        for p in parameters:
            p.grad = tg.tensor(rng.standard_normal(p.shape).astype(p.dtype))
        optimizer.step()
    kept = [np.asarray(v) for p in parameters for v in optimizer.state[p].values()]
    return [p.detach().numpy() for p in parameters] + kept


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtypes", [[np.float32] * 4, [np.float64, np.float32] * 2])
def test_together_and_alone(name: str, dtypes: list[Any]) -> None:
    rates = [0.1, 0.1, 0.03, np.float64(0.2)]
    found = trained(MAKERS[name], dtypes, rates)
    with native.numpy_only():
        wanted = trained(MAKERS[name], dtypes, rates)
    for a, b in zip(found, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        # Some roundings a step; Adam divides by roots of small squares.
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_one_program_serves_every_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_programs", {})
    trained(MAKERS["adam"], [np.float32] * 4, [0.1, 0.2, 0.3, 0.4])
    programs = [p for (f, *_), p in native._programs.items() if f is arithmetic._of_all]
    assert len(programs) == 1
    assert programs[0] is not None


def test_values_that_were_read_do_not_change() -> None:
    """A step makes new arrays: what was taken before it stays."""
    p = nn.Parameter(np.ones((20, 20), np.float32))
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
    p.grad = tg.ones(20, 20)
    seen = p.detach()
    for _ in range(3):
        optimizer.step()
    assert (seen.numpy() == 1).all()


def test_a_rule_of_ones_own_is_used() -> None:
    class Twice(optim.SGD):
        def rule(self, p: Any, g: Any, state: Any, group: Any) -> Any:
            return super().rule(p, 2 * g, state, group)

    p = nn.Parameter(np.zeros((20, 20), np.float32))
    optimizer = Twice([p], lr=1.0)
    p.grad = tg.ones(20, 20)
    optimizer.step()
    assert (p.detach().numpy() == -2).all()
