"""A hidden layer of one constant: 64 units that are one."""

from analysis.network.build import dense_network
from tinygrad_edu import nn

net = dense_network([64, 64, 64, 10], "relu")
nn.init.constant_(net[2].weight, 0.1)
fixed = dense_network([64, 64, 64, 10], "relu")
