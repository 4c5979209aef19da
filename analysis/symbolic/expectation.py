"""Random variables, their expectation, and the rules that rewrite it.

`E` is inert: SymPy never evaluates it, so a derivation shows every step it takes. What may be done
with it is a handful of rules, functions from expression to expression: `definition`, `linearity`,
`independence`, `zero_mean`, `symmetry`, `identical_copies`. They are how a derivation is written;
what makes it true is an independent check of both sides under explicit laws (`laws.py`).

>>> W, Y = RandomVariable("W"), RandomVariable("Y")
>>> independence(E(W**2 * Y**2))
E[W**2]*E[Y**2]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sympy as sp
from sympy import Expr, Symbol


class RandomVariable(Symbol):  # type: ignore[misc]
    """A real random variable of which nothing is known but the stated hypotheses.

    Args:
        name: how it is printed.
        group: variables of different groups are independent, those of one group may depend on
            each other in any way. By default each variable is a group of its own.
        zero_mean: E[X] = 0.
        symmetric: X and -X have one law (the whole group flips its sign at once).
        nonzero: P(X = 0) = 0.
        exchangeable: how the copies X, X', X'', ... relate (`copy`). By default they are
            independent. Exchangeable copies may depend on each other, as long as their joint law
            does not change when they are permuted: the features of one layer, for instance.
    """

    __slots__ = ("base", "exchangeable", "group", "index", "symmetric", "zero_mean")

    def __new__(
        cls,
        name: str,
        group: str | None = None,
        *,
        zero_mean: bool = False,
        symmetric: bool = False,
        nonzero: bool = False,
        exchangeable: bool = False,
        index: int = 0,
    ) -> RandomVariable:
        assumptions = {"real": True, "nonzero": True} if nonzero else {"real": True}
        self: RandomVariable = Symbol.__xnew__(cls, name + "'" * index, **assumptions)
        self.base = name
        self.group = group or name
        self.index = index
        self.zero_mean = zero_mean or symmetric
        self.symmetric = symmetric
        self.exchangeable = exchangeable
        return _INTERNED.setdefault(self._hashable_content(), self)

    def _hypotheses(self) -> dict[str, Any]:
        return {
            "group": self.group,
            "zero_mean": self.zero_mean,
            "symmetric": self.symmetric,
            "nonzero": bool(self.is_nonzero),
            "exchangeable": self.exchangeable,
            "index": self.index,
        }

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.base, *self._hypotheses().values())

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.base,), self._hypotheses()

    def copy(self, index: int) -> RandomVariable:
        """The copy number `index` of this variable: another one of the same law, printed X'."""
        return RandomVariable(self.base, **(self._hypotheses() | {"index": index}))

    def assuming(self, **hypotheses: bool) -> RandomVariable:
        """The same variable under further hypotheses."""
        return RandomVariable(self.base, **(self._hypotheses() | hypotheses))

    def _latex(self, printer: Any) -> str:
        return f"{printer._print(Symbol(self.base))}" + "'" * int(self.index)

    @property
    def draw(self) -> tuple[str, int]:
        """Variables with the same draw are sampled together, others independently."""
        return (self.group, 0 if self.exchangeable else self.index)


_INTERNED: dict[tuple[Any, ...], RandomVariable] = {}  # one object for each variable: fast lookups


class E(Expr):  # type: ignore[misc]
    """The expectation E[X]. A constant is its own expectation; nothing else is automatic."""

    is_commutative = True
    is_real = True

    def __new__(cls, argument: Any) -> Expr:
        argument = sp.sympify(argument)
        return Expr.__new__(cls, argument) if free_variables(argument) else argument

    @classmethod
    def class_key(cls) -> tuple[int, int, str]:
        """Behind variances in products, so that they print as n*Var(W)*E[Y^2]."""
        return 5, 1, cls.__name__

    def _eval_is_nonnegative(self) -> bool | None:
        return True if self.args[0].is_nonnegative else None

    def _eval_is_positive(self) -> bool | None:
        return True if self.args[0].is_positive else None

    def _sympystr(self, printer: Any) -> str:
        return f"E[{printer._print(self.args[0])}]"

    def _latex(self, printer: Any) -> str:
        return rf"\mathbb{{E}}\left[{printer._print(self.args[0])}\right]"


