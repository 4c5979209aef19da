"""The peers: torch eager and compiled, JAX step by step and scanned, HIPS autograd.

Each function makes a `Run` from a network: `epoch` performs `steps` training steps and returns
their losses. Peers are given their best: fused optimizers, whole steps compiled, buffers donated.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.training_step.nets import BETAS, EPS, LR, MOMENTUM, NORM_EPS, Layer, Net
from benchmarks.training_step.run import Run

# ------------------------------------------------------------------------------ torch


def _torch_module(layer: Layer) -> Any:
    import torch

    nn = torch.nn
    if layer.kind == "residual":
        return _residual_module(nn.Sequential(*map(_torch_module, layer.branch)))
    first = layer.values[0] if layer.values else np.empty(0)
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
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(weight.T if layer.kind == "linear" else weight))
            module.bias.copy_(torch.from_numpy(bias))
    return module


def _residual_module(branch: Any) -> Any:
    import torch

    class Residual(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.branch = branch

        def forward(self, x: Any) -> Any:
            return x + self.branch(x)

    return Residual()


def _torch_parts(net: Net, optimizer: str, threads: int) -> tuple[Any, Any, list[Any]]:
    import torch

    torch.set_num_threads(threads)
    model = torch.nn.Sequential(*map(_torch_module, net.layers))
    make: dict[str, Callable[[], Any]] = {
        "sgd": lambda: torch.optim.SGD(
            model.parameters(), lr=LR["sgd"], momentum=MOMENTUM, fused=True
        ),
        "adam": lambda: torch.optim.Adam(model.parameters(), lr=LR["adam"], fused=True),
    }
    batches = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in net.rows()]
    return model, make[optimizer](), batches


def torch_eager(net: Net, optimizer: str, threads: int) -> Run:
    """Ordinary torch with its fused optimizer."""
    import torch

    model, updates, batches = _torch_parts(net, optimizer, threads)

    def step(x: Any, y: Any) -> Any:
        updates.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        updates.step()
        return loss.detach()

    return Run(lambda: [step(x, y) for x, y in batches], net.batches)


def torch_compile(net: Net, optimizer: str, threads: int) -> Run:
    """The whole step (forward, backward, update) as one compiled graph without Python between."""
    import torch

    model, _, batches = _torch_parts(net, optimizer, threads)
    parameters = {name: p.detach().clone() for name, p in model.named_parameters()}
    buffers = {name: b.detach().clone() for name, b in model.named_buffers()}
    first = {name: torch.zeros_like(p) for name, p in parameters.items()}
    second = {name: torch.zeros_like(p) for name, p in parameters.items()}
    count = torch.zeros(())

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        moved = {name: b.clone() for name, b in buffers.items()}  # may not change inside of grad
        scores = torch.func.functional_call(model, (parameters, moved), (x,))
        return torch.nn.functional.cross_entropy(scores, y), moved

    def step(x: Any, y: Any) -> Any:
        derive = torch.func.grad_and_value(loss_of, has_aux=True)
        gradients, (loss, moved) = derive(parameters, x, y)
        for name, b in buffers.items():
            b.copy_(moved[name])
        if optimizer == "adam":
            count.add_(1)
        for name, p in parameters.items():
            g, m, v = gradients[name], first[name], second[name]
            if optimizer == "sgd":
                m.mul_(MOMENTUM).add_(g)
                p.sub_(LR["sgd"] * m)
            else:
                m.mul_(BETAS[0]).add_(g, alpha=1 - BETAS[0])
                v.mul_(BETAS[1]).addcmul_(g, g, value=1 - BETAS[1])
                scale = (v / (1 - BETAS[1] ** count)).sqrt() + EPS
                p.sub_(LR["adam"] * (m / (1 - BETAS[0] ** count)) / scale)
        return loss

    compiled = torch.compile(step, fullgraph=True, dynamic=False)

    def epoch() -> list[Any]:
        with torch.no_grad():
            return [compiled(x, y) for x, y in batches]

    return Run(epoch, net.batches)


# ------------------------------------------------------------------------------ JAX


def _jax_apply(layer: Layer, values: Any, x: Any) -> Any:
    import jax
    import jax.numpy as jnp

    def standardized(x: Any, axis: int) -> Any:
        centred = x - x.mean(axis, keepdims=True)
        return centred * jax.lax.rsqrt(x.var(axis, keepdims=True) + NORM_EPS)

    if layer.kind == "residual":
        return x + _jax_forward(layer.branch, values, x)
    acts: dict[str, Callable[[], Any]] = {
        "linear": lambda: x @ values[0] + values[1],
        "tanh": lambda: jnp.tanh(x),
        "relu": lambda: jax.nn.relu(x),
        "gelu": lambda: jax.nn.gelu(x, approximate=True),
        "batchnorm": lambda: standardized(x, 0) * values[0] + values[1],
        "layernorm": lambda: standardized(x, 1) * values[0] + values[1],
        "flatten": lambda: x.reshape(x.shape[0], -1),
        "pool": lambda: x.reshape(
            *x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2
        ).max((3, 5)),
        "conv": lambda: (
            jax.lax.conv_general_dilated(
                x, values[0], (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW")
            )
            + values[1][:, None, None]
        ),
    }  # fmt: skip
    return acts[layer.kind]()


def _jax_forward(layers: tuple[Layer, ...], values: Any, x: Any) -> Any:
    for layer, own in zip(layers, values, strict=True):
        x = _jax_apply(layer, own, x)
    return x


def _values(layers: tuple[Layer, ...], convert: Callable[[Any], Any]) -> list[Any]:
    """The parameters as a tree: a list for each layer."""
    return [
        _values(layer.branch, convert) if layer.branch else [convert(v) for v in layer.values]
        for layer in layers
    ]


def _jax_parts(net: Net, optimizer: str) -> tuple[Any, Any]:
    import jax
    import jax.numpy as jnp

    tree_map = jax.tree_util.tree_map

    def loss_of(values: Any, x: Any, y: Any) -> Any:
        scores = jax.nn.log_softmax(_jax_forward(net.layers, values, x))
        return -jnp.take_along_axis(scores, y[:, None], 1).mean()

    def step(state: Any, batch: Any) -> Any:
        values, m, v, count = state
        loss, g = jax.value_and_grad(loss_of)(values, *batch)
        if optimizer == "sgd":
            m = tree_map(lambda m, g: MOMENTUM * m + g, m, g)
            values = tree_map(lambda p, m: p - LR["sgd"] * m, values, m)
        else:
            count = count + 1
            m = tree_map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, m, g)
            v = tree_map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, v, g)
            c1, c2 = 1 - BETAS[0] ** count, 1 - BETAS[1] ** count
            values = tree_map(
                lambda p, m, v: p - LR["adam"] * (m / c1) / (jnp.sqrt(v / c2) + EPS), values, m, v
            )
        return (values, m, v, count), loss

    values = _values(net.layers, jnp.asarray)
    zeros = tree_map(jnp.zeros_like, values)
    second = tree_map(jnp.zeros_like, values) if optimizer == "adam" else []
    return step, (values, zeros, second, jnp.float32(0))


def jax_jit(net: Net, optimizer: str, threads: int) -> Run:
    """A compiled step, called from Python for each batch; its state is donated."""
    import jax
    import jax.numpy as jnp

    step, state = _jax_parts(net, optimizer)
    compiled = jax.jit(step, donate_argnums=0)
    batches = [(jnp.asarray(x), jnp.asarray(y.astype(np.int32))) for x, y in net.rows()]
    held = [state]

    def epoch() -> list[Any]:
        losses = []
        for batch in batches:
            held[0], loss = compiled(held[0], batch)
            losses.append(loss.block_until_ready())
        return losses

    return Run(epoch, net.batches)


def jax_scan(net: Net, optimizer: str, threads: int) -> Run:
    """A whole epoch as one compiled call."""
    import jax
    import jax.numpy as jnp

    step, state = _jax_parts(net, optimizer)
    compiled = jax.jit(lambda s, batches: jax.lax.scan(step, s, batches), donate_argnums=0)
    x, y = (np.stack(rows) for rows in zip(*net.rows(), strict=True))
    batches = (jnp.asarray(x), jnp.asarray(y.astype(np.int32)))
    held = [state]

    def epoch() -> Any:
        held[0], losses = compiled(held[0], batches)
        return losses.block_until_ready()

    return Run(epoch, net.batches)


# ------------------------------------------------------------------------------ HIPS autograd


def hips(net: Net, optimizer: str, threads: int) -> Run:
    """HIPS autograd, for dense networks."""
    import autograd
    import autograd.numpy as anp

    if any(layer.kind not in ("linear", "tanh", "relu") for layer in net.layers):
        raise NotImplementedError("dense networks only")
    values = [v.copy() for layer in net.layers for v in layer.values]
    kinds = [layer.kind for layer in net.layers]

    def loss_of(values: Any, x: Any, y: Any) -> Any:
        rest = iter(values)
        for kind in kinds:
            if kind == "linear":
                x = anp.dot(x, next(rest)) + next(rest)
            else:
                x = anp.tanh(x) if kind == "tanh" else anp.maximum(x, 0)
        x = x - anp.max(x, axis=1, keepdims=True)
        return anp.mean(anp.log(anp.sum(anp.exp(x), axis=1)) - x[anp.arange(len(y)), y])

    value_and_grad = autograd.value_and_grad(loss_of)
    update = _in_place(values, optimizer)

    def epoch() -> list[Any]:
        losses = []
        for x, y in net.rows():
            loss, gradients = value_and_grad(values, x, y)
            update(gradients)
            losses.append(loss)
        return losses

    return Run(epoch, net.batches)


def _in_place(values: list[Any], optimizer: str) -> Callable[[Any], None]:
    first, second = ([np.zeros_like(v) for v in values] for _ in range(2))
    counter = itertools.count(1)

    def sgd(gradients: Any) -> None:
        for p, m, g in zip(values, first, gradients, strict=True):
            m *= MOMENTUM
            m += g
            p -= np.float32(LR["sgd"]) * m

    def adam(gradients: Any) -> None:
        t = next(counter)
        scale = LR["adam"] / (1 - BETAS[0] ** t)
        for p, m, v, g in zip(values, first, second, gradients, strict=True):
            m *= BETAS[0]
            m += (1 - BETAS[0]) * g
            v *= BETAS[1]
            v += (1 - BETAS[1]) * g * g
            p -= scale * m / (np.sqrt(v / (1 - BETAS[1] ** t)) + EPS)

    return sgd if optimizer == "sgd" else adam
