"""The BLAS that NumPy brought along: its functions' addresses, for compiled code to call.

NumPy's wheels carry a BLAS, already loaded and with its threads running, so linking to that one
costs nothing and a process never has two. Which file it is differs from build to build, so nothing
here knows a file's name: the loader is asked for C functions among the libraries NumPy depends on,
then among all that are loaded, then among those SciPy depends on. Without any, NumPy multiplies.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_edu.errors import DTypeError, ShapeError, TinygradError

_SPELLINGS = (
    # before the plain name, after it, bits of an integer argument
    ("scipy_", "64_", 64),  # the wheels of NumPy
    ("scipy_", "", 32),
    ("", "64_", 64),  # an OpenBLAS built for 64-bit integers
    ("", "$NEWLAPACK$ILP64", 64),  # Apple's Accelerate
    ("", "$NEWLAPACK", 32),
    ("", "", 32),
)

_ROW_MAJOR, _AS_IS, _TRANSPOSED = 101, 111, 112  # the enumerations of the C interface
_REALS: dict[np.dtype[Any], tuple[str, Any]] = {
    np.dtype(np.float32): ("cblas_sgemm", ctypes.c_float),
    np.dtype(np.float64): ("cblas_dgemm", ctypes.c_double),
}


class BlasError(TinygradError, RuntimeError):
    """NumPy's BLAS cannot be called."""


@dataclass(frozen=True)
class Blas:
    """A BLAS with the C interface, loaded in this process."""

    path: str
    prefix: str
    suffix: str
    integer_bits: int
    library: ctypes.CDLL

    def address(self, name: str) -> int:
        """Where the function with this plain name (``cblas_sgemm``) is; 0 if there is none."""
        return _address(self.library, self.prefix + name + self.suffix)

    @property
    def integer(self) -> Any:
        """The C type of sizes and strides."""
        return ctypes.c_int64 if self.integer_bits == 64 else ctypes.c_int32

    @property
    def config(self) -> str | None:
        """Version and build options of an OpenBLAS; None for another BLAS."""
        text: str | None = self._ask("openblas_get_config", ctypes.c_char_p)
        return text

    @property
    def core(self) -> str | None:
        """The CPU whose kernels an OpenBLAS runs (``OPENBLAS_CORETYPE`` overrides its choice)."""
        name: str | None = self._ask("openblas_get_corename", ctypes.c_char_p)
        return name

    @property
    def threads(self) -> int | None:
        """How many threads an OpenBLAS uses."""
        count: int | None = self._ask("openblas_get_num_threads", ctypes.c_int)
        return count

    def _ask(self, name: str, result: Any) -> Any:
        address = self.address(name)
        if not address:
            return None
        answer = ctypes.CFUNCTYPE(result)(address)()
        return answer.decode() if isinstance(answer, bytes) else answer


def _address(library: ctypes.CDLL, symbol: str) -> int:
    try:
        return ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value or 0
    except AttributeError:
        return 0


@functools.cache
def find() -> Blas | None:
    """NumPy's BLAS, else SciPy's, or None if none can be called (`info` says what was tried)."""
    for library in _libraries():
        for prefix, suffix, bits in _SPELLINGS:
            address = _address(library, f"{prefix}cblas_sgemm{suffix}")
            if address:
                return Blas(_file_of(address), prefix, suffix, bits, library)
    return None


def _libraries() -> Iterator[ctypes.CDLL]:
    """Handles to search, the most likely ones first."""
    for source in (_of_numpy, _beside_numpy, _loaded, _of_scipy):
        with contextlib.suppress(ImportError, OSError):
            yield from source()


def _of_numpy() -> Iterator[ctypes.CDLL]:
    """NumPy's extension: looking up a symbol in it also searches what it depends on."""
    yield ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)


def _beside_numpy() -> Iterator[ctypes.CDLL]:
    """The libraries that a wheel brought along, where a look-up does not reach them (Windows)."""
    package = Path(np.__file__).parent
    for folder in (package.with_name("numpy.libs"), package / ".dylibs"):
        for file in sorted(folder.glob("*blas*")):
            yield ctypes.CDLL(str(file))


def _loaded() -> Iterator[ctypes.CDLL]:
    """Every BLAS that the process has loaded, by whatever name."""
    for library in import_module("threadpoolctl").ThreadpoolController().info():
        if library["user_api"] == "blas":
            yield ctypes.CDLL(library["filepath"])


