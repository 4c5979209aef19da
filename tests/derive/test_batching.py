"""Every op takes a batch axis: one call for all examples is the calls for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.cases import CASES
from tests.ops.own import OWN
from tests.ops.samples import Array, Sample
from tinygrad_edu.derive import batching
from tinygrad_edu.derive.autograd import grad
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.ops import TABLE
from tinygrad_edu.ops.dtypes import is_float

EPS = float(np.finfo(np.float64).eps)
ULPS = 512
"""As for the ops' derivatives: both sides add up the same terms, in another order at most."""

SIZE = 3


def varying(x: Array) -> Array:
    """Different examples of what is right for the op: the same numbers in other places."""
    return np.stack([np.roll(x.ravel(), i).reshape(x.shape) for i in range(SIZE)])


def same(found: Tensor, wanted: list[Array], shape: tuple[int, ...]) -> None:
    stacked = np.stack(wanted)
    assert found.shape == (SIZE, *shape)
    assert found.dtype == stacked.dtype
    scale = float(np.max(np.abs(stacked), initial=1.0, where=np.isfinite(stacked)))
    np.testing.assert_allclose(found.detach().numpy(), stacked, rtol=0, atol=ULPS * EPS * scale)


@st.composite
def cases(draw: Any, name: str) -> tuple[Sample, list[bool]]:
    """A sample of the op, and which of its operands vary: at least one."""
    sample = draw(CASES[name].samples.filter(lambda sample: sample.xs))
    varied = draw(st.lists(st.booleans(), min_size=len(sample.xs), max_size=len(sample.xs)))
    if not any(varied):
        varied[draw(st.integers(0, len(varied) - 1))] = True
    return sample, varied


@pytest.mark.parametrize("name", sorted(CASES))
@given(data=st.data())
def test_every_op(name: str, data: Any) -> None:
    op = TABLE[name]
    sample, varied = data.draw(cases(name))
    rows = [varying(x) if v else x for x, v in zip(sample.xs, varied, strict=True)]
    examples = [[x[i] if v else x for x, v in zip(rows, varied, strict=True)] for i in range(SIZE)]
    leaves = [tg.tensor(x, requires_grad=op.differentiable and is_float(x.dtype)) for x in rows]
    in_dims = tuple(0 if v else None for v in varied)
    found = tg.func.vmap(lambda *xs: apply(op, *xs, **sample.params), in_dims)(*leaves)
    wanted = [np.asarray(op.forward(*xs, **sample.params)) for xs in examples]
    same(found, wanted, wanted[0].shape)
    if not found.requires_grad:
        return
    weights = np.cos(np.arange(found.numel())).reshape(found.shape)
    asked = [x for x in leaves if x.requires_grad]
    together = grad(found, asked, tg.tensor(weights), allow_unused=True)
    one_by_one = [np.zeros(x.shape) for x in asked]
    who_varies = [v for v, leaf in zip(varied, leaves, strict=True) if leaf.requires_grad]
    for i, xs in enumerate(examples):
        one = [
            tg.tensor(x, requires_grad=leaf.requires_grad)
            for x, leaf in zip(xs, leaves, strict=True)
        ]
        y = apply(op, *one, **sample.params)
        mine = [x for x in one if x.requires_grad]
        parts = grad(y, mine, tg.tensor(weights[i]), allow_unused=True)
        for total, varies, part in zip(one_by_one, who_varies, parts, strict=True):
            if part is not None:
                total[i if varies else ...] += part.numpy()
    for gradient, total in zip(together, one_by_one, strict=True):
        got = np.zeros(total.shape) if gradient is None else gradient.numpy()
        scale = float(np.max(np.abs(total), initial=1.0, where=np.isfinite(total)))
        np.testing.assert_allclose(got, total, rtol=0, atol=ULPS * EPS * scale)


def test_no_op_runs_one_by_one_unnoticed() -> None:
    slow = {name for name, op in OWN.items() if batching.rule_of(op) is batching._one_by_one}
    assert slow == {"random"}  # its operand is a key, which does not vary


def test_an_op_without_a_rule_runs_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(batching.RULES, "cumsum")
    x = tg.tensor(np.arange(6.0).reshape(3, 2))
    assert tg.func.vmap(lambda row: row.cumsum(0))(x).tolist() == [[0, 1], [2, 5], [4, 9]]
    assert tg.func.vmap(lambda row: row.cumsum(0))(x[:0]).shape == (0, 2)
