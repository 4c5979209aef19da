"""Dropout in each of eight layers of relu: half of the units, and one in twenty."""

from tinygrad_edu import nn


def network(p: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(8):
        layers += [nn.Linear(64, 64), nn.ReLU(), nn.Dropout(p)]
    layers.append(nn.Linear(64, 10))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


net = network(0.5)
fixed = network(0.05)
