"""`python -m analysis.zoo`: predict and measure many architectures, and say where they differ."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from analysis.zoo.examine import MOST, Outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit status: 0, 1 if a prediction fails its measurement or a
    testable error goes unnoticed, 2 on wrong use."""
    given = _parser().parse_args(arguments)
    from analysis.errors import AnalysisError
    from analysis.zoo.architectures import SMALL, ZOO
    from analysis.zoo.run import Serial, run

    if given.list:
        print("\n".join(ZOO))
        return 0
    names = tuple(given.names) or (SMALL if given.small else tuple(ZOO))
    if given.drawn:
        names = tuple(f"drawn {given.seed + i}" for i in range(given.drawn))
    try:
        executor = Serial() if given.serial else None
        outcomes = run(names, executor, given.seed, given.networks)
    except AnalysisError as error:
        print(f"analysis.zoo: {error}", file=sys.stderr)
        return 2
    if given.format == "json":
        print(json.dumps([o.to_dict() for o in outcomes], indent=1, allow_nan=False))
    else:
        print(text(outcomes, len(names)))
    return 0 if all(o.good for o in outcomes) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.zoo",
        description="Predict and measure many architectures, forward and backward.",
    )
    parser.add_argument("names", nargs="*", help="architectures (default: all)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--small", action="store_true", help="the part that the tests run")
    parser.add_argument("--drawn", type=int, default=0, help="so many random architectures instead")
    parser.add_argument("--serial", action="store_true", help="in this process, one by one")
    parser.add_argument("--networks", type=int, default=MOST, help=f"at most (default {MOST})")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    return parser


_VERDICTS = (
    "agrees", "not testable at this width", "needs more networks", "unknown", "disagrees"
)  # fmt: skip


def text(outcomes: Sequence[Outcome], wanted: int) -> str:
    """A line an architecture, what disagrees or was missed below it, and totals."""
    heads = ("agree", "not testable", "more networks", "unknown", "DISAGREE", "missed")
    lines = [f"{'architecture':38s} networks " + " ".join(f"{h:>13s}" for h in heads)]
    for outcome in outcomes:
        counts = [outcome.count(v) for v in _VERDICTS] + [outcome.missed]
        lines.append(
            f"{outcome.name:38s} {outcome.networks:8d} " + " ".join(f"{c:13d}" for c in counts)
        )
        lines += [f"    {_told(j)}" for j in outcome.judgements if _told(j)]
        lines += [f"    {finding}" for finding in outcome.findings]
    total = [sum(o.count(v) for o in outcomes) for v in _VERDICTS]
    total.append(sum(o.missed for o in outcomes))
    lines.append(f"{'all':38s} {'':8s} " + " ".join(f"{c:13d}" for c in total))
    if len(outcomes) < wanted:
        lines.append(f"stopped: {len(outcomes)} of {wanted} architectures were done")
    return "\n".join(lines)


def _told(judgement: object) -> str:
    """What must be looked at."""
    from analysis.zoo.examine import Judgement

    assert isinstance(judgement, Judgement)
    j = judgement
    if j.verdict != "disagrees" and j.planted is not False:
        return ""
    what = "DISAGREES" if j.verdict == "disagrees" else "a planted error was missed:"
    return (
        f"{j.layer} {j.op} {j.direction} {what} predicted {j.predicted:.5g} (bound {j.bound:.2g}), "
        f"measured {j.measured:.5g} ± {j.standard_error:.2g}"
    )


if __name__ == "__main__":
    sys.exit(main())
