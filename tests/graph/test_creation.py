"""New tensors from patterns and random numbers."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu.errors import ArgumentError, DTypeError
from tinygrad_edu.graph.creation import random_state, uniform_for
from tinygrad_edu.graph.tensor import abstract


@pytest.mark.parametrize(
    ("made", "wanted", "dtype"),
    [
        (lambda: tg.zeros(2, 3), np.zeros((2, 3)), "float32"),
        (lambda: tg.zeros((2, 3)), np.zeros((2, 3)), "float32"),
        (lambda: tg.zeros(()), np.zeros(()), "float32"),
        (lambda: tg.zeros(), np.zeros(()), "float32"),
        (lambda: tg.zeros(0, 3), np.zeros((0, 3)), "float32"),
        (lambda: tg.ones(2, dtype="int32"), np.ones(2), "int32"),
        (lambda: tg.full((2,), 3), np.full(2, 3), "int64"),
        (lambda: tg.full((2,), 3.5), np.full(2, 3.5), "float32"),
        (lambda: tg.full((2,), True), np.ones(2), "bool"),
        (lambda: tg.zeros_like(tg.ones(2, dtype="int32")), np.zeros(2), "int32"),
        (lambda: tg.ones_like(tg.zeros(2), dtype="float64"), np.ones(2), "float64"),
        (lambda: tg.arange(4), np.arange(4), "int64"),
        (lambda: tg.arange(1, 4), np.arange(1, 4), "int64"),
        (lambda: tg.arange(4, 0, -2), np.array([4, 2]), "int64"),
        (lambda: tg.arange(0, 1, 0.25), np.arange(0, 1, 0.25), "float32"),
        (lambda: tg.arange(3, dtype="float64"), np.arange(3.0), "float64"),
        (lambda: tg.arange(np.int64(3)), np.arange(3), "int64"),
        (lambda: tg.linspace(0, 1, 5), np.linspace(0, 1, 5), "float32"),
        (lambda: tg.linspace(0, 1, 1), np.zeros(1), "float32"),
        (lambda: tg.eye(2), np.eye(2), "float32"),
        (lambda: tg.eye(2, 3), np.eye(2, 3), "float32"),
    ],
)
def test_patterns(made: Any, wanted: np.ndarray, dtype: str) -> None:
    x = made()
    assert x.dtype == dtype
    assert x.shape == wanted.shape
    np.testing.assert_array_equal(x.numpy(), wanted)
    assert x.is_leaf
    assert not x.requires_grad


@pytest.mark.parametrize(
    "make",
    [
        lambda **k: tg.tensor([1.0], **k),
        lambda **k: tg.Tensor([1], **k),
        lambda **k: tg.zeros(2, **k),
        lambda **k: tg.ones(2, **k),
        lambda **k: tg.full((2,), 0.5, **k),
        lambda **k: tg.arange(0.0, 2.0, **k),
        lambda **k: tg.linspace(0, 1, 3, **k),
        lambda **k: tg.eye(2, **k),
        lambda **k: tg.rand(2, **k),
        lambda **k: tg.randn(2, **k),
    ],
)
def test_every_maker_takes_requires_grad(make: Any) -> None:
    x = make(requires_grad=True)
    assert x.requires_grad
    assert x.is_leaf


@pytest.mark.parametrize(
    "make",
    [
        lambda: tg.zeros(-1),
        lambda: tg.full((2, -3), 1.0),
        lambda: tg.eye(-1),
        lambda: tg.arange(0, 3, 0),
        lambda: tg.linspace(0, 1, -1),
        lambda: tg.randint(3, 3, (2,)),
        lambda: tg.manual_seed(-1),
        lambda: tg.manual_seed(1.5),
        lambda: tg.manual_seed("1"),
        lambda: tg.arange(0, 3, -1),
        lambda: tg.arange(0, np.inf),
        lambda: tg.arange(np.nan),
    ],
)
def test_impossible_arguments(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: tg.zeros(2.5),
        lambda: tg.zeros("23"),
        lambda: tg.ones(2, None),
        lambda: tg.randn(1.0),
        lambda: tg.eye(2.0),
        lambda: tg.linspace(0, 1, 2.5),
        lambda: tg.randperm(2.5),
        lambda: tg.zeros(2).reshape("2"),
        lambda: tg.zeros(2).expand(2.0, 2),
        lambda: tg.zeros(2).repeat("a"),
        lambda: tg.zeros(2).tile("a"),
        lambda: tg.zeros(2).roll("a"),
        lambda: tg.zeros(3).topk(1.5),
        lambda: tg.nn.functional.pad(tg.zeros(2), "ab"),
        lambda: tg.nn.Linear(3, 2.5),
        lambda: tg.nn.Conv2d("1", 2, 3),
        lambda: tg.nn.LayerNorm("4"),
        lambda: tg.full((2,), "a"),
    ],
)
def test_sizes_are_integers(make: Any) -> None:
    with pytest.raises(DTypeError):
        make()


@pytest.mark.parametrize("dtype", ["cuda", "no dtype", complex, object, "U3", 5])
def test_dtypes_that_no_tensor_has(dtype: Any) -> None:
    x = tg.zeros(2)
    for make in (
        lambda: tg.tensor([1.0], dtype),
        lambda: tg.zeros(2, dtype=dtype),
        lambda: tg.arange(3, dtype=dtype),
        lambda: tg.eye(2, dtype=dtype),
        lambda: tg.linspace(0, 1, 3, dtype=dtype),
        lambda: tg.randn(2, dtype=dtype),
        lambda: x.to(dtype),
        lambda: tg.nn.Linear(2, 2).to(dtype),
    ):
        with pytest.raises(DTypeError, match="dtype"):
            make()
    with pytest.raises(DTypeError, match="None is none"):  # to NumPy, float64
        x.to(None)


def test_tensors_among_numbers_keep_torchs_dtype() -> None:
    one, wide, whole = tg.tensor(1.0), tg.tensor(1.0, dtype=tg.float64), tg.tensor(2)
    assert tg.tensor([one, 2.0]).dtype == tg.float32
    assert tg.tensor([[one], [whole]]).dtype == tg.float32
    assert tg.tensor([whole, 0.5]).tolist() == [2.0, 0.5]
    assert tg.tensor([whole, 0.5]).dtype == tg.float32
    assert tg.tensor([wide, 2.0]).dtype == tg.float64
    assert tg.tensor([whole, True]).dtype == tg.int64


def test_an_integer_beyond_int64_is_no_other_number() -> None:
    with pytest.raises(DTypeError, match="9223372036854775808 does not fit into int64"):
        tg.tensor([2**63])


@pytest.mark.parametrize(
    "data", ["text", [[1, 2], [3]], object(), {"a": 1}, None, [None], 2**70, 1j]
)
def test_data_that_are_no_numbers(data: Any) -> None:
    with pytest.raises(DTypeError):
        tg.tensor(data)


# ------------------------------------------------------------------------------ random numbers


@given(st.integers(0, 2**64 - 1))
def test_a_seed_fixes_every_draw(seed: int) -> None:
    def draws() -> list[Any]:
        tg.manual_seed(seed)
        made = (tg.randn(3), tg.rand(2, 2), tg.randint(10, (4,)), tg.randperm(5), tg.randn(3))
        return [x.tolist() for x in made]

    first = draws()
    assert draws() == first
    assert first[0] != first[4], "two draws under one seed are two streams"


def test_a_draw_depends_on_its_number_alone() -> None:
    """However much was drawn before it: streams are keyed, not continued."""
    tg.manual_seed(3)
    tg.randn(1)
    after_little = tg.randn(4).tolist()
    tg.manual_seed(3)
    tg.randn(1000)
    assert tg.randn(4).tolist() == after_little


def test_another_thread_draws_its_own_numbers() -> None:
    """A thread's count is its own, so draws here do not depend on what others do."""
    tg.manual_seed(1)
    wanted = [tg.randn(2).tolist() for _ in range(2)]
    tg.manual_seed(1)
    first = tg.randn(2).tolist()
    thread = threading.Thread(target=lambda: tg.randn(5))
    thread.start()
    thread.join()
    assert [first, tg.randn(2).tolist()] == wanted


