"""From a recorded graph to the graph of its derivative."""

from tinygrad_edu.derive import reverse
from tinygrad_edu.graph import modes

modes.provide_derivatives(reverse)
