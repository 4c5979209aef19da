"""What happens at kinks, ties, poles, infinities and NaN: facts, with the rule behind them.

Values and gradients are torch's; where ours differ, `torch` holds torch's and `why` says why. The
functions take a namespace `m`, so that `test_edges.py` runs them on this engine and
`peers/test_ops_against_torch.py` on torch.
"""

from __future__ import annotations

from math import e, inf, log, nan, pi, sqrt

from tests.ops.edge import SELU_LOWEST, Edge, binary, unary
from tests.ops.infinite_edges import INFINITIES, POWERS, PRODUCTS, ROOTS_OF_SUMS, SOFTMAXES

KINKS = [
    unary("relu", [-0.0, 0.0, 1e-300], [0, 0, 1e-300], [0, 0, 1]),
    unary("relu6", [0.0, 6.0, 5.0, 7.0], [0, 6, 5, 6], [0, 0, 1, 0]),
    unary("hardtanh", [-1.0, 1.0, 0.5], [-1, 1, 0.5], [0, 0, 1]),
    unary("hardswish", [-3.0, 3.0, 0.0], [0, 3, 0], [0, 1, 0.5]),
    unary("leaky_relu", [0.0, -0.0], [0, 0], [0.01, 0.01]),
    unary("elu", [0.0, -0.0], [0, 0], [1, 1]),
    unary("selu", [0.0, -0.0], [0, 0], [-SELU_LOWEST, -SELU_LOWEST]),
    unary("softsign", [0.0], [0], [1]),
    unary("abs", [0.0, -0.0, -2.0], [0, 0, 2], [0, 0, -1]),
    Edge(
        "clamp at its bounds passes to x",
        lambda m, x: m.clamp(x, -1.0, 1.0),
        ([-2.0, -1.0, 0.0, 1.0, 2.0],),
        [-1, -1, 0, 1, 1],
        ([0, 1, 1, 1, 0],),
    ),
    Edge(
        "clamp beyond a bound passes to the bound",
        lambda m, x, low, high: m.clamp(x, low, high),
        ([-2.0, -1.0, 0.0, 1.0, 2.0], [-1.0] * 5, [1.0] * 5),
        [-1, -1, 0, 1, 1],
        ([0, 1, 1, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]),
    ),
    Edge(
        "clamp with crossed bounds is the upper one",
        lambda m, x, low, high: m.clamp(x, low, high),
        ([-2.0, 0.0, 2.0], [1.0] * 3, [-1.0] * 3),
        [-1, -1, -1],
        ([0, 0, 0], [0, 0, 0], [1, 1, 1]),
    ),
    Edge(
        "clamp between equal bounds",
        lambda m, x, low, high: m.clamp(x, low, high),
        ([0.0, 1.0, 2.0], [1.0] * 3, [1.0] * 3),
        [1, 1, 1],
        ([0, 1, 0], [0, 0, 0], [0, 0, 1]),
    ),
]

TIES = [
    binary("maximum", [1.0, 2.0, 1.0], [1.0, 1.0, 2.0], [1, 2, 2], [0.5, 1, 0], [0.5, 0, 1]),
    binary("minimum", [1.0, 2.0, 1.0], [1.0, 1.0, 2.0], [1, 1, 1], [0.5, 0, 1], [0.5, 1, 0]),
    Edge("maximum of x and x", lambda m, x: m.maximum(x, x), ([3.0],), [3], ([1],)),
    Edge("amax", lambda m, x: m.amax(x, 0), ([1.0, 1.0, 0.0],), 1, ([0.5, 0.5, 0],)),
    Edge("amin", lambda m, x: m.amin(x, 0), ([1.0, 0.0, 0.0],), 0, ([0, 0.5, 0.5],)),
    Edge(
        "amax over two axes",
        lambda m, x: m.amax(x, (0, 1)),
        ([[2.0, 1.0], [2.0, 2.0]],),
        2,
        ([[1 / 3, 0], [1 / 3, 1 / 3]],),
    ),
    Edge(
        "norm of order infinity",
        lambda m, x: m.norm(x, inf),
        ([1.0, -1.0, 0.0],),
        1,
        ([0.5, -0.5, 0],),
    ),
]

