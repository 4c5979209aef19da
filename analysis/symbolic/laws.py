"""The independent checker: both sides of a claim, evaluated under explicit discrete laws.

The rules of `expectation.py` know algebra; this module knows nothing but the definition
E[f(X)] = sum of p_i f(x_i). It evaluates twice:

* **Random rational laws** in exact arithmetic. One difference refutes the claim at once; agreement
  under several is evidence.
* **Generic laws**, whose atoms and weights are independent symbols. If the two sides are the same
  polynomial in these, the claim holds *for every law*, discrete or not.

Why finitely many atoms suffice. Let d be the largest number of expectations over one law that are
multiplied with each other. Lower terms can be multiplied by E[1] = 1, so the difference of the two
sides is a homogeneous polynomial of degree d in the law m: P(m) is the integral of h(x_1, ..., x_d)
over m(dx_1) ... m(dx_d), for a symmetric h. If P vanishes on all measures with d atoms, then so
does every P(s_1 d_{x_1} + ... + s_d d_{x_d}), whose coefficient at s_1 ... s_d is d! h(x_1, ...,
x_d) (polarization). Hence h = 0, and P(m) = 0 for every m whose moments exist.

A hypothesis on the law changes only what the law is a mixture of; the generic law is a mixture of d
of those extreme laws:

| hypothesis      | extreme laws                                                | atoms of each |
|-----------------|-------------------------------------------------------------|---------------|
| none            | one point                                                   | 1             |
| zero mean       | two points (with k means given: k + 1 points, Winkler 1988) | 2 (k + 1)     |
| symmetric       | x and -x with equal weight, and 0                           | 2             |
| n exchangeable  | the n! permutations of one point, with equal weight         | n!            |

An unknown function f is covered too: its values at the atoms are independent symbols, so a claim
that holds then holds for every f. Variables of one group get a joint law.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from operator import itemgetter
from typing import Any

import sympy as sp
from sympy import Expr
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational

from analysis.symbolic.discrete import (
    GenericNumbers,
    Numbers,
    Plan,
    Point,
    RationalNumbers,
    Undecided,
    plan_laws,
    terms,
)
from analysis.symbolic.expectation import Defined, E, RandomVariable, free_variables, unfold

RANDOM_LAWS = 3
MOST_POINTS = 600  # points of one product of generic laws, beyond which its proof is too costly
MOST_TERMS = 20_000  # likewise for the terms of one polynomial


class Refuted(Exception):
    """The two sides differ under some law."""


@dataclass(frozen=True)
class LawCheck:
    """The outcome of a comparison that found no difference."""

    proved: bool
    evidence: str


def compare(lhs: Expr, rhs: Expr) -> LawCheck:
    """Compare two expressions in expectations under random laws, then under generic ones.

    Returns:
        Whether equality is proved for every law, and how that was established.

    Raises:
        Refuted: the sides differ under some law.
        Undecided: a side cannot be evaluated even under rational laws.
    """
    lhs, rhs = _polynomial_in_parameters(unfold(lhs), unfold(rhs))
    plans = plan_laws(lhs, rhs)
    drawn = _refute(lhs, rhs, plans, seed=0)
    try:
        if _generic_difference(lhs, rhs, plans, drawn):
            raise Refuted("the sides differ under a generic law")
    except Undecided as reason:
        for seed in range(1, RANDOM_LAWS):
            _refute(lhs, rhs, plans, seed)
        return LawCheck(False, f"{RANDOM_LAWS} random rational laws; no proof: {reason}")
    degrees = ", ".join(f"{plan.degree} in {group}" for group, plan in sorted(plans.items()))
    return LawCheck(True, f"generic laws, of degree {degrees}" if plans else "no law left")


def _refute(lhs: Expr, rhs: Expr, plans: Mapping[str, Plan], seed: int) -> int:
    """Compare under random rational laws; returns how many numbers these laws have."""
    numbers = RationalNumbers(seed)
    model = Model(plans, numbers)
    difference = model.value(lhs) - model.value(rhs)
    if difference:
        raise Refuted(f"the sides differ by {difference} under {model.describe()}")
    return numbers.drawn


def _polynomial_in_parameters(lhs: Expr, rhs: Expr) -> tuple[Expr, Expr]:
    """Rename positive parameters so that roots and reciprocals of them become powers.

    A parameter whose root occurs is written as a square, one that is divided by inside an
    expectation as a reciprocal.
    """
    everywhere = lhs.atoms(sp.Pow) | rhs.atoms(sp.Pow)
    averaged = set().union(*(e.atoms(sp.Pow) for s in (lhs, rhs) for e in s.atoms(E, Defined)))
    new = {}
    for p in everywhere:
        if p.base.is_Symbol and p.base.is_positive and p.exp.is_Rational:
            powers = [q.exp for q in everywhere if q.base == p.base and q.exp.is_Rational]
            inverse = any(q.base == p.base and q.exp.is_negative for q in averaged)
            root = 2 if any(e.q == 2 for e in powers) else 1
            new[p.base] = sp.Dummy(positive=True) ** (-root if inverse else root)
    return lhs.xreplace(new), rhs.xreplace(new)


def _generic_difference(lhs: Expr, rhs: Expr, plans: Mapping[str, Plan], drawn: int) -> Any:
    difference = lhs - rhs
    if any(p.exp.is_negative for p in difference.atoms(sp.Pow)):
        difference = sp.together(difference).as_numer_denom()[0]  # a ring cannot divide
    model = Model(plans, GenericNumbers(drawn))
    return model.value(difference)


# ------------------------------------------------------------------------------ evaluation


Values = Mapping[RandomVariable, Any]
Reading = Callable[[Values], Any]


@dataclass
class Model:
    """Explicit laws for all groups, and the value of expressions under them."""

    plans: Mapping[str, Plan]
    numbers: Numbers
    _laws: dict[str, list[Point]] = field(init=False)
    _readings: dict[Any, Reading] = field(init=False, default_factory=dict)
    _means: dict[Expr, Any] = field(init=False, default_factory=dict)
    _unknowns: dict[Any, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._laws = {group: plan.law(self.numbers) for group, plan in sorted(self.plans.items())}

    def value(self, expression: Expr) -> Any:
        """The value of an expression whose random variables are all averaged over."""
        return self._reading(expression)({})

    def _reading(self, expression: Any) -> Reading:
        """The expression as a function of the values its free variables take."""
        if expression not in self._readings:
            reading = self._read(expression)
            if not free_variables(expression):
                constant = reading({})
                reading = lambda at: constant  # noqa: E731
            self._readings[expression] = reading
        return self._readings[expression]

    def _read(self, expression: Any) -> Reading:
        match expression:
            case RandomVariable():
                return itemgetter(expression)
            case sp.Rational():
                return lambda at: self.numbers.number(expression)
            case E():
                return lambda at: self._expectation(expression)
            case Defined():
                return self._reading(expression.definition)
            case sp.Add():
                terms = self._read_all(expression.args)
                return lambda at: sum(term(at) for term in terms)
            case sp.Mul():
                factors = self._read_all(expression.args)
                return lambda at: prod(factor(at) for factor in factors)
            case sp.Pow() if expression.exp.is_Integer:
                base, exponent = self._reading(expression.base), int(expression.exp)
                return lambda at: self.numbers.power(base(at), exponent)
            case sp.Piecewise():
                branches = [(e, self._condition(c)) for e, c in expression.args]
                return lambda at: next(self._reading(e)(at) for e, c in branches if c(at))
            case AppliedUndef():
                arguments = self._read_all(expression.args)
                return lambda at: self._unknown((expression.func, *(a(at) for a in arguments)))
        if free_variables(expression) or expression.has(E):
            raise Undecided(f"{expression} is not rational in its random variables")
        return lambda at: self._unknown(expression, positive=bool(expression.is_positive))

    def _read_all(self, expressions: Iterable[Any]) -> list[Reading]:
        return [self._reading(e) for e in expressions]

    def _condition(self, condition: Any) -> Callable[[Values], bool]:
        match condition:
            case sp.And():
                parts = [self._condition(c) for c in condition.args]
                return lambda at: all(part(at) for part in parts)
            case sp.Or():
                parts = [self._condition(c) for c in condition.args]
                return lambda at: any(part(at) for part in parts)
            case Relational():
                difference = self._reading(condition.lhs - condition.rhs)
                return lambda at: bool(condition.func(self.numbers.sign(difference(at)), 0))
        return lambda at: bool(condition)

    def _unknown(self, key: Any, positive: bool = False) -> Any:
        """A constant of which nothing is known but that equal keys have equal values."""
        if key not in self._unknowns:
            self._unknowns[key] = self.numbers.draw(positive=positive)
        return self._unknowns[key]

    def _expectation(self, e: Expr) -> Any:
        """The mean of each term, a product of means over independent draws (Fubini)."""
        return sum(prod(map(self._mean, _by_draws(term))) for term in terms(e.args[0]))

    def _mean(self, product: Expr) -> Any:
        """The mean of a product that no independence splits, over all draws that occur in it."""
        product = _from_the_first_copy_on(product)
        if product not in self._means:
            draws = sorted({v.draw for v in free_variables(product)})
            generic = isinstance(self.numbers, GenericNumbers)
            if generic and prod(len(self._laws[group]) for group, _ in draws) > MOST_POINTS:
                raise Undecided("the generic law has too many atoms")
            points = [self._points(*draw) for draw in draws]
            self._means[product] = self._average(self._reading(product), points, {})
        return self._means[product]

    def _points(self, group: str, index: int) -> list[Point]:
        """The atoms of one draw: of the law of a group, as taken by the copies of that number."""
        law = self._laws[group]
        if index == 0:
            return law
        return [Point(p.weight, {x.copy(index): v for x, v in p.values.items()}) for p in law]

    def _average(self, argument: Reading, draws: list[list[Point]], at: dict[Any, Any]) -> Any:
        """The mean of the argument over independent draws, the last one innermost."""
        if not draws:
            return argument(at)
        first, *others = draws
        total = self.numbers.number(sp.S.Zero)
        for point in first:
            total += point.weight * self._average(argument, others, at | point.values)
            if isinstance(self.numbers, GenericNumbers) and len(total) > MOST_TERMS:
                raise Undecided("the generic polynomial has too many terms")
        return total

    def describe(self) -> str:
        """The laws, in one line."""
        lines = []
        for group, law in self._laws.items():
            atoms = (
                f"{', '.join(f'{v}={x}' for v, x in p.values.items())} (p={p.weight})" for p in law
            )
            lines.append(f"the law {group}: {'; '.join(atoms)}")
        return " and ".join(lines)


def _by_draws(product: Expr) -> list[Expr]:
    """The factors of a product, multiplied together where they share a draw."""
    parts: list[tuple[set[tuple[str, int]], Expr]] = []
    for factor in sp.Mul.make_args(product):
        draws = {v.draw for v in free_variables(factor)}
        sharing = [part for part in parts if part[0] & draws]
        parts = [part for part in parts if part not in sharing]
        for others, factors in sharing:
            draws, factor = draws | others, factor * factors
        parts.append((draws, factor))
    return [factors for _, factors in parts]


def _from_the_first_copy_on(product: Expr) -> Expr:
    """The same product of independent copies, with these numbered from 0: E[f(X')] = E[f(X)]."""
    free = [v for v in free_variables(product) if not v.exchangeable]
    used = {v.group: sorted({w.index for w in free if w.group == v.group}) for v in free}
    return product.xreplace({v: v.copy(used[v.group].index(v.index)) for v in free})
