"""tanh with fan_in Var(W) = 9 is chaotic; on the edge of chaos it is 1."""

from analysis.network.build import dense_network

WIDTHS = [100] * 21 + [10]
net = dense_network(WIDTHS, "tanh", weight_std=0.3)
fixed = dense_network(WIDTHS, "tanh", weight_std=0.1)