PICKS = [
    Edge("max of all", lambda m, x: m.max(x), ([1.0, 1.0, 0.0],), 1, ([0.5, 0.5, 0],)),
    Edge("max along an axis", lambda m, x: m.max(x, 0)[0], ([1.0, 1.0, 0.0],), 1, ([1, 0, 0],)),
    Edge("min along an axis", lambda m, x: m.min(x, 0)[0], ([0.0, 1.0, 0.0],), 0, ([1, 0, 0],)),
    Edge("max of nan", lambda m, x: m.max(x, 0)[0], ([1.0, nan, nan],), nan, ([0, 1, 0],)),
    Edge("position of the max", lambda m, x: x * m.max(x, 0)[1], ([1.0, 1.0],), [0, 0], ([0, 0],)),
    Edge("min of nan", lambda m, x: m.min(x, 0)[0], ([1.0, nan, 0.0],), nan, ([0, 1, 0],)),
    Edge(
        "sort with nan",
        lambda m, x: m.sort(x)[0][:3],
        ([2.0, nan, 1.0, inf],),
        [1, 2, inf],
        ([1, 0, 1, 1],),
    ),
    Edge(
        "sort downwards with nan",
        lambda m, x: m.sort(x, descending=True)[0][:2],
        ([2.0, nan, 1.0, inf],),
        [nan, inf],
        ([0, 1, 0, 1],),
    ),
    Edge(
        "a stable sort",
        lambda m, x: x * m.sort(x, stable=True)[1],
        ([1.0, 0.0, 1.0, 0.0],),
        [1, 0, 0, 0],
        ([1, 3, 0, 2],),
    ),
    Edge(
        "a stable sort downwards",
        lambda m, x: x * m.sort(x, descending=True, stable=True)[1],
        ([1.0, 0.0, 1.0, 0.0],),
        [0, 0, 1, 0],
        ([0, 2, 1, 3],),
    ),
    Edge("topk with nan", lambda m, x: m.topk(x, 2)[0], ([1.0, nan, 3.0],), [nan, 3], ([0, 1, 1],)),
    Edge(
        "gather the same twice",
        lambda m, x: m.gather(x, 0, m.argsort(x) * 0 + 1),
        ([1.0, 2.0, 3.0],),
        [2, 2, 2],
        ([0, 3, 0],),
    ),
    Edge(
        "tril of nan",
        lambda m, x: m.tril(x),
        ([[1.0, nan], [2.0, 3.0]],),
        [[1, 0], [2, 3]],
        ([[1, 0], [1, 1]],),
    ),
    Edge("einsum over nothing", lambda m, x: m.einsum("ij->", x), ([[], []],), 0, ([[], []],)),
    Edge(
        "einsum of one operand, twice the same letter",
        lambda m, x: m.einsum("ii->", x),
        ([[1.0, nan], [inf, 2.0]],),
        3,
        ([[1, 0], [0, 1]],),
    ),
]

ROUNDINGS = [
    binary("remainder", [5.0, -5.0, 5.0, -5.0], [3.0, 3.0, -3.0, -3.0], [2, 1, -1, -2],
           [1, 1, 1, 1], [-1, 2, 2, -1]),
    binary("remainder", [1.0, 0.0, inf], [0.0, 1.0, 2.0], [nan, 0, nan], [1, 1, 1], [-inf, 0, nan]),
    binary("fmod", [5.0, -5.0, 0.0], [3.0, 3.0, 3.0], [2, -2, 0], [1, 1, 1], [-1, 1, 0]),
]  # fmt: skip

