"""Neurons, layers and networks of Values, as in micrograd: a program written for its ``nn`` runs
with only the import changed, and draws the same weights from Python's ``random``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tinygrad_edu.graph import modes
from tinygrad_edu.graph.recording import weighted_sum
from tinygrad_edu.graph.value import Value

__all__ = ["MLP", "Layer", "Module", "Neuron", "Value", "batch_mean", "batch_sum"]


class Module:
    """Something with parameters."""

    def zero_grad(self) -> None:
        """Set every parameter's grad back to 0."""
        for p in self.parameters():
            p.grad = 0.0

    def parameters(self) -> list[Value]:
        """The Values that training changes."""
        return []


class Neuron(Module):
    """relu(w · x + b), or without the relu; weights start uniform in (-1, 1), the bias at 0."""

    def __init__(self, nin: int, nonlin: bool = True) -> None:
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0.0)
        self.nonlin = nonlin

    def __call__(self, x: Sequence[Value | float]) -> Value:
        act = weighted_sum(self.w, x, self.b)
        return act.relu() if self.nonlin else act

    def parameters(self) -> list[Value]:
        """The weights, then the bias."""
        return [*self.w, self.b]

    def __repr__(self) -> str:
        return f"{'ReLU' if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):
    """Neurons with a common input. Returns the list of their outputs, or the one output."""

    def __init__(self, nin: int, nout: int, **kwargs: Any) -> None:
        self.neurons = [Neuron(nin, **kwargs) for _ in range(nout)]

    def __call__(self, x: Sequence[Value | float]) -> Any:
        out = [neuron(x) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def parameters(self) -> list[Value]:
        """Those of every neuron in turn."""
        return [p for neuron in self.neurons for p in neuron.parameters()]

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(str, self.neurons))}]"


class MLP(Module):
    """Layers one after another, the last one without relu; `nouts` are the layers' widths."""

    def __init__(self, nin: int, nouts: list[int]) -> None:
        sizes = [nin, *nouts]
        last = len(nouts) - 1
        self.layers = [Layer(sizes[i], sizes[i + 1], nonlin=i != last) for i in range(len(nouts))]

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self) -> list[Value]:
        """Those of every layer in turn."""
        return [p for layer in self.layers for p in layer.parameters()]

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(str, self.layers))}]"


def batch_mean(x: Value) -> Value:
    """The mean of x over the samples, in a compiled function that is called with arrays. Elsewhere
    there is one sample, and it is x itself."""
    watcher = modes.state.watcher
    result: Value = x if watcher is None else watcher.batch_mean(x)
    return result


def batch_sum(x: Value) -> Value:
    """The sum of x over the samples, in a compiled function that is called with arrays. Elsewhere
    there is one sample, and it is x itself."""
    watcher = modes.state.watcher
    result: Value = x if watcher is None else watcher.batch_sum(x)
    return result
