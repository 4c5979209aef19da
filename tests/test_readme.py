"""The README's Python runs and prints what it says."""

from __future__ import annotations

from pathlib import Path

from tests.pages import run_blocks

README = Path(__file__).parents[1] / "README.md"


def test_every_python_block_prints_what_it_shows() -> None:
    blocks, examples = run_blocks(README)
    assert blocks == 2
    assert examples >= 15


def test_the_two_commands_are_marked_for_ci() -> None:
    text = README.read_text(encoding="utf-8")
    for marker in ("<!-- run-command -->", "<!-- test-command -->"):
        assert text.count(marker) == 1
        assert text.split(marker)[1].lstrip().startswith("```bash\npython3.11 -m venv")
