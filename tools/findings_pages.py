"""Write docs/findings: `python tools/findings_pages.py [--check]`.

One page a rule, made of the rule's docstring, the derivations it rests on (checked as they are
printed) and an example that was run, `docs/findings/examples/CODE.py`. `--check` writes nothing and
exits with 1 if a page differs.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import analysis
from analysis import Thresholds
from analysis.findings import rules
from analysis.findings.rule import RULES, Rule
from analysis.report.report import Report

assert rules  # imported for the rules it enters

FOLDER = Path(__file__).parent.parent / "docs" / "findings"
EXAMPLES = FOLDER / "examples"

OPTIONS = {"NI502": ["--data", "NI502:data"], "NI602": ["--threshold", "batch=4"]}
"""What the command is told beside the name of the network."""

GROUPS = {
    "NI1": "the signal on its way forward",
    "NI2": "the gradient on its way back",
    "NI3": "units that pass no gradient, or bend nothing",
    "NI4": "units that are all the same",
    "NI5": "what layers are fed with",
    "NI6": "normalisation",
    "NI7": "residual blocks, dropout, depth",
    "NI8": "single draws, first losses, fans",
    "NI9": "what cannot be said",
}


def example(code: str) -> ModuleType:
    """The example of a rule, imported: `net` trips it, `fixed` does not."""
    path = EXAMPLES / f"{code}.py"
    spec = importlib.util.spec_from_file_location(f"example_{code}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checked(code: str, module: ModuleType, which: str = "net") -> Report:
    """What the analysis says of `net` or `fixed`, with the options of the example."""
    data = getattr(module, "data" if which == "net" else "fixed_data", None)
    settings = [o for o in OPTIONS.get(code, []) if "=" in o]
    thresholds = Thresholds.parse(settings)
    return analysis.analyze(getattr(module, which), data, thresholds=thresholds)


def page(rule: Rule) -> str:
    """The page of one rule."""
    return "\n".join([*_head(rule), *_example(rule), *_derivations(rule), *_sources(rule)])


def _head(rule: Rule) -> Iterator[str]:
    yield f"# {rule.code} {rule.name}"
    yield ""
    yield f"*{rule.severity}*, one of {rule.code[:3]}: {GROUPS[rule.code[:3]]}."
    yield ""
    yield rule.text
    yield ""
    if rule.unless:
        yield f"Not reported beside {', '.join(map(_link, rule.unless))}, which explain it."
        yield ""


def _example(rule: Rule) -> Iterator[str]:
    yield "## Example"
    yield ""
    yield f"`{rule.code}.py` in `docs/findings/examples`: `net` has the finding, `fixed` has not."
    yield ""
    yield "```python"
    yield (EXAMPLES / f"{rule.code}.py").read_text(encoding="utf-8").rstrip()
    yield "```"
    yield ""
    options = "".join(f" {option}" for option in OPTIONS.get(rule.code, []))
    yield "```"
    yield f"$ python -m analysis.check {rule.code}:net --select {rule.code}{options}"
    for finding in checked(rule.code, example(rule.code)).findings:
        if finding.code == rule.code:
            yield f"{finding.layer}: {finding.code} {finding.message} ({finding.fix})"
    yield "```"
    yield ""


def _derivations(rule: Rule) -> Iterator[str]:
    """The first derivation in full, of the others what they arrive at."""
    if not rule.derivations:
        return
    yield "## Derivation"
    yield ""
    first, *others = rule.derivations
    yield f"`python -m analysis.variance --derivation {first}`"
    yield ""
    yield "```"
    yield analysis.derive(first).text().rstrip()
    yield "```"
    yield ""
    for name in others:
        yield f"- `{name}`: {analysis.derive(name).title}"
    if others:
        yield ""


def _sources(rule: Rule) -> Iterator[str]:
    if rule.sources:
        yield "## Sources"
        yield ""
        yield from (f"- {source}" for source in rule.sources)
        yield ""


def _link(code: str) -> str:
    return f"[{code}]({code}.md)"


def index() -> str:
    """The page that lists all rules and thresholds."""
    lines = [
        "# Findings",
        "",
        "`python -m analysis.check module:attribute` says what is wrong with a network's",
        "initialisation, without running it: one line a cause, `layer: CODE message (fix)`.",
        "`--select` and `--ignore` take codes or how they begin, `--explain CODE` prints a rule,",
        "`--prescribe` lists changes that were tried on a copy and cure what was found.",
        "`analysis.analyze(model).findings` has the same findings, `analysis.prescribe(model)` the",
        "same changes, whose `apply()` makes them. Exit status: 0 nothing found, 1 findings, 2",
        "wrong use.",
        "",
        "| code | name | severity | |",
        "|---|---|---|---|",
    ]
    for code, rule in sorted(RULES.items()):
        summary = rule.text.split("\n\n")[0].replace("\n", " ")
        lines.append(f"| {_link(code)} | {rule.name} | {rule.severity} | {summary} |")
    lines += ["", "## Thresholds", "", "Each can be set: `--threshold NAME=VALUE`.", ""]
    meanings = _meanings()
    lines += ["| name | default | |", "|---|---|---|"]
    for field in fields(Thresholds):
        lines.append(f"| `{field.name}` | {field.default:.3g} | {meanings[field.name]} |")
    return "\n".join([*lines, ""])


def _meanings() -> dict[str, str]:
    """What the docstring of `Thresholds` says of each."""
    names = [field.name for field in fields(Thresholds)]
    found: dict[str, str] = {}
    name = ""
    for line in (Thresholds.__doc__ or "").splitlines():
        first, _, rest = line.strip().partition(" ")
        if first in names and line.startswith("    " + first + " "):
            name = first
            found[name] = rest.strip()
        elif name:
            found[name] += " " + line.strip()
    return {name: text.strip() for name, text in found.items()}


def pages() -> dict[Path, str]:
    """All pages by path."""
    found = {FOLDER / f"{code}.md": page(rule) for code, rule in RULES.items()}
    return {FOLDER / "index.md": index(), **found}


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the pages of docs/findings.")
    parser.add_argument("--check", action="store_true", help="only say whether they are current")
    check = parser.parse_args(argv).check
    stale = [
        path
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if check:
        for path in stale:
            print(
                f"{path.name} is not current: run python tools/findings_pages.py", file=sys.stderr
            )
        return 1 if stale else 0
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
