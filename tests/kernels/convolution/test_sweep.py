"""Which numbers are read for which result: both directions name the same pairs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinygrad_edu.kernels.convolution.sweep import Sweep, forward_sweep, padded, transposed_sweep
from tinygrad_edu.kernels.convolution.windows import Windows

Triple = tuple[int, int, int]


@st.composite
def lines(draw: st.DrawFn) -> tuple[Windows, int]:
    """Windows along one axis, with at least one that fits."""
    kernel, stride, dilation = (draw(st.integers(1, 4)) for _ in range(3))
    before, after = draw(st.integers(-1, 3)), draw(st.integers(-1, 3))
    extent = dilation * (kernel - 1) + 1
    least = max(extent - before - after, 1 + max(-before, 0) + max(-after, 0))
    size = draw(st.integers(least, least + 6))
    return Windows((kernel,), (stride,), ((before, after),), (dilation,)), size


def triples(sweep: Sweep) -> list[Triple]:
    """Every result, element of the kernel and source number that belong together, where the source
    has such a number."""
    found = []
    for (line,) in sweep.phases():
        for q in range(line.results):
            for tap, shift in zip(line.taps, line.shifts, strict=True):
                source = line.source_step * q + shift
                if 0 <= source < sweep.source[0]:
                    found.append((line.first + line.step * q, tap, source))
    return sorted(found)


@given(lines())
def test_the_transpose_reads_what_is_read(case: tuple[Windows, int]) -> None:
    windows, size = case
    counts = windows.fitting((size,))
    there = triples(forward_sweep(windows, (size,)))
    back = triples(transposed_sweep(windows, (size,), counts))
    assert there == sorted((o, k, x) for x, k, o in back)
    ((before, _),) = windows.padding
    for o, k, x in there:
        assert x == windows.stride[0] * o + windows.dilation[0] * k - before


@given(lines())
def test_padding_is_as_wide_as_what_is_read_and_no_wider(case: tuple[Windows, int]) -> None:
    windows, size = case
    for sweep in (
        forward_sweep(windows, (size,)),
        transposed_sweep(windows, (size,), windows.fitting((size,))),
    ):
        places = [
            line.source_step * q + shift
            for (line,) in sweep.phases()
            for q in range(line.results)
            for shift in line.shifts
        ] or [0]
        ((low, high),) = sweep.padding
        assert (low, high) == (max(0, -min(places)), max(0, max(places) - sweep.source[0] + 1))
        assert padded(sweep, 4).bytes == 4 * (sweep.source[0] + low + high)
