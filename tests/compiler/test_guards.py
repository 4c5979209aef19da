"""Nothing that a compiled step depends on is frozen: it is read anew, guarded, or refused."""

from __future__ import annotations

import functools
import random
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import errors, nn, optim
from tinygrad_edu.errors import ArgumentError, GradientError, TraceError
from tinygrad_edu.graph.creation import random_state
from tinygrad_edu.nn import functional as F

SCALE = 2.0
SETTINGS = SimpleNamespace(power=2)


def numbers(*shape: int) -> tg.Tensor:
    return tg.tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32))


class Net(nn.Module):
    def __init__(self) -> None:
        self.first = nn.Linear(3, 4)
        self.slope = 0.5
        self.register_buffer("mean", tg.zeros(4))

    def forward(self, x: Any) -> Any:
        h = self.first(x) * self.slope
        if self.training:
            self.mean.copy_(0.9 * self.mean + 0.1 * h.detach().mean(0))
            return h
        return h - self.mean


# ------------------------------------------------------------------------------ what is read anew


def test_a_tensor_that_is_closed_over_is_read_at_each_call() -> None:
    w = tg.ones(3)
    f = tg.compile(lambda x: x * w)
    assert f(tg.ones(3)).tolist() == [1, 1, 1]
    w.data = tg.full((3,), 5.0)
    assert f(tg.ones(3)).tolist() == [5, 5, 5]
    w += 1  # stands for another node from here on
    assert f(tg.ones(3)).tolist() == [6, 6, 6]


def test_a_regulariser_on_weights_alone_is_no_constant() -> None:
    net = nn.Linear(2, 1)
    f = tg.compile(lambda: (net.weight**2).sum())
    first = f().item()
    net.weight.data = net.weight.data * 2
    assert f().item() == pytest.approx(4 * first)


def test_an_array_that_is_closed_over_is_read_at_each_call() -> None:
    a = np.ones(3, np.float32)
    f = tg.compile(lambda x: x * a)
    assert f(tg.ones(3)).tolist() == [1, 1, 1]
    a[:] = 7
    assert f(tg.ones(3)).tolist() == [7, 7, 7]
    assert len(f.programs) == 1


def test_a_part_of_an_array_is_refused() -> None:
    a = np.ones((4, 3), np.float32)
    f = tg.compile(lambda x: x * a[1:2])
    with pytest.raises(TraceError, match="A part of shape"):
        f(tg.ones(3))


def test_a_variable_that_stands_for_another_tensor() -> None:
    w = tg.ones(2)
    f = tg.compile(lambda x: x * w)
    assert f(tg.ones(2)).tolist() == [1, 1]
    w = tg.full((2,), 3.0)
    assert f(tg.ones(2)).tolist() == [3, 3]


def test_loaded_parameters() -> None:
    net = nn.Linear(2, 2)
    other = nn.Linear(2, 2)
    f = tg.compile(net)
    x = numbers(3, 2)
    f(x)
    net.load_state_dict(other.state_dict())
    np.testing.assert_allclose(f(x).numpy(), other(x).detach().numpy(), rtol=1e-6)


