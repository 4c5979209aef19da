"""Random programs: ops of the table on states and inputs of mixed shapes and dtypes, states that
are updated from each other, outputs that are states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.compiler.reference import Reference
from tinygrad_edu.errors import TinygradError
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.nn import functional
from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import TABLE

Array = np.ndarray
SIZES = (1, 2, 3, 5, 8, 16, 17, 33, 70)


class Random:
    """A random program and values for its leaves, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = np.dtype(self.choice([np.float32, np.float64]))
        self.m, self.n, self.b = (int(self.choice(SIZES)) for _ in range(3))
        self.b = min(self.b, 5)
        m, n, b = self.m, self.n, self.b
        shapes = [(m, n), (m, n), (n,), (1, n), (m, 1), (), (n, n), (n, m), (b, m, n), (b, 1, n)]
        shapes += [(b, m, 1), (m,), (b, n, m)]
        self.states = [abstract(shape, self.dtype) for shape in shapes]
        self.inputs = [abstract((m, n), self.dtype), abstract((), self.dtype)]
        self.labels = abstract((m,), np.int64)
        self.flags = abstract((m, n), np.bool_)
        self.pool: list[Any] = [*self.states, *self.inputs]
        for _ in range(int(self.rng.integers(3, 40))):
            self._grow()
        self.program = self._program()

    def choice(self, options: Any) -> Any:
        """One of them."""
        return options[int(self.rng.integers(len(options)))]

    def pick(self) -> Any:
        """A tensor made so far; the newest more often."""
        start = len(self.pool) // 2 if self.rng.random() < 0.5 else 0
        return self.pool[int(self.rng.integers(start, len(self.pool)))]

    def _grow(self) -> None:
        make = self.choice(MAKERS)
        try:
            made = make(self)
        except (TinygradError, ValueError, IndexError):
            return  # shapes that do not fit
        if made.dtype.kind == "f" and made.numel() <= 20_000:
            self.pool.append(made)

    def _program(self) -> Program:
        updates = {}
        for state in self.states:
            fits = [t for t in self.pool if (t.shape, t.dtype) == (state.shape, state.dtype)]
            if self.rng.random() < 0.7:
                updates[state.node] = self.choice(fits[-6:]).node
        outputs = [self.choice(self.pool[-8:]).node for _ in range(int(self.rng.integers(1, 4)))]
        outputs += [self.choice(self.pool).node, self.pool[-1].tanh().mean().node]
        inputs = (*self.inputs, self.labels, self.flags)
        leaves = tuple(x.node for x in inputs)
        return Program(leaves, tuple(s.node for s in self.states), updates, tuple(outputs))

    def values(self) -> tuple[list[Array], list[Array]]:
        """Inputs and states."""
        draw = self.rng.standard_normal
        inputs = [np.asarray(draw(x.shape), self.dtype) for x in self.inputs]
        inputs.append(self.rng.integers(0, self.n, self.m))
        inputs.append(self.rng.random((self.m, self.n)) < 0.5)
        return inputs, [np.asarray(draw(s.shape), self.dtype) for s in self.states]


def _axes(p: Random, x: Any) -> Any:
    if p.rng.random() < 0.2 or not x.ndim:
        return None
    count = int(p.rng.integers(1, x.ndim + 1))
    return tuple(int(a) for a in p.rng.choice(x.ndim, count, replace=False))


def _binary(p: Random) -> Any:
    a, b = p.pick(), p.pick()
    op = p.choice(["add", "sub", "mul", "maximum", "minimum"])
    return apply(TABLE[op], a, b) * (0.5 if op == "mul" else 1)


UNARY = [
    "tanh",
    "relu",
    "abs",
    "neg",
    "sigmoid",
    "sin",
    "erf",
    "softplus",
    "gelu",
    "silu",
    "sign",
    "leaky_relu",
    "elu",
    "hardtanh",
    "relu6",
    "selu",
    "softsign",
    "atan",
    "floor",
    "expm1",
    "cos",
    "asin",
    "acos",
    "sinh",
    "cosh",
    "tan",
]
BOUNDED = {"expm1", "asin", "acos", "sinh", "cosh", "tan"}
"""Of what is between -1 and 1: elsewhere they are not defined, or grow too fast to compare."""


def _unary(p: Random) -> Any:
    x = p.pick()
    name = p.choice(UNARY)
    bounded = x.tanh() * 0.9 if name in BOUNDED else x
    params = {"alpha": 1.5} if name == "elu" else {}
    if name == "leaky_relu":
        params = {"negative_slope": 0.1}
    if name == "hardtanh":
        params = {"low": -1.0, "high": 0.5}
    if name in ("sign", "floor"):  # a jump: only of what is exact
        bounded = p.choice(p.states)
    return apply(TABLE[name], bounded, **params)


