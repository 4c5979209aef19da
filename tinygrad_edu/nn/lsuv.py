"""Layer-sequential unit variance: each weight is scaled by what its layer puts out on a batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.errors import ArgumentError, ModuleError
from tinygrad_edu.graph.modes import no_grad
from tinygrad_edu.graph.reader import as_tensor
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.nn.drawing import constant_law, orthogonal_law, scaled_law, spread, write
from tinygrad_edu.nn.module import Module
from tinygrad_edu.nn.parameter import Parameter
from tinygrad_edu.nn.state import nothing_moves

CONSTANT = 1e-12
"""A variance below this share of the second moment is rounding: the outputs are all alike."""


def lsuv_(
    module: Module,
    batch: Any,
    std: float = 1.0,
    tol: float = 0.01,
    max_iterations: int = 10,
) -> Module:
    """Layer-sequential unit variance: orthogonal weights, biases 0, then each layer's weight is
    divided by the standard deviation of its output on a batch, layer by layer in the order in which
    they are called. Mishkin and Matas 2016, "All you need is a good init", algorithm 1.

    A layer is any module with a weight of two axes or more, to which its output must be
    proportional. A weight that is used several times is judged by all those outputs together.
    Buffers and random draws are left as they were; the mode (training or evaluation) is the user's.

    The law of a weight is then that of an orthogonal matrix times the factor found here. (Found on
    another draw or batch, the factor would differ a little.)

    Args:
        module: The network, initialised in place.
        batch: Inputs (examples, ...) like those it will be trained on; a few hundred are enough.
        std: What the outputs' standard deviation shall be, over examples and units together.
        tol: By how much, relatively, it may miss that.
        max_iterations: How often one weight is rescaled at most. For one that is used once, once is
            enough.

    Raises:
        ArgumentError: No layer; a layer that is not called, whose output is constant on the batch
            (its inputs are dead) or not finite, or does not follow its weight. All parameters are
            then what they were.
    """
    if not isinstance(module, Module):
        raise ModuleError(f"lsuv_: initialises a module, not {type(module).__name__}.")
    if spread("lsuv_", std) == 0 or spread("lsuv_", tol, "tol") == 0:
        raise ArgumentError(f"lsuv_: std and tol must be above 0, got {std} and {tol}.")
    layers = {name: m for name, m in module.named_modules() if _weight_of(m) is not None}
    if not layers:
        raise ArgumentError(
            f"lsuv_: no module in this {type(module).__name__} has a weight of two axes or more."
        )
    with _undone_on_error(module):
        for layer in layers.values():
            _start(layer)
        rescaled = dict.fromkeys(layers, 0)
        # All are measured, and the first that is off is rescaled: those before it are done.
        while off := _first_off(_measured(module, layers, batch), std, tol):
            if rescaled[off.name] == max_iterations:
                raise ArgumentError(
                    f"lsuv_: the output of layer {off.name!r} still has standard deviation "
                    f"{off.std:.4g} after {max_iterations} rescalings: it does not follow the "
                    "layer's weight. Raise tol or max_iterations, or leave this layer out."
                )
            _scale(off.weight, std / off.std)
            rescaled[off.name] += 1
    return module


def _weight_of(module: Module) -> Parameter | None:
    """The weight of a layer; None for other modules."""
    weight = vars(module).get("weight")
    return weight if isinstance(weight, Parameter) and weight.ndim > 1 else None


def _start(layer: Module) -> None:
    """Orthogonal weights and no bias."""
    weight, bias = _weight_of(layer), vars(layer).get("bias")
    assert weight is not None
    write(weight, orthogonal_law(weight.shape, 1.0, weight.groups, "lsuv"))
    if isinstance(bias, Parameter):
        write(bias, constant_law(0.0))


def _scale(weight: Parameter, factor: float) -> None:
    law = weight.law
    assert law is not None  # `_start` drew it
    weight.node.assign(weight.node.data * weight.dtype.type(factor))
    weight.law = scaled_law(law, factor)


@contextmanager
def _undone_on_error(module: Module) -> Iterator[None]:
    """Give every parameter its values and law back if this fails or is interrupted."""
    before = [(p, p.node.data, p.law) for p in module.parameters()]
    try:
        yield
    except BaseException:
        for parameter, data, law in before:
            parameter.node.assign(data)
            parameter.law = law
        raise


# ------------------------------------------------------------------------------ measuring


@dataclass
class _Outputs:
    """The outputs that one weight had a part in, added up."""

    name: str
    weight: Parameter
    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, output: Tensor) -> None:
        """One more output."""
        values = output.node.data.astype(np.float64).ravel()
        self.count += values.size
        self.total += float(values.sum())
        self.squares += float(values @ values)

    @property
    def std(self) -> float:
        """Their standard deviation; 0 if they are constant but for rounding."""
        second = self.squares / self.count
        variance = second - (self.total / self.count) ** 2
        return 0.0 if variance <= CONSTANT * second else math.sqrt(variance)


def _measured(module: Module, layers: dict[str, Module], batch: Any) -> list[_Outputs]:
    """What each weight puts out, in the order of the first calls."""
    found: dict[Parameter, _Outputs] = {}

    def watch(name: str, layer: Module) -> Any:
        weight = _weight_of(layer)
        assert weight is not None

        def hook(layer: Module, inputs: Any, output: Tensor) -> None:
            found.setdefault(weight, _Outputs(name, weight)).add(output)

        return hook

    with ExitStack() as stack:
        for name, layer in layers.items():
            stack.enter_context(layer.register_forward_hook(watch(name, layer)))
        stack.enter_context(no_grad())
        stack.enter_context(nothing_moves(module))
        dtype = next(module.parameters()).dtype
        module(as_tensor(batch).detach().to(dtype))
    uncalled = [name for name, layer in layers.items() if _weight_of(layer) not in found]
    if uncalled:
        raise ArgumentError(f"lsuv_: forward does not call layer {uncalled[0]!r}; leave it out.")
    return list(found.values())


def _first_off(measured: list[_Outputs], std: float, tol: float) -> _Outputs | None:
    """The first output that is not as wide as it shall be."""
    for outputs in measured:
        if outputs.std == 0 or not math.isfinite(outputs.std):
            what = "does not vary" if outputs.std == 0 else "is not finite"
            raise ArgumentError(
                f"lsuv_: the output of layer {outputs.name!r} {what} on this batch, so no factor "
                f"gives it standard deviation {std:g}. Its inputs are "
                + ("dead or all alike" if outputs.std == 0 else "not finite, or too large")
                + "; look at the batch and at the layers before it."
            )
        if abs(outputs.std / std - 1) > tol:
            return outputs
    return None
