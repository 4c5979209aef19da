"""Architectures that nobody thought of: drawn at random, each from its number.

Depths 1 to 20, widths 4 to 300 that vary by layer, every activation and initialiser, biases of
every kind, norms before and after, dropout, residual branches with scales and projections, gates,
concatenations, and data with a mean in place of standard normal input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from analysis.zoo.architectures import ZOO, Architecture
from tinygrad_edu import nn
from tinygrad_edu.graph.creation import manual_seed
from tinygrad_edu.graph.functions import cat
from tinygrad_edu.graph.tensor import Tensor

Array = np.ndarray[Any, np.dtype[np.float64]]
_PREFIX = "drawn "


def number_of(name: str) -> int | None:
    """The 7 of "drawn 7"; None for other names."""
    digits = name.removeprefix(_PREFIX)
    return int(digits) if name.startswith(_PREFIX) and digits.isdecimal() else None


def find(name: str) -> Architecture:
    """The architecture of that name, of the zoo or drawn."""
    number = number_of(name)
    return ZOO[name] if number is None else drawn(number)


def build(name: str) -> nn.Module:
    """The named model, the same each time."""
    manual_seed(0)
    return find(name).build()


def drawn(number: int) -> Architecture:
    """The random architecture of this number."""
    random = np.random.default_rng([number, 2])
    inputs, batch = _width(random, 300), int(random.choice([4, 16, 64]))
    own = int(random.integers(2**32))
    data = partial(_data, own, inputs) if random.random() < 0.3 else None
    return Architecture(partial(_model, own, inputs), (inputs,), batch, data)


def _data(number: int, inputs: int) -> Array:
    """Examples with a mean and a size of their own."""
    random = np.random.default_rng([number, 1])
    mean, size = random.choice([0.0, 0.5, 2.0]), random.choice([0.3, 1.0, 3.0])
    values = mean + size * random.standard_normal((int(random.choice([6, 16, 40])), inputs))
    return np.asarray(np.maximum(values, 0) if random.random() < 0.3 else values)


def _width(random: np.random.Generator, most: int) -> int:
    return round(math.exp(random.uniform(math.log(4), math.log(most))))


# ------------------------------------------------------------------------------ layers

_ACTIVATIONS: tuple[type[nn.Module], ...] = (
    nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus,
    nn.Softsign, nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardswish, nn.Identity,
)  # fmt: skip
_WEIGHTS: tuple[Callable[[Any], Any], ...] = (
    lambda weight: weight,  # torch's default
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
    partial(nn.init.kaiming_normal_, mode="fan_out"),
    nn.init.xavier_normal_,
    partial(nn.init.xavier_uniform_, gain=1.6),
    nn.init.lecun_normal_,
    partial(nn.init.orthogonal_, gain=1.2),
    partial(nn.init.trunc_normal_, std=0.1, a=-0.2, b=0.2),
)
_BIASES: tuple[Callable[[Any], Any], ...] = (
    lambda bias: bias,
    nn.init.zeros_,
    partial(nn.init.normal_, std=0.5),
    partial(nn.init.normal_, mean=0.4, std=0.2),
    partial(nn.init.constant_, val=0.3),
    partial(nn.init.uniform_, a=-0.3, b=0.8),
)
_NORMS: tuple[Callable[[int], nn.Module] | None, ...] = (
    None, None, nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d, lambda n: nn.GroupNorm(2, n),
)  # fmt: skip


def _picked(random: np.random.Generator, kinds: Sequence[Any]) -> Any:
    return kinds[int(random.integers(len(kinds)))]


class Joined(nn.Module):
    """What a function computes of a dense layer's halves and the input."""

    def __init__(self, layer: nn.Module, phi: nn.Module, run: Callable[..., Tensor]) -> None:
        self.layer, self.phi, self.run = layer, phi, run
        self.out = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Of (n, width)."""
        result: Tensor = self.out(self.run(x, *self.layer(x).chunk(2, -1), self.phi))
        return result


def _gated(x: Tensor, a: Tensor, b: Tensor, phi: nn.Module) -> Tensor:
    gated: Tensor = a * phi(b)
    return gated


def _added(x: Tensor, a: Tensor, b: Tensor, phi: nn.Module) -> Tensor:
    total: Tensor = a + phi(b)
    return total


def _beside(x: Tensor, a: Tensor, b: Tensor, phi: nn.Module) -> Tensor:
    both: Tensor = cat([phi(a), b], -1)
    return both


class _Maker:
    """One network's habits: its activation, initialiser, biases, norm, widths."""

    def __init__(self, number: int) -> None:
        self.random = np.random.default_rng(number)
        self.activation = _picked(self.random, _ACTIVATIONS)
        self.weights, self.biases = (_picked(self.random, k) for k in (_WEIGHTS, _BIASES))
        self.norm = _picked(self.random, _NORMS)
        self.most = int(self.random.choice([40, 120, 300]))
        self.dropout = self.random.random() < 0.2

    def linear(self, inputs: int, units: int) -> nn.Linear:
        layer = nn.Linear(inputs, units)
        self.weights(layer.weight)
        self.biases(layer.bias)
        return layer

    def phi(self) -> nn.Module:
        """Mostly the usual one."""
        usual = self.random.random() < 0.8
        kind = self.activation if usual else _picked(self.random, _ACTIVATIONS)
        made: nn.Module = kind()
        return made

    def normed(self, n: int) -> list[nn.Module]:
        return [] if self.norm is None or n < 8 or n % 2 else [self.norm(n)]

    def plain(self, n: int) -> tuple[list[nn.Module], int]:
        m = _width(self.random, self.most)
        middle = [self.phi(), *self.normed(m)]
        if self.random.random() < 0.6:
            middle.reverse()
        drop = [nn.Dropout(0.3)] if self.dropout else []
        return [self.linear(n, m), *middle, *drop], m

    def residual(self, n: int) -> tuple[list[nn.Module], int]:
        m = _width(self.random, self.most)
        branch = [*self.normed(n), self.linear(n, m), self.phi(), self.linear(m, n)]
        scale = float(self.random.choice([1.0, 0.5, 0.2]))
        after = _picked(self.random, ([], [self.phi()], self.normed(n)))
        return [nn.Residual(nn.Sequential(*branch), scale), *after], n

    def joined(self, n: int) -> tuple[list[nn.Module], int]:
        m = _width(self.random, self.most)
        run = _picked(self.random, (_gated, _added, _beside))
        return [Joined(self.linear(n, 2 * m), self.phi(), run)], 2 * m if run is _beside else m


def _model(number: int, inputs: int) -> nn.Module:
    maker = _Maker(number)
    depth = round(math.exp(maker.random.uniform(0, math.log(20))))
    kinds = _picked(
        maker.random,
        ((maker.plain,), (maker.residual,), (maker.plain, maker.residual, maker.joined)),
    )
    layers, n = maker.plain(inputs)
    for _ in range(depth - 1):
        more, n = _picked(maker.random, kinds)(n)
        layers += more
    model = nn.Sequential(*layers, maker.linear(n, _width(maker.random, 60)))
    return model.eval() if maker.random.random() < 0.1 else model
