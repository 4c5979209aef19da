"""Activations of the user's own, as ops of the engine.

>>> mila = activation("x*tanh(log(1 + exp(x + 2)))", name="mila")
>>> mila(tg.tensor([0.0, 1.0]))                        # a function of tensors, like tg.relu
>>> nn.Sequential(nn.Linear(2, 8), mila.Module())      # a layer
>>> analysis.gain(mila), analysis.maps("mila")         # known to the analyzer, by name too

Text is parsed, never evaluated (`text.py`). The rule and its derivative are written in the engine's
careful functions (`stable.py`). Before the op is registered, both are computed on a grid over the
range of doubles and compared with arithmetic of 700 digits; of several ways to write them the most
accurate is taken, and a formula that none of them computes well is refused.
"""

from __future__ import annotations

import itertools
import keyword
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import mpmath
import numpy as np
import sympy as sp
from sympy import Expr

from analysis.errors import NameTaken, UnsupportedActivation
from analysis.symbolic.integrands import guarded
from analysis.symbolic.pieces import kinks
from analysis.symbolic.reading import X, read
from analysis.symbolic.rules import derivative, rule_of
from tinygrad_edu.ops import TABLE, arrays
from tinygrad_edu.ops.kinds import Elementwise

if TYPE_CHECKING:
    from tinygrad_edu import nn
    from tinygrad_edu.graph.tensor import Operand, Tensor

Rule = Callable[[Any, Any], Any]
Partial = Callable[[Any, Any, Any], Any]

DIGITS = 700  # so that exp(-700) beside 1 is not lost
SIZES = (1e-30, 1e-12, 1e-5, 0.013, 0.1, 0.37, 1.1, 2.3, 3.4, 5.0, 8.5, 13, 20, 37, 100, 300, 680)
EXTREMES = (710.0, 1e4, 1e8)
GRID = np.array([sign * size for sign in (-1, 1) for size in (*SIZES, *EXTREMES)])
WORST = 1e-9
"""The largest such error with which a formula is accepted."""


class ActivationOp(Elementwise):
    """An elementwise op that was read from a formula; `expression` is the formula in X."""

    def __init__(self, name: str, expression: Expr, rule: Rule, partial: Partial) -> None:
        rule.__name__, rule.__doc__ = name, f"{expression} at {X}"
        super().__init__(rule, (partial,), result="float")
        self.expression = expression


@dataclass(frozen=True, eq=False)
class CustomActivation:
    """A registered activation: a function of tensors.

    Attributes:
        op: the engine's op.
        error: the largest error of value and derivative that was found on the grid, relative to
            max(|f|, min(|x|, 1)).
    """

    op: ActivationOp
    error: float

    @property
    def name(self) -> str:
        """The op's name."""
        return self.op.name

    @property
    def __name__(self) -> str:
        return self.op.name

    @property
    def expression(self) -> Expr:
        """The formula, in X."""
        return self.op.expression

    def __call__(self, x: Operand) -> Tensor:
        """The activation of each element."""
        from tinygrad_edu.graph.reader import apply
        from tinygrad_edu.graph.value import Value

        if isinstance(x, Value):
            return getattr(Value, self.name)(x)
        return apply(self.op, x)

    @cached_property
    def Module(self) -> type[nn.Activation]:
        """The activation as a class of layers without parameters."""
        from tinygrad_edu import nn

        title = "".join(part.capitalize() for part in self.name.split("_"))
        body = {"function": staticmethod(self), "__doc__": self.op.__doc__}
        return type(title, (nn.Activation,), body)

    def __repr__(self) -> str:
        return f"<activation {self.name}: {self.expression}>"


_registered: dict[str, CustomActivation] = {}


def activation(expression: Any, name: str | None = None) -> CustomActivation:
    """Register an activation function as an op of the engine.

    Args:
        expression: text in x, such as "x*tanh(log(1 + exp(x)))" (parsed, never evaluated), a SymPy
            expression in one symbol, or a function composed of the engine's.
        name: of the op. Without one, a name is made up; the same expression then gives the same op.

    Returns:
        A function of tensors with `.op`, `.Module`, `.expression` and `.error`. Registering the
        same expression under the same name again returns the same object.

    Raises:
        InputError, UnsupportedActivation: the expression cannot be read, needs an op that the
            engine does not have, has infinitely many pieces, is not real, or loses its digits in
            floating point however it is written.
        NameTaken: the name belongs to another op, or is no identifier.
    """
    found = read(expression).expression
    kinks(found, X)  # refuses what has infinitely many pieces
    if name is None:
        same = (a for a in _registered.values() if a.expression == found)
        known = next(same, None)
        if known is not None:
            return known
        name = next(n for i in itertools.count(1) if (n := f"activation_{i}") not in TABLE)
    elif name in _registered and _registered[name].expression == found:
        return _registered[name]
    _check_name(name)
    (rule, value_error), (partial, slope_error) = (
        _most_accurate(f) for f in (found, derivative(found, X))
    )
    op = ActivationOp(name, found, rule, _as_partial(partial, derivative(found, X)))
    made = _registered[name] = CustomActivation(op, max(value_error, slope_error))
    _give_to_values(op)
    return made


