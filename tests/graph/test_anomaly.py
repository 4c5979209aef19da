"""`detect_anomaly`: the op, the shapes and the line that first made a NaN or an infinity."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import func, nn
from tinygrad_edu.derive.autograd import Function, grad
from tinygrad_edu.errors import AnomalyError
from tinygrad_edu.graph import node
from tinygrad_edu.graph.tape import PAGE_SIZE
from tinygrad_edu.graph.tensor import abstract


def leaf(*data: float) -> Any:
    return tg.tensor(data, dtype="float32", requires_grad=True)


def anomaly(function: Callable[..., Any], *args: Any, line_in: Any = None) -> str:
    """The message, once it has named the line that bears the comment ``# here``."""
    with pytest.raises(AnomalyError) as caught, tg.detect_anomaly():
        function(*args)
    culprit = line_in or function
    lines, start = inspect.getsourcelines(culprit)
    (offset,) = (i for i, line in enumerate(lines) if "# here" in line)
    message = str(caught.value)
    where = f'File "{__file__}", line {start + offset}, in {culprit.__name__}'
    assert where in message
    assert lines[offset].strip() in message
    return message


# ------------------------------------------------------------------------------ values


def test_the_first_line_is_found() -> None:
    def program(x: Any) -> Any:
        y = x * 2
        z = y.log()  # here
        return (z - z).sum()

    message = anomaly(program, leaf(1, 0, -1))
    assert "log: the result, (3,) float32, has nan at [2]" in message
    assert "computed from, (3,) float32, was finite" in message


def test_an_infinity_is_found_before_it_becomes_a_nan() -> None:
    def program(x: Any) -> Any:
        y = 1 / x  # here
        return y - y

    assert "div: the result, (2,) float32, has inf at [1]" in anomaly(program, leaf(1, 0))


def test_overflow() -> None:
    def program(x: Any) -> Any:
        return (x * 1000).exp().sum()  # here

    assert "exp: the result, (2, 1) float32, has inf at [1, 0]" in anomaly(
        program, tg.tensor([[0.01], [1.0]])
    )


def test_what_is_not_recorded_is_checked_too() -> None:
    def program(x: Any) -> Any:
        with tg.no_grad():
            return x.sqrt()  # here

    assert "sqrt" in anomaly(program, leaf(-1))


def test_a_nan_among_the_data() -> None:
    def program(x: Any) -> Any:
        return x + 1  # here

    message = anomaly(program, tg.tensor([[1.0, math.nan]]))
    assert "add: the result, (1, 2) float32, has nan at [0, 1]" in message
    assert "already had nan at [0, 1]" in message


def test_a_nan_made_of_infinities() -> None:
    def program(x: Any) -> Any:
        return x - x  # here

    assert "already had -inf at [1]" in anomaly(program, tg.tensor([1.0, -math.inf]))


def test_infinite_masks_are_left_alone() -> None:
    x = leaf(1, 2, 3)
    with tg.detect_anomaly():
        scores = tg.where(tg.tensor([False, True, False]), -math.inf, x)
        tg.softmax(scores, 0)[0].backward()
        tg.logsumexp(scores, 0).backward()
        x.clamp(min=0).sum().backward()


def test_numbers_through_which_rules_pass_are_left_alone() -> None:
    """The gradient of norm and std at 0 drops the infinite derivative of a root."""
    with tg.detect_anomaly():
        for function in (tg.norm, tg.std):
            x = leaf(0, 0)
            function(x).backward()
            assert x.grad.tolist() == [0, 0]
        pair = leaf(0, 2)
        (pair ** tg.tensor([2.0, 3.0])).sum().backward()


def test_shapes_alone_have_no_anomalies() -> None:
    with tg.detect_anomaly():
        assert abstract((2,)).log().shape == (2,)


# ------------------------------------------------------------------------------ derivatives


def test_backward_names_the_line_of_the_op() -> None:
    def program(x: Any) -> Any:
        y = x * 3
        z = y.sqrt()  # here
        loss = z.sum()
        loss.backward()

    message = anomaly(program, leaf(1, 0))
    assert "backward of sqrt: the gradient of operand 0, (2,) float32, has inf at [1]" in message
    assert "(2,) float32, was finite" in message


def test_backward_of_the_second_operand() -> None:
    def program(a: Any, b: Any) -> Any:
        c = a**b  # here
        c.sum().backward()

    assert "backward of pow: the gradient of operand 1" in anomaly(program, leaf(-1), leaf(2))


@pytest.mark.parametrize("create_graph", [False, True])
def test_backward_with_and_without_a_graph(create_graph: bool) -> None:
    def program(x: Any) -> Any:
        y = x.sqrt()  # here
        grad(y.sum(), x, create_graph=create_graph)

    assert "backward of sqrt" in anomaly(program, leaf(0))


def test_second_derivatives_name_the_line_of_the_op() -> None:
    """The gradient of x^1.5 at 0 is 0; its own gradient is infinite."""

    def program(x: Any) -> Any:
        y = x**1.5  # here
        (first,) = grad(y.sum(), x, create_graph=True)
        grad(first.sum(), x)

    assert "backward of" in anomaly(program, leaf(0))


def test_forward_mode() -> None:
    def root(x: Any) -> Any:
        return x.sqrt()  # here

    def program() -> None:
        func.jvp(root, (tg.tensor([0.0, 1.0]),), (tg.ones(2),))

    message = anomaly(program, line_in=root)
    assert "forward mode of sqrt: the tangent of the result, (2,) float32, has inf" in message


