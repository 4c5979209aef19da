"""`python -m analysis.gains`: the gains of the engine's activation functions, as a Python file.

`tinygrad_edu.nn.init.calculate_gain` reads `tinygrad_edu/nn/gains.py`, so that the engine has the
derived gains without the analyzer. This command prints that file; with ``--write`` it replaces it.
An activation that is added to `tinygrad_edu.nn.activation` appears in it by itself.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import sympy as sp
from sympy.printing.pycode import pycode

from analysis.errors import UnknownActivation, UnsupportedActivation
from analysis.symbolic.activations import gain
from analysis.symbolic.quantity import Quantity

LONGEST = 70
"""Characters of a closed form that is worth printing; beyond that its value says more."""

_FUNCTIONS = ("erf", "erfc", "exp", "log", "pi", "sqrt")
"""What a closed form may use of Python's `math`."""

_HEAD = '''\
"""The gains 1/sqrt(E[phi(z)^2]), z ~ N(0, 1), of the activation functions phi.

Derived from the rules of the engine's ops, and written, by ``python -m analysis.gains --write``;
not to be edited.
"""

from __future__ import annotations

from collections.abc import Callable
from math import {functions}

'''


def functions() -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """The engine's activation functions of one number: name, names of the parameters, and what
    `gain` takes."""
    from tinygrad_edu import nn

    for kind in vars(nn).values():
        if not (isinstance(kind, type) and issubclass(kind, nn.Activation)):
            continue
        if kind is nn.Activation or not _acts_on_each_number(kind):
            continue
        options = tuple(f.name for f in fields(kind)) if is_dataclass(kind) else ()
        yield kind.function.__name__, options, kind()
    yield "gelu_tanh", (), "gelu_tanh"  # gelu with approximate="tanh", an op of its own


def _acts_on_each_number(kind: type) -> bool:
    try:
        gain(kind())
    except UnsupportedActivation:
        return False
    return True


def closed_form(name: str, parameter: str) -> tuple[sp.Symbol, sp.Expr] | None:
    """The gain as a formula in a parameter, if the derivation gives one."""
    symbol = sp.Symbol(parameter, real=True)
    try:
        found = gain(name, **{parameter: symbol})
    except (UnsupportedActivation, UnknownActivation, TypeError):
        return None  # no derivation, no op of its own, or no such parameter of the op
    return None if found.exact is None else (symbol, found.exact)


def source() -> str:
    """The text of `tinygrad_edu/nn/gains.py`."""
    known = sorted(functions(), key=lambda each: each[0])
    formulas = {
        name: form
        for name, parameters, _ in known
        if len(parameters) == 1 and (form := closed_form(name, parameters[0])) is not None
    }
    body = "".join(_function(name, *form) for name, form in formulas.items())
    body += "\nGAINS: dict[str, float] = {\n"
    body += "".join(_entry(name, gain(phi)) for name, _, phi in known) + "}\n"
    body += (
        '"""With default parameters; bare numbers have no closed form, or a very long one."""\n\n'
    )
    body += "CLOSED_FORMS: dict[str, Callable[[float], float]] = {\n"
    body += "".join(f'    "{name}": {name},\n' for name in formulas) + "}\n"
    body += '"""The gain as a function of the activation\'s parameter."""\n'
    words = set(re.findall(r"\w+", body))
    return _HEAD.format(functions=", ".join(f for f in _FUNCTIONS if f in words)) + body


def _function(name: str, parameter: sp.Symbol, formula: sp.Expr) -> str:
    return (
        f"\ndef {name}({parameter}: float) -> float:\n"
        f'    """Of {name}, by its {str(parameter).replace("_", " ")}."""\n'
        f"    return {_python(formula)}\n\n"
    )


def _entry(name: str, found: Quantity) -> str:
    """One line of the table: the closed form if it is short, else the value."""
    written = repr(float(found))
    if found.exact is not None and len(_python(found.exact)) <= LONGEST:
        written = _python(found.exact)
    return f'    "{name}": {written},\n'


def _python(formula: sp.Expr) -> str:
    return str(pycode(formula, fully_qualified_modules=False))


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.gains", description="Derive the gains the engine's nn.init uses."
    )
    parser.add_argument("--write", action="store_true", help="replace the engine's file")
    if not parser.parse_args(argv).write:
        print(source(), end="")
        return 0
    path().write_text(source(), encoding="utf-8")
    return 0


def path() -> Path:
    """The engine's file of gains."""
    import tinygrad_edu

    assert tinygrad_edu.__file__ is not None
    return Path(tinygrad_edu.__file__).parent / "nn" / "gains.py"


if __name__ == "__main__":
    sys.exit(main())
