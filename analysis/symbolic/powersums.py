"""Moments of sums of n copies, for symbolic n.

The square of a sum has n squares on its diagonal and n (n - 1) products off it. In general a
product of k sums over the same n copies is sorted by which of its k indices are equal:

    E[S_1 ... S_k]  =  sum over the set partitions of {1..k}  of  n (n-1) ... (n-b+1) E[...],

where b is the number of blocks and the expectation takes one copy for each block. This needs no
independence, only that the copies are exchangeable (independent copies of one law are).

Both sides are polynomials in n, so a claim about a symbolic size holds for every n once it holds
at degree + 1 sizes. `instantiate` writes the sums out at one size, `degree_bounds` says how many
sizes are needed; `verification.py` puts the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import sympy as sp
from sympy import Expr, Symbol

from analysis.symbolic.discrete import terms
from analysis.symbolic.expectation import (
    Defined,
    E,
    RandomVariable,
    SumOfCopies,
    free_variables,
    unfold,
)


def equality_patterns(expression: Expr) -> Expr:
    """Resolve the sums inside expectations by which of their indices are equal.

    Each expectation must hold one product; apply `linearity` first. Variables outside the sums are
    left alone: they must not be copies of those inside.
    """
    return expression.replace(E, _resolve)


def _resolve(product: Expr) -> Expr:
    sums: list[SumOfCopies] = []
    others: list[Expr] = []
    for factor in sp.Mul.make_args(product):
        base, exponent = factor.as_base_exp()
        if isinstance(base, SumOfCopies):
            sums += [base] * int(exponent)
        else:
            others.append(factor)
    if not sums:
        return E(product)
    (size,) = {s.size for s in sums}  # sums of different sizes run over different variables
    return sp.Add(
        *(
            falling_factorial(size, len(partition))
            * E(
                sp.Mul(
                    *others, *(sums[i].copy(c) for c, block in enumerate(partition) for i in block)
                )
            )
            for partition in set_partitions(range(len(sums)))
        )
    )


def falling_factorial(n: Expr, count: int) -> Expr:
    """n (n - 1) ... with `count` factors: the ways to choose distinct indices in order."""
    return sp.Mul(*(n - i for i in range(count)))


def set_partitions(items: Sequence[int]) -> Iterator[list[list[int]]]:
    """Every way to put the items into unordered, non-empty blocks."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for partition in set_partitions(rest):
        yield [[first], *partition]
        for i, block in enumerate(partition):
            yield [*partition[:i], [first, *block], *partition[i + 1 :]]


# ------------------------------------------------------------------------------ symbolic sizes


def symbolic_sizes(expression: Expr) -> set[Symbol]:
    """The symbols that count copies somewhere in the expression."""
    return {s.size for s in expression.atoms(SumOfCopies) if isinstance(s.size, Symbol)}


def instantiate(expression: Expr, sizes: dict[Symbol, int]) -> Expr:
    """The expression at concrete sizes, every sum written out."""
    return expression.xreplace({n: sp.Integer(size) for n, size in sizes.items()}).replace(
        lambda e: isinstance(e, SumOfCopies) and e.size.is_Integer,
        lambda s: sp.Add(*(s.copy(i) for i in range(int(s.size)))),
    )


def degree_bounds(expression: Expr, n: Symbol) -> tuple[int, int]:
    """(lowest, highest) power of n that moments of sums of n copies can contain.

    Raises:
        ValueError: the expression is not polynomial in n, 1/n and sums of n copies.
    """
    if not expression.has(n):
        return 0, 0
    if expression == n:
        return 1, 1
    match expression:
        case SumOfCopies():
            return 0, 1  # each index that is free to run gives one factor n
        case E():
            return _extent(_moment_bounds(term, n) for term in terms(unfold(expression.args[0])))
        case Defined():
            return degree_bounds(expression.definition, n)
        case sp.Add():
            return _extent(degree_bounds(a, n) for a in expression.args)
        case sp.Mul():
            lows, highs = zip(*(degree_bounds(a, n) for a in expression.args), strict=True)
            return sum(lows), sum(highs)
        case sp.Pow() if expression.exp.is_Integer:
            low, high = degree_bounds(expression.base, n)
            if expression.exp > 0:
                return low * int(expression.exp), high * int(expression.exp)
            if expression.base == n:
                return int(expression.exp), int(expression.exp)
    raise ValueError(f"{expression} is not polynomial in {n}")


def _moment_bounds(product: Expr, n: Symbol) -> tuple[int, int]:
    """The bounds of E[product]: a moment of sums over n copies alone is divisible by n.

    Raises:
        ValueError: copies are summed that also stand alone, but for the first, or in sums of
            another size: such a moment is polynomial in n only where n is large enough.
    """
    low, high = degree_bounds(product, n)
    bases = {factor.as_base_exp()[0] for factor in sp.Mul.make_args(product)}
    sums = {b for b in bases if isinstance(b, SumOfCopies) and b.size == n}
    summed = {v.group for b in sums for v in free_variables(b)}
    beside = [b for b in bases - sums if summed & {v.group for v in free_variables(b)}]
    if any(b.has(SumOfCopies) or any(v.index for v in free_variables(b)) for b in beside):
        raise ValueError(f"{product} is not polynomial in {n}, but for large {n}")
    return low + bool(sums and not beside), high


def _extent(bounds: Iterable[tuple[int, int]]) -> tuple[int, int]:
    lows, highs = zip(*bounds, strict=True)
    return min(lows), max(highs)


def random_sum(total: sp.Sum, meaning: Mapping[sp.IndexedBase, RandomVariable]) -> SumOfCopies:
    """A sum over indexed quantities, read as one over copies of random variables.

    Each `w[..., i, ...]` under the sum over i becomes the variable that `meaning` gives for `w`.
    """
    (index, _, size) = total.limits[0]
    term = total.function.replace(
        lambda e: isinstance(e, sp.Indexed) and index in e.indices, lambda e: meaning[e.base]
    )
    return SumOfCopies(term, index, size)
