"""A derivation as a page of text, and as LaTeX that could be compiled."""

from __future__ import annotations

import re

import pytest

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import E, RandomVariable, independence
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
