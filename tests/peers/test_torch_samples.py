"""The sample inputs that torch ships for its own tests, run on both engines.

torch's `op_db` holds, for every op, calls with shapes and arguments that have gone wrong before:
empty and zero-dimensional tensors, negative axes, every keyword. For the ops shared with this
engine each call is compared in value, gradient and second order, in float64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.peers import import_peer
from tinygrad_edu.nn import functional as F

pytestmark = pytest.mark.peer

torch = import_peer("torch")
import_peer("expecttest")  # which torch's own test package needs
op_db = import_peer("torch.testing._internal.common_methods_invocations").op_db

FEWEST = 3970
"""Calls compared at least; there were 3979 when this was written."""

TOLERANCE = 1e-10
"""Relative to the largest number of a result. Both compute in float64, in another order; powers and
tangents of the samples magnify roundings a thousandfold, second derivatives once more."""

SAME = """
    abs acos add all amax amin any arange argmax argmin argsort asin atan bmm cat ceil chunk
    clamp cos cosh count_nonzero cumprod cumsum diag diagonal div dot eq erf exp expand expm1
    eye flatten flip floor floor_divide fmod full full_like gather ge gt index_select isfinite
    isinf isnan le linspace log log1p log_softmax logical_and logical_not logical_or logical_xor
    logsumexp lt masked_fill matmul max maximum mean min minimum mm movedim mul mv ne neg norm
    ones ones_like outer permute pow prod remainder repeat repeat_interleave reshape roll round
    rsqrt scatter scatter_add sigmoid sign sin sinh softmax sort split sqrt squeeze stack std
    sub sum take_along_dim tan tanh tensordot tile topk transpose tril triu trunc unbind
    unsqueeze var zeros zeros_like
"""
# All samples of softplus replace it by x above 0.2: `test_ops_against_torch.py` compares the rest.
ACTIVATIONS = "elu gelu hardswish hardtanh leaky_relu mish relu relu6 selu silu softsign"
LOSSES = "binary_cross_entropy_with_logits cross_entropy linear mse_loss"
WINDOWS = """
    conv1d conv2d conv_transpose1d conv_transpose2d max_pool1d max_pool2d avg_pool1d avg_pool2d
"""

OURS: dict[str, Callable[..., Any]] = {
    **{name: getattr(tg, name) for name in SAME.split()},
    **{f"nn.functional.{name}": getattr(tg, name) for name in ["pad", *ACTIVATIONS.split()]},
    **{f"nn.functional.{name}": getattr(F, name) for name in [*LOSSES.split(), *WINDOWS.split()]},
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "__getitem__": lambda x, key: x[key],
    "__radd__": lambda x, other: other + x,
    "__rdiv__": lambda x, other: other / x,
    "__rmatmul__": lambda x, other: other @ x,
    "__rmod__": lambda x, other: other % x,
    "__rmul__": lambda x, other: other * x,
    "__rpow__": lambda x, other: other**x,
    "__rsub__": lambda x, other: other - x,
    "einsum": lambda tensors, equation: tg.einsum(equation, tensors),
    "split_with_sizes": tg.split,
    "true_divide": tg.div,
    "view": lambda x, *shape: x.view(*shape),
    "where": lambda x, condition, other: tg.where(condition, x, other),
}
"""By torch's name for the op, ours with the arguments that torch's samples have."""

NOT_HERE = {
    ("linspace", "tensor_overload"): "start and end are numbers here",
    ("norm", "nuc"): "no singular values here",
    ("std", "unbiased"): "std(False) is deprecated in torch; here a bool is no axis",
    ("var", "unbiased"): "var(False) is deprecated in torch; here a bool is no axis",
}
"""Variants of an op that are left out, and why."""

NO_MATTER = {"device", "layout", "memory_format", "pin_memory", "output_size"}
"""Arguments about where values are kept: there is one place here; and a hint at a result's size."""

DTYPES = {"bool", "int32", "int64", "float32", "float64"}


class Skip(Exception):
    """A sample that is left out, and why."""


@dataclass(frozen=True)
class Call:
    """One call: the arguments, for torch and for us, and the leaves that ask for gradients."""

    theirs: tuple[Any, Any, Any]
    ours: tuple[Any, Any, Any]
    leaves: list[tuple[Any, tg.Tensor]]


def convert(value: Any, leaves: list[tuple[Any, tg.Tensor]]) -> Any:
    """An argument as this engine takes it."""
    if isinstance(value, torch.Tensor):
        for theirs, ours in leaves:
            if theirs is value:
                return ours
        wanted = value.requires_grad
        x = tg.tensor(value.detach().numpy(), requires_grad=wanted)
        if wanted:
            leaves.append((value, x))
        return x
    if isinstance(value, torch.dtype):
        name = str(value).removeprefix("torch.")
        if name not in DTYPES:
            raise Skip(f"{name} is not a dtype here")
        return name
    if isinstance(value, dict):
        return {k: convert(v, leaves) for k, v in value.items() if k not in NO_MATTER}
    if isinstance(value, list | tuple):
        kind = list if isinstance(value, list) else tuple  # as indices they mean different things
        return kind(convert(v, leaves) for v in value)
    return value


