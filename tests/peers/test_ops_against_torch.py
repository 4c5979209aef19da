"""Every op, at random and at the edges, and random programs of many ops, held against torch.

Both sides compute in float64. They do the same arithmetic in another order at most, so what they
may differ by is counted in roundings of the largest number met on the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.cases import CASES, FUSED
from tests.ops.checks import DERIVATIVE_ULPS, EPS, directions, influential, size, tensors
from tests.ops.edge import Edge
from tests.ops.edges import EDGES, SECOND
from tests.ops.own import OWN
from tests.ops.samples import RULES, Sample, shapes, uniform
from tests.peers.sliding import SLIDING
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.ops import TABLE

pytestmark = pytest.mark.peer

EXAMPLES = settings(max_examples=15)


class Names:
    """torch's functions under the names they have here, wherever torch keeps them."""

    def __init__(self, torch: ModuleType) -> None:
        self.torch = torch

    def __getattr__(self, name: str) -> Any:
        return getattr(self.torch, name, None) or getattr(self.torch.nn.functional, name)

    def norm(self, x: Any, p: Any = 2) -> Any:
        return self.torch.norm(x, p)

    def maximum(self, a: Any, b: Any) -> Any:
        return self.torch.maximum(a, self.torch.as_tensor(b, dtype=a.dtype))


# ------------------------------------------------------------------------------ edges


def same(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(
        found.numpy(force=True), np.array(wanted, float), rtol=1e-12, atol=1e-300, equal_nan=True
    )


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")  # the variance of one element
@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.name)
def test_edge(torch: ModuleType, edge: Edge) -> None:
    """The facts of `edges.py` are torch's, where they do not say otherwise."""
    value, grads = edge.torch or (edge.value, edge.grads)
    xs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in edge.xs]
    y = edge.function(Names(torch), *xs)
    same(y, value)
    for found, wanted in zip(torch.autograd.grad(y.sum(), xs), grads, strict=True):
        same(found, wanted)


@pytest.mark.parametrize(("name", "x", "wanted"), SECOND)
def test_second_derivative_at_an_edge(
    torch: ModuleType, name: str, x: float, wanted: float
) -> None:
    t = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(getattr(Names(torch), name)(t), t, create_graph=True)
    second = torch.autograd.grad(first, t)[0] if first.requires_grad else torch.zeros(())
    same(second, wanted)


# ------------------------------------------------------------------------------ every op


def _reduce(torch_name: str) -> Callable[..., Any]:
    def function(torch: Any, x: Any, axes: Any, keepdims: bool) -> Any:
        if not axes:  # to torch, no axes are all axes
            return x + 0
        return getattr(torch, torch_name)(x, dim=axes, keepdim=keepdims)

    return function


def _getitem(torch: Any, x: Any, *indices: Any, key: Any) -> Any:
    parts = [p.numpy() if isinstance(p, torch.Tensor) else p for p in key.fill(indices)]
    places = torch.tensor(np.arange(x.numel()).reshape(x.shape)[tuple(parts)])
    return x.reshape(-1)[places.reshape(-1)].reshape(places.shape)


def _scatter(torch: Any, x: Any, *indices: Any, key: Any, shape: Any) -> Any:
    parts = tuple(p.numpy() if isinstance(p, torch.Tensor) else p for p in key.fill(indices))
    places = np.arange(math.prod(shape)).reshape(shape)[parts]
    flat = torch.zeros(math.prod(shape), dtype=x.dtype)
    index = torch.tensor(np.reshape(places, -1))
    return flat.index_add(0, index, x.reshape(-1)).reshape(shape)


