"""Blocking of products: whatever is chosen computes the same, and a bad file is measured again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_edu.kernels import blas, tune

pytestmark = pytest.mark.skipif(blas.find() is None, reason="no BLAS to call")
FLOAT = np.dtype(np.float32)


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and measuring on."""
    monkeypatch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path))
    monkeypatch.delenv("TINYGRAD_EDU_TUNE", raising=False)
    tune._tables.cache_clear()
    return tmp_path


def test_measured_once_and_kept(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tune.blocks(False, True, 40, 30, 20, FLOAT)
    assert all(0 < x <= most for x, most in zip(first[:3], (40, 30, 20), strict=True))
    tune._tables.cache_clear()
    monkeypatch.setattr(tune, "_best", lambda *_: pytest.fail("measured twice"))
    assert tune.blocks(False, True, 40, 30, 20, FLOAT) == first


@pytest.mark.parametrize(
    "entry", [[40, 30], [0, 1, 1, True], [41, 30, 20, False], "x", [1, 1, 1, 1], [1.5, 1, 1, True]]
)
def test_entries_that_make_no_sense_are_ignored(empty: Path, entry: Any) -> None:
    tune.blocks(False, False, 40, 30, 20, FLOAT)
    file = tune._file()
    file.write_text(json.dumps({"float32 00 40 30 20": entry, "nonsense": entry}))
    tune._tables.cache_clear()
    assert tune._table() == {}


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_a_damaged_file_is_as_none(empty: Path, text: str) -> None:
    tune._file().write_text(text)
    assert tune._table() == {}


def test_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_EDU_TUNE", "0")
    assert tune.blocks(True, True, 40, 30, 20, FLOAT) == (40, 30, 20, False)
