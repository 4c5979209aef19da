"""The ops of convolution and pooling, in terms of torch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.ops.sliding import Places, divisors

Padding = tuple[tuple[int, int], ...]


def _padded(torch: Any, x: Any, padding: Padding, value: float = 0.0) -> Any:
    around = [n for pair in reversed(padding) for n in pair]
    return torch.nn.functional.pad(x, around, value=value)


def convolution(torch: Any, x: Any, w: Any, padding: Padding, **layout: Any) -> Any:
    function = getattr(torch.nn.functional, f"conv{len(padding)}d")
    return function(_padded(torch, x, padding), w, **layout)


def convolution_input(
    torch: Any, y: Any, w: Any, size: Places, padding: Padding, **layout: Any
) -> Any:
    """What the transposed convolution gives, without the padding, with what no window met."""
    function = getattr(torch.nn.functional, f"conv_transpose{len(padding)}d")
    whole = function(y, w, **layout)
    rows = zip(size, whole.shape[2:], padding, strict=True)
    return _padded(torch, whole, tuple((-before, n + before - m) for n, m, (before, _) in rows))


def convolution_weight(
    torch: Any,
    x: Any,
    y: Any,
    kernel: Places,
    stride: Places,
    padding: Padding,
    dilation: Places,
    groups: int,
) -> Any:
    """A convolution, too: images are summed over as channels are, and stride and dilation change
    places."""
    function = getattr(torch.nn.functional, f"conv{len(kernel)}d")
    inner, outer = x.shape[1] // groups, y.shape[1] // groups
    if not len(x):  # torch's convolution of no channels has the shape of no images
        return torch.zeros(y.shape[1], inner, *kernel, dtype=x.dtype) + x.sum() + y.sum()
    xs, ys = _padded(torch, x, padding).transpose(0, 1), y.transpose(0, 1)
    parts = []
    for g in range(groups):
        own, grown = xs[g * inner : (g + 1) * inner], ys[g * outer : (g + 1) * outer]
        w = function(own, grown, stride=dilation, dilation=stride).transpose(0, 1)
        parts.append(w[(..., *(slice(k) for k in kernel))])
    return torch.cat(parts)


def _planes(x: Any, rank: int) -> Any:
    """All leading axes as two."""
    return x.reshape(1, math.prod(x.shape[: x.ndim - rank]), *x.shape[x.ndim - rank :])


def max_pool(torch: Any, x: Any, **params: Any) -> Any:
    return x.reshape(-1)[max_pool_positions(torch, x.detach(), **params)]


def max_pool_positions(torch: Any, x: Any, padding: Padding, **layout: Any) -> Any:
    """Padded first, by what is never the largest, since torch pads both sides alike."""
    rank = len(padding)
    lead, size = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
    places = torch.arange(x.numel(), dtype=torch.float64).reshape(x.shape)
    numbered = _padded(torch, _planes(places, rank), padding, -1.0)
    values = _padded(torch, _planes(x, rank), padding, -math.inf)
    if not x.numel():  # torch pools no empty planes
        count = [
            (n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip(
                values.shape[2:],
                layout["kernel"],
                layout["stride"],
                layout["dilation"],
                strict=True,
            )
        ]
        return torch.zeros((*lead, *count), dtype=torch.int64)
    function = getattr(torch.nn.functional, f"max_pool{rank}d")
    _, at = function(
        values,
        layout["kernel"],
        layout["stride"],
        dilation=layout["dilation"],
        return_indices=True,
    )
    flat = numbered.reshape(*numbered.shape[:2], -1)
    found = flat.gather(2, at.reshape(*at.shape[:2], -1))
    return found.to(torch.int64).reshape(*lead, *at.shape[2:]) if size else found


def _each(torch: Any, size: Places, **params: Any) -> Any:
    return torch.tensor(np.asarray(divisors(tuple(size), **params), float))


def avg_pool(torch: Any, x: Any, **params: Any) -> Any:
    """Sums, as convolutions with ones, divided by the number that counts."""
    kernel, padding, rank = params["kernel"], params["padding"], len(params["kernel"])
    lead, size = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
    ones = torch.ones((1, 1, *kernel), dtype=x.dtype)
    planes = _planes(x, rank).transpose(0, 1)
    total = convolution(torch, planes, ones, padding, stride=params["stride"])
    return (total / _each(torch, size, **params)).reshape(*lead, *total.shape[2:])


def avg_pool_input(torch: Any, y: Any, size: Places, **params: Any) -> Any:
    kernel, padding, rank = params["kernel"], params["padding"], len(size)
    ones = torch.ones((1, 1, *kernel), dtype=y.dtype)
    shares = _planes(y / _each(torch, size, **params), rank).transpose(0, 1)
    x = convolution_input(torch, shares, ones, size, padding, stride=params["stride"])
    return x.reshape(*y.shape[: y.ndim - rank], *size)


SLIDING: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        convolution,
        convolution_input,
        convolution_weight,
        max_pool,
        max_pool_positions,
        avg_pool,
        avg_pool_input,
    )
}
