"""Which steps a program becomes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.compiler.plan import Plan, build
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.kernels import blas, llvm
from tinygrad_edu.nn import functional

pytestmark = pytest.mark.skipif(blas.find() is None, reason="no BLAS to call")


def compiled(*outputs: tg.Tensor, inputs: tuple[tg.Tensor, ...]) -> Plan:
    return build(Program(tuple(x.node for x in inputs), (), {}, tuple(t.node for t in outputs)))


def kernels(plan: Plan) -> Counter[str]:
    return Counter(i.kernel for i in plan.instructions)


def test_a_training_step_of_a_perceptron() -> None:
    """Two layers, cross-entropy, momentum: five products, and no gradient buffer for a weight."""
    sizes = ((20, 16), (16,), (16, 10), (10,))
    weights = [abstract(shape).requires_grad_() for shape in sizes]
    speeds = [abstract(shape) for shape in sizes]
    x, t, rate = abstract((32, 20)), abstract((32,), np.int64), abstract(())
    w, b, v, c = weights
    loss = functional.cross_entropy((x @ w + b).tanh() @ v + c, t)
    gradients = tg.autograd.grad(loss, weights)
    with tg.no_grad():
        new = [0.9 * s + g for s, g in zip(speeds, gradients, strict=True)]
        moved = [p - rate * s for p, s in zip(weights, new, strict=True)]
    updates = zip([*weights, *speeds], [*moved, *new], strict=True)
    program = Program(
        (x.node, t.node, rate.node),
        tuple(p.node for p in [*weights, *speeds]),
        {p.node: q.node for p, q in updates},
        (loss.node,),
    )
    plan = build(program)
    assert all(i.is_native for i in plan.instructions)
    assert kernels(plan)["matmul"] == 5
    assert kernels(plan)["fused"] <= 13
    weight_bytes = sum(p.numel() * 4 for p in weights)
    assert plan.arena_bytes < 2 * weight_bytes + 12_000


def test_softmax_is_one_kernel() -> None:
    x = abstract((8, 10))
    assert kernels(compiled(tg.softmax(x, 1), inputs=(x,))) == {"fused": 1}


def test_layer_norm_over_several_axes_is_one_kernel() -> None:
    x = abstract((4, 3, 5, 6))
    c = x - x.mean((1, 2, 3), keepdim=True)
    y = c / ((c * c).mean((1, 2, 3), keepdim=True) + 1e-5).sqrt()
    assert kernels(compiled(y, inputs=(x,))) == {"fused": 1}


def test_a_sum_of_many_arrays_is_not_computed_again_by_each_reader() -> None:
    xs = [abstract((16, 16)) for _ in range(6)]
    total, outputs = xs[0], []
    for x in xs[1:]:
        total = total + x
        outputs.append(tg.softmax(total, 1))
    plan = compiled(*outputs, inputs=tuple(xs))
    assert sum(i.ops.count("add") for i in plan.instructions) <= 7


@pytest.mark.skipif(not llvm.host().masks, reason="needs kernels of register tiles")
@pytest.mark.parametrize("bias", [(16,), (1, 16)])
def test_a_bias_is_no_step_of_its_own(bias: tuple[int, ...]) -> None:
    """Where the processor's own kernels compute the product; a column or a matrix is one."""
    x, w, b = abstract((8, 20)), abstract((20, 16)), abstract(bias)
    assert kernels(compiled(x @ w + b, inputs=(x, w, b))) == {"matmul": 1}
    for shape in ((8, 1), (8, 16)):
        c = abstract(shape)
        assert kernels(compiled(x @ w + c, inputs=(x, w, c))) == {"fused": 1, "matmul": 1}
    arrays = [np.random.default_rng(i).standard_normal(t.shape).astype(np.float32)
              for i, t in enumerate((x, w, b))]  # fmt: skip
    found = compiled(x @ w + b, inputs=(x, w, b)).run(arrays)[0]
    np.testing.assert_allclose(found, arrays[0] @ arrays[1] + arrays[2], rtol=1e-5, atol=1e-5)


def test_biases_and_residuals_start_the_product() -> None:
    x, w, bias = abstract((8, 8)), abstract((8, 8)), abstract((8,))
    plan = compiled(x + (x @ w + bias), inputs=(x, w, bias))
    assert [i.kernel for i in plan.instructions] == ["fused", "matmul"]


def test_transposed_operands_are_not_copied() -> None:
    x, w = abstract((8, 6)), abstract((5, 6))
    assert kernels(compiled(x @ w.T, (x @ w.T).T, inputs=(x, w)))["move"] == 0


def test_without_a_form_numpy_is_called() -> None:
    x, n = abstract((4, 6), np.int64), abstract((), np.int64)
    plan = compiled(x**n * 2, inputs=(x, n))
    assert kernels(plan) == {"numpy": 1, "fused": 1}
    assert [i.ops for i in plan.instructions if not i.is_native] == [("pow",)]
