"""A derivation as a page of text, and as LaTeX that could be compiled."""

from __future__ import annotations

import re

import pytest
import sympy as sp

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import E, Named, RandomVariable, independence
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.reading import X
from analysis.topics import derivations, derive


def test_text_of_a_small_derivation() -> None:
    W, Y = RandomVariable("W"), RandomVariable("Y")
    derivation = Derivation(
        "square", "the mean of a square", E((W * Y) ** 2), given=("`W`, `Y` are independent",)
    ).step("independence", independence)
    assert derivation.text().splitlines() == [
        "square: the mean of a square",
        "",
        "  given    W, Y are independent",
        "",
        "      E[W^2*Y^2]",
        "    = E[W^2]*E[Y^2]                                             [G] independence",
        "",
        "  result   E[W^2*Y^2] = E[W^2]*E[Y^2]",
        "  grade    [G], the weakest of these:",
        "           [G] proved for every law that satisfies the hypotheses",
    ]


def test_a_long_reason_is_wrapped_beside_its_formula() -> None:
    W, Y = RandomVariable("W"), RandomVariable("Y")
    reason = "a reason that takes more than the columns which are left for it"
    text = Derivation("square", "", E((W * Y) ** 2)).step(reason, independence).text()
    (start,) = (i for i, line in enumerate(text.splitlines()) if "[G] a reason" in line)
    first, second = text.splitlines()[start : start + 2]
    assert f"{first.split('[G] ')[1]} {second.strip()}" == reason
    assert second.index(second.strip()) == first.index("a reason")


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        (sp.pi / (sp.pi - 1), "1.46694220692426"),  # mpmath, 15 digits
        (GaussianExpectation(sp.tanh(X) ** 2, X), "0.3942944903978"),
        (Named("t", sp.sqrt(2)), "1.4142135623731"),
        (1 - sp.Rational(15, 16) ** 5, "0.275803565979004"),
        (sp.Rational(5, 12), ""),
        (sp.Symbol("n") * sp.pi, ""),
    ],
)
def test_a_number_that_is_no_simple_fraction_shows_its_digits(value: sp.Expr, digits: str) -> None:
    text = Derivation("number", "", Named("c", value)).step("definition", value).text()
    latex = Derivation("number", "", Named("c", value)).step("definition", value).latex()
    if digits:
        assert f"~ {digits}" in text
        assert rf"\approx {digits}" in latex
    else:
        assert "~" not in text
        assert "approx" not in latex


@pytest.mark.parametrize("name", derivations())
def test_text_is_ascii_and_fits_the_page(name: str) -> None:
    text = derive(name).text()
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 110
    assert "`" not in text


@pytest.mark.parametrize("name", derivations())
def test_latex_is_balanced(name: str) -> None:
    latex = derive(name).latex()
    assert latex.isascii()
    assert re.sub(r"\\[{}]", "", latex).count("{") == re.sub(r"\\[{}]", "", latex).count("}")
    assert latex.count(r"\left") == latex.count(r"\right")
    assert latex.count("$") % 2 == 0
    begins, ends = (re.findall(rf"\\{word}\{{(\w+\*?)\}}", latex) for word in ("begin", "end"))
    assert sorted(begins) == sorted(ends)
    outside_math = re.sub(r"\$[^$]*\$|\\begin\{align\*\}.*?\\end\{align\*\}", "", latex, flags=re.S)
    assert not re.search(r"(?<!\\)[_^&%#]", outside_math)
