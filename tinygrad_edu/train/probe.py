"""`Probe`: the distributions of activations and gradients, layer by layer, while a model trains."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Container
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tinygrad_edu.data.keyed import whole_number
from tinygrad_edu.derive.reverse import grad
from tinygrad_edu.errors import ArgumentError, ModuleError
from tinygrad_edu.graph.modes import is_grad_enabled
from tinygrad_edu.graph.node import Node, tracing
from tinygrad_edu.graph.tensor import Tensor, abstract, make
from tinygrad_edu.nn import Activation, Module
from tinygrad_edu.nn.hooks import HookHandle
from tinygrad_edu.ops.dtypes import is_float
from tinygrad_edu.ops.kinds import Elementwise
from tinygrad_edu.train.history import as_table
from tinygrad_edu.train.statistics import Moments, Record, Response, by_unit, near_linear

EVERY = 100
"""Steps from one that is noted to the next: `benchmarks/probe.py` measures what that costs."""
EVERY_COMPILED = 1000
"""The same of a compiled program after as many steps: noting one takes 10 to 50 of its steps."""
SATURATED = 0.01
"""tanh's slope at 3, sigmoid's at 4.6."""


@dataclass
class _Observed:
    """A record that waits for its gradient, and where that will be."""

    record: Record
    output: Node

    def with_gradient(self) -> Record:
        """The record with the gradient that has arrived by now, if any."""
        gradient = self.output.grad
        if gradient is None:
            return self.record
        return replace(self.record, gradient=Moments.of(gradient.node.data))


class Probe:
    """Watch a model's layers while it trains. ::

        with tg.train.Probe(model) as probe:
            tg.train.fit(model, data)
        print(probe)
        probe.plot().savefig("layers.png")

    A layer is a module that holds no other. A step is one forward pass of the model in training
    mode with gradients on, whoever runs it; passes in evaluation mode or without gradients are not
    looked at. Every so many steps the output of each layer is measured, and so is the gradient of
    the loss with respect to it, once `backward` has been called. In between the probe is hooks on
    the model that count; once closed it is nothing.

    Steps of `tg.compile` and of `fit` as a compiled program are counted, too, and those that are
    noted are run as Python, on the same state: the numbers are the same up to rounding. The program
    is traced anew when a probe is opened.

    Attributes:
        steps: How many there were.
        until_next: Steps from now on that will not be noted, before one that will.

    Args:
        model: Called as a whole; functions that it calls beside its modules are not seen.
        every: Steps from one that is noted to the next. None: 100, and for compiled programs 1000
            from the 1000th step on. Noting one takes as long as one to seven steps, or 10 to 50
            compiled ones, so in the long run this costs 1 to 7 % of the time (up to a sixth where a
            compiled step takes 10 us).
        saturated: Below which slope an activation counts as saturated.

    Raises:
        ArgumentError: every < 1, or a threshold that is not positive. ModuleError: No module.
    """

    def __init__(
        self, model: Module, every: int | None = None, saturated: float = SATURATED
    ) -> None:
        if not isinstance(model, Module):
            raise ModuleError(f"Probe: watches a module, not {type(model).__name__}.")
        self.every = EVERY if every is None else whole_number("every", every, 1)
        if not saturated > 0:
            raise ArgumentError(f"Probe: saturated must be above 0, got {saturated}.")
        self.saturated = saturated
        self.steps = 0
        self.until_next = 0
        self._seldom = every is None  # in the long run of a compiled program
        self._compiled = False
        self._model = model
        self._layers = {m: name for name, m in model.named_modules() if not any(m.children())}
        self._responses = {m for m in self._layers if _acts_on_each_element(m)}
        self._records: list[Record] = []
        self._alive: dict[str, Any] = {}
        self._observed: dict[str, _Observed] | None = None  # only while the model is called
        self._waiting: dict[str, _Observed] = {}
        self._unit_axis = -1
        self._layer_hooks: list[HookHandle] = []
        self._model_hooks = [
            model.register_forward_pre_hook(self._before_step),
            model.register_forward_hook(self._after_step),
        ]

    # -------------------------------------------------------------------------- watching

    def _before_step(self, model: Module, inputs: tuple[Any, ...]) -> None:
        """The model is about to be called: look at its layers meanwhile, if this is a step to note.
        (What an earlier call left unfinished is dropped.)"""
        self._forget_layers()
        if self.until_next == 0 and self._is_step() and tracing() is None:
            self._observed = {}
            layers = [layer for layer in self._layers if layer is not model]
            self._layer_hooks = [layer.register_forward_hook(self._look_at) for layer in layers]

    def _forget_layers(self) -> None:
        self._observed = None
        for hook in self._layer_hooks:
            hook.remove()
        self._layer_hooks = []

    def _look_at(self, layer: Module, inputs: tuple[Any, ...], output: Any) -> None:
        """A layer was called: measure its output, and ask for the gradient."""
        if self._observed is None or not _has_values(output):
            return
        weight = vars(layer).get("weight")
        if isinstance(weight, Tensor) and weight.ndim > 1:
            self._unit_axis = -1 if weight.ndim == 2 else 1  # of a convolution: channels
        name = _name_of_call(self._layers[layer], self._observed)
        response = None
        if layer in self._responses and inputs and _has_values(inputs[0]):
            response = self._response(name, layer, inputs[0])
        op, moments = type(layer).__name__, Moments.of(output.node.data)
        record = Record(name, op, self.steps, moments, None, response)
        self._observed[name] = _Observed(record, output.node)
        if output.requires_grad:
            output.retain_grad()

    def _is_step(self) -> bool:
        return self._model.training and is_grad_enabled()

    def _response(self, name: str, layer: Module, inputs: Tensor) -> Response:
        """How the activation function answers, by its derivative in the op table."""
        x = make(Node(inputs.node.data), requires_grad=True)
        y = layer.forward(x)
        (slope,) = grad(y, x, make(Node(np.ones_like(y.node.data))), allow_unused=True)
        flat = np.zeros_like(x.node.data) if slope is None else slope.node.data
        slopes = by_unit(flat, self._unit_axis)
        alive = slopes.any(axis=0)
        ever = self._alive[name] = alive | self._alive.get(name, alive)
        x_by_unit, y_by_unit = (by_unit(t.node.data, self._unit_axis) for t in (x, y))
        return Response(
            saturated=float((np.abs(slopes) < self.saturated).mean()),
            near_linear=near_linear(x_by_unit, y_by_unit),
            dead=1 - float(alive.mean()),
            dead_since_start=1 - float(ever.mean()),
        )

    def _after_step(self, model: Module, inputs: tuple[Any, ...], output: Any) -> None:
        """The model was called: the gradients of the step before are there by now."""
        if not self._is_step():
            return
        now = tracing()
        if now is not None:
            now.observed_by(self)
            self._compiled = True
            return
        if model in self._layers:
            self._look_at(model, inputs, output)
        self.passed(1)
        if self._observed is not None:
            self._waiting = self._observed
            self._forget_layers()

    def passed(self, steps: int) -> None:
        """Count steps that have been taken, or taken back, by a negative number. A compiled program
        calls it at each step, of which the shortest last some microseconds."""
        self.steps += steps
        self.until_next -= steps
        if self._waiting:
            self._settle()
        if self.until_next < 0 or steps < 0:
            often = not (self._seldom and self._compiled) or self.steps < EVERY_COMPILED
            self.until_next = -self.steps % (self.every if often else EVERY_COMPILED)

    def _settle(self) -> None:
        """Take over the gradients that were waited for, and let go of the graph."""
        self._records += [observed.with_gradient() for observed in self._waiting.values()]
        self._waiting = {}

    def close(self) -> None:
        """Stop watching: no hook is left on the model. What was noted stays."""
        self._forget_layers()
        for hook in self._model_hooks:
            hook.remove()
        self._settle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -------------------------------------------------------------------------- what was seen

    @property
    def records(self) -> list[Record]:
        """Everything noted so far: step by step, layers in the order in which they were called."""
        return self._records + [observed.with_gradient() for observed in self._waiting.values()]

    def at(self, step: int | None = None) -> list[Record]:
        """The records of one step; None: the latest.

        Raises:
            ArgumentError: The step was not noted.
        """
        records = self.records
        if step is None and records:
            step = records[-1].step
        found = [record for record in records if record.step == step]
        if step is not None and not found:
            noted = sorted({record.step for record in records})
            raise ArgumentError(f"Probe: step {step} was not noted, but {noted}.")
        return found

    def layer(self, name: str) -> list[Record]:
        """The records of one layer, step by step.

        Raises:
            ArgumentError: There is none of that name.
        """
        records = self.records
        found = [record for record in records if record.layer == name]
        if not found:
            names = list(dict.fromkeys(record.layer for record in records))
            raise ArgumentError(f"Probe: no layer {name!r} was noted, but {names}.")
        return found

    def table(self, step: int | None = None) -> str:
        """The layers at one step (None: the latest) as text: mean and standard deviation of the
        output, its gradient's root mean square, and how activation functions answer."""
        return as_table(_HEADER, [_row(record) for record in self.at(step)])

    def __repr__(self) -> str:
        noted = len({record.step for record in self.records})
        title = f"Probe of {type(self._model).__name__}: {noted} of {self.steps} steps noted"
        return "\n".join([title, self.table()]) if noted else title

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        return {
            "every": self.every,
            "saturated": self.saturated,
            "steps": self.steps,
            "records": [record.to_dict() for record in self.records],
        }

    def plot(self, step: int | None = None, layers: Collection[str] | None = None) -> Any:
        """A matplotlib figure of one step (None: the latest): the distributions of activations and
        of gradients, layer below layer; of the layers named, or of all.

        Raises:
            ArgumentError: Nothing was noted, or not this step.
            ImportError: matplotlib is not installed; the extra "plots" brings it.
        """
        from tinygrad_edu.train.probe_figure import distributions

        records = self.at(step)
        return distributions([r for r in records if layers is None or r.layer in layers])