def _of_scipy() -> Iterator[ctypes.CDLL]:
    """SciPy's own BLAS, for a NumPy that has none with a C interface."""
    yield ctypes.CDLL(import_module("scipy.linalg.cython_blas").__file__)


class _SymbolInfo(ctypes.Structure):
    """`Dl_info` of <dlfcn.h>."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def _file_of(address: int) -> str:
    """The file that a loaded function came from."""
    found = _SymbolInfo()
    try:
        known = ctypes.CDLL(None).dladdr(ctypes.c_void_p(address), ctypes.byref(found))
    except (AttributeError, OSError, TypeError):  # not a system with dlfcn
        known = 0
    return str(Path(found.file.decode()).resolve()) if known and found.file else "unknown"


def info() -> dict[str, Any]:
    """What was found, for reports and benchmarks; only a `reason` if nothing was."""
    blas = find()
    if blas is None:
        tried = ", ".join(f"{prefix}cblas_sgemm{suffix}" for prefix, suffix, _ in _SPELLINGS)
        return {"reason": f"neither NumPy {np.__version__} nor SciPy exports any of {tried}"}
    return {
        "path": blas.path,
        "symbol": f"{blas.prefix}cblas_sgemm{blas.suffix}",
        "integer_bits": blas.integer_bits,
        "config": blas.config,
        "core": blas.core,
        "threads": blas.threads,
    }


def gemm(
    a: np.ndarray, b: np.ndarray, out: np.ndarray, alpha: float = 1.0, beta: float = 0.0
) -> np.ndarray:
    """``out = alpha * a @ b + beta * out`` for float32 or float64 matrices, by one BLAS call.

    `a` (m, k) and `b` (k, n) may be transposed views or have padded rows; the rows of `out`
    (m, n) must be contiguous. Memory of `out` must not overlap the operands.

    Raises `ShapeError`, `DTypeError` for what does not fit, `BlasError` without a BLAS.
    """
    (m, k), n = a.shape, b.shape[1]
    if b.shape[0] != k or out.shape != (m, n):
        raise ShapeError(f"gemm: {a.shape} @ {b.shape} does not make {out.shape}")
    if not (a.dtype == b.dtype == out.dtype and a.dtype in _REALS):
        raise DTypeError(
            f"gemm: {a.dtype} @ {b.dtype} into {out.dtype}; all three must be float32 or float64"
        )
    if not out.size:
        return out
    function, real = _gemm_function(a.dtype)
    a_order, a_stride = _layout("a", a)
    b_order, b_stride = _layout("b", b)
    out_order, out_stride = _layout("out", out)
    if out_order == _TRANSPOSED:
        raise ShapeError(
            "gemm: out must have contiguous rows; pass out.T for the transposed product"
        )
    sizes = (_ROW_MAJOR, a_order, b_order, m, n, k)
    operands = (real(alpha), a.ctypes.data, a_stride, b.ctypes.data, b_stride)
    function(*sizes, *operands, real(beta), out.ctypes.data, out_stride)
    return out


@functools.cache
def _gemm_function(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    blas = find()
    if blas is None:
        raise BlasError(f"gemm: {info()['reason']}; use np.matmul")
    name, real = _REALS[dtype]
    enum, size, pointer = ctypes.c_int, blas.integer, ctypes.c_void_p
    sizes = (enum, enum, enum, size, size, size)
    operands = (real, pointer, size, pointer, size)
    prototype = ctypes.CFUNCTYPE(None, *sizes, *operands, real, pointer, size)
    return prototype(blas.address(name)), real


def _layout(name: str, x: np.ndarray) -> tuple[int, int]:
    """How BLAS is told to read a matrix: as it is or transposed, and the distance of its rows."""
    (rows, columns), (down, right) = x.shape, (stride / x.itemsize for stride in x.strides)
    if not x.size or _is_packed(columns, right, rows, down):
        return _AS_IS, max(int(down), columns, 1)
    if _is_packed(rows, down, columns, right):
        return _TRANSPOSED, max(int(right), rows, 1)
    raise ShapeError(
        f"gemm: neither rows nor columns of {name} are contiguous (shape {x.shape}, strides "
        f"{x.strides}); pass np.ascontiguousarray({name})"
    )


def _is_packed(length: int, step: float, count: int, distance: float) -> bool:
    """Whether `count` vectors of `length` neighbouring elements lie `distance` apart."""
    whole = distance == int(distance) and distance >= length
    return (step == 1 or length == 1) and (whole or count == 1)
