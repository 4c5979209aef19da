"""Sums over indexed quantities in normal form, against writing them out."""

from __future__ import annotations

import pytest
import sympy as sp
from sympy import Expr, KroneckerDelta, Sum

from analysis.symbolic.indexed import depending, expand_sums
from analysis.symbolic.printing import latex, plain

m = sp.Symbol("m", integer=True, positive=True)
i, j, k = sp.symbols("i j k", integer=True)
y, w = (sp.IndexedBase(name, real=True) for name in "yw")
a = sp.Symbol("a", real=True)


def total(f: Expr, index: sp.Symbol = i) -> Sum:
    return Sum(f, (index, 1, m))


EQUAL = [
    (total(a * y[i] + i), a * total(y[j], j) + m * (m + 1) / 2),
    (total((y[i] - a) ** 2), total(y[i] ** 2) - 2 * a * total(y[i]) + m * a**2),
    (total(y[i]) * total(w[k], k), Sum(y[i] * w[j], (i, 1, m), (j, 1, m))),
    (Sum(KroneckerDelta(i, j) * y[i] * w[j], (i, 1, m), (j, 1, m)), total(y[i] * w[i])),
    (Sum((KroneckerDelta(i, j) - 1 / m) ** 2, (i, 1, m), (j, 1, m)), m - 1),
    (total(total(y[j], j) ** 2), m * total(y[i]) ** 2),
]


@pytest.mark.parametrize(("lhs", "rhs"), EQUAL, ids=str)
def test_equal_sums_have_one_normal_form(lhs: Expr, rhs: Expr) -> None:
    assert sp.simplify(expand_sums(lhs) - expand_sums(rhs)) == 0
    assert sp.simplify(expand_sums(lhs) - expand_sums(rhs + y[1])) != 0


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("expression", [side for pair in EQUAL for side in pair], ids=str)
def test_the_normal_form_is_the_same_number(expression: Expr, size: int) -> None:
    def written_out(e: Expr) -> Expr:
        return sp.expand(e.xreplace({m: sp.Integer(size)}).doit())

    assert written_out(expression) == written_out(expand_sums(expression))


def test_a_delta_is_resolved_only_if_its_index_is_in_range() -> None:
    n = sp.Symbol("n", integer=True, positive=True)
    rest = sp.Symbol("r", integer=True, nonnegative=True)
    assert expand_sums(Sum(KroneckerDelta(i, n) * y[i], (i, 1, n + rest))) == y[n]
    assert expand_sums(total(KroneckerDelta(i, n) * y[i])).has(Sum)
    longer = Sum(KroneckerDelta(i, j) * y[i], (i, 1, m), (j, 1, m + 1))
    assert expand_sums(longer).has(KroneckerDelta)


def test_what_depends_on_something_prints_by_its_name_alone() -> None:
    mean = depending("mu", y[k], real=True)
    assert plain(mean) == "mu"
    assert latex(mean) == r"\mu"
    assert plain(sp.Derivative(mean, y[k])) == "dmu/dy[k]"
    assert sp.diff(mean**2, y[k]) == 2 * mean * sp.Derivative(mean, y[k])
