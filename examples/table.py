"""Write the table of examples/README.md: `python examples/table.py [--quick]`.

Every number is what its example printed when this command ran; nothing in the table is typed.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType

from common import numbers, shown

HERE = Path(__file__).parent
PAGE = HERE / "README.md"
BEGIN, END = "<!-- table: examples/table.py -->", "<!-- end of table -->"
SHOWN = 4
"""Numbers of each example."""


def examples() -> list[Path]:
    """The files of the examples, in the order of the claims."""
    return sorted(HERE.glob("[0-9]*.py"))


def load(path: Path) -> ModuleType:
    """An example as a module: its name is no identifier, so `import` cannot find it."""
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(quick: bool) -> Iterator[str]:
    """The table line by line."""
    yield "| example | what it shows | what it prints, among others |"
    yield "| --- | --- | --- |"
    for path in examples():
        print(path.name, file=sys.stderr)
        module = load(path)
        title = (module.__doc__ or "").splitlines()[0].partition(" ")[2]
        found = islice(numbers(module.experiment(quick)).items(), SHOWN)
        printed = "<br>".join(f"{name}: **{shown(value)}**" for name, value in found)
        yield f"| [{path.stem}]({path.name}) | {title} | {printed.replace('|', '&#124;')} |"


def main() -> None:
    """Run every example and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="small experiments, to try the command"
    )
    quick = parser.parse_args().quick
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(rows(quick))
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
