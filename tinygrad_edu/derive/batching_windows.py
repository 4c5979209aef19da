"""How convolutions, pools and normalisations take a batch axis.

A convolution has an axis of images already, and `groups` that do not see each other. So examples
with images of their own become more images of one convolution, and examples with filters of their
own become groups of it: (B, n, c, ...) as (B n, c, ...) or as (n, B c, ...).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.derive.batched import Batched, register
from tinygrad_edu.graph.layout import movedim
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.graph.tensor import Tensor, make
from tinygrad_edu.ops.table import Op

Params = Mapping[str, Any]

# ------------------------------------------------------------------------------ convolution


def _reshaped(x: Tensor, shape: Sequence[int]) -> Tensor:
    return apply(ops.reshape, x, shape=tuple(shape))


def _as_images(x: Tensor) -> Tensor:
    """(B, n, ...) as (B n, ...)."""
    return _reshaped(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def _as_channels(x: Tensor) -> Tensor:
    """(B, n, c, ...) as (n, B c, ...)."""
    size, images, channels, *rest = x.shape
    return _reshaped(movedim(x, 0, 1), (images, size * channels, *rest))


def _from_channels(y: Tensor, size: int) -> Tensor:
    """(n, B c, ...) as (B, n, c, ...)."""
    images, channels, *rest = y.shape
    return movedim(_reshaped(y, (images, size, channels // size, *rest)), 1, 0)


def _with_filters(w: Tensor, groups: int) -> Tensor:
    """(B, g o, c, ...) as (g B o, c, ...): every group of channels with all examples' filters."""
    size, out, *rest = w.shape
    split = _reshaped(w, (size, groups, out // groups, *rest))
    return _reshaped(movedim(split, 0, 1), (size * out, *rest))


def _from_filters(y: Tensor, size: int, groups: int) -> Tensor:
    """(n, g B o, ...) as (B, n, g o, ...)."""
    images, out, *rest = y.shape
    split = _reshaped(y, (images, groups, size, out // (groups * size), *rest))
    return _reshaped(movedim(split, 2, 0), (size, images, out // size, *rest))


@register("convolution")
def _convolved(op: Op, xs: Sequence[Batched], size: int, params: Params) -> Tensor:
    x, w = xs
    groups = params["groups"]
    if not w.varied:
        y = apply(op, _as_images(x.tensor), w.tensor, **params)
        return _reshaped(y, (size, x.tensor.shape[1], *y.shape[1:]))
    if not x.varied:  # all see the same images
        y = apply(op, x.tensor, _with_filters(w.tensor, groups), **params)
        return _from_filters(y, size, groups)
    return _grouped(op, x, w, size, params)


@register("convolution_input")
def _convolved_back(op: Op, xs: Sequence[Batched], size: int, params: Params) -> Tensor:
    y, w = xs
    if w.varied:
        return _grouped(op, y, w, size, params)
    x = apply(op, _as_images(y.tensor), w.tensor, **params)
    return _reshaped(x, (size, y.tensor.shape[1], *x.shape[1:]))


def _grouped(op: Op, x: Batched, w: Batched, size: int, params: Params) -> Tensor:
    """Images and filters of each example's own: a group for each example."""
    more = {**params, "groups": size * params["groups"]}
    y = apply(op, _as_channels(x.spread(size)), _as_images(w.tensor), **more)
    return _from_channels(y, size)


@register("convolution_weight")
def _filters(op: Op, xs: Sequence[Batched], size: int, params: Params) -> Tensor:
    x, y = (_as_channels(operand.spread(size)) for operand in xs)
    w = apply(op, x, y, **{**params, "groups": size * params["groups"]})
    return _reshaped(w, (size, w.shape[0] // size, *w.shape[1:]))


@register("convolution_bias")
def _convolved_with_bias(op: Op, xs: Sequence[Batched], size: int, params: Params) -> Tensor:
    x, w, bias = xs
    if not w.varied and not bias.varied:
        y = apply(op, _as_images(x.tensor), w.tensor, bias.tensor, **params)
        return _reshaped(y, (size, x.tensor.shape[1], *y.shape[1:]))
    if x.varied or w.varied:
        y = _convolved(ops.convolution, (x, w), size, params)
    else:
        y = apply(ops.convolution, x.tensor, w.tensor, **params)
    b = bias.tensor
    spatial = (1,) * (x.rank - 2)
    return y + _reshaped(b, (*b.shape[:-1], *((1,) if bias.varied else ()), b.shape[-1], *spatial))


# ------------------------------------------------------------------------------ pools


@register("max_pool", "avg_pool", "avg_pool_input")
def _pooled(op: Op, xs: Sequence[Batched], size: int, params: Params) -> Tensor:
    return apply(op, xs[0].tensor, **params)  # their axes are the last ones


@register("max_pool_positions")
def _positions(op: Op, xs: Sequence[Batched], size: int, params: Params) -> Tensor:
    """Positions count through all examples; each example's begin at 0."""
    x = xs[0].tensor
    found = apply(op, x, **params)
    first = np.arange(size) * math.prod(x.shape[1:])
    return found - make(Node(first.reshape(size, *(1,) * xs[0].rank)))


# ------------------------------------------------------------------------------ normalisation


@register("standardize", "unit_rms")
def _normalised(op: Op, xs: Sequence[Batched], size: int, params: Params) -> Tensor:
    axes = tuple(axis + 1 for axis in params["axes"])
    return apply(op, xs[0].tensor, axes=axes, eps=params["eps"])


@register("dropout")
def _dropped(op: Op, xs: Sequence[Batched], size: int, params: Params) -> Tensor:
    return apply(op, *(x.spread(size) for x in xs), **params)


@register("affine")
def _scaled(op: Op, xs: Sequence[Batched], size: int, params: Params) -> Tensor:
    x, *rest = xs
    rank = x.rank
    operands = (
        _reshaped(t.tensor, (size, *(1,) * (rank - t.rank), *t.tensor.shape[1:]))
        if t.varied
        else t.tensor
        for t in rest
    )
    return apply(op, x.spread(size), *operands)
