"""Which terms have an emitted form, and the rule it is made of."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.compiler.term import Term, freeze
from tinygrad_edu.kernels.costs import costs
from tinygrad_edu.kernels.description import REDUCTIONS
from tinygrad_edu.kernels.lanes import TYPES, NoVectorForm
from tinygrad_edu.ops.kinds import Elementwise
from tinygrad_edu.ops.table import TABLE


@dataclass(frozen=True)
class Rule:
    """An elementwise rule ready to emit. `name` tells rules of different code apart."""

    function: Callable[..., Any]
    params: Mapping[str, Any]
    name: str
    costly: bool


_known: dict[Any, Rule | None] = {}


def rule_of(t: Term) -> Rule | None:
    """The rule that computes t element by element, or None where there is none to emit."""
    dtypes = [x.dtype for x in t.inputs]
    if t.dtype not in TYPES or any(d not in TYPES for d in dtypes):
        return None
    if t.name == "expand":
        return Rule(_same, {}, "same", False)
    if t.name == "cast":
        return Rule(_same, {}, "cast", dtypes[0].kind != t.dtype.kind)
    if not isinstance(t.op, Elementwise):
        return None
    key = (id(t.op), freeze(t.params), tuple(dtypes), t.dtype)
    if key not in _known:
        _known[key] = _examine(t.op, t.params, dtypes, t.dtype)
    return _known[key]


def _same(m: Any, x: Any) -> Any:
    return x


def _examine(
    op: Elementwise, params: Mapping[str, Any], dtypes: list[Any], result: np.dtype[Any]
) -> Rule | None:
    try:
        costly = costs(op.rule, params, dtypes, result)
    except NoVectorForm:
        return None
    name = f"{op.name}-{fingerprint(op.rule)} {freeze(params)!r}"
    return Rule(op.rule, params, name, costly)


def is_reduction(t: Term) -> bool:
    """Whether t is a reduction that kernels know."""
    return t.name in REDUCTIONS and TABLE[t.name] is t.op and t.dtype in TYPES


@functools.cache
def fingerprint(rule: Callable[..., Any]) -> str:
    """A hash of a rule's code and of the functions and numbers it refers to, so that a kernel on
    disk is never taken for that of an edited rule."""
    digest = hashlib.sha256()
    seen: set[int] = set()

    def visit(x: Any) -> None:
        if isinstance(x, types.FunctionType):
            if id(x) in seen:
                return
            seen.add(id(x))
            visit(x.__code__)
            visit(x.__defaults__)
            for cell in x.__closure__ or ():
                visit(cell.cell_contents)
            for name in x.__code__.co_names:
                if name in x.__globals__:
                    visit(x.__globals__[name])
        elif isinstance(x, types.CodeType):
            digest.update(x.co_code)
            digest.update(repr(x.co_names).encode())
            for part in x.co_consts:
                visit(part)
        elif isinstance(x, tuple):
            for part in x:
                visit(part)
        elif isinstance(x, int | float | str | None):
            digest.update(repr(x).encode())

    visit(rule)
    return digest.hexdigest()[:12]
