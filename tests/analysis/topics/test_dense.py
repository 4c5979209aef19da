"""A dense layer: the derived moments, and what random networks show."""

from __future__ import annotations

import numpy as np
import sympy as sp

from analysis.symbolic.expectation import E, Var, assuming
from analysis.topics import derive
from analysis.topics.dense import ANY_W, DELTA, N_IN, N_OUT, W, Y


def remarks(name: str) -> dict[str, sp.Expr]:
    return {step.name: step.rhs for step in derive(name).steps if step.role == "remark"}


def test_forward() -> None:
    assert derive("dense-forward").result == N_IN * Var(W) * E(Y**2)


def test_forward_cases() -> None:
    cases = remarks("dense-forward")
    assert cases["the lecture's form"] == N_IN * Var(W) * Var(Y)
    general = cases["weights with a mean"].subs(E(ANY_W), 0)
    assert sp.expand(assuming(general, {ANY_W: W}) - derive("dense-forward").result) == 0


def test_the_lecture_s_form_names_what_it_needs() -> None:
    (lecture,) = (s for s in derive("dense-forward").steps if s.name == "the lecture's form")
    assert "E[Y] = 0" in lecture.assumption


def test_backward() -> None:
    derivation = derive("dense-backward")
    (slope,) = (e for e in derivation.result.atoms(E) if e != E(DELTA**2))
    assert derivation.result == N_OUT * Var(W) * E(DELTA**2) * slope
    assert str(slope) == "E[phi'(X)**2]"
    assert any("independent" in assumption for assumption in derivation.given)


def test_the_gradient_is_derived_from_the_layer() -> None:
    (lemma,) = (s for s in derive("dense-backward").steps if s.role == "lemma")
    assert isinstance(lemma.lhs, sp.Derivative)
    assert lemma.rhs.limits[0][2] == N_OUT


def test_forward_in_random_layers() -> None:
    """Behind a relu the lecture's form would predict 0.68 of what is measured."""
    rng = np.random.default_rng(0)
    n, networks = 50, 20_000
    y = np.maximum(rng.standard_normal((networks, n)), 0)
    w = rng.uniform(-1, 1, (networks, n))
    z = (w * y).sum(1)
    predicted = n * (1 / 3) * 0.5
    standard_error = np.std(z**2) / np.sqrt(networks)
    assert abs(np.mean(z**2) - predicted) < 5 * standard_error
    lecture = n * (1 / 3) * (0.5 - 1 / (2 * np.pi))
    assert abs(np.mean(z**2) - lecture) > 20 * standard_error
