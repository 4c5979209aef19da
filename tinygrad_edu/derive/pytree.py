"""Tuples, lists and dicts of tensors, nested as deep as one likes, as a flat list and back.

What a transform of `tg.func` is given and returns may be such a tree. None is an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Rebuild = Callable[[Iterable[Any]], Any]
"""Makes the tree again, of other leaves in the same order."""


def flatten(tree: Any) -> tuple[list[Any], Rebuild]:
    """The leaves in order, and what makes the same tree of others. Mappings become dicts."""
    leaves: list[Any] = []
    take = _visit(tree, leaves)
    return leaves, lambda others: take(iter(others))


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with each leaf replaced by `function(leaf)`."""
    leaves, rebuild = flatten(tree)
    return rebuild(map(function, leaves))


class _Leaf:
    def __repr__(self) -> str:
        return "*"


def outline(tree: Any) -> str:
    """The tree with a star for every leaf: equal for trees of the same structure."""
    return repr(map_leaves(lambda leaf: _Leaf(), tree))


def _visit(tree: Any, leaves: list[Any]) -> Callable[[Iterator[Any]], Any]:
    """Collect the leaves of a tree; what takes as many from an iterator and makes the tree."""
    if tree is None:
        return lambda others: None
    if isinstance(tree, Mapping):
        branches = [(key, _visit(branch, leaves)) for key, branch in tree.items()]
        return lambda others: {key: take(others) for key, take in branches}
    if isinstance(tree, tuple | list):
        takes = [_visit(branch, leaves) for branch in tree]
        make = getattr(type(tree), "_make", type(tree))  # a named tuple's way of taking a list
        return lambda others: make([take(others) for take in takes])
    leaves.append(tree)
    return next
