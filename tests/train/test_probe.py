"""A probe notes what the layers do, changes nothing, and leaves nothing behind."""

from __future__ import annotations

import json
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError, DataError, ModuleError, ShapeError
from tinygrad_edu.train import Probe, fit

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 6)), RNG.integers(0, 3, 60)


def network() -> nn.Sequential:
    tg.manual_seed(1)
    layers = (nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3))
    return nn.Sequential(*layers).double()


def loss_of(model: nn.Module, x: Any = X, y: Any = Y) -> tg.Tensor:
    return nn.functional.cross_entropy(model(tg.tensor(x)), tg.tensor(y))


def hooks(model: nn.Module) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks or ())
        for module in model.modules()
    )


def state(model: nn.Module) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in model.state_dict().items()}


# ------------------------------------------------------------------------------ what is noted


def test_one_step_against_numpy() -> None:
    model = network()
    with Probe(model) as probe:
        loss_of(model).backward()
        outputs = []
        x = tg.tensor(X)
        for layer in model:
            x = layer.forward(x)
            x.retain_grad()
            outputs.append(x)
        nn.functional.cross_entropy(x, tg.tensor(Y)).backward()
    records = probe.records
    assert [(r.layer, r.op, r.step) for r in records] == [
        (str(i), type(layer).__name__, 0) for i, layer in enumerate(model)
    ]
    for record, output in zip(records, outputs, strict=True):
        for moments, tensor in ((record.activation, output), (record.gradient, output.grad)):
            assert moments is not None
            assert tensor is not None
            values = tensor.detach().numpy()
            assert moments.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-18)
            assert moments.second == pytest.approx((values**2).mean(), rel=1e-12)
            assert moments.variance == pytest.approx(values.var(), rel=1e-12)
            assert moments.histogram.total == values.size


def test_how_activations_answer() -> None:
    model = network()
    with Probe(model, saturated=0.3) as probe:
        loss_of(model).backward()
    tanh, relu = probe.records[1].response, probe.records[3].response
    assert tanh is not None
    assert relu is not None
    y = model[:2](tg.tensor(X)).detach().numpy()
    assert tanh.saturated == pytest.approx((1 - y**2 < 0.3).mean())
    active = model[:3](tg.tensor(X)).detach().numpy() > 0
    assert relu.saturated == pytest.approx((~active).mean())
    assert relu.dead == pytest.approx(1 - active.any(axis=0).mean())
    assert [r.response is None for r in probe.records] == [True, False, True, False, True]


def test_dead_units_and_units_dead_since_the_start() -> None:
    model = network()
    with tg.no_grad():
        model[2].bias[:] = tg.tensor([-100.0, -100, 100, 0, 0, 0, 0])
    shut = tg.tensor([-100.0, 100, 100, 0, 0, 0, 0])
    with Probe(model, every=1) as probe:
        loss_of(model)
        model[2].bias.data = shut.double()
        loss_of(model)
    first, second = (record.response for record in probe.layer("3"))
    assert first is not None
    assert second is not None
    dead = [(r.dead, r.dead_since_start) for r in (first, second)]
    assert dead == [(pytest.approx(2 / 7), pytest.approx(2 / 7)), (pytest.approx(1 / 7),) * 2]
    assert first.near_linear >= 1 / 7  # the one that is always active
    with Probe(model, every=1) as probe:  # alive in the second of three steps
        for bias in (shut, -shut, shut):
            model[2].bias.data = bias.double()
            loss_of(model)
    third = probe.layer("3")[-1].response
    assert third is not None
    assert (third.dead, third.dead_since_start) == (pytest.approx(1 / 7), 0)
    model[2].bias.data = -shut.double()
    with Probe(model, every=1) as probe:
        loss_of(model)
        model[2].bias.data = shut.double()
        loss_of(model)
    latest = probe.layer("3")[-1].response
    assert latest is not None
    assert (latest.dead, latest.dead_since_start) == (pytest.approx(1 / 7), 0)


@dataclass(eq=False, repr=False)
class Bend(nn.Activation):
    """An activation of a user's own, made of several ops."""

    function = staticmethod(lambda x, n: tg.abs(x) ** n * tg.sigmoid(x))
    n: float = 2.0


