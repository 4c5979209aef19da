"""Where each rule draws its line, and why there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from analysis.errors import InputError, no_such


@dataclass(frozen=True)
class Thresholds:
    """The lines of all rules. Every one can be set: ``--threshold drift=100``.

    drift          second moments may change by this factor from the first layer to the last:
                   1e3 is a factor of 32 in size, more than one learning rate serves
    gain           by how much fan_in Var(W) may miss what suits the activation: 1.25 a layer is a
                   factor of 10 in ten layers
    compromise     what Glorot's compromise may take from the signal where fans differ, all layers
                   together: a factor of 10
    sensitivity    d log(variance out) / d log(variance in): at 10, a variance that is off by 1 %
                   comes out off by 10 %
    saturated      fraction of units on a flat part that is too many
    linear         fraction of units on a straight part above which a layer is called linear
    dead           fraction of units whose slope is exactly 0; a rectifier without bias has 1/2
    silent         probability that a whole layer is off for an input: one example in a hundred
    off_centre     mean^2 / variance of a layer's inputs; 1 says that their common part outweighs
                   what tells examples apart. relu has 0.47, sigmoid 5.8
    rates          ratio of feature variances, and so of the rates at which features are learned
    examples       values that batch norm averages over: its gradient has no finite variance up to 5
    shift          ratio of the variances that batch norm sees in training and in evaluation
    growth         second moment after a stack of residual blocks: scaled by 1/sqrt(L) they give at
                   most e = 2.7, so 10 needs unscaled ones
    forgotten      1 - correlation of two inputs that began uncorrelated; exp(-6) = 0.0025 is what
                   six depth scales leave (Schoenholz et al. 2017, section 5)
    depth_scales   how many depth scales deep a network may be (the same six)
    scatter        variance of one draw's second moment over the square of its mean: at 1 a single
                   network says little about its law
    logits         second moment of outputs at the start: at 4 the expected loss is 2 above log K
    batch          the size of a batch, if known; it is no part of a model. 0: not known
    """

    drift: float = 1e3
    gain: float = 1.25
    compromise: float = 10.0
    sensitivity: float = 10.0
    saturated: float = 0.5
    linear: float = 0.99
    dead: float = 0.9
    silent: float = 0.01
    off_centre: float = 1.0
    rates: float = 100.0
    examples: float = 5.0
    shift: float = 1.1
    growth: float = 10.0
    forgotten: float = math.exp(-6)
    depth_scales: float = 6.0
    scatter: float = 1.0
    logits: float = 4.0
    batch: float = 0.0

    @classmethod
    def parse(cls, settings: Iterable[str]) -> Thresholds:
        """From lines ``name=value``. Raises `InputError` for other names and for no numbers."""
        given = {}
        known = [field.name for field in fields(cls)]
        for setting in settings:
            name, _, text = setting.partition("=")
            if name not in known:
                raise InputError(no_such("threshold", name, known))
            try:
                given[name] = float(text)
            except ValueError:
                raise InputError(f"threshold {setting!r}: write {name}=NUMBER.") from None
            if not 0 <= given[name] < math.inf:
                raise InputError(f"threshold {setting!r}: a finite number, not negative.")
        return replace(cls(), **given)
