"""The Python on documentation pages runs and prints what it says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(path.name for path in DOCS.rglob("*.md") if ">>> " in path.read_text("utf-8"))


def test_there_are_pages_that_run() -> None:
    assert {"compile.md", "frozen.md"} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_prints_what_it_shows(name: str) -> None:
    printed: list[str] = []
    text = "\n".join(
        re.findall(r"```python\n(.*?)```", (DOCS / name).read_text("utf-8"), re.DOTALL)
    )
    test = doctest.DocTestParser().get_doctest(text, {}, name, str(DOCS / name), 0)
    result = doctest.DocTestRunner().run(test, out=printed.append)
    assert result.attempted
    assert not result.failed, "".join(printed)
