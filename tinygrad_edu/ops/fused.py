"""Composites that run as one op: softmax, its logarithm, cross-entropy, the linear layer. (Those of
normalisation layers are in `normalization.py`.)

Each is what its `definition` says, over the ops of the table. A trace on shapes records the
definition, unless an op asks to be kept `whole`; the trace of a step keeps the op, whose derivative
is the short one, and the compiler expands it later. What is written here besides is how to compute
value and derivative at once on arrays: fewer passes over the data and one node instead of many.
Derivatives are written in ops again, so that any order exists. Tests hold each fused op equal to
its definition, in value and in derivatives of two orders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.ops import arrays, composite, native
from tinygrad_edu.ops.dtypes import is_float
from tinygrad_edu.ops.kinds import Written, added
from tinygrad_edu.ops.silence import silently
from tinygrad_edu.ops.structural import Key, add_up, reduced
from tinygrad_edu.ops.sums import inner, total
from tinygrad_edu.ops.table import Reader

Rule = Callable[..., Any]
Shape = tuple[int, ...]


class Fused(Written):
    """A composite with its own kernel.

    `definition(m, *xs, **params)` says what it computes; `pull(m, g, y, xs, wanted, **params)`
    gives the operands' cotangents and `push(m, ts, y, xs, **params)` the result's tangent, both in
    ops. Where nobody will differentiate the cotangents again, `pull_arrays(g, y, xs, wanted,
    **params)`, if given, computes the same on arrays in fewer passes.

    If `compiled`, the definition and `pull` run as compiled kernels, and what is written for arrays
    only where there are none (see `native.run`).
    """

    kind = "composite"
    whole: bool
    """A trace on shapes keeps the op as one node: the analyzer has a rule for it under its name,
    and a compiler expands it by `definition`."""

    def __init__(
        self,
        forward: Rule,
        definition: Rule,
        shape: Rule,
        pull: Rule,
        push: Rule,
        reads: bool = True,
        whole: bool = False,
        pull_arrays: Rule | None = None,
        compiled: bool = False,
    ) -> None:
        super().__init__(forward, shape)
        self.compiled = compiled
        self.definition = definition
        self._pull = pull
        self._push = push
        self.reads = reads
        self.whole = whole
        self.pull_arrays = pull_arrays

    def forward(self, *xs: Any, **params: Any) -> Any:
        if self.compiled and native.is_array(xs[0]):
            found = native.run(self.definition, xs, **params)
            if found is not None:
                return found[0]
        return silently(self._forward, *xs, **params)

    def vjp(
        self, m: Reader, g: Any, y: Any, xs: Sequence[Any], wanted: Sequence[bool], **params: Any
    ) -> list[Any]:
        pulled: list[Any] | None
        if self.compiled and native.is_array(g):
            pulled = native.run(self._wanted, (g, y, *xs), wanted=tuple(wanted), **params)
            if pulled is not None:
                rest = iter(pulled)
                return [next(rest) if want else None for want in wanted]
        if self.pull_arrays is not None and g.__class__ is np.ndarray and is_float(g.dtype):
            pulled = silently(self.pull_arrays, g, y, xs, wanted, **params)
        else:
            pulled = self._pull(m, g, y, xs, wanted, **params)
        return pulled

    def _wanted(
        self, m: Reader, g: Any, y: Any, *xs: Any, wanted: Sequence[bool], **params: Any
    ) -> list[Any]:
        """The cotangents that are wanted alone."""
        pulled = self._pull(m, g, y, xs, wanted, **params)
        return [part for part, want in zip(pulled, wanted, strict=True) if want]

    def jvp(
        self, m: Reader, ts: Sequence[Any], y: Any, xs: Sequence[Any], **params: Any
    ) -> Any | None:
        return self._push(m, ts, y, xs, **params)


def fused(definition: Rule, shape: Rule, pull: Rule, push: Rule, **options: Any) -> Any:
    """Register the decorated function of arrays as a composite's kernel; the options are those of
    `Fused`."""
    return lambda forward: Fused(forward, definition, shape, pull, push, **options)


# ------------------------------------------------------------------------------ mean


def _spread(m: Reader, ts: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """Each element's share of what arrives at the mean."""
    share = ts / float(composite.element_count(x, axes))
    return m.expand(m.reshape(share, shape=reduced(x.shape, axes, True)), shape=x.shape)


