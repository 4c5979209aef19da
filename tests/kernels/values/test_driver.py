"""What the driver does around the machines: reading, packing, writing."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from tinygrad_edu.compiler.values.replay import _scalar_kernels
from tinygrad_edu.graph.tape import OPS
from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.values import driver, lane_machine, scalar_machine
from tinygrad_edu.kernels.values.driver import BACKWARD, FINISH, FORWARD, KINDS, Field
from tinygrad_edu.kernels.values.interpreter import Table, address_of


def empty(dtype: str = "float64") -> Table:
    """A program without instructions, of four rows."""
    table, scalars = Table(Field), Table(scalar_machine.Field)
    forward, backward = _scalar_kernels(len(OPS))
    table[Field.SCALARS_FORWARD], table[Field.SCALARS_BACKWARD] = forward, backward
    table[Field.SCALARS], table[Field.ROWS] = scalars, 4
    table[Field.VALUE], table[Field.COTANGENT] = np.zeros(4), np.full(4, 9.0)
    return table


def run(table: Table, mode: int, dtype: str = "float64") -> None:
    table[Field.MODE] = mode
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(driver.address(dtype))(table.address)


def int32(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def test_leaves_are_read_and_assignments_written() -> None:
    table = empty()
    data, grad = np.array([10.0, 11, 12, 13]), np.array([20.0, 21, 22, 23])
    table[Field.DATA], table[Field.GRAD] = data, grad
    table[Field.LEAF_ROW], table[Field.LEAF_CELL], table[Field.LEAVES] = 1, int32(3, 0), 2
    table[Field.GRAD_ROW], table[Field.GRAD_CELL], table[Field.GRADS] = 3, int32(2), 1
    run(table, FORWARD)
    assert table.array(Field.VALUE).tolist() == [0, 13, 10, 22]
    table[Field.DATA_CELL], table[Field.DATA_FROM], table[Field.DATAS] = int32(1), int32(3), 1
    table[Field.GRAD_TO], table[Field.GRAD_FROM], table[Field.GRADS_TO] = int32(0), int32(1), 1
    run(table, FINISH)
    assert data.tolist() == [10, 22, 12, 13]
    assert grad.tolist() == [13, 21, 22, 23]


def test_derivatives_start_at_the_root_and_are_handed_over() -> None:
    table = empty()
    table[Field.ROOT] = 2
    run(table, BACKWARD)
    assert table.array(Field.COTANGENT).tolist() == [0, 0, 1, 0]
    table[Field.FOUND_ROW], table[Field.FOUND_FROM], table[Field.FOUND] = 0, int32(2, 1), 2
    run(table, BACKWARD | FINISH)
    assert table.array(Field.VALUE).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples_become_lanes(dtype: str, kind: np.dtype[Any]) -> None:
    width = lane_machine.width(100, dtype)
    count = width + 2
    samples = np.arange(3.0 * count).reshape(count, 3).astype(kind)
    labels = np.arange(count).astype(dtype)
    table, lanes = empty(), Table(lane_machine.Field)
    value = np.zeros((2, 4, width), dtype)
    lanes[lane_machine.Field.VALUE] = value
    lanes[lane_machine.Field.BLOCK_BYTES] = value.strides[0]
    nothing = llvm.address(
        "test nothing", lambda name: f"define void @{name}(ptr %x) {{ ret void }}"
    )
    table[Field.LANES], table[Field.LANES_FORWARD] = lanes, nothing
    addresses = np.array([address_of(labels), address_of(samples)])
    table[Field.SAMPLE], table[Field.SAMPLES], table[Field.BLOCKS] = addresses, count, 2
    table[Field.COLUMNS], table[Field.COLUMN] = int32(3, 1, 3), int32(2, 0, 0)
    table[Field.INPUTS], table[Field.WIDTH] = 3, width
    kinds = KINDS.index(np.dtype(kind)), KINDS.index(np.dtype(dtype))
    table[Field.INPUT_FROM], table[Field.KIND] = int32(1, 0, 1), int32(kinds[0], kinds[1], kinds[0])
    run(table, FORWARD, dtype)
    for row, column in enumerate((samples[:, 2], labels, samples[:, 0])):
        packed = value[:, row].reshape(-1)
        np.testing.assert_array_equal(packed[:count], column.astype(dtype))
        np.testing.assert_array_equal(packed[count:], column[-1].astype(dtype))
    assert not value[:, 3:].any()


def test_shared_numbers_go_out_and_sums_come_back() -> None:
    table, lanes = empty(), Table(lane_machine.Field)
    nothing = llvm.address(
        "test nothing", lambda name: f"define void @{name}(ptr %x) {{ ret void }}"
    )
    table[Field.LANES] = lanes
    table[Field.LANES_FORWARD] = table[Field.LANES_BACKWARD] = nothing
    table.array(Field.VALUE)[:] = [0, 5, 6, 0]
    shared, seed = np.zeros(2, np.float32), np.zeros(1, np.float32)
    table[Field.SHARED], table[Field.SHARED_FROM], table[Field.SHARED_COUNT] = (
        shared,
        int32(2, 1),
        2,
    )
    table[Field.SUM_ROW], table[Field.SUMS], table[Field.SEED] = int32(3), 1, seed
    table[Field.TOTAL], table[Field.DIVISOR] = np.array([8.0]), np.array([4.0])
    run(table, FORWARD, "float32")
    assert shared.tolist() == [6, 5]
    assert table.array(Field.VALUE)[3] == 2.0
    table[Field.ROOT], table[Field.BLOCKS] = 3, 1
    table[Field.GRADIENT] = np.array([0.5, 0.25])
    run(table, BACKWARD, "float32")
    assert seed[0] == 0.25
    assert table.array(Field.COTANGENT).tolist() == [0, 0.25, 0.5, 1]