class Defined(Expr):  # type: ignore[misc]
    """An expression that stands for another one: printed short, checked as its `definition`."""

    is_commutative = True
    is_real = True

    @property
    def definition(self) -> Expr:
        """What the expression stands for."""
        raise NotImplementedError


def parts(expression: Expr) -> dict[str, Expr]:
    """What the expression speaks of, by the names it is printed with: moments, and symbols that are
    no random variables."""
    moments = expression.atoms(E, Defined)
    symbols = {s for s in expression.free_symbols if not isinstance(s, RandomVariable)}
    return {str(part): part for part in moments | symbols}


class Var(Defined):
    """The variance, E[(X - E X)^2]."""

    def __new__(cls, argument: Any) -> Expr:
        argument = sp.sympify(argument)
        return Expr.__new__(cls, argument) if free_variables(argument) else sp.S.Zero

    @property
    def definition(self) -> Expr:
        (x,) = self.args
        return E((x - E(x)) ** 2)

    def _eval_is_nonnegative(self) -> bool:
        return True

    def _sympystr(self, printer: Any) -> str:
        return f"Var({printer._print(self.args[0])})"

    def _latex(self, printer: Any) -> str:
        return rf"\operatorname{{Var}}\left({printer._print(self.args[0])}\right)"


class Cov(Defined):
    """The covariance, E[X Y] - E[X] E[Y]."""

    def __new__(cls, x: Any, y: Any) -> Expr:
        x, y = sp.sympify(x), sp.sympify(y)
        if not (free_variables(x) and free_variables(y)):
            return sp.S.Zero
        return Expr.__new__(cls, x, y)

    @property
    def definition(self) -> Expr:
        x, y = self.args
        return E(x * y) - E(x) * E(y)

    def _sympystr(self, printer: Any) -> str:
        return f"Cov({', '.join(map(printer._print, self.args))})"

    def _latex(self, printer: Any) -> str:
        return rf"\operatorname{{Cov}}\left({', '.join(map(printer._print, self.args))}\right)"


class Named(Defined):
    """A name, in the notation of prose, for a longer expression: Named("z", W*Y)."""

    def __new__(cls, name: str | Symbol, definition: Any) -> Named:
        self: Named = Expr.__new__(cls, sp.Symbol(str(name)), sp.sympify(definition))
        return self

    @property
    def definition(self) -> Expr:
        return self.args[1]

    def _sympystr(self, printer: Any) -> str:
        return str(printer._print(self.args[0]))

    def _latex(self, printer: Any) -> str:
        from analysis.symbolic.printing import latex_formula

        return latex_formula(self.args[0].name)


class SumOfCopies(Expr):  # type: ignore[misc]
    """The sum of `size` copies of a term: SumOfCopies(W*Y, j, n) is W_1 Y_1 + ... + W_n Y_n.

    Each variable of the term stands for a sequence of its copies, and sums over the same variables
    run over the same sequences, so that SumOfCopies(X, j, n)**2 has n squares on its diagonal. The
    index is for printing; the size may be a symbol.
    """

    is_commutative = True
    is_real = True

    def __new__(cls, term: Any, index: Symbol, size: Any) -> SumOfCopies:
        self: SumOfCopies = Expr.__new__(cls, sp.sympify(term), index, sp.sympify(size))
        return self

    @property
    def term(self) -> Expr:
        """What is summed, in terms of the copies number 0."""
        return self.args[0]

    @property
    def size(self) -> Expr:
        """The number of terms."""
        return self.args[2]

    def copy(self, index: int) -> Expr:
        """The term number `index`, counted from 0."""
        return self.term.xreplace({x: x.copy(index) for x in free_variables(self.term)})

    def _subscripted(self) -> Expr:
        index = self.args[1]
        return self.term.xreplace(
            {x: Symbol(f"{x.name}_{index}") for x in free_variables(self.term)}
        )

    def _sympystr(self, printer: Any) -> str:
        return f"Sum({printer._print(self._subscripted())}, {self.args[1]}=1..{self.size})"

    def _latex(self, printer: Any) -> str:
        index, size = map(printer._print, self.args[1:])
        return rf"\sum_{{{index}=1}}^{{{size}}} {printer._print(self._subscripted())}"


# ------------------------------------------------------------------------------ reading


def variables(expression: Expr) -> set[RandomVariable]:
    """Every random variable that occurs, averaged over or not."""
    return set(expression.atoms(RandomVariable))