def test_the_learning_rate_and_schedules() -> None:
    def run(compiled: bool, inside: bool) -> list[float]:
        tg.manual_seed(0)
        net = nn.Linear(3, 1)
        optimizer = optim.SGD(net.parameters(), lr=0.1)
        schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)

        def step(x: tg.Tensor) -> Any:
            loss = (net(x) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if inside:
                schedule.step()
            return loss, optimizer.param_groups[0]["lr"]

        run_step = tg.compile(step) if compiled else step
        losses = []
        for _ in range(4):
            loss, rate = run_step(numbers(5, 3))
            losses += [loss.item(), rate]
            if not inside:
                schedule.step()
        assert not compiled or len(run_step.programs) == 1
        assert schedule.last_epoch == 4
        return losses

    for inside in (False, True):
        np.testing.assert_allclose(run(True, inside), run(False, inside), rtol=1e-5)


# ------------------------------------------------------------------------------ guarded


def test_plain_values() -> None:
    global SCALE
    factor = 3.0
    f = tg.compile(lambda x, add=0: x**SETTINGS.power * factor * SCALE + add)
    x = tg.full((2,), 2.0)
    assert f(x).tolist() == [24, 24]
    factor = 1.0
    assert f(x).tolist() == [8, 8]
    SCALE = 1.0
    assert f(x).tolist() == [4, 4]
    SETTINGS.power = 3
    assert f(x).tolist() == [8, 8]
    assert f(x, 1).tolist() == [9, 9]
    assert f(x, add=2).tolist() == [10, 10]
    SCALE, SETTINGS.power = 2.0, 2


def test_lists_that_are_closed_over() -> None:
    factors = [1.0, 2.0]
    f = tg.compile(lambda x: sum(x * factor for factor in factors))
    assert f(tg.ones(1)).item() == 3
    factors.append(4.0)
    assert f(tg.ones(1)).item() == 7
    factors[0] = 0.0
    assert f(tg.ones(1)).item() == 6


def test_functions_that_are_replaced() -> None:
    def double(x: tg.Tensor) -> tg.Tensor:
        return 2 * x

    helper = double
    f = tg.compile(lambda x: helper(x))
    assert f(tg.ones(1)).item() == 2
    helper = lambda x: 5 * x  # noqa: E731
    assert f(tg.ones(1)).item() == 5


def test_what_is_called_by_way_of_others() -> None:
    global SCALE

    class Base:
        def scaled(self, x: tg.Tensor) -> tg.Tensor:
            return x * SCALE

    class Derived(Base):
        pass

    class Scaling(optim.SGD):
        def rule(self, p: Any, g: Any, state: Any, group: Any) -> Any:
            return super().rule(p, SCALE * g, state, group)

    inner = tg.compile(lambda x: x * SCALE)
    slope = tg.func.grad(lambda x: (x * SCALE).sum())
    box = Derived()
    w = tg.zeros(1, requires_grad=True)
    optimizer = Scaling([w], lr=1.0)

    @tg.compile
    def step(x: tg.Tensor) -> Any:
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        return inner(x), slope(x), box.scaled(x)

    x = tg.ones(1)
    assert [y.item() for y in step(x)] == [2, 2, 2]
    assert w.item() == -2
    SCALE = 5.0
    assert [y.item() for y in step(x)] == [5, 5, 5]
    assert w.item() == -7
    SCALE = 2.0


def test_shapes_and_dtypes() -> None:
    f = tg.compile(lambda x: x.sum() / x.shape[0])
    for n in (3, 5, 3):
        assert f(tg.ones(n)).item() == 1
    assert f(tg.ones(3, dtype=tg.float64)).dtype == tg.float64
    assert len(f.programs) == 3


def test_training_mode_attributes_and_structure() -> None:
    net, x = Net(), numbers(6, 3)
    f = tg.compile(net)
    same = Net()
    same.load_state_dict(net.state_dict())

    def agree() -> None:
        np.testing.assert_allclose(f(x).numpy(), same(x).detach().numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(net.mean.numpy(), same.mean.numpy(), rtol=1e-5, atol=1e-6)

    agree()
    for module in (net, same):
        module.eval()
    agree()
    for module in (net, same):
        module.train()
    agree()
    assert len(f.programs) == 2  # both are kept
    for module in (net, same):
        module.slope = 2.0
    agree()
    layer = nn.Linear(3, 4)
    for module in (net, same):
        module.first = layer
    agree()


def test_hooks() -> None:
    net = nn.Linear(2, 2)
    f = tg.compile(net)
    x = numbers(3, 2)
    before = f(x).numpy()
    with net.register_forward_hook(lambda module, args, output: output * 2):
        np.testing.assert_allclose(f(x).numpy(), 2 * before, rtol=1e-6)
    np.testing.assert_allclose(f(x).numpy(), before, rtol=1e-6)


def test_frozen_parameters() -> None:
    net = nn.Linear(2, 1)
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    @tg.compile
    def step(x: tg.Tensor) -> None:
        optimizer.zero_grad()
        net(x).sum().backward()
        optimizer.step()

    x = numbers(3, 2)
    step(x)
    net.weight.requires_grad_(False)
    before = net.weight.detach().numpy().copy()
    bias = net.bias.detach().numpy().copy()
    step(x)
    np.testing.assert_array_equal(net.weight.detach().numpy(), before)
    assert (net.bias.detach().numpy() != bias).all()


@pytest.mark.parametrize(("option", "value"), [("momentum", 0.5), ("weight_decay", 0.3)])
def test_options_of_the_optimizer(option: str, value: float) -> None:
    def run(compiled: bool) -> np.ndarray:
        tg.manual_seed(1)
        net = nn.Linear(2, 1)
        optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

        def step(x: tg.Tensor) -> None:
            optimizer.zero_grad()
            (net(x) ** 2).sum().backward()
            optimizer.step()

        run_step = tg.compile(step) if compiled else step
        for i in range(4):
            if i == 2:
                optimizer.param_groups[0][option] = value
            run_step(numbers(3, 2))
        return net.weight.detach().numpy()

    np.testing.assert_allclose(run(True), run(False), rtol=1e-5)


def test_state_of_the_optimizer_that_is_loaded_or_dropped() -> None:
    def run(compiled: bool) -> np.ndarray:
        tg.manual_seed(1)
        net = nn.Linear(2, 1)
        optimizer = optim.Adam(net.parameters(), lr=0.1)

        def step(x: tg.Tensor) -> None:
            optimizer.zero_grad()
            (net(x) ** 2).sum().backward()
            optimizer.step()

        run_step = tg.compile(step) if compiled else step
        x = numbers(3, 2)
        run_step(x)
        stored = optimizer.state_dict()
        run_step(x)
        optimizer.load_state_dict(stored)
        run_step(x)
        assert optimizer.state[net.weight]["step"] == 2
        optimizer.state.clear()
        run_step(x)
        assert optimizer.state[net.weight]["step"] == 1
        return net.weight.detach().numpy()

    np.testing.assert_allclose(run(True), run(False), rtol=1e-5)


def test_a_rule_whose_first_step_is_another() -> None:
    def run(compiled: bool) -> list[float]:
        w = tg.ones(1, requires_grad=True)
        optimizer = optim.SGD([w], lr=0.1, momentum=0.9, dampening=0.5)

        def step() -> None:
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()

        run_step = tg.compile(step) if compiled else step
        values = []
        for i in range(5):
            if i == 3:
                optimizer.state.clear()
            run_step()
            values.append(w.item())
        return values

    np.testing.assert_allclose(run(True), run(False), rtol=1e-6)


def test_gradient_recording() -> None:
    w = tg.ones(2, requires_grad=True)

    @tg.compile
    def asks() -> Any:
        y = (w * w).sum()
        return y.detach() if y.requires_grad else y * 0

    assert asks().item() == 2
    with tg.no_grad():
        assert asks().item() == 0
    assert asks().item() == 2


def test_what_changes_at_every_call_is_reported() -> None:
    i = 0
    f = tg.compile(lambda x: x + i)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(12):
            assert f(tg.zeros(1)).item() == i
    assert any("i was" in str(w.message) for w in caught)
    assert len(f.programs) <= 8


# ------------------------------------------------------------------------------ aliasing


def test_what_was_read_of_a_parameter_stays() -> None:
    net = nn.Linear(2, 2)
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    @tg.compile
    def step(x: tg.Tensor) -> None:
        optimizer.zero_grad()
        net(x).sum().backward()
        optimizer.step()

    x = numbers(3, 2)
    step(x)
    w = net.weight
    kept = [w.detach(), w.data, net.state_dict()["weight"]]
    with tg.no_grad():
        kept += [w.T.T, w.reshape(4).reshape(2, 2), w[:], w.expand(2, 2)]
    array = w.detach().numpy()
    before = array.copy()
    step(x)
    assert (w.detach().numpy() != before).all()
    for tensor in kept:
        np.testing.assert_array_equal(tensor.detach().numpy(), before)
    np.testing.assert_array_equal(array, before)


def test_a_gradient_that_was_kept_stays() -> None:
    w = tg.ones(2, requires_grad=True)

    @tg.compile
    def step(x: tg.Tensor) -> None:
        w.grad = None
        (w * x).sum().backward()

    step(tg.full((2,), 3.0))
    kept = w.grad
    step(tg.full((2,), 5.0))
    assert kept is not None
    assert kept.tolist() == [3, 3]
    assert w.grad is not None
    assert w.grad.tolist() == [5, 5]
    assert w.grad is not kept


def test_two_models_do_not_share_memory() -> None:
    a, b = nn.Linear(2, 1), nn.Linear(2, 1)
    optimizer = optim.SGD(a.parameters(), lr=0.5)

    @tg.compile
    def step(x: tg.Tensor) -> None:
        optimizer.zero_grad()
        a(x).sum().backward()
        optimizer.step()

    step(numbers(3, 2))
    b.weight.data = a.weight
    before = b.weight.detach().numpy().copy()
    step(numbers(3, 2))
    np.testing.assert_array_equal(b.weight.detach().numpy(), before)


def test_graphs_of_before_are_stale() -> None:
    net = nn.Linear(2, 1)
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    @tg.compile
    def step(x: tg.Tensor) -> None:
        optimizer.zero_grad()
        net(x).sum().backward()
        optimizer.step()

    step(numbers(3, 2))
    x = tg.ones(3, 2, requires_grad=True)
    y = net(x).sum()
    step(numbers(3, 2))
    with pytest.raises(GradientError, match="changed after"):
        y.backward()


def test_states_that_change_places() -> None:
    a, b = tg.zeros(2), tg.ones(2)

    @tg.compile
    def swap() -> None:
        old = a.detach()
        a.data = b
        b.data = old

    for first, second in ((1, 0), (0, 1), (1, 0)):
        swap()
        assert (a[0].item(), b[0].item()) == (first, second)


def test_an_update_reads_what_the_step_wrote_before() -> None:
    a = tg.ones(1)

    @tg.compile
    def twice(x: tg.Tensor) -> tg.Tensor:
        a.data = a.data + x
        y = a * 10
        a.data = a.data * 2
        return y + a

    b = tg.ones(1)
    for _ in range(3):
        b.data = b.data + 1
        y = b * 10
        b.data = b.data * 2
        assert twice(tg.ones(1)).item() == (y + b).item()
        assert a.item() == b.item()


# ------------------------------------------------------------------------------ refused, by line


def refused(step: Any, match: str, line: str, *args: Any) -> None:
    """The step raises a `TraceError` that says this and shows this line; nothing has changed."""
    with pytest.raises(TraceError, match=match) as caught:
        tg.compile(step)(*args)
    assert line in str(caught.value)
    assert 'test_guards.py", line' in str(caught.value)


def test_decisions_on_data() -> None:
    x = numbers(3)

    def branch(x: tg.Tensor) -> tg.Tensor:
        if x.sum() > 0:
            return x
        return -x

    refused(branch, "tg.where", "if x.sum() > 0:", x)
    refused(lambda x: x * x.max().item(), "item", "x * x.max().item()", x)
    refused(lambda x: x * float(x.max()), "values", "float(x.max())", x)
    refused(lambda x: x * np.asarray(x).max(), "values", "np.asarray(x)", x)
    refused(lambda x: x[x > 0], "boolean index", "x[x > 0]", x)


def test_decisions_on_parameters() -> None:
    net = nn.Linear(2, 1)
    refused(lambda x: x * net.bias.item(), "item", "net.bias.item()", numbers(2))


def test_printing() -> None:
    def prints(x: tg.Tensor) -> tg.Tensor:
        print(x)
        return x * 1

    refused(prints, "printing", "print(x)", numbers(2))
    refused(lambda x: f"{x.sum():.3f}", "item", "x.sum():.3f", numbers(2))


def test_python_objects_that_the_step_changes() -> None:
    losses: list[Any] = []
    counts = {"steps": 0}
    total = 0
    box = SimpleNamespace(last=None)

    def appends(x: tg.Tensor) -> tg.Tensor:
        y = x.sum()
        losses.append(y)
        return y

    def stores(x: tg.Tensor) -> tg.Tensor:
        counts["steps"] += 1
        return x.sum()

    def adds(x: tg.Tensor) -> tg.Tensor:
        nonlocal total
        total += 1
        return x.sum()

    def sets(x: tg.Tensor) -> tg.Tensor:
        box.last = x * 2
        return x.sum()

    def adds_attribute(x: tg.Tensor) -> tg.Tensor:
        box.new = 1
        return x.sum()

    refused(appends, "once only", "losses.append(y)", numbers(2))
    refused(stores, "steps", 'counts["steps"] += 1', numbers(2))
    refused(adds, "total", "total += 1", numbers(2))
    refused(sets, "last", "box.last = x * 2", numbers(2))
    refused(adds_attribute, "new", "box.new = 1", numbers(2))
    assert losses == []
    assert counts == {"steps": 0}
    assert total == 0
    assert vars(box) == {"last": None}


def test_an_argument_that_is_changed_in_place() -> None:
    def step(x: tg.Tensor) -> tg.Tensor:
        x += 1
        return x

    refused(step, "in place", "def step(x", numbers(2))


def test_nothing_that_lasts() -> None:
    def step(x: tg.Tensor) -> None:
        x * 2

    refused(step, "nothing that lasts", "def step(x", numbers(2))


def test_random_numbers_of_others() -> None:
    refused(lambda x: x * np.random.rand(), "tg.rand", "lambda x", numbers(2))  # noqa: NPY002
    refused(lambda x: x * random.random(), "tg.rand", "lambda x", numbers(2))
    refused(lambda x: (tg.manual_seed(0), x * 2)[1], "manual_seed", "tg.manual_seed(0)", numbers(2))


def test_a_decision_on_the_learning_rate() -> None:
    optimizer = optim.SGD([tg.ones(1, requires_grad=True)], lr=0.1)

    def step(x: tg.Tensor) -> tg.Tensor:
        return x if optimizer.param_groups[0]["lr"] > 0.5 else x * 2

    refused(step, "read anew", 'optimizer.param_groups[0]["lr"] > 0.5', numbers(2))
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_differentiating_from_outside() -> None:
    f = tg.compile(lambda x: (x * x).sum())
    x = tg.ones(2, requires_grad=True)
    with pytest.raises(GradientError, match="differentiated from outside"):
        f(x * 2)
    assert not f(x).requires_grad  # a leaf is a parameter: read, not differentiated


def test_differentiating_what_was_computed_before() -> None:
    w = tg.ones(2, requires_grad=True)
    y = w * 2

    def step() -> None:
        y.sum().backward()

    refused(step, "computed before", "y.sum().backward()")


def test_an_error_leaves_everything_as_it_was() -> None:
    tg.manual_seed(3)
    net = Net()
    optimizer = optim.Adam(net.parameters(), lr=0.1)
    x = numbers(4, 3)
    net(x).sum().backward()
    values = {name: t.numpy().copy() for name, t in net.state_dict().items()}
    grads = [p.grad for p in net.parameters()]
    mean = net.mean
    node, changed = mean.node, [p.node.changed for p in net.parameters()]

    def step(x: tg.Tensor) -> None:
        optimizer.zero_grad()
        loss = net(x * (tg.rand(3) < 0.5)).sum()
        loss.backward()
        optimizer.step()
        net.eval()
        net.slope = 7.0
        if loss > 0:
            raise AssertionError

    before = random_state()
    refused(step, "condition", "if loss > 0", x)
    assert random_state() == before
    assert net.training
    assert net.slope == 0.5
    assert net.mean is mean
    assert net.mean.node is node
    assert [p.grad for p in net.parameters()] == grads
    assert [p.node.changed for p in net.parameters()] == changed
    assert optimizer.state == {}
    assert optimizer.param_groups[0]["lr"] == 0.1
    for name, t in net.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), values[name])


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"reduction": "none"}])
@pytest.mark.parametrize("wrong", [[0, 4, 1], [0, -1, 1], [9, 0, -3]])
def test_class_numbers_that_are_none_raise(wrong: list[int], options: Any) -> None:
    scores = numbers(3, 4)
    f = tg.compile(lambda scores, labels: F.cross_entropy(scores, labels, **options))
    assert np.isfinite(f(scores, tg.tensor([0, 3, -100])).numpy()).all()
    with pytest.raises(ArgumentError) as expected:
        F.cross_entropy(scores, tg.tensor(wrong), **options)
    with pytest.raises(ArgumentError) as found:
        f(scores, tg.tensor(wrong))
    assert str(found.value) == str(expected.value)
    assert np.isfinite(f(scores, tg.tensor([0, 3, 1])).numpy()).all()  # nothing is left of it


