"""From a formula to a rule: a function ``rule(m, x)`` over any of the engine's namespaces.

The expression tree becomes a short list of steps, common subexpressions once, each of which calls
functions of the namespace `m`. With `m` the arrays' namespace it runs at NumPy's speed, with the
graph's it can be differentiated, and a compiler reads it as any other rule.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import sympy as sp
from sympy import Expr, Piecewise, Symbol

from analysis.errors import UnsupportedActivation
from analysis.symbolic.pieces import Piece, split
from analysis.symbolic.stable import erfc, expm1, log1p, sigmoid, softplus, stable


class held(sp.Function):  # type: ignore[misc]
    """held(x, c) is c in the dtype of x, and NaN where x is; inert."""


Step = Callable[[Any, list[Any]], Any]
"""Of a namespace and the values so far."""

FUNCTIONS: dict[Any, str] = {
    sp.exp: "exp",
    sp.log: "log",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.tan: "tan",
    sp.sinh: "sinh",
    sp.cosh: "cosh",
    sp.tanh: "tanh",
    sp.asin: "asin",
    sp.acos: "acos",
    sp.atan: "atan",
    sp.erf: "erf",
    sp.Abs: "abs",
    sp.sign: "sign",
    sp.floor: "floor",
    expm1: "expm1",
    log1p: "log1p",
    sigmoid: "sigmoid",
    softplus: "softplus",
    sp.And: "logical_and",
    sp.Or: "logical_or",
    sp.Max: "maximum",
    sp.Min: "minimum",
    sp.Eq: "eq",
    sp.Ne: "ne",
}
"""SymPy's functions by their names in the engine."""

BY_DEFINITION: dict[Any, Callable[..., Expr]] = {
    sp.erfc: lambda u: 1 - sp.erf(u),
    sp.asinh: lambda u: sp.sign(u) * log1p(sp.Abs(u) + u**2 / (1 + sp.sqrt(1 + u**2))),
    sp.atanh: lambda u: (log1p(u) - log1p(-u)) / 2,
    sp.acosh: lambda u: sp.log(u + sp.sqrt(u**2 - 1)),
    sp.sech: lambda u: 1 / sp.cosh(u),
    sp.csch: lambda u: 1 / sp.sinh(u),
    sp.coth: lambda u: 1 / sp.tanh(u),
    sp.sec: lambda u: 1 / sp.cos(u),
    sp.csc: lambda u: 1 / sp.sin(u),
    sp.cot: lambda u: 1 / sp.tan(u),
}

COMPARISONS: dict[Any, Callable[..., Any]] = {
    sp.StrictLessThan: operator.lt,
    sp.LessThan: operator.le,
    sp.StrictGreaterThan: operator.gt,
    sp.GreaterThan: operator.ge,
}


def rule_of(f: Expr, x: Symbol, careful: bool = True) -> Callable[[Any, Any], Any]:
    """The rule that computes f.

    Args:
        f: a real function of x.
        careful: rewrite it by `stable` first.

    Raises:
        UnsupportedActivation: it has functions that the engine has no op for, or branches that
            cannot be read (`pieces.split`).
    """
    form = written_out(f, x, careful)
    common, (result,) = sp.cse([form], symbols=sp.numbered_symbols("s", sp.Dummy))
    places = {x: 0, **{symbol: i for i, (symbol, _) in enumerate(common, 1)}}
    steps = [_step(expression, places) for _, expression in common]
    last = _step(result, places)

    def rule(m: Any, x: Any) -> Any:
        values = [x]
        for step in steps:
            values.append(step(m, values))
        return last(m, values)

    return rule


def written_out(f: Expr, x: Symbol, careful: bool = True) -> Expr:
    """f in functions of the engine, its branches as a chain of intervals of x."""
    for function, definition in BY_DEFINITION.items():
        f = f.replace(function, definition)

    def form(g: Expr) -> Expr:
        return stable(g, x) if careful else g

    return _chain(f, x, form) if f.has(Piecewise) else form(f)


def derivative(f: Expr, x: Symbol) -> Expr:
    """f', at a kink the value that the engine's ops have there: 0 for abs, one half each for a tie
    of maximum or minimum, elsewhere that of the branch the kink belongs to (of the left one, if the
    formula does not say)."""
    slope = sp.diff(f, x).replace(sp.DiracDelta, lambda *arguments: sp.S.Zero)
    slope = slope.replace(lambda e: isinstance(e, sp.Mul), _without_signs)
    if not slope.has(Piecewise) or slope.has(sp.sign, sp.Heaviside):
        return slope
    *pieces, last = split(slope, x)
    branches = [
        (piece.expression, x < piece.high if _is_right(slope, piece, after, x) else x <= piece.high)
        for piece, after in zip(pieces, [*pieces[1:], last], strict=True)
    ]
    return Piecewise(*branches, (last.expression, True), evaluate=False)


