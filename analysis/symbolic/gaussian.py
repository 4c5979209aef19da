"""Gaussian expectations in closed form, without ever calling `integrate`.

Two lemmas cover most activation functions, with a symbolic variance, in milliseconds. With z
standard normal, density phi and distribution function Phi:

**Lemma A** (incomplete moments of polynomial x exponential). M_k = E[z^k; l < z < h] satisfies

    M_0 = Phi(h) - Phi(l),    M_k = (k-1) M_{k-2} + l^(k-1) phi(l) - h^(k-1) phi(h),

from integrating z^(k-1) (z phi(z)) by parts. Completing the square reduces exp(a z - c z^2) to it.
This covers relu, leaky relu, elu, selu, hardtanh, relu6, hardswish, |x|, step, polynomials, exp,
and on the whole line also sin and cos (a may be imaginary there).

**Lemma B** (the erf family). J(k, p) = E[z^k erf(b z)^p exp(-c z^2)], p <= 2: integration by parts
(Stein's identity, with weight exp(-(1+2c) z^2 / 2)) lowers k,

    (1+2c) J(k, p) = (k-1) J(k-2, p) + p (2 b / sqrt(pi)) J(k-1, p-1) at c + b^2,

odd integrands vanish, and J(0, 2) = (2/pi) asin(2 b^2 / (1 + 2c + 2 b^2)) / sqrt(1+2c) (Price 1958;
Williams 1997). This covers erf and gelu.

`certified` additionally proves each value it used: by differentiation in the upper limit (A), by
parts down to the base case and by differentiation in b there (B), and by the value at the other
end. What neither lemma covers stays a `GaussianExpectation`, which prints as what it is and has a
certified numerical value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp
from sympy import Expr, Rational, Symbol

from analysis.errors import DivergentMoment, InvalidLaw
from analysis.symbolic.pieces import split
from analysis.symbolic.radicals import vanishes

Z = Symbol("z", real=True)
MOST_TERMS = 2_000
"""Of an expanded integrand, each of which has a moment to find; quadrature is quicker for more."""


class NotCovered(Exception):
    """Neither lemma covers the integrand."""


class GaussianExpectation(Expr):  # type: ignore[misc]
    """E[f(x)] for x ~ N(mean, variance), inert.

    Deliberately not an `Integral`: `doit` and `simplify` would try to integrate it, and hang.
    """

    is_commutative = True
    is_real = True

    def __new__(cls, f: Any, x: Symbol, mean: Any = 0, variance: Any = 1) -> GaussianExpectation:
        arguments = map(sp.sympify, (f, x, mean, variance))
        self: GaussianExpectation = Expr.__new__(cls, *arguments)
        return self

    @property
    def bound_symbols(self) -> list[Symbol]:
        """The symbol that is integrated over."""
        return [self.args[1]]

    @property
    def free_symbols(self) -> set[Symbol]:
        """All other symbols."""
        f, x, *law = self.args
        return set(f.free_symbols - {x}).union(*(value.free_symbols for value in law))

    def _sympystr(self, printer: Any) -> str:
        f, x, mean, variance = map(printer._print, self.args)
        return f"E[{f}; {x}~N({mean}, {variance})]"

    def _latex(self, printer: Any) -> str:
        f, x, mean, variance = map(printer._print, self.args)
        law = rf"{x}\sim\mathcal{{N}}\left({mean}, {variance}\right)"
        return rf"\mathbb{{E}}_{{{law}}}\left[{f}\right]"


def closed_form(
    f: Expr, x: Symbol, mean: Expr = sp.S.Zero, variance: Expr = sp.S.One
) -> Expr | None:
    """E[f(x)] for x ~ N(mean, variance), or None if neither lemma covers f.

    Mean and variance may be symbolic; a symbolic variance must be declared positive. None means
    that no closed form was found, not that there is none.

    Raises:
        DivergentMoment: the expectation does not exist, or only under a condition that is not known
            to hold; the message names it.
        InvalidLaw: the variance is negative or not known to be positive.
    """
    try:
        return _sum_of_moments(f, x, mean, variance, _value)
    except NotCovered:
        return None


def certified(f: Expr, x: Symbol, mean: Expr = sp.S.Zero, variance: Expr = sp.S.One) -> Expr | None:
    """As `closed_form`, with every lemma instance that it rests on proved by differentiation."""
    try:
        return _sum_of_moments(f, x, mean, variance, _proved_value)
    except NotCovered:
        return None


def _sum_of_moments(
    f: Expr, x: Symbol, mean: Expr, variance: Expr, value: Callable[[Monomial, Expr, Expr], Expr]
) -> Expr:
    sigma = standard_deviation(variance)
    if sigma.is_zero:
        return f.subs(x, mean)
    standardized = mean + sigma * Z
    pieces = split(f, x)
    if any(piece.low.has(sp.Float) for piece in pieces[1:]):
        raise NotCovered("a kink that is known as a decimal number only")
    total = sp.Add(
        *(
            monomial.coefficient
            * value(monomial, (piece.low - mean) / sigma, (piece.high - mean) / sigma)
            for piece in pieces
            for monomial in _monomials(piece.expression.subs(x, standardized))
        )
    )
    total = sp.expand(total)
    if total.has(sp.I):
        total = sp.expand(sp.expand_complex(total))
    if total.has(sp.I):  # f is real, and so is its expectation
        total = sp.expand(total.as_real_imag()[0])
    if total.has(sp.I):
        raise NotCovered("an expectation whose real part is not found")
    return total


def standard_deviation(variance: Expr) -> Expr:
    """sqrt(variance), once the variance is known to be finite and not negative."""
    if not (variance.is_nonnegative and variance.is_finite is not False):
        raise InvalidLaw(
            f"the variance {variance} must be positive; declare a symbolic one as "
            "Symbol('v', positive=True)"
        )
    return sp.sqrt(variance)


# ------------------------------------------------------------------------------ reading


@dataclass(frozen=True)
class Monomial:
    """coefficient * z^k * erf(b z)^p * exp(a z - c z^2)"""

    coefficient: Expr
    k: int
    a: Expr
    c: Expr
    b: Expr
    p: int


def _monomials(expression: Expr) -> Iterator[Monomial]:
    """The terms of a formula in Z; raises NotCovered for anything the lemmas do not know."""
    if _terms(expression) > MOST_TERMS:
        raise NotCovered("too many terms")
    if expression.has(sp.sinh, sp.cosh, sp.sin, sp.cos):
        expression = expression.rewrite(sp.exp)
    for term in sp.Add.make_args(sp.expand(expression)):
        yield _monomial(term)


def _terms(e: Expr) -> int:
    """How many terms an expression may expand to, at most."""
    if isinstance(e, sp.Add):
        return sum(_terms(a) for a in e.args)
    if isinstance(e, sp.Mul):
        return math.prod(_terms(a) for a in e.args)
    if isinstance(e, sp.Pow) and e.exp.is_Integer and e.exp > 0:
        n, k = _terms(e.base), int(e.exp)
        return math.comb(n + k - 1, k)
    return 2 if isinstance(e, sp.sin | sp.cos | sp.sinh | sp.cosh) else 1


def _monomial(term: Expr) -> Monomial:
    coefficient, k, a, c, b, p = sp.S.One, 0, sp.S.Zero, sp.S.Zero, sp.S.Zero, 0
    for factor in sp.Mul.make_args(term):
        base, exponent = factor.as_base_exp()
        if isinstance(factor, sp.exp):
            base, exponent = factor, sp.S.One
        natural = exponent.is_Integer and exponent > 0
        if not factor.has(Z):
            coefficient *= factor
        elif base == Z and natural:
            k += int(exponent)
        elif isinstance(base, sp.exp) and sp.expand(base.exp * exponent).is_polynomial(Z):
            quadratic = sp.Poly(base.exp * exponent, Z)
            if quadratic.degree() > 2:
                raise NotCovered(factor)
            coefficient *= sp.exp(quadratic.nth(0))
            a += quadratic.nth(1)
            c -= quadratic.nth(2)
        elif isinstance(base, sp.erf) and natural:
            scale = sp.cancel(base.args[0] / Z)
            if scale.has(Z) or (p and scale != b):
                raise NotCovered(factor)
            b, p = scale, p + int(exponent)
        else:
            raise NotCovered(factor)
    return Monomial(coefficient, k, a, c, b, p)


def _value(monomial: Monomial, low: Expr, high: Expr) -> Expr:
    """E[z^k erf(b z)^p exp(a z - c z^2); low < z < high]"""
    _require_convergence(monomial, low, high)
    if not monomial.p:
        return exponential_moment(monomial.k, monomial.a, monomial.c, low, high)
    if monomial.a != 0 or monomial.c.has(sp.I) or (low, high) != (-sp.oo, sp.oo):
        raise NotCovered("erf times exp(a z) or oscillations, or on a half line")
    return erf_moment(monomial.k, monomial.p, monomial.b, monomial.c)


def _require_convergence(monomial: Monomial, low: Expr, high: Expr) -> None:
    """The integrand decays if Re(1 + 2c) > 0, with exp(-(1 + 2c) z^2 / 2) its Gaussian part."""
    rate = sp.factor(1 + 2 * monomial.c)
    if rate.has(sp.I):
        rate = sp.re(rate)
    if rate.is_positive:
        return
    if low.is_finite and high.is_finite:
        raise NotCovered("a growing Gaussian on a bounded interval")
    if rate.is_zero:
        raise NotCovered("the Gaussian part cancels; what is left decides convergence")
    remedy = "" if rate.is_negative else "; declare or choose the variance so that it is"
    raise DivergentMoment(
        "the normal density falls no faster than the function grows: with exp(-c z^2) the Gaussian "
        f"factor of the function, 1 + 2c must be positive, and it is {rate}{remedy}"
    )


# ------------------------------------------------------------------------------ lemma A


def density(t: Expr) -> Expr:
    """phi(t), the standard normal density."""
    return sp.S.Zero if t.is_infinite else sp.exp(-(t**2) / 2) / sp.sqrt(2 * sp.pi)


def distribution(t: Expr) -> Expr:
    """Phi(t), the standard normal distribution function."""
    if t.is_infinite:
        return sp.S.One if t == sp.oo else sp.S.Zero
    return sp.erfc(-t / sp.sqrt(2)) / 2


def incomplete_moment(k: int, low: Expr, high: Expr) -> Expr:
    """E[z^k; low < z < high]"""
    if k == 0:
        return distribution(high) - distribution(low)
    boundary = _boundary(k - 1, low) - _boundary(k - 1, high)
    return boundary if k == 1 else (k - 1) * incomplete_moment(k - 2, low, high) + boundary


def _boundary(k: int, t: Expr) -> Expr:
    return sp.S.Zero if t.is_infinite else t**k * density(t)


def exponential_moment(k: int, a: Expr, c: Expr, low: Expr, high: Expr) -> Expr:
    """E[z^k exp(a z - c z^2); low < z < high] for Re(1 + 2c) > 0.

    Raises:
        NotCovered: a or c is not real and an end is finite (this needs the Faddeeva function).
    """
    whole = (low, high) == (-sp.oo, sp.oo)
    if c != 0:  # z = t / r makes the Gaussian part standard again; a complex r turns the line
        if c.has(sp.I) and not whole:
            raise NotCovered("a complex Gaussian on a half line")
        r = sp.sqrt(1 + 2 * c)
        ends = (low, high) if whole else (low * r, high * r)
        return exponential_moment(k, a / r, sp.S.Zero, *ends) / r ** (k + 1)
    if not a.is_real and not whole:
        raise NotCovered("a complex exponential on a half line")
    low, high = (t if t.is_infinite else t - a for t in (low, high))  # z = t + a
    moments = (
        sp.binomial(k, j) * a ** (k - j) * incomplete_moment(j, low, high) for j in range(k + 1)
    )
    return sp.exp(a**2 / 2) * sp.Add(*moments) if a != 0 else incomplete_moment(k, low, high)


# ------------------------------------------------------------------------------ lemma B


def erf_moment(k: int, p: int, b: Expr, c: Expr) -> Expr:
    """E[z^k erf(b z)^p exp(-c z^2)] for 1 + 2c > 0.

    Raises:
        NotCovered: an even power p > 2 of erf is left.
    """
    if (k + p) % 2:
        return sp.S.Zero
    rate = 1 + 2 * c
    if p == 0:
        return sp.factorial2(k - 1) / rate ** Rational(k + 1, 2)
    if k == 0:
        if p > 2:
            raise NotCovered(f"erf to the power {p}")
        return 2 / sp.pi * sp.asin(2 * b**2 / (rate + 2 * b**2)) / sp.sqrt(rate)
    inner = p * 2 * b / sp.sqrt(sp.pi) * erf_moment(k - 1, p - 1, b, c + b**2)
    outer = (k - 1) * erf_moment(k - 2, p, b, c) if k >= 2 else sp.S.Zero
    return (outer + inner) / rate


# ------------------------------------------------------------------------------ certificates


def _proved_value(monomial: Monomial, low: Expr, high: Expr) -> Expr:
    value = _value(monomial, low, high)
    k, p = monomial.k, monomial.p
    if not (lemma_b_holds(k, p) if p else lemma_a_holds(k)):
        raise NotCovered(f"the lemma could not be proved for {monomial}")
    return value


@lru_cache
def lemma_a_holds(k: int) -> bool:
    """Whether `exponential_moment(k, ...)` is the integral it claims to be, for all a, c, low.

    Its derivative in the upper limit must be the integrand, and it must vanish when the limits
    meet. Infinite limits follow by continuity, a complex `a` by analytic continuation.
    """
    a, low, high = sp.symbols("a l h", real=True)
    c = _any_rate()
    moment = exponential_moment(k, a, c, low, high)
    integrand = high**k * sp.exp(a * high - c * high**2) * density(high)
    quotient = (sp.diff(moment, high) / integrand).replace(sp.exp, lambda a: sp.exp(sp.expand(a)))
    return bool(sp.expand(quotient) == 1 and moment.subs(high, low) == 0)


@lru_cache
def lemma_b_holds(k: int, p: int) -> bool:
    """Whether `erf_moment(k, p, ...)` is the integral it claims to be, for all b and c.

    Without erf, lemma A gives the value. The base case k = 0 must vanish at b = 0 and have the
    integral's derivative in b, which has one power of erf less. All others come from it by parts.
    """
    if (k + p) % 2:
        return True  # an odd integrand
    b, c = Symbol("b", positive=True), _any_rate()
    moment = erf_moment(k, p, b, c)
    if p == 0:
        return vanishes(moment - exponential_moment(k, sp.S.Zero, c, -sp.oo, sp.oo))
    if k == 0:
        slope = p * 2 / sp.sqrt(sp.pi) * erf_moment(1, p - 1, b, c + b**2)
        at_zero = bool(moment.subs(b, 0) == 0)
        return vanishes(sp.diff(moment, b) - slope) and at_zero and lemma_b_holds(1, p - 1)
    lower = (k - 1) * erf_moment(k - 2, p, b, c) if k >= 2 else sp.S.Zero
    lower += p * 2 * b / sp.sqrt(sp.pi) * erf_moment(k - 1, p - 1, b, c + b**2)
    proved_below = (k < 2 or lemma_b_holds(k - 2, p)) and lemma_b_holds(k - 1, p - 1)
    return _by_parts(k, p, b, c) and vanishes((1 + 2 * c) * moment - lower) and proved_below


def _by_parts(k: int, p: int, b: Expr, c: Expr) -> bool:
    """Whether z^(k-1) erf(b z)^p exp(-(1+2c) z^2/2) has the slope that lowers k in lemma B."""
    erf, weight = sp.erf(b * Z), sp.exp(-(1 + 2 * c) * Z**2 / 2)
    slope = sp.diff(Z ** (k - 1) * erf**p * weight, Z) / weight
    inner = p * Z ** (k - 1) * erf ** (p - 1) * 2 * b / sp.sqrt(sp.pi) * sp.exp(-(b**2) * Z**2)
    outer = (k - 1) * Z ** (k - 2) * erf**p if k >= 2 else sp.S.Zero
    return bool(sp.expand(slope - inner - outer + (1 + 2 * c) * Z**k * erf**p) == 0)


def _any_rate() -> Expr:
    """A symbolic c with 1 + 2c > 0, written so that SymPy sees 1 + 2c as a square."""
    return (Symbol("s", positive=True) ** 2 - 1) / 2
