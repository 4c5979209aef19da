"""A table of rules, one for each op, filled by a decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Rule = TypeVar("Rule")


def register(rules: dict[str, Rule], *names: str) -> Callable[[Rule], Rule]:
    """Let the decorated function be the rule of the named ops."""

    def enter(function: Rule) -> Rule:
        rules.update(dict.fromkeys(names, function))
        return function

    return enter
