"""Every op of the table has every property of `checks.py`.

A new op must be given a case in `samples.py`, or `test_every_op_has_a_case` fails.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ops import checks
from tests.ops.cases import CASES
from tests.ops.own import OWN
from tests.ops.samples import RULES, Sample
from tinygrad_edu import Value
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.ops import TABLE

SOURCES = {"random"}
"""Ops without an operand that varies: `test_draws.py` has them."""

EXAMPLES = settings(max_examples=15)
FEW = settings(max_examples=3)  # exact algebra is slow, and one point proves a whole interval

every_op = pytest.mark.parametrize("name", sorted(CASES))
every_rule = pytest.mark.parametrize("name", sorted(RULES))


def test_every_op_has_a_case() -> None:
    assert set(CASES) == set(OWN) - SOURCES


@every_op
@EXAMPLES
@given(data=st.data())
def test_value(name: str, data: st.DataObject) -> None:
    checks.check_value(TABLE[name], data.draw(CASES[name].samples))


@every_op
@EXAMPLES
@given(data=st.data())
def test_gradient(name: str, data: st.DataObject) -> None:
    checks.check_gradient(TABLE[name], data.draw(CASES[name].samples))


@every_op
@EXAMPLES
@given(data=st.data())
def test_second_order(name: str, data: st.DataObject) -> None:
    checks.check_second_order(TABLE[name], data.draw(CASES[name].samples))


@every_op
@EXAMPLES
@given(data=st.data())
def test_tangent(name: str, data: st.DataObject) -> None:
    checks.check_tangent(TABLE[name], data.draw(CASES[name].samples))


@every_op
@EXAMPLES
@given(data=st.data())
def test_inference(name: str, data: st.DataObject) -> None:
    checks.check_inference(TABLE[name], data.draw(CASES[name].samples))


@every_rule
@FEW
@given(data=st.data())
def test_sympy_proves_the_partials(name: str, data: st.DataObject) -> None:
    samples = CASES[name].samples.filter(lambda s: all(x.size for x in s.xs))
    checks.check_symbolic_partials(TABLE[name], data.draw(samples))


@every_rule
@EXAMPLES
@given(data=st.data())
def test_floats_and_arrays_agree(name: str, data: st.DataObject) -> None:
    checks.check_float_reader(TABLE[name], data.draw(CASES[name].samples))


@every_op
@EXAMPLES
@given(data=st.data())
def test_float32_stays_float32(name: str, data: st.DataObject) -> None:
    checks.check_float32(TABLE[name], data.draw(CASES[name].samples))


VALUE_METHODS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "neg": lambda a: -a,
    "abs": abs,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "where": lambda c, a, b: a.where(c, b),
    "clamp": lambda x, low, high: x.clamp(low.data, high.data),
    "hardtanh": lambda x, low, high: x.hardtanh(low, high),
}
"""How a `Value` spells ops that are not methods of the same name."""

TENSORS_ONLY = {"logical_and", "logical_or", "logical_not"}


@pytest.mark.parametrize("name", sorted(set(RULES) - TENSORS_ONLY))
@EXAMPLES
@given(data=st.data())
def test_value_and_tensor_agree(name: str, data: st.DataObject) -> None:
    """The scalar engine gives a tensor's value and gradients, for one element of a sample."""
    sample = data.draw(CASES[name].samples.filter(lambda s: all(x.size for x in s.xs)))
    op = TABLE[name]
    numbers = [x.flat[0].item() for x in sample.xs]
    values = [Value(float(x)) for x in numbers]
    method = VALUE_METHODS.get(name) or (lambda x, *xs, **params: getattr(x, name)(*xs, **params))
    y = method(*values, **sample.params)

    one = Sample(tuple(np.array(x) for x in numbers))
    which = checks.influential(op, one)
    operands = checks.tensors(one, which)
    expected = apply(op, *operands, **sample.params)
    checks.assert_close(name, float(y), expected.item(), checks.VALUE_ULPS, checks.size(*numbers))
    if not which:
        return
    y.backward()
    expected.backward()
    for i in which if name != "clamp" else [0]:  # a Value's bounds are numbers
        gradient = operands[i].grad
        assert gradient is not None
        wanted = gradient.item()
        checks.assert_close(
            f"{name}, operand {i}", values[i].grad, wanted, checks.VALUE_ULPS, checks.size(wanted)
        )
