"""The networks that are measured: one description, from which every contender builds its own.

A network is a tuple of layers. Each layer is a name and arrays of initial values, weights stored
(in, out); "residual" holds layers of its own. Losses are cross-entropy over the classes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
LR = {"sgd": 0.01, "adam": 1e-3}
MOMENTUM, BETAS, EPS = 0.9, (0.9, 0.999), 1e-8
NORM_EPS = 1e-5


@dataclass(frozen=True)
class Layer:
    """One layer: what it is, its parameters' initial values, and, if residual, its branch."""

    kind: str
    values: tuple[Array, ...] = ()
    branch: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Net:
    """A network with its data: `batches` batches of `batch` examples are one epoch."""

    name: str
    layers: tuple[Layer, ...]
    images: Array
    labels: Array
    batch: int
    batches: int

    def rows(self) -> Iterator[tuple[Array, Array]]:
        """The batches of an epoch, in order."""
        for i in range(self.batches):
            rows = slice(i * self.batch, (i + 1) * self.batch)
            yield self.images[rows], self.labels[rows]

    @property
    def flop(self) -> float:
        """Floating-point operations of a step's matrix products and convolutions: forward, by the
        weights, and by the input, which the first layer does not need."""
        products = [self.batch * n for n in _multiplications(self.layers, self.images.shape[1:])]
        return 2.0 * (3 * sum(products) - products[0])


def _multiplications(layers: tuple[Layer, ...], shape: tuple[int, ...]) -> list[int]:
    found = []
    for layer in layers:
        if layer.kind == "linear":
            found.append(layer.values[0].size)
        elif layer.kind == "conv":
            shape = (layer.values[0].shape[0], shape[1], shape[2])
            found.append(layer.values[0].size * shape[1] * shape[2])
        elif layer.kind == "pool":
            shape = (shape[0], shape[1] // 2, shape[2] // 2)
        elif layer.kind == "residual":
            found += _multiplications(layer.branch, shape)
    return found


# ------------------------------------------------------------------------------ building


def _normal(rng: np.random.Generator, n_in: int, n_out: int, gain: float = 1.0) -> Array:
    return (rng.standard_normal((n_in, n_out)) * gain / math.sqrt(n_in)).astype(np.float32)


def _linear(rng: np.random.Generator, n_in: int, n_out: int, gain: float = 1.0) -> Layer:
    return Layer("linear", (_normal(rng, n_in, n_out, gain), np.zeros(n_out, np.float32)))


def _affine(kind: str, n: int) -> Layer:
    return Layer(kind, (np.ones(n, np.float32), np.zeros(n, np.float32)))


def _dense(rng: np.random.Generator, widths: list[int], activation: str) -> list[Layer]:
    gain = 1.0 if activation == "tanh" else math.sqrt(2)
    layers: list[Layer] = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [_linear(rng, n_in, n_out, gain), Layer(activation)]
    return layers[:-1]


def _batch_norm(rng: np.random.Generator) -> list[Layer]:
    layers: list[Layer] = []
    for n_in in (64, 128, 128):
        layers += [_linear(rng, n_in, 128, math.sqrt(2)), _affine("batchnorm", 128), Layer("relu")]
    return [*layers, _linear(rng, 128, 10)]


def _residual(rng: np.random.Generator) -> list[Layer]:
    def block() -> Layer:
        inner = (
            _affine("layernorm", 64),
            _linear(rng, 64, 64),
            Layer("gelu"),
            _linear(rng, 64, 64, 0.5),
        )
        return Layer("residual", branch=inner)

    return [*(block() for _ in range(8)), _linear(rng, 64, 10)]


def _convolution(rng: np.random.Generator, n_in: int, n_out: int) -> Layer:
    scale = math.sqrt(2 / (n_in * 9))
    weight = (rng.standard_normal((n_out, n_in, 3, 3)) * scale).astype(np.float32)
    return Layer("conv", (weight, np.zeros(n_out, np.float32)))


def _convolutional(rng: np.random.Generator) -> list[Layer]:
    pooled = [Layer("relu"), Layer("pool")]
    return [
        _convolution(rng, 1, 16),
        *pooled,
        _convolution(rng, 16, 32),
        *pooled,
        Layer("flatten"),
        *_dense(rng, [32 * 7 * 7, 128, 10], "relu"),
    ]


_DENSE = {
    "tiny": ([64, 32, 10], "tanh", 32, 32),
    "small": ([64, 64, 64, 10], "relu", 64, 32),
    "deep": ([100] * 30 + [10], "tanh", 128, 8),
    "medium": ([784, 256, 128, 10], "relu", 128, 8),
    "large": ([1024, 2048, 2048, 1024], "relu", 512, 2),
}
NAMES = (*_DENSE, "batchnorm", "residual", "conv")


def build(name: str) -> Net:
    """The network of this name: the same numbers for every contender."""
    rng = np.random.default_rng(0)
    shape: tuple[int, ...] = (64,)
    classes = 10
    if name in _DENSE:
        widths, activation, batch, batches = _DENSE[name]
        layers = _dense(rng, widths, activation)
        shape, classes = (widths[0],), widths[-1]
    elif name == "batchnorm":
        layers, batch, batches = _batch_norm(rng), 128, 8
    elif name == "residual":
        layers, batch, batches = _residual(rng), 64, 16
    else:
        layers, batch, batches, shape = _convolutional(rng), 64, 8, (1, 28, 28)
    images = rng.standard_normal((batch * batches, *shape)).astype(np.float32)
    labels = rng.integers(0, classes, batch * batches)
    return Net(name, tuple(layers), images, labels, batch, batches)
