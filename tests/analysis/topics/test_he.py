"""He's variance rests on the engine's own relu, and on symmetry alone."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from analysis.symbolic.expectation import E, RandomVariable, Var
from analysis.symbolic.namespace import symbolic
from analysis.symbolic.reading import X
from analysis.topics import derive
from analysis.topics.dense import N_IN, N_OUT, W
from analysis.topics.he import he
from tinygrad_edu import ops


def named(fragment: str) -> sp.Expr:
    (step,) = (step for step in derive("he").steps if fragment in step.name)
    return step.rhs


def test_result() -> None:
    assert derive("he").result == sp.Eq(Var(W), 2 / N_IN)


def test_backward_and_leaky() -> None:
    a = sp.Symbol("a", real=True)
    assert named("so backward") == sp.Eq(Var(W), 2 / N_OUT)
    assert sp.simplify(named("which is kept by").rhs - 2 / ((1 + a**2) * N_IN)) == 0
    Z = RandomVariable("Z", symmetric=True)
    assert sp.expand(named("leaky relu with slope") - (1 + a**2) * E(Z**2) / 2) == 0


def test_the_rule_is_the_engine_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert named("the engine's own rule") == ops.relu.rule(symbolic, X)
    wrong = type("Op", (), {"name": "relu", "partials": (None,), "rule": lambda m, x: 2 * x})
    wrong.rule = staticmethod(lambda m, x: m.where(x <= 0, 0, 2 * x))  # type: ignore[attr-defined]
    monkeypatch.setitem(ops.TABLE, "relu", wrong)
    with pytest.raises(ValueError, match="whatever the sign"):
        he()


@pytest.mark.parametrize("law", ["uniform", "laplace", "two points"])
def test_half_the_second_moment_for_any_symmetric_law(law: str) -> None:
    rng = np.random.default_rng(1)
    size = 200_000
    z = {
        "uniform": rng.uniform(-1, 1, size),
        "laplace": rng.laplace(size=size),
        "two points": rng.choice([-1.0, 1.0], size),
    }[law]
    share = np.maximum(z, 0) ** 2 - z**2 / 2
    assert abs(share.mean()) < 5 * share.std() / np.sqrt(size)
