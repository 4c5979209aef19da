"""Whether two expressions are equal, how that is known, and never `simplify` before a refutation.

`verify` tries, in this order, what is cheap and what is decisive:

1. normal forms of the difference, with expectations as symbols: a proof if nothing is left;
2. refutation at random points or under random laws, in exact or 30-digit arithmetic;
3. proofs: generic laws, sums at degree + 1 sizes, `simplify`, derivative and boundary value;
4. agreement to 30 digits, which is no proof, must be asked for, and is labelled as what it is.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import sympy as sp
from sympy import Expr, Symbol
from sympy.core.function import AppliedUndef

from analysis.errors import AnalysisError, UnsupportedActivation, Unverified
from analysis.symbolic import laws
from analysis.symbolic.discrete import Undecided
from analysis.symbolic.expectation import E, variables, written_out
from analysis.symbolic.indexed import expand_sums
from analysis.symbolic.pieces import split
from analysis.symbolic.powersums import degree_bounds, instantiate, symbolic_sizes
from analysis.symbolic.radicals import vanishes

DIGITS = 30
AGREEMENT = sp.Float(10) ** (8 - DIGITS)  # relative; what 30-digit evaluation may lose
RANDOM_POINTS = 3
COSTLY = (sp.Sum, sp.Integral, sp.Limit, sp.Piecewise)  # to evaluate to 30 digits
BEYOND_LAWS = (sp.Indexed, sp.Sum, sp.Product, sp.Integral, sp.Derivative, sp.Limit)
LARGEST_SIZE, SMALL_SIZE = 9, 2  # of integers there; the smaller one where sums are written out


class Grade(StrEnum):
    """How a step is known to hold, the strongest first; the letter marks it in print."""

    NORMAL_FORM = "P"
    EVERY_LAW = "G"
    POLYNOMIAL = "n"
    DERIVATIVE = "D"
    RANDOM_LAWS = "L"
    NUMERICAL = "N"

    @property
    def meaning(self) -> str:
        """What the letter stands for."""
        return _MEANING[self]

    @property
    def is_proof(self) -> bool:
        """Whether nothing is left to chance or rounding."""
        return self not in (Grade.RANDOM_LAWS, Grade.NUMERICAL)

    @property
    def weakness(self) -> int:
        """Its place in the order from strongest to weakest."""
        return list(Grade).index(self)


_MEANING = {
    Grade.NORMAL_FORM: "proved by normal form: the difference of the two sides simplifies to 0",
    Grade.EVERY_LAW: "proved for every law that satisfies the hypotheses",
    Grade.POLYNOMIAL: "proved for every size n: polynomial in n, equal at degree + 1 points",
    Grade.DERIVATIVE: "proved by equal derivative and boundary value",
    Grade.RANDOM_LAWS: "exact for random rational laws",
    Grade.NUMERICAL: f"numerical only, to {DIGITS} digits",
}


@dataclass(frozen=True)
class Verdict:
    """That a claim holds, and how this was established."""

    grade: Grade
    evidence: str


def weakest(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on several claims together."""
    return max(verdicts, key=lambda verdict: verdict.grade.weakness)


def verify(
    lhs: Expr,
    rhs: Expr,
    *,
    boundary: tuple[Symbol, Expr] | None = None,
    numerical: bool = False,
) -> Verdict:
    """Establish lhs = rhs; for two equations, that left sides and right sides agree.

    Args:
        boundary: (v, v0): a proof may compare derivatives in v, and values at v0.
        numerical: accept agreement to 30 digits if there is no proof.

    Raises:
        Unverified: the claim is wrong, or no check could establish it; the message says which.
    """
    if isinstance(lhs, sp.Equality) and isinstance(rhs, sp.Equality):
        sides = zip(lhs.args, rhs.args, strict=True)
        return weakest([verify(a, b, boundary=boundary, numerical=numerical) for a, b in sides])
    if lhs == rhs:
        return Verdict(Grade.NORMAL_FORM, "identical")
    if not variables(lhs) | variables(rhs):
        return _verify_algebra(_unfold(lhs), _unfold(rhs), boundary, numerical)
    if lhs.has(*BEYOND_LAWS) or rhs.has(*BEYOND_LAWS):
        return _verify_algebra(*_moments_as_symbols(lhs, rhs), boundary, numerical)
    if sp.expand(lhs - rhs) == 0:
        return Verdict(Grade.NORMAL_FORM, "expand")
    return _verify_under_laws(lhs, rhs, boundary, numerical)