def _is_right(slope: Expr, left: Piece, right: Piece, x: Symbol) -> bool:
    """Whether the kink between them belongs to the right piece alone."""
    holds = (_holds_at(slope, piece.expression, x, left.high) for piece in (left, right))
    return list(holds) == [False, True]


def _without_signs(product: Expr) -> Expr:
    """u sign(u) = |u|"""
    for factor in product.args:
        if isinstance(factor, sp.sign) and factor.args[0] in product.args:
            return product / factor / factor.args[0] * sp.Abs(factor.args[0])
    return product


# ------------------------------------------------------------------------------ branches


def _chain(f: Expr, x: Symbol, form: Callable[[Expr], Expr]) -> Expr:
    """The pieces of f from the outside in, so that NaN, for which no comparison holds, arrives at
    one that is not constant, and stays NaN."""
    pieces = _merged(f, x)
    inner = next((i for i, piece in enumerate(pieces) if piece.expression.has(x)), len(pieces) - 1)
    branches: list[tuple[Expr, Any]] = []
    for i, piece in enumerate(pieces):
        if i < inner:
            owned = _holds_at(f, piece.expression, x, piece.high)
            branches.append((_inside(piece, x, form), x <= piece.high if owned else x < piece.high))
    for i, piece in reversed(list(enumerate(pieces))):
        if i > inner:
            owned = _holds_at(f, piece.expression, x, piece.low)
            branches.append((_inside(piece, x, form), x >= piece.low if owned else x > piece.low))
    points = [
        (f.subs(x, piece.low), sp.Eq(x, piece.low))
        for left, piece in pairwise(pieces)
        if not _holds_at(f, left.expression, x, piece.low)
        and not _holds_at(f, piece.expression, x, piece.low)
    ]
    last = _inside(pieces[inner], x, form)
    if not last.has(x):
        last = held(x, last)
    if not branches and not points:
        return last
    return Piecewise(*points, *branches, (last, True), evaluate=False)


def _merged(f: Expr, x: Symbol) -> list[Piece]:
    """Neighbours of one formula as one piece."""
    merged: list[Piece] = []
    for piece in split(f, x):
        if merged and merged[-1].expression == piece.expression:
            before = merged.pop()
            if not _holds_at(f, piece.expression, x, piece.low):
                merged.append(before)
            else:
                piece = Piece(piece.expression, before.low, piece.high)
        merged.append(piece)
    return merged


def _holds_at(f: Expr, formula: Expr, x: Symbol, point: Expr) -> bool:
    """Whether f has the formula's value at a point."""
    difference = (f.subs(x, point) - formula.subs(x, point)).evalf(30, chop=True)
    return bool(difference.is_number and difference.is_finite and abs(difference) < 1e-25)


def _inside(piece: Piece, x: Symbol, form: Callable[[Expr], Expr]) -> Expr:
    """The formula, evaluated at the nearest end where x is outside: what is not selected must not
    overflow, or 0 * inf would spoil its gradient."""
    formula = piece.expression
    if formula.is_polynomial(x) or (piece.low, piece.high) == (-sp.oo, sp.oo):
        return form(formula)
    inside: Expr = x
    if piece.high != sp.oo:
        inside = Piecewise((piece.high, x >= piece.high), (inside, True), evaluate=False)
    if piece.low != -sp.oo:
        inside = Piecewise((piece.low, x <= piece.low), (inside, True), evaluate=False)
    return form(formula).xreplace({x: inside})


# ------------------------------------------------------------------------------ steps


def _step(e: Any, places: dict[Symbol, int]) -> Step:
    """The step that computes one expression from the values of the symbols in it."""
    if isinstance(e, Symbol):
        place = places[e]
        return lambda m, values: values[place]
    if isinstance(e, Expr) and not e.free_symbols:
        number = _number(e)
        return lambda m, values: number
    if isinstance(e, sp.Add):
        return _sum(e, places)
    if isinstance(e, sp.Mul):
        return _product(e, places)
    if isinstance(e, sp.Pow):
        base, exponent = e.args
        return _power(base, exponent, places)
    if isinstance(e, Piecewise):
        return _branches(e, places)
    if isinstance(e, sp.Heaviside):  # not 1/2 + sign/2, whose halves a sum would scatter
        sign = _step(sp.sign(e.args[0]), places)
        return lambda m, values: (sign(m, values) + 1) / 2
    if isinstance(e, erfc):
        return _erfc(_step(e.args[0], places))
    if isinstance(e, held):
        return _held(*(_step(argument, places) for argument in e.args))
    if type(e) in COMPARISONS:
        return _folded(COMPARISONS[type(e)], [_step(argument, places) for argument in e.args])
    if isinstance(e, sp.Not):
        (inner,) = (_step(argument, places) for argument in e.args)
        return lambda m, values: m.logical_not(inner(m, values))
    if e.func not in FUNCTIONS:
        raise UnsupportedActivation(
            f"the engine has no {e.func.__name__}; it has " + ", ".join(sorted(FUNCTIONS.values()))
        )
    return _call(FUNCTIONS[e.func], [_step(argument, places) for argument in e.args])


