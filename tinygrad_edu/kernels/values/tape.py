"""The compiled walk over one page of the scalar tape, emitted from a description of the ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinygrad_edu.kernels import cache


@dataclass(frozen=True)
class Case:
    """An op on the tape: its code in the records, the number of its operands and, for each, the
    expression of its share of the result's cotangent, or None.

    Expressions may use the cotangent g, the result y, the operands x0, x1, x2 and the primitives.
    """

    name: str
    code: int
    arity: int
    pulls: tuple[str | None, ...]


def backward_kernel(
    cases: Sequence[Case], primitives: str, constant: int, source: int
) -> Callable[..., int]:
    """The kernel for these ops, compiled or loaded.

    ``pull_back(op, left, right, third, value, seeds, cotangents, cotangent, state, found)`` walks
    from the last of the positions `seeds` to the front and adds up every record's cotangent, as far
    as the seeds depend on it. It returns how many sources and watched records (`WATCHED` set in
    `state`) it reached. Their positions are then in `found`, their cotangents in `cotangent`;
    `cotangent` and `state` are left zero everywhere else, as they must be before.

    `primitives` defines, under ``@primitive``, the functions that the expressions call; `constant`
    and `source` are the codes of records that no op computed, lower than any op's.
    """
    names = {"constant": constant, "source": source, "reached": REACHED, "watched": WATCHED}
    branches = [line for i, case in enumerate(cases) for line in _branch(case, first=i == 0)]
    text = (
        _HEAD.format(**names)
        + primitives
        + _SEED
        + _indent(_mark("seeds[i]"), 8)
        + _STEP
        + _indent(branches, 8)
        + _indent([line for i in range(3) for line in _give(i)], 8)
        + "    return reached\n"
    )
    kernel: Callable[..., int] = cache.load(text, "scalar").pull_back
    return kernel


def _branch(case: Case, first: bool) -> list[str]:
    """The lines that compute the operands' shares s0, s1, s2. Numbers take none, and nor does an
    operand that only selects; the operands that an op does not have are at a constant."""
    lines = [f"{'if' if first else 'elif'} code == {case.code}:  # {case.name}"]
    for i, pull in enumerate(case.pulls):
        lines += [f"    take{i} = False" if pull is None else f"    if take{i}: s{i} = {pull}"]
    return lines


def _give(i: int) -> list[str]:
    """The lines that add operand i's share to its cotangent."""
    lines = [f"cotangent[p{i}] += s{i}", *_mark(f"p{i}")]
    return [f"if take{i}:", *(f"    {line}" for line in lines)]


def _mark(position: str) -> list[str]:
    """The lines that mark a record as reached. They are no function, since Numba would count
    references to its arrays around every call, at ten times the cost of the rest."""
    return [
        f"if not state[{position}] & REACHED:",
        f"    if op[{position}] == SOURCE or state[{position}] & WATCHED:",
        f"        found[reached] = {position}",
        "        reached += 1",
        f"    if op[{position}] > SOURCE:",
        "        waiting += 1",
        f"    state[{position}] |= REACHED",
    ]


def _indent(lines: list[str], depth: int) -> str:
    return "".join(f"{' ' * depth}{line}\n" for line in lines)


REACHED, WATCHED = 1, 2
"""Bits of a record's state during a walk."""

_HEAD = """\
CONSTANT, SOURCE = {constant}, {source}
REACHED, WATCHED = {reached}, {watched}

primitive = njit(error_model="numpy")

"""

_SEED = """

# No fused multiply-add: the walk in Python (derive/scalar.py) must give the same bits.
@njit(
    "int64(uint8[::1], uint32[::1], uint32[::1], uint32[::1], float64[::1], uint32[::1],"
    "float64[::1], float64[::1], uint8[::1], uint32[::1])",
    **{**OPTIONS, "fastmath": False},
)
def pull_back(op, left, right, third, value, seeds, cotangents, cotangent, state, found):
    reached = waiting = 0
    for i in range(seeds.size):
        cotangent[seeds[i]] += cotangents[i]
"""

_STEP = """\
    at = int(seeds.max()) + 1
    while waiting > 0:
        at -= 1
        code = op[at]
        if not state[at] & REACHED or code <= SOURCE:
            continue
        waiting -= 1
        g = cotangent[at]
        # A record that was reached counts even if g is 0: 0 times an infinite derivative is nan.
        if not state[at] & WATCHED:
            cotangent[at] = 0.0
            state[at] = 0
        p0, p1, p2 = left[at], right[at], third[at]
        take0, take1, take2 = op[p0] != CONSTANT, op[p1] != CONSTANT, op[p2] != CONSTANT
        x0, x1, x2, y = value[p0], value[p1], value[p2], value[at]
        s0 = s1 = s2 = 0.0
"""