def verify_solution(equation: sp.Equality, unknown: Expr, solution: Expr) -> Verdict:
    """Establish that the solution solves the equation, and that no other (positive) one does.

    Raises:
        Unverified: it does not, or the equation is neither linear in the unknown nor purely
            quadratic with unknown and solution positive.
    """
    if unknown.is_positive and not written_out(solution).is_positive:
        raise Unverified(f"{unknown} is positive, and {solution} is not known to be")
    u = sp.Dummy(positive=True)
    difference = (equation.lhs - equation.rhs).xreplace({unknown: u})
    verdict = verify(difference.xreplace({u: solution}), sp.S.Zero)
    polynomial = sp.Poly(sp.together(difference).as_numer_denom()[0], u)
    leading = sp.factor(polynomial.LC())
    if polynomial.degree() == 1:
        return Verdict(verdict.grade, f"by substitution; the only one if {leading} is not 0")
    if polynomial.degree() == 2 and polynomial.nth(1) == 0 and unknown.is_positive:
        return Verdict(verdict.grade, "by substitution; the only positive one")
    raise Unverified(f"{equation} may have further solutions for {unknown}")


# ------------------------------------------------------------------------------ random variables


def _verify_under_laws(
    lhs: Expr, rhs: Expr, boundary: tuple[Symbol, Expr] | None, numerical: bool
) -> Verdict:
    """Compare under explicit laws, with symbolic sizes at enough concrete ones to decide."""
    sizes = sorted(symbolic_sizes(lhs) | symbolic_sizes(rhs), key=str)
    try:
        points = [_deciding_points(lhs - rhs, n) for n in sizes]
        checks = [
            laws.compare(instantiate(lhs, at), instantiate(rhs, at))
            for values in itertools.product(*points)
            for at in [dict(zip(sizes, values, strict=True))]
        ]
    except laws.Refuted as why:
        raise Unverified(str(why)) from None
    except (Undecided, ValueError) as why:
        try:  # it may be an identity between moments, whatever they are
            return _verify_algebra(*_moments_as_symbols(lhs, rhs), boundary, numerical)
        except Unverified as neither:
            raise Unverified(f"no law decides it: {why}; as algebra, {neither}") from None
    worst = min(checks, key=lambda check: check.proved)
    evidence = worst.evidence if not worst.proved else checks[-1].evidence
    for n, values in zip(sizes, points, strict=True):
        evidence += f", at {n} = {', '.join(map(str, values))}"
    if not worst.proved:
        return Verdict(Grade.RANDOM_LAWS, evidence)
    return Verdict(Grade.POLYNOMIAL if sizes else Grade.EVERY_LAW, evidence)


def _moments_as_symbols(lhs: Expr, rhs: Expr) -> tuple[Expr, Expr]:
    lhs, rhs = _unfold(lhs), _unfold(rhs)
    moments = {e: sp.Dummy(positive=e.is_nonnegative) for e in lhs.atoms(E) | rhs.atoms(E)}
    return lhs.xreplace(moments), rhs.xreplace(moments)


def _deciding_points(difference: Expr, n: Symbol) -> list[int]:
    low, high = degree_bounds(difference, n)
    return list(range(1, high - low + 2))  # not 0, where 1/n has no value, and n q(n) = 0 always


# ------------------------------------------------------------------------------ algebra


def _unfold(expression: Expr) -> Expr:
    """Replace what merely stands for something: definitions, derivatives, products, limits,
    polynomial integrals."""
    expression = written_out(expression).replace(
        lambda e: isinstance(e, sp.Derivative | sp.Product | sp.Limit),
        lambda e: e.doit(sums=False, integrals=False),
    )
    return expression.replace(sp.Integral, _integrate_polynomial)