def _number(e: Expr) -> int | float:
    if e.is_Integer and abs(e) < 2**53:
        return int(e)
    value = e.evalf(20)
    if not value.is_real:
        raise UnsupportedActivation(f"{e} is not a real number")
    return float(value)


def _call(name: str, arguments: Sequence[Step]) -> Step:
    if len(arguments) == 1:
        (only,) = arguments
        return lambda m, values: getattr(m, name)(only(m, values))

    def call(m: Any, values: list[Any]) -> Any:
        function = getattr(m, name)
        return functools.reduce(function, (argument(m, values) for argument in arguments))

    return call


def _folded(operation: Callable[[Any, Any], Any], arguments: Sequence[Step]) -> Step:
    """The operation between all arguments, from left to right."""
    first, *others = arguments
    if len(others) == 1:
        (second,) = others
        return lambda m, values: operation(first(m, values), second(m, values))

    def fold(m: Any, values: list[Any]) -> Any:
        total = first(m, values)
        for other in others:
            total = operation(total, other(m, values))
        return total

    return fold


def _sum(e: sp.Add, places: dict[Symbol, int]) -> Step:
    """What is subtracted comes after what is added, numbers come last."""
    terms = sorted(e.args, key=lambda t: not t.free_symbols)
    added = [t for t in terms if t.as_coeff_Mul()[0] > 0]
    taken = [-t for t in terms if t.as_coeff_Mul()[0] < 0]
    minus = [_step(t, places) for t in taken]
    if not added:
        total = _folded(operator.add, minus)
        return lambda m, values: -total(m, values)
    plus = [_step(t, places) for t in added]
    return (
        _folded(operator.sub, [_folded(operator.add, plus) if plus[1:] else plus[0], *minus])
        if minus
        else _folded(operator.add, plus)
    )


def _product(e: sp.Mul, places: dict[Symbol, int]) -> Step:
    """Numerators, then denominators, then the number in front."""
    coefficient, rest = e.as_coeff_Mul()
    above: list[Step] = []
    below: list[Step] = []
    for factor in sp.Mul.make_args(rest):
        base, exponent = factor.as_base_exp()
        if isinstance(factor, sp.Pow) and exponent.is_number and exponent.is_negative:
            below.append(_power(base, -exponent, places))
        else:
            above.append(_step(factor, places))
    p, q = coefficient.as_numer_denom()
    if q.is_Integer and q & (q - 1):  # no power of two: 1/3 would be rounded before it is used
        below.append(_step(q, places))
    else:
        p = coefficient
    if p == -1 and above:
        first = above[0]
        above[0] = lambda m, values: -first(m, values)
    elif p != 1 or not above:
        above.append(_step(p, places))
    numerator = _folded(operator.mul, above) if above[1:] else above[0]
    if not below:
        return numerator
    denominator = _folded(operator.mul, below) if below[1:] else below[0]
    return _folded(operator.truediv, [numerator, denominator])


def _power(base: Expr, exponent: Expr, places: dict[Symbol, int]) -> Step:
    """Small integer powers by multiplication, halves by roots."""
    if exponent.is_number and exponent.is_negative:
        below = _power(base, -exponent, places)
        return lambda m, values: 1 / below(m, values)
    if not base.free_symbols:
        return _step(sp.exp(sp.log(base) * exponent, evaluate=False), places)
    inner = _step(base, places)
    if exponent == 1:
        return inner
    if exponent in (2, 3, 4):
        return _multiplied(inner, int(exponent))
    if exponent == sp.S.Half:
        return lambda m, values: m.sqrt(inner(m, values))
    if exponent.is_Integer or exponent.is_number:
        n = _number(exponent)
        return lambda m, values: m.pow(inner(m, values), n)
    return _call("pow", [inner, _step(exponent, places)])


def _multiplied(inner: Step, n: int) -> Step:
    def power(m: Any, values: list[Any]) -> Any:
        base = inner(m, values)
        square = base * base
        return square if n == 2 else square * base if n == 3 else square * square

    return power


def _branches(e: Piecewise, places: dict[Symbol, int]) -> Step:
    *others, (last, _) = e.args
    result = _step(last, places)
    for value, condition in reversed(others):
        result = _where(_step(condition, places), _step(value, places), result)
    return result


def _erfc(u: Step) -> Step:
    def step(m: Any, values: list[Any]) -> Any:
        function = getattr(m, "erfc", None)
        return 1 - m.erf(u(m, values)) if function is None else function(u(m, values))

    return step


def _held(x: Step, constant: Step) -> Step:
    def step(m: Any, values: list[Any]) -> Any:
        c = constant(m, values)
        return m.minimum(m.maximum(x(m, values), c), c)

    return step


def _where(condition: Step, a: Step, b: Step) -> Step:
    return lambda m, values: m.where(condition(m, values), a(m, values), b(m, values))
