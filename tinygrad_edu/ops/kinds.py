"""The kinds of ops. A kind supplies what other libraries repeat for every op.

| kind           | its author writes               | vjp comes from    | jvp comes from          |
|----------------|---------------------------------|-------------------|-------------------------|
| elementwise    | a scalar rule and its partials  | the partials      | the partials            |
| linear         | the op and its transpose        | the transpose     | the op itself           |
| bilinear       | the product and two transposes  | the transposes    | the product rule        |
| selection      | which elements are taken        | a mask, a tie shared evenly, for both       |
| constant       | the rule alone                  | nothing: its derivative is zero             |

Composites (`composite.py`) are plain functions over these; they need no kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import DTypeError, cannot_broadcast
from tinygrad_edu.ops import arrays, native
from tinygrad_edu.ops.dtypes import Spec, boolean, default_float, is_float, promote
from tinygrad_edu.ops.silence import silently
from tinygrad_edu.ops.table import Op, Reader

Rule = Callable[..., Any]
Shape = tuple[int, ...]


def broadcast(name: str, shapes: Sequence[Shape]) -> Shape:
    """The common shape, or a `ShapeError` naming the op."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise cannot_broadcast(name, shapes) from None


def sum_to(m: Reader, g: Any, shape: Shape) -> Any:
    """The transpose of broadcasting: add up the axes along which `shape` was repeated."""
    if g.shape == shape:
        return g
    extra = len(g.shape) - len(shape)
    repeated = tuple(
        axis
        for axis, size in enumerate(g.shape)
        if axis < extra or (shape[axis - extra] == 1 and size != 1)
    )
    return m.reshape(m.sum(g, axes=repeated, keepdims=True), shape=shape)


class Elementwise(Op):
    """A scalar rule, applied to each element of the broadcast operands.

    `partials[i](m, y, *xs, **params)` is the derivative of the result with respect to operand i,
    in terms of the result `y` and the operands; a number where it is constant, None for an operand
    that only selects.

    `result` says what dtypes go through: "same" keeps the promoted dtype, "float" makes integers
    float first, "bool" answers a question; `numeric` refuses bool operands. Where a partial is 0,
    `picks` drops the cotangent even if it is infinite. A `quiet` rule never makes NumPy warn, so
    it need not be silenced. Functions of one operand run as compiled kernels; arithmetic does not
    gain by it.
    """

    kind = "elementwise"

    def __init__(
        self,
        rule: Rule,
        partials: Sequence[Rule | int | None],
        result: str = "same",
        quiet: bool = False,
        numeric: bool = False,
        picks: bool = False,
    ) -> None:
        super().__init__(rule.__name__, rule.__doc__)
        self.rule = rule
        self.partials = tuple(_constantly(p) if isinstance(p, int) else p for p in partials)
        self.reads = any(callable(p) for p in partials)
        self.result = result
        self.quiet = quiet
        self.numeric = numeric
        self.picks = picks
        self.arity = len(self.partials)
        self.selects = next((i for i, p in enumerate(self.partials) if p is not None), 0)
        self.compiled = self.arity == 1 and callable(partials[0])

    def prepare(self, specs: Sequence[Spec]) -> np.dtype[Any] | None:
        if self.selects:
            self._check_conditions(specs[: self.selects])
            specs = specs[self.selects :]
        first = specs[0].dtype
        common: np.dtype[Any] | None = None
        for spec in specs:
            if spec.dtype is not first and spec.dtype != first:
                common = promote(specs)
                break
        dtype = common or first
        if self.numeric and dtype == boolean:
            raise DTypeError(
                f"{self.name}: not defined for bool; convert with .to(tg.int64) or .float(), or "
                "use logical_not, logical_and, logical_or."
            )
        if self.result == "float" and not is_float(dtype):
            return default_float
        return common

    def _check_conditions(self, conditions: Sequence[Spec]) -> None:
        for condition in conditions:
            if condition.dtype != boolean:
                raise DTypeError(
                    f"{self.name}: the condition must be bool, got {condition.dtype} "
                    f"{condition.shape}; write x != 0."
                )

    def forward(self, *xs: Any, **params: Any) -> Any:
        if self.compiled and native.is_array(xs[0]):
            found = native.run(self._again, xs, **params)
            if found is not None:
                return found[0]
        if self.quiet:
            return self.rule(arrays, *xs, **params)
        return silently(self.rule, arrays, *xs, **params)

    def infer(self, *xs: Spec, **params: Any) -> tuple[Shape, np.dtype[Any]]:
        shape = broadcast(self.name, [x.shape for x in xs])
        return shape, boolean if self.result == "bool" else promote(xs[self.selects :])

    def vjp(
        self, m: Reader, g: Any, y: Any, xs: Sequence[Any], wanted: Sequence[bool], **params: Any
    ) -> list[Any]:
        if self.compiled and native.is_array(g):
            found = native.run(self._pull, (g, y, *xs), **params)
            if found is not None:
                return found
        return [
            sum_to(m, self._times(m, g, rule(m, y, *xs, **params)), x.shape)
            if want and rule
            else None
            for x, want, rule in zip(xs, wanted, self.partials, strict=True)
        ]

    def _again(self, m: Reader, *xs: Any, **params: Any) -> Any:
        return m.apply(self, *xs, **params)

    def _pull(self, m: Reader, g: Any, y: Any, *xs: Any, **params: Any) -> list[Any]:
        return self.vjp(m, g, y, xs, (True,) * self.arity, **params)

    def jvp(
        self, m: Reader, ts: Sequence[Any], y: Any, xs: Sequence[Any], **params: Any
    ) -> Any | None:
        total = added(
            self._times(m, t, rule(m, y, *xs, **params))
            for t, rule in zip(ts, self.partials, strict=True)
            if t is not None and rule
        )
        if total is None or total.shape == y.shape:
            return total
        return m.expand(total, shape=y.shape)

    def _times(self, m: Reader, g: Any, factor: Any) -> Any:
        """g * factor. A condition as factor selects, so that inf * 0 never arises outside it."""
        if isinstance(factor, int):
            return g if factor == 1 else -g if factor == -1 else g * factor
        if factor.dtype == boolean:
            return m.where(factor, g, 0)
        return m.where(m.eq(factor, 0), 0, g * factor) if self.picks else g * factor


