"""Activation functions as formulas: read from the engine, or given as SymPy expressions.

An op of the engine is read by letting a symbol flow through its rule. A function or module of the
engine, or one a user composed of such, is traced on a tensor without values first, as the compiler
does it; then the recorded ops are read one by one. So nothing has to be said twice:

>>> import tinygrad_edu as tg
>>> read(lambda x: x * tg.sigmoid(1.5 * x)).expression
x/(1 + exp(-3*x/2))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sympy as sp
from sympy import Expr
from sympy.core.function import AppliedUndef

from analysis.errors import UnknownActivation, UnsupportedActivation, no_such
from analysis.symbolic.expectation import Defined
from analysis.symbolic.namespace import exact, symbolic
from analysis.symbolic.pieces import BRANCHING
from analysis.symbolic.text import X as X
from analysis.symbolic.text import is_expression, parse

if TYPE_CHECKING:
    from tinygrad_edu.graph.node import Node

NO_NUMBERS = {sp.nan, sp.oo, -sp.oo, sp.zoo, sp.I}
LAYOUT = frozenset({"cast", "expand", "reshape"})  # ops that leave each element as it is


@dataclass(frozen=True)
class Activation:
    """An activation function as an expression in X."""

    name: str
    expression: Expr

    @property
    def derivative(self) -> Expr:
        """The derivative wherever there is one; kinks and jumps do not count."""
        f = self.expression  # as Piecewise, whose derivative has no delta functions
        return sp.diff(f.rewrite(sp.Piecewise) if f.has(*BRANCHING) else f, X)

    @property
    def function(self) -> type[NamedFunction]:
        """The activation as a function to be written in derivations: relu(Z)."""
        return named_function(self.name, self.expression)

    @property
    def derivative_function(self) -> type[NamedFunction]:
        """Its derivative, likewise: relu'(Z)."""
        return named_function(f"{self.name}'", self.derivative)


class NamedFunction(Defined):
    """A function that prints by its name and is checked by its formula."""

    name: str
    body: Expr

    def __new__(cls, argument: Any) -> NamedFunction:
        self: NamedFunction = Expr.__new__(cls, sp.sympify(argument))
        return self

    @property
    def definition(self) -> Expr:
        return self.body.xreplace({X: self.args[0]})

    def _sympystr(self, printer: Any) -> str:
        return f"{self.name}({printer._print(self.args[0])})"

    def _latex(self, printer: Any) -> str:
        base = self.name.rstrip("'").replace("_", r"\_")
        primes = self.name[len(self.name.rstrip("'")) :]
        argument = printer._print(self.args[0])
        return rf"\operatorname{{{base}}}{primes}\left({argument}\right)"


@lru_cache
def named_function(name: str, body: Expr) -> type[NamedFunction]:
    """The function of that name with the formula `body` in X."""
    return type(name, (NamedFunction,), {"name": name, "body": body})


# ------------------------------------------------------------------------------ reading


def read(activation: Any, **parameters: Any) -> Activation:
    """Read an activation function.

    Args:
        activation: a name ("leaky_relu", "LeakyReLU"); text in x ("x*tanh(x)", see `text.py`); an
            op, function, module or module class of the engine; any Python function composed of
            such; or a SymPy expression in one symbol (or in a symbol named x, and parameters).
        parameters: further arguments of the op or function; an op named by text also takes
            symbols, for instance as `negative_slope`.

    Raises:
        UnknownActivation: the engine has no activation of that name; the message lists close names.
        UnsupportedActivation: it is not a function of one number to one number.
        InputError: the text is no expression in x.
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, sp.FunctionClass):
        activation = activation(X)
    if isinstance(activation, Expr):
        return Activation(str(activation), _in_x(activation))
    if isinstance(activation, str):
        if is_expression(activation):
            return Activation(activation, parse(activation))
        if _spelling(activation) in ("identity", "linear"):
            return Activation("identity", X)
        activation = _op(activation)
    if hasattr(activation, "rule"):
        return Activation(activation.name, _applied(activation, [X], parameters))
    if isinstance(activation, type):
        activation, parameters = _module(activation, parameters), {}
    if callable(activation):
        return _traced(activation, **parameters)
    raise UnknownActivation(
        f"{activation!r} is no activation: give a name, a function or module of the engine, or a "
        "SymPy expression"
    )


def _module(kind: type, parameters: dict[str, Any]) -> Any:
    from tinygrad_edu.nn import Module

    if not issubclass(kind, Module):
        raise UnknownActivation(f"{kind.__name__} is no class of modules")
    try:
        return kind(**parameters)
    except TypeError as error:
        raise UnsupportedActivation(f"{kind.__name__} is no activation: {error}") from None


def _applied(op: Any, operands: Sequence[Expr], parameters: Mapping[str, Any]) -> Expr:
    """The op's formula: its rule read with symbols, or the formula it was made from."""
    made_from = getattr(op, "expression", None)
    if made_from is not None:
        placed: Expr = made_from.xreplace({X: operands[0]})
        return placed
    return exact(op.rule(symbolic, *operands, **parameters))


