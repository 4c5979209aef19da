"""Networks that are healthy at their initialisation: none of them may have a finding."""

from __future__ import annotations

import math
from collections.abc import Callable

import tinygrad_edu as tg
from analysis.network.build import dense_network
from tinygrad_edu import nn


def linear(
    n_in: int, n_out: int, gain: float = 1.0, bias: bool = True, orthogonal: bool = False
) -> nn.Linear:
    """fan_in Var(W) = gain^2, bias 0."""
    layer = nn.Linear(n_in, n_out, bias=bias)
    if orthogonal:
        nn.init.orthogonal_(layer.weight, gain)
    else:
        nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(n_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def chain(
    depth: int,
    activation: Callable[[], nn.Module],
    gain: float,
    width: int = 128,
    between: Callable[[], list[nn.Module]] = list,
    orthogonal: bool = False,
) -> nn.Sequential:
    """A first layer that keeps variance 1, `depth` activations and layers, a head."""
    layers: list[nn.Module] = [linear(32, width)]
    for _ in range(depth - 1):
        layers += [*between(), activation(), linear(width, width, gain, orthogonal=orthogonal)]
    return nn.Sequential(*layers, *between(), activation(), linear(width, 10))


class PreNorm(nn.Module):
    """x + b(phi(a(norm(x))))"""

    def __init__(self, n: int, norm: Callable[[int], nn.Module], phi: Callable[[], nn.Module]):
        super().__init__()
        self.norm, self.a, self.phi = norm(n), linear(n, n, math.sqrt(2)), phi()
        self.b = linear(n, n)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x + self.b(self.phi(self.a(self.norm(x))))


def pre_norm(
    blocks: int, norm: Callable[[int], nn.Module] = nn.LayerNorm, phi: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    stream = [PreNorm(64, norm, phi) for _ in range(blocks)]
    return nn.Sequential(linear(16, 64), *stream, norm(64), linear(64, 10))


def residual(blocks: int, scale: float = 1.0, zero: bool = False) -> nn.Sequential:
    """Blocks whose branch keeps the second moment, or starts at 0."""
    stream = []
    for _ in range(blocks):
        last = linear(64, 64, math.sqrt(2))
        if zero:
            nn.init.zeros_(last.weight)
        stream.append(nn.Residual(nn.Sequential(linear(64, 64), nn.ReLU(), last), scale))
    return nn.Sequential(linear(16, 64), *stream, linear(64, 10))


def batch_normed(depth: int, phi: type[nn.Module] = nn.ReLU, width: int = 64) -> nn.Sequential:
    """The default law of nn.Linear: the scale in front of a norm does not matter."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), phi()]
    return nn.Sequential(*layers, linear(width, 10))


def convolutional(stride: int = 2) -> nn.Sequential:
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=stride, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        linear(512 if stride == 2 else 2048, 10),
    )
    for layer in (net[0], net[2]):
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    return net


def zero_head() -> nn.Sequential:
    net = dense_network([64, 128, 128, 10], "relu")
    nn.init.zeros_(net[-1].weight)
    return net


def small_head() -> nn.Sequential:
    net = dense_network([64, 128, 128, 10], "relu")
    nn.init.normal_(net[-1].weight, 0.0, 0.001)
    return net


def trained() -> nn.Sequential:
    """Weights without a law, as after loading."""
    net = dense_network([64, 128, 128, 10], "relu")
    net.load_state_dict(net.state_dict())
    assert all(p.law is None for p in net.parameters())
    return net


class Gated(nn.Module):
    """silu written in two ops."""

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x * x.sigmoid()


def gain(name: str) -> float:
    return nn.init.calculate_gain(name)


HEALTHY: dict[str, Callable[[], nn.Module]] = {
    "one layer": lambda: nn.Linear(4, 2),
    "two default layers": lambda: nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3)),
    "linear": lambda: nn.Sequential(linear(16, 64), linear(64, 64), linear(64, 10)),
    "he relu, 5": lambda: chain(5, nn.ReLU, math.sqrt(2)),
    "he relu, 15": lambda: chain(15, nn.ReLU, math.sqrt(2)),
    "he relu, widths": lambda: dense_network([784, 300, 100, 10], "relu"),
    "he uniform": lambda: dense_network([64, 128, 128, 10], "relu", "kaiming_uniform"),
    "he leaky relu": lambda: chain(8, nn.LeakyReLU, math.sqrt(2)),
    "lecun selu, 10": lambda: chain(10, nn.SELU, 1.0),
    "glorot tanh, 5": lambda: dense_network([100] * 6 + [10], "tanh", "xavier_uniform"),
    "glorot tanh, 30": lambda: dense_network([100] * 31 + [10], "tanh", "xavier_normal"),
    "glorot tanh, widths": lambda: dense_network([784, 256, 64, 10], "tanh", "xavier_normal"),
    "tanh, torch's gain": lambda: chain(10, nn.Tanh, 5 / 3),
    "tanh, derived gain": lambda: chain(10, nn.Tanh, gain("tanh")),
    "tanh, he": lambda: chain(10, nn.Tanh, math.sqrt(2)),
    "orthogonal tanh": lambda: chain(20, nn.Tanh, 1.0, orthogonal=True),
    "elu": lambda: chain(8, nn.ELU, gain("elu")),
    "gelu, he": lambda: chain(5, nn.GELU, math.sqrt(2)),
    "gelu, derived": lambda: chain(6, nn.GELU, gain("gelu")),
    "silu, derived": lambda: chain(6, nn.SiLU, gain("silu")),
    "silu in two ops": lambda: chain(6, Gated, gain("silu")),
    "mish, derived": lambda: chain(6, nn.Mish, gain("mish")),
    "softsign": lambda: chain(6, nn.Softsign, gain("softsign")),
    "layer norm chain": lambda: chain(6, nn.ReLU, 1.0, between=lambda: [nn.LayerNorm(128)]),
    "layer norm gelu chain": lambda: chain(30, nn.GELU, 1.0, between=lambda: [nn.LayerNorm(128)]),
    "pre-norm, 4": lambda: pre_norm(4),
    "pre-norm, 24": lambda: pre_norm(24),
    "pre-norm gelu": lambda: pre_norm(8, phi=nn.GELU),
    "batch norm, 5": lambda: batch_normed(5),
    "batch norm tanh": lambda: batch_normed(5, nn.Tanh),
    "residual, scaled": lambda: residual(16, 0.25),
    "residual, zero": lambda: residual(16, zero=True),
    "residual, two blocks": lambda: residual(2),
    "head of zeros": zero_head,
    "small head": small_head,
    "loaded": trained,
}
"""What takes flat inputs of its own size."""

IMAGES: dict[str, Callable[[], nn.Module]] = {
    "convolutional": convolutional,
    "convolutional, no stride": lambda: convolutional(1),
}
"""What takes images of shape (3, 8, 8)."""
