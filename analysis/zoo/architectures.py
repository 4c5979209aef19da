"""The architectures: every activation, initialiser, norm, join, convolution and pooling, deep and
shallow, narrow and wide. Each is known by its name, so that another process can build it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from analysis.network.build import activation_module, dense_network
from analysis.zoo.parts import (
    bottleneck,
    conv,
    images,
    in_evaluation,
    linear,
    loaded,
    lsuv,
    residual,
    stack,
)
from tinygrad_edu import nn


@dataclass(frozen=True)
class Architecture:
    """A model, the shape of an example (None: the model's own input size), and the batch; or the
    data that it sees instead of a law."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...] | None = None
    batch: int = 16
    data: Callable[[], np.ndarray[Any, Any]] | None = None


DENSE = [32, 100, 100, 100, 10]
"""Widths of a network that is neither narrow nor deep."""
IMAGE = (3, 8, 8)

ZOO: dict[str, Architecture] = {}


def _add(
    name: str,
    make: Callable[..., nn.Module],
    *arguments: Any,
    shape: tuple[int, ...] | None = None,
    batch: int = 16,
) -> None:
    """Enter what `make` makes of the arguments."""
    ZOO[name] = Architecture(partial(make, *arguments), shape, batch)


def _activations() -> None:
    for name in (
        "relu", "leaky_relu", "relu6", "elu", "selu", "gelu", "silu", "mish", "softplus",
        "softsign", "sigmoid", "tanh", "hardtanh", "hardswish", "identity",
    ):  # fmt: skip
        _add(name, dense_network, DENSE, name, "lecun_normal")
    for name in ("sin", "erf", "abs", "cos"):
        _add(f"{name} of tanh", _Functions, name)


class _Functions(nn.Module):
    """Functions of the engine that are no modules."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.first, self.second, self.last = linear(32, 100), linear(100, 100), linear(100, 10)
        self.seen = nn.Identity()

    def forward(self, x: object) -> object:
        """Two layers and the function after each."""
        h = self.seen(getattr(self.first(x).tanh(), self.name)())
        return self.last(getattr(self.second(h), self.name)())


def _initialisers() -> None:
    for name in (
        "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "lecun_normal",
        "orthogonal", "trunc_normal",
    ):  # fmt: skip
        _add(f"tanh, {name}", _initialised, name)
    _add("torch's defaults", lambda: nn.Sequential(
        nn.Linear(32, 80), nn.ReLU(), nn.Linear(80, 80), nn.ReLU(), nn.Linear(80, 10)
    ))  # fmt: skip
    _add("lsuv", lambda: lsuv(stack(DENSE, "tanh")))
    _add("biases", lambda: nn.Sequential(
        linear(32, 100, 1.4, 0.5), nn.Tanh(), linear(100, 100, 1.4, 0.5), nn.ReLU(),
        linear(100, 10),
    ))  # fmt: skip
    _add("loaded first layer", lambda: loaded(stack(DENSE, "relu")))  # type: ignore[arg-type]
    _add("weights with a mean", _with_a_mean)


def _initialised(name: str) -> nn.Module:
    if name == "trunc_normal":
        model = dense_network(DENSE, "tanh")
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, 0.0, 0.1, -0.2, 0.2)
        return model
    return dense_network(DENSE, "tanh", name)


def _with_a_mean() -> nn.Module:
    model = stack(DENSE, "tanh")
    nn.init.normal_(model[2].weight, 0.05, 0.1)  # type: ignore[index]
    return model


def _depths() -> None:
    for depth, width in ((2, 8), (2, 512), (5, 16), (10, 64), (20, 128), (50, 100), (50, 256)):
        for name, init in (("relu", "kaiming_normal"), ("tanh", "xavier_normal")):
            widths = [width] * (depth + 1)
            _add(f"{name}, depth {depth}, width {width}", dense_network, widths, name, init)
    _add("selu, depth 30", lambda: dense_network([64] * 31, "selu", "lecun_normal"))
    _add("gelu, depth 20, width 256", lambda: stack([256] * 21, "gelu"))
    _add("bottleneck widths", lambda: dense_network([64, 256, 16, 200, 10], "tanh"))


def _norms() -> None:
    norms: dict[str, Callable[[int], nn.Module]] = {
        "layer norm": nn.LayerNorm,
        "rms norm": nn.RMSNorm,
        "group norm": lambda n: nn.GroupNorm(4, n),
    }
    for title, norm in norms.items():
        for name in ("relu", "tanh", "gelu"):
            _add(f"{title}, {name}", stack, DENSE, name, norm)
    _add("layer norm, width 512", stack, [64, 512, 512, 512, 10], "relu", nn.LayerNorm)
    for name in ("relu", "tanh"):
        _add(f"batch norm, {name}", stack, DENSE, name, nn.BatchNorm1d, batch=64)
    _add("batch norm, batch 16", stack, [32, 256, 256, 10], "relu", nn.BatchNorm1d)
    _add("batch norm, evaluation", lambda: in_evaluation(stack(DENSE, "relu", nn.BatchNorm1d)))
    _add("dropout", lambda: stack(DENSE, "relu", after=lambda: nn.Dropout(0.3)))
    _add("dropout, tanh", lambda: stack(DENSE, "tanh", after=lambda: nn.Dropout(0.5)))
    _add("dropout, evaluation", lambda: stack(DENSE, "tanh", after=lambda: nn.Dropout(0.5)).eval())


def _joins() -> None:
    for name in ("relu", "tanh", "gelu"):
        _add(f"residual, {name}", residual, 4, 100, bottleneck(name))
    _add("residual, scaled", residual, 16, 64, bottleneck("relu"), 0.25)
    _add("residual, depth 50", residual, 25, 64, bottleneck("tanh"), 0.2)
    _add("pre-norm", residual, 6, 100, bottleneck("gelu", nn.LayerNorm))
    _add("pre-norm, rms", residual, 6, 100, bottleneck("silu", nn.RMSNorm))
    _add("post-norm", lambda: nn.Sequential(
        linear(32, 100),
        *[nn.Sequential(nn.Residual(bottleneck("relu")(100)), nn.LayerNorm(100)) for _ in range(3)],
        linear(100, 10),
    ))  # fmt: skip
    _add("autoencoder", lambda: nn.Autoencoder(
        stack([64, 128, 16], "tanh"), nn.Sequential(linear(16, 64), nn.Sigmoid())
    ), shape=(64,))  # fmt: skip


def _convolutions() -> None:
    for name in ("relu", "tanh"):
        _add(f"convolutions, {name}", _padded, name, "zeros", shape=IMAGE)
    _add("convolutions, stride 2", lambda: images(
        conv(3, 32, padding=1, stride=2), nn.ReLU(), conv(32, 64, padding=1, stride=2), nn.ReLU(),
        features=64 * 4,
    ), shape=IMAGE)  # fmt: skip
    _add("convolutions, groups", lambda: images(
        conv(3, 32), nn.ReLU(), conv(32, 64, groups=4), nn.ReLU(), features=64 * 16
    ), shape=IMAGE)  # fmt: skip
    _add("convolutions, 1 x 1", lambda: images(
        conv(3, 64, 1), nn.Tanh(), conv(64, 64, 1), nn.Tanh(), features=64 * 64
    ), shape=IMAGE)  # fmt: skip
    for mode in ("reflect", "replicate", "circular"):
        _add(f"convolutions, {mode}", _padded, "relu", mode, shape=IMAGE)
    _add("convolutions, orthogonal", _orthogonal, shape=(8, 6, 6))
    _add("convolutions, batch norm", lambda: images(
        conv(3, 32), nn.BatchNorm2d(32), nn.ReLU(), conv(32, 32), nn.BatchNorm2d(32), nn.ReLU(),
        features=32 * 16,
    ), shape=IMAGE, batch=32)  # fmt: skip
    _add("convolutions, batch norm, evaluation", lambda: in_evaluation(images(
        conv(3, 32), nn.BatchNorm2d(32), nn.ReLU(), features=32 * 36
    )), shape=IMAGE)  # fmt: skip
    _add("convolutions, group norm", lambda: images(
        conv(3, 32), nn.GroupNorm(4, 32), nn.ReLU(), features=32 * 36
    ), shape=IMAGE)  # fmt: skip
    for title, pool in (("max", nn.MaxPool2d), ("average", nn.AvgPool2d)):
        _add(f"{title} pooling", _pooled, pool, shape=(16, 8, 8))
        _add(f"{title} pooling after 3 x 3", _pooled_twice, pool, shape=IMAGE)
    _add("sequences", lambda: nn.Sequential(
        nn.Conv1d(4, 32, 3), nn.ReLU(), nn.Conv1d(32, 32, 3), nn.Tanh(), nn.Flatten(),
        linear(32 * 12, 10),
    ), shape=(4, 16))  # fmt: skip


def _sequences() -> None:
    tokens = partial(_tokens, 20, 12)
    for title, pool in (("mean", nn.Tanh), ("mean, relu", nn.ReLU)):
        model = partial(_BagOfWords, pool)
        ZOO[f"bag of words, {title}"] = Architecture(model, data=tokens)
    ZOO["embedding, flat"] = Architecture(
        lambda: nn.Sequential(
            nn.Embedding(20, 16),
            nn.Flatten(),
            linear(16 * 12, 100, 1.4),
            nn.ReLU(),
            linear(100, 10),
        ),
        data=tokens,
    )
    _add("softmax", lambda: nn.Sequential(stack(DENSE, "tanh"), nn.Softmax(-1)))
    _add("log softmax", lambda: nn.Sequential(stack(DENSE, "relu"), nn.LogSoftmax(-1)))
    for heads in (1, 4):
        _add(f"attention, heads {heads}", _Attention, 64, heads, shape=(8, 64))
    _add("layers at every position", lambda: nn.Sequential(
        linear(16, 64, 1.4, 0.2), nn.ReLU(), nn.LayerNorm(64), linear(64, 10)
    ), shape=(6, 16))  # fmt: skip


def _tokens(rows: int, length: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(5).integers(0, rows, (16, length))


class _BagOfWords(nn.Module):
    """The mean of rows of a table, and two layers."""

    def __init__(self, activation: type[nn.Module]) -> None:
        self.table, self.activation = nn.Embedding(20, 32), activation()
        self.first, self.last = linear(32, 100, 1.4), linear(100, 10)

    def forward(self, x: Any) -> Any:
        """(n, length) tokens to (n, 10)."""
        return self.last(self.activation(self.first(self.table(x).mean(1))))


class _Attention(nn.Module):
    """softmax(q k^T / sqrt(d)) v, and a layer behind it."""

    def __init__(self, width: int, heads: int) -> None:
        self.heads = heads
        self.qkv, self.last = linear(width, 3 * width), linear(width, width)

    def forward(self, x: Any) -> Any:
        """(n, length, width) to the same."""
        n, length, width = x.shape
        shape = (n, length, self.heads, width // self.heads)
        q, k, v = (h.reshape(shape).transpose(1, 2) for h in self.qkv(x).chunk(3, -1))
        p = ((q @ k.transpose(-1, -2)) / (width // self.heads) ** 0.5).softmax(-1)
        return self.last((p @ v).transpose(1, 2).reshape(n, length, width))


def _padded(activation: str, mode: str) -> nn.Module:
    phi = activation_module(activation)
    options: dict[str, Any] = {"padding": 1, "padding_mode": mode}
    return images(conv(3, 32, **options), phi(), conv(32, 32, **options), phi(), features=32 * 64)


def _pooled(pool: Callable[[int], nn.Module]) -> nn.Module:
    return images(conv(16, 64, 1), nn.ReLU(), pool(2), features=64 * 16)


def _pooled_twice(pool: Callable[[int], nn.Module]) -> nn.Module:
    return images(
        conv(3, 32, padding=1), nn.ReLU(), pool(2), conv(32, 32, padding=1), nn.ReLU(), pool(2),
        features=32 * 4,
    )  # fmt: skip


def _orthogonal() -> nn.Module:
    layers = [conv(8, 32), conv(32, 32, groups=2)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight)
    return images(layers[0], nn.Tanh(), layers[1], nn.Tanh(), features=32 * 4)


for _part in (_activations, _initialisers, _depths, _norms, _joins, _convolutions, _sequences):
    _part()

SMALL = (
    "gelu", "sigmoid", "tanh, orthogonal", "torch's defaults", "loaded first layer",
    "relu, depth 5, width 16", "layer norm, relu", "rms norm, tanh", "batch norm, relu",
    "batch norm, evaluation", "dropout", "residual, tanh", "pre-norm", "convolutions, reflect",
    "convolutions, groups", "max pooling", "autoencoder", "bag of words, mean", "softmax",
    "attention, heads 4",
)  # fmt: skip
"""The fixed part that tests run."""