def _positive(p: Random) -> Any:
    x = p.pick()
    return p.choice(
        [lambda: (x * x + 1).sqrt(), lambda: (x.abs() + 0.5).log(), lambda: x.tanh().exp()]
    )()


def _ratio(p: Random) -> Any:
    b = p.pick()
    return p.pick() / (1.0 + b * b)


def _power(p: Random) -> Any:
    x = p.pick().tanh() + 1.5
    return x ** p.choice([2, 3, 0.5, -1, 1.7, p.pick().tanh()])


def _numbers(p: Random) -> Any:
    x = p.pick()
    return p.choice([lambda: x * 1, lambda: 0 + x, lambda: x / 4, lambda: 2 - x, lambda: x / 3])()


def _reduce(p: Random) -> Any:
    x, keep = p.pick(), bool(p.rng.integers(2))
    axes = _axes(p, x)
    name = p.choice(["sum", "mean", "amax", "amin"])
    if axes is None:
        axes = tuple(range(x.ndim))
    return getattr(x, name)(axes, keepdim=keep)


def _where(p: Random) -> Any:
    a, b = p.choice(p.states), p.choice(p.states)
    condition = p.choice([lambda: a < b, lambda: a >= 0, lambda: p.flags, lambda: ~(a <= b)])()
    return tg.where(condition, p.pick(), p.choice([p.pick(), 0]))


def _matmul(p: Random) -> Any:
    a, b = p.pick(), p.pick()
    if a.ndim >= 2 and p.rng.random() < 0.5:
        a = a.mT
    if b.ndim >= 2 and p.rng.random() < 0.5:
        b = b.mT
    return apply(TABLE["matmul"], a, b) * 0.2


def _linear(p: Random) -> Any:
    x, w, r = p.pick(), p.pick(), p.pick()
    return x @ w * 0.1 + r if p.rng.random() < 0.3 else r + x @ w


def _momentum(p: Random) -> Any:
    return 0.9 * p.choice(p.states) + p.pick() @ p.pick()


def _layout(p: Random) -> Any:
    x = p.pick()
    kind = p.rng.integers(6)
    if kind == 0:
        return apply(TABLE["permute"], x, axes=tuple(int(a) for a in p.rng.permutation(x.ndim)))
    if kind == 1:
        return x.reshape(*p.choice([(-1,), (1, -1), (-1, 1), (*x.shape, 1), (1, *x.shape)]))
    if kind == 2:
        return x.expand(p.b, *x.shape) if x.ndim < 3 else x.squeeze()
    if kind == 3:
        return x.reshape(p.b * p.m, p.n)
    if kind == 4:
        return x.reshape(p.b, p.m, p.n)
    return tg.cat([x, p.pick()], int(p.rng.integers(max(x.ndim, 1))))


def _index(p: Random) -> Any:
    x = p.pick()
    if not x.ndim:
        return x
    kind = p.rng.integers(5)
    if kind == 0:
        return x[tuple(slice(int(p.rng.integers(2)), None, int(p.choice([1, 2]))) for _ in x.shape)]
    if kind == 1:
        return x[..., 0]
    if kind == 2 and x.shape == (p.m, p.n):
        return x[np.arange(p.m), p.labels]
    if kind == 3:
        return x[p.rng.integers(0, x.shape[0], 4)]
    key = Key((slice(0, x.shape[0]),))
    return apply(TABLE["scatter"], x, key=key, shape=(x.shape[0] + 2, *x.shape[1:]))


def _positions(p: Random, shape: Any, size: int) -> Any:
    """Positions along an axis of this size: constants, labels, or what a program finds."""
    kind = p.rng.integers(3)
    if kind == 0 and size >= p.n and shape == (p.m,):
        return p.labels
    if kind == 1 and shape == (p.m,) and size >= p.n:
        return p.states[0].argmax(1)
    return tg.tensor(p.rng.integers(-size, size, shape))


def _advanced(p: Random) -> Any:
    """A key of slices, integers, new axes and positions in any order, to read or to add to."""
    x = p.choice([p.pick(), p.states[8]])
    common = tuple(int(n) for n in p.choice([(), (3,), (2, 3), (p.m,)]))
    parts: list[Any] = []
    for size in x.shape[: int(p.rng.integers(x.ndim + 1))]:
        if p.rng.random() < 0.2:
            parts.append(None)
        parts.append(
            p.choice(
                [
                    lambda n=size: slice(None, None, int(p.choice([1, -1, 2]))),
                    lambda n=size: int(p.rng.integers(-n, n)),
                    lambda n=size: _positions(p, common, n),
                    lambda n=size: _positions(p, common, n),
                ]
            )()
        )
    if p.rng.random() < 0.4:
        parts.append(Ellipsis)
    key = tuple(parts)
    read = x[key]
    if p.rng.random() < 0.5:
        return read
    written = x * 1
    written[key] = p.choice([read * 2, 0.5, read])
    return written


