"""What happens to the signal of a network at initialisation, derived, checked and measured.

    analysis.derive("he").text()       a derivation, every step of it machine-checked
    analysis.moments("gelu")           E[phi], E[phi^2], E[phi'^2] ... under a normal law
    analysis.gain("tanh")              the gain that keeps the second moment
    analysis.analyze(model)            every layer's statistics, forward and backward, predicted
    analysis.measure(model)            the same, measured over many draws of the weights
    analysis.verify(report, measured)  one verdict for each layer and direction

Names are loaded on first use, so importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.measurement.measure import measure
    from analysis.measurement.verify import verify
    from analysis.network.analyze import analyze
    from analysis.symbolic.activations import gain, moments
    from analysis.topics import derivations, derive

_HOME = {
    "analyze": "analysis.network.analyze",
    "derivations": "analysis.topics",
    "derive": "analysis.topics",
    "gain": "analysis.symbolic.activations",
    "measure": "analysis.measurement.measure",
    "moments": "analysis.symbolic.activations",
    "verify": "analysis.measurement.verify",
}
"""Public name -> the module that defines it."""

__all__ = ["analyze", "derivations", "derive", "gain", "measure", "moments", "verify"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
