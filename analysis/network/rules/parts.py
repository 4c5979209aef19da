"""Concatenations as the input of a layer: units of several kinds, taken together and apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network import backward as behind
from analysis.network.context import Context, Parts
from analysis.network.cotangent import Cotangent
from analysis.network.fields import pairs_of
from analysis.network.records import Array, Signal


def averaged_parts(x: Parts, context: Context) -> Signal:
    """Moments of a unit picked at random from a concatenation. Two branches' mean squares may go up
    and down together: their standard deviations are added."""
    shares = [s.units / x.units for s in x.signals]

    def average(name: str) -> Any:
        return sum(share * getattr(s, name) for share, s in zip(shares, x.signals, strict=True))

    deviation = sum(
        share * np.sqrt(np.maximum(s.fluctuation, 0.0))
        for share, s in zip(shares, x.signals, strict=True)
    )
    known = all(s.partner is not None for s in x.signals)

    def pairs() -> Array | None:
        tables = [pairs_of(s, context) for s in x.signals]
        found = [table for table in tables if table is not None]
        weighted = [share * table for share, table in zip(shares, found, strict=False)]
        return np.asarray(sum(weighted)) if len(found) == len(tables) else None

    return Signal(
        mean=average("mean"),
        second=average("second"),
        fourth=average("fourth"),
        shift=average("shift"),
        size=average("size"),
        fluctuation=np.asarray(deviation**2),
        excess=np.zeros_like(x.signals[0].second),
        units=x.units,
        sources=frozenset().union(*(s.sources for s in x.signals)),
        places=x.signals[0].places,
        fixed=all(s.fixed for s in x.signals),
        dead=min(s.dead for s in x.signals),
        joined=True,
        partner=average("partner") if known else None,
        apart=all(s.apart for s in x.signals),
        loose=max(s.loose for s in x.signals),
        pairs=pairs if x.signals[0].places > 1 else None,
    )


def at_part(cotangent: Cotangent, part: Signal, whole: Signal) -> Cotangent:
    """At one part of a concatenation. What follows depends on the mean square of all parts: where
    theirs scatters much more than this one's, this one does not tell it; where it scatters less, it
    goes with this one's in that measure."""
    own, all_of_them = (np.sqrt(np.maximum(s.fluctuation, 0.0)) for s in (part, whole))
    g = behind.settled(cotangent.gradient, 2 * own < all_of_them, all_of_them, whole.shift)
    measure = np.minimum(all_of_them / np.where(own > 0, own, np.inf), 1.0)
    measure = np.where(own > 0, measure, 1.0)
    bent = replace(g, log_1=measure * g.log_1, log_2=measure**2 * g.log_2)
    return replace(cotangent, gradient=bent)
