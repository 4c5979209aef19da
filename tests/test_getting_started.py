"""The first page of the documentation runs as it stands."""

from __future__ import annotations

from pathlib import Path

from tests.pages import run_blocks

PAGE = Path(__file__).parents[1] / "docs" / "getting-started.md"


def test_every_python_block_prints_what_it_shows() -> None:
    blocks, examples = run_blocks(PAGE)
    assert (blocks, examples) >= (7, 30)
