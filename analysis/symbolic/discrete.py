"""Discrete laws to try a claim on: how large they must be, and the numbers they are made of.

`laws.py` explains which laws decide an identity. Here they are built: `plan_laws` reads the degree
of the identity in each law, `Plan.law` draws a law of that degree that satisfies the hypotheses of
its variables, from random rationals or from independent symbols (`Numbers`).
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

import sympy as sp
from sympy import Expr
from sympy.polys.rings import ring

from analysis.symbolic.expectation import Defined, E, RandomVariable, free_variables, variables


class Undecided(Exception):
    """The two sides contain something this kind of law cannot evaluate."""


# ------------------------------------------------------------------------------ numbers


class Numbers(Protocol):
    """Where the atoms, the weights and the unknown constants of a law come from."""

    def number(self, rational: Expr) -> Any:
        """A SymPy rational in this arithmetic."""

    def draw(self, *, positive: bool = False) -> Any:
        """A new value that equals no earlier one."""

    def weights(self, count: int) -> list[Any]:
        """Positive numbers with sum 1."""

    def sign(self, x: Any) -> int:
        """-1, 0 or 1."""

    def power(self, x: Any, exponent: int) -> Any:
        """x to an integer power."""


class RationalNumbers:
    """Exact random rationals."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._used: set[Fraction] = {Fraction(0)}
        self.drawn = 0

    def number(self, rational: Expr) -> Fraction:
        return Fraction(int(rational.p), int(rational.q))

    def draw(self, *, positive: bool = False) -> Fraction:
        x = Fraction(0)
        while x in self._used:
            x = Fraction(
                self._random.randint(1 if positive else -60, 60), self._random.randint(1, 20)
            )
        self._used.add(x)
        self.drawn += 1
        return x

    def weights(self, count: int) -> list[Fraction]:
        parts = [self._random.randint(1, 9) for _ in range(count)]
        self.drawn += count
        return [Fraction(part, sum(parts)) for part in parts]

    def sign(self, x: Fraction) -> int:
        return (x > 0) - (x < 0)

    def power(self, x: Fraction, exponent: int) -> Fraction:
        try:
            return x**exponent
        except ZeroDivisionError:
            raise Undecided("a random law divides by zero") from None


class GenericNumbers:
    """Polynomials over the rationals in as many independent symbols as are drawn."""

    def __init__(self, count: int) -> None:
        self._ring, *symbols = ring([f"t{i}" for i in range(count)] or ["t"], sp.QQ)
        self._symbols = iter(symbols)
        self._positive: set[Any] = set()

    def number(self, rational: Expr) -> Any:
        return self._ring(sp.QQ(int(rational.p), int(rational.q)))

    def draw(self, *, positive: bool = False) -> Any:
        try:
            symbol = next(self._symbols)
        except StopIteration:
            raise Undecided("the generic law takes another branch than the random ones") from None
        if positive:
            self._positive.add(symbol)
        return symbol

    def weights(self, count: int) -> list[Any]:
        free = [self.draw(positive=True) for _ in range(count - 1)]
        return [*free, self._ring(1) - sum(free)]

    def sign(self, x: Any) -> int:
        """Known if all terms have one sign and only positive symbols occur."""
        signs = {(c > 0) - (c < 0) for c in x.coeffs()}
        if not signs:
            return 0
        occurring = {g for g in self._ring.gens if x.degree(g) > 0}
        if len(signs) == 1 and occurring <= self._positive:
            return int(signs.pop())
        raise Undecided("a branch depends on the sign of a generic value")

    def power(self, x: Any, exponent: int) -> Any:
        if exponent < 0:
            raise Undecided("a random quantity is divided by")
        return x**exponent


# ------------------------------------------------------------------------------ laws


