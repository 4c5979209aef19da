"""Sequences: a dense layer at every position, whose units share its weights.

Its values at two positions have covariance Var(W) times the inner product of their inputs, as the
positions of a convolution with a kernel of size 1 have (Xiao et al. 2018, eq. 2.7).
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

from analysis.network.context import Context
from analysis.network.fields import Pairs, across, correlated, pairs_of, remember
from analysis.network.layouts import is_sequence
from analysis.network.records import Array, Signal
from analysis.network.roots import DataRoot, GaussianRoot
from analysis.network.rules.conv import spread_out
from tinygrad_edu.graph.node import Node


def by_step(node: Node, x: Signal, context: Context) -> Signal | None:
    """The record by positions of a tensor (n, *positions, units); None if it is not followed."""
    shape = node.shape
    if x.places > 1:
        return x if is_sequence(x, shape) and x.units == shape[-1] else None
    places = math.prod(shape[1:-1])
    if places == 1 or x.units != places * shape[-1] or x.element is None:
        return None
    root = x.element.root
    if isinstance(root, DataRoot):
        root = root.stepped(places)
    elif isinstance(root, GaussianRoot):
        root = root.placed(places)
    elif root is not None:
        return None
    layout = "b" + "p" * (len(shape) - 2) + "u"
    return replace(spread_out(x, root, places, shape[-1], context), layout=layout)


def fields_of(z: Signal, x: Signal, factor: float, context: Context) -> None:
    """Let the source of a dense layer at every position of x be a field."""
    if z.element is None or z.element.root is not None or len(z.element.form.terms) != 1:
        return
    (key,) = z.element.form.terms
    variance = factor * x.second

    def field(table: Pairs | None) -> Array | None:
        return None if table is None else correlated(factor * table, variance)

    remember(
        key,
        functools.cache(lambda: field(pairs_of(x, context))),
        context,
        functools.cache(lambda: field(across(x, context))),
    )