@pytest.mark.parametrize(
    ("module", "elementwise"),
    [
        (nn.Softplus(2.0), True),
        (nn.GELU("tanh"), True),
        (nn.Hardtanh(), True),
        (Bend(), True),
        (nn.Softmax(), False),
        (nn.LogSoftmax(), False),
        (nn.Flatten(), False),
    ],
)
def test_which_modules_answer(module: nn.Module, elementwise: bool) -> None:
    with Probe(nn.Sequential(nn.Linear(6, 4), module)) as probe:
        probe._model(tg.tensor(X, dtype=tg.float32))
    assert (probe.records[1].response is not None) == elementwise


def test_channels_are_the_units_of_a_convolution() -> None:
    class Channels(nn.Module):
        """Two channels of five places each; the second is never active."""

        def __init__(self) -> None:
            self.weight = nn.Parameter(np.ones((2, 1, 1)))

        def forward(self, x: Any) -> Any:
            return x[:, None, :5] * self.weight[:, 0] - tg.tensor([[0.0], [100.0]])

    with Probe(nn.Sequential(Channels(), nn.ReLU())) as probe:
        probe._model(tg.tensor(X))
    response = probe.records[1].response
    assert response is not None
    assert response.dead == 0.5


def test_a_module_that_is_called_twice_has_two_records() -> None:
    act = nn.Tanh()
    model = nn.Sequential(nn.Linear(6, 6), act, nn.Linear(6, 3), act)
    with Probe(model) as probe:
        model(tg.tensor(X, dtype=tg.float32))
    assert [r.layer for r in probe.records] == ["0", "1", "2", "1:2"]


def test_a_model_of_one_layer() -> None:
    model = nn.Linear(6, 3).double()
    with Probe(model, every=1) as probe:
        for _ in range(2):
            loss_of(model).backward()
    assert [(r.layer, r.step, r.gradient is None) for r in probe.records] == [
        ("", 0, False),
        ("", 1, False),
    ]


# ------------------------------------------------------------------------------ when


def test_every_so_many_steps_within_fit() -> None:
    model = network()
    with Probe(model, every=5) as probe:
        fit(model, (X, Y), epochs=3, batch_size=10, validation=(X, Y))
        assert probe.steps == 18  # validation is no step
    assert sorted({r.step for r in probe.records}) == [0, 5, 10, 15]
    assert all(r.gradient is not None for r in probe.records)
    assert [r.step for r in probe.layer("2")] == [0, 5, 10, 15]
    assert {r.step for r in probe.at()} == {15}
    assert {r.step for r in probe.at(5)} == {5}


def test_training_is_not_changed_to_the_bit() -> None:
    histories = []
    states = []
    for every in (None, 1, 3):
        model = network()
        probe = None if every is None else Probe(model, every)
        # A step that is noted is not run as compiled, and then the last bit may be another one.
        histories.append(fit(model, (X, Y), epochs=2, batch_size=16, compiled=False).loss)
        states.append(state(model))
        if probe is not None:
            probe.close()
    assert histories[0] == histories[1] == histories[2]
    assert states[0] == states[1] == states[2]


def test_passes_that_are_not_training_are_not_looked_at() -> None:
    model = network()
    with Probe(model) as probe:
        with tg.no_grad():
            loss_of(model)
        model.eval()
        loss_of(model)
        model(tg.tensor(X).detach())
        assert probe.records == []
        assert probe.steps == 0
        model.train()
        loss_of(model)
        assert len(probe.records) == 5


def test_calls_that_are_no_pass_of_the_model_leave_no_trace() -> None:
    model = network()
    with Probe(model) as probe:
        model[:2](tg.tensor(X))
        with pytest.raises(ShapeError):
            model(tg.tensor(X[:, :5]))
        with pytest.raises(RuntimeError), model[4].register_forward_hook(fail):
            model(tg.tensor(X))
        assert probe.records == []
        loss_of(model)
    assert [r.layer for r in probe.records] == ["0", "1", "2", "3", "4"]


def fail(*call: Any) -> None:
    """What goes wrong in the middle of a pass."""
    raise RuntimeError


def test_a_trace_on_shapes_is_not_measured() -> None:
    from tinygrad_edu.graph.tensor import abstract

    model = network()
    with Probe(model) as probe:
        model(abstract((4, 6), tg.float64))
        assert probe.records == []


def test_gradients_can_be_read_as_soon_as_they_are_there() -> None:
    model = network()
    with Probe(model) as probe:
        loss = loss_of(model)
        assert [r.gradient for r in probe.records] == [None] * 5
        loss.backward()
        assert None not in [r.gradient for r in probe.records]


