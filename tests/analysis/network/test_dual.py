"""Functions of one unit on two examples of a law: of mixtures, and of mixtures of mixtures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from analysis.network.context import Context
from analysis.network.dual import covariance, on_two_examples
from analysis.network.elements import Element
from analysis.network.roots import GaussianRoot, MixtureRoot
from analysis.network.sources import Form
from tests.analysis.network.nets import Net, linear
from tinygrad_edu import nn

MEAN = 0.3
ORDER = 40
"""Nodes of the reference in each of four dimensions: sines of such Gaussians to rounding."""


def mixture(rhos: tuple[float, float]) -> tuple[MixtureRoot, Context]:
    """u = sin(v) + g, whose Gaussians have means 0 and `MEAN`, variances 1.44 and 0.36, and these
    correlations on two examples."""
    context = Context(np.ones(1))
    forms = [
        Form(np.array([mean]), {(i, 0): np.array([c])})
        for i, (mean, c) in enumerate(((0.0, 1.2), (MEAN, 0.6)))
    ]
    context.correlations |= {(i, 0): np.array([rho]) for i, rho in enumerate(rhos)}
    inner = GaussianRoot(forms[0])
    inner.program.append(tg.ops.sin, {}, (0,))
    return MixtureRoot(Element(forms[1], inner, 1)), context


def reference(rhos: tuple[float, float]) -> float:
    """E[sin(u) sin(u')] by a product of Gauss-Hermite rules."""
    x, w = np.polynomial.hermite_e.hermegauss(ORDER)
    w /= w.sum()
    pairs = []
    for rho, sigma in zip(rhos, (1.2, 0.6), strict=True):
        first, second = np.meshgrid(x, x, indexing="ij")
        pairs.append(sigma * np.array([first, rho * first + np.sqrt(1 - rho**2) * second]))
    (v, v_), (g, g_) = pairs
    weight = np.multiply.outer(w, w).ravel()
    values = [
        np.sin(np.add.outer(np.sin(a.ravel()), MEAN + b.ravel())) for a, b in ((v, g), (v_, g_))
    ]
    return float(weight @ (values[0] * values[1]) @ weight)


@pytest.mark.parametrize("rhos", [*itertools.product((0.0, 0.4, -0.7), repeat=2)])
def test_a_function_of_a_mixture(rhos: tuple[float, float]) -> None:
    root, context = mixture(rhos)
    root.program.append(tg.ops.sin, {}, (0,))
    grid, ((f, _),) = root.values(1)
    found = on_two_examples(root, f, grid, None, context)
    # 10 nodes a panel integrate the mixture's parts to 1e-9, in each of the two examples
    assert found == pytest.approx([reference(rhos)], abs=1e-8)


def test_a_mixture_of_mixtures_itself() -> None:
    """E[w w'] of w = relu(u) + h is that of the parts."""
    root, context = mixture((0.3, -0.2))
    root.program.append(tg.ops.relu, {}, (0,))
    own = Form(np.zeros(1), {(7, 0): np.array([0.5])})
    context.correlations[7, 0] = np.array([0.6])
    outer = MixtureRoot(Element(own, root, 1))
    grid, ((f, _),) = root.values(1)
    parts = on_two_examples(root, f, grid, None, context)
    (whole, ((w, _),)), both = outer.values(0), covariance(own, context)
    assert parts is not None
    assert both == pytest.approx([0.15])
    assert on_two_examples(outer, w, whole, None, context) == pytest.approx(parts + both, rel=1e-8)


def test_what_is_not_known_is_not_guessed() -> None:
    root, context = mixture((0.3, -0.2))
    grid, ((f, _),) = root.values(0)
    del context.correlations[1, 0]
    assert covariance(root.inner.form, context) is None
    assert on_two_examples(root, f, grid, None, context) is None
    root, context = mixture((0.3, 0.99))  # 40 terms do not suffice
    grid, ((f, _),) = root.values(0)
    assert on_two_examples(root, f, grid, None, context) is None


def test_a_residual_network_with_batch_norm_and_activations_last() -> None:
    """relu(x + norm(b(relu(norm(a(x))))))."""

    def block(n: int) -> nn.Module:
        layers = {"a": linear(n, n), "b": linear(n, n)}
        norms = {"first": nn.BatchNorm1d(n), "second": nn.BatchNorm1d(n)}
        return Net(
            lambda s, x: (x + s.second(s.b(s.first(s.a(x)).relu()))).relu(), **layers, **norms
        )

    n = 48
    model = nn.Sequential(linear(16, n), nn.BatchNorm1d(n), nn.ReLU(), block(n), block(n))
    model.append(linear(n, 8))
    report = analysis.analyze(model, batch=16)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    measured = analysis.measure(model, 600, batch=16, seed=3, progress=False)
    assert all(v.agrees for v in analysis.verify(report, measured))
