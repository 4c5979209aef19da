"""Every op's samples and oracle; see `samples.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.ops.samples import RULES, Array, Case, Sample, arrays, seeds, shapes
from tests.ops.sliding import BIASED, SLIDING
from tests.ops.structure import STRUCTURE, reductions


@st.composite
def along_an_axis(draw: Any) -> Sample:
    """An array and one of its axes, which is not empty."""
    x = draw(shapes(min_dims=1, min_side=1).flatmap(arrays))
    return Sample((x,), {"axis": draw(st.integers(0, x.ndim - 1))})


@st.composite
def scored_labels(draw: Any) -> Sample:
    """Scores of some classes, and a label for each row."""
    n, classes = draw(st.integers(0, 3)), draw(st.integers(1, 3))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    return Sample((draw(arrays((n, classes))), np.array(labels, np.int64)))


@st.composite
def some_scored_labels(draw: Any) -> Sample:
    """The same, of at least one row."""
    return draw(scored_labels().filter(lambda sample: sample.xs[0].size))


@st.composite
def layers(draw: Any) -> Sample:
    """Inputs, weights and biases of a linear layer."""
    n, inputs, outputs = (draw(st.integers(0, 3)) for _ in range(3))
    parts = ((n, inputs), (outputs, inputs), (outputs,))
    return Sample(tuple(draw(arrays(shape)) for shape in parts))


@st.composite
def groups(draw: Any) -> Sample:
    """An array, the axes to normalise over, and eps; no group is nearly constant, since there the
    derivative is as large as 1 / sqrt(eps)."""
    shape = draw(shapes(min_dims=1, min_side=1))
    x = draw(arrays(shape, ((-2, -0.5), (0.5, 2))))
    axes = tuple(axis for axis in range(x.ndim) if draw(st.booleans()))
    return Sample((x,), {"axes": axes, "eps": draw(st.sampled_from([1.0, 0.1]))})


@st.composite
def scaled_groups(draw: Any) -> Sample:
    """The same, with a weight and a bias for the last axes or for some axis."""
    sample = draw(groups())
    (x,) = sample.xs
    axis = draw(st.integers(0, x.ndim - 1))
    channel = (x.shape[axis], *[1] * (x.ndim - axis - 1))
    shape = draw(st.sampled_from([x.shape[axis:], channel]))
    return Sample((x, draw(arrays(shape)), draw(arrays(shape))), sample.params)


@st.composite
def scalings(draw: Any) -> Sample:
    """An array, a weight that broadcasts to it, and perhaps such a bias."""
    x = draw(shapes().flatmap(arrays))
    like = [
        tuple(1 if draw(st.booleans()) else n for n in x.shape)[draw(st.integers(0, x.ndim)) :]
        for _ in range(draw(st.integers(1, 2)))
    ]
    return Sample((x, *(draw(arrays(shape)) for shape in like)))


@st.composite
def drops(draw: Any) -> Sample:
    """An array, which of its elements are kept, and p."""
    x = draw(shapes().flatmap(arrays))
    keep = np.random.default_rng(draw(seeds)).random(x.shape) < 0.5
    return Sample((x, keep), {"p": draw(st.sampled_from([0.5, 0.3, 0.0]))})


def _standardized(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(np.var(x, axes, keepdims=True) + eps)


def _unit_rms(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    return x / np.sqrt(np.mean(np.square(x), axes, keepdims=True) + eps)


def _softmax(x: Array, axis: int) -> Array:
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


def _losses(scores: Array, labels: Array) -> Array:
    return np.array([-np.log(_softmax(row, 0)[k]) for row, k in zip(scores, labels, strict=True)])


FUSED: dict[str, Case] = {
    "mean": Case(
        reductions(min_side=1),
        lambda x, axes, keepdims: np.average(x, axis=axes, keepdims=keepdims),
    ),
    "softmax": Case(along_an_axis(), _softmax),
    "log_softmax": Case(along_an_axis(), lambda x, axis: np.log(_softmax(x, axis))),
    "cross_entropy": Case(scored_labels(), _losses),
    "mean_cross_entropy": Case(
        some_scored_labels(), lambda scores, labels: np.mean(_losses(scores, labels))
    ),
    "linear": Case(
        layers(), lambda x, weight, bias: np.einsum("ni,oi->no", x, weight) + bias[None]
    ),
    "dropout": Case(drops(), lambda x, keep, p: keep.astype(int) * x / (1 - p)),
    "standardize": Case(groups(), _standardized),
    "unit_rms": Case(groups(), _unit_rms),
    "affine": Case(scalings(), lambda x, weight, bias=0.0: x * weight + bias),
    "standardize_affine": Case(
        scaled_groups(),
        lambda x, weight, bias, axes, eps: _standardized(x, axes, eps) * weight + bias,
    ),
    "convolution_bias": BIASED,
}

CASES: dict[str, Case] = RULES | STRUCTURE | SLIDING | FUSED
