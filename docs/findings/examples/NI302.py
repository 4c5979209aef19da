"""Weights so small that tanh is a straight line in every layer."""

from analysis.network.build import dense_network

net = dense_network([64, 64, 64, 10], "tanh", weight_std=0.01)
fixed = dense_network([64, 64, 64, 10], "tanh", "xavier_normal")
