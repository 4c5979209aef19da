"""Compiled programs against the reference: random ones, and those that once went wrong."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.compiler.programs import difference
from tinygrad_edu.compiler.plan import build
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.compiler.reference import Reference
from tinygrad_edu.errors import ArgumentError, DTypeError, IndexingError, ShapeError, TraceError
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.kernels.llvm import host

Array = np.ndarray


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_random_programs(first: int) -> None:
    for seed in range(first, first + 20):
        worst, _ = difference(seed, build)
        assert worst <= 1, f"seed {seed}: {worst:.1f} times what rounding may do"


@pytest.mark.skipif("avx512" not in host().features, reason="this processor has no AVX-512")
@pytest.mark.parametrize("first", range(300, 340, 20))
def test_random_programs_without_avx512(first: int) -> None:
    target = host().without("avx512")
    assert not target.masks
    for seed in range(first, first + 20):
        worst, _ = difference(seed, functools.partial(build, target=target))
        assert worst <= 1, f"seed {seed}: {worst:.1f} times what rounding may do"


# ------------------------------------------------------------------------------ by hand


class Step:
    """A program of states and inputs given by their values, and its reference."""

    def __init__(self, states: list[Any], inputs: list[Any] = ()) -> None:  # type: ignore[assignment]
        self.values = [np.asarray(x) for x in states]
        self.fed = [np.asarray(x) for x in inputs]
        self.states = [abstract(x.shape, x.dtype) for x in self.values]
        self.inputs = [abstract(x.shape, x.dtype) for x in self.fed]

    def check(self, updates: dict[int, Any], outputs: list[Any], steps: int = 2) -> Any:
        """Run it beside the reference; the plan."""
        program = Program(
            tuple(x.node for x in self.inputs),
            tuple(x.node for x in self.states),
            {self.states[i].node: t.node for i, t in updates.items()},
            tuple(t.node for t in outputs),
        )
        plan, reference = build(program), Reference(program)
        for node, value in zip(program.states, self.values, strict=True):
            plan.state(node)[...] = reference.state(node)[...] = value
        for _ in range(steps):
            found, expected = plan.run(self.fed), reference.run(self.fed)
            for a, b in zip(found, expected, strict=True):
                assert (a.shape, a.dtype) == (b.shape, b.dtype)
                close(a, b)
            for node in program.states:
                close(plan.state(node), reference.state(node))
        return plan


def close(found: Array, expected: Array) -> None:
    """Equal but for roundings of float32: a few hundred terms, some of them ten times as large as
    what is left of them. What these tests look for changes a result by as much as its size."""
    finite = np.abs(expected[np.isfinite(expected)])
    scale = float(np.max(finite, initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5 * scale)


def noise(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_swapped_states() -> None:
    step = Step([noise(5, 7), noise(5, 7) + 1])
    a, b = step.states
    step.check({0: b, 1: a}, [a])


def test_states_that_read_each_other() -> None:
    step = Step([noise(9, 9), noise(9, 9) + 1, noise(9, 9)])
    a, b, c = step.states
    step.check({0: a + b, 1: b.T - a, 2: a @ b + c.T}, [a.sum(), c])


def test_two_states_take_the_same_value() -> None:
    step = Step([noise(4, 4), noise(4, 4)])
    a, b = step.states
    both = a * 2 + b
    step.check({0: both, 1: both}, [both, both])


def test_product_started_in_a_state_that_others_read() -> None:
    """The start value of a product is written into the state it updates: not before the others
    that read the old state have run."""
    step = Step([noise(16, 16), noise(16, 16) + 1])
    a, b = step.states
    step.check({0: (a + b) + b @ b}, [(a * a).sum(), a @ b])


def test_an_operand_of_a_later_pass_is_not_overwritten_in_an_earlier() -> None:
    """y is stored in the pass that sums it; x is read again in the next one."""
    step = Step([noise(16, 16), noise(16, 16) + 1])
    a, b = step.states
    x = a @ b
    y = x * 2
    z = x - y.sum(1, keepdim=True)
    step.check({}, [y @ a, z @ a])


def test_momentum_is_scaled_in_place() -> None:
    step = Step([noise(8, 6), noise(8, 6)], [noise(5, 8), noise(5, 6)])
    weight, velocity = step.states
    x, g = step.inputs
    new = 0.9 * velocity + x.T @ g
    plan = step.check({0: weight - 0.1 * new, 1: new}, [new.sum()])
    products = [i for i in plan.instructions if i.kernel == "matmul"]
    assert len(products) == 1
    assert products[0].ops == ("matmul", "add")  # the sum is no step of its own


def test_number_that_depends_on_a_reduction_in_the_same_kernel() -> None:
    step = Step([noise(33, 17)])
    (a,) = step.states
    total = a.sum()
    step.check({0: a / (1 + total * total)}, [total.tanh(), (a * total).sum(0)])


def test_outputs_may_be_states_inputs_constants_and_twice_the_same() -> None:
    step = Step([noise(3, 4)], [noise(3, 4)])
    a, x = step.states[0], step.inputs[0]
    constant = tg.tensor([1.0, 2.0])
    y = a + x
    step.check({0: y}, [a, x, constant, y, y, y.reshape(12), y.sum(0)])


def test_sums_over_rows_are_padded() -> None:
    """A row of sums that is no whole number of vectors must not run over its neighbours."""
    for n in (1, 3, 15, 17, 65):
        step = Step([noise(n), noise(n), noise(6, n)])
        a, b, x = step.states
        step.check({0: a + x.sum(0), 1: b - x.amax(0)}, [x.sum(0), x.mean((0, 1))])


@pytest.mark.parametrize("n", [8, 17, 24])
def test_sums_in_several_rows_do_not_run_over_what_comes_next(n: int) -> None:
    """The vector at the end of the last row of sums reaches into the memory behind it, where the
    same kernel may have stored something else meanwhile."""
    step = Step([noise(5, 2, n), noise(5, 2, n)])
    a, b = step.states
    y = a.tanh().exp()
    soft = tg.softmax(y, 2)
    outputs = [(y.amax(0) @ soft.mT).tanh(), y.sum(0) @ y.mT, (soft * 2) @ b.mT]
    step.check({0: y.sum(0).expand(5, 2, n)}, outputs)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.bool_, np.float64])
def test_dtypes(dtype: type) -> None:
    x = np.random.default_rng(0).integers(0, 9, (7, 19)).astype(dtype)
    step = Step([x, np.roll(x, 1)])
    a, b = step.states
    outputs = [a == b, tg.where(a >= b, a, b), a.to(tg.float32).sum(1), a.amax(0)]
    if dtype is not np.bool_:
        outputs += [a * 3 - b, (a * b).sum(0), -a, abs(a - b), tg.maximum(a, b)]
    step.check({0: b}, outputs)


def test_empty_arrays() -> None:
    step = Step([noise(0, 3), noise(3, 2)])
    a, w = step.states
    step.check({0: a * 2}, [a @ w, a.sum(0), a.sum(), (a.T @ a)])


def test_nan_and_infinity_pass_through() -> None:
    x = noise(4, 40)
    x[0, 3], x[1, 39], x[2, 0] = np.nan, np.inf, -np.inf
    step = Step([x])
    (a,) = step.states
    step.check({}, [a.amax(1), a.amin(1), a.relu(), a.clamp(-1, 1), a.exp(), tg.softmax(a, 1)])


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 1, 5), (2, 3, 4, 5), (6,)])
def test_norms_over_axes(shape: tuple[int, ...]) -> None:
    step = Step([noise(*shape)])
    (a,) = step.states
    axes = [(0,), tuple(range(len(shape))), (len(shape) - 1,), tuple(range(1, len(shape)))]
    axes += [tuple(i for i in range(len(shape)) if i != 1)]
    outputs = []
    for along in {along for along in axes if along}:
        c = a - a.mean(along, keepdim=True)
        outputs.append(c / ((c * c).mean(along, keepdim=True) + 1e-5).sqrt())
    step.check({0: outputs[0]}, outputs)


def test_batched_products() -> None:
    step = Step([noise(2, 3, 4, 5), noise(2, 3, 5, 6), noise(5, 7), noise(3, 5, 2), noise(7)])
    a, b, w, c, bias = step.states
    plan = step.check({}, [a @ b, a @ w + bias, (a.mT @ a).sum((0, 1)), a @ c, b.mT @ a.mT])
    assert sum(i.kernel == "numpy" for i in plan.instructions) == 1  # a @ c broadcasts in part


def test_single_elements() -> None:
    """Of a vector, a matrix and a number, to read and to write."""
    step = Step([noise(3), noise(2, 4), noise()])
    a, b, c = step.states
    d = a * 1
    d[1] = c
    step.check({}, [a[-1], b[1, 2], c[()], d, a[0] + b[0, 0] * c[...]])


def test_class_numbers() -> None:
    scores, labels = noise(6, 5), np.array([0, 4, 2, -5, -1, 3])
    step = Step([scores], [labels])
    (a,), (t,) = step.states, step.inputs
    rows = np.arange(6)
    plan = step.check({}, [a[rows, t], tg.log_softmax(a, 1)[rows, t].mean()])
    assert all(i.is_native for i in plan.instructions)
    with pytest.raises(IndexingError, match=r"index 5 is out of bounds along axis 1"):
        plan.run([np.array([0, 5, 0, 0, 0, 0])])


def test_errors_of_numpy_calls_are_raised() -> None:
    step = Step([noise(6, 5)], [np.array([1, 2])])
    (a,), (t,) = step.states, step.inputs
    plan = step.check({}, [a[t].sum()])
    with pytest.raises(IndexError):
        plan.run([np.array([1, 9])])
    assert np.isfinite(plan.run([np.array([1, 2])])[0])


def test_many_calls_in_one() -> None:
    data, index = noise(20, 3), np.random.default_rng(0).integers(0, 20, (7, 4))
    step = Step([noise(3)], [data[:4], np.float32(0.1), noise(3)])
    w, (x, rate, shift) = step.states[0], step.inputs
    loss = ((x @ w.reshape(3, 1)) ** 2).mean()
    new = w - rate * (x.mean(0) + shift)
    plan = step.check({0: new}, [loss, w], steps=1)
    one = step.check({0: new}, [loss, w], steps=1)
    rates = np.linspace(0, 1, 7, dtype=np.float32)
    found = plan.run_many(7, [(data, index), rates, step.fed[2]])
    expected = [one.run([data[i], r, step.fed[2]]) for i, r in zip(index, rates, strict=True)]
    for position, array in enumerate(found):
        np.testing.assert_array_equal(array, np.stack([e[position] for e in expected]))
    with pytest.raises(IndexingError):
        plan.run_many(7, [(data, index + 14), rates, step.fed[2]])
    with pytest.raises(ShapeError):
        plan.run_many(7, [(data, index[:3]), rates, step.fed[2]])


def test_inputs_may_be_scalars_and_views() -> None:
    step = Step([noise(3)], [np.float32(2), noise(4, 3)])
    (w,), (rate, x) = step.states, step.inputs
    plan = step.check({}, [w * rate + x.sum(0)])
    wide = np.arange(24, dtype=np.float32).reshape(3, 8)
    scalar, view = np.float32(3), wide.T[::2]
    expected = step.values[0] * 3 + view.sum(0)
    np.testing.assert_allclose(plan.run([scalar, view])[0], expected, rtol=1e-6)
    np.testing.assert_allclose(plan.run_many(2, [scalar, view])[0], [expected] * 2, rtol=1e-6)
    wide += 1  # not the array that was copied
    np.testing.assert_allclose(plan.run([scalar, view])[0], expected + 4, rtol=1e-6)


def test_measuring_changes_no_state() -> None:
    step = Step([noise(8, 8)], [noise(8, 8)])
    (a,), (x,) = step.states, step.inputs
    plan = step.check({0: a + 0.1 * (x @ a).cumsum(1)}, [a.sum()])
    before = plan.state(a.node).copy()
    seconds = plan.measure(step.fed)
    assert len(seconds) == len(plan.instructions)
    assert min(seconds) > 0
    np.testing.assert_array_equal(plan.state(a.node), before)


def test_wrong_inputs_are_refused() -> None:
    step = Step([noise(3)], [noise(4, 3)])
    plan = step.check({}, [step.inputs[0] + step.states[0]])
    with pytest.raises(ShapeError):
        plan.run([noise(3, 3)])
    with pytest.raises(DTypeError):
        plan.run([noise(4, 3).astype(np.float64)])
    with pytest.raises(ShapeError):
        plan.run([])
    with pytest.raises(ArgumentError):
        build(Program((), (), {}, ()), threads=0)
    with pytest.raises(TraceError):
        build(Program((), (), {}, (abstract((3,)).exp().node,)))


def test_state_starts_with_its_data() -> None:
    w = tg.tensor([1.0, 2.0])
    program = Program((), (w.node,), {}, ((abstract((2,)) * 0 + 1).node,))
    with pytest.raises(TraceError):
        build(program)
    plan = build(Program((), (w.node,), {}, (w.node,)))
    np.testing.assert_array_equal(plan.state(w.node), [1, 2])
    np.testing.assert_array_equal(plan.run([])[0], [1, 2])


def test_a_long_chain() -> None:
    step = Step([noise(3, 4)])
    y = step.states[0]
    for _ in range(1000):
        y = (y * 0.999).tanh() + 0.001
    step.check({0: y}, [y.sum()], steps=1)
