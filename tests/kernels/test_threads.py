"""BLAS threads are limited for small products, and given back."""

from __future__ import annotations

import pytest

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
