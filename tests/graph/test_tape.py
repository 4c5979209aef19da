"""The tape: what is written where, how pages hang together, and when they are let go."""

from __future__ import annotations

import gc
import random
import sys
import threading

import numpy as np
import pytest

from tinygrad_edu import ops
from tinygrad_edu.derive.scalar import grad_values
from tinygrad_edu.graph import tape
from tinygrad_edu.graph.modes import no_grad
from tinygrad_edu.graph.recording import weighted_sum
from tinygrad_edu.graph.tape import CONSTANT, OPS, SOURCE, Records
from tinygrad_edu.graph.value import Value


def living_records() -> int:
    gc.collect()
    return sum(type(x) is Records for x in gc.get_objects())  # isinstance asks dead proxies, too


def test_records_are_what_was_computed() -> None:
    tape.turn(tape.page)
    x, y = Value(2.0), Value(3.0)
    z = (x * y).tanh() + 1.5
    records = tape.page.records
    names = [op.name if (op := OPS[code]) else int(code) for code in records.op[1:7]]
    assert names == [SOURCE, SOURCE, "mul", "tanh", CONSTANT, "add"]
    assert records.operands(3) == (1, 2)
    assert records.operands(4) == (3,)
    assert records.operands(6) == (4, 5)
    assert records.value[1:7].tolist() == [2.0, 3.0, 6.0, np.tanh(6.0), 1.5, z.data]
    assert records.leaves == {1: x, 2: y}
    assert records.leaves[1] is x


def test_an_op_with_three_operands() -> None:
    tape.turn(tape.page)
    Value(2.0).clamp(0, 1)
    records = tape.page.records
    assert records.operands(4) == (1, 2, 3)
    assert records.value[1:5].tolist() == [2.0, 0.0, 1.0, 1.0]


def test_codes_stay() -> None:
    assert OPS[tape.code_of(ops.mul)] is ops.mul
    assert tape.code_of(ops.mul) == tape.code_of(ops.mul)
    known = [op for op in OPS if op is not None]
    assert len(set(known)) == len(known) < 256


def test_a_leaf_is_written_once_a_page_and_anew_when_it_changes() -> None:
    tape.turn(tape.page)
    x = Value(2.0)
    for _ in range(3):
        x * x
    assert len(tape.page.records.leaves) == 1
    x.data = 5.0
    y = x * x
    assert len(tape.page.records.leaves) == 2
    assert y.data == 25.0


def test_pages_turn_without_a_seam(small_pages: None) -> None:
    first = tape.page
    x, w = Value(0.5), Value(1.5)
    y = x
    for _ in range(100):
        y = (y * w + x).tanh()
    assert tape.page.records.serial > first.records.serial + 15
    y.backward()
    crossed = x.grad, w.grad, y.data

    def derivative(x: float, w: float) -> tuple[float, float, float]:
        y, dx, dw = x, 1.0, 0.0
        for _ in range(100):
            t = np.tanh(y * w + x)
            y, dx, dw = t, (1 - t * t) * (dx * w + 1), (1 - t * t) * (dw * w + y)
        return dx, dw, y

    assert crossed == pytest.approx(derivative(0.5, 1.5), rel=1e-12)


def test_an_import_is_made_once_and_a_constant_stays_one(small_pages: None) -> None:
    x = Value(2.0)
    y = x * 3.0
    tape.turn(tape.page)
    z = y * y + y
    records = tape.page.records
    assert list(records.imports.values()) == [(y.records, y._index)]
    assert records.leaves == {}
    z.backward()
    assert x.grad == 3.0 * (2 * 6.0 + 1)


def test_leaves_let_go_of_full_pages(small_pages: None) -> None:
    x = Value(1.0)
    x * x
    assert x._page is tape.page
    tape.turn(tape.page)
    assert x._page is None


def test_turn_is_for_the_open_page_only() -> None:
    old = tape.page
    tape.turn(old)
    new = tape.page
    tape.turn(old)
    assert tape.page is new is not old


