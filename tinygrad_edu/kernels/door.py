"""From NumPy arrays to compiled kernels, in a tenth of a microsecond.

A kernel takes addresses. Asking NumPy for that of an array takes a microsecond, as long as adding
two short vectors, and a call through ctypes a third of one. So there is one function, in machine
code like the kernels, that Python calls as it calls its own: `enter` reads the addresses where the
arrays keep them and passes them on.

It is written against what C extensions are promised (the vectorcall of built-in functions, the
first field of an array). Whatever else Python may be here, `enter` raises `NoDoor`.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.control import I64, loop

MOST = 64
"""Arguments of a kernel that may be called so."""

HEADER = object.__basicsize__
"""Bytes that all objects begin with; a float goes on with its number, an array with an address."""
_FASTCALL = 0x80
_API = ("PyEval_SaveThread", "PyEval_RestoreThread", "Py_IncRef")
_LONG = 30_000
"""Elements from which other threads may run Python meanwhile: letting them takes 50 ns."""


class NoDoor(RuntimeError):
    """Kernels cannot be called with arrays in this Python."""


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = [  # ctypes asks for a list
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class Call(NamedTuple):
    """A kernel and its arguments. `places` pairs an argument with the array whose address it is."""

    kernel: int
    words: Sequence[int]
    places: Sequence[tuple[int, int]]


def ticket(calls: Sequence[Call], elements: int) -> np.ndarray:
    """What `enter` needs: the calls, one after another, and how much there is to do."""
    numbers = [len(calls), elements >= _LONG]
    for kernel, words, places in calls:
        if len(words) > MOST:
            raise NoDoor(f"a kernel of {len(words)} arguments; up to {MOST} are passed on.")
        numbers += [kernel, len(words), len(places), *itertools.chain(*places), *words]
    return np.array(numbers, np.int64)


@functools.cache
def enter() -> Callable[..., np.ndarray]:
    """``enter()(ticket, *arrays)`` makes the calls and returns the last array. Nothing is checked:
    the arrays must be as many, of the dtypes and sizes, as the ticket was made for, contiguous."""
    if sys.implementation.name != "cpython" or not _keeps_address():
        raise NoDoor("this Python keeps the address of an array elsewhere.")
    return builtin(b"enter", llvm.address(f"door {HEADER}", _write), _API)


def builtin(name: bytes, address: int, own: Sequence[str | int]) -> Callable[..., Any]:
    """The function of Python's that machine code is: ``PyObject *(PyObject *own, PyObject **args,
    Py_ssize_t count)``, where `own` is an array of numbers, those of Python's functions by name."""
    api = ctypes.pythonapi
    numbers = [
        x if isinstance(x, int) else ctypes.cast(getattr(api, x), ctypes.c_void_p).value
        for x in own
    ]
    method = _Method(name, address, _FASTCALL, None)
    make = api.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.POINTER(_Method), ctypes.py_object, ctypes.c_void_p]
    _kept.append(method)  # the function refers to it
    function: Callable[..., Any] = make(ctypes.byref(method), np.array(numbers, np.int64), None)
    return function


@functools.cache
def exists() -> bool:
    """Whether there is such a way in this Python."""
    try:
        enter()
    except NoDoor:
        return False
    return True


_kept: list[Any] = []


def _keeps_address() -> bool:
    """Whether an array begins, after what all objects begin with, with the address of its data."""
    x = np.zeros(3)
    return ctypes.c_int64.from_address(id(x) + HEADER).value == x.ctypes.data


def _write(name: str) -> str:
    """``PyObject *name(PyObject *functions, PyObject **args, Py_ssize_t count)``"""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(I64, [I64, I64, I64]), name)
    b = ir.IRBuilder(function.append_basic_block())
    own, args, count = function.args

    def number(address: Any, i: Any = 0) -> Any:
        place = b.inttoptr(address, I64.as_pointer())
        return b.load(b.gep(place, [i if isinstance(i, ir.Value) else I64(i)]))

    def data(x: Any) -> Any:
        return number(b.add(x, I64(HEADER)))

    def call(address: Any, result: ir.Type, *xs: Any) -> Any:
        kind = ir.FunctionType(result, [x.type for x in xs])
        return b.call(b.inttoptr(address, kind.as_pointer()), xs)

    words = b.alloca(I64, size=MOST)
    plan, api = data(number(args)), data(own)
    position = b.alloca(I64)
    b.store(b.add(plan, I64(2 * 8)), position)

    def run() -> None:
        with loop(b, I64(0), number(plan), 1):
            call_at = b.load(position)
            kernel, length, places = (number(call_at, i) for i in range(3))
            pairs = b.add(call_at, I64(3 * 8))
            values = b.add(pairs, b.mul(places, I64(2 * 8)))
            with loop(b, I64(0), length, 1) as i:
                b.store(number(values, i), b.gep(words, [i]))
            with loop(b, I64(0), b.mul(places, I64(2)), 2) as i:
                array = number(args, b.add(number(pairs, b.add(i, I64(1))), I64(1)))
                b.store(data(array), b.gep(words, [number(pairs, i)]))
            call(kernel, ir.VoidType(), words)
            b.store(b.add(values, b.mul(length, I64(8))), position)

    with b.if_else(b.icmp_signed("!=", number(plan, 1), I64(0))) as (then, otherwise):
        with then:
            state = call(number(api, 0), I64)
            run()
            call(number(api, 1), ir.VoidType(), state)
        with otherwise:
            run()
    last = number(args, b.sub(count, I64(1)))
    call(number(api, 2), ir.VoidType(), last)
    b.ret(last)
    return str(module)