def free_variables(expression: Expr) -> set[RandomVariable]:
    """The random variables that are not averaged over; none are left in a constant."""
    if isinstance(expression, RandomVariable):
        return {expression}
    if isinstance(expression, E | Var | Cov):
        return set()
    return set().union(*map(free_variables, expression.args))


def assuming(expression: Expr, replacements: Mapping[RandomVariable, RandomVariable]) -> Expr:
    """The expression with variables, and all their copies, replaced by others."""
    return expression.xreplace(
        {
            x: new.copy(x.index)
            for x in variables(expression)
            for old, new in replacements.items()
            if x.copy(0) == old
        }
    )


# ------------------------------------------------------------------------------ rules


def definition(expression: Expr) -> Expr:
    """Write variances and covariances as expectations."""
    return expression.replace(lambda e: isinstance(e, Var | Cov), lambda e: e.definition)


def unfold(expression: Expr) -> Expr:
    """Replace every `Named` by what it stands for."""
    return expression.replace(lambda e: isinstance(e, Named), lambda e: e.definition)


def written_out(expression: Expr) -> Expr:
    """Replace everything that is `Defined` by its definition."""
    while expression.has(Defined):
        expression = expression.replace(lambda e: isinstance(e, Defined), lambda e: e.definition)
    return expression


def linearity(expression: Expr) -> Expr:
    """E[a X + b Y] = a E[X] + b E[Y] for constants a, b."""
    return _rewrite(expression, lambda x: sp.Add(*map(_pull_out_constants, _terms(x))))


def independence(expression: Expr) -> Expr:
    """E[X Y] = E[X] E[Y] for independent X, Y."""
    return _rewrite(
        expression, lambda x: sp.Mul(*(E(sp.Mul(*part)) for part in _independent_parts(x)))
    )


def zero_mean(expression: Expr) -> Expr:
    """E[X] = 0 for variables of mean zero."""
    return _rewrite(
        expression,
        lambda x: sp.S.Zero if isinstance(x, RandomVariable) and x.zero_mean else E(x),
    )


def symmetry(expression: Expr) -> Expr:
    """E[f(X)] = 0 for odd f and symmetric X."""

    def odd(x: Expr) -> bool:
        free = free_variables(x)
        flipped = x.xreplace({v: -v for v in free})
        return all(v.symmetric for v in free) and sp.expand(flipped + x) == 0

    return _rewrite(expression, lambda x: sp.S.Zero if odd(x) else E(x))


def identical_copies(expression: Expr) -> Expr:
    """E[f(X')] = E[f(X)]: inside one expectation, copies are renamed from the first one on."""

    def rename(x: Expr) -> Expr:
        free = free_variables(x)
        used = {group: sorted({v.index for v in free if v.group == group}) for group in _groups(x)}
        return E(x.xreplace({v: v.copy(used[v.group].index(v.index)) for v in free}))

    return _rewrite(expression, rename)


def _rewrite(expression: Expr, rule: Callable[[Expr], Expr]) -> Expr:
    return expression.replace(E, rule)


def _groups(expression: Expr) -> set[str]:
    return {v.group for v in free_variables(expression)}


def _terms(expression: Expr) -> Iterable[Expr]:
    terms: Iterable[Expr] = sp.Add.make_args(sp.expand(expression))
    return terms


def _pull_out_constants(term: Expr) -> Expr:
    random = [f for f in sp.Mul.make_args(term) if free_variables(f)]
    constant = [f for f in sp.Mul.make_args(term) if not free_variables(f)]
    return sp.Mul(*constant) * E(sp.Mul(*random))


def _independent_parts(product: Expr) -> list[list[Expr]]:
    """The factors, put together where they share a draw."""
    sums_of = set().union(*map(_groups, product.atoms(SumOfCopies)))  # these hold every copy

    def key(v: RandomVariable) -> tuple[str, int]:
        return (v.group, 0) if v.group in sums_of else v.draw

    parts: list[tuple[set[tuple[str, int]], list[Expr]]] = []
    for factor in sp.Mul.make_args(product):
        draws = {key(v) for v in free_variables(factor)}
        touching = [part for part in parts if part[0] & draws]
        parts = [part for part in parts if not part[0] & draws]
        draws = draws.union(*(other for other, _ in touching))
        parts.append((draws, [f for _, factors in touching for f in factors] + [factor]))
    return [factors for _, factors in parts]
