"""Convolution and its two transposes: three bilinear ops, each the derivative of the others.

All three are one sum of products x y w over images, channels, windows and their elements,

    s(x, w, y) = sum of y[n, o, p] x[n, c, stride p + dilation k - before] w[o, c, k],

and each gives what s is linear in for one of the factors: `convolution` its part in y,
`convolution_input` in x, `convolution_weight` in w. So derivatives of every order stay within the
three.

As everywhere in deep learning nothing is flipped: a mathematician calls it a cross-correlation.
`padding` is a pair (before, after) for every spatial axis; x (n, channels, *size), w (out, channels
/ groups, *kernel), y (n, out, *count).
"""

from __future__ import annotations

from typing import Any

from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.kernels.convolution.convolve import convolve, convolve_input, convolve_weight
from tinygrad_edu.kernels.convolution.windows import Sides, Sizes, Windows
from tinygrad_edu.ops import native
from tinygrad_edu.ops.dtypes import Spec
from tinygrad_edu.ops.fused import fused
from tinygrad_edu.ops.kinds import Shape, bilinear
from tinygrad_edu.ops.silence import silently
from tinygrad_edu.ops.table import Reader

# ------------------------------------------------------------------------------ what fits


def _count(
    name: str, x: Shape, w: Shape, stride: Sizes, padding: Sides, dilation: Sizes, groups: int
) -> Shape:
    """The shape of y for those of x and w; raises where they do not fit."""
    rank = len(x) - 2
    if rank < 1 or len(w) != len(x):
        raise ShapeError(
            f"{name}: an input (n, channels, *size) and a weight (out, channels / groups, *kernel) "
            f"have as many axes, at least 3; got {x} and {w}."
        )
    if not len(stride) == len(padding) == len(dilation) == rank:
        raise ArgumentError(
            f"{name}: stride, padding and dilation need one entry for each of {rank} spatial axes; "
            f"got {stride}, {padding} and {dilation}."
        )
    if groups < 1 or min(*stride, *dilation) < 1:
        raise ArgumentError(
            f"{name}: stride, dilation and groups are at least 1, got {stride}, {dilation} and "
            f"{groups}."
        )
    if w[0] % groups or x[1] % groups:
        raise ShapeError(
            f"{name}: groups={groups} must divide the {x[1]} input channels of {x} and the "
            f"{w[0]} output channels of {w}."
        )
    if x[1] != w[1] * groups:
        raise ShapeError(
            f"{name}: the input {x} has {x[1]} channels, and the weight {w} with groups={groups} "
            f"takes {w[1] * groups}; the axes are (n, channels, *size) and (out, channels / "
            "groups, *kernel)."
        )
    windows = Windows(w[2:], stride, padding, dilation)
    counts = windows.fitting(x[2:])
    if min(counts) < 1 or min(w[2:]) < 1:
        raise ShapeError(
            f"{name}: a kernel of {w[2:]} with dilation {dilation} covers {windows.extent}, and "
            f"the input of {x[2:]} is {windows.padded(x[2:])} with its padding; pad more or use a "
            "smaller kernel (of at least 1)."
        )
    return (x[0], w[0], *counts)


def _check_dtypes(name: str, *operands: Spec) -> None:
    """All float, and all the same. (Complex passes: the complex step tests derivatives.)"""
    kinds = {x.dtype for x in operands}
    if len(kinds) == 1 and operands[0].dtype.kind in "fc":
        return
    listed = " and ".join(str(x.dtype) for x in operands)
    if len(kinds) > 1:
        raise DTypeError(
            f"{name}: {listed}: all operands need the same dtype; convert one with .to(...) (a "
            "model: model.to(...))."
        )
    raise DTypeError(f"{name}: needs floats, got {listed}; convert with .float().")


def _convolution_shape(x: Spec, w: Spec, **layout: Any) -> Shape:
    _check_dtypes("convolution", x, w)
    return _count("convolution", x.shape, w.shape, **layout)


def _input_shape(y: Spec, w: Spec, size: Sizes, **layout: Any) -> Shape:
    name = "convolution_input"
    _check_dtypes(name, y, w)
    if len(w.shape) < 3:
        raise ShapeError(f"{name}: a weight is (out, channels / groups, *kernel), not {w.shape}.")
    x = (y.shape[0] if y.shape else 0, w.shape[1] * layout["groups"], *size)
    _check_result(name, y.shape, x, w.shape, **layout)
    return x


