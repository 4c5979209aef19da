"""The properties every op must have, as functions that assert them for one op and one sample.

Derivatives are checked by the complex step: for a function f that is analytic around x,

    f(x + i h d) = f(x) + i h J d + O(h^2),

so with h = 1e-30 the imaginary part over h is the directional derivative J d to full precision:
nothing is subtracted, and h^2 is far below rounding. The op's own forward runs on these complex
arrays; only functions that are not analytic as NumPy defines them (abs) are read otherwise, by
`ComplexReader`. NumPy orders complex numbers by their real parts first, so branches are decided as
for the real operand, provided it does not tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import sympy as sp

from analysis.symbolic.namespace import exact, symbolic
from analysis.symbolic.pieces import split
from tests.ops.cases import CASES
from tests.ops.samples import Array, Sample
from tinygrad_edu import Tensor, tensor
from tinygrad_edu.derive.autograd import grad
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.ops import Op, arrays, floats
from tinygrad_edu.ops.kinds import Elementwise
from tinygrad_edu.ops.table import ArrayReader, array_reader

EPS = float(np.finfo(np.float64).eps)

STEP = 1e-30

VALUE_ULPS = 16
"""A rule is at most ten roundings (gelu_tanh), and NumPy's functions err by up to 4 ulp."""

DERIVATIVE_ULPS = 512
"""A derivative adds up over at most 3^5 elements (a product of two broadcast stacks of matrices),
each the result of some twenty roundings; errors of both signs, so their bound is far from met."""


# ------------------------------------------------------------------------------ the complex reader


def _complex_abs(x: Array) -> Array:
    return np.where(np.real(x) >= 0, x, -x)


def _complex_sign(x: Array) -> Array:
    return np.sign(np.real(x))


def _complex_softplus(x: Array) -> Array:
    return _complex_maximum(x, 0) + np.log1p(np.exp(-_complex_abs(x)))


def _complex_maximum(a: Any, b: Any) -> Array:
    return np.where(np.real(a) >= np.real(b), a, b)


def _complex_floor_divide(a: Array, b: Array) -> Array:
    return np.floor(np.real(a) / np.real(b))


def _complex_remainder(a: Array, b: Array) -> Array:
    return a - b * _complex_floor_divide(a, b)


COMPLEX = SimpleNamespace(
    **{name: getattr(arrays, name) for name in arrays.__all__}
    | {
        "abs": _complex_abs,
        "sign": _complex_sign,
        "softplus": _complex_softplus,
        "floor_divide": _complex_floor_divide,
        "remainder": _complex_remainder,
    }
)


class ComplexReader(ArrayReader):
    """The array reader, with abs and sign made analytic off the imaginary axis."""

    def __init__(self) -> None:
        super().__init__(np.dtype(np.complex128))
        self._primitives = COMPLEX


def forward(op: Op, xs: Sequence[Array], params: dict[str, Any]) -> Array:
    """The op's own rule, on complex arrays."""
    if isinstance(op, Elementwise):
        return np.asarray(op.rule(COMPLEX, *xs, **params))
    if op.name == "cast":  # to float64, which would drop the imaginary part
        return xs[0]
    return np.asarray(op.forward(*xs, **params))


# ------------------------------------------------------------------------------ helpers


def influential(op: Op, sample: Sample) -> list[int]:
    """The operands that have a derivative."""
    if not op.differentiable:
        return []
    if isinstance(op, Elementwise):
        return [i for i, partial in enumerate(op.partials) if partial is not None]
    if op.kind == "linear" and op.name != "concat":
        return [0]
    return [i for i, x in enumerate(sample.xs) if x.dtype.kind == "f"]


def directions(sample: Sample, which: Sequence[int], seed: int = 0) -> list[Array]:
    """A random direction for each of these operands."""
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.uniform(-1, 1, sample.xs[i].shape)) for i in which]


def shifted(sample: Sample, which: Sequence[int], along: Sequence[Array]) -> list[Array]:
    """The operands, the chosen ones moved by i h along their directions."""
    xs: list[Any] = [x.astype(complex) if x.dtype.kind == "f" else x for x in sample.xs]
    for i, d in zip(which, along, strict=True):
        xs[i] = sample.xs[i] + 1j * STEP * d
    return xs


def tensors(sample: Sample, which: Sequence[int]) -> list[Tensor]:
    """The operands as tensors, those chosen requiring grad."""
    return [tensor(x, requires_grad=i in which) for i, x in enumerate(sample.xs)]


