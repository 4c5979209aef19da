"""A derivation that cannot state a step which was not checked.

A `Derivation` is a chain of equalities (or equivalent equations) from `start` to `result`, with
checked lemmas before it and checked remarks, such as special cases, behind it. The author gives
what a step claims and why; how it is known to hold is not the author's to say: every claim goes
through `verification.verify`, which assigns its grade or refuses it.

Derivations are immutable; each method returns a longer one:

>>> W, Y = RandomVariable("W"), RandomVariable("Y")
>>> d = Derivation("square", "E of a square", E((W * Y) ** 2), given=("`W`, `Y` independent",))
>>> d.step("independence", independence).result
E[W**2]*E[Y**2]
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import sympy as sp
from sympy import Expr, Symbol

from analysis.errors import InputError, NotANumber, Unverified
from analysis.symbolic.expectation import RandomVariable, assuming, parts
from analysis.symbolic.printing import latex, plain, plain_prose
from analysis.symbolic.verification import Grade, Verdict, verify, verify_solution, weakest

if TYPE_CHECKING:
    from analysis.symbolic.quantity import Quantity

_MAKER = object()  # what only this module can hand to a Step


@dataclass(frozen=True)
class Claim:
    """What a step states: lhs = rhs, or that the equation lhs has the one solution rhs.

    Attributes:
        where: substitutions under which it is stated: a variable by one with further hypotheses, a
            parameter by a value.
        unknown: what the equation is solved for; None if the claim is an equality.
        boundary, numerical: permissions passed on to `verify`.
    """

    lhs: Expr
    rhs: Expr
    where: Mapping[Expr, Expr] = field(default_factory=dict)
    unknown: Expr | None = None
    boundary: tuple[Symbol, Expr] | None = None
    numerical: bool = False

    def check(self) -> Verdict:
        """Establish the claim; raises Unverified if that fails."""
        lhs, rhs = (_substitute(side, self.where) for side in (self.lhs, self.rhs))
        if self.unknown is None:
            return verify(lhs, rhs, boundary=self.boundary, numerical=self.numerical)
        if not (isinstance(rhs, sp.Equality) and rhs.lhs == self.unknown):
            raise Unverified(f"{rhs} does not say what {self.unknown} is")
        return verify_solution(lhs, self.unknown, rhs.rhs)


def _substitute(expression: Expr, where: Mapping[Expr, Expr]) -> Expr:
    random = {old: new for old, new in where.items() if isinstance(old, RandomVariable)}
    others = {old: sp.sympify(new) for old, new in where.items() if old not in random}
    return assuming(expression, random).xreplace(others)


@dataclass(frozen=True)
class Step:
    """A checked claim. Only a Derivation can make one."""

    role: Literal["lemma", "step", "remark"]
    name: str
    claim: Claim
    assumption: str
    verdict: Verdict
    maker: object = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.maker is not _MAKER:
            raise Unverified(
                f"the step {self.name!r} was not checked; use Derivation.step, lemma or remark"
            )

    @property
    def lhs(self) -> Expr:
        """The left side, or the equation that is solved."""
        return self.claim.lhs

    @property
    def rhs(self) -> Expr:
        """The right side, or the solution, as an equation for the unknown."""
        return self.claim.rhs

    @property
    def grade(self) -> Grade:
        """How the step is known to hold."""
        return self.verdict.grade

    @property
    def evidence(self) -> str:
        """What exactly the check did."""
        return self.verdict.evidence


@dataclass(frozen=True)
class Derivation:
    """A checked chain from `start` to `result`.

    Attributes:
        name: what `analysis.derive` knows it by.
        title: one line on what is derived.
        start: an expression, or an equation to be solved.
        given: the assumptions, in prose.
        uses: derivations whose results this one starts from.
    """

    name: str
    title: str
    start: Expr
    given: tuple[str, ...] = ()
    uses: tuple[Derivation, ...] = ()
    _steps: tuple[Step, ...] = field(default=(), init=False)

    # -------------------------------------------------------------------------- building

    def step(self, name: str, new: Expr | Callable[[Expr], Expr], **permissions: Any) -> Derivation:
        """Continue the chain: the result so far equals `new`.

        Args:
            name: the reason, in prose.
            new: the next expression, or a rule that makes it from the result so far; with an
                equation, a rule is applied to both sides.
            permissions: `boundary`, `numerical`, as in `verification.verify`; `where`, if the step
                uses an assumption that those before it did without (`Claim.where`).

        Raises:
            Unverified: no check could establish the step.
        """
        lhs = self.result
        return self._state("step", name, Claim(lhs, _apply(new, lhs), **permissions))

    def solve(self, unknown: Expr, solution: Expr, name: str = "solve") -> Derivation:
        """Continue the chain, which has come to an equation, with its solution.

        Raises:
            Unverified: it is not the solution, or not the only one.
        """
        claim = Claim(self.result, sp.Eq(unknown, solution, evaluate=False), unknown=unknown)
        return self._state("step", name, claim)

    def lemma(self, name: str, lhs: Expr, rhs: Expr, **claim: Any) -> Derivation:
        """State something the chain builds on; arguments as for `remark`."""
        return self._aside("lemma", name, lhs, rhs, **claim)

    def remark(self, name: str, lhs: Expr, rhs: Expr, **claim: Any) -> Derivation:
        """State something that follows, or what becomes of the result in a special case.

        Args:
            name: what the remark is about, in prose.
            lhs, rhs: its two sides; with `solve_for`, an equation and its solution.
            assumption: in prose, what is assumed beyond `given`.
            where: the same assumption as substitutions (`Claim.where`).
            solve_for: the unknown of the equation `lhs`.
            boundary, numerical: as in `verification.verify`.

        Raises:
            Unverified: no check could establish the remark.
        """
        return self._aside("remark", name, lhs, rhs, **claim)

    def _aside(
        self,
        role: Literal["lemma", "remark"],
        name: str,
        lhs: Expr,
        rhs: Expr,
        *,
        assumption: str = "",
        where: Mapping[Expr, Expr] | None = None,
        solve_for: Expr | None = None,
        **permissions: Any,
    ) -> Derivation:
        if solve_for is not None:
            rhs = sp.Eq(solve_for, rhs, evaluate=False)
        claim = Claim(lhs, sp.sympify(rhs), where or {}, solve_for, **permissions)
        return self._state(role, name, claim, assumption)

    def _state(
        self,
        role: Literal["lemma", "step", "remark"],
        name: str,
        claim: Claim,
        assumption: str = "",
    ) -> Derivation:
        try:
            verdict = claim.check()
        except Unverified as why:
            raise Unverified(
                f"{self.name}, {role} {plain_prose(name)!r}: could not establish that\n"
                f"    {plain(claim.lhs)}\n  = {plain(claim.rhs)}\n{why}"
            ) from None
        longer = copy.copy(self)
        step = Step(role, name, claim, assumption, verdict, _MAKER)
        object.__setattr__(longer, "_steps", (*self._steps, step))
        return longer

    # -------------------------------------------------------------------------- reading

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every checked claim in the order it was made: lemmas, chain and remarks."""
        return self._steps

    @property
    def chain(self) -> tuple[Step, ...]:
        """The steps from `start` to `result`."""
        return tuple(step for step in self._steps if step.role == "step")

    @property
    def result(self) -> Expr:
        """What the chain has come to: a SymPy expression or equation. `evaluate` puts numbers in
        for its symbols; `float` of the derivation is the number, if there are none."""
        return self.chain[-1].rhs if self.chain else self.start

    def evaluate(self, values: Mapping[str, Any] | None = None) -> Quantity:
        """The result (of an equation: its right-hand side) with values for what it speaks of, by
        the names it is printed with: ``derive("he").evaluate({"n_in": 100})`` is 0.02.

        Raises:
            InputError: a name that does not occur in the result; the message lists those that do.
        """
        from analysis.symbolic.quantity import Quantity

        value = getattr(self.result, "rhs", self.result)
        named = parts(value)
        unknown = sorted((values or {}).keys() - named.keys())
        if unknown:
            known = ", ".join(sorted(named)) or "numbers alone"
            raise InputError(f"{self.name}: its result speaks of {known}, not of {unknown[0]}.")
        given = {named[name]: sp.sympify(v) for name, v in (values or {}).items()}
        return Quantity(value.subs(given, simultaneous=True))

    def __float__(self) -> float:
        """The result (of an equation: its right-hand side), if it is a number.

        Raises:
            NotANumber: it speaks of symbols or moments; the message lists them.
        """
        value = getattr(self.result, "rhs", self.result)
        if named := sorted(parts(value)):
            values = ", ".join(f'"{name}": ...' for name in named)
            raise NotANumber(
                f"{self.name}: {plain(value)} is not a number until {', '.join(named)} have "
                f"values; give them by .evaluate({{{values}}})"
            )
        return float(self.evaluate())

    @property
    def grade(self) -> Grade:
        """The weakest grade of all steps, and of the derivations used."""
        verdicts = [step.verdict for step in self._steps]
        grades = [weakest(verdicts).grade] if verdicts else [Grade.NORMAL_FORM]
        return max([*grades, *(d.grade for d in self.uses)], key=lambda grade: grade.weakness)

    def recheck(self) -> Grade:
        """Check every step again, and those of the derivations used; returns the weakest grade.

        Raises:
            Unverified: a step does not hold (any more).
        """
        grades = [step.claim.check().grade for step in self._steps]
        grades += [derivation.recheck() for derivation in self.uses]
        return max(grades, key=lambda grade: grade.weakness)

    # -------------------------------------------------------------------------- printing

    def text(self) -> str:
        """The derivation for a terminal."""
        from analysis.symbolic.layout import as_text

        return as_text(self)

    def latex(self) -> str:
        """The derivation as LaTeX (needs amsmath and amssymb)."""
        from analysis.symbolic.layout import as_latex

        return as_latex(self)

    def to_dict(self) -> dict[str, Any]:
        """The derivation as JSON-ready data."""
        return {
            "name": self.name,
            "title": plain_prose(self.title),
            "grade": self.grade.value,
            "given": [plain_prose(assumption) for assumption in self.given],
            "uses": [derivation.name for derivation in self.uses],
            "start": plain(self.start),
            "result": plain(self.result),
            "latex": latex(self.result),
            "steps": [
                {
                    "role": step.role,
                    "name": plain_prose(step.name),
                    "assumption": plain_prose(step.assumption),
                    "lhs": plain(step.lhs),
                    "rhs": plain(step.rhs),
                    "grade": step.grade.value,
                    "evidence": step.evidence,
                }
                for step in self.steps
            ],
        }


def _apply(new: Expr | Callable[[Expr], Expr], lhs: Expr) -> Expr:
    if isinstance(new, sp.Basic | int):
        return sp.sympify(new)
    if isinstance(lhs, sp.Equality):
        return sp.Eq(*map(new, lhs.args), evaluate=False)
    return new(lhs)
