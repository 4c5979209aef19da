"""`python -m analysis.variance`: how variance travels through a network, derived and measured.

Without arguments: the six core derivations, then two ten-layer networks on the handwritten digits,
predicted layer by layer, forward and backward, beside what many independent draws measure.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from analysis.streams import prints_aside, readers_may_leave

if TYPE_CHECKING:
    from analysis.report.report import Report
    from analysis.symbolic.derivation import Derivation

CORE = ("product-variance", "dense-forward", "dense-backward", "lecun", "glorot", "he")
_DEFAULT_NETWORKS = 400
_EXAMPLES = 128


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit status: 0, 1 if a prediction fails its measurement, 2 on
    wrong use."""
    arguments = _parser().parse_args(argv)
    if clash := _clash(arguments):
        print(f"analysis.variance: {clash}", file=sys.stderr)
        return 2
    from analysis.errors import AnalysisError
    from tinygrad_edu.errors import TinygradError

    try:
        with prints_aside():
            derivations, reports = _work(arguments)
    except (AnalysisError, TinygradError) as error:
        print(f"analysis.variance: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("analysis.variance: interrupted", file=sys.stderr)
        return 130
    with readers_may_leave():
        _show(arguments.format, derivations, reports)
    return 1 if any(_fails(report) for report in reports) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.variance",
        description="Derive, predict and measure how variance travels through a network.",
        epilog="Without arguments: the six core derivations and two networks on the digits.",
    )
    parser.add_argument("model", nargs="?", help="module:attribute of a model to analyse")
    parser.add_argument("--widths", help="a dense network instead, for example 64,100,100,10")
    parser.add_argument("--activation", help="its activation: a name, or text in x (default relu)")
    parser.add_argument(
        "--init", help="its initialiser: kaiming_normal, xavier_uniform, ... (default fits)"
    )
    parser.add_argument("--weight-std", type=float, help="normal weights of this deviation instead")
    parser.add_argument(
        "--shape", metavar="SIZES", help="of one example, such as 3,32,32, if the model is silent"
    )
    parser.add_argument("--verify", type=int, metavar="N", help="measure on N independent draws")
    parser.add_argument("--derivation", metavar="NAME", help="print one derivation, or 'all'")
    parser.add_argument("--format", choices=("text", "json", "latex", "html"), default="text")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    return parser


def _clash(arguments: argparse.Namespace) -> str | None:
    """What was given and would have no effect; None if all has."""
    wanted = [name for name in ("derivation", "model", "widths") if _given(arguments, name)]
    if len(wanted) > 1:
        return f"{_option(wanted[0])} and {_option(wanted[1])}: give one of the two."
    needs = [(name, ("widths",)) for name in ("activation", "init", "weight_std")]
    for name, one_of in (*needs, ("shape", ("model", "widths"))):
        if _given(arguments, name) and not set(one_of) & set(wanted):
            return f"{_option(name)} needs {' or '.join(map(_option, one_of))}."
    return None


def _given(arguments: argparse.Namespace, name: str) -> bool:
    return getattr(arguments, name) is not None


def _option(name: str) -> str:
    return "module:attribute" if name == "model" else f"--{name.replace('_', '-')}"


def _work(arguments: argparse.Namespace) -> tuple[list[Derivation], list[Report]]:
    """What was asked for: derivations and reports."""
    if arguments.derivation is not None:
        return _derivations(arguments.derivation), []
    if arguments.model is not None or arguments.widths is not None:
        return [], [_report_on_one(arguments)]
    return [_derive(name) for name in CORE], _reports_on_digits(arguments)


def _derivations(name: str) -> list[Derivation]:
    from analysis.topics import derivations

    return [_derive(each) for each in (derivations() if name == "all" else (name,))]


def _derive(name: str) -> Derivation:
    from analysis.topics import derive

    return derive(name)


def _report_on_one(arguments: argparse.Namespace) -> Report:
    from dataclasses import replace

    from analysis.findings.analyze import analyze
    from analysis.network.build import dense_network, import_model, parse_shape, parse_widths

    if arguments.model is not None:
        model, title = import_model(arguments.model), arguments.model
    else:
        widths, activation = parse_widths(arguments.widths), arguments.activation
        activation = "relu" if activation is None else activation
        model = dense_network(
            widths, activation, arguments.init, arguments.weight_std, arguments.seed
        )
        title = f"{'-'.join(map(str, widths))} {activation}"
    shape = None if arguments.shape is None else parse_shape(arguments.shape)
    report = replace(analyze(model, shape), title=title)
    if arguments.verify is None:
        return report
    return _verified(report, model, arguments.verify, arguments.seed)


def _reports_on_digits(arguments: argparse.Namespace) -> list[Report]:
    from dataclasses import replace

    from analysis.findings.analyze import analyze
    from analysis.network.build import dense_network
    from tinygrad_edu.data import Standardize, load_digits

    train, _ = load_digits().split()
    examples = Standardize.fit(train.images)(train.images)[:_EXAMPLES]
    reports = []
    for activation, init, title in (
        ("relu", "kaiming_normal", "ReLU, He initialisation, standardised digits"),
        ("tanh", "xavier_normal", "tanh, Glorot initialisation, standardised digits"),
    ):
        model = dense_network([64] + [100] * 9 + [10], activation, init, None, arguments.seed)
        report = replace(analyze(model, input=examples), title=title)
        networks = _DEFAULT_NETWORKS if arguments.verify is None else arguments.verify
        reports.append(_verified(report, model, networks, arguments.seed, examples))
    return reports


def _verified(report: Report, model: Any, networks: int, seed: int, data: Any = None) -> Report:
    from analysis.measurement.measure import measure

    source = report.input if data is None else data
    return report.with_measurement(measure(model, networks, seed=seed, input=source))


def _fails(report: Report) -> bool:
    from analysis.measurement.verify import verify

    if report.measurement is None:
        return False
    return not all(verdict.agrees for verdict in verify(report, report.measurement))


def _show(form: str, derivations: list[Derivation], reports: list[Report]) -> None:
    if form == "json":
        print(json.dumps(_plain(derivations, reports), indent=1, allow_nan=False))
        return
    if form == "html":
        from analysis.report.page import to_html

        print(to_html(reports, derivations or None))
        return
    parts: list[Any] = [*derivations, *reports]
    if form == "latex":
        print("\n\n".join(part.latex() for part in parts))
        return
    from analysis.report.text import to_text

    for derivation in derivations:
        print(derivation.text(), end="\n\n")
    for report in reports:
        print(to_text(report, colour=sys.stdout.isatty()))


def _plain(derivations: list[Derivation], reports: list[Report]) -> dict[str, Any]:
    return {
        "networks": [report.to_dict() for report in reports],
        "derivations": [
            {key: d.to_dict()[key] for key in ("name", "grade", "result")} for d in derivations
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
