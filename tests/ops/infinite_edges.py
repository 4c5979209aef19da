"""What happens at poles, infinities and NaN: facts, with the rule behind them, as in `edges`."""

from __future__ import annotations

from math import exp, inf, log, log1p, nan, pi, tanh

from tests.ops.edge import SELU_LOWEST, SELU_SCALE, Edge, binary, unary

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
