"""Samples and oracles of convolution and pooling: the definitions, element by element."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.ops.samples import Array, Case, Sample, arrays, layouts, relayout, seeds

Places = tuple[int, ...]


def counts(size: Sequence[int], params: dict[str, Any]) -> Places:
    """How many windows fit along each axis."""
    kernel, stride, padding = params["kernel"], params["stride"], params["padding"]
    dilation = params.get("dilation", (1,) * len(kernel))
    rows = zip(size, kernel, stride, padding, dilation, strict=True)
    return tuple((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in rows)


def elements(
    size: Sequence[int], params: dict[str, Any]
) -> Iterator[tuple[Places, Places, Places]]:
    """Every window, each of its elements, and where that is in the input; not those outside."""
    kernel, stride, padding = params["kernel"], params["stride"], params["padding"]
    dilation = params.get("dilation", (1,) * len(kernel))
    for window in np.ndindex(*counts(size, params)):
        for tap in np.ndindex(*kernel):
            rows = zip(window, stride, tap, dilation, padding, strict=True)
            place = tuple(p * s + k * d - before for p, s, k, d, (before, _) in rows)
            if all(0 <= i < n for i, n in zip(place, size, strict=True)):
                yield window, tap, place


# ------------------------------------------------------------------------------ convolution


def convolve(x: Array, w: Array, **params: Any) -> Array:
    """The sum of products that a convolution is."""
    params["kernel"] = w.shape[2:]
    y = np.zeros((len(x), len(w), *counts(x.shape[2:], params)))
    outer, inner = len(w) // params["groups"], w.shape[1]
    for window, tap, place in elements(x.shape[2:], params):
        for n, o, c in itertools.product(range(len(x)), range(len(w)), range(inner)):
            y[(n, o, *window)] += x[(n, o // outer * inner + c, *place)] * w[(o, c, *tap)]
    return y


def by_input(y: Array, w: Array, size: Places, **params: Any) -> Array:
    """What each element of x is multiplied by."""
    params["kernel"] = w.shape[2:]
    outer, inner = len(w) // params["groups"], w.shape[1]
    x = np.zeros((len(y), inner * params["groups"], *size))
    for window, tap, place in elements(size, params):
        for n, o, c in itertools.product(range(len(y)), range(len(w)), range(inner)):
            x[(n, o // outer * inner + c, *place)] += y[(n, o, *window)] * w[(o, c, *tap)]
    return x


def by_weight(x: Array, y: Array, kernel: Places, **params: Any) -> Array:
    """What each element of w is multiplied by."""
    params["kernel"] = kernel
    outputs, inner = y.shape[1], x.shape[1] // params["groups"]
    outer = outputs // params["groups"]
    w = np.zeros((outputs, inner, *kernel))
    for window, tap, place in elements(x.shape[2:], params):
        for n, o, c in itertools.product(range(len(x)), range(outputs), range(inner)):
            w[(o, c, *tap)] += x[(n, o // outer * inner + c, *place)] * y[(n, o, *window)]
    return w


def size_under(draw: Any, params: dict[str, Any]) -> Places:
    """A size that has at least one window."""
    rows = zip(params["kernel"], params["dilation"], params["padding"], strict=True)
    least = [max(d * (k - 1) + 1 - sum(p), 1) for k, d, p in rows]
    return tuple(n + draw(st.integers(0, 2)) for n in least)


@st.composite
def layers(draw: Any) -> tuple[dict[str, Any], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """A convolution's parameters, and the shapes of x, w and y."""
    rank = draw(st.sampled_from([1, 1, 2]))
    some = st.lists(st.integers(1, 3 if rank == 1 else 2), min_size=rank, max_size=rank)
    groups, inner, outer = draw(st.sampled_from([(1, 1, 1), (1, 2, 2), (2, 1, 1), (2, 1, 2)]))
    params: dict[str, Any] = {
        "kernel": tuple(draw(some)),
        "stride": tuple(draw(some)),
        "padding": tuple((draw(st.integers(0, 2)), draw(st.integers(-1, 2))) for _ in range(rank)),
        "dilation": tuple(draw(some)),
        "groups": groups,
    }
    size = size_under(draw, params)
    batch = draw(st.integers(0, 2))
    count, kernel = counts(size, params), params.pop("kernel")
    return (
        params,
        (batch, inner * groups, *size),
        (outer * groups, inner, *kernel),
        (batch, outer * groups, *count),
    )


@st.composite
def forwards(draw: Any, bias: bool = False) -> Sample:
    """Operands of a convolution."""
    params, x, w, y = draw(layers())
    shapes = (x, w, y[1:2]) if bias else (x, w)
    return Sample(tuple(draw(arrays(shape)) for shape in shapes), params)


@st.composite
def inputs(draw: Any) -> Sample:
    """Operands of its transpose in x."""
    params, x, w, y = draw(layers())
    return Sample((draw(arrays(y)), draw(arrays(w))), {"size": x[2:], **params})


@st.composite
def weights(draw: Any) -> Sample:
    """Operands of its transpose in w."""
    params, x, w, y = draw(layers())
    return Sample((draw(arrays(x)), draw(arrays(y))), {"kernel": w[2:], **params})


# ------------------------------------------------------------------------------ pooling


