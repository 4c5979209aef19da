"""Attention, one head and several, as users write it with products and a softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from analysis.measurement.verify import Verdict
from analysis.network.rules import scores
from tests.analysis.network.nets import Net, linear
from tinygrad_edu import nn

DATA = np.random.default_rng(4).standard_normal((4, 6, 16)) * np.linspace(0.5, 1.5, 6)[:, None]
TOKENS = np.random.default_rng(0).integers(0, 8, (4, 6))
NETWORKS = 300


def verdicts(model: nn.Module, given: Any, networks: int = NETWORKS) -> list[Verdict]:
    report = analysis.analyze(model, given)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    measured = analysis.measure(model, networks, batch=16, seed=3, input=given, progress=False)
    return list(analysis.verify(report, measured))


def attend(s: Any, x: tg.Tensor, heads: int = 1, scale: float = 1.0, mask: Any = None) -> tg.Tensor:
    """softmax(scale * q k^T / sqrt(d) + mask) v."""
    examples, length, width = x.shape
    shape = (examples, length, heads, width // heads)
    q, k, v = (layer(x).reshape(shape).transpose(1, 2) for layer in (s.q, s.k, s.v))
    products = q @ k.transpose(-1, -2) * (scale / math.sqrt(width // heads))
    if mask is not None:
        products = products + mask
    mixed = tg.softmax(products, -1) @ v
    return mixed.transpose(1, 2).reshape(examples, length, width)


def net(
    run: Callable[[Any, tg.Tensor], tg.Tensor], width: int = 16, **more: nn.Module
) -> nn.Module:
    layers = {name: linear(width, width, 1.0, bias_std=0.2) for name in "qk"}
    layers["v"] = linear(width, width)
    return Net(lambda s, x: s.seen(run(s, x)), **layers, **more, seen=nn.Identity())


CAUSAL = tg.tensor(np.triu(np.full((6, 6), -np.inf, np.float32), 1))


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_of_data(heads: int, scale: float) -> None:
    """Inner products of data are what they are, so that only the average over scores is rough."""
    found = verdicts(net(lambda s, x: attend(s, x, heads, scale)), DATA)
    assert all(v.agrees for v in found)
    assert all(v.bound < 0.2 * v.predicted for v in found)


def test_masked() -> None:
    model = net(lambda s, x: attend(s, x, 2, mask=CAUSAL))
    assert all(v.agrees for v in verdicts(model, DATA))
    chosen = net(
        lambda s, x: (
            tg.softmax(tg.where(CAUSAL == 0, s.q(x) @ s.k(x).mT / 4, tg.tensor(-math.inf)), -1)
            @ s.v(x)
        )
    )
    assert all(v.agrees for v in verdicts(chosen, DATA))


def test_of_tokens_of_which_some_are_padding() -> None:
    """Equal tokens get the same weight and have the same value."""

    def run(s: Any, x: tg.Tensor) -> tg.Tensor:
        h = s.table(x)
        products = s.q(h) @ s.k(h).mT / 4
        products = products.masked_fill((x == 0).unsqueeze(1), -math.inf)
        return s.out((tg.softmax(products, -1) @ s.v(h)).mean(1))

    model = net(run, table=nn.Embedding(8, 16), out=linear(16, 5))
    assert all(v.agrees for v in verdicts(model, np.maximum(TOKENS, [1, 0, 0, 0, 0, 0])))


def test_of_a_law() -> None:
    """Inner products of draws scatter by 1/width, which is in the bound."""
    narrow = verdicts(net(lambda s, x: attend(s, x)), (6, 16))
    wide = verdicts(net(lambda s, x: attend(s, x), 64), (4, 64), 200)
    assert all(v.agrees for v in narrow + wide)
    relative = [max(v.bound / v.predicted for v in found) for found in (narrow, wide)]
    assert relative[1] < relative[0] / 2


def test_a_block() -> None:
    """Norm, attention, its shortcut, and a dense layer behind."""
    model = net(
        lambda s, x: s.out((x + s.o(attend(s, s.norm(x), 2))).mean(1)),
        o=linear(16, 16), norm=nn.LayerNorm(16), out=linear(16, 5),
    )  # fmt: skip
    assert all(v.agrees for v in verdicts(model, DATA))


def test_uniform_attention_is_an_average() -> None:
    """Queries of 0: all weights are 1/6."""
    model = net(lambda s, x: attend(s, x))
    nn.init.zeros_(model.q.weight)  # type: ignore[attr-defined]
    nn.init.zeros_(model.q.bias)  # type: ignore[attr-defined]
    row = analysis.analyze(model, DATA).layers[-1]
    assert row.forward is not None
    values = np.mean(DATA.mean(axis=1) ** 2)
    assert row.forward.second == pytest.approx(values, rel=1e-9)


def test_what_is_not_followed() -> None:
    """Values made of what the scores are made of, and scores of no softmax, are unknown."""
    same = net(lambda s, x: tg.softmax(s.q(x) @ s.k(x).mT, -1) @ s.k(x))
    report = analysis.analyze(same, DATA)
    assert report.layers[-1].forward is None
    bare = net(lambda s, x: s.q(x) @ s.k(x).mT)
    row = analysis.analyze(bare, DATA).layers[0]
    assert row.forward is not None
    assert row.backward is None


@pytest.mark.parametrize("what", ["_points", "_averaged"])
def test_a_planted_error_is_found(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(scores, what)
    if what == "_points":
        monkeypatch.setattr(scores, what, lambda x, shape: 1.1 * right(x, shape))
    else:
        monkeypatch.setattr(scores, what, lambda c, points, doubt: right(c, 1.15 * points, doubt))
    found = verdicts(net(lambda s, x: attend(s, x)), DATA, 2000)
    assert not all(v.agrees for v in found)