STRUCTURE: dict[str, Callable[..., Any]] = {
    "sum": _reduce("sum"),
    "amax": _reduce("amax"),
    "amin": _reduce("amin"),
    "argmax": lambda torch, x, axis, keepdims: torch.argmax(x, axis, keepdims),
    "argmin": lambda torch, x, axis, keepdims: torch.argmin(x, axis, keepdims),
    "argsort": lambda torch, x, axis, descending: torch.argsort(
        x, dim=axis, descending=descending, stable=True
    ),
    "cumsum": lambda torch, x, axis, reverse: (
        torch.cumsum(x.flip(axis), axis).flip(axis) if reverse else torch.cumsum(x, axis)
    ),
    "expand": lambda torch, x, shape: x.expand(shape),
    "reshape": lambda torch, x, shape: x.reshape(shape),
    "permute": lambda torch, x, axes: x.permute(axes),
    "getitem": _getitem,
    "scatter": _scatter,
    "concat": lambda torch, *xs, axis: torch.cat(xs, axis),
    "cast": lambda torch, x, dtype: x.to(torch.float64),
    "matmul": lambda torch, a, b: torch.matmul(a, b),
    **SLIDING,
}

RENAMED = {"gelu_tanh": "gelu", "hardtanh": "hardtanh"}


def torch_function(torch: ModuleType, name: str) -> Callable[..., Any]:
    """What torch calls this op."""
    if name in STRUCTURE:
        return lambda *xs, **params: STRUCTURE[name](torch, *xs, **params)
    function = getattr(Names(torch), RENAMED.get(name, name))
    if name == "gelu_tanh":
        return lambda x: function(x, approximate="tanh")
    if name == "hardtanh":
        return lambda x, low, high: function(x, low, high)
    if name == "clamp":
        return lambda x, low, high: function(*torch.broadcast_tensors(x, low, high))
    return function  # type: ignore[no-any-return]


def close(name: str, found: Any, wanted: Any, *scales: Any) -> None:
    found, wanted = np.asarray(found, float), np.asarray(wanted, float)
    assert found.shape == wanted.shape, f"{name}: shape {found.shape}, torch {wanted.shape}"
    error = np.max(np.abs(found - wanted), initial=0.0)
    assert error <= DERIVATIVE_ULPS * EPS * size(wanted, *scales), f"{name}: {found}, {wanted}"


ELSEWHERE = set(FUSED) | {"last_writer", "positions", "random"}
"""Without a function in torch: fused ops are compared as layers (nn), `last_writer` as part of
assignment (with NumPy), and random numbers come from another generator."""


def test_every_op_is_compared() -> None:
    assert set(STRUCTURE) | set(RULES) == set(OWN) - ELSEWHERE


@pytest.mark.parametrize("name", sorted(set(CASES) - ELSEWHERE))
@EXAMPLES
@given(data=st.data())
def test_value_gradient_and_second_order(torch: ModuleType, name: str, data: st.DataObject) -> None:
    op = TABLE[name]
    sample = data.draw(CASES[name].samples)
    which = influential(op, sample)
    ours = tensors(sample, which)
    theirs = [torch.tensor(x.copy(), requires_grad=i in which) for i, x in enumerate(sample.xs)]
    y = apply(op, *ours, **sample.params)
    z = torch_function(torch, name)(*theirs, **sample.params)
    close(name, y.detach().numpy(), z.numpy(force=True), *sample.xs)
    if not which:
        return
    (g,) = directions(Sample((z.numpy(force=True),)), [0], seed=1)
    chosen, peers = [ours[i] for i in which], [theirs[i] for i in which]
    first = tg.autograd.grad(y, chosen, tg.tensor(g), create_graph=True)
    wanted = torch.autograd.grad(z, peers, torch.tensor(g), create_graph=True)
    for f, w in zip(first, wanted, strict=True):
        assert f is not None
        close(f"{name}, gradient", f.detach().numpy(), w.numpy(force=True))

    weights = directions(sample, which, 3)
    total = sum((tg.tensor(w) * f).sum() for w, f in zip(weights, first, strict=True))
    peer = sum((torch.tensor(w) * f).sum() for w, f in zip(weights, wanted, strict=True))
    zeros = [np.zeros_like(sample.xs[i]) for i in which]
    found = _second(tg.autograd.grad, total, chosen, zeros)
    for f, w in zip(found, _second(torch.autograd.grad, peer, peers, zeros), strict=True):
        close(f"{name}, second order", f, w)


