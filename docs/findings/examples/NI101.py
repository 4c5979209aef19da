"""Glorot's scale behind relu halves the signal in each of 20 layers; He's keeps it."""

from analysis.network.build import dense_network

WIDTHS = [128] * 21 + [10]
net = dense_network(WIDTHS, "relu", "xavier_normal")
fixed = dense_network(WIDTHS, "relu", "kaiming_normal")
