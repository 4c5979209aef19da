"""A network as a graph of ops: how moments travel through it, forward and backward."""