@fused(
    definition=composite.mean,
    shape=lambda x, axes, keepdims: reduced(x.shape, axes, keepdims),
    pull=lambda m, g, y, xs, wanted, axes, keepdims: [_spread(m, g, xs[0], axes)],
    push=lambda m, ts, y, xs, axes, keepdims: m.mean(ts[0], axes=axes, keepdims=keepdims),
    reads=False,
)
def mean(x, axes, keepdims):
    """The mean over `axes`; nan over nothing."""
    return add_up(x, axes, keepdims) / x.dtype.type(composite.element_count(x, axes))


# ------------------------------------------------------------------------------ softmax


def _top(x: np.ndarray, axis: int) -> Any:
    return np.maximum.reduce(x, axis, keepdims=True) if x.shape[axis] else x.dtype.type(0)


def _pull_softmax_arrays(g: Any, y: Any, xs: Any, wanted: Any, axis: int) -> list[Any]:
    result = g - inner(g, y, (axis,))
    result *= y
    return [result]


def _softmax_along(m: Reader, t: Any, y: Any, axis: int) -> Any:
    """The Jacobian of softmax, which is symmetric, times t: y (t - <y, t>)."""
    return y * (t - m.sum(y * t, axes=(axis,), keepdims=True))


@fused(
    definition=composite.softmax,
    shape=lambda x, axis: x.shape,
    whole=True,
    pull=lambda m, g, y, xs, wanted, axis: [_softmax_along(m, g, y, axis)],
    push=lambda m, ts, y, xs, axis: _softmax_along(m, ts[0], y, axis),
    pull_arrays=_pull_softmax_arrays,
    compiled=True,
)
def softmax(x, axis):
    """exp(x) divided by its sum along `axis`."""
    e = x - _top(x, axis)
    np.exp(e, out=e)
    e /= total(e, (axis,))
    return e


@fused(
    definition=composite.log_softmax,
    shape=lambda x, axis: x.shape,
    whole=True,
    pull=lambda m, g, y, xs, wanted, axis: [g - m.exp(y) * m.sum(g, axes=(axis,), keepdims=True)],
    push=lambda m, ts, y, xs, axis: ts[0] - m.sum(m.exp(y) * ts[0], axes=(axis,), keepdims=True),
    compiled=True,
)
def log_softmax(x, axis):
    """The logarithm of `softmax`."""
    shifted = x - _top(x, axis)
    shifted -= np.log(total(np.exp(shifted), (axis,)))
    return shifted


# ------------------------------------------------------------------------------ cross-entropy


def _picked(m: Reader, rows: Any, labels: Any) -> Any:
    """Of each row the element its label names."""
    return m.getitem(rows, _counting(rows), labels, key=_ROW_AND_LABEL)


_ROW_AND_LABEL = Key((Key.ARRAY, Key.ARRAY))


def _counting(rows: Any) -> np.ndarray:
    return np.arange(rows.shape[0])


def _pull_cross_entropy(m: Reader, g: Any, y: Any, xs: Any, wanted: Any) -> list[Any]:
    scores, labels = xs
    column = m.reshape(g, shape=(g.shape[0], 1))
    hot = m.scatter(g, _counting(scores), labels, key=_ROW_AND_LABEL, shape=scores.shape)
    return [m.softmax(scores, axis=1) * column - hot, None]


def _push_cross_entropy(m: Reader, ts: Any, y: Any, xs: Any) -> Any:
    along = m.sum(m.softmax(xs[0], axis=1) * ts[0], axes=(1,), keepdims=False)
    return along - _picked(m, ts[0], xs[1])


