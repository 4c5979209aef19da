"""`show_config` tells what is there, `clear_cache` removes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.kernels import blas, tune


def test_what_there_is() -> None:
    found = tg.show_config("dicts")
    assert found is not None
    assert found["versions"]["numpy"] == np.__version__
    assert found["processor"]["vector registers"].endswith("bits")
    assert found["blas"] == blas.info()
    assert found["threads"] == {"number": tg.get_num_threads()}
    with pytest.raises(ArgumentError, match="'print' or 'dicts'"):
        tg.show_config("json")


def test_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert tg.show_config() is None
    printed = capsys.readouterr().out
    for part in ("versions", "processor", "blas", "threads", "cache", np.__version__):
        assert part in printed


def test_clearing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path))
    (tmp_path / f"k{0:024x}.o").write_bytes(b"x" * 10)
    (tmp_path / f"gemm_{0:016x}.json").write_text("{}")
    config = tg.show_config("dicts")
    assert config is not None
    assert (config["cache"]["kernels"], config["cache"]["tuning results"]) == (1, 1)
    tune._tables()[Path("x")] = {}
    assert tg.clear_cache() == 12
    assert not list(tmp_path.iterdir())
    assert not tune._tables()
