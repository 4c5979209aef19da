"""Everything that is printed as LaTeX compiles."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import analysis
from analysis.network.build import dense_network

_PAGE = r"""
\documentclass{article}
\usepackage{amsmath,amssymb,booktabs}
\usepackage[landscape,margin=1cm,paperwidth=60cm]{geometry}
\begin{document}
%s
\end{document}
"""


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs LaTeX")
def test_it_compiles(tmp_path: Path) -> None:
    model = dense_network([8, 20, 5], "tanh")
    report = analysis.analyze(model).with_measurement(analysis.measure(model, 30, progress=False))
    parts = [analysis.derive(name).latex() for name in analysis.derivations()]
    source = tmp_path / "all.tex"
    source.write_text(_PAGE % "\n\n".join([*parts, report.latex()]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", source.name]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    said = run.stdout.decode(errors="replace")
    assert run.returncode == 0, "\n".join(line for line in said.splitlines() if line[:1] in "!l")
    assert "Overfull" not in said