def test_a_cotangent_that_is_not_finite() -> None:
    def program(x: Any) -> Any:
        y = x * 2  # here
        y.backward(tg.tensor([math.nan]))

    assert "already had nan at [0]" in anomaly(program, leaf(1))


def test_recorded_before() -> None:
    y = leaf(0).sqrt().sum()
    with pytest.raises(AnomalyError, match=r"sqrt.*\n.*recorded before"), tg.detect_anomaly():
        y.backward()


def test_a_custom_op() -> None:
    class Bad(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return tg.tensor(x.numpy() * 0)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g / 0

    def program(x: Any) -> Any:
        y = Bad.apply(x)  # here
        y.sum().backward()

    assert "backward of Bad: the gradient of operand 0" in anomaly(program, leaf(1))


# ------------------------------------------------------------------------------ the user's line


def test_the_line_is_the_users_although_a_layer_called_the_op() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    model[0].weight.data = tg.full((2, 2), 3e38)

    def program(x: Any) -> Any:
        x = x * 1
        return model(x)  # here

    assert "the result, (1, 2) float32, has inf at [0, 0]" in anomaly(program, tg.ones(1, 2))


def test_code_without_a_file() -> None:
    where = r'File "<string>", line 1, in <module>$'
    with pytest.raises(AnomalyError, match=where), tg.detect_anomaly():
        exec("x.log()", {"x": leaf(0)})


# ------------------------------------------------------------------------------ on and off


def test_off_means_off() -> None:
    """Outside there is no hook at all, and nodes carry no line."""
    assert node.watch is None
    y = leaf(0).log()
    assert not hasattr(y.node, "line")
    y.sum().backward()


def test_on_until_the_end_of_the_block() -> None:
    with tg.detect_anomaly():
        with tg.detect_anomaly():
            pass
        with pytest.raises(AnomalyError):
            leaf(0).log()
    assert node.watch is None
    with pytest.raises(AnomalyError), tg.detect_anomaly():
        leaf(0).log()
    assert node.watch is None
    leaf(0).log()


def test_results_are_the_same() -> None:
    def program(x: Any) -> Any:
        y = (x.tanh() * x).sum()
        y.backward()
        return y.item(), x.grad.tolist()

    plain = program(leaf(1, 2))
    with tg.detect_anomaly():
        assert program(leaf(1, 2)) == plain


def test_training_finds_the_first_bad_step() -> None:
    """What it is for: a learning rate that explodes."""
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = tg.optim.SGD(model.parameters(), lr=1e6)
    x, y = tg.randn(16, 4), tg.randn(16, 1)

    def train() -> None:
        for _ in range(50):
            optimizer.zero_grad()
            ((model(x) - y) ** 2).mean().backward()
            optimizer.step()

    with pytest.raises(AnomalyError, match=Path(__file__).name), tg.detect_anomaly():
        train()
    assert np.isfinite(model[0].weight.detach().numpy()).all()


# ------------------------------------------------------------------------------ Values


def test_the_line_of_a_value() -> None:
    def program(x: tg.Value) -> tg.Value:
        y = x * 2 - 6
        z = y.log()  # here
        return z - z

    message = anomaly(program, tg.Value(1.0))
    assert "log: the result, () float64, has nan" in message
    assert "computed from, () float64, was finite" in message


def test_an_infinite_value() -> None:
    def program(x: tg.Value) -> tg.Value:
        y = 1 / (x - 1)  # here
        return y * 0

    assert "div: the result, () float64, has inf" in anomaly(program, tg.Value(1.0))


def test_infinite_leaves_and_numbers_may_be() -> None:
    with tg.detect_anomaly():
        x = tg.Value(math.inf)
        assert (x + math.inf).minimum(3.0).data == 3.0
        assert math.isnan(tg.Value(math.nan).data)


def test_the_gradient_of_a_value() -> None:
    def program(x: tg.Value) -> None:
        y = x.sqrt()  # here
        (y * 3).backward()

    message = anomaly(program, tg.Value(0.0))
    assert "backward of sqrt: the gradient of operand 0, () float64, has inf" in message


def test_in_a_neuron_and_in_an_op_without_a_method() -> None:
    neuron = tg.scalar.Neuron(2)
    neuron.w[0].data, neuron.w[1].data = 1.0, -1.0

    def program(x: float) -> tg.Value:
        return neuron([tg.Value(x), tg.Value(x)])  # here

    assert "weighted sum" in anomaly(program, math.inf)

    def clamped(x: tg.Value) -> tg.Value:
        return (x * 0).clamp(math.nan, 1.0)  # here

    assert "clamp" in anomaly(clamped, tg.Value(1.0))


def test_on_many_pages_and_not_any_more_afterwards() -> None:
    def program(x: tg.Value) -> tg.Value:
        y = x
        for _ in range(2 * PAGE_SIZE):
            y = y + 1.0
        return (y * 0).log()  # here

    anomaly(program, tg.Value(1.0))
    assert (tg.Value(0.0).log() * 2).data == -math.inf


def test_finite_values_are_as_without() -> None:
    def program() -> tuple[float, float]:
        x = tg.Value(0.5)
        y = (x.tanh() * x + 2) ** 2
        y.backward()
        return y.data, x.grad

    plain = program()
    with tg.detect_anomaly():
        assert program() == plain