@st.composite
def pools(draw: Any, dilated: bool) -> tuple[tuple[int, ...], dict[str, Any]]:
    """A shape, and windows over its last axes each of which has an element: paddings are at most
    half a window, and a last window begins within the input."""
    rank = draw(st.integers(1, 2))
    size, kernel, stride, padding, dilation = [], [], [], [], []
    for _ in range(rank):
        k, s = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        d = draw(st.integers(1, 2)) if dilated else 1
        extent = d * (k - 1) + 1
        before = draw(st.integers(0, extent // 2 if d == 1 else 0))
        n = draw(st.integers(max(extent - before, 1), 5))
        after = before
        if draw(st.booleans()):  # one more window, which need not fit
            count = (n + 2 * before - extent) // s + 2
            if (count - 1) * s < n + before:
                after = (count - 1) * s + extent - n - before
            if (count - 1) * s - before >= n:
                after = before
        size.append(n)
        kernel.append(k)
        stride.append(s)
        padding.append((before, after))
        dilation.append(d)
    params: dict[str, Any] = {
        "kernel": tuple(kernel), "stride": tuple(stride), "padding": tuple(padding)
    }  # fmt: skip
    if dilated:
        params["dilation"] = tuple(dilation)
    lead = tuple(draw(st.lists(st.integers(0, 2), max_size=2)))
    return (*lead, *size), params


@st.composite
def peaks(draw: Any) -> Sample:
    """An array without ties, and windows."""
    shape, params = draw(pools(dilated=True))
    order = np.random.default_rng(draw(seeds)).permutation(math.prod(shape))
    x = relayout(np.asarray(order / 4.0 - 1).reshape(shape), draw(layouts))
    return Sample((x,), params)


@st.composite
def averages(draw: Any, spread: bool = False) -> Sample:
    """An array and windows, and how to count; or what the transpose takes."""
    shape, params = draw(pools(dilated=False))
    params |= {"count_padding": draw(st.booleans()), "divisor": draw(st.sampled_from([0, 0, 3]))}
    rank = len(params["kernel"])
    if not spread:
        return Sample((draw(arrays(shape)),), params)
    lead, size = shape[: len(shape) - rank], shape[len(shape) - rank :]
    y = draw(arrays((*lead, *counts(size, params))))
    return Sample((y,), {"size": size, **params})


def planes(x: Array, rank: int) -> tuple[tuple[int, ...], tuple[int, ...], Array]:
    """The leading and the pooled axes, and x with all leading ones as one."""
    lead, size = x.shape[: x.ndim - rank], x.shape[x.ndim - rank :]
    return lead, size, x.reshape(math.prod(lead), *size)


def largest(x: Array, **params: Any) -> Array:
    """The position of the largest element of each window, in all of x."""
    lead, size, stack = planes(x, len(params["kernel"]))
    best = np.full((len(stack), *counts(size, params)), -1)
    for window, _, place in elements(size, params):
        for i, plane in enumerate(stack):
            old = best[(i, *window)]
            if old < 0 or plane[place] > stack.reshape(-1)[old]:
                best[(i, *window)] = np.ravel_multi_index((i, *place), stack.shape)
    return best.reshape(*lead, *best.shape[1:])


def divisors(size: Places, count_padding: bool, divisor: int, **params: Any) -> Array:
    """How many elements each mean is over."""
    total = np.full(counts(size, params), divisor)
    if divisor:
        return total
    rows = list(zip(size, params["kernel"], params["stride"], params["padding"], strict=True))
    for window in np.ndindex(*total.shape):
        number = 1
        for i, (n, k, s, (before, _)) in zip(window, rows, strict=True):
            span = range(i * s - before, i * s - before + k)
            margin = before if count_padding else 0
            number *= sum(-margin <= place < n + margin for place in span)
        total[window] = number
    return total


def means(x: Array, **params: Any) -> Array:
    """The mean of each window."""
    lead, size, stack = planes(x, len(params["kernel"]))
    total = np.zeros((len(stack), *counts(size, params)))
    for window, _, place in elements(size, params):
        total[(slice(None), *window)] += stack[(slice(None), *place)]
    return (total / divisors(size, **params)).reshape(*lead, *total.shape[1:])


def shares(y: Array, size: Places, **params: Any) -> Array:
    """What each element receives of the means."""
    lead, _, stack = planes(y, len(size))
    x = np.zeros((len(stack), *size))
    each = divisors(size, **params)
    for window, _, place in elements(size, params):
        x[(slice(None), *place)] += stack[(slice(None), *window)] / each[window]
    return x.reshape(*lead, *size)


SLIDING: dict[str, Case] = {
    "convolution": Case(forwards(), convolve),
    "convolution_input": Case(inputs(), by_input),
    "convolution_weight": Case(weights(), by_weight),
    "max_pool": Case(peaks(), lambda x, **params: x.reshape(-1)[largest(x, **params)]),
    "max_pool_positions": Case(peaks(), largest),
    "avg_pool": Case(averages(), means),
    "avg_pool_input": Case(averages(spread=True), shares),
}

BIASED = Case(
    forwards(bias=True),
    lambda x, w, bias, **params: convolve(x, w, **params) + bias.reshape(-1, *[1] * (x.ndim - 2)),
)
