"""Greedy layer-wise pre-training: each layer learns to encode what the layer before it puts out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_edu.errors import ArgumentError, DataError
from tinygrad_edu.graph.creation import manual_seed, tensor
from tinygrad_edu.graph.modes import no_grad
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.nn import Autoencoder, Linear, Module, Parameter, Sequential
from tinygrad_edu.nn.functional import mse_loss
from tinygrad_edu.optim import Optimizer
from tinygrad_edu.train.batches import EVALUATION_BATCH
from tinygrad_edu.train.history import History, as_table
from tinygrad_edu.train.loop import evaluate, evaluation_mode, fit, seed_apart

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]
MakeDecoder = Callable[[Shape, Shape], Module]
MakeOptimizer = Callable[[Iterable[Parameter]], Optimizer]

_DECODERS = 2
"""The first of the streams of a seed that decoders are drawn from, one for each layer."""


@dataclass(frozen=True)
class PretrainedLayer:
    """How one layer learned to encode its input.

    Attributes:
        name: Where the layer begins in the model.
        encoder: The layer's modules.
        history: Of its training, see `History`.
        variance: Of its input, the mean over the features: the error of the best constant.
        before: The mean squared error of reconstruction with the first weights.
        error: The same with the trained weights, over all examples in evaluation mode.
    """

    name: str
    encoder: Sequential
    history: History
    variance: float
    before: float
    error: float


@dataclass
class Pretraining:
    """What `pretrain_layerwise` did: the layers in turn, and whether Ctrl-C ended it."""

    layers: list[PretrainedLayer] = field(default_factory=list)
    interrupted: bool = False

    def __repr__(self) -> str:
        ended = ", interrupted" if self.interrupted else ""
        title = f"Pretraining of {len(self.layers)} layers{ended}"
        rows = [
            [
                layer.name,
                str(len(layer.history)),
                *(f"{x:.4g}" for x in (layer.variance, layer.before, layer.error)),
            ]
            for layer in self.layers
        ]
        return "\n".join(
            [title, as_table(["layer", "epochs", "variance", "before", "error"], rows)]
        )


def pretrain_layerwise(
    model: Sequential,
    data: Any,
    *,
    layers: int | None = None,
    decoder: MakeDecoder | None = None,
    optimizer: MakeOptimizer | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    seed: int | None = 0,
    progress: bool | None = None,
) -> Pretraining:
    """Train the layers of a model, one after another, as encoders of an `nn.Autoencoder`: each on
    what the trained layers before it make of the data. The decoders are discarded. Hinton and
    Salakhutdinov 2006; Bengio et al. 2007. ::

        print(tg.train.pretrain_layerwise(model, x_train, epochs=20))
        tg.train.fit(model, (x_train, y_train))

    A layer is a module with a weight of two axes or more, with all that follows it up to the next
    (its activation, say). Ctrl-C keeps what has been trained, as in `fit`.

    Args:
        model: Its layers are trained in place, and it is left in training mode.
        data: Inputs (examples, ...), or a pair of inputs and targets, of which the targets are not
            looked at.
        layers: How many layers from the input on. None: all but the last, which is the task's own.
        decoder: A function of the shapes of one code and one input that makes a decoder. None: a
            Linear layer, for inputs (examples, features).
        optimizer: A function that makes one of parameters (a class will do). None: as for `fit`.
        epochs: How often each layer sees the data.
        batch_size: Examples in a step.
        seed: Decides the decoders' first weights, and what it decides in `fit`. None: nobody does.
        progress: Whether to show a bar for each layer. None: if standard error is a terminal.

    Raises:
        ArgumentError: The model has no such layers, or codes or inputs are not (examples, features)
            and there is no `decoder`.
        DataError: Data that is neither an array nor a pair of arrays.
        TrainingError: The error became infinite or NaN; earlier layers stay trained.
    """
    stages = _stages(model, layers)
    inputs = _inputs(data, model)
    done = Pretraining()
    try:
        for number, (name, stage) in enumerate(stages):
            if seed is not None:
                manual_seed(seed_apart(seed, _DECODERS + number))
            shapes = _encode(stage, inputs[:1]).shape[1:], inputs.shape[1:]
            pair = Autoencoder(stage, (decoder or _linear_decoder)(*shapes)).to(inputs.dtype)
            before = _error(pair, inputs)
            history = fit(
                pair,
                (inputs, inputs),
                loss=mse_loss,
                optimizer=optimizer,
                epochs=epochs,
                batch_size=batch_size,
                seed=seed,
                progress=progress,
            )
            variance = float(inputs.var(axis=0, dtype=np.float64).mean())
            error = _error(pair, inputs)
            done.layers.append(PretrainedLayer(name, stage, history, variance, before, error))
            if history.interrupted:
                done.interrupted = True
                break
            inputs = _encode(stage, inputs)
    finally:
        model.zero_grad()
        model.train()
    return done


def _stages(model: Sequential, layers: int | None) -> list[tuple[str, Sequential]]:
    """The layers to train, each as a Sequential that shares the model's modules."""
    modules = list(model)
    starts = [i for i, module in enumerate(modules) if _has_weight(module)]
    wanted = len(starts) - 1 if layers is None else layers
    if not 1 <= wanted <= len(starts):
        raise ArgumentError(
            f"pretrain_layerwise: cannot train {wanted} layers of a model with {len(starts)} "
            "modules that have a weight. It is a Sequential of such modules and activations; by "
            "default the last of them is left to the task, so there must be another."
        )
    ends = [*starts[1:], len(modules)]
    names = {module: name for name, module in model.named_children()}
    return [
        # what stands before the first layer (a Flatten, say) belongs to it
        (names[modules[start]], Sequential(*modules[0 if i == 0 else start : end]))
        for i, (start, end) in enumerate(zip(starts[:wanted], ends, strict=False))
    ]


def _has_weight(module: Module) -> bool:
    return any(parameter.ndim > 1 for parameter in module.parameters())


def _inputs(data: Any, model: Module) -> Array:
    """The inputs as an array, floats in the model's dtype."""
    values = data[0] if isinstance(data, tuple) else data
    array = np.asarray(values.detach() if isinstance(values, Tensor) else values)
    if array.ndim < 2 or array.dtype.kind not in "fiub" or not len(array):
        raise DataError(
            "pretrain_layerwise: needs inputs (examples, ...) of numbers, or a pair of inputs and "
            f"targets; got shape {array.shape}, dtype {array.dtype}."
        )
    return array.astype(next(model.parameters()).dtype)


def _linear_decoder(code: Shape, inputs: Shape) -> Module:
    """From a vector to a vector."""
    if len(code) != 1 or len(inputs) != 1:
        raise ArgumentError(
            f"pretrain_layerwise: codes of shape {code} for inputs of shape {inputs} need a "
            "decoder= of your own: a function of both shapes that gives a module from the one to "
            "the other."
        )
    return Linear(code[0], inputs[0])


def _encode(stage: Module, inputs: Array) -> Array:
    """What the layer makes of the inputs, in evaluation mode."""
    with evaluation_mode(stage), no_grad():
        batches = range(0, len(inputs), EVALUATION_BATCH)
        return np.concatenate(
            [stage(tensor(inputs[i : i + EVALUATION_BATCH])).numpy() for i in batches]
        )


def _error(pair: Autoencoder, inputs: Array) -> float:
    """The mean squared error over all examples, in evaluation mode."""
    return evaluate(pair, (inputs, inputs), mse_loss)["loss"]
