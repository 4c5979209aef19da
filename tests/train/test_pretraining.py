"""Greedy layer-wise pre-training: what it trains, what it leaves, and what it is good for."""

from __future__ import annotations

import signal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.data import load_digits
from tinygrad_edu.errors import ArgumentError, DataError
from tinygrad_edu.train import fit, pretrain_layerwise

TRAIN, _ = load_digits().split()
X, Y = TRAIN.images.reshape(-1, 64), TRAIN.labels
DEEP = (64, 64, 48, 32, 32, 10)


def network(seed: int = 0, widths: tuple[int, ...] = (64, 16, 8, 10)) -> nn.Sequential:
    """Sigmoids between linear layers, with torch's default weights."""
    tg.manual_seed(seed)
    model = nn.Sequential()
    for n_in, n_out in pairwise(widths):
        model.append(nn.Linear(n_in, n_out)).append(nn.Sigmoid())
    return model[:-1]


def adam(lr: float) -> Any:
    return lambda parameters: optim.Adam(parameters, lr=lr)


def state(model: nn.Module) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in model.state_dict().items()}


def changed(before: dict[str, Any], model: nn.Module) -> set[str]:
    return {name for name, value in state(model).items() if value != before[name]}


# ------------------------------------------------------------------------------ what it does


def test_all_layers_but_the_last_are_trained() -> None:
    model = network()
    before = state(model)
    report = pretrain_layerwise(model, X[:100], epochs=2)
    assert changed(before, model) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert [layer.name for layer in report.layers] == ["0", "2"]
    assert [len(layer.history) for layer in report.layers] == [2, 2]
    assert all(layer.error < layer.before for layer in report.layers)
    assert list(report.layers[0].encoder) == list(model)[:2]
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert not report.interrupted


def test_the_number_of_layers_can_be_chosen() -> None:
    model = network()
    before = state(model)
    pretrain_layerwise(model, X[:50], layers=1, epochs=1)
    assert changed(before, model) == {"0.weight", "0.bias"}
    base = network()[:-1]
    assert len(pretrain_layerwise(base, X[:50], layers=2, epochs=1).layers) == 2


def test_a_layer_learns_on_what_the_trained_layer_before_makes() -> None:
    model = network()
    report = pretrain_layerwise(model, X[:200], epochs=1)
    hidden = model[:2](tg.tensor(X[:200])).detach().numpy()
    assert report.layers[1].variance == pytest.approx(hidden.var(axis=0).mean(), rel=1e-5)
    assert report.layers[0].variance == pytest.approx(X[:200].var(axis=0).mean(), rel=1e-5)


def test_seeds_repeat_it_and_targets_do_not_matter() -> None:
    runs = []
    for data in (X[:100], (X[:100], Y[:100]), tg.tensor(X[:100])):
        tg.rand(3)  # wherever the draws are
        model = network()
        report = pretrain_layerwise(model, data, epochs=2, seed=5)
        runs.append((state(model), [layer.error for layer in report.layers]))
    assert runs[0] == runs[1] == runs[2]


def test_what_stands_between_layers_takes_part() -> None:
    act = nn.Tanh()  # one object at two places
    layers = (nn.Flatten(), nn.Linear(64, 9), act, nn.Linear(9, 5), act, nn.Linear(5, 2))
    report = pretrain_layerwise(
        nn.Sequential(*layers),
        X[:50].reshape(-1, 8, 8),
        decoder=lambda code, inputs: Unflatten(nn.Linear(*code, int(np.prod(inputs))), inputs),
        epochs=1,
    )
    assert [list(layer.encoder) for layer in report.layers] == [
        list(layers[:3]),
        list(layers[3:5]),
    ]


class Unflatten(nn.Module):
    """A vector's module, and its result in another shape."""

    def __init__(self, inner: nn.Module, shape: tuple[int, ...]) -> None:
        self.inner, self.shape = inner, shape

    def forward(self, x: Any) -> Any:
        return self.inner(x).reshape(-1, *self.shape)


def test_the_report_can_be_read() -> None:
    lines = repr(pretrain_layerwise(network(), X[:50], epochs=1)).splitlines()
    assert lines[0] == "Pretraining of 2 layers"
    assert lines[1].split() == ["layer", "epochs", "variance", "before", "error"]
    assert lines[3].split()[:2] == ["2", "1"]
    assert len({len(line) for line in lines[1:]}) == 1


# ------------------------------------------------------------------------------ what it is good for


@pytest.mark.parametrize("seed", [0, 1])
def test_codes_keep_more_of_the_input_than_random_ones(seed: int) -> None:
    """The same decoders are trained in the same way on encoders that stay as they were drawn. What
    is compared is the share of the input's variance that is lost."""
    trained, drawn = network(seed, DEEP), network(seed, DEEP).requires_grad_(False)
    before = state(drawn)
    reports = [pretrain_layerwise(m, X, optimizer=adam(0.01)) for m in (trained, drawn)]
    assert not changed(before, drawn)
    for learned, random in zip(*(report.layers for report in reports), strict=True):
        assert learned.error / learned.variance < 0.3
        assert random.error / random.variance > 0.5


@pytest.mark.parametrize("seed", [0, 1])
def test_it_gives_a_deep_sigmoid_network_better_starting_weights(seed: int) -> None:
    pretrained, random = network(seed, DEEP), network(seed, DEEP)
    pretrain_layerwise(pretrained, X, optimizer=adam(0.01))
    loss = [
        fit(model, (X, Y), optimizer=adam(0.003), epochs=4).loss for model in (pretrained, random)
    ]
    assert all(a < b for a, b in zip(*loss, strict=True))
    assert loss[0][-1] < loss[1][-1] - 0.2


# ------------------------------------------------------------------------------ what ends it


def test_ctrl_c_keeps_what_is_done() -> None:
    model = network()
    before, calls = state(model), []

    def hook(module: Any, args: Any, output: Any) -> None:
        calls.append(1)
        if module.training and calls.count(1) > 3:
            signal.raise_signal(signal.SIGINT)

    with model[2].register_forward_hook(hook):
        report = pretrain_layerwise(model, X[:64], epochs=50)
    assert report.interrupted
    assert "interrupted" in repr(report)
    assert [len(layer.history) for layer in report.layers] == [50, 1]
    assert changed(before, model) == {"0.weight", "0.bias", "2.weight", "2.bias"}


MISTAKES: dict[str, tuple[Any, type[Exception], str]] = {
    "one layer": (lambda: pretrain_layerwise(network()[4:], X), ArgumentError, "cannot train 0"),
    "no layers": (lambda: pretrain_layerwise(network(), X, layers=0), ArgumentError, "train 0"),
    "many": (lambda: pretrain_layerwise(network(), X, layers=4), ArgumentError, "4 .* with 3"),
    "images": (
        lambda: pretrain_layerwise(
            nn.Sequential(nn.Flatten(), *network()), X.reshape(-1, 8, 8), epochs=1
        ),
        ArgumentError,
        r"\(16,\) for inputs of shape \(8, 8\).*decoder",
    ),
    "text": (lambda: pretrain_layerwise(network(), "digits"), DataError, "examples"),
    "no examples": (lambda: pretrain_layerwise(network(), X[:0]), DataError, "examples"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named(case: str) -> None:
    call, error, message = MISTAKES[case]
    with pytest.raises(error, match=message):
        call()
