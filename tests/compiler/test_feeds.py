"""What a plan is fed with."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_edu.compiler.feeds import checked
from tinygrad_edu.compiler.term import Graph
from tinygrad_edu.errors import DTypeError, ShapeError

FLOAT = np.dtype(np.float32)
TERM = Graph().leaf((3, 4), FLOAT)


def test_what_lies_in_order_is_taken_as_it_is() -> None:
    x = np.zeros((3, 4), FLOAT)
    steps = np.zeros((5, 3, 4), FLOAT)
    assert checked(x, TERM, 0) is x
    assert checked(steps, TERM, 0, leading=(5,)) is steps


def test_what_does_not_is_copied() -> None:
    x = np.arange(24, dtype=FLOAT).reshape(4, 6).T[::2]
    found = checked(x, TERM, 0)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, x)
    scalar = checked(np.float32(3), Graph().leaf((), FLOAT), 0)
    assert isinstance(scalar, np.ndarray)
    assert scalar == 3


def test_another_shape_or_dtype_raises() -> None:
    with pytest.raises(ShapeError, match=r"input 2 has shape \(4, 3\), but \(3, 4\) was traced"):
        checked(np.zeros((4, 3), FLOAT), TERM, 2)
    with pytest.raises(ShapeError):
        checked(np.zeros((3, 4), FLOAT), TERM, 0, leading=(5,))
    with pytest.raises(DTypeError, match="float64"):
        checked(np.zeros((3, 4)), TERM, 0)
