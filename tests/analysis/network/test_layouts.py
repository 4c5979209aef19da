"""Where positions and units stand, through reshapes, transposes and slices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analysis
import tinygrad_edu as tg
from analysis.network.layouts import fits, permuted, positions, reshaped
from tests.analysis.network.nets import Net, linear
from tinygrad_edu import nn


@pytest.mark.parametrize(
    ("layout", "old", "new", "expected"),
    [
        ("bpu", (2, 6, 16), (2, 6, 4, 4), "bpuu"),
        ("bupu", (2, 4, 6, 4), (2, 4, 24), "bu*"),
        ("bpuu", (2, 6, 4, 4), (2, 6, 16), "bpu"),
        ("bupp", (2, 3, 4, 5), (2, 3, 20), "bup"),
        ("bup", (2, 3, 20), (2, 3, 4, 5), "bupp"),
        ("bupp", (2, 3, 4, 5), (2, 60), "b*"),
        ("bpu", (2, 6, 16), (2, 1, 6, 16), "b1pu"),
        ("b1pu", (2, 1, 6, 16), (2, 6, 16), "bpu"),
        ("bpu", (2, 6, 4), (2, 4, 6), "b**"),
        ("bpu", (2, 6, 16), (2, 6, 16, 1), "bpu1"),
    ],
)
def test_reshapes(layout: str, old: tuple[int, ...], new: tuple[int, ...], expected: str) -> None:
    assert reshaped(layout, old, new) == expected


@given(st.lists(st.sampled_from([2, 3, 4]), min_size=1, max_size=4), st.data())
def test_splitting_and_merging_again_changes_nothing(sizes: list[int], data: st.DataObject) -> None:
    shape = (2, *sizes)
    layout = "b" + "".join(data.draw(st.sampled_from("pu")) for _ in sizes)
    split = tuple(f for size in shape for f in ((2, size // 2) if size == 4 else (size,)))
    assert reshaped(reshaped(layout, shape, split), split, shape) == layout
    assert math.prod(positions(layout, shape)) == math.prod(
        n for n, letter in zip(shape, layout, strict=True) if letter == "p"
    )


def test_transposes() -> None:
    assert permuted("bpu", (0, 2, 1)) == "bup"
    assert permuted("bpuu", (0, 2, 1, 3)) == "bupu"
    assert permuted("bupp", (0, 1, 3, 2)) == "bu**"
    assert fits("b1pp", "bupp")
    assert not fits("bpu", "bup")


def test_a_transposed_map_is_not_taken_for_another() -> None:
    """As many channels as positions: the shape alone does not tell which is which."""
    net = Net(
        lambda s, x: s.last(s.first(x).transpose(1, 2)),
        first=nn.Conv1d(4, 8, 3),
        last=nn.Conv1d(8, 5, 3),
    )
    report = analysis.analyze(net, (4, 10))
    assert report.layers[0].forward is not None
    assert report.layers[1].forward is None


def test_data_keep_their_order() -> None:
    """Images whose channels come last, turned in the model."""
    random = np.random.default_rng(0)
    data = random.standard_normal((5, 6, 6, 3)) * np.linspace(0.1, 2, 6)[:, None]
    net = Net(lambda s, x: s.conv(x.permute(0, 3, 1, 2)), conv=nn.Conv2d(3, 8, 3, stride=3))
    turned = np.ascontiguousarray(data.transpose(0, 3, 1, 2))
    ahead = [
        analysis.analyze(*args).layers[0].forward for args in ((net, data), (net.conv, turned))
    ]
    assert ahead[0] is not None
    assert ahead[1] is not None
    assert ahead[0].second == pytest.approx(ahead[1].second, rel=1e-12)


@pytest.mark.parametrize(
    "taken",
    [
        lambda h: h[:, 0], lambda h: h[:, -1], lambda h: h[:, 1:3].mean(1),
        lambda h: h[:, ::2].sum(1), lambda h: h.flip(1)[:, 0],
    ],
)  # fmt: skip
def test_positions_that_are_taken(taken: object) -> None:
    data = np.random.default_rng(1).standard_normal((6, 5, 12)) * np.linspace(0.3, 2, 5)[:, None]
    net = Net(
        lambda s, x: s.last(taken(s.first(x))),  # type: ignore[operator]
        first=linear(12, 40, bias_std=0.5),
        last=linear(40, 6),
    )
    report = analysis.analyze(net, data)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    measured = analysis.measure(net, 400, input=data, seed=2, progress=False)
    verdicts = analysis.verify(report, measured)
    assert all(v.agrees and v.testable for v in verdicts)


def test_a_bias_is_the_same_at_all_positions() -> None:
    """So that positions behind it are no longer independent: mean over 9 of w x + b."""
    layers = [nn.Conv2d(4, 64, 1), nn.AvgPool2d(3), nn.Flatten(), linear(64, 4)]
    nn.init.normal_(layers[0].bias, 0.0, 1.0)
    row = analysis.analyze(nn.Sequential(*layers), (4, 3, 3)).layers[1]
    assert row.forward is not None
    weights = 4 * layers[0].weight.law.variance  # type: ignore[union-attr]
    assert row.forward.second == pytest.approx(weights / 9 + 1.0, rel=1e-9)


def test_sequences_of_units_keep_their_slices() -> None:
    """One layer for queries, keys and values, cut in three."""
    net = Net(
        lambda s, x: tg.cat(s.first(x).chunk(3, -1)[::-1], -1)[..., :4].sum(1),
        first=linear(8, 12),
    )
    assert "operands" not in str(analysis.analyze(net, (5, 8)).findings)
