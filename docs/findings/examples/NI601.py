"""25 layers with batch norm, as a chain and as residual blocks."""

from tinygrad_edu import nn

WIDTH, DEPTH = 64, 25


def layer() -> list[nn.Module]:
    return [nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH, bias=False)]


net = nn.Sequential(
    nn.Linear(16, WIDTH, bias=False),
    *[module for _ in range(DEPTH) for module in layer()],
    nn.Linear(WIDTH, 10),
)
fixed = nn.Sequential(
    nn.Linear(16, WIDTH, bias=False),
    *[nn.Residual(nn.Sequential(*layer())) for _ in range(DEPTH)],
    nn.Linear(WIDTH, 10),
)
