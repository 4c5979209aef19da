"""Twelve residual blocks double the signal each; scaled by 12^-1/2 they do not."""

from tinygrad_edu import nn

WIDTH, BLOCKS = 64, 12


def network(scale: float) -> nn.Sequential:
    blocks = [
        nn.Residual(
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)), scale
        )
        for _ in range(BLOCKS)
    ]
    net = nn.Sequential(nn.Linear(WIDTH, WIDTH), *blocks, nn.Linear(WIDTH, 10))
    for name, parameter in net.named_parameters():
        if parameter.ndim == 1:
            nn.init.zeros_(parameter)
        else:  # the second layer of a branch sees what comes out of relu
            gain = "relu" if name.endswith("2.weight") and "block" in name else "linear"
            nn.init.lecun_normal_(parameter, gain=gain)
    return net


net = network(scale=1.0)
fixed = network(scale=BLOCKS**-0.5)
