"""From a recorded graph to the graph of its derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_edu.derive import reverse
from tinygrad_edu.graph import modes

if TYPE_CHECKING:
    from tinygrad_edu.graph.value import Value


def _backward_of_value(root: Value) -> None:
    from tinygrad_edu.derive import scalar  # loaded by those who use Values

    scalar.backward(root)


modes.provide_backward("tensor", reverse.backward)
modes.provide_backward("value", _backward_of_value)
