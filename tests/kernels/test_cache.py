"""The cache of compiled kernels: one compilation on a machine, and no way to break it for good."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tinygrad_edu.kernels import cache

SOURCE = '''
import numpy as np

@njit("float64(float64[::1])", **OPTIONS)
def total(x):
    """A sum."""
    result = 0.0
    for i in range(x.size):
        result += x[i]
    return result
'''

COMPILED = "6.0, compiled"
LOADED = "6.0, loaded"


def report() -> str:
    """Load the kernel, call it, and tell whether this process had to compile it."""
    total = cache.load(SOURCE, "total").total
    how = "loaded" if total.stats.cache_hits else "compiled"
    return f"{total(np.arange(4.0))}, {how}"


def start(folder: Path) -> subprocess.Popen[str]:
    """Another process that reports."""
    environment = {**os.environ, "TINYGRAD_EDU_CACHE": str(folder)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, __file__], env=environment, stdout=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return output.strip()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache into which another process has compiled."""
    folder = tmp_path_factory.mktemp("filled")
    assert finish(start(folder)) == COMPILED
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and a process that has loaded nothing."""
    monkeypatch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "_loaded", {})
    return tmp_path


def copy(filled: Path, to: Path) -> None:
    shutil.copytree(filled, to, dirs_exist_ok=True)  # with time stamps


def report_anew(monkeypatch: pytest.MonkeyPatch) -> str:
    """As a new process would."""
    monkeypatch.setattr(cache, "_loaded", {})
    return report()


def test_second_process_loads(filled: Path) -> None:
    assert finish(start(filled)) == LOADED


def test_one_process_loads_once(folder: Path) -> None:
    assert cache.load(SOURCE, "total") is cache.load(SOURCE, "total")


def test_another_source_is_another_entry(folder: Path, filled: Path) -> None:
    copy(filled, folder)
    other = cache.load(SOURCE.replace("A sum.", "The sum."), "total").total
    assert not other.stats.cache_hits
    assert report() == LOADED


def test_nothing_half_written_is_left(filled: Path) -> None:
    names = [file.name for file in filled.iterdir()]
    assert len(names) == 2, names
    assert not [file for file in filled.rglob("*") if ".part" in file.name or ".tmp" in file.name]


@pytest.mark.parametrize("pattern", ["*.nbi", "*.nbc", "*.pyc", "*.py"])
@pytest.mark.parametrize("damage", [b"", b"\x80garbage"])
def test_damaged_files_are_made_anew(
    filled: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, damage: bytes
) -> None:
    copy(filled, folder)
    (file,) = folder.rglob(pattern)
    file.write_bytes(damage)
    os.utime(file, (0, 0))  # damage need not show in the time stamp
    assert report().startswith("6.0")
    assert report_anew(monkeypatch) == LOADED


def test_two_processes_at_once(folder: Path) -> None:
    processes = [start(folder), start(folder)]
    assert all(finish(process).startswith("6.0") for process in processes)
    assert report() == LOADED


def test_killed_process_leaves_a_usable_cache(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(folder)
    deadline = time.monotonic() + 60
    while not any(folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.001)  # until the source is being written, and compiling begins
    process.kill()
    process.communicate()
    assert report().startswith("6.0")
    assert report_anew(monkeypatch) == LOADED


def test_kill_during_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        cache._write(tmp_path, "kernel.py", "text")
    assert not list(tmp_path.iterdir())


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    """Not even the time stamp, by which Numba tells that a source is new."""
    path = cache._write(tmp_path, "kernel.py", "text")
    before = path.stat()
    path.unlink()
    after = cache._write(tmp_path, "kernel.py", "text").stat()
    assert (after.st_mtime, after.st_size) == (before.st_mtime, before.st_size)
    assert cache._write(tmp_path, "kernel.py", "text").stat().st_ino == after.st_ino


def test_without_a_folder_kernels_live_in_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "file"
    file.write_text("no folder can be made below a file")
    monkeypatch.setenv("TINYGRAD_EDU_CACHE", str(file / "cache"))
    with pytest.warns(RuntimeWarning, match="TINYGRAD_EDU_CACHE"):
        assert report() == COMPILED
    assert [*folder.iterdir()] == [file]


def test_folder_follows_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_EDU_CACHE", "/own")
    assert cache.folder() == Path("/own")
    monkeypatch.delenv("TINYGRAD_EDU_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache.folder() == Path("/xdg/tinygrad_edu")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == Path.home() / ".cache" / "tinygrad_edu"


@pytest.mark.filterwarnings("ignore:compiled kernels cannot be kept")
def test_errors_of_the_source_come_through(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        cache.load("1 / 0", "broken")


def test_machine_code_belongs_to_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here = cache._digest(SOURCE)
    assert cache._digest(SOURCE) == here
    monkeypatch.setattr(cache, "_machine", lambda: ("another", "numba", "or", "cpu"))
    assert cache._digest(SOURCE) != here


def test_slow_compilation_is_announced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cache, "_SLOW", 0.01)
    with cache._say_when_slow("some"):
        time.sleep(0.2)
    assert capsys.readouterr().err.count("\n") == 1
    with cache._say_when_slow("some"):
        pass
    time.sleep(0.05)
    assert capsys.readouterr().err == ""


if __name__ == "__main__":
    print(report())
