"""A number is a float, and says how far it may be off."""

from __future__ import annotations

import copy
import math
import pickle

from analysis.dynamics.number import EPSILON, Number


def test_it_is_a_float_with_an_error() -> None:
    n = Number(2.5, 1e-9)
    assert n == 2.5
    assert n.error == 1e-9 + 2.5 * EPSILON
    assert type(n + 1) is float
    assert repr(n) == "2.5 (+- 1e-09)"
    assert repr(Number(0.0)) == "0"
    assert Number(math.inf).error == 0


def test_copies_keep_the_error() -> None:
    n = Number(2.5, 1e-9)
    for other in (copy.copy(n), copy.deepcopy(n), pickle.loads(pickle.dumps(n))):
        assert (other, other.error) == (n, n.error)
