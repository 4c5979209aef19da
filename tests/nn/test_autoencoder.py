"""The autoencoder, and what a linear one learns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import subspace_angles

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.data import load_digits
from tinygrad_edu.errors import ModuleError


def test_it_is_the_decoder_of_the_encoder() -> None:
    model = nn.Autoencoder(nn.Linear(5, 2), nn.Linear(2, 5))
    x = tg.randn(3, 5)
    assert model(x).tolist() == model.decoder(model.encoder(x)).tolist()
    assert list(model.state_dict()) == [
        *(f"encoder.{name}" for name in ("weight", "bias")),
        *(f"decoder.{name}" for name in ("weight", "bias")),
    ]
    with pytest.raises(ModuleError):
        model.encoder = len


def test_a_linear_decoder_spans_the_principal_components() -> None:
    """Full batches of centred data in double precision. An angle theta between the subspaces costs
    at least gap sin(theta)^2 / 64 of the mean squared error, where gap is that between the k-th
    eigenvalue and the next; 0.001 degrees cost 6e-13, which Adam reaches and double precision
    (1e-17 of an error of 0.04) can see. The encoder is not determined: at a minimum it must only
    give codes from which the decoder gets back to the plane, and constant pixels never move it."""
    images = load_digits().images[:600].reshape(-1, 64).astype(np.float64)
    x, k = images - images.mean(axis=0), 4
    _, singular, components = np.linalg.svd(x, full_matrices=False)
    eigenvalues = singular**2 / len(x)
    assert eigenvalues[k - 1] - eigenvalues[k] > 0.1
    tg.manual_seed(0)
    model = nn.Autoencoder(nn.Linear(64, k, bias=False), nn.Linear(k, 64, bias=False)).double()
    constant = np.ptp(x, axis=0) == 0
    before = model.encoder.weight.detach().numpy()[:, constant].copy()
    epochs = 800
    history = tg.train.fit(
        model,
        (x, x),
        optimizer=lambda parameters: optim.Adam(parameters, lr=0.02),
        schedule=lambda optimizer: optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs),
        epochs=epochs,
        batch_size=len(x),
    )
    best = eigenvalues[k:].sum() / 64
    assert abs(history.loss[-1] - best) < 6e-13
    decoder, encoder = (part.weight.detach().numpy() for part in (model.decoder, model.encoder))
    assert np.degrees(subspace_angles(decoder, components[:k].T)).max() < 0.001
    assert np.degrees(subspace_angles(encoder.T, components[:k].T)).max() > 1
    assert constant.any()
    np.testing.assert_array_equal(encoder[:, constant], before)
