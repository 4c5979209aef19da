"""The autoencoder: a code for each input, and the input again from its code."""

from __future__ import annotations

from typing import Any

from tinygrad_edu.nn.module import Module


class Autoencoder(Module):
    """decoder(encoder(x)): trained with its own inputs as targets, so that the code between the two
    keeps what the inputs differ in. Bourlard and Kamp 1988. ::

        model = nn.Autoencoder(nn.Linear(64, 8), nn.Linear(8, 64))
        tg.train.fit(model, (x, x), loss=nn.MSELoss())
        codes = model.encoder(x)

    With linear layers and the squared error, the decoder's columns come to span the same subspace
    as the first principal components (Baldi and Hornik 1989); the code is some basis of it.

    Attributes:
        encoder: From inputs to codes.
        decoder: From codes to inputs.
    """

    encoder: Module
    decoder: Module

    def __init__(self, encoder: Module, decoder: Module) -> None:
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Any) -> Any:
        """The reconstruction of x, in the shape that the decoder makes."""
        return self.decoder(self.encoder(x))
