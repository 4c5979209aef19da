"""The law of a parameter: the one it was drawn from, or, once it was trained or loaded, the one
its own numbers suggest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import InputError
from analysis.network.records import Weight

if TYPE_CHECKING:
    from tinygrad_edu.nn import Parameter


def law_of(name: str, parameter: Parameter) -> tuple[Weight, str | None]:
    """The record of a parameter, and the assumption it rests on if it is not the law it was drawn
    from. Raises `InputError` for parameters that hold nan or inf."""
    law = parameter.law
    if law is not None:
        if law.family == "orthogonal":
            rows = parameter.shape[0]
            return Weight(name, 0.0, law.variance, 3.0, max(rows, parameter.numel() // rows)), None
        return Weight(name, law.mean, law.variance, law.kurtosis), None
    values = np.asarray(parameter.detach().numpy(), np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"parameter {name} holds nan or inf; nothing can be said of this network.")
    second = float(np.mean(values**2)) if values.size else 0.0
    fourth = float(np.mean(values**4)) if values.size else 0.0
    kurtosis = fourth / second**2 if second > 0 else 3.0
    return Weight(name, 0.0, second, kurtosis), (
        f"{name} was trained or loaded: its entries are taken as independent with mean 0 and their "
        f"own second moment {second:.4g}"
    )