@pytest.mark.parametrize("with_backward", [False, True])
def test_a_loop_keeps_no_pages(small_pages: None, with_backward: bool) -> None:
    gc.disable()  # reference counts alone must do it
    try:
        before = living_records()
        w, persistent = Value(0.3), Value(0.2).exp()
        most = 0
        for step in range(300):
            y = Value(float(step))
            for _ in range(7):
                y = (y * w + persistent).tanh()
            if with_backward:
                y.backward()
                w.data -= 1e-6 * w.grad
            if step % 50 == 0:
                most = max(most, living_records() - before)
    finally:
        gc.enable()
    assert most <= 6  # the step's own, those it straddles, and the one of `persistent`


def test_results_that_are_kept_keep_their_graph(small_pages: None) -> None:
    w = Value(1.0)
    losses = []
    for _ in range(50):
        y = Value(2.0)
        for _ in range(10):
            y = y * w
        losses.append(y)
    for loss in losses:
        w.grad = 0.0
        loss.backward()
        assert w.grad == 20.0


def test_what_is_let_go_is_gone(small_pages: None) -> None:
    before = living_records()
    y = Value(1.0)
    for _ in range(1000):
        y = y * 1.0
    assert living_records() > before + 100
    del y
    tape.turn(tape.page)
    assert living_records() <= before + 1


def test_a_long_chain_is_let_go_without_recursion(small_pages: None) -> None:
    y = Value(1.0)
    for _ in range(200_000):  # 14 000 pages, each of which holds the one before
        y = -y
    del y
    tape.turn(tape.page)


def test_forgetting_keeps_what_exports_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random graphs on one page, against a search from the exported records."""
    generator = random.Random(0)
    dropped = 0
    for _ in range(200):
        size = 64
        records = Records(size, 0)
        elsewhere = Records(size, 0)
        for at in range(1, size):
            kind = generator.random()
            if kind < 0.2:
                records.op[at] = SOURCE
                records.imports[at] = elsewhere, at
            elif kind > 0.3:
                records.op[at] = tape.code_of(ops.add)
                near = max(1, at - 8)
                records.left[at], records.right[at] = (
                    generator.randrange(near, at + 1) for _ in "ab"
                )
                records.left[at] = min(records.left[at], at - 1)
                records.right[at] = min(records.right[at], at - 1)
        records.exports = set(generator.sample(range(1, size), generator.randint(1, 3)))
        needed = set()
        waiting = list(records.exports)
        while waiting:
            at = waiting.pop()
            if at not in needed:
                needed.add(at)
                waiting += records.operands(at)
        before = set(records.imports)
        records.forget_unreachable()
        assert needed & before <= set(records.imports) <= before
        dropped += len(before) - len(records.imports)
    assert dropped > 200 * 3


def test_threads_write_side_by_side(small_pages: None) -> None:
    w = Value(1.5)
    results: dict[int, float] = {}

    def work(seed: int) -> None:
        x = Value(float(seed))
        y = x
        for _ in range(3000):
            y = y + w * x
        (gradient,) = grad_values(y, x)
        assert gradient is not None
        results[seed] = gradient.data

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(4), 1 + 3000 * 1.5)


def test_weighted_sums_side_by_side(small_pages: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their records must not mix, and pages end in the midst of them."""
    monkeypatch.setattr(tape, "PAGE_SIZE", 64)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    results: dict[int, tuple[float, ...]] = {}

    def work(seed: int) -> None:
        w, x = [Value(float(i)) for i in range(5)], Value(float(seed))
        y = x
        for _ in range(1000):
            y = weighted_sum(w, [x] * 5, y)
        gradients = grad_values(y, [*w, x])
        results[seed] = (y.data, *(g.data for g in gradients if g is not None))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for seed in range(4):
        assert results[seed] == (10_001.0 * seed, *[1000.0 * seed] * 5, 10_001.0)


def test_nothing_is_written_without_recording() -> None:
    x = Value(2.0)
    x * x
    position = tape.page.next()
    with no_grad():
        y = x * x + x.exp() - 3 + x.clamp(0, 1)
    assert y.is_leaf
    assert tape.page.next() == position + 1
