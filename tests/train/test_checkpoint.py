"""A file is whole or absent, and what is not whole is not read."""

from __future__ import annotations

import json
import os
import pathlib
import resource
import signal
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.train.nestings import nestings, same, views
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import CheckpointError
from tinygrad_edu.train import checkpoint
from tinygrad_edu.train.checkpoint import remove_leftovers

OLD, NEW = {"old": [1, 2]}, {"new": np.arange(5000.0)}
SMALL = {"a": tg.tensor([[1, -2]], dtype=np.int8), "b": {"c": 0.5, "d": np.array(True)}}

Folder = pathlib.Path


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A file that many examples of one test overwrite."""
    return tmp_path_factory.mktemp("scratch") / "file"


# ------------------------------------------------------------------------------ what comes back


@given(obj=nestings)
def test_round_trip(obj: Any, scratch: Folder) -> None:
    tg.save(obj, scratch)
    assert same(tg.load(scratch), obj)


def test_a_model_and_its_training(tmp_path: Folder) -> None:
    model, other = (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2))
    optimizer, fresh = optim.AdamW(model.parameters()), optim.AdamW(other.parameters(), lr=7)
    for _ in range(3):
        optimizer.zero_grad()
        (model(tg.randn(5, 3)) ** 2).sum().backward()
        optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    tg.save(state, tmp_path / "run")
    loaded = tg.load(str(tmp_path / "run"))
    assert same(loaded, state)
    other.load_state_dict(loaded["model"])
    fresh.load_state_dict(loaded["optimizer"])
    assert same(other.state_dict(), state["model"])
    assert same(fresh.state_dict(), state["optimizer"])


def test_what_is_loaded_is_ones_own(tmp_path: Folder) -> None:
    tg.save(NEW, tmp_path / "a")
    first = tg.load(tmp_path / "a")["new"]
    first[:] = 7  # neither read-only nor shared
    assert same(tg.load(tmp_path / "a"), NEW)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", ">u8"])
def test_the_other_byte_order_is_converted(dtype: str, tmp_path: Folder) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    tg.save([array, array.T], tmp_path / "a")
    for back, given_ in zip(tg.load(tmp_path / "a"), [array, array.T], strict=True):
        assert back.dtype.isnative
        assert back.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(back, given_)


@given(array=views())
@example(array=np.ones((2, 3)).T)
@example(array=np.ones((2, 3, 4), np.float32).transpose(0, 2, 1))
def test_arrays_lie_in_memory_as_before(array: np.ndarray, scratch: Folder) -> None:
    tg.save([array, tg.Tensor(array)], scratch)
    assert all(map(same, tg.load(scratch), [array, tg.Tensor(array)]))


def test_other_programs_read_the_arrays(tmp_path: Folder) -> None:
    """The safetensors package as judge of the format."""
    state = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).state_dict()
    mixed = {
        "flag": np.array([True]),
        "half": np.ones((3, 1), np.float16),
        "none": np.zeros((0, 2)),
    }
    tg.save({**state, **mixed, "epoch": 3}, tmp_path / "a")
    read = safetensors.numpy.load_file(tmp_path / "a")
    expected = {**{key: tensor.numpy() for key, tensor in state.items()}, **mixed}
    assert read.keys() == expected.keys()
    assert all(same(np.array(read[key]), expected[key]) for key in expected)
    with safetensors.safe_open(tmp_path / "a", "np") as file:
        assert '"epoch":3' in file.metadata()["tree"]
    contents = (tmp_path / "a").read_bytes()
    length = int.from_bytes(contents[:8], "little")
    header = json.loads(contents[8 : 8 + length])
    assert length % 8 == 0
    for key, array in expected.items():  # aligned, for those who map the file into memory
        assert header[key]["data_offsets"][0] % array.itemsize == 0


def test_arrays_are_neither_doubled_in_writing_nor_in_reading(tmp_path: Folder) -> None:
    array = np.zeros(2**22, np.uint8)
    tracemalloc.start()
    try:
        tg.save({"a": array, "b": tg.ones(1)}, tmp_path / "a")
        _, peak = tracemalloc.get_traced_memory()
        assert peak < array.nbytes / 2
        tracemalloc.reset_peak()
        tg.load(tmp_path / "a")
        _, peak = tracemalloc.get_traced_memory()
        assert array.nbytes < peak < 1.5 * array.nbytes
    finally:
        tracemalloc.stop()


def test_nothing_but_numpy_is_needed() -> None:
    code = (
        "import sys, tinygrad_edu as tg; tg.save; "
        "print([m for m in ('safetensors', 'scipy', 'numba') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# ------------------------------------------------------------------------------ what is refused


def refused(path: Folder, contents: bytes) -> str:
    """The message for a file with these contents."""
    path.write_bytes(contents)
    with pytest.raises(CheckpointError) as error:
        tg.load(path)
    assert str(path) in str(error.value)
    assert "Nothing was loaded" in str(error.value)
    return str(error.value)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small checkpoint."""
    path = tmp_path_factory.mktemp("small") / "file"
    tg.save(SMALL, path)
    return path.read_bytes()