@dataclass(frozen=True)
class Plan:
    """How large the law of one group must be: its variables, their copies, and its degree."""

    variables: tuple[RandomVariable, ...]
    copies: int
    degree: int

    def law(self, numbers: Numbers) -> list[Point]:
        """A mixture of `degree` extreme laws that satisfy the hypotheses, with drawn numbers."""
        symmetric = any(v.symmetric for v in self.variables)
        zero = symmetric and not any(v.is_nonzero for v in self.variables)
        weights = numbers.weights(self.degree + zero)
        points = [
            Point(weight * p.weight, p.values)
            for weight in weights[: self.degree]
            for p in (self._flipped if symmetric else self._centred)(numbers)
        ]
        if zero:
            points.append(Point(weights[-1], dict.fromkeys(points[0].values, 0 * weights[-1])))
        return points

    def _flipped(self, numbers: Numbers) -> list[Point]:
        """An extreme law of a symmetric group: an atom (and its orbit) and the mirror image."""
        alone = len(self.variables) * self.copies == 1  # then x or -x is positive
        orbit = self._orbit(self._atom(numbers, positive=alone), Fraction(1, 2))
        return [
            Point(p.weight, {x: sign * p.values[x] for x in p.values})
            for p in orbit
            for sign in (1, -1)
        ]

    def _centred(self, numbers: Numbers) -> list[Point]:
        """An extreme law of a group with given means: one atom more than there are means."""
        means = [v for v in self.variables if v.zero_mean]
        weights = numbers.weights(len(means) + 1)
        atoms = [self._atom(numbers) for _ in weights]
        for v in means:  # a centred law may be translated first, so that its last atom is at 0
            atoms[-1][v] = 0 * atoms[-1][v]
        points = [p for w, atom in zip(weights, atoms, strict=True) for p in self._orbit(atom, w)]
        for v in means:
            mean = sum(p.weight * p.values[v] for p in points)
            for p in points:
                p.values.update({v.copy(c): p.values[v.copy(c)] - mean for c in range(self.copies)})
        return points

    def _atom(self, numbers: Numbers, positive: bool = False) -> dict[RandomVariable, Any]:
        """A value for each copy of each variable."""
        cells = [v.copy(c) for v in self.variables for c in range(self.copies)]
        return {x: numbers.draw(positive=positive) for x in cells}

    def _orbit(self, atom: dict[RandomVariable, Any], weight: Any) -> list[Point]:
        """The atom under all permutations of the copies, with equal weight."""
        orders = list(itertools.permutations(range(self.copies)))
        return [
            Point(
                weight * Fraction(1, len(orders)),
                {v.copy(c): atom[v.copy(o)] for v in self.variables for c, o in enumerate(order)},
            )
            for order in orders
        ]


@dataclass(frozen=True)
class Point:
    """An atom of a law: its weight, and the value each variable takes there."""

    weight: Any
    values: dict[RandomVariable, Any]


def plan_laws(*expressions: Expr) -> dict[str, Plan]:
    """The laws that decide an identity between the expressions, by their degree in each law."""
    degrees = _most(map(law_degrees, expressions))
    occurring = set().union(*map(variables, expressions))
    plans = {}
    for group in {v.group for v in occurring}:
        members = sorted((v for v in occurring if v.group == group), key=str)
        bases = tuple(sorted({v.copy(0) for v in members}, key=str))
        if len({(v.exchangeable, v.symmetric) for v in bases}) > 1:
            raise Undecided(f"the variables of group {group} are not alike in their hypotheses")
        copies = 1 + max(v.index for v in members) if bases[0].exchangeable else 1
        plans[group] = Plan(bases, copies, max(1, degrees[group]))
    return plans


def law_degrees(expression: Expr) -> Counter[str]:
    """For each group, how many expectations over its law are multiplied with each other."""
    match expression:
        case E():
            return _most(map(_term_degrees, terms(expression.args[0])))
        case Defined():
            return law_degrees(expression.definition)
        case sp.Add():
            return _most(map(law_degrees, expression.args))
        case sp.Mul():
            return sum(map(law_degrees, expression.args), Counter[str]())
        case sp.Pow() if expression.exp.is_Integer:
            base = law_degrees(expression.base)
            return Counter({g: d * abs(int(expression.exp)) for g, d in base.items()})
    if expression.has(E):
        raise Undecided(f"{expression} is not polynomial in expectations")
    return Counter()


@lru_cache(maxsize=1024)
def terms(expression: Expr) -> tuple[Expr, ...]:
    """The summands of an expression that is multiplied out."""
    return tuple(sp.Add.make_args(sp.expand(expression)))


def _term_degrees(term: Expr) -> Counter[str]:
    """The degrees of E[term] for one product: one for each independent draw, and its constants'."""
    factors = sp.Mul.make_args(term)
    constants = [f for f in factors if not free_variables(f)]
    draws = {v.draw for v in free_variables(term)}
    return Counter(group for group, _ in draws) + sum(map(law_degrees, constants), Counter[str]())


def _most(counters: Any) -> Counter[str]:
    """The largest count of each key."""
    most: Counter[str] = Counter()
    for counter in counters:
        most |= counter
    return most
