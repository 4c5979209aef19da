"""The networks of Values: micrograd's structure, its random numbers and its training."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterable

import pytest

from tinygrad_edu.graph.modes import no_grad
from tinygrad_edu.graph.value import Value
from tinygrad_edu.scalar import MLP, Layer, Module, Neuron, batch_mean, batch_sum

assert "micrograd" not in sys.modules  # nothing here may lean on the original


def numbers(values: Iterable[Value]) -> list[float]:
    return [value.data for value in values]


def test_weights_are_drawn_as_in_micrograd() -> None:
    random.seed(1337)
    model = MLP(3, [4, 4, 1])
    found = numbers(model.parameters())
    random.seed(1337)
    expected = []
    for nin, nout in [(3, 4), (4, 4), (4, 1)]:
        for _ in range(nout):
            expected += [random.uniform(-1, 1) for _ in range(nin)] + [0.0]
    assert found == expected
    assert len(found) == 41  # micrograd's README


def test_a_neuron_computes_what_it_says() -> None:
    neuron = Neuron(2)
    for w, number in zip(neuron.w, (0.5, -2.0), strict=True):
        w.data = number
    neuron.b.data = 0.25
    assert neuron([1.0, 2.0]).data == 0.0
    assert neuron([Value(1.0), -1]).data == 2.75
    assert Neuron(2, nonlin=False)([0.0, 0.0]).data == 0.0
    neuron.nonlin = False
    assert neuron((1.0, 2.0)).data == -3.25
    assert neuron(x for x in (1.0, 2.0)).data == -3.25
    assert neuron.parameters() == [*neuron.w, neuron.b]


def test_a_layer_returns_a_list_or_the_one_value() -> None:
    assert isinstance(Layer(2, 1)([1.0, 2.0]), Value)
    out = Layer(2, 3)([1.0, 2.0])
    assert len(out) == 3
    assert all(isinstance(x, Value) for x in out)


def test_only_the_last_layer_is_linear() -> None:
    model = MLP(2, [3, 1])
    assert [n.nonlin for layer in model.layers for n in layer.neurons] == [True] * 3 + [False]


def test_repr_is_micrograd_s() -> None:
    assert repr(Neuron(2)) == "ReLUNeuron(2)"
    assert repr(Layer(2, 2, nonlin=False)) == "Layer of [LinearNeuron(2), LinearNeuron(2)]"
    assert repr(MLP(1, [1, 1])) == "MLP of [Layer of [ReLUNeuron(1)], Layer of [LinearNeuron(1)]]"


def test_zero_grad() -> None:
    model = MLP(2, [3, 1])
    model([1.0, -1.0]).backward()
    assert any(p.grad for p in model.parameters())
    model.zero_grad()
    assert not any(p.grad for p in model.parameters())
    assert Module().parameters() == []


def plain_forward(model: MLP, x: list[float]) -> float:
    """The same network in Python's own numbers."""
    for layer in model.layers:
        outputs = []
        for neuron in layer.neurons:
            total = neuron.b.data
            for w, number in zip(neuron.w, x, strict=True):
                total += w.data * number
            outputs.append(max(total, 0.0) if neuron.nonlin else total)
        x = outputs
    return x[0]


def test_gradients_of_a_network() -> None:
    random.seed(2)
    model = MLP(3, [8, 8, 1])
    x = [0.3, -1.2, 0.7]
    out = model(x)
    assert out.data == plain_forward(model, x)
    out.backward()
    h = 1e-6
    for p in model.parameters():
        at = p.data
        p.data = at + h
        above = plain_forward(model, x)
        p.data = at - h
        below = plain_forward(model, x)
        p.data = at
        assert p.grad == pytest.approx((above - below) / (2 * h), rel=1e-6, abs=1e-8)
    with no_grad():
        assert model(x).is_leaf


def test_training_separates_two_circles() -> None:
    """micrograd's demo on a small scale: hinge loss, weight decay, all points in a step."""
    random.seed(5)
    points = []
    for i in range(40):
        angle, label = math.tau * random.random(), i % 2 * 2 - 1
        radius = (1.5 if label > 0 else 0.5) + random.gauss(0, 0.05)
        points.append(([radius * math.cos(angle), radius * math.sin(angle)], label))
    model = MLP(2, [12, 1])
    losses = []
    for step in range(60):
        scores = [model(x) for x, _ in points]
        hinge = [(1 + -label * s).relu() for s, (_, label) in zip(scores, points, strict=True)]
        loss = sum(hinge) / len(hinge) + 1e-4 * sum(p * p for p in model.parameters())
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= (1.0 - 0.9 * step / 60) * p.grad
        losses.append(loss.data)
    assert losses[-1] < 0.1 < losses[0]
    assert all((model(x) > 0) == (label > 0) for x, label in points)


def test_over_samples_there_is_one_sample() -> None:
    x = Value(3.0)
    assert batch_mean(x) is x
    assert batch_sum(x) is x
