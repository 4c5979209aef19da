"""What comes out of sigmoid is positive: all inputs of the next layer have one sign."""

from analysis.network.build import dense_network

net = dense_network([64, 128, 10], "sigmoid")
fixed = dense_network([64, 128, 10], "tanh")
