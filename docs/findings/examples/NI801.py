"""40 layers of 40 units: no draw is like the average. 8 layers of 160 are."""

from analysis.network.build import dense_network

net = dense_network([40] * 41 + [10], "relu", "kaiming_normal")
fixed = dense_network([160] * 9 + [10], "relu", "kaiming_normal")