MASKS = [
    Edge(
        "where does not keep the nan out",
        lambda m, x: m.where(x > 0, m.log(x), 0.0 * x),
        ([0.0, 1.0],),
        [0, 0],
        ([nan, 1],),
    ),
    Edge(
        "where over a safe operand (double where)",
        lambda m, x: m.where(x > 0, m.log(m.where(x > 0, x, 1.0)), 0.0),
        ([0.0, 2.0],),
        [0, log(2)],
        ([0, 0.5],),
    ),
    Edge(
        "relu drops an infinite cotangent",
        lambda m, x: m.sqrt(m.relu(x)),
        ([-1.0, 4.0],),
        [0, 2],
        ([0, 0.25],),
    ),
    Edge(
        "maximum drops an infinite cotangent",
        lambda m, x: m.sqrt(m.maximum(x, 0.0 * x)),
        ([-1.0, 4.0],),
        [0, 2],
        ([nan, 0.25],),  # through 0.0 * x, which is the larger
    ),
    Edge(
        "maximum, the cotangent infinite for one operand only",
        lambda m, a, b: m.sqrt(m.maximum(a, b)),
        ([-1.0, 0.0], [0.0, -1.0]),
        [0, 0],
        ([0, inf], [inf, 0]),
    ),
    Edge(
        "minimum, the cotangent infinite for one operand only",
        lambda m, a, b: m.log(m.minimum(a, b)),
        ([1.0, 0.0], [0.0, 1.0]),
        [-inf, -inf],
        ([0, inf], [inf, 0]),
    ),
    Edge(
        "amax drops an infinite cotangent",
        lambda m, x: m.sqrt(m.amax(x, 0)),
        ([0.0, -1.0],),
        0,
        ([inf, 0],),
        torch=(0, ([inf, nan],)),
        why="elements that were not taken have no influence; torch multiplies inf by 0",
    ),
]

DIFFERENT = [
    unary(
        "abs",
        [-inf, inf, nan],
        [inf, inf, nan],
        [-1, 1, nan],
        torch=([inf, inf, nan], ([-1, 1, 0],)),
        why="NaN stays NaN: a gradient of 0 would hide it",
    ),
    unary(
        "softsign",
        [-inf, inf, nan],
        [nan, nan, nan],
        [0, 0, nan],
        torch=([nan, nan, nan], ([nan, nan, nan],)),
        why="the derivative 1/(1+|x|)^2 has the limit 0; torch's composition meets inf/inf",
    ),
    unary(
        "hardswish",
        [-inf, inf, nan],
        [0, inf, nan],
        [0, 1, 1],
        torch=([nan, inf, nan], ([0, 1, 1],)),
        why="the function is 0 on all of x <= -3; torch multiplies -inf by 0",
    ),
    unary(
        "softplus",
        [30.0],
        [30.000000000000093],
        [0.9999999999999065],
        torch=([30.0], ([1.0],)),
        why="torch returns x above 20; the exact log(1 + exp(x)) costs nothing",
    ),
]

EDGES = KINKS + TIES + PICKS + PRODUCTS + ROUNDINGS + POWERS + ROOTS_OF_SUMS + MASKS + SOFTMAXES
EDGES += INFINITIES + DIFFERENT

SECOND = [
    ("relu", 0.0, 0),
    ("relu6", 6.0, 0),
    ("abs", 0.0, 0),
    ("elu", 0.0, 0),
    ("selu", 0.0, 0),
    ("leaky_relu", 0.0, 0),
    ("hardtanh", 1.0, 0),
    ("sigmoid", 0.0, 0),
    ("tanh", 0.0, 0),
    ("softplus", 0.0, 0.25),
    ("silu", 0.0, 0.5),
    ("gelu", 0.0, sqrt(2 / pi)),
    ("mish", 0.0, 0.64),
    ("erf", 0.0, 0),
    ("exp", 1.0, e),
    ("sqrt", 0.0, -inf),
    ("rsqrt", 1.0, 0.75),
    ("log", 1.0, -1),
]
"""Name, point, and torch's second derivative there by double backward."""
