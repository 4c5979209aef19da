"""`compile`: what it accepts, what it refuses, when it traces again."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Value, autograd, no_grad
from tinygrad_edu.errors import ArgumentError, GradientError, ShapeError, TraceError
from tinygrad_edu.kernels.door import NoDoor
from tinygrad_edu.kernels.values import entrance
from tinygrad_edu.scalar import batch_mean, batch_sum

REFUSED = {
    "a comparison": lambda x: x if x > 0 else -x,
    "max": lambda x: max(x, Value(0.0)),
    "float": lambda x: x * float(x),
    "float of data": lambda x: x * float(x.data),
    "a branch on data": lambda x: x if x.data > 0 else -x,
    "no_grad": no_grad()(lambda x: x * x),
    "an op without a derivative": lambda x: x.floor(),
    "autograd.grad": lambda x: autograd.grad(x * x, x)[0],
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_decide_by_a_number(what: str) -> None:
    with pytest.raises(TraceError, match=r"(?s)trace.*test_compiled\.py"):
        tg.compile(REFUSED[what])(Value(1.0))


def test_after_an_error_values_are_as_before() -> None:
    w = Value(2.0)

    def bad(x: Value) -> Value:
        w.data = x * 3
        return x if x > 0 else w

    with pytest.raises(TraceError):
        tg.compile(bad)(1.0)
    assert w.data == 2.0
    assert (w * 2).data == 4.0
    assert w > 1


def test_backward_twice_is_refused() -> None:
    w = Value(1.0)

    def twice(x: Value) -> None:
        (w * x).backward()
        (w + x).backward()

    with pytest.raises(TraceError, match="once"):
        tg.compile(twice)(1.0)


def test_computing_with_what_was_assigned_is_refused() -> None:
    w = Value(1.0)

    def twice(x: Value) -> Value:
        w.data = w.data + x
        return w * x

    with pytest.raises(TraceError, match="assigned"):
        tg.compile(twice)(1.0)


def test_another_number_in_the_closure_traces_again() -> None:
    w, power = Value(3.0), 2
    compiled = tg.compile(lambda: w**power)
    assert compiled().data == 9.0
    power = 3
    assert compiled().data == 27.0
    power = 2
    assert compiled().data == 9.0


SLOPE = 0.5


def test_another_global_traces_again(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = tg.compile(lambda xs: sum(x * SLOPE for x in xs))
    assert compiled([1.0, 2.0]).data == 1.5
    monkeypatch.setitem(globals(), "SLOPE", 2.0)
    assert compiled([1.0, 2.0]).data == 6.0


def test_arguments_of_any_kind() -> None:
    traces = []

    def function(name: str, pair: tuple[Value, Value], *, flip: bool = False) -> dict[str, Value]:
        traces.append(name)
        a, b = pair
        return {name: b - a if flip else a - b}

    compiled = tg.compile(function)
    assert compiled("x", (3.0, 1.0))["x"].data == 2.0
    assert compiled("x", (Value(5.0), 1))["x"].data == 4.0
    assert compiled("x", (3.0, 7.0))["x"].data == -4.0
    assert compiled("y", (3.0, 1.0), flip=True)["y"].data == -2.0
    assert traces == ["x", "x", "y"]


def test_what_is_no_leaf_is_refused_as_an_argument() -> None:
    w = Value(1.0)
    compiled = tg.compile(lambda x: w * x)
    with pytest.raises(GradientError, match=r"\.data"):
        compiled(w * 2)
    with pytest.raises(GradientError, match="not both"):
        compiled(w)


def test_arrays_that_do_not_fit() -> None:
    w = Value(1.0)
    compiled = tg.compile(lambda x, y: x * y * w)
    with pytest.raises(ShapeError, match="one length"):
        compiled(np.ones(3), np.ones(4))
    with pytest.raises(ArgumentError, match="no sample"):
        compiled(np.ones(0), np.ones(0))
    with pytest.raises(ArgumentError, match="numbers"):
        compiled(np.ones(3), np.array(["a", "b", "c"]))


def test_outside_of_lanes_a_sum_has_one_sample() -> None:
    x = Value(3.0)
    assert batch_mean(x) is x
    assert batch_sum(x) is x
    assert tg.compile(lambda x: batch_mean(x * x) + batch_sum(x))(3.0).data == 12.0


def test_printing_is_allowed() -> None:
    assert tg.compile(lambda x: x * len(repr(x)))(1.0).data == len("Value(data=1.0, grad=0.0)")


W = Value(2.0)
MANY = [Value(1.0)] * 2000
MODEL = tg.scalar.MLP(2, [3, 1])
TENSOR = tg.ones(2)


def through_a_helper(x: Value) -> Value:
    return x * W


class Trainer:
    """An object with Values, whose method is compiled."""

    def __init__(self) -> None:
        self.weights = [Value(1.0), Value(2.0)]

    def step(self, x: float) -> Value:
        return self.weights[0] * x + self.weights[1]


OF_VALUES = {
    "a global": (lambda x: x * W, (3.0,)),
    "a helper's global": (lambda x: through_a_helper(x) + 1, (3.0,)),
    "a scalar network": (lambda x: MODEL(x), (np.ones((4, 2)),)),
    "a long list": (lambda x: sum(MANY) * x, (3.0,)),
    "a Value as an argument": (lambda x: x * 3, (Value(1.0),)),
    "a list with one": (lambda xs: xs[0] * 3, ([Value(1.0)],)),
    "an attribute": (Trainer().step, (1.0,)),
    "numbers and nothing else": (lambda x: x * 3, (1.0,)),
    "a sum over samples": (lambda x: batch_mean(x * x), (np.ones(4),)),
}


@pytest.mark.parametrize("what", OF_VALUES)
def test_a_function_of_values_is_recognised(what: str) -> None:
    function, args = OF_VALUES[what]
    compiled = tg.compile(function)
    result = compiled(*args)
    assert hasattr(result, "backward")
    assert not isinstance(result, tg.Tensor)
    assert compiled.values is not None


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (lambda x: x * 2, (np.ones(3),)),
        (lambda x: TENSOR * x, (2.0,)),
        (lambda n: tg.ones(n), (3,)),
    ],
)
def test_other_functions_are_of_tensors(function: object, args: tuple[object, ...]) -> None:
    assert isinstance(tg.compile(function)(*args), tg.Tensor)  # type: ignore[type-var]


def test_a_compiled_function_within_another() -> None:
    square = tg.compile(lambda x: x * x * W)
    assert square(3.0).data == 18.0
    assert tg.compile(lambda x: square(x) + W)(2.0).data == 10.0


def scaled(factor: object) -> tuple[object, list[object]]:
    """A compiled function that closes over `factor`, and the traces it made."""
    traces: list[object] = []

    @tg.compile
    def run(x: object, rate: object) -> object:
        traces.append(factor)
        return Value(3.0) * x[0] * rate  # type: ignore[index]

    return run, traces


@pytest.mark.parametrize("native", [True, False], ids=["entrance", "Python"])
def test_frequent_calls_see_their_own_numbers(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrays are read where they lie, also when they changed; whole numbers are numbers, too."""
    if not native:
        monkeypatch.setattr(entrance, "enter", refuse)
    run, traces = scaled(1)
    x = np.array([[1.0, 9.0], [2.0, 9.0]], np.float32)
    for rate in (1.0, 0.5, 2, 0.25):
        for _ in range(3):
            x[:, 0] += 1
            np.testing.assert_array_equal(run(x, rate).data, 3 * x[:, 0] * rate)  # type: ignore[operator]
    wide = np.ones((2, 4))
    assert run(wide[:, ::2], 1.0).data.tolist() == [3, 3]  # type: ignore[operator]
    assert run(wide.astype(np.int16)[:, :2], 1.0).data.tolist() == [3, 3]  # type: ignore[operator]
    assert run(np.ones((5, 2), np.float32), 2.0).data.tolist() == [6] * 5  # type: ignore[operator]
    assert len(traces) == 3  # float32, float64, int16


def refuse() -> None:
    raise NoDoor("another Python")


def test_cells_that_move_are_followed() -> None:
    """Values live in arrays that are replaced when they have to grow."""
    w = Value(2.0)
    run = tg.compile(lambda x: w * x)
    assert [run(x).data for x in (1.0, 2.0, 3.0)] == [2, 4, 6]
    others = [Value(1.0) for _ in range(5000)]
    assert tg.compile(lambda x: sum(others, w) * x)(1.0).data == 5002
    w.data = 5.0
    assert [run(x).data for x in (1.0, 2.0, 3.0)] == [5, 10, 15]
