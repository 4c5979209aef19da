"""Tables over pairs of examples, and what travels in them."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.network.analyze import propagate
from analysis.network.examples import Partners
from analysis.network.inputs import Input
from analysis.network.records import Signal
from tests.analysis.network.nets import linear
from tinygrad_edu import nn

RANDOM = np.random.default_rng(0)


def everyone(examples: int, repeats: int = 1) -> Partners:
    return Partners(examples, repeats, everyone=True)


def test_the_next_example_is_the_partner_where_nobody_asks_for_more() -> None:
    values = np.arange(6.0)  # 3 examples, each twice
    assert Partners(3, 2, everyone=False).of(values).tolist() == [[2, 3, 4, 5, 0, 1]]


def test_everyone_is_a_partner_in_the_same_repeat() -> None:
    values = np.arange(6.0)
    assert everyone(3, 2).of(values).tolist() == [[0, 1] * 3, [2, 3] * 3, [4, 5] * 3]


@pytest.mark.parametrize("everyone", [True, False])
def test_products_are_those_of_the_partners_rows(everyone: bool) -> None:
    rows = RANDOM.standard_normal((8, 5))
    partners = Partners(4, 2, everyone)
    by_column = np.stack([partners.of(column) for column in rows.T], axis=-1)
    assert partners.products(rows) == pytest.approx(np.mean(by_column * rows, axis=-1))


def test_matrices_and_tables_are_each_other() -> None:
    partners = everyone(4, 3)
    table = partners.products(RANDOM.standard_normal((12, 5)))
    assert partners.table(partners.matrices(table)) == pytest.approx(table)


def test_others_are_all_but_oneself() -> None:
    table = everyone(3).products(np.eye(3) * 7)  # no two examples have anything in common
    assert everyone(3).others(table) == pytest.approx(np.zeros(3))
    assert everyone(3).others(table + 2) == pytest.approx(np.full(3, 2.0))


def covariances(model: nn.Module, data: np.ndarray) -> tuple[Signal, np.ndarray]:
    p = propagate(model, data, backward=False)
    record = p.records[p.graph.nodes[-1]]
    (before,) = (p.records[x] for x in p.graph.nodes[-1].inputs)
    assert isinstance(record, Signal)
    assert isinstance(before, Signal)
    assert before.partner is not None
    return before, p.context.partners.matrices(before.partner)[0]


def test_relu_maps_each_pair_by_the_arc_cosine_kernel() -> None:
    """Cho, Saul 2009, eq. 4 for n = 1, of the exact covariances that a linear layer gives."""
    data = RANDOM.standard_normal((5, 6)) * RANDOM.uniform(0.5, 3, (5, 1))
    model = nn.Sequential(linear(6, 9, 1.0), nn.ReLU(), nn.BatchNorm1d(9, affine=False))
    _, found = covariances(model, data)
    gram = data @ data.T / 6
    size = np.sqrt(np.diag(gram))
    angle = np.arccos(np.clip(gram / np.outer(size, size), -1, 1))
    kernel = np.sin(angle) + (np.pi - angle) * np.cos(angle)
    assert found == pytest.approx(np.outer(size, size) * kernel / (2 * np.pi), rel=2e-4)


def test_without_batch_norm_only_neighbours_are_followed() -> None:
    data = RANDOM.standard_normal((5, 6))
    p = propagate(nn.Sequential(linear(6, 9), nn.ReLU()), data, backward=False)
    partner = p.records[p.graph.output].partner
    assert partner is not None
    assert partner.shape == (1, 5)


def test_a_sample_of_many_examples_is_as_large_as_all() -> None:
    data = RANDOM.standard_normal((900, 4)) * RANDOM.uniform(0.2, 2, (900, 1))
    whole = Input((4,), data)
    few = whole.sampled(100)
    assert few.examples == 100
    assert few.away_from(whole) < 0.1
    assert Input((4,), data[:100] * 2).away_from(whole) > 1
    assert whole.sampled(900) is whole
