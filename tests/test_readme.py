"""The README's Python runs and prints what it says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_every_python_block_prints_what_it_shows() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "README.md", str(README), 0)
    assert len(test.examples) >= 15
    printed: list[str] = []
    result = doctest.DocTestRunner().run(test, out=printed.append)
    assert result.failed == 0, "".join(printed)


def test_the_two_commands_are_marked_for_ci() -> None:
    text = README.read_text(encoding="utf-8")
    for marker in ("<!-- run-command -->", "<!-- test-command -->"):
        assert text.count(marker) == 1
        assert text.split(marker)[1].lstrip().startswith("```bash\npython3.11 -m venv")
