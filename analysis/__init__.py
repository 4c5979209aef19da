"""What happens to the signal of a network at initialisation, derived, checked and measured.

    analysis.derive("he").text()       a derivation, every step of it machine-checked
    analysis.moments("gelu")           E[phi], E[phi^2], E[phi'^2] ... under a normal law
    analysis.gain("tanh")              the gain that keeps the second moment
    analysis.activation("x*tanh(x)")   an activation of your own, as an op of the engine
    analysis.maps("tanh")              depth: variance and correlation maps, the edge of chaos
    analysis.regions("tanh", 0, 4)     how often a unit is saturated, near-linear or off
    analysis.analyze(model)            every layer's statistics, forward and backward, predicted
    analysis.prescribe(model)          changes that cure what was found, each analysed again
    analysis.measure(model)            the same, measured over many draws of the weights
    analysis.distributions(model)      histograms of every layer beside the derived law
    analysis.verify(report, measured)  one verdict for each layer and direction

Names are loaded on first use, so importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.dynamics.maps import maps
    from analysis.dynamics.regions import regions
    from analysis.findings.analyze import analyze
    from analysis.findings.prescribe import prescribe
    from analysis.findings.thresholds import Thresholds
    from analysis.measurement.distributions import distributions
    from analysis.measurement.measure import measure
    from analysis.measurement.verify import verify
    from analysis.symbolic.activations import gain, moments
    from analysis.symbolic.custom import activation
    from analysis.topics import derivations, derive

_HOME = {
    "activation": "analysis.symbolic.custom",
    "analyze": "analysis.findings.analyze",
    "derivations": "analysis.topics",
    "derive": "analysis.topics",
    "distributions": "analysis.measurement.distributions",
    "gain": "analysis.symbolic.activations",
    "maps": "analysis.dynamics.maps",
    "measure": "analysis.measurement.measure",
    "moments": "analysis.symbolic.activations",
    "prescribe": "analysis.findings.prescribe",
    "regions": "analysis.dynamics.regions",
    "Thresholds": "analysis.findings.thresholds",
    "verify": "analysis.measurement.verify",
}
"""Public name -> the module that defines it."""

__all__ = [
    "Thresholds",
    "activation",
    "analyze",
    "derivations",
    "derive",
    "distributions",
    "gain",
    "maps",
    "measure",
    "moments",
    "prescribe",
    "regions",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
