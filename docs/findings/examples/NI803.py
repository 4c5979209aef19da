"""A matrix stored as (in, out), whose fans an initialiser reads the other way round."""

import tinygrad_edu as tg
from tinygrad_edu import nn


class Dense(nn.Module):
    """x @ W, or x @ W.T with W stored as (out, in)."""

    def __init__(self, in_features: int, out_features: int, rows_are_units: bool) -> None:
        super().__init__()
        self.in_features, self.rows_are_units = in_features, rows_are_units
        sizes = (out_features, in_features) if rows_are_units else (in_features, out_features)
        self.weight = nn.init.kaiming_normal_(nn.Parameter(tg.zeros(*sizes)))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x @ (self.weight.T if self.rows_are_units else self.weight)


def network(rows_are_units: bool) -> nn.Sequential:
    return nn.Sequential(Dense(16, 256, rows_are_units), nn.ReLU(), Dense(256, 16, rows_are_units))


net = network(rows_are_units=False)
fixed = network(rows_are_units=True)