def _weight_shape(x: Spec, y: Spec, kernel: Sizes, **layout: Any) -> Shape:
    name = "convolution_weight"
    _check_dtypes(name, x, y)
    if min(len(x.shape), len(y.shape)) < 3:
        raise ShapeError(f"{name}: needs (n, channels, *size) twice, got {x.shape} and {y.shape}.")
    w = (y.shape[1], x.shape[1] // max(layout["groups"], 1), *kernel)
    _check_result(name, y.shape, x.shape, w, **layout)
    return w


def _check_result(name: str, y: Shape, x: Shape, w: Shape, **layout: Any) -> None:
    expected = _count(name, x, w, **layout)
    if y != expected:
        raise ShapeError(
            f"{name}: a weight {w} turns an input {x} into {expected}, so the other operand must "
            f"have that shape, not {y}."
        )


# ------------------------------------------------------------------------------ the three


@bilinear(
    shape=_convolution_shape,
    left=lambda m, g, x, w, **layout: m.convolution_input(g, w, size=x.shape[2:], **layout),
    right=lambda m, g, x, w, **layout: m.convolution_weight(x, g, kernel=w.shape[2:], **layout),
)
def convolution(x, w, stride, padding, dilation, groups):
    """Each filter's products with all windows of x: (n, channels, *size) to (n, out, *count)."""
    _convolution_shape(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    windows = Windows(w.shape[2:], stride, padding, dilation)
    return silently(convolve, x, w, windows, groups)


@bilinear(
    shape=_input_shape,
    left=lambda m, g, y, w, size, **layout: m.convolution(g, w, **layout),
    right=lambda m, g, y, w, size, **layout: m.convolution_weight(
        g, y, kernel=w.shape[2:], **layout
    ),
)
def convolution_input(y, w, size, stride, padding, dilation, groups):
    """The transpose of `convolution` in x: each element of y adds its filter, times itself, to its
    window of the result (n, channels, *size)."""
    _input_shape(y, w, size, stride=stride, padding=padding, dilation=dilation, groups=groups)
    windows = Windows(w.shape[2:], stride, padding, dilation)
    return silently(convolve_input, y, w, windows, groups, size)


@bilinear(
    shape=_weight_shape,
    left=lambda m, g, x, y, kernel, **layout: m.convolution_input(y, g, size=x.shape[2:], **layout),
    right=lambda m, g, x, y, kernel, **layout: m.convolution(x, g, **layout),
)
def convolution_weight(x, y, kernel, stride, padding, dilation, groups):
    """The transpose of `convolution` in w: for each filter the sum of all windows of x, each times
    the filter's y there."""
    _weight_shape(x, y, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups)
    windows = Windows(kernel, stride, padding, dilation)
    return silently(convolve_weight, x, y, windows, groups)


# ------------------------------------------------------------------------------ with a bias


def _column(m: Reader, bias: Any, rank: int) -> Any:
    """A bias (out,) as it stands beside y: (out, 1, ...)."""
    return m.reshape(bias, shape=(*bias.shape, *[1] * (rank - 2)))


def _define(m: Reader, x: Any, w: Any, bias: Any, **layout: Any) -> Any:
    _biased_shape(x, w, bias, **layout)  # or a bias that broadcasts would pass
    return m.convolution(x, w, **layout) + _column(m, bias, len(x.shape))


def _pull_bias(m: Reader, g: Any) -> Any:
    found = native.run(_per_channel, (g,)) if native.is_array(g) else None
    return _per_channel(m, g) if found is None else found[0]


def _per_channel(m: Reader, g: Any) -> Any:
    """The sum over all but the channels, what is contiguous first: at once NumPy would take five
    times as long."""
    each = m.sum(g, axes=tuple(range(2, len(g.shape))), keepdims=False)
    return m.sum(each, axes=(0,), keepdims=False)


def _pull(m: Reader, g: Any, y: Any, xs: Any, wanted: Any, **layout: Any) -> list[Any]:
    x, w, _ = xs
    return [
        m.convolution_input(g, w, size=x.shape[2:], **layout) if wanted[0] else None,
        m.convolution_weight(x, g, kernel=w.shape[2:], **layout) if wanted[1] else None,
        _pull_bias(m, g) if wanted[2] else None,
    ]


def _push(m: Reader, ts: Any, y: Any, xs: Any, **layout: Any) -> Any:
    x, w, _ = xs
    terms = [
        None if ts[0] is None else m.convolution(ts[0], w, **layout),
        None if ts[1] is None else m.convolution(x, ts[1], **layout),
        None if ts[2] is None else m.expand(_column(m, ts[2], len(x.shape)), shape=y.shape),
    ]
    total, *rest = [term for term in terms if term is not None]
    for term in rest:
        total = total + term
    return total


def _biased_shape(x: Spec, w: Spec, bias: Spec, **layout: Any) -> Shape:
    _check_dtypes("convolution", x, w, bias)
    shape = _count("convolution", x.shape, w.shape, **layout)
    if bias.shape != shape[1:2]:
        raise ShapeError(
            f"convolution: the weight {w.shape} has {shape[1]} output channels, so the bias is "
            f"({shape[1]},), not {bias.shape}."
        )
    return shape


@fused(definition=_define, shape=_biased_shape, pull=_pull, push=_push)
def convolution_bias(x, w, bias, stride, padding, dilation, groups):
    """`convolution` plus a bias (out,) for each output channel."""
    _biased_shape(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    windows = Windows(w.shape[2:], stride, padding, dilation)
    return convolve(x, w, windows, groups, bias)
