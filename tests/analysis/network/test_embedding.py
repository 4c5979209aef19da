"""Tables that tokens are looked up in: laws of rows, equal tokens, positions, padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis
import tinygrad_edu as tg
from analysis.errors import InputError
from analysis.network.rules import known
from analysis.report.report import Row
from tests.analysis.network.nets import Net, linear
from tinygrad_edu import nn

TOKENS = np.random.default_rng(0).integers(0, 12, (5, 6))
NETWORKS = 500


def rows(model: nn.Module, tokens: Any = TOKENS) -> dict[str, Row]:
    return {row.name: row for row in analysis.analyze(model, tokens).layers}


def agree(model: nn.Module, tokens: Any = TOKENS, networks: int = NETWORKS) -> bool:
    report = analysis.analyze(model, tokens)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    measured = analysis.measure(model, networks, seed=4, input=tokens, progress=False)
    return all(v.agrees for v in analysis.verify(report, measured))


def looked_up(run: Callable[[Any, tg.Tensor], tg.Tensor], **modules: nn.Module) -> nn.Module:
    given = {"table": nn.Embedding(12, 24), "first": linear(24, 40, 1.4, bias_std=0.3)}
    net = {**given, **modules, "last": linear(40, 6)}
    return Net(lambda s, x: s.last(run(s, x)), **net)


NETS: dict[str, Callable[[], nn.Module]] = {
    "bag of words": lambda: looked_up(lambda s, x: s.first(s.table(x).mean(1)).tanh()),
    "mean after relu": lambda: looked_up(lambda s, x: s.first(s.table(x)).relu().mean(1)),
    "sum": lambda: looked_up(lambda s, x: s.first(s.table(x).sum(1)).relu()),
    "last": lambda: looked_up(lambda s, x: s.first(s.table(x))[:, -1]),
    "flat": lambda: looked_up(
        lambda s, x: s.flat(s.table(x).flatten(1)).relu(), flat=linear(24 * 6, 40)
    ),
    "padding": lambda: looked_up(
        lambda s, x: s.first(s.table(x)).relu().mean(1), table=nn.Embedding(12, 24, padding_idx=3)
    ),
    "masked mean": lambda: looked_up(
        lambda s, x: s.first(
            (s.table(x) * (x != 3).unsqueeze(-1)).sum(1)
            / (x != 3).to(tg.float32).sum(1, keepdim=True)
        )
    ),
    "positions": lambda: looked_up(
        lambda s, x: s.first(s.table(x) + s.places(tg.arange(6))).relu().mean(1),
        places=nn.Embedding(6, 24),
    ),
    "convolution": lambda: looked_up(
        lambda s, x: s.conv(s.table(x).transpose(1, 2)).relu().mean(2),
        conv=nn.Conv1d(24, 40, 3, bias=False),
    ),
    "layer norm": lambda: looked_up(
        lambda s, x: s.first(s.norm(s.table(x))).relu().mean(1), norm=nn.LayerNorm(24)
    ),
    "residual": lambda: looked_up(
        lambda s, x: s.first((lambda h: h + s.block(h).relu())(s.table(x))), block=linear(24, 24)
    ),
    "one hot": lambda: Net(
        lambda s, x: s.first(nn.functional.one_hot(x, 12).to(tg.float32)).relu(),
        first=linear(12, 40),
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_predictions_are_measured(name: str) -> None:
    assert agree(NETS[name]())


def test_what_is_looked_up_has_the_law_of_the_table() -> None:
    table = nn.Embedding(12, 24)
    nn.init.uniform_(table.weight, -0.5, 0.7)
    row = rows(table)["model"]
    assert row.forward is not None
    assert row.forward.mean == pytest.approx(0.1)
    assert row.forward.second == pytest.approx(1.2**2 / 12 + 0.01)


@given(st.lists(st.lists(st.integers(0, 11), min_size=4, max_size=4), min_size=2, max_size=6))
@settings(deadline=None, max_examples=15)
def test_equal_tokens_add_up_as_numbers(tokens: list[list[int]]) -> None:
    """E[(sum of rows)^2] is Var(W) times the sum of the squared counts, on average."""
    net = Net(lambda s, x: s.seen(s.table(x).sum(1)), table=nn.Embedding(12, 8), seen=nn.Identity())
    row = rows(net, np.array(tokens))["seen"]
    counts = [np.unique(example, return_counts=True)[1] for example in tokens]
    assert row.forward is not None
    assert row.forward.second == pytest.approx(np.mean([np.sum(c**2) for c in counts]), rel=1e-9)


def test_the_correlation_of_two_examples_is_what_they_have_in_common() -> None:
    """Position by position: tokens that are equal are the same row."""
    tokens = np.array([[0, 1, 2, 3], [0, 1, 4, 5]])
    row = rows(nn.Embedding(12, 8), tokens)["model"]
    assert row.forward is not None
    assert row.forward.input_correlation == pytest.approx(0.5)


def test_padding_is_zero() -> None:
    tokens = np.array([[0, 0, 1, 2], [3, 0, 0, 0]])
    row = rows(nn.Embedding(12, 8, padding_idx=0), tokens)["model"]
    assert row.forward is not None
    assert row.forward.second == pytest.approx(3 / 8)


def test_a_table_of_positions_gets_the_gradients_of_all_examples() -> None:
    net = NETS["positions"]()
    found = rows(net)
    assert found["places"].backward is not None
    assert found["table"].backward is not None
    assert found["places"].backward.second == pytest.approx(5 * found["table"].backward.second)


def test_a_trained_table_speaks_by_its_own_numbers() -> None:
    model = NETS["bag of words"]()
    table = model.table.weight  # type: ignore[attr-defined]
    values = (
        np.random.default_rng(2).standard_normal(table.shape) * np.linspace(0.1, 3, 12)[:, None]
    )
    table.node.assign(values.astype(np.float32))
    row = rows(model)["table"]
    assert row.forward is not None
    assert row.forward.second == pytest.approx(np.mean(values[TOKENS] ** 2), rel=1e-5)
    assert agree(model)


def test_a_table_that_is_the_head_too() -> None:
    """Logits h . e_v: the rows are independent of h, unless h has them in it."""
    tied = Net(
        lambda s, x: s.seen(s.inner(s.table(x)).tanh() @ s.table.weight.T),
        table=nn.Embedding(12, 24), inner=linear(24, 24), seen=nn.Identity(),
    )  # fmt: skip
    assert agree(tied)
    straight = Net(
        lambda s, x: s.seen(s.table(x) @ s.table.weight.T),
        table=nn.Embedding(12, 24), seen=nn.Identity(),
    )  # fmt: skip
    report = analysis.analyze(straight, TOKENS)
    assert "its own rows" in report.findings[0].message


def test_a_shape_has_its_tokens_drawn() -> None:
    model = NETS["bag of words"]()
    report = analysis.analyze(model, (9,))
    about = report.to_dict()["input"]
    assert about == {"kind": "tokens", "examples": 64, "shape": [9], "different": 12}
    assert agree(model, (9,), 200)


def test_what_tokens_cannot_be() -> None:
    model = NETS["bag of words"]()
    with pytest.raises(InputError, match="pass input=\\(length,\\)"):
        analysis.analyze(model)
    with pytest.raises(InputError, match="whole numbers, and the data are float64"):
        analysis.analyze(model, TOKENS.astype(float))
    with pytest.raises(InputError, match="rows 0 to 11; the tokens run from 0 to 40"):
        analysis.analyze(model, np.array([[0, 40]]))


def test_whole_numbers_are_data_where_nothing_is_looked_up() -> None:
    model = nn.Sequential(linear(6, 40), nn.ReLU(), linear(40, 4))
    row = analysis.analyze(model, TOKENS).layers[0]
    assert row.forward is not None
    assert row.forward.second == pytest.approx(np.mean(TOKENS**2), rel=1e-9)


def test_a_planted_error_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if equal tokens were independent."""
    monkeypatch.setattr(known, "remember", lambda key, pairs, context: None)
    report = analysis.analyze(NETS["bag of words"](), TOKENS)
    assert report.layers[1].forward is None

    def apart(key: Any, pairs: Any, context: Any) -> None:
        context.notes.setdefault("fields", {})[key] = lambda: np.tile(np.eye(6), (5, 1, 1))

    monkeypatch.setattr(known, "remember", apart)
    assert not agree(NETS["bag of words"]())
