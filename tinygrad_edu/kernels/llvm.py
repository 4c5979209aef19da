"""LLVM text to callable machine code, compiled once on a machine.

Every kernel has the signature ``void kernel(int64 *args)`` and is called by address, so that a
stream of calls needs to know nothing but addresses. Machine code is kept in the folder of
`kernels.cache` as one object file per kernel, named by the hash of what it depends on: the
kernel's own description, the source of the code that emits, LLVM and the processor. Whatever is
missing, damaged or unwritable is compiled again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llvmlite import binding

from tinygrad_edu.kernels import cache, housekeeping

_EMITTERS = (
    "columns.py",
    "control.py",
    "convolution/channel_loops.py",
    "convolution/pooled.py",
    "convolution/summed.py",
    "crew.py",
    "description.py",
    "door.py",
    "emit.py",
    "indexed.py",
    "lanes.py",
    "lines.py",
    "llvm.py",
    "memory.py",
    "narrow.py",
    "native.py",
    "reductions.py",
    "scans.py",
    "sorting.py",
    "team.py",
    "tiled.py",
    "values/driver.py",
    "values/entrance.py",
    "values/interpreter.py",
    "values/lane_machine.py",
    "values/scalar_machine.py",
    "vector_math/*.py",
    "whole_powers.py",
)
"""The modules whose text decides what a description becomes."""

_DIGEST = hashlib.sha256().digest_size

_lock = threading.RLock()
_addresses: dict[tuple[str, Target], int] = {}
_kept: list[Any] = []
compiled: list[str] = []
"""Names of the kernels this process had to compile, in order."""


@dataclass(frozen=True)
class Target:
    """A processor to emit for: LLVM's name of it, and its features as LLVM writes them."""

    cpu: str
    features: str

    @functools.cached_property
    def masks(self) -> bool:
        """Whether the remainder of a row is best handled by masked vectors."""
        return all(f"+{name}" in self.features.split(",") for name in ("avx512vl", "avx512bw"))

    @functools.cached_property
    def vector_bytes(self) -> int:
        """The width of a vector register."""
        return 64 if self.masks else 32 if "+avx2" in self.features.split(",") else 16

    def without(self, prefix: str) -> Target:
        """The same processor with every feature that starts with `prefix` turned off."""
        features = [
            f"-{name[1:]}" if name[1:].startswith(prefix) else name
            for name in self.features.split(",")
        ]
        return Target(self.cpu, ",".join(features))

    @functools.cached_property
    def machine(self) -> Any:
        """LLVM's code generator for it."""
        return _machine(self)


def _machine(target: Target) -> Any:
    # 512-bit vectors are what the kernels are written in; LLVM would split them on some processors.
    wide = ",-prefer-256-bit" if target.masks else ""
    return binding.Target.from_default_triple().create_target_machine(
        cpu=target.cpu,
        features=target.features + wide,
        opt=2,
        codemodel="jitdefault",
        jit=True,
    )


@functools.cache
def host() -> Target:
    """This machine's processor."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return Target(binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())


@functools.cache
def _engine() -> Any:
    # An engine owns its target machine: sharing one with the compiler frees it twice.
    return binding.create_mcjit_compiler(binding.parse_assembly(""), _machine(host()))


@functools.cache
def _sources() -> str:
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for pattern in _EMITTERS:
        for file in sorted(folder.glob(pattern)):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def address(
    signature: str,
    make: Callable[[str], str],
    target: Target | None = None,
    optimise: bool = False,
) -> int:
    """Where the kernel described by `signature` is; `make(name)` writes it as LLVM assembly with a
    function of that name, if it is needed. `optimise` asks for all of LLVM's passes, for what is
    not written as it should run."""
    target = target or host()
    key = (signature, target)
    if key in _addresses:
        return _addresses[key]
    stamp = (signature, _sources(), target.cpu, target.features, str(binding.llvm_version_info))
    name = "k" + hashlib.sha256("\0".join(stamp).encode()).hexdigest()[:24]
    with _lock:
        if key not in _addresses:
            code = _read(name)
            if code is None:
                code = _compile(make(name), target, optimise)
                compiled.append(name)
                _write(name, code)
            _addresses[key] = _load(name, code)
        return _addresses[key]


def _load(name: str, code: bytes) -> int:
    engine = _engine()
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    found: int = engine.get_function_address(name)
    return found


def _compile(text: str, target: Target, optimise: bool) -> bytes:
    module = binding.parse_assembly(text)
    module.triple, module.data_layout = target.machine.triple, str(target.machine.target_data)
    options = binding.create_pipeline_tuning_options(speed_level=2 if optimise else 1)
    builder = binding.create_pass_builder(target.machine, options)
    if optimise:
        passes = builder.getModulePassManager()
    else:
        passes = binding.create_new_module_pass_manager()
        passes.add_sroa_pass()
    passes.run(module, builder)
    code: bytes = target.machine.emit_object(module)
    return code


def _file(name: str) -> Path:
    return cache.folder() / f"{name}.o"


def _read(name: str) -> bytes | None:
    """The object kept under this name, if it is whole: running a damaged one would crash."""
    try:
        path = _file(name)
        data = path.read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        return None
    digest, code = data[:_DIGEST], data[_DIGEST:]
    housekeeping.used(path)
    return code if hashlib.sha256(code).digest() == digest else None


def _write(name: str, code: bytes) -> None:
    """Keep an object; whoever looks sees the whole file or none. Not being able to is no error."""
    with contextlib.suppress(OSError, RuntimeError):
        path = _file(name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=name, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(aside, path)
        except BaseException:
            os.unlink(aside)
            raise
        housekeeping.written()
