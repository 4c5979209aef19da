"""What is taken from the tape: all that results depend on, over any number of pages."""

from __future__ import annotations

import pytest

from tinygrad_edu import Value
from tinygrad_edu.compiler.values.recorded import Extraction
from tinygrad_edu.compiler.values.replay import Run
from tinygrad_edu.compiler.values.watch import Watch
from tinygrad_edu.graph.tape import PAGE_SIZE
from tinygrad_edu.kernels.values.driver import FORWARD


def test_only_what_is_wanted_is_taken() -> None:
    a, b = Value(2.0), Value(3.0)
    wanted = a * 4.0
    for _ in range(10):
        wanted, _ = wanted + b, wanted.exp()
    program = Extraction(Watch(), [wanted]).program()
    assert len(program.op) == 11
    assert {id(x) for x in program.leaves} == {id(a), id(b)}
    assert sorted(program.constants) == [0.0, 4.0]  # the first is nobody's


@pytest.mark.parametrize("links", [PAGE_SIZE // 2, 3 * PAGE_SIZE])
def test_over_pages(links: int) -> None:
    a, x = Value(0.5), Value(1.0)
    first = total = a * 2.0
    for _ in range(links):
        total = total + x
    total = total * first * a
    program = Extraction(Watch(), [total, first]).program()
    assert len(program.op) == links + 3
    assert len(program.leaves) == 2
    run = Run(program)
    run.drive(FORWARD)
    assert run.value[program.rows[total]] == total.data
    assert run.value[program.rows[first]] == first.data


def test_a_leaf_alone() -> None:
    a = Value(2.0)
    program = Extraction(Watch(), [a]).program()
    assert len(program.op) == 0
    assert program.leaves == [a]
