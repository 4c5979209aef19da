"""The shape of the source: imports run one way, names stay apart, files stay short."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import tinygrad_edu as tg

ROOT = Path(__file__).parent.parent
ENGINE, ANALYSIS = ROOT / "tinygrad_edu", ROOT / "analysis"

ORDER = ["kernels", "ops", "graph", "derive", "scalar", "compiler", "nn", "optim", "data", "train"]
"""Each uses only those before it. `scalar` is one file."""

EVERYWHERE = {"errors"}
HEAVY = ["numba", "llvmlite", "sympy", "scipy", "matplotlib", "rich", "safetensors", "analysis"]
LONGEST = 400

SOURCES = sorted([*ENGINE.rglob("*.py"), *ANALYSIS.rglob("*.py")])


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every module a file imports, inside functions too, with the line. ``from a import b`` gives
    a.b, which may be a module or a name in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def part(dotted: str) -> str | None:
    """The folder (or file) of the engine that a module belongs to, or that a public name comes
    from; None outside the engine."""
    names = dotted.split(".")
    if names[0] != "tinygrad_edu":
        return None
    if len(names) == 1:
        return "everything"
    known = {*ORDER, *EVERYWHERE}
    return names[1] if names[1] in known else part(getattr(tg, names[1]).__module__)


def of(path: Path) -> str:
    """The folder (or file) of the engine that a source file belongs to."""
    return path.relative_to(ENGINE).with_suffix("").parts[0]


ENGINE_FILES = [p for p in SOURCES if ENGINE in p.parents and p != ENGINE / "__init__.py"]


def test_there_is_something_to_test() -> None:
    assert len(ENGINE_FILES) > 20
    assert {of(p) for p in ENGINE_FILES} <= {*ORDER, *EVERYWHERE}, "a new part: give it its place"


@pytest.mark.parametrize("path", ENGINE_FILES, ids=lambda p: str(p.relative_to(ENGINE)))
def test_imports_run_one_way(path: Path) -> None:
    own = of(path)
    below = [] if own in EVERYWHERE else ORDER[: ORDER.index(own) + 1]
    for line, module in imported(path):
        assert module.split(".")[0] != "analysis", f"line {line}: the engine uses the analyzer"
        used = part(module)
        assert used in {None, *below, *EVERYWHERE}, f"line {line}: {own} uses {used}"


# ------------------------------------------------------------------ folders within a part

WITHIN = sorted(p.parent for p in ENGINE.glob("*/*/__init__.py"))
"""The folders of a part's folder, such as compiler/values."""

MAPPED = [ENGINE / "compiler", *(p for p in WITHIN if p.name != "vector_math")]
"""Folders whose docstring says what each file is for."""


def siblings(folder: Path) -> dict[str, set[str]]:
    """Which files and folders of a part use which others of it."""
    start = ("tinygrad_edu", folder.name)
    uses: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        own = path.relative_to(folder).with_suffix("").parts[0]
        names = [module.split(".") for _, module in imported(path)]
        found = {name[2] for name in names if tuple(name[:2]) == start and len(name) > 2}
        uses.setdefault(own, set()).update(found - {own})
    return uses


@pytest.mark.parametrize("folder", WITHIN, ids=lambda p: str(p.relative_to(ENGINE)))
def test_a_folder_uses_nothing_that_uses_it(folder: Path) -> None:
    uses = siblings(folder.parent)
    reached, new = set[str](), uses[folder.name]
    while new:
        reached |= new
        new = set().union(*(uses.get(name, set()) for name in new)) - reached
    assert folder.name not in reached


@pytest.mark.parametrize("folder", MAPPED, ids=lambda p: str(p.relative_to(ENGINE)))
def test_the_map_of_a_folder_is_complete(folder: Path) -> None:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    there = {p.stem for p in folder.iterdir() if p.suffix == ".py"} - {"__init__"}
    there |= {p.name for p in WITHIN if p.parent == folder}
    assert there <= set(re.findall(r"\w+", text))


@pytest.mark.parametrize("folder", WITHIN, ids=lambda p: str(p.relative_to(ENGINE)))
def test_tests_lie_where_their_sources_lie(folder: Path) -> None:
    tests = ROOT / "tests" / folder.relative_to(ENGINE)
    sources = {p.stem for p in folder.glob("*.py")}
    assert {p.stem.removeprefix("test_") for p in tests.glob("test_*.py")} <= sources
    above = {p.stem for p in folder.parent.glob("*.py")}
    stray = {p.stem.removeprefix("test_") for p in tests.parent.glob("test_*.py")} & sources - above
    assert not stray, f"belong into {tests}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def submodules() -> list[str]:
    """Every module of the engine."""
    return sorted(m.name for m in pkgutil.walk_packages(tg.__path__, "tinygrad_edu."))


def test_no_module_hides_a_function() -> None:
    """Importing a submodule binds its name in its package. Were a public function called the same,
    the first lazy import would replace it."""
    functions = {name: getattr(tg, name) for name in dir(tg) if callable(getattr(tg, name))}
    assert len(functions) > 80
    for name in submodules():
        importlib.import_module(name)
    for name, function in functions.items():
        assert getattr(tg, name) is function, name
        assert not isinstance(getattr(tg, name), ModuleType), name


def test_public_names_exist() -> None:
    for name in submodules():
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", []):
            assert hasattr(module, public), f"{name}.{public}"


def test_import_is_light() -> None:
    """Neither a compiler nor an algebra system loads before it is asked for something."""
    code = f"import sys, tinygrad_edu; print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
