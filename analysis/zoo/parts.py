"""Layers and stacks that the zoo's architectures are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from analysis.network.build import activation_module
from tinygrad_edu import nn


def linear(n_in: int, n_out: int, gain: float = 1.0, bias_std: float = 0.0) -> nn.Linear:
    """Normal weights of variance gain^2 / n_in."""
    layer = nn.Linear(n_in, n_out)
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(n_in))
    assert layer.bias is not None
    nn.init.normal_(layer.bias, 0.0, bias_std)
    return layer


def conv(n_in: int, n_out: int, kernel: int = 3, gain: float = 1.4, **options: Any) -> nn.Conv2d:
    """Normal weights of variance gain^2 / fan_in, no bias."""
    layer = nn.Conv2d(n_in, n_out, kernel, bias=False, **options)
    nn.init.lecun_normal_(layer.weight, gain)
    return layer


def stack(
    widths: list[int],
    activation: str,
    between: Callable[[int], nn.Module] | None = None,
    after: Callable[[], nn.Module] | None = None,
    gain: float = 1.4,
) -> nn.Module:
    """Linear, what `between` makes for a width, an activation, what `after` makes; and again."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths[:-1]):
        layers += [linear(n_in, n_out, gain), *([between(n_out)] if between else [])]
        layers += [activation_module(activation)(), *([after()] if after else [])]
    return nn.Sequential(*layers, linear(widths[-2], widths[-1]))


def residual(
    blocks: int, width: int, block: Callable[[int], nn.Module], scale: float = 1.0
) -> nn.Module:
    """A dense layer, residual blocks, a dense layer."""
    stream = [nn.Residual(block(width), scale) for _ in range(blocks)]
    return nn.Sequential(linear(32, width), *stream, linear(width, 10))


def bottleneck(activation: str, norm: type[nn.Module] | None = None) -> Callable[[int], nn.Module]:
    """(Norm,) linear, activation, linear."""

    def block(n: int) -> nn.Module:
        inner = [linear(n, n, 1.4), activation_module(activation)(), linear(n, n)]
        return nn.Sequential(*([norm(n)] if norm else []), *inner)

    return block


def images(*layers: nn.Module, features: int) -> nn.Module:
    """Layers over images, then a dense one."""
    return nn.Sequential(*layers, nn.Flatten(), linear(features, 10))


def in_evaluation(model: nn.Module) -> nn.Module:
    """In evaluation mode, with running statistics as a little training leaves them."""
    random = np.random.default_rng(1)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.node.assign(random.normal(0, 0.3, buffer.shape).astype(buffer.dtype))
        if name.endswith("running_var"):
            buffer.node.assign(random.uniform(0.6, 1.6, buffer.shape).astype(buffer.dtype))
    return model.eval()


def loaded(model: nn.Sequential) -> nn.Module:
    """The first layer's weights from elsewhere, with rows of different size."""
    first = model[0]
    assert isinstance(first, nn.Linear)
    random = np.random.default_rng(2)
    values = random.standard_normal(first.weight.shape) / math.sqrt(first.weight.shape[1])
    values *= np.linspace(0.3, 1.6, len(values))[:, None]
    first.weight.node.assign(values.astype(first.weight.dtype))
    return model


def lsuv(model: nn.Module) -> nn.Module:
    """Layer-sequential unit variance on normal inputs."""
    batch = np.random.default_rng(3).standard_normal((256, 32))
    return nn.init.lsuv_(model, batch)
