"""16 Layer-wise pre-training with autoencoders; a linear autoencoder is like PCA.

python examples/16_pretraining.py --plot pretraining.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import BLUE, GREY, ORANGE, Result, digits, mlp, pairs, panels, tell

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.train import fit, pretrain_layerwise

LECTURE = """Training each layer as the encoder of an autoencoder, and discarding the decoders,
gives weights that have found some structure of the input and start better than random ones. An
autoencoder is quite similar to finding principal components."""

EXACTLY = """In a deep sigmoid network that starts from torch's default weights, yes. The
alternatives that came later (a better variance, batch norm: example 19) do the same without a
training of its own. What equals PCA is the subspace spanned by the DECODER of a linear
autoencoder with centred data, squared loss and an eigengap. Its columns are no principal
components but some basis, and the encoder need not lie in that subspace: a pixel that never
varies never moves its weights, and directions of little variance are learned slowly."""

WIDTHS = (64, 64, 48, 32, 32, 10)
CODE = 5


def principal_angles(images: Any, steps: int) -> tuple[float, float]:
    """The largest angle, in degrees, of a linear decoder's span and of its encoder's to that of the
    first principal components, after full-batch training in float64."""
    x = images.astype(np.float64) - images.mean(axis=0, dtype=np.float64)
    tg.manual_seed(0)
    pair: Any = nn.Autoencoder(
        nn.Linear(64, CODE, bias=False, dtype=tg.float64),
        nn.Linear(CODE, 64, bias=False, dtype=tg.float64),
    )
    fit(pair, (x, x), loss=nn.MSELoss(), batch_size=len(x), epochs=steps, optimizer=adam(0.01))
    principal = np.linalg.svd(x, full_matrices=False)[2][:CODE].T
    spans = pair.decoder.weight.detach().numpy(), pair.encoder.weight.detach().numpy().T
    cosines = [np.linalg.svd(principal.T @ np.linalg.qr(s)[0])[1].min() for s in spans]
    decoder, encoder = (float(np.degrees(np.arccos(min(c, 1.0)))) for c in cosines)
    return decoder, encoder


def adam(lr: float) -> Any:
    """Adam at this rate, for `fit`."""
    return lambda parameters: optim.Adam(parameters, lr=lr)


def experiment(quick: bool) -> Result:
    """A deep sigmoid network, pre-trained and not; a linear autoencoder beside PCA."""
    train, test = digits()
    epochs = 4 if quick else 25
    pretrained, random = (mlp(WIDTHS, nn.Sigmoid) for _ in range(2))
    report = pretrain_layerwise(pretrained, train.images, optimizer=adam(0.01))
    result: Result = {}
    for name, model in (("pre-trained", pretrained), ("random", random)):
        history = fit(
            model, pairs(train), optimizer=adam(0.003), epochs=epochs, validation=pairs(test)
        )
        result[f"loss {name}"], result[f"accuracy {name}"] = history.loss, history.val_accuracy
        result[f"{name} weights: training loss after 4 epochs"] = history.loss[3]
        result[f"{name} weights: test accuracy after {epochs} epochs"] = history.val_accuracy[-1]
    for layer in report.layers:
        result[f"layer {layer.name}: share of its input's variance that the code loses"] = (
            layer.error / layer.variance
        )
    decoder, encoder = principal_angles(train.images, 200 if quick else 4000)
    result["linear autoencoder: angle of the decoder to PCA's subspace, degrees"] = decoder
    result["linear autoencoder: angle of the encoder to it, degrees"] = encoder
    return result


def figure(result: Result) -> object:
    """Loss and test accuracy from pre-trained and from random weights."""
    drawn, (left, right) = panels(2, "a sigmoid network 64-64-48-32-32-10 on the digits", 4.8)
    for name, colour in (("pre-trained", BLUE), ("random", ORANGE)):
        epochs = range(1, len(result[f"loss {name}"]) + 1)
        left.plot(epochs, result[f"loss {name}"], color=colour, label=f"{name} weights")
        right.plot(epochs, result[f"accuracy {name}"], color=colour)
    left.set(title="training loss", xlabel="epoch", ylim=(0, None))
    right.set(title="test accuracy", xlabel="epoch", ylim=(0, 1))
    right.axhline(0.1, color=GREY, lw=0.8, ls=":")
    left.legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
