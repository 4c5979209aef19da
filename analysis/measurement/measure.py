"""Measure on the engine: many independent draws of a network's weights, forward and backward.

The sample is the number of networks, not the number of examples: all examples of one network share
its weights, so only their average per network is one observation.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import InputError
from analysis.network import inputs
from analysis.network.trace import watched
from analysis.report.progress import watch
from tinygrad_edu.derive import autograd
from tinygrad_edu.graph.creation import set_random_state, tensor
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.kernels.threads import fitting
from tinygrad_edu.nn.state import nothing_moves
from tinygrad_edu.ops.dtypes import float32
from tinygrad_edu.train.loop import largest_product

if TYPE_CHECKING:
    from tinygrad_edu.nn import Module

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Estimate:
    """The mean over independent networks with its standard error, and the share of the sum that
    the largest of them brings."""

    value: float
    standard_error: float
    leading: float = 0.0

    @staticmethod
    def of(sample: Array) -> Estimate:
        """From one number per network."""
        error = float(sample.std(ddof=1)) / math.sqrt(sample.size) if sample.size > 1 else math.nan
        total = float(sample.sum())
        leading = float(sample.max()) / total if total > 0 else 0.0
        return Estimate(float(sample.mean()), error, leading)


@dataclass(frozen=True)
class Measurement:
    """For each layer, one number per network (rows are networks): the mean of the output, its
    second moment, and the second moment of the gradient, averaged over examples and units."""

    names: tuple[str, ...]
    mean: Array
    second: Array
    gradient: Array

    @property
    def networks(self) -> int:
        """How many independent draws were measured."""
        return len(self.second)

    def joined(self, other: Measurement) -> Measurement:
        """With the networks of another measurement of the same model, on another seed."""
        pairs = ("mean", "second", "gradient")
        both = {key: np.concatenate([getattr(self, key), getattr(other, key)]) for key in pairs}
        return Measurement(self.names, **both)

    def forward(self, layer: str) -> Estimate:
        """The second moment of a layer's output."""
        return Estimate.of(self.second[:, self.names.index(layer)])

    def backward(self, layer: str) -> Estimate:
        """The second moment of the gradient at a layer's output."""
        return Estimate.of(self.gradient[:, self.names.index(layer)])


def measure(
    model: Module,
    networks: int = 200,
    batch: int = inputs.BATCH,
    seed: int = 0,
    input: Any = None,
    progress: bool | None = None,
) -> Measurement:
    """Draw the parameters of `model` anew from the laws they were drawn from, `networks` times,
    and average over the draws, in the mode that it is in (training or evaluation). The model is
    left as it was, with its running statistics, and so are the engine's random draws.

    input     as for `analyze`: None or a shape for standard normal input, of which each network
              sees `batch` fresh examples, or data, all of which every network sees
    seed      the draws are a function of it alone
    progress  a bar on stderr; None shows it when stderr is a terminal

    Interrupting with Ctrl-C returns what was measured until then.
    """
    if networks < 2:
        raise InputError(f"a standard error needs at least 2 networks, got {networks}.")
    source = inputs.read(model, input)
    observed: list[Array] = []
    names: tuple[str, ...] = ()
    drawn = _drawn(model, source, networks, batch, seed)
    try:
        with watch(networks, "measuring", progress) as step:
            for layers, outputs, gradients in drawn:
                names = layers
                observed.append(_statistics(outputs, gradients))
                step()
    except KeyboardInterrupt:
        if len(observed) < 2:
            raise
    finally:
        drawn.close()
    if not names:
        raise InputError("no layer was called; what is measured are the outputs of leaf modules.")
    mean, second, gradient = np.moveaxis(np.array(observed), 1, 0)
    return Measurement(names, mean, second, gradient)


@contextmanager
def _restored(model: Module) -> Iterator[None]:
    """Give every parameter its values back afterwards."""
    before = [(p.node, p.node.data) for p in model.parameters()]
    try:
        yield
    finally:
        for node, data in before:
            node.data = data


def _draw(model: Module, generator: np.random.Generator) -> None:
    """New values for every parameter that has a law; trained or loaded ones stay."""
    for parameter in model.parameters():
        if parameter.law is not None:
            drawn = parameter.law.draw(generator, parameter.shape)
            parameter.node.data = drawn.astype(parameter.dtype)


def each_network(
    model: Module, source: inputs.Input, networks: int, batch: int, seed: int
) -> Iterator[list[Array]]:
    """The outputs of all layers, then their gradients, one network after the other, as `measure`
    draws them; what has no gradient has nan."""
    for _, outputs, gradients in _drawn(model, source, networks, batch, seed):
        values = [y.detach().numpy() for y in outputs]
        yield values + [np.full(1, np.nan) if g is None else g.detach().numpy() for g in gradients]


Observed = tuple[tuple[str, ...], list[Tensor], list[Tensor | None]]


def _drawn(
    model: Module, source: inputs.Input, networks: int, batch: int, seed: int
) -> Generator[Observed]:
    """Names, outputs and gradients of the layers of each network."""
    generator = np.random.default_rng(seed)
    examples = batch if source.data is None else len(source.data)
    with _restored(model), nothing_moves(model), fitting(largest_product(model, examples)):
        set_random_state((seed % 2**64, 0))  # of masks
        for _ in range(networks):
            _draw(model, generator)
            yield _observe(model, source.batch(batch, generator), generator)


def _observe(model: Module, batch: Array, generator: np.random.Generator) -> Observed:
    dtype = next((p.dtype for p in model.parameters()), float32)
    tokens = batch.dtype.kind in "iu"
    with watched(model) as calls:
        # that the input asks for its gradient lets every layer have one
        given = tensor(batch) if tokens else tensor(batch.astype(dtype), requires_grad=True)
        result = model(given)
    outputs = [output for _, _, output in calls]
    weights = tensor(generator.standard_normal(result.shape).astype(dtype))
    gradients = autograd.grad((result * weights).sum(), outputs, allow_unused=True)
    return tuple(name for name, _, _ in calls), outputs, list(gradients)


def _statistics(outputs: list[Tensor], gradients: list[Tensor | None]) -> Array:
    """An array (3, layers): mean, second moment, gradient's second moment."""
    statistics = [
        (_mean(y, 1), _mean(y, 2), math.nan if g is None else _mean(g, 2))
        for y, g in zip(outputs, gradients, strict=True)
    ]
    return np.array(statistics).T


def _mean(x: Tensor, power: int) -> float:
    """The mean of x or of its square over all elements, in float64."""
    values = x.detach().numpy().astype(np.float64, copy=False)
    if power == 1:
        return float(values.mean())
    return float(np.vdot(values, values)) / values.size
