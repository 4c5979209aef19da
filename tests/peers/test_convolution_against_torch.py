"""Convolution and pooling layers against torch: values, derivatives of two orders, forward mode;
and float32 against float64, no worse than torch's."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import ShapeError
from tinygrad_edu.nn import functional as F

pytestmark = pytest.mark.peer

TOLERANCE = 1e-9
"""Relative to the largest number of a result; both sides compute in float64."""

SLACK = 4 * float(np.finfo(np.float32).eps)
"""What float32 results may be off by, relative to their largest, where torch's happen to be off by
nothing."""

LAYERS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = {
    # class, arguments, options, shape of the input
    "conv": ("Conv2d", (3, 4, 3), {}, (2, 3, 7, 6)),
    "conv without batch": ("Conv2d", (3, 4, 3), {}, (3, 7, 6)),
    "conv of no images": ("Conv2d", (3, 4, 3), {}, (0, 3, 7, 6)),
    "conv 1x1": ("Conv2d", (3, 4, 1), {"bias": False}, (2, 3, 5, 4)),
    "conv with gaps": ("Conv2d", (2, 3, 2), {"stride": 3}, (2, 2, 9, 8)),
    "conv dilated": ("Conv2d", (2, 4, (3, 2)), {"dilation": (2, 3), "padding": 2}, (2, 2, 7, 7)),
    "conv stride and dilation": (
        "Conv2d", (2, 4, 3), {"dilation": 2, "padding": (3, 1), "stride": (3, 2)}, (2, 2, 8, 9),
    ),
    "conv same, even kernel": ("Conv2d", (2, 3, (2, 4)), {"padding": "same"}, (2, 2, 5, 6)),
    "conv in groups": ("Conv2d", (4, 6, 3), {"groups": 2, "padding": 1}, (2, 4, 5, 5)),
    "conv depthwise": ("Conv2d", (4, 8, 3), {"groups": 4, "padding": 1}, (2, 4, 5, 5)),
    "conv reflected": ("Conv2d", (2, 3, 3), {"padding": 2, "padding_mode": "reflect"},
                       (2, 2, 5, 5)),
    "conv replicated": ("Conv2d", (2, 3, 2), {"padding": "same", "padding_mode": "replicate"},
                        (2, 2, 5, 5)),
    "conv in a ring": ("Conv1d", (2, 3, 3), {"padding": 2, "padding_mode": "circular"}, (2, 2, 5)),
    "conv1d": ("Conv1d", (3, 4, 4), {"stride": 2, "padding": 3}, (2, 3, 9)),
    "max pool": ("MaxPool2d", (2,), {}, (2, 3, 6, 7)),
    "max pool overlapping": ("MaxPool2d", (3, 2, 1), {"ceil_mode": True}, (2, 3, 6, 7)),
    "max pool dilated": ("MaxPool2d", ((2, 3),), {"dilation": (3, 2), "stride": 1}, (3, 8, 7)),
    "avg pool": ("AvgPool2d", (2,), {}, (2, 3, 6, 7)),
    "avg pool overlapping": ("AvgPool2d", (3, 2, 1), {"ceil_mode": True}, (2, 3, 6, 8)),
    "avg pool of what is there": (
        "AvgPool2d", (3, 2, 1), {"count_include_pad": False, "ceil_mode": True}, (3, 6, 8),
    ),
    "sums": ("AvgPool2d", ((2, 1),), {"divisor_override": 1}, (2, 3, 5, 4)),
}  # fmt: skip


def near(found: tg.Tensor | None, wanted: Any, what: str) -> None:
    """Equality up to `TOLERANCE`. What has no gradient here has the gradient 0 there."""
    b = wanted.numpy(force=True)
    a = np.zeros_like(b) if found is None else found.detach().numpy()
    assert a.shape == b.shape, what
    assert np.abs(a - b).max(initial=0) <= TOLERANCE * np.abs(b).max(initial=1), what


def pair(torch: ModuleType, name: str) -> tuple[Any, Any, np.ndarray]:
    """The layer on both sides, with equal parameters, and an input."""
    kind, arguments, options, shape = LAYERS[name]
    theirs = getattr(torch.nn, kind)(*arguments, **options).double()
    ours = getattr(nn, kind)(*arguments, **options).double()
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs, np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize("name", LAYERS)
def test_two_orders_in_reverse(torch: ModuleType, name: str) -> None:
    """Value; gradients of a weighted sum of cubes; and gradients of a weighted sum of those."""
    ours, theirs, x = pair(torch, name)
    rng = np.random.default_rng(1)
    xs = [tg.tensor(x, requires_grad=True), *ours.parameters()]
    ts = [torch.tensor(x, requires_grad=True), *theirs.parameters()]
    y, t = ours(xs[0]), theirs(ts[0])
    near(y, t, "value")
    weight = rng.normal(size=y.shape)
    first = tg.autograd.grad((tg.tensor(weight) * y**3).sum(), xs, create_graph=True)
    wanted = torch.autograd.grad((torch.tensor(weight) * t**3).sum(), ts, create_graph=True)
    for a, b in zip(first, wanted, strict=True):
        near(a, b, "gradient")
    weights = [rng.normal(size=a.shape) for a in first]
    total = sum((tg.tensor(w) * a).sum() for w, a in zip(weights, first, strict=True))
    peer = sum((torch.tensor(w) * b).sum() for w, b in zip(weights, wanted, strict=True))
    second = tg.autograd.grad(total, xs, allow_unused=True)
    expected = torch.autograd.grad(peer, ts, allow_unused=True, materialize_grads=True)
    for a, b in zip(second, expected, strict=True):
        near(a, b, "second order")


@pytest.mark.parametrize("name", LAYERS)
def test_forward_mode(torch: ModuleType, name: str) -> None:
    """The tangent along all operands at once."""
    ours, theirs, x = pair(torch, name)
    rng = np.random.default_rng(2)
    state = {k: v.detach().numpy() for k, v in ours.named_parameters()}
    along = [rng.normal(size=a.shape) for a in (x, *state.values())]

    def call(library: Any, module: Any, x: Any, *parameters: Any) -> Any:
        named = dict(zip(state, parameters, strict=True))
        return library.func.functional_call(module, named, (x,))

    primals = [x, *state.values()]
    found = tg.func.jvp(
        lambda *xs: call(tg, ours, *xs),
        tuple(map(tg.tensor, primals)),
        tuple(map(tg.tensor, along)),
    )
    wanted = torch.func.jvp(
        lambda *xs: call(torch, theirs, *xs),
        tuple(map(torch.tensor, primals)),
        tuple(map(torch.tensor, along)),
    )
    near(found[0], wanted[0], "value")
    near(found[1], wanted[1], "tangent")


NAMES = ("value", "gradient by input", "gradient by weight", "gradient by bias")
SHAPES = [
    ((8, 16, 12, 12), (24, 16, 3, 3), {"padding": 1}),
    ((16, 16, 28, 28), (32, 16, 3, 3), {"padding": 1}),  # large enough for kernels of their own
    ((4, 3, 33, 31), (8, 3, 7, 7), {"padding": 3, "stride": 2}),
    ((16, 32, 7, 7), (32, 32, 1, 1), {}),
    ((4, 8, 20, 20), (8, 1, 5, 5), {"groups": 8, "padding": 2}),
]


@pytest.mark.parametrize(("x", "weight", "options"), SHAPES)
def test_float32_is_as_exact_as_torchs(
    torch: ModuleType, x: Any, weight: Any, options: dict[str, Any]
) -> None:
    """The largest error against float64 is at most twice torch's, plus `SLACK`."""
    rng = np.random.default_rng(3)
    low = [rng.standard_normal(s).astype(np.float32) for s in (x, weight, weight[:1])]

    def numbers(library: Any, conv: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
        xs = [library.tensor(a, requires_grad=True) for a in arrays]
        y = conv(*xs, **options)
        size = y.detach().numpy().size
        cotangent = np.cos(np.arange(size)).astype(np.float32).astype(arrays[0].dtype)
        cotangent = library.tensor(cotangent.reshape(tuple(y.shape)))
        pulled = library.autograd.grad(y, xs, cotangent)
        return [part.detach().numpy() for part in (y, *pulled)]

    ours = numbers(tg, F.conv2d, low)
    theirs = numbers(torch, torch.nn.functional.conv2d, low)
    exact = numbers(tg, F.conv2d, [v.astype(np.float64) for v in low])
    for name, mine, peer, truth in zip(NAMES, ours, theirs, exact, strict=True):
        assert mine.dtype == np.float32
        scale = np.abs(truth).max()
        error, allowed = np.abs(mine - truth).max(), np.abs(peer - truth).max()
        assert error <= 2 * allowed + SLACK * scale, f"{name}: {error} against {allowed}"


@settings(max_examples=100)
@given(st.data())
def test_max_pool_chooses_what_torch_chooses(torch: ModuleType, data: st.DataObject) -> None:
    """Ties, NaN and infinities: values and positions are equal."""
    draw = data.draw
    size = draw(st.lists(st.integers(1, 6), min_size=2, max_size=2))
    kernel, stride, dilation = (
        draw(st.lists(st.integers(1, n), min_size=2, max_size=2)) for n in (3, 3, 2)
    )
    padding = [draw(st.integers(0, k // 2)) for k in kernel]
    values = st.sampled_from([-np.inf, -1.0, 0.0, 1.0, np.inf, np.nan])
    x = np.array(draw(st.lists(values, min_size=size[0] * size[1], max_size=size[0] * size[1])))
    arguments = (kernel, stride, padding, dilation, draw(st.booleans()))
    plane = x.reshape(1, *size)
    try:
        wanted = torch.nn.functional.max_pool2d(
            torch.tensor(plane), *arguments, return_indices=True
        )
    except RuntimeError:  # no window fits
        with pytest.raises(ValueError, match="max_pool"):
            F.max_pool2d(plane, *arguments)
        return
    try:
        found = F.max_pool2d(plane, *arguments, return_indices=True)
    except ShapeError:  # a window jumps over the input; torch's position is then none of it
        assert max(dilation) > 1
        assert (wanted[0] == -np.inf).any()
        return
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
