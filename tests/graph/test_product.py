"""The names of matrix products for one rank each."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import DTypeError, ShapeError

RANKS = {"dot": (1, 1), "mv": (2, 1), "mm": (2, 2), "bmm": (3, 3), "outer": (1, 1)}
NUMPYS = {"outer": np.outer}


def operand(rank: int) -> np.ndarray:
    return np.random.default_rng(rank).integers(-3, 4, (3,) * rank).astype(float)


@pytest.mark.parametrize("name", RANKS)
def test_values_and_gradients(name: str) -> None:
    a, b = (operand(rank) for rank in RANKS[name])
    numpys = NUMPYS.get(name, np.matmul)
    x, y = tg.tensor(a, requires_grad=True), tg.tensor(b, requires_grad=True)
    product = getattr(tg, name)(x, y)
    np.testing.assert_array_equal(product.detach().numpy(), numpys(a, b))
    assert getattr(x, name)(b).shape == product.shape
    g = np.asarray(np.random.default_rng(0).integers(-3, 4, product.shape), float)
    to_x, to_y = tg.autograd.grad(product, [x, y], tg.tensor(g))
    assert np.sum(to_x.numpy() * a) == np.sum(to_y.numpy() * b) == np.sum(g * numpys(a, b))


@pytest.mark.parametrize("name", RANKS)
def test_other_ranks_are_refused(name: str) -> None:
    for change in ((1, 0), (0, 1)):
        a, b = (operand(r + more) for r, more in zip(RANKS[name], change, strict=True))
        with pytest.raises(ShapeError, match=rf"^{name}: .*{RANKS[name][0]} and {RANKS[name][1]}"):
            getattr(tg, name)(a, b)


def test_sizes_and_dtypes_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"^matmul: \(2,\) @ \(3,\)"):
        tg.dot(tg.ones(2), tg.ones(3))
    with pytest.raises(ShapeError, match=r"^bmm: \(1, 2, 2\).*equally long"):
        tg.bmm(tg.ones(1, 2, 2), tg.ones(3, 2, 2))
    with pytest.raises(DTypeError, match=r"^matmul: float32 @ float64"):
        tg.mm(tg.ones(2, 2), tg.ones(2, 2, dtype="float64"))
