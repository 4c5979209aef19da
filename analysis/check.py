"""`python -m analysis.check`: what is wrong with a network's initialisation, as a linter says it.

One line a finding, ``layer: CODE message (fix)``; codes are chosen by how they begin, as ruff's
are. Exit status 0 without findings, 1 with some, 2 on wrong use.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from analysis.streams import prints_aside, readers_may_leave

if TYPE_CHECKING:
    from analysis.findings.changes import Change
    from analysis.report.report import Report
    from tinygrad_edu.nn import Module


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not (arguments.model or arguments.explain):
        parser.error("name a model as module:attribute, or a code to --explain")
    from analysis.errors import AnalysisError
    from tinygrad_edu.errors import TinygradError

    try:
        if arguments.explain:
            print(_explained(arguments.explain))
            return 0
        with prints_aside():
            report, changes = _work(arguments)
    except (AnalysisError, TinygradError) as error:
        print(f"analysis.check: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("analysis.check: interrupted", file=sys.stderr)
        return 130
    with readers_may_leave():
        _show(arguments, report, changes)
    return 1 if report.findings else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.check",
        description="Find what is wrong with a network's initialisation, without running it.",
        epilog="Exit status: 0 nothing found, 1 findings, 2 wrong use.",
    )
    parser.add_argument("model", nargs="?", help="module:attribute of a model")
    parser.add_argument(
        "--select", action="append", metavar="CODES", help="only these, such as NI1,NI402"
    )
    parser.add_argument("--ignore", action="append", metavar="CODES", help="all but these")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--explain", metavar="CODE", help="what a code means")
    parser.add_argument(
        "--shape", metavar="SIZES", help="of one example, such as 3,32,32, if the model is silent"
    )
    parser.add_argument("--data", metavar="NAME", help="module:attribute of examples to follow")
    parser.add_argument(
        "--threshold", action="append", default=[], metavar="NAME=VALUE", help="where a rule begins"
    )
    parser.add_argument(
        "--prescribe", action="store_true", help="list changes that were seen to cure it"
    )
    return parser


def _explained(code: str) -> str:
    """The documentation of a rule."""
    from analysis.errors import no_such
    from analysis.findings import rules
    from analysis.findings.rule import RULES, UnknownCode

    assert rules  # imported for the rules it enters
    if code.upper() not in RULES:
        raise UnknownCode(no_such("rule", code, RULES))
    rule = RULES[code.upper()]
    lines = [f"{rule.code} {rule.name} ({rule.severity})", "", rule.text]
    if rule.derivations:
        lines += ["", f"derivations: {', '.join(rule.derivations)}"]
    if rule.sources:
        lines += ["", f"sources: {'; '.join(rule.sources)}"]
    return "\n".join(lines)


def _work(arguments: argparse.Namespace) -> tuple[Report, tuple[Change, ...]]:
    from analysis.findings.analyze import analyze
    from analysis.findings.prescribe import prescribe
    from analysis.findings.rule import chosen
    from analysis.findings.thresholds import Thresholds
    from analysis.network.build import import_model

    select, ignore = _codes(arguments.select), _codes(arguments.ignore) or []
    chosen(select, ignore)  # a code that does not exist is an error before anything is imported
    thresholds = Thresholds.parse(arguments.threshold)
    model = import_model(arguments.model)
    _check_parameters(arguments.model, model)
    source = _source(arguments)
    report = analyze(model, source, select=select, ignore=ignore, thresholds=thresholds)
    if not (arguments.prescribe and report.findings):
        return report, ()
    return report, prescribe(model, source, select=select, ignore=ignore, thresholds=thresholds)


def _codes(given: list[str] | None) -> list[str] | None:
    if given is None:
        return None
    return [code for codes in given for code in codes.replace(",", " ").split()]


def _check_parameters(path: str, model: Module) -> None:
    """Raise `InputError` for a model about which nothing can be said."""
    import numpy as np

    from analysis.errors import InputError

    parameters = list(model.named_parameters())
    if not parameters:
        raise InputError(f"{path}: has no parameters, so there is nothing to initialise.")
    for name, parameter in parameters:
        if not np.isfinite(parameter.detach().numpy()).all():
            raise InputError(f"{path}: parameter {name} holds nan or inf.")


def _source(arguments: argparse.Namespace) -> Any:
    """The input meant: None, a shape, or data."""
    from analysis.errors import InputError
    from analysis.network.build import import_attribute, parse_shape

    if arguments.data and arguments.shape:
        raise InputError("--data and --shape: data have their own shape; give one of the two.")
    if arguments.data:
        import numpy as np

        data = import_attribute(arguments.data)
        try:
            return np.asarray(data, np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{arguments.data}: is no array of numbers.") from None
    return None if arguments.shape is None else parse_shape(arguments.shape)


def _show(arguments: argparse.Namespace, report: Report, changes: tuple[Change, ...]) -> None:
    if arguments.format == "json":
        print(json.dumps(_plain(arguments, report, changes), indent=1, allow_nan=False))
        return
    for finding in report.findings:
        fix = f" ({finding.fix})" if finding.fix else ""
        print(f"{finding.layer}: {finding.code} {finding.message}{fix}")
    for number, change in enumerate(changes, 1):
        print(f"change {number}: {change.description} [resolves {', '.join(change.resolves)}]")
    count = len(report.findings)
    said = "no findings" if not count else f"{count} finding{'s' if count > 1 else ''}"
    print(f"analysis.check: {said}", file=sys.stderr)


def _plain(
    arguments: argparse.Namespace, report: Report, changes: tuple[Change, ...]
) -> dict[str, Any]:
    whole = report.to_dict()
    found: dict[str, Any] = {"model": arguments.model, "input": whole["input"]}
    found["findings"] = whole["findings"]
    if arguments.prescribe:
        found["changes"] = [
            {"description": change.description, "resolves": list(change.resolves)}
            for change in changes
        ]
    return found


if __name__ == "__main__":
    sys.exit(main())
