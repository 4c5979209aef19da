"""Text is parsed, never evaluated; what is not an expression in x is refused, and says why."""

from __future__ import annotations

import time

import pytest
import sympy as sp

from analysis.errors import InputError
from analysis.symbolic.text import LARGEST_EXPONENT, LONGEST, X, functions, is_expression, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x*tanh(log(1 + exp(x)))", X * sp.tanh(sp.log(1 + sp.exp(X)))),
        ("where(x > 0, x, 0.1*x)", sp.Piecewise((X, X > 0), (X / 10, True))),
        ("x if x > 0 else 0", sp.Piecewise((X, X > 0), (0, True))),
        ("max(x, 0)", sp.Max(X, 0)),
        ("minimum(x, 1)", sp.Min(X, 1)),
        ("abs(x) + sign(x)", sp.Abs(X) + sp.sign(X)),
        ("erf(x/sqrt(2))", sp.erf(X / sp.sqrt(2))),
        ("leaky_relu(x, negative_slope=0.2)", sp.Piecewise((X, X > 0), (X / 5, True))),
        ("where(x > 0 and not x > 1, x, 0)", sp.Piecewise((X, (X > 0) & (X <= 1)), (0, True))),
        ("e**x - 2*pi", sp.exp(X) - 2 * sp.pi),
        ("pow(x, 3)/x**-1", X**4),
        ("+x - -1e-3", X + sp.Rational(1, 1000)),
    ],
)
def test_what_is_read(text: str, expected: sp.Expr) -> None:
    assert sp.simplify(parse(text) - expected) == 0


REFUSED = {
    "x.__class__": "not allowed",
    "().__class__.__bases__": "not allowed",
    "__import__('os').system('true')": "cannot be called",
    "__import__('os')": "no function is named",
    "eval('x')": "no function is named",
    "(lambda: x)()": "cannot be called",
    "[x for x in (1,)]": "not allowed",
    "x[0]": "not allowed",
    "f'{x}'": "not allowed",
    "(x := 3)": "not allowed",
    "await x": "not allowed",
    "relu(*x)": "not allowed before an argument",
    "relu(x": "not an expression",
    "x = 3": "not an expression",
    "'x'": "not a real number",
    "True": "not a real number",
    "1j*x": "not a real number",
    "sqrt(-1)*x": "not real and finite",
    "log(0)*x": "not real and finite",
    "x/0": "division by 0",
    "0**-1 + x": "division by 0",
    "0 < x < 1": "compares twice",
    "where(0 < x < 1, x, 0)": "compares twice",
    "where(x, 1, 2)": "no condition",
    "(x > 0)*x": "not a number",
    "x > 0": "not a number",
    "x is x": "only <",
    "x ^ 2": r"write \*\*",
    "~x": "write not",
    "x // 2": "only",
    "x % 2": "only",
    "x @ x": "only",
    "y*x": "'y' is unknown",
    "relu(x, x)": "too many",
    "relu(x, slope=1)": "unexpected keyword",
    "swosh(x)": "no function is named",
    "x**1000": "exponent above",
    "2**2**2**2**2": "exponent above",
    "9**9**9": "exponent above",
    "((x**9)**9)**9": "exponent above",
    "exp(exp(exp(10)))": "powers of ten",
    "1e400": "above 1e100",
    "1" * 500: "above 1e100",
    "\u03c3(x)": "only ASCII",
    "\uff45xp(x)": "only ASCII",  # a full-width e, which Python would read as e
    "": "an expression in x",
    "x+" * LONGEST: "an expression in x",
    "-" * 500 + "x": "inside one another",
    "(" * 300 + "x" + ")" * 300: "not an expression",
    "+".join("x" * 400): "inside one another",
    "x\0": "not an expression",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:24]))
def test_what_is_refused(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(InputError, match=REFUSED[text]):
        parse(text)
    assert time.perf_counter() - start < 5  # at once, whatever it would have computed


def test_the_message_is_short_however_long_the_text() -> None:
    with pytest.raises(InputError) as error:
        parse("f(" + "x+" * 90 + "x)")
    assert len(str(error.value)) < 600


def test_every_op_of_the_table_that_gives_numbers_may_be_called() -> None:
    assert {"relu", "gelu", "mish", "tanh", "where", "clamp", "max", "min"} <= set(functions())
    assert not {"lt", "logical_and", "matmul", "softmax"} & set(functions())
    for name in ("tanh", "silu", "hardswish", "softplus"):
        assert parse(f"{name}(x)").has(X)


def test_the_largest_exponent_is_allowed() -> None:
    assert parse(f"x**{LARGEST_EXPONENT}") == X**LARGEST_EXPONENT


def test_bare_names_are_no_expressions() -> None:
    assert not is_expression("tanh")
    assert is_expression("x")
    assert is_expression("tanh(x)")
