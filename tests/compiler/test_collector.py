"""The collector is off while programs are made, and as it was before afterwards."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.compiler import collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    was = gc.isenabled()
    yield
    (gc.enable if was else gc.disable)()


@pytest.mark.parametrize("enabled", [True, False])
def test_as_it_was(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    with contextlib.suppress(KeyError), collector.paused(), collector.paused():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled() is enabled


@pytest.mark.parametrize("x", [tg.ones(3), 2.0, np.ones((4, 1))], ids=["tensor", "value", "lanes"])
def test_off_while_tracing(x: object) -> None:
    gc.enable()

    def step(x: object) -> object:
        raise ValueError(f"the collector is {'on' if gc.isenabled() else 'off'}")

    with pytest.raises(ValueError, match="is off"):
        tg.compile(step)(x)
    assert gc.isenabled()
