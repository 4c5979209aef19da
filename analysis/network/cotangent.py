"""Gradients as linear forms: the mirror image of `sources` and `elements`.

In a wide network the gradient that comes back through W^T is a fresh source: uncorrelated with the
gradients of other branches and with the signal (Yang 2020, "Tensor Programs III", where the last
layer's weights have mean 0 and are used nowhere else). Between such layers it is multiplied by
slopes, which are functions of the forward variables. So a cotangent is a sum of sources, each with
a coefficient that is a number or a function of one variable; where branches meet, coefficients of
one source add, and different sources stay uncorrelated.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.errors import AnalysisError
from analysis.network.context import Context
from analysis.network.dual import on_two_examples
from analysis.network.records import Array, Gradient
from analysis.network.response import Grid
from analysis.network.roots import MixtureRoot, Root

_numbers = itertools.count()


def fresh_number() -> int:
    """The number of a gradient source that nothing contains yet."""
    return next(_numbers)


class UnknownCotangent(AnalysisError):
    """A gradient whose second moment would need a joint law that is not followed."""


@dataclass(frozen=True)
class Arriving:
    """A gradient source: E[d^2] of a unit, E[d_i d_j] of two, and E[d d'] of one unit on two
    examples of a batch (None for 0; of data a table), which batch norm makes dependent."""

    second: Array
    pair: Array
    across: Array | None = None


@dataclass(frozen=True)
class Coefficient:
    """What a source is multiplied by: a function of the variable `root` (an array (cases, nodes) on
    the grid that suits all of its functions), or a number for each case if that is None."""

    root: Root | None
    value: Array

    def times(self, c: float) -> Coefficient:
        """A constant times it."""
        return Coefficient(self.root, c * self.value)

    def mean(self) -> Array:
        """Over the variable."""
        return self.value if self.root is None else whole_grid(self.root).expect(self.value)

    def square(self) -> Array:
        """The mean square over the variable."""
        if self.root is None:
            return self.value**2
        return whole_grid(self.root).expect(self.value**2)

    def on_two_examples(self, context: Context) -> Array:
        """E[c c'] on two examples; as if they were independent where it is not known."""
        if self.root is not None:
            grid, x = whole_grid(self.root), context.variables.get(self.root)
            both = on_two_examples(self.root, self.value, grid, x, context)
            if both is not None:
                return both
        return self.mean() * context.partner(self.mean())


Term = tuple[Arriving, Coefficient]


@dataclass(frozen=True)
class Rows:
    """Of gradients at the scores of an attention, or at their softmax.

    table    E[g_ij g_il] of two keys of a query at the softmax, (cases, queries, keys, keys)
    p        points of the softmax, once the gradient is that at the scores
    factor   by which these were scaled
    """

    table: Array
    p: Array | None = None
    factor: float = 1.0


@dataclass(frozen=True)
class Cotangent:
    """A gradient at one node: its terms, and the corrections of order 1/width as one summary.
    `shadow` names sources it contains in some units only, which must not meet themselves.

    `echo`: through W^T comes, beside the fresh source, an echo of what arrived: slopes phi'(W x)
    depend on W, and by Stein's lemma the product with the arriving d itself has the expectation
    Var(W) E[phi''] E[x] E[d^2] in each unit. It lies along the signal x, is of order 1/width, and
    matters where d arrives at x, too. Here is its sum over the units."""

    terms: Mapping[int, Term]
    gradient: Gradient
    shadow: frozenset[int] = frozenset()
    echo: Mapping[int, Array] = field(default_factory=dict)
    rows: Rows | None = None

    def second(self) -> Array:
        """E[d^2]: different sources are uncorrelated."""
        return sum(
            (a.second * c.square() for a, c in self.terms.values()),
            start=np.zeros_like(self.gradient.second),
        )

    def pair(self) -> Array:
        """E[d_i d_j] of two units."""
        return sum(
            (a.pair * c.mean() ** 2 for a, c in self.terms.values()),
            start=np.zeros_like(self.gradient.second),
        )

    def across(self, context: Context) -> Array | None:
        """E[d d'] of one unit on two examples of a batch; None for 0."""
        known = [(a.across, c) for a, c in self.terms.values() if a.across is not None]
        if not known:
            return None
        return np.asarray(sum(across * c.on_two_examples(context) for across, c in known))

    def times(self, c: float) -> Cotangent:
        """A constant times it, on a signal that is itself seen through that constant. (Corrections
        at the variable stay: that is not seen through it.)"""
        terms = {k: (a, coefficient.times(c)) for k, (a, coefficient) in self.terms.items()}
        echo = {k: c * e for k, e in self.echo.items()}
        g = self.gradient
        seen = 1.0 if g.at_variable else c**2
        scaled = replace(
            g,
            second=c**2 * g.second,
            coherent=c**2 * g.coherent,
            log_1=seen * g.log_1,
            log_2=seen**2 * g.log_2,
        )
        rows = None if self.rows is None else replace(self.rows, factor=c * self.rows.factor)
        return Cotangent(terms, scaled, self.shadow, echo, rows)

    def with_gradient(self, gradient: Gradient) -> Cotangent:
        """The same terms with other corrections; the mean-field value is that of the terms."""
        second = self.second()
        ratio = second / np.maximum(gradient.second, np.finfo(float).tiny)
        coherent = gradient.coherent * ratio
        full = replace(gradient, second=second, coherent=coherent)
        return Cotangent(self.terms, full, self.shadow, self.echo)

    def by_slope(self, root: Root | None, mean: Array, square: Array) -> Cotangent:
        """Times a slope with this mean and mean square given `root`'s variable (or in all, if it is
        None). What it scatters by makes a source of its own: uncorrelated, of the same size."""
        scatter = np.sqrt(np.maximum(square - mean**2, 0.0))
        known = self if root is None else given(self, root)
        terms: dict[int, Term] = {}
        for key, (arriving, c) in known.terms.items():
            terms[key] = (arriving, _product(c, root, mean))
            if np.any(scatter):
                terms[next(_numbers)] = (_alone(arriving), _product(c, root, scatter))
        return Cotangent(terms, self.gradient)


def _alone(arriving: Arriving) -> Arriving:
    """A source of the same size whose units do not agree on anything."""
    return Arriving(arriving.second, np.zeros_like(arriving.second))


def source(
    second: Array, pair: Array, gradient: Gradient, across: Array | None = None
) -> Cotangent:
    """A fresh source."""
    arriving = Arriving(second, pair, across)
    terms = {next(_numbers): (arriving, Coefficient(None, np.ones_like(second)))}
    return Cotangent(terms, replace(gradient, second=second))


def whole_grid(root: Root) -> Grid:
    """The grid that suits all functions of a variable."""
    return root.grid(whole_kinks(root))


def whole_kinks(root: Root) -> tuple[float, ...]:
    """Where any function of the variable has a kink."""
    return root.whole_kinks()


def _product(c: Coefficient, root: Root | None, slope: Array) -> Coefficient:
    if c.root is root:
        return Coefficient(root, c.value * slope)
    if root is None:
        return Coefficient(c.root, c.value * slope[:, None])
    assert c.root is None
    return Coefficient(root, c.value[:, None] * slope)


# ------------------------------------------------------------------------------ other variables


def given(cotangent: Cotangent, root: Root) -> Cotangent:
    """The same gradient by functions of another variable, or numbers.

    A coefficient c(u), u = f(v) + a Gaussian, is E[c | v] and what it scatters by given v, which is
    a source of its own. All who ask for the same one get the same."""
    terms: dict[int, Term] = {}
    for key, (arriving, c) in cotangent.terms.items():
        if c.root is None or c.root is root:
            terms[key] = (arriving, c)
        elif isinstance(c.root, MixtureRoot) and c.root.inner.root is root:
            mean, scatter = _through_mixture(c, c.root, root)
            terms[key] = (arriving, Coefficient(root, mean))
            if np.any(scatter):
                own = _scatter_of(key, c, root)
                terms[own] = (_alone(arriving), Coefficient(root, scatter))
        elif _independent(c.root, root):
            mean, square = c.mean(), c.square()
            terms[key] = (arriving, Coefficient(None, mean))
            own = _scatter_of(key, c, root)
            spread = np.sqrt(np.maximum(square - mean**2, 0.0))
            terms[own] = (_alone(arriving), Coefficient(None, spread))
        else:
            raise UnknownCotangent("a gradient that depends on several variables at once")
    return replace(cotangent, terms=terms)


def _independent(a: Root, b: Root) -> bool:
    """Proved by having no source in common. What a mixture is made of is not kept, so it proves
    nothing."""
    if isinstance(a, MixtureRoot) or isinstance(b, MixtureRoot):
        return False
    return a.sources.isdisjoint(b.sources)


def _scatter_of(key: int, c: Coefficient, root: Root) -> int:
    """The source of what c scatters by given `root`'s variable: one for all branches, which must
    then ask with multiples of one function."""
    assert c.root is not None
    asked = c.root.scattered.setdefault((key, root), (next(_numbers), c.value))
    own, before = asked
    if before is not c.value:
        size = np.sqrt(np.sum(before**2) * np.sum(c.value**2))
        if abs(np.sum(before * c.value)) < (1 - 1e-9) * size:
            raise UnknownCotangent("branches that weigh one variable's gradient differently")
        if np.sum(before * c.value) < 0:
            raise UnknownCotangent("branches that weigh one variable's gradient by opposite signs")
    return own


def _through_mixture(c: Coefficient, outer: MixtureRoot, root: Root) -> tuple[Array, Array]:
    """E[c(u) | v] and the standard deviation of c(u) given v, for u = f(v) + a Gaussian."""
    kinks = whole_kinks(root)
    f, _ = root.run(kinks, outer.inner.index)
    mean, square = np.empty_like(f), np.empty_like(f)
    values = np.stack([c.value, c.value**2])
    for case in range(len(f)):
        mean[case], square[case] = outer.average_given(whole_kinks(outer), f, case, values)
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


# ------------------------------------------------------------------------------ sums


def combined(parts: list[Cotangent]) -> Cotangent:
    """The gradient where branches meet: coefficients of one source add."""
    if len(parts) == 1:
        return parts[0]
    terms: dict[int, Term] = {}
    for part in parts:
        if any(not part.shadow.isdisjoint(other.terms) for other in parts if other is not part):
            raise UnknownCotangent("units that are used by themselves and as part of all")
        for key, term in part.terms.items():
            terms.update(_sum(key, terms[key], term) if key in terms else {key: term})
    total = Cotangent(terms, parts[0].gradient)
    total = total.with_gradient(_merged([p.gradient for p in parts]))
    return _with_echoes(total, parts)


def _with_echoes(total: Cotangent, parts: list[Cotangent]) -> Cotangent:
    """With echoes of one branch's source in another: they lie along the signal, and what lies
    along it already is echoed in proportion."""
    products = np.asarray(
        sum(
            2 * part.echo[key] * other.terms[key][1].mean() * _along(other.gradient)
            for part in parts
            for other in parts
            for key in part.echo.keys() & other.terms.keys()
        )
    )
    if not np.any(products):
        return total
    g = total.gradient
    gradient = replace(g, coherent=np.maximum(g.coherent + products, 0.0))
    return Cotangent(total.terms, gradient, total.shadow)


def _along(gradient: Gradient) -> Array:
    """How much larger the squared derivative along the signal is than in all directions."""
    return gradient.coherent / np.maximum(gradient.second, np.finfo(float).tiny)


def _sum(key: int, a: Term, b: Term) -> dict[int, Term]:
    """(a + b) of one source, as functions of one variable."""
    arriving, one = a
    other = b[1]
    if one.root is other.root:
        return {key: (arriving, Coefficient(one.root, one.value + other.value))}
    if one.root is None or other.root is None:
        plain, function = (one, other) if one.root is None else (other, one)
        return {key: (arriving, Coefficient(function.root, plain.value[:, None] + function.value))}
    raise UnknownCotangent("branches whose gradients depend on different variables")


def _merged(gradients: list[Gradient]) -> Gradient:
    """Corrections of a sum: logarithmic slopes average by what each branch brings."""
    total = np.maximum(sum(g.second for g in gradients), np.finfo(float).tiny)

    def average(values: list[Array]) -> Array:
        weighted = [g.second * v for g, v in zip(gradients, values, strict=True)]
        return np.asarray(sum(weighted) / total)

    log_1 = average([g.log_1 for g in gradients])
    return Gradient(
        second=total,
        coherent=np.asarray(sum(g.coherent for g in gradients)),
        profile=average([g.profile for g in gradients]),
        bend=average([g.bend for g in gradients]),
        log_1=log_1,
        log_2=average([g.log_2 + g.log_1**2 for g in gradients]) - log_1**2,
        epsilon=average([g.epsilon for g in gradients]),
        size=average([g.size for g in gradients]),
        slack=max(g.slack for g in gradients),
        blocked=all(g.blocked for g in gradients),
        joined=True,
        aligned=any(g.aligned for g in gradients),
        numbers=any(g.numbers for g in gradients),
        at_variable=all(g.at_variable for g in gradients),
    )


def condensed(cotangent: Cotangent, exclusive: set[int], context: Context) -> Cotangent:
    """The same gradient with the sources that nothing else contains put into one for each variable:
    only the sum of their squares can matter."""
    terms: dict[int, Term] = dict(cotangent.terms)
    by_root: dict[Root | None, list[int]] = {}
    for key in exclusive:
        by_root.setdefault(terms[key][1].root, []).append(key)
    for root, keys in by_root.items():
        both = [v for k in keys for v in (terms[k][0].pair, terms[k][0].across) if v is not None]
        plain = root is None or not any(map(np.any, both))
        if len(keys) < 2 or not plain:
            continue
        merged = [terms.pop(k) for k in keys]
        pair = sum(a.pair * c.mean() ** 2 for a, c in merged)
        known = [a.across * c.on_two_examples(context) for a, c in merged if a.across is not None]
        across = np.asarray(sum(known)) if known else None
        sizes = [a.second if root is None else a.second[:, None] for a, _ in merged]
        square = sum(size * c.value**2 for size, (_, c) in zip(sizes, merged, strict=True))
        second = np.asarray(square) if root is None else whole_grid(root).expect(np.asarray(square))
        scale = np.where(second > 0, second, 1.0)
        own = np.sqrt(square / (scale if root is None else scale[:, None]))
        terms[next(_numbers)] = (Arriving(second, np.asarray(pair), across), Coefficient(root, own))
    return replace(cotangent, terms=terms)
