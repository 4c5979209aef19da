"""Functions that are made of others, as expressions of a namespace `m` (this engine's, or torch's),
with arguments away from kinks and ties: what they compute and their derivatives can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

RNG = np.random.default_rng(5)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def positive(*shape: int) -> np.ndarray:
    return RNG.uniform(0.2, 3, shape)


def within(*shape: int) -> np.ndarray:
    """Between 0 and 1."""
    return RNG.uniform(0.05, 0.95, shape)


class Case(NamedTuple):
    """`function(m, *xs)`, which floats `xs` to take derivatives by."""

    function: Callable[..., Any]
    xs: tuple[np.ndarray, ...]


A, B, C = normal(4, 3), normal(4, 3), normal(3, 5)
SPREAD = np.array([-1e9, -30.0, -1.5, -1e-9, 1e-9, 0.3, 40.0, 1e9])

POINTWISE: dict[str, Case] = {
    "square": Case(lambda m, x: m.square(x), (A,)),
    "reciprocal": Case(lambda m, x: m.reciprocal(x), (positive(3),)),
    "exp2": Case(lambda m, x: m.exp2(x), (A,)),
    "log2": Case(lambda m, x: m.log2(x), (positive(4),)),
    "log10": Case(lambda m, x: m.log10(x), (positive(4),)),
    "logaddexp": Case(lambda m, x, y: m.logaddexp(x, y), (10 * A, 10 * B)),
    "xlogy": Case(lambda m, x, y: m.xlogy(x, y), (A, positive(4, 3))),
    "logit": Case(lambda m, x: m.logit(x), (within(5),)),
    "logit, eps": Case(lambda m, x: m.logit(x, eps=0.3), (np.array([0.1, 0.4, 0.8]),)),
    "asinh": Case(lambda m, x: m.asinh(x), (SPREAD,)),
    "acosh": Case(lambda m, x: m.acosh(x), (np.array([1 + 1e-3, 1.5, 40.0, 1e9]),)),
    "atanh": Case(lambda m, x: m.atanh(x), (np.array([-0.999, -0.5, -1e-9, 1e-9, 0.3, 0.999]),)),
    "hypot": Case(lambda m, x, y: m.hypot(x, y), (A, B)),
    "atan2": Case(lambda m, x, y: m.atan2(x, y), (A, B)),
    "lerp": Case(lambda m, x, y: m.lerp(x, y, 0.3), (A, B)),
    "lerp, weight": Case(lambda m, x, y, w: m.lerp(x, y, w), (A, B, within(4, 3))),
    "addcmul": Case(lambda m, x, y, z: m.addcmul(x, y, z, value=0.5), (A, B, normal(3))),
    "addcdiv": Case(lambda m, x, y, z: m.addcdiv(x, y, z, value=2), (A, B, positive(4, 3))),
    "nan_to_num": Case(
        lambda m, x: m.nan_to_num(x, nan=2.0, posinf=3.0),
        (np.array([np.nan, np.inf, 1.5, -0.5]),),
    ),
    "frac": Case(lambda m, x: m.frac(x), (3 * A,)),
    "clamp_min": Case(lambda m, x: x.clamp_min(0.1), (A,)),
    "clamp_max": Case(lambda m, x: x.clamp_max(0.1), (A,)),
    "erfc": Case(lambda m, x: m.erfc(x), (A,)),
}  # fmt: skip

STATISTICS: dict[str, Case] = {
    "var_mean": Case(lambda m, x: m.stack(m.var_mean(x, 1, correction=0)), (A,)),
    "std_mean": Case(lambda m, x: m.stack(m.std_mean(x, (0, 1), keepdim=True)), (A,)),
    "aminmax": Case(lambda m, x: m.stack(tuple(m.aminmax(x, dim=0))), (A,)),
    "nansum": Case(lambda m, x: m.nansum(x, 1), (np.array([[np.nan, 1, 2], [3, 4, np.nan]]),)),
    "nanmean": Case(lambda m, x: m.nanmean(x, 1), (np.array([[np.nan, 1, 2], [3, 4, np.nan]]),)),
    "median": Case(lambda m, x: m.median(x), (A,)),
    "median, dim": Case(lambda m, x: m.median(x, 0).values, (A,)),
    "median, keepdim": Case(lambda m, x: m.median(x, 1, True)[0], (A,)),
    "median, even": Case(lambda m, x: m.median(x, -1).values, (normal(2, 4),)),
    "quantile": Case(lambda m, x: m.quantile(x, 0.3), (A,)),
    "quantile, dim": Case(lambda m, x: m.quantile(x, 0.7, dim=0, keepdim=True), (A,)),
    **{
        f"quantile, {way}": Case(
            lambda m, x, way=way: m.quantile(x, 0.41, dim=1, interpolation=way), (normal(2, 6),)
        )
        for way in ("lower", "higher", "nearest", "midpoint")
    },
    "cov": Case(lambda m, x: m.cov(x), (A,)),
    "cov, one row": Case(lambda m, x: m.cov(x, correction=0), (normal(5),)),
    "corrcoef": Case(lambda m, x: m.corrcoef(x), (normal(3, 6),)),
}

PRODUCTS: dict[str, Case] = {
    "inner": Case(lambda m, x, y: m.inner(x, y), (normal(2, 4, 3), normal(5, 3))),
    "kron": Case(lambda m, x, y: m.kron(x, y), (normal(2, 3), normal(2))),
    "addmm": Case(
        lambda m, x, y, z: m.addmm(x, y, z, beta=0.5, alpha=2), (normal(5), A, C)
    ),
    "addmv": Case(lambda m, x, y, z: m.addmv(x, y, z), (normal(4), A, normal(3))),
    "addbmm": Case(
        lambda m, x, y, z: m.addbmm(x, y, z, beta=2),
        (normal(2, 5), normal(3, 2, 4), normal(3, 4, 5)),
    ),
    "baddbmm": Case(
        lambda m, x, y, z: m.baddbmm(x, y, z, alpha=0.5),
        (normal(3, 2, 5), normal(3, 2, 4), normal(3, 4, 5)),
    ),
    "cdist": Case(lambda m, x, y: m.cdist(x, y), (normal(2, 4, 3), normal(2, 5, 3))),
    "cdist, 1": Case(lambda m, x, y: m.cdist(x, y, p=1.0), (A, normal(5, 3))),
    "dist": Case(lambda m, x, y: m.dist(x, y, 3), (A, B)),
}  # fmt: skip

LAYOUT: dict[str, Case] = {
    "t": Case(lambda m, x: m.t(x), (A,)),
    "ravel": Case(lambda m, x: m.ravel(x), (A,)),
    "moveaxis": Case(lambda m, x: m.moveaxis(x, 0, -1), (normal(2, 3, 4),)),
    "unflatten": Case(lambda m, x: m.unflatten(x, 1, (2, -1)), (normal(2, 6),)),
    "fliplr": Case(lambda m, x: m.fliplr(x), (A,)),
    "flipud": Case(lambda m, x: m.flipud(x), (A,)),
    "hstack": Case(lambda m, x, y: m.hstack([x, y]), (A, normal(4, 2))),
    "hstack, vectors": Case(lambda m, x, y: m.hstack([x, y]), (normal(4), normal(2))),
    "vstack": Case(lambda m, x, y: m.vstack([x, y]), (A, normal(3))),
    "column_stack": Case(lambda m, x, y: m.column_stack([x, y]), (A, normal(4))),
    "concat": Case(lambda m, x, y: m.concat([x, y], 1), (A, B)),
    "broadcast_to": Case(lambda m, x: m.broadcast_to(x, (2, 4, 3)), (A,)),
    "broadcast_tensors": Case(
        lambda m, x, y: m.stack(m.broadcast_tensors(x, y)), (normal(4, 1), normal(3))
    ),
    "meshgrid": Case(
        lambda m, x, y: m.stack(m.meshgrid(x, y, indexing="ij")), (normal(4), normal(3))
    ),
    "meshgrid, xy": Case(
        lambda m, x, y: m.stack(m.meshgrid(x, y, indexing="xy")), (normal(4), normal(3))
    ),
    "select": Case(lambda m, x: m.select(x, 1, -1), (A,)),
    "narrow": Case(lambda m, x: m.narrow(x, 0, 1, 2), (A,)),
    "unfold": Case(lambda m, x: x.unfold(1, 3, 2), (normal(2, 8, 3),)),
    "diff": Case(lambda m, x: m.diff(x, 2, 0), (A,)),
    "trace": Case(lambda m, x: m.trace(x), (A,)),
    "rot90": Case(lambda m, x: m.rot90(x, 1, (1, 2)), (normal(2, 3, 4),)),
    "rot90, 3": Case(lambda m, x: m.rot90(x, -1, (0, 2)), (normal(2, 3, 4),)),
    "view_as": Case(lambda m, x, y: x.view_as(y) * x.reshape_as(y), (A, normal(6, 2))),
    "expand_as": Case(lambda m, x, y: x.expand_as(y), (normal(3), A)),
}

INDEX = np.array([2, 0, 2])
POSITIONS: dict[str, Case] = {
    "take": Case(lambda m, x: m.take(x, numbers(m, [[0, 5], [5, -1]])), (A,)),
    "index_add": Case(
        lambda m, x, y: m.index_add(x, 0, numbers(m, INDEX), y, alpha=2), (A, normal(3, 3))
    ),
    "index_copy": Case(
        lambda m, x, y: m.index_copy(x, 1, numbers(m, INDEX[:2]), y), (A, normal(4, 2))
    ),
    "index_fill": Case(lambda m, x: m.index_fill(x, 1, numbers(m, INDEX[:2]), 3.0), (A,)),
}


def numbers(m: Any, values: Any) -> Any:
    """Whole numbers as a tensor of the namespace."""
    return m.as_tensor(np.array(values).tolist())


COMPOSITES = {**POINTWISE, **STATISTICS, **PRODUCTS, **LAYOUT, **POSITIONS}