_HEADER = ["layer", "op", "mean", "std", "gradient", "saturated", "near-linear", "dead"]


def _row(record: Record) -> list[str]:
    shares = [f"{share:.1%}" for share in vars(record.response).values()] if record.response else []
    numbers = [record.activation.mean, record.activation.std]
    gradient = "-" if record.gradient is None else f"{record.gradient.rms:.3g}"
    answers = shares[:3] or ["-"] * 3
    return [record.layer, record.op, *(f"{x:.3g}" for x in numbers), gradient, *answers]


def _name_of_call(layer: str, taken: Container[str]) -> str:
    """The layer's name, with a number from its second call in a step on."""
    names = (f"{layer}:{call}" for call in itertools.count(2))
    return next(name for name in itertools.chain([layer], names) if name not in taken)


def _has_values(x: Any) -> bool:
    """Whether this is a tensor of floats with values: not a trace's, nor a tuple."""
    return isinstance(x, Tensor) and not x.node.is_abstract and is_float(x.dtype) and x.numel() > 0


def _acts_on_each_element(layer: Module) -> bool:
    """Whether this is an activation function of single numbers, unlike softmax: as recorded on
    shapes alone, it is made of elementwise ops of one argument."""
    if not isinstance(layer, Activation):
        return False
    pending = [layer.forward(abstract((2,))).node]
    while pending:
        node = pending.pop()
        if node.op is not None and not isinstance(node.op, Elementwise) and node.op.name != "cast":
            return False
        pending += node.inputs
    return True
