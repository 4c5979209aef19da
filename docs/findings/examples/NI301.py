"""Weights of standard deviation 1 drive tanh into its flat ends."""

from analysis.network.build import dense_network

net = dense_network([64, 64, 64, 10], "tanh", weight_std=1.0)
fixed = dense_network([64, 64, 64, 10], "tanh", "xavier_normal")
