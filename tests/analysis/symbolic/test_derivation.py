"""A derivation states nothing that was not checked."""

from __future__ import annotations

import dataclasses
import json

import pytest
import sympy as sp

from analysis.errors import InputError, NotANumber, Unverified
from analysis.symbolic.derivation import Claim, Derivation, Step
from analysis.symbolic.expectation import (
    E,
    RandomVariable,
    Var,
    definition,
    independence,
    linearity,
)
from analysis.symbolic.verification import Grade

W, Y = RandomVariable("W"), RandomVariable("Y")
Q = RandomVariable("Q", symmetric=True)
n = sp.Symbol("n", positive=True)


def product() -> Derivation:
    start = Derivation(
        "square", "the mean of a square", E((W * Y) ** 2), given=("`W`, `Y` independent",)
    )
    return start.step("independence", independence)


def test_a_true_step_extends_a_new_derivation() -> None:
    start = Derivation("square", "the mean of a square", E((W * Y) ** 2))
    longer = start.step("independence", independence)
    assert start.steps == ()
    assert start.result == start.start
    assert longer.result == E(W**2) * E(Y**2)
    assert longer.grade is Grade.EVERY_LAW


def test_a_false_step_is_refused_by_name_with_both_sides() -> None:
    with pytest.raises(Unverified) as refusal:
        product().step("wishful `thinking`", E(W) ** 2 * E(Y) ** 2)
    message = str(refusal.value)
    for part in (
        "square",
        "wishful thinking",
        "E[W^2]*E[Y^2]",
        "E[W]^2*E[Y]^2",
        "the sides differ",
    ):
        assert part in message


def test_a_false_lemma_remark_or_solution_is_refused() -> None:
    equation = Derivation("variance", "a variance", sp.Eq(n * Var(W), 1))
    for state in (
        lambda: product().lemma("l", Var(W), E(W**2)),
        lambda: product().remark("r", Var(W), E(W**2)),
        lambda: equation.solve(Var(W), n),
        lambda: equation.remark("s", equation.start, n, solve_for=Var(W)),
    ):
        with pytest.raises(Unverified):
            state()


def test_a_step_cannot_be_made_by_hand() -> None:
    (step,) = product().steps
    with pytest.raises(Unverified, match="was not checked"):
        Step("step", "forged", Claim(E(W), E(Y)), "", step.verdict)
    with pytest.raises(Unverified):
        dataclasses.replace(step, claim=Claim(E(W), E(Y)), maker=None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.name = "other"  # type: ignore[misc]


def test_assumptions_apply_where_they_are_stated_only() -> None:
    centred = {W: W.assuming(zero_mean=True)}
    special = product().remark("centred", Var(W), E(W**2), assumption="`E[W] = 0`", where=centred)
    assert special.steps[-1].grade is Grade.EVERY_LAW
    assert special.result == product().result, "a remark does not continue the chain"


def test_a_rule_is_applied_to_both_sides_of_an_equation() -> None:
    equation = Derivation("eq", "an equation", sp.Eq(Var(W), Var(Y)))
    moved = equation.step("definition", lambda e: linearity(definition(e)))
    assert moved.result == sp.Eq(E(W**2) - E(W) ** 2, E(Y**2) - E(Y) ** 2)


def test_the_grade_is_the_weakest_of_steps_and_used_derivations() -> None:
    def positive(v: RandomVariable) -> sp.Expr:
        return sp.Piecewise((0, v <= 0), (v, True))

    weak = Derivation("weak", "a split", E(W)).step("by sign", E(positive(W)) + E(W - positive(W)))
    weak = weak.remark("mirrored", E(positive(Y)) - E(positive(-Y)), E(Y))
    assert weak.grade is Grade.RANDOM_LAWS
    assert Derivation("user", "uses it", weak.result, uses=(weak,)).grade is Grade.RANDOM_LAWS


def test_recheck_finds_a_step_that_does_not_hold() -> None:
    derivation = product()
    assert derivation.recheck() is derivation.grade
    object.__setattr__(derivation.steps[0].claim, "rhs", E(W))
    with pytest.raises(Unverified):
        derivation.recheck()


def test_to_dict_is_json_and_complete() -> None:
    data = json.loads(json.dumps(product().to_dict()))
    assert data["result"] == "E[W^2]*E[Y^2]"
    assert data["grade"] == "G"
    assert data["given"] == ["W, Y independent"]
    assert [step["name"] for step in data["steps"]] == ["independence"]


def test_a_result_can_be_evaluated_by_the_names_it_prints() -> None:
    moments = {"E[W**2]": 3, "E[Y**2]": sp.Rational(1, 2)}
    assert product().evaluate(moments).exact == sp.Rational(3, 2)
    solved = Derivation("equation", "an equation", sp.Eq(n * Var(W), 1, evaluate=False)).solve(
        Var(W), 1 / n
    )
    assert float(solved.evaluate({"n": 4})) == 0.25
    assert solved.evaluate().exact == 1 / n
    with pytest.raises(InputError, match=r"equation: its result speaks of .*n.*, not of m\."):
        solved.evaluate({"m": 4})


def test_float_of_a_derivation() -> None:
    """A number, or an error that names what is open and how to give it."""
    wanted = r'until E\[W\*\*2\], E\[Y\*\*2\] have values; .*\.evaluate\(\{"E\[W\*\*2\]": \.\.\.'
    with pytest.raises(NotANumber, match=wanted):
        float(product())
    with pytest.raises(NotANumber, match=r"until E\[Y\*\*2\] have values"):
        float(product().evaluate({"E[W**2]": 1}))
    half = Derivation("half", "a half", sp.Rational(1, 2))
    assert float(half) == float(half.evaluate()) == 0.5
