"""Rules read as text: the expressions compute what the rules compute."""

from __future__ import annotations

import math

import pytest

from tests.graph.operands import OPERANDS
from tinygrad_edu import ops
from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph import text
from tinygrad_edu.ops import floats


def namespace(xs: tuple[float, ...]) -> dict[str, object]:
    names: dict[str, object] = {name: getattr(floats, name) for name in floats.__all__}
    return {**names, **{f"x{i}": x for i, x in enumerate(xs)}}


@pytest.mark.parametrize("name", OPERANDS)
def test_expression_of_every_rule(name: str) -> None:
    op = ops.TABLE[name]
    for xs in OPERANDS[name]:
        expression = text.rule(op, [f"x{i}" for i in range(len(xs))])
        assert eval(expression, namespace(xs)) == op.rule(floats, *xs)


@pytest.mark.parametrize("name", OPERANDS)
def test_expression_of_every_partial(name: str) -> None:
    op = ops.TABLE[name]
    for xs in OPERANDS[name]:
        y = float(op.rule(floats, *xs))
        operands = [x != 0 if i < op.selects else x for i, x in enumerate(xs)]
        for i, partial in enumerate(op.partials):
            expression = text.pull(op, i, "g", "y", [f"x{i}" for i in range(len(xs))])
            if partial is None:
                assert expression is None
                continue
            assert expression is not None
            found = eval(expression, {**namespace(xs), "g": 3.0, "y": y})
            assert found == pytest.approx(3.0 * partial(floats, y, *operands), rel=1e-15)


def test_parameters_have_no_partial() -> None:
    assert text.pull(ops.leaky_relu, 1, "g", "y", ["x0", "x1"]) is None


def test_shape_of_expressions() -> None:
    assert text.rule(ops.relu, ["x"]) == "(0.0 if (x <= 0.0) else x)"
    assert text.pull(ops.add, 0, "g", "y", ["a", "b"]) == "g"
    assert text.pull(ops.sub, 1, "g", "y", ["a", "b"]) == "-g"
    assert text.pull(ops.mul, 0, "g", "y", ["a", "b"]) == "g * b"
    assert text.pull(ops.relu, 0, "g", "y", ["x"]) == "(g if (not (x <= 0.0)) else 0.0)"
    assert eval((text.Text("x") * math.inf).source, {"x": -1.0, "inf": math.inf}) == -math.inf


def test_a_rule_must_not_decide() -> None:
    with pytest.raises(TraceError, match=r"m\.where"):
        text.Text("x") or None
    with pytest.raises(AttributeError):
        _ = text.reader.no_such_function


def test_primitives_define_what_expressions_call() -> None:
    marked = []
    scope: dict[str, object] = {"primitive": lambda f: marked.append(f.__name__) or f}
    exec(text.primitives(), scope)
    assert set(floats.__all__) - set(scope) == {"pi", "sqrt2", "sqrtpi"}
    assert "sigmoid" in marked
    assert scope["sigmoid"](0.0) == 0.5  # type: ignore[operator]