def refuse(name: str, sample: Any) -> None:
    """Leave out what is meant to differ."""
    x, args = sample.input, sample.args
    if name == "cat" and any(part.shape == (0,) for part in x) and any(p.ndim > 1 for p in x):
        raise Skip("an empty vector joins anything in torch, for the sake of old code")
    if name == "gather" and not args[1].numel() and args[1].ndim != max(x.ndim, 1):
        raise Skip("an index without elements may have any number of axes in torch")
    if name in ("empty", "full", "ones", "zeros") and "names" in sample.kwargs:
        raise Skip("axes have no names here")


def calls(op: Any) -> Iterator[Call]:
    """The calls of an op that can be compared."""
    for sample in op.sample_inputs("cpu", torch.float64, requires_grad=op.supports_autograd):
        leaves: list[tuple[Any, tg.Tensor]] = []
        theirs = (sample.input, sample.args, sample.kwargs)
        try:
            refuse(op.name, sample)
            yield Call(theirs, tuple(convert(part, leaves) for part in theirs), leaves)
        except Skip:
            continue


SHARED = {
    op.formatted_name: op
    for op in op_db
    if op.name in OURS
    and (op.name, op.variant_test_name) not in NOT_HERE
    and torch.float64 in op.dtypes
}


@functools.cache
def listed(name: str) -> tuple[Call, ...]:
    """The calls of an op of `SHARED`, made once."""
    return tuple(calls(SHARED[name]))


def outputs(result: Any) -> list[Any]:
    """One result, or each of several."""
    return list(result) if isinstance(result, list | tuple) else [result]


def same(found: Any, wanted: Any, what: str) -> None:
    """Equality up to roundings of the largest finite number."""
    wanted = wanted.numpy(force=True)
    scale = float(np.max(np.abs(wanted), initial=1.0, where=np.isfinite(wanted)))
    np.testing.assert_allclose(found, wanted, TOLERANCE, TOLERANCE * scale, err_msg=what)


def compare(op: Any, call: Call) -> None:
    """Value, gradient and second order of one call."""
    x, args, kwargs = call.ours
    ours = outputs(OURS[op.name](x, *args, **kwargs))
    x, args, kwargs = call.theirs
    theirs = outputs(op(x, *args, **kwargs))
    assert len(ours) == len(theirs)
    for y, z in zip(ours, theirs, strict=True):
        assert y.shape == tuple(z.shape)
        assert str(z.dtype) == f"torch.{y.dtype}"
        same(y.detach().numpy(), z, "value")
    differentiable = [(y, z) for y, z in zip(ours, theirs, strict=True) if z.requires_grad]
    if call.leaves and differentiable:
        first = gradients(differentiable, call.leaves, seed=1)
        again = [pair for pair in first if pair[1].requires_grad]
        if again and op.supports_gradgrad:
            gradients(again, call.leaves, seed=2)


Pairs = list[tuple[tg.Tensor, Any]]


def gradients(roots: Pairs, leaves: list[tuple[Any, tg.Tensor]], seed: int) -> Pairs:
    """The gradients by every leaf, ours beside theirs, once they are found to agree. What has no
    gradient counts as zero: torch lets the gradient 0 pass where there is none (floor)."""
    rng = np.random.default_rng(seed)
    seeds = [rng.uniform(-1, 1, tuple(z.shape)) for _, z in roots]
    wanted = torch.autograd.grad(
        [z for _, z in roots],
        [leaf for leaf, _ in leaves],
        [torch.tensor(g) for g in seeds],
        create_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    asking = [(y, tg.tensor(g)) for (y, _), g in zip(roots, seeds, strict=True) if y.requires_grad]
    found: Any = [None] * len(leaves)
    if asking:
        starts, cotangents = zip(*asking, strict=True)
        xs = [x for _, x in leaves]
        found = tg.autograd.grad(starts, xs, cotangents, create_graph=True, allow_unused=True)
    pairs = []
    for ours, theirs in zip(found, wanted, strict=True):
        ours = tg.zeros(tuple(theirs.shape), dtype="float64") if ours is None else ours
        same(ours.detach().numpy(), theirs, f"gradient of order {seed}")
        pairs.append((ours, theirs))
    return pairs


@pytest.mark.filterwarnings("ignore")  # torch's, about what its samples provoke
@pytest.mark.parametrize("name", SHARED)
def test_samples(name: str) -> None:
    for i, call in enumerate(listed(name)):
        try:
            compare(SHARED[name], call)
        except Exception as error:
            error.add_note(f"sample {i}: {name}{call.ours}")
            raise


def test_there_are_many_samples() -> None:
    """Fewer would mean that a comparison was lost, by a new torch or by a change here."""
    assert {op.name for op in SHARED.values()} == set(OURS)
    assert all(listed(name) for name in SHARED)
    assert sum(len(listed(name)) for name in SHARED) >= FEWEST
