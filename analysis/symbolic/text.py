"""Activations written as text, parsed and never evaluated.

>>> parse("x*tanh(log(1 + exp(x)))")
x*tanh(log(exp(x) + 1))

The text is Python's grammar for expressions, of which a short list is let through: numbers, the
variable `x`, `pi` and `e`, arithmetic, one comparison at a time as the condition of `where` (or of
``a if x > 0 else b``), and calls of the engine's elementwise ops by name. Everything else is
refused, and so are numbers and powers so large that computing with them would not end.
"""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sympy as sp
from sympy import Expr, Symbol
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean, BooleanAtom, BooleanFunction

from analysis.errors import InputError, no_such
from analysis.symbolic.namespace import SymbolicNamespace, exact, symbolic

X = Symbol("x", real=True)

LONGEST = 2000
"""Characters of a text."""
DEEPEST = 100
"""Operations inside one another."""
LARGEST_EXPONENT = 64
LARGEST_NUMBER = 100
"""Decimal exponent of the largest number, and of the inverse of the smallest."""

CONSTANTS = {"x": X, "pi": sp.pi, "e": sp.E}
CONDITIONS = (Relational, BooleanFunction, BooleanAtom)  # a Symbol, too, is a Boolean to SymPy
COMPARISONS: dict[type[ast.cmpop], Callable[..., Any]] = {
    ast.Lt: sp.Lt,
    ast.LtE: sp.Le,
    ast.Gt: sp.Gt,
    ast.GtE: sp.Ge,
    ast.Eq: sp.Eq,
    ast.NotEq: sp.Ne,
}


def parse(text: str) -> Expr:
    """The text as a SymPy expression in X.

    Raises:
        InputError: it is no such expression; the message names the part that is not.
    """
    if not text.isascii():
        raise InputError(f"{_shown(text)}: only ASCII characters; write pi for its letter.")
    if not text.strip() or len(text) > LONGEST:
        raise InputError(f"{_shown(text)}: an expression in x of at most {LONGEST} characters.")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"{_shown(text)}: this is not an expression.") from None
    return _Reader(text).number(tree.body, 0)


def is_expression(text: str) -> bool:
    """Whether the text must be parsed, because it is no bare name."""
    return not text.strip().isidentifier() or text.strip() in CONSTANTS


