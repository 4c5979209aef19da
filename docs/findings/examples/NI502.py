"""Features in metres, kilometres and millimetres, and divided by their standard deviations."""

import numpy as np

from analysis.network.build import dense_network

net = fixed = dense_network([6, 32, 2], "relu")
units = np.array([1.0, 1.0, 1e-3, 1e-3, 1e3, 1e3])
data = np.random.default_rng(0).standard_normal((200, 6)) * units
fixed_data = (data - data.mean(0)) / data.std(0)
