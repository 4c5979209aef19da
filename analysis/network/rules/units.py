"""Units that differ by known numbers: loaded or trained weights, statistics of a batch norm in
evaluation, trained scales and shifts.

Unit i then computes s_i v + b_i of one law v. All moments are averages over the units, and what
follows sees a mixture of their laws.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network.context import Context
from analysis.network.cotangent import Arriving, Coefficient, Cotangent, fresh_number, given
from analysis.network.elements import Element
from analysis.network.records import Array, Signal
from analysis.network.roots import DataRoot, Root, UnitsRoot
from analysis.network.sources import Form


def by_unit(node: Any, x: Signal, scales: Array, shifts: Array, context: Context) -> Signal:
    """s_i x_i + b_i: `scales` has one number a unit, `shifts`, too, or a row of them a case."""
    scales = np.atleast_1d(np.asarray(scales, np.float64))
    shifts = np.atleast_2d(np.asarray(shifts, np.float64))
    element, lowest = _moved(x, scales, shifts)
    square = float(np.mean(scales**2))
    mean = np.mean(scales) * x.mean + shifts.mean(axis=1)
    crossed, added = (scales * shifts).mean(axis=1), (shifts**2).mean(axis=1)
    second = square * x.second + 2 * crossed * x.mean + added
    fourth = 3 * second**2
    if element is not None:  # units may have differed before, in step with these numbers
        mean, second, fourth = element.moments()
    root = None if element is None else element.root
    context.notes["units", context.at(node)] = (root, lowest, scales)
    if root is not None:
        context.variables.setdefault(root, x)
    partner = None
    if x.partner is not None:
        other = context.partner(x.mean)
        partner = square * x.partner + crossed * other + added
        partner = partner + context.partner(crossed * np.ones_like(other)) * x.mean
    return replace(
        x,
        mean=mean,
        second=second,
        fourth=fourth,
        shift=square * x.shift,
        size=square * x.size,
        fluctuation=square**2 * x.fluctuation,
        element=element,
        sources=x.sources,
        dead=0.0 if np.any(shifts) else x.dead,
        identical=x.identical and bool(np.ptp(scales) == 0 and np.ptp(shifts, axis=1).max() == 0),
        partner=partner,
    )


def _moved(x: Signal, scales: Array, shifts: Array) -> tuple[Element | None, bool]:
    """The element with those numbers, and whether it is the first of a row of such steps."""
    element = x.element
    if element is None:
        return None, True
    zero = Form(np.zeros_like(x.mean), {})
    root = element.root
    if root is None:
        return Element(zero, UnitsRoot(element.form, scales[None], shifts)), True
    if isinstance(root, UnitsRoot) and element.pure and element.index == 0:
        shifts = scales * root.shifts + shifts
        return Element(zero, UnitsRoot(root.form, scales * root.scales, shifts)), False
    if isinstance(root, DataRoot) and element.form.constant and x.fixed:
        numbers = root.program.run(root.numbers, element.index)[element.index][0]
        numbers = scales * (numbers + element.form.mean[:, None]) + shifts
        return Element(zero, root.with_numbers(numbers)), True
    return None, True


def by_unit_backward(node: Any, cotangent: Cotangent, context: Context) -> Cotangent:
    """Each unit's gradient times its own scale."""
    root, lowest, scales = context.notes["units", context.at(node)]
    if root is None:
        full = np.ones_like(cotangent.gradient.second)
        passed = cotangent.by_slope(None, scales.mean() * full, np.mean(scales**2) * full)
        return passed.with_gradient(cotangent.gradient)
    terms: dict[int, tuple[Arriving, Coefficient]] = {}
    for key, (arriving, c) in _on(cotangent, root).items():
        value = c.value * root.by_node(scales, c.value.shape[1])
        terms.update(
            _averaged(key, arriving, Coefficient(c.root, value))
            if lowest
            else {key: (arriving, Coefficient(c.root, value))}
        )
    return Cotangent(terms, cotangent.gradient).with_gradient(cotangent.gradient)


def _on(cotangent: Cotangent, root: Root) -> dict[int, tuple[Arriving, Coefficient]]:
    """The terms as functions of the units' variable, or of a later one of the same units."""
    later = any(isinstance(c.root, UnitsRoot) for _, c in cotangent.terms.values())
    known = cotangent if later else given(cotangent, root)
    terms = {}
    for key, (arriving, c) in known.terms.items():
        if c.root is None:
            nodes = root.grid(root.whole_kinks()).x.shape
            c = Coefficient(root, np.broadcast_to(c.value[:, None], nodes))
        terms[key] = (arriving, c)
    return terms


def _averaged(
    key: int, arriving: Arriving, c: Coefficient
) -> dict[int, tuple[Arriving, Coefficient]]:
    """Numbers instead of functions; what is lost of the square scatters."""
    mean, square = c.mean(), c.square()
    scatter = np.sqrt(np.maximum(square - mean**2, 0.0))
    terms = {key: (arriving, Coefficient(None, mean))}
    if np.any(scatter):
        apart = Arriving(arriving.second, np.zeros_like(arriving.second))
        terms[fresh_number()] = (apart, Coefficient(None, scatter))
    return terms
