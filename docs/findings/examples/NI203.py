"""Widths that alternate between 8 and 256, with a variance by both fans, and by fan_in."""

from analysis.network.build import dense_network

WIDTHS = [8, 256] * 3 + [4]
net = dense_network(WIDTHS, "tanh", "xavier_normal")
fixed = dense_network(WIDTHS, "tanh", "lecun_normal")
