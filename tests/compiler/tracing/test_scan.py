"""What a function depends on is found in its code, and told from what it does not."""

from __future__ import annotations

import functools
import math
import types
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.compiler.tracing.scan import EMPTY, Scan, Watch, same

NUMBER = 1
UNUSED = 2


def scan(*roots: Any) -> Scan:
    return Scan([("", root) for root in roots], lambda array: None)


def names(found: Scan) -> set[str]:
    return {name for watch in found.always for name in watch.names or ()}


def test_globals_that_are_named() -> None:
    def helper() -> int:
        return NUMBER

    found = scan(lambda: helper() + math.pi)
    assert "NUMBER" in names(found)
    assert "UNUSED" not in names(found)
    assert "pi" not in names(found)  # the standard library is taken as it is


def test_names_in_the_users_own_modules() -> None:
    other = types.ModuleType("other_module_of_a_user")
    other.rate, other.rest = 0.5, 1  # type: ignore[attr-defined]
    space = {"other": other}
    exec("def f():\n    return other.rate", space)
    found = scan(space["f"])
    assert "rate" in names(found)
    assert "rest" not in names(found)
    assert all(watch.holds() for watch in found.always)
    other.rate = 0.25  # type: ignore[attr-defined]
    assert [w.change() for w in found.always if not w.holds()] == ["other.rate was 0.5 and is 0.25"]


def test_only_attributes_that_code_names() -> None:
    class Box:
        def __init__(self) -> None:
            self.used, self.other = 1, 2

        def elsewhere(self) -> None:
            self.other += 1

        def method(self) -> int:
            return self.used

    found = scan(Box().method)
    assert names(found) == {"used"}
    found = scan(lambda box: box.elsewhere(), Box())
    assert names(found) == {"other", "elsewhere"}


def test_tensors_modules_and_partials() -> None:
    model, x = nn.Linear(2, 3), tg.ones(2)
    found = scan(functools.partial(lambda m, t, n: m(t) * n, model, x, n=[1.0]))
    assert set(found.tensors) == {model.weight, model.bias, x}
    assert any(watch.place is vars(model) for watch in found.modules)
    assert any(watch.place == [1.0] for watch in found.always)


def test_large_lists_are_data() -> None:
    big = list(range(100_000))
    assert all(watch.place is not big for watch in scan(lambda: big).always)


def test_equal_plain_values_are_the_same() -> None:
    assert same(1000.5, float("1000.5"))
    assert same(math.nan, float("nan"))
    assert same((1, "a"), (1, "a"))
    assert not same(1, 1.0)
    assert not same(True, 1)
    assert not same([1], [1])
    assert not same(tg.ones(1), tg.ones(1))
    assert not same(np.float32(1), np.float64(1))


def test_what_was_changed_is_put_back() -> None:
    box = {"a": 1}
    watch = Watch("box.", box, ["a", "b"])
    assert watch.expected == [1, EMPTY]
    box.update(a=2, b=3)
    assert [(name, old, new) for _, name, old, new in watch.differing() or ()] == [
        ("box.a", 1, 2),
        ("box.b", EMPTY, 3),
    ]
    watch.restore()
    assert box == {"a": 1}
    numbers = [1, 2]
    listed = Watch("numbers", numbers)
    numbers.append(3)
    assert listed.differing() is None
    assert listed.change() == "numbers has other entries than it had"
    listed.restore()
    assert numbers == [1, 2]
