"""How the second moments of sources scatter over networks, and with them parts of a sum.

Where a branch f(v) + layer scatters mostly by its layer, a function of the sum bends with the
layer's part alone: that of a sum which grows as a whole would be another.
"""

from __future__ import annotations

import numpy as np

from analysis.network.context import Context
from analysis.network.records import Array, Signal
from analysis.network.sources import Form


def remember_scatter(form: Form, second: Array, fluctuation: Array, context: Context) -> None:
    """Fresh sources whose second moment scatters by `fluctuation`."""
    relative = np.sqrt(np.maximum(fluctuation, 0.0)) / np.maximum(second, np.finfo(float).tiny)
    known: dict[object, Array] = context.notes.setdefault("scatter", {})
    for key in form.terms:
        known.setdefault(key, relative)


def deviation(form: Form, context: Context) -> Array | None:
    """Standard deviation over networks of the form's second moment, if its sources' go together;
    None where it is not known. (Biases have the same law in all networks.)"""
    known = context.notes.get("scatter", {})
    total = np.zeros_like(form.mean)
    for key, c in form.terms.items():
        relative = known.get(key)
        if relative is None:
            continue
        if relative.shape != total.shape:
            return None
        total = total + c**2 * relative
    return total


def share_of_form(x: Signal, context: Context) -> Array | None:
    """Of the standard deviation of E[x^2] over networks, what comes from its form; None where
    nothing scatters or it is not known."""
    whole = np.sqrt(np.maximum(x.fluctuation, 0.0))
    own = None if x.element is None else deviation(x.element.form, context)
    if own is None or not np.any(whole):
        return None
    return np.asarray(np.minimum(own / np.where(whole > 0, whole, np.inf), 1.0))