def added(parts: Iterable[Any | None]) -> Any | None:
    """The parts of a tangent added up. None stands for zero, in the result, too."""
    total = None
    for part in parts:
        if part is not None:
            total = part if total is None else total + part
    return total


def _constantly(number: int) -> Rule:
    """The partial of a rule whose derivative is the same number everywhere."""
    return lambda m, y, *xs: number


class Constant(Elementwise):
    """An elementwise rule whose derivative is zero wherever it exists (comparisons, floor)."""

    kind = "constant"
    differentiable = False

    def __init__(
        self, rule: Rule, arity: int, result: str = "bool", quiet: bool = True, **options: Any
    ) -> None:
        super().__init__(rule, (None,) * arity, result, quiet, **options)


class Written(Op):
    """An op whose author writes what it does to arrays, and its shape rule; the dtype is that of
    the first operand."""

    def __init__(self, forward: Rule, shape: Rule) -> None:
        super().__init__(forward.__name__, forward.__doc__)
        self._forward = forward
        self._shape = shape

    def forward(self, *xs: Any, **params: Any) -> Any:
        return self._forward(*xs, **params)

    def infer(self, *xs: Spec, **params: Any) -> tuple[Shape, np.dtype[Any]]:
        return self._shape(*xs, **params), xs[0].dtype


class Linear(Written):
    """Linear in its first operand; any further operands are integer indices.

    `transpose(m, g, x, *indices, **params)` maps a cotangent of the result back; only the shape
    and dtype of `x` may be used.
    """

    kind = "linear"
    reads = False

    def __init__(self, forward: Rule, shape: Rule, transpose: Rule, view: bool = False) -> None:
        super().__init__(forward, shape)
        self.transpose = transpose
        self.view = view

    def vjp(
        self, m: Reader, g: Any, y: Any, xs: Sequence[Any], wanted: Sequence[bool], **params: Any
    ) -> list[Any]:
        return [self.transpose(m, g, *xs, **params), *[None] * (len(xs) - 1)]

    def jvp(
        self, m: Reader, ts: Sequence[Any], y: Any, xs: Sequence[Any], **params: Any
    ) -> Any | None:
        return m.apply(self, ts[0], *xs[1:], **params)


class Join(Linear):
    """Linear in all its operands together (concatenation): the transpose gives one for each."""

    def prepare(self, specs: Sequence[Spec]) -> np.dtype[Any] | None:
        dtype = promote(specs)
        return None if all(spec.dtype == dtype for spec in specs) else dtype

    def vjp(
        self, m: Reader, g: Any, y: Any, xs: Sequence[Any], wanted: Sequence[bool], **params: Any
    ) -> list[Any]:
        return [
            self.transpose(m, g, xs, i, **params) if want else None for i, want in enumerate(wanted)
        ]

    def jvp(
        self, m: Reader, ts: Sequence[Any], y: Any, xs: Sequence[Any], **params: Any
    ) -> Any | None:
        filled = [m.zeros_like(x) if t is None else t for t, x in zip(ts, xs, strict=True)]
        return m.apply(self, *filled, **params)


