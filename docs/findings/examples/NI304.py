"""Three units a layer: in one network of three, a whole layer is off."""

from analysis.network.build import dense_network

net = dense_network([8, 3, 3, 3, 2], "relu")
fixed = dense_network([8, 32, 32, 32, 2], "relu")
