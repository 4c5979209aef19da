"""What a compiled step runs, as a table."""

from __future__ import annotations

import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError, DTypeError


def test_rows_lines_and_sums() -> None:
    model = nn.Linear(64, 32)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x: tg.Tensor) -> tg.Tensor:
        loss = model(x).tanh().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    compiled = tg.compile(step)
    with pytest.raises(ArgumentError, match="call the compiled step first"):
        tg.explain(compiled)
    compiled(tg.ones(16, 64))
    before = model.weight.detach().numpy()
    told = tg.explain(compiled)
    start = step.__code__.co_firstlineno
    forward, *_ = (row for row in told.rows if row.kernel == "matmul")
    *_, backward = (row for row in told.rows if row.kernel == "matmul")
    assert forward.flop == 2 * 16 * 64 * 32
    assert forward.line == f"test_explanation.py:{start + 1}"
    assert backward.line.endswith(str(start + 3))  # the gradient of the weight
    activation = next(row for row in told.rows if "tanh" in row.ops)
    assert activation.line == f"test_explanation.py:{start + 1}"
    assert activation.source == "loss = model(x).tanh().sum()"
    assert activation.bytes >= 2 * 4 * 16 * 32
    assert all(row.seconds is None or row.seconds >= 0 for row in told.rows)
    assert told.separate_bytes > told.arena_bytes >= 4 * (32 * 64 + 32)
    text = str(told)
    assert text.startswith("step: ")
    assert "loss = model(x).tanh().sum()" in text
    assert (model.weight.detach().numpy() == before).all()  # measuring changes nothing

    from rich.console import Console

    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(told)
    assert "tanh" in console.export_text()


def test_which_program() -> None:
    f = tg.compile(lambda x: x * 2)
    f(tg.ones(2))
    f(tg.ones(3))
    assert tg.explain(f).rows[0].shape == (3,)
    assert tg.explain(f, 1).rows[0].shape == (2,)
    with pytest.raises(ArgumentError, match="2 programs"):
        tg.explain(f, 2)
    with pytest.raises(DTypeError, match=r"tg\.compile"):
        tg.explain(lambda x: x)
