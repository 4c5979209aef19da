"""The pages are what the rules, the derivations and the examples say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analysis.findings.rule import RULES
from tools import findings_pages

ROOT = Path(__file__).parents[3]


def test_the_pages_are_current() -> None:
    """If not: python tools/findings_pages.py"""
    assert findings_pages.main(["--check"]) == 0


def test_no_page_or_example_is_left_over() -> None:
    assert {path.stem for path in findings_pages.FOLDER.glob("NI*.md")} == set(RULES)
    assert {path.stem for path in findings_pages.EXAMPLES.glob("*.py")} == set(RULES)


def test_a_stale_page_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(findings_pages, "pages", lambda: {tmp_path / "x.md": "new"})
    assert findings_pages.main(["--check"]) == 1
    assert findings_pages.main([]) == 0
    assert (tmp_path / "x.md").read_text() == "new"
    assert findings_pages.main(["--check"]) == 0


@pytest.mark.parametrize("code", ["NI103", "NI502", "NI602"])
def test_the_command_of_a_page_prints_what_the_page_says(code: str) -> None:
    page = (findings_pages.FOLDER / f"{code}.md").read_text()
    command, *output = page.split("```\n$ ")[1].split("\n```")[0].splitlines()
    assert command.startswith("python -m analysis.check ")
    done = subprocess.run(
        [sys.executable, *command.split()[1:]],
        cwd=findings_pages.EXAMPLES,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == output
