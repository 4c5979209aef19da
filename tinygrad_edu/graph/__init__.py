"""From expressions to a graph: `Tensor`, `Value`, and what records them."""
