"""The notebook runs, with its first choice and with others, and every choice it offers exists."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinygrad_edu import nn

pytest.importorskip("marimo", reason="needs the notebook extra")
ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "playground.py"


def run(**choices: Any) -> Any:
    """What the notebook defines with these values of its controls."""
    spec = importlib.util.spec_from_file_location("playground", NOTEBOOK)
    assert spec is not None
    assert spec.loader is not None
    notebook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(notebook)
    chosen = {name: SimpleNamespace(value=value) for name, value in choices.items()}
    return notebook.app.run(defs=chosen or None)[1]


def test_the_first_choice() -> None:
    defined = run()
    assert len(defined["report"].layers) == 17
    assert all(v.agrees for v in defined["verdicts"])
    for draw, _ in defined["initialisers"].values():
        assert callable(getattr(nn.init, draw))
    assert all(hasattr(nn, name) for name in defined["activations"])


@pytest.mark.parametrize(
    ("activation", "initialiser"),
    [("LeakyReLU", "too large: 4 x LeCun"), ("Identity", "all equal")],
)
def test_other_choices(activation: str, initialiser: str) -> None:
    values = {"depth": 2, "width": 12, "networks": 10}
    defined = run(activation=activation, initialiser=initialiser, **values)
    assert len(defined["report"].layers) == 5
    codes = {finding.code for finding in defined["report"].findings}
    assert codes & ({"NI103"} if activation == "LeakyReLU" else {"NI401"})


def test_as_a_page(tmp_path: Path) -> None:
    notebook = Path(shutil.copy(NOTEBOOK, tmp_path))  # marimo keeps notes beside it
    page = tmp_path / "playground.html"
    command = [sys.executable, "-m", "marimo", "export", "html", str(notebook), "-o", str(page)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    text = page.read_text(encoding="utf-8")
    assert "predictions agree with" in text
