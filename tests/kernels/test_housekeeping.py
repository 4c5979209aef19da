"""The folder of kernels keeps within its size, and can be emptied, while others use it."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from tinygrad_edu.kernels import cache, housekeeping

OTHERS = ["notes.txt", "kernel.o", "model.json", "k12.o", "total.py"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path))
    (tmp_path / "__pycache__").mkdir()
    for name in OTHERS:
        (tmp_path / name).write_text("mine")
    return tmp_path


def kernel(folder: Path, i: int, used: float, size: int = 100) -> Path:
    path = folder / f"k{i:024x}.o"
    path.write_bytes(b"x" * size)
    os.utime(path, (used, 5.0))
    return path


def loop(folder: Path, i: int, used: float) -> list[Path]:
    """A Python source and what Numba made of it."""
    name = f"total_{i:016x}"
    files = [folder / f"{name}.py", folder / "__pycache__" / f"{name}.total-3.py311.1.nbc"]
    for file in files:
        file.write_bytes(b"x" * 50)
        os.utime(file, (used, 0))
    return files


def test_what_was_not_used_for_longest_goes_first(folder: Path) -> None:
    oldest, source, newest = kernel(folder, 1, 10), loop(folder, 2, 20), kernel(folder, 3, 30)
    housekeeping.trim(300)
    assert oldest.exists()  # they take no more than that
    housekeeping.trim(299)
    assert not oldest.exists()
    assert all(file.exists() for file in source)
    housekeeping.used(source[0])
    housekeeping.trim(150)
    assert all(file.exists() for file in source)
    assert not newest.exists()
    assert all((folder / name).exists() for name in OTHERS)


def test_use_leaves_the_time_of_change_alone(folder: Path) -> None:
    path = kernel(folder, 1, 10)
    housekeeping.used(path)
    assert path.stat().st_mtime == 5.0
    assert path.stat().st_atime > 1e9
    housekeeping.used(folder / "gone")


def test_what_a_dead_process_left_goes(folder: Path) -> None:
    old, new = folder / "kx.part", folder / "ky.part"
    old.write_text("")
    new.write_text("")
    os.utime(old, (0, 0))
    housekeeping.trim(1e9)
    assert not old.exists()
    assert new.exists()


def test_clearing_removes_ours_only(folder: Path) -> None:
    kernel(folder, 1, 10)
    loop(folder, 2, 10)
    (folder / f"gemm_{3:016x}.json").write_text("{}")
    assert housekeeping.clear() == 202
    assert not housekeeping.entries()
    assert not housekeeping.tuning()
    assert sorted(path.name for path in folder.iterdir()) == sorted([*OTHERS, "__pycache__"])


def test_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path / "none"))
    housekeeping.trim(0)
    assert housekeeping.clear() == 0
    monkeypatch.setattr(cache, "folder", lambda: Path("~nobody-at-all").expanduser())
    assert housekeeping.entries() == {}


def test_kernels_count_as_used_when_they_are_loaded_and_are_trimmed_when_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinygrad_edu.kernels import llvm

    old = kernel(folder, 1, 10)
    monkeypatch.setattr(housekeeping, "LIMIT", 50)
    monkeypatch.setattr(housekeeping, "_written", 0)
    llvm._write(f"k{2:024x}", b"code")
    assert not old.exists()
    llvm._write(f"k{3:024x}", b"code")
    path = folder / f"k{3:024x}.o"
    os.utime(path, (10, 10))
    assert llvm._read(path.stem) == b"code"
    assert path.stat().st_atime > 1e9


def _write_and_trim(start: int) -> None:
    from tinygrad_edu.kernels import llvm

    for i in range(start, start + 200):
        llvm._write(f"k{i:024x}", b"x" * 100)
        found = llvm._read(f"k{i - start:024x}")
        assert found in (None, b"x" * 100)
        housekeeping.trim(2000)


def test_many_processes_at_once(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_and_trim, args=(n,)) for n in (0, 100, 1000)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    housekeeping.trim(2000)
    assert sum(entry.bytes for entry in housekeeping.entries().values()) <= 2000
