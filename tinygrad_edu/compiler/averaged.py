"""Average pooling as what it is made of: sums over windows, and a division that fusion takes on.

One window over everything is a plain sum, and its transpose repeats a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tinygrad_edu.compiler.shapes import Shape
from tinygrad_edu.compiler.term import Graph, Term
from tinygrad_edu.ops.pooling import divisors, mean_windows
from tinygrad_edu.ops.table import TABLE

Params = Mapping[str, Any]


def _mean(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    """The sum of each window, divided."""
    (x,) = xs
    if params["divisor"] == 1 or not math.prod(shape):
        return None
    rank = len(params["kernel"])
    size = x.shape[len(x.shape) - rank :]
    if _is_one(size, params):
        axes = tuple(range(len(x.shape) - rank, len(x.shape)))
        sums = graph.apply(TABLE["sum"], x, axes=axes, keepdims=True)
    else:
        sums = graph.apply(TABLE["avg_pool"], x, **{**params, "divisor": 1})
    return graph.apply(TABLE["div"], sums, _divisor(graph, sums, size, params))


def _shares(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    """The transpose: divided first, and then added up."""
    (y,) = xs
    if params["divisor"] == 1 or not y.size:
        return None
    share = graph.apply(TABLE["div"], y, _divisor(graph, y, params["size"], params))
    if _is_one(params["size"], params):
        return graph.apply(TABLE["expand"], share, shape=shape)
    return graph.apply(TABLE["avg_pool_input"], share, **{**params, "divisor": 1})


def _is_one(size: Shape, params: Params) -> bool:
    """Whether there is one window, and no padding in it."""
    unpadded = not any(map(any, params["padding"]))
    return unpadded and tuple(params["kernel"]) == tuple(size)


def _divisor(graph: Graph, y: Term, size: Shape, params: Params) -> Term:
    """What the sums of windows over axes of this size are divided by, in their dtype."""
    windows = mean_windows(**{name: params[name] for name in ("kernel", "stride", "padding")})
    counts = divisors(size, windows, params["count_padding"], params["divisor"])
    return graph.constant(y.dtype.type(counts))


RULES = {"avg_pool": _mean, "avg_pool_input": _shares}