def test_without_backward_and_below_frozen_layers_there_is_no_gradient() -> None:
    model = network()
    model[0].requires_grad_(False)
    with Probe(model, every=1) as probe:
        loss_of(model).backward()
        loss_of(model)
    gradients = [r.gradient is None for r in probe.records]
    assert gradients == [True, True, False, False, False] + [True] * 5
    assert probe.records[1].response is not None


def test_the_graph_of_a_noted_step_is_let_go() -> None:
    model = network()
    with Probe(model, every=2) as probe:
        loss = loss_of(model)
        gone = weakref.ref(loss)
        loss.backward()
        outputs = [observed.output for observed in probe._waiting.values()]
        assert outputs
        del loss
        loss_of(model)
        assert not probe._waiting
        assert gone() is None


# ------------------------------------------------------------------------------ hooks


def test_nothing_is_left_when_it_is_closed() -> None:
    during: list[int] = []
    model = network()
    with Probe(model, every=3) as probe:
        assert hooks(model) == 2  # they count steps
        for _ in range(3):
            with model[4].register_forward_hook(lambda *call: during.append(hooks(model))):
                loss_of(model)
            assert hooks(model) == 2
    assert hooks(model) == 0
    assert during == [8, 3, 3]  # with one a layer, and this one
    before = len(probe.records)
    loss_of(model)
    assert len(probe.records) == before
    probe.close()


def test_an_exception_closes_it() -> None:
    model = network()
    with pytest.raises(ZeroDivisionError), Probe(model):
        raise ZeroDivisionError
    assert hooks(model) == 0


def test_two_probes() -> None:
    model = network()
    with Probe(model, every=1) as one, Probe(model, every=2) as two:
        for _ in range(3):
            loss_of(model).backward()
    assert [r.to_dict() for r in two.records] == [
        r.to_dict() for r in one.records if r.step % 2 == 0
    ]


# ------------------------------------------------------------------------------ showing


def test_text() -> None:
    model = network()
    with Probe(model, every=2) as probe:
        assert repr(probe) == "Probe of Sequential: 0 of 0 steps noted"
        for _ in range(3):
            loss_of(model).backward()
    lines = repr(probe).splitlines()
    assert lines[0] == "Probe of Sequential: 2 of 3 steps noted"
    assert lines[1].split()[:5] == ["layer", "op", "mean", "std", "gradient"]
    assert lines[1].split()[5:] == ["saturated", "near-linear", "dead"]
    assert lines[2].split()[-3:] == ["-", "-", "-"]
    assert lines[3].split()[:2] == ["1", "Tanh"]
    assert lines[3].split()[-1].endswith("%")
    assert probe.table(0) == probe.table() == "\n".join(lines[1:])  # nothing was trained


def test_plain_data() -> None:
    model = network()
    with Probe(model) as probe:
        loss_of(model).backward()
    data = json.loads(json.dumps(probe.to_dict(), allow_nan=False))
    assert data["every"] == probe.every
    record = data["records"][1]
    assert record["activation"]["mean"] == probe.records[1].activation.mean
    assert sum(record["gradient"]["histogram"]["count"]) == 60 * 8
    assert set(record["response"]) == {"saturated", "near_linear", "dead", "dead_since_start"}


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="every"):
        Probe(network(), every=0)
    with pytest.raises(ArgumentError, match="saturated"):
        Probe(network(), saturated=0.0)
    model = network()
    with Probe(model) as probe:
        assert probe.at() == []
        with pytest.raises(ArgumentError, match="nothing was noted"):
            probe.plot()
        loss_of(model)
        with pytest.raises(ArgumentError, match=r"step 7 was not noted, but \[0\]"):
            probe.at(7)
        with pytest.raises(ArgumentError, match=r"no layer 'x' was noted, but .'0', '1'"):
            probe.layer("x")


def test_it_follows_an_optimizer_of_ones_own_loop() -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    with Probe(model, every=1) as probe:
        for _ in range(20):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    rms = [r.gradient.rms for r in probe.layer("4") if r.gradient is not None]
    assert len(rms) == 20
    assert rms[-1] < rms[0]


def test_what_is_no_module_is_named() -> None:
    with pytest.raises(ModuleError, match="watches a module, not int"):
        Probe(3)  # type: ignore[arg-type]
