"""Norms of the data themselves: numbers that are normalised are numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.network.context import Context
from analysis.network.elements import Element
from analysis.network.records import Signal
from analysis.network.roots import DataRoot
from analysis.network.sources import Form
from tinygrad_edu.graph.node import Node


def norm_of_data(node: Node, x: Signal, context: Context) -> Signal | None:
    """Numbers that are normalised are numbers."""
    element = x.element
    if not x.fixed or element is None or not isinstance(element.root, DataRoot) or x.places > 1:
        return None
    assert node.op is not None
    root = element.root
    values = root.program.run(root.numbers, element.index)[element.index][0]
    values = values + element.form.mean[:, None]
    shape = (len(values), *node.shape[1:])
    made = np.asarray(node.op.forward(values.reshape(shape), **node.params), np.float64)
    own = root.with_numbers(made.reshape(values.shape))
    element = Element(Form(np.zeros_like(x.mean), {}), own)
    mean, second, fourth = element.moments()
    context.notes[context.at(node)] = None
    return replace(
        x,
        mean=mean,
        second=second,
        fourth=fourth,
        element=element,
        partner=context.products(own.numbers),
    )