def _integrate_polynomial(integrand: Expr, limits: Expr) -> Expr:
    """By the power rule; any other integral is left alone, for `integrate` may never return."""
    x, low, high = limits
    if low == high:
        return sp.S.Zero
    if not integrand.is_polynomial(x):
        return sp.Integral(integrand, limits)
    antiderivative = sp.Poly(integrand, x).integrate().as_expr()
    return antiderivative.subs(x, high) - antiderivative.subs(x, low)


def _verify_algebra(
    lhs: Expr, rhs: Expr, boundary: tuple[Symbol, Expr] | None, numerical: bool
) -> Verdict:
    if lhs == rhs:
        return Verdict(Grade.NORMAL_FORM, "identical, written out")
    if integrals := _certified_integrals(lhs, rhs):
        lhs, rhs = lhs.xreplace(integrals), rhs.xreplace(integrals)
        verdict = _verify_algebra(lhs, rhs, boundary, numerical)
        return weakest([Verdict(Grade.DERIVATIVE, "antiderivatives"), verdict])
    difference = lhs - rhs
    if not (lhs.has(*COSTLY) or rhs.has(*COSTLY)):
        _agreement(lhs, rhs, points=1)
    if form := _vanishing_form(difference):
        return Verdict(Grade.NORMAL_FORM, form)
    if boundary is not None and _equal_slope_and_value(difference, *boundary):
        return Verdict(Grade.DERIVATIVE, f"d/d{boundary[0]}, and the value at {boundary[1]}")
    agreement = None
    if numerical or not (lhs.has(sp.Integral) or rhs.has(sp.Integral)):
        agreement = _agreement(lhs, rhs, RANDOM_POINTS)
    if _simplifies_to_zero(difference):
        return Verdict(Grade.NORMAL_FORM, "simplify")
    if numerical and agreement is not None:
        return Verdict(Grade.NUMERICAL, f"{RANDOM_POINTS} points, differing by {agreement:.0e}")
    raise Unverified("no check could establish it, and none refuted it")


def _equal_slope_and_value(difference: Expr, v: Symbol, v0: Expr) -> bool:
    slope, value = sp.diff(difference, v), _unfold(difference.subs(v, v0))
    return bool(_vanishing_form(slope) and _vanishing_form(value))


def _vanishing_form(difference: Expr) -> str | None:
    """The name of a normal form in which the difference is 0."""
    if difference.has(sp.Piecewise) and len(difference.free_symbols) == 1:
        (x,) = difference.free_symbols
        return "expand, branch by branch" if _vanishes_on_each_piece(difference, x) else None
    try:
        if difference.has(sp.Sum):
            return "multiply out under the sums" if vanishes(expand_sums(difference)) else None
        return "multiply out, with roots as symbols" if vanishes(difference) else None
    except sp.PolynomialError:
        return None


def _simplifies_to_zero(difference: Expr) -> bool:
    """By SymPy's heuristics, which may take long on what is not 0."""
    if difference.has(sp.Piecewise, sp.Sum, sp.Integral, sp.Indexed, AppliedUndef):
        return False
    try:
        return bool(sp.simplify(difference) == 0)
    except (sp.PolynomialError, NotImplementedError):
        return False


def _vanishes_on_each_piece(difference: Expr, x: Symbol) -> bool:
    """Whether it is 0 on each interval where its formula stays the same, and between them."""
    try:
        pieces = split(difference, x)
    except UnsupportedActivation:
        return False
    ends = [piece.low for piece in pieces[1:]]
    return all(sp.simplify(piece.expression) == 0 for piece in pieces) and all(
        sp.simplify(difference.subs(x, end)) == 0 for end in ends
    )


