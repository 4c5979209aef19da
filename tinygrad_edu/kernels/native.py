"""Kernels that are the same for every program: the walk over an instruction stream, the matrix
product, copies between memory layouts, the gathering of a batch's rows.

Addresses of BLAS functions travel in the arguments, so no kernel on disk holds an external symbol.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import blas, door, llvm
from tinygrad_edu.kernels.control import I32, I64, function, loop

_ROW_MAJOR, _AS_IS, _TRANSPOSED = I32(101), I32(111), I32(112)
COPIED_AXES = 6
"""Axes of the space that a strided copy walks."""


def _nonzero(b: ir.IRBuilder, x: Any) -> Any:
    return b.icmp_signed("!=", x, I64(0))


def _smaller(b: ir.IRBuilder, x: Any, y: Any) -> Any:
    return b.select(b.icmp_signed("<", x, y), x, y)


def _call(b: ir.IRBuilder, address: Any, args: list[Any]) -> None:
    kind = ir.FunctionType(ir.VoidType(), [x.type for x in args])
    b.call(b.inttoptr(address, kind.as_pointer()), args)


# ------------------------------------------------------------------------------ the product

GEMM_ARGUMENTS = (
    *("ta", "tb", "m", "n", "k", "a", "lda", "b", "ldb", "c", "ldc", "beta", "mb", "nb", "kb"),
    *("work", "batch", "a_step", "b_step", "c_step", "gemm", "transpose"),
)
"""C = op(A) op(B) + beta C for each of `batch` matrices, in blocks of mb x nb x kb. `beta` is an
address, or 0 for none. With `work` B is first written there transposed."""


def _product(dtype: np.dtype[Any], integer_bits: int, name: str) -> str:
    module, b, argument = function(name)
    x = {key: argument(q) for q, key in enumerate(GEMM_ARGUMENTS)}
    real = ir.FloatType() if dtype.itemsize == 4 else ir.DoubleType()
    one, slot = ir.Constant(real, 1.0), b.alloca(real)
    b.store(ir.Constant(real, 0.0), slot)
    with b.if_then(_nonzero(b, x["beta"])):
        b.store(b.load(b.inttoptr(x["beta"], real.as_pointer())), slot)
    integer = ir.IntType(integer_bits)

    def at(address: Any, elements: Any) -> Any:
        return b.add(address, b.mul(elements, I64(dtype.itemsize)))

    def whole(v: Any) -> Any:
        return v if integer_bits == 64 else b.trunc(v, integer)

    use_work = _nonzero(b, x["work"])
    transposed = _nonzero(b, x["ta"]), b.and_(_nonzero(b, x["tb"]), b.not_(use_work))
    orders = [b.select(t, _TRANSPOSED, _AS_IS) for t in transposed]
    with loop(b, I64(0), x["batch"], 1) as batch:
        a0, b0, c0 = (b.add(x[p], b.mul(batch, x[f"{p}_step"])) for p in "abc")
        with b.if_then(use_work):
            sizes = [whole(x["n"]), whole(x["k"]), one, b0, whole(x["ldb"])]
            args = [_ROW_MAJOR, _TRANSPOSED, *sizes, x["work"], whole(x["n"])]
            _call(b, x["transpose"], args)
        b0, ldb = b.select(use_work, x["work"], b0), b.select(use_work, x["n"], x["ldb"])
        with (
            loop(b, I64(0), x["m"], x["mb"]) as i,
            loop(b, I64(0), x["n"], x["nb"]) as j,
            loop(b, I64(0), x["k"], x["kb"]) as depth,
        ):
            sizes = [
                whole(_smaller(b, x[f"{s}b"], b.sub(x[s], start)))
                for s, start in zip("mnk", (i, j, depth), strict=True)
            ]
            at_a = b.add(b.mul(i, x["lda"]), depth), b.add(b.mul(depth, x["lda"]), i)
            at_b = b.add(b.mul(depth, ldb), j), b.add(b.mul(j, ldb), depth)
            place_a, place_b = (
                at(base, b.select(t, other, plain))
                for base, t, (plain, other) in zip((a0, b0), transposed, (at_a, at_b), strict=True)
            )
            beta = b.select(_nonzero(b, depth), one, b.load(slot))
            place_c = at(c0, b.add(b.mul(i, x["ldc"]), j))
            operands = [one, place_a, whole(x["lda"]), place_b, whole(ldb)]
            result = [beta, place_c, whole(x["ldc"])]
            _call(b, x["gemm"], [_ROW_MAJOR, *orders, *sizes, *operands, *result])
    b.ret_void()
    return str(module)


@functools.cache
def gemm(dtype: np.dtype[Any]) -> tuple[int, int, int] | None:
    """Addresses of the product's kernel and of what it takes as `gemm` and `transpose` (0 where
    BLAS cannot transpose); None without a BLAS."""
    found = blas.find()
    letter = {"float32": "s", "float64": "d"}.get(dtype.name)
    if found is None or letter is None:
        return None
    bits = found.integer_bits
    kernel = llvm.address(
        f"gemm {dtype} {bits}", lambda name: _product(dtype, bits, name), llvm.host()
    )
    return kernel, found.address(f"cblas_{letter}gemm"), found.address(f"cblas_{letter}omatcopy")


# ------------------------------------------------------------------------------ copies


def copy_bytes(b: ir.IRBuilder, source: Any, target: Any, count: Any) -> None:
    """Copy bytes that do not overlap: vectors, then what remains."""
    vectors = b.and_(count, I64(-64))
    for step, kind, start, stop in (
        (64, ir.VectorType(ir.IntType(8), 64), I64(0), vectors),
        (1, ir.IntType(8), vectors, count),
    ):
        with loop(b, start, stop, step) as i:
            x = b.load(b.inttoptr(b.add(source, i), kind.as_pointer()))
            x.align = 1
            b.store(x, b.inttoptr(b.add(target, i), kind.as_pointer()), align=1)


def _strided_copy(itemsize: int, name: str) -> str:
    """args: target, source, an offset into each, then extent, target stride and source stride of
    each axis, in bytes. With itemsize 0 the last axis is a run of bytes."""
    module, b, argument = function(name)
    axes = [tuple(argument(4 + 3 * d + q) for q in range(3)) for d in range(COPIED_AXES)]

    def walk(depth: int, target: Any, source: Any) -> None:
        extent, to, frm = axes[depth]
        if itemsize == 0 and depth == COPIED_AXES - 1:
            copy_bytes(b, source, target, extent)
            return
        with loop(b, I64(0), extent, 1) as i:
            here, there = b.add(target, b.mul(i, to)), b.add(source, b.mul(i, frm))
            if depth < COPIED_AXES - 1:
                walk(depth + 1, here, there)
            else:
                kind = ir.IntType(8 * itemsize).as_pointer()
                b.store(b.load(b.inttoptr(there, kind)), b.inttoptr(here, kind))

    walk(0, b.add(argument(0), argument(2)), b.add(argument(1), argument(3)))
    b.ret_void()
    return str(module)


def _fill_zero(name: str) -> str:
    """args: target, bytes."""
    module, b, argument = function(name)
    target, count = argument(0), argument(1)
    vectors = b.and_(count, I64(-64))
    wide = ir.VectorType(ir.IntType(8), 64)
    for step, kind, start, stop in (
        (64, wide, I64(0), vectors),
        (1, ir.IntType(8), vectors, count),
    ):
        with loop(b, start, stop, step) as i:
            zero = ir.Constant(kind, [0] * 64 if step == 64 else 0)
            b.store(zero, b.inttoptr(b.add(target, i), kind.as_pointer()), align=1)
    b.ret_void()
    return str(module)


def _gather_rows(name: str) -> str:
    """args: target, data, index (int64), rows, bytes of a row."""
    module, b, argument = function(name)
    target, data, index, rows, size = (argument(q) for q in range(5))
    index = b.inttoptr(index, I64.as_pointer())
    with loop(b, I64(0), rows, 1) as i:
        source = b.add(data, b.mul(b.load(b.gep(index, [i])), size))
        copy_bytes(b, source, b.add(target, b.mul(i, size)), size)
    b.ret_void()
    return str(module)


def strided_copy(itemsize: int) -> int:
    """Address of the copy between two strided arrays of elements (0: of contiguous runs)."""
    return llvm.address(f"strided copy {itemsize}", lambda name: _strided_copy(itemsize, name))


def fill_zero() -> int:
    """Address of the kernel that zeroes memory."""
    return llvm.address("fill zero", _fill_zero)


def gather_rows() -> int:
    """Address of the kernel that collects rows of an array by index."""
    return llvm.address("gather rows", _gather_rows)


# ------------------------------------------------------------------------------ the walk

_WALK_ARGUMENTS = ("code", "size", "moving", "movings", "base", "stride", "first", "last", "stop")


def _walk(name: str) -> str:
    """For each step: set the moving addresses, then call ``code[q](&code[q + 2])`` and go on by
    ``code[q + 1]`` until the end, or until a kernel has set `stop`."""
    module, b, argument = function(name)
    x = {key: argument(q) for q, key in enumerate(_WALK_ARGUMENTS)}
    arrays = {k: b.inttoptr(x[k], I64.as_pointer()) for k in ("code", "moving", "base", "stride")}
    stop = b.inttoptr(x["stop"], I64.as_pointer())

    def get(array: str, i: Any) -> Any:
        return b.load(b.gep(arrays[array], [i]))

    leave = b.append_basic_block("leave")
    with loop(b, x["first"], x["last"], 1) as step:
        with loop(b, I64(0), x["movings"], 1) as r:
            entry = b.shl(r, I64(1))
            which = get("moving", b.add(entry, I64(1)))
            place = b.add(get("base", which), b.mul(step, get("stride", which)))
            b.store(place, b.gep(arrays["code"], [get("moving", entry)]))
        before = b.block
        head, body, alive, done = (b.append_basic_block() for _ in range(4))
        b.branch(head)
        b.position_at_end(head)
        q = b.phi(I64)
        q.add_incoming(I64(0), before)
        b.cbranch(b.icmp_signed("<", q, x["size"]), body, done)
        b.position_at_end(body)
        args = b.add(q, I64(2))
        kind = ir.FunctionType(ir.VoidType(), [I64.as_pointer()]).as_pointer()
        b.call(b.inttoptr(get("code", q), kind), [b.gep(arrays["code"], [args])])
        b.cbranch(b.icmp_signed("!=", b.load(stop), I64(0)), leave, alive)
        b.position_at_end(alive)
        q.add_incoming(b.add(args, get("code", b.add(q, I64(1)))), alive)
        b.branch(head)
        b.position_at_end(done)
    b.branch(leave)
    b.position_at_end(leave)
    b.ret_void()
    return str(module)


def _walk_once(name: str) -> str:
    """args: the walk, its arguments, `base`, a count, and as many addresses: they become the first
    of `base`, and the stream is walked for step 0."""
    module, b, argument = function(name)
    walk, arguments, base, count = (argument(q) for q in range(4))
    given, slots, walked = (
        b.inttoptr(x, I64.as_pointer())
        for x in (b.ptrtoint(b.function.args[0], I64), base, arguments)
    )
    with loop(b, I64(0), count, 1) as i:
        b.store(b.load(b.gep(given, [b.add(i, I64(_ONCE))])), b.gep(slots, [i]))
    for step, key in enumerate(("first", "last")):
        b.store(I64(step), b.gep(walked, [I64(_WALK_ARGUMENTS.index(key))]))
    _call(b, walk, [walked])
    b.ret_void()
    return str(module)


_ONCE = 4
"""Arguments of `_walk_once` before the addresses."""


def _walk_address() -> int:
    return llvm.address("walk", _walk)


@functools.cache
def walker() -> Any:
    """The walk, to be called with the address of its arguments."""
    return ctypes.CFUNCTYPE(None, ctypes.c_int64)(_walk_address())


class Stream:
    """A bound instruction stream. `moving` holds pairs (position in `code`, which): the argument at
    the position is set to ``base[which] + step * stride[which]`` before each step."""

    def __init__(
        self,
        code: np.ndarray,
        moving: np.ndarray,
        base: np.ndarray,
        stride: np.ndarray,
        stop: np.ndarray | None = None,
    ) -> None:
        self.code, self.moving, self.base, self.stride = code, moving, base, stride
        self.stop = np.zeros(1, np.int64) if stop is None else stop
        # One argument: ctypes takes 0.15 us for each, and asking NumPy for an address takes more.
        self._args = (ctypes.c_int64 * len(_WALK_ARGUMENTS))(
            *(code.ctypes.data, code.size, moving.ctypes.data, len(moving)),
            *(base.ctypes.data, stride.ctypes.data, 0, 0, self.stop.ctypes.data),
        )
        self._here = ctypes.addressof(self._args)
        self._call: Callable[[int], None] = walker()

    def bound(self, first: int, last: int) -> int:
        """Address of the arguments of a walk for the steps from `first` up to `last`."""
        self._args[6], self._args[7] = first, last
        return self._here

    def run(self, first: int, last: int) -> None:
        """Walk the stream for the steps from `first` up to `last`."""
        args = self._args
        args[6], args[7] = first, last
        self._call(self._here)

    def once(self, arrays: int, elements: int) -> Callable[..., Any]:
        """``f(*arrays)`` walks the stream for one step with the addresses of so many contiguous
        arrays as the first of `base`; it must be kept no longer than the stream. With `elements` as
        in `door.ticket`. Faster than `run` by what it takes to ask for addresses.

        Raises:
            NoDoor: There is no such way in this Python, or for so many arrays.
        """
        words = [_walk_address(), self._here, self.base.ctypes.data, arrays, *[0] * arrays]
        places = [(_ONCE + i, i) for i in range(arrays)]
        call = door.Call(llvm.address("walk once", _walk_once), words, places)
        return functools.partial(door.enter(), door.ticket([call], elements))
