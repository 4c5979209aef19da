"""Ops as layers may bring them along, registered here so that rules can be tested by themselves:
standardisation over axes, convolution, pooling, random masks."""

from __future__ import annotations

import numpy as np

from analysis.network.rules import conv, dropout, norm, pool
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.ops.kinds import Written, bilinear
from tinygrad_edu.ops.table import Op, Reader

PREFIX = "stand_in_"


class Pulled(Written):
    """An op whose gradient is written beside it, in NumPy."""

    reads = True

    def __init__(self, name: str, forward: object, shape: object, pull: object) -> None:
        forward.__name__ = PREFIX + name
        super().__init__(forward, shape)
        self._pull = pull

    def vjp(self, m: Reader, g: object, y: object, xs: object, wanted: object, **params: object):
        (x,) = xs
        return [self._pull(_array(g), _array(x), **params)]


def _array(x: object) -> np.ndarray:
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


# ------------------------------------------------------------------------------ norms


def _standardized(x, axes, eps, centres):
    away = x.mean(axis=axes, keepdims=True) if centres else 0.0
    spread = ((x - away) ** 2).mean(axis=axes, keepdims=True)
    return ((x - away) / np.sqrt(spread + eps)).astype(x.dtype)


def _pull_standardized(g, x, axes, eps, centres):
    y = _standardized(x, axes, eps, centres)
    away = x.mean(axis=axes, keepdims=True) if centres else 0.0
    spread = ((x - away) ** 2).mean(axis=axes, keepdims=True)
    g = g - (g.mean(axis=axes, keepdims=True) if centres else 0.0)
    g = g - y * (g * y).mean(axis=axes, keepdims=True)
    return (g / np.sqrt(spread + eps)).astype(x.dtype)


def _norm(name: str, centres: bool) -> Op:
    return Pulled(
        name,
        lambda x, axes, eps: _standardized(x, axes, eps, centres),
        lambda x, axes, eps: x.shape,
        lambda g, x, axes, eps: _pull_standardized(g, x, axes, eps, centres),
    )


STANDARDIZE, RMS = _norm("standardize", True), _norm("rms", False)
norm.normalises(STANDARDIZE.name, centres=True)
norm.normalises(RMS.name, centres=False)


def standardize(x: Tensor, axes: tuple[int, ...], eps: float = 1e-5) -> Tensor:
    return apply(STANDARDIZE, x, axes=axes, eps=eps)


def unit_rms(x: Tensor, axes: tuple[int, ...], eps: float = 1e-5) -> Tensor:
    return apply(RMS, x, axes=axes, eps=eps)


# ------------------------------------------------------------------------------ convolution


def _windows(x, kernel, stride, padding):
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    view = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    return view[:, :, ::stride, ::stride]


def _convolved(x, w, stride, padding, groups):
    parts = zip(np.split(x, groups, axis=1), np.split(w, groups), strict=True)
    return np.concatenate(
        [
            np.einsum(
                "ncyxij,ocij->noyx", _windows(a, b.shape[2:], stride, padding), b, optimize=True
            )
            for a, b in parts
        ],
        axis=1,
    )


def _by_input(m, g, x, w, stride, padding, groups):
    g, w = _array(g), _array(w)
    result = np.zeros((*x.shape[:2], x.shape[2] + 2 * padding, x.shape[3] + 2 * padding), g.dtype)
    own, out = x.shape[1] // groups, w.shape[0] // groups
    for k in range(groups):
        gk, wk = g[:, k * out : (k + 1) * out], w[k * out : (k + 1) * out]
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                stop = (i + stride * g.shape[2], j + stride * g.shape[3])
                result[:, k * own : (k + 1) * own, i : stop[0] : stride, j : stop[1] : stride] += (
                    np.einsum("noyx,oc->ncyx", gk, wk[:, :, i, j])
                )
    end = (padding + x.shape[2], padding + x.shape[3])
    return result[:, :, padding : end[0], padding : end[1]]


def _shape(x, w, stride, padding, groups):
    sizes = (
        (s + 2 * padding - k) // stride + 1 for s, k in zip(x.shape[2:], w.shape[2:], strict=True)
    )
    return (x.shape[0], w.shape[0], *sizes)


def stand_in_convolution(x, w, stride, padding, groups):
    return _convolved(x, w, stride, padding, groups).astype(x.dtype)


CONVOLUTION = bilinear(_shape, _by_input, lambda m, g, x, w, **params: None)(stand_in_convolution)
conv.convolves(CONVOLUTION.name)


def convolve(x: Tensor, w: Tensor, stride: int = 1, padding: int = 0, groups: int = 1) -> Tensor:
    return apply(CONVOLUTION, x, w, stride=stride, padding=padding, groups=groups)


# ------------------------------------------------------------------------------ pooling


def _blocks(x, kernel_size):
    n, c, h, w = x.shape
    k = kernel_size
    return x[:, :, : h // k * k, : w // k * k].reshape(n, c, h // k, k, w // k, k)


def _pull_average(g, x, kernel_size):
    result = np.zeros_like(x)
    full = np.repeat(np.repeat(g, kernel_size, axis=2), kernel_size, axis=3) / kernel_size**2
    result[:, :, : full.shape[2], : full.shape[3]] = full
    return result


def _pull_largest(g, x, kernel_size):
    blocks = _blocks(x, kernel_size)
    top = blocks.max(axis=(3, 5), keepdims=True)
    return (g[:, :, :, None, :, None] * (blocks == top)).reshape(x.shape).astype(x.dtype)


def _pool_shape(x, kernel_size):
    return (*x.shape[:2], x.shape[2] // kernel_size, x.shape[3] // kernel_size)


AVERAGE = Pulled(
    "average_pool",
    lambda x, kernel_size: _blocks(x, kernel_size).mean(axis=(3, 5)).astype(x.dtype),
    _pool_shape,
    _pull_average,
)
LARGEST = Pulled(
    "largest_pool",
    lambda x, kernel_size: _blocks(x, kernel_size).max(axis=(3, 5)),
    _pool_shape,
    _pull_largest,
)
pool.pools(AVERAGE.name, largest=False)
pool.pools(LARGEST.name, largest=True)


def average_pool(x: Tensor, kernel_size: int) -> Tensor:
    return apply(AVERAGE, x, kernel_size=kernel_size)


def largest_pool(x: Tensor, kernel_size: int) -> Tensor:
    return apply(LARGEST, x, kernel_size=kernel_size)


# ------------------------------------------------------------------------------ masks

_random = np.random.default_rng(11)


class Draw(Op):
    """Uniform numbers in the shape of the operand."""

    differentiable = False

    def forward(self, x, **params):
        return _random.random(x.shape).astype(x.dtype)

    def infer(self, x, **params):
        return x.shape, x.dtype


DRAW = Draw(PREFIX + "draw")
dropout.draws_uniform(DRAW.name)


def drop(x: Tensor, p: float) -> Tensor:
    """Inverted dropout."""
    kept = apply(DRAW, x) >= p
    return x * kept.to(x.dtype) * (1 / (1 - p))
