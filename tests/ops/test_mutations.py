"""Break each derivative rule, and see the checks of `checks.py` report it.

Every rule is broken twice, by its sign and by a factor close to 1, for every operand. A mutant that
survives would mean that the same mistake in the table could pass the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample
from sympy.logic.boolalg import Boolean

from tests.ops import checks
from tests.ops.cases import CASES
from tests.ops.checks import influential
from tests.ops.samples import RULES, Sample
from tinygrad_edu.ops import TABLE
from tinygrad_edu.ops.kinds import Elementwise, Op

FACTORS = {"sign": -1.0, "factor": 1.001}

SEARCH = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # any counterexample will do: no shrinking
    suppress_health_check=list(HealthCheck),
)


def reports(check: Callable[[Any, Sample], None], op: Op) -> bool:
    """Whether the check fails on some sample."""

    def fails(sample: Sample) -> bool:
        try:
            check(op, sample)
        except AssertionError:
            return True
        return False

    try:
        find(CASES[op.name].samples, fails, settings=SEARCH)
    except NoSuchExample:
        return False
    return True


def break_rule(monkeypatch: pytest.MonkeyPatch, op: Op, operand: int, factor: float) -> None:
    """Multiply the op's derivative with respect to one operand."""
    true_vjp = op.vjp

    def vjp(m: Any, g: Any, y: Any, xs: Any, wanted: Any, **params: Any) -> list[Any]:
        pulled = true_vjp(m, g, y, xs, wanted, **params)
        if pulled[operand] is not None:
            pulled[operand] = pulled[operand] * factor
        return pulled

    monkeypatch.setattr(op, "vjp", vjp)


def replace_partial(
    monkeypatch: pytest.MonkeyPatch,
    op: Elementwise,
    operand: int,
    change: Callable[[Any, Any], Any],
) -> None:
    """Let one partial of an elementwise rule be `change(m, true partial)`."""
    true_partial = op.partials[operand]
    assert true_partial is not None

    def partial(m: Any, y: Any, *xs: Any, **params: Any) -> Any:
        return change(m, true_partial(m, y, *xs, **params))

    broken = (*op.partials[:operand], partial, *op.partials[operand + 1 :])
    monkeypatch.setattr(op, "partials", broken)


def operands_of(op: Op) -> list[int]:
    """The operands with a derivative; for a concatenation the first stands for all."""
    arity = op.arity if isinstance(op, Elementwise) else 2 if op.kind == "bilinear" else 1
    return influential(op, Sample((np.zeros(()),) * arity))


DERIVATIVES = [(name, operand) for name in sorted(CASES) for operand in operands_of(TABLE[name])]
PARTIALS = [(name, operand) for name, operand in DERIVATIVES if name in RULES]

STRAIGHT = {
    *("add", "sub", "neg", "where", "remainder"),
    *("abs", "clamp", "hardtanh", "leaky_relu", "maximum", "minimum", "relu", "relu6"),
}
"""Straight between their kinks: their second derivatives are zero."""

every_kind = pytest.mark.parametrize("kind", FACTORS)


@every_kind
@pytest.mark.parametrize(("name", "operand"), DERIVATIVES)
def test_gradient_check_reports(
    monkeypatch: pytest.MonkeyPatch, name: str, operand: int, kind: str
) -> None:
    break_rule(monkeypatch, TABLE[name], operand, FACTORS[kind])
    assert reports(checks.check_gradient, TABLE[name])


@every_kind
@pytest.mark.parametrize("name", sorted({name for name, _ in DERIVATIVES}))
def test_tangent_check_reports(monkeypatch: pytest.MonkeyPatch, name: str, kind: str) -> None:
    op = TABLE[name]
    true_jvp = op.jvp

    def jvp(*arguments: Any, **params: Any) -> Any:
        return true_jvp(*arguments, **params) * FACTORS[kind]

    monkeypatch.setattr(op, "jvp", jvp)
    assert reports(checks.check_tangent, op)


@every_kind
@pytest.mark.parametrize(("name", "operand"), PARTIALS)
def test_sympy_check_reports(
    monkeypatch: pytest.MonkeyPatch, name: str, operand: int, kind: str
) -> None:
    def change(m: Any, true: Any) -> Any:
        factor = sp.Rational(FACTORS[kind])
        return m.where(true, factor, 0) if isinstance(true, Boolean) else true * factor

    replace_partial(monkeypatch, rule(name), operand, change)
    assert reports(checks.check_symbolic_partials, TABLE[name])


@pytest.mark.parametrize(("name", "operand"), PARTIALS)
def test_second_order_check_reports(
    monkeypatch: pytest.MonkeyPatch, name: str, operand: int
) -> None:
    """A partial computed as if it were a constant has the right value and the wrong derivative."""

    def change(m: Any, true: Any) -> Any:
        return true if isinstance(true, int) else m.detach(true)

    replace_partial(monkeypatch, rule(name), operand, change)
    assert reports(checks.check_second_order, TABLE[name]) == (name not in STRAIGHT)


@every_kind
@pytest.mark.parametrize("name", sorted(CASES))
def test_value_check_reports(monkeypatch: pytest.MonkeyPatch, name: str, kind: str) -> None:
    op = TABLE[name]
    true_forward = op.forward

    def forward(*xs: Any, **params: Any) -> Any:
        y = true_forward(*xs, **params)
        if y.dtype == np.bool_:
            return np.logical_not(y)
        return y * FACTORS[kind] if y.dtype.kind == "f" else y + 1

    monkeypatch.setattr(op, "forward", forward)
    assert reports(checks.check_value, op)


def rule(name: str) -> Elementwise:
    op = TABLE[name]
    assert isinstance(op, Elementwise)
    return op