def _along(p: Random) -> Any:
    """What goes along an axis, or picks along it. Only states are put in order: of what both sides
    compute, rounding may exchange neighbours."""
    x, state = p.pick(), p.choice(p.states)
    axis = int(p.rng.integers(max(x.ndim, 1)))
    if not (x.ndim and state.ndim):
        return x
    other = int(p.rng.integers(state.ndim))
    order = state.argsort(other, descending=bool(p.rng.integers(2)))
    kind = p.rng.integers(6)
    if kind == 0:
        return tg.take_along_dim(state, order, other).cumsum(other) * 0.1
    if kind == 1:
        return state.topk(int(p.rng.integers(state.shape[other] + 1)), other)[0]
    if kind == 2:
        return p.choice([state.max, state.min])(other)[0]
    if kind == 3:
        return tg.index_select(x, axis, p.rng.integers(0, x.shape[axis], 3))
    if kind == 4:
        return tg.scatter_add(state, other, order, tg.gather(state, other, order) * 0.5)
    return p.choice([state.argmax, state.argmin])(other).to(p.dtype) * 0.1 + state.sum()


def _rows(p: Random) -> Any:
    x = p.pick()
    if not x.ndim:
        return x
    axis = int(p.rng.integers(x.ndim))
    kind = p.rng.integers(5)
    if kind == 0:
        return tg.softmax(x, axis)
    if kind == 1:
        return tg.log_softmax(x, axis)
    if kind == 2:
        return tg.logsumexp(x, axis)
    if kind == 3:
        return x.cumsum(axis) * 0.1
    centred = x - x.mean(axis, keepdim=True)
    return centred / ((centred * centred).mean(axis, keepdim=True) + 1e-2).sqrt()


def _loss(p: Random) -> Any:
    x = p.pick()
    if x.shape != (p.m, p.n):
        return x.mean()
    return functional.cross_entropy(x, p.labels)


def _gradient(p: Random) -> Any:
    """The gradient of something by a state, as training has it."""
    state = p.choice(p.states)
    weight = abstract(state.shape, state.dtype).requires_grad_()
    y = (weight * p.pick()).tanh() if p.rng.random() < 0.5 else weight @ p.pick()
    loss = (y * y).mean() if y.shape != (p.m, p.n) else functional.cross_entropy(y, p.labels)
    (gradient,) = tg.autograd.grad(loss, [weight])
    return _substituted(gradient, weight, state)


def _substituted(t: Any, old: Any, new: Any) -> Any:
    """The graph of t with the leaf `old` replaced."""
    from tinygrad_edu.derive.walk import ordered
    from tinygrad_edu.graph.node import record
    from tinygrad_edu.graph.tensor import make

    known = {old.node: new.node}
    for node in ordered([t.node], constants=True):
        if node not in known and node.op is not None and any(x in known for x in node.inputs):
            inputs = [known.get(x, x) for x in node.inputs]
            with tg.no_grad():
                known[node] = record(node.op, inputs, node.params)
    return make(known.get(t.node, t.node))


MAKERS: tuple[Callable[[Random], Any], ...] = (
    *(_binary, _binary, _unary, _unary, _positive, _ratio, _power, _numbers, _reduce, _reduce),
    *(_where, _matmul, _linear, _momentum, _layout, _layout, _index, _rows, _rows, _loss),
    *(_gradient, _advanced, _along),
)


def difference(seed: int, build: Callable[[Program], Any], steps: int = 2) -> tuple[float, Random]:
    """The largest difference between a compiled program and its reference after some steps, in
    units of what rounding may do (the values' scale times a hundred roundings)."""
    random = Random(seed)
    plan, reference = build(random.program), Reference(random.program)
    unit = 300 * float(np.finfo(random.dtype).eps)
    worst = 0.0
    inputs, states = random.values()
    for node, value in zip(random.program.states, states, strict=True):
        plan.state(node)[...] = reference.state(node)[...] = value
    for _ in range(steps):
        found, expected = plan.run(inputs), reference.run(inputs)
        pairs = list(zip(found, expected, strict=True))
        pairs += [(plan.state(s), reference.state(s)) for s in random.program.states]
        for a, b in pairs:
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            if not b.size or np.abs(b[np.isfinite(b)]).max(initial=0) > 1e8:
                return worst, random  # it has blown up: nothing can be compared any more
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            scale = 1 + np.abs(b[np.isfinite(b)]).max(initial=0)
            gap = np.where(same, 0, np.abs(a - b)) / scale / unit
            worst = max(worst, float(np.nan_to_num(gap, nan=np.inf).max(initial=0)))
        for node in random.program.states:  # errors do not add up from step to step
            plan.state(node)[...] = reference.state(node)
    return worst, random
