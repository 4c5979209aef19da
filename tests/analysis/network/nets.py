"""Networks with joins, for tests: blocks whose branches are scaled, gated or normalised."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tinygrad_edu as tg
from tinygrad_edu import nn


def linear(
    n_in: int, n_out: int, gain: float = 1.0, mean: float = 0.0, bias_std: float = 0.0
) -> nn.Linear:
    """Normal weights of variance gain^2 / n_in about a mean."""
    layer = nn.Linear(n_in, n_out)
    nn.init.normal_(layer.weight, mean, gain / math.sqrt(n_in))
    nn.init.normal_(layer.bias, 0.0, bias_std)
    return layer


class Net(nn.Module):
    """Modules by name, and what is computed with them."""

    def __init__(self, run: Callable[[Any, tg.Tensor], tg.Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.run(self, x)


class Block(nn.Module):
    """x + scale * b(phi(a(phi(x)))) before, phi(x + b(phi(a(x)))) after, x + phi(a(x)) without a
    last layer; `out` marks the sum."""

    def __init__(self, n: int, phi: type[nn.Module], kind: str, gain: float, scale: float) -> None:
        super().__init__()
        self.a, self.b = linear(n, n, gain), linear(n, n, gain)
        self.phi, self.kind, self.scale = phi(), kind, scale
        self.out = nn.Identity()

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        if self.kind == "before":
            return self.out(x + self.scale * self.b(self.phi(self.a(self.phi(x)))))
        if self.kind == "after":
            return self.phi(self.out(x + self.b(self.phi(self.a(x)))))
        if self.kind == "minus":
            return self.out(x - self.b(self.phi(self.a(x))))
        return self.out(x + self.phi(self.a(x)))


def residual(
    kind: str, phi: type[nn.Module], n: int = 40, blocks: int = 3, gain: float = 1.2
) -> nn.Module:
    """A dense layer, blocks, a dense layer."""
    stream = [Block(n, phi, kind, gain, 0.6) for _ in range(blocks)]
    return nn.Sequential(linear(16, n), *stream, linear(n, 8))


def one(hidden: Callable[[Any, tg.Tensor], tg.Tensor], n: int = 40, **modules: Any) -> nn.Module:
    """What `hidden` computes of the input with `a`, `b` ..., an Identity and a last layer."""
    given = {"a": linear(16, n), "b": linear(16, n), **modules}
    return Net(
        lambda self, x: self.last(self.seen(hidden(self, x))),
        **given,
        seen=nn.Identity(),
        last=linear(n, 8),
    )


def gate(h: tg.Tensor) -> tg.Tensor:
    return h * h.sigmoid()


def halves(h: tg.Tensor) -> tg.Tensor:
    left, right = h.chunk(2, -1)
    return left * right.sigmoid()


def dense_net(self: Any, x: tg.Tensor) -> tg.Tensor:
    first = self.a(x).tanh()
    second = tg.cat([first, self.c(first).relu()], -1)
    return tg.cat([second, self.d(second).tanh()], -1)


def mixed_stack() -> nn.Module:
    return nn.Sequential(
        linear(16, 40, bias_std=0.5),
        nn.ReLU(),
        linear(40, 30, 1.4),
        nn.Tanh(),
        linear(30, 40, bias_std=0.3),
        nn.SiLU(),
        linear(40, 8),
    )


def with_mean(mean: float, phi: type[nn.Module]) -> nn.Module:
    return nn.Sequential(linear(16, 40), phi(), linear(40, 40, mean=mean), phi(), linear(40, 8))


def constant_layer() -> nn.Module:
    model = with_mean(0.0, nn.Tanh)
    nn.init.constant_(model[2].weight, 0.05)
    return model


def bias_laws() -> nn.Module:
    model = nn.Sequential(linear(16, 40), nn.Sigmoid(), linear(40, 40), nn.ReLU(), linear(40, 8))
    nn.init.normal_(model[0].bias, 0.7, 0.4)
    nn.init.uniform_(model[2].bias, -1.0, 0.2)
    return model


def tied(self: Any, x: tg.Tensor) -> tg.Tensor:
    h = self.a(x).tanh()
    return self.w(self.w(h).tanh()).tanh()


def siamese(self: Any, x: tg.Tensor) -> tg.Tensor:
    return self.a(x).tanh() + self.a(0.5 * x).relu()


def long_skip(self: Any, x: tg.Tensor) -> tg.Tensor:
    first = self.a(x)
    second = self.w(first.tanh())
    return first + second + self.c(second.relu())


CASES: dict[str, Callable[[], nn.Module]] = {
    "before, relu": lambda: residual("before", nn.ReLU, gain=1.4),
    "before, tanh": lambda: residual("before", nn.Tanh),
    "after, relu": lambda: residual("after", nn.ReLU, gain=1.4),
    "after, tanh": lambda: residual("after", nn.Tanh),
    "minus, gelu": lambda: residual("minus", nn.GELU),
    "no last layer, relu": lambda: residual("none", nn.ReLU),
    "no last layer, tanh": lambda: residual("none", nn.Tanh),
    "gate of one": lambda: one(lambda s, x: gate(s.a(x)), a=linear(16, 40, bias_std=0.4)),
    "x + relu(x)": lambda: one(lambda s, x: (lambda h: h + h.relu())(s.a(x) + 0.5)),
    "where": lambda: one(lambda s, x: (lambda h: tg.where(h > 0.3, h, 0.2 * h.sin()))(s.a(x))),
    "relu of tanh": lambda: one(lambda s, x: (s.a(x).tanh() - 0.3).relu()),
    "gate of two": lambda: one(lambda s, x: s.a(x) * s.b(x).sigmoid()),
    "gate of halves": lambda: one(lambda s, x: halves(s.a(x)), a=linear(16, 80)),
    "maxout": lambda: one(lambda s, x: tg.maximum(s.a(x), s.b(x))),
    "sum of layers": lambda: one(lambda s, x: s.a(x) + s.b(x)),
    "sum of activations": lambda: one(lambda s, x: s.a(x).tanh() + s.b(x).relu()),
    "long skip": lambda: one(long_skip, w=linear(40, 40, 1.2), c=linear(40, 40)),
    "dense net": lambda: Net(
        lambda s, x: s.last(s.seen(dense_net(s, x))),
        a=linear(16, 40),
        c=linear(40, 24),
        d=linear(64, 30),
        seen=nn.Identity(),
        last=linear(94, 8),
    ),
    "the input again": lambda: Net(
        lambda s, x: s.last(tg.cat([s.a(x).relu(), x], -1)), a=linear(16, 40), last=linear(56, 8)
    ),
    "mixed activations": mixed_stack,
    "mean weights, tanh": lambda: with_mean(0.1, nn.Tanh),
    "mean weights, relu": lambda: with_mean(0.05, nn.ReLU),
    "constant weights": constant_layer,
    "laws of biases": bias_laws,
    "tied in a row": lambda: one(tied, w=linear(40, 40, 1.3)),
    "tied side by side": lambda: one(siamese),
}
