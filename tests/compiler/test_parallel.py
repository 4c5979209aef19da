"""Steps shared among threads: the same numbers as one thread, whatever is shared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.compiler.programs import difference
from tinygrad_edu import nn, optim
from tinygrad_edu.compiler import plan, traffic
from tinygrad_edu.compiler.plan import Plan, build
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.compiler.traffic import cut
from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.kernels import crew, team, threads
from tinygrad_edu.kernels.llvm import host


@pytest.fixture
def everything_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is cut, however small it is, and the threads are woken for it."""
    monkeypatch.setattr(traffic, "_WORTH_MEETING", 0)
    monkeypatch.setattr(traffic, "_GAIN", np.inf)
    monkeypatch.setattr(team, "WORTH_WAKING", 0.0)


@pytest.fixture(autouse=True)
def number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test chooses is forgotten afterwards."""
    monkeypatch.setattr(threads, "chosen", None)


@pytest.mark.parametrize("rows", [2, 3, 10, 31, 32, 33, 100, 128, 1000])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_rows_are_cut_into_all(rows: int, count: int) -> None:
    bounds = cut(rows, count)
    assert bounds[0] == 0
    assert bounds[-1] == rows
    assert len(bounds) == count + 1
    assert bounds == sorted(bounds)
    if rows >= 64 * count:
        sizes = np.diff(bounds)
        assert sizes.max() - sizes.min() < 32


@pytest.mark.usefixtures("everything_shared")
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("first", range(0, 40, 10))
def test_random_programs(first: int, count: int) -> None:
    shared = 0

    def compiled(program: Program) -> Plan:
        nonlocal shared
        plan = Plan(program, host(), count)
        shared += plan.threads > 1
        return plan

    for seed in range(first, first + 10):
        worst, _ = difference(seed, compiled, steps=4)  # alone and together by turns
        assert worst <= 1, seed
    assert shared > 0


def _step(width: int = 64, depth: int = 1) -> tuple[Any, Any]:
    hidden = [m for _ in range(depth) for m in (nn.Linear(width, width), nn.Tanh())]
    model = nn.Sequential(*hidden, nn.Linear(width, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return model, step


def _trained(count: int, batch: int, epochs: int = 2) -> list[np.ndarray]:
    tg.manual_seed(0)
    tg.set_num_threads(count)
    model, step = _step()
    compiled = tg.compile(step, gradients=False)
    x, y = tg.randn(256, 64), tg.randint(0, 10, (256,))
    losses = [compiled.epoch(x, y, batch_size=batch, order=tg.randperm(256)) for _ in range(epochs)]
    assert compiled.programs[0].plan.threads == count
    return [*(t.numpy() for t in losses), *(p.detach().numpy() for p in model.parameters())]


@pytest.mark.usefixtures("everything_shared")
@pytest.mark.parametrize("batch", [64, 32])
def test_together_and_alone_are_the_same_bits(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    together = _trained(2, batch)
    with monkeypatch.context() as patch:
        patch.setattr(team, "run_together", lambda *_: False)
        alone = _trained(2, batch)
    for a, b in zip(together, alone, strict=True):
        assert a.tobytes() == b.tobytes()
    one = _trained(1, batch)
    for a, b in zip(together, one, strict=True):
        # Sums over the batch are added in another order: some roundings, through 16 steps.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_threads_meet_as_rarely_in_a_deep_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and backward go row by row; only then do the weights' gradients need all rows."""
    monkeypatch.setattr(traffic, "_GAIN", np.inf)
    tg.set_num_threads(2)
    x, y = tg.randn(64, 64), tg.randint(0, 10, (64,))
    meetings = []
    for depth in (2, 12):
        compiled = tg.compile(_step(depth=depth)[1], gradients=False)
        compiled(x, y)
        shares = compiled.programs[0].plan._shares
        meetings.append([code.words.count(team.barrier()) for code in shares.codes])
    assert meetings[0] == meetings[1]
    assert max(meetings[0]) <= 5


@pytest.mark.usefixtures("everything_shared")
def test_threads_are_busy_for_another_caller() -> None:
    assert crew._busy.acquire(blocking=False)
    try:
        before = _trained(2, 64)
    finally:
        crew._busy.release()
    for a, b in zip(before, _trained(2, 64), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.skipif(not host().masks, reason="needs kernels of register tiles")
def test_large_products_are_for_the_threads_of_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the steps are not shared; on one thread tiles are faster."""
    x, w = abstract((128, 512)), abstract((512, 256))
    program = Program((x.node, w.node), (), {}, ((x @ w).node,))
    flop = 2 * 128 * 512 * 256
    assert flop >= threads.WORTH_SHARING
    assert build(program, threads=1).largest_in_tiles == flop
    monkeypatch.setattr(plan, "get_num_threads", lambda: 2)
    assert build(program).largest_in_tiles == 0
    monkeypatch.setattr(traffic, "_GAIN", 0.0)  # sharing is never worth it
    assert build(program, threads=2).largest_in_tiles == 0
    monkeypatch.setattr(traffic, "_GAIN", np.inf)
    shared = build(program, threads=2)
    assert shared.is_shared
    assert shared.largest_in_tiles == flop


def test_small_steps_stay_on_one_thread() -> None:
    tg.set_num_threads(2)
    x, w = tg.randn(8, 8).node, tg.randn(8, 8).node
    a, b = abstract((8, 8)), abstract((8, 8))
    program = Program((a.node, b.node), (), {}, ((a @ b).tanh().node,))
    plan = build(program)
    assert plan.threads == 1
    (found,) = plan.run([x.data, w.data])
    np.testing.assert_allclose(found, np.tanh(x.data @ w.data), rtol=1e-5, atol=1e-6)


def test_what_is_empty_is_not_shared() -> None:
    x = abstract((0, 4))
    program = Program((x.node,), (), {}, ((x.exp().sum(0) + 1).node, (x * 2).node))
    total, twice = build(program, threads=2).run([np.zeros((0, 4), np.float32)])
    np.testing.assert_array_equal(total, np.ones(4))
    assert twice.shape == (0, 4)


def test_long_steps_are_shared_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "get_num_threads", lambda: 2)
    for rows, shared in ((1024, True), (32, False)):
        x, w = abstract((rows, 256)), abstract((256, 256))
        program = Program((x.node, w.node), (), {}, (((x @ w).tanh() @ w).tanh().node,))
        assert build(program).is_shared == shared


def test_choosing_another_number_plans_again() -> None:
    f = tg.compile(lambda x: (x * 2).sum())
    assert f(tg.ones(3)).item() == 6
    tg.set_num_threads(2)
    assert tg.get_num_threads() == 2
    assert f(tg.ones(3)).item() == 6
    assert len(f.programs) == 2
    with pytest.raises(ArgumentError, match="at least 1"):
        tg.set_num_threads(0)


def test_default_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads._default.cache_clear()
    assert tg.get_num_threads() == 1
    threads._default.cache_clear()
