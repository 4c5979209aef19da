"""The default of nn.Linear, a third of LeCun's variance, in front of and behind relu."""

from analysis.network.build import dense_network
from tinygrad_edu import nn

net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
fixed = dense_network([64, 64, 64, 10], "relu", "kaiming_normal")
