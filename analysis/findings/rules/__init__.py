"""The rules, one file a subject; importing this package enters them in the table."""

from analysis.findings.rules import (
    blocks,
    draws,
    gradient,
    inputs,
    norms,
    signal,
    units,
    unknown,
)

__all__ = ["blocks", "draws", "gradient", "inputs", "norms", "signal", "units", "unknown"]
