"""What cannot be part of a compiled step raises, names the line, and changes nothing."""

from __future__ import annotations

import functools
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.compiler.networks import Net, numbers
from tinygrad_edu import errors, nn, optim
from tinygrad_edu.errors import ArgumentError, GradientError, TraceError
from tinygrad_edu.graph.creation import random_state
from tinygrad_edu.nn import functional as F


def refused(step: Any, match: str, line: str, *args: Any) -> None:
    """The step raises a `TraceError` that says this and shows this line; nothing has changed."""
    with pytest.raises(TraceError, match=match) as caught:
        tg.compile(step)(*args)
    assert line in str(caught.value)
    assert f'{Path(__file__).name}", line' in str(caught.value)


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
