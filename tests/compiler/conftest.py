"""Compiled kernels of the tests are kept apart from the user's, and nothing is measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for kernels that all tests of the session share."""
    folder = tmp_path_factory.mktemp("kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_EDU_CACHE", str(folder))
        patch.setenv("TINYGRAD_EDU_TUNE", "0")
        yield folder
