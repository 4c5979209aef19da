"""From a recorded graph to the graph of its derivative."""

from tinygrad_edu.derive import reverse, scalar
from tinygrad_edu.graph import modes

modes.provide_derivatives(reverse)

__all__ = ["reverse", "scalar"]
