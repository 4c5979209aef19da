"""From terms to steps: products with what they absorb, groups that one kernel computes.

Matching: ``matmul + r`` makes r the initial content of the product's result, which covers biases,
residuals and sums of gradients; ``matmul + scalar * state`` lets BLAS scale the state in place,
which covers momentum.

Fusing: terms are visited last to first; one joins a group if all its readers are in it. What is
cheap and wanted by several groups is computed again in each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tinygrad_edu.compiler.group import LARGEST, Group, is_final, is_fusible
from tinygrad_edu.compiler.lower import base, is_copy
from tinygrad_edu.compiler.merge import merge, prune
from tinygrad_edu.compiler.rules import is_reduction, rule_of
from tinygrad_edu.compiler.steps import Product, Single, Step, product_of, single_of
from tinygrad_edu.compiler.term import Term
from tinygrad_edu.ops.table import TABLE


@dataclass
class Fused:
    """The steps of a program in no particular order, and a topological rank for each term."""

    steps: list[Step]
    rank: dict[Term, int]


def fuse(roots: Sequence[Term], donated: Mapping[Term, Term], by_blas: float = math.inf) -> Fused:
    """The steps that compute `roots`. `donated` maps a state to the term that replaces it; products
    of `by_blas` FLOP and more are left to BLAS."""
    terms = _reachable(roots)
    readers = _readers(terms)
    products = _match(terms, readers, set(roots), donated, by_blas)

    def operands(t: Term) -> list[Term]:
        found = products[t].reads if t in products else [base(x) for x in t.inputs]
        return [x for x in found if x.op is not None]

    order = _ordered(roots, operands)
    rank = {t: i for i, t in enumerate(order)}
    groups, singles = _grown(order, products, set(roots))
    others: list[Step] = [*products.values(), *singles]
    groups = merge(groups, others, rank)
    prune(groups, others, set(roots))
    for group in groups:
        group.finish()
    return Fused([*groups, *others], rank)


def _reachable(roots: Iterable[Term]) -> list[Term]:
    seen: set[Term] = set()
    stack = list(roots)
    while stack:
        t = stack.pop()
        if t not in seen:
            seen.add(t)
            stack.extend(t.inputs)
    return sorted(seen, key=lambda t: t.index)


def _readers(terms: Sequence[Term]) -> dict[Term, list[Term]]:
    readers: dict[Term, list[Term]] = {t: [] for t in terms}
    for t in terms:
        for x in t.inputs:
            readers[x].append(t)
    return readers


def _ordered(roots: Sequence[Term], operands: object) -> list[Term]:
    """Terms that are computed, operands first; reshapes are left out."""
    order: list[Term] = []
    seen: set[Term] = set()
    for root in sorted(roots, key=lambda t: t.index):
        stack = [(root, False)]
        while stack:
            t, done = stack.pop()
            if done:
                order.append(t)
            elif t not in seen:
                seen.add(t)
                stack.append((t, True))
                stack.extend((x, False) for x in reversed(operands(t)))  # type: ignore[operator]
    return order


# ------------------------------------------------------------------------------ products


def _match(
    terms: Sequence[Term],
    readers: Mapping[Term, list[Term]],
    roots: set[Term],
    donated: Mapping[Term, Term],
    by_blas: float,
) -> dict[Term, Product]:
    """Products by the term they compute, with the additions they absorb."""
    products: dict[Term, Product] = {}
    for t in terms:
        product = product_of(t, by_blas)
        if product is not None:
            products[t] = product
        elif t.name == "add" and t.op is TABLE["add"]:
            _absorb(t, products, readers, roots, donated)
    for product in products.values():
        r = product.init
        if r is not None and _is_row(r, product):
            product.init, product.row = None, _unexpanded(r)
        elif (
            r is not None
            and product.beta is None
            and not _may_be_overwritten(r, product, products, readers, roots)
        ):
            product.init = _fresh(r, product.out)
    return products


def _absorb(
    t: Term,
    products: dict[Term, Product],
    readers: Mapping[Term, list[Term]],
    roots: set[Term],
    donated: Mapping[Term, Term],
) -> None:
    """Let a product compute the sum t of its result and something else, if it can."""
    for x, r in (t.inputs, t.inputs[::-1]):
        product = products.get(x)
        if product is None or len(readers[x]) != 1 or x in roots or x.shape != t.shape:
            continue
        if product.beta is not None or r.dtype != t.dtype or r is x:
            continue
        if product.init is not None:
            both = (product.init, r)
            product.init = t.graph.raw(TABLE["add"], both, {}, t.shape, t.dtype)
        else:
            state, factor = _scaled_state(r, t, donated, readers)
            product.init, product.beta = (r, None) if state is None else (state, factor)
        del products[x]
        product.out = t
        products[t] = product
        return


def _scaled_state(
    r: Term, t: Term, donated: Mapping[Term, Term], readers: Mapping[Term, list[Term]]
) -> tuple[Term | None, Term | None]:
    """The state and the number if r is a number times the state that t replaces."""
    if r.name == "mul" and len(readers[r]) == 1:
        for state, factor in (r.inputs, r.inputs[::-1]):
            if factor.size == 1 and donated.get(base(state)) is t and state.shape == t.shape:
                return state, factor
    return None, None


def _is_row(r: Term, product: Product) -> bool:
    """Whether the product starts each of its rows with r: a bias."""
    row, out = _unexpanded(r), product.out
    repeated = row.shape[-1:] == out.shape[-1:] and row.size == out.shape[-1] < out.size
    return repeated and product.beta is None and product.in_tiles


def _unexpanded(r: Term) -> Term:
    return r.inputs[0] if r.name == "expand" else r


def _may_be_overwritten(
    r: Term,
    product: Product,
    products: Mapping[Term, Product],
    readers: Mapping[Term, list[Term]],
    roots: set[Term],
) -> bool:
    """Whether the product may take r's place: computed by a group for the product alone."""
    if r.op is None or r.name == "reshape" or r in products or r in roots:
        return False
    if len(readers.get(r, (product,))) != 1:  # a sum that matching made has one reader
        return False
    return r.shape == product.out.shape and is_fusible(r) and not is_reduction(r)


