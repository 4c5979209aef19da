"""The same function, written so that floating point keeps its digits.

``log(1 + exp(x))`` overflows where softplus does not, ``exp(x) - 1`` loses all digits near 0 where
expm1 loses none. `stable` rewrites an expression in terms of such functions of the engine:

    exp(u) - 1                      expm1(u)
    log(1 + v)                      log1p(v), and softplus(u) for v = exp(u)
    any rational function of exp(u) sigmoid, tanh and powers of them
    1 - tanh(u)^2                   4 sigmoid(2u) sigmoid(-2u)
    1 +- tanh(u)                    2 sigmoid(+-2u)
    1 +- erf(u)                     erfc(-+u), where the namespace has it
    sqrt(1 + v) - 1, cosh(u) - 1    v / (1 + sqrt(1 + v)), 2 sinh(u/2)^2
    log(cosh(u))                    |u| + log1p(exp(-2|u|)) - log(2), near 0 by log1p, too

The rational functions are the heart of it. With E = exp(w), every P(E) / Q(E) is first freed of its
factors E, E + 1 and E - 1, for which E/(1 + E) = sigmoid(w) and (E - 1)/(E + 1) = tanh(w/2). What
is left of P over a power of 1 + E becomes a polynomial in sigmoid(w) and sigmoid(-w), none of which
exceeds 1. Any other Q is evaluated in exp(-|w|).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import sympy as sp
from sympy import Expr, Piecewise, Symbol

E = sp.Dummy("E", positive=True)
LARGEST_DEGREE = 16
"""Of a polynomial in exp(w) that is taken apart."""

EXPONENTIAL = (sp.exp, sp.sinh, sp.cosh)


class expm1(sp.Function):  # type: ignore[misc]
    """exp(x) - 1, inert."""


class log1p(sp.Function):  # type: ignore[misc]
    """log(1 + x), inert."""


class sigmoid(sp.Function):  # type: ignore[misc]
    """1 / (1 + exp(-x)), inert."""


class softplus(sp.Function):  # type: ignore[misc]
    """log(1 + exp(x)), inert."""


class erfc(sp.Function):  # type: ignore[misc]
    """1 - erf(x), inert: SymPy turns erfc(-x) into 2 - erfc(x), which cancels again."""


def stable(f: Expr, x: Symbol) -> Expr:
    """f in a form that keeps its digits, with the inert functions of this module in it."""
    if not f.has(x) or f.is_Atom:
        return f
    if isinstance(f, sp.Add | sp.Mul | sp.Pow):
        taken_apart = _rational(f, x)
        if taken_apart is not None:
            return taken_apart
    if isinstance(f, sp.Mul):
        return _product(f, x)
    if isinstance(f, sp.Add):
        return _sum(f, x)
    if isinstance(f, sp.log):
        return _logarithm(f.args[0], x)
    return f.func(
        *(stable(argument, x) if isinstance(argument, Expr) else argument for argument in f.args)
    )


# ------------------------------------------------------------------------------ rational in exp


def _rational(f: Expr, x: Symbol) -> Expr | None:
    """f as sigmoids, if x enters by exponentials of multiples of one w only; else None."""
    found = _in_exponential(f, x)
    if found is None:
        return None
    form, w = found
    factored = _Factored.of(form, w)
    return None if factored is None else factored.written()


def _in_exponential(f: Expr, x: Symbol) -> tuple[Expr, Expr] | None:
    """A rational function of E and the w with E = exp(w)."""
    if f.has(sp.sinh, sp.cosh):
        f = f.replace(lambda e: isinstance(e, sp.sinh | sp.cosh), lambda e: e.rewrite(sp.exp))
    exponents = sorted((e.exp for e in f.atoms(sp.exp)), key=sp.default_sort_key)
    exponents = [u for u in exponents if u.has(x)]
    if not exponents:
        return None
    ratios = [sp.cancel(u / exponents[0]) for u in exponents]
    if not all(ratio.is_Rational for ratio in ratios):
        return None
    step = sp.Rational(math.gcd(*(r.p for r in ratios)), math.lcm(*(r.q for r in ratios)))
    if max(abs(r / step) for r in ratios) > LARGEST_DEGREE:
        return None
    powers = {sp.exp(u): E ** (r / step) for u, r in zip(exponents, ratios, strict=True)}
    form = f.xreplace(powers)
    if form.has(x) or not form.is_rational_function(E):
        return None
    w = exponents[0] * step
    return (form.subs(E, 1 / E), -w) if w.could_extract_minus_sign() else (form, w)


class _Factored:
    """E^shift (E - 1)^minus (E + 1)^plus P(E) / Q(E), with E = exp(w)."""

    def __init__(self, P: sp.Poly, Q: sp.Poly, w: Expr) -> None:
        P, above = _divided_out(P, E)
        Q, below = _divided_out(Q, E)
        shift = above - below
        n = math.gcd(shift, *(k for poly in (P, Q) for (k,) in poly.monoms())) or 1
        P, Q = (sp.Poly({(k // n,): c for (k,), c in poly.terms()}, E) for poly in (P, Q))
        self.w, self.shift = n * w, shift // n
        P, above = _divided_out(P, E - 1)
        Q, below = _divided_out(Q, E - 1)
        self.minus = above - below
        self.P, above = _divided_out(P, E + 1)
        self.Q, below = _divided_out(Q, E + 1)
        self.plus = above - below

    @staticmethod
    def of(form: Expr, w: Expr) -> _Factored | None:
        """None if the coefficients are no numbers, or the degree is too high."""
        P, Q = (sp.Poly(part, E) for part in sp.fraction(sp.cancel(sp.together(form))))
        numeric = all(c.is_number for poly in (P, Q) for c in poly.all_coeffs())
        if not numeric or max(P.degree(), Q.degree()) > LARGEST_DEGREE:
            return None
        return _Factored(P, Q, w)

    @property
    def is_power(self) -> bool:
        """Whether only powers of E and E + 1 are left."""
        return self.minus == 0 and self.P.degree() <= 0 and self.Q.degree() == 0

    def written(self) -> Expr | None:
        """In sigmoid(w), sigmoid(-w) and tanh(w/2), or in exp(-|w|)."""
        odd = sp.tanh(self.w / 2) ** self.minus
        plus = self.plus + self.minus  # of the factors E + 1 that are left beside tanh(w/2)
        if self.Q.degree() == 0 and plus <= 0:
            return odd * self._in_sigmoids(self.w, -plus)
        if self.Q.degree() and all(c > 0 for c in self.Q.coeffs()):
            return odd * self._in_decaying(self.w, plus)
        return None

    def _in_sigmoids(self, w: Expr, n: int) -> Expr:
        """E^shift P(E) / (1 + E)^n, term by term."""
        above, below = sigmoid(w), sigmoid(-w)
        terms = []
        for (k,), c in self.P.terms():
            power = k + self.shift
            inside = min(max(power, 0), n)
            rest = sp.exp((power - inside) * w)
            terms.append(c * above**inside * below ** (n - inside) * rest)
        return sp.Add(*terms) / self.Q.LC()

    def _in_decaying(self, w: Expr, plus: int) -> Expr:
        """By powers of exp(-|w|), so that nothing overflows."""
        low = Piecewise((w, w <= 0), (0, True))
        high = Piecewise((0, w <= 0), (w, True))
        P, Q = (
            poly * sp.Poly(E + 1, E) ** max(sign * plus, 0)
            for poly, sign in ((self.P, 1), (self.Q, -1))
        )
        t = sp.exp(low)
        left = t**self.shift * _horner(P.all_coeffs(), t) / _horner(Q.all_coeffs(), t)
        t = sp.exp(-high)
        degree = Q.degree() - P.degree() - self.shift
        right = t**degree * _horner(P.all_coeffs()[::-1], t) / _horner(Q.all_coeffs()[::-1], t)
        return Piecewise((left, w <= 0), (right, True))


def _divided_out(poly: sp.Poly, factor: Expr) -> tuple[sp.Poly, int]:
    """The polynomial without the factor, and how often it was in it."""
    divisor, count = sp.Poly(factor, E), 0
    while poly.degree() > 0:
        quotient, remainder = poly.div(divisor)
        if not remainder.is_zero:
            break
        poly, count = quotient, count + 1
    return poly, count


def _horner(coefficients: Iterable[Expr], t: Expr) -> Expr:
    total: Expr = sp.S.Zero
    for c in coefficients:
        total = total * t + c
    return total


# ------------------------------------------------------------------------------ products and sums


def _product(f: Expr, x: Symbol) -> Expr:
    """Factors that are exponentials of x belong together; the others stand by themselves."""
    exponential = [a for a in f.args if a.has(*EXPONENTIAL) and _in_exponential(a, x) is not None]
    if 1 < len(exponential) < len(f.args):
        together = _rational(sp.Mul(*exponential), x)
        if together is not None:
            others = [stable(a, x) for a in f.args if a not in exponential]
            return sp.Mul(together, *others)
    return sp.Mul(*(stable(a, x) for a in f.args))


def _sum(f: Expr, x: Symbol) -> Expr:
    constant, rest = f.as_coeff_Add()
    for term in sp.Add.make_args(rest) if constant else ():
        coefficient, function = term.as_coeff_Mul()
        joined = _joined(constant, coefficient, function, x)
        if joined is not None:
            return sp.Add(
                joined, *(stable(t, x) for t in rest.args if t != term) if rest.is_Add else ()
            )
    return sp.Add(*(stable(term, x) for term in f.args))


def _joined(a: Expr, b: Expr, function: Expr, x: Symbol) -> Expr | None:
    """a + b * function, with a = b or a = -b, without the cancellation; None elsewhere."""
    base, power = function.as_base_exp()
    if isinstance(function, sp.exp) and a == -b:
        return b * expm1(stable(function.exp, x))
    if isinstance(function, sp.tanh) and a in (b, -b):
        return 2 * a * sigmoid(2 * b / a * stable(function.args[0], x))
    if isinstance(base, sp.tanh) and power == 2 and a == -b:
        u = 2 * stable(base.args[0], x)
        return 4 * a * sigmoid(u) * sigmoid(-u)
    if isinstance(function, sp.erf) and a in (b, -b):
        return a * erfc(-b / a * stable(function.args[0], x))
    if isinstance(function, sp.cosh) and a == -b:
        return 2 * b * sp.sinh(stable(function.args[0], x) / 2) ** 2
    if isinstance(function, sp.cos) and a == -b:
        return 2 * a * sp.sin(stable(function.args[0], x) / 2) ** 2
    if power == sp.Rational(1, 2) and base.as_coeff_Add()[0] == 1 and a == -b:
        v = stable(base - 1, x)
        return b * v / (1 + sp.sqrt(1 + v))
    return None


# ------------------------------------------------------------------------------ logarithms


def _logarithm(argument: Expr, x: Symbol) -> Expr:
    """log(argument)"""
    exponential = _in_exponential(argument, x)
    if exponential is not None:
        form, w = exponential
        factored = _Factored.of(form, w)
        if factored is not None and factored.is_power and factored.plus:
            return _log_of_sigmoids(factored)
    if isinstance(argument, sp.cosh):
        return _log_cosh(stable(argument.args[0], x))
    constant, rest = argument.as_coeff_Add()
    if constant == 1:
        return log1p(stable(rest, x))
    return sp.log(stable(argument, x))


def _log_of_sigmoids(factored: _Factored) -> Expr:
    """log(c E^shift (1 + E)^plus)"""
    c, w = sp.log(factored.P.LC() / factored.Q.LC()), factored.w
    if factored.shift == -factored.plus:
        return c + factored.plus * softplus(-w)
    return c + factored.shift * w + factored.plus * softplus(w)


def _log_cosh(u: Expr) -> Expr:
    small = u**2 < 1
    near = Piecewise((u, small), (0, True))
    far = softplus(-2 * sp.Abs(u)) + sp.Abs(u) - sp.log(2)
    return Piecewise((log1p(2 * sp.sinh(near / 2) ** 2), small), (far, True))