def _define_cross_entropy(m: Reader, scores: Any, labels: Any) -> Any:
    return -_picked(m, composite.log_softmax(m, scores, 1), labels)


@fused(
    definition=_define_cross_entropy,
    shape=lambda scores, labels: scores.shape[:1],
    pull=_pull_cross_entropy,
    push=_push_cross_entropy,
    compiled=True,
)
def cross_entropy(scores, labels):
    """-log softmax of each row of scores (n, classes) at its label (n,)."""
    shifted = scores - _top(scores, 1)
    picked = shifted[np.arange(len(scores)), labels]
    return np.log(add_up(np.exp(shifted), (1,), False)) - picked


def _rows_share(m: Reader, g: Any, scores: Any) -> Any:
    """What arrives at the mean, dealt out to the rows."""
    count = scores.shape[0]
    return m.expand(m.reshape(g / float(count), shape=(1,)), shape=(count,))


@fused(
    definition=lambda m, scores, labels: composite.mean(
        m, _define_cross_entropy(m, scores, labels), (0,)
    ),
    shape=lambda scores, labels: (),
    pull=lambda m, g, y, xs, wanted: _pull_cross_entropy(
        m, _rows_share(m, g, xs[0]), None, xs, wanted
    ),
    push=lambda m, ts, y, xs: m.mean(
        _push_cross_entropy(m, ts, None, xs), axes=(0,), keepdims=False
    ),
    compiled=True,
)
def mean_cross_entropy(scores, labels):
    """The mean of `cross_entropy` over the rows; nan over none."""
    losses = cross_entropy.forward(scores, labels)
    return mean.forward(losses, axes=(0,), keepdims=False)


# ------------------------------------------------------------------------------ the linear layer


def _transposed(m: Reader, x: Any) -> Any:
    return m.permute(x, axes=(1, 0))


def _define_linear(m: Reader, x: Any, weight: Any, bias: Any) -> Any:
    return m.matmul(x, _transposed(m, weight)) + bias


def _pull_linear(m: Reader, g: Any, y: Any, xs: Any, wanted: Any) -> list[Any]:
    x, weight, _ = xs
    return [
        m.matmul(g, weight) if wanted[0] else None,
        m.matmul(_transposed(m, g), x) if wanted[1] else None,
        m.sum(g, axes=(0,), keepdims=False) if wanted[2] else None,
    ]


def _pull_linear_arrays(g: Any, y: Any, xs: Any, wanted: Any) -> list[Any]:
    x, weight, _ = xs
    return [
        np.matmul(g, weight) if wanted[0] else None,
        np.matmul(g.T, x) if wanted[1] else None,
        add_up(g, (0,), False) if wanted[2] else None,
    ]


def _push_linear(m: Reader, ts: Any, y: Any, xs: Any) -> Any:
    x, weight, _ = xs
    return added(
        (
            None if ts[0] is None else m.matmul(ts[0], _transposed(m, weight)),
            None if ts[1] is None else m.matmul(x, _transposed(m, ts[1])),
            None if ts[2] is None else m.expand(ts[2], shape=y.shape),
        )
    )


@fused(
    definition=_define_linear,
    shape=lambda x, weight, bias: (x.shape[0], weight.shape[0]),
    pull=_pull_linear,
    push=_push_linear,
    pull_arrays=_pull_linear_arrays,
)
def linear(x, weight, bias):
    """x @ weight.T + bias: x (n, in), weight (out, in), bias (out,)."""
    result = np.matmul(x, weight.T)
    result += bias
    return result


# ------------------------------------------------------------------------------ dropout


@fused(
    definition=composite.dropout,
    shape=lambda x, keep, p: x.shape,
    pull=lambda m, g, y, xs, wanted, p: [m.dropout(g, xs[1], p=p), None],
    push=lambda m, ts, y, xs, p: m.dropout(ts[0], xs[1], p=p),
    whole=True,
)
def dropout(x, keep, p):
    """x / (1 - p) where `keep`, a bool of the shape of x, holds, else 0."""
    return arrays.selected(keep, x / x.dtype.type(1 - p), 0)
