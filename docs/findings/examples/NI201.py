"""Six layers of sigmoid; tanh has slope 1 at 0, sigmoid 1/4."""

from analysis.network.build import dense_network

net = dense_network([64] * 7 + [10], "sigmoid", "xavier_normal")
fixed = dense_network([64] * 7 + [10], "tanh", "xavier_normal")
