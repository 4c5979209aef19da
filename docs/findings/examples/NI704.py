"""140 layers of relu with He's weights: signal and gradient are kept, what they say is not."""

from analysis.network.build import dense_network

net = dense_network([64] * 141 + [10], "relu", "kaiming_normal")
fixed = dense_network([64] * 11 + [10], "relu", "kaiming_normal")
