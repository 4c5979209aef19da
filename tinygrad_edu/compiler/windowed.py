"""Convolutions and pools as calls of kernels, which threads share by images."""

from __future__ import annotations

import functools
from typing import Any

from tinygrad_edu.compiler.called import OUT, SCRATCH, Argument, Call, Shared, shared_call
from tinygrad_edu.compiler.lower import base
from tinygrad_edu.compiler.term import Term
from tinygrad_edu.kernels import llvm, native
from tinygrad_edu.kernels.convolution import channels, pooled, summed
from tinygrad_edu.kernels.convolution.channel_program import OTHER, RESULT, SOURCE, TABLES
from tinygrad_edu.kernels.convolution.windows import Windows
from tinygrad_edu.ops.pooling import mean_windows


def max_pool(t: Term) -> Call | None:
    """The largest elements of windows, or their positions."""
    (x,) = t.inputs
    windows = Windows(**t.params)
    if len(x.shape) <= len(windows.kernel) or not pooled.suits(x.shape, windows, x.dtype):
        return None
    finds = pooled.POSITIONS if t.name == "max_pool_positions" else pooled.LARGEST
    return _pooled(t, windows, finds)


def _pooled(t: Term, windows: Windows, finds: str) -> Call:
    """What a kernel finds in the windows."""
    (x,) = t.inputs
    job = pooled.job(x.shape, windows, x.dtype, finds)
    planes = job.planes // x.shape[0]
    pace, out = (planes * n for n in (job.plane * x.dtype.itemsize, job.results * t.dtype.itemsize))

    def part(start: int, count: int) -> Call:
        places = (OUT, start * out), (base(x), start * pace)
        table = job.table.ctypes.data
        arguments = job.arguments(*places, table, start * planes, count * planes)
        return Call(((job.kernel, tuple(arguments)),), kept=job)

    return shared_call(Shared(x.shape[0], part, (pace,), out))


def sum_pool(t: Term) -> Call | None:
    """The sums of windows or, of what windows have, those of each element."""
    (x,) = t.inputs
    spreads = t.name == "avg_pool_input"
    windows = mean_windows(**{key: t.params[key] for key in ("kernel", "stride", "padding")})
    shape = t.shape if spreads else x.shape
    if t.params["divisor"] != 1 or x.dtype not in pooled.REALS:
        return None  # a mean is a sum and a division: see `averaged`
    if len(shape) <= len(windows.kernel) or not t.size * x.size:
        return None
    gathering = _reaching(windows) if spreads else windows
    if gathering is not None and pooled.suits(x.shape, gathering, x.dtype):
        return _pooled(t, gathering, pooled.SUM)
    job = summed.job(shape, windows, x.dtype, spreads)

    def part(start: int, count: int) -> Call:
        places = (OUT, start * out), (base(x), start * pace)
        return Call(((job.kernel, job.arguments(*places, count * planes)),), kept=job)

    planes = job.planes // shape[0]
    pace, out = (planes * n * x.dtype.itemsize for n in (job.source, job.result))
    return shared_call(Shared(shape[0], part, (pace,), out))


def _reaching(windows: Windows) -> Windows | None:
    """The windows that each element lies in are a window over these, if they are one step apart."""
    if set(windows.stride) != {1}:
        return None
    padding = tuple(
        (k - 1 - before, k - 1 - after)
        for k, (before, after) in zip(windows.kernel, windows.padding, strict=True)
    )
    return None if min(map(min, padding)) < 0 else windows._replace(padding=padding)


_MOST_CALLS = 1 << 13
"""Calls of kernels above which a stream would be long (each takes some 40 words): NumPy's way
repeats those of a chunk of images, and entering it again and again is a small part of such work."""

_CONVOLUTIONS = {
    "convolution": channels.convolving,
    "convolution_input": channels.convolving_input,
    "convolution_weight": channels.convolving_weight,
}


def convolution(t: Term) -> Call | None:
    """By channels in lanes, if there are enough of them."""
    a, b = t.inputs
    params = {key: x for key, x in t.params.items() if key not in ("kernel", "size")}
    kernel = t.shape[2:] if t.name == "convolution_weight" else b.shape[2:]
    windows = Windows(kernel, params["stride"], params["padding"], params["dilation"])
    make = functools.partial(_CONVOLUTIONS[t.name], windows=windows, groups=params["groups"])
    images = a.shape[0]
    if not all(x.size for x in (a, b, t)):
        return None
    whole = make((t.shape, a.shape, b.shape), t.dtype)
    if whole is None or sum(len(whole.program.calls[s]) for s, _ in whole.stages) > _MOST_CALLS:
        return None
    paces = tuple(x.nbytes // images for x in (a, b))
    by_weight = t.name == "convolution_weight"
    w = t if by_weight else b
    y = t if t.name == "convolution" else b if by_weight else a

    def part(start: int, count: int) -> Call:
        first, second, third = (x.shape if x is w else (count, *x.shape[1:]) for x in (t, a, b))
        run = make((first, second, third), t.dtype)
        assert run is not None
        # Where the images begin.
        places = {RESULT: (OUT, 0 if by_weight else start * t.nbytes // images),
                  SOURCE: (base(a), start * paces[0]),
                  OTHER: (base(b), start * paces[1] if by_weight else 0)}  # fmt: skip
        return _placed(run, places)

    flop = 2 * y.size * (w.size // w.shape[0])
    if by_weight:
        return shared_call(Shared(images, part, paces, 0, flop))
    return shared_call(Shared(images, part, (paces[0], 0), t.nbytes // images, flop))


def _placed(run: channels.Run, places: dict[int, tuple[Any, int]]) -> Call:
    """The calls of a convolution's program with its arrays at these places, and its own memory."""
    places = dict(places)
    end, vector = 0, llvm.host().vector_bytes
    for array, size in run.memory.items():
        places[array] = (SCRATCH, end)
        end += -(-size // vector) * vector
    kernels: list[tuple[int, tuple[Argument, ...]]] = []
    for array in run.cleared:
        kernels.append((native.fill_zero(), (places[array], run.memory[array])))
    for stage, image in run.stages:
        for call in run.program.calls[stage]:
            words: list[Argument] = list(call.words)
            for q, array in call.places:
                if array == TABLES:
                    words[q] = run.program.numbers.ctypes.data
                else:
                    words[q] = places[array]
                    # An address is followed by the bytes to add to it.
                    words[q + 1] = call.words[q + 1] + image * run.program.images.get(array, 0)
            kernels.append((call.kernel, tuple(words)))
    return Call(tuple(kernels), scratch=end, kept=run)