class Bilinear(Written):
    """Linear in each of two operands: a product and its two transposes `(m, g, a, b)`."""

    kind = "bilinear"

    def __init__(self, forward: Rule, shape: Rule, left: Rule, right: Rule) -> None:
        super().__init__(forward, shape)
        self.transposes = (left, right)

    def vjp(
        self, m: Reader, g: Any, y: Any, xs: Sequence[Any], wanted: Sequence[bool], **params: Any
    ) -> list[Any]:
        return [
            sum_to(m, transpose(m, g, *xs, **params), x.shape) if want else None
            for x, want, transpose in zip(xs, wanted, self.transposes, strict=True)
        ]

    def jvp(
        self, m: Reader, ts: Sequence[Any], y: Any, xs: Sequence[Any], **params: Any
    ) -> Any | None:
        factors = ((ts[0], xs[1]), (xs[0], ts[1]))
        return added(
            m.apply(self, *pair, **params)
            for t, pair in zip(ts, factors, strict=True)
            if t is not None
        )


class Selection(Written):
    """Takes some elements along axes. `forward` and `shape` as for a linear op; where several
    elements tie, they share the cotangent evenly, as torch's amax and amin do."""

    kind = "selection"

    def vjp(
        self,
        m: Reader,
        g: Any,
        y: Any,
        xs: Sequence[Any],
        wanted: Sequence[bool],
        **params: Any,
    ) -> list[Any]:
        (x,) = xs
        share = self._share(m, y, x, params["axes"])
        g = m.reshape(g, shape=self._kept(x.shape, params["axes"]))
        return [m.where(m.eq(share, 0), 0, g * share)]

    def jvp(
        self, m: Reader, ts: Sequence[Any], y: Any, xs: Sequence[Any], **params: Any
    ) -> Any | None:
        (x,) = xs
        share = self._share(m, y, x, params["axes"])
        return m.sum(m.where(m.eq(share, 0), 0, ts[0] * share), **params)

    def _share(self, m: Reader, y: Any, x: Any, axes: tuple[int, ...]) -> Any:
        """How much of the result each element is; where that is nan, only elements that are."""
        equal = m.eq(x, m.reshape(y, shape=self._kept(x.shape, axes)))
        taken = m.cast(m.logical_or(equal, m.logical_not(m.eq(x, x))), dtype=x.dtype)
        return taken / m.sum(taken, axes=axes, keepdims=True)

    @staticmethod
    def _kept(shape: Shape, axes: tuple[int, ...]) -> Shape:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


class Index(Written):
    """A selection's positions (argmax): integers, without a derivative."""

    kind = "constant"
    differentiable = False

    def __init__(self, forward: Rule, shape: Rule, dtype: np.dtype[Any]) -> None:
        super().__init__(forward, shape)
        self.dtype = dtype

    def infer(self, *xs: Spec, **params: Any) -> tuple[Shape, np.dtype[Any]]:
        return self._shape(*xs, **params), self.dtype


class Cast(Op):
    """Changes the dtype; the cotangent is cast back."""

    kind = "cast"
    reads = False

    def __init__(self, name: str, doc: str) -> None:
        super().__init__(name, doc)

    def forward(self, *xs: Any, **params: Any) -> Any:
        (x,) = xs
        return silently(x.astype, params["dtype"])

    def infer(self, *xs: Spec, **params: Any) -> tuple[Shape, np.dtype[Any]]:
        return xs[0].shape, params["dtype"]

    def vjp(
        self, m: Reader, g: Any, y: Any, xs: Sequence[Any], wanted: Sequence[bool], **params: Any
    ) -> list[Any]:
        return [m.cast(g, dtype=xs[0].dtype)]

    def jvp(
        self, m: Reader, ts: Sequence[Any], y: Any, xs: Sequence[Any], **params: Any
    ) -> Any | None:
        return m.cast(ts[0], **params)


def elementwise(*partials: Rule | int | None, **options: Any) -> Any:
    """Register the decorated scalar rule with one partial for each operand; the options are those
    of `Elementwise`."""
    return lambda rule: Elementwise(rule, partials, **options)


def constant(arity: int, **options: Any) -> Any:
    """Register the decorated scalar rule as one without a derivative."""
    return lambda rule: Constant(rule, arity, **options)


def linear(shape: Rule, transpose: Rule, view: bool = False) -> Any:
    """Register the decorated function of arrays with its shape rule and transpose."""
    return lambda forward: Linear(forward, shape, transpose, view)


def join(shape: Rule, transpose: Rule) -> Any:
    """Register a function of several arrays, linear in all of them."""
    return lambda forward: Join(forward, shape, transpose)


def bilinear(shape: Rule, left: Rule, right: Rule) -> Any:
    """Register the decorated product with its shape rule and both transposes."""
    return lambda forward: Bilinear(forward, shape, left, right)


def selection(shape: Rule) -> Any:
    """Register the decorated reduction that selects elements."""
    return lambda forward: Selection(forward, shape)


def index(shape: Rule, dtype: np.dtype[Any]) -> Any:
    """Register the decorated function that returns positions."""
    return lambda forward: Index(forward, shape, dtype)
