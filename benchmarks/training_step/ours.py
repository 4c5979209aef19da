"""This package: eager, a compiled call for each step, and a whole epoch as one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.training_step.nets import LR, MOMENTUM, NORM_EPS, Layer, Net
from benchmarks.training_step.run import Run


def _module(layer: Layer) -> Any:
    import tinygrad_edu as tg

    nn = tg.nn
    if layer.kind == "residual":
        return nn.Residual(nn.Sequential(*map(_module, layer.branch)))
    first: Any = layer.values[0] if layer.values else None
    made: dict[str, Callable[[], Any]] = {
        "linear": lambda: nn.Linear(*first.shape),
        "conv": lambda: nn.Conv2d(first.shape[1], first.shape[0], 3, padding=1),
        "batchnorm": lambda: nn.BatchNorm1d(first.size, eps=NORM_EPS),
        "layernorm": lambda: nn.LayerNorm(first.size, eps=NORM_EPS),
        "pool": lambda: nn.MaxPool2d(2),
        "flatten": nn.Flatten,
        "tanh": nn.Tanh,
        "relu": nn.ReLU,
        "gelu": lambda: nn.GELU(approximate="tanh"),
    }
    module = made[layer.kind]()
    if layer.values:
        weight, bias = layer.values
        module.weight.data = tg.tensor(weight.T if layer.kind == "linear" else weight)
        module.bias.data = tg.tensor(bias)
    return module


def _step(net: Net, optimizer: str) -> Callable[[Any, Any], Any]:
    """The training step as a user writes it."""
    import tinygrad_edu as tg

    model = tg.nn.Sequential(*map(_module, net.layers))
    if optimizer == "sgd":
        updates: Any = tg.optim.SGD(model.parameters(), lr=LR["sgd"], momentum=MOMENTUM)
    else:
        updates = tg.optim.Adam(model.parameters(), lr=LR["adam"])

    def step(x: Any, y: Any) -> Any:
        updates.zero_grad()
        loss = tg.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        updates.step()
        return loss

    return step


def eager(net: Net, optimizer: str, threads: int) -> Run:
    """Op by op."""
    import tinygrad_edu as tg

    step = _step(net, optimizer)
    batches = [(tg.tensor(x), tg.tensor(y)) for x, y in net.rows()]
    return Run(lambda: [step(x, y).item() for x, y in batches], net.batches)


def compiled(net: Net, optimizer: str, threads: int) -> Run:
    """`tg.compile`, a call for each step."""
    import tinygrad_edu as tg

    tg.set_num_threads(threads)
    step = tg.compile(_step(net, optimizer))
    batches = [(tg.tensor(x), tg.tensor(y)) for x, y in net.rows()]
    return Run(lambda: [step(x, y) for x, y in batches], net.batches)


def epoch(net: Net, optimizer: str, threads: int) -> Run:
    """`tg.compile`, a whole epoch in one call. Like the peers, it keeps no gradients."""
    import tinygrad_edu as tg

    tg.set_num_threads(threads)
    step = tg.compile(_step(net, optimizer), gradients=False)
    x, y = tg.tensor(net.images), tg.tensor(net.labels)
    return Run(lambda: step.epoch(x, y, batch_size=net.batch).numpy(), net.batches)