def _fresh(r: Term, out: Term) -> Term:
    """r, repeated to the shape of `out`, in memory of its own."""
    params = {"shape": out.shape, "for": out.index}
    return r.graph.raw(TABLE["expand"], (r,), params, out.shape, out.dtype)


# ------------------------------------------------------------------------------ groups


def _grown(
    order: Sequence[Term], products: Mapping[Term, Product], roots: set[Term]
) -> tuple[list[Group], list[Single]]:
    """Groups grown backwards from what must be stored."""
    made = set(order)
    direct: dict[Term, list[Term]] = {t: [] for t in order}
    stored = set(roots)
    for t in order:
        if t in products:
            stored.update(products[t].reads)
            continue
        for x in t.inputs:
            if x in made:
                direct[x].append(t)
            else:
                stored.add(base(x))  # read under another shape
    wide = _needing_many_arrays(order)
    home: dict[Term, list[Group]] = {}
    groups: list[Group] = []
    singles: list[Single] = []
    for t in reversed(order):
        if t in products:
            continue
        if not is_fusible(t):
            singles.append(single_of(t))
            continue
        into = None
        if t not in stored:
            into = _joinable(t, direct[t], home, products, repeat=t not in wide)
        if into is not None:
            for group, space in into:
                group.add(t, space)
            home[t] = [group for group, _ in into]
        else:
            group = Group(t)
            groups.append(group)
            home[t] = [group]
    groups.reverse()
    singles.reverse()
    return groups, singles


def _joinable(
    t: Term,
    readers: Sequence[Term],
    home: Mapping[Term, list[Group]],
    products: Mapping[Term, Product],
    repeat: bool,
) -> list[tuple[Group, tuple[int, ...]]] | None:
    """The groups of all of t's readers and their spaces with t, or None if t must be stored: if
    they are several, unless to `repeat` it is worth it."""
    if is_final(t) or is_copy(t):
        return None
    into: dict[int, Group] = {}
    for reader in readers:
        if reader in products or reader not in home or is_copy(reader):
            return None
        into.update((id(group), group) for group in home[reader])
    if not into:
        return None
    if len(into) > 1 and not (repeat and _is_cheap(t)):
        return None
    found = []
    for group in into.values():
        space = group.space_with(t) if len(group.nodes) < LARGEST else None
        if space is None:
            return None
        found.append((group, space))
    return found


def _is_cheap(t: Term) -> bool:
    if is_reduction(t):
        return False
    rule = rule_of(t)
    return rule is not None and (t.size == 1 or not rule.costly)


_MANY = 2
"""Arrays from which a value is computed again rather than stored."""


def _needing_many_arrays(order: Sequence[Term]) -> set[Term]:
    """Terms that, computed again, would read more arrays of their size than storing them saves."""
    arrays: dict[Term, frozenset[Term]] = {}
    wide: set[Term] = set()
    for t in order:
        found: frozenset[Term] = frozenset()
        for x in t.inputs:
            if x in arrays and x not in wide and _is_cheap(x):
                found |= arrays[x]
            elif x.size == t.size > 1:
                found |= {x}
        arrays[t] = found
        if len(found) > _MANY:
            wide.add(t)
    return wide