def assert_close(name: str, found: Any, wanted: Any, ulps: float, scale: float) -> None:
    """Equality up to `ulps` roundings of numbers of size `scale`."""
    found, wanted = (x * 1 if x.dtype == np.bool_ else x for x in map(np.asarray, (found, wanted)))
    assert found.shape == wanted.shape, f"{name}: shape {found.shape}, not {wanted.shape}"
    error = np.max(np.abs(found - wanted), initial=0.0)
    assert error <= ulps * EPS * scale, f"{name}: {found} is not {wanted} (off by {error})"


def size(*xs: Any) -> float:
    """The largest magnitude, and at least 1: cancellation costs digits of what was cancelled."""
    return max(1.0, *(float(np.max(np.abs(x), initial=0.0)) for x in xs))


# ------------------------------------------------------------------------------ the properties


def check_value(op: Op, sample: Sample) -> None:
    """The value is the oracle's."""
    expected = CASES[op.name].expected(sample)
    y = apply(op, *map(tensor, sample.xs), **sample.params).numpy()
    assert_close(op.name, y, expected, VALUE_ULPS, size(expected, *sample.xs))


def check_gradient(op: Op, sample: Sample) -> None:
    """For each operand, <vjp(g), d> = <g, J d> with random g and d, J d by the complex step."""
    for i in influential(op, sample):
        operands = tensors(sample, [i])
        y = apply(op, *operands, **sample.params)
        (g,) = directions(Sample((y.detach().numpy(),)), [0], seed=1)
        along = directions(sample, [i])
        moved = forward(op, shifted(sample, [i], along), sample.params).imag / STEP
        (pulled,) = grad(y, operands[i], tensor(g))
        assert pulled is not None
        assert pulled.shape == sample.xs[i].shape
        assert pulled.dtype == np.float64
        terms = np.concatenate([(pulled.numpy() * along[0]).ravel(), (g * moved).ravel()])
        assert_close(
            f"{op.name}, operand {i}",
            np.sum(pulled.numpy() * along[0]),
            np.sum(g * moved),
            DERIVATIVE_ULPS,
            size(np.sum(np.abs(terms))),
        )


def check_second_order(op: Op, sample: Sample) -> None:
    """The derivative of the first derivative, recorded with `create_graph`, against the complex
    step through the derivative rule itself."""
    which = influential(op, sample)
    if not which:
        return
    operands = tensors(sample, which)
    chosen = [operands[i] for i in which]
    y = apply(op, *operands, **sample.params)
    (g,) = directions(Sample((y.detach().numpy(),)), [0], seed=1)
    first = grad(y, chosen, tensor(g), create_graph=True)

    along, weights = directions(sample, which, 2), directions(sample, which, 3)
    xs = shifted(sample, which, along)
    reader = ComplexReader()
    wanted = [i in which for i in range(len(xs))]
    pulled = op.vjp(reader, g.astype(complex), forward(op, xs, sample.params), xs, wanted,
                    **sample.params)  # fmt: skip
    moved = [np.asarray(pulled[i]).imag / STEP for i in which]
    expected = sum(np.sum(w * m) for w, m in zip(weights, moved, strict=True))

    total = sum((tensor(w) * f).sum() for w, f in zip(weights, first, strict=True) if f is not None)
    assert isinstance(total, Tensor)
    found = 0.0
    scale = size(*(np.sum(np.abs(w * m)) for w, m in zip(weights, moved, strict=True)))
    if total.requires_grad:
        for second, d in zip(grad(total, chosen, allow_unused=True), along, strict=True):
            if second is not None:
                found += float(np.sum(second.numpy() * d))
                scale = max(scale, float(np.sum(np.abs(second.numpy() * d))))
    assert_close(f"{op.name}, second order", found, expected, DERIVATIVE_ULPS, scale)


def check_tangent(op: Op, sample: Sample) -> None:
    """jvp along random directions is J d, by the complex step; for all operands at once, and for
    each alone."""
    which = influential(op, sample)
    y = np.asarray(op.forward(*sample.xs, **sample.params))
    for chosen in {tuple(which), *((i,) for i in which)} - {()}:
        along = directions(sample, chosen)
        moved = forward(op, shifted(sample, chosen, along), sample.params).imag / STEP
        tangents: list[Any] = [None] * len(sample.xs)
        for i, d in zip(chosen, along, strict=True):
            tangents[i] = d
        found = op.jvp(array_reader(y.dtype), tangents, y, sample.xs, **sample.params)
        name = f"{op.name}, tangent of {chosen}"
        assert_close(name, np.zeros(y.shape) if found is None else found, moved, DERIVATIVE_ULPS,
                     size(moved))  # fmt: skip


