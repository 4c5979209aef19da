"""Pages whose Python blocks are run as one doctest, so that they print what they show."""

from __future__ import annotations

import doctest
import re
from pathlib import Path


def run_blocks(page: Path) -> tuple[int, int]:
    """How many blocks and examples a page has, all of which ran.

    Raises:
        AssertionError: One prints something else; the message is doctest's.
    """
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page.name, str(page), 0)
    printed: list[str] = []
    result = doctest.DocTestRunner().run(test, out=printed.append)
    assert result.failed == 0, "".join(printed)
    return len(blocks), len(test.examples)
