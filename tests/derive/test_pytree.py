"""Trees of tensors come apart and together again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tinygrad_edu.derive.pytree import flatten, map_leaves, outline

trees = st.recursive(
    st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(trees)
def test_there_and_back(tree: Any) -> None:
    leaves, rebuild = flatten(tree)
    assert rebuild(leaves) == tree
    assert all(isinstance(leaf, int) for leaf in leaves)
    assert map_leaves(lambda leaf: leaf + 1, map_leaves(lambda leaf: leaf - 1, tree)) == tree


@given(trees, trees)
def test_outlines_tell_structures_apart(a: Any, b: Any) -> None:
    zeros = [map_leaves(lambda leaf: 0, tree) for tree in (a, b)]
    assert (outline(a) == outline(b)) == (repr(zeros[0]) == repr(zeros[1]))


def test_order_of_keys_is_kept() -> None:
    tree = OrderedDict(b=1, a=2)
    leaves, rebuild = flatten(tree)
    assert leaves == [1, 2]
    assert list(rebuild(leaves)) == ["b", "a"]
