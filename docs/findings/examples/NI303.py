"""Biases of -3 switch relu off for nearly every input."""

from analysis.network.build import dense_network
from tinygrad_edu import nn

net = dense_network([64, 64, 64, 10], "relu")
for module in net.modules():
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.bias, -3.0)
fixed = dense_network([64, 64, 64, 10], "relu")
