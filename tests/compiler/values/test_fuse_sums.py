"""Which additions and products become one instruction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tinygrad_edu import Value
from tinygrad_edu.compiler.values.fuse_sums import fuse_sums
from tinygrad_edu.compiler.values.recorded import Extraction, Program
from tinygrad_edu.compiler.values.replay import Run
from tinygrad_edu.compiler.values.watch import Watch
from tinygrad_edu.graph.tape import OPS
from tinygrad_edu.kernels.values.driver import FORWARD
from tinygrad_edu.kernels.values.instructions import DOT

A, B, C, D = (Value(x) for x in (2.0, 3.0, 5.0, 7.0))


def program_of(*wanted: Value) -> Program:
    return Extraction(Watch(), wanted).program()


def names(program: Program) -> list[str]:
    return ["dot" if code == DOT else OPS[code].name for code in program.op]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: A + B * C, ["dot"]),
        (lambda: B * C + A, ["dot"]),
        (lambda: A + B * C + C * D, ["dot"]),
        (lambda: A * B + C * D, ["mul", "dot"]),
        (lambda: A + B, ["add"]),
        (lambda: (A + B * C) * (C + D * D), ["dot", "dot", "mul"]),
        (lambda: (A + B * C).relu() + B * C, ["dot", "relu", "dot"]),
    ],
)
def test_what_becomes_one(make: Callable[[], Value], expected: list[str]) -> None:
    value = make()
    fused = fuse_sums(program_of(value))
    assert names(fused) == expected
    run = Run(fused)
    run.drive(FORWARD)
    assert run.value[fused.rows[value]] == value.data


def test_what_is_used_elsewhere_stays() -> None:
    product = A * B
    partial = C + product
    total = partial + A * D
    assert names(fuse_sums(program_of(total))) == ["dot"]
    assert names(fuse_sums(program_of(total, partial))) == ["dot", "dot"]
    assert names(fuse_sums(program_of(total, product))) == ["mul", "add", "dot"]
    assert names(fuse_sums(program_of(total + product))) == ["mul", "add", "dot", "add"]


def test_only_one_kind_goes_into_one() -> None:
    program = program_of(A + B * C + C * D)
    assert names(program) == ["mul", "add", "mul", "add"]
    assert names(fuse_sums(program, np.array([0, 1, 1, 1]))) == ["mul", "add", "dot"]


def test_terms_keep_their_order() -> None:
    """1e16 + 1 - 1e16 depends on the order: in double precision, 1 is lost."""
    one, big = Value(1.0), Value(1e16)
    for terms in ([(one, big), (one, one), (-1.0, big)], [(one, big), (-1.0, big), (one, one)]):
        value = sum((b * a for a, b in terms), A * 0.0)
        fused = fuse_sums(program_of(value))
        run = Run(fused)
        run.drive(FORWARD)
        assert run.value[fused.rows[value]] == value.data
