"""gelu with the gain that keeps the second moment 1: an unstable fixed point. A norm holds it."""

from collections.abc import Callable

from tinygrad_edu import nn

DEPTH, WIDTH = 30, 128


def network(norms: Callable[[], list[nn.Module]]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(WIDTH, WIDTH)]
    for _ in range(DEPTH):
        layers += [*norms(), nn.GELU(), nn.Linear(WIDTH, WIDTH)]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="gelu")
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


net = network(list)
fixed = network(lambda: [nn.LayerNorm(WIDTH)])