class _Reader:
    """From Python's syntax tree to SymPy, one kind of node after the other."""

    def __init__(self, text: str) -> None:
        self.text = text

    def refuse(self, why: str) -> InputError:
        return InputError(f"{_shown(self.text)}: {why}.")

    def number(self, node: ast.expr, depth: int) -> Expr:
        """A node that must be a number."""
        value = self.value(node, depth)
        if isinstance(value, CONDITIONS):
            raise self.refuse(
                f"{ast.unparse(node)} is a condition, not a number; write where(condition, a, b)"
            )
        return value

    def condition(self, node: ast.expr, depth: int) -> Boolean:
        """A node that must be a condition."""
        value = self.value(node, depth)
        if not isinstance(value, CONDITIONS):
            raise self.refuse(f"{ast.unparse(node)} is no condition; compare it, as in x > 0")
        return value

    def value(self, node: ast.expr, depth: int) -> Any:
        if depth > DEEPEST:
            raise self.refuse(f"more than {DEEPEST} operations inside one another")
        read = getattr(self, f"_{type(node).__name__}", None)
        if read is None:
            raise self.refuse(f"{ast.unparse(node)[:60]} is not allowed here")
        return self._bounded(read(node, depth + 1))

    def _bounded(self, value: Any) -> Any:
        """Numbers that no double can hold would only make trouble later."""
        if isinstance(value, CONDITIONS) or value.free_symbols:
            return value
        if value.is_finite is False or value.is_real is False:
            raise self.refuse(f"the number {str(value)[:40]} is not real and finite")
        size = abs(value.evalf(15))
        if size != 0 and not 10**-LARGEST_NUMBER <= size <= 10**LARGEST_NUMBER:
            raise self.refuse(f"a number of size {float(sp.log(size, 10)):.3g} in powers of ten")
        return value

    # -------------------------------------------------------------------------- atoms

    def _Constant(self, node: ast.Constant, depth: int) -> Expr:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise self.refuse(f"{ast.unparse(node)[:40]} is not a real number")
        if abs(node.value) > 10**LARGEST_NUMBER:
            raise self.refuse(f"a number above 1e{LARGEST_NUMBER}")
        return exact(node.value)

    def _Name(self, node: ast.Name, depth: int) -> Expr:
        if node.id not in CONSTANTS:
            raise self.refuse(
                f"{node.id!r} is unknown; the variable is x, the constants are pi and e"
            )
        return CONSTANTS[node.id]

    # -------------------------------------------------------------------------- arithmetic

    def _UnaryOp(self, node: ast.UnaryOp, depth: int) -> Any:
        if isinstance(node.op, ast.Not):
            return sp.Not(self.condition(node.operand, depth))
        if isinstance(node.op, ast.Invert):
            raise self.refuse("~ is not allowed; write not")
        value = self.number(node.operand, depth)
        return -value if isinstance(node.op, ast.USub) else value

    def _BinOp(self, node: ast.BinOp, depth: int) -> Expr:
        a, b = self.number(node.left, depth), self.number(node.right, depth)
        match node.op:
            case ast.Add() | ast.Sub() | ast.Mult():
                name = type(node.op).__name__.lower().replace("mult", "mul")
                result: Expr = getattr(operator, name)(a, b)
                return result
            case ast.Div():
                return self._divided(a, b)
            case ast.Pow():
                return self._power(a, b)
            case ast.BitXor():
                raise self.refuse("^ is not a power; write **")
        raise self.refuse(f"only + - * / **, not {ast.unparse(node)[:40]}")

    def _divided(self, a: Expr, b: Expr) -> Expr:
        if b == 0:
            raise self.refuse("a division by 0")
        return a / b

    def _power(self, base: Expr, exponent: Expr) -> Expr:
        if not exponent.free_symbols and abs(exponent) > LARGEST_EXPONENT:
            raise self.refuse(f"an exponent above {LARGEST_EXPONENT}")
        if base == 0 and not exponent.is_positive:
            raise self.refuse("a division by 0")
        power = base**exponent
        degree = power.as_base_exp()[1]
        if not degree.free_symbols and abs(degree) > LARGEST_EXPONENT:
            raise self.refuse(f"an exponent above {LARGEST_EXPONENT}")
        return power

    # -------------------------------------------------------------------------- conditions

    def _Compare(self, node: ast.Compare, depth: int) -> Boolean:
        if len(node.ops) != 1:
            raise self.refuse(f"{ast.unparse(node)[:40]} compares twice; join two by and")
        compare = COMPARISONS.get(type(node.ops[0]))
        if compare is None:
            raise self.refuse(f"only < <= > >= == !=, not {ast.unparse(node)[:40]}")
        return compare(self.number(node.left, depth), self.number(node.comparators[0], depth))

    def _BoolOp(self, node: ast.BoolOp, depth: int) -> Boolean:
        join = sp.And if isinstance(node.op, ast.And) else sp.Or
        return join(*(self.condition(value, depth) for value in node.values))

    def _IfExp(self, node: ast.IfExp, depth: int) -> Expr:
        condition = self.condition(node.test, depth)
        return symbolic.where(
            condition, self.number(node.body, depth), self.number(node.orelse, depth)
        )

    # -------------------------------------------------------------------------- calls

    def _Call(self, node: ast.Call, depth: int) -> Expr:
        if not isinstance(node.func, ast.Name):
            raise self.refuse(f"{ast.unparse(node.func)[:40]} cannot be called; write a bare name")
        name = node.func.id
        rules = functions()
        if name not in rules:
            raise self.refuse(no_such("function", name, rules))
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self.refuse("* is not allowed before an argument")
        first = self.condition if name == "where" else self.number
        operands = [first(a, depth) for a in node.args[:1]]
        operands += [self.number(argument, depth) for argument in node.args[1:]]
        named = {str(keyword.arg): self.number(keyword.value, depth) for keyword in node.keywords}
        try:
            inspect.signature(rules[name]).bind(*operands, **named)
        except TypeError as error:
            raise self.refuse(f"{name}: {error}") from None
        if name == "pow":
            return self._power(*operands)
        return rules[name](*operands, **named)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


@lru_cache(maxsize=1)
def functions() -> dict[str, Callable[..., Expr]]:
    """What a text may call: every elementwise op of the engine that gives a number.

    `abs`, `sign`, `maximum` and `minimum` stay SymPy's own, whose derivatives at a tie are the
    engine's: 0 for abs, one half each for maximum and minimum.
    """
    from tinygrad_edu.ops import TABLE
    from tinygrad_edu.ops.kinds import Elementwise

    found: dict[str, Callable[..., Expr]] = {
        name: _call(op)
        for name, op in TABLE.items()
        if isinstance(op, Elementwise) and op.result != "bool" and not hasattr(op, "expression")
    }
    found["max"], found["min"] = found["maximum"], found["minimum"]
    return found


class _Unsplit(SymbolicNamespace):
    """Ties and corners as SymPy's functions have them."""

    maximum = staticmethod(lambda a, b: sp.Max(a, b, evaluate=False))
    minimum = staticmethod(lambda a, b: sp.Min(a, b, evaluate=False))
    abs = staticmethod(sp.Abs)
    sign = staticmethod(sp.sign)


unsplit = _Unsplit()


def _call(op: Any) -> Callable[..., Expr]:
    namespace = symbolic if op.name == "clamp" else unsplit  # whose gradient at a tie goes to x

    def call(*operands: Any, **parameters: Any) -> Expr:
        return exact(op.rule(namespace, *operands, **parameters))

    signature = inspect.signature(op.rule)
    _, *parameters = signature.parameters.values()
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call
