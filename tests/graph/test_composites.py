"""Every function that is made of others: its derivatives are those of its values, to the second
order; forward, traced and compiled give the same numbers. (Against torch: `tests/peers`.)"""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.graph.composites import COMPOSITES, POINTWISE
from tinygrad_edu.errors import TraceError

DIFFERENTIABLE = [name for name in COMPOSITES if name != "nan_to_num"]  # whose NaN no probe moves


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives(name: str) -> None:
    case = COMPOSITES[name]
    large = name in ("asinh", "acosh")  # a difference of 1e-6 is lost beside 1e9
    xs = [tg.tensor(x[np.abs(x) < 1e3] if large else x, requires_grad=True) for x in case.xs]
    clean = [tg.tensor(np.nan_to_num(x.detach().numpy()), requires_grad=True) for x in xs]
    assert tg.autograd.gradcheck(lambda *xs: case.function(tg, *xs), clean)
    assert tg.autograd.gradgradcheck(lambda *xs: case.function(tg, *xs), clean)


@pytest.mark.parametrize("name", COMPOSITES)
def test_compiled(name: str) -> None:
    """Value and gradient. Kernels round once where several ops round each, so a little is allowed:
    some 64 roundings of the largest number."""
    case = COMPOSITES[name]
    xs = [tg.tensor(x, requires_grad=True) for x in case.xs]

    def step(*xs: tg.Tensor) -> tuple[tg.Tensor, ...]:
        y = case.function(tg, *xs)
        grads = tg.autograd.grad((y * y).sum(), list(xs), allow_unused=True)
        return (y, *[g for g in grads if g is not None])

    eager, compiled = step(*xs), tg.compile(step)(*xs)
    assert len(eager) == len(compiled)
    for a, b in zip(eager, compiled, strict=True):
        scale = np.nanmax(np.abs(a.detach().numpy()), initial=1.0)
        np.testing.assert_allclose(
            b.detach().numpy(), a.detach().numpy(), rtol=1e-13, atol=64 * 2.3e-16 * scale
        )


NUMPYS = {
    "square": np.square, "reciprocal": np.reciprocal, "exp2": np.exp2, "log2": np.log2,
    "log10": np.log10, "logaddexp": np.logaddexp, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "hypot": np.hypot, "atan2": np.arctan2,
}  # fmt: skip


@pytest.mark.parametrize("name", NUMPYS)
def test_numpys_function_of_a_tensor(name: str) -> None:
    """The values are NumPy's to 4 units in the last place, in float32 and float64, and
    ``np.f(tensor)`` stays in the graph."""
    for dtype in (np.float32, np.float64):
        xs = [x.astype(dtype) for x in POINTWISE[name].xs]
        found = NUMPYS[name](*[tg.tensor(x, requires_grad=True) for x in xs])
        assert isinstance(found, tg.Tensor)
        assert found.requires_grad
        assert found.dtype == dtype
        wanted = NUMPYS[name](*[x.astype(np.longdouble) for x in xs]).astype(dtype)
        np.testing.assert_array_max_ulp(found.detach().numpy(), wanted, 4)


def test_the_angle_of_the_origin_has_no_slope() -> None:
    y, x = (tg.tensor(np.zeros(1), requires_grad=True) for _ in "yx")
    tg.atan2(y, x).sum().backward()
    assert y.grad is not None
    assert x.grad is not None
    assert (y.grad.tolist(), x.grad.tolist()) == ([0], [0])


def test_no_digits_are_lost_at_the_ends() -> None:
    """Where the textbook formula overflows or cancels, in float32."""
    big = tg.tensor(np.array([1e30, -1e30], np.float32), requires_grad=True)
    y = tg.asinh(big)
    np.testing.assert_allclose(y.detach().numpy(), np.arcsinh([1e30, -1e30]), rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(big.grad.numpy(), [1e-30, 1e-30], rtol=1e-6)  # type: ignore[union-attr]
    huge = np.array(3e38, np.float32)
    assert tg.hypot(huge * np.float32(0.6), huge * np.float32(0.8)).item() == pytest.approx(3e38)
    assert tg.logaddexp(tg.tensor(1e4), tg.tensor(1e4)).item() == pytest.approx(1e4 + 0.6931)
    assert tg.logaddexp(tg.tensor(-1e30), tg.tensor(1.0)).item() == 1


def test_close_and_equal_are_python_bools() -> None:
    a = tg.tensor([1.0, 2.0], requires_grad=True)
    assert tg.allclose(a, a + 1e-9) is True
    assert a.allclose(a + 1e-3) is False
    assert a.allclose(a + 1e-3, rtol=0, atol=1e-2)
    assert not tg.allclose(tg.tensor([np.nan]), tg.tensor([np.nan]))
    assert tg.allclose(tg.tensor([np.nan]), tg.tensor([np.nan]), equal_nan=True)
    assert tg.equal(a, a.clone())
    assert not tg.equal(a, tg.tensor([1.0]))
    assert tg.isclose(tg.tensor([1, 2]), tg.tensor([1, 3])).tolist() == [True, False]
    with pytest.raises(TraceError):
        tg.compile(lambda x: x * 2 if tg.allclose(x, x) else x)(a)
