"""What happens at kinks, ties, poles, infinities and NaN: facts, with the rule behind them.

Values and gradients are torch's; where ours differ, `torch` holds torch's and `why` says why. The
functions take a namespace `m`, so that `test_edges.py` runs them on this engine and
`peers/test_ops_against_torch.py` on torch.
"""

from __future__ import annotations

from math import e, exp, inf, log, log1p, nan, pi, sqrt, tanh

from tests.ops.edge import SELU_LOWEST, SELU_SCALE, Edge, binary, unary

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

PRODUCTS = [
    Edge("prod with a zero", lambda m, x: m.prod(x), ([2.0, 0.0, 3.0],), 0, ([0, 6, 0],)),
    Edge("prod with two zeros", lambda m, x: m.prod(x), ([0.0, 0.0, 3.0],), 0, ([0, 0, 0],)),
    Edge("prod of nothing", lambda m, x: m.prod(x), ([],), 1, ([],)),
    Edge(
        "prod with inf",
        lambda m, x: m.prod(x),
        ([2.0, inf],),
        inf,
        ([inf, 2],),
        torch=(inf, ([inf, nan],)),
        why="torch divides the product by the factor; the other factor is not concerned",
    ),
    Edge("prod with inf and 0", lambda m, x: m.prod(x), ([0.0, inf],), nan, ([inf, 0],)),
    Edge(
        "prod with nan",
        lambda m, x: m.prod(x),
        ([2.0, nan],),
        nan,
        ([nan, 2],),
        torch=(nan, ([nan, nan],)),
        why="as above",
    ),
    Edge(
        "cumprod with a zero",
        lambda m, x: m.cumprod(x, 0),
        ([2.0, 0.0, 3.0, 4.0],),
        [2, 0, 0, 0],
        ([1, 2 + 6 + 24, 0, 0],),
    ),
    Edge(
        "cumprod with two zeros",
        lambda m, x: m.cumprod(x, 0),
        ([2.0, 0.0, 3.0, 0.0],),
        [2, 0, 0, 0],
        ([1, 2 + 6, 0, 0],),
    ),
    Edge("cumprod of nothing", lambda m, x: m.cumprod(x, 0), ([],), [], ([],)),
    Edge("cumsum with nan", lambda m, x: m.cumsum(x, 0), ([1.0, nan],), [1, nan], ([2, 1],)),
]

ROUNDINGS = [
    binary("remainder", [5.0, -5.0, 5.0, -5.0], [3.0, 3.0, -3.0, -3.0], [2, 1, -1, -2],
           [1, 1, 1, 1], [-1, 2, 2, -1]),
    binary("remainder", [1.0, 0.0, inf], [0.0, 1.0, 2.0], [nan, 0, nan], [1, 1, 1], [-inf, 0, nan]),
    binary("fmod", [5.0, -5.0, 0.0], [3.0, 3.0, 3.0], [2, -2, 0], [1, 1, 1], [-1, 1, 0]),
]  # fmt: skip

