"""As many groups as channels, and no positions: a norm over single numbers."""

from tinygrad_edu import nn

net = nn.Sequential(nn.Linear(16, 32), nn.GroupNorm(32, 32), nn.ReLU(), nn.Linear(32, 10))
fixed = nn.Sequential(nn.Linear(16, 32), nn.GroupNorm(4, 32), nn.ReLU(), nn.Linear(32, 10))
