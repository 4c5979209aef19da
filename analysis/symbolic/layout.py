"""How a derivation is laid out, as plain text and as LaTeX."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import sympy as sp

from analysis.symbolic.derivation import Derivation, Step
from analysis.symbolic.expectation import written_out
from analysis.symbolic.printing import latex, latex_prose, plain, plain_prose
from analysis.symbolic.quantity import Quantity
from analysis.symbolic.verification import Grade

WIDEST = 100  # characters in a line of text
FORMULAS = 62  # columns for formulas, beyond which the reason goes to a line of its own
REASONS = 40  # columns for the reason beside a formula
LABELS = 9
DIGITS = 15  # of a number that is printed with its closed form
LONG = 1000  # denominators from here on count as no simple fraction


def as_text(derivation: Derivation) -> str:
    """For a terminal: formulas on the left, grades and reasons on the right."""
    lines = [f"{derivation.name}: {plain_prose(derivation.title)}", ""]
    for given in derivation.given:
        lines += _labelled("given", given)
    for used in derivation.uses:
        lines += _labelled("uses", f"{used.name}: {_statement(used.start, used.result)}")
    for lemma in _role(derivation, "lemma"):
        lines += ["", *_aside(lemma)]
    lines += ["", f"      {plain(derivation.start)}"]
    for step in derivation.chain:
        lines += _row(f"{_sign(step):>5} {_with_value(step.rhs)}", step.grade, step.name)
    for remark in _role(derivation, "remark"):
        lines += ["", *_aside(remark)]
    lines += ["", *_labelled("result", _statement(derivation.start, derivation.result))]
    lines += _labelled("grade", f"[{derivation.grade}], the weakest of these:")
    lines += [f"{'':{LABELS + 2}}[{grade}] {grade.meaning}" for grade in _occurring(derivation)]
    return "\n".join(line.rstrip() for line in lines)


def _labelled(label: str, prose: str) -> list[str]:
    head = f"  {label:<{LABELS}}"
    return textwrap.wrap(
        plain_prose(prose), WIDEST, initial_indent=head, subsequent_indent=" " * len(head)
    )


def _row(formula: str, grade: Grade, reason: str) -> list[str]:
    first, *more = textwrap.wrap(f"[{grade}] {plain_prose(reason)}", REASONS)
    below = [f"{'':{FORMULAS}}  {'':{len(f'[{grade}] ')}}{line}" for line in more]
    if len(formula) <= FORMULAS:
        return [f"{formula:<{FORMULAS}}  {first}", *below]
    return [formula, f"{'':<{FORMULAS}}  {first}", *below]


def _aside(step: Step) -> list[str]:
    lines = _labelled(step.role, step.name + _condition(step))
    lhs, rhs, sign = plain(step.lhs), _with_value(step.rhs), _sign(step)
    if len(lhs) + len(rhs) + len(sign) + 8 <= FORMULAS:
        return [*lines, *_row(f"      {lhs} {sign} {rhs}", step.grade, "")]
    return [*lines, f"      {lhs}", *_row(f"{sign:>5} {rhs}", step.grade, "")]


def _condition(step: Step) -> str:
    return f", if {step.assumption}" if step.assumption else ""


def _sign(step: Step) -> str:
    return "<=>" if isinstance(step.lhs, sp.Equality) else "="


def _statement(start: sp.Expr, result: sp.Expr) -> str:
    if isinstance(result, sp.Equality):
        return _with_value(result)
    return f"{plain(start)} = {_with_value(result)}"


def _with_value(expression: sp.Expr) -> str:
    value = _value(expression)
    return plain(expression) + (value and f" ~ {value}")


def _value(expression: sp.Expr) -> str:
    """The digits of a number that is no simple fraction, or of the one an equation has on the
    right."""
    number = written_out(expression.rhs if isinstance(expression, sp.Equality) else expression)
    if number.free_symbols or (number.is_Rational and number.q < LONG):
        return ""
    quantity = Quantity(number)
    return f"{float(quantity):.{max(1, min(DIGITS, _reliable_digits(quantity)))}g}"


def _reliable_digits(quantity: Quantity) -> int:
    return int(-math.log10(quantity.error / abs(float(quantity)))) if quantity.error else DIGITS


def _role(derivation: Derivation, role: str) -> list[Step]:
    return [step for step in derivation.steps if step.role == role]


def _occurring(derivation: Derivation) -> list[Grade]:
    occurring = {step.grade for step in derivation.steps} | {derivation.grade}
    return [grade for grade in Grade if grade in occurring]


# ------------------------------------------------------------------------------ LaTeX


def as_latex(derivation: Derivation) -> str:
    """A fragment for amsmath: assumptions, lemmas, the chain with its reasons, remarks."""
    blocks = [rf"\paragraph{{{latex_prose(derivation.title)}.}}"]
    given = [*derivation.given, *(f"the result of {used.name}" for used in derivation.uses)]
    if given:
        items = "\n".join(rf"  \item {latex_prose(assumption)}" for assumption in given)
        blocks.append(f"Given:\n\\begin{{itemize}}\n{items}\n\\end{{itemize}}")
    blocks += map(_latex_aside, _role(derivation, "lemma"))
    blocks.append(_align(derivation.start, derivation.chain, [s.name for s in derivation.chain]))
    blocks += map(_latex_aside, _role(derivation, "remark"))
    return "\n".join(blocks)


def _latex_aside(step: Step) -> str:
    heading = f"{step.role.capitalize()} ({latex_prose(step.name + _condition(step))})"
    return f"{heading}:\n{_align(step.lhs, [step], [''])}"


def _align(start: sp.Expr, steps: Sequence[Step], reasons: Sequence[str]) -> str:
    """The start and the first step share a line; each line ends with its reason and grade."""
    rows = []
    for step, reason in zip(steps, reasons, strict=True):
        sign = r"\iff{}" if isinstance(step.lhs, sp.Equality) else "="
        note = f"{latex_prose(reason)} [{step.grade}]".strip()
        value = _value(step.rhs)
        formula = latex(step.rhs) + (value and rf" \approx {value}")
        rows.append(rf"&{sign} {formula} && \text{{{note}}}")
    body = " \\\\\n  ".join(rows)
    return f"\\begin{{align*}}\n  {latex(start)} {body}\n\\end{{align*}}"