def _in_x(expression: Expr) -> Expr:
    unknown = expression.atoms(AppliedUndef, sp.DiracDelta) | (expression.atoms() & NO_NUMBERS)
    if unknown:
        names = ", ".join(sorted(map(str, unknown)))
        raise UnsupportedActivation(f"{expression} is not a function that has values: {names}")
    symbols = expression.free_symbols
    variable = symbols if len(symbols) == 1 else {s for s in symbols if s.name == "x"}
    if len(variable) != 1:
        raise UnsupportedActivation(
            f"{expression} must have one variable: a single symbol, or one named x"
        )
    return exact(expression).xreplace({variable.pop(): X})


def _op(name: str) -> Any:
    """The engine's op of that name that takes and gives one number."""
    from tinygrad_edu import ops

    unary = [
        op
        for op in ops.TABLE.values()
        if len(getattr(op, "partials", ())) == 1 and getattr(op, "result", "") != "bool"
    ]
    found = [op for op in unary if _spelling(op.name) == _spelling(name)]
    if not found:
        names = ["identity", *(op.name for op in unary)]
        raise UnknownActivation(no_such("activation", name, names))
    return found[0]


def _spelling(name: str) -> str:
    """LeakyReLU, leaky_relu and leakyrelu are one name."""
    return name.lower().replace("_", "")


def _traced(function: Callable[..., Any], **parameters: Any) -> Activation:
    """Record what a function does to a tensor without values, and read the recording."""
    from tinygrad_edu.errors import TinygradError
    from tinygrad_edu.graph.tensor import Tensor, abstract

    name = getattr(function, "__name__", type(function).__name__)
    source = abstract((2,), "float64")  # two, so that what mixes elements cannot pass unnoticed
    try:
        output = function(source, **parameters)
    except (TinygradError, TypeError) as error:
        raise UnsupportedActivation(f"{name} cannot be traced on a tensor: {error}") from error
    if not isinstance(output, Tensor) or output.shape != source.shape:
        raise UnsupportedActivation(f"{name} does not act on each element of a tensor")
    formulas: dict[Node, Expr] = {source.node: X}
    return Activation(name if name.isidentifier() else "phi", _formula(output.node, formulas))


def _formula(node: Node, formulas: dict[Node, Expr]) -> Expr:
    """The formula of a recorded value; `formulas` holds those that are known."""
    if node not in formulas:
        if node.op is None:
            formulas[node] = _constant(node)
        else:
            operands = [_formula(operand, formulas) for operand in node.inputs]
            if node.op.name in LAYOUT:
                formulas[node] = operands[0]
            elif hasattr(node.op, "rule"):
                formulas[node] = _applied(node.op, operands, node.params)
            else:
                raise UnsupportedActivation(
                    f"the op {node.op.name} does not act on each element by itself"
                )
    return formulas[node]


def _constant(node: Node) -> Expr:
    if node.is_abstract or node.data.size != 1:
        raise UnsupportedActivation("an activation may hold single numbers, but no arrays")
    return exact(float(str(node.data.reshape(-1)[0])))  # a float32 1.7 means 1.7