def check_inference(op: Op, sample: Sample) -> None:
    """Tracing on shapes alone gives the shape and dtype of the real result."""
    y = apply(op, *map(tensor, sample.xs), **sample.params)
    traced = apply(op, *(abstract(x.shape, x.dtype) for x in sample.xs), **sample.params)
    assert (traced.shape, traced.dtype) == (y.shape, y.dtype), op.name
    assert op.infer(*(x.node for x in map(tensor, sample.xs)), **sample.params)[0] == y.shape


def check_symbolic_partials(op: Elementwise, sample: Sample) -> None:
    """Each partial, read by SymPy, is proved to be SymPy's derivative of the rule, as a function of
    its operand; the other operands and the parameters are the sample's, as exact fractions."""
    params = {name: exact(value) for name, value in sample.params.items()}
    operands = np.broadcast_arrays(*sample.xs)
    if not operands[0].size:
        return
    point = [
        sp.sympify(bool(x.flat[0])) if i < op.selects else exact(float(x.flat[0]))
        for i, x in enumerate(operands)
    ]
    for i, partial in enumerate(op.partials):
        if partial is None:
            continue
        x = sp.Symbol("x", real=True)
        at = [*point[:i], x, *point[i + 1 :]]
        y = exact(op.rule(symbolic, *at, **params))
        claimed = partial(symbolic, y, *at, **params)
        if isinstance(claimed, sp.logic.boolalg.Boolean):
            claimed = sp.Piecewise((1, claimed), (0, True))
        y, claimed = (  # between its jumps floor is a number: the one it is at the sample
            f.replace(sp.floor, lambda quotient: sp.floor(quotient.subs(x, point[i])))  # noqa: B023
            for f in (y, sp.sympify(claimed))
        )
        for piece in split(exact(sp.diff(y, x) - claimed), x):
            rest = sp.simplify(piece.expression.rewrite(sp.exp))
            assert rest == 0, (
                f"{op.name}, partial {i} on ({piece.low}, {piece.high}): off by {rest}"
            )


def check_float_reader(op: Elementwise, sample: Sample) -> None:
    """The rule on Python floats gives what it gives on arrays."""
    y = np.asarray(op.rule(arrays, *sample.xs, **sample.params))
    rows = zip(*(x.ravel() for x in np.broadcast_arrays(*sample.xs)), strict=True)
    found = [op.rule(floats, *(v.item() for v in row), **sample.params) for row in rows]
    kind = bool if y.dtype == np.bool_ else float
    assert_close(
        f"{op.name} on floats",
        np.array([kind(v) for v in found], float).reshape(y.shape),
        y.astype(float),
        VALUE_ULPS,
        size(y, *sample.xs),
    )


def check_float32(op: Op, sample: Sample) -> None:
    """float32 operands stay float32 through value, gradient and second order, and the values are
    those of float64 up to float32's roundings."""
    low = Sample(tuple(x.astype(np.float32) if x.dtype.kind == "f" else x for x in sample.xs))
    if op.name == "cast":
        return
    high = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in low.xs]
    which = influential(op, sample)
    operands = tensors(low, which)
    y = apply(op, *operands, **sample.params)
    wanted = apply(op, *map(tensor, high), **sample.params).numpy()
    rounding = float(np.finfo(np.float32).eps) / EPS
    scale = rounding * size(wanted, *low.xs)
    assert_close(f"{op.name} in float32", y.detach().numpy(), wanted, 2 * VALUE_ULPS, scale)
    if not which:
        return
    assert y.dtype == np.float32
    chosen = [operands[i] for i in which]
    first = grad(y.sum(), chosen, create_graph=True)
    for gradient in first:
        assert gradient is not None
        assert gradient.dtype == np.float32
        if gradient.requires_grad:
            second = grad(gradient.sum(), chosen, allow_unused=True)
            assert all(s is None or s.dtype == np.float32 for s in second)


def check_derivatives(op: Op, sample: Sample) -> None:
    """All that a wrong derivative rule would break."""
    check_gradient(op, sample)
    check_second_order(op, sample)
