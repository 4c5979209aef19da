"""The colours of every figure, so that predicted and measured look the same everywhere."""

from __future__ import annotations

INK, QUIET, GRID = "#333333", "#777777", "#e4e4e4"
PREDICTED, MEASURED = "#1f5f99", "#d1622b"