def _check_name(name: str) -> None:
    if name in TABLE or hasattr(arrays, name):
        raise NameTaken(f"{name!r} names another op of the engine; choose another name.")
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name) or name[0] == "_":
        raise NameTaken(f"{name!r} cannot name an op; use letters, digits and underscores.")


def _give_to_values(op: ActivationOp) -> None:
    """The scalar engine's Values have a method for each op."""
    from tinygrad_edu.graph import value

    if not hasattr(value.Value, op.name):
        setattr(value.Value, op.name, value._method(op))


def _as_partial(rule: Rule, slope: Expr) -> Partial:
    """The derivative as the engine wants it: a mask where it is 0 or 1, and never a bare number."""
    if not slope.has(X):
        number = float(slope)
        return lambda m, y, x: m.where(x <= 0, number, number)
    if isinstance(slope, sp.Piecewise) and len(slope.args) == 2:
        (low, condition), (high, _) = slope.args
        if {low, high} == {sp.S.Zero, sp.S.One}:
            mask = rule_of_condition(condition if low == 1 else sp.Not(condition))
            return lambda m, y, x: mask(m, x)
    return lambda m, y, x: rule(m, x)


def rule_of_condition(condition: Any) -> Rule:
    """A comparison as a rule."""
    return rule_of(condition, X, careful=False)


# ------------------------------------------------------------------------------ accuracy


def _most_accurate(f: Expr) -> tuple[Rule, float]:
    """Of the ways to write f the most accurate, and its error on the grid."""
    reference = _reference(f)
    best: tuple[Rule, float, float] | None = None
    for form, careful in _forms(f):
        rule = rule_of(form, X, careful)
        relative, scaled = _errors(rule, reference)
        if best is None or relative < best[1]:
            best = rule, relative, scaled
        if relative < 1e-14:
            break
    assert best is not None
    rule, relative, scaled = best
    if not scaled <= WORST:
        raise UnsupportedActivation(
            f"{f} loses its digits in floating point: the error reaches {scaled:.1e} on the range "
            "of doubles; write it so that no large terms cancel, with softplus, sigmoid, expm1 ..."
        )
    return rule, scaled


def _forms(f: Expr) -> Iterator[tuple[Expr, bool]]:
    """The same function in several ways, the most promising first, and whether to make it stable;
    each is only computed if the one before was not good enough."""
    yield f, True
    if f.has(X) and not f.has(sp.Piecewise) and sp.count_ops(f) < 200:
        yield sp.factor_terms(sp.together(f)), True
        yield sp.factor(sp.together(f)) if f.is_rational_function(X) else sp.expand(f), True
    yield f, False


def _reference(f: Expr) -> dict[float, Any]:
    """f on the grid, with many digits; without the points at which it has no finite value."""
    precise = guarded(f, X)
    values = {}
    with mpmath.workdps(DIGITS):
        for x in GRID:
            try:
                value = precise(mpmath.mpf(x))
            except ZeroDivisionError:
                continue
            if mpmath.im(value) != 0:
                raise UnsupportedActivation(f"{f} is not real at x = {x:g}")
            if mpmath.isfinite(value) and abs(value) < 1e300:
                values[float(x)] = mpmath.re(value)
    return values


def _errors(rule: Rule, reference: dict[float, Any]) -> tuple[float, float]:
    """The largest error relative to |f|, and relative to max(|f|, min(|x|, 1))."""
    x = np.array(list(reference))
    with np.errstate(all="ignore"):
        computed = np.broadcast_to(np.asarray(rule(arrays, x), np.float64), x.shape)
    relative = scaled = 0.0
    for at, value, exact in zip(x, computed, reference.values(), strict=True):
        if not np.isfinite(value):
            return np.inf, np.inf
        error = float(abs(mpmath.mpf(value) - exact))
        size = float(abs(exact))
        scaled = max(scaled, error / max(size, min(abs(at), 1.0)))
        if size > 1e-290:  # subnormal numbers have fewer digits
            relative = max(relative, error / size)
    return relative, scaled
