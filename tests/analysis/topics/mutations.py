"""Wrong right-hand sides, made systematically from right ones.

`mutants` changes one thing at a time: a coefficient, a sign, an exponent, a term or factor that is
left out or doubled, two sizes or indices swapped, two branches swapped. Now and then the result is
still true (a term that is 0 under the hypotheses may be dropped); `still_true` finds these out
without the law checker, by the rewriting rules.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp
from sympy import Expr

from analysis.symbolic.derivation import Claim
from analysis.symbolic.expectation import (
    Cov,
    Defined,
    E,
    RandomVariable,
    Var,
    assuming,
    definition,
    identical_copies,
    independence,
    linearity,
    symmetry,
    unfold,
    zero_mean,
)
from analysis.symbolic.indexed import expand_sums
from analysis.symbolic.powersums import equality_patterns

RULES = (
    unfold,
    definition,
    linearity,
    equality_patterns,
    linearity,
    independence,
    identical_copies,
    symmetry,
    zero_mean,
)


def mutants(rhs: Expr) -> Iterator[Expr]:
    """Every expression that differs from `rhs` by one mutation."""
    seen = {rhs}
    for mutant in _mutants(rhs):
        if mutant not in seen:
            seen.add(mutant)
            yield mutant


def _mutants(e: Expr) -> Iterator[Expr]:
    if isinstance(e, sp.Equality):
        for side in (0, 1):
            for mutant in _mutants(e.args[side]):
                sides = [mutant if i == side else a for i, a in enumerate(e.args)]
                yield sp.Eq(*sides, evaluate=False)
        return
    yield from (2 * e, -e, e + 1, e**2)
    if e.is_number:
        yield from (e - 1, e + sp.Rational(1, 2))
    yield from _swapped(e)
    yield from _changed_inside(e)


def _swapped(e: Expr) -> Iterator[Expr]:
    """Two symbols of a kind exchanged: n_in and n_out, the indices of a weight."""
    kinds = (
        [s for s in e.free_symbols if isinstance(s, sp.Symbol) and s.is_integer],
        [v for v in e.atoms(RandomVariable) if v.index == 0],
    )
    for symbols in kinds:
        ordered = sorted(symbols, key=str)
        for i, a in enumerate(ordered):
            for b in ordered[:i]:
                yield e.xreplace({a: b, b: a})
    sizes = {s.name: s for s in e.free_symbols if isinstance(s, sp.Symbol)}
    for name, other in (("n_in", "n_out"), ("n_out", "n_in")):
        if name in sizes:
            yield e.xreplace({sizes[name]: sp.Symbol(other, integer=True, positive=True)})


def _changed_inside(e: Expr) -> Iterator[Expr]:
    """One node of the expression changed."""
    if isinstance(e, sp.Rational):
        yield e + 1
    elif isinstance(e, sp.Symbol) and not isinstance(e, RandomVariable):
        yield 2 * e
    elif isinstance(e, sp.Indexed | sp.IndexedBase):
        return
    elif isinstance(e, E | Var | Cov):
        yield from (2 * e, e + 1)
    elif isinstance(e, sp.Piecewise):
        (first, condition), (second, _) = e.args[:2]
        yield sp.Piecewise((second, condition), (first, True))
    elif not e.args:
        return
    if isinstance(e, sp.Add | sp.Mul):
        yield from (e.func(*(a for a in e.args if a != dropped)) for dropped in e.args)
    if isinstance(e, sp.Add):
        yield from (e - 2 * term for term in e.args)
    if isinstance(e, sp.Sum):
        yield from (sp.Sum(changed, *e.limits) for changed in _changed_inside(e.function))
    elif isinstance(e, sp.Add | sp.Mul | sp.Pow | E | Var):
        for i, a in enumerate(e.args):
            for changed in _changed_inside(a):
                yield e.func(*(changed if j == i else b for j, b in enumerate(e.args)))


def still_true(claim: Claim, mutant: Expr) -> bool:
    """Whether the mutant equals the right side all the same, by rules alone."""
    if isinstance(mutant, sp.Equality):
        pairs = zip(mutant.args, claim.rhs.args, strict=True)
        return all(_equal_by_rules(claim, a, b) for a, b in pairs)
    return _equal_by_rules(claim, mutant, claim.rhs)


def _equal_by_rules(claim: Claim, a: Expr, b: Expr) -> bool:
    random = {v: w for v, w in claim.where.items() if isinstance(v, RandomVariable)}
    values = {v: w for v, w in claim.where.items() if v not in random}
    difference = assuming(a - b, random).xreplace(values)
    while difference.has(Defined):
        difference = difference.replace(lambda e: isinstance(e, Defined), lambda e: e.definition)
    for rule in RULES:
        difference = rule(difference)
    if difference.has(sp.Sum):
        difference = expand_sums(difference)
    return bool(sp.simplify(difference) == 0)