def test_laws() -> None:
    """Mean and variance of n draws lie within five standard errors: sigma / sqrt(n) for the mean,
    and sqrt((kurtosis - 1) / n) of the variance (kurtosis 3 of a normal, 9/5 of a uniform law)."""
    n = 40_000
    tg.manual_seed(0)
    for x, mean, variance, kurtosis in [
        (tg.randn(n, dtype="float64"), 0.0, 1.0, 3.0),
        (tg.rand(n, dtype="float64"), 0.5, 1 / 12, 1.8),
    ]:
        assert abs(x.mean().item() - mean) < 5 * np.sqrt(variance / n)
        assert abs(x.var().item() / variance - 1) < 5 * np.sqrt((kurtosis - 1) / n)


def test_integers_and_orders() -> None:
    tg.manual_seed(0)
    x = tg.randint(-2, 3, (1000,))
    assert x.dtype == np.int64
    assert set(x.tolist()) == {-2, -1, 0, 1, 2}
    assert set(tg.randint(3, (1000,)).tolist()) == {0, 1, 2}
    assert sorted(tg.randperm(10).tolist()) == list(range(10))
    assert tg.rand(1000).dtype == np.float32
    assert (tg.rand(1000) < 1).numpy().all()


def test_uniform_numbers_for_a_tensor() -> None:
    """What `rand` draws, at either precision; for a traced tensor nothing, and no place in the
    sequence is used up."""
    tg.manual_seed(5)
    wanted = tg.rand(2, 3).tolist()
    for dtype in (tg.float32, tg.float64):
        tg.manual_seed(5)
        found = uniform_for(tg.zeros(2, 3, dtype=dtype))
        assert found.dtype == tg.float32
        assert found.tolist() == wanted
    traced = uniform_for(abstract((2, 3), tg.float64))
    assert (traced.shape, traced.dtype, traced.node.op) == ((2, 3), tg.float32, None)
    assert traced.node.is_abstract
    assert random_state() == (5, 1)


