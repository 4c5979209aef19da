"""The object cache: kernels are compiled once, and a bad folder costs time only."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.description import Kernel, Value
from tinygrad_edu.kernels.emit import emit
from tinygrad_edu.kernels.native import Stream, walker

FLOAT = np.dtype(np.float32)
NONE = np.zeros((0, 2), np.int64)


def doubling(factor: float = 2.0) -> Kernel:
    """y = factor x, flat."""
    x = Value("operand", FLOAT, (True,))
    rule = Value("map", FLOAT, (True,), (0,), f"times {factor}", lambda m, x: x * factor)
    return Kernel((x, rule), (1,))


def address(kernel: Kernel) -> int:
    target = llvm.host()
    return llvm.address(kernel.signature, lambda name: emit(kernel, target, name), target)


def check(kernel: Kernel, factor: float = 2.0) -> None:
    x = np.arange(37, dtype=FLOAT)
    y = np.zeros(37, FLOAT)
    args = [37, x.ctypes.data, y.ctypes.data]
    code = np.array([address(kernel), len(args), *args], np.int64)
    Stream(code, NONE, NONE, NONE).run(0, 1)
    np.testing.assert_array_equal(y, x * np.float32(factor))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a process that has loaded nothing."""
    monkeypatch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path / "walk"))
    walker()  # the tests count the other kernels
    monkeypatch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(llvm, "_addresses", {})
    monkeypatch.setattr(llvm, "compiled", [])
    return tmp_path / "cache"


_engines: list[object] = []


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvm, "_addresses", {})
    # An engine holds each name once; another one stands for another process. What the first has
    # loaded is still in use.
    _engines.append(llvm._engine())
    llvm._engine.cache_clear()
    llvm.compiled.clear()


def test_compiled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(doubling(2.5), 2.5)
    assert len(llvm.compiled) == 1
    check(doubling(2.5), 2.5)
    assert len(llvm.compiled) == 1
    forget(monkeypatch)
    check(doubling(2.5), 2.5)
    assert not llvm.compiled  # loaded from disk
    assert len(list(folder.glob("k*.o"))) == 1


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_damaged_objects_are_compiled_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    check(doubling(3.5), 3.5)
    (file,) = folder.glob("k*.o")
    whole = file.read_bytes()
    file.write_bytes(whole[:-10] if damage is None else damage)
    forget(monkeypatch)
    check(doubling(3.5), 3.5)
    assert len(llvm.compiled) == 1
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    check(doubling(4.5), 4.5)
    assert folder.read_text() == "a file where the folder should be"


def test_the_source_of_the_emitter_is_part_of_the_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(doubling(5.5), 5.5)
    forget(monkeypatch)
    monkeypatch.setattr(llvm, "_sources", lambda: "edited")
    check(doubling(5.5), 5.5)
    assert len(llvm.compiled) == 1
    assert len(list(folder.glob("k*.o"))) == 2


def test_processors_do_not_share_kernels(folder: Path) -> None:
    kernel, target = doubling(6.5), llvm.host().without("avx")
    address(kernel)
    llvm.address(kernel.signature, lambda name: emit(kernel, target, name), target)
    assert len(llvm.compiled) == 2


def _in_a_process(factor: float) -> None:
    check(doubling(factor), factor)


def test_processes_that_start_together(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_in_a_process, args=(7.5,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(list(folder.iterdir())) == len(list(folder.glob("k*.o"))) == 2  # and the walk
