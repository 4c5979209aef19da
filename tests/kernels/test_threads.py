"""The number of threads; BLAS has one for small products, and gets the others back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.kernels import blas, threads


def test_small_products_run_on_one_thread_and_the_rest_is_given_back() -> None:
    found = blas.find()
    if found is None or found.threads in (None, 1):
        pytest.skip("this BLAS has one thread, or does not tell")
    before = found.threads
    with threads.fitting(2 * 64**3):
        assert found.threads == 1
    assert found.threads == before
    with threads.fitting(2 * 2048**3):
        assert found.threads == before


def test_threads_are_given_back_after_an_error() -> None:
    found = blas.find()
    before = None if found is None else found.threads
    with pytest.raises(RuntimeError), threads.fitting(1.0):
        raise RuntimeError
    assert before is None or found.threads == before


@pytest.fixture
def as_before() -> Iterator[None]:
    chosen, number = threads.chosen, threads.get_num_threads()
    yield
    threads.set_num_threads(number)
    threads.chosen = chosen


@pytest.mark.usefixtures("as_before")
def test_the_number_that_was_set_holds_for_blas() -> None:
    found = blas.find()
    tg.set_num_threads(1)
    assert tg.get_num_threads() == 1
    assert found is None or found.threads in (None, 1)
    tg.set_num_threads(2)
    assert tg.get_num_threads() == 2
    with threads.fitting(1.0):
        assert found is None or found.threads in (None, 1)
    assert found is None or found.threads in (None, 2)


@pytest.mark.parametrize("number", [0, -1, 1.5, "2", True, None])
def test_other_numbers_are_refused(number: Any) -> None:
    before = tg.get_num_threads()
    with pytest.raises(ArgumentError, match="set_num_threads"):
        tg.set_num_threads(number)
    assert tg.get_num_threads() == before
