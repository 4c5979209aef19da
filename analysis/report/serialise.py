"""A report as plain data, for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from analysis.measurement.measure import Estimate, Measurement
from analysis.report.report import Report, Row


def to_dict(report: Report) -> dict[str, Any]:
    """The form that `docs/json.md` describes; numbers, strings, lists, dicts and None only."""
    return {
        "title": report.title,
        "input": report.input.describe(),
        "layers": [_layer(row, report.measurement) for row in report.rows],
        "findings": [asdict(finding) for finding in report.findings],
        "assumptions": list(report.assumptions),
    }


def _layer(row: Row, measurement: Measurement | None) -> dict[str, Any]:
    forward, backward = row.forward, row.backward
    return {
        "name": row.name,
        "op": row.op,
        "forward": None
        if forward is None
        else {
            "mean": forward.mean,
            "second": forward.second,
            "variance": forward.variance,
            "shift": forward.prediction.shift,
            "bound": forward.prediction.bound,
            "law": forward.law,
            "regions": None if forward.regions is None else asdict(forward.regions),
            "input_correlation": forward.input_correlation,
            "unit_correlation": forward.unit_correlation,
        },
        "backward": None
        if backward is None
        else {
            "second": backward.second,
            "shift": backward.prediction.shift,
            "bound": backward.prediction.bound,
        },
        "measured": None if measurement is None else _measured(row.name, measurement),
    }


def _measured(name: str, measurement: Measurement) -> dict[str, Any]:
    return {
        "networks": measurement.networks,
        "forward": _estimate(measurement.forward(name)),
        "backward": _estimate(measurement.backward(name)),
    }


def _estimate(estimate: Estimate) -> dict[str, float]:
    return {"second": estimate.value, "standard_error": estimate.standard_error}