READERS = {
    "getitem": lambda x, i: x[i],
    "gather": lambda x, i: tg.gather(x, 0, i.reshape(-1, 1)),
    "index_select": lambda x, i: tg.index_select(x, 0, i),
    "take_along_dim": lambda x, i: tg.take_along_dim(x, i.reshape(-1, 1), 0),
    "scatter_add": lambda x, i: tg.scatter_add(x, 0, i.reshape(-1, 1), x),
    "one element of each row": lambda x, i: x[np.arange(3), i],
}


@pytest.mark.parametrize("position", [-9, -4, -1, 0, 2, 3, 4, 1 << 40])
@pytest.mark.parametrize("name", READERS)
def test_positions_raise_as_they_do_without_compiling(name: str, position: int) -> None:
    x, i = numbers(3, 4), tg.tensor([0, position, 1])
    f = tg.compile(READERS[name])
    counts = name in {"getitem", "take_along_dim", "one element of each row"}  # from the end
    size = 4 if name == "one element of each row" else 3
    if (-size if counts else 0) <= position < size:
        np.testing.assert_array_equal(f(x, i).numpy(), READERS[name](x, i).numpy())
        return
    with pytest.raises(errors.IndexingError) as expected:
        READERS[name](x, i)
    with pytest.raises(errors.IndexingError) as found:
        f(x, i)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_wrong_class_number_leaves_the_parameters_alone(threads: int) -> None:
    weight = nn.Parameter(numbers(64, 40))
    optimizer = optim.SGD([weight], lr=0.1)

    @tg.compile
    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight, y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = np.ones((512, 64), np.float32), np.zeros(512, np.int64)
    bad = np.where(np.arange(512) == 300, 40, y)
    before = tg.get_num_threads()
    tg.set_num_threads(threads)
    try:
        for call in (step, functools.partial(step.epoch, batch_size=64)):
            call(x, y)
            kept = weight.detach().numpy().copy()
            with pytest.raises(ArgumentError, match=r"run from 0 to 40, but .* 40 classes"):
                call(x, bad)
            np.testing.assert_array_equal(weight.detach().numpy(), kept)
            assert np.isfinite(call(x, y).numpy()).all()
    finally:
        tg.set_num_threads(before)