def test_truncated_anywhere(small: bytes, tmp_path: Folder) -> None:
    path = tmp_path / "a"
    path.write_bytes(small)
    for length in reversed(range(len(small))):
        os.truncate(path, length)
        with pytest.raises(CheckpointError, match="truncated"):
            tg.load(path)


def test_one_bit_flipped_anywhere(small: bytes, tmp_path: Folder) -> None:
    path = tmp_path / "a"
    path.write_bytes(small)
    with open(path, "r+b", buffering=0) as file:
        for position, byte in enumerate(small):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), position)
                with pytest.raises(CheckpointError):
                    tg.load(path)
            os.pwrite(file.fileno(), bytes([byte]), position)
    assert same(tg.load(path), SMALL)


def test_anything_appended(small: bytes, tmp_path: Folder) -> None:
    for more in (b"\0", small):
        message = f"{len(small) + len(more)} bytes instead of {len(small)}"
        assert message in refused(tmp_path / "a", small + more)


def test_two_pieces_exchanged(tmp_path: Folder) -> None:
    """Of equal length, so that only the checksum can tell."""
    tg.save([np.zeros(3)], tmp_path / "a")
    tg.save([np.ones(3)], tmp_path / "b")
    zeros, ones = (tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()
    assert "checksum" in refused(tmp_path / "a", zeros[:-24] + ones[-24:])


@given(contents=st.binary(max_size=400))
def test_random_bytes(contents: bytes, scratch: Folder) -> None:
    refused(scratch, contents)


@given(contents=st.binary(max_size=400))
def test_random_bytes_after_a_true_beginning(
    contents: bytes, scratch: Folder, small: bytes
) -> None:
    refused(scratch, small[:170] + contents)


def test_files_of_other_programs(tmp_path: Folder) -> None:
    arrays = {"weight": np.ones((30, 3), np.float32)}
    foreign = safetensors.numpy.save(arrays, {"format": "pt"})
    assert "safetensors.numpy.load_file" in refused(tmp_path / "a", foreign)
    np.savez(tmp_path / "b.npz", **arrays)
    assert "not a checkpoint" in refused(tmp_path / "a", (tmp_path / "b.npz").read_bytes())
    assert "not a checkpoint" in refused(tmp_path / "a", b"text " * 100)
    assert "0 bytes" in refused(tmp_path / "a", b"")


def test_another_version_of_the_format(small: bytes, tmp_path: Folder) -> None:
    later = small.replace(b'"tinygrad_edu":"1"', b'"tinygrad_edu":"2"')
    assert "format 2" in refused(tmp_path / "a", later)


def test_a_checkpoint_of_another_model(tmp_path: Folder) -> None:
    model, other = nn.Linear(2, 3), nn.Sequential(nn.Linear(2, 3))
    tg.save(other.state_dict(), tmp_path / "a")
    before = model.state_dict()
    with pytest.raises(CheckpointError, match=r"weight, bias\n.*unexpected: 0.weight, 0.bias"):
        model.load_state_dict(tg.load(tmp_path / "a"))
    assert same(model.state_dict(), before)


def test_missing_files_and_wrong_paths(tmp_path: Folder) -> None:
    with pytest.raises(FileNotFoundError):
        tg.load(tmp_path / "absent")
    with pytest.raises(IsADirectoryError):
        tg.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        tg.save(OLD, tmp_path / "absent" / "a")
    with pytest.raises(TypeError):
        tg.save(OLD, 7)  # type: ignore[arg-type]
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(CheckpointError, match="folder or a device"):
            tg.save(OLD, path)
    assert os.listdir(tmp_path) == ["pipe"]


# ------------------------------------------------------------------------------ whole or absent


@pytest.mark.parametrize("obj", [{"f": print}, [np.zeros(2), {1.5: 0}], "x" * 1000])
def test_an_object_that_cannot_be_stored_leaves_no_trace(
    obj: Any, tmp_path: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "LONGEST_HEADER", 1000)
    tg.save(OLD, tmp_path / "a")
    for name in ("a", "b"):
        with pytest.raises(CheckpointError, match="Nothing was written"):
            tg.save(obj, tmp_path / name)
    assert os.listdir(tmp_path) == ["a"]
    assert same(tg.load(tmp_path / "a"), OLD)


def failing(error: BaseException) -> Callable[..., Any]:
    """A function that raises."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("function", ["replace", "fsync", "chmod", "stat"])
@pytest.mark.parametrize("error", [OSError(5, "failing disk"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file(
    function: str, error: BaseException, tmp_path: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tg.save(OLD, tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(os, function, failing(error))
        with pytest.raises(type(error)):
            tg.save(NEW, tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]
    assert same(tg.load(tmp_path / "a"), OLD)


def test_a_full_disk_leaves_the_old_file(tmp_path: Folder) -> None:
    """As the kernel tells it: files may not grow beyond what the old one needs."""
    tg.save(OLD, tmp_path / "a")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="large"):
            tg.save(NEW, tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == ["a"]
    assert same(tg.load(tmp_path / "a"), OLD)


def test_on_disk_before_it_takes_the_name(
    tmp_path: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contents, then name, then folder: in this order a power cut finds the old file or the new."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        if kind == "file":  # all of it has been written, the checksum too
            [aside] = [name for name in os.listdir(tmp_path) if name != "a"]
            assert same(tg.load(tmp_path / aside), NEW)
        done.append(kind)
        fsync(descriptor)

    def noted_replace(source: str, target: str) -> None:
        done.append("name")
        replace(source, target)

    tg.save(OLD, tmp_path / "a")
    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    tg.save(NEW, tmp_path / "a")
    assert done == ["file", "name", "folder"]


def test_who_reads_while_it_is_replaced_gets_the_old_file(tmp_path: Folder) -> None:
    tg.save(OLD, tmp_path / "a")
    with open(tmp_path / "a", "rb") as file:
        before = file.read(10)
        tg.save(NEW, tmp_path / "a")
        rest = file.read()
    (tmp_path / "b").write_bytes(before + rest)
    assert same(tg.load(tmp_path / "b"), OLD)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions(umask: int, mode: int, tmp_path: Folder) -> None:
    (tmp_path / "old").touch(0o640)
    os.chmod(tmp_path / "old", 0o640)
    before = os.umask(umask)
    try:
        tg.save(OLD, tmp_path / "new")
        tg.save(OLD, tmp_path / "old")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path: Folder) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    for obj in (OLD, NEW):
        tg.save(obj, tmp_path / "link")
        assert same(tg.load(tmp_path / "elsewhere" / "file"), obj)
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "elsewhere") == ["file"]


def test_relative_paths(tmp_path: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tg.save(OLD, "a")
    assert same(tg.load("a"), OLD)


def test_what_a_killed_process_left_can_be_removed(tmp_path: Folder) -> None:
    program = (
        "import os, sys, signal, tinygrad_edu as tg\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        "tg.save({'a': tg.ones(9)}, sys.argv[1])"
    )
    path = tmp_path / "a.b"
    done = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert done.returncode == -signal.SIGKILL
    [left] = os.listdir(tmp_path)
    assert left.endswith(".part")
    others = {".a.b.part", ".c.b.0123456789abcdef.part", "a.b"}
    for other in others:
        (tmp_path / other).touch()
    remove_leftovers(path)
    assert set(os.listdir(tmp_path)) == others
    remove_leftovers(tmp_path / "absent" / "a")