def _certified_integrals(lhs: Expr, rhs: Expr) -> dict[Expr, Expr]:
    """The closed form of each Gaussian expectation that has one, each proved."""
    from analysis.symbolic.gaussian import GaussianExpectation, certified

    nodes = lhs.atoms(GaussianExpectation) | rhs.atoms(GaussianExpectation)
    try:
        values = {node: certified(*node.args) for node in nodes}
    except AnalysisError as why:
        raise Unverified(f"an expectation does not exist: {why}") from None
    return {node: value for node, value in values.items() if value is not None}


def _agreement(lhs: Expr, rhs: Expr, points: int) -> float | None:
    """The largest relative difference at random points, None where they cannot be evaluated.

    Raises:
        Unverified: the sides differ.
    """
    lhs, rhs = _with_known_functions(lhs), _with_known_functions(rhs)
    labels = {base.label for base in lhs.atoms(sp.IndexedBase) | rhs.atoms(sp.IndexedBase)}
    free = sorted(lhs.free_symbols | rhs.free_symbols, key=str)
    symbols = [s for s in free if isinstance(s, Symbol) and s not in labels]
    largest = SMALL_SIZE if lhs.has(sp.Sum) or rhs.has(sp.Sum) else LARGEST_SIZE
    rng = random.Random(0)
    worst = 0.0
    for _ in range(points):
        point = {s: _random_value(s, rng, largest) for s in symbols}
        a, b = _number(lhs, point), _number(rhs, point)
        if a is None or b is None:
            return None
        error = abs(a - b) / max(1, abs(a))
        if error > AGREEMENT:
            where = ", ".join(f"{s} = {v}" for s, v in point.items())
            raise Unverified(f"the sides are {a.n(10)} and {b.n(10)}" + (where and f" at {where}"))
        worst = max(worst, float(error))
    return worst


def _with_known_functions(expression: Expr) -> Expr:
    """The expression with a positive polynomial for each unknown function, always the same."""
    if not expression.has(AppliedUndef):
        return expression

    def polynomial(f: Expr) -> Expr:
        rng, (x,) = random.Random(f.func.__name__), f.args
        return rng.randint(5, 9) + rng.randint(1, 3) * x + rng.randint(1, 9) * x**2

    known = expression.replace(lambda e: isinstance(e, AppliedUndef), polynomial)
    return known.doit(sums=False, integrals=False)


def _random_value(symbol: Expr, rng: random.Random, largest: int) -> Expr:
    if symbol.is_integer:
        return sp.Integer(rng.randint(1, largest))
    return sp.Rational(
        rng.randint(1, 999) * (1 if symbol.is_positive else rng.choice((-1, 1))), 1000
    )


def _number(expression: Expr, point: dict[Symbol, Expr]) -> Expr | None:
    """The value with 30 digits, or None if there is none."""
    from analysis.symbolic.gaussian import GaussianExpectation

    expression = expression.xreplace(point)
    if any(sp.oo in limits for total in expression.atoms(sp.Sum) for limits in total.limits):
        return None
    if expression.has(sp.Indexed):
        expression = _with_random_elements(expression)
    nodes = expression.atoms(GaussianExpectation)
    if nodes:
        from analysis.symbolic.quadrature import evaluate

        try:
            expression = expression.xreplace({node: evaluate(node, DIGITS) for node in nodes})
        except AnalysisError:
            return None
    value = sp.N(expression, DIGITS, maxn=400)
    return value if value.is_number and value.is_finite and value.is_comparable else None


def _with_random_elements(expression: Expr) -> Expr:
    """The expression with its sums written out and numbers for the elements, always the same."""
    expression = expression.replace(sp.Sum, _written_out_sum)
    elements = sorted(expression.atoms(sp.Indexed), key=str)
    return expression.xreplace(
        {e: _random_value(e, random.Random(str(e)), LARGEST_SIZE) for e in elements}
    )


def _written_out_sum(summand: Expr, *limits: tuple[Symbol, Expr, Expr]) -> Expr:
    for i, low, high in limits:
        values = range(int(low), int(high) + 1)
        summand = sp.Add(*(summand.xreplace({i: sp.Integer(value)}) for value in values))
    return summand
