"""What rules read: moments at nodes, lengths of gradients, chains and curves of activations."""

from __future__ import annotations

import math

import pytest

import analysis
from analysis import Thresholds
from analysis.findings.subject import Subject, number, span
from analysis.network.analyze import propagate, report_of
from analysis.network.build import dense_network
from tests.analysis.findings.nets import Gated, chain, pre_norm
from tinygrad_edu import nn


def subject(model: nn.Module, given: object = None) -> Subject:
    propagation = propagate(model, given)
    return Subject(model, propagation, report_of(propagation), Thresholds())


@pytest.mark.parametrize(
    ("module", "name"),
    [(nn.ReLU, "relu"), (nn.Tanh, "tanh"), (nn.GELU, "gelu"), (Gated, "silu"), (nn.ELU, "elu")],
)
def test_curves_are_the_moments(module: type[nn.Module], name: str) -> None:
    found = subject(chain(2, module, 1.0))
    activation = found.layers[1].before
    curve = found.curve(activation, (1.0, 0.3))
    assert curve is not None
    for i, q in enumerate((1.0, 0.3)):
        moments = analysis.moments(name, variance=q)
        assert curve.second[i] == pytest.approx(float(moments.second), rel=1e-9)
        assert curve.slope[i] == pytest.approx(float(moments.derivative_second), rel=1e-9)


def test_layers_of_any_width_keep_the_length_of_the_gradient() -> None:
    """fan_in Var(W) E[phi'^2] = 1: He's weights, 10 outputs of gradient 1."""
    found = subject(dense_network([64, 200, 30, 70, 10], "relu"))
    lengths = [found.gradient(node) for node in found.structure.hidden]
    outputs = [found.gradient(layer.output) for layer in found.layers]
    assert outputs == pytest.approx([10.0] * 4)
    assert min(lengths) == pytest.approx(10.0)


def test_chains() -> None:
    plain = subject(chain(4, nn.Tanh, 1.0))
    assert [[layer.name for layer in c] for c in plain.chains] == [["0", "2", "4", "6", "8"]]
    blocks = subject(pre_norm(2))
    assert [[layer.name for layer in c] for c in blocks.chains] == [["1.a", "1.b"], ["2.a", "2.b"]]


def test_what_is_unknown_is_none() -> None:
    class Sums(nn.Module):
        def forward(self, x: object) -> object:
            return x.cumsum(1)

    found = subject(nn.Sequential(nn.Linear(8, 8), Sums(), nn.Linear(8, 2)))
    last = found.layers[-1].output
    assert found.second(last) is None
    assert found.mean(last) is None
    assert found.gradient(found.layers[0].output) is None


def test_text() -> None:
    assert span(["3", "3"]) == "3"
    assert span(["3", "5", "9"]) == "3 to 9"
    assert number(math.pi) == "3.14"
