"""Write the table of docs/activations.md: `python tools/activation_table.py [--check]`.

Every number is computed by `analysis`; nothing in the table is typed. `--check` writes nothing and
exits with 1 if the page differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import analysis
from analysis.errors import NoFixedPoint

PAGE = Path(__file__).parent.parent / "docs" / "activations.md"
BEGIN, END = "<!-- table: tools/activation_table.py -->", "<!-- end of table -->"

ACTIVATIONS = [
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "softplus",
    "hardswish",
    "relu6",
    "tanh",
    "sigmoid",
    "erf",
    "softsign",
    "hardtanh",
    "atan",
    "sin",
]
BIAS = 0.05
"""sigma_b2 of the second edge of chaos."""

HEADER = (
    "activation",
    "E[φ]",
    "forward gain",
    "backward gain",
    "slope of the variance map",
    "χ₁",
    "edge of chaos, σ_b² = 0",
    f"edge of chaos, σ_b² = {BIAS}",
)


def rows() -> Iterator[tuple[str, ...]]:
    """One row an activation, as text."""
    for name in ACTIVATIONS:
        maps = analysis.maps(name)
        matched = maps.matched()
        yield (
            f"`{name}`",
            _exact(analysis.moments(name).mean),
            _exact(analysis.gain(name)),
            _exact(analysis.gain(name, "backward")),
            f"{matched.slope:.6f}{'' if matched.slope <= 1 + 1e-12 else ' (unstable)'}",
            f"{matched.chi_1:.6f}",
            _edge(name, 0.0),
            _edge(name, BIAS),
        )


def _exact(quantity: object) -> str:
    """Six decimals; an asterisk where no closed form was found."""
    value = float(quantity)  # type: ignore[arg-type]
    return f"{value:.6f}{'' if quantity.exact is not None else '*'}"  # type: ignore[attr-defined]


def _edge(name: str, sigma_b2: float) -> str:
    try:
        edge = analysis.maps(name).critical(sigma_b2)
    except NoFixedPoint:
        return "none"
    q = "any q" if edge.q is None else f"q = {edge.q:.6f}" if edge.q else "q = 0"
    repels = edge.q is not None and not edge.stable
    return f"σ_w² = {edge.sigma_w2:.6f}, {q}{' (repels)' if repels else ''}"


def table() -> str:
    """The table in Markdown."""
    lines = [HEADER, tuple("---" for _ in HEADER), *rows()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(text: str) -> str:
    """The page with the table as it is computed now."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    check = parser.parse_args().check
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if not check:
        PAGE.write_text(new, encoding="utf-8")
    elif new != old:
        print(f"{PAGE.name} is out of date: run python tools/activation_table.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