POWERS = [
    binary("pow", [0.0, 2.0, -2.0], [0.0, 0.0, 0.0], [1, 1, 1], [0, 0, 0], [0, log(2), nan]),
    binary("pow", [0.0, 0.0, 0.0], [2.0, 1.0, 0.5], [0, 0, 0], [0, 1, inf], [0, 0, 0]),
    binary("pow", [0.0], [-1.0], [inf], [-inf], [-inf]),
    binary("pow", [-1.0, -2.0], [2.0, 0.5], [1, nan], [-2, nan], [nan, nan]),
    Edge("x**0 at 0", lambda m, x: x**0, ([0.0, 3.0],), [1, 1], ([0, 0],)),
    Edge("x**1 at 0", lambda m, x: x**1, ([0.0],), [0], ([1],)),
    Edge("x**2 at 0", lambda m, x: x**2, ([0.0],), [0], ([0],)),
    Edge("0**x", lambda m, x: 0.0**x, ([0.0, 2.0],), [1, 0], ([0, 0],)),
    unary("sqrt", [0.0, -0.0], [0, -0.0], [inf, -inf]),
    unary("rsqrt", [0.0, -0.0, inf], [inf, -inf, 0], [-inf, inf, 0]),
    binary("div", [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [nan, inf, 0], [inf, inf, 1], [nan, -inf, 0]),
    unary("log", [0.0, -1.0], [-inf, nan], [inf, -1]),
    unary("log1p", [-1.0], [-inf], [inf]),
    unary("asin", [1.0, -1.0, 2.0], [pi / 2, -pi / 2, nan], [inf, inf, nan]),
    unary("acos", [1.0, -1.0], [0, pi], [-inf, -inf]),
]

ROOTS_OF_SUMS = [
    Edge("norm at 0", lambda m, x: m.norm(x), ([0.0, 0.0],), 0, ([0, 0],)),
    Edge("norm of order 1 at 0", lambda m, x: m.norm(x, 1), ([0.0, -2.0],), 2, ([0, -1],)),
    Edge("norm of order 3 at 0", lambda m, x: m.norm(x, 3), ([0.0, 0.0],), 0, ([0, 0],)),
    Edge("norm of order 1/2 at 0", lambda m, x: m.norm(x, 0.5), ([0.0, 4.0],), 4, ([0, 1],)),
    Edge("norm of order 3 beside 0", lambda m, x: m.norm(x, 3), ([0.0, -2.0],), 2, ([0, -1],)),
    Edge("norm of order -1 at 0", lambda m, x: m.norm(x, -1), ([0.0, 2.0],), 0, ([0, 0],)),
    Edge(
        "norm of order -inf",
        lambda m, x: m.norm(x, -inf),
        ([1.0, -1.0, 2.0],),
        1,
        ([0.5, -0.5, 0],),
    ),
    Edge("norm of nothing", lambda m, x: m.norm(x), ([],), 0, ([],)),
    Edge("norm with inf", lambda m, x: m.norm(x), ([inf, 1.0],), inf, ([nan, 0],)),
    Edge("std of equal elements", lambda m, x: m.std(x), ([2.0, 2.0, 2.0],), 0, ([0, 0, 0],)),
    Edge("std of one element", lambda m, x: m.std(x), ([2.0],), nan, ([nan],)),
    Edge("var of one element", lambda m, x: m.var(x), ([2.0],), nan, ([nan],)),
    Edge("mean of nothing", lambda m, x: m.mean(x), ([],), nan, ([],)),
    Edge("sum of nothing", lambda m, x: m.sum(x), ([],), 0, ([],)),
]

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

SOFTMAXES = [
    Edge("logsumexp", lambda m, x: m.logsumexp(x, 0), ([-inf, -inf],), -inf, ([nan, nan],)),
    Edge("logsumexp", lambda m, x: m.logsumexp(x, 0), ([-inf, 0.0],), 0, ([0, 1],)),
    Edge(
        "logsumexp with inf",
        lambda m, x: m.logsumexp(x, 0),
        ([inf, 1.0],),
        inf,
        ([nan, 0],),
    ),
    Edge("logsumexp of nothing", lambda m, x: m.logsumexp(x, 0), ([],), -inf, ([],)),
    Edge("logsumexp far out", lambda m, x: m.logsumexp(x, 0), ([1e4, 0.0],), 1e4, ([1, 0],)),
    Edge("softmax", lambda m, x: m.softmax(x, 0), ([inf, inf],), [nan, nan], ([nan, nan],)),
    Edge("softmax", lambda m, x: m.softmax(x, 0), ([-inf, -inf],), [nan, nan], ([nan, nan],)),
    Edge("softmax", lambda m, x: m.softmax(x, 0)[1], ([-inf, 1.0],), 1, ([0, 0],)),
    Edge("softmax of nothing", lambda m, x: m.softmax(x, 0), ([],), [], ([],)),
    Edge("log_softmax", lambda m, x: m.log_softmax(x, 0)[1], ([-inf, 1.0],), 0, ([0, 0],)),
    Edge("log_softmax", lambda m, x: m.log_softmax(x, 0), ([inf, 1.0],), [nan, nan], ([nan] * 2,)),
    Edge(
        "log_softmax keeps a small difference beside a large common part",
        lambda m, x: m.log_softmax(x, 0),
        ([1e8, 1e8 - 2.0],),
        [-log1p(exp(-2)), -2 - log1p(exp(-2))],
        ([-tanh(1), tanh(1)],),
    ),
    Edge(
        "amax with nan",
        lambda m, x: m.amax(x, 0),
        ([nan, 1.0],),
        nan,
        ([1, 0],),
        torch=(nan, ([nan, nan],)),
        why="as the gradient of max() is in torch, too: the others do not matter",
    ),
    binary("maximum", [nan, 1.0], [1.0, nan], [nan, nan], [1, 1], [1, 1]),
]

INFINITIES = [
    unary(op, [-inf, inf, nan], values, grads)
    for op, values, grads in [
        ("sigmoid", [0, 1, nan], [0, 0, nan]),
        ("tanh", [-1, 1, nan], [0, 0, nan]),
        ("relu", [0, inf, nan], [0, 1, 1]),
        ("relu6", [0, 6, nan], [0, 0, 1]),
        ("leaky_relu", [-inf, inf, nan], [0.01, 1, 0.01]),
        ("elu", [-1, inf, nan], [0, 1, 1]),
        ("selu", [SELU_LOWEST, inf, nan], [0, SELU_SCALE, SELU_SCALE]),
        ("softplus", [0, inf, nan], [0, 1, nan]),
        ("silu", [nan, inf, nan], [nan, nan, nan]),
        ("mish", [nan, inf, nan], [nan, nan, nan]),
        ("gelu", [nan, inf, nan], [nan, nan, nan]),
        ("hardtanh", [-1, 1, nan], [0, 0, 1]),
        ("erf", [-1, 1, nan], [0, 0, nan]),
        ("exp", [0, inf, nan], [0, inf, nan]),
        ("expm1", [-1, inf, nan], [0, inf, nan]),
        ("log", [nan, inf, nan], [0, 0, nan]),
        ("log1p", [nan, inf, nan], [0, 0, nan]),
        ("sqrt", [nan, inf, nan], [nan, 0, nan]),
        ("rsqrt", [nan, 0, nan], [nan, 0, nan]),
        ("sinh", [-inf, inf, nan], [inf, inf, nan]),
        ("cosh", [inf, inf, nan], [-inf, inf, nan]),
        ("sin", [nan, nan, nan], [nan, nan, nan]),
        ("cos", [nan, nan, nan], [nan, nan, nan]),
        ("tan", [nan, nan, nan], [nan, nan, nan]),
        ("asin", [nan, nan, nan], [nan, nan, nan]),
        ("acos", [nan, nan, nan], [nan, nan, nan]),
        ("atan", [-pi / 2, pi / 2, nan], [0, 0, nan]),
        ("neg", [inf, -inf, nan], [-1, -1, -1]),
    ]
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
