"""A teaching engine for automatic differentiation that is fast enough to use.

``import tinygrad_edu as tg``; names and defaults are torch's. To read the code, start at
`ops/elementwise.py`; the folders follow the way of the data: ops, graph, derive, nn, optim, train.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tinygrad_edu import derive as _derive
from tinygrad_edu.graph.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    logspace,
    manual_seed,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    tensor,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)
from tinygrad_edu.graph.functions import *  # noqa: F403
from tinygrad_edu.graph.modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from tinygrad_edu.graph.sampling import bernoulli, multinomial, normal
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.ops import native as _native
from tinygrad_edu.ops.dtypes import boolean as bool
from tinygrad_edu.ops.dtypes import float32, float64, int32, int64

if TYPE_CHECKING:
    from tinygrad_edu import data, nn, ops, optim, scalar, train
    from tinygrad_edu.compiler.compiled import compile
    from tinygrad_edu.compiler.explanation import explain
    from tinygrad_edu.derive import autograd, func
    from tinygrad_edu.graph.anomaly import detect_anomaly
    from tinygrad_edu.graph.draw import draw
    from tinygrad_edu.graph.value import Value
    from tinygrad_edu.kernels.configuration import clear_cache, show_config
    from tinygrad_edu.kernels.threads import get_num_threads, set_num_threads
    from tinygrad_edu.train.checkpoint import load, save


def _compiled(*definition: Any) -> Any:
    """Eager ops are compiled by the compiler, which is loaded for the first of them."""
    return importlib.import_module("tinygrad_edu.compiler.eager").make(*definition)


_native.provide(_compiled)

_LAZY = {
    "autograd": "tinygrad_edu.derive.autograd",
    "data": "tinygrad_edu.data",
    "func": "tinygrad_edu.derive.func",
    "nn": "tinygrad_edu.nn",
    "ops": "tinygrad_edu.ops",
    "optim": "tinygrad_edu.optim",
    "scalar": "tinygrad_edu.scalar",
    "train": "tinygrad_edu.train",
}
_LAZY_NAMES = {
    "Value": "tinygrad_edu.graph.value",
    "clear_cache": "tinygrad_edu.kernels.configuration",
    "compile": "tinygrad_edu.compiler.compiled",
    "detect_anomaly": "tinygrad_edu.graph.anomaly",
    "draw": "tinygrad_edu.graph.draw",
    "explain": "tinygrad_edu.compiler.explanation",
    "get_num_threads": "tinygrad_edu.kernels.threads",
    "load": "tinygrad_edu.train.checkpoint",
    "save": "tinygrad_edu.train.checkpoint",
    "set_num_threads": "tinygrad_edu.kernels.threads",
    "show_config": "tinygrad_edu.kernels.configuration",
}


def __getattr__(name: str) -> Any:
    """Submodules load on first use, so that importing the package stays quick."""
    if name in _LAZY:
        return importlib.import_module(_LAZY[name])
    if name in _LAZY_NAMES:
        value = globals()[name] = getattr(importlib.import_module(_LAZY_NAMES[name]), name)
        return value
    if name == "__version__":
        from importlib.metadata import version

        return version("tinygrad-edu")
    raise AttributeError(f"module 'tinygrad_edu' has no attribute {name!r}")