def test_as_tensor_copies_only_what_is_no_tensor() -> None:
    x = tg.ones(2)
    assert tg.as_tensor(x) is x
    assert tg.as_tensor(x, dtype=tg.float64).dtype == tg.float64
    assert tg.as_tensor([1, 2]).dtype == tg.int64
    assert tg.as_tensor([1, 2], tg.float32).dtype == tg.float32


def test_powers_and_triangles() -> None:
    np.testing.assert_allclose(tg.logspace(-1, 1, 3).numpy(), [0.1, 1, 10], rtol=1e-7)
    np.testing.assert_allclose(tg.logspace(0, 3, 4, base=2).numpy(), [1, 2, 4, 8], rtol=1e-7)
    assert tg.tril_indices(3, 2, -1).tolist() == np.array(np.tril_indices(3, -1, 2)).tolist()
    assert tg.triu_indices(2, 3).tolist() == np.array(np.triu_indices(2, 0, 3)).tolist()
    with pytest.raises(ArgumentError):
        tg.logspace(0, 1, -1)


def test_like() -> None:
    x = tg.ones(2, 3, dtype=tg.float64)
    for make in (tg.zeros_like, tg.ones_like, tg.empty_like, tg.rand_like, tg.randn_like):
        y = make(x, requires_grad=True)
        assert (y.shape, y.dtype, y.requires_grad) == ((2, 3), tg.float64, True)
    assert tg.full_like(x, 3.0, requires_grad=True).requires_grad
    drawn = tg.randint_like(x, 2, 5)
    assert (drawn.shape, drawn.dtype) == ((2, 3), tg.float64)
    assert ((drawn >= 2) & (drawn < 5)).all()
    assert tg.randint(3, (2,), dtype=tg.int32).dtype == tg.int32


def test_large_arrays_begin_with_a_cache_line() -> None:
    """So that vectors of them are loaded at once; the copy is the tensor's own."""
    x = np.random.default_rng(0).standard_normal((100, 100))
    for source in (x, x[1:], x.astype(np.float32)):
        y = tg.tensor(source)
        assert y.numpy().ctypes.data % 64 == 0
        assert not np.shares_memory(y.numpy(), source)
        np.testing.assert_array_equal(y.numpy(), source)