def _second(grad: Callable[..., Any], total: Any, xs: list[Any], zeros: list[Any]) -> list[Any]:
    """Gradients as arrays, zero where there is no dependence."""
    if not total.requires_grad:
        return zeros
    found = grad(total, xs, allow_unused=True)
    return [
        zero if f is None else f.numpy(force=True) if hasattr(f, "data_ptr") else f.numpy()
        for f, zero in zip(found, zeros, strict=True)
    ]


# ------------------------------------------------------------------------------ random programs

SMOOTH = ("tanh", "sigmoid", "sin", "cos", "atan", "softplus", "silu", "gelu", "erf", "neg")
BINARY = ("add", "sub", "mul", "maximum", "minimum")


def _smaller(rng: np.random.Generator, x: Any) -> Any:
    """Some slice, row or repetition of x."""
    kind = rng.integers(4)
    if kind == 0:
        return x[..., :: int(rng.choice([1, 2]))]
    if kind == 1:
        return x[int(rng.integers(x.shape[0]))]
    if kind == 2:
        return x[[int(i) for i in rng.integers(-x.shape[0], x.shape[0], 3)]]
    return x[None]


def program(m: Any, xs: list[Any], seed: int, steps: int) -> Any:
    """The same random expression of `xs` for every namespace: any earlier result may be used
    again, so the graph is full of diamonds. Ends in one number."""
    rng = np.random.default_rng(seed)
    made = list(xs)
    for _ in range(steps):
        a, b = (made[int(i)] for i in rng.integers(len(made), size=2))
        kind = rng.integers(7)
        if kind == 0:
            made.append(getattr(m, str(rng.choice(SMOOTH)))(a))
        elif kind == 1 and fits(a.shape, b.shape):
            made.append(getattr(m, str(rng.choice(BINARY)))(a, b) * 0.5)
        elif kind == 2 and a.shape:
            axis = int(rng.integers(-len(a.shape), len(a.shape)))
            reduction = str(rng.choice(["sum", "mean", "amax", "logsumexp"]))
            made.append(getattr(m, reduction)(a, axis, bool(rng.integers(2))))
        elif kind == 3 and len(a.shape) > 1:
            made.append(m.matmul(a, b if multiplies(a, b) else m.transpose(a, -1, -2)) * 0.1)
        elif kind == 4 and a.shape and a.shape[0] > 0:
            made.append(_smaller(rng, a))
        elif kind == 5 and a.shape:
            axis = int(rng.integers(len(a.shape)))
            made.append(m.cat([a, m.tanh(a)], axis) if a.shape[axis] < 8 else m.softmax(a, axis))
        elif kind == 6 and fits(a.shape, b.shape):
            made.append(m.where(a > b, a, m.tanh(b)))
    total = made[0].sum()
    for x in made[1:]:
        total = total + m.tanh(x.sum() * 0.1)
    return total


def multiplies(a: Any, b: Any) -> bool:
    return len(b.shape) > 1 and a.shape[-1] == b.shape[-2] and fits(a.shape[:-2], b.shape[:-2])


def fits(a: Any, b: Any) -> bool:
    try:
        np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        return False
    return True


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 16),
    shape=st.lists(shapes(min_side=1), min_size=1, max_size=3),
)
def test_random_programs(
    torch: ModuleType, seed: int, steps: int, shape: list[tuple[int, ...]]
) -> None:
    rng = np.random.default_rng(seed)
    inputs = [uniform(rng, ((-2, 2),), s) for s in shape]
    ours = [tg.tensor(x, requires_grad=True) for x in inputs]
    theirs = [torch.tensor(x, requires_grad=True) for x in inputs]
    y, z = program(tg, ours, seed, steps), program(Names(torch), theirs, seed, steps)
    tolerance = 256 * EPS  # 16 steps forward and back, of up to eight roundings each
    np.testing.assert_allclose(y.item(), z.item(), rtol=tolerance, atol=tolerance)
    y.backward()
    z.backward()
    for a, b in zip(ours, theirs, strict=True):
        wanted = b.grad.numpy()
        scale = size(wanted)
        np.testing.assert_allclose(a.grad.numpy(), wanted, rtol=0, atol=tolerance * scale)
